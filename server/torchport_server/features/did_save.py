"""`textDocument/didSave`: the pair is checked, where that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def did_save(params: lsp.DidSaveTextDocumentParams) -> None:
        document = server.documents.get(params.text_document.uri)
        if document is None or document.path is None:
            return
        pair = server.pair(document)
        wanted = server.trusted and server.folder(document.path).settings.check.on_save
        if wanted and pair is not None and pair.port.is_file() and pair.source.is_file():
            server.request_check(pair)
