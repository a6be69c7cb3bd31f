"""The smallest input with which a port still fails in the same way.

Simplification as Hypothesis does it: candidates that are simpler than the best so far are run, and
the first that fails like the case did is kept, until no pass finds a simpler one. Simpler is, in this
order: fewer arguments, axes, elements, numbers that are not zero, and rounder numbers. Like the case
fails what differs in the same place and by the same category, judged against float64 as every case
is, so that no honest rounding becomes the example.

The original runs first, by itself: it rejects sizes that do not agree at almost no cost. What is
left runs in the port, compiled whole, which is three to five times quicker for a new shape in JAX
than operation by operation; so what is dear is a new shape, and values are cheap.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from torchport_checks.draws import Case
from torchport_checks.judging import judge
from torchport_checks.lanes import Lane, LaneFailure, RemoteError
from torchport_checks.subject import Form, Outcome, Subject, Unchecked
from torchport_checks.variants import UNTRACEABLE
from torchport_checks.verdicts import Category, Difference, Inputs, InputUsed, Smallest
from torchport_checks.worker.inputs import Call, describe, rounded
from torchport_checks.worker.protocol import Array, Record, leaves, tree_map

_MAX_RUNS = 2000
_BATCH = 16
_BATCH_SECONDS = 1.0
_WINDOWS = (0.0, 1.0, 1 / 3, 2 / 3)
_JOINT_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
_MAX_PIECES = 64
_SHOWN = 16
_ROUNDED = 4096
"""Elements of a tensor whose numbers are made rounder."""
_LEAST_TIMEOUT = 20.0
_SHAPES = 0.6

Axes = frozenset[tuple[str, int]]
"""Axes that are cut together, each by its tensor's path and its number."""
Change = Callable[[NDArray[Any]], NDArray[Any]]
_TENSOR = re.compile(r"\b(?:bool|(?:bf|[cfiu])\d+)\[")
"""A tensor in a text that holds only its dtype and shape."""


class _Spent(Exception):
    """The time or the runs are used up."""


@dataclass(frozen=True)
class Shrunk:
    """The smallest failing case that was found: the form of the port it fails in, and its words."""

    case: Case
    form: Form
    smallest: Smallest


def shrink(
    subject: Subject, port: Lane, form: Form, case: Case, difference: Difference, seconds: float
) -> Shrunk:
    """The simplest case that fails as `case` does with `difference`; at worst `case` itself.

    Never raises. Where a candidate makes a lane fail, the search ends with what it has, and the
    lane's process is another one, which has to load the files.

    Args:
        form: in which the port failed.
        seconds: after which no further candidate is begun.
    """
    start = time.monotonic()
    search = _Search(subject, port, form, case, difference, start + seconds)
    search.run()
    call, found = search.best, search.difference
    label = f"{'train' if case.train else 'eval'}, smallest"
    shown = call.named(subject.parameters[: len(call.args)])
    smallest = Smallest(
        inputs=[used(name, value) for name, value in shown],
        python=_python(subject, shown),
        difference=found.model_copy(update={"case": label if search.reduced else found.case}),
        runs=search.runs,
        seconds=time.monotonic() - start,
    )
    if search.reduced:
        case, form = search.case_of(call), search.form
    return Shrunk(case, form, smallest)


def shrink_first(
    subject: Subject,
    ports: Sequence[Lane],
    form: Form,
    cases: Sequence[Case],
    differences: Sequence[Difference],
    keep: Callable[[Subject, Lane, Shrunk], str] | None,
) -> Smallest | None:
    """The smallest input for the first of a definition's differences that is no rounding.

    Args:
        form: in which the first of `ports` ran all cases; others ran some, and their differences
            name device and form after the case.
        keep: keeps it to be run again, and returns the command for that.
    """
    options = subject.options
    wrong = [d for d in differences if d.category is not Category.ILL_CONDITIONED]
    if not wrong or not options.shrink_seconds or subject.large:
        return None
    for lane, ran, case, label in _runs(ports, options.forms, form, cases):
        if label == wrong[0].case:
            shrunk = shrink(subject, lane, ran, case, wrong[0], options.shrink_seconds)
            replay = keep(subject, lane, shrunk) if keep is not None else ""
            return shrunk.smallest.model_copy(update={"replay": replay})
    return None


