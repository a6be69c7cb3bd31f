"""Where a port begins to differ: traces of both sides, and torch's values put into the port's.

Both sides run once more with the value of each operation recorded (`worker/trace.py`). Operations
whose values agree, judged as results are, are aligned. Of what is left over, the first operation of
each side is the suspect: the port runs again with torch's value in the place of its own. Where all
that the definition returns then agrees, nothing else is wrong, and the operation is named for
certain; where only more agrees, the search goes on from there and finds the next one.

For gradients it is the cotangents that are compared: the operation is at fault that receives what
torch's receives, and passes something else on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from torchport_checks.compare import Comparison, compare
from torchport_checks.draws import Case
from torchport_checks.lanes import Lane, RemoteError
from torchport_checks.subject import Subject
from torchport_checks.verdicts import Category, Difference, Located
from torchport_checks.worker.protocol import Array
from torchport_checks.worker.trace import HIDDEN

SECONDS = 6.0
"""Of processor time, for all runs that look for one operation."""

_MAX_OPERATIONS = 400
_MAX_TRIES = 100
_MAX_FAULTS = 4
_MAX_SUSPECTS = 16
_SAMPLE = 512
_FAR = 1e-2


@dataclass(frozen=True)
class _Site:
    """A place in the text; see `worker.trace.Site`."""

    kind: Literal["op", "name"]
    span: tuple[int, int]
    text: str
    statement: tuple[int, int, str]
    target: str
    called: str
    function: str
    operands: list[int]

    @property
    def bare(self) -> bool:
        """Whether it is a name that is assigned or returned as it is."""
        return self.kind == "op" and self.called == self.text


@dataclass
class _Operation:
    """An operation that ran: its event, and the events of what it was made from."""

    event: int
    site: _Site
    number: int
    value: Array
    operands: list[int]


@dataclass
class _Trace:
    """One run of one side."""

    outcome: dict[str, Any]
    sites: dict[int, _Site]
    events: list[tuple[int, int]]
    values: list[Array]
    cotangents: dict[int, Array]
    operations: list[_Operation] = field(default_factory=list[_Operation])
    shadows: list[_Operation] = field(default_factory=list[_Operation])
    """Operations whose result another one had made before: a call of a function of the file."""

    @staticmethod
    def of(answer: dict[str, Any]) -> _Trace:
        """A trace as it came from a lane."""
        sites = {n: _Site(*fields) for n, fields in answer["sites"].items()}
        events = [(site, number) for site, number in answer["events"]]
        trace = _Trace(
            answer["outcome"], sites, events, answer["values"], answer["cotangents"]
        )  # fmt: skip
        trace._read()
        return trace

    def _read(self) -> None:
        last: dict[int, list[int]] = {}
        made: dict[int, int] = {}
        previous = -1
        for event, (number_of_site, number) in enumerate(self.events):
            site = self.sites[number_of_site]
            if site.kind == "op" and number >= 0:
                operands = list(self._operands(site, last))
                value = self.values[number]
                operation = _Operation(event, site, number, value, operands)
                inner = made.get(number)
                if inner is not None and (site.bare or inner > max(operands, default=-1)):
                    self.shadows.append(operation)
                else:
                    self.operations.append(operation)
                    made[number] = event
            if number_of_site == previous:
                last[number_of_site].append(event)
            else:
                last[number_of_site] = [event]
            previous = number_of_site

    def _operands(self, site: _Site, last: dict[int, list[int]]) -> Iterator[int]:
        for below in site.operands:
            if below in last:
                yield from last[below]
            elif below in self.sites:
                yield from self._operands(self.sites[below], last)

    def number(self, event: int) -> int:
        """The number of an event's value."""
        return self.events[event][1]


@dataclass(frozen=True)
class _Fault:
    """An operation of each side that should have given the same."""

    torch: _Operation
    port: _Operation
    first_line: int
    events: list[int] = field(default_factory=list[int])
    """The port's events that torch's value was put into."""


