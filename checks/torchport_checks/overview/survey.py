"""The state of each file of a project that uses torch."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from torchport_checks.guard.drift import drift_of
from torchport_checks.guard.leftovers import Unparsable, imports_torch, leftovers
from torchport_checks.guard.project import Port, Project, Scope, port_of
from torchport_checks.guard.recorded import Recorded
from torchport_checks.overview.imports import Imported, imports_of, needs, order
from torchport_checks.store import content_key
from torchport_translators.emit.header import read_header
from torchport_translators.files import (
    MAX_BYTES,
    FileProblem,
    SourceFile,
    decode,
    port_path,
    walk,
    write_port,
)


class State(StrEnum):
    """How far a file is."""

    VERIFIED = "verified"  # ported, and the stored verdict on both as they are now is good
    PORTED = "ported"  # ported, and not checked as it is now
    DRIFTED = "drifted"  # a definition has changed since it was ported
    DIVERGED = "diverged"  # the stored verdict says that source and port are not equal
    BLOCKED = "blocked"  # calls of torch that no rule covers: in its port, or it has none
    NOT_PORTED = "not ported"  # every call has a rule


DONE = frozenset((State.VERIFIED, State.PORTED))
"""States after which what imports a file need not wait for it."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that uses torch, by its path below the root.

    Attributes:
        port: the path of its port; None where there is none.
        lines: of the source.
        calls: how many uses of torch's API it has, and for how many there is a rule.
        blocked_by: the APIs (or codes of findings) that keep it from being ported whole, with how
            often each is used.
        needs: files that use torch and that it imports, itself or through others.
        problem: why it cannot be read; empty where it can.
    """

    path: str
    state: State
    port: str | None = None
    lines: int = 0
    calls: tuple[int, int] = (0, 0)
    blocked_by: Mapping[str, int] = field(default_factory=dict[str, int])
    needs: frozenset[str] = frozenset()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """A project's migration to one target.

    Attributes:
        root: the project's folder.
        target: "jax" or "mlx".
        files: those that use torch, by path.
        groups: what is left to do in a good order: each after what it needs, cycles together.
    """

    root: Path
    target: str
    files: Sequence[File]
    groups: Sequence[Sequence[File]]

    @property
    def states(self) -> dict[State, int]:
        """How many files there are in each state."""
        found = Counter(file.state for file in self.files)
        return {state: found[state] for state in State}

    @property
    def calls(self) -> dict[str, int]:
        """Uses of torch's API: all, those with a rule, and those with a rule in files with a port."""
        return {
            "total": sum(file.calls[0] for file in self.files),
            "with_rule": sum(file.calls[1] for file in self.files),
            "ported": sum(file.calls[1] for file in self.files if file.port is not None),
        }

    @property
    def blocking(self) -> list[tuple[str, int, list[str]]]:
        """What blocks: the API, how often it is used, and in which files; the worst first."""
        uses: Counter[str] = Counter()
        files: dict[str, list[str]] = {}
        for file in self.files:
            for api, number in file.blocked_by.items():
                uses[api] += number
                files.setdefault(api, []).append(file.path)
        ranked = sorted(uses, key=lambda api: (-len(files[api]), -uses[api], api))
        return [(api, uses[api], files[api]) for api in ranked]

    def waiting(self, file: File) -> list[str]:
        """The files that need this one and are not done."""
        return [
            other.path
            for other in self.files
            if file.path in other.needs and other.state not in DONE
        ]

    def missing(self, file: File) -> list[str]:
        """The files that this one needs and that are not done."""
        done = {other.path for other in self.files if other.state in DONE}
        return sorted(file.needs - done)


