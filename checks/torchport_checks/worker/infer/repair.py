"""Other candidates for one that torch rejects, from what it said.

No message is matched as a whole: its words say what kind of thing is wrong (types, a rank, an index
out of range, something too small), and of its numbers one is a size that the candidate has and
another is what the size should be. Which is which is left to torch, that is asked again.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .candidate import Candidate, Drawn
from .watch import Failure

SHAPES = {0: (), 1: (8,), 2: (4, 8), 3: (2, 5, 8), 4: (2, 3, 6, 8), 5: (2, 3, 4, 6, 8)}
"""Shapes by rank, where nothing is known but the rank. All sizes differ within a shape."""

_MOST = 48
_NEAR = 64
_LARGEST, _LONGEST = 2**19, 2**16  # elements of one tensor, and along one axis
_NUMBER = re.compile(r"(?<![\w.-])(\d+)(?![\w.]*\w)")
_SHAPE = re.compile(r"[\[(](\d+(?:, ?\d+)+)[\])]")
_RANK = re.compile(r"(\d)-?[Dd]\b")
_ABOUT_RANK = re.compile(
    r"dim|unpack|tuple index|subscripts|indices for tensor|\d-?[dD]\b|axes|axis|\bndim|scalar|permute"
)
_ABOUT_TYPE = re.compile(
    r"dtype|type|scalar|integer|integral|boolean|\bbool\b|long|float|not implemented for|as an index"
    r"|used as indices|half|class",
    re.IGNORECASE,
)
_ABOUT_RANGE = re.compile(
    r"out of (range|bounds)|Class values|index|Target|must be (in|non-neg)|divisor"
)
_ABOUT_SMALL = re.compile(
    r"[Kk]ernel size|too small|smaller than|less than|at least|greater than|empty|non-zero|positive"
    r"|more than 1 value|out of range|out of bounds"
)


def repaired(candidate: Candidate, failure: Failure) -> list[Candidate]:
    """Candidates that differ from one that failed in what the failure is about, likeliest first."""
    message = failure.message
    kinds = [_compared(candidate, failure), _shapes(candidate, failure)]
    if _ABOUT_TYPE.search(message):
        kinds.append(_types(candidate, failure))
    if _ABOUT_RANGE.search(message):
        kinds.append(_ranges(candidate, failure))
    viewed = "shape '" in message  # what has a shape can be viewed in another: a matter of sizes
    if _ABOUT_RANK.search(message) and not viewed:
        kinds.append(_ranks(candidate, failure))
    if _ABOUT_SMALL.search(message):
        kinds.append(_larger(candidate, failure))
    kinds.append(_numbers(candidate, failure))
    if viewed:
        kinds.append(_ranks(candidate, failure))
    kinds.append(_plain(candidate, failure))
    unique: dict[str, Candidate] = {}
    for variation in itertools.chain(*kinds):
        shapes = [drawn.shape for drawn in variation.tensors]
        if all(math.prod(s) <= _LARGEST and max(s, default=0) <= _LONGEST for s in shapes):
            unique.setdefault(variation.key, variation)
        if len(unique) == _MOST:
            break
    return list(unique.values())


def _among(candidate: Candidate, failure: Failure) -> list[int]:
    """The tensors that can be to blame: those that had flown into the operation that failed."""
    return sorted(failure.sources) or list(range(len(candidate.tensors)))


def _compared(candidate: Candidate, failure: Failure) -> Iterator[Candidate]:
    """From a comparison of the code's own: what it had becomes what it wanted."""
    for had, wanted in failure.wanted:
        if isinstance(wanted, str) and _RANK.fullmatch(wanted):
            yield from _of_rank(candidate, failure, int(wanted[0]))
        elif isinstance(had, int) and isinstance(wanted, int):
            yield from _resized(candidate, failure, had, wanted)
            yield from _derived(candidate, failure, had, wanted)
        for number, value in enumerate(candidate.values):
            if type(value) in (int, float, str) and value == had:
                yield candidate.with_value(number, wanted)