def locate(
    subject: Subject, port: Lane, case: Case, differences: Sequence[Difference]
) -> Located | None:
    """The first operation of the port that differs in a case; None where nothing can be said.

    Args:
        differences: those of the case. Where all are of gradients, so is what is looked for.

    Raises:
        LaneFailure: a lane does not answer; it has to load its file again.
    """
    search = _Search(subject, port, case)
    try:
        if all(d.where.startswith("gradient") for d in differences):
            small = all(d.category is Category.PRECISION for d in differences)
            return search.gradient(small)
        return search.value()
    except (RemoteError, _OvertimeError):
        return None


class _OvertimeError(Exception):
    """There is no time left for another run."""


class _Search:
    def __init__(self, subject: Subject, port: Lane, case: Case) -> None:
        self.subject, self.lane, self.case = subject, port, case
        self.left = SECONDS
        self.call = case.wire()
        self.torch = self._original(precise=False, cotangents=False)
        self.precise = self._original(precise=True, cotangents=False)
        self.known: dict[tuple[int, int], bool] = {}

    # Runs.

    def _original(self, *, precise: bool, cotangents: bool) -> _Trace:
        return self._traced(self.subject.torch, precise=precise, cotangents=cotangents)

    def ported(self, forced: dict[int, Array], *, cotangents: bool = False) -> _Trace:
        return self._traced(self.lane, forced=forced, cotangents=cotangents)

    def _traced(self, lane: Lane, **how: Any) -> _Trace:
        if self.left <= 0:
            raise _OvertimeError
        answer = lane.request(
            "trace",
            timeout=self.subject.options.timeout,
            call=self.call,
            train=self.case.train,
            seconds=self.left,
            **how,
        )
        self.left -= answer["seconds"]
        return _Trace.of(answer)

    # Values.

    def value(self) -> Located | None:
        """The first operation whose value differs."""
        if self.torch.outcome["error"] is not None:
            return None
        plain = trace = self.ported({})
        forced: dict[int, Array] = {}
        faults: list[_Fault] = []
        certain = self._agrees(trace)
        if certain:
            return None  # it differs when it is compiled, and not operation by operation
        try:
            while not certain and len(faults) < _MAX_FAULTS:
                found = self._first(trace, forced)
                if found is None:
                    break
                fault, trace, certain = found
                faults.append(fault)
                forced |= dict.fromkeys(fault.events, fault.torch.value)
        except _OvertimeError:
            pass
        if not faults:
            return None
        first = faults[0]
        number = plain.number(first.port.event)
        found = self._compared(first.torch, plain.values[number] if number >= 0 else None)
        further = [(f.torch.site.span[0], f.port.site.span[0]) for f in faults[1:]]
        return _located(first, "value", found, certain, further)

    def _first(self, trace: _Trace, forced: dict[int, Array]) -> tuple[_Fault, _Trace, bool] | None:
        """The first pair at which torch's value puts the port right, and the run with it there."""
        theirs, ours = self.torch.operations[:_MAX_OPERATIONS], trace.operations[:_MAX_OPERATIONS]
        left = _Left(self.torch, trace, theirs, ours, self.aligned(theirs, ours))
        left.missing = [o for o in left.theirs if not any(self._same(o, other) for other in ours)]
        for one, other in left.pairs()[:_MAX_TRIES]:
            if other.event in forced:
                continue
            events = left.twins(other)
            run = self.ported(forced | dict.fromkeys(events, one.value))
            certain = self._agrees(run)
            if certain or self._gains(left.missing, one, other, run):
                return self._fault(trace, left, one, other, events), run, certain
        return None

    def _gains(
        self, theirs: list[_Operation], one: _Operation, other: _Operation, run: _Trace
    ) -> bool:
        """Whether with `one` in the place of `other` the port finds later values of torch's.

        Then there is more than one fault. It would not do to go on to where all agrees at once: so
        it does with the last operation, whatever comes before.
        """
        if run.outcome["error"] is not None:
            return False
        later = [o for o in run.operations[:_MAX_OPERATIONS] if o.event > other.event]
        wanted = [o for o in theirs if o.event > one.event and o.number != one.number]
        self.known = {}
        return any(
            wanted[i].value.inexact and wanted[i].value.value.size > 1
            for i in self.aligned(wanted, later)
        )

    def _agrees(self, run: _Trace) -> bool:
        """Whether all that the definition gives is as torch has it."""
        outcome, reference = run.outcome, self.precise.outcome
        if outcome["error"] is not None:
            return False
        known: dict[str, Any] = {} if reference["error"] is not None else reference
        found = compare(self.torch.outcome["output"], outcome["output"], known.get("output"))
        buffers: dict[str, Array] = self.torch.outcome["buffers"]
        doubled: dict[str, Array] = known.get("buffers") or {}
        for name in buffers.keys() & outcome["buffers"].keys():
            found.add(compare(buffers[name], outcome["buffers"][name], doubled.get(name)))
        return not found.differences

    # What agrees.

    def _reference(self, operation: _Operation) -> Array | None:
        """What float64 says of one of torch's values."""
        precise = self.precise
        if len(precise.events) != len(self.torch.events):
            return None
        site, number = precise.events[operation.event]
        if number < 0 or site != self.torch.events[operation.event][0]:
            return None
        return precise.values[number]

    def _compared(self, one: _Operation, value: Array | None) -> Comparison:
        if value is None:
            return Comparison()
        reference = self._reference(one)
        return _compare(one.value, value, reference)

    def _same(self, one: _Operation, other: _Operation) -> bool:
        key = one.number, other.number
        known = self.known.get(key)
        if known is None:
            near = _near(one.value, other.value)
            known = near and not self._compared(one, other.value).differences
            self.known[key] = known
        return known

    def aligned(self, theirs: list[_Operation], ours: list[_Operation]) -> dict[int, int]:
        """Positions in `ours` by positions in `theirs`: the heaviest common subsequence of values
        that agree, like names counting more; then what agrees out of order."""
        rows, columns = len(theirs), len(ours)
        self.known = {}
        weights = np.zeros((rows + 1, columns + 1))
        gains: dict[tuple[int, int], float] = {}
        for i in reversed(range(rows)):
            for j in reversed(range(columns)):
                weight = max(weights[i + 1, j], weights[i, j + 1])
                if self._same(theirs[i], ours[j]):
                    gains[i, j] = gain = 1 + _likeness(theirs[i].site, ours[j].site)
                    weight = max(weight, weights[i + 1, j + 1] + gain)
                weights[i, j] = weight
        found: dict[int, int] = {}
        i = j = 0
        while i < rows and j < columns:
            gain = gains.get((i, j))
            if gain is not None and weights[i, j] == weights[i + 1, j + 1] + gain:
                found[i] = j
                i, j = i + 1, j + 1
            elif weights[i, j] == weights[i, j + 1]:
                j += 1
            else:
                i += 1
        free = [j for j in range(columns) if j not in set(found.values())]
        for i in range(rows):
            if i not in found:
                match = next((j for j in free if (i, j) in gains), None)
                if match is not None:
                    found[i] = match
                    free.remove(match)
        return found

    def _fault(
        self,
        trace: _Trace,
        left: _Left,
        one: _Operation,
        other: _Operation,
        events: list[int],
    ) -> _Fault:
        suspects = {o.number for o in left.ours}
        shown, first = _outward(trace, suspects, other)
        source, _ = _outward(self.torch, {o.number for o in left.theirs}, one)
        return _Fault(
            _Operation(one.event, source, one.number, one.value, one.operands),
            _Operation(other.event, shown, other.number, other.value, other.operands),
            first,
            events,
        )

    # Gradients.

    def gradient(self, small: bool) -> Located | None:
        """The first operation, backwards, that passes on another gradient than it should."""
        if self.torch.outcome["error"] is not None:
            return None
        trace = self.ported({})
        if trace.outcome["error"] is not None:
            return None
        return _Backward(self, trace, small).find()

    def cotangents(self) -> tuple[_Trace, _Trace | None, _Trace]:
        """Torch's in float32 and in float64, and the port's."""
        theirs = self._original(precise=False, cotangents=True)
        precise = self._original(precise=True, cotangents=True)
        same = len(precise.events) == len(theirs.events)
        return theirs, precise if same else None, self.ported({}, cotangents=True)


