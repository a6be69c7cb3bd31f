"""Texts as the client has them: positions in its units, incremental changes, notebooks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as lsp

from torchport_server.documents import Documents, Lines, Snapshot
from torchport_server.notebooks import Joined

UTF8, UTF16, UTF32 = (
    lsp.PositionEncodingKind.Utf8,
    lsp.PositionEncodingKind.Utf16,
    lsp.PositionEncodingKind.Utf32,
)


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        # text, offset in characters, (line, column in UTF-8, UTF-16 and UTF-32)
        ("abc", 2, (0, 2, 2, 2)),
        ("é = x", 4, (0, 5, 4, 4)),
        ("🔥 = x", 4, (0, 7, 5, 4)),  # outside the BMP: four bytes, two units, one character
        ("a\nβ🔥c", 4, (1, 6, 3, 2)),
        ("a\r\nb", 3, (1, 0, 0, 0)),
        ("a\rb", 2, (1, 0, 0, 0)),
        ("a\fb\u2028c", 4, (0, 6, 4, 4)),  # neither ends a line in the protocol
        ("", 0, (0, 0, 0, 0)),
        ("ab\n", 3, (1, 0, 0, 0)),
    ],
)
def test_positions(text: str, offset: int, expected: tuple[int, int, int, int]) -> None:
    line, *columns = expected
    for encoding, column in zip((UTF8, UTF16, UTF32), columns, strict=True):
        lines = Lines(text, encoding)
        assert lines.position(offset) == lsp.Position(line, column)
        assert lines.offset(lsp.Position(line, column)) == offset


@given(st.text("aé🔥\n\r\f", max_size=30), st.sampled_from([UTF8, UTF16, UTF32]))
def test_every_position_leads_back(text: str, encoding: lsp.PositionEncodingKind) -> None:
    lines = Lines(text, encoding)
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] == "\r\n":
            continue  # inside a line ending there is no position
        assert lines.offset(lines.position(offset)) == offset


@pytest.mark.parametrize(
    ("line", "character", "offset"), [(0, 99, 1), (7, 0, 4), (1, 5, 4), (0, 1, 1)]
)
def test_positions_past_an_end_are_that_end(line: int, character: int, offset: int) -> None:
    assert Lines("a\r\nb", UTF16).offset(lsp.Position(line, character)) == offset


def change(*where: int, text: str) -> lsp.TextDocumentContentChangeEvent:
    start, end = lsp.Position(*where[:2]), lsp.Position(*where[2:])
    return lsp.TextDocumentContentChangePartial(range=lsp.Range(start, end), text=text)


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("abc", [change(0, 1, 0, 2, text="X")], "aXc"),
        # each change is made in what those before it left
        ("abc", [change(0, 0, 0, 0, text="12"), change(0, 2, 0, 3, text="")], "12bc"),
        ("🔥x", [change(0, 2, 0, 3, text="y")], "🔥y"),
        ("a\r\nb\r\n", [change(1, 0, 2, 0, text="")], "a\r\n"),
        ("a\fb\nc", [change(1, 0, 1, 1, text="d")], "a\fb\nd"),
        ("abc", [lsp.TextDocumentContentChangeWholeDocument("new")], "new"),
    ],
)
def test_changes(
    text: str, changes: list[lsp.TextDocumentContentChangeEvent], expected: str
) -> None:
    documents = Documents()
    before = documents.open(lsp.TextDocumentItem("file:///a.py", "python", 1, text))
    identifier = lsp.VersionedTextDocumentIdentifier(version=2, uri="file:///a.py")
    after = documents.change(identifier, changes)
    assert after is not None
    assert (after.text, after.version) == (expected, 2)
    assert (before.text, before.version) == (text, 1)  # who holds a snapshot keeps what it says


def cell(number: int, text: str) -> Snapshot:
    return Snapshot(f"cell:{number}", 1, text, UTF16, "notebook:1")


def test_cells_are_read_in_their_order_without_magics() -> None:
    cells = [
        cell(1, "%matplotlib inline\nimport torch"),
        cell(2, "!pip install x\r\ny = 1\n"),
        cell(3, ""),
        cell(4, "z = torch.ones(2)"),
    ]
    joined = Joined(cells)
    assert joined.text == (
        "#matplotlib inline\nimport torch\n#pip install x\ny = 1\n\nz = torch.ones(2)\n"
    )
    assert [joined.lines_of(c) for c in cells] == [(1, 2), (3, 4), (5, 5), (6, 6)]
