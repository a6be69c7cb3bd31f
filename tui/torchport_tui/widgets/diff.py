"""A source and its port, side by side or as one, hunk by hunk."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.highlight import highlight
from textual.message import Message
from textual.reactive import reactive

from torchport_checks.sessions.hunks import Hunk, Row, hunks_of, lines_of, rows
from torchport_tui.widgets.lines import Lines

_TAB = 4
_STEP = 8  # cells that the text is shifted by
_WORD = re.compile(r"\w+|\s+|.")
_REMOVED, _ADDED = "on $error-muted", "on $success-muted"
_REMOVED_WORD, _ADDED_WORD = "bold on $error 45%", "bold on $success 45%"
_ALIKE = 0.4  # lines less alike than this are other lines


@lru_cache(maxsize=8)
def _highlighted(text: str) -> list[Content]:
    # One space for a carriage return and the like keeps every line as long as it is in the text.
    clean = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", " ", text)
    return highlight(clean, language="python", tab_size=_TAB).split("\n", allow_blank=True)


class DiffView(Lines):
    """Two texts. `hunk` is the one at hand."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("right_square_bracket", "hunk(1)", "Next hunk", show=False),
        Binding("left_square_bracket", "hunk(-1)", "Previous hunk", show=False),
        Binding("right", "shift(1)", "Scroll right", show=False),
        Binding("left", "shift(-1)", "Scroll left", show=False),
        Binding("y", "accept_hunk", "Take"),
        Binding("n", "reject_hunk", "Refuse"),
        Binding("s", "split", "Split"),
    ]

    hunk: reactive[int] = reactive(0, repaint=False)
    split: reactive[bool] = reactive(True, repaint=False)
    shift: reactive[int] = reactive(0)

    class Refused(Message):
        """The lines of one hunk are to be as they were in the source."""

        def __init__(self, hunk: Hunk) -> None:
            self.hunk = hunk
            super().__init__()

    class Moved(Message):
        """Another hunk is at hand, or one was taken."""

    def __init__(self) -> None:
        super().__init__(id="diff")
        self.old = self.new = ""
        self.taken: set[tuple[str, str]] = set()
        """Hunks that were looked at and are right, by their texts."""
        self._rows: list[Row] = []
        self._hunks: tuple[Hunk, ...] = ()

    @property
    def hunks(self) -> tuple[Hunk, ...]:
        return self._hunks

    def show(self, old: str, new: str) -> None:
        """Show two texts."""
        self.old, self.new = old, new
        self._hunks = hunks_of(old, new)
        self._fill()
        self.hunk = min(self.hunk, max(0, len(self._hunks) - 1))

    def show_definition(self, line: int, port_line: int) -> None:
        """Go to the first hunk at or below a definition: its line in the source and in the port."""
        for number, hunk in enumerate(self._hunks):
            if hunk.old[1] >= line and (not port_line or hunk.new[1] >= port_line):
                self.hunk = number
                break
        at = next((n for n, row in enumerate(self._rows) if (row.old or 0) >= line - 1), 0)
        self.scroll_to(y=max(0, at - 1), animate=False)

    def is_taken(self, number: int) -> bool:
        """Whether a hunk was looked at and is right."""
        return self._texts(number) in self.taken

    def _texts(self, number: int) -> tuple[str, str]:
        hunk = self._hunks[number]
        theirs, ours = lines_of(self.old), lines_of(self.new)
        return "".join(theirs[slice(*hunk.old)]), "".join(ours[slice(*hunk.new)])

    def _fill(self) -> None:
        self._rows = list(rows(self.old, self.new))
        if not self.split:
            self._rows = _as_one(self._rows)
        self.lines_changed()

    def watch_split(self) -> None:
        self._fill()
        self._show_hunk()

    def watch_hunk(self) -> None:
        self.refresh()
        self._show_hunk()
        self.post_message(self.Moved())

    def _show_hunk(self) -> None:
        at = next((n for n, row in enumerate(self._rows) if row.hunk == self.hunk), None)
        if at is not None and self._hunks:
            last = at
            while last + 1 < len(self._rows) and self._rows[last + 1].hunk == self.hunk:
                last += 1
            top, height = self.scroll_offset.y, self.size.height
            if at < top or last >= top + height:
                self.scroll_to(y=max(0, at - 3), animate=False)

    def count(self) -> int:
        return len(self._rows)

    def line(self, number: int, width: int) -> Content:
        row = self._rows[number]
        here = row.hunk is not None and row.hunk == self.hunk
        taken = row.hunk is not None and self.is_taken(row.hunk)
        lead = Content.styled(
            "▌" if here else "✓" if taken else " ", "$primary" if here else "$text-success"
        )
        if self.split:
            half = (width - 1) // 2
            left = self._side(row, half - 1, old=True)
            return Content.assemble(lead, left, self._side(row, width - half, old=False))
        if row.hunk is None:
            return Content.assemble(lead, self._side(row, width - 1, old=False))
        return Content.assemble(lead, self._side(row, width - 1, old=row.new is None))

    def _side(self, row: Row, width: int, *, old: bool) -> Content:
        at = row.old if old else row.new
        changed = row.hunk is not None
        back = (_REMOVED if old else _ADDED) if changed else ""
        if at is None:
            return Content.styled(" " * width, "on $surface-darken-1" if self.split else "")
        sign = ("-" if old else "+") if changed else " "
        text = _highlighted(self.old if old else self.new)[at]
        if changed and row.old is not None and row.new is not None:
            ours, theirs = (self.old, self.new) if old else (self.new, self.old)
            other = row.new if old else row.old
            style = _REMOVED_WORD if old else _ADDED_WORD
            for start, end in _changed_words(lines_of(ours)[at], lines_of(theirs)[other]):
                text = text.stylize(style, start, end)
        shown = text[self.shift :] if self.shift else text
        line = Content.assemble((f"{at + 1:>4} ", "$foreground 60%"), (sign, "bold"), " ", shown)
        if line.cell_length > width:
            line = line.truncate(width, ellipsis=True)
        line = line.pad_right(width - line.cell_length)
        return line.stylize_before(back) if back else line

    # Hunks

    def action_hunk(self, step: int) -> None:
        if self._hunks:
            self.hunk = (self.hunk + step) % len(self._hunks)

    def action_shift(self, step: int) -> None:
        self.shift = max(0, self.shift + step * _STEP)

    def action_split(self) -> None:
        self.split = not self.split

    def action_accept_hunk(self) -> None:
        if not self._hunks:
            return
        self.taken ^= {self._texts(self.hunk)}
        open_ones = [n for n in range(len(self._hunks)) if not self.is_taken(n)]
        later = [n for n in open_ones if n > self.hunk]
        if self.is_taken(self.hunk) and open_ones:
            self.hunk = (later or open_ones)[0]
        self.refresh()
        self.post_message(self.Moved())

    def action_reject_hunk(self) -> None:
        if self._hunks:
            self.post_message(self.Refused(self._hunks[self.hunk]))


