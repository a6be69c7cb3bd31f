"""Inputs where nobody gave any: candidates from names, annotations, docstrings and layers.

Nothing here decides anything: candidates are only tried, and torch says which of them run.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from .inputs import Call, tensor
from .loading import StageError, signature
from .protocol import leaves

_TRIES, _SECONDS = 400, 10.0
# All sizes differ within a shape, so that a confusion of axes changes the result.
_SHAPES = [(4, 8), (2, 5, 8), (2, 3, 6, 8), (8,), ()]
_INTEGERS = [
    (r"^(dim|axis|dims)$", -1),
    (r"kernel|window|ksize", 3),
    (r"stride|dilation|groups|repeats?$", 1),
    (r"padding|offset|shift|diagonal", 1),
    (r"head", 2),
    (r"depth|layer|blocks|num_res", 2),
    (r"vocab|n_tokens|num_embeddings|max_|block_size|context|ctx|seq_len|length|position", 16),
    (r"class", 5),
    (r"image|img|resolution", 32),
    (r"patch", 8),
    (r"^(in|input|c_in|cin)(_|$)|^in", 4),
    (r"^(out|output|c_out|cout)(_|$)|^out", 6),
    (r"ratio|mult|factor|expansion|k$|steps?$", 2),
]
_FLOATS = r"eps|alpha|beta|gamma|p$|prob|rate|dropout|drop|temperature|scale|lr|weight_decay|momentum|margin|threshold|delta|sigma|tau|lambda|theta|base|slope|label_smoothing"
_FLAGS = r"^(is|use|has|with|return|do|keep|causal|bias|train|training|reverse|inplace|bidirectional|batch_first|normalize|affine)(_|$)|_first$|keepdim"
_INDICES = r"^(ids?|idx|index|indices|tokens?|token_ids|input_ids|labels?|targets?|classes|positions?|pos|y_true|segment|lengths?|x_ids|src|tgt)$|_(ids?|idx|tokens|indices)$"
_MASKS = r"mask"
_CLASSIFIES = r"cross_entropy|nll_loss|CrossEntropy|NLLLoss|argmax|\.max\(|topk|=="
_SIZES = {"b": 2, "batch": 2, "n": 2, "batch_size": 2, "t": 5, "s": 5, "l": 5, "seq": 5,
          "seq_len": 5, "length": 5, "time": 5, "c": 4, "channels": 4, "h": 8, "w": 6, "height": 8,
          "width": 6, "d": 8, "dim": 8, "hidden": 8, "features": 8}  # fmt: skip


class _Kind:
    """How one parameter may be filled: a value for everything but tensors."""

    def __init__(self, parameter: inspect.Parameter) -> None:
        self.name = parameter.name
        lowered = parameter.name.lower()
        annotation = parameter.annotation
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        text = text or str(annotation)
        known = "" if annotation is inspect.Parameter.empty else text.replace("torch.", "")
        self.annotation = known
        self.values: list[Any] | None = None
        self.tensor = "float32"
        if "Tensor" in known or "Float[" in known:
            pass
        elif known == "bool" or (not known and re.search(_FLAGS, lowered)):
            self.values = [False]
        elif known == "int" or (not known and _integer(lowered) is not None):
            self.values = [_integer(lowered) or 0, 4, 1] if known else [_integer(lowered)]
            if lowered in ("n", "size"):
                self.values = [6]
        elif known == "float" or (not known and re.search(_FLOATS, lowered)):
            self.values = [0.1]
        elif re.match(r"(tuple|list|Tuple|List|Sequence)\[int", known):
            self.values = [(2, 3), (8,), [4, 8]]
        elif known in ("str", "Callable") or known.startswith("Callable"):
            raise StageError("INPUTS", f"No value is known for the parameter {self.name}: {known}.")
        if self.values is None:
            if re.search(_INDICES, lowered) or "Long" in known or known.startswith("Int["):
                self.tensor = "int64"
            elif re.search(_MASKS, lowered) or known.startswith("Bool["):
                self.tensor = "bool"


def _integer(name: str) -> int | None:
    return next((value for pattern, value in _INTEGERS if re.search(pattern, name)), None)


def _required(function: Any) -> list[inspect.Parameter]:
    found = signature(function)
    if found is None:
        raise StageError("INPUTS", "Its parameters are not known.")
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        p for p in found.parameters.values()
        if p.default is inspect.Parameter.empty and p.kind not in variadic
    ]  # fmt: skip


def _call(parameters: list[inspect.Parameter], values: list[Any]) -> Call:
    call = Call([])
    for parameter, value in zip(parameters, values, strict=True):
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            call.kwargs[parameter.name] = value
        else:
            call.args.append(value)
    return call


def constructor_calls(cls: Any, module: Any) -> Iterator[Call]:
    """Constructor arguments to try: the defaults, then values by name and annotation."""
    parameters = _required(cls)
    if not parameters:
        yield Call([])
        return
    choices: list[list[Any]] = []
    for parameter in parameters:
        config = _config(parameter, module)
        if config is not None:
            choices.append([config])
            continue
        kind = _Kind(parameter)
        if kind.values is None:
            kind.values = [_integer(kind.name.lower()) or 8]
        sized = [v for v in kind.values if not isinstance(v, bool)]
        choices.append(kind.values if not sized or isinstance(sized[0], float) else
                       [*kind.values, 8, 4, 1])  # fmt: skip
    yield _call(parameters, [values[0] for values in choices])
    for size in (8, 4, 1):  # sizes that must agree with one another
        yield _call(parameters, [size if size in values else values[0] for values in choices])
    for values in itertools.islice(itertools.product(*choices), _TRIES):
        yield _call(parameters, list(values))


def _config(parameter: inspect.Parameter, module: Any) -> Any:
    """A default instance of the dataclass that annotates a parameter, or that suits its name."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = getattr(module, annotation.strip("'\""), None)
    candidates = [annotation]
    if re.search(r"config|cfg|args|hparams", parameter.name):
        candidates += [
            v for v in vars(module).values()
            if isinstance(v, type) and v.__module__ == module.__name__
        ]  # fmt: skip
    for candidate in candidates:
        if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
            try:
                return candidate()
            except TypeError:
                continue
    return None


