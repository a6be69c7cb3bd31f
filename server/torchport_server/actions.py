"""The code actions: which are offered where, and the edit of each, made when it is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lsprotocol import types as lsp

from torchport_server import protocol
from torchport_server.documents import Lines, Snapshot
from torchport_server.pairs import Pair, text_of
from torchport_server.survey import Outline, Survey, merged, ported_in_place
from torchport_translators.batch import Plan
from torchport_translators.emit.merge import Merged

if TYPE_CHECKING:
    from torchport_server.server import Server

_NOT_IGNORED = (protocol.DRIFTED, protocol.PITFALL)
_NO_MODEL = "No language model is configured, and none is needed for what rules cover."


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user has selected, and what is known of the document."""

    document: Snapshot
    survey: Survey
    pair: Pair | None
    range: lsp.Range
    diagnostics: Sequence[lsp.Diagnostic]
    target: str

    @property
    def chosen(self) -> list[Outline]:
        """The definitions that the selection touches."""
        first, last = self.range.start.line + 1, self.range.end.line + 1
        if self.range.end.character == 0 and last > first:
            last -= 1  # a selection of whole lines ends before the next one
        return [o for o in self.survey.outlines if o.line <= last and first <= o.end_line]


def offered(server: Server, asked: Asked) -> list[lsp.CodeAction]:
    """The actions for a selection, the most useful first."""
    actions: list[lsp.CodeAction] = []
    if asked.pair is not None:
        actions += _fixes(server, asked)
    if asked.survey.torch:
        actions += _ports(server, asked)
        actions += _ignores(server, asked)
    if asked.pair is not None:
        actions += _checks(server, asked)
    if asked.survey.torch and server.client == "vscode":
        actions += _prompts(server, asked)
    if asked.survey.torch and server.shows_disabled:
        title = "Port with the language model"
        actions.append(protocol.action(title, protocol.PORT_KIND, disabled=_NO_MODEL))
    return actions


def _prompts(server: Server, asked: Asked) -> Iterable[lsp.CodeAction]:
    """The prompt for a definition that rules have not ported whole, or that diverges."""
    result = server.checks.result(asked.pair) if asked.pair is not None else None
    for outline in asked.chosen[:1]:
        lines = range(outline.line, outline.end_line + 1)
        left = any(f.line in lines and f.severity == "error" for f in asked.survey.findings)
        verdict = result.of(outline.name) if result is not None else None
        if left or (verdict is not None and verdict.status == "diverged"):
            title = f"Copy the prompt for {outline.name} (for a language model)"
            arguments = [asked.document.uri, outline.name]
            command = lsp.Command(title, "torchport.copyPrompt", arguments=arguments)
            yield protocol.action(title, protocol.PORT_KIND, command=command)


def _ports(server: Server, asked: Asked) -> Iterable[lsp.CodeAction]:
    target = protocol.title_of(asked.target)
    kind = f"{protocol.PORT_KIND}.{asked.target}"
    uri = asked.document.uri
    chosen = [outline.name for outline in asked.chosen]
    if asked.pair is not None:
        where = asked.pair.port.name
        if chosen:
            names = _listed(chosen)
            data = {"do": "port", "uri": uri, "names": chosen}
            yield _checked(server, asked, f"Port {names} to {target} ({where})", kind, data)
        everything = [outline.name for outline in asked.survey.outlines]
        if everything and everything != chosen:
            data = {"do": "port", "uri": uri, "names": everything}
            title = f"Port all of {asked.pair.source.name} to {target} ({where})"
            yield _checked(server, asked, title, kind, data)
    if asked.range.start != asked.range.end or chosen or asked.document.notebook:
        if asked.range.start != asked.range.end:
            what = "the selection"
        else:
            what = chosen[0] if asked.document.notebook is None else "this cell"
        data = {"do": "in-place", "uri": uri, "range": _plain(_stretch(asked))}
        yield protocol.action(f"Port {what} to {target}, in place", kind, data=data)


def _checked(
    server: Server, asked: Asked, title: str, kind: str, data: dict[str, Any]
) -> lsp.CodeAction:
    """An action that ports, after which the port is checked."""
    command = protocol.check_command(asked.document.uri) if server.trusted else None
    return protocol.action(title, kind, data=data, command=command)