class _Left:
    """What could not be aligned and is not explained, in order.

    Explained is what only leads to values that agree: a step that one side takes and the other not.
    """

    def __init__(
        self,
        torch: _Trace,
        port: _Trace,
        theirs: list[_Operation],
        ours: list[_Operation],
        aligned: dict[int, int],
    ) -> None:
        taken = set(aligned.values())
        self.theirs = _unexplained(torch, _unlike(theirs, set(aligned)))
        self.ours = _unexplained(port, _unlike(ours, taken))
        self.missing: list[_Operation] = []
        """Those of torch's whose value the port has nowhere."""
        self._gaps = _gaps(theirs, set(aligned)), _gaps(ours, taken)
        self._torch, self._port = torch, port
        self._there = {theirs[i].number: ours[j] for i, j in aligned.items()}
        self._here = {ours[j].number: theirs[i] for i, j in aligned.items()}

    def twins(self, operation: _Operation) -> list[int]:
        """The events at which the port computed the very same by the same operation."""
        same = [o.event for o in self.ours if _twins(o, operation)]
        return same if operation.event in same else [operation.event]

    def pairs(self) -> list[tuple[_Operation, _Operation]]:
        """Pairs that may belong together, the most likely and earliest first.

        Beside one that is left over on each side: an operation that the port has not, for which what
        it is made from stands there; and one that only the port has.
        """
        weighed: list[tuple[float, int, _Operation, _Operation]] = []

        def add(cost: float, one: _Operation, other: _Operation) -> None:
            if one.value.shape != other.value.shape:
                cost += 1.9
            if one.value.inexact != other.value.inexact:
                cost += 3
            cost -= max(_likeness(one.site, site, 2) for site in self._sites(other))
            weighed.append((cost, len(weighed), one, other))

        for i, one in enumerate(self.theirs):
            for j, other in enumerate(self.ours):
                apart = self._gaps[0][one.event] != self._gaps[1][other.event]
                add(i + j + 2 * apart, one, other)
        for i, one in enumerate(self.theirs):
            for other in self._counterparts(self._torch, one, self._there):
                add(i + 0.4, one, other)
        for j, other in enumerate(self.ours):
            for one in self._counterparts(self._port, other, self._here):
                add(j + 0.4, one, other)
        return [(one, other) for _, _, one, other in sorted(weighed, key=lambda w: w[:2])]

    def _sites(self, operation: _Operation) -> list[_Site]:
        """Where the port's operation stands, and the calls that return what it gives."""
        calls = [o.site for o in self._port.shadows if o.number == operation.number]
        return [operation.site, *calls]

    @staticmethod
    def _counterparts(
        trace: _Trace, operation: _Operation, aligned: dict[int, _Operation]
    ) -> list[_Operation]:
        """What the other side has for that from which an operation is made."""
        numbers = dict.fromkeys(trace.number(event) for event in operation.operands)
        return [aligned[number] for number in numbers if number in aligned]