def _as_one(side_by_side: list[Row]) -> list[Row]:
    """The rows of a unified diff: of a hunk first what goes, then what comes."""
    found: list[Row] = []
    pending: list[Row] = []
    for row in [*side_by_side, Row(None, None, None)]:
        if pending and row.hunk != pending[0].hunk:
            found += [Row(one.old, None, one.hunk) for one in pending if one.old is not None]
            found += [Row(None, one.new, one.hunk) for one in pending if one.new is not None]
            pending = []
        if row.hunk is not None:
            pending.append(row)
        else:
            found.append(row)
    return found[:-1]


@lru_cache(maxsize=4096)
def _changed_words(one: str, other: str) -> list[tuple[int, int]]:
    """What of a line is not in the other; nothing where they have little in common."""
    ours, theirs = _WORD.findall(one.rstrip("\r\n")), _WORD.findall(other.rstrip("\r\n"))
    matcher = difflib.SequenceMatcher(None, ours, theirs, False)
    if matcher.ratio() < _ALIKE:
        return []
    found: list[tuple[int, int]] = []
    for kind, start, end, _, _ in matcher.get_opcodes():
        if kind in ("replace", "delete"):
            begin = len("".join(ours[:start]))
            found.append((begin, begin + len("".join(ours[start:end]))))
    return found
