"""SARIF 2.1.0 (OASIS, errata 01): what code scanning services and editors read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from torchport_checks.guard.findings import CODES as GUARDED
from torchport_checks.reports.checked import Checked, writable
from torchport_checks.reports.problems import OWN_RULES, Place, Problem, problems
from torchport_checks.reports.rules import rule_of
from torchport_checks.verdicts import Category
from torchport_translators._version import __version__
from torchport_translators.findings import CODES

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_ROOT = "%SRCROOT%"
_FINGERPRINT = "torchport/v1"


def sarif(results: Sequence[Checked], *, root: Path, exit_code: int) -> str:
    """The problems of a run as a SARIF log; `root` as of `log_of`."""
    return log_of(list(problems(results)), root=root, exit_code=exit_code)


def log_of(found: Sequence[Problem], *, root: Path, exit_code: int) -> str:
    """Problems as a SARIF log.

    Args:
        root: the folder that paths are given relative to, where they lie below it.
    """
    rules = sorted({problem.rule for problem in found})
    run = {
        "tool": {
            "driver": {
                "name": "torchport",
                "semanticVersion": __version__,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"uri": f"{root.as_uri()}/"}},
        "invocations": [{"executionSuccessful": exit_code < 2, "exitCode": exit_code}],
        "results": [_result(problem, rules, root) for problem in found],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return writable(json.dumps(log, indent=2, ensure_ascii=False) + "\n")


def _rule(rule: str) -> dict[str, Any]:
    if rule in CODES:
        return {"id": rule, "shortDescription": {"text": rule}, "help": {"text": CODES[rule][1]}}
    if rule in OWN_RULES or rule in GUARDED:
        text = OWN_RULES.get(rule) or GUARDED[rule].help
        return {"id": rule, "shortDescription": {"text": rule}, "help": {"text": text}}
    name, meaning, advice = rule_of(Category(rule))
    return {
        "id": rule,
        "name": name,
        "shortDescription": {"text": meaning},
        "help": {"text": f"{meaning} {advice}"},
    }


def _result(problem: Problem, rules: list[str], root: Path) -> dict[str, Any]:
    place = _location(problem.place, root)
    if problem.finding is not None:
        place["physicalLocation"]["region"] = {
            "startLine": problem.finding.line,
            "startColumn": problem.finding.column + 1,
            "endLine": problem.finding.end_line,
            "endColumn": problem.finding.end_column + 1,
        }
    result: dict[str, Any] = {
        "ruleId": problem.rule,
        "ruleIndex": rules.index(problem.rule),
        "level": problem.level,
        "message": {"text": problem.message or problem.rule},
        "locations": [place],
        "partialFingerprints": {_FINGERPRINT: _fingerprint(problem, root)},
    }
    if problem.related:
        result["relatedLocations"] = [
            {"id": number, **_location(related, root), "message": {"text": text}}
            for number, (related, text) in enumerate(problem.related)
        ]
    if problem.difference is not None:
        kept = problem.difference.model_dump_json(
            include={"where", "case", "index", "torch", "port", "reference", "tolerance"},
            exclude_none=True,
        )
        result["properties"] = json.loads(kept)
    return result


def _location(place: Place, root: Path) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": _artifact(place.path, root)}
    if place.line:
        physical["region"] = {"startLine": place.line}
    return {"physicalLocation": physical}


def _artifact(path: Path, root: Path) -> dict[str, str]:
    below = _below(path, root)
    if below is None:
        return {"uri": path.as_uri()}
    return {"uri": quote(below), "uriBaseId": _ROOT}


def _below(path: Path, root: Path) -> str | None:
    """`path` as it is named below `root`; None where it is not."""
    if not path.is_absolute():
        return path.as_posix()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def _fingerprint(problem: Problem, root: Path) -> str:
    """The same for the same problem when its line has moved, or the checkout lies elsewhere."""
    path = problem.place.path
    parts = (problem.rule, _below(path, root) or path.name, *problem.identity)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]