def _unexplained(trace: _Trace, left: list[_Operation]) -> list[_Operation]:
    """Those of `left` from which a way leads to an end without passing what agrees."""
    users: dict[int, set[int]] = {}
    for operation in [*trace.operations, *trace.shadows]:
        for event in operation.operands:
            if trace.number(event) != operation.number:
                users.setdefault(trace.number(event), set()).add(operation.number)
    found: set[int] = set()
    for operation in reversed(left):
        into = users.get(operation.number, set())
        if not into or into & found:
            found.add(operation.number)
    return [o for o in left if o.number in found]


def _unlike(operations: list[_Operation], aligned: set[int]) -> list[_Operation]:
    """Those not aligned, and not the same again as one that is."""
    others = [operations[position] for position in aligned]
    return [
        o
        for position, o in enumerate(operations)
        if position not in aligned and not any(_twins(o, other) for other in others)
    ]


def _twins(one: _Operation, other: _Operation) -> bool:
    """Whether the very same was computed by the same operation."""
    return one is other or (
        one.site.called == other.site.called
        and one.value.shape == other.value.shape
        and bool(np.array_equal(one.value.value, other.value.value, equal_nan=True))
    )


def _gaps(operations: list[_Operation], aligned: set[int]) -> dict[int, int]:
    """For each operation's event, how many aligned ones come before it."""
    found: dict[int, int] = {}
    count = 0
    for position, operation in enumerate(operations):
        count += position in aligned
        found[operation.event] = count
    return found


