"""A session: what was found, ported, checked and decided, kept so that nothing is lost.

A session is the files that some paths name, ported to one target. Its ports are written as they are
made (`torchport batch`), or wait until they are accepted (`review`). What is decided counts for
definitions; a port holds those that are not rejected, or, in a review, those that are accepted:
`torchport_translators.emit.merge` puts them into what lay there before.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from torchport_checks.reports.checked import error_text
from torchport_checks.sessions.records import (
    Records,
    SessionProblem,
    as_json,
    owner_of,
    pack,
    take,
    unpack,
)
from torchport_checks.sessions.state import MODULE, Evidence, File, Item, Key, State
from torchport_checks.store import project_root
from torchport_checks.verdicts import Category, Verdict
from torchport_translators.batch import Outcome, Plan, Ported, port_files
from torchport_translators.configuration import Configuration
from torchport_translators.emit.merge import MergeProblem, merge
from torchport_translators.files import (
    EDITED,
    STDIN,
    FileProblem,
    SourceFile,
    Text,
    decode,
    find_files,
    protection,
    relative_name,
    write_port,
)
from torchport_translators.findings import Translation

_PASSING = {Category.FRAMEWORK, Category.TIMEOUT, Category.MEMORY, Category.CRASH}
"""Failures that say something of the machine or the moment: they are tried again."""
_ABSENT = ""
_UNDO_KEPT = 200
_ITEM_COLUMNS = (
    "path, name, position, line, port_line, total, ported, findings, state, status, category, error, "
    "relative, device, seconds, message"
)
_FILE_COLUMNS = "path, source, port, outcome, problem, total, ported"


class SessionBusy(SessionProblem):
    """Another process works at the session."""

    def __init__(self, pid: int) -> None:
        super().__init__(
            f"Process {pid} works at this session already. Let it end, or end it, then run this "
            "again; another target, or other paths, are another session."
        )
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a look at the files has shown: paths, relative to the project's root."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Source or port are not as they were: it begins again."""
    removed: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision has done."""

    number: int = 0
    """Of definitions."""
    written: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()
    """Why it was not done, for some files."""
    notes: tuple[str, ...] = ()
    """What the ports that were written still lack."""


class Session:
    """One session, locked for this process until it is closed. Safe to use from several threads."""

    def __init__(
        self, records: Records, number: int, root: Path, configuration: Configuration
    ) -> None:
        """Use `open_session` and `last_session`."""
        self._records = records
        self._id = number
        self.root = root
        self.configuration = configuration
        (paths, self.target, out, review) = records.rows(
            "SELECT paths, target, out, review FROM sessions WHERE id = ?", (number,)
        )[0]
        self.paths: list[str] = json.loads(paths)
        self.out = Path(out) if out else None
        self.review = bool(review)
        self.force = False
        """Whether ports that were edited by hand are written anew."""
        self.note = records.note
        self._writing = threading.RLock()

    def close(self) -> None:
        """Give the lock back. Idempotent."""
        try:
            with self._records.change() as change:
                change.execute("UPDATE sessions SET pid = NULL WHERE id = ?", (self._id,))
        except SessionProblem:
            pass  # a lock whose process has ended is none
        self._records.close()

    # Reading

    def items(self, path: str | None = None) -> list[Item]:
        """All definitions, or those of one file, in order of path and place."""
        where, values = ("", ()) if path is None else (" AND path = ?", (path,))
        rows = self._records.rows(
            f"SELECT {_ITEM_COLUMNS} FROM items WHERE session = ?{where} ORDER BY path, position",
            (self._id, *values),
        )
        state = _ITEM_COLUMNS.split(", ").index("state")
        return [_item([*row[:state], State(row[state]), *row[state + 1 :]]) for row in rows]

    def files(self, path: str | None = None) -> list[File]:
        """All files, or one, in order of path."""
        where, values = ("", ()) if path is None else (" AND path = ?", (path,))
        rows = self._records.rows(
            f"SELECT {_FILE_COLUMNS} FROM files WHERE session = ?{where} ORDER BY path",
            (self._id, *values),
        )
        return [File(row[0], Path(row[1]), Path(row[2]), *row[3:]) for row in rows]

    def evidence(self, path: str) -> Evidence | None:
        """All that is known of a file; None before it was ported, and where it cannot be."""
        found = self._records.rows(
            "SELECT encoding, bom, original, text, before, told, verdict FROM files "
            "WHERE session = ? AND path = ? AND text IS NOT NULL",
            (self._id, path),
        )
        if not found:
            return None
        encoding, bom, original, text, before, told, verdict = found[0]
        return Evidence(
            self.files(path)[0],
            Text(unpack(original), encoding, bool(bom)),
            unpack(text),
            before,
            json.loads(unpack(told)),
            _verdict(verdict),
        )

    def name(self, path: Path) -> str:
        """A file as the session names it: relative to the project's root, with `/`."""
        return Path(os.path.relpath(path.absolute(), self.root)).as_posix()

    def counts(self) -> dict[str, int]:
        """How many definitions are in each state."""
        rows = self._records.rows(
            "SELECT state, COUNT(*) FROM items WHERE session = ? GROUP BY state", (self._id,)
        )
        found = dict(rows)
        return {state.value: found.get(state.value, 0) for state in State}

    def unported(self) -> list[str]:
        """The files that are to be ported."""
        return self._paths("outcome = ''")

    def unchecked(self) -> list[str]:
        """The files that have a port and no verdict."""
        return self._paths("text IS NOT NULL AND verdict IS NULL")

    def log_lines(self) -> list[tuple[float, str]]:
        """What was noted, with the time in seconds since the epoch."""
        return self._records.rows(
            "SELECT at, text FROM log WHERE session = ? ORDER BY id", (self._id,)
        )

    def log(self, text: str) -> None:
        """Note a line."""
        self._records.log(self._id, text)

    def _paths(self, condition: str) -> list[str]:
        rows = self._records.rows(
            f"SELECT path FROM files WHERE session = ? AND {condition} ORDER BY path", (self._id,)
        )
        return [path for (path,) in rows]

    # Finding and porting

    def scan(self) -> Scanned:
        """Look at the files: note new ones, forget those that are gone, begin changed ones again.

        Raises:
            SessionProblem: a path names nothing, or two files would be written to one place.
        """
        try:
            found = find_files(self.paths, self.configuration)
        except FileProblem as problem:
            raise SessionProblem(str(problem)) from problem
        if any(file.path == STDIN for file in found.files):
            raise SessionProblem("Standard input cannot be part of a session: name files.")
        plan = Plan(self.configuration, self.target, out=self.out)
        if problem := plan.problem(found.files):
            raise SessionProblem(problem)
        known: dict[str, tuple[str, str | None]] = {
            path: (digest, disk)
            for path, digest, disk in self._records.rows(
                "SELECT path, digest, disk FROM files WHERE session = ?", (self._id,)
            )
        }
        added: list[str] = []
        changed: list[str] = []
        seen: set[str] = set()
        with self._writing, self._records.change() as change:
            for file in found.files:
                path, port = self.name(file.path), plan.port(file)
                seen.add(path)
                digest = _digest(_bytes(file.path))
                if path in known:
                    before, disk = known[path]
                    if digest == before and (disk is None or disk == _digest(_bytes(port))):
                        continue
                    changed.append(path)
                else:
                    added.append(path)
                self._begin(change, path, file, port, digest)
            removed = sorted(known.keys() - seen)
            for path in removed:
                for table in ("files", "items", "history"):
                    change.execute(
                        f"DELETE FROM {table} WHERE session = ? AND path = ?", (self._id, path)
                    )
        for what, paths in (("has changed, and begins again", changed), ("is gone", removed)):
            for path in paths:
                self.log(f"{path} {what}")
        return Scanned(
            tuple(added), tuple(changed), tuple(removed), tuple(found.passed_over.items())
        )

    def _begin(self, change: Any, path: str, file: SourceFile, port: Path, digest: str) -> None:
        change.execute("DELETE FROM items WHERE session = ? AND path = ?", (self._id, path))
        change.execute("DELETE FROM history WHERE session = ? AND path = ?", (self._id, path))
        change.execute(
            "INSERT OR REPLACE INTO files (session, path, below, source, port, digest, outcome, "
            "problem, total, ported, again) VALUES (?, ?, ?, ?, ?, ?, '', '', 0, 0, 0)",
            (self._id, path, str(file.below), str(file.path), str(port), digest),
        )
        _put(change, self._id, [_module(path, State.FOUND)])

    def port(self, paths: Sequence[str]) -> Iterator[str]:
        """Translate files, and note what came of each; written at once unless this is a review.

        A port that was edited by hand is kept as it is, unless `force` is set. Yields each path when
        it is done.
        """
        plan = Plan(self.configuration, self.target, out=self.out, write=False)
        files = [self._source(path) for path in paths]
        every = port_files(files, plan)
        for path, file in zip(paths, files, strict=True):
            digest = _digest(_bytes(file.path))
            ported = next(every)
            with self._writing:
                try:
                    self._note_port(path, digest, plan.port(file), ported)
                except FileProblem as problem:
                    self._note_failure(path, Ported(file, Outcome.FAILED, problem=str(problem)))
            yield path

    def _note_port(self, path: str, digest: str, port: Path, ported: Ported) -> None:
        """
        Raises:
            FileProblem: what lies at `port` is not to be overwritten.
        """
        if ported.outcome in (Outcome.FAILED, Outcome.NOTHING):
            self._note_failure(path, ported)
            return
        translation, source = ported.translation, ported.source
        assert translation is not None and source is not None
        name, text, outcome = relative_name(ported.file.path, port), translation.text, Outcome.SHOWN
        before = _bytes(port)
        reason = "" if self.force else protection(port, name)
        if reason == EDITED:
            assert before is not None
            text, outcome = decode(before, str(port)).text, Outcome.EDITED
        elif reason:
            raise FileProblem(
                f"{port} is not overwritten: {reason}. Write elsewhere with -o, or overwrite it "
                "with --force."
            )
        elif not self.review:
            written = write_port(port, source.encode(text), ported.file.path)
            outcome = Outcome.WRITTEN if written else Outcome.UNCHANGED
        items = _items(path, translation)
        told = ported.data(text=False)
        with self._records.change() as change:
            change.execute(
                "UPDATE files SET digest = ?, outcome = ?, problem = '', encoding = ?, bom = ?, "
                "original = ?, text = ?, before = ?, disk = ?, told = ?, verdict = NULL, "
                "total = ?, ported = ? WHERE session = ? AND path = ?",
                (
                    digest, outcome.value, source.encoding, source.bom, pack(source.text),
                    pack(text), before, _digest(_bytes(port)), pack(as_json(told)),
                    translation.coverage.total, translation.coverage.ported, self._id, path,
                ),
            )  # fmt: skip
            change.execute("DELETE FROM items WHERE session = ? AND path = ?", (self._id, path))
            _put(change, self._id, items)

    def _note_failure(self, path: str, ported: Ported) -> None:
        problem = ported.problem or " ".join(ported.notes)
        findings = ported.translation.findings if ported.translation else ()
        told = [finding for finding in findings if finding.severity != "info"]
        if told:
            problem = f"line {told[0].line}: {told[0].message}"
        failed = ported.outcome is Outcome.FAILED or bool(told)
        item = replace(
            _module(path, State.FOUND),
            line=told[0].line if told else 1,
            findings=len(told),
            status="error" if failed else "not_run",
            category="" if failed else "NOTHING",
            message=problem,
        )
        with self._records.change() as change:
            change.execute(
                "UPDATE files SET outcome = ?, problem = ? WHERE session = ? AND path = ?",
                (ported.outcome.value, problem, self._id, path),
            )
            change.execute("DELETE FROM items WHERE session = ? AND path = ?", (self._id, path))
            _put(change, self._id, [item])

    def _source(self, path: str) -> SourceFile:
        source, below = self._records.rows(
            "SELECT source, below FROM files WHERE session = ? AND path = ?", (self._id, path)
        )[0]
        return SourceFile(Path(source), Path(below))

    # Checking

    def texts(self, path: str) -> tuple[File, tuple[bytes, bytes], bool] | None:
        """A file, its texts as they are to be checked, and whether a stored verdict will not do."""
        evidence = self.evidence(path)
        if evidence is None:
            return None
        ((again,),) = self._records.rows(
            "SELECT again FROM files WHERE session = ? AND path = ?", (self._id, path)
        )
        original = evidence.original
        texts = original.encode(original.text), original.encode(evidence.text)
        return evidence.file, texts, bool(again)

    def record(self, path: str, verdict: Verdict, texts: tuple[bytes, bytes]) -> bool:
        """Note a verdict; False where the texts that it is on are no longer the session's."""
        with self._writing:
            now = self.texts(path)
            if now is None or now[1] != texts:
                return False
            old = {item.name: item for item in self.items(path)}
            items = [_checked(item, verdict) for item in old.values()]
            if verdict.definitions and old.keys() == {MODULE} and not old[MODULE].failed:
                items = []  # it defines something after all
            for definition in verdict.definitions:
                if definition.name not in old:
                    fresh = replace(
                        _module(path, State.PORTED),
                        name=definition.name,
                        position=len(items),
                        line=definition.source_line,
                    )
                    items.append(_checked(fresh, verdict))
            with self._records.change() as change:
                change.execute(
                    "UPDATE files SET verdict = ?, again = 0 WHERE session = ? AND path = ?",
                    (pack(verdict.model_dump_json()), self._id, path),
                )
                change.execute("DELETE FROM items WHERE session = ? AND path = ?", (self._id, path))
                _put(change, self._id, items)
            return True

    def recheck(self, paths: Iterable[str]) -> list[str]:
        """Ask for fresh verdicts, and for another attempt at what could not be ported.

        Returns:
            The files that are to be run again.
        """
        paths = list(paths)
        with self._writing, self._records.change() as change:
            self._retry(change, paths, again=True)
            change.executemany(
                "UPDATE files SET outcome = '' WHERE session = ? AND path = ? AND outcome = 'failed'",
                [(self._id, path) for path in paths],
            )
        return paths

    def retry(self) -> None:
        """Ask for another attempt at what failed for a reason of the moment: what could not be read
        or written, and checks that ran out of time or memory, or had no framework."""
        with self._writing, self._records.change() as change:
            self._retry(change, self._passing())
            change.execute(
                "UPDATE files SET outcome = '' WHERE session = ? AND outcome = 'failed'",
                (self._id,),
            )

    def _retry(self, change: Any, paths: Iterable[str], *, again: bool = False) -> None:
        for path in paths:
            change.execute(
                "UPDATE files SET verdict = NULL, again = ? WHERE session = ? AND path = ?",
                (again, self._id, path),
            )
            change.execute(
                "UPDATE items SET status = '', category = '', error = '', relative = 0, message = '', "
                "state = CASE state WHEN 'checked' THEN 'ported' ELSE state END "
                "WHERE session = ? AND path = ? AND state != 'found'",
                (self._id, path),
            )

    def _passing(self) -> list[str]:
        marks = ", ".join("?" for _ in _PASSING)
        rows = self._records.rows(
            f"SELECT DISTINCT path FROM items WHERE session = ? AND category IN ({marks})",
            (self._id, *(category.value for category in sorted(_PASSING))),
        )
        return [path for (path,) in rows]

    # Deciding

    def decide(self, keys: Collection[Key], state: State) -> Decided:
        """Put definitions into a state, and write the ports that this changes.

        Args:
            state: REVIEWED, ACCEPTED or REJECTED; CHECKED takes a decision back.
        """
        by_path: dict[str, set[str]] = {}
        for path, name in keys:
            by_path.setdefault(path, set()).add(name)
        label = f"{state.value} {_some([key.name for key in keys])}"
        written: list[Path] = []
        problems: list[str] = []
        notes: list[str] = []
        number = 0
        with self._writing:
            step = self._next_step()
            for path, names in sorted(by_path.items()):
                try:
                    changed, port, missing = self._decide_file(path, names, state, step, label)
                except (SessionProblem, FileProblem, MergeProblem) as problem:
                    problems.append(f"{path}: {problem}")
                else:
                    number += changed
                    written += [port] if port is not None else []
                    if missing:
                        notes.append(
                            f"{path}: its port uses {_some(missing)}, which is not in it yet: accept "
                            "it, too."
                        )
        if number and state is not State.REVIEWED:
            self.log(label)
        return Decided(number, tuple(written), tuple(problems), tuple(notes))

    def _decide_file(
        self, path: str, names: Collection[str], state: State, step: int, label: str
    ) -> tuple[int, Path | None, Sequence[str]]:
        """How many definitions changed, the port if it did, and the names that it lacks.

        Raises:
            SessionProblem, FileProblem, MergeProblem: nothing has changed.
        """
        items = self.items(path)
        old = {item.name: item.state for item in items if item.name in names}
        if state is State.ACCEPTED and State.FOUND in old.values():
            item = next(item for item in items if item.name in names)
            raise SessionProblem(item.message or "it has not been ported yet")
        checked = any(item.status for item in items)
        target = State.PORTED if state is State.CHECKED and not checked else state
        new = {
            name: target
            for name, before in old.items()
            if before is not target
            and before is not State.FOUND
            and not (target is State.REVIEWED and before.decided)
        }
        if not new:
            return 0, None, ()
        states = {item.name: new.get(item.name, item.state) for item in items}
        evidence = self.evidence(path) if target is not State.REVIEWED else None
        port, missing = self._write(evidence, states) if evidence is not None else (None, ())
        with self._records.change() as change:
            if state is not State.REVIEWED:  # to have looked is not taken back
                self._remember(change, step, label, path)
            self._set_states(change, path, new)
        return len(new), port, missing

    def revise(self, path: str, text: str, label: str) -> None:
        """Give a file's port another text, which has to be checked before anything is said of it.

        Raises:
            SessionProblem: it has no port.
            FileProblem, MergeProblem: it was accepted, and cannot be written.
        """
        with self._writing:
            evidence = self.evidence(path)
            if evidence is None:
                raise SessionProblem(f"{path} has no port that could be changed.")
            if text == evidence.text:
                return
            self._write(replace(evidence, text=text), self._states(path))
            step = self._next_step()
            with self._records.change() as change:
                self._remember(change, step, label, path, evidence)
                change.execute(
                    "UPDATE files SET text = ? WHERE session = ? AND path = ?",
                    (pack(text), self._id, path),
                )
                self._retry(change, [path])
        self.log(label)

    def undo(self) -> tuple[str, list[str]] | None:
        """Take the last change back: decisions, texts, and what was written.

        Returns:
            What was taken back, and the files concerned; None where there is nothing.

        Raises:
            SessionProblem, FileProblem, MergeProblem: a port was changed since, or cannot be written.
        """
        with self._writing:
            rows = self._records.rows(
                "SELECT label, path, states, text, verdict, step FROM history WHERE session = ? AND "
                "step = (SELECT MAX(step) FROM history WHERE session = ?)",
                (self._id, self._id),
            )
            if not rows:
                return None
            for _, path, states, text, verdict, _ in rows:
                evidence = self.evidence(path)
                assert evidence is not None  # what begins again has no history
                if text is not None:
                    evidence = replace(evidence, text=unpack(text), verdict=_verdict(verdict))
                known = {name: State(state) for name, state in json.loads(states).items()}
                self._write(evidence, {**self._states(path), **known})
                self._restore(evidence, known, text is not None)
            with self._records.change() as change:
                change.execute(
                    "DELETE FROM history WHERE session = ? AND step = ?", (self._id, rows[0][5])
                )
        self.log(f"undone: {rows[0][0]}")
        return rows[0][0], [row[1] for row in rows]

    def _restore(self, evidence: Evidence, states: dict[str, State], text: bool) -> None:
        path = evidence.file.path
        with self._records.change() as change:
            if text:
                change.execute(
                    "UPDATE files SET text = ?, verdict = NULL WHERE session = ? AND path = ?",
                    (pack(evidence.text), self._id, path),
                )
                self._retry(change, [path])
            self._set_states(change, path, states)
        if text and evidence.verdict is not None:
            now = self.texts(path)
            assert now is not None
            self.record(path, evidence.verdict, now[1])

    def _states(self, path: str) -> dict[str, State]:
        return {item.name: item.state for item in self.items(path)}

    def _write(
        self, evidence: Evidence, states: dict[str, State]
    ) -> tuple[Path | None, Sequence[str]]:
        """Bring the port on disk to what the states say; where it lies, if it changed, and the names
        that it uses and does not define.

        Raises:
            SessionProblem: it was changed since the session last saw it.
            FileProblem: it cannot be written.
            MergeProblem: some definitions cannot stand without the others.
        """
        port = evidence.file.port
        wanted, missing = self._content(evidence, states)
        now = _bytes(port)
        if wanted == now:
            return None, missing
        path = evidence.file.path
        if _digest(now) != self._disk(path):
            raise SessionProblem(
                f"{port} was changed since the session last saw it, and is left as it is. Start the "
                "session again to take it up."
            )
        if wanted is None:
            try:
                port.unlink()
            except OSError as error:
                raise FileProblem(f"{port} cannot be removed: {error.strerror}.") from error
        else:
            write_port(port, wanted, evidence.file.source)
        with self._records.change() as change:
            change.execute(
                "UPDATE files SET disk = ? WHERE session = ? AND path = ?",
                (_digest(wanted), self._id, path),
            )
        return port, missing

    def _content(
        self, evidence: Evidence, states: dict[str, State]
    ) -> tuple[bytes | None, Sequence[str]]:
        """What the port is to hold, None where there is to be none; and the names that it lacks.

        Raises:
            MergeProblem: some definitions cannot stand without the others.
        """
        definitions = states.keys() - {MODULE} or {MODULE}
        names = [
            name
            for name in states
            if name in definitions
            and (
                states[name] is State.ACCEPTED
                if self.review
                else states[name] is not State.REJECTED
            )
        ]
        original = evidence.original
        if not names:
            return evidence.before, ()
        if len(names) == len(definitions):
            return original.encode(evidence.text), ()
        before = "" if evidence.before is None else decode(evidence.before, "the port").text
        name = relative_name(evidence.file.source, evidence.file.port)
        translation = Translation(evidence.text)
        merged = merge(before, original.text, name, names, self.target, translation=translation)
        return original.encode(merged.text), merged.missing

    def _disk(self, path: str) -> str:
        ((disk,),) = self._records.rows(
            "SELECT disk FROM files WHERE session = ? AND path = ?", (self._id, path)
        )
        return disk

    def _set_states(self, change: Any, path: str, states: dict[str, State]) -> None:
        change.executemany(
            "UPDATE items SET state = ? WHERE session = ? AND path = ? AND name = ?",
            [(state.value, self._id, path, name) for name, state in states.items()],
        )

    def _next_step(self) -> int:
        ((step,),) = self._records.rows(
            "SELECT COALESCE(MAX(step), 0) + 1 FROM history WHERE session = ?", (self._id,)
        )
        return step

    def _remember(
        self, change: Any, step: int, label: str, path: str, revised: Evidence | None = None
    ) -> None:
        states = {name: state.value for name, state in self._states(path).items()}
        text = pack(revised.text) if revised is not None else None
        verdict = None
        if revised is not None and revised.verdict is not None:
            verdict = pack(revised.verdict.model_dump_json())
        change.execute(
            "INSERT INTO history (session, step, label, path, states, text, verdict) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._id, step, label, path, as_json(states), text, verdict),
        )
        change.execute(
            "DELETE FROM history WHERE session = ? AND step <= ?", (self._id, step - _UNDO_KEPT)
        )


