"""Every object of the protocol is built here, from ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp

from torchport_checks.verdicts import Category, DefinitionVerdict, LaneInfo, Verdict
from torchport_server.documents import Lines, Snapshot
from torchport_server.survey import Survey, Use
from torchport_translators.findings import Finding, Severity

STATIC = "torchport"
CHECKED = "torchport check"
PORT_KIND = "refactor.rewrite.torchport"
CHECK_KIND = "source.torchport.check"
FIX_ALL = "source.fixAll.torchport"
DRIFTED = "drifted"
PITFALL = "pitfall"
_LONG = 1000
"""Lines above which those that are everywhere are not compared."""

# A call that cannot be ported is no fault of the author's code: nothing here is an error.
_SEVERITIES = {
    Severity.ERROR: lsp.DiagnosticSeverity.Warning,
    Severity.WARNING: lsp.DiagnosticSeverity.Information,
    Severity.INFO: lsp.DiagnosticSeverity.Hint,
}
_MARKS = {"verified": "✓", "diverged": "✗", "error": "✗", "not_run": "–"}
_TITLES = {"jax": "JAX", "mlx": "MLX"}


def title_of(target: str) -> str:
    return _TITLES[target]


# Diagnostics


def finding(finding: Finding, lines: Lines) -> lsp.Diagnostic:
    """A static finding."""
    return lsp.Diagnostic(
        range=lsp.Range(
            lines.at(finding.line - 1, finding.column),
            lines.at(finding.end_line - 1, finding.end_column),
        ),
        message=f"{_sentence(finding.message)} {finding.help}",
        severity=_SEVERITIES[finding.severity],
        code=finding.code,
        source=STATIC,
    )


def pitfalls(survey: Survey, lines: Lines, *, warn: bool) -> Iterable[lsp.Diagnostic]:
    """The uses of torch whose ports people and models get wrong."""
    severity = lsp.DiagnosticSeverity
    for use in survey.uses:
        for title in survey.pitfalls.get(use.api, ()):
            yield lsp.Diagnostic(
                range=_range_of(use, lines),
                message=f"Often ported wrongly: {title}",
                severity=severity.Warning if warn else severity.Hint,
                code=PITFALL,
                source=STATIC,
            )


def drift(name: str, line: int, lines: Lines, port: Path, target: str) -> lsp.Diagnostic:
    """A definition that has changed since it was ported."""
    return lsp.Diagnostic(
        range=lines.code(line - 1),
        message=f"{name} has changed since it was ported to {title_of(target)} ({port.name}). "
        "Port it again, or check the port as it is.",
        severity=lsp.DiagnosticSeverity.Information,
        code=DRIFTED,
        source=STATIC,
        data={"name": name},
    )


def divergence(
    verdict: DefinitionVerdict,
    range: lsp.Range,
    *,
    here: bool,
    changed: bool,
    other: lsp.Location | None,
    other_text: str,
    replay: str,
) -> lsp.Diagnostic:
    """A definition whose port diverges, or could not be run.

    Args:
        changed: whether what is at `range` has changed since the definition was last verified.
        here: whether what changed since the last verified check is at `range`; else the side that
            did not change is only told.
        other: the place on the other side, and what to say of it.
        replay: the command that shows the same verdict in a terminal.
    """
    category = verdict.category.value if verdict.category else verdict.status.upper()
    parts = [f"{verdict.name}: {_sentence(verdict.message or _first_difference(verdict))}"]
    if verdict.located is not None:
        parts.append(verdict.located.message)
    parts += [known.message for known in verdict.known]
    if changed:
        parts.append(f"This line has changed since {verdict.name} was verified.")
    if verdict.inputs is not None and verdict.inputs.call:
        given = ", ".join(f"{item.name}={item.text}" for item in verdict.inputs.call)
        parts.append(f"Inputs: {given} ({verdict.inputs.origin}).")
    parts.append(f"Replay: {replay}")
    related = [lsp.DiagnosticRelatedInformation(other, other_text)] if other is not None else None
    return lsp.Diagnostic(
        range=range,
        message="\n".join(parts),
        severity=lsp.DiagnosticSeverity.Error if here else lsp.DiagnosticSeverity.Information,
        code=category,
        source=CHECKED,
        related_information=related,
        data={"name": verdict.name},
    )


def _first_difference(verdict: DefinitionVerdict) -> str:
    for difference in verdict.differences:
        return f"{difference.where} ({difference.case}): {difference.message}"
    return verdict.status


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


# Lenses, hints, hovers


def lens(uri: str, name: str, range: lsp.Range, text: str, command: str) -> lsp.CodeLens:
    return lsp.CodeLens(range, lsp.Command(text, command, arguments=[uri, name]))


def lens_text(verdict: DefinitionVerdict, lanes: Sequence[LaneInfo], stale: bool) -> str:
    """A verdict in one line: the largest error, gradients, devices, time."""
    parts = [f"{_MARKS[verdict.status]} {verdict.status.replace('_', ' ')}"]
    if verdict.status == "diverged" and verdict.category is not None:
        parts[0] += f": {verdict.category.value}"
    if verdict.category is Category.MISSING:
        return "– not ported yet"
    if verdict.status == "not_run":
        parts.append(verdict.message.splitlines()[0])
    if verdict.status in ("verified", "diverged"):
        parts.append(f"largest error {verdict.largest.abs:.1e}")
        gradients = {"equal": "gradients equal", "differ": "gradients differ"}
        parts.append(gradients.get(verdict.gradients.status, "gradients not compared"))
        parts.append(" and ".join(dict.fromkeys(lane.device for lane in lanes)) or "cpu")
        parts.append(f"{verdict.seconds:.1f} s")
    text = " · ".join(parts)
    return f"{text} (edited since)" if stale else text


def hint(position: lsp.Position, text: str) -> lsp.InlayHint:
    """The shape and dtype of an argument in the last check."""
    return lsp.InlayHint(
        position,
        f": {text}",
        kind=lsp.InlayHintKind.Type,
        tooltip="seen in the last check",
        padding_right=True,
    )


def hover(use: Use, survey: Survey, lines: Lines) -> lsp.Hover:
    """What a use of torch becomes."""
    return lsp.Hover(
        lsp.MarkupContent(lsp.MarkupKind.Markdown, survey.explained[use.api]),
        _range_of(use, lines),
    )


def _range_of(use: Use, lines: Lines) -> lsp.Range:
    return lsp.Range(lines.at(use.line - 1, use.column), lines.at(use.end_line - 1, use.end_column))


# Edits


class EditBuilder:
    """Collects the changes of one action, and makes of them what the client understands.

    Args:
        capabilities: the client's, of `workspace.workspaceEdit`.
    """

    def __init__(self, capabilities: lsp.WorkspaceEditClientCapabilities | None) -> None:
        operations = (capabilities.resource_operations if capabilities else None) or ()
        self.creates = lsp.ResourceOperationKind.Create in operations
        # Neovim does not say that it takes document changes, only which operations on files.
        self._versions = self.creates or bool(capabilities and capabilities.document_changes)
        self._annotates = self._versions and bool(
            capabilities and capabilities.change_annotation_support
        )
        self._changes: list[Any] = []
        self._plain: dict[str, list[lsp.TextEdit]] = {}
        self._annotations: dict[str, lsp.ChangeAnnotation] = {}

    def create(self, uri: str) -> None:
        """A new empty file, unless there is one."""
        options = lsp.CreateFileOptions(ignore_if_exists=True)
        self._changes.append(lsp.CreateFile(uri=uri, options=options))

    def edit(
        self, uri: str, version: int | None, edits: Sequence[lsp.TextEdit], *, confirm: str = ""
    ) -> None:
        """Changes of one document; with `confirm`, the client asks before it makes them."""
        self._plain.setdefault(uri, []).extend(edits)
        made: list[lsp.TextEdit | lsp.AnnotatedTextEdit | lsp.SnippetTextEdit] = [*edits]
        if confirm and self._annotates:
            self._annotations["confirm"] = lsp.ChangeAnnotation(
                label=confirm, needs_confirmation=True
            )
            made = [lsp.AnnotatedTextEdit("confirm", e.range, e.new_text) for e in edits]
        document = lsp.OptionalVersionedTextDocumentIdentifier(uri=uri, version=version)
        self._changes.append(lsp.TextDocumentEdit(document, made))

    def build(self) -> lsp.WorkspaceEdit:
        if not self._versions:
            return lsp.WorkspaceEdit(changes=self._plain)
        return lsp.WorkspaceEdit(
            document_changes=self._changes, change_annotations=self._annotations or None
        )


def edits_between(lines: Lines, new: str) -> list[lsp.TextEdit]:
    """Small edits, whole lines at a time, that make `new` of a text."""
    before, after = _kept_lines(lines), old_lines(new)
    # What is equal at both ends is left out: comparing takes the square of the lines at worst.
    same = _same(before, after)
    tail = _same(before[same:][::-1], after[same:][::-1])
    inside, made = before[same : len(before) - tail], after[same : len(after) - tail]
    matcher = difflib.SequenceMatcher(None, inside, made, autojunk=len(inside) > _LONG)
    at = sum(map(len, before[:same]))
    found: list[lsp.TextEdit] = []
    for tag, first, last, start, stop in matcher.get_opcodes():
        if tag == "equal":
            continue
        begin = at + sum(map(len, inside[:first]))
        end = begin + sum(map(len, inside[first:last]))
        found.append(lsp.TextEdit(lines.range(begin, end), "".join(made[start:stop])))
    return found


def _same(old: Sequence[str], new: Sequence[str]) -> int:
    """How many lines are the same at the start."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(old), len(new)))


