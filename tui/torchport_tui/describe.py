"""Verdicts and findings as text: what was run, what differs, where, and what to do. No widget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from textual.content import Content

from torchport_checks.replay import Replayed
from torchport_checks.reports.checked import error_text, explained, lane_text, variant_text
from torchport_checks.sessions import Evidence, Item
from torchport_checks.sessions.hunks import lines_of
from torchport_checks.verdicts import DefinitionVerdict, Difference, InputUsed, Picture
from torchport_tui.look import SEVERITIES, duration, look

_LEVELS = ("·", "░", "▒", "▓", "█")
_HEAT = ("$foreground 60%", "$text-secondary", "$text-warning", "$text-warning", "bold $text-error")
_HEAT_LIMITS = (-7.0, -5.0, -3.0, -1.0)
"""log10 of the relative errors at which a cell of the heat map gets darker."""
_BARS = "▁▂▃▄▅▆▇█"
_INDENT = "  "


def verdict_text(item: Item, evidence: Evidence | None, replayed: Replayed | None) -> Content:
    """All that is known of one definition."""
    return Content("\n").join(_verdict(item, evidence, replayed))


def _verdict(item: Item, evidence: Evidence | None, replayed: Replayed | None) -> Iterator[Content]:
    seen = look(item)
    found = evidence.of(item.name) if evidence is not None else None
    word = seen.word or "not checked yet"
    category = f" ({item.category})" if item.category else ""
    yield Content.assemble(
        (f"{seen.mark} {word}{category}", f"bold {seen.style}"), f"  {item.message}"
    )
    if replayed is not None:
        yield from _replayed(replayed)
    if evidence is None or evidence.verdict is None:
        if not item.message:
            yield Content.styled("Its verdict comes with the next run: r.", "$foreground 60%")
        return
    if found is None:
        return
    for line in explained(found):
        yield Content(line)
    if found.located is not None:
        yield from _located(found, evidence)
    yield from _ran(found)
    for difference in found.differences:
        yield from _difference(difference)
    if found.smallest is not None and found.smallest.python:
        yield _title("Smallest input")
        yield from _indented(found.smallest.python.splitlines())
    if odd := [variant for variant in found.variants if variant.status != "equal"]:
        yield _title("Variants")
        yield from _indented(map(variant_text, odd))
    if found.notes:
        yield _title("Notes")
        yield from _indented(found.notes)
    if found.output:
        yield _title("Printed")
        yield from _indented(found.output.splitlines()[-12:])
    yield _title("Lanes")
    for lane in evidence.verdict.lanes:
        kept = f", in {lane.containment}" if lane.containment else ""
        yield Content.assemble(_INDENT, lane_text(lane), (kept, "$foreground 60%"))


def _title(text: str) -> Content:
    return Content.assemble("\n", (text, "bold $text-primary"))


def _indented(lines: Iterable[str]) -> Iterator[Content]:
    for line in lines:
        yield Content(_INDENT + line)


def _ran(found: DefinitionVerdict) -> Iterator[Content]:
    yield _title("What was run")
    stages = found.stages
    marks = {
        "passed": ("✓", "$text-success"),
        "failed": ("✗", "$text-error"),
        "not_run": ("·", "$foreground 60%"),
    }
    parts: list[str | tuple[str, str]] = [_INDENT]
    for name in ("spec", "numeric", "behavioural"):
        mark, style = marks[getattr(stages, name)]
        parts += [(f"{mark} {name}", style), "   "]
    yield Content.assemble(*parts, (duration(found.seconds), "$foreground 60%"))
    if found.inputs is not None:
        for title, used in (("built with", found.inputs.init), ("called with", found.inputs.call)):
            if used:
                yield Content.assemble(_INDENT, (f"{title} ", "$foreground 60%"), _arguments(used))
        draws = "; ".join(found.inputs.draws)
        where = (
            f"inputs: {found.inputs.origin}; drawn: {draws or 'as given'}; seed {found.inputs.seed}"
        )
        yield Content.assemble(_INDENT, (where, "$foreground 60%"))
    if stages.numeric != "not_run":
        gradients = found.gradients
        told = gradients.reason or gradients.status.replace("_", " ")
        if gradients.status == "equal":
            told = f"equal, {error_text(gradients.largest)}"
        yield Content(f"{_INDENT}largest error {error_text(found.largest)}; gradients {told}")


def _arguments(used: Sequence[InputUsed]) -> str:
    return ", ".join(f"{one.name}={one.text}" for one in used)


def _located(found: DefinitionVerdict, evidence: Evidence) -> Iterator[Content]:
    located = found.located
    assert located is not None
    yield _title("Where it begins")
    for sign, style, line, text in (
        ("-", "on $error-muted", located.source_line, evidence.original.text),
        ("+", "on $success-muted", located.port_line, evidence.text),
    ):
        lines = lines_of(text)
        shown = lines[line - 1].rstrip() if 0 < line <= len(lines) else ""
        yield Content.assemble(
            _INDENT, (f"{line:>4} ", "$foreground 60%"), (f"{sign} {shown}", style)
        )


def _difference(one: Difference) -> Iterator[Content]:
    yield Content.assemble(
        "\n", (f"{one.category.value} ", "bold $text-error"), (one.where, "bold"), (f"  {one.case}", "$foreground 60%")
    )  # fmt: skip
    yield Content(one.message)
    if one.picture is not None:
        yield from heat_map(one.picture)


def heat_map(picture: Picture) -> Iterator[Content]:
    """Where the error is: two cells for each of the picture, darker where it is larger."""
    total = 1
    for size in picture.shape:
        total *= size
    odd = total - picture.equal
    nonfinite = f", {picture.nonfinite} not finite" if picture.nonfinite else ""
    yield Content(f"{_INDENT}{odd} of {total} elements differ{nonfinite}")
    if picture.counts:
        tallest = max(picture.counts)
        bars = "".join(
            _BARS[min(7, 7 * count // tallest)] if count else " " for count in picture.counts
        )
        last = picture.first_bin + len(picture.counts)
        yield Content.assemble(
            _INDENT, (bars, "$text-warning"),
            (f"  errors from 2^{picture.first_bin} to 2^{last} ulp", "$foreground 60%"),
        )  # fmt: skip
    if len(picture.heat) * len(picture.heat[0] if picture.heat else ()) <= 1:
        return
    for row in picture.heat:
        parts: list[str | tuple[str, str]] = [_INDENT * 2]
        for value in row:
            level = _level(value)
            parts.append(("  " if level is None else _LEVELS[level] * 2, _HEAT[level or 0]))
        yield Content.assemble(*parts)
    axes = " by ".join(f"axis {axis}" for axis in picture.axes)
    key = "  ".join(
        f"{mark} {text}"
        for mark, text in zip(
            _LEVELS, ("below 1e-7", "1e-7", "1e-5", "1e-3", "0.1 and more"), strict=True
        )
    )
    yield Content.styled(f"{_INDENT * 2}{axes}; relative error: {key}", "$foreground 60%")


def _level(value: float | None) -> int | None:
    return None if value is None else sum(value >= limit for limit in _HEAT_LIMITS)


def _replayed(replayed: Replayed) -> Iterator[Content]:
    style = "$text-success" if replayed.status == "verified" else "$text-error"
    yield _title("Run again just now")
    yield Content.assemble(
        _INDENT, (replayed.status.replace("_", " "), f"bold {style}"), f"  {replayed.message}"
    )
    for path in replayed.changed:
        yield Content(f"{_INDENT}{path} has changed since the input was found")
    if replayed.python:
        yield Content(f"{_INDENT}{replayed.python}")
    for row in replayed.rows:
        yield Content(f"{_INDENT}{row.where}: torch {row.torch}, port {row.port}"
                      + (f", float64 {row.reference}" if row.reference else ""))  # fmt: skip
    yield from _indented(replayed.notes)


def findings_text(item: Item, evidence: Evidence | None) -> Content:
    """What the translation tells of one definition, and what to do about it."""
    if evidence is None:
        return Content(item.message or "It has not been ported yet.")
    found = evidence.findings(item.name)
    if not found:
        return Content.styled("The translation has nothing to tell of it.", "$foreground 60%")
    lines = lines_of(evidence.original.text)
    parts: list[Content] = []
    for one in found:
        parts += _finding(one, lines)
    return Content("\n").join(parts)


def _finding(one: dict[str, Any], lines: Sequence[str]) -> Iterator[Content]:
    severity: str = one["severity"]
    at: int = one["line"]
    api = f"  {one['api']}" if one["api"] else ""
    yield Content.assemble(
        (severity, SEVERITIES[severity]), (f" [{one['code']}]", "$foreground 60%"), (api, "bold")
    )
    yield Content(one["message"])
    if 0 < at <= len(lines):
        text = lines[at - 1].rstrip()
        yield Content.assemble((f"{at:>6} ", "$foreground 60%"), (text, "on $surface-lighten-1"))
    yield Content.styled(one["help"], "italic")
    if one["api"]:
        yield Content.styled(f"torchport explain {one['api']}", "$foreground 60%")
    yield Content("")
