"""Verdicts by content: an unchanged pair costs nothing.

SQLite under `.torchport/` in the project's root, in WAL mode: readers never wait, a writer waits for
another for a second at most. Nothing that happens to the store stops a check. A damaged one is moved
aside and a new one begun; what cannot be read or written now is not, and the check runs again.

Each verdict carries a hash over itself and its key, so that damage in place is never taken for one. A
`put` removes those that were not used for 90 days and, above 64 MiB, those that were not used for the longest time.

Beside each verdict lies what `torchport guard` asks of it: of which pair with which texts it is, and how
each definition did. That is read without the frameworks' versions, which are part of a verdict's key,
and without importing what makes a verdict.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torchport_checks.database import FOLDER, Database, damaged, primary_code
from torchport_translators.emit.header import without_header

if TYPE_CHECKING:
    from torchport_checks.verdicts import Verdict

T = TypeVar("T")

LAYOUT = 3
"""Of the database. A store of another layout is replaced, as a damaged one is."""
UNUSED_DAYS = 90
MAX_BYTES = 64 * 2**20
"""Of all verdicts as stored. The oldest give way until three quarters of it are left."""

_PASSING = frozenset(("FRAMEWORK", "TIMEOUT", "MEMORY", "CRASH"))
"""Categories of failures that say something of the machine or the moment, and are not kept."""

_DIGEST = hashlib.sha256().digest_size
_DAY = 86400.0

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


def pair_content(texts: tuple[bytes, bytes]) -> str:
    """A hash over the texts of source and port, the port's header left out: it says nothing that runs."""
    source, port = texts
    text = without_header(port.decode("utf-8", "surrogateescape"))
    return content_key(source, text.encode("utf-8", "surrogateescape"))


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, or an empty string where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a stored verdict says, in short.

    Attributes:
        key: under which the verdict is stored.
        source: the path of the source below the store's folder.
        port: that of the port.
        content: the `pair_content` of both texts.
        settled: whether the pair is verified, or has nothing to check by itself.
        error: set where the pair as a whole could not be checked.
        definitions: status and message of each definition that was checked.
        dependencies: local files that source or port import, as paths below the store's folder where
            they lie there, with the SHA-256 of each.
    """

    key: str
    source: str
    port: str
    content: str
    settled: bool
    error: str
    definitions: Mapping[str, tuple[str, str]]
    dependencies: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `VerdictStore.clean` did."""

    removed: int
    """Verdicts."""
    kept: int
    freed: int
    """Bytes of disk."""


class StoreProblem(Exception):
    """The store cannot be cleaned; the message says why."""


