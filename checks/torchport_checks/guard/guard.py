"""`guard`: what a commit should not carry, pair by pair."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torchport_checks.guard.drift import Drift, drift_of, line_of
from torchport_checks.guard.findings import GuardFinding
from torchport_checks.guard.leftovers import Unparsable, leftovers
from torchport_checks.guard.notebooks import code_of
from torchport_checks.guard.project import Port, Project, Scope
from torchport_checks.guard.recorded import Recorded
from torchport_checks.store import Summary
from torchport_translators.emit.header import Header, edited_by_hand, read_header
from torchport_translators.files import FileProblem, SourceFile, decode, port_path

_HEADER_LINE = re.compile(r"^# torchport: source=", re.MULTILINE)
_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
_SHOWN = 8
"""Names that one message lists."""


@dataclass
class Guard:
    """One look at a project.

    Attributes:
        scope: what it is about.
        verdicts: whether a verdict is asked for: "auto" (where there is a store), "required", "off".
        looked_for_verdicts: whether the stores of all pairs were asked.
    """

    project: Project
    scope: Scope
    verdicts: str
    recorded: Recorded = field(default_factory=Recorded)
    looked_for_verdicts: bool = True

    def pairs(self) -> list[Port]:
        """The ports in scope, and those whose last verdict depends on a file in scope."""
        if self.scope.paths is not None and not self.scope.paths:
            return []
        found = {port.path: port for port in self.project.in_scope(self.scope)}
        if self.scope.paths is not None and self.verdicts != "off":
            by_path = {port.path: port for port in self.project.ports}
            sources = [p.source for p in self.project.ports if p.source is not None]
            for path in map(str, self.recorded.depending_on(self.scope.paths, sources)):
                if path in by_path:
                    found[path] = by_path[path]
        return sorted(found.values(), key=lambda port: port.path)

    def findings(self, ports: Iterable[Port]) -> list[GuardFinding]:
        """What is found in ports, file by file."""
        found = [finding for port in ports for finding in self._of(port)]
        self.recorded.close()
        return found

    def _of(self, port: Port) -> Iterator[GuardFinding]:
        pair = _Pair(port, self)
        try:
            data = Path(port.path).read_bytes()
        except OSError as error:
            message = f"It cannot be read: {error.strerror}."
            yield GuardFinding("unreadable", port.path, 0, "", message)
            return
        if port.is_notebook:
            yield from pair.of_notebook(data)
            return
        try:
            text = decode(data, self.project.name(port.path)).text
        except FileProblem as problem:
            yield GuardFinding("unreadable", port.path, 0, "", str(problem))
            return
        yield from pair.of_text(data, text)


@dataclass(slots=True)
class _Pair:
    """One port, and what is found of it."""

    port: Port
    guard: Guard
    header: Header | None = None
    edited: bool = False

    def of_notebook(self, data: bytes) -> Iterator[GuardFinding]:
        """What torch is left in the cells of a notebook that is a port."""
        path = self.port.path
        try:
            code = code_of(data)
        except (ValueError, RecursionError) as error:
            yield GuardFinding("unreadable", path, 0, "", f"It is not a notebook: {error}.")
            return
        try:
            for left in leftovers(code.text):
                message = f"{code.place(left.line)}: {left.message}"
                yield GuardFinding("leftover", path, 0, left.message, message, _BY_HAND)
        except Unparsable as problem:
            message = f"{code.place(problem.line)} does not parse: {problem}."
            yield GuardFinding("unreadable", path, 0, "", message)

    def of_text(self, data: bytes, text: str) -> Iterator[GuardFinding]:
        """What is found of a port that is a Python file."""
        port = self.port
        if (conflict := _CONFLICT.search(text)) is not None:
            line = text.count("\n", 0, conflict.start()) + 1
            message = "A conflict of a merge stands here, and is to be resolved."
            yield GuardFinding("unreadable", port.path, line, "", message)
            return
        self.header = read_header(text)
        if self.header is None or len(_HEADER_LINE.findall(text)) > 1:
            line = _header_line(text)
            message = "The lines of its header do not belong together: of a merge, or edited."
            commands = (self._port(force=True),) if port.source and _is_file(port.source) else ()
            yield GuardFinding("header", port.path, line, "", message, commands=commands)
        else:
            self.edited = edited_by_hand(text)
            yield from self._of_source(data, text)
        yield from self._leftovers(text)

    def _leftovers(self, text: str) -> Iterator[GuardFinding]:
        path = self.port.path
        commands = (self._check(),) if self.port.source and _is_file(self.port.source) else ()
        try:
            for left in leftovers(text):
                subject = f"{left.definition}: {left.message}" if left.definition else left.message
                yield GuardFinding(
                    "leftover", path, left.line, subject, left.message, _BY_HAND, commands
                )
        except Unparsable as problem:
            message = f"It does not parse: {problem}."
            yield GuardFinding("unreadable", path, problem.line, "", message)

    def _of_source(self, data: bytes, text: str) -> Iterator[GuardFinding]:
        """What the source says of the port, and the store of both."""
        port, header = self.port, self.header
        assert header is not None
        if port.source is None:
            return
        name = self.guard.project.name(port.source)
        try:
            source_data = Path(port.source).read_bytes()
            source = decode(source_data, name).text
        except FileNotFoundError:
            yield GuardFinding(
                "source-missing",
                port.path,
                _header_line(text),
                header.source,
                f"It is the port of {name}, which is not there.",
                "Bring the source back; or, where the port has taken its place, remove the port's "
                "header (its lines that begin with `# Ported from PyTorch` and `# torchport:`).",
            )
            return
        except OSError as error:
            message = f"It cannot be read: {error.strerror}."
            yield GuardFinding("unreadable", port.source, 0, "", message)
            return
        except FileProblem as problem:
            yield GuardFinding("unreadable", port.source, 0, "", str(problem))
            return
        drift = drift_of(source, header.definitions)
        known = None
        if self.guard.verdicts != "off":
            known = self.guard.recorded.find(
                Path(port.source), Path(port.path), (source_data, data)
            )
        if drift.changed or drift.removed:
            yield from self._drifted(drift, source, text, known is not None and known.settled)
        else:
            yield from self._verdict(known, text)
        if drift.added:
            more = len(drift.added) - _SHOWN
            names = ", ".join(drift.added[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
            yield GuardFinding(
                "not-in-port",
                port.source,
                line_of(source, drift.added[0]),
                "",
                f"{self.guard.project.name(port.path)} has no port of {names}.",
                commands=() if self.edited else (self._port(),),
            )

    def _drifted(
        self, drift: Drift, source: str, text: str, verified: bool
    ) -> Iterator[GuardFinding]:
        port, name = self.port, self.guard.project.name
        assert port.source is not None
        renew = _command("guard", "--renew", port.path)
        advice, commands = "", (self._port(),)
        if verified:
            commands = (renew,)
        elif self.edited:
            advice = "The port was edited by hand: bring the change into it, check it, and renew its header."
            commands = (self._check(), renew)
        for definition in drift.changed:
            yield GuardFinding(
                "drift",
                port.source,
                line_of(source, definition),
                f"{definition} in {name(port.path)}",
                f"{definition} has changed since it was ported to {name(port.path)}"
                + (", and is verified as it is now." if verified else "."),
                advice,
                commands,
            )
        for definition in drift.removed:
            yield GuardFinding(
                "drift",
                port.path,
                line_of(text, definition) or _header_line(text),
                definition,
                f"{definition} is no longer in {name(port.source)}.",
                advice,
                commands,
            )

    def _verdict(self, known: Summary | None, text: str) -> Iterator[GuardFinding]:
        guard, port = self.guard, self.port
        assert port.source is not None
        if guard.verdicts == "off":
            return
        if known is None:
            source = Path(port.source)
            if guard.verdicts == "auto" and not guard.recorded.exist(source):
                guard.looked_for_verdicts = False
                return
            before = guard.recorded.was_checked(source, Path(port.path))
            if self.edited:
                code, message = "edited", "It was edited by hand, and has not been checked since."
            elif before:
                code = "unchecked"
                message = "It, its source or what they import has changed since it was checked."
            else:
                code, message = "unchecked", "It has never been checked against its source."
            line = _header_line(text)
            yield GuardFinding(code, port.path, line, "", message, commands=(self._check(),))
            return
        if known.settled:
            return
        commands = (self._check(),)
        if known.error:
            line = _header_line(text)
            message = f"The check failed: {known.error.splitlines()[0]}"
            yield GuardFinding("diverged", port.path, line, "", message, commands=commands)
        bad = {n: said for n, said in known.definitions.items() if said[0] in _WORDS}
        if not bad and not known.error:
            bad = {n: said for n, said in known.definitions.items() if said[0] == "not_run"}
        for definition, (status, said) in bad.items():
            message = f"{definition} {_WORDS.get(status, 'was not run')}: {_first(said)}"
            line = line_of(text, definition) or _header_line(text)
            yield GuardFinding("diverged", port.path, line, definition, message, commands=commands)

    def _check(self) -> str:
        assert self.port.source is not None
        return _command("check", self.port.source, self.port.path)

    def _port(self, force: bool = False) -> str:
        """The command that writes this port anew, in its place."""
        source, settings = Path(self.port.source or ""), self.guard.project.settings
        target = self.header.target if self.header else settings.target
        usual = port_path(SourceFile(source, Path(source.name)), settings, target, None)
        arguments = ["port", str(source)]
        if target != settings.target:
            arguments += ["--to", target]
        if str(usual) != self.port.path:
            arguments += ["-o", self.port.path]
        return _command(*arguments, *(["--force"] if force else []))


_BY_HAND = (
    "Write it in the target by hand; or, where torch is meant, put `# torchport: ignore` above it, in "
    "the source, too."
)
_WORDS = {"diverged": "diverges", "error": "could not be checked"}


def _first(text: str) -> str:
    return text.partition("\n")[0]


def _is_file(path: str) -> bool:
    return Path(path).is_file()


def _header_line(text: str) -> int:
    match = _HEADER_LINE.search(text)
    return text.count("\n", 0, match.start()) + 1 if match else 1


def _command(*arguments: str) -> str:
    """A command of torchport's, with paths as they are named from the current folder."""
    short = [shown(item) if os.path.isabs(item) else item for item in arguments]  # noqa: PTH117
    words = ["torchport", *short]
    if os.name == "nt":
        return " ".join(f'"{word}"' if " " in word else word for word in words)
    return shlex.join(words)


def shown(path: str) -> str:
    """A path as it is named from the current folder, where it lies below it."""
    below = os.path.relpath(path)
    return path if below.startswith(os.pardir) else below


def renewed_header(port: Port, text: str, source: str) -> str:
    """A port's text whose header holds the hashes of its source's definitions as they are now.

    Definitions that the source no longer has are dropped, and none is added.
    """
    from torchport_translators.emit.header import definition_digests, renewed
    from torchport_translators.source.syntax import Source

    header = read_header(text)
    assert header is not None
    now = definition_digests(Source(source))
    kept = {name: now[name] for name in header.definitions if name in now}
    return renewed(text, kept, written=not edited_by_hand(text))