def survey(
    project: Project,
    target: str,
    scope: Scope,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Overview:
    """The state of each file in scope that uses torch. Reads, and runs nothing.

    What a translation of a file says is kept in `.torchport/status.json` by its content.

    Args:
        progress: told how many files are read, and of how many.

    Raises:
        FileProblem: a folder cannot be read.
    """
    root, settings = project.root, project.settings
    ports = {
        port.source: port
        for port in project.ports
        if port.source is not None and port.target == target
    }
    paths = list(walk(root, settings))
    texts = dict(_texts(project, paths))
    cache = _Cache(root, target)
    imports: dict[str, list[Imported]] = {}
    wanted: dict[str, str] = {}
    for done, (path, text) in enumerate(texts.items()):
        progress(done, len(texts))
        name = project.name(str(path))
        if isinstance(text, str):
            imports[name] = [Imported(*item) for item in cache.imports(text)]
            if imports_torch(text):
                wanted[name] = text
    reached = needs(frozenset(wanted), imports)
    recorded = Recorded()
    files: list[File] = []
    for done, (path, text) in enumerate(texts.items()):
        progress(len(texts) - len(wanted) + done, len(texts))
        name = project.name(str(path))
        if str(path) not in scope:
            continue
        if isinstance(text, FileProblem):
            files.append(File(name, State.BLOCKED, problem=str(text)))
        elif name in wanted:
            port = ports.get(str(path)) or _unmarked(path, project, target)
            files.append(_file(project, path, text, port, reached[name], cache, recorded))
    cache.write()
    by_path = {file.path: file for file in files}
    left = [
        [by_path[name] for name in group if name in by_path and by_path[name].state not in DONE]
        for group in order(reached)
    ]
    return Overview(root, target, files, [group for group in left if group])


def _texts(project: Project, paths: Sequence[Path]) -> Iterator[tuple[Path, str | FileProblem]]:
    """The texts of files that are no ports; why one that uses torch cannot be read."""
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if len(data) > MAX_BYTES or port_of(str(path), data) is not None:
            continue
        try:
            yield path, decode(data, project.name(str(path))).text
        except FileProblem as problem:
            if b"torch" in data:
                yield path, problem


def _unmarked(source: Path, project: Project, target: str) -> Port | None:
    """What stands in the place of a source's port, without torchport's header: written by hand."""
    path = port_path(SourceFile(source, Path(source.name)), project.settings, target, None)
    return Port(str(path), str(source), target) if path.is_file() else None


def _file(
    project: Project,
    path: Path,
    text: str,
    port: Port | None,
    needed: frozenset[str],
    cache: _Cache,
    recorded: Recorded,
) -> File:
    told = cache.translation(text)
    blocked: dict[str, int] = told["blocked_by"]
    state = State.BLOCKED if blocked else State.NOT_PORTED
    if port is not None:
        state = _state(path, text, port, recorded)
        if state is not State.BLOCKED:
            blocked = {}
    return File(
        project.name(str(path)),
        state,
        project.name(port.path) if port else None,
        text.count("\n") + 1,
        (told["total"], told["ported"]),
        blocked,
        needed,
    )


def _state(path: Path, source: str, port: Port, recorded: Recorded) -> State:
    """The state of a file that has a port."""
    try:
        data = Path(port.path).read_bytes()
        text = decode(data, port.path).text
        left = leftovers(text)
    except (OSError, FileProblem, Unparsable):
        return State.DIVERGED  # it does not run, whatever it says
    header = read_header(text)
    if header is not None:
        drift = drift_of(source, header.definitions)
        if drift.changed or drift.removed:
            return State.DRIFTED
    if left:
        return State.BLOCKED
    verdict = recorded.find(path, Path(port.path), (path.read_bytes(), data))
    if verdict is None:
        return State.PORTED
    return State.VERIFIED if verdict.settled else State.DIVERGED


class _Cache:
    """What translating a text says, and what it imports, by content; in `.torchport/status.json`."""

    def __init__(self, root: Path, target: str) -> None:
        self._path = root / ".torchport" / "status.json"
        self._target = target
        self._key = content_key(target, _translator())
        self._known = self._read()
        self._used: dict[str, Any] = {}

    def imports(self, text: str) -> list[list[Any]]:
        """What a text imports, as lists."""
        return self._of("imports", text, lambda: [list(item) for item in imports_of(text)])

    def translation(self, text: str) -> dict[str, Any]:
        """How many calls of torch a text has, how many have a rule, and what blocks the others."""
        return self._of("translation", text, lambda: _translated(text, self._target))

    def _of(self, what: str, text: str, compute: Callable[[], Any]) -> Any:
        key = content_key(what, self._key, text.encode("utf-8", "surrogatepass"))
        value = self._known.get(key)
        if value is None:
            value = compute()
        self._used[key] = value
        return value

    def _read(self) -> dict[str, Any]:
        try:
            data: Any = json.loads(self._path.read_text("utf-8"))
            return data["of"] if data["key"] == self._key else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def write(self) -> None:
        """Keep what was used. A project that cannot be written to is surveyed again."""
        data = {"key": self._key, "of": self._used}
        try:
            self._path.parent.mkdir(exist_ok=True)
            write_port(self._path.with_name(".gitignore"), b"*\n")
            write_port(self._path, json.dumps(data).encode())
        except (OSError, FileProblem):
            return


def _translated(text: str, target: str) -> dict[str, Any]:
    from torchport_translators.findings import Severity
    from torchport_translators.translate import translate

    translation = translate(text, target)
    blocked = Counter(
        finding.api or finding.code
        for finding in translation.findings
        if finding.severity is Severity.ERROR
    )
    coverage = translation.coverage
    return {"total": coverage.total, "ported": coverage.ported, "blocked_by": dict(blocked)}


def _translator() -> str:
    """The hash of the translator's code: in a checkout it changes under one version."""
    found = importlib.util.find_spec("torchport_translators")
    assert found is not None and found.origin is not None
    digest = hashlib.sha256()
    for folder, _, names in sorted(os.walk(Path(found.origin).parent)):
        for name in sorted(names):
            if name.endswith((".py", ".json")):
                digest.update((Path(folder) / name).read_bytes())
    return digest.hexdigest()
