"""The draws that change sizes: which axes are free, and what they become.

Nothing says which sizes of a call belong together, or to the weights. So axes are grouped in three
ways: all of one size; all of one size and the same number from the left; or from the right. Torch
is asked which groups can change by themselves, then whether they can change together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from torchport_checks.draws import Bounds, is_label, is_probability, with_tensors
from torchport_checks.worker.inputs import Call, rounded
from torchport_checks.worker.protocol import Array, leaves

Answer = Literal["runs", "raises", "refuses"]
Ask = Callable[[Sequence[Call]], Sequence[Answer]]
"""Whether torch runs each call, fails, or refuses it: a `raise` or `assert` in the code itself."""

LARGEST = 1_000_000
"""Of how many numbers a call may consist whose sizes are changed."""
_PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
_GROUPS = 10
_SMALL = 32

Key = tuple[Hashable, ...]
_Grouping = Callable[[int, int, int], Key]
# Of a size, its axis, and the number of axes.
_GROUPINGS: tuple[_Grouping, ...] = (
    lambda size, axis, rank: (size, axis),
    lambda size, axis, rank: (size, axis - rank),
    lambda size, axis, rank: (size,),
)


@dataclass
class _Groups:
    """The axes of a call by one grouping, and what torch said of each group."""

    grouping: _Grouping
    sizes: dict[Key, int]
    counts: dict[Key, int]
    accepted: dict[Key, list[int]]

    def covered(self) -> int:
        """How many axes can change."""
        return sum(self.counts[key] for key, sizes in self.accepted.items() if sizes)


def resizings(
    call: Call, ask: Ask, seed: int, wanted: Sequence[str], multiples: bool = False
) -> dict[str, Call]:
    """The calls that the draws `wanted` (of `draws.SHAPES`) make of `call`, those that torch runs.

    With `multiples` small sizes become multiples of themselves, not primes: even ones stay even.

    A call that the original refuses by its own `raise` or `assert` is among them, too, in place of
    the draw that led to it: the port must refuse it as well.
    """
    if sum(array.value.size for array in _tensors(call)) > LARGEST:
        return {}
    groups = list(_grouped(call))
    refused = _probe(groups, call, ask, seed, multiples)
    groups.sort(key=_Groups.covered, reverse=True)
    options = [
        (draw, resized(call, group.grouping, sizes, seed))
        for draw in wanted
        for group in groups
        for sizes in _CHOICES[draw](group, call)
    ]
    answers = ask([option for _, option in options])
    found: dict[str, Call] = {}
    for (draw, option), answer in zip(options, answers, strict=True):
        if answer == "runs":
            found.setdefault(draw, option)
    for draw, option in refused.items():
        if draw in wanted:
            found[draw] = option
    return found


def resized(call: Call, grouping: _Grouping, sizes: Mapping[Key, int], seed: int) -> Call:
    """`call` with the groups named in `sizes` of another size.

    Values are repeated as often as needed; floats are then moved towards zero, each by its own share,
    so that no two are equal, integers are drawn anew between the least and the largest, and
    probabilities sum to 1 again.
    """
    rng = np.random.default_rng(seed)

    def each(array: Array, bounds: Bounds) -> Array:
        rank = array.value.ndim
        shape = tuple(
            sizes.get(grouping(size, axis, rank), size) for axis, size in enumerate(array.shape)
        )
        if shape == array.shape or array.value.size == 0:
            return array
        values: Any = array.value
        for axis, size in enumerate(shape):
            values = np.take(values, np.arange(size) % array.shape[axis], axis)
        if array.inexact and is_probability(array):
            total = values.sum(-1, keepdims=True)
            values = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
        elif array.inexact and not is_label(array):
            if bounds is not None:
                values = rng.uniform(*bounds, shape)
            else:
                values = values * rng.uniform(0.5, 1.0, shape)
        elif array.value.dtype.kind in "iu":
            ends = array.value.min(), array.value.max()
            values = rng.integers(*ends, shape, array.value.dtype, endpoint=True)
        return Array(array.dtype, rounded(values, array.dtype))

    return with_tensors(call, each)


def _tensors(call: Call) -> list[Array]:
    return [leaf for _, leaf in leaves([call.args, call.kwargs]) if isinstance(leaf, Array)]


def _grouped(call: Call) -> Iterator[_Groups]:
    """The groupings that differ from each other on this call."""
    seen: set[tuple[int, ...]] = set()
    tensors = _tensors(call)
    for grouping in _GROUPINGS:
        keys = [
            (grouping(size, axis, array.value.ndim), size)
            for array in tensors
            for axis, size in enumerate(array.shape)
            if size
        ]
        sizes = dict(keys)
        number = {key: position for position, key in enumerate(sizes)}
        partition = tuple(number[key] for key, _ in keys)
        if partition in seen or not keys or len(sizes) > _GROUPS:
            continue
        seen.add(partition)
        counts = {key: sum(key == other for other, _ in keys) for key in sizes}
        yield _Groups(grouping, sizes, counts, {key: [] for key in sizes})


def _probe(
    groups: Sequence[_Groups], call: Call, ask: Ask, seed: int, multiples: bool
) -> dict[str, Call]:
    """Note which sizes each group can have by itself; calls that were refused, by draw."""
    probes = [
        (group, key, size)
        for group in groups
        for key, old in group.sizes.items()
        for size in dict.fromkeys(((_multiple if multiples else _prime)(group, key), 2 * old, 1))
        if size != old
    ]
    calls = [resized(call, group.grouping, {key: size}, seed) for group, key, size in probes]
    answers = ask(calls)
    refused: dict[str, Call] = {}
    for (group, key, size), option, answer in zip(probes, calls, answers, strict=True):
        if answer == "runs":
            # An axis that can be of its size or 1 only is not free: its values are broadcast.
            if size != 1 or group.accepted[key]:
                group.accepted[key].append(size)
        elif answer == "refuses":
            refused.setdefault("single" if size == 1 else "distinct", option)
    return refused


def _prime(group: _Groups, key: Key) -> int:
    """A size for a group that no group has and no other one is given."""
    free = [prime for prime in _PRIMES if prime not in group.sizes.values()]
    return free[list(group.sizes).index(key) % len(free)]


def _multiple(group: _Groups, key: Key) -> int:
    """A multiple of a group's size that no group has and no other one is given."""
    taken = set(group.sizes.values())
    for other, old in group.sizes.items():
        if old > _SMALL:
            size = _prime(group, other)
        else:
            size = next(old * times for times in itertools.count(2) if old * times not in taken)
        taken.add(size)
        if other == key:
            return size
    raise KeyError(key)


