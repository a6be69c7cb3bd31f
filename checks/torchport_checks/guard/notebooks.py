"""Notebooks that are ports: their code cells as one text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from torchport_translators.source.cells import python_of


@dataclass(frozen=True, slots=True)
class Code:
    """The code cells of a notebook as one text, and the first line of each in it.

    Attributes:
        cells: of each code cell its number among all cells, from 1, and its first line.
    """

    text: str
    cells: tuple[tuple[int, int], ...]

    def place(self, line: int) -> str:
        """Where a line of the text stands, for people: "cell 3, line 2"."""
        number, first = max((c for c in self.cells if c[1] <= line), key=lambda c: c[1])
        return f"cell {number}, line {line - first + 1}"


def code_of(data: bytes) -> Code:
    """The code of a notebook.

    Raises:
        ValueError: it is not a notebook.
    """
    notebook: Any = json.loads(data)
    cells: Any = notebook.get("cells") if isinstance(notebook, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(cells, list):
        raise ValueError("it has no cells")
    text, places = "", list[tuple[int, int]]()
    for number, cell in enumerate(cast("list[Any]", cells), 1):
        if not isinstance(cell, dict) or cast("dict[str, Any]", cell).get("cell_type") != "code":
            continue
        source: Any = cast("dict[str, Any]", cell).get("source", "")
        code = source if isinstance(source, str) else "".join(map(str, source))
        places.append((number, text.count("\n") + 1))
        text += python_of(code.replace("\r\n", "\n")).rstrip("\n") + "\n"
    return Code(text, tuple(places))