def _stretch(asked: Asked) -> lsp.Range:
    """The selection; without one the definition at the cursor, in a notebook the cell."""
    if asked.range.start != asked.range.end:
        return asked.range
    if asked.document.notebook is not None:
        return protocol.whole(asked.document)
    outline = asked.chosen[0]
    lines = asked.document.lines
    return lsp.Range(lines.at(outline.line - 1, 0), lines.code(outline.end_line - 1).end)


def _fixes(server: Server, asked: Asked) -> Iterable[lsp.CodeAction]:
    """What mends a definition that has drifted or diverges."""
    assert asked.pair is not None
    source_uri = asked.pair.source.as_uri()
    target = protocol.title_of(asked.target)
    result = server.checks.result(asked.pair)
    for diagnostic in asked.diagnostics:
        drifted = diagnostic.source == protocol.STATIC and diagnostic.code == protocol.DRIFTED
        if not drifted and diagnostic.source != protocol.CHECKED:
            continue
        name = _data(diagnostic.data).get("name")
        if not isinstance(name, str):
            continue
        command = protocol.check_command(source_uri) if server.trusted else None
        if result is not None and not drifted and name in result.verified:
            yield protocol.action(
                f"Restore {name} as it was verified",
                lsp.CodeActionKind.QuickFix,
                data={"do": "restore", "uri": source_uri, "names": [name]},
                command=command,
                diagnostics=[diagnostic],
                preferred=True,
            )
        verdict = result.of(name) if result is not None and not drifted else None
        for known in verdict.known if verdict is not None else ():
            if known.new:
                data = {"do": "mend", "uri": source_uri, "old": known.old, "new": known.new}
                yield protocol.action(
                    f"Apply the known fix: {known.new} ({known.id})",
                    lsp.CodeActionKind.QuickFix,
                    data=data | {"line": known.port_line},
                    command=command,
                    diagnostics=[diagnostic],
                    preferred=name not in result.verified if result is not None else True,
                )
        yield protocol.action(
            f"Port {name} to {target} again",
            lsp.CodeActionKind.QuickFix,
            data={"do": "port", "uri": source_uri, "names": [name], "again": True},
            command=command,
            diagnostics=[diagnostic],
        )


def _checks(server: Server, asked: Asked) -> Iterable[lsp.CodeAction]:
    assert asked.pair is not None
    if not server.trusted or text_of(server.documents, asked.pair.port) is None:
        return
    kind = protocol.CHECK_KIND
    uri = asked.document.uri
    for outline in asked.chosen[:1]:
        command = protocol.check_command(uri, outline.name)
        yield protocol.action(f"Check {outline.name} now", kind, command=command)
    command = protocol.check_command(uri)
    yield protocol.action(f"Check {asked.pair.port.name} now", kind, command=command)
    result = server.checks.result(asked.pair)
    for outline in asked.chosen[:1]:
        if not asked.survey.torch:
            continue
        verdict = result.of(outline.name) if result is not None else None
        title = f"Watch {outline.name} (pin its inputs in a check comment)"
        if verdict is not None and verdict.inputs is not None and verdict.inputs.call:
            if verdict.inputs.origin != "a check comment":
                data = {"do": "watch", "uri": uri, "names": [outline.name]}
                yield protocol.action(title, "refactor", data=data)
        elif server.shows_disabled:
            reason = "It has not been checked yet, so no inputs are known."
            yield protocol.action(title, "refactor", disabled=reason)


