"""One definition, end to end: prepare it in torch, run both sides, judge what came back."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from torchport_checks.compare import Comparison, compare
from torchport_checks.lanes import Lane, LaneFailure, RemoteError
from torchport_checks.options import CheckOptions
from torchport_checks.spec import Spec, SpecError
from torchport_checks.verdicts import (
    Category,
    DefinitionVerdict,
    Difference,
    Errors,
    Gradients,
    Inputs,
    InputUsed,
    Stages,
    Status,
)
from torchport_checks.worker.protocol import Array, Opaque, leaves

_JITTERS = 4
_NUMERIC = {Category.MISMATCH, Category.PRECISION, Category.NAN}
_OPEN_ORDER = (
    "{}: not compared, torch leaves open in which order {} puts equal elements, and the results "
    "differ in it."
)
_SUBGRADIENT = (
    "{}: gradients not compared, {} may give the gradient to any of the elements that are equal."
)
_KINK_SCALES = (-24, -23, -22, -21)
_INT32 = np.iinfo(np.int32)
_SPEC_CATEGORIES = {Category.STRUCTURE, Category.SHAPE, Category.DTYPE, Category.MISSING_ERROR}

Case = tuple[bool, int]
"""Whether in train mode, and the number of the draw."""


@functools.cache
def weights_module() -> str:
    """The path of the weights transfer, which the JAX lane loads by itself."""
    found = importlib.util.find_spec("torchport_translators")
    assert found is not None and found.submodule_search_locations
    return str(Path(found.submodule_search_locations[0]) / "weights" / "nnx.py")


@dataclass(frozen=True)
class Definition:
    """A function or module class that source and port both define."""

    name: str
    kind: Literal["function", "module"]
    line: int
    port_line: int | None
    spec: Spec | SpecError | None = None


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
    comparison: Comparison = field(default_factory=Comparison)
    output: str = ""

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
            differences=self.comparison.differences,
            notes=self.comparison.notes,
            output=self.output,
            seconds=seconds,
        )

    def fail(self, status: Status, category: Category, message: str, output: str = "") -> None:
        """Set the outcome, where the check ends before the comparison."""
        self.status, self.category, self.message, self.output = status, category, message, output
        if status != "not_run":
            self.stages = Stages(spec="failed")


def examine(
    definition: Definition, torch: Lane, port: Lane, options: CheckOptions
) -> DefinitionVerdict:
    """Check one definition of the files that both lanes have loaded.

    Never raises for what the code does: a crash, a hang or an error is the verdict. After a crash,
    a hang or too much memory (see the verdict's category) the caller loads the files again.
    """
    start = time.perf_counter()
    result = _Result(definition)
    try:
        _examine(result, torch, port, options)
    except LaneFailure as failure:
        result.fail("error", failure.category, f"{failure}", failure.output)
    return result.verdict(time.perf_counter() - start)


def _examine(result: _Result, torch: Lane, port: Lane, options: CheckOptions) -> None:
    definition = result.definition
    if isinstance(definition.spec, SpecError):
        message = f"Line {definition.spec.line}: {definition.spec}"
        result.fail("error", Category.INPUTS, message)
        return
    spec = definition.spec.wire() if definition.spec else None
    try:
        prepared = torch.request(
            "prepare",
            timeout=options.timeout,
            name=definition.name,
            spec=spec,
            seed=options.seed,
            draws=list(options.draws),
        )
    except RemoteError as error:
        if error.category is not None:
            status: Status = "error" if definition.spec else "not_run"
            result.fail(status, Category(error.category), error.message, error.output)
        else:
            message = f"The original fails{_line(error.line)}: {error}"
            result.fail("error", Category.SOURCE_ERROR, message, error.output)
        return
    result.inputs = _inputs_used(prepared, options)
    _note_overflow(result, prepared)
    count = len(prepared["calls"])
    cases: list[Case] = [(False, number) for number in range(count)]
    if options.train and prepared["train"] and not prepared["error"]:
        cases.append((True, 0))
    theirs = torch.submit("run", timeout=options.timeout, cases=cases, gradients=options.gradients)
    ours = port.submit(
        "run",
        timeout=options.timeout,
        name=definition.name,
        init=prepared["init"],
        weights=prepared["weights"],
        weight_names=prepared["weight_names"],
        weights_module=weights_module(),
        parameters=prepared["parameters"],
        calls=prepared["calls"],
        cases=cases,
        gradients=options.gradients,
        seed=options.seed,
    )
    try:
        expected, actual = theirs.result(), ours.result()
    except RemoteError as error:  # a fault of the lane's own code: the code's errors are data
        result.fail("error", Category.CRASH, f"{error}", error.traceback)
        return
    finally:
        # Neither lane may still be busy with this definition when the next one is sent.
        for future in (theirs, ours):
            future.exception()
    if actual["failed"]:
        _construction(result, actual)
        return
    _judge(result, cases, expected, actual["outcomes"], torch, options)


def _construction(result: _Result, actual: dict[str, Any]) -> None:
    error = RemoteError(actual["error"])
    category = Category(actual["failed"])
    what = {
        Category.CONSTRUCTION: "The port cannot be constructed with the original's arguments",
        Category.WEIGHTS: "The original's weights do not fit the port",
    }[category]
    result.fail("diverged", category, f"{what}{_line(error.line)}: {error}", error.traceback)


def _judge(
    result: _Result,
    cases: list[Case],
    expected: list[dict[str, Any]],
    actual: list[dict[str, Any]],
    torch: Lane,
    options: CheckOptions,
) -> None:
    compared: list[str] = []
    random = False
    for case, theirs, ours in zip(cases, expected, actual, strict=True):
        train, number = case
        label = f"{'train' if train else 'eval'}, {options.draws[number]}"
        base = number == 0 and not train
        if theirs["error"] is not None:
            if base and not _error_parity(result, theirs, ours):
                return
            if base:
                compared.append(label)
            else:
                result.comparison.notes.append(f"{label}: not compared, the original raises.")
            continue
        if base and (nothing := _nothing(theirs)):
            result.fail("not_run", Category.NOTHING, nothing)
            return
        if not base and not _finite(theirs["output"]):
            result.comparison.notes.append(f"{label}: not compared, the original is not finite.")
            continue
        if ours["error"] is not None:
            error = RemoteError(ours["error"])
            message = f"The port raises{_line(error.line)} ({label}): {error}"
            result.fail("diverged", Category.PORT_ERROR, message, error.traceback)
            return
        if theirs["random"]:
            random = True
            if base:
                _shapes_only(result, theirs, ours)
                return
            continue
        if _compare_case(result, case, label, theirs, ours, torch, options):
            compared.append(label)
    _conclude(result, compared, random)


def _compare_case(
    result: _Result,
    case: Case,
    label: str,
    theirs: dict[str, Any],
    ours: dict[str, Any],
    torch: Lane,
    options: CheckOptions,
) -> bool:
    """Compare one case; whether its values could be compared."""
    reference: dict[str, Any] = theirs["reference"]
    if reference["error"] is not None:
        reason = f"{reference['error']['type']}: {reference['error']['message']}"
        note = f"The original does not run in float64 ({reason.splitlines()[0][:200]})."
        if note not in result.comparison.notes:
            result.comparison.notes.append(note)
        reference = {}
    jittered: list[dict[str, Any]] = []

    def sensitivity(key: str) -> Sequence[Any]:
        if not jittered:
            outcomes = torch.request(
                "jitter",
                timeout=options.timeout,
                case=case,
                gradients=options.gradients,
                times=_JITTERS,
            )
            jittered.extend(o for o in outcomes if o["error"] is None)
        return [outcome[key] for outcome in jittered]

    beside: list[dict[str, Any]] = []

    def kinks(key: str, name: str) -> Iterator[Any]:
        for number in range(len(_KINK_SCALES) * _JITTERS):
            if number == len(beside):
                beside.extend(
                    torch.request(
                        "jitter",
                        timeout=options.timeout,
                        case=case,
                        gradients=True,
                        times=_JITTERS,
                        scale=_KINK_SCALES[number // _JITTERS],
                        keep_round=True,
                    )
                )
            if beside[number]["error"] is None and beside[number][key] is not None:
                yield beside[number][key][name]

    for path in theirs["mutated"]:
        note = (
            f"The original changes its argument {path} in place, which a JAX function cannot do: "
            "callers must use what the port returns."
        )
        if note not in result.comparison.notes:
            result.comparison.notes.append(note)
    values = compare(
        theirs["output"],
        ours["output"],
        reference.get("output"),
        case=label,
        sensitivity=lambda: sensitivity("output"),
    )
    buffers: dict[str, Array] = theirs["buffers"]
    doubled: dict[str, Array] = reference.get("buffers") or {}
    for name in sorted(buffers.keys() & ours["buffers"].keys()):
        values.add(
            compare(
                buffers[name],
                ours["buffers"][name],
                doubled.get(name),
                where=f"{name} after the step",
                case=label,
                sensitivity=lambda name=name: [b[name] for b in sensitivity("buffers")],
            )
        )
    tied = options.draws[case[1]] == "ties"
    if (
        tied
        and {d.category for d in values.differences} & _NUMERIC
        and (unordered := _ties(torch, case, options)["unordered"])
    ):
        result.comparison.notes.append(_OPEN_ORDER.format(label, " and ".join(unordered)))
        return False
    fits = not {d.category for d in values.differences} & _SPEC_CATEGORIES
    result.comparison.add(values)
    if options.gradients and fits:
        agree = all(d.category is Category.ILL_CONDITIONED for d in values.differences)
        gradients, found = _compare_gradients(
            result.gradients, label, theirs, ours, reference, sensitivity, kinks if agree else None
        )
        if (
            tied
            and agree
            and {d.category for d in found.differences} & {*_NUMERIC} == {Category.MISMATCH}
        ):
            ties = _ties(torch, case, options)
            if picking := sorted({*ties["unordered"], *ties["picking"]}):
                note = _SUBGRADIENT.format(label, " and ".join(picking))
                result.comparison.notes.append(note)
                return True
        result.gradients = gradients
        result.comparison.add(found)
    return True


def _ties(torch: Lane, case: Case, options: CheckOptions) -> dict[str, list[str]]:
    return torch.request("ties", timeout=options.timeout, case=case)


def _compare_gradients(
    gradients: Gradients,
    label: str,
    theirs: dict[str, Any],
    ours: dict[str, Any],
    reference: dict[str, Any],
    sensitivity: Callable[[str], Sequence[Any]],
    kinks: Callable[[str, str], Iterator[Any]] | None,
) -> tuple[Gradients, Comparison]:
    """The gradients as known before, with those of one case; and what differs in it."""
    differences = Comparison()
    compared = [theirs[key] for key in ("output", "input_gradients", "weight_gradients")]
    terms = max((v.value.size for _, v in leaves(compared) if isinstance(v, Array)), default=1)
    if theirs["input_gradients"] is None or ours["input_gradients"] is None:
        reason = theirs["reason"] or "the port has nothing to differentiate"
        known = gradients.status != "not_compared"
        return gradients if known else Gradients(reason=reason), differences
    found: dict[str, dict[str, Errors]] = {
        "input_gradients": dict(gradients.inputs),
        "weight_gradients": dict(gradients.parameters),
    }
    differs = gradients.status == "differ"
    for key, largest in found.items():
        doubled: dict[str, Array] = reference.get(key) or {}
        for name, gradient in theirs[key].items():
            other = ours[key].get(name)
            if other is None:
                continue
            comparison = compare(
                gradient,
                other,
                doubled.get(name),
                where=f"gradient of {name}",
                case=label,
                sensitivity=lambda key=key, name=name: [
                    g[name] for g in sensitivity(key) if g is not None
                ],
                kinks=kinks and functools.partial(kinks, key, name),
                terms=terms if kinks else 1,
            )
            differs = differs or any(
                d.category is not Category.ILL_CONDITIONED for d in comparison.differences
            )
            largest[name] = largest.get(name, Errors()).widened(comparison.largest)
            comparison.largest = Errors()  # that of outputs is kept apart from that of gradients
            differences.add(comparison)
    status = "differ" if differs else "equal"
    inputs, parameters = found["input_gradients"], found["weight_gradients"]
    return Gradients(status=status, inputs=inputs, parameters=parameters), differences


def _conclude(result: _Result, compared: list[str], random: bool) -> None:
    if result.inputs is not None:
        result.inputs = result.inputs.model_copy(update={"draws": compared})
    if random:
        result.comparison.notes.append("Train mode is random in the original; it was not compared.")
    # One difference per place is enough to read; the first case shows it with the plainest inputs.
    seen: dict[tuple[str, Category], Difference] = {}
    for difference in result.comparison.differences:
        seen.setdefault((difference.where, difference.category), difference)
    differences = sorted(seen.values(), key=lambda d: d.where.startswith("gradient"))
    result.comparison.differences = differences
    wrong = [d for d in differences if d.category is not Category.ILL_CONDITIONED]
    if wrong:
        worst = wrong[0]
        spec = any(d.category in _SPEC_CATEGORIES for d in wrong)
        result.stages = Stages(
            spec="failed" if spec else "passed",
            numeric="failed"
            if any(d.category not in _SPEC_CATEGORIES for d in wrong)
            else "not_run",
        )
        result.status, result.category = "diverged", worst.category
        more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
        result.message = f"{worst.where} ({worst.case}): {worst.message}{more}"
        return
    result.stages = Stages(spec="passed", numeric="passed")
    if differences:
        result.category = Category.ILL_CONDITIONED
        result.comparison.notes.append(
            f"{differences[0].where}: differs, but no more than rounding would make it."
        )
    equal = "outputs and gradients" if result.gradients.status == "equal" else "outputs"
    result.message = result.message or f"{equal} equal in {len(compared)} runs".capitalize()


def _nothing(theirs: dict[str, Any]) -> str:
    """Why there is nothing to compare, or an empty string."""
    if theirs["modules"]:
        return "It returns a module; it is checked through what uses it."
    empty = all(leaf is None or isinstance(leaf, Opaque) for _, leaf in leaves(theirs["output"]))
    return "It returns nothing that could be compared." if empty and not theirs["buffers"] else ""


def _error_parity(result: _Result, theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether both raise where the original means to; the verdict is set where they do not."""
    error = RemoteError(theirs["error"])
    if not theirs["error"]["deliberate"]:
        message = f"The original fails on these inputs{_line(error.line)}: {error}"
        result.fail("error", Category.SOURCE_ERROR, message, error.traceback)
        return False
    if ours["error"] is None:
        message = f"The original raises{_line(error.line)} ({error}); the port does not."
        result.fail("diverged", Category.MISSING_ERROR, message)
        return False
    result.message = f"Both raise; the original {error.type}."
    return True


def _shapes_only(result: _Result, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    comparison = compare(theirs["output"], ours["output"])
    spec = [d for d in comparison.differences if d.category in _SPEC_CATEGORIES]
    if spec:
        result.comparison.differences = spec
        _conclude(result, [], False)
        return
    result.stages = Stages(spec="passed")
    result.status, result.category = "not_run", Category.RANDOM
    result.message = "Random in the original; structure, shapes and dtypes match."


def _inputs_used(prepared: dict[str, Any], options: CheckOptions) -> Inputs:
    def used(name: str, text: str, array: Any = None) -> InputUsed:
        if isinstance(array, Array):
            return InputUsed(name=name, text=text, shape=array.shape, dtype=array.dtype)
        return InputUsed(name=name, text=text)

    return Inputs(
        origin=prepared["origin"],
        init=[used(name, text) for name, text in prepared["shown_init"]],
        call=[used(*shown) for shown in prepared["shown"]],
        seed=options.seed,
    )


def _note_overflow(result: _Result, prepared: dict[str, Any]) -> None:
    for call in prepared["calls"]:
        for path, leaf in leaves([call["args"], call["kwargs"]]):
            if isinstance(leaf, Array) and leaf.dtype == "int64" and leaf.value.size:
                low, high = leaf.value.min(), leaf.value.max()
                if low < _INT32.min or high > _INT32.max:
                    result.comparison.notes.append(
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


def _line(line: int | None) -> str:
    return f" at line {line}" if line else ""
