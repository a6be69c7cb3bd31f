"""Equivalent graphs: which pair of graph and form broke, so that a library's fault is not the port's.

Original and port each exist as written and with their operators replaced by the functions that they
stand for (`worker/equivalents.py`), eager and compiled: eight runs of one case, each judged against
torch as written, eager, and its float64 reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Literal

from torchport_checks.draws import Case
from torchport_checks.judging import judge
from torchport_checks.lanes import Lane, RemoteError
from torchport_checks.pair import Pair
from torchport_checks.subject import Form, Outcome, Subject
from torchport_checks.verdicts import Category, Variant

Graph = Literal["original", "rewritten"]

_FORMS: tuple[Form, ...] = ("eager", "compiled")
_GRAPHS: tuple[Graph, ...] = ("original", "rewritten")
# What a port raises under a trace where it needs a value that is known only when it runs.
UNTRACEABLE = {
    "ConcretizationTypeError",
    "NonConcreteBooleanIndexError",
    "NotCompilable",  # MLX's have no type of their own: its lane says so
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
    "TraceContextError",
}


def graph_variants(pair: Pair, subject: Subject, case: Case, expected: Outcome) -> list[Variant]:
    """Run `case` in all eight ways but the reference itself, and judge each.

    Both lanes have the pair loaded, before and afterwards. `expected` is torch's outcome of `case`.

    Raises:
        LaneFailure: a lane does not answer.
        Unchecked: a rewritten port cannot be made.
    """
    found: list[Variant] = []
    torch, port = pair.lanes.torch[0], pair.lanes.port[0]
    for graph in _GRAPHS:
        rewritten = graph == "rewritten"
        if rewritten:
            _wait(pair.load_source(torch, equivalent=True), pair.load_port(port, equivalent=True))
            subject.prepare_source(torch)
            subject.reopen(port)
        for form in _FORMS:
            if rewritten or form == "compiled":
                outcome = subject.submit_source([case], form=form).result()[0]
                found.append(_judged(subject, case, expected, outcome, torch, form, graph))
            outcome = subject.run_port(port, form, [case])[0]
            found.append(_judged(subject, case, expected, outcome, port, form, graph))
    _wait(pair.load_source(torch), pair.load_port(port))
    subject.prepare_source(torch)
    subject.reopen(port)
    subject.open(port)
    return found


def explain(variants: Sequence[Variant]) -> str:
    """Whose fault a difference among the graphs is, in a sentence; empty where none differs."""
    wrong = {(v.framework == "torch", v.graph, v.form) for v in variants if v.status == "differs"}
    if not wrong:
        return ""
    names = ", ".join(
        f"{v.framework} {v.graph} {v.form}" for v in variants if v.status == "differs"
    )
    if (False, "original", "eager") in wrong:
        return f"The port itself differs from torch; of the equivalent graphs: {names}."
    side = "torch" if all(is_torch for is_torch, _, _ in wrong) else "the port's framework"
    return (
        f"The port as written agrees with torch. What differs computes the same by another way "
        f"through {side}, so the fault is likely the library's own: {names}."
    )


def variant_of(
    lane: Lane,
    form: Form,
    wrong: Sequence[str],
    *,
    graph: Graph = "original",
    error: RemoteError | None = None,
) -> Variant:
    """What is told of one way to run: `wrong` are the differences, `error` is what it raised."""
    if error is None:
        status = "differs" if wrong else "equal"
    elif form == "compiled" and error.type in UNTRACEABLE:
        status = "not_compilable"
    else:
        status = "fails"
    return Variant(
        framework=lane.framework,
        device=lane.device,
        form=form,
        graph=graph,
        status=status,
        message=f"{error}".split("\n")[0] if error else "".join(wrong[:1]),
        line=error.line if error else None,
    )


def _judged(
    subject: Subject,
    case: Case,
    expected: Outcome,
    outcome: Outcome,
    lane: Lane,
    form: Form,
    graph: Graph,
) -> Variant:
    if expected["error"] is not None or expected["random"]:
        return variant_of(lane, form, [], graph=graph)
    if outcome["error"] is not None:
        return variant_of(lane, form, [], graph=graph, error=RemoteError(outcome["error"]))
    wrong = [
        f"{d.where} ({d.case}): {d.message}"
        for d in judge(subject, case, expected, outcome).comparison.differences
        if d.category is not Category.ILL_CONDITIONED
    ]
    return variant_of(lane, form, wrong, graph=graph)


def _wait(*futures: Future[Any]) -> None:
    for future in futures:
        future.exception()
    for future in futures:
        future.result()
