"""One definition, end to end: prepare it in torch, run both sides, judge what came back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from torchport_checks.compare import Comparison, compare
from torchport_checks.draws import Case, redraw
from torchport_checks.judging import SPEC, judge
from torchport_checks.lanes import Lane, LaneFailure, RemoteError
from torchport_checks.options import CheckOptions
from torchport_checks.subject import (
    Definition,
    Form,
    Outcome,
    Subject,
    Unchecked,
    at_line,
)
from torchport_checks.verdicts import (
    Category,
    DefinitionVerdict,
    Difference,
    Gradients,
    Inputs,
    Stages,
    Status,
    Variant,
)
from torchport_checks.worker.protocol import Array, Opaque, leaves

_INT32 = np.iinfo(np.int32)
# What a port raises under a trace where it needs a value that is known only when it runs.
_UNTRACEABLE = {
    "ConcretizationTypeError",
    "NonConcreteBooleanIndexError",
    "NotCompilable",  # MLX's have no type of their own: its lane says so
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
    "TraceContextError",
}


@dataclass
class Lanes:
    """The lanes of one check: the original's and the port's, the first of each is compared first."""

    torch: list[Lane]
    port: list[Lane]

    def all(self) -> list[Lane]:
        """Every lane."""
        return [*self.torch, *self.port]


@dataclass
class _Result:
    """What is known so far of one definition's verdict."""

    definition: Definition
    status: Status = "verified"
    category: Category | None = None
    message: str = ""
    stages: Stages = field(default_factory=Stages)
    gradients: Gradients = field(default_factory=Gradients)
    inputs: Inputs | None = None
    variants: list[Variant] = field(default_factory=list[Variant])
    comparison: Comparison = field(default_factory=Comparison)
    output: str = ""
    ended: bool = False
    """Whether the outcome is set, and there is nothing more to compare."""

    def verdict(self, seconds: float) -> DefinitionVerdict:
        """The verdict as it stands."""
        return DefinitionVerdict(
            name=self.definition.name,
            kind=self.definition.kind,
            source_line=self.definition.line,
            port_line=self.definition.port_line,
            status=self.status,
            category=self.category,
            message=self.message,
            stages=self.stages,
            largest=self.comparison.largest,
            gradients=self.gradients,
            inputs=self.inputs,
            variants=self.variants,
            differences=self.comparison.differences,
            notes=self.comparison.notes,
            output=self.output,
            seconds=seconds,
        )

    def fail(self, status: Status, category: Category, message: str, output: str = "") -> None:
        """Set the outcome, where the check ends before the comparison."""
        self.status, self.category, self.message, self.output = status, category, message, output
        self.ended = True
        if status != "not_run":
            self.stages = Stages(spec="failed")

    def note(self, note: str) -> None:
        """Add a note, once."""
        if note not in self.comparison.notes:
            self.comparison.notes.append(note)


def examine(definition: Definition, lanes: Lanes, options: CheckOptions) -> DefinitionVerdict:
    """Check one definition of the files that all lanes have loaded.

    Never raises for what the code does: a crash, a hang or an error is the verdict. After a crash,
    a hang or too much memory (see the verdict's category) the caller loads the files again.
    """
    start = time.perf_counter()
    result = _Result(definition)
    try:
        _examine(result, lanes, options)
    except Unchecked as unchecked:
        result.fail(unchecked.status, unchecked.category, f"{unchecked}", unchecked.output)
    except LaneFailure as failure:
        result.fail("error", failure.category, f"{failure}", failure.output)
    return result.verdict(time.perf_counter() - start)


def _examine(result: _Result, lanes: Lanes, options: CheckOptions) -> None:
    subject = Subject(result.definition, lanes.torch[0], options)
    result.inputs = subject.inputs
    cases = plan(subject)
    port, form = lanes.port[0], options.forms[0]
    if port.framework == "jax":
        _note_overflow(result, cases)
    expected, actual = subject.run(port, form, cases)
    for note in subject.notes:
        result.note(note)
    if form == "compiled" and (variant := _not_compilable(port, expected, actual)):
        result.variants.append(variant)
        form = "eager"
        actual = subject.run_port(port, form, cases)
    compared, random = _judge(result, subject, cases, expected, actual)
    if result.ended:
        return
    result.variants.append(_variant(port, form, _wrong(result.comparison.differences)))
    few = [n for n, case in enumerate(cases) if n == 0 or case.train]
    known = {(v.device, v.form) for v in result.variants}
    for lane in lanes.port:
        for other in options.forms:
            if (lane.device, other) not in known:
                _examine_variant(
                    result,
                    subject,
                    lane,
                    other,
                    [cases[n] for n in few],
                    [expected[n] for n in few],
                )
    for lane in lanes.torch[1:]:
        _examine_device(result, subject, lane, cases[0], expected[0])
    _conclude(result, compared, random)


