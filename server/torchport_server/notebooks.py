"""Notebooks: a cell is read after the cells above it, as it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lsprotocol import types as lsp

from torchport_server.documents import Lines, Snapshot
from torchport_server.survey import Outline, Survey
from torchport_translators.source.cells import is_foreign, python_of

_LINE_END = re.compile(r"\r\n|\r")


class Joined:
    """The code cells of a notebook as one text, and the lines that each takes in it."""

    def __init__(self, cells: Sequence[Snapshot]) -> None:
        parts: list[str] = []
        self._cells = list(cells)
        self._first: dict[str, int] = {}
        self._magics: dict[str, str] = {}
        line = 1
        for cell in cells:
            text = self._python(_LINE_END.sub("\n", cell.text)).rstrip("\n") + "\n"
            self._first[cell.uri] = line
            line += text.count("\n")
            parts.append(text)
        self._last = line
        self.text = "".join(parts)
        self._lines = Lines(self.text, lsp.PositionEncodingKind.Utf32)

    def _python(self, text: str) -> str:
        """A cell with comments in the place of what is not Python."""
        commented = python_of(text)
        for old, new in zip(text.split("\n"), commented.split("\n"), strict=True):
            if old != new:
                self._magics[new.strip()] = old.strip()
        return commented

    def lines_of(self, cell: Snapshot) -> tuple[int, int]:
        """The first and the last line (from 1) of a cell in the whole."""
        first = self._first[cell.uri]
        later = [line for line in self._first.values() if line > first]
        return first, min(later, default=self._last) - 1

    def survey_of(self, whole: Survey, cell: Snapshot) -> Survey:
        """What the survey of the whole says of a cell, in that cell's lines."""
        first, last = self.lines_of(cell)
        shift = first - 1

        def moved(outline: Outline) -> Outline:
            parameters = tuple(replace(p, line=p.line - shift) for p in outline.parameters)
            end = outline.end_line - shift
            return replace(outline, line=outline.line - shift, end_line=end, parameters=parameters)

        return replace(
            whole,
            outlines=tuple(moved(o) for o in whole.outlines if first <= o.line <= last),
            findings=tuple(
                replace(f, line=f.line - shift, end_line=f.end_line - shift)
                for f in whole.findings
                if first <= f.line <= last
            ),
            uses=tuple(
                replace(u, line=u.line - shift, end_line=u.end_line - shift)
                for u in whole.uses
                if first <= u.line <= last
            ),
        )

    def offset(self, cell: Snapshot, position: lsp.Position) -> int:
        """Where a position of a cell is in the whole."""
        line = min(position.line, len(cell.lines.starts) - 1)
        column = cell.lines.offset(position) - cell.lines.starts[line]
        number = min(self._first[cell.uri] + line, self.lines_of(cell)[1]) - 1
        return self._lines.offset(lsp.Position(number, column))

    def edits(
        self, edits: Sequence[tuple[int, int, str]]
    ) -> list[tuple[Snapshot, list[lsp.TextEdit]]]:
        """Edits of the whole as those of cells, whose magics they keep.

        The last is that of a cell; those before it insert lines above it.
        """
        *inserted, (start, end, text) = edits
        first, last = self._lines.position(start), self._lines.position(end)
        cell = self._cell_at(first.line + 1)
        found = {cell.uri: (cell, [self._replaced(cell, first, last, text)])}
        for at, _, lines in inserted:
            position = self._lines.position(at)
            into = self._cell_at(max(position.line, 1))  # the cell of the line above
            if is_foreign(into.text):
                into, position = cell, lsp.Position(self._first[cell.uri] - 1, 0)
            made = found.setdefault(into.uri, (into, []))[1]
            if position.line < self.lines_of(into)[1]:
                made.insert(0, self._replaced(into, position, position, lines))
            else:
                end_of_cell = into.lines.position(len(into.text.rstrip("\r\n")))
                stretch = lsp.Range(end_of_cell, end_of_cell)
                made.insert(0, lsp.TextEdit(stretch, "\n" + lines.rstrip("\n")))
        return list(found.values())

    def _cell_at(self, line: int) -> Snapshot:
        return [cell for cell in self._cells if self._first[cell.uri] <= line][-1]

    def _replaced(
        self, cell: Snapshot, first: lsp.Position, last: lsp.Position, text: str
    ) -> lsp.TextEdit:
        """An edit between two places of the whole, which lie in one cell."""
        shift = self._first[cell.uri] - 1
        start = cell.lines.at(first.line - shift, first.character)
        end = cell.lines.at(last.line - shift, last.character)
        return lsp.TextEdit(lsp.Range(start, end), self._restored(text))

    def _restored(self, text: str) -> str:
        lines = text.split("\n")
        for number, line in enumerate(lines):
            magic = self._magics.get(line.strip())
            if magic is not None:
                lines[number] = line.replace(line.strip(), magic)
        return "\n".join(lines)