def _shapes(candidate: Candidate, failure: Failure) -> Iterator[Candidate]:
    """Of two operands, or shapes in a message, one is a tensor of ours, the other what it should be."""
    named = [*failure.shapes]
    named += [tuple(map(int, s.split(","))) for s in _SHAPE.findall(failure.message)]
    for number, drawn in enumerate(candidate.tensors):
        if drawn.shape not in named:
            continue
        for shape in dict.fromkeys(named):
            alike = len(shape) == len(drawn.shape) or "must match" in failure.message
            if alike and shape != drawn.shape and 0 not in shape:
                fresh = iter((3, 7, 9, 5))  # a size of 1 was broadcast; any will do
                wide = tuple(next(fresh, 3) if size == 1 else size for size in shape)
                for better in dict.fromkeys((wide, shape)):
                    yield candidate.with_tensor(number, replace(drawn, shape=better))


def _types(candidate: Candidate, failure: Failure) -> Iterator[Candidate]:
    """Other dtypes: those that the message names first."""
    message = failure.message
    words = {
        "int64": r"[Ll]ong|[Ii]nteg|\bint64|index|indices|[Cc]lass",
        "bool": r"[Bb]ool",
        "float32": r"[Ff]loat|Integral inputs not",
    }
    order = sorted(words, key=lambda dtype: re.search(words[dtype], message) is None)
    tensors = candidate.tensors
    for dtype in order:
        for number in _among(candidate, failure):
            if tensors[number].dtype != dtype:
                bounds = tensors[number].bounds if dtype == "int64" else None
                yield candidate.with_tensor(number, Drawn(dtype, tensors[number].shape, bounds))
        changed = [Drawn(dtype, d.shape) if d.dtype != dtype else d for d in tensors]
        yield candidate.with_tensors(changed)


def _ranges(candidate: Candidate, failure: Failure) -> Iterator[Candidate]:
    """Smaller integers, down to two values: ids and labels that lie within what they index."""
    highs = sorted({n - 1 for n in _integers(failure) if n > 1} | {1}, reverse=True)
    tensors = candidate.tensors
    for number in _among(candidate, failure):
        drawn = tensors[number]
        if drawn.dtype == "int64":
            low, high = drawn.bounds or (0, 3)
            for smaller in (*(h for h in highs if h < high), 0):
                yield candidate.with_tensor(
                    number, replace(drawn, bounds=(min(low, smaller), smaller))
                )
            yield candidate.with_tensor(number, replace(drawn, bounds=(1, max(1, high))))
    sources = set(_among(candidate, failure))
    for number, drawn in enumerate(tensors):
        if drawn.dtype == "int64" and number not in sources:
            yield candidate.with_tensor(number, replace(drawn, bounds=(0, 1)))


def _ranks(candidate: Candidate, failure: Failure) -> Iterator[Candidate]:
    """Other ranks: those that the message names first, then the nearest."""
    named = [int(rank) for rank in _RANK.findall(failure.message)]
    named += [n for n in _integers(failure) if n <= 5]
    ranks = list(dict.fromkeys([*named, 2, 3, 4, 1, 5]))
    for rank in ranks:
        yield from _of_rank(candidate, failure, rank)
        if rank in named and "unpack" in failure.message:
            for number in _among(candidate, failure):
                for axis in reversed(range(len(candidate.tensors[number].shape))):
                    yield _with_sizes(candidate, {(number, axis): rank})


def _of_rank(candidate: Candidate, failure: Failure, rank: int) -> Iterator[Candidate]:
    """With `rank` axes: all tensors to blame that have another rank in common, then one by one."""
    if rank not in SHAPES:
        return
    tensors, among = candidate.tensors, _among(candidate, failure)
    for alike in {tensors[number].shape: None for number in among}:
        if len(alike) == rank:
            continue
        same = [number for number in range(len(tensors)) if tensors[number].shape == alike]
        for group in ([n for n in same if n in among], *([[n] for n in same if len(same) > 1])):
            changed = candidate
            for number in group:
                changed = changed.with_tensor(number, replace(tensors[number], shape=SHAPES[rank]))
            yield changed