def plan(subject: Subject) -> list[Case]:
    """The cases to run: each draw in eval mode, then train mode where it is worth it."""
    options = subject.options
    draws = options.draws[:1] if subject.error or subject.large else options.draws
    cases = [Case(draw, redraw(draw, subject.call, options.seed)) for draw in draws]
    if options.train and subject.trains and not subject.error:
        cases.append(Case(cases[0].draw, cases[0].call, train=True))
    return cases


def _judge(
    result: _Result,
    subject: Subject,
    cases: Sequence[Case],
    expected: Sequence[Outcome],
    actual: Sequence[Outcome],
) -> tuple[list[str], bool]:
    """Judge each case; the labels of those that were compared, and whether any was random."""
    compared: list[str] = []
    random = False
    for number, (case, theirs, ours) in enumerate(zip(cases, expected, actual, strict=True)):
        base = number == 0
        if theirs["error"] is not None:
            if base and not _error_parity(result, theirs, ours):
                return compared, random
            if base:
                compared.append(case.label)
            else:
                result.note(f"{case.label}: not compared, the original raises.")
            continue
        if base and (nothing := _nothing(theirs)):
            result.fail("not_run", Category.NOTHING, nothing)
            return compared, random
        if not base and not _finite(theirs["output"]):
            result.note(f"{case.label}: not compared, the original is not finite.")
            continue
        if ours["error"] is not None:
            error = RemoteError(ours["error"])
            message = f"The port raises{at_line(error.line)} ({case.label}): {error}"
            result.fail("diverged", Category.PORT_ERROR, message, error.traceback)
            return compared, random
        if theirs["random"]:
            random = True
            if base:
                _shapes_only(result, theirs, ours)
                return compared, random
            continue
        judged = judge(subject, case, theirs, ours)
        result.comparison.add(judged.comparison)
        result.gradients = result.gradients.joined(judged.gradients)
        if judged.compared:
            compared.append(case.label)
    return compared, random


def _examine_variant(
    result: _Result,
    subject: Subject,
    lane: Lane,
    form: Form,
    cases: Sequence[Case],
    expected: Sequence[Outcome],
) -> None:
    """Run the port in another form or on another device, and add what differs there."""
    actual = subject.run_port(lane, form, cases)
    if variant := _not_compilable(lane, expected, actual):
        result.variants.append(variant)
        return
    wrong: list[Difference] = []
    for case, theirs, ours in zip(cases, expected, actual, strict=True):
        if theirs["error"] is not None or theirs["random"]:
            continue
        if ours["error"] is not None:
            error = RemoteError(ours["error"])
            variant = _variant(lane, form, [], "fails", f"{error}", error.line)
            result.variants.append(variant)
            where = f"{form}, on {lane.framework}'s {lane.device}, {case.label}"
            message = f"The port raises{at_line(error.line)} ({where}): {error}"
            result.fail("diverged", Category.PORT_ERROR, message, error.traceback)
            return
        found = judge(subject, case, theirs, ours).comparison
        wrong += _wrong(found.differences)
    result.variants.append(_variant(lane, form, wrong))
    result.comparison.differences += [
        d.model_copy(update={"case": f"{d.case}, {form} on {lane.device}"}) for d in wrong
    ]


def _examine_device(
    result: _Result, subject: Subject, lane: Lane, case: Case, expected: Outcome
) -> None:
    """Compare torch on another device with torch: what differs there is not the port's doing."""
    subject.prepare_source(lane)
    (outcome,) = subject.submit_source([case], lane=lane).result()
    if expected["error"] is not None or expected["random"]:
        return
    if outcome["error"] is not None:
        error = RemoteError(outcome["error"])
        result.note(f"torch on {lane.device} raises, and on {subject.torch.device} not: {error}")
        return
    for difference in judge(subject, case, expected, outcome).comparison.differences:
        result.note(
            f"torch on {lane.device} differs from torch on {subject.torch.device}, whatever the "
            f"port does: {difference.where}: {difference.message}"
        )


def _not_compilable(
    lane: Lane, expected: Sequence[Outcome], actual: Sequence[Outcome]
) -> Variant | None:
    """The variant of a port that needs values under a trace; None where it can be compiled."""
    for theirs, ours in zip(expected, actual, strict=True):
        if theirs["error"] is None and ours["error"] is not None:
            error = RemoteError(ours["error"])
            if error.type in _UNTRACEABLE:
                message = f"{error}".split("\n")[0]
                return _variant(lane, "compiled", [], "not_compilable", message, error.line)
    return None


