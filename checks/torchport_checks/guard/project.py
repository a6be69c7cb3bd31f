"""The ports of a project, found by their headers, and the settings that the guard reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from torchport_checks.store import project_root
from torchport_translators.configuration import Configuration, read_configuration, read_table
from torchport_translators.files import SKIPPED

_FIRST_BYTES = 1 << 16
_MARK = b"# torchport: source="
_IN_PYTHON = re.compile(
    rb"\A(?:\xef\xbb\xbf)?(?:[ \t]*(?:#.*|[<=>|]{7}.*)?\r?\n)*?# torchport: source=(\S*)(?: target=(\w+))?"
)
"""Above the header stand comments only, or what a merge has left there."""
_IN_NOTEBOOK = re.compile(rb'"# torchport: source=([^\s"\\]*)(?: target=(\w+))?')
_KEYS = frozenset(item.name for item in fields(Configuration)) - {"path"}


@dataclass(frozen=True, slots=True)
class Port:
    """A port, and the source that its header names, by absolute paths; the source may be gone.

    A port of standard input, or one that took its source's place, has no source.
    """

    path: str
    source: str | None
    target: str

    @property
    def is_notebook(self) -> bool:
        return self.path.endswith(".ipynb")


def read_settings(folder: Path) -> Configuration:
    """The settings of the guard that hold in a folder; others are left at their defaults.

    What is wrong in the table is left to the reader of all settings to say: that one takes longer to
    import than the guard to run.

    Raises:
        ConfigurationError: the nearest pyproject.toml cannot be read, or its table is not valid.
    """
    path, table = read_table(folder)
    exclude = table.get("exclude", [])
    verdicts, baseline = table.get("verdicts", "auto"), table.get("baseline", "")
    valid = (
        table.keys() <= _KEYS
        and isinstance(exclude, list)
        and all(isinstance(item, str) for item in cast("list[Any]", exclude))
        and verdicts in ("auto", "required", "off")
        and isinstance(baseline, str)
        and isinstance(table.get("suffix", ""), str)
    )
    if not valid:
        return read_configuration(folder)
    defaults = Configuration()
    return Configuration(
        exclude=tuple(cast("list[str]", exclude)),
        verdicts=verdicts,
        baseline=baseline or defaults.baseline,
        target=table.get("target", defaults.target),
        suffix=table.get("suffix", defaults.suffix),
        path=path,
    )


@dataclass(slots=True)
class Scope:
    """The files that a run is about: `None` for all of the project."""

    paths: frozenset[str] | None = None
    folders: tuple[str, ...] = ()

    def __contains__(self, path: str) -> bool:
        if self.paths is None or path in self.paths:
            return True
        return any(path.startswith(folder) for folder in self.folders)


def scope_of(paths: Iterable[str]) -> Scope:
    """The scope of files and folders; a path need not exist."""
    real = [os.path.realpath(path) for path in paths]
    folders = tuple(path.rstrip(os.sep) + os.sep for path in real if Path(path).is_dir())
    return Scope(frozenset(real), folders)


@dataclass
class Project:
    """A project's folder, its settings and its ports."""

    root: Path
    settings: Configuration
    _sources: dict[str, list[Port]] = field(default_factory=dict[str, "list[Port]"])

    @classmethod
    def around(cls, folder: Path) -> Project:
        """The project that a folder is in.

        Raises:
            ConfigurationError: its settings are not valid.
        """
        root = project_root(folder / "x")
        return cls(root, read_settings(root))

    @cached_property
    def ports(self) -> list[Port]:
        """All ports below the root, but for those that `exclude` names."""
        found = sorted(_ports(str(self.root), self.settings), key=lambda port: port.path)
        if self.settings.exclude:
            found = [port for port in found if not self.settings.excluded(Path(port.path))]
        return found

    def in_scope(self, scope: Scope) -> list[Port]:
        """The ports that are in a scope, or whose source is."""
        return [
            port
            for port in self.ports
            if port.path in scope or (port.source is not None and port.source in scope)
        ]

    def name(self, path: str) -> str:
        """A file as it is named below the root, with slashes; in full where it is elsewhere."""
        below = os.path.relpath(path, self.root)
        return path if below.startswith(os.pardir) else below.replace(os.sep, "/")


def _ports(root: str, settings: Configuration) -> Iterator[Port]:
    folders = [root]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                entries = [entry for entry in found if entry.name[0] != "."]
        except OSError:
            continue  # not ours to read
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                excluded = settings.exclude and settings.excluded(Path(entry.path))
                if entry.name not in SKIPPED and not excluded:
                    folders.append(entry.path)
            elif entry.name.endswith((".py", ".ipynb")) and entry.is_file():
                port = read_port(entry.path)
                if port is not None:
                    yield port


def read_port(path: str) -> Port | None:
    """A file as a port; None where it has no header."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        data = os.read(handle, _FIRST_BYTES)
    except OSError:
        return None
    finally:
        os.close(handle)
    return port_of(path, data)


def port_of(path: str, data: bytes) -> Port | None:
    """A file with this content (or its beginning) as a port; None where it has no header."""
    if _MARK not in data:
        return None
    match = (_IN_NOTEBOOK.search if path.endswith(".ipynb") else _IN_PYTHON.match)(data)
    if match is None:
        return None
    named = unquote(match[1].decode("utf-8", "replace"))
    source = os.path.normpath(os.path.join(os.path.dirname(path), named))  # noqa: PTH118, PTH120
    without = named == "stdin" or source == path
    return Port(path, None if without else source, (match[2] or b"").decode())
