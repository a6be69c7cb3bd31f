"""Verdicts by content: an unchanged pair costs nothing.

SQLite under `.torchport/` in the project's root. A damaged store never stops a check: it is moved
aside and a new one begun.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

from pydantic import ValidationError

from torchport_checks.verdicts import SCHEMA, Category, Verdict

_PASSING = {Category.FRAMEWORK, Category.TIMEOUT, Category.MEMORY, Category.CRASH}
"""Failures that say something of the machine or the moment, and are not kept."""

_MARKERS = ("pyproject.toml", ".git")


def project_root(path: Path) -> Path:
    """The nearest folder above `path` with a `pyproject.toml` or `.git`; else the file's own."""
    folder = path.resolve().parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in _MARKERS):
            return candidate
    return folder


def content_key(*parts: bytes | str) -> str:
    """A hash over `parts`, in which no two lists of parts are confused."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, or an empty string where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


class VerdictStore:
    """The verdicts of one project. Safe to use from several processes and threads at once."""

    def __init__(self, root: Path) -> None:
        """`root` is the project's folder; nothing is written before the first `put`."""
        self.path = root / ".torchport" / "verdicts.sqlite3"

    def get(self, key: str) -> Verdict | None:
        """The verdict stored under `key`, unless a file that source or port import has changed."""
        if not self.path.exists():
            return None
        try:
            with self._connect() as connection:
                row = connection.execute(
                    "SELECT verdict FROM verdicts WHERE key = ?", (key,)
                ).fetchone()
        except sqlite3.OperationalError:
            return None  # locked for long, or read-only: check again
        except sqlite3.DatabaseError:
            self._move_aside()
            return None
        if row is None:
            return None
        try:
            verdict = Verdict.model_validate_json(row[0])
        except ValidationError:
            return None
        if any(file_hash(Path(path)) != known for path, known in verdict.dependencies.items()):
            return None
        return verdict.model_copy(update={"from_store": True})

    def put(self, key: str, verdict: Verdict) -> None:
        """Store `verdict`, unless it tells of a passing failure. Never raises for a bad store."""
        categories = {verdict.category, *(d.category for d in verdict.definitions)}
        if categories & _PASSING:
            return
        text = verdict.model_dump_json()
        for _ in range(2):
            try:
                self._prepare_folder()
                with self._connect() as connection:
                    connection.execute(
                        "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", (key, text, time.time())
                    )
                return
            except sqlite3.OperationalError:
                return
            except sqlite3.DatabaseError:
                self._move_aside()
            except OSError:
                return  # a read-only project: checks work, and are not remembered

    @contextlib.contextmanager
    def _connect(self) -> Generator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=5)
        try:
            with connection:
                if not _is_current(connection):
                    connection.execute("BEGIN IMMEDIATE")
                # Asked again under the lock: another process may have made the table meanwhile.
                if connection.in_transaction and not _is_current(connection):
                    connection.execute("DROP TABLE IF EXISTS verdicts")
                    connection.execute(
                        "CREATE TABLE verdicts (key TEXT PRIMARY KEY, verdict TEXT, written REAL)"
                    )
                    connection.execute(f"PRAGMA user_version = {SCHEMA}")
                yield connection
        finally:
            connection.close()

    def _prepare_folder(self) -> None:
        folder = self.path.parent
        folder.mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def _move_aside(self) -> None:
        with contextlib.suppress(OSError):
            self.path.replace(self.path.with_suffix(f".damaged-{time.time_ns()}"))


def _is_current(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return version == SCHEMA