def _variant(
    lane: Lane,
    form: Form,
    wrong: Sequence[Difference],
    status: str = "",
    message: str = "",
    line: int | None = None,
) -> Variant:
    if wrong and not message:
        message = f"{wrong[0].where} ({wrong[0].case}): {wrong[0].message}"
    return Variant.model_validate(
        {
            "framework": lane.framework,
            "device": lane.device,
            "form": form,
            "status": status or ("differs" if wrong else "equal"),
            "message": message,
            "line": line,
        }
    )


def _wrong(differences: Sequence[Difference]) -> list[Difference]:
    return [d for d in differences if d.category is not Category.ILL_CONDITIONED]


def _conclude(result: _Result, compared: list[str], random: bool) -> None:
    if result.ended:
        return
    if result.inputs is not None:
        result.inputs = result.inputs.model_copy(update={"draws": compared})
    if random:
        result.note("Train mode is random in the original; it was not compared.")
    # One difference per place is enough to read; the first case shows it with the plainest inputs.
    seen: dict[tuple[str, Category], Difference] = {}
    for difference in result.comparison.differences:
        seen.setdefault((difference.where, difference.category), difference)
    differences = sorted(seen.values(), key=lambda d: d.where.startswith("gradient"))
    result.comparison.differences = differences
    wrong = _wrong(differences)
    if wrong:
        worst = wrong[0]
        spec = any(d.category in SPEC for d in wrong)
        result.stages = Stages(
            spec="failed" if spec else "passed",
            numeric="failed" if any(d.category not in SPEC for d in wrong) else "not_run",
        )
        result.status, result.category = "diverged", worst.category
        more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
        result.message = f"{worst.where} ({worst.case}): {worst.message}{more}"
        return
    result.stages = Stages(spec="passed", numeric="passed")
    if differences:
        result.category = Category.ILL_CONDITIONED
        result.note(f"{differences[0].where}: differs, but no more than rounding would make it.")
    for variant in result.variants:
        if variant.status == "not_compilable":
            result.note(
                f"It works eagerly, and cannot be compiled: line {variant.line or '?'} of the port "
                f"needs a value that is known only when it runs ({variant.message})."
            )
    equal = "outputs and gradients" if result.gradients.status == "equal" else "outputs"
    result.message = result.message or f"{equal} equal in {len(compared)} runs".capitalize()


def _nothing(theirs: Outcome) -> str:
    """Why there is nothing to compare, or an empty string."""
    if theirs["modules"]:
        return "It returns a module; it is checked through what uses it."
    empty = all(leaf is None or isinstance(leaf, Opaque) for _, leaf in leaves(theirs["output"]))
    return "It returns nothing that could be compared." if empty and not theirs["buffers"] else ""


def _error_parity(result: _Result, theirs: Outcome, ours: Outcome) -> bool:
    """Whether both raise where the original means to; the verdict is set where they do not."""
    error = RemoteError(theirs["error"])
    if not theirs["error"]["deliberate"]:
        message = f"The original fails on these inputs{at_line(error.line)}: {error}"
        result.fail("error", Category.SOURCE_ERROR, message, error.traceback)
        return False
    if ours["error"] is None:
        message = f"The original raises{at_line(error.line)} ({error}); the port does not."
        result.fail("diverged", Category.MISSING_ERROR, message)
        return False
    result.message = f"Both raise; the original {error.type}."
    return True


def _shapes_only(result: _Result, theirs: Outcome, ours: Outcome) -> None:
    comparison = compare(theirs["output"], ours["output"])
    spec = [d for d in comparison.differences if d.category in SPEC]
    if spec:
        result.comparison.differences = spec
        _conclude(result, [], False)
    else:
        result.fail(
            "not_run",
            Category.RANDOM,
            "Random in the original; structure, shapes and dtypes match.",
        )
        result.stages = Stages(spec="passed")
    result.ended = True


def _note_overflow(result: _Result, cases: Sequence[Case]) -> None:
    for case in cases:
        for path, leaf in leaves([case.call.args, case.call.kwargs]):
            if isinstance(leaf, Array) and leaf.dtype == "int64" and leaf.value.size:
                low, high = leaf.value.min(), leaf.value.max()
                if low < _INT32.min or high > _INT32.max:
                    result.note(
                        f"Warning: an input ({path}) holds integers beyond 32 bits, which JAX cannot "
                        "hold by default."
                    )
                    return


def _finite(value: Any) -> bool:
    return all(
        bool(np.isfinite(leaf.value).all())
        for _, leaf in leaves(value)
        if isinstance(leaf, Array) and leaf.inexact
    )
