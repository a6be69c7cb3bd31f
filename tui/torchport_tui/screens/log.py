"""What happened, line by line."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from torchport_checks.sessions import Session
from torchport_tui.messages import FileChanged, app_of
from torchport_tui.widgets.lines import Lines


class LogLines(Lines):
    """The log of a session, the newest line last."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("home,g", "scroll_home", "First", show=False),
        Binding("end,G", "scroll_end", "Last", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="log")
        self.entries: list[tuple[float, str]] = []

    def count(self) -> int:
        return len(self.entries)

    def line(self, number: int, width: int) -> Content:
        at, text = self.entries[number]
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        return Content.assemble((f" {clock} ", "$foreground 60%"), text)


class LogScreen(Screen[None]):
    """The log of a session."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,l", "app.pop_screen", "Back"),
        Binding("c", "copy", "Copy"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._lines = LogLines()

    def compose(self) -> ComposeResult:
        yield self._lines
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._fill()

    def _fill(self) -> None:
        self._lines.entries = self._session.log_lines()
        self._lines.lines_changed()
        self._lines.scroll_end(animate=False)

    def on_file_changed(self, message: FileChanged) -> None:
        if message.text:
            self._fill()

    def action_copy(self) -> None:
        text = "\n".join(text for _, text in self._lines.entries)
        app_of(self).copy_to_clipboard(text)
        self.notify("The log was copied.")
