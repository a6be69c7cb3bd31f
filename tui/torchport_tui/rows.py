"""The definitions as the table shows them: filtered, sorted, marked. No widget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from torchport_checks.sessions import Item, Key, State

Column = Literal["definition", "file", "state", "verdict", "calls", "error", "device", "time"]

_STATES = list(State)
_STATUSES = ["error", "diverged", "not_run", "", "verified"]

_ORDERS: dict[Column, Callable[[Item], Any]] = {
    "definition": lambda item: item.name.lower(),
    "file": lambda item: (item.path, item.position),
    "state": lambda item: _STATES.index(item.state),
    "verdict": lambda item: _STATUSES.index(item.status),
    "calls": lambda item: item.ported - item.total,
    "error": lambda item: -item.relative,
    "device": lambda item: item.device,
    "time": lambda item: -item.seconds,
}
COLUMNS: tuple[Column, ...] = tuple(_ORDERS)


class Rows:
    """All definitions of a session, and which of them are shown, in which order."""

    def __init__(self) -> None:
        self.by_path: dict[str, list[Item]] = {}
        self.shown: list[Item] = []
        self.marked: set[Key] = set()
        self.filter = ""
        self.below = ""
        """A file, or a folder that ends with `/`; empty for all."""
        self.failures = False
        self.order: Column = "file"
        self.reverse = False

    def put(self, path: str, items: Sequence[Item]) -> None:
        """Replace the definitions of a file; none forgets it. `refresh` shows it."""
        if items:
            self.by_path[path] = list(items)
        else:
            self.by_path.pop(path, None)

    def all(self) -> Iterable[Item]:
        """Every definition, in order of path and place."""
        for path in sorted(self.by_path):
            yield from self.by_path[path]

    def refresh(self) -> None:
        """Find out what is shown."""
        terms = self.filter.lower().split()
        shown = [item for item in self.all() if self._shows(item, terms)]
        if self.order != "file" or self.reverse:
            shown.sort(key=_ORDERS[self.order], reverse=self.reverse)
        self.shown = shown
        if self.marked:
            self.marked &= {item.key for item in self.all()}

    def targets(self, cursor: int) -> list[Key]:
        """What an action is on: the marked definitions, else the one at the cursor."""
        if self.marked:
            return [item.key for item in self.all() if item.key in self.marked]
        return [self.shown[cursor].key] if 0 <= cursor < len(self.shown) else []

    def next_failure(self, cursor: int, step: int) -> int | None:
        """The nearest row that failed, in one direction and around the end; None for none."""
        count = len(self.shown)
        for distance in range(1, count + 1):
            row = (cursor + step * distance) % count
            if self.shown[row].failed:
                return row
        return None

    def _shows(self, item: Item, terms: Sequence[str]) -> bool:
        if self.failures and not item.failed:
            return False
        if self.below and not (item.path == self.below or _within(item.path, self.below)):
            return False
        if not terms:
            return True
        text = f"{item.path} {item.name} {item.state} {item.status} {item.category} {item.message}"
        text = text.lower()
        return all(term in text for term in terms)


def _within(path: str, folder: str) -> bool:
    return folder.endswith("/") and path.startswith(folder)