def _ignores(server: Server, asked: Asked) -> Iterable[lsp.CodeAction]:
    for diagnostic in asked.diagnostics:
        if diagnostic.source != protocol.STATIC or diagnostic.code in _NOT_IGNORED:
            continue
        lines = asked.document.lines
        line = diagnostic.range.start.line
        end = lines.code(line).end
        builder = server.edits()
        edit = lsp.TextEdit(lsp.Range(end, end), f"  # torchport: ignore[{diagnostic.code}]")
        builder.edit(asked.document.uri, asked.document.version, [edit])
        yield protocol.action(
            f"Ignore this finding ({diagnostic.code})",
            lsp.CodeActionKind.QuickFix,
            edit=builder.build(),
            diagnostics=[diagnostic],
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def _plain(range: lsp.Range) -> list[int]:
    start, end = range.start, range.end
    return [start.line, start.character, end.line, end.character]


# The edits


async def resolved(server: Server, action: lsp.CodeAction) -> lsp.CodeAction:
    """An action with its edit; with a message, and without an edit, where there can be none.

    Raises:
        Refused: what was selected is no longer there, or cannot be ported.
    """
    data = _data(action.data)
    if action.edit is not None or not data:
        return action
    uri = str(data.get("uri", ""))
    names: list[str] = data.get("names", [])
    match str(data.get("do")):
        case "port":
            action.edit = await _port(server, uri, names, again=bool(data.get("again")))
        case "restore":
            action.edit = await _restore(server, uri, names)
        case "mend":
            action.edit = _mend(server, uri, data["line"], data["old"], data["new"])
        case "in-place":
            first, start, last, end = data["range"]
            stretch = lsp.Range(lsp.Position(first, start), lsp.Position(last, end))
            action.edit = await _in_place(server, uri, stretch)
        case "watch":
            action.edit = await _watch(server, uri, names[0])
        case _:
            pass
    return action


def _data(data: object) -> dict[str, Any]:
    """What an action or a diagnostic of ours carries; empty for anything else."""
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


class Refused(Exception):
    """An edit cannot be made; the message says why."""


def _source_of(server: Server, uri: str) -> tuple[Pair, str, str]:
    """The pair of a source, its text, and the target.

    Raises:
        Refused: it cannot be read.
    """
    document = server.documents.get(uri) or Snapshot(uri, 0, "", server.documents.encoding)
    if document.path is None:
        raise Refused("Save the file first: the port goes beside it.")
    text = text_of(server.documents, document.path)
    if text is None:
        raise Refused(f"{document.path} cannot be read.")
    folder = server.folder(document.path)
    pair = server.pair(Snapshot(document.path.as_uri(), 0, text, server.documents.encoding))
    assert pair is not None
    return pair, text, folder.settings.target


async def _port(
    server: Server, uri: str, names: Sequence[str], *, again: bool
) -> lsp.WorkspaceEdit:
    """Put the ports of definitions into the port beside the source, made if need be."""
    pair, source, target = _source_of(server, uri)
    configuration = server.folder(pair.source).configuration
    old = text_of(server.documents, pair.port)
    try:
        found = await server.analyst.ask(
            merged, old or "", source, pair.source, list(names), Plan(configuration, target)
        )
    except Exception as error:
        raise Refused(str(error)) from error
    for note in _notes(found, pair.port.name):
        server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Info, note))
    confirm = ""
    if again and old is not None and await _edited(server, pair, names):
        confirm = f"Replaces what was changed by hand in {_listed(list(names))}"
    return _written(server, pair, old, found.text, confirm)


def _notes(found: Merged, port: str) -> Iterable[str]:
    """What the user should know of a port besides its text."""
    for finding in found.translation.findings:
        if finding.code == "unported-import":
            yield f"Line {finding.line}: {finding.message}. Port that file, too, and import from its port."
    if found.missing:
        yield (
            f"{_listed(found.missing)}: used by what was ported, and not in {port} yet. Port it, too."
        )
    if found.kept:
        yield (
            f"{_listed(found.kept)}: {port} has it in its own way, which was kept. Look whether it "
            "means the same."
        )


async def _edited(server: Server, pair: Pair, names: Sequence[str]) -> bool:
    """Whether the port of a definition is neither what was verified, nor drifted only in its
    source: then porting it again loses work."""
    result = server.checks.result(pair)
    texts = server.texts(pair)
    if texts is None:
        return False
    target = server.folder(pair.source).settings.target
    now = await server.analyst.survey(texts.port, target)
    for name in names:
        verified = result.verified.get(name) if result is not None else None
        if verified is None:
            return True
        was = (await server.analyst.survey(verified.texts.port, target)).of(name)
        here = now.of(name)
        if was is None or here is None or was.digest != here.digest:
            return True
    return False


async def _restore(server: Server, uri: str, names: Sequence[str]) -> lsp.WorkspaceEdit:
    """Put definitions back, on both sides, as they were when they were last verified."""
    pair, _, target = _source_of(server, uri)
    result, texts = server.checks.result(pair), server.texts(pair)
    if result is None or texts is None:
        raise Refused("Nothing of this pair has been verified yet.")
    builder = server.edits()
    for path, side in ((pair.source, "source"), (pair.port, "port")):
        text: str = getattr(texts, side)
        lines = Lines(text, server.documents.encoding)
        survey = await server.analyst.survey(text, target)
        edits: list[lsp.TextEdit] = []
        for name in names:
            verified = result.verified.get(name)
            if verified is None:
                continue
            old: str = getattr(verified.texts, side)
            was = (await server.analyst.survey(old, target)).of(name)
            now = survey.of(name)
            if was is not None and now is not None and was.digest != now.digest:
                edits.append(_definition_edit(lines, now, old, was))
        if edits:
            document = server.documents.at(path)
            version = document.version if document is not None else None
            builder.edit(document.uri if document else path.as_uri(), version, edits)
    return builder.build()


