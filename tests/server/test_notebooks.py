"""Notebooks: cells are documents that are read in their order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from lsprotocol import types as lsp
from tests.server.editor import Editor, capabilities, editing

FINDING = "torch.cuda.memory_snapshot()"
CELLS = [
    "%matplotlib inline\nimport torch\nimport torch.nn.functional as F",
    "%%bash\nls -la | grep '",
    "!pip install nothing\r\nx = torch.ones(3)\r\n",
    f"y = '🔥', {FINDING}\n%timeit 1\nz = F.silu(x)",
]


class Notebook:
    """A notebook in an editor: its cells, as the server knows them."""

    def __init__(self, editor: Editor, path: Path) -> None:
        self.editor = editor
        self.uri = path.as_uri()
        self.version = 1
        self.cells: list[str] = []
        self._made = 0

    def open(self, texts: Sequence[str]) -> list[str]:
        """Open it with cells of these texts; their URIs."""
        items = [self._cell(text) for text in texts]
        self.cells = [item.uri for item in items]
        notebook = lsp.NotebookDocument(
            self.uri, "jupyter-notebook", self.version, [self._kind(uri) for uri in self.cells]
        )
        params = lsp.DidOpenNotebookDocumentParams(notebook, items)
        self.editor.client.notebook_document_did_open(params)
        return self.cells

    def insert(self, at: int, text: str) -> str:
        item = self._cell(text)
        self.cells.insert(at, item.uri)
        array = lsp.NotebookCellArrayChange(at, 0, [self._kind(item.uri)])
        structure = lsp.NotebookDocumentCellChangeStructure(array, did_open=[item])
        self._change(lsp.NotebookDocumentCellChanges(structure))
        return item.uri

    def delete(self, at: int) -> None:
        closed = lsp.TextDocumentIdentifier(self.cells.pop(at))
        array = lsp.NotebookCellArrayChange(at, 1)
        structure = lsp.NotebookDocumentCellChangeStructure(array, did_close=[closed])
        self._change(lsp.NotebookDocumentCellChanges(structure))

    def write(self, uri: str, text: str) -> None:
        self.editor.texts[uri] = text
        self.editor.versions[uri] += 1
        document = lsp.VersionedTextDocumentIdentifier(self.editor.versions[uri], uri)
        event = lsp.TextDocumentContentChangeWholeDocument(text)
        content = lsp.NotebookDocumentCellContentChanges(document, [event])
        self._change(lsp.NotebookDocumentCellChanges(text_content=[content]))

    def close(self) -> None:
        identifiers = [lsp.TextDocumentIdentifier(uri) for uri in self.cells]
        notebook = lsp.NotebookDocumentIdentifier(self.uri)
        params = lsp.DidCloseNotebookDocumentParams(notebook, identifiers)
        self.editor.client.notebook_document_did_close(params)

    def _cell(self, text: str) -> lsp.TextDocumentItem:
        self._made += 1
        uri = f"vscode-notebook-cell:{self.uri.removeprefix('file:')}#c{self._made}"
        self.editor.texts[uri], self.editor.versions[uri] = text, 1
        return lsp.TextDocumentItem(uri, "python", 1, text)

    def _kind(self, uri: str) -> lsp.NotebookCell:
        return lsp.NotebookCell(lsp.NotebookCellKind.Code, uri)

    def _change(self, cells: lsp.NotebookDocumentCellChanges) -> None:
        self.version += 1
        identifier = lsp.VersionedNotebookDocumentIdentifier(self.version, self.uri)
        event = lsp.NotebookDocumentChangeEvent(cells=cells)
        params = lsp.DidChangeNotebookDocumentParams(identifier, event)
        self.editor.client.notebook_document_did_change(params)


@pytest.mark.asyncio
async def test_a_cell_is_read_after_those_above(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        notebook = Notebook(editor, tmp_path / "a.ipynb")
        first, shell, _, last = notebook.open(CELLS)
        (found,) = await editor.findings(last)
        assert found.range == editor.range_of(last, FINDING)
        assert await editor.findings(first) == await editor.findings(shell) == []
        hover = await editor.hover(last, "F.silu")  # F is imported in the first cell
        assert hover is not None and hover.range == editor.range_of(last, "F.silu")

        # What a cell above says of the name holds, as long as the cell is there, and above.
        notebook.write(first, "torch = None")
        assert await editor.findings(last) == []
        notebook.delete(0)
        assert len(await editor.findings(last)) == 1
        notebook.insert(3, "torch = None")
        assert len(await editor.findings(last)) == 1
        notebook.insert(0, "torch = None")
        assert await editor.findings(last) == []
        notebook.close()
        assert await editor.findings(last) == []
        assert await editor.hover(last, "F.silu") is None


@pytest.mark.asyncio
async def test_port_a_cell_in_place(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        notebook = Notebook(editor, tmp_path / "a.ipynb")
        editor.change = notebook.write  # as the text of a cell changes
        first, shell, third, last = notebook.open(
            [*CELLS[:3], "a = '🔥'\n%timeit 1\nz = F.silu(x)"]
        )
        cursor = lsp.Position(0, 0)
        actions = await editor.actions(last, lsp.Range(cursor, cursor))
        in_place = [action.title for action in actions if action.disabled is None]
        assert in_place == ["Port this cell to JAX, in place"]
        action = await editor.choose(actions, "Port this cell to JAX")
        assert editor.texts[last].splitlines() == [
            "a = '🔥'",
            "%timeit 1",
            "z = jax.nn.silu(x)",
        ]
        # The import goes to the others, and never above what makes a cell another language's.
        assert editor.texts[first] == f"{CELLS[0]}\nimport jax"
        assert editor.texts[shell] == CELLS[1]
        assert action.edit is not None and action.edit.change_annotations is not None

        # A selection in a cell with other line endings, below a magic.
        actions = await editor.actions(third, editor.range_of(third, "x = torch.ones(3)"))
        await editor.choose(actions, "Port the selection to JAX, in place")
        assert editor.texts[third] == "!pip install nothing\r\nx = jnp.ones((3,))\r\n"
        assert editor.texts[first] == f"{CELLS[0]}\nimport jax\nimport jax.numpy as jnp"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["x = torch.ones(3)"], ["import jax.numpy as jnp\nx = jnp.ones((3,))"]),
        (
            ["%%bash\nls", "x = torch.ones(3)"],
            ["%%bash\nls", "import jax.numpy as jnp\nx = jnp.ones((3,))"],
        ),
        (
            ["import torch\n", "", "x = torch.ones(3)\n"],
            ["import torch\nimport jax.numpy as jnp\n", "", "x = jnp.ones((3,))\n"],
        ),
        (
            ["%%time\nimport torch\nx = torch.ones(3)"],
            ["%%time\nimport torch\nimport jax.numpy as jnp\nx = jnp.ones((3,))"],
        ),
    ],
)
async def test_where_imports_go(tmp_path: Path, cells: list[str], expected: list[str]) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        notebook = Notebook(editor, tmp_path / "a.ipynb")
        editor.change = notebook.write
        *_, last = notebook.open(cells)
        actions = await editor.actions(last, editor.range_of(last, "x = torch.ones(3)"))
        await editor.choose(actions, "Port the selection to JAX, in place")
        assert [editor.texts[uri] for uri in notebook.cells] == expected


@pytest.mark.asyncio
async def test_findings_are_pushed_to_who_cannot_pull(tmp_path: Path) -> None:
    can = capabilities()
    assert can.text_document is not None
    can.text_document.diagnostic = None
    async with editing(tmp_path, can=can, trusted=False) as editor:
        notebook = Notebook(editor, tmp_path / "a.ipynb")
        first, _, _, last = notebook.open(CELLS)
        await editor.until(lambda: len(editor.problems(last)) == 1)
        notebook.write(first, "torch = None")
        await editor.until(lambda: editor.problems(last) == [])
        notebook.write(first, "import torch")
        await editor.until(lambda: len(editor.problems(last)) == 1)
        notebook.close()
        await editor.until(lambda: editor.problems(last) == [])


@pytest.mark.asyncio
async def test_what_was_never_opened(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        unknown = Notebook(editor, tmp_path / "unknown.ipynb")
        unknown.insert(0, "import torch")
        unknown.close()
        known = Notebook(editor, tmp_path / "known.ipynb")
        assert len(await editor.findings(known.open(CELLS)[-1])) == 1
        assert editor.client.messages == []
