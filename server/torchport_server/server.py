"""The language server: what it knows, and what its features share.

Handlers are coroutines, never plain functions, which would hold up the loop: reading texts is done
in the analyst's process, running them in the workers of the lanes.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import pkgutil
import shlex
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from torchport_checks.options import CheckOptions
from torchport_server import features, protocol
from torchport_server.analyst import Analyst
from torchport_server.checks import Checks, Job, Result, Texts, lacks_framework, summary
from torchport_server.documents import Documents, Snapshot
from torchport_server.notebooks import Joined
from torchport_server.pairs import Pair, pair_of, text_of
from torchport_server.settings import (
    Settings,
    configuration_of,
    options_of,
    read_settings,
)
from torchport_server.survey import Survey
from torchport_translators._version import __version__
from torchport_translators.configuration import Configuration

# pygls would keep the texts too: it ends lines where the protocol does not, and changes the ranges
# that it is given before a handler sees them.
_TEXTS = (
    lsp.TEXT_DOCUMENT_DID_OPEN,
    lsp.TEXT_DOCUMENT_DID_CHANGE,
    lsp.TEXT_DOCUMENT_DID_CLOSE,
    lsp.NOTEBOOK_DOCUMENT_DID_OPEN,
    lsp.NOTEBOOK_DOCUMENT_DID_CHANGE,
    lsp.NOTEBOOK_DOCUMENT_DID_CLOSE,
)

_SETTLED = 0.25
"""Seconds without a change after which a text is read."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The settings that hold for a file."""

    settings: Settings
    configuration: Configuration
    options: CheckOptions


