"""Files: which are to be ported, what text they hold, where a port goes, and writing it safely."""

from __future__ import annotations

import codecs
import contextlib
import glob
import io
import os
import re
import stat
import sys
import tempfile
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from torchport_translators import notebooks
from torchport_translators.configuration import Configuration
from torchport_translators.emit.header import edited_by_hand, read_header

MAX_BYTES = 5 * 2**20
MAX_NOTEBOOK_BYTES = 100 * 2**20
"""Of a notebook, whose outputs may hold pictures."""
STDIN = Path("-")

_IMPORTS_TORCH = re.compile(
    rb"^[ \t]*(?:from[ \t]+torch\b|import[ \t][^#\n]*\btorch\b)", re.MULTILINE
)
SKIPPED = frozenset(("__pycache__", "node_modules", "site-packages", "venv"))
"""Folders in which nobody keeps a project's own code; hidden ones and environments are passed over, too."""


class FileProblem(Exception):
    """A file cannot be read or written; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to port.

    Attributes:
        path: as it was given, or found; `STDIN` for standard input.
        below: its path within the folder that was given; its name where the file itself was given.
    """

    path: Path
    below: Path


_PLAIN = "without torch"


@dataclass(slots=True)
class Found:
    """The files to port, and how many others were passed over, by reason.

    `plain` are those of folders that do not import torch, which are passed over unless what they
    import does.
    """

    files: list[SourceFile] = field(default_factory=list[SourceFile])
    plain: list[SourceFile] = field(default_factory=list[SourceFile])
    passed_over: dict[str, int] = field(default_factory=dict[str, int])

    def take(self, file: SourceFile) -> None:
        """Port a file of `plain`, too."""
        self.plain.remove(file)
        self.files.append(file)
        self.passed_over[_PLAIN] -= 1
        if not self.passed_over[_PLAIN]:
            del self.passed_over[_PLAIN]

    def pass_over(self, reason: str) -> None:
        """Count a file that is not ported."""
        self.passed_over[reason] = self.passed_over.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a file, and how to write one like it.

    Attributes:
        text: with its line endings as they are.
        encoding: in which it was written.
        bom: whether it begins with a byte order mark.
        note: what the reader should know of how it was read; empty if nothing.
        notebook: what it is the code of.
    """

    text: str
    encoding: str = "utf-8"
    bom: bool = False
    note: str = ""
    notebook: notebooks.Notebook | None = None

    def where(self, line: int) -> str:
        """A line (from 1) for the reader."""
        return str(line) if self.notebook is None else self.notebook.where(line)

    def encode(self, text: str) -> bytes:
        """`text`, which is a port of this one, as bytes of the same encoding, or as a notebook.

        Every encoding of Python sources has what a port adds to the author's text, which is ASCII.

        Raises:
            FileProblem: cells cannot be told apart in it.
        """
        if self.notebook is not None:
            try:
                return self.notebook.ported(text)
            except notebooks.NotebookError as error:
                raise FileProblem(f"The port is no notebook: {error}.") from error
        data = text.encode(self.encoding)
        return codecs.BOM_UTF8 + data if self.bom else data


def find_files(arguments: Sequence[str], configuration: Configuration) -> Found:
    """The files that the arguments name: files, folders, globs, and `-` for standard input.

    From a folder or a glob only files and notebooks that import torch are taken. Ports, which begin with torchport's header,
    are passed over however they are named. A file is taken once.

    Raises:
        FileProblem: an argument names nothing, or a folder cannot be read.
    """
    found = Found()
    seen: set[Path] = set()
    for argument in arguments:
        if argument == "-":
            found.files.append(SourceFile(STDIN, STDIN))
            continue
        for path in _expand(argument):
            named = Path(argument) == path
            walked = walk(path, configuration) if path.is_dir() else [path]
            for file in walked:
                key = file.resolve()
                if key in seen:
                    continue
                seen.add(key)
                reason = _reason_to_pass_over(file, named and file == path)
                below = Path(file.name) if file == path else file.relative_to(path)
                if reason:
                    found.pass_over(reason)
                else:
                    found.files.append(SourceFile(file, below))
                if reason == _PLAIN:
                    found.plain.append(SourceFile(file, below))
    return found


def _expand(argument: str) -> list[Path]:
    path = Path(argument)
    if path.exists() or path.is_symlink():
        return [path]
    if not glob.has_magic(argument):
        raise FileProblem(f"{argument} does not exist.")
    matches = sorted(map(Path, glob.glob(argument, recursive=True)))  # noqa: PTH207 it may be absolute
    if not matches:
        raise FileProblem(f"No file matches {argument}.")
    return matches


def walk(folder: Path, configuration: Configuration) -> Iterator[Path]:
    """The Python files in a folder that are the project's own, in order.

    Raises:
        FileProblem: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise FileProblem(f"{error.filename} cannot be read: {error.strerror}.")

    for parent, names, files in os.walk(folder, onerror=refuse):
        here = Path(parent)
        names[:] = sorted(
            name
            for name in names
            if not name.startswith(".")
            and name not in SKIPPED
            and not (here / name / "pyvenv.cfg").exists()
            and not configuration.excluded(here / name)
        )
        for name in sorted(files):
            path = here / name
            hidden = name.startswith(".")
            if (
                name.endswith((".py", notebooks.SUFFIX))
                and not hidden
                and not configuration.excluded(path)
            ):
                yield path


