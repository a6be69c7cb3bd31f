"""`notebookDocument/*`: the cells of a notebook are documents, read in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from torchport_server.server import Server


def register(server: Server) -> None:
    @server.feature(lsp.NOTEBOOK_DOCUMENT_DID_OPEN)
    async def did_open(params: lsp.DidOpenNotebookDocumentParams) -> None:
        notebook = params.notebook_document
        for item in params.cell_text_documents:
            server.documents.open(item, notebook.uri)
        server.documents.set_cells(notebook.uri, _code(notebook.cells))
        _settle(server, notebook.uri)

    @server.feature(lsp.NOTEBOOK_DOCUMENT_DID_CHANGE)
    async def did_change(params: lsp.DidChangeNotebookDocumentParams) -> None:
        uri = params.notebook_document.uri
        cells = params.change.cells
        if cells is None:
            return
        if cells.structure is not None:
            for item in cells.structure.did_open or ():
                server.documents.open(item, uri)
            for closed in cells.structure.did_close or ():
                server.forget(closed.uri)
            known = server.documents.cell_uris(uri)
            array = cells.structure.array
            known[array.start : array.start + array.delete_count] = _code(array.cells or ())
            server.documents.set_cells(uri, known)
        for change in cells.text_content or ():
            server.documents.change(change.document, change.changes)
        _settle(server, uri)

    @server.feature(lsp.NOTEBOOK_DOCUMENT_DID_CLOSE)
    async def did_close(params: lsp.DidCloseNotebookDocumentParams) -> None:
        for cell in params.cell_text_documents:
            server.forget(cell.uri)
        server.documents.set_cells(params.notebook_document.uri, [])


def _code(cells: Sequence[lsp.NotebookCell]) -> list[str]:
    # Cells of text stay in the list, so that the client's indices hold; they are never opened.
    return [cell.document for cell in cells]


def _settle(server: Server, notebook: str) -> None:
    for cell in server.documents.cells(notebook):
        server.settle(cell.uri)