class Server(LanguageServer):
    """State and services; `features/` has a file for each method."""

    def __init__(self) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "torchport",
            __version__,
            notebook_document_sync=lsp.NotebookDocumentSyncOptions(
                notebook_selector=[
                    lsp.NotebookDocumentFilterWithCells(
                        cells=[lsp.NotebookCellLanguage(language="python")],
                        notebook=lsp.NotebookDocumentFilterNotebookType(
                            notebook_type="jupyter-notebook"
                        ),
                    )
                ],
                save=True,
            ),
        )
        self.documents = Documents()
        self.analyst = Analyst()
        self.checks = Checks(self.analyst)
        self.configured = asyncio.Event()
        self.was_shut_down = False
        self.trusted = False
        self.client = ""
        self._settings: dict[str, Settings] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._told: set[str] = set()
        self._last: dict[str, Any] | None = None
        self._message = ""
        for module in pkgutil.iter_modules(features.__path__):
            importlib.import_module(f"{features.__name__}.{module.name}").register(self)
        for method in _TEXTS:
            del self.protocol.fm.builtin_features[method]  # pyright: ignore[reportUnknownMemberType]

    # What the client can do

    @property
    def capabilities(self) -> lsp.ClientCapabilities:
        return self.client_capabilities

    @property
    def pulls(self) -> bool:
        """Whether the client asks for static findings itself."""
        text = self.capabilities.text_document
        return text is not None and text.diagnostic is not None

    @property
    def resolves(self) -> bool:
        """Whether the client asks for an action's edit when it is chosen."""
        text = self.capabilities.text_document
        support = text.code_action.resolve_support if text and text.code_action else None
        return support is not None and "edit" in support.properties

    @property
    def shows_disabled(self) -> bool:
        text = self.capabilities.text_document
        return bool(text and text.code_action and text.code_action.disabled_support)

    @property
    def _workspace_can(self) -> lsp.WorkspaceClientCapabilities:
        return self.capabilities.workspace or lsp.WorkspaceClientCapabilities()

    @property
    def _progresses(self) -> bool:
        window = self.capabilities.window
        return bool(window and window.work_done_progress)

    def edits(self) -> protocol.EditBuilder:
        return protocol.EditBuilder(self._workspace_can.workspace_edit)

    # Settings

    async def load_settings(self) -> None:
        """Ask the client for the settings of every folder; wrong ones are told, once."""
        folders = self.folders() or [self.workspace.root_uri or ""]
        self._told.clear()
        self._message = ""
        if not self._workspace_can.configuration:
            return
        items = [
            lsp.ConfigurationItem(scope_uri=uri or None, section="torchport") for uri in folders
        ]
        try:
            sections = await self.workspace_configuration_async(lsp.ConfigurationParams(items))
        except Exception as error:
            self._settings = {}
            self.tell_once(f"The client did not give its settings ({error}); the defaults hold.")
            return
        # Until the answer those before it hold.
        self._settings = {}
        for uri, section in zip(folders, sections, strict=False):
            self._settings[uri], problem = read_settings(section)
            if problem:
                self.tell_once(problem)

    def folders(self) -> list[str]:
        """The URIs of the workspace folders, as the client writes them (pygls's keys are not)."""
        return [folder.uri for folder in self.workspace.folders.values()]

    def folder(self, path: Path | None) -> Folder:
        """The settings for a file: of the innermost workspace folder that holds it."""
        best = Settings()
        depth = -1
        for uri, settings in self._settings.items():
            root = to_fs_path(uri) if uri else None
            if path is None or root is None:
                best = settings if depth < 0 else best
                continue
            parts = len(Path(root).parts)
            if path.is_relative_to(root) and parts > depth:
                best, depth = settings, parts
        where = path.parent if path is not None else Path.cwd()
        configuration, problem = configuration_of(where)
        if problem:
            self.tell_once(problem)
        return Folder(best, configuration, options_of(best, configuration))

    def tell_once(self, message: str) -> None:
        """A warning that is not repeated until the settings change."""
        if message not in self._told:
            self._told.add(message)
            self._message = message
            self.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Warning, message))

    # Documents

    def pair(self, document: Snapshot) -> Pair | None:
        """The pair of a document that lies on disk."""
        if document.path is None:
            return None
        folder = self.folder(document.path)
        return pair_of(document.path, document.text, folder.configuration, folder.settings.target)

    def texts(self, pair: Pair) -> Texts | None:
        """The texts of a pair as the user sees them; None while one of them is missing."""
        source = text_of(self.documents, pair.source)
        port = text_of(self.documents, pair.port)
        return Texts(source, port) if source is not None and port is not None else None

    async def survey(self, document: Snapshot) -> Survey:
        """What there is to know of a document; of a cell, after the cells above it."""
        target = self.folder(document.path).settings.target
        joined = self.joined(document)
        if joined is None:
            return await self.analyst.survey(document.text, target)
        return joined.survey_of(await self.analyst.survey(joined.text, target), document)

    def joined(self, document: Snapshot) -> Joined | None:
        """The notebook that a document is a cell of."""
        cells = self.documents.cells(document.notebook) if document.notebook is not None else []
        return Joined(cells) if document.uri in [cell.uri for cell in cells] else None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background; what goes wrong in it is logged, and ends nothing."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log(f"{type(error).__name__}: {error}")

    def log(self, message: str) -> None:
        self.window_log_message(lsp.LogMessageParams(lsp.MessageType.Error, message))

    def settle(self, uri: str) -> None:
        """Read a document once it has not changed for a moment."""
        pending = self._settling.pop(uri, None)
        if pending is not None:
            pending.cancel()

        async def read() -> None:
            await asyncio.sleep(_SETTLED)
            document = self.documents.get(uri)
            if document is None:
                return
            await self.survey(document)
            if not self.pulls and self.documents.get(uri) is document:
                await self.publish(document)

        task = self._settling[uri] = asyncio.ensure_future(read())
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())

    def forget(self, uri: str) -> None:
        """Close a document; what was published of it goes with it."""
        self.documents.close(uri)
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))

    # Diagnostics

    async def findings(self, document: Snapshot) -> list[lsp.Diagnostic]:
        """The static findings of a document, and which definitions have drifted from their port."""
        from torchport_server.survey import drifted

        survey = await self.survey(document)
        found = [protocol.finding(f, document.lines) for f in survey.findings]
        marked = self.folder(document.path).settings.pitfalls
        if marked != "off":
            found += protocol.pitfalls(survey, document.lines, warn=marked == "warnings")
        pair = self.pair(document)
        if pair is None or not survey.torch:
            return found
        port = text_of(self.documents, pair.port)
        if port is None:
            return found
        target = self.folder(document.path).settings.target
        for name in await self.analyst.ask(drifted, document.text, port):
            outline = survey.of(name)
            if outline is not None:
                found.append(protocol.drift(name, outline.line, document.lines, pair.port, target))
        return found

    async def publish(self, document: Snapshot) -> None:
        """Publish what is known of a document: the check's results, and for a client that does
        not pull, its static findings."""
        found = [] if self.pulls else await self.findings(document)
        pair = self.pair(document)
        result = self.checks.result(pair) if pair is not None else None
        if pair is not None and result is not None and self.texts(pair) == result.texts:
            found += (await self._divergences(pair, result)).get(document.path, [])
        if self.documents.get(document.uri) is document:
            self.text_document_publish_diagnostics(
                lsp.PublishDiagnosticsParams(document.uri, found, document.version)
            )

    async def _divergences(
        self, pair: Pair, result: Result
    ) -> dict[Path | None, list[lsp.Diagnostic]]:
        """The diagnostics of a result, by the file that they stand in."""
        found: dict[Path | None, list[lsp.Diagnostic]] = {pair.source: [], pair.port: []}
        texts = {"source": result.texts.source, "port": result.texts.port}
        paths = {"source": pair.source, "port": pair.port}
        snapshots = {
            side: Snapshot(paths[side].as_uri(), 0, texts[side], self.documents.encoding)
            for side in texts
        }
        for verdict in result.verdict.definitions:
            if verdict.status not in ("diverged", "error"):
                continue
            lines = {
                "source": verdict.source_line,
                "port": verdict.port_line or verdict.source_line,
            }
            changed = {
                side: await self.checks.culprits(result, verdict.name, side) for side in texts
            }
            # Where nothing is known to have changed, the port is what is being written.
            blamed = [side for side in texts if changed[side]] or ["port"]
            files = shlex.join((pair.source.name, pair.port.name))
            replay = f"torchport check {files} --only {verdict.name} --fresh"
            if verdict.smallest is not None and verdict.smallest.replay:
                replay = verdict.smallest.replay
            at = {side: (changed[side] or [lines[side]])[0] for side in texts}
            if verdict.located is not None:
                at = {"source": verdict.located.source_line, "port": verdict.located.port_line}
            for side, other in (("source", "port"), ("port", "source")):
                found[paths[side]].append(
                    protocol.divergence(
                        verdict,
                        snapshots[side].lines.code(at[side] - 1),
                        here=side in blamed,
                        changed=at[side] in changed[side],
                        other=protocol.location(
                            paths[other], snapshots[other].lines.code(at[other] - 1)
                        ),
                        other_text=f"the {'original' if other == 'source' else 'port'} is here",
                        replay=replay,
                    )
                )
        return found

    # Checks

    def request_check(self, pair: Pair, names: tuple[str, ...] | None = None) -> Job | None:
        """Check a pair in the background; None, with a message, where that is not possible."""
        if not self.trusted:
            self.tell_once(
                "torchport does not run code in a workspace that is not trusted: rules work, checks "
                "do not."
            )
            return None
        texts = self.texts(pair)
        if texts is None:
            return None
        job = self.checks.job(pair, names, self.folder(pair.source).options)
        self.spawn(self._check(job, texts))
        return job

    async def _check(self, job: Job, texts: Texts) -> None:
        self.send_status()
        token = await self._begin(job)
        result = None
        try:

            async def tell(job: Job, name: str, number: int, total: int) -> None:
                self._report(token, name, number, total)

            result = await self.checks.run(job, texts, tell)
        finally:
            self._end(token, summary(result.verdict) if result is not None else "stopped")
            if result is not None:
                self._note(job.pair, result)
            self.send_status()
        if result is not None:
            await self._announce(job.pair, result)

    async def _announce(self, pair: Pair, result: Result) -> None:
        """Show a result, unless the texts have changed since."""
        if lacks_framework(result.verdict):
            self.tell_once(summary(result.verdict))
            return
        if result.verdict.error:
            self.tell_once(result.verdict.error.splitlines()[0])
        if self.texts(pair) == result.texts:
            found = await self._divergences(pair, result)
            for path in (pair.source, pair.port):
                document = self.documents.at(path)
                static = [] if self.pulls or document is None else await self.findings(document)
                uri = document.uri if document is not None else path.as_uri()
                version = document.version if document is not None else None
                self.text_document_publish_diagnostics(
                    lsp.PublishDiagnosticsParams(uri, static + found[path], version)
                )
        await self.refresh()

    async def show_stored(self, document: Snapshot) -> None:
        """Show what is known already of the pair of a document that was opened."""
        await self.configured.wait()
        pair = self.pair(document)
        if pair is None or not self.trusted:
            return
        texts = self.texts(pair)
        if texts is None:
            return
        known = self.checks.result(pair)
        options = self.folder(pair.source).options
        result = known or await self.checks.stored(pair, texts, options)
        if result is not None:
            self._note(pair, result)
            self.send_status()
            await self._announce(pair, result)

    async def refresh(self) -> None:
        """Have the client ask again for lenses, hints and findings."""
        can = self._workspace_can
        with contextlib.suppress(Exception):
            if can.code_lens and can.code_lens.refresh_support:
                await self.workspace_code_lens_refresh_async(None)
            if can.inlay_hint and can.inlay_hint.refresh_support:
                await self.workspace_inlay_hint_refresh_async(None)
            if can.diagnostics and can.diagnostics.refresh_support:
                await self.workspace_diagnostic_refresh_async(None)

    # Progress and status

    async def _begin(self, job: Job) -> str | None:
        if not self._progresses:
            return None
        token = f"torchport-{uuid.uuid4()}"
        try:
            await cast("Any", self.work_done_progress).create_async(token)
        except Exception:
            return None  # the client has its reasons; the check goes on without
        self._tokens[token].add_done_callback(
            lambda done: self.checks.cancel(job.id) if done.cancelled() else None
        )
        self.work_done_progress.begin(
            token,
            lsp.WorkDoneProgressBegin(f"Checking {job.pair.port.name}", cancellable=True),
        )
        return token

    @property
    def _tokens(self) -> dict[str, Future[Any]]:
        """The progress under way; a future is cancelled when the user cancels."""
        return cast("dict[str, Future[Any]]", cast("Any", self.work_done_progress).tokens)

    def _report(self, token: str | None, name: str, number: int, total: int) -> None:
        if token is None:
            return
        percentage = round(100 * (number - 1) / total) if total else None
        self.work_done_progress.report(
            token, lsp.WorkDoneProgressReport(message=name, percentage=percentage)
        )

    def _end(self, token: str | None, message: str) -> None:
        if token is not None:
            self.work_done_progress.end(token, lsp.WorkDoneProgressEnd(message=message))
            self._tokens.pop(token, None)

    def _note(self, pair: Pair, result: Result) -> None:
        self._last = {
            "uri": pair.source.as_uri(),
            "status": result.verdict.status,
            "text": f"{pair.port.name}: {summary(result.verdict)}",
        }

    def send_status(self) -> None:
        """Tell the client's status item."""
        busy = bool(self.checks.running())
        lanes = [
            {
                "framework": lane.framework,
                "device": info.device if (info := lane.known_info()) else lane.device,
                "version": info.version if info else "",
                "state": "off" if lane.pid is None else "busy" if busy else "idle",
            }
            for checker in self.checks.checkers()
            for lane in checker.lanes()
            if lane.pid is not None or lane.known_info() is not None
        ]
        status = {"busy": busy, "lanes": lanes, "last": self._last, "message": self._message}
        self.protocol.notify("torchport/status", status)

    # The end

    def close(self) -> None:
        """End every process that was started. Idempotent."""
        self.checks.close()
        self.analyst.close()
