"""The sessions of a project in SQLite: `.torchport/sessions.db`, in WAL mode.

Every change is one transaction, so that a process that is killed loses what it was at, and nothing
else. A damaged file is moved aside to `sessions.old`; the ports themselves do not depend on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from torchport_checks.database import FOLDER, Database, damaged

LAYOUT = 1
"""Of the database. One of another layout is moved aside, as a damaged one is."""
LOG_KEPT = 2000

_SCHEMA = f"""
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, key TEXT UNIQUE, paths TEXT, target TEXT, out TEXT, review INTEGER,
    used REAL, pid INTEGER, started REAL
);
CREATE TABLE files (
    session INTEGER, path TEXT, below TEXT, source TEXT, port TEXT, digest TEXT, outcome TEXT,
    problem TEXT, encoding TEXT, bom INTEGER, original BLOB, text BLOB, before BLOB, disk TEXT,
    told BLOB, verdict BLOB, total INTEGER, ported INTEGER, again INTEGER,
    PRIMARY KEY (session, path)
) WITHOUT ROWID;
CREATE TABLE items (
    session INTEGER, path TEXT, name TEXT, position INTEGER, line INTEGER, port_line INTEGER,
    total INTEGER, ported INTEGER, findings INTEGER, state TEXT, status TEXT, category TEXT,
    error TEXT, relative REAL, device TEXT, seconds REAL, message TEXT,
    PRIMARY KEY (session, path, name)
) WITHOUT ROWID;
CREATE TABLE history (
    id INTEGER PRIMARY KEY, session INTEGER, step INTEGER, label TEXT, path TEXT, states TEXT,
    text BLOB, verdict BLOB
);
CREATE INDEX history_by_step ON history (session, step);
CREATE TABLE log (id INTEGER PRIMARY KEY, session INTEGER, at REAL, text TEXT);
PRAGMA user_version = {LAYOUT};
"""


class SessionProblem(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


def pack(value: bytes | str) -> bytes:
    """A text or bytes, compressed."""
    return zlib.compress(
        value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    )


def unpack(data: bytes) -> str:
    """The text that was packed."""
    return zlib.decompress(data).decode("utf-8", "surrogatepass")


class Records:
    """The open file of sessions. Safe to use from several threads; other processes may have it open,
    too."""

    def __init__(self, root: Path) -> None:
        """Open the sessions of the project in `root`, or make the file.

        Raises:
            SessionProblem: it cannot be made, or read.
        """
        self._file = Database(root / FOLDER / "sessions.db")
        self._lock = threading.RLock()
        self.note = ""
        """What the reader should know of how it was opened; empty for nothing."""
        seen = self._file.identity()
        try:
            self._connection = self._opened()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.Error) and not self._file.to_replace(error):
                raise self._problem(error) from error
            self._file.move_aside(seen)
            self.note = (
                f"{self._file.path} was damaged, or of another version: it is now "
                f"{self._file.path.with_suffix('.old').name}, and a new session begins. Ports that "
                "were written are as they were."
            )
            try:
                self._connection = self._opened()
            except sqlite3.Error as another:
                raise self._problem(another) from another

    @property
    def path(self) -> Path:
        return self._file.path

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def change(self) -> Generator[sqlite3.Connection]:
        """One transaction: all that is done with the connection, or nothing.

        Raises:
            SessionProblem: it cannot be written.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise self._problem(error) from error

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a query gives.

        Raises:
            SessionProblem: it cannot be read.
        """
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise self._problem(error) from error

    def log(self, session: int, text: str) -> None:
        """Note a line, and forget the oldest where there are many."""
        with self.change() as change:
            change.execute(
                "INSERT INTO log (session, at, text) VALUES (?, ?, ?)", (session, time.time(), text)
            )
            change.execute(
                "DELETE FROM log WHERE session = ? AND id <= (SELECT MAX(id) FROM log) - ?",
                (session, LOG_KEPT),
            )

    def _opened(self) -> sqlite3.Connection:
        try:
            self._file.prepare_folder()
        except OSError as error:
            raise self._problem(error) from error
        connection = self._file.open("rwc")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == LAYOUT:
                if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise sqlite3.DatabaseError("the file is damaged")
                return connection
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            # Asked again under the lock: another process may have made the tables meanwhile.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != LAYOUT:
                if connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone() != (0,):
                    raise sqlite3.DatabaseError("the file is of another layout")
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
            connection.execute("COMMIT")
            return connection
        except BaseException:
            connection.close()
            raise

    def _problem(self, error: Exception) -> SessionProblem:
        if isinstance(error, sqlite3.Error) and damaged(error):
            advice = f"Delete {self.path}: the ports are not in it."
        else:
            advice = "Free space, or make the folder writable, and run it again."
        return SessionProblem(f"The session in {self.path} cannot be used: {error}. {advice}")


def owner_of(pid: int | None, started: float | None) -> int | None:
    """The process that holds a lock, if it lives: of that id, and of that time of birth."""
    import psutil

    if pid is None or started is None:
        return None
    try:
        return pid if abs(psutil.Process(pid).create_time() - started) < 1.0 else None
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return pid


def take(change: sqlite3.Connection, session: int) -> None:
    """Make this process the owner of a session."""
    import psutil

    change.execute(
        "UPDATE sessions SET pid = ?, started = ?, used = ? WHERE id = ?",
        (os.getpid(), psutil.Process().create_time(), time.time(), session),
    )


def as_json(value: Any) -> str:
    """JSON of one form for one value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
