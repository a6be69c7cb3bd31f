"""The texts that the client has open, as immutable snapshots, and positions in them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lsprotocol import types as lsp
from pygls.uris import to_fs_path

# The protocol's line endings, and no others: Python's `splitlines` knows more (form feeds, ...).
_LINE_END = re.compile(r"\r\n|\n|\r")

Encoding = lsp.PositionEncodingKind


class Lines:
    """A text by its lines, and the conversion of columns between it and the client.

    Lines count from 0 here, as in the protocol; columns are characters on this side.
    """

    def __init__(self, text: str, encoding: Encoding | str) -> None:
        self.text = text
        self.encoding = encoding
        self.starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def line(self, number: int) -> str:
        """The text of a line, its ending included; empty past the end."""
        if not 0 <= number < len(self.starts):
            return ""
        end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[number] : end]

    def offset(self, position: lsp.Position) -> int:
        """The character that a client's position stands before; past an end, that end."""
        if position.line >= len(self.starts):
            return len(self.text)
        line = self.line(position.line).rstrip("\r\n")
        return self.starts[position.line] + _characters(line, position.character, self.encoding)

    def position(self, offset: int) -> lsp.Position:
        """The client's position of a character."""
        offset = max(0, min(offset, len(self.text)))
        number = bisect_right(self.starts, offset) - 1
        return self.at(number, offset - self.starts[number])

    def at(self, line: int, column: int) -> lsp.Position:
        """The client's position of a line and column, both from 0."""
        before = self.line(line).rstrip("\r\n")[:column]
        return lsp.Position(line, _units(before, self.encoding))

    def range(self, start: int, end: int) -> lsp.Range:
        return lsp.Range(self.position(start), self.position(end))

    def code(self, line: int) -> lsp.Range:
        """What stands on a line, white space around it left out."""
        text = self.line(line).rstrip("\r\n")
        indent = len(text) - len(text.lstrip())
        return lsp.Range(self.at(line, indent), self.at(line, max(len(text.rstrip()), indent)))


def _units(text: str, encoding: Encoding | str) -> int:
    if encoding == Encoding.Utf8:
        return len(text.encode("utf-8", "surrogatepass"))
    if encoding == Encoding.Utf32 or text.isascii():
        return len(text)
    return len(text) + sum(character > "\uffff" for character in text)


def _characters(line: str, units: int, encoding: Encoding | str) -> int:
    if encoding == Encoding.Utf32 or line.isascii():
        return min(units, len(line))
    count = 0
    for index, character in enumerate(line):
        if count >= units:
            return index
        count += _units(character, encoding)
    return len(line)


@dataclass(frozen=True)
class Snapshot:
    """A document as it was at one version.

    Attributes:
        notebook: the notebook that it is a cell of.
    """

    uri: str
    version: int
    text: str
    encoding: Encoding | str
    notebook: str | None = None

    @cached_property
    def lines(self) -> Lines:
        return Lines(self.text, self.encoding)

    @cached_property
    def path(self) -> Path | None:
        """Where it lies on disk; None for an unsaved one."""
        found = to_fs_path(self.uri) if self.uri.startswith("file:") else None
        return Path(found) if found else None

    def changed(
        self, version: int, changes: Sequence[lsp.TextDocumentContentChangeEvent]
    ) -> Snapshot:
        """The next snapshot: each change is made in the text that those before it left."""
        text = self.text
        for change in changes:
            if isinstance(change, lsp.TextDocumentContentChangePartial):
                lines = Lines(text, self.encoding)
                start, end = lines.offset(change.range.start), lines.offset(change.range.end)
                text = text[:start] + change.text + text[end:]
            else:
                text = change.text
        return replace(self, version=version, text=text)


class Documents:
    """The open documents and notebooks, by URI. What it hands out never changes."""

    def __init__(self) -> None:
        self.encoding: Encoding | str = Encoding.Utf16
        self._open: dict[str, Snapshot] = {}
        self._cells: dict[str, list[str]] = {}

    def open(self, item: lsp.TextDocumentItem, notebook: str | None = None) -> Snapshot:
        found = Snapshot(item.uri, item.version, item.text, self.encoding, notebook)
        self._open[item.uri] = found
        return found

    def change(
        self,
        document: lsp.VersionedTextDocumentIdentifier,
        changes: Sequence[lsp.TextDocumentContentChangeEvent],
    ) -> Snapshot | None:
        known = self._open.get(document.uri)
        if known is None:
            return None
        found = self._open[document.uri] = known.changed(document.version, changes)
        return found

    def close(self, uri: str) -> None:
        self._open.pop(uri, None)

    def get(self, uri: str) -> Snapshot | None:
        return self._open.get(uri)

    def at(self, path: Path) -> Snapshot | None:
        """The open document that lies at a path."""
        return next((d for d in self._open.values() if d.path == path), None)

    def all(self) -> list[Snapshot]:
        return list(self._open.values())

    def set_cells(self, notebook: str, cells: list[str]) -> None:
        """The cells of a notebook, in order; none closes it."""
        if cells:
            self._cells[notebook] = cells
        else:
            self._cells.pop(notebook, None)

    def cells(self, notebook: str) -> list[Snapshot]:
        """The code cells of a notebook that are open, in order."""
        return [self._open[uri] for uri in self._cells.get(notebook, ()) if uri in self._open]

    def cell_uris(self, notebook: str) -> list[str]:
        return list(self._cells.get(notebook, ()))
