"""Shapes that the author wrote down: jaxtyping annotations, docstrings, comments."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

_SIZES = {
    "b": 2, "batch": 2, "n": 2, "bs": 2, "batch_size": 2, "t": 5, "s": 5, "l": 5, "seq": 5,
    "seq_len": 5, "seq_length": 5, "sequence_length": 5, "length": 5, "time": 5, "c": 4,
    "channels": 4, "h": 8, "w": 6, "height": 8, "width": 6, "d": 8, "depth": 7, "dim": 8,
    "hidden": 8, "features": 8,
}  # fmt: skip
_FRESH = (10, 12, 9, 7, 11, 14)
# Names, then a bracket within the same sentence: "x: (B, T, C)", "q, k (Tensor): of shape [B, D]".
_SHAPE = r"(?<![\w)\]])[\[(]\s*((?:[\w.*/+ -]+,\s*)*[\w.*/+ -]*)\s*[\])]"
# What may stand between: "(Tensor): of shape", but no other words, as in "x < 0 (Mächler, 2012)".
_BEFORE = r"(?i:(^|.*\b(shaped?|sized?|dims|dimensions|tensor)\b\S*( of)?)[\s:=,#`]*$)"


class Sizes:
    """The size of each symbol: what the code itself has under that name, or one of its own."""

    def __init__(self, module: nn.Module | None, known: dict[str, int]) -> None:
        self._module = module
        self._known = known
        self._taken: dict[str, int] = {}

    def of(self, dim: str) -> int:
        """The size of a dimension as written: `5`, `B`, `H*W`, `in_features`.

        Raises:
            ValueError: it is no size.
        """
        try:
            value = self._evaluated(ast.parse(dim.strip(), mode="eval").body)
        except SyntaxError:
            raise ValueError(dim) from None
        if not 0 < value <= 4096:
            raise ValueError(dim)
        return value

    def _evaluated(self, node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int() as number):
                return number
            case ast.Name(id=name):
                return self._symbol(name)
            case ast.Attribute(attr=name):
                return self._symbol(name)
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self._evaluated(left), self._evaluated(right)
                match op:
                    case ast.Mult():
                        return a * b
                    case ast.Add():
                        return a + b
                    case ast.Sub():
                        return a - b
                    case ast.Div() | ast.FloorDiv() if b:
                        return a // b
        raise ValueError(ast.unparse(node))

    def _symbol(self, name: str) -> int:
        own = getattr(self._module, name, None) if self._module is not None else None
        for value in (self._known.get(name), own):
            if type(value) is int and 1 < value <= 4096:
                return value
        lowered = name.lower()
        if lowered not in self._taken:
            choices = [_SIZES[lowered]] if lowered in _SIZES else []
            used = self._taken.values()
            self._taken[lowered] = next((s for s in (*choices, *_FRESH) if s not in used), 8)
        return self._taken[lowered]


def shapes(
    function: Any, parameters: Sequence[inspect.Parameter], module: nn.Module | None, sizes: Sizes
) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter that one is written for."""
    texts = [inspect.getdoc(function) or "", _source(function)]
    if module is not None:
        texts.append(type(module).__doc__ or "")
    found: dict[str, tuple[int, ...]] = {}
    for parameter in parameters:
        for dims in _written(parameter, texts):
            try:
                found[parameter.name] = tuple(sizes.of(dim) for dim in dims)
                break
            except ValueError:
                continue
    return found


def _source(function: Any) -> str:
    """The lines from `def` to the body, with their comments; the docstring is read by itself."""
    try:
        lines = inspect.getsource(inspect.unwrap(function)).splitlines()
    except (OSError, TypeError):
        return ""
    end = next((i for i, line in enumerate(lines) if re.search(r":\s*(#.*)?$", line)), 0)
    return "\n".join(line for line in lines[: end + 3] if "#" in line)


def _written(parameter: inspect.Parameter, texts: list[str]) -> Iterator[list[str]]:
    """The dimensions written for a parameter, the surest place first."""
    annotation = str(parameter.annotation)
    jaxtyping = re.search(
        r"""\[\s*[\w.]*(?:Tensor|Array)\s*,\s*["']([^"']*)["']\s*\]""", annotation
    )
    if jaxtyping:
        yield jaxtyping[1].split()
    # Other names may follow before the colon, as in "q, k, v: (B, T, D)".
    names = rf"(?<![\w.]){re.escape(parameter.name)}(?!\w)(?:[ \t]*,[ \t]*\w+)*"
    for text in texts:
        for line in re.finditer(rf"{names}\W[^\n;]*", text):
            rest = re.sub(r"^(\s*,\s*\w+)+(?=\W*:)", "", line[0][len(parameter.name) :])
            for bracket in re.finditer(_SHAPE, rest):
                if not re.search(_BEFORE, rest[: bracket.start()]):
                    continue
                dims = [dim.strip() for dim in bracket[1].split(",")]
                dims = dims[:-1] if len(dims) > 1 and not dims[-1] else dims
                if dims != [""] and not any(d in _NOT_SIZES for d in dims):
                    yield dims


_NOT_SIZES = ("...", "optional", "default", "Tensor", "torch.Tensor", "int", "float", "bool", "str")
