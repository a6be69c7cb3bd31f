"""One case, judged: what both sides made of the same call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from torchport_checks.compare import Comparison, compare
from torchport_checks.draws import HALVES, Case
from torchport_checks.subject import Outcome, Subject
from torchport_checks.verdicts import Category, Difference, Errors, Gradients
from torchport_checks.worker.protocol import Array, leaves

NUMERIC = {Category.MISMATCH, Category.PRECISION, Category.NAN}
SPEC = {Category.STRUCTURE, Category.SHAPE, Category.DTYPE, Category.MISSING_ERROR}

_JITTERS = 4
_ROUNDINGS = 4
_KINK_SCALES = (-24, -23, -22, -21)
_OPEN_ORDER = (
    "{}: not compared, torch leaves open in which order {} puts equal elements, and the results "
    "differ in it."
)
_INEXACT = {Category.MISMATCH, Category.PRECISION}
_ODD = {"nan", "inf"}
_UNDIFFERENTIATED = {*_ODD, "out_of_range"}
# Far from zero gradients vanish, and near it they may, and what is left is the rounding of what led
# there: nothing beside the gradients of ordinary inputs.
_RESIDUE = 4 * 2.0**-23
_UNDEFINED = "{}: not compared, torch leaves undefined what {} gives for such values."
_SUBGRADIENT = (
    "{}: gradients not compared, {} may give the gradient to any of the elements that are equal, or "
    "that are written to one place."
)


@dataclass
class Judged:
    """What was found in one case.

    Attributes:
        comparison: of outputs, buffers and gradients; `largest` does not count the gradients.
        compared: whether the values could be compared.
    """

    comparison: Comparison = field(default_factory=Comparison)
    gradients: Gradients = field(default_factory=Gradients)
    compared: bool = True

    @property
    def wrong(self) -> bool:
        """Whether something differs that rounding does not explain."""
        return any(d.category is not Category.ILL_CONDITIONED for d in self.comparison.differences)


def judge(subject: Subject, case: Case, theirs: Outcome, ours: Outcome) -> Judged:
    """Compare what both sides gave, where neither raised.

    Raises:
        LaneFailure: the torch lane was asked for more, and does not answer.
    """
    return _Judging(subject, case, theirs, ours).judge()


class _Judging:
    def __init__(self, subject: Subject, case: Case, theirs: Outcome, ours: Outcome) -> None:
        self.subject, self.case, self.theirs, self.ours = subject, case, theirs, ours
        self.judged = Judged()
        self.reference: dict[str, Any] = theirs["reference"]
        self._jittered: list[Outcome] = []
        self._rounded: list[Outcome] = []
        self._beside: list[Outcome] = []

    def judge(self) -> Judged:
        """Outputs, buffers, then gradients."""
        notes = self.judged.comparison.notes
        if self.reference["error"] is not None:
            error = self.reference["error"]
            reason = f"{error['type']}: {error['message']}".splitlines()[0][:200]
            notes.append(f"The original does not run in float64 ({reason}).")
            self.reference = {}
        values = self._values()
        values.add(self._arguments())
        numeric = {d.category for d in values.differences} & NUMERIC
        tied = self.case.tied
        if numeric and self.case.draw != "normal":
            left_open = self._ties()
            if tied and (unordered := left_open["unordered"]):
                notes.append(_OPEN_ORDER.format(self.case.label, " and ".join(unordered)))
                self.judged.compared = False
                return self.judged
            if undefined := left_open["undefined"]:
                notes.append(_UNDEFINED.format(self.case.label, " and ".join(undefined)))
                self.judged.compared = False
                return self.judged
            if self.case.draw in _ODD and not left_open["selecting"]:
                self._leaks(values)
        self._excuse(values)
        self.judged.compared = not _nothing_learnt(self.theirs["output"])
        self.judged.comparison.add(values)
        spec = {d.category for d in values.differences} & SPEC
        if not spec and self._gradients_wanted() and self._differentiable():
            agree = all(d.category is Category.ILL_CONDITIONED for d in values.differences)
            self._gradients(tied, agree)
        return self.judged

    def _gradients_wanted(self) -> bool:
        """Whether gradients are compared: not beside NaN and infinities that the draw brings about,
        where they are what the way there makes of 0 * inf."""
        if not (self.subject.options.gradients and self.case.gradients):
            return False
        if self.case.draw == "normal":
            return True
        return self.case.draw not in _UNDIFFERENTIATED and finite(self.theirs["output"])

    def _excuse(self, values: Comparison) -> None:
        """Turn into notes what the draw brings about, rather than the port.

        That is an overflow of 32 bits where the draw provokes it, since torch sums in 64; and other
        values in half precision, which the caller never asked for: that the port agrees in single is
        known from other draws, and how it rounds in half is up to it.
        """
        kept: list[Difference] = []
        for difference in values.differences:
            torch, port = difference.torch, difference.port
            rounds = self.case.draw in HALVES and difference.category in _INEXACT
            wraps = (
                self.case.draw == "extremes"
                and isinstance(torch, float)
                and isinstance(port, float)
                and (torch - port) % 2**32 == 0
            )
            if rounds or wraps:
                values.notes.append(f"{difference.where} ({difference.case}): {difference.message}")
            else:
                kept.append(difference)
        values.differences = kept

    def _leaks(self, values: Comparison) -> None:
        """Turn into notes where the port makes NaN of what torch keeps finite, and torch does not
        choose among values: an algorithm that multiplies what it has no need of by zero."""
        for difference in list(values.differences):
            leaked = difference.category is Category.NAN and isinstance(difference.torch, float)
            if leaked and difference.port == "nan":
                values.notes.append(f"{difference.where} ({difference.case}): {difference.message}")
                values.differences.remove(difference)

    def _differentiable(self) -> bool:
        """Whether there are gradients to compare; if not, the judged gradients say why."""
        if self.theirs["input_gradients"] is None or self.ours["input_gradients"] is None:
            reason = self.theirs["reason"] or self.ours.get("reason")
            reason = reason or "the port has nothing to differentiate"
            self.judged.gradients = Gradients(reason=reason)
            if self.theirs["input_gradients"] is not None and self.ours.get("reason"):
                self.judged.comparison.notes.append(f"Gradients not compared: {reason}")
            return False
        return True

    def _values(self) -> Comparison:
        theirs, ours, label = self.theirs, self.ours, self.case.label
        values = compare(
            theirs["output"],
            ours["output"],
            self.reference.get("output"),
            case=label,
            sensitivity=lambda: self._sensitivity("output"),
            rounded=lambda: self._rounding("output"),
            guarded=self.case.draw in _ODD,
            halved=self.case.draw in HALVES,
        )
        buffers: dict[str, Array] = theirs["buffers"]
        doubled: dict[str, Array] = self.reference.get("buffers") or {}
        for name in sorted(buffers.keys() & ours["buffers"].keys()):
            values.add(
                compare(
                    buffers[name],
                    ours["buffers"][name],
                    doubled.get(name),
                    where=f"{name} after the step",
                    case=label,
                    sensitivity=lambda name=name: [b[name] for b in self._sensitivity("buffers")],
                    rounded=lambda name=name: [b[name] for b in self._rounding("buffers")],
                )
            )
        return values

    def _arguments(self) -> Comparison:
        """What both sides leave in their arguments. A JAX function cannot change one."""
        found = Comparison()
        theirs: dict[str, Array] = self.theirs["mutated"]
        ours: dict[str, Array] = self.ours.get("mutated", {})
        doubled: dict[str, Array] = self.reference.get("mutated") or {}
        does = "the port does not" if "mutated" in self.ours else "a JAX function cannot do"
        for path, array in theirs.items():
            if path not in ours:
                found.notes.append(
                    f"The original changes its argument {path} in place, which {does}: callers must "
                    "use what the port returns."
                )
                continue
            found.add(
                compare(
                    array,
                    ours[path],
                    doubled.get(path),
                    where=f"{path} after the call",
                    case=self.case.label,
                    sensitivity=lambda path=path: [
                        m[path] for m in self._sensitivity("mutated") if path in m
                    ],
                    rounded=lambda path=path: [
                        m[path] for m in self._rounding("mutated") if path in m
                    ],
                )
            )
        for path in ours.keys() - theirs.keys():
            found.differences.append(
                Difference(
                    category=Category.MISMATCH,
                    where=f"{path} after the call",
                    case=self.case.label,
                    message="the port changes its argument in place, the original does not",
                )
            )
        return found

    def _gradients(self, tied: bool, agree: bool) -> None:
        gradients, found = self._compare_gradients(self._kinks if agree else None)
        categories = {d.category for d in found.differences}
        if agree and categories & NUMERIC == {Category.MISMATCH}:
            ties = self._ties()
            pooling = ties["pooling"] if "mutated" in self.ours else []  # MLX's shares it
            tied_by = {*ties["unordered"], *ties["picking"], *pooling} if tied else set[str]()
            if picking := sorted({*tied_by, *ties["repeating"]}):
                note = _SUBGRADIENT.format(self.case.label, " and ".join(picking))
                self.judged.comparison.notes.append(note)
                return
        self.judged.gradients = gradients
        self.judged.comparison.add(found)

    def _compare_gradients(
        self, kinks: Callable[[str, str], Iterator[Any]] | None
    ) -> tuple[Gradients, Comparison]:
        """All gradients of the case, and what differs in them."""
        theirs, ours = self.theirs, self.ours
        differences = Comparison()
        errors: dict[str, dict[str, Errors]] = {"input_gradients": {}, "weight_gradients": {}}
        differs = False
        for key, largest in errors.items():
            doubled: dict[str, Array] = self.reference.get(key) or {}
            for name, gradient in theirs[key].items():
                other = ours[key].get(name)
                if other is None:
                    continue
                found = compare(
                    gradient,
                    other,
                    doubled.get(name),
                    where=f"gradient of {name}",
                    case=self.case.label,
                    sensitivity=lambda key=key, name=name: [
                        g[name] for g in self._sensitivity(key) if g is not None
                    ],
                    rounded=lambda key=key, name=name: [
                        g[name] for g in self._rounding(key) if g is not None
                    ],
                    kinks=kinks and functools.partial(kinks, key, name),
                    # What torch has no number for may have one: a port's guards are no fault.
                    guarded=self.case.draw != "normal",
                    floor=_RESIDUE * self.subject.usual.get(name, 0.0),
                )
                if self.case.draw == self.subject.options.draws[0]:
                    largest_here = np.abs(gradient.value).max(initial=0.0)
                    if np.isfinite(largest_here):
                        self.subject.usual.setdefault(name, float(largest_here))
                differs = differs or any(
                    d.category is not Category.ILL_CONDITIONED for d in found.differences
                )
                largest[name] = found.largest
                found.largest = Errors()  # that of outputs is kept apart from that of gradients
                differences.add(found)
        gradients = Gradients(
            status="differ" if differs else "equal",
            inputs=errors["input_gradients"],
            parameters=errors["weight_gradients"],
        )
        return gradients, differences

    def _jitter(self, gradients: bool, **how: Any) -> list[Outcome]:
        """The original's float64 outcomes with inputs and weights moved."""
        return self.subject.torch.request(
            "jitter",
            timeout=self.subject.options.timeout,
            call=self.case.wire(),
            train=self.case.train,
            gradients=gradients,
            times=_JITTERS,
            **how,
        )

    def _sensitivity(self, key: str) -> Sequence[Any]:
        if not self._jittered:
            outcomes = self._jitter(self.subject.options.gradients)
            self._jittered.extend(o for o in outcomes if o["error"] is None)
        return [outcome[key] for outcome in self._jittered]

    def _rounding(self, key: str) -> Sequence[Any]:
        """Outcomes of the original in float64 that round at random."""
        if not self._rounded:
            outcomes = self.subject.torch.request(
                "rounded",
                timeout=self.subject.options.timeout,
                call=self.case.wire(),
                train=self.case.train,
                gradients=self.subject.options.gradients,
                times=_ROUNDINGS,
            )
            self._rounded.extend(o for o in outcomes if o["error"] is None)
        return [outcome[key] for outcome in self._rounded]

    def _kinks(self, key: str, name: str) -> Iterator[Any]:
        for number in range(len(_KINK_SCALES) * _JITTERS):
            if number == len(self._beside):
                scale = _KINK_SCALES[number // _JITTERS]
                self._beside.extend(self._jitter(True, scale=scale, keep_round=True))
            if self._beside[number]["error"] is None and self._beside[number][key] is not None:
                yield self._beside[number][key][name]

    def _ties(self) -> dict[str, list[str]]:
        return self.subject.torch.request(
            "ties",
            timeout=self.subject.options.timeout,
            call=self.case.wire(),
            train=self.case.train,
        )


def finite(value: Any) -> bool:
    """Whether all floating-point numbers of a result are."""
    return all(
        bool(np.isfinite(leaf.value).all())
        for _, leaf in leaves(value)
        if isinstance(leaf, Array) and leaf.inexact
    )


def _nothing_learnt(value: Any) -> bool:
    """Whether there are values, and all are NaN."""
    found = [leaf for _, leaf in leaves(value) if isinstance(leaf, Array) and leaf.value.size]
    return bool(found) and all(leaf.inexact and np.isnan(leaf.value).all() for leaf in found)
