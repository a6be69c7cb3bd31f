"""`textDocument/inlayHint`: the shapes and dtypes that the last check used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from torchport_server import protocol

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_INLAY_HINT)
    async def inlay_hint(params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
        document = server.documents.get(params.text_document.uri)
        if document is None or not server.folder(document.path).settings.inlay_hints:
            return []
        pair = server.pair(document)
        result = server.checks.result(pair) if pair is not None else None
        if result is None:
            return []
        survey = await server.survey(document)
        first, last = params.range.start.line + 1, params.range.end.line + 1
        hints: list[lsp.InlayHint] = []
        for outline in survey.outlines:
            verdict = result.of(outline.name)
            inputs = verdict.inputs.call if verdict is not None and verdict.inputs else ()
            seen = {item.name: item.text for item in inputs}
            for parameter in outline.parameters:
                if parameter.name in seen and first <= parameter.line <= last:
                    place = document.lines.at(parameter.line - 1, parameter.column)
                    hints.append(protocol.hint(place, seen[parameter.name]))
        return hints
