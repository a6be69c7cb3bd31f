"""The report of a run, for people: a table per file, what needs attention, and where things lie."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from torchport_checks.reports.checked import (
    Checked,
    error_text,
    explained,
    indirect,
    lanes_of,
    odd_variants,
    passes,
    variant_text,
)
from torchport_checks.verdicts import DefinitionVerdict, Status, Verdict
from torchport_translators.batch import Outcome, Ported
from torchport_translators.findings import Coverage, Finding, Severity
from torchport_translators.output import count

_PLAIN_WIDTH = 110  # of a report that goes to a file or a pipe
_MAX_WIDTH = 120
_MAX_NAME = 32
_MAX_FINDINGS = 12
_MAX_MESSAGE_LINES = 8

_STATUS: dict[Status, tuple[str, str, str, str]] = {
    # mark, the same in ASCII, word, style
    "verified": ("✓", "+", "verified", "green"),
    "diverged": ("✗", "x", "diverged", "bold red"),
    "error": ("✗", "x", "failed", "bold red"),
    "not_run": ("!", "!", "not run", "yellow"),
}
_INDIRECT = ("·", "-", "indirect", "dim")
"""For a definition that can only be checked through what uses it."""

_SEVERITY = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "blue"}


def console(*, stderr: bool = False) -> Console:
    """A console with colours on a terminal, and plain text of a fixed width elsewhere."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        return Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)
    return Console(stderr=stderr, highlight=False, width=min(made.width, _MAX_WIDTH))


def plain(results: Sequence[Checked], *, seconds: float) -> str:
    """The report as a text file has it."""
    file = io.StringIO()
    report(results, Console(file=file, width=_PLAIN_WIDTH, highlight=False), seconds=seconds)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip() + "\n"


def report(results: Sequence[Checked], to: Console, *, seconds: float) -> None:
    """Print the report of a run: each file, then the sum of all."""
    names = [d.name for r in results if r.verdict for d in r.verdict.definitions]
    width = min(max(map(len, ("definition", *names))), _MAX_NAME)
    for result in results:
        to.print()
        for part in _file(result, to, width):
            to.print(part)
    to.print()
    to.print(Rule(style="dim", characters="─" if _fancy(to) else "-"))
    for line in _summary(results, seconds):
        to.print(line)


def _fancy(to: Console) -> bool:
    return to.encoding.startswith("utf")


def _shown(definition: DefinitionVerdict) -> tuple[str, str, str, str]:
    return _INDIRECT if indirect(definition) else _STATUS[definition.status]


def _file(result: Checked, to: Console, width: int) -> Iterator[RenderableType]:
    arrow = " → " if _fancy(to) else " -> "
    head = Text(overflow="fold").append(result.name, style="bold")
    if result.port:
        head.append(arrow, style="dim").append(result.port, style="bold cyan")
    if result.verdict is not None and result.verdict.from_store:
        head.append("  (stored verdict)", style="dim")
    yield head
    ported = result.ported
    if ported is not None:
        for note in ported.notes:
            yield _indented(Text(f"note: {note}", style="blue"))
        if ported.outcome is Outcome.EDITED:
            text = "The port has been edited, by hand or by a model: it was kept, and checked as it is (--force writes it anew)."
            yield _indented(Text(f"note: {text}", style="blue"))
        if ported.problem:
            yield _indented(Text(ported.problem, style="bold red"))
    verdict = result.verdict
    if verdict is not None:
        if verdict.definitions:
            yield _indented(_table(verdict, ported, width, to))
        elif not verdict.error:
            yield _indented(Text("It defines no function or module class to check.", style="dim"))
        if verdict.error:
            yield _indented(_message(verdict.error, "bold red"))
        told: dict[str, str] = {}
        for definition in verdict.definitions:
            if not definition.ok and not indirect(definition):
                before = told.setdefault(definition.message, definition.name)
                yield ""
                yield _indented(_failure(definition, result, before, to))
        for definition in verdict.definitions:
            for variant in odd_variants(definition) if definition.ok else ():
                text = f"{definition.name}: {variant_text(variant)}"
                yield _indented(_message(text, "yellow"))
        for definition in filter(indirect, verdict.definitions):
            yield _indented(Text(f"{definition.name}: {definition.message}", style="dim"))
        for note in verdict.notes:
            yield _indented(Text(f"note: {note}", style="blue"))
    if ported is not None and ported.translation is not None and ported.translation.findings:
        yield ""
        yield from map(_indented, _findings(result, ported.translation.findings))


def _indented(what: RenderableType) -> Padding:
    return Padding(what, (0, 0, 0, 2), expand=False)


def _table(verdict: Verdict, ported: Ported | None, width: int, to: Console) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", width=1)
    table.add_column("definition", width=width, no_wrap=True, overflow="ellipsis")
    if ported is not None:
        table.add_column("ported", width=7, justify="right")
    table.add_column("verdict", width=8)
    table.add_column("largest error", width=17)
    table.add_column("gradients", width=9)
    table.add_column("time", width=7, justify="right")
    coverage = _coverage(ported)
    for definition in verdict.definitions:
        mark, ascii_mark, word, style = _shown(definition)
        row = [Text(mark if _fancy(to) else ascii_mark, style=style), Text(definition.name)]
        if ported is not None:
            row.append(_calls(coverage.get(definition.name)))
        ran = definition.stages.numeric != "not_run"
        table.add_row(
            *row,
            Text(word, style=style),
            Text(
                error_text(definition.largest) if ran else "", style="" if definition.ok else style
            ),
            _gradients(definition),
            Text(f"{definition.seconds:.2f} s", style="dim"),
        )
    return table


