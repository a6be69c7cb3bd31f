"""A notebook's code cell as Python."""

from __future__ import annotations

import re

_MAGIC = re.compile(r"^([ \t]*)[%!?]", re.MULTILINE)
"""`%matplotlib inline`, `!pip install`, `?help`: not Python, and nothing to port."""
_CELL_MAGIC = re.compile(r"\s*%%(?!(?:time|timeit|capture|prun)\b)")
"""`%%bash` and the like make the whole cell something else; after these it is Python still."""
_LINE_START = re.compile(r"^(?=.)", re.MULTILINE)


def is_foreign(cell: str) -> bool:
    """Whether a cell is of another language: a shell's, HTML."""
    return _CELL_MAGIC.match(cell) is not None


def python_of(cell: str) -> str:
    """A cell with comments in the place of what is not Python, line by line."""
    if is_foreign(cell):
        return _LINE_START.sub("#", cell)
    return _MAGIC.sub(r"\1#", cell)
