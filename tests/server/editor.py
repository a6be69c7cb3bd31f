"""An editor for the tests: a real client of the real server, over stdio.

It does what an editor does: keeps the open texts, applies edits, answers the server's requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Union

from lsprotocol import types as lsp
from pygls.uris import to_fs_path
from pytest_lsp import LanguageClient, client_capabilities, make_test_lsp_client

from torchport_server.documents import Lines

START, ANSWER, VERDICT = 60.0, 60.0, 180.0
"""Seconds after which a test gives up on the server; nothing is timed."""


class Editor:
    """One client, one server.

    Attributes:
        texts: the open documents.
        statuses: the `torchport/status` notifications, in order.
    """

    def __init__(self, client: LanguageClient, encoding: lsp.PositionEncodingKind) -> None:
        self.client = client
        self.encoding = encoding
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.statuses: list[Any] = []
        self.refreshed = 0

        @client.feature("torchport/status")
        def status(params: Any) -> None:
            self.statuses.append(params)

        @client.feature(lsp.WORKSPACE_CODE_LENS_REFRESH)
        def refresh(params: Any) -> None:
            self.refreshed += 1

        # The client's library takes an action that has a command for a bare command.
        converter = client.protocol._converter
        converter.register_structure_hook(
            Union[lsp.Command, lsp.CodeAction],  # noqa: UP007 it is looked up in this form
            lambda value, _: converter.structure(
                value, lsp.Command if isinstance(value.get("command"), str) else lsp.CodeAction
            ),
        )

    def configure(self, settings: dict[str, Any], folder: Path | None = None) -> None:
        """Set what the server is given when it asks for the settings, of one folder or of all."""
        scope = folder.as_uri() if folder is not None else None
        self.client.set_configuration(settings, section="torchport", scope_uri=scope)

    def reconfigure(self, settings: dict[str, Any], folder: Path | None = None) -> None:
        """Change settings while the server runs."""
        self.configure(settings, folder)
        changed = lsp.DidChangeConfigurationParams(None)
        self.client.workspace_did_change_configuration(changed)

    # Documents

    def open(self, path: Path, text: str | None = None) -> str:
        """Open a file (or a text that is not on disk yet); its URI."""
        uri = path.as_uri()
        # Read as bytes: an editor keeps line endings as they are.
        self.texts[uri] = path.read_bytes().decode() if text is None else text
        self.versions[uri] = 1
        item = lsp.TextDocumentItem(uri, "python", 1, self.texts[uri])
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri: str, text: str) -> None:
        """Replace the whole text of a document."""
        self._change(uri, [lsp.TextDocumentContentChangeWholeDocument(text)], text)

    def type(self, uri: str, at: lsp.Range, text: str) -> None:
        """Put text in the place of a range, as an incremental change."""
        lines = Lines(self.texts[uri], self.encoding)
        start, end = lines.offset(at.start), lines.offset(at.end)
        new = self.texts[uri][:start] + text + self.texts[uri][end:]
        self._change(uri, [lsp.TextDocumentContentChangePartial(range=at, text=text)], new)

    def _change(
        self, uri: str, changes: list[lsp.TextDocumentContentChangeEvent], text: str
    ) -> None:
        self.texts[uri] = text
        self.versions[uri] += 1
        document = lsp.VersionedTextDocumentIdentifier(version=self.versions[uri], uri=uri)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, changes))

    def save(self, uri: str) -> None:
        Path(to_fs_path(uri) or "").write_bytes(self.texts[uri].encode())
        identifier = lsp.TextDocumentIdentifier(uri)
        self.client.text_document_did_save(lsp.DidSaveTextDocumentParams(identifier))

    def lines(self, uri: str) -> Lines:
        return Lines(self.texts[uri], self.encoding)

    def range_of(self, uri: str, part: str) -> lsp.Range:
        """Where a part of a text stands, in the units of this client."""
        start = self.texts[uri].index(part)
        return self.lines(uri).range(start, start + len(part))

    # Requests

    async def actions(
        self,
        uri: str,
        at: lsp.Range,
        diagnostics: Sequence[lsp.Diagnostic] = (),
        only: Sequence[str] | None = None,
    ) -> list[lsp.CodeAction]:
        context = lsp.CodeActionContext(list(diagnostics), only=only)
        params = lsp.CodeActionParams(lsp.TextDocumentIdentifier(uri), at, context)
        found = await self._answer(self.client.text_document_code_action_async(params))
        return [action for action in found or () if isinstance(action, lsp.CodeAction)]

    async def choose(self, actions: Sequence[lsp.CodeAction], title: str) -> lsp.CodeAction:
        """Resolve the action whose title starts so, apply its edit, run its command."""
        (action,) = [action for action in actions if action.title.startswith(title)]
        assert action.disabled is None, action.disabled
        if action.edit is None and action.data is not None:
            action = await self._answer(self.client.code_action_resolve_async(action))
        if action.edit is not None:
            self.apply(action.edit)
        if action.command is not None:
            await self.execute(action.command.command, *(action.command.arguments or ()))
        return action

    def apply(self, edit: lsp.WorkspaceEdit) -> None:
        """Make the changes of a workspace edit; documents that it concerns are opened."""
        for uri, edits in (edit.changes or {}).items():
            self._edit(uri, edits)
        for change in edit.document_changes or ():
            if isinstance(change, lsp.CreateFile):
                path = Path(to_fs_path(change.uri) or "")
                assert not path.exists() or (change.options and change.options.ignore_if_exists)
                path.touch()
            elif isinstance(change, lsp.TextDocumentEdit):
                version = change.text_document.version
                uri = change.text_document.uri
                assert version is None or version == self.versions[uri]
                self._edit(uri, change.edits)

    def _edit(self, uri: str, edits: Sequence[Any]) -> None:
        if uri not in self.texts:
            self.open(Path(to_fs_path(uri) or ""))
        lines, text = self.lines(uri), self.texts[uri]
        # Of those at one place the first in the list comes first in the text.
        ordered = sorted(edits, key=lambda e: lines.offset(e.range.start))
        for edit in ordered[::-1]:
            start, end = lines.offset(edit.range.start), lines.offset(edit.range.end)
            text = text[:start] + edit.new_text + text[end:]
        self.change(uri, text)

    async def execute(self, command: str, *arguments: Any) -> Any:
        params = lsp.ExecuteCommandParams(command, arguments=list(arguments))
        return await self._answer(self.client.workspace_execute_command_async(params))

    async def findings(self, uri: str) -> list[lsp.Diagnostic]:
        params = lsp.DocumentDiagnosticParams(lsp.TextDocumentIdentifier(uri))
        return list((await self._answer(self.client.text_document_diagnostic_async(params))).items)

    async def hover(self, uri: str, part: str, within: int = 0) -> lsp.Hover | None:
        start = self.range_of(uri, part).start
        position = lsp.Position(start.line, start.character + within)
        params = lsp.HoverParams(lsp.TextDocumentIdentifier(uri), position)
        return await self._answer(self.client.text_document_hover_async(params))

    async def lenses(self, uri: str) -> list[str]:
        params = lsp.CodeLensParams(lsp.TextDocumentIdentifier(uri))
        found = await self._answer(self.client.text_document_code_lens_async(params))
        return [lens.command.title for lens in found or () if lens.command]

    async def hints(self, uri: str) -> list[str]:
        everything = self.lines(uri).range(0, len(self.texts[uri]))
        params = lsp.InlayHintParams(lsp.TextDocumentIdentifier(uri), everything)
        found = await self._answer(self.client.text_document_inlay_hint_async(params))
        return [str(hint.label) for hint in found or ()]

    def problems(self, uri: str) -> list[lsp.Diagnostic]:
        """The diagnostics that were published last."""
        return list(self.client.diagnostics.get(uri, ()))

    async def until(self, condition: Any) -> None:
        """Wait until something holds; the test fails if it never does."""

        async def poll() -> None:
            while not condition():
                await asyncio.sleep(0.02)

        await asyncio.wait_for(poll(), VERDICT)

    async def verdict(self, after: int) -> Any:
        """The last status once a check that began after `after` statuses has ended."""
        await self.until(
            lambda: (
                any(status.busy for status in self.statuses[after:]) and not self.statuses[-1].busy
            )
        )
        return self.statuses[-1]

    async def _answer(self, request: Any) -> Any:
        return await asyncio.wait_for(request, ANSWER)


def capabilities(encodings: Sequence[lsp.PositionEncodingKind] = ()) -> lsp.ClientCapabilities:
    """Those of VS Code, with pulled diagnostics, as its language client has them today."""
    found = client_capabilities("visual-studio-code")
    assert found.text_document is not None and found.workspace is not None
    found.text_document.diagnostic = lsp.DiagnosticClientCapabilities()
    found.workspace.code_lens = lsp.CodeLensWorkspaceClientCapabilities(refresh_support=True)
    found.general = lsp.GeneralClientCapabilities(position_encodings=list(encodings) or None)
    return found


@contextlib.asynccontextmanager
async def editing(
    *folders: Path,
    can: lsp.ClientCapabilities | None = None,
    trusted: bool = True,
    client: str = "vscode",
    settings: dict[Path | None, dict[str, Any]] | None = None,
    restored: Sequence[Path] = (),
) -> AsyncIterator[Editor]:
    """An editor with these workspace folders; its server has ended when this is left.

    Args:
        restored: files that are open when it starts, before the server has any settings.
    """
    lsp_client = make_test_lsp_client()
    editor = Editor(lsp_client, lsp.PositionEncodingKind.Utf16)
    for folder, section in (settings or {}).items():
        editor.configure(section, folder)
    await lsp_client.start_io(sys.executable, "-m", "torchport", "lsp")
    server = lsp_client._server
    try:
        params = lsp.InitializeParams(
            capabilities=can or capabilities(),
            root_uri=folders[0].as_uri() if folders else None,
            workspace_folders=[lsp.WorkspaceFolder(f.as_uri(), f.name) for f in folders],
            initialization_options={"trusted": trusted, "client": client},
        )
        found = await asyncio.wait_for(lsp_client.initialize_session(params), START)
        encoding = found.capabilities.position_encoding
        if encoding is not None:
            editor.encoding = lsp.PositionEncodingKind(encoding)
        for path in restored:
            editor.open(path)
        await editor.until(lambda: editor.statuses)  # its settings have been read
        yield editor
        await asyncio.wait_for(lsp_client.shutdown_session(), ANSWER)
    finally:
        # A wedged server must fail its test, and not hang all that follow.
        if server is not None and server.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait(), 10)
            if server.returncode is None:
                server.kill()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(lsp_client.stop(), 10)