def _reason_to_pass_over(path: Path, named: bool) -> str:
    try:
        with path.open("rb") as file:
            notebook = path.suffix == notebooks.SUFFIX
            if path.stat().st_size > (MAX_NOTEBOOK_BYTES if notebook else MAX_BYTES):
                return "" if named else "too large"
            data = file.read()
            if notebook:
                data = decode(data, str(path)).text.encode()
    except (OSError, FileProblem):
        return ""  # reading it again says why it cannot be read
    if b"# torchport: source=" in data and read_header(data.decode("utf-8", "replace")):
        return "written by torchport"
    if not named and not _IMPORTS_TORCH.search(data):
        return _PLAIN
    return ""


def read_source(path: Path, stdin: BinaryIO | None = None) -> Text:
    """The text of a Python file, of a notebook's code cells, or of `stdin` for `STDIN`.

    The encoding is that of a byte order mark or of a PEP 263 line, else UTF-8, else Latin-1, which
    is then noted.

    Raises:
        FileProblem: it cannot be read, is not text, or is larger than `MAX_BYTES` (a notebook: than
            `MAX_NOTEBOOK_BYTES`).
    """
    name = "standard input" if path == STDIN else str(path)
    most = MAX_NOTEBOOK_BYTES if path.suffix == notebooks.SUFFIX else MAX_BYTES
    try:
        if path == STDIN:
            data = (stdin or sys.stdin.buffer).read(most + 1)
        else:
            with path.open("rb") as file:
                data = file.read(most + 1)
    except OSError as error:
        raise FileProblem(f"{name} cannot be read: {error.strerror}.") from error
    if len(data) > most:
        raise FileProblem(
            f"{name} is larger than {most >> 20} MiB, which no module written by people is. "
            "Port the files it was made from, or the part that matters."
        )
    return decode(data, name)


