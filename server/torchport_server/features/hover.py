"""`textDocument/hover`: what a use of torch becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from torchport_server import protocol

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hover(params: lsp.HoverParams) -> lsp.Hover | None:
        document = server.documents.get(params.text_document.uri)
        if document is None:
            return None
        survey = await server.survey(document)
        lines = document.lines
        offset = lines.offset(params.position)
        line = params.position.line + 1
        column = offset - lines.starts[line - 1] if line <= len(lines.starts) else 0
        for use in survey.uses:
            start, end = (use.line, use.column), (use.end_line, use.end_column)
            if start <= (line, column) <= end:
                return protocol.hover(use, survey, lines)
        return None