def _definition_edit(lines: Lines, now: Outline, old: str, was: Outline) -> lsp.TextEdit:
    before = Lines(old, lsp.PositionEncodingKind.Utf32)
    text = "".join(before.line(n) for n in range(was.line - 1, was.end_line))
    stretch = lsp.Range(lines.at(now.line - 1, 0), lines.at(now.end_line - 1, 1 << 30))
    return lsp.TextEdit(stretch, text.rstrip("\r\n"))


def _mend(server: Server, uri: str, line: int, old: str, new: str) -> lsp.WorkspaceEdit:
    """Put what a bug record says into the place of its mistake."""
    pair, _, _ = _source_of(server, uri)
    port = text_of(server.documents, pair.port) or ""
    starts = Lines(port, server.documents.encoding).starts
    at = port.find(old, starts[line - 1]) if line <= len(starts) else -1
    if at < 0:
        raise Refused(f"{pair.port.name} has changed since it was checked. Check it again.")
    return _written(server, pair, port, port[:at] + new + port[at + len(old) :], "")


async def _in_place(server: Server, uri: str, stretch: lsp.Range) -> lsp.WorkspaceEdit:
    document = server.documents.get(uri)
    if document is None:
        raise Refused("The document is not open any more.")
    target = server.folder(document.path).settings.target
    builder = server.edits()
    confirm = "Replaces the original by its port"
    joined = server.joined(document)
    if joined is not None:
        start, end = (joined.offset(document, at) for at in (stretch.start, stretch.end))
        edits = await server.analyst.ask(ported_in_place, joined.text, start, end, target)
        for cell, changes in joined.edits(edits):
            builder.edit(cell.uri, cell.version, changes, confirm=confirm)
        return builder.build()
    lines = document.lines
    start, end = lines.offset(stretch.start), lines.offset(stretch.end)
    edits = await server.analyst.ask(ported_in_place, document.text, start, end, target)
    changes = [lsp.TextEdit(lines.range(first, last), text) for first, last, text in edits]
    builder.edit(uri, document.version, changes, confirm=confirm)
    return builder.build()


async def _watch(server: Server, uri: str, name: str) -> lsp.WorkspaceEdit:
    document = server.documents.get(uri)
    pair = server.pair(document) if document is not None else None
    result = server.checks.result(pair) if pair is not None else None
    verdict = result.of(name) if result is not None else None
    if document is None or verdict is None or verdict.inputs is None:
        raise Refused(f"{name} has not been checked yet, so no inputs are known.")
    outline = (await server.survey(document)).of(name)
    if outline is None:
        raise Refused(f"{name} is not in the file any more.")
    given = [f"{item.name}={item.text}" for item in verdict.inputs.call]
    if verdict.inputs.init:
        init = ", ".join(f"{item.text}" for item in verdict.inputs.init)
        given.append(f"init=({init},)")
    at = document.lines.at(outline.line - 1, 0)
    text = f"# torchport: check({', '.join(given)})\n"
    builder = server.edits()
    builder.edit(uri, document.version, [lsp.TextEdit(lsp.Range(at, at), text)])
    return builder.build()


def _written(
    server: Server, pair: Pair, old: str | None, new: str, confirm: str
) -> lsp.WorkspaceEdit:
    builder = server.edits()
    document = server.documents.at(pair.port)
    uri = document.uri if document is not None else pair.port.as_uri()
    if old is None:
        if not builder.creates:
            raise Refused(
                f"This editor cannot create files for an action. Make an empty {pair.port.name} "
                "beside the source, or run: torchport translate " + pair.source.name
            )
        builder.create(uri)
    lines = Lines(old or "", server.documents.encoding)
    version = document.version if document is not None else None
    builder.edit(uri, version, protocol.edits_between(lines, new), confirm=confirm)
    return builder.build()
