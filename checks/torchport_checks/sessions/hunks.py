"""The differences of two texts, line by line, and a text with one of them taken back. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines `old` of the one text for lines `new` of the other: from 0, the end excluded."""

    old: tuple[int, int]
    new: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of two texts side by side: a line of each, or None, from 0; `hunk` None where equal."""

    old: int | None
    new: int | None
    hunk: int | None


def lines_of(text: str) -> list[str]:
    """The lines with their ends. Only a newline ends one: a form feed in a source does not."""
    return _LINE.findall(text)


@lru_cache(maxsize=8)
def hunks_of(old: str, new: str) -> tuple[Hunk, ...]:
    """Where two texts differ."""
    matcher = difflib.SequenceMatcher(None, lines_of(old), lines_of(new), False)
    return tuple(
        Hunk((a, b), (c, d)) for kind, a, b, c, d in matcher.get_opcodes() if kind != "equal"
    )


def rows(old: str, new: str) -> Iterator[Row]:
    """Both texts side by side."""
    a = c = 0
    for number, hunk in enumerate(hunks_of(old, new)):
        while a < hunk.old[0]:
            yield Row(a, c, None)
            a, c = a + 1, c + 1
        height = max(hunk.old[1] - hunk.old[0], hunk.new[1] - hunk.new[0])
        for step in range(height):
            left = a + step if a + step < hunk.old[1] else None
            right = c + step if c + step < hunk.new[1] else None
            yield Row(left, right, number)
        a, c = hunk.old[1], hunk.new[1]
    for step in range(len(lines_of(old)) - a):
        yield Row(a + step, c + step, None)


def without(old: str, new: str, hunk: Hunk) -> str:
    """`new` with the lines of `old` in the place of one hunk."""
    theirs, ours = lines_of(old), lines_of(new)
    kept = theirs[slice(*hunk.old)]
    if kept and hunk.new[1] < len(ours) and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return "".join([*ours[: hunk.new[0]], *kept, *ours[hunk.new[1] :]])
