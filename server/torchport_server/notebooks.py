"""Notebooks: a cell is read after the cells above it, as it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from torchport_server.documents import Snapshot
from torchport_translators.findings import Finding

# `%matplotlib inline`, `!pip install`, `?help`: not Python, and nothing to port.
_MAGIC = re.compile(r"^([ \t]*)[%!?]", re.MULTILINE)
_LINE_END = re.compile(r"\r\n|\r")


class Joined:
    """The code cells of a notebook as one text, and the lines that each takes in it."""

    def __init__(self, cells: Sequence[Snapshot]) -> None:
        parts: list[str] = []
        self._first: dict[str, int] = {}
        line = 1
        for cell in cells:
            text = _LINE_END.sub("\n", _MAGIC.sub(r"\1#", cell.text)).rstrip("\n") + "\n"
            self._first[cell.uri] = line
            line += text.count("\n")
            parts.append(text)
        self._last = line
        self.text = "".join(parts)

    def lines_of(self, cell: Snapshot) -> tuple[int, int]:
        """The first and the last line (from 1) of a cell in the whole."""
        first = self._first[cell.uri]
        later = [line for line in self._first.values() if line > first]
        return first, min(later, default=self._last) - 1

    def within(self, finding: Finding, cell: Snapshot) -> Finding:
        """A finding of the whole, in the lines of its cell."""
        shift = self._first[cell.uri] - 1
        return replace(finding, line=finding.line - shift, end_line=finding.end_line - shift)