def calls(
    function: Any, module: nn.Module | None, sizes: dict[str, int], seed: int
) -> Iterator[Call]:
    """Calls of `function` (a module's bound `forward`, or a plain function) to try, best first.

    `sizes` are the whole numbers that `module` was constructed with, by name.
    """
    parameters = _required(function)
    if not parameters:
        # It may be a whole program; a spec can still ask for it.
        raise StageError("INPUTS", "It needs no arguments, so it was not run by itself.")
    kinds = [_Kind(parameter) for parameter in parameters]
    layers = list(_layer_shapes(module)) if module is not None else []
    documented = _documented(function, parameters, module, sizes)
    for values in _combinations(kinds, layers, documented, seed):
        yield _call(parameters, values)


def calls_with(
    function: Any, given: list[tuple[str, Any]], output: Any, seed: int
) -> Iterator[Call]:
    """Calls of a function that takes a module as well, which is not among `function`'s parameters.

    `given` are the module's own inputs by name, and `output` is what it makes of them: the function
    is tried with these inputs, and with labels or targets that suit the output.
    """
    parameters = _required(function)
    inputs = dict(given)
    spare = [value for name, value in given if name not in {p.name for p in parameters}]
    rng = np.random.default_rng(seed)
    targets = _targets(function, output, rng)
    options: list[list[Any]] = []
    for parameter in parameters:
        kind = _Kind(parameter)
        if parameter.name in inputs:
            options.append([inputs[parameter.name]])
        elif kind.values is not None:
            options.append(kind.values)
        elif spare:
            options.append([spare.pop(0)])
        else:
            options.append(targets)
    for values in itertools.islice(itertools.product(*options), _TRIES):
        yield _call(parameters, list(values))


def _targets(function: Any, output: Any, rng: np.random.Generator) -> list[Any]:
    """What an output may be compared with: class indices, and a tensor of its own shape."""
    first = next((v for _, v in leaves(output) if isinstance(v, torch.Tensor)), None)
    if first is None or not first.ndim:
        return [tensor("float32", (2,), rng)]
    shape = tuple(first.shape)
    same = [tensor("float32", shape, rng), tensor("float32", shape[:1], rng)]
    labels = [tensor("int64", shape[:-1], rng, (0, shape[-1] - 1))]
    if len(shape) > 1:
        labels.append(tensor("int64", shape[:1] + shape[2:], rng, (0, shape[1] - 1)))
    try:
        text = inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        text = ""
    return labels + same if re.search(_CLASSIFIES, text) else same + labels


