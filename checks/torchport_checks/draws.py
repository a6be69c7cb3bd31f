"""Draws: the values that a definition is run with, beyond those that it came with.

One standard-normal draw is not a test. A draw takes the call that is known to run and gives its
tensors other values, sizes or dtypes; what torch does not accept is not held against the port.
Which tensors a draw changes depends on what they are:

- floats that look like labels, masks or probabilities keep their values, integers that are repeated
  or resized stay among those that they came with, and what a check comment bounds stays in bounds
  (`out_of_range` excepted);
- a draw that changes no tensor of a call is not run, it would teach nothing.

All is a function of the call and the seed, so that a verdict can be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from torchport_checks.worker.inputs import Call, rounded
from torchport_checks.worker.protocol import Array, leaves, tree_map

SHAPES = ("single", "empty", "equal", "distinct")
"""The draws that change sizes; `sizes.py` makes them, with torch's help."""
HALVES = ("float16", "bfloat16")
FULL = (
    "normal", "wide", "ties", "small", "large", "offset", "zeros", "nan", "inf", "extremes",
    "negative", "duplicates", "out_of_range", "masked", *SHAPES, "strided", *HALVES, "second",
)  # fmt: skip
"""All draws, in the order in which they are judged."""
TIED = {"ties", "zeros", "nan", "extremes", "negative", "duplicates", "masked"}
"""The draws in which elements become equal, or have no order."""

_FEW = np.array([-2.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 2.0])
# What these ask is answered by outputs. Each is compiled by itself, and gradients would double that.
_FORWARD = {"strided", "second", *SHAPES, *HALVES}

Bounds = tuple[float, float] | None
Change = Callable[[Array, Bounds, np.random.Generator], Array]
"""Gives a tensor other values of the same shape, or the tensor itself where the draw does not
concern it."""


@dataclass(frozen=True)
class Case:
    """One run of a definition: with which values, in which mode.

    Attributes:
        cast: the dtype that a module's weights are cast to, or None.
    """

    draw: str
    call: Call
    train: bool = False
    cast: str | None = None

    @property
    def label(self) -> str:
        """For people: `eval, ties`."""
        return f"{'train' if self.train else 'eval'}, {self.draw}"

    @property
    def tied(self) -> bool:
        """Whether elements may be equal, or have no order; a searched input may be anything."""
        return self.draw in TIED or self.draw.startswith("searched")

    @property
    def gradients(self) -> bool:
        """Whether gradients are run, where the result has any."""
        return self.draw not in _FORWARD

    def wire(self) -> dict[str, Any]:
        """The call as it travels."""
        return {
            "args": self.call.args,
            "kwargs": self.call.kwargs,
            "gradients": self.gradients,
            "times": 2 if self.draw == "second" else 1,
            "cast": self.cast,
            "strided": self.draw == "strided",
        }


def redraw(kind: str, call: Call, seed: int) -> Call:
    """`call` with its tensors drawn anew as the draw `kind` does it.

    It is `call` itself where the draw changes none of its tensors.
    """
    change = _CHANGES.get(kind)
    if change is None:
        return call
    rng = np.random.default_rng([seed, sum(kind.encode())])
    changed: list[bool] = []

    def each(array: Array, bounds: Bounds) -> Array:
        if kind in _OF_ONE and any(changed):
            return array
        if array.value.size == 0 or (array.inexact and kind not in _OF_MASKS and is_label(array)):
            return array
        drawn = change(array, bounds, rng)
        changed.append(drawn is not array)
        return drawn

    drawn = with_tensors(call, each)
    return drawn if any(changed) else call


def with_tensors(call: Call, change: Callable[[Array, Bounds], Array]) -> Call:
    """`call` with each tensor replaced by what `change` makes of it and of its bounds."""
    paths: Iterator[str] = iter([path for path, _ in leaves([call.args, call.kwargs])])

    def each(leaf: Any) -> Any:
        path = next(paths)
        return change(leaf, call.bounds.get(path)) if isinstance(leaf, Array) else leaf

    args, kwargs = tree_map(each, [call.args, _sorted(call.kwargs)])
    return Call(args, kwargs, call.bounds)


def is_label(array: Array) -> bool:
    """Whether floats look like labels, a mask, or probabilities, which have a meaning to keep."""
    values = array.value
    if not np.all(np.isfinite(values)):
        return True
    if values.size > 4 and np.unique(values.reshape(-1)[:4096]).size <= 2:
        return True
    return is_probability(array)


def is_probability(array: Array) -> bool:
    """Whether the last axis sums to 1, with nothing negative."""
    values = array.value
    if array.value.dtype.kind == "c" or not (values.ndim and values.shape[-1] > 1):
        return False
    return bool(np.all(values >= 0) and np.allclose(values.sum(-1), 1, atol=1e-4))


