"""A list of lines of which only those that are seen are ever made: flat in memory, however long."""

from __future__ import annotations

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

from torchport_tui.messages import app_of


class Lines(ScrollView, can_focus=True):
    """Lines with a cursor. Subclasses say how many there are, and what one looks like."""

    DEFAULT_CSS = """
    Lines { overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1; }
    """

    cursor: reactive[int] = reactive(0, repaint=False)

    def count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def line(self, number: int, width: int) -> Content:
        """One line; what is longer than `width` cells is cut."""
        raise NotImplementedError

    def background(self, number: int) -> str:
        """The style below a line, in Textual's markup."""
        return ""

    def lines_changed(self) -> None:
        """Show the lines as they are now."""
        self.virtual_size = Size(0, self.count())
        self.cursor = max(0, min(self.cursor, self.count() - 1))
        self.refresh()

    def validate_cursor(self, value: int) -> int:
        return max(0, min(value, self.count() - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        self.refresh_line_at(old)
        self.refresh_line_at(new)
        self.show_line(new)

    def show_line(self, number: int) -> None:
        """Scroll, if need be, so that a line is seen."""
        self.scroll_to_region(Region(0, number, 1, 1), animate=False, force=True)

    def refresh_line_at(self, number: int) -> None:
        """Draw one line again."""
        self.refresh(Region(0, number - self.scroll_offset.y, self.size.width, 1))

    def on_resize(self) -> None:
        self.virtual_size = Size(0, self.count())
        self.refresh()

    def render_line(self, y: int) -> Strip:
        number, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        base = self.visual_style
        if number >= self.count():
            return Strip.blank(width, base.rich_style)
        if text := self.background(number):
            base += self.style_of(text)
        content = self.line(number, width)
        segments = [
            Segment(text, style.rich_style)
            for text, style in content.render(base, end="", parse_style=self.style_of)
        ]
        return Strip(segments).adjust_cell_length(width, base.rich_style).simplify()

    def style_of(self, style: str | Style) -> Style:
        """A style in the colours of the theme."""
        if isinstance(style, Style):
            return style
        return Style.parse(style, app_of(self).theme_variables)