def _combinations(
    kinds: list[_Kind],
    layers: list[tuple[str, tuple[int, ...], int]],
    documented: list[dict[str, tuple[int, ...]]],
    seed: int,
) -> Iterator[list[Any]]:
    """Values for all parameters, the likeliest combinations first."""
    rng = np.random.default_rng(seed)
    high = next((size for dtype, _, size in layers if dtype == "int64"), 3)
    tensors = [kind for kind in kinds if kind.values is None]

    def fill(shapes: dict[str, tuple[int, ...]], dtypes: dict[str, str]) -> Iterator[list[Any]]:
        options: list[list[Any]] = []
        for kind in kinds:
            if kind.values is not None:
                options.append(kind.values)
                continue
            dtype = dtypes.get(kind.name, kind.tensor)
            bounds = (0, high - 1) if dtype == "int64" else None
            options.append([tensor(dtype, shapes[kind.name], rng, bounds)])
        for values in itertools.islice(itertools.product(*options), 8):
            yield list(values)

    for shapes in documented:
        if all(kind.name in shapes for kind in tensors):
            yield from fill(shapes, {})
    if not tensors:
        yield from fill({}, {})
        return
    first = tensors[0]
    integers = {"int64"} if first.tensor == "int64" else {"float32", first.tensor}
    starts = [(dtype, shape) for dtype, shape, _ in layers]
    starts.sort(key=lambda start: start[0] not in integers)
    starts += [(first.tensor, shape) for shape in _SHAPES]
    known = next(iter(documented), {})
    if first.name in known:
        starts.insert(0, (first.tensor, known[first.name]))
    for dtype, shape in starts:
        for others in _companions(shape, tensors[1:], dtype):
            shapes = {first.name: shape} | others
            dtypes = {first.name: dtype}
            if dtype == "int64":  # a decoder's second ids, but a float where the name says so
                dtypes |= {k.name: k.tensor for k in tensors[1:]}
            yield from fill(shapes, dtypes)


