"""The table of definitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from torchport_checks.sessions import Item
from torchport_tui.look import STATES, duration, look
from torchport_tui.rows import Column, Rows
from torchport_tui.widgets.lines import Lines

_WIDTHS: dict[Column, int] = {
    "state": 8,
    "verdict": 9,
    "error": 17,
    "calls": 7,
    "time": 6,
    "device": 6,
}
"""Cells of each column, the most important first; what is left is for definition and file."""
_SHOWN: tuple[Column, ...] = (
    "definition",
    "file",
    "state",
    "verdict",
    "calls",
    "error",
    "device",
    "time",
)
_GAP = 2
_LEFT = 4  # mark, verdict, and a space after each
_NAMES = 36  # cells for definition and file, at least
_RIGHT: frozenset[Column] = frozenset(("calls", "time"))


def columns(width: int) -> list[tuple[Column, int]]:
    """The columns that there is room for, each with its cells."""
    room = width - _LEFT
    chosen: set[Column] = set()
    for column, cells in _WIDTHS.items():
        if room - cells - _GAP < _NAMES:
            break
        chosen.add(column)
        room -= cells + _GAP
    name = max(12, (room - _GAP) * 11 // 20)
    widths: dict[Column, int] = {
        **_WIDTHS,
        "definition": name,
        "file": max(8, room - _GAP - name),
    }
    return [(c, widths[c]) for c in _SHOWN if c in chosen or c in ("definition", "file")]


def _fitted(text: str, cells: int, *, right: bool = False, head: bool = False) -> str:
    content = Content(text)
    if content.cell_length > cells:
        if head:  # the end of a path says more than its beginning
            return "…" + text[len(text) - cells + 1 :]
        return content.truncate(cells, ellipsis=True).plain
    padding = " " * (cells - content.cell_length)
    return padding + text if right else text + padding


class DefinitionList(Lines):
    """The rows of the table."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "jump(0)", "First", show=False),
        Binding("end,G", "jump(-1)", "Last", show=False),
        Binding("right_square_bracket", "failure(1)", "Next failure", show=False),
        Binding("left_square_bracket", "failure(-1)", "Previous failure", show=False),
        Binding("space", "mark", "Mark", show=False),
        Binding("asterisk", "mark_all", "Mark all shown", show=False),
        Binding("enter", "open", "Review"),
    ]

    class Opened(Message):
        """A definition is to be reviewed."""

        def __init__(self, item: Item) -> None:
            self.item = item
            super().__init__()

    class Moved(Message):
        """The cursor is on a definition, or on none."""

        def __init__(self, item: Item | None) -> None:
            self.item = item
            super().__init__()

    def __init__(self, rows: Rows) -> None:
        super().__init__(id="definitions")
        self.rows = rows

    def count(self) -> int:
        return len(self.rows.shown)

    def current(self) -> Item | None:
        """The definition at the cursor."""
        shown = self.rows.shown
        return shown[self.cursor] if 0 <= self.cursor < len(shown) else None

    def rows_changed(self) -> None:
        """Show the rows as they are now, with the cursor on the definition that it was on."""
        before = self._told
        self.lines_changed()
        if before is not None:
            here = self.current()
            if here is None or here.key != before.key:
                keys = (n for n, item in enumerate(self.rows.shown) if item.key == before.key)
                self.cursor = next(keys, self.cursor)
        self._tell()

    _told: Item | None = None

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        self._tell()

    def _tell(self) -> None:
        self._told = self.current()
        self.post_message(self.Moved(self._told))

    def background(self, number: int) -> str:
        if number == self.cursor:
            return "on $primary-muted" if self.has_focus else "on $surface-lighten-1"
        return ""

    def line(self, number: int, width: int) -> Content:
        item = self.rows.shown[number]
        verdict = look(item)
        marked = item.key in self.rows.marked
        here = number == self.cursor
        lead = "▌" if here else " "
        parts: list[tuple[str, str] | str] = [
            (lead, "$primary"),
            ("●" if marked else " ", "bold $text-accent"),
            (f"{verdict.mark} ", verdict.style),
        ]
        for column, cells in columns(width):
            text, style = _cell(item, column)
            text = _fitted(text, cells, right=column in _RIGHT, head=column == "file")
            parts += [(text, style), " " * _GAP]
        return Content.assemble(*parts)

    # Moving and marking

    def action_move(self, step: int) -> None:
        self.cursor += step

    def action_page(self, step: int) -> None:
        self.cursor += step * max(1, self.size.height - 1)

    def action_jump(self, to: int) -> None:
        self.cursor = to if to >= 0 else self.count() - 1

    def action_failure(self, step: int) -> None:
        row = self.rows.next_failure(self.cursor, step)
        if row is None:
            self.notify("Nothing that is shown has failed.")
        else:
            self.cursor = row

    def action_mark(self) -> None:
        item = self.current()
        if item is not None:
            self.rows.marked ^= {item.key}
            self.refresh_line_at(self.cursor)
            self.cursor += 1
            self._tell()

    def action_mark_all(self) -> None:
        shown = {item.key for item in self.rows.shown}
        self.rows.marked = self.rows.marked - shown if shown <= self.rows.marked else (
            self.rows.marked | shown
        )  # fmt: skip
        self.refresh()
        self._tell()

    def action_open(self) -> None:
        item = self.current()
        if item is not None:
            self.post_message(self.Opened(item))

    def on_click(self, event: events.Click) -> None:
        number = event.y + self.scroll_offset.y
        if number >= self.count():
            return
        self.cursor = number
        if event.x < 2:
            self.action_mark()
            self.cursor = number
        elif event.chain == 2:
            self.action_open()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()


