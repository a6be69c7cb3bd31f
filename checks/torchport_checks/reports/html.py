"""The report as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torchport_checks.reports.charts import bar, heat_map, histogram, key
from torchport_checks.reports.checked import (
    Checked,
    again,
    error_text,
    explained,
    indirect,
    lane_text,
    lanes_of,
    odd_variants,
    variant_name,
    variant_status,
)
from torchport_checks.reports.markup import Markup, joined, tag
from torchport_checks.reports.page import page
from torchport_checks.reports.rules import rule_of
from torchport_checks.verdicts import (
    Category,
    DefinitionVerdict,
    Difference,
    Gradients,
    Inputs,
    InputUsed,
    Stages,
    Verdict,
)
from torchport_translators._version import __version__
from torchport_translators.batch import Outcome
from torchport_translators.findings import Coverage, Finding
from torchport_translators.output import count

_MOST_GRADIENTS = 24
_KINDS = {"verified": "ok", "diverged": "bad", "error": "bad", "not_run": "open"}
_WORDS = {"verified": "verified", "diverged": "diverged", "error": "failed", "not_run": "not run"}
_MARKS = {"ok": "✓", "bad": "✗", "open": "!", "aside": "·"}
_SEVERITIES = {"equal": "", "differs": "error", "fails": "error", "not_compilable": "warning"}
_COLUMNS = ("", "definition", "verdict", "largest error", "gradients", "inputs", "time")


def html(results: Sequence[Checked], *, seconds: float) -> str:
    """The report of a run as a self-contained HTML page."""
    title = (
        f"{results[0].name} → {results[0].port}" if len(results) == 1 else f"{len(results)} files"
    )
    return page(
        title,
        _summary(results, title, seconds),
        (_file(r, number, len(results) > 1) for number, r in enumerate(results)),
        _footer(results),
    )


def _summary(results: Sequence[Checked], title: str, seconds: float) -> Iterator[Markup]:
    verdicts = [result.verdict for result in results if result.verdict is not None]
    definitions = [d for verdict in verdicts for d in verdict.definitions]
    kinds = [_kind(d) for d in definitions if not indirect(d)]
    failed = sum(map(_failed, results))
    good, bad, open_ = (kinds.count(kind) for kind in ("ok", "bad", "open"))
    yield tag("p", "torchport", class_="brand")
    yield tag("h1", title)
    if not kinds:
        overall, said = ("bad", "Could not be checked") if failed else ("aside", "Nothing to check")
    elif bad or failed:
        overall, said = "bad", f"{good} of {len(kinds)} verified"
    else:
        overall, said = "open" if open_ else "ok", f"{good} of {len(kinds)} verified"
    extra = [
        count(bad, "definition") + " diverged or failed" if bad else "",
        f"{open_} not run" if open_ else "",
        count(failed, "file") + " could not be checked" if failed and kinds else "",
        f"{len(definitions) - len(kinds)} checked through others"
        if len(definitions) > len(kinds)
        else "",
        f"{seconds:.1f} s",
    ]
    yield tag(
        "p",
        tag("span", said, class_=f"said {overall}"),
        tag("span", " · ".join(part for part in extra if part), class_="quiet"),
    )
    if kinds:
        shares = (("ok", good), ("bad", bad), ("open", open_))
        yield tag(
            "div",
            *(tag("span", class_=kind, style=f"flex:{n}") for kind, n in shares if n),
            class_="shares",
            role="img",
            aria_label=said,
        )
    if lanes := lanes_of(verdicts):
        yield tag("p", *(tag("span", lane, class_="chip") for lane in lanes), class_="chips")
    attention = [
        (place, d)
        for place, d in _anchors(results)
        if _kind(d) == "bad" or (_kind(d) == "open" and not bad)
    ]
    links = [
        tag("a", result.name, href=f"#f{number}", class_="bad")
        for number, result in enumerate(results)
        if len(results) > 1 and _failed(result)
    ]
    links += [tag("a", d.name, href=f"#{place}", class_=_kind(d)) for place, d in attention]
    if links and len(results) + len(definitions) > 2:
        yield tag("nav", tag("span", "Look at", class_="quiet"), *links)
    if attention and len(attention) < len(definitions):
        box = tag("input", type="checkbox", id="attention")
        text = " only what is not verified"
        yield tag("label", box, tag("span", text), class_="filter")


def _failed(result: Checked) -> bool:
    """Whether a file as a whole could not be ported or checked."""
    verdict, ported = result.verdict, result.ported
    return bool(verdict and verdict.error) or bool(ported and ported.outcome is Outcome.FAILED)


def _anchors(results: Sequence[Checked]) -> Iterator[tuple[str, DefinitionVerdict]]:
    for number, result in enumerate(results):
        for index, definition in enumerate(result.verdict.definitions if result.verdict else ()):
            yield f"d{number}-{index}", definition


def _file(result: Checked, number: int, of_several: bool) -> Markup:
    verdict, ported = result.verdict, result.ported
    parts: list[Markup] = []
    stored = verdict is not None and verdict.from_store
    if of_several:
        arrow = tag("span", " → ", class_="quiet")
        parts.append(tag("h2", result.name, *((arrow, result.port) if result.port else ())))
    if (of_several and verdict is not None and verdict.lanes) or stored:
        chips = [lane_text(lane) for lane in verdict.lanes] if of_several and verdict else []
        chips += ["stored verdict: nothing has changed since"] if stored else []
        parts.append(tag("p", *(tag("span", chip, class_="chip") for chip in chips)))
    notes = [*(ported.notes if ported else ()), *(verdict.notes if verdict else ())]
    if ported is not None and ported.outcome is Outcome.EDITED:
        notes.append(
            "The port has been edited, by hand or by a model: it was kept, and checked as it is."
        )
    if ported is not None and ported.problem:
        parts.append(tag("pre", ported.problem, class_="banner"))
    if verdict is not None and verdict.error:
        parts.append(tag("pre", verdict.error, class_="banner"))
        if verdict.category:
            parts.append(tag("p", rule_of(verdict.category).advice, class_="quiet"))
    parts += _notes(notes)
    if verdict is not None and verdict.definitions:
        columns = (tag("span", name, role="columnheader") for name in _COLUMNS)
        rows = [
            _definition(verdict, result, definition, f"d{number}-{index}")
            for index, definition in enumerate(verdict.definitions)
        ]
        parts += [tag("div", *columns, class_="row names", aria_hidden="true"), *rows]
    elif verdict is not None and not verdict.error:
        parts.append(tag("p", "It defines no function or module class to check.", class_="quiet"))
    if ported is not None and ported.translation is not None and ported.translation.findings:
        parts.append(_findings(ported.translation.findings))
    return tag("section", *parts, id=f"f{number}")


def _definition(
    verdict: Verdict, result: Checked, definition: DefinitionVerdict, anchor: str
) -> Markup:
    kind = _kind(definition)
    ran = definition.stages.numeric != "not_run"
    word = "indirect" if kind == "aside" else _WORDS[definition.status]
    inputs = definition.inputs
    cells = (
        tag("span", _MARKS[kind], class_="mark"),
        tag("span", definition.name, class_="name"),
        tag("span", word, class_="word"),
        tag(
            "span", *((error_text(definition.largest), bar(definition.largest.rel)) if ran else ())
        ),
        tag("span", *_gradient_cell(definition.gradients)),
        tag("span", *(_inputs_cell(inputs) if inputs else ())),
        tag("span", f"{definition.seconds:.2f} s", class_="quiet time"),
    )
    body = tag("div", *_body(verdict, result, definition), class_="body", id=anchor)
    summary = tag("summary", *cells, class_="row")
    return tag("details", summary, body, class_=f"definition {kind}", open=kind == "bad")


def _inputs_cell(inputs: Inputs) -> tuple[str, Markup]:
    what = ", ".join(used.text for used in inputs.call) or "none"
    draws = tag("span", count(len(inputs.draws), "run"), class_="quiet")
    return tag("span", what, class_="given", title=what), draws if inputs.draws else Markup()


def _gradient_cell(gradients: Gradients) -> tuple[str, ...]:
    match gradients.status:
        case "equal":
            return (error_text(gradients.largest), bar(gradients.largest.rel))
        case "differ":
            error = tag("span", error_text(gradients.largest), class_="differs")
            return (error, bar(gradients.largest.rel))
        case "not_compared":
            return (tag("span", "none", class_="quiet"),) if gradients.reason else ()


def _body(verdict: Verdict, result: Checked, definition: DefinitionVerdict) -> Iterator[Markup]:
    category = definition.category
    if not definition.differences:
        yield tag("p", definition.message, class_="message")
    if category is not None and not definition.ok and category is not Category.NOTHING:
        rule = rule_of(category)
        badge = tag("span", category.value, class_="category")
        yield tag("p", badge, f" {rule.meaning} {rule.advice}", class_="quiet")
    for difference in definition.differences:
        yield _difference(difference)
    facts: list[tuple[str, Markup]] = []
    places = [f"{result.name}:{definition.source_line}"] if definition.source_line else []
    if definition.port_line and result.port:
        places.append(f"{result.port}:{definition.port_line}")
    if places:
        facts.append(("where", joined(*(tag("code", place, class_="place") for place in places))))
    if (calls := _calls(result, definition.name)) is not None:
        facts.append(("calls of torch", joined(f"{calls.ported} of {calls.total} ported")))
    facts.append(("stages", _stages(definition.stages)))
    if definition.inputs is not None:
        facts += _inputs(definition.inputs)
    if definition.gradients.reason:
        facts.append(("gradients", joined(f"not compared: {definition.gradients.reason}")))
    facts.append(("check again", tag("code", again(verdict, definition), class_="command")))
    rows = (part for name, value in facts for part in (tag("dt", name), tag("dd", value)))
    yield tag("dl", *rows)
    if definition.variants:
        yield _variants(definition)
    if definition.gradients.inputs or definition.gradients.parameters:
        yield _gradients(definition.gradients)
    yield from _notes([*explained(definition), *definition.notes])
    if definition.output:
        output = tag("summary", "output and traceback")
        yield tag("details", output, tag("pre", definition.output), class_="more")


def _calls(result: Checked, name: str) -> Coverage | None:
    """How much of a definition the translation covered, where it was one."""
    translation = result.ported.translation if result.ported else None
    found = translation.definitions if translation else ()
    return next((d.coverage for d in found if d.name == name and d.coverage.total), None)


def _stages(stages: Stages) -> Markup:
    words = {"passed": "passed", "failed": "failed", "not_run": "not run"}
    names = {
        "spec": "structure, shapes, dtypes",
        "numeric": "values and gradients",
        "behavioural": "training steps",
    }
    values: dict[str, str] = stages.model_dump()
    return joined(
        *(
            tag(
                "span",
                f"{names.get(name, name)}: {words.get(value, value)}",
                class_=f"chip {value}",
            )
            for name, value in values.items()
        )
    )


def _inputs(inputs: Inputs) -> Iterator[tuple[str, Markup]]:
    if inputs.init:
        yield "constructed with", _arguments(inputs.init)
    yield "called with", _arguments(inputs.call)
    yield "found in", joined(inputs.origin)
    if inputs.draws:
        draws = (tag("span", draw, class_="chip") for draw in inputs.draws)
        yield "draws", joined(*draws, tag("span", f"seed {inputs.seed}", class_="quiet"))


def _arguments(used: Sequence[InputUsed]) -> Markup:
    if not used:
        return tag("span", "nothing", class_="quiet")
    return joined(
        *(
            tag("code", *((f"{argument.name} = ",) if argument.name else ()), argument.text,
                class_="argument")
            for argument in used
        )
    )  # fmt: skip


def _difference(difference: Difference) -> Markup:
    picture = difference.picture
    head = tag(
        "h3",
        difference.where,
        tag("span", difference.category.value, class_="category"),
        *((tag("span", difference.case, class_="chip"),) if difference.case else ()),
    )
    parts: list[Markup] = [head, tag("p", difference.message)]
    values = [
        (name, _number(value))
        for name, value in (
            ("torch", difference.torch),
            ("port", difference.port),
            ("float64 reference", difference.reference),
        )
        if value is not None
    ]
    if difference.index:
        values.append(("at", f"[{', '.join(map(str, difference.index))}]"))
    if difference.tolerance is not None:
        values.append(("tolerance that would have passed", _number(difference.tolerance, 2)))
    if values:
        cells = (tag("div", tag("dt", name), tag("dd", value)) for name, value in values)
        parts.append(tag("dl", *cells, class_="values"))
    if picture is not None:
        shown: list[Markup] = []
        size = math.prod(picture.shape)
        shape = f"shape {list(picture.shape)}: " if picture.shape else ""
        caption = f"{shape}{picture.equal:,} of {size:,} {'value' if size == 1 else 'values'} equal"
        if picture.nonfinite:
            caption += f", {picture.nonfinite:,} finite on one side only"
        if picture.every > 1:
            caption += f"; drawn from one in {picture.every} of those that differ"
        if picture.counts and size > 1:
            # Integers and booleans are compared exactly: no tolerance is named for them.
            exact = difference.category is Category.MISMATCH and difference.tolerance is None
            shown.append(histogram(picture, integers=exact))
        if picture.heat and size > 1:
            shown.append(tag("div", heat_map(picture, difference.index), key()))
        figure = tag("figure", *shown, tag("figcaption", caption))
        parts.append(figure)
    kind = "mild" if difference.category is Category.ILL_CONDITIONED else ""
    return tag("article", *parts, class_=f"difference {kind}".strip())


def _variants(definition: DefinitionVerdict) -> Markup:
    odd = len(odd_variants(definition))
    rows = [
        tag(
            "tr",
            tag("td", variant_name(variant)),
            tag("td", variant_status(variant), class_=f"severity {_SEVERITIES[variant.status]}"),
            tag("td", variant.message),
        )
        for variant in definition.variants
    ]
    told = f"{odd} not equal" if odd else "all equal"
    title = tag("summary", f"ran in {count(len(rows), 'way')}, {told}")
    return tag("details", title, tag("table", tag("tbody", *rows)), class_="more", open=odd > 0)


def _gradients(gradients: Gradients) -> Markup:
    named = [("input", *item) for item in gradients.inputs.items()]
    named += [("parameter", *item) for item in gradients.parameters.items()]
    worst = sorted(named, key=lambda item: -item[2].rel)
    rows = [
        tag(
            "tr",
            tag("td", tag("code", name), class_="name"),
            tag("td", kind, class_="quiet"),
            tag("td", error_text(errors)),
            tag("td", bar(errors.rel)),
        )
        for kind, name, errors in worst[:_MOST_GRADIENTS]
    ]
    left = len(worst) - len(rows)
    more = [tag("p", f"and {left} with smaller errors", class_="quiet")] if left else []
    title = tag("summary", f"gradients of {count(len(named), 'tensor')}, largest errors first")
    return tag("details", title, tag("table", tag("tbody", *rows)), *more, class_="more")


def _notes(notes: Sequence[str]) -> list[Markup]:
    return [tag("ul", *(tag("li", note) for note in notes), class_="notes")] if notes else []


def _findings(findings: Sequence[Finding]) -> Markup:
    rows = (
        tag(
            "tr",
            tag("td", f"{finding.line}:{finding.column + 1}", class_="quiet"),
            tag("td", finding.severity.value, class_=f"severity {finding.severity.value}"),
            tag("td", finding.message, tag("span", f" {finding.code}", class_="quiet")),
        )
        for finding in findings
    )
    title = tag("summary", f"{count(len(findings), 'finding')} of the translation")
    return tag("details", title, tag("table", tag("tbody", *rows)), class_="more")


def _footer(results: Sequence[Checked]) -> Iterator[Markup]:
    versions = {result.verdict.torchport for result in results if result.verdict} or {__version__}
    yield tag(
        "p",
        "Errors are relative to torch's value or, if larger, the root mean square of all; ulp: units in "
        "the last place of the coarser dtype. Bars run from 1e-9 to 1, by the logarithm.",
    )
    yield tag("p", f"torchport {', '.join(sorted(versions))}")


def _kind(definition: DefinitionVerdict) -> str:
    return "aside" if indirect(definition) else _KINDS[definition.status]


def _number(value: float | str, digits: int = 9) -> str:
    return value if isinstance(value, str) else f"{value:.{digits}g}"