def _numbers(candidate: Candidate, failure: Failure) -> Iterator[Candidate]:
    """One of the message's numbers is a size of an operand, another is what it should be.

    Sizes stay different where they can, and the first tensor as it is: the others follow it.
    """
    numbers = _integers(failure)
    pairs = list(dict.fromkeys(itertools.permutations(numbers, 2)))
    if re.search(r"out of (range|bounds)", failure.message):
        pairs += itertools.product(numbers, [number + 1 for number in numbers])
    sizes = _operand_sizes(failure) & set(numbers)
    pairs = [(had, want) for had, want in pairs if had != want and (not sizes or had in sizes)]
    # What a message wants comes before what it got, nearly always, and is repeated rather.
    times = Counter(map(int, _NUMBER.findall(failure.message)))
    pairs.sort(
        key=lambda pair: (
            pair[1] < 2,
            numbers.index(pair[0]) < _position(numbers, pair[1]),
            -times[pair[1]],
        )
    )
    direct = [v for had, want in pairs for v in _resized(candidate, failure, had, want)]
    first = candidate.tensors[:1]
    direct.sort(key=lambda variation: (_repeated(variation), variation.tensors[:1] != first))
    yield from (variation for variation in direct if _batch(variation) == _batch(candidate))
    for had, want in pairs:
        yield from _derived(candidate, failure, had, want)
    yield from direct


def _batch(candidate: Candidate) -> list[int]:
    """The sizes that are a batch's most likely, and seldom what is wrong."""
    tensors = candidate.tensors
    return [d.shape[0] for n, d in enumerate(tensors) if len(d.shape) > (1 if n == 0 else 2)]


def _position(numbers: list[int], number: int) -> int:
    return numbers.index(number) if number in numbers else len(numbers)


def gap(failure: Failure) -> float:
    """How far the sizes of the operands are from what the message names beside them, as a ratio."""
    sizes = _operand_sizes(failure)
    numbers = {number for number in _integers(failure) if number > 0}
    ratios = [
        abs(math.log(had / want)) for had in sizes & numbers for want in numbers - sizes if had
    ]
    return round(min(ratios, default=0.0), 3)


def _operand_sizes(failure: Failure) -> set[int]:
    """The sizes of the operands along their axes, and in all."""
    return {n for shape in failure.shapes for n in (*shape, math.prod(shape))}


def _repeated(candidate: Candidate) -> int:
    """How many axes have the size of another one of the same tensor."""
    return sum(len(drawn.shape) - len(set(drawn.shape)) for drawn in candidate.tensors)


def _integers(failure: Failure) -> list[int]:
    """The whole numbers in a message, in order: `2x8` holds two, `4D` none.

    Of a shape that a tensor cannot be viewed in, the number of elements as well.
    """
    message = re.sub(r"(?<=\d)x(?=\d)", " ", failure.message)
    numbers = [int(n) for n in _NUMBER.findall(message) if len(n) < 9]
    for shape in re.findall(r"shape '\[([\d, ]+)\]'", message):
        numbers.append(math.prod(int(size) for size in shape.split(",")))
    return list(dict.fromkeys(numbers))


def _places(candidate: Candidate, failure: Failure) -> dict[int, list[tuple[int, int]]]:
    """(number of the tensor, axis) by size, last axes first, of the tensors to blame."""
    places: dict[int, list[tuple[int, int]]] = {}
    tensors = candidate.tensors
    for number in _among(candidate, failure):
        for axis, size in reversed([*enumerate(tensors[number].shape)]):
            places.setdefault(size, []).append((number, axis))
    return places


