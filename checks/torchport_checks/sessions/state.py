"""What a session knows of its files and their definitions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from torchport_checks.verdicts import DefinitionVerdict, Verdict
from torchport_translators.files import Text

MODULE = "<module>"
"""The name of the item of a file that defines nothing, or cannot be ported."""


class State(StrEnum):
    """How far a definition has come."""

    FOUND = "found"
    PORTED = "ported"
    CHECKED = "checked"
    REVIEWED = "reviewed"  # somebody has looked at it
    ACCEPTED = "accepted"
    REJECTED = "rejected"

    @property
    def decided(self) -> bool:
        """Whether somebody has decided."""
        return self in (State.ACCEPTED, State.REJECTED)


class Key(NamedTuple):
    """Which definition: its file's path in the project, and its name."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """One definition, as a table shows it.

    Attributes:
        path: of the source, relative to the project's root, with `/`.
        position: its place among the definitions of its file.
        line: where it stands in the source; `port_line` in the port, 0 where it is not known.
        total: how many uses of torch it has, `ported` of them ported.
        findings: how many of the errors and warnings of the translation are in it.
        status: the verdict: one of `verdicts.Status`; empty where it was not checked.
        category: what kind of failure; empty for none.
        error: the largest error as text; `relative` as a number.
        device: those that it ran on.
        message: what is the matter.
    """

    path: str
    name: str
    position: int
    line: int
    port_line: int
    total: int
    ported: int
    findings: int
    state: State
    status: str
    category: str
    error: str
    relative: float
    device: str
    seconds: float
    message: str

    @property
    def key(self) -> Key:
        return Key(self.path, self.name)

    @property
    def verified(self) -> bool:
        """Whether it was verified."""
        return self.status == "verified"

    @property
    def failed(self) -> bool:
        """Whether somebody has to look: it diverges, cannot be run, or is not wholly ported."""
        if self.category == "NOTHING":
            return self.ported < self.total
        return self.status not in ("", "verified") or self.ported < self.total


@dataclass(frozen=True, slots=True)
class File:
    """One source.

    Attributes:
        path: relative to the project's root, with `/`.
        source: the file itself; `port` where its port lies, or would.
        outcome: what became of it, as `torchport port` says it: `shown` where its port waits to be
            accepted; empty before it was ported.
        problem: why it cannot be ported.
        total: how many uses of torch it has, `ported` of them ported.
    """

    path: str
    source: Path
    port: Path
    outcome: str
    problem: str
    total: int
    ported: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one file.

    Attributes:
        original: the source as it was read.
        text: its port, as it will be written once all of it is accepted.
        before: what lay in the port's place before the session wrote it; None for nothing.
        told: what the translation tells of it, as `torchport translate --json` has it.
        verdict: on `text`.
    """

    file: File
    original: Text
    text: str
    before: bytes | None
    told: dict[str, Any]
    verdict: Verdict | None

    def of(self, name: str) -> DefinitionVerdict | None:
        """The verdict on one definition, if it was checked."""
        for definition in self.verdict.definitions if self.verdict else ():
            if definition.name == name:
                return definition
        return None

    def findings(self, name: str) -> list[dict[str, Any]]:
        """The findings in one definition; for `MODULE` those outside all of them."""
        found: list[dict[str, Any]] = self.told.get("findings", [])
        spans = [
            (definition["line"], definition["end_line"])
            for definition in self.told.get("definitions", [])
            if name in (MODULE, definition["name"])
        ]
        return [
            one
            for one in found
            if any(first <= one["line"] <= last for first, last in spans) != (name == MODULE)
        ]
