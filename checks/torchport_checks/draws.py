"""Draws: the values that a definition is run with, beyond those that it came with.

One standard-normal draw is not a test. A draw takes the call that is known to run and gives its
tensors other values; what torch rejects is not held against the port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from torchport_checks.worker.inputs import Call, rounded
from torchport_checks.worker.protocol import Array, leaves, tree_map

_FEW = np.array([-2.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 2.0])

Change = Callable[[Array, "tuple[float, float] | None", np.random.Generator], Array]
"""Gives a tensor other values of the same shape and dtype, within its bounds where it has some."""


@dataclass(frozen=True)
class Case:
    """One run of a definition: with which values, in which mode."""

    draw: str
    call: Call
    train: bool = False

    @property
    def label(self) -> str:
        """For people: `eval, ties`."""
        return f"{'train' if self.train else 'eval'}, {self.draw}"

    def wire(self) -> dict[str, Any]:
        """The call as it travels."""
        return {"args": self.call.args, "kwargs": self.call.kwargs}


def redraw(kind: str, call: Call, seed: int) -> Call:
    """`call` with its tensors drawn anew as the draw `kind` does it.

    Tensors that look like labels or probabilities keep their values.
    """
    change = _CHANGES.get(kind)
    if change is None:
        return call
    rng = np.random.default_rng([seed, sum(kind.encode())])

    def keeping(array: Array, bounds: tuple[float, float] | None) -> Array:
        if not array.inexact or array.value.size == 0 or _is_label(array.value):
            return array
        return change(array, bounds, rng)

    return with_tensors(call, keeping)


def with_tensors(call: Call, change: Callable[[Array, tuple[float, float] | None], Array]) -> Call:
    """`call` with each tensor replaced by what `change` makes of it and of its bounds."""
    paths: Iterator[str] = iter([path for path, _ in leaves([call.args, call.kwargs])])

    def each(leaf: Any) -> Any:
        path = next(paths)
        return change(leaf, call.bounds.get(path)) if isinstance(leaf, Array) else leaf

    args, kwargs = tree_map(each, [call.args, _sorted(call.kwargs)])
    return Call(args, kwargs, call.bounds)


def _wide(array: Array, bounds: tuple[float, float] | None, rng: np.random.Generator) -> Array:
    """Scale 3 and offset 1/2."""
    if bounds is not None:
        return Array(array.dtype, rounded(rng.uniform(*bounds, array.shape), array.dtype))
    drawn = 3 * rng.standard_normal(array.shape) + 0.5
    return Array(array.dtype, rounded(drawn, array.dtype))


def _ties(array: Array, bounds: tuple[float, float] | None, rng: np.random.Generator) -> Array:
    """Few values, zeros among them: kinks and boundaries show."""
    few = _FEW
    if bounds is not None:
        few = np.array([bounds[0], sum(bounds) / 2, bounds[1]])
    return Array(array.dtype, rounded(rng.choice(few, array.shape), array.dtype))


_CHANGES: dict[str, Change] = {"wide": _wide, "ties": _ties}


def _sorted(value: Any) -> Any:
    """Nested dicts with their keys in the order in which `leaves` visits them."""
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        return {key: _sorted(mapping[key]) for key in sorted(mapping, key=str)}
    return value


def _is_label(values: NDArray[Any]) -> bool:
    """Whether values look like labels, a mask, or probabilities, which have a meaning to keep."""
    if not np.all(np.isfinite(values)):
        return True
    if values.size > 4 and np.unique(values.reshape(-1)[:4096]).size <= 2:
        return True
    if values.ndim and values.shape[-1] > 1 and np.all(values >= 0):
        return bool(np.allclose(values.sum(-1), 1, atol=1e-4))
    return False