def _cell(item: Item, column: Column) -> tuple[str, str]:
    match column:
        case "definition":
            return item.name, "bold" if item.failed else ""
        case "file":
            return item.path, "$foreground 60%"
        case "state":
            return item.state.value, STATES[item.state]
        case "verdict":
            verdict = look(item)
            return verdict.word, verdict.style
        case "calls":
            if not item.total:
                return "–", "$foreground 60%"
            style = "" if item.ported == item.total else "$text-warning"
            return f"{item.ported}/{item.total}", style
        case "error":
            if item.category and item.status in ("diverged", "error"):
                return item.category, "$text-error"
            return item.error, ""
        case "device":
            return item.device, "$foreground 60%"
        case "time":
            return duration(item.seconds) if item.seconds else "", "$foreground 60%"


class Head(Widget):
    """The names of the columns; a click sorts by one."""

    class Chosen(Message):
        """A column is to be sorted by."""

        def __init__(self, column: Column) -> None:
            self.column: Column = column
            super().__init__()

    def __init__(self, rows: Rows) -> None:
        super().__init__(id="head")
        self.rows = rows

    def render(self) -> Content:
        parts: list[str | tuple[str, str]] = [" " * _LEFT]
        for column, cells in self._columns():
            title = column
            if self.rows.order == column:
                title = f"{column} {'▲' if self.rows.reverse else '▼'}"
            style = "bold" if self.rows.order == column else "$foreground 60%"
            parts += [(_fitted(title, cells, right=column in _RIGHT), style), " " * _GAP]
        return Content.assemble(*parts)

    def on_resize(self) -> None:
        self.refresh()

    def _columns(self) -> Iterable[tuple[Column, int]]:
        return columns(self.size.width - 1)  # beside the list's scrollbar

    def on_click(self, event: events.Click) -> None:
        at = _LEFT
        for column, cells in self._columns():
            if at <= event.x < at + cells:
                self.post_message(self.Chosen(column))
            at += cells + _GAP


class Definitions(Vertical):
    """The table: names of columns above the rows."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(id="table")
        self.rows = rows
        self.list = DefinitionList(rows)
        self.head = Head(rows)

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.list

    def rows_changed(self) -> None:
        """Show the rows as they are now."""
        self.head.refresh()
        self.list.rows_changed()
