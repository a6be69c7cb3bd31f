"""A server for all tests of a file: its workers start once, and each test has files of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.server.editor import Editor, editing

import torchport


@dataclass(frozen=True)
class Files:
    """A source and its port on disk."""

    source: Path
    port: Path


def write_pair(folder: Path, name: str, source: str, old: str = "", new: str = "") -> Files:
    """A source beside its port, in which `old` has been replaced by `new`."""
    files = Files(folder / f"{name}.py", folder / f"{name}_jax.py")
    port = torchport.translate(source, to="jax", name=files.source.name).text
    assert old in port
    files.source.write_text(source)
    files.port.write_text(port.replace(old, new) if old else port)
    return files


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Editor, Path]]:
    root = tmp_path_factory.mktemp("workspace")
    # Code under check tells some of these tests by a file how far it is.
    (root / "pyproject.toml").write_text('[tool.torchport]\ncontainment = "off"\n')
    async with editing(root) as editor:
        yield editor, root


@pytest.fixture
def editor(shared: tuple[Editor, Path]) -> Editor:
    return shared[0]


@pytest.fixture
def pair(shared: tuple[Editor, Path], request: pytest.FixtureRequest) -> Callable[..., Files]:
    """Writes a pair, named after the test, into the workspace."""

    def write(source: str, old: str = "", new: str = "") -> Files:
        name = re.sub(r"\W+", "_", request.node.name).strip("_").removeprefix("test_")
        return write_pair(shared[1], name, source, old, new)

    return write
