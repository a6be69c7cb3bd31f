"""Workflow commands of GitHub Actions: a problem on its line, in the diff of a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from torchport_checks.reports.checked import Checked, short, writable
from torchport_checks.reports.problems import Problem, problems

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def github(results: Sequence[Checked]) -> str:
    """One `::error file=...,line=...,title=...::message` a line."""
    return annotations_of(problems(results))


def annotations_of(found: Iterable[Problem]) -> str:
    """Problems, one a line."""
    return writable("".join(f"{_annotation(problem)}\n" for problem in found))


def _annotation(problem: Problem) -> str:
    values = {"file": PurePath(short(problem.place.path)).as_posix()}
    if problem.place.line:
        values["line"] = str(problem.place.line)
    if problem.finding is not None:
        values["endLine"] = str(problem.finding.end_line)
        values["col"] = str(problem.finding.column + 1)
        values["endColumn"] = str(problem.finding.end_column + 1)
    values["title"] = f"torchport: {problem.rule}"
    properties = ",".join(f"{key}={_property(value)}" for key, value in values.items())
    return f"::{_COMMANDS[problem.level]} {properties}::{_data(problem.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
