"""The formats of a report, told by name or by the name of a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from torchport_checks.reports.checked import Checked

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


def format_of(path: Path) -> Format | None:
    """The format that a file's name asks for; None where it asks for none."""
    name = path.name.lower()
    return next((form for end, form in _SUFFIXES.items() if name.endswith(end)), None)


def render(
    form: Format, results: Sequence[Checked], document: dict[str, Any], *, seconds: float
) -> str:
    """The report of a run as text.

    Args:
        document: what the command that ran says in JSON, its exit code included.
    """
    match form:
        case "json":
            return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        case "sarif":
            from torchport_checks.reports.sarif import sarif

            return sarif(results, root=Path.cwd(), exit_code=document["exit_code"])
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
