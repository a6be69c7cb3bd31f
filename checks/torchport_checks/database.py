"""A SQLite file under `.torchport/` that several processes use, and what to do when it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Generator
from pathlib import Path

FOLDER = ".torchport"

_BUSY_SECONDS = 1.0
_OF_THE_MOMENT = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""Errors that say nothing of the file's content."""


class Database:
    """One SQLite file. Nothing is made before `prepare_folder` is called."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def connect(self, mode: str) -> Generator[sqlite3.Connection]:
        """A connection for one task; `mode` is that of SQLite's URIs (`rw`, `rwc`, `ro`)."""
        connection = self.open(mode)
        try:
            yield connection
        except UnicodeDecodeError as error:  # of a message that quotes what is damaged
            raise sqlite3.DatabaseError("the store holds what is no text") from error
        finally:
            connection.close()

    def open(self, mode: str) -> sqlite3.Connection:
        """A connection in autocommit mode that any thread may use, one at a time.

        Raises:
            sqlite3.Error: it cannot be opened.
        """
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
        except UnicodeDecodeError as error:  # of a message that quotes what is damaged
            connection.close()
            raise sqlite3.DatabaseError("the store holds what is no text") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def prepare_folder(self) -> None:
        """Make the folder, which git ignores.

        Raises:
            OSError: it cannot be made.
        """
        folder = self.path.parent
        folder.mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def identity(self) -> tuple[int, int] | None:
        """Which file lies at the path; None where none does."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None

    def to_replace(self, error: sqlite3.Error) -> bool:
        """Whether a write failed because the file is damaged."""
        if primary_code(error) == sqlite3.SQLITE_READONLY:
            # One wrong byte in the header makes a store that calls itself read-only.
            return all(os.access(path, os.W_OK) for path in (self.path, self.path.parent))
        return damaged(error)

    def move_aside(self, seen: tuple[int, int] | None) -> None:
        """Make room for a new file, unless another process has done so since `seen` was seen."""
        with contextlib.suppress(OSError):
            if seen is None or self.identity() != seen:
                return
            # What is left of a log is discarded by SQLite when it makes a database beside it.
            for suffix in ("-wal", "-shm", "-journal"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self.path.replace(self.path.with_suffix(".old"))


def primary_code(error: sqlite3.Error) -> int | None:
    """SQLite's result code, without what its extended codes add."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def damaged(error: sqlite3.Error) -> bool:
    """Whether an error says that the file's content is wrong."""
    return primary_code(error) not in _OF_THE_MOMENT