def _likeness(one: _Site, other: _Site, target: float = 0.5) -> float:
    """How alike two places are named: `target` for what is assigned to, and up to 3/8 for the rest."""
    same_target = one.target == other.target and bool(one.target)
    return (
        target * same_target
        + 0.25 * (one.called.lower() == other.called.lower())
        + 0.125 * (one.function == other.function)
    )


def _outward(trace: _Trace, suspects: set[int], operation: _Operation) -> tuple[_Site, int]:
    """Where to point for an operation, and at which line what leads to it begins.

    One that is made from what agrees stands for itself. Else it is the end of several steps: the
    call of the file's own function that they are in, where that is made from what agrees, or the
    lines from the first step on.
    """
    before = _steps(trace, suspects, operation)
    if not before:
        return operation.site, operation.site.span[0]
    for call in trace.shadows:
        same = call.number == operation.number and not call.site.bare
        if same and not _steps(trace, suspects, call):
            return call.site, call.site.span[0]
    inside = [o.site.span[0] for o in before if o.site.function == operation.site.function]
    return operation.site, min([*inside, operation.site.span[0]])


def _steps(trace: _Trace, suspects: set[int], operation: _Operation) -> list[_Operation]:
    """The suspects that an operation is made from."""
    makers = {o.number: o for o in reversed(trace.operations)}
    found: dict[int, _Operation] = {}
    pending = list(operation.operands)
    while pending:
        number = trace.number(pending.pop())
        maker = makers.get(number)
        if maker is None or number not in suspects or maker.event in found:
            continue
        if maker.event < operation.event and number != operation.number:
            found[maker.event] = maker
            pending += maker.operands
    return list(found.values())


@dataclass(frozen=True)
class _Suspect:
    """An operation of each side; `right` are the cotangents that the port's should pass on."""

    torch: _Operation
    port: _Operation
    right: dict[int, Array]


