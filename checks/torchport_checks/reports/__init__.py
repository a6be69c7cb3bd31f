"""What a run found, in the form that its reader takes.

`terminal` and `html` are for people; `sarif` and `github` put problems on lines of code, `junit` gives
a build server a test per definition; JSON is the verdict itself, whose schema `schema` writes.
`problems` says once, for all of them, what is a problem and where.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from torchport_checks.verdicts import Category, DefinitionVerdict, LaneInfo, Verdict
from torchport_translators.batch import Ported

Format = Literal["terminal", "json", "sarif", "junit", "html", "github"]
FORMATS: tuple[Format, ...] = get_args(Format)

_SUFFIXES: dict[str, Format] = {
    ".sarif.json": "sarif",
    ".json": "json",
    ".sarif": "sarif",
    ".xml": "junit",
    ".html": "html",
    ".htm": "html",
    ".txt": "terminal",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A pair of files: how it was ported, if it was, and its verdict, if it was checked."""

    ported: Ported | None = None
    verdict: Verdict | None = None

    @property
    def name(self) -> str:
        """The source, for the reader."""
        if self.ported is not None:
            return self.ported.name
        assert self.verdict is not None
        return short(self.verdict.source)

    @property
    def port(self) -> str:
        """The port, for the reader; empty where there is none."""
        if self.ported is not None:
            return str(self.ported.port) if self.ported.port else ""
        assert self.verdict is not None
        return short(self.verdict.port)


def format_of(path: Path) -> Format | None:
    """The format that a file's name asks for; None where it asks for none."""
    name = path.name.lower()
    return next((form for end, form in _SUFFIXES.items() if name.endswith(end)), None)


def render(form: Format, results: Sequence[Checked], *, seconds: float, exit_code: int) -> str:
    """The report of a run as text, in any format but JSON, which is the command's own document."""
    match form:
        case "sarif":
            from torchport_checks.reports.sarif import sarif

            return sarif(results, root=Path.cwd(), exit_code=exit_code)
        case "junit":
            from torchport_checks.reports.junit import junit

            return junit(results)
        case "html":
            from torchport_checks.reports.html import html

            return html(results, seconds=seconds)
        case "github":
            from torchport_checks.reports.github import github

            return github(results)
        case "terminal":
            from torchport_checks.reports.terminal import plain

            return plain(results, seconds=seconds)
        case "json":
            raise ValueError("JSON is the document of the command that ran")


def short(path: str | Path) -> str:
    """A path relative to the current folder where it lies below it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def indirect(definition: DefinitionVerdict) -> bool:
    """Whether the definition can only be checked through what uses it."""
    return definition.category is Category.NOTHING


def passes(verdict: Verdict) -> bool:
    """Whether nothing diverged or failed."""
    return not verdict.error and all(
        definition.status in ("verified", "not_run") for definition in verdict.definitions
    )


def lane_text(lane: LaneInfo) -> str:
    """`jax 0.10.2 on cpu`."""
    return f"{lane.framework} {lane.version} on {lane.device}"


def lanes_of(verdicts: Sequence[Verdict]) -> list[str]:
    """The lanes that took part, once each."""
    return list(dict.fromkeys(lane_text(lane) for verdict in verdicts for lane in verdict.lanes))


def again(verdict: Verdict, definition: DefinitionVerdict) -> str:
    """The command that checks one definition again, from the current folder."""
    source, port = (short(path) for path in (verdict.source, verdict.port))
    arguments = ["torchport", "check", source, port, "--only", definition.name, "--fresh"]
    return shlex.join(arguments) if os.name != "nt" else " ".join(f'"{a}"' for a in arguments)
