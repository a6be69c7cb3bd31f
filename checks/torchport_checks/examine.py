"""One definition, end to end: prepare it in torch, run both sides, judge what came back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from torchport_checks.behaviour import initial_values, sample, train
from torchport_checks.compare import Comparison, compare
from torchport_checks.draws import HALVES, SHAPES, Case, redraw
from torchport_checks.judging import NUMERIC, SPEC, Judged, judge
from torchport_checks.lanes import Lane, LaneFailure, RemoteError
from torchport_checks.locate import locate
from torchport_checks.options import QUICK
from torchport_checks.pair import Lanes, Pair
from torchport_checks.replay import Replays
from torchport_checks.search import search
from torchport_checks.shrink import shrink_first
from torchport_checks.sizes import resizings
from torchport_checks.subject import (
    Definition,
    Form,
    Outcome,
    Subject,
    Unchecked,
    at_line,
)
from torchport_checks.variants import UNTRACEABLE, explain, graph_variants, variant_of
from torchport_checks.verdicts import (
    Category,
    DefinitionVerdict,
    Difference,
    Gradients,
    Inputs,
    Located,
    Smallest,
    Stages,
    Status,
    Variant,
)
from torchport_checks.worker.protocol import Array, Opaque, leaves

_INT32 = np.iinfo(np.int32)


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
    smallest: Smallest | None = None
    failing: tuple[Case, list[Difference]] | None = None
    """The first case in which something is wrong, and what."""
    located: Located | None = None
    output: str = ""
    behavioural: Literal["passed", "failed", "not_run"] = "not_run"
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
            smallest=self.smallest,
            located=self.located,
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


def examine(
    definition: Definition, pair: Pair, replays: Replays | None = None
) -> DefinitionVerdict:
    """Check one definition of a pair that is loaded.

    Never raises for what the code does: a crash, a hang or an error is the verdict. A lane's process
    may be another one afterwards (see `Pair.loaded_by`): the caller then loads the files again.

    Args:
        replays: where the smallest failing input is kept.
    """
    start = time.perf_counter()
    result = _Result(definition)
    try:
        _examine(result, pair, replays)
    except Unchecked as unchecked:
        result.fail(unchecked.status, unchecked.category, f"{unchecked}", unchecked.output)
    except LaneFailure as failure:
        fewer = _with_fewer_draws(pair)
        if fewer is not None:
            verdict = examine(definition, fewer, replays)
            told = f"Warning: only {', '.join(fewer.options.draws)} were run: {failure}"
            notes = verdict.notes if verdict.status == "error" else [*verdict.notes, told]
            seconds = time.perf_counter() - start
            return verdict.model_copy(update={"notes": notes, "seconds": seconds})
        result.fail("error", failure.category, f"{failure}", failure.output)
    return result.verdict(time.perf_counter() - start)


def _with_fewer_draws(pair: Pair) -> Pair | None:
    """The pair, loaded anew, with draws left out of which one may have ended a lane: first that of
    nothing, with which most loops without end and faults in native code come, then all but the plain
    ones. None where there are no fewer, or the lanes do not start again."""
    draws = pair.options.draws
    plain = tuple(draw for draw in draws if draw in QUICK)
    fewer = tuple(draw for draw in draws if draw != "empty")
    for left in (fewer, plain, draws[:1]):
        if 0 < len(left) < len(draws):
            found = replace(pair, options=pair.options.model_copy(update={"draws": left}))
            try:
                found.load()
            except (LaneFailure, RemoteError):
                return None
            return found
    return None


def _examine(result: _Result, pair: Pair, replays: Replays | None) -> None:
    lanes, options = pair.lanes, pair.options
    subject = Subject(result.definition, lanes.torch[0], options)
    result.inputs = subject.inputs
    cases = plan(subject)
    port = lanes.port[0]
    # All draws run in the first form. MLX compiles for the CPU with a C++ compiler: that comes last.
    forms = sorted(options.forms, key=lambda form: port.framework == "mlx" and form == "compiled")
    form = forms[0]
    if port.framework == "jax":
        _note_overflow(result, cases)
    hurried = port.framework == "jax" and form == "compiled"
    expected, actual = subject.run(port, "hurried" if hurried else form, cases)
    for note in subject.notes:
        result.note(note)
    if form == "compiled" and (error := _untraceable(expected, actual)):
        result.variants.append(variant_of(port, form, [], error=error))
        form = "eager"
        actual = subject.run_port(port, form, cases)
        hurried = False
    compared, random = _judge(result, subject, port, cases, expected, actual, hurried)
    if result.ended:
        return
    if "strided" in options.draws and not subject.error and not random:
        _examine_strides(result, subject, cases[0], expected[0])
    result.variants.append(variant_of(port, form, _wrong(result.comparison.differences)))
    few = [n for n, case in enumerate(cases) if n == 0 or case.train]
    known = {(v.device, v.form) for v in result.variants}
    for lane in lanes.port:
        for other in forms:
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
    if options.search and compared and not _wrong(result.comparison.differences):
        cases += _search(result, subject, port, form, pair)
    if options.behaviour and not _wrong(result.comparison.differences) and not subject.error:
        _behave(result, subject, port, Case(cases[0].draw, cases[0].call, train=True), random)
    elif random:
        result.note("Train mode is random in the original; it was not compared.")
    if options.graphs:
        _compare_graphs(result, subject, pair, cases[0], expected[0])
    _conclude(result, compared)
    if not result.ended:
        _explain(result, subject, lanes, form, cases, replays)


def _explain(
    result: _Result,
    subject: Subject,
    lanes: Lanes,
    form: Form,
    cases: Sequence[Case],
    replays: Replays | None,
) -> None:
    """Where a difference begins, and the smallest input that shows it; what fails is left out."""
    if subject.options.locate and result.failing is not None:
        try:
            result.located = locate(subject, lanes.port[0], *result.failing)
        except LaneFailure:
            return  # the verdict stands; the lane needs the files again before anything else
    found, keep = result.comparison.differences, replays.keep if replays else None
    result.smallest = shrink_first(subject, lanes.port, form, cases, found, keep)


def _compare_graphs(
    result: _Result, subject: Subject, pair: Pair, case: Case, expected: Outcome
) -> None:
    variants = graph_variants(pair, subject, case, expected)
    known = {(v.framework, v.device, v.form) for v in result.variants}
    result.variants += [
        v
        for v in variants
        if v.graph == "rewritten" or (v.framework, v.device, v.form) not in known
    ]
    if told := explain(variants):
        result.note(told)


def _behave(result: _Result, subject: Subject, port: Lane, case: Case, random: bool) -> None:
    """Training steps, the distribution of what is random in train mode, and initial values."""
    ran: list[Comparison | None] = []
    if subject.differentiable and not random and not subject.large:
        ran.append(train(subject, port, case))
    if random or subject.drops:
        ran.append(sample(subject, port, case))
        if ran[-1] is None:
            result.note("Train mode is random, and could not be run often enough to compare it.")
    if subject.definition.kind == "module" and subject.differentiable and not subject.large:
        for note in initial_values(subject, port, subject.init):
            result.note(note)
    done = [comparison for comparison in ran if comparison is not None and not comparison.notes]
    for comparison in ran:
        if comparison is not None:
            result.comparison.differences += comparison.differences
            for note in comparison.notes:
                result.note(note)
    if done:
        wrong = any(_wrong(comparison.differences) for comparison in done)
        result.behavioural = "failed" if wrong else "passed"


def _search(result: _Result, subject: Subject, port: Lane, form: Form, pair: Pair) -> list[Case]:
    """Search for inputs that differ; the case that was found."""
    found = search(subject, port, form, pair.texts, subject.options.search)
    if found.judged is None or found.case is None:
        result.note(f"A search tried {found.tried} more inputs; none makes a difference.")
        return []
    result.note(f"A search found the inputs that differ; it tried {found.tried}.")
    result.comparison.add(found.judged.comparison)
    result.gradients = result.gradients.joined(found.judged.gradients)
    result.failing = found.case, found.judged.comparison.differences
    return [found.case]


def plan(subject: Subject) -> list[Case]:
    """The cases to run: each draw in eval mode, then train mode where it is worth it."""
    options = subject.options
    call, seed = subject.call, options.seed
    base = Case(options.draws[0], redraw(options.draws[0], call, seed))
    if subject.error:
        return [base]
    train = options.train and subject.trains
    cases = [base]
    if not subject.large:
        draws = options.draws[1:]
        shapes = [draw for draw in draws if draw in SHAPES]
        resized = resizings(call, subject.accepts, seed, shapes, subject.sized) if shapes else {}
        for draw in draws:
            drawn = resized.get(draw, call) if draw in SHAPES else redraw(draw, call, seed)
            if draw == "second" and subject.definition.kind == "module":
                cases.append(Case(draw, call, train=train))
            elif draw in HALVES and subject.definition.kind == "module":
                cases.append(Case(draw, drawn, cast=draw))
            elif drawn is not call:  # never so for `strided`, which is torch's alone
                cases.append(Case(draw, drawn))
    if train:
        cases.append(Case(base.draw, base.call, train=True))
    return cases


def _judge(
    result: _Result,
    subject: Subject,
    port: Lane,
    cases: Sequence[Case],
    expected: Sequence[Outcome],
    actual: Sequence[Outcome],
    hurried: bool,
) -> tuple[list[str], bool]:
    """Judge each case; the labels of those that were compared, and whether any was random.

    What differs where the port was `hurried` is run again, compiled as a user's program is, unless
    something is wrong already.
    """
    compared: list[str] = []
    raising: list[str] = []
    random = False
    unlike = _OtherSizes()
    for number, (case, theirs, ours) in enumerate(zip(cases, expected, actual, strict=True)):
        base = number == 0
        if theirs["error"] is not None:
            if base and not _error_parity(result, subject, theirs, ours):
                return compared, random
            if base or _refused(result, case, theirs, ours):
                compared.append(case.label)
            elif case.draw == "out_of_range" and ours["error"] is None:
                error = f"{RemoteError(theirs['error'])}".splitlines()[0]
                result.note(f"{case.label}: the original raises ({error}), the port does not.")
            else:
                raising.append(case.label)
            continue
        if base and (nothing := _nothing(theirs)):
            result.fail("not_run", Category.NOTHING, nothing)
            return compared, random
        if case.draw == "out_of_range" and case.call.bounds:
            continue  # beyond what the comment says of the inputs: only errors are compared
        unasked = subject.sized and case.draw in (*SHAPES, *HALVES)
        if ours["error"] is not None:
            error = RemoteError(ours["error"])
            message = f"The port raises{at_line(error.line)} ({case.label}): {error}"
            if case.draw in HALVES or case.draw == "empty" or unasked:
                # Loud, and not the port's to know: how its weights are cast, what -1 is of nothing,
                # sizes and dtypes that nobody asked for.
                result.note(message.splitlines()[0])
                continue
            if _wrong(result.comparison.differences):
                break  # what was found so far shows with plainer inputs
            result.fail("diverged", Category.PORT_ERROR, message, error.traceback)
            return compared, random
        if theirs["random"]:
            random = True
            if base:
                _compare_random(result, subject, port, case, theirs, ours)
                return compared, random
            continue
        judged = judge(subject, case, theirs, ours)
        if hurried and number and judged.wrong and not _wrong(result.comparison.differences):
            (ours,) = subject.run_port(port, "compiled", [case])
            judged = judge(subject, case, theirs, ours)
        if unasked and judged.wrong and not _squeezed(theirs, ours):
            categories = {d.category for d in _beyond_rounding(judged)}
            if case.draw in _COMPARABLE and categories <= NUMERIC:
                unlike.differ[case.draw] = case, judged
            else:
                result.note(_told(case, judged))
            continue
        if unasked:
            unlike.fine.add(case.draw)
        result.comparison.add(judged.comparison)
        traceable = case.cast is None and case.draw not in (*HALVES, "second")
        if judged.wrong and traceable and result.failing is None:
            result.failing = case, _beyond_rounding(judged)
        result.gradients = result.gradients.joined(judged.gradients)
        if judged.compared:
            compared.append(case.label)
    unlike.conclude(result)
    if raising:
        result.note(f"Not compared, the original raises: {'; '.join(raising)}.")
    return compared, random


_COMPARABLE = {"equal": "distinct", "distinct": "equal"}


@dataclass
class _OtherSizes:
    """Other values for sizes that nobody asked for.

    A port that is wrong for all such sizes is made for those of the check comment, which is told. One
    that is right for some knows of sizes, and takes one for another: where two of them are equal, or
    where they are not.
    """

    differ: dict[str, tuple[Case, Judged]] = field(default_factory=dict[str, tuple[Case, Judged]])
    fine: set[str] = field(default_factory=set[str])

    def conclude(self, result: _Result) -> None:
        """Add to the result what is wrong, and what is only told."""
        for draw, (case, judged) in self.differ.items():
            if _COMPARABLE[draw] not in self.fine:
                result.note(_told(case, judged))
                continue
            result.comparison.add(judged.comparison)
            result.gradients = result.gradients.joined(judged.gradients)
            if result.failing is None:
                result.failing = case, _beyond_rounding(judged)


def _told(case: Case, judged: Judged) -> str:
    """What differs where nobody asked, for a note."""
    first = _beyond_rounding(judged)[0]
    what = "sizes" if case.draw in SHAPES else "dtypes"
    return f"Warning: for other {what} ({case.label}), {first.where}: {first.message}"


def _beyond_rounding(judged: Judged) -> list[Difference]:
    return [d for d in judged.comparison.differences if d.category is not Category.ILL_CONDITIONED]


def _squeezed(theirs: Outcome, ours: Outcome) -> bool:
    """Whether the port lacks or has an axis of size 1 that torch has or lacks, which is wrong for
    whatever sizes: a batch of one comes by itself."""
    pairs = zip(leaves(theirs["output"]), leaves(ours["output"]), strict=False)
    return any(
        isinstance(one, Array)
        and isinstance(other, Array)
        and one.shape != other.shape
        and [size for size in one.shape if size != 1] == [s for s in other.shape if s != 1]
        for (_, one), (_, other) in pairs
    )


def _refused(result: _Result, case: Case, theirs: Outcome, ours: Outcome) -> bool:
    """Whether the original means to raise in a draw; that the port does not is a difference."""
    if not theirs["error"]["deliberate"]:
        return False
    if ours["error"] is None:
        error = RemoteError(theirs["error"])
        message = f"The original raises{at_line(error.line)} ({error}); the port does not."
        result.comparison.differences.append(
            Difference(
                category=Category.MISSING_ERROR, where="error", case=case.label, message=message
            )
        )
    return True


def _examine_variant(
    result: _Result,
    subject: Subject,
    lane: Lane,
    form: Form,
    cases: Sequence[Case],
    expected: Sequence[Outcome],
) -> None:
    """Run the port in another form or on another device, and add what differs there."""
    # Gradients are taken under a trace in either form: without them, an eager run has none.
    gradients = None if form == "compiled" else False
    actual = subject.run_port(lane, form, cases, gradients=gradients)
    if form == "compiled" and (error := _untraceable(expected, actual)):
        result.variants.append(variant_of(lane, form, [], error=error))
        return
    wrong: list[Difference] = []
    for case, theirs, ours in zip(cases, expected, actual, strict=True):
        if theirs["error"] is not None or theirs["random"]:
            continue
        if ours["error"] is not None:
            error = RemoteError(ours["error"])
            result.variants.append(variant_of(lane, form, [], error=error))
            where = f"{form}, on {lane.framework}'s {lane.device}, {case.label}"
            message = f"The port raises{at_line(error.line)} ({where}): {error}"
            result.fail("diverged", Category.PORT_ERROR, message, error.traceback)
            return
        found = judge(subject, case, theirs, ours).comparison.differences
        wrong += [d for d in found if d.category is not Category.ILL_CONDITIONED]
    result.variants.append(variant_of(lane, form, _wrong(wrong)))
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


def _examine_strides(result: _Result, subject: Subject, case: Case, expected: Outcome) -> None:
    """Run the original on views that are not contiguous: where that changes what it gives, no port
    can follow, since the arrays of JAX and MLX have no strides."""
    strided = Case("strided", case.call)
    (outcome,) = subject.submit_source([strided], gradients=False).result()
    if expected["error"] is not None or outcome["error"] is not None:
        return  # `view` refuses some views: the port has nothing to be wrong about
    if any(
        d.category in NUMERIC
        for d in judge(subject, case, expected, outcome).comparison.differences
    ):
        result.note(
            "What the original gives depends on the strides of its tensors, which a port does not "
            "have: it was compared on contiguous ones."
        )


def _untraceable(expected: Sequence[Outcome], actual: Sequence[Outcome]) -> RemoteError | None:
    """What the port raised because it needs values under a trace; None where it can be compiled."""
    for theirs, ours in zip(expected, actual, strict=True):
        if theirs["error"] is None and ours["error"] is not None:
            error = RemoteError(ours["error"])
            if error.type in UNTRACEABLE:
                return error
    return None


def _wrong(differences: Sequence[Difference]) -> list[str]:
    return [
        f"{d.where} ({d.case}): {d.message}"
        for d in differences
        if d.category is not Category.ILL_CONDITIONED
    ]


def _conclude(result: _Result, compared: list[str]) -> None:
    if result.ended:
        return
    if result.inputs is not None:
        result.inputs = result.inputs.model_copy(update={"draws": compared})
    # One difference per place is enough to read; the first case shows it with the plainest inputs.
    seen: dict[tuple[str, Category], Difference] = {}
    for difference in result.comparison.differences:
        seen.setdefault((difference.where, difference.category), difference)
    differences = sorted(seen.values(), key=lambda d: d.where.startswith("gradient"))
    result.comparison.differences = differences
    wrong = [d for d in differences if d.category is not Category.ILL_CONDITIONED]
    if wrong:
        worst = wrong[0]
        spec = any(d.category in SPEC for d in wrong)
        values = any(d.category not in SPEC for d in wrong)
        if result.behavioural == "failed":
            result.stages = Stages(spec="passed", numeric="passed", behavioural="failed")
        else:
            result.stages = Stages(
                spec="failed" if spec else "passed", numeric="failed" if values else "not_run"
            )
        result.status, result.category = "diverged", worst.category
        more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
        result.message = f"{worst.where} ({worst.case}): {worst.message}{more}"
        return
    result.stages = Stages(spec="passed", numeric="passed", behavioural=result.behavioural)
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


def _error_parity(result: _Result, subject: Subject, theirs: Outcome, ours: Outcome) -> bool:
    """Whether both raise where the original means to; the verdict is set where they do not.

    It means to with a `raise` or `assert` of its own, and where a check comment gives it an index
    that is out of range: torch promises an IndexError there, and the targets would clamp the index.
    """
    error = RemoteError(theirs["error"])
    given = subject.definition.spec is not None and error.type == "IndexError"
    if not (theirs["error"]["deliberate"] or given):
        message = f"The original fails on these inputs{at_line(error.line)}: {error}"
        result.fail("error", Category.SOURCE_ERROR, message, error.traceback)
        return False
    if ours["error"] is None:
        message = f"The original raises{at_line(error.line)} ({error}); the port does not."
        result.fail("diverged", Category.MISSING_ERROR, message)
        return False
    result.message = f"Both raise; the original {error.type}."
    return True


def _compare_random(
    result: _Result, subject: Subject, port: Lane, case: Case, theirs: Outcome, ours: Outcome
) -> None:
    """Structure, shapes and dtypes of a random result, and how its values are distributed."""
    comparison = compare(theirs["output"], ours["output"])
    found = [d for d in comparison.differences if d.category in SPEC]
    sampled = None
    if not found and subject.options.behaviour:
        sampled = sample(subject, port, case)
        found = sampled.differences if sampled else []
    result.comparison.differences = found
    if found:
        result.behavioural = "failed" if sampled else "not_run"
        _conclude(result, [])
    elif sampled:
        result.behavioural = "passed"
        result.message = "Random: original and port draw from the same distribution"
        _conclude(result, [f"{case.label}, random"])
    else:
        message = "Random in the original; structure, shapes and dtypes match."
        result.fail("not_run", Category.RANDOM, message)
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
