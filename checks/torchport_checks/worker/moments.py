"""How random numbers are distributed, collected over many runs of the same code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .protocol import Array, leaves

CONSTRUCTIONS = 16
"""The most times that a module is constructed for its initial values."""

_FEWEST, _MOST = 8, 2048
_MOST_NUMBERS = 1 << 24


def runs_for(sizes: list[int], least: int, most: int = _MOST) -> int:
    """How many runs give the smallest of some arrays `least` numbers: 8 to `most`, and no more than
    memory allows."""
    wanted = max((-(-least // size) for size in sizes if size), default=_FEWEST)
    affordable = max(2, _MOST_NUMBERS // max(sum(sizes), 1))
    return min(max(wanted, _FEWEST), most, affordable)


def collect(run: Callable[[int], Any], least: int, most: int = _MOST) -> dict[str, dict[str, Any]]:
    """The moments of each array of what `run(number)` returns, as it travels, by path.

    It is run as often as gives the smallest array `least` numbers, see `runs_for`.
    """
    first = _arrays(run(0))
    stacks = {path: [values] for path, values in first.items()}
    for number in range(1, runs_for([values.size for values in first.values()], least, most)):
        for path, values in _arrays(run(number)).items():
            stacks.setdefault(path, []).append(values)
    return {path: moments(np.stack(stack)) for path, stack in stacks.items()}


def _arrays(value: Any) -> dict[str, np.ndarray]:
    return {
        path: leaf.value.astype(np.float64)
        for path, leaf in leaves(value)
        if isinstance(leaf, Array) and leaf.value.dtype.kind in "fiub" and leaf.value.size
    }


def stacked(value: Any) -> dict[str, dict[str, Any]]:
    """The moments of each array of many runs' results, as they travel, the runs along axis 0."""
    return {path: moments(stack) for path, stack in _arrays(value).items()}


def moments(stack: np.ndarray) -> dict[str, Any]:
    """Of numbers with the runs along the first axis.

    `variance` and `fourth` are central moments around each element's own mean over the runs, so that
    what is not random adds nothing to them.
    """
    means = stack.mean(0)
    runs = len(stack)
    # Around a mean of few runs the residuals are too small by this factor.
    residuals = (stack - means) * np.sqrt(runs / max(runs - 1, 1))
    return {
        "runs": runs,
        "count": stack.size,
        "mean": float(means.mean()),
        "means": Array("float64", means),
        "variance": float(np.mean(residuals**2)),
        "fourth": float(np.mean(residuals**4)),
        "zeros": float(np.mean(stack == 0)),
    }