def _coverage(ported: Ported | None) -> dict[str, Coverage]:
    if ported is None or ported.translation is None:
        return {}
    return {d.name: d.coverage for d in ported.translation.definitions}


def _calls(coverage: Coverage | None) -> Text:
    if coverage is None or not coverage.total:
        return Text("-", style="dim")
    style = "" if coverage.ported == coverage.total else "yellow"
    return Text(f"{coverage.ported}/{coverage.total}", style=style)


def _gradients(definition: DefinitionVerdict) -> Text:
    gradients = definition.gradients
    match gradients.status:
        case "equal":
            largest = gradients.largest
            return Text("exact" if largest.abs == 0 else f"{largest.rel:.1e}")
        case "differ":
            return Text(f"{gradients.largest.rel:.1e}", style="bold red")
        case _:
            return Text("none" if gradients.reason else "", style="dim")


def _failure(
    definition: DefinitionVerdict, result: Checked, told: str, to: Console
) -> RenderableType:
    """Where and why a definition was not verified; `told` is the first with the same message."""
    mark, ascii_mark, word, style = _shown(definition)
    head = Text().append(f"{mark if _fancy(to) else ascii_mark} {definition.name}", style=style)
    category = definition.category
    head.append(f" {word}{f' ({category.value})' if category else ''}")
    places = [f"{result.name}:{result.where(definition.source_line)}"]
    if definition.port_line and result.port:
        places.append(f"{result.port}:{definition.port_line}")
    head.append(f"  {'  '.join(places)}", style="dim")
    if told != definition.name:
        return Group(head, _indented(Text(f"As {told}, above.")))
    parts = [_indented(_message(definition.message))]
    parts += [_indented(_message(line)) for line in explained(definition)]
    return Group(head, *parts)


def _message(text: str, style: str = "") -> Text:
    lines = text.splitlines()
    if len(lines) > _MAX_MESSAGE_LINES:
        lines = [*lines[:_MAX_MESSAGE_LINES], "... (the rest is in the JSON report)"]
    return Text("\n".join(lines), style=style)


def _findings(result: Checked, findings: Sequence[Finding]) -> Iterator[Text]:
    worst_first = sorted(findings, key=lambda finding: list(Severity).index(finding.severity))
    for finding in sorted(worst_first[:_MAX_FINDINGS], key=lambda f: (f.line, f.column)):
        place = f"{result.name}:{result.where(finding.line)}:{finding.column + 1}"
        text = Text(f"{place}: ")
        text.append(finding.severity.value, style=_SEVERITY[finding.severity])
        text.append(f": {finding.message} ").append(f"[{finding.code}]", style="dim")
        yield text
    if len(findings) > _MAX_FINDINGS:
        yield Text(f"and {len(findings) - _MAX_FINDINGS} more in the full report", style="dim")


def _summary(results: Sequence[Checked], seconds: float) -> Iterator[Text]:
    verdicts = [result.verdict for result in results if result.verdict is not None]
    everything = [definition for verdict in verdicts for definition in verdict.definitions]
    definitions = [definition for definition in everything if not indirect(definition)]
    verified = sum(definition.ok for definition in definitions)
    if not all(passes(verdict) for verdict in verdicts):
        colour = "bold red"
    else:
        colour = "bold green" if verified == len(definitions) else "bold yellow"
    what = f"{verified} of {len(definitions)} verified" if definitions else "Nothing was checked"
    line = Text().append(what, style=colour)
    for status, (_, _, word, style) in _STATUS.items():
        number = sum(definition.status == status for definition in definitions)
        if number and status != "verified":
            line.append(f", {number} {word}", style=style)
    if len(definitions) < len(everything):
        line.append(f", {len(everything) - len(definitions)} indirectly", style="dim")
    stored = sum(len(verdict.definitions) for verdict in verdicts if verdict.from_store)
    if stored:
        kept = (
            "all from stored verdicts: nothing has changed"
            if stored == len(everything)
            else f"{stored} from stored verdicts"
        )
        line.append(f"; {kept}")
    line.append(f"  ({seconds:.1f} s)", style="dim")
    yield line
    translations = [r.ported.translation for r in results if r.ported and r.ported.translation]
    if translations:
        total = sum(translation.coverage.total for translation in translations)
        done = sum(translation.coverage.ported for translation in translations)
        yield Text(f"{done} of {total} calls ported in {count(len(translations), 'file')}")
    if lanes := lanes_of(verdicts):
        yield Text(", ".join(lanes))
    kept = {lane.containment for verdict in verdicts for lane in verdict.lanes if lane.containment}
    if kept:
        yield Text(f"The code ran in {' and in '.join(sorted(kept))}.", style="dim")
    alone = [
        framework
        for framework in dict.fromkeys(lane.framework for v in verdicts for lane in v.lanes)
        if len({lane.device for v in verdicts for lane in v.lanes if lane.framework == framework})
        == 1
    ]
    if alone and not any(verdict.from_store for verdict in verdicts):
        yield Text(
            f"One device each: {' and '.join(alone)} were not compared across devices.", style="dim"
        )
    if verified:
        yield Text(
            "Errors are relative to the size of the values; ulp: units in the last place of float32.",
            style="dim",
        )