def open_session(
    paths: Sequence[str],
    target: str,
    configuration: Configuration,
    *,
    out: Path | None = None,
    review: bool = False,
    known: bool = False,
) -> Session:
    """The session of these paths and this target, begun if there is none, and lock it.

    Args:
        paths: files, folders or globs, relative to the current folder.
        out: a folder for the ports; None: beside the sources.
        review: ports wait until they are accepted.
        known: there must be one already.

    Raises:
        SessionProblem: there is none, or it cannot be read or written.
        SessionBusy: another process works at it.
    """
    places = sorted({os.path.abspath(path) for path in paths})  # noqa: PTH100 it may be a glob
    first = Path(places[0])
    root = project_root(first / "file" if first.is_dir() else first)
    out = out.absolute() if out is not None else None
    key = as_json([places, target, str(out or "")])
    records = Records(root)
    try:
        with records.change() as change:
            if not known:
                change.execute(
                    "INSERT OR IGNORE INTO sessions (key, paths, target, out, review, used) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (key, as_json(places), target, str(out or ""), review, time.time()),
                )
            row = change.execute(
                "SELECT id, pid, started FROM sessions WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                raise SessionProblem(
                    f"No session of {_some(list(paths))} is kept in {records.path}: run it without "
                    "--resume."
                )
            _lock(change, *row)
        return Session(records, row[0], root, configuration)
    except BaseException:
        records.close()
        raise


