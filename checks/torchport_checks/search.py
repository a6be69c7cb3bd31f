"""Counterexample search: inputs of the same shapes for which a port is wrong although all draws agree.

A small evolutionary search. It knows three things: values at which functions have edges, the numbers
that stand in both files (branches are taken at them), and how far the two sides were apart on each
input tried so far; it goes on from those with the largest error.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from torchport_checks.draws import Case, with_tensors
from torchport_checks.judging import Judged, finite, judge
from torchport_checks.lanes import Lane
from torchport_checks.subject import Form, Subject
from torchport_checks.worker.inputs import Call, rounded
from torchport_checks.worker.protocol import Array

_BATCH = 16
_PARENTS = 8
# Zeros of both signs, integers and halves (rounding), where exp and sigmoid leave float32, where one
# more is lost beside 1 (2**-24), and numbers whose square overflows or vanishes.
_EDGES = (
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 2.0, -2.0, 3.0, 6.0, 20.0, -20.0, 88.0, -88.0, 104.0,
    -104.0, 2.0**-24, -(2.0**-24), 1e-12, 1e4, -1e4, 1e18, 1e20, 1e-20,
)  # fmt: skip
_MOST_NUMBERS = 64

Values = NDArray[np.float64]
Step = Callable[[Values, np.random.Generator, Values], Values]
"""Changes a tensor's values; the last argument holds the interesting ones."""


@dataclass(frozen=True)
class Found:
    """The outcome of a search: how many inputs were tried, and the first with which both differ."""

    tried: int
    case: Case | None = None
    judged: Judged | None = None


def search(subject: Subject, port: Lane, form: Form, texts: Sequence[bytes], tries: int) -> Found:
    """Try up to `tries` inputs. `texts` are source and port, for the numbers that stand in them.

    Raises:
        LaneFailure: a lane does not answer.
    """
    rng = np.random.default_rng([subject.options.seed, 0x5EA2C4])
    interesting = _interesting(texts)
    parents: list[tuple[float, Call]] = [(0.0, subject.call)]
    tried = 0
    while tried < tries:
        count = min(_BATCH, tries - tried)
        # The best is drawn most often: its rank is half-normal.
        ranks = [int(abs(rank)) for rank in rng.normal(0, len(parents) / 2, count)]
        chosen = [parents[min(rank, len(parents) - 1)][1] for rank in ranks]
        calls = [_changed(call, rng, interesting) for call in chosen]
        cases = [Case(f"searched {tried + n}", call) for n, call in enumerate(calls)]
        expected, actual = subject.run(port, form, cases)
        tried += count
        for case, theirs, ours in zip(cases, expected, actual, strict=True):
            if theirs["error"] is not None or theirs["random"] or ours["error"] is not None:
                continue
            if not finite(theirs["output"]):
                continue  # overflow depends on the order of operations, which is nobody's fault
            judged = judge(subject, case, theirs, ours)
            if judged.wrong:
                return Found(tried, case, judged)
            error = max(judged.comparison.largest.ulp, judged.gradients.largest.ulp)
            parents.append((error, case.call))
        parents = sorted(parents, key=lambda parent: -parent[0])[:_PARENTS]
    return Found(tried)


def _interesting(texts: Sequence[bytes]) -> Values:
    """Edge values, and each number of both files with its negative and its neighbours."""
    numbers: dict[float, None] = {}
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                numbers[float(str(node.value))] = None
    found = [*_EDGES]
    for number in list(numbers)[:_MOST_NUMBERS]:
        near = np.float32(number)
        found += [number, -number, number + 1, number - 1]
        found += [float(np.nextafter(near, np.float32(side))) for side in (-np.inf, np.inf)]
    values = np.array(found)
    return values[np.isfinite(values)]


def _changed(call: Call, rng: np.random.Generator, interesting: Values) -> Call:
    """`call` with one to three changes to each of some of its tensors."""

    def change(array: Array, bounds: tuple[float, float] | None) -> Array:
        values = array.value
        if values.size == 0 or values.dtype.kind == "c" or rng.random() < 0.3:
            return array
        if values.dtype.kind == "b":
            flipped = rng.random(values.shape) < rng.choice([0.1, 0.5, 1.0])
            return Array(array.dtype, values ^ flipped)
        if values.dtype.kind in "iu":
            # What no bounds are known for may be indices: their own range is what torch accepts.
            low, high = bounds or (float(values.min()), float(values.max()))
            drawn = rng.integers(int(low), int(high), values.shape, endpoint=True)
            kept = rng.random(values.shape) < 0.5
            return Array(array.dtype, np.where(kept, values, drawn).astype(values.dtype))
        wide = values.astype(np.float64)
        for _ in range(rng.integers(1, 4)):
            step = _STEPS[rng.integers(len(_STEPS))]
            wide = step(wide, rng, interesting)
        if bounds is not None:
            wide = np.clip(wide, *bounds)
        limit = float(np.finfo(values.dtype).max) if array.dtype != "float16" else 65504.0
        return Array(array.dtype, rounded(np.clip(wide, -limit, limit), array.dtype))

    return with_tensors(call, change)


def _some_edges(values: Values, rng: np.random.Generator, interesting: Values) -> Values:
    chosen = rng.random(values.shape) < rng.choice([0.05, 0.3, 1.0])
    return np.where(chosen, rng.choice(interesting, values.shape), values)


def _one_edge(values: Values, rng: np.random.Generator, interesting: Values) -> Values:
    changed = values.copy()
    changed.reshape(-1)[rng.integers(values.size)] = rng.choice(interesting)
    return changed


def _constant(values: Values, rng: np.random.Generator, interesting: Values) -> Values:
    return np.full(values.shape, rng.choice(interesting))


def _scaled(values: Values, rng: np.random.Generator, interesting: Values) -> Values:
    return values * 10.0 ** rng.integers(-6, 7)


def _shifted(values: Values, rng: np.random.Generator, interesting: Values) -> Values:
    return values + rng.choice(interesting)


def _tied(values: Values, rng: np.random.Generator, interesting: Values) -> Values:
    return np.round(values * 2) / 2


def _repeated(values: Values, rng: np.random.Generator, interesting: Values) -> Values:
    """One slice along an axis in the place of another."""
    if values.ndim == 0:
        return values
    axis = int(rng.integers(values.ndim))
    order = list(range(values.shape[axis]))
    order[int(rng.integers(len(order)))] = int(rng.integers(len(order)))
    return np.take(values, order, axis)


def _fresh(values: Values, rng: np.random.Generator, interesting: Values) -> Values:
    return rng.standard_normal(values.shape)


_STEPS: tuple[Step, ...] = (
    _some_edges, _one_edge, _constant, _scaled, _shifted, _tied, _repeated, _fresh
)  # fmt: skip
