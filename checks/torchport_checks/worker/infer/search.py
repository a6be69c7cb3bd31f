"""Trying candidates, and what torch's errors make of them, in the order of how far torch came."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from ..inputs import Call
from ..protocol import leaves
from .candidate import Candidate, Drawn
from .repair import gap, repaired
from .watch import Failure, explain

_SECONDS = 10.0
_STARTS = 400
# Attempts from one start: repairs of repairs included.
_ATTEMPTS = 40
# What one place later among the repairs of a failure costs, where one more repair costs 1.
_PLACE = 0.1
_LARGE = 2**16
_FRESH = (5, 7, 9, 10, 6)

Attempt = Callable[[Candidate], Failure | None]


def explore(
    starts: Iterable[Candidate], attempt: Attempt, deadline: float, attempts: int = _ATTEMPTS
) -> Iterator[Candidate | Failure]:
    """The candidates that `attempt` has nothing against, and the failure of each start.

    Each start is tried with its repairs before the next one: first those of the failure before
    which torch had done most, then the likeliest: few repairs in a row, those that `repaired` names
    first, and of sizes that were nearly right. A repair after which torch says the same is not one.
    """
    seen: set[str] = set()
    for start in itertools.islice(starts, _STARTS):
        count = itertools.count()
        waiting = [(0, 0.0, next(count), 0.0, start, "")]
        tried = 0
        while waiting and tried < attempts and time.monotonic() < deadline:
            _, _, _, cost, candidate, before = heapq.heappop(waiting)
            if candidate.key in seen:
                continue
            seen.add(candidate.key)
            tried += 1
            failure = attempt(candidate)
            if failure is None:
                yield candidate
                break
            if candidate is start:
                yield failure
            said = f"{failure.done} {failure.message}"
            if said == before:
                continue
            for place, variation in enumerate(repaired(candidate, failure)):
                price = cost + 1 + place * _PLACE
                order = -failure.done, price + gap(failure), next(count)
                heapq.heappush(waiting, (*order, price, variation, said))
        if time.monotonic() > deadline:
            return


def first_that_runs(
    options: Iterator[Candidate], run: Callable[[Call], Any]
) -> tuple[Call | None, str]:
    """The call of the first candidate that runs, a finite result preferred; else None and why."""
    found, failure = candidate_that_runs(options, run, time.monotonic() + _SECONDS)
    if found is not None:
        return found.call()[0], ""
    detail = f" The first attempt raised {failure.message}" if failure else ""
    return None, f"No inputs were found with which it runs.{detail[:600]}"


def candidate_that_runs(
    options: Iterator[Candidate],
    run: Callable[[Call], Any],
    deadline: float,
    attempts: int = _ATTEMPTS,
) -> tuple[Candidate | None, Failure | None]:
    """`first_that_runs` before its tensors are drawn, or the first failure."""
    spare: Candidate | None = None
    first: Failure | None = None
    finite = False

    def attempt(candidate: Candidate) -> Failure | None:
        nonlocal finite
        call, arrays = candidate.call()
        try:
            finite = _is_finite(run(call))
        except BaseException as error:  # sys.exit included
            return explain(lambda: run(call), arrays) or Failure(error)
        return None

    for found in explore(options, attempt, deadline, attempts):
        if isinstance(found, Failure):
            first = first or found
        elif finite:
            return _distinct(found, run), None
        elif _runs_finite(_positive(found), run):
            return _distinct(_positive(found), run), None
        else:
            spare = spare or found
    return spare, first


def _runs_finite(candidate: Candidate, run: Callable[[Call], Any]) -> bool:
    try:
        return _is_finite(run(candidate.call()[0]))
    except BaseException:  # sys.exit included
        return False


def _is_finite(result: Any) -> bool:
    """Whether a result holds finite numbers only, and at least one where it holds tensors."""
    tensors = [leaf for _, leaf in leaves(result) if isinstance(leaf, torch.Tensor)]
    if tensors and not any(tensor.numel() for tensor in tensors):
        return False
    return all(
        not tensor.is_floating_point() or bool(torch.isfinite(tensor).all()) for tensor in tensors
    )


def _positive(candidate: Candidate) -> Candidate:
    """With tensors in (0, 1), for functions that are defined there only."""
    return candidate.with_tensors(
        [replace(d, bounds=(0.1, 0.9)) if d.is_float else d for d in candidate.tensors]
    )


def _distinct(candidate: Candidate, run: Callable[[Call], Any]) -> Candidate:
    """With sizes that differ between the axes of a tensor, where torch accepts that.

    A size of 1 has a meaning of its own, and ids that are drawn below a size stay below it.
    """
    for number, drawn in enumerate(candidate.tensors):
        if math.prod(drawn.shape) > _LARGE:
            continue  # a run may take seconds
        for axis, size in reversed([*enumerate(drawn.shape)]):
            if size < 2 or drawn.shape.count(size) == 1:
                continue
            # The sides of an image stay of one order, and even where they were.
            options = (size * 3 // 4, *_FRESH) if len(drawn.shape) > 3 else _FRESH
            fresh = next((f for f in options if f > 1 and f not in drawn.shape), None)
            if fresh is None:
                continue
            shape = (*drawn.shape[:axis], fresh, *drawn.shape[axis + 1 :])
            changed = candidate.with_tensor(number, replace(drawn, shape=shape))
            if _runs_finite(changed, run):
                candidate, drawn = changed, Drawn(drawn.dtype, shape, drawn.bounds)
    return candidate