def last_session(folder: Path, configuration: Configuration, target: str | None = None) -> Session:
    """The session that was used last in the project of `folder`, and lock it.

    Raises:
        SessionProblem: there is none, or it cannot be read or written.
        SessionBusy: another process works at it.
    """
    root = project_root(folder / "file")
    records = Records(root)
    try:
        with records.change() as change:
            row = change.execute(
                "SELECT id, pid, started FROM sessions WHERE target = COALESCE(?, target) "
                "ORDER BY used DESC, id DESC LIMIT 1",
                (target,),
            ).fetchone()
            if row is None:
                raise SessionProblem(
                    f"No session is kept in {records.path}: name the files or folders to port."
                )
            _lock(change, *row)
        return Session(records, row[0], root, configuration)
    except BaseException:
        records.close()
        raise


def _lock(change: Any, number: int, pid: int | None, started: float | None) -> None:
    """
    Raises:
        SessionBusy: another process works at it.
    """
    owner = owner_of(pid, started)
    if owner is not None:
        raise SessionBusy(owner)
    take(change, number)


def _items(path: str, translation: Translation) -> list[Item]:
    """A file's definitions, each name once; and the file itself, where it defines nothing, or where
    something is to be told of what stands outside them."""
    found: dict[str, Item] = {}
    for definition in translation.definitions:
        inside = [
            finding
            for finding in translation.findings
            if definition.line <= finding.line <= definition.end_line and finding.severity != "info"
        ]
        first = found.get(definition.name) or replace(
            _module(path, State.PORTED),
            name=definition.name,
            position=len(found),
            line=definition.line,
            port_line=definition.port_line,
        )
        found[definition.name] = replace(
            first,
            total=first.total + definition.coverage.total,
            ported=first.ported + definition.coverage.ported,
            findings=first.findings + len(inside),
        )
    whole, items = translation.coverage, list(found.values())
    outside = replace(
        _module(path, State.PORTED),
        position=len(items),
        total=whole.total - sum(item.total for item in items),
        ported=whole.ported - sum(item.ported for item in items),
        findings=sum(finding.severity != "info" for finding in translation.findings)
        - sum(item.findings for item in items),
    )
    if not items or outside.findings > 0 or outside.ported < outside.total:
        items.append(outside)
    return items