def _distinct(group: _Groups, call: Call) -> Iterator[dict[Key, int]]:
    sizes = {key: accepted[0] for key, accepted in group.accepted.items() if accepted}
    if sizes:
        yield sizes


def _equal(group: _Groups, call: Call) -> Iterator[dict[Key, int]]:
    free = [key for key, accepted in group.accepted.items() if accepted]
    fixed = {size for key, size in group.sizes.items() if key not in free}
    for size in sorted({*(s for s in fixed if 1 < s <= 64), 4}):
        if free and any(group.sizes[key] != size for key in free):
            yield dict.fromkeys(free, size)


def _single(group: _Groups, call: Call) -> Iterator[dict[Key, int]]:
    sizes = {key: 1 for key, accepted in group.accepted.items() if 1 in accepted}
    if sizes:
        yield sizes
    if len(sizes) > 1:
        yield dict(list(sizes.items())[:1])


def _empty(group: _Groups, call: Call) -> Iterator[dict[Key, int]]:
    """The first axis of the first tensor."""
    first = next((array for array in _tensors(call) if array.shape), None)
    if first is not None:
        yield {group.grouping(first.shape[0], 0, first.value.ndim): 0}


_CHOICES: dict[str, Callable[[_Groups, Call], Iterator[dict[Key, int]]]] = {
    "single": _single,
    "empty": _empty,
    "equal": _equal,
    "distinct": _distinct,
}
