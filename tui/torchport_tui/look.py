"""How states, verdicts and severities look, everywhere the same: a mark, a word, a colour of the theme.

No mark is told from another by its colour alone.
"""

from __future__ import annotations

from typing import NamedTuple

from torchport_checks.sessions import Item, State


class Look(NamedTuple):
    """A mark of one cell, a word, and a style in Textual's markup."""

    mark: str
    word: str
    style: str


_STATUS = {
    "verified": Look("✓", "verified", "$text-success"),
    "diverged": Look("✗", "diverged", "bold $text-error"),
    "error": Look("✗", "failed", "bold $text-error"),
    "not_run": Look("!", "not run", "$text-warning"),
    "": Look("·", "", "$foreground 60%"),
}
_INDIRECT = Look("·", "indirect", "$foreground 60%")
_UNPORTED = Look("!", "unported", "$text-warning")

STATES = {
    State.FOUND: "$foreground 60%",
    State.PORTED: "$text-secondary",
    State.CHECKED: "$text-primary",
    State.REVIEWED: "$text-accent",
    State.ACCEPTED: "bold $text-success",
    State.REJECTED: "bold $text-error",
}
SEVERITIES = {"error": "bold $text-error", "warning": "$text-warning", "info": "$text-secondary"}


def look(item: Item) -> Look:
    """How the verdict on a definition looks."""
    if item.status not in ("diverged", "error") and item.status and item.ported < item.total:
        return _UNPORTED
    if item.category == "NOTHING":
        return _INDIRECT
    return _STATUS[item.status]


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3:05`, `1:02:03`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