def _each_and_all(places: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    return [places, *([place] for place in places)] if len(places) > 1 else [places]


def _resized(candidate: Candidate, failure: Failure, had: int, want: int) -> Iterator[Candidate]:
    """Where an axis has the size `had` it gets `want`: everywhere, then one at a time."""
    for group in _each_and_all(_places(candidate, failure).get(had, [])):
        if group and want > 0:
            yield _with_sizes(candidate, dict.fromkeys(group, want))


def _derived(candidate: Candidate, failure: Failure, had: int, want: int) -> Iterator[Candidate]:
    """Where no axis has the size `had`, it was made of one, or of several.

    An image that was flattened: its sides grow with the root of its area. Else a multiple or a part
    of a size, or what is left of one.
    """
    places = _places(candidate, failure)
    if had in places or had <= 0 or want <= 0:
        return
    tensors = candidate.tensors
    for number in _among(candidate, failure):
        shape = tensors[number].shape
        if len(shape) > 2 and all(len(operand) != len(shape) for operand in failure.shapes):
            side = max(shape[2:]) * (want / had) ** (1 / (len(shape) - 2))
            near = [round(side / step) * step for step in (8, 4, 1)] + [round(side) + 1]
            for grown in dict.fromkeys(max(1, size) for size in near):
                if shape[2:] != (grown,) * len(shape[2:]):
                    axes = range(2, len(shape))
                    yield _with_sizes(candidate, {(number, axis): grown for axis in axes})
    for size, axes in places.items():
        axes = _aligned(candidate, failure, axes, had)
        multiple = size * want // had if size * want % had == 0 else 0
        rest = size + want - had if abs(want - had) <= _NEAR else 0
        for other in (multiple, rest):
            if axes and 0 < other != size:
                for group in _each_and_all(axes):
                    yield _with_sizes(candidate, dict.fromkeys(group, other))


def _aligned(
    candidate: Candidate, failure: Failure, places: list[tuple[int, int]], had: int
) -> list[tuple[int, int]]:
    """Of `places`, those that an axis of size `had` was made of where axes have kept their number."""
    tensors = candidate.tensors
    aligned: list[tuple[int, int]] = []
    for number, axis in places:
        rank = len(tensors[number].shape)
        alike = [shape for shape in failure.shapes if len(shape) == rank and had in shape]
        if not alike or any(shape[axis] == had for shape in alike):
            aligned.append((number, axis))
    return aligned


def _with_sizes(candidate: Candidate, sizes: dict[tuple[int, int], int]) -> Candidate:
    tensors = candidate.tensors
    for (number, axis), size in sizes.items():
        shape = [*tensors[number].shape]
        shape[axis] = size
        tensors[number] = replace(tensors[number], shape=tuple(shape))
    return candidate.with_tensors(tensors)


def _larger(candidate: Candidate, failure: Failure) -> Iterator[Candidate]:
    """With more room: the axes that a window may slide over 2, 4 and 16 times as long."""
    tensors = candidate.tensors
    for skipped in (2, 1, 0):
        for factor in (2, 4, 16):
            places = {
                (number, axis): tensors[number].shape[axis] * factor
                for number in _among(candidate, failure)
                for axis in range(skipped, len(tensors[number].shape))
            }
            if places:
                yield _with_sizes(candidate, places)


_OTHERS: dict[str, tuple[Any, ...]] = {
    "int": (4, 8, 2, 3, 1, 16, 0, (2, 3), [2, 2, 2, 2], [8, 16]),
    "float": (1, 4, (6, 1, 1), (8,), [0.1, 0.2]),
    "bool": (True, False, 4, (6, 1, 1)),
    "list": ((8,), 4, [2, 2, 2, 2]),
    "tuple": (4, (8,), (6, 1, 1, 1)),
    "str": ("mean", "sum", "none", "same"),
}


def _plain(candidate: Candidate, failure: Failure) -> Iterator[Candidate]:
    """Other values for what is no tensor, the parameters that the message names first."""
    words = set(re.findall(r"[a-z]+", failure.message.lower()))
    plain = [n for n, v in enumerate(candidate.values) if type(v).__name__ in _OTHERS]

    def unnamed(number: int) -> float:
        parts = candidate.parameters[number].name.lower().split("_")
        return -sum(part in words for part in parts) / len(parts)

    numbers = [n for n in _integers(failure) if n <= 512]
    for number in sorted(plain, key=unnamed):
        value = candidate.values[number]
        if isinstance(value, tuple):
            yield from _reshaped(candidate, number, value, numbers)
        if type(value) is int:
            for other in numbers:
                if value in numbers or other <= 16:
                    yield candidate.with_value(number, other)
        for other in _OTHERS[type(value).__name__]:
            if other != value:
                yield candidate.with_value(number, other)
        if re.search(r"object has no attribute|must be Tensor|not subscriptable", failure.message):
            for rank in (4, 3, 2):
                yield candidate.with_value(number, Drawn("float32", SHAPES[rank]))
    for number, drawn in enumerate(candidate.values):
        if not isinstance(drawn, Drawn):
            continue
        if re.search(r"unpack|subscriptable|iterable|tuple|hx", failure.message):
            yield candidate.with_value(number, (drawn, drawn))
            yield candidate.with_value(number, [drawn, drawn])
        if re.search(
            r"integer|'int'|as an index|must be int|not supported between", failure.message
        ):
            yield candidate.with_value(number, 2)
            yield candidate.with_value(number, 4)


def _reshaped(
    candidate: Candidate, number: int, value: tuple[Any, ...], sizes: list[int]
) -> Iterator[Candidate]:
    """A shape among plain values, with another size on one axis."""
    for axis, size in itertools.product(range(len(value)), sizes):
        if value[axis] != size:
            yield candidate.with_value(number, (*value[:axis], size, *value[axis + 1 :]))