def _kept_lines(lines: Lines) -> list[str]:
    return [lines.line(number) for number in range(len(lines.starts))]


def old_lines(text: str) -> list[str]:
    return _kept_lines(Lines(text, lsp.PositionEncodingKind.Utf32))


# Actions


def action(
    title: str,
    kind: str,
    *,
    data: dict[str, Any] | None = None,
    command: lsp.Command | None = None,
    edit: lsp.WorkspaceEdit | None = None,
    diagnostics: Iterable[lsp.Diagnostic] = (),
    preferred: bool = False,
    disabled: str = "",
) -> lsp.CodeAction:
    return lsp.CodeAction(
        title=title,
        kind=kind,
        data=data,
        command=command,
        edit=edit,
        diagnostics=list(diagnostics) or None,
        is_preferred=preferred or None,
        disabled=lsp.CodeActionDisabled(disabled) if disabled else None,
    )


def check_command(uri: str, name: str | None = None) -> lsp.Command:
    arguments = [uri] if name is None else [uri, name]
    return lsp.Command("Check", "torchport.check", arguments=list(arguments))


def location(path: Path, range: lsp.Range) -> lsp.Location:
    return lsp.Location(path.as_uri(), range)


def whole(document: Snapshot) -> lsp.Range:
    return document.lines.range(0, len(document.text))


def report(verdict: Verdict, *, stale: bool) -> dict[str, Any]:
    """What `torchport.report` answers."""
    return {"verdict": verdict.model_dump(mode="json"), "stale": stale}
