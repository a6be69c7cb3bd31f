"""Edits over a text: what is not edited stays as it was, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

_BARE_NEWLINE = re.compile(r"\r\n|\n")


class Edit(NamedTuple):
    """`text` in the place of the stretch from `start` to `end`; an insertion where they are equal."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class Edits:
    """Replacements by span, applied at once; insertions at one place keep their order."""

    _edits: list[tuple[int, int, int, str]] = field(default_factory=list[tuple[int, int, int, str]])

    def replace(self, start: int, end: int, text: str) -> None:
        # Insertions come before the replacement of what follows; of two replacements that start
        # at one place the longer comes first.
        self._edits.append((start, -end if end > start else -_LAST, len(self._edits), text))

    def insert(self, at: int, text: str) -> None:
        self.replace(at, at, text)

    def mark(self) -> int:
        """A point to go back to."""
        return len(self._edits)

    def forget_since(self, mark: int) -> None:
        """Unmake the edits made since a mark."""
        del self._edits[mark:]

    def made(self, start: int, end: int) -> list[Edit]:
        """The edits inside a stretch that count, in order.

        An edit inside a stretch that a longer one replaces is left out: the longer one was made
        from the original text and says all.
        """
        made: list[Edit] = []
        at = start
        for first, negative, _, text in sorted(self._edits):
            last = first if negative == -_LAST else -negative
            if first >= at and last <= end:
                made.append(Edit(first, last, text))
                at = last
        return made

    def places(self, text: str, offsets: Iterable[int]) -> list[int]:
        """Where offsets of `text`, given in order, stand once the edits are made.

        What is inserted at an offset comes after it. Offsets inside a replaced stretch are left out.
        """
        newline = newline_of(text)
        made = iter(self.made(0, len(text)))
        edit = next(made, None)
        found: list[int] = []
        moved = 0
        for offset in offsets:
            while edit is not None and edit.end <= offset and edit.start < offset:
                new = edit.text if newline == "\n" else _BARE_NEWLINE.sub(newline, edit.text)
                moved += len(new) - (edit.end - edit.start)
                edit = next(made, None)
            if edit is None or edit.start >= offset:
                found.append(offset + moved)
        return found

    def apply(self, text: str, start: int = 0, end: int | None = None) -> str:
        """`text[start:end]` with the edits inside it made, in the text's own line endings."""
        end = len(text) if end is None else end
        newline = newline_of(text)
        parts: list[str] = []
        at = start
        for first, last, new in self.made(start, end):
            if newline != "\n":
                new = _BARE_NEWLINE.sub(newline, new)
            parts += (text[at:first], new)
            at = last
        parts.append(text[at:end])
        return "".join(parts)


_LAST = 1 << 62  # an insertion sorts as a replacement longer than any text


def newline_of(text: str) -> str:
    """The line ending that a text uses: that of its first line."""
    match = re.search(r"\r\n|\n|\r", text)
    return match[0] if match else "\n"