class _Backward:
    """The search through the cotangents of aligned operations."""

    def __init__(self, search: _Search, trace: _Trace, small: bool) -> None:
        self.search, self.trace = search, trace
        self.counted = {Category.MISMATCH, Category.NAN, Category.SHAPE}
        if small:
            self.counted.add(Category.PRECISION)
        self.theirs, self.precise, self.ours = search.cotangents()

    def find(self) -> Located | None:
        """The first operation, backwards, that gets the right cotangent and gives a wrong one.

        One with which all gradients come right; else one that lets no gradient pass, or lets it,
        where the other side does not.
        """
        search, trace = self.search, self.trace
        theirs, ours = _all(search.torch), _all(trace)
        aligned = search.aligned(theirs, ours)
        suspects: list[_Suspect] = []
        for i, j in sorted(aligned.items(), key=lambda pair: -pair[1]):
            one, other = theirs[i], ours[j]
            if one.value.inexact and self._differs(one.event, other.event) is None:
                wrong = self._passed_on(one, other)
                if wrong:
                    suspects.append(_Suspect(one, other, wrong))
        cuts = [*self._cut(theirs, ours, aligned), *self._extra_cut(theirs, ours, aligned)]
        suspects.sort(key=lambda suspect: -suspect.port.event)
        for suspect in [*cuts, *suspects][:_MAX_SUSPECTS]:
            if suspect.right and self._puts_right(suspect.right):
                return self._located(suspect, True)
        return self._located(cuts[0], False) if cuts else None

    def _passed_on(self, one: _Operation, other: _Operation) -> dict[int, Array]:
        """The right cotangents for what the port's operation is made from, where it gives another.

        Where the port takes several steps, those of all the ways that lead back are summed.
        """
        torch, found = self.search.torch, dict[int, Array]()
        operands: list[int] = one.operands or [one.event]
        ends = self._ends(other, [v for e in operands if (v := self._value(torch, e)) is not None])
        while operands:
            value = self._value(torch, operands[0])
            if value is None or self.theirs.number(operands[0]) == HIDDEN:
                operands = operands[1:]
                continue
            same = [e for e in operands if (v := self._value(torch, e)) and _near(value, v)]
            operands = [e for e in operands if e not in same]
            if any(self.theirs.number(event) == HIDDEN for event in same):
                continue  # a detached copy: by value, which is which cannot be told
            into = [e for e, v in ends.items() if _near(value, v)]
            if not into:
                continue
            right = self._sum(self.theirs, same, value)
            precise = self._sum(self.precise, same, value) if self.precise else None
            compared = _compare(right, self._sum(self.ours, into, value), precise)
            if any(d.category in self.counted for d in compared.differences):
                zero = Array(right.dtype, np.zeros_like(right.value))
                found |= {event: right if event == into[0] else zero for event in into}
        return found

    def _ends(self, operation: _Operation, values: list[Array]) -> dict[int, Array]:
        """The events, back from an operation of the port's, at which one of `values` stands."""
        found: dict[int, Array] = {}
        makers = {o.number: o for o in reversed(self.trace.operations)}
        pending, passed = list(operation.operands or [operation.event]), set[int]()
        while pending:
            event = pending.pop()
            value = self._value(self.trace, event)
            if value is None or event in passed or self.ours.number(event) == HIDDEN:
                continue
            passed.add(event)
            if any(_near(known, value) for known in values):
                found[event] = value
            elif (maker := makers.get(self.trace.number(event))) and maker is not operation:
                pending += maker.operands
        return found

    def _sum(self, trace: _Trace, events: list[int], like: Array) -> Array:
        """The sum of the cotangents of some events."""
        parts = [self._cotangent(trace, event, like).value for event in events]
        return Array(like.dtype, np.sum(parts, axis=0, dtype=parts[0].dtype))

    def _cut(
        self, theirs: list[_Operation], ours: list[_Operation], aligned: dict[int, int]
    ) -> Iterator[_Suspect]:
        """Operations of torch's that pass no gradient on, and that the port has not."""
        torch = self.search.torch
        for i, one in enumerate(theirs):
            hidden = [self.theirs.number(event) == HIDDEN for event in (one.event, *one.operands)]
            if i in aligned or not hidden[0] or all(hidden):
                continue
            for k, j in sorted(aligned.items()):
                users, others = theirs[k].operands, ours[j].operands
                if len(users) != len(others):
                    continue
                for user, event in zip(users, others, strict=True):
                    value = self._value(self.trace, event)
                    given = event in self.ours.cotangents
                    if torch.number(user) == one.number and value is not None and given:
                        zero = Array(value.dtype, np.zeros_like(value.value))
                        yield _Suspect(one, ours[j], {event: zero})

    def _extra_cut(
        self, theirs: list[_Operation], ours: list[_Operation], aligned: dict[int, int]
    ) -> Iterator[_Suspect]:
        """Operations of the port that pass no gradient on, where torch passes it."""
        taken = set(aligned.values())
        for j, other in enumerate(ours):
            seen = [e for e in other.operands if self._value(self.trace, e) is not None]
            hidden = [self.ours.number(event) == HIDDEN for event in (other.event, *seen)]
            if j in taken or not hidden[0] or all(hidden):
                continue
            for i, k in sorted(aligned.items()):
                if other.event in ours[k].operands and theirs[i].event in self.theirs.cotangents:
                    yield _Suspect(theirs[i], other, {})

    def _value(self, trace: _Trace, event: int) -> Array | None:
        number = trace.number(event)
        return trace.values[number] if number >= 0 and trace.values[number].inexact else None

    @staticmethod
    def _cotangent(trace: _Trace, event: int, like: Array) -> Array:
        """The cotangent of an event; zero where none arrived."""
        found = trace.cotangents.get(event)
        return found if found is not None else Array(like.dtype, np.zeros_like(like.value))

    def _differs(self, one: int, other: int) -> Comparison | None:
        """What differs between two cotangents, by their events; None where nothing does."""
        value, mine = self._value(self.search.torch, one), self._value(self.trace, other)
        if value is None or mine is None:
            return None
        if HIDDEN in (self.theirs.number(one), self.ours.number(other)):
            return None
        precise = self.precise and self._cotangent(self.precise, one, value)
        found = _compare(
            self._cotangent(self.theirs, one, value),
            self._cotangent(self.ours, other, mine),
            precise,
        )
        return found if any(d.category in self.counted for d in found.differences) else None

    def _located(self, suspect: _Suspect, certain: bool) -> Located:
        found = Comparison()
        for event, right in suspect.right.items():
            found.add(_compare(right, self._cotangent(self.ours, event, right), None))
        fault = _Fault(suspect.torch, suspect.port, suspect.port.site.span[0])
        return _located(fault, "gradient", found, certain, [])

    def _puts_right(self, right: dict[int, Array]) -> bool:
        """Whether all gradients agree with the right cotangents in their places."""
        try:
            outcome = self.search.ported(right, cotangents=True).outcome
        except _OvertimeError:
            return False
        if outcome["error"] is not None:
            return False
        for key in ("input_gradients", "weight_gradients"):
            theirs, ours = self.theirs.outcome.get(key), outcome[key]
            if theirs is None or ours is None:
                return False
            precise: dict[str, Array] = (
                (self.precise.outcome.get(key) or {}) if self.precise else {}
            )
            for name in theirs.keys() & ours.keys():
                found = _compare(theirs[name], ours[name], precise.get(name))
                if any(d.category in self.counted for d in found.differences):
                    return False
        return True