def _companions(
    shape: tuple[int, ...], others: list[_Kind], dtype: str
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Shapes for the tensors after the first: equal ones, then those that often go with it."""

    def options(kind: _Kind) -> list[tuple[int, ...]]:
        found = [shape, shape[-1:], shape[:-1], ()]
        if kind.tensor == "int64":
            found = [shape[:-1], (shape[:1] + shape[2:]), shape, shape[:1]]
        elif kind.tensor == "bool":
            found = [shape, shape[:-1], (shape[-2:-1] * 2), shape[:1]]
        elif len(shape) >= 2:
            matrices = [(*shape[:-2], shape[-1], 5), (5, shape[-1]), (shape[-1], 5)]
            others = [shape[:1], (*shape[:-2], 1, shape[-1]), (shape[1],)]
            found = [shape, *matrices, *found[1:], *others]
        return list(dict.fromkeys(found))

    seen: set[tuple[Any, ...]] = set()
    lists = [options(kind) for kind in others]
    for picks in itertools.chain(
        zip(*lists, strict=False) if lists else [()],
        itertools.islice(itertools.product(*lists), 60),
    ):
        if picks not in seen:
            seen.add(picks)
            yield {kind.name: pick for kind, pick in zip(others, picks, strict=True)}


def _layer_shapes(module: nn.Module) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """`(dtype, shape, exclusive upper bound)` that the first layers of a module would take."""
    taken = 0
    for part in module.modules():
        shapes = list(_shapes_for(part))
        yield from shapes
        taken += bool(shapes)
        if taken == 4:
            break
    for parameter in itertools.islice(module.parameters(), 4):
        if parameter.ndim:
            sizes = dict.fromkeys((parameter.shape[-1], parameter.shape[0]))
            for size in sizes:
                yield from (("float32", shape, 0) for shape in ((4, size), (2, 5, size)))
            lead = parameter.shape[0] if parameter.ndim != 4 else parameter.shape[1]
            yield "float32", (2, lead, 8, 6), 0
            yield "float32", tuple(parameter.shape), 0


def _shapes_for(part: nn.Module) -> Iterator[tuple[str, tuple[int, ...], int]]:
    shapes: list[tuple[int, ...]] = []
    name = type(part).__name__
    match part:
        case nn.Embedding() | nn.EmbeddingBag():
            yield "int64", (2, 5), part.num_embeddings
            yield "int64", (5,), part.num_embeddings
            return
        case nn.Linear():
            size = part.in_features
            shapes = [(4, size), (2, 5, size), (2, 3, 5, size)]
            # What a flattened image has: 3 x 8 x 8 and the like.
            shapes += [(2, c, s, s) for c in (1, 3) for s in (8, 28, 32) if c * s * s == size]
        case nn.LayerNorm():
            tail = tuple(part.normalized_shape)
            shapes = [(2, 5, *tail), (4, *tail)]
        case nn.RNNBase():
            shapes = [(2, 5, part.input_size)]
        case nn.RNNCellBase():
            shapes = [(4, part.input_size)]
        case nn.MultiheadAttention() | nn.TransformerEncoderLayer() | nn.TransformerDecoderLayer():
            attention = getattr(part, "self_attn", part)
            shapes = [(2, 5, attention.embed_dim)]
        case nn.GroupNorm():
            c = part.num_channels
            shapes = [(2, c, 8, 6), (2, c, 5), (4, c)]
        case _ if hasattr(part, "in_channels") and re.match(r"(Conv|ConvTranspose)\d", name):
            rank, c = int(re.search(r"(\d)d", name)[1]), part.in_channels
            sizes = [16, 32, 64, 28, 8, 96, 224] if rank < 3 else [8, 16]
            shapes = [(2, c, *([size] * rank)) for size in sizes]
        case _ if hasattr(part, "num_features") and re.search(r"Norm\dd", name):
            rank, c = int(re.search(r"(\d)d", name)[1]), part.num_features
            shapes = [(2, c, *(8, 6, 4)[:rank])] + ([(4, c)] if rank == 1 else [])
        case _ if re.search(r"(Pool|Pad|Upsample|PixelShuffle)", name):
            match = re.search(r"(\d)d", name)
            rank = int(match[1]) if match else 2
            shapes = [(2, 4, *(16, 12, 8)[:rank])]
    for shape in shapes:
        yield "float32", shape, 0


def _documented(
    function: Any,
    parameters: list[inspect.Parameter],
    module: nn.Module | None,
    constructed: dict[str, int],
) -> list[dict[str, tuple[int, ...]]]:
    """Shapes from jaxtyping annotations and from `(B, T, C)` after a parameter in the docstring."""
    text = inspect.getdoc(function) or ""
    shapes: dict[str, tuple[int, ...]] = {}
    sizes = _SIZES | constructed
    fresh = iter((7, 9, 10, 11, 12))
    for parameter in parameters:
        annotation = str(parameter.annotation)
        found = re.search(r"""\[\s*[\w.]*Tensor\s*,\s*["']([^"']*)["']\s*\]""", annotation)
        dims = found[1].split() if found else None
        if dims is None:
            pattern = (
                rf"\b{re.escape(parameter.name)}\b[^\n]*?[\[(]\s*((?:[\w.]+\s*,\s*)+[\w.]*)\s*[\])]"
            )
            found = re.search(pattern, text)
            dims = [d.strip() for d in found[1].split(",") if d.strip()] if found else None
        if dims is None or any(dim in ("...", "optional", "default") for dim in dims):
            continue
        shapes[parameter.name] = tuple(_size(dim, sizes, fresh, module) for dim in dims)
    return [shapes] if shapes else []


def _size(dim: str, sizes: dict[str, int], fresh: Iterator[int], module: nn.Module | None) -> int:
    try:
        number = ast.literal_eval(dim)
        if isinstance(number, int):
            return number
    except (ValueError, SyntaxError):
        pass
    own = getattr(module, dim, None) if module is not None else None
    if isinstance(own, int):
        return own
    if dim in sizes:
        return sizes[dim]
    lowered = dim.lower()
    if lowered not in sizes:
        sizes[lowered] = next(fresh, 8)
    return sizes[lowered]


def first_that_runs(options: Iterator[Call], run: Callable[[Call], Any]) -> tuple[Call | None, str]:
    """The first call that runs, a finite result preferred; else None and why."""
    deadline = time.monotonic() + _SECONDS
    spare: Call | None = None
    failure: BaseException | None = None
    for tries, option in enumerate(options):
        if tries == _TRIES or time.monotonic() > deadline:
            break
        try:
            result = run(option)
        except BaseException as error:  # sys.exit included
            failure = failure or error
            continue
        if _finite(result):
            return option, ""
        spare = spare or option
        positive = Call(
            [_positive(v) for v in option.args],
            {k: _positive(v) for k, v in option.kwargs.items()},
        )
        try:
            if _finite(run(positive)):
                return positive, ""
        except Exception:
            continue
    if spare is not None:
        return spare, ""
    detail = f" The first attempt raised {type(failure).__name__}: {failure}" if failure else ""
    return None, f"No inputs were found with which it runs.{detail[:600]}"


def _positive(value: Any) -> Any:
    """A tensor in (0, 1), for functions that are defined there only."""
    if getattr(value, "inexact", False):
        rng = np.random.default_rng(0)
        return tensor(value.dtype, value.shape, rng, (0.1, 0.9))
    return value


def _finite(result: Any) -> bool:
    if isinstance(result, torch.Tensor):
        return not result.is_floating_point() or bool(torch.isfinite(result).all())
    if isinstance(result, list | tuple):
        return all(map(_finite, result))
    return True