def _item(values: Sequence[Any]) -> Item:
    return Item(*values)


def _module(path: str, state: State) -> Item:
    return Item(path, MODULE, 0, 1, 1, 0, 0, 0, state, "", "", "", 0.0, "", 0.0, "")


def _checked(item: Item, verdict: Verdict) -> Item:
    """An item with what a verdict says of it."""
    state = State.CHECKED if item.state in (State.FOUND, State.PORTED) else item.state
    found = next((d for d in verdict.definitions if d.name == item.name), None)
    device = "/".join(dict.fromkeys(lane.device for lane in verdict.lanes))
    if found is None:
        status, category, message = "not_run", "NOTHING", "It is not run by itself."
        if verdict.error:
            status, category = "error", verdict.category.value if verdict.category else ""
            message = verdict.error
        return replace(
            item, state=state, status=status, category=category, message=message, device=device,
            error="", relative=0.0, seconds=0.0,
        )  # fmt: skip
    ran = found.stages.numeric != "not_run"
    return replace(
        item,
        state=state,
        status=found.status,
        category=found.category.value if found.category else "",
        error=error_text(found.largest) if ran else "",
        relative=found.largest.rel,
        device=device,
        seconds=found.seconds,
        message=found.message,
        port_line=found.port_line or item.port_line,
    )


def _put(change: Any, session: int, items: Iterable[Item]) -> None:
    columns = _ITEM_COLUMNS.split(", ")
    marks = ", ".join("?" for _ in columns)
    change.executemany(
        f"INSERT OR REPLACE INTO items (session, {_ITEM_COLUMNS}) VALUES (?, {marks})",
        [(session, *(getattr(item, column) for column in columns)) for item in items],
    )


def _verdict(data: bytes | None) -> Verdict | None:
    try:
        return None if data is None else Verdict.model_validate_json(unpack(data))
    except ValidationError:
        return None  # of another version


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _digest(data: bytes | None) -> str:
    return _ABSENT if data is None else hashlib.sha256(data).hexdigest()


def _some(names: Sequence[str]) -> str:
    """`a, b and 3 more`."""
    unique = list(Counter(names))
    shown = ", ".join(unique[:2])
    return shown if len(unique) <= 2 else f"{shown} and {len(unique) - 2} more"