def _all(trace: _Trace) -> list[_Operation]:
    """Operations together with names that are assigned, in order."""
    named = [o for o in trace.shadows if o.site.bare and o.site.target]
    return sorted([*trace.operations, *named], key=lambda o: o.event)[:_MAX_OPERATIONS]


def _near(one: Array, other: Array) -> bool:
    """Whether a sample says that two values may agree, before they are compared in earnest."""
    if one.shape != other.shape or one.inexact != other.inexact:
        return False
    if one.value.size == 0:
        return True
    step = max(1, one.value.size // _SAMPLE)
    a, b = one.value.reshape(-1)[::step], other.value.reshape(-1)[::step]
    if not one.inexact:
        return bool(np.array_equal(a, b))
    with np.errstate(all="ignore"):
        distance, scale = np.abs(a - b), np.abs(a).max()
        return not bool((distance > _FAR * scale).any())


def _compare(torch: Array, port: Array, reference: Array | None) -> Comparison:
    """The two as values: a dtype that differs inside shows in what is returned, or it does not."""
    return compare(torch, Array(torch.dtype, port.value), reference)


def _located(
    fault: _Fault,
    of: Literal["value", "gradient"],
    found: Comparison,
    certain: bool,
    further: list[tuple[int, int]],
) -> Located:
    source, port = fault.torch.site, fault.port.site
    worst = found.differences[0] if found.differences else None
    return Located(
        of=of,
        source_line=source.span[0],
        port_line=port.span[0],
        port_first_line=fault.first_line,
        source_text=source.text,
        port_text=port.text,
        source_statement=source.statement[2],
        port_statement=port.statement[2],
        index=worst.index if worst else None,
        torch=worst.torch if worst else None,
        port=worst.port if worst else None,
        reference=worst.reference if worst else None,
        certainty="certain" if certain else "likely",
        further=further,
    )
