"""The lines at the top: what the session is, how far it is, and what its lanes do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from textual.content import Content
from textual.widgets import Static

from torchport_checks.sessions import Item, State
from torchport_checks.sessions.engine import Progress
from torchport_tui.look import STATES, duration

_BAR = 20
_LANES = {
    "off": ("○", "$foreground 60%"),
    "idle": ("●", "$text-success"),
    "busy": ("◉", "$text-warning"),
}


class Status(Static):
    """Two lines of text."""

    def __init__(self, title: str) -> None:
        super().__init__(id="status")
        self._title = title
        self._progress = Progress()
        self._counts: Counter[str] = Counter()
        self._shown = ""

    def show_items(self, items: Iterable[Item], shown: int) -> None:
        """Count the definitions."""
        counts: Counter[str] = Counter()
        for item in items:
            counts[item.state.value] += 1
            counts["all"] += 1
            counts["verified"] += item.verified
            counts["failed"] += item.failed and not item.state.decided
        self._counts = counts
        self._shown = "" if shown == counts["all"] else f"{shown} shown of "
        self.refresh()

    def show_progress(self, progress: Progress) -> None:
        """Show how far the run is."""
        if progress != self._progress:
            self._progress = progress
            self.refresh()

    def render(self) -> Content:
        return Content("\n").join([self._first(), self._second()])

    def _first(self) -> Content:
        now = self._progress
        parts: list[str | tuple[str, str]] = [
            ("torchport ", "bold $text-primary"),
            self._title,
            "  ",
        ]
        if now.phase == "idle":
            return Content.assemble(*parts, ("idle", "$foreground 60%"), *self._lanes())
        filled = _BAR * now.done // now.total if now.total else 0
        parts += [
            ("━" * filled, "bold $text-success"),
            ("─" * (_BAR - filled), "$foreground 60%"),
            f" {now.phase} {now.done}/{now.total}",
        ]
        if now.left is not None and now.phase == "checking":
            parts.append((f"  {duration(now.left)} left", "$foreground 60%"))
        at = [f"{one.path}:{one.definition}".rstrip(":") for one in now.running]
        names = (f"  {', '.join(at)}", "$foreground 60%")
        return Content.assemble(*parts, *self._lanes(), names)

    def _lanes(self) -> list[str | tuple[str, str]]:
        parts: list[str | tuple[str, str]] = []
        by_name: dict[str, list[str]] = {}
        for lane in self._progress.lanes:
            by_name.setdefault(f"{lane.framework} {lane.device}", []).append(lane.state)
        for name, states in by_name.items():
            parts.append(f"  {name} ")
            parts += [_LANES[state] for state in states]
        return parts

    def _second(self) -> Content:
        counts = self._counts
        parts: list[str | tuple[str, str]] = [
            f"{self._shown}{counts['all']} definitions  ",
            (f"✓ {counts['verified']} verified", "$text-success"),
        ]
        if counts["failed"]:
            parts.append((f"  ✗ {counts['failed']} to look at", "bold $text-error"))
        for state in State:
            if counts[state.value]:
                parts.append((f"  {counts[state.value]} {state.value}", STATES[state]))
        return Content.assemble(*parts)
