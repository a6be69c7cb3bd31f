"""The baseline: findings that were there when the guard came, and may stay until someone mends them.

It only shrinks. Written the first time, it takes all findings; written again, it loses those that are
no longer found, and takes no new ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from torchport_checks.guard.findings import GuardFinding
from torchport_checks.guard.project import Project, Scope
from torchport_translators.files import write_port

_VERSION = 1


class BaselineProblem(Exception):
    """A baseline cannot be read; the message says why and what to do."""


class Identity(NamedTuple):
    """What stays of a finding when lines move: its file below the root, its code, its subject."""

    file: str
    code: str
    subject: str


@dataclass(slots=True)
class Baseline:
    """Findings to pass over, and how many there are of each; one line of the file for each."""

    path: Path
    entries: Counter[Identity] = field(default_factory=Counter[Identity])

    def write(self) -> bool:
        """Write it; whether it changed.

        Raises:
            FileProblem: it cannot be written.
        """
        rows = [
            json.dumps({**entry._asdict(), "count": number}, ensure_ascii=False)
            for entry, number in sorted(self.entries.items())
            if number
        ]
        listed = ",\n".join(f"    {row}" for row in rows)
        text = f'{{\n  "version": {_VERSION},\n  "findings": [\n{listed}\n  ]\n}}\n'
        return write_port(self.path, text.encode())

    def shrink(self, found: Counter[Identity], within: Scope, project: Project) -> int:
        """Drop what is no longer found in a scope; how many findings that are."""
        before = self.entries.total()
        for entry in list(self.entries):
            if str(project.root / entry.file) in within:
                self.entries[entry] = min(self.entries[entry], found[entry])
        self.entries = +self.entries
        return before - self.entries.total()

    def sift(
        self, findings: Sequence[GuardFinding], project: Project
    ) -> tuple[list[GuardFinding], int]:
        """The findings that it does not hold, and how many it does."""
        left = self.entries.copy()
        new: list[GuardFinding] = []
        for finding in findings:
            entry = identity(finding, project)
            if finding.level == "error" and left[entry] > 0:
                left[entry] -= 1
            else:
                new.append(finding)
        return new, len(findings) - len(new)


def identity(finding: GuardFinding, project: Project) -> Identity:
    """What tells a finding from others, whichever line it is on."""
    return Identity(project.name(finding.path), finding.code, finding.subject)


def counted(findings: Sequence[GuardFinding], project: Project) -> Counter[Identity]:
    """How many findings there are of each identity; notes are never in a baseline."""
    return Counter(identity(finding, project) for finding in findings if finding.level == "error")


def read_baseline(path: Path) -> Baseline | None:
    """The baseline in a file; None where there is none.

    Raises:
        BaselineProblem: it cannot be read.
    """
    try:
        data: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BaselineProblem(f"The baseline {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise BaselineProblem(
            f"The baseline {path} is not JSON ({error}). Take it from the last commit, or delete it "
            "and write a new one with `torchport guard --update-baseline`."
        ) from error
    try:
        if data["version"] != _VERSION:
            raise BaselineProblem(
                f"The baseline {path} is of version {data['version']}, and this torchport reads "
                f"{_VERSION}: use the torchport that wrote it, or write a new one."
            )
        rows = cast("list[dict[str, Any]]", data["findings"])
        entries: Counter[Identity] = Counter()
        for row in rows:
            entries[Identity(row["file"], row["code"], row["subject"])] += int(row["count"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BaselineProblem(
            f"The baseline {path} is not one that `torchport guard --update-baseline` writes: "
            f"{type(error).__name__}: {error}. Take it from the last commit, or write a new one."
        ) from error
    return Baseline(path, entries)