class VerdictStore:
    """The verdicts of one project. Safe to use from several processes and threads at once."""

    def __init__(self, root: Path) -> None:
        """`root` is the project's folder; nothing is written before the first `put`."""
        self._file = Database(root / FOLDER / "verdicts.sqlite3")
        self.path = self._file.path

    def get(self, key: str) -> Verdict | None:
        """The verdict stored under `key`, unless a file that source or port import has changed."""
        from pydantic import ValidationError

        from torchport_checks.verdicts import Verdict

        try:
            data = self._read(key)
            digest, text = data[:_DIGEST], data[_DIGEST:]
            if digest != _digest(key, text):
                return None  # there is none, or damage in place, perhaps of the index
            verdict = Verdict.model_validate_json(zlib.decompress(text))
        except (zlib.error, ValidationError):
            return None  # of another version
        if any(file_hash(Path(path)) != known for path, known in verdict.dependencies.items()):
            return None
        return verdict.model_copy(update={"from_store": True})

    def put(self, key: str, verdict: Verdict, content: str = "") -> None:
        """Store `verdict`, unless it tells of a passing failure. Never raises for a bad store.

        Args:
            content: the `pair_content` of both texts, where the pair was checked as a whole: then
                `summaries` tells of it.
        """
        categories = {verdict.category, *(d.category for d in verdict.definitions)}
        if categories & _PASSING:
            return
        text = zlib.compress(verdict.model_dump_json().encode())
        data = _digest(key, text) + text
        told = self._summary(key, verdict, content) if content else b""
        for _ in range(2):
            seen = self._file.identity()
            try:
                self._file.prepare_folder()
                with self._file.connect("rwc") as connection:
                    _write(connection, key, data, told)
                return
            except sqlite3.Error as error:
                if not self._file.to_replace(error):
                    return
                self._file.move_aside(seen)
            except OSError:
                return  # a read-only project: checks work, and are not remembered

    def summaries(self) -> list[Summary]:
        """What is stored of pairs, the newest last; empty where there is no store to read."""
        found: list[Summary] = []
        for key, data in self._rows(
            "SELECT key, CAST(summary AS BLOB) FROM verdicts WHERE summary != '' ORDER BY rowid"
        ):
            text = data[_DIGEST:]
            if data[:_DIGEST] != _digest(key, text):
                continue  # damage in place
            said: dict[str, Any] = json.loads(text)
            found.append(Summary(key, **said))
        return found

    def used(self, keys: Iterable[str]) -> None:
        """Note that verdicts were relied on, so that they stay; once a day, and if it can be."""
        now = time.time()
        rows = [(now, key, now - _DAY) for key in keys]
        with contextlib.suppress(sqlite3.Error), self._file.connect("rw") as connection:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.executemany("UPDATE verdicts SET used = ? WHERE key = ? AND used < ?", rows)

    def _summary(self, key: str, verdict: Verdict, content: str) -> bytes:
        definitions = {
            definition.name: (definition.status, definition.message)
            for definition in verdict.definitions
        }
        said = {
            "source": self._below(verdict.source),
            "port": self._below(verdict.port),
            "content": content,
            "settled": verdict.settled,
            "error": verdict.error,
            "definitions": definitions,
            "dependencies": {
                self._below(path): known for path, known in verdict.dependencies.items()
            },
        }
        text = json.dumps(said).encode()
        return _digest(key, text) + text

    def _below(self, path: str) -> str:
        """A path as it is named below the store's folder, which may lie elsewhere tomorrow."""
        root = self.path.parent.parent
        return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path

    def clean(self, *, everything: bool = False) -> Cleaned:
        """Remove old verdicts and what damage has left behind, and give the disk space back.

        Args:
            everything: all verdicts, and all else that lies in `.torchport/`.

        Raises:
            StoreProblem: another process writes to it, or it cannot be written.
        """
        folder = self.path.parent
        before = _bytes_below(folder)
        removed = kept = 0
        try:
            if self._file.identity() is not None:
                removed, kept = self._shrink(everything)
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                current = path.name.startswith(self.path.name) or path.name == ".gitignore"
                replaced = path.stem == self.path.stem and not current
                if replaced or (everything and not current):
                    shutil.rmtree(path) if _is_folder(path) else path.unlink()
        except (sqlite3.Error, OSError) as error:
            raise StoreProblem(f"{folder} cannot be cleaned: {error}.") from error
        return Cleaned(removed, kept, max(0, before - _bytes_below(folder)))

    def _read(self, key: str) -> bytes:
        """What is stored under `key`; empty if nothing, or if it cannot be read."""
        return self._ask(lambda connection: _find(connection, key)) or b""

    def _rows(self, query: str) -> list[tuple[str, bytes]]:
        """The rows that a query selects; none where they cannot be read."""

        def rows(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
            return connection.execute(query).fetchall() if _is_current(connection) else []

        return self._ask(rows) or []

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T | None:
        """What the store answers; None where there is none, or it cannot be read."""
        seen = self._file.identity()
        if seen is None:
            return None
        # The second way is for a folder that cannot be written, where WAL has no place to work.
        for mode in ("rw", "ro&immutable=1"):
            try:
                with self._file.connect(mode) as connection:
                    return question(connection)
            except sqlite3.Error as error:
                if damaged(error):
                    self._file.move_aside(seen)
                    break
                if primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    break
        return None

    def _shrink(self, everything: bool) -> tuple[int, int]:
        """How many verdicts were removed, and how many are left."""
        seen = self._file.identity()
        try:
            with self._file.connect("rw") as connection:
                if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise sqlite3.DatabaseError("the store is damaged")
                if not _is_current(connection):
                    _create(connection)
                connection.execute("BEGIN IMMEDIATE")
                before = _count(connection)
                if everything:
                    connection.execute("DELETE FROM verdicts")
                else:
                    _collect(connection)
                left = _count(connection)
                connection.execute("COMMIT")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return before - left, left
        except sqlite3.Error as error:
            if not self._file.to_replace(error):
                raise
            self._file.move_aside(seen)
            return 0, 0


def _digest(key: str, text: bytes) -> bytes:
    return bytes.fromhex(content_key(key, text))


def _is_current(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return version == LAYOUT


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("BEGIN IMMEDIATE")
    # Asked again under the lock: another process may have made the table meanwhile.
    if not _is_current(connection):
        if connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone() != (0,):
            raise sqlite3.DatabaseError("the store is of another layout")
        connection.execute(
            "CREATE TABLE verdicts (key TEXT PRIMARY KEY, used REAL, size INTEGER, verdict BLOB, "
            "summary BLOB)"
        )
        connection.execute("CREATE INDEX verdicts_by_use ON verdicts (used, size)")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
    connection.execute("COMMIT")


def _write(connection: sqlite3.Connection, key: str, data: bytes, told: bytes) -> None:
    if not _is_current(connection):
        _create(connection)
    with contextlib.suppress(sqlite3.OperationalError):  # in use as it is: the next one changes it
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)",
        (key, time.time(), len(data) + len(told), data, told),
    )
    collected = _collect(connection)
    connection.execute("COMMIT")
    if collected:
        # A page a step; `execute` takes one step only of a statement that has no columns.
        connection.executescript("PRAGMA incremental_vacuum")


def _collect(connection: sqlite3.Connection) -> bool:
    """Remove what has not been used for long; whether there was anything. An index tells, cheaply."""
    limit = time.time() - UNUSED_DAYS * _DAY
    old, total = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM verdicts WHERE used < ?), (SELECT TOTAL(size) FROM verdicts)",
        (limit,),
    ).fetchone()
    if not old and total <= MAX_BYTES:
        return False
    connection.execute("DELETE FROM verdicts WHERE used < ?", (limit,))
    if total > MAX_BYTES:
        connection.execute(
            "DELETE FROM verdicts WHERE rowid IN (SELECT rowid FROM (SELECT rowid, SUM(size) "
            "OVER (ORDER BY used DESC, rowid DESC) AS total FROM verdicts) WHERE total > ?)",
            (MAX_BYTES * 3 // 4,),
        )
    return True


def _find(connection: sqlite3.Connection, key: str) -> bytes:
    if not _is_current(connection):
        return b""
    now = time.time()
    row = connection.execute(
        "SELECT CAST(verdict AS BLOB), used < ? FROM verdicts WHERE key = ?", (now - _DAY, key)
    ).fetchone()
    if row is None or row[0] is None:
        return b""
    data, long_ago = row
    if long_ago:  # noted once a day: looking something up is not worth a write each time
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("UPDATE verdicts SET used = ? WHERE key = ?", (now, key))
    return data


def _count(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone since: another process has closed the store
                total += (Path(parent) / name).lstat().st_size
    return total