def _runs(
    ports: Sequence[Lane], forms: Sequence[Form], form: Form, cases: Sequence[Case]
) -> Iterator[tuple[Lane, Form, Case, str]]:
    """What may have been run, with the words for it in a difference."""
    for case in cases:
        yield ports[0], form, case, case.label
    for lane, other, case in itertools.product(ports, forms, cases):
        yield lane, other, case, f"{case.label}, {other} on {lane.device}"


class _Search:
    """The best call so far, and the passes that look for a simpler one."""

    def __init__(
        self,
        subject: Subject,
        port: Lane,
        form: Form,
        case: Case,
        difference: Difference,
        deadline: float,
    ) -> None:
        self.port, self.case, self.deadline = port, case, deadline
        now = time.monotonic()
        # New shapes are dear: they leave some of the time to round values, which is cheap.
        self.limit = now + _SHAPES * (deadline - now)
        self.gradients = difference.where.startswith("gradient")
        # A view of the subject: a candidate that hangs may not cost the time of a whole check.
        self.subject = copy.copy(subject)
        timeout = min(subject.options.timeout, max(4 * (deadline - now), _LEAST_TIMEOUT))
        self.subject.options = subject.options.model_copy(
            update={"timeout": timeout, "gradients": self.gradients}
        )
        self.form: Form = "eager" if form == "eager" else "compiled"
        self.best, self.difference, self.reduced = case.call, difference, False
        self.simplicity = _simplicity(case.call)
        self.finite = difference.category is not Category.NAN or _kind(difference.torch) == "number"
        self.runs = 0
        self.batch = _BATCH
        self._seen: set[bytes] = set()

    def run(self) -> None:
        """All passes, until none finds anything or the budget is spent."""
        with contextlib.suppress(_Spent, LaneFailure, RemoteError, Unchecked):
            with contextlib.suppress(_Spent):
                self._shapes()
            self.limit = self.deadline
            while True:
                before = self.simplicity
                self._values()
                self._plain_numbers()
                self._shapes()
                if self.simplicity == before:
                    return

    def _shapes(self) -> None:
        self._lists()
        self._sizes()
        self._axes()

    # Running candidates.

    def first(self, candidates: Iterable[Call]) -> bool:
        """Keep the first candidate that fails; whether there was one."""
        for call, difference in self._failures(candidates):
            self._keep(call, difference)
            return True
        return False

    def _keep(self, call: Call, difference: Difference) -> None:
        self.best, self.difference, self.reduced = call, difference, True
        self.simplicity = _simplicity(call)

    def _failures(self, candidates: Iterable[Call]) -> Iterator[tuple[Call, Difference]]:
        """The candidates that are simpler and fail, in order, each with how it does."""
        fresh = (call for call in candidates if self._is_new(call))
        # Lazily: what comes first is small, and what comes last need often not be run.
        for _, same in itertools.groupby(fresh, key=_signature):
            while batch := [self.case_of(call) for call in itertools.islice(same, self.batch)]:
                ran = zip(batch, self._original(batch), strict=True)
                counted = [(case, theirs) for case, theirs in ran if self._counts(theirs)]
                ours = self._ported([case for case, _ in counted]) if counted else []
                for (case, theirs), outcome in zip(counted, ours, strict=True):
                    if (difference := self._failure(case, theirs, outcome)) is not None:
                        yield case.call, difference

    def _is_new(self, call: Call) -> bool:
        digest = hashlib.sha256(repr(_signature(call)).encode())
        for _, leaf in leaves([call.args, call.kwargs]):
            if isinstance(leaf, Array):
                digest.update(np.ascontiguousarray(leaf.value).tobytes())
        known = digest.digest()
        if known in self._seen or not _simplicity(call) < self.simplicity:
            return False
        self._seen.add(known)
        return True

    def case_of(self, call: Call) -> Case:
        """A candidate as a case; equal elements leave open what they do in the draw of ties."""
        return Case(self.case.draw if _distinct(call) else "ties", call, self.case.train)

    def _original(self, cases: Sequence[Case]) -> list[Outcome]:
        if time.monotonic() > self.limit or self.runs + len(cases) > _MAX_RUNS:
            raise _Spent
        self.runs += len(cases)
        start = time.monotonic()
        outcomes = self.subject.submit_source(cases, gradients=self.gradients).result()
        pace = (time.monotonic() - start) / len(cases)
        self.batch = int(np.clip(_BATCH_SECONDS / pace, 1, _BATCH))
        return outcomes

    def _ported(self, cases: Sequence[Case]) -> list[Outcome]:
        if time.monotonic() > self.limit:
            raise _Spent
        ours = self.subject.run_port(self.port, self.form, cases, gradients=self.gradients)
        if self.form == "compiled" and any(
            o["error"] is not None and o["error"]["type"] in UNTRACEABLE for o in ours
        ):
            self.form = "eager"
            ours = self.subject.run_port(self.port, "eager", cases, gradients=self.gradients)
        return ours

    def _counts(self, theirs: Outcome) -> bool:
        """Whether the original runs, and gives numbers where it gave some."""
        if theirs["error"] is not None or theirs["random"]:
            return False
        return not self.finite or all(
            bool(np.isfinite(leaf.value).all())
            for _, leaf in leaves(theirs["output"])
            if isinstance(leaf, Array) and leaf.inexact
        )

    def _failure(self, case: Case, theirs: Outcome, ours: Outcome) -> Difference | None:
        if ours["error"] is not None:
            return None
        for found in judge(self.subject, case, theirs, ours).comparison.differences:
            wanted = self.difference
            if (
                found.category is wanted.category
                and found.where == wanted.where
                and (_kind(found.torch), _kind(found.port))
                == (_kind(wanted.torch), _kind(wanted.port))
            ):
                return found
        return None

    # Passes.

    def _lists(self) -> None:
        """Lists and tuples with fewer items."""
        for path, length in _sequences([self.best.args, self.best.kwargs]):
            if any(bounded.startswith(path) for bounded in self.best.bounds):
                continue
            half = length // 2
            kept = [range(1), range(half), range(half, length)]
            kept += [[i for i in range(length) if i != out] for out in range(length)]
            wanted = [list(items) for items in kept if 0 < len(items) < length]
            if self.first(_replaced(self.best, {path: _Items(items)}) for items in wanted):
                return self._lists()
        return None

    def _sizes(self) -> None:
        """Axes cut to fewer elements: all that torch lets go at once, then each."""
        free = self._free()
        sizes = {axes: self._size(axes) for axes, _ in free}
        joint: list[Call] = []
        for size in _JOINT_SIZES:
            cuts = {axes: min(sizes[axes], max(size, least)) for axes, least in free}
            if any(cuts[axes] < sizes[axes] for axes in cuts):
                joint += [self._cut(cuts, window) for window in _WINDOWS]
        self.first(joint)
        for axes in [*_groups(self.best), *_single(self.best)]:
            while (size := self._size(axes)) > 1 and self.first(
                self._cut({axes: smaller}, window)
                for smaller in sorted({1, 2, 3, 4, size - size // 2, size - 1})
                if smaller < size
                for window in _WINDOWS
            ):
                pass

    def _free(self) -> list[tuple[Axes, int]]:
        """The axes that the original lets go, those of one size together, and their least size."""
        free: list[tuple[Axes, int]] = []
        for group in _groups(self.best):
            if (least := self._least(group)) is not None:
                free.append((group, least))
            elif len(group) > 1:
                each = [(frozenset({axis}), self._least(frozenset({axis}))) for axis in group]
                free += [(axes, least) for axes, least in each if least is not None]
        return free

    def _least(self, axes: Axes) -> int | None:
        size = self._size(axes)
        sizes = sorted({1, 2, 3, size - size // 2, size - 1} & set(range(1, size)))
        for least in sizes:
            (outcome,) = self._original([self.case_of(self._cut({axes: least}, 0.0))])
            if outcome["error"] is None:
                return least
        return None

    def _size(self, axes: Axes) -> int:
        tensors = _tensors(self.best)
        return min((tensors[path].shape[axis] for path, axis in axes), default=1)

    def _cut(self, sizes: dict[Axes, int], window: float) -> Call:
        """The best call with axes cut to sizes, beginning after the share `window` of the rest."""
        tensors = _tensors(self.best)
        for axes, size in sizes.items():
            for path, axis in axes:
                array = tensors[path]
                start = round(window * (array.shape[axis] - size))
                kept = (slice(None),) * axis + (slice(start, start + size),)
                tensors[path] = Array(array.dtype, array.value[kept])
        return _replaced(self.best, tensors)

    def _axes(self) -> None:
        """Axes of size 1 left out, of functions, which do not say how many there are."""
        if self.subject.definition.kind == "module":
            return
        alike: dict[tuple[int, int], list[tuple[str, int]]] = {}
        for path, array in _tensors(self.best).items():
            for axis, size in enumerate(array.shape):
                if size == 1:
                    alike.setdefault((len(array.shape), axis), []).append((path, axis))
        groups = [*alike.values(), *([axis] for group in alike.values() for axis in group)]
        candidates: list[Call] = []
        for group in groups:
            tensors = _tensors(self.best)
            dropped = {
                path: Array(tensors[path].dtype, np.squeeze(tensors[path].value, axis))
                for path, axis in group
            }
            candidates.append(_replaced(self.best, dropped))
        if self.first(candidates):
            self._axes()

    def _values(self) -> None:
        """Zeros, a single one, then rounder numbers."""
        paths = [path for path, array in _tensors(self.best).items() if array.value.size]
        alls = [dict.fromkeys(paths, number) for number in (0, 1)]
        alls += [{path: number} for path in paths for number in (0, 1)]
        self.first(
            self._changed({path: _constant(number) for path, number in each.items()})
            for each in alls
        )
        for path in paths:
            size = _tensors(self.best)[path].value.size
            if 1 < size <= _MAX_PIECES:
                self.first(self._changed({path: _only(i, 1)}) for i in range(size))
                self.first(self._changed({path: _only(i, None)}) for i in range(size))
            self._clear(path)
            self.first(self._changed({path: change}) for change in _ROUNDINGS)
            values = _tensors(self.best)[path].value.reshape(-1)
            odd = [i for i in range(values.size) if _cost(values[i : i + 1]) > 1]
            if len(odd) <= _SHOWN:
                for i in odd:
                    self.first(self._changed({path: _at(i, change)}) for change in _SIMPLER)

    def _clear(self, path: str) -> None:
        """Delta debugging: ever smaller pieces of what is not zero made zero."""
        size = int(np.count_nonzero(_tensors(self.best)[path].value))
        while size:
            live = np.flatnonzero(_tensors(self.best)[path].value)
            pieces = [live[i : i + size] for i in range(0, len(live), size)]
            if len(pieces) > _MAX_PIECES:
                return
            candidates = [self._changed({path: _zeroed(piece)}) for piece in pieces]
            failing = list(self._failures(candidates))
            if len(failing) > 1:
                calls = [call for call, _ in failing]
                spared = [p for p, c in zip(pieces, candidates, strict=True) if c in calls]
                if not self.first([self._changed({path: _zeroed(np.concatenate(spared))})]):
                    self._keep(*failing[0])
            elif failing:
                self._keep(*failing[0])
            size //= 2

    def _plain_numbers(self) -> None:
        """Python numbers toward zero."""
        for path, leaf in list(leaves([self.best.args, self.best.kwargs])):
            if type(leaf) is int:
                nearer = [leaf // 2, leaf - 1] if leaf > 0 else [-(-leaf // 2), leaf + 1]
                simpler: list[Any] = [0, 1, -1, 2, *nearer]
            elif type(leaf) is float:
                simpler = [0.0, 1.0, -1.0, float(np.rint(leaf)) if np.isfinite(leaf) else 2.0]
            else:
                continue
            while self.first(_replaced(self.best, {path: number}) for number in simpler):
                pass

    def _changed(self, changes: dict[str, Change]) -> Call:
        """The best call with tensors changed, within their bounds and their dtype."""
        changed: dict[str, Array] = {}
        tensors = _tensors(self.best)
        for path, change in changes.items():
            array = tensors[path]
            changed[path] = _legal(array, change(array.value), self.best.bounds.get(path))
        return _replaced(self.best, changed)


# Changes of values.


def _constant(number: int) -> Change:
    return lambda values: np.full_like(values, number)


def _only(index: int, number: int | None) -> Change:
    """Zeros but for one element: `number`, or what it is."""

    def change(values: NDArray[Any]) -> NDArray[Any]:
        found = np.zeros_like(values).reshape(-1)
        found[index] = values.reshape(-1)[index] if number is None else number
        return found.reshape(values.shape)

    return change


def _zeroed(indices: NDArray[Any]) -> Change:
    def change(values: NDArray[Any]) -> NDArray[Any]:
        found = np.array(values).reshape(-1)
        found[indices] = 0
        return found.reshape(values.shape)

    return change


def _at(index: int, change: Change) -> Change:
    def one(values: NDArray[Any]) -> NDArray[Any]:
        found = np.array(values).reshape(-1)
        found[index] = change(found[index : index + 1])[0]
        return found.reshape(values.shape)

    return one


def _power_of_two(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "c":
        return values
    wide = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(wide == 0, 0, np.sign(wide) * np.exp2(np.rint(np.log2(np.abs(wide)))))


def _digits(count: int) -> Change:
    def change(values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind != "f":
            return values
        wide = values.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            unit = 10.0 ** (np.floor(np.log10(np.abs(wide))) - count + 1)
            return np.where(np.isfinite(wide) & (wide != 0), np.rint(wide / unit) * unit, wide)

    return change


def _half(values: NDArray[Any]) -> NDArray[Any]:
    return np.trunc(values / 2) if values.dtype.kind in "iuf" else values


def _toward_zero(values: NDArray[Any]) -> NDArray[Any]:
    return values - np.sign(values) if values.dtype.kind in "iu" else values


def _sign(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.dtype.kind in "cb" else np.sign(values)


def _round(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.dtype.kind == "b" else np.rint(values)


_ROUNDINGS: list[Change] = [_sign, _round, _power_of_two, _digits(1), _digits(2), _half]
_SIMPLER: list[Change] = [
    *(_constant(number) for number in (0, 1, -1, 2, -2, 3, -3)),
    _half, _toward_zero, _round, _power_of_two, _digits(1), _digits(2),
]  # fmt: skip


def _legal(array: Array, values: NDArray[Any], bounds: tuple[float, float] | None) -> Array:
    """Values within bounds, in an array's dtype; what does not fit that is left as it was."""
    storage = array.value.dtype
    if bounds is not None:
        values = np.clip(values, *bounds)
    if storage.kind in "iu":
        info = np.iinfo(storage)
        values = np.where((values >= info.min) & (values <= info.max), values, array.value)
    with np.errstate(over="ignore", invalid="ignore"):
        if storage.kind in "fc":
            return Array(array.dtype, rounded(values, array.dtype))
        return Array(array.dtype, np.asarray(values).astype(storage))


# Calls.


@dataclass(frozen=True)
class _Items:
    """In place of a list or tuple: the items that it keeps."""

    kept: list[int]


def _replaced(call: Call, changes: dict[str, Any]) -> Call:
    """`call` with the nodes at some paths replaced."""

    def walk(value: Any, path: str) -> Any:
        change = changes.get(path, value)
        if isinstance(change, _Items):
            return type(value)(value[i] for i in change.kept)
        match change:
            case list() | tuple():
                items = cast("Sequence[Any]", change)
                walked = [walk(item, f"{path}[{i}]") for i, item in enumerate(items)]
                return walked if isinstance(items, list) else tuple(walked)
            case dict():
                mapping = cast("dict[Any, Any]", change)
                return {key: walk(item, f"{path}[{key!r}]") for key, item in mapping.items()}
            case Record():
                fields = {n: walk(item, f"{path}.{n}") for n, item in change.fields.items()}
                return Record(change.name, fields)
            case _:
                return change

    args, kwargs = walk([call.args, call.kwargs], "")
    return Call(args, kwargs, call.bounds)


def _tensors(call: Call) -> dict[str, Array]:
    found = leaves([call.args, call.kwargs])
    return {path: leaf for path, leaf in found if isinstance(leaf, Array)}


def _sequences(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """The path and length of each list or tuple of several items within the arguments."""
    match value:
        case list() | tuple():
            items = cast("Sequence[Any]", value)
            if depth > 1 and len(items) > 1:
                yield path, len(items)
            for index, item in enumerate(items):
                yield from _sequences(item, f"{path}[{index}]", depth + 1)
        case dict():
            for key, item in cast("dict[Any, Any]", value).items():
                yield from _sequences(item, f"{path}[{key!r}]", depth + 1)
        case _:
            pass


def _groups(call: Call) -> list[Axes]:
    """The axes of several elements, those of the same size together."""
    by_size: dict[int, set[tuple[str, int]]] = {}
    for path, axis, size in _all_axes(call):
        by_size.setdefault(size, set()).add((path, axis))
    return [frozenset(axes) for axes in by_size.values()]


def _single(call: Call) -> list[Axes]:
    """Each axis that has the same size as another one, by itself."""
    sizes = [size for _, _, size in _all_axes(call)]
    return [
        frozenset({(path, axis)}) for path, axis, size in _all_axes(call) if sizes.count(size) > 1
    ]


def _all_axes(call: Call) -> list[tuple[str, int, int]]:
    return [
        (path, axis, size)
        for path, array in _tensors(call).items()
        for axis, size in enumerate(array.shape)
        if size > 1
    ]


def _signature(call: Call) -> Any:
    """What a compiled port is compiled for: all but the values of tensors."""
    return tree_map(
        lambda leaf: (leaf.dtype, leaf.shape) if isinstance(leaf, Array) else repr(leaf),
        [call.args, dict(sorted(call.kwargs.items()))],
    )


def _distinct(call: Call) -> bool:
    """Whether no tensor of numbers has two elements of the same size, as in a random draw."""
    inexact = [array.value for array in _tensors(call).values() if array.inexact]
    return all(np.unique(np.abs(values)).size == values.size for values in inexact)


def _simplicity(call: Call) -> tuple[float, ...]:
    """The order of calls, the simplest first."""
    every = [leaf for _, leaf in leaves([call.args, call.kwargs])]
    arrays = [leaf for leaf in every if isinstance(leaf, Array)]
    numbers = [leaf for leaf in every if type(leaf) in (int, float)]
    return (
        len(every),
        sum(len(array.shape) for array in arrays),
        sum(array.value.size for array in arrays),
        sum(int(np.count_nonzero(array.value)) for array in arrays),
        sum(_cost(array.value) for array in arrays) + _cost(np.array(numbers, np.float64)),
    )


def _cost(values: NDArray[Any]) -> float:
    """How far from round numbers are: 0 for zeros, 1 for ones, more with size and digits."""
    if values.size > _ROUNDED:
        return 99.0 * int(np.count_nonzero(values))
    if values.dtype.kind == "c":
        return _cost(np.real(values)) + _cost(np.imag(values))
    single = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    wide = values.astype(np.float64)
    size = np.abs(wide)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.abs(np.log2(np.where(size == 0, 1, size)))
    costs = np.full(wide.shape, 90.0)
    for digits in (2, 1):
        few = _digits(digits)(wide).astype(single) == values
        costs[few] = 40.0 + 10 * digits
    halves = (power == np.rint(power)) & (size < 1)
    costs[halves] = (5 + power)[halves]
    whole = size == np.rint(size)
    costs[whole] = (1 + power)[whole]
    costs[size == 0] = 0
    costs[~np.isfinite(wide)] = 99.0
    return float(costs.sum() + 0.5 * (wide < 0).sum())


def _kind(value: float | str | None) -> str:
    """Of a value in a difference: `nan`, `inf`, `-inf` or `number`; empty where there is none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else "number"


# Words.


def used(name: str, value: Any) -> InputUsed:
    """An argument with its values, where they are few: `f32[1, 2] = [[0, 1]]`."""
    if isinstance(value, Array):
        return InputUsed(name=name, text=_told(value), shape=value.shape, dtype=value.dtype)
    return InputUsed(name=name, text=_told(value))


def _told(value: Any) -> str:
    match value:
        case Array() if value.value.size <= _SHOWN:
            return f"{describe(value)} = {_nested(value.value, _short)}"
        case Array():
            live = int(np.count_nonzero(value.value))
            return f"{describe(value)}, {live or 'none'} of {value.value.size} not 0"
        case list():
            return f"[{', '.join(map(_told, cast('list[Any]', value)))}]"
        case tuple():
            return f"({', '.join(map(_told, cast('tuple[Any, ...]', value)))})"
        case dict():
            items = cast("dict[Any, Any]", value).items()
            return f"{{{', '.join(f'{key!r}: {_told(item)}' for key, item in items)}}}"
        case _:
            return describe(value)


def _short(value: Any) -> str:
    return str(value).removesuffix(".0")


def _nested(values: Any, show: Callable[[Any], str]) -> str:
    if values.ndim:
        return f"[{', '.join(_nested(item, show) for item in values)}]"
    return show(values[()])


def _python(subject: Subject, shown: list[tuple[str, Any]]) -> str:
    """The call as Python with `import torch`; empty where it would be too long to read."""
    given = [_literal(value) for _, value in shown]
    inputs: Inputs = subject.inputs
    made = [_named(item.name, item.text) for item in inputs.init]
    if None in given or any(_TENSOR.search(item.text) for item in inputs.init):
        return ""
    arguments = [_named(name, f"{text}") for (name, _), text in zip(shown, given, strict=True)]
    name = subject.definition.name
    if subject.definition.kind == "module":
        return f"{name}({', '.join(made)})({', '.join(arguments)})"
    return f"{name}({', '.join([*arguments, *made])})"


def _named(name: str, text: str) -> str:
    return text if name.startswith("args[") else f"{name}={text}"


def _literal(value: Any) -> str | None:
    match value:
        case Array() if value.value.size == 0:
            return f"torch.empty({value.shape}, dtype=torch.{value.dtype})"
        case Array() if value.value.size <= _SHOWN:
            natural = value.dtype in ("float32", "int64", "bool")
            dtype = "" if natural else f", dtype=torch.{value.dtype}"
            return f"torch.tensor({_nested(value.value, _number)}{dtype})"
        case Array() if np.unique(value.value).size == 1:
            number = _number(value.value.reshape(-1)[0])
            return f"torch.full({value.shape}, {number}, dtype=torch.{value.dtype})"
        case Array():
            return None
        case Record(name="$dtype"):
            return f"torch.{value.fields['name']}"
        case Record(name="$device"):
            return repr(value.fields["name"])
        case list() | tuple():
            items = [_literal(item) for item in cast("Sequence[Any]", value)]
            if None in items:
                return None
            inner = ", ".join(map(str, items))
            if isinstance(value, list):
                return f"[{inner}]"
            return f"({inner},)" if len(items) == 1 else f"({inner})"
        case dict():
            named = {k: _literal(item) for k, item in cast("dict[Any, Any]", value).items()}
            if None in named.values():
                return None
            return f"{{{', '.join(f'{key!r}: {text}' for key, text in named.items())}}}"
        case _:
            texts = [leaf for _, leaf in leaves(value) if isinstance(leaf, Array)]
            return None if texts else describe(value)


def _number(value: Any) -> str:
    text = str(value)
    return f"torch.{text}" if text in ("nan", "inf") else text.replace("-inf", "-torch.inf")
