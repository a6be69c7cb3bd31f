"""Pairs: which port belongs to a source, and which source to a port."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from torchport_server.documents import Documents
from torchport_translators.configuration import Configuration
from torchport_translators.emit.header import read_header
from torchport_translators.files import FileProblem, SourceFile, port_path, read_source


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and its port; the port need not exist yet."""

    source: Path
    port: Path


def pair_of(path: Path, text: str, configuration: Configuration, target: str) -> Pair:
    """The pair that a file belongs to: a port names its source, a source's port lies beside it."""
    header = read_header(text)
    if header is not None:
        return Pair(_plain(path.parent / header.source), _plain(path))
    port = port_path(SourceFile(path, Path(path.name)), configuration, target, None)
    return Pair(_plain(path), _plain(port))


def _plain(path: Path) -> Path:
    """A path without `..`. Links stay: the client knows the file by the name that it has used."""
    return Path(os.path.normpath(path))


def text_of(documents: Documents, path: Path) -> str | None:
    """The text of a file as the user sees it: of its buffer, else from the disk; None if neither."""
    document = documents.at(path)
    if document is not None:
        return document.text
    try:
        return read_source(path).text
    except FileProblem:
        return None
