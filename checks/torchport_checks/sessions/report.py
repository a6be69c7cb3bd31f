"""What a session says of itself to machines, and which definitions a selector means."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Collection, Iterable
from typing import Any, cast

from torchport_checks.sessions.session import Session
from torchport_checks.sessions.state import MODULE, Item, Key, State
from torchport_checks.verdicts import Category, Verdict
from torchport_translators.batch import Outcome

_TIMINGS = frozenset(("seconds", "runs", "from_store"))


def settled(items: Collection[Item]) -> set[Key]:
    """The definitions that are verified, each by itself or by what uses it.

    The latter where nothing else in its file failed, or waits.
    """
    open_files = {item.path for item in items if item.failed or not item.status}
    return {
        item.key
        for item in items
        if not item.failed
        and (item.verified or (item.category == Category.NOTHING and item.path not in open_files))
    }


def selected(items: Collection[Item], selectors: Iterable[str]) -> list[Key]:
    """The definitions that any of the selectors means.

    A selector is `all`, `verified` (what is `settled`), or a glob of a definition's name, of its
    file, or of `FILE:NAME`.
    """
    wanted, verified = list(selectors), settled(items)
    return [
        item.key for item in items if any(_means(selector, item, verified) for selector in wanted)
    ]


def _means(selector: str, item: Item, verified: Collection[Key]) -> bool:
    if selector in ("all", "verified"):
        return selector == "all" or item.key in verified
    names = (item.name, item.path, f"{item.path}:{item.name}")
    return any(fnmatch.fnmatchcase(name, selector) for name in names)


def exit_code(items: Iterable[Item]) -> int:
    """0 where all is verified or decided, 1 where somebody has to look, 2 where a file failed."""
    code = 0
    for item in items:
        if item.state is State.REJECTED:
            continue
        unread = item.status == "error" and item.state is State.FOUND and not item.findings
        if unread or item.category == Category.FRAMEWORK:
            return 2
        unchecked = not item.status and item.name != MODULE
        if item.failed or item.findings or (unchecked and item.state is not State.ACCEPTED):
            code = 1
    return code


def document(session: Session, *, timings: bool = False) -> dict[str, Any]:
    """A session with all its evidence.

    The same sources, decisions and versions give the same document, unless `timings` are asked for:
    then it also has how long each check took.
    """
    by_path: dict[str, list[Item]] = {}
    items = session.items()
    for item in items:
        by_path.setdefault(item.path, []).append(item)
    return {
        "target": session.target,
        "review": session.review,
        "states": session.counts(),
        "files": [
            _file(session, file.path, by_path.get(file.path, []), timings)
            for file in session.files()
        ],
        "exit_code": exit_code(items),
    }


def _file(session: Session, path: str, items: list[Item], timings: bool) -> dict[str, Any]:
    file = session.files(path)[0]
    evidence = session.evidence(path)
    told: dict[str, Any] = evidence.told if evidence else {}
    verdict = evidence.verdict if evidence else None
    written = file.outcome in (Outcome.WRITTEN, Outcome.UNCHANGED, Outcome.EDITED)
    return {
        "source": path,
        "port": session.name(file.port),
        "outcome": file.outcome or None,
        "problem": file.problem or None,
        "coverage": {"total": file.total, "ported": file.ported},
        "definitions": [_item(item, timings) for item in items],
        "findings": told.get("findings", []),
        "text": None if evidence is None or written else evidence.text,
        "verdict": _plain(verdict, timings) if verdict else None,
    }


def _item(item: Item, timings: bool) -> dict[str, Any]:
    data = {
        "name": item.name,
        "line": item.line,
        "port_line": item.port_line,
        "state": item.state.value,
        "status": item.status or None,
        "category": item.category or None,
        "coverage": {"total": item.total, "ported": item.ported},
        "error": item.error or None,
        "device": item.device or None,
        "message": item.message or None,
    }
    return {**data, "seconds": item.seconds} if timings else data


def _plain(verdict: Verdict, timings: bool) -> Any:
    data = json.loads(verdict.model_dump_json())
    return data if timings else _timeless(data)


def _timeless(data: Any) -> Any:
    if isinstance(data, dict):
        given = cast("dict[str, Any]", data)
        return {key: _timeless(value) for key, value in given.items() if key not in _TIMINGS}
    if isinstance(data, list):
        return [_timeless(value) for value in cast("list[Any]", data)]
    return data
