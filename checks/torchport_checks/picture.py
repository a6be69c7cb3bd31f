"""Where and how far two arrays differ, small enough to store and to draw. Numpy only, no state."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchport_checks.verdicts import Picture

CELLS = 32
"""Rows and columns of the map, at most."""
LOG2_ULP = (-1, 64)
"""Where the histogram begins and ends; its first and last bin hold what lies beyond, too."""
_MOST = 2**16  # elements looked at; with more than these, every n-th

Reals = NDArray[np.floating[Any]] | NDArray[np.integer[Any]] | NDArray[np.bool_]


def picture(torch: Reals, port: Reals, eps: float = 2.0**-23, tiny: float = 2.0**-126) -> Picture:
    """The error of `port` against `torch`, two real arrays of one shape.

    Costs one pass over the arrays, and the rest only for what differs (at most 2^16 elements of it,
    evenly taken).

    Args:
        eps: spacing at 1 of the format that the values were computed in.
        tiny: its smallest normal number. Integers and booleans have a spacing of 1.
    """
    same = torch == port
    if torch.dtype.kind == "f":
        same |= np.isnan(torch) & np.isnan(port)
    differ = np.flatnonzero(~same)
    step = -(-differ.size // _MOST) or 1
    places = differ[::step]
    theirs = torch.ravel()[places].astype(np.float64)
    ours = port.ravel()[places].astype(np.float64)
    finite = np.isfinite(theirs) & np.isfinite(ours)
    error = np.full(places.shape, np.inf)
    with np.errstate(over="ignore"):
        error[finite] = np.abs(ours[finite] - theirs[finite])
    first, counts = _histogram(
        error, theirs, finite, (eps, tiny) if torch.dtype.kind == "f" else None
    )
    axes = _shown_axes(torch.shape)
    return Picture(
        shape=torch.shape,
        equal=int(torch.size - differ.size),
        nonfinite=int((~finite).sum()),
        every=step,
        first_bin=first,
        counts=tuple(counts),
        axes=axes,
        heat=_heat(_logarithm(error, theirs, torch, port), places, torch.shape, axes),
    )


def _histogram(
    error: NDArray[np.float64],
    theirs: NDArray[np.float64],
    finite: NDArray[np.bool_],
    form: tuple[float, float] | None,
) -> tuple[int, list[int]]:
    """The first bin that holds something, as log2 of its lower edge, and what each holds from there."""
    if not finite.any():
        return 0, []
    distance, magnitude = error[finite], np.abs(theirs[finite])
    low, high = LOG2_ULP
    _, bits = np.frexp(distance)  # distance = m * 2^bits, with m in [0.5, 1)
    if form is not None:
        eps, tiny = form
        _, exponent = np.frexp(np.maximum(magnitude, tiny))
        _, bits = np.frexp(distance / np.ldexp(eps, exponent - 1))
    bins = np.clip(bits.astype(np.int64) - 1, low, high - 1) - low
    counts = np.bincount(bins)
    first = int(np.argmax(counts > 0))
    return first + low, [int(number) for number in counts[first:]]


def _logarithm(
    error: NDArray[np.float64], theirs: NDArray[np.float64], torch: Reals, port: Reals
) -> NDArray[np.float64]:
    """log10 of the error relative to torch's value or, if larger, its root mean square.

    Where torch's values are all 0, the port's take their place.
    """
    typical = _root_mean_square(torch) or _root_mean_square(port) or 1.0
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        scale = np.maximum(np.abs(theirs), typical)
        relative = np.where(np.isfinite(scale), error / scale, np.inf)
        return np.log10(relative)


def _root_mean_square(values: Reals) -> float:
    flat = values.ravel()
    sample = np.abs(flat[:: -(-flat.size // _MOST) or 1].astype(np.float64))
    sample = sample[np.isfinite(sample)]
    largest = float(sample.max(initial=0.0))
    return largest * float(np.sqrt(np.mean(np.square(sample / largest)))) if largest else 0.0


def _shown_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The two largest axes, the later ones where they are equal; fewer where there are none."""
    longest = sorted(range(len(shape)), key=lambda axis: (shape[axis], axis))[-2:]
    return tuple(sorted(axis for axis in longest if shape[axis] > 1))


def _heat(
    logarithm: NDArray[np.float64],
    places: NDArray[np.intp],
    shape: tuple[int, ...],
    axes: tuple[int, ...],
) -> tuple[tuple[float | None, ...], ...]:
    """The largest of `logarithm` in each cell; one row where only one axis is shown."""
    if not places.size:
        return ()
    indices = np.unravel_index(places, shape or (1,))
    sizes = [shape[axis] for axis in axes]
    cells = [min(CELLS, size) for size in sizes]
    position = np.zeros(places.shape, np.intp)
    for axis, size, number in zip(axes, sizes, cells, strict=True):
        position = position * number + indices[axis] * number // size
    columns = cells[-1] if cells else 1
    rows = cells[0] if len(cells) == 2 else 1
    heat = np.full(rows * columns, np.nan)
    np.fmax.at(heat, position, logarithm)
    grid = np.round(heat, 2).astype(object)
    grid[np.isnan(heat)] = None
    return tuple(map(tuple, grid.reshape(rows, columns).tolist()))