def decode(data: bytes, name: str) -> Text:
    """The text of `data`, which is the content of the file `name`: of a notebook, its code.

    Raises:
        FileProblem: it is not text, or of an encoding that Python does not know.
    """
    if name.endswith(notebooks.SUFFIX):
        try:
            notebook = notebooks.Notebook.read(data)
        except notebooks.NotebookError as error:
            raise FileProblem(f"{name} is not a notebook: {error}.") from error
        return Text(notebook.text, notebook=notebook)
    if b"\0" in data:
        raise FileProblem(
            f"{name} is not a Python text: it holds NUL bytes, as binary files and UTF-16 do."
        )
    bom = data.startswith(codecs.BOM_UTF8)
    body = data.removeprefix(codecs.BOM_UTF8)
    declared = _declared_encoding(body)
    try:
        return Text(body.decode(declared or "utf-8"), declared or "utf-8", bom)
    except LookupError:
        raise FileProblem(
            f"{name} declares the encoding {declared!r}, which Python does not know."
        ) from None
    except UnicodeDecodeError as error:
        if declared or bom:
            raise FileProblem(
                f"{name} is not the {declared or 'utf-8'} that it declares: the byte at "
                f"{error.start} is not of it. Correct the declaration, or save it as UTF-8."
            ) from error
    return Text(
        body.decode("latin-1"),
        note="is not UTF-8 and declares no encoding, so Python itself does not run it. It was read "
        "as Latin-1, and the port is written as UTF-8",
    )


def _declared_encoding(data: bytes) -> str | None:
    """The encoding that the first two lines declare; None where they do not."""
    first = b"\n".join(data.split(b"\n", 2)[:2])
    ascii_only = bytes(byte if byte < 128 else 63 for byte in first)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(ascii_only).readline)
    except SyntaxError as error:
        # "unknown encoding: NAME": `decode` says so in its own words.
        return str(error).rpartition(": ")[2] or None
    return None if encoding == "utf-8" else encoding


def port_path(
    file: SourceFile, configuration: Configuration, target: str, out: Path | None
) -> Path:
    """Where the port of a file goes: `NAME_jax.py` beside it, or below the folder `out`.

    The port of a notebook is one. `out` that ends in `.py` or `.ipynb` is the port itself.
    """
    if out is not None and out.suffix in (".py", notebooks.SUFFIX):
        return out
    suffix = configuration.suffix.replace("{target}", target)
    ending = notebooks.SUFFIX if file.path.suffix == notebooks.SUFFIX else ".py"
    name = f"{file.path.stem}{suffix}{ending}"
    return file.path.with_name(name) if out is None else out / file.below.parent / name


def relative_name(source: Path, port: Path) -> str:
    """The name of a source as the header of its port has it: relative to the port's folder."""
    if source == STDIN:
        return "stdin"
    with contextlib.suppress(ValueError):  # on Windows, another drive
        return Path(os.path.relpath(source.resolve(), port.resolve().parent)).as_posix()
    return source.name


EDITED = "it has been edited by hand since torchport wrote it"


def protection(port: Path, source_name: str) -> str:
    """Why what lies at `port` must not be overwritten; empty where it may be.

    Raises:
        FileProblem: it cannot be read.
    """
    try:
        data = port.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise FileProblem(f"{port} cannot be read: {error.strerror}.") from error
    if not data.strip():
        return ""
    try:
        text = decode(data, str(port)).text
    except FileProblem:
        return "it was not written by torchport"
    header = read_header(text)
    if header is None:
        return "it was not written by torchport"
    if header.source != source_name:
        return f"it is the port of another file, {header.source}"
    if edited_by_hand(text):
        return EDITED
    return ""


def write_port(path: Path, data: bytes, like: Path | None = None) -> bool:
    """Write a file as a whole or not at all, with the mode it had, or that of the file `like`.

    Returns:
        Whether its content changed; a file that holds `data` already is left alone.

    Raises:
        FileProblem: it cannot be written; nothing has changed then.
    """
    path = path.resolve()
    try:
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == data:
                return False
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data, _mode(path, like))
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileProblem(f"{path} cannot be written: {reason}. Nothing was changed.") from error
    return True


def _replace(path: Path, data: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(mode)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _mode(path: Path, like: Path | None) -> int:
    for existing in (path, like):
        if existing is not None:
            with contextlib.suppress(OSError):
                return stat.S_IMODE(existing.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
