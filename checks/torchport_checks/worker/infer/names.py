"""What a parameter's name and annotation say of its value."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..loading import StageError, signature

_INTEGERS = [
    (r"output_padding", 0),
    (r"(num|n)_groups", 4),
    (r"kernel|window|ksize", 3),
    (r"stride|dilation|groups$|repeats?$", 1),
    (r"padding|offset|shift|diagonal", 1),
    (r"head", 2),
    (r"depth|layer|blocks|num_res", 2),
    (r"vocab|n_tokens|num_embeddings|max_|block_size|context|ctx|seq_len|length|position", 16),
    (r"class", 5),
    (r"image|img|resolution", 32),
    (r"patch", 8),
    (r"^(in|input|c_in|cin)(_|$)|^in", 4),
    (r"^(out|output|c_out|cout)(_|$)|^out", 6),
    (r"ratio|mult|factor|expansion|^k$|top_?k$|steps?$", 2),
    (r"^(n|size)$", 6),
    (r"^(num|n|nb)_|_(size|len|num)$|^maxlen$", 8),
]
_FLOATS = r"(^|_)(eps|epsilon|alpha|beta|gamma|p|prob|rate|lr|tau|lam|lambda|theta|base|drop|delta|sigma)(_|\d|$)|dropout|temperature|scal|weight_decay|momentum|margin|threshold|slope|label_smoothing|_value|value_|divisor|constant"
_FLAGS = r"^(is|use|has|with|return|do|keep|causal|bias|train|training|reverse|inplace|bidirectional|batch_first|normalize|affine|flag)(_|$)|_first$|_bias$|keepdim|_mode$"
_LISTS = r"(sizes|widths|depths|dims|stages|repeats|layers|channels_list|blocks|features|channels)$"
_INDICES = r"^(ids?|idx|index|indices|tokens?|token_ids|input_ids|labels?|targets?|classes|positions?|pos|y_true|segment|lengths|x_ids|src|tgt)$|_(ids?|idx|index|tokens|indices|lengths)$"
SEQUENCES = r"^(q|query|queries|k|key|keys|v|value|values|hidden|hidden_states|context|memory|src|tgt|seq|sequence|tokens)$"
_IMAGES = r"^(in|inp|img|imgs|image|images|input|inputs|patch|patches|output|outputs|out)$"
_LENGTHS = r"^(seq_|x_|src_|tgt_)?(lengths|lens)$"
_MASKS = r"mask|^(dones?|terminal|terminated|truncated|is_\w+|valid|keep)$"


@dataclass(frozen=True)
class Suggestion:
    """Values for a parameter, best first; or the dtype, where it is a tensor."""

    parameter: inspect.Parameter
    values: tuple[Any, ...] | None = None
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """The parameter's."""
        return self.parameter.name

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Of integers: lengths are not zero."""
        return (1, 4) if self.dtype == "int64" and re.search(_LENGTHS, self.name.lower()) else None


def required(function: Any) -> list[inspect.Parameter]:
    """The parameters of a callable that have no default.

    Raises:
        StageError: Python cannot tell its parameters.
    """
    found = signature(function)
    if found is None:
        raise StageError("INPUTS", "Its parameters are not known.")
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        p for p in found.parameters.values()
        if p.default is inspect.Parameter.empty and p.kind not in variadic
    ]  # fmt: skip


def annotation(parameter: inspect.Parameter) -> str:
    """A parameter's annotation as text without `torch.`, or an empty string."""
    if parameter.annotation is inspect.Parameter.empty:
        return ""
    given = parameter.annotation
    text = given if isinstance(given, str) else str(given)
    if isinstance(given, type) and "[" not in text:
        text = given.__name__
    return text.replace("torch.", "").replace("typing.", "")


def integer(name: str, otherwise: int | None = None) -> int | None:
    """The whole number that a name suggests, if any."""
    return next((value for pattern, value in _INTEGERS if re.search(pattern, name)), otherwise)


def of_argument(parameter: inspect.Parameter, siblings: Collection[str] = ()) -> Suggestion:
    """What a parameter of a function or of `forward` may be given.

    `siblings` are the names that are known to be tensors: `k` is one beside `q`.

    Raises:
        StageError: no value of its annotation is known.
    """
    name, known = parameter.name.lower(), annotation(parameter)
    is_tensor = "Tensor" in known or re.match(r"(Float|Int|Bool|Shaped|Num)\[", known)
    if not known:
        is_tensor = name in siblings or (
            name != "k" and re.search(f"{_INDICES}|{_MASKS}|{_IMAGES}|{SEQUENCES}", name)
        )
    if not is_tensor:
        values = _values(parameter, known)
        if values is not None:
            return Suggestion(parameter, values)
    if re.search(_INDICES, name) or "Long" in known or known.startswith("Int["):
        return Suggestion(parameter, dtype="int64")
    if re.search(_MASKS, name) or known.startswith("Bool[") or "BoolTensor" in known:
        return Suggestion(parameter, dtype="bool")
    return Suggestion(parameter)


def _values(parameter: inspect.Parameter, known: str) -> tuple[Any, ...] | None:
    name = parameter.name.lower()
    if re.search(r"^(dim|axis|dims)$", name) and known in ("", "int"):
        return (-1, 8, 1, 0)
    if known == "bool" or (not known and re.search(_FLAGS, name)):
        return (False, True)
    if known == "int" or (not known and integer(name) is not None):
        return tuple(dict.fromkeys([integer(name, 4), 4, 1]))
    if known == "float" or (not known and re.search(_FLOATS, name)):
        return (0.1, 2.0)
    if re.match(r"(tuple|list|Tuple|List|Sequence|Iterable)(\[int|$)", known):
        return ((2, 3), (8,), [4, 8])
    if known == "str" or known.startswith("Callable"):
        raise StageError(
            "INPUTS", f"No value is known for the parameter {parameter.name}: {known}."
        )
    return None


def of_constructor(parameter: inspect.Parameter) -> Suggestion:
    """What a parameter of a constructor may be given: never a tensor."""
    name, known = parameter.name.lower(), annotation(parameter)
    if re.search(r"shape", name):
        return Suggestion(parameter, ((6, 1, 1), (6,), (6, 1, 1, 1), (8,)))
    if known == "bool" or (not known and re.search(_FLAGS, name)):
        return Suggestion(parameter, (False, True))
    if re.match(r"(tuple|list|Tuple|List|Sequence|Iterable)(\[|$)", known) or (
        not known and name.endswith(("sizes", "widths", "depths", "stages", "repeats"))
    ):
        return Suggestion(parameter, ([8, 16], (4, 4, 4, 4), [2, 2, 2, 2]))
    if known == "str":
        return Suggestion(parameter, ("mean", "sum", "none", "same", "relu"))
    if known == "float" or (not known and re.search(_FLOATS, name)):
        return Suggestion(parameter, (0.1, 2.0, 1))
    if re.search(r"^(dim|axis|dims|\w+_axis)$", name):
        return Suggestion(parameter, (-1, 8, 1))
    return Suggestion(parameter, tuple(dict.fromkeys([integer(name, 8), 8, 4, 1])))
