"""`textDocument/codeLens`: the verdict of each definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from torchport_server import protocol

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_CODE_LENS, lsp.CodeLensOptions(resolve_provider=False))
    async def code_lens(params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
        document = server.documents.get(params.text_document.uri)
        if document is None or not server.folder(document.path).settings.code_lens:
            return []
        pair = server.pair(document)
        result = server.checks.result(pair) if pair is not None else None
        if pair is None or result is None:
            return []
        survey = await server.survey(document)
        stale = server.texts(pair) != result.texts
        command = "torchport.openReport" if server.client == "vscode" else "torchport.report"
        lenses: list[lsp.CodeLens] = []
        for outline in survey.outlines:
            verdict = result.of(outline.name)
            if verdict is not None:
                text = protocol.lens_text(verdict, result.verdict.lanes, stale)
                place = document.lines.code(outline.line - 1)
                lenses.append(protocol.lens(document.uri, outline.name, place, text, command))
        return lenses
