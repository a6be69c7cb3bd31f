"""What `torchport guard` finds, by code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["error", "note"]


class Code(NamedTuple):
    """How grave a kind of finding is, and what it means. Notes never fail a commit."""

    level: Level
    help: str


CODES: dict[str, Code] = {
    "drift": Code(
        "error",
        "A definition of the source is not what it was when it was ported. Port it again, or bring "
        "the change into the port by hand, check it, and renew its header.",
    ),
    "source-missing": Code(
        "error",
        "The file that a port was made from is not there. Bring it back, or, where the port has "
        "taken its place, remove the port's header.",
    ),
    "header": Code(
        "error",
        "A port's header cannot be read, so nothing can be told of it. Port the source again, or "
        "take the header from the last commit.",
    ),
    "unreadable": Code("error", "A file of a pair cannot be read as Python text."),
    "leftover": Code(
        "error",
        "A port uses torch. Write it in the target by hand; or, where torch is meant, put "
        "`# torchport: ignore` above it, in the source, too.",
    ),
    "unchecked": Code(
        "error",
        "No verdict is stored on source and port as they are now. Check them.",
    ),
    "edited": Code(
        "error",
        "A port was edited by hand, and has not been checked since. Check it.",
    ),
    "diverged": Code(
        "error",
        "The stored verdict on source and port as they are now says that they are not equal, or "
        "could not be compared.",
    ),
    "not-in-port": Code(
        "note",
        "The source has definitions that its port has not: they were added since, or never ported.",
    ),
    "port-deleted": Code("note", "The commit deletes a port whose source stays."),
}
"""Every code of the guard."""


@dataclass(frozen=True, slots=True)
class GuardFinding:
    """Something that a commit should not carry, or that its author should know.

    Attributes:
        code: one of `CODES`.
        path: of the file, absolute.
        line: from 1; 0 for the file as a whole.
        subject: what it is about in the file, whichever line that is on: with code and file it tells
            the finding from others in a baseline.
        message: what is wrong.
        advice: what to do, where a command alone does not; empty otherwise.
        commands: what to run, in order.
    """

    code: str
    path: str
    line: int
    subject: str
    message: str
    advice: str = ""
    commands: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        return CODES[self.code].level