def _wide(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
    """Scale 3 and offset 1/2."""
    if not array.inexact:
        return array
    if bounds is not None:
        return Array(array.dtype, rounded(rng.uniform(*bounds, array.shape), array.dtype))
    drawn = 3 * rng.standard_normal(array.shape) + 0.5
    return Array(array.dtype, rounded(drawn, array.dtype))


def _ties(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
    """Few values, zeros among them: kinks and boundaries show."""
    if not array.inexact:
        return array
    few = _FEW
    if bounds is not None:
        few = np.array([bounds[0], sum(bounds) / 2, bounds[1]])
    return Array(array.dtype, rounded(rng.choice(few, array.shape), array.dtype))


def _scaled(scale: float, mean: float = 0.0) -> Change:
    """Normal with another scale and mean."""

    def change(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
        if not array.inexact or bounds is not None:
            return array
        drawn = mean + scale * rng.standard_normal(array.shape)
        return Array(array.dtype, rounded(drawn, array.dtype))

    return change


def _zeros(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
    """Floats are zero, and half of the integers: zero divisors, variances and norms of zero."""
    if array.dtype == "bool" or (bounds is not None and not bounds[0] <= 0 <= bounds[1]):
        return array
    if array.inexact:
        return Array(array.dtype, np.zeros_like(array.value))
    return Array(array.dtype, np.where(rng.random(array.shape) < 0.5, 0, array.value))


def _odd(*odd: float) -> Change:
    """A few values that are no numbers, each at a place of its own."""

    def change(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
        if not array.inexact or array.value.dtype.kind == "c" or bounds is not None:
            return array
        values = array.value.copy()
        places = rng.permutation(values.size)[: len(odd)]
        values.reshape(-1)[places] = odd[: len(places)]
        return Array(array.dtype, values)

    return change


def _extremes(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
    """The ends of the dtype. 64-bit integers are left out: JAX holds them in 32 bits by default."""
    if array.inexact or bounds is not None or array.dtype in ("bool", "int64", "uint64"):
        return array
    ends = np.iinfo(array.value.dtype)
    values = [ends.min, ends.max, ends.max - 1, 0, 1, -1 if ends.min else 2]
    return Array(array.dtype, rng.choice(values, array.shape).astype(array.value.dtype))


def _negative(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
    """Integers of both signs, and no zero."""
    if array.value.dtype.kind != "i" or bounds is not None:
        return array
    values = rng.integers(1, 10, array.shape) * rng.choice([-1, 1], array.shape)
    return Array(array.dtype, values.astype(array.value.dtype))


def _duplicates(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
    """Two of the integers that are there, again and again."""
    if array.value.dtype.kind not in "iu":
        return array
    found = np.unique(array.value)
    if found.size < 3:
        return array
    return Array(array.dtype, rng.choice(found[[0, -1]], array.shape))


def _out_of_range(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
    """One integer beyond the largest."""
    if array.value.dtype.kind not in "iu":
        return array
    largest = array.value.max() if bounds is None else int(bounds[1])
    if largest == np.iinfo(array.value.dtype).max:
        return array
    values = array.value.copy()
    values.reshape(-1)[rng.integers(values.size)] = largest + 1
    return Array(array.dtype, values)


def _masked(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
    """Of a mask (booleans, integers 0 and 1, floats that are 0 or -inf): one row that lets nothing
    through, and one that lets everything through."""
    values, kind = array.value, array.value.dtype.kind
    if kind == "b":
        closed, opened = False, True
    elif kind in "iu" and bounds is None and np.array_equal(np.unique(values), [0, 1]):
        closed, opened = 0, 1
    elif kind == "f" and np.array_equal(np.unique(values), [-np.inf, 0]):
        closed, opened = -np.inf, 0
    else:
        return array
    rows = values.copy().reshape(-1, values.shape[-1] if values.ndim else 1)
    rows[0] = closed
    if len(rows) > 1:
        rows[1] = opened
    return Array(array.dtype, rows.reshape(values.shape))


def _cast(dtype: str) -> Change:
    """Single precision becomes half."""

    def change(array: Array, bounds: Bounds, rng: np.random.Generator) -> Array:
        if array.dtype != "float32":
            return array
        return Array(dtype, rounded(array.value, dtype))

    return change


_CHANGES: dict[str, Change] = {
    "wide": _wide,
    "ties": _ties,
    "small": _scaled(1e-3),
    "large": _scaled(1e3),
    "offset": _scaled(1.0, 1e3),
    "zeros": _zeros,
    "nan": _odd(np.nan),
    "inf": _odd(np.inf, -np.inf),
    "extremes": _extremes,
    "negative": _negative,
    "duplicates": _duplicates,
    "out_of_range": _out_of_range,
    "masked": _masked,
    **{dtype: _cast(dtype) for dtype in HALVES},
}
_OF_MASKS = {"masked", *HALVES}
# The first tensor is data; later ones may be weights, which meet the zeros of padding and masks,
# and what 0 * NaN becomes there depends on the kernel.
_OF_ONE = {"nan", "inf"}


def _sorted(value: Any) -> Any:
    """Nested dicts with their keys in the order in which `leaves` visits them."""
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        return {key: _sorted(mapping[key]) for key in sorted(mapping, key=str)}
    return value
