"""Notebooks as Python: the code cells of an `.ipynb` as one text, and a port of that text as a notebook.

Markdown cells, metadata and the order of cells are kept; what the cells printed is not, and neither is
a count of runs. `%magics` and `!commands` do nothing in the text, and stand in the port again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

SUFFIX = ".ipynb"

# `%matplotlib inline`, `!pip install`, `?help`, `files = !ls`, `help?`: not Python, and nothing to port.
_MAGIC = re.compile(r"^([ \t]*)([%!?].*|[\w ,]+=[ \t]*[!%].*|[\w.]+\?\??[ \t]*)$", re.MULTILINE)
# `%%bash` and the like make the whole cell something else; after these it is Python still.
_CELL_MAGIC = re.compile(r"\s*%%(?!(?:time|timeit|capture|prun)\b)")
# `%time f(x)`: the rest of the line is Python.
_TIMED = re.compile(
    r"^([ \t]*)(%(?:time|timeit|prun)[ \t]+(?:-\w+(?:[ \t]+\d+)?[ \t]+)*)(?=\S)(.*)$", re.MULTILINE
)
_AFTER = "  #torchport-before: "
_WAS_TIMED = re.compile(rf"^([ \t]*)(.*){_AFTER}(.*)$", re.MULTILINE)
_LINE, _CELL = "pass  #torchport-magic: ", "#torchport-cell: "
_MARK = re.compile(r"^# %% \[(\d+)\]\n?", re.MULTILINE)


class NotebookError(ValueError):
    """A file is no notebook; the message says why."""


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook, and its code cells as one Python text."""

    data: dict[str, Any]
    text: str = field(init=False)

    def __post_init__(self) -> None:
        parts = [f"# %% [{number}]\n{_python(code)}" for number, code in self._code()]
        object.__setattr__(self, "text", "".join(parts))

    @classmethod
    def read(cls, data: bytes) -> Notebook:
        """Read an `.ipynb` file.

        Raises:
            NotebookError: it is none, or of a version before 4.
        """
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise NotebookError(f"it is not JSON: {error}") from error
        cells: object = cast("dict[str, Any]", found).get("cells") if _is_dict(found) else None
        if not isinstance(cells, list) or not all(map(_is_dict, cast("list[object]", cells))):
            raise NotebookError("it has no list of cells, as notebooks since version 4 have")
        return cls(cast("dict[str, Any]", found))

    def _code(self) -> Iterator[tuple[int, str]]:
        """The code cells by their number among all cells, from 1, with their text."""
        for number, cell in enumerate(self.data["cells"], 1):
            if cell.get("cell_type") == "code":
                yield number, _joined(cell.get("source", ""))

    def where(self, line: int) -> str:
        """A line of the text (from 1) for the reader: `cell 3, line 2`."""
        cell, first = 0, 0
        for number, text in enumerate(self.text.split("\n")[:line], 1):
            if (mark := _MARK.match(text)) is not None:
                cell, first = int(mark[1]), number
        return f"cell {cell}, line {max(line - first, 1)}"

    def ported(self, text: str) -> bytes:
        """The file of a port of this notebook's text.

        What stands above the first cell goes into it.

        Raises:
            NotebookError: the text is not one in which every cell's mark stands, in order.
        """
        head, *rest = _MARK.split(text.replace("\r\n", "\n"))
        numbers, codes = rest[::2], rest[1::2]
        if numbers != [str(number) for number, _ in self._code()]:
            raise NotebookError("its cells cannot be told apart in the port")
        if codes:
            codes[0] = head + codes[0]
        code = dict(zip(map(int, numbers), map(_restored, codes), strict=True))
        cells: list[dict[str, Any]] = []
        for number, cell in enumerate(self.data["cells"], 1):
            if number in code:
                source = code[number].strip("\n").splitlines(keepends=True)
                cell = {**cell, "source": source, "outputs": [], "execution_count": None}
            cells.append(cell)
        data = {**self.data, "cells": cells}
        return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def _joined(source: object) -> str:
    """A cell's text, which is a string or a list of lines."""
    if isinstance(source, list):
        source = "".join(map(str, cast("list[object]", source)))
    return re.sub(r"\r\n?", "\n", str(source)).rstrip("\n") + "\n"


def _python(code: str) -> str:
    """A cell with statements and comments in the place of what is not Python."""
    if _CELL_MAGIC.match(code):
        return "".join(f"{_CELL}{line}" for line in code.splitlines(keepends=True))
    return _MAGIC.sub(rf"\1{_LINE}\2", _TIMED.sub(rf"\1\3{_AFTER}\2", code))


def _restored(code: str) -> str:
    return _WAS_TIMED.sub(r"\1\3\2", code.replace(_LINE, "").replace(_CELL, ""))
