"""The ports of `examples/`, kept whole so that every change of a port is seen in review.

After a change that is meant: `pytest tests/translators/test_golden.py --snapshot-update`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from torchport_translators._version import __version__
from torchport_translators.emit.header import edited_by_hand, read_header
from torchport_translators.translate import translate

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


class PythonFiles(SingleFileSnapshotExtension):
    """One `.py` file a snapshot."""

    _write_mode = WriteMode.TEXT
    file_extension = "py"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_port_of_an_example(path: Path, snapshot: SnapshotAssertion) -> None:
    port = translate(path.read_text("utf-8"), "jax", name=path.name).text
    golden = snapshot.use_extension(PythonFiles)
    assert port.replace(f"torchport {__version__}", "torchport VERSION") == golden


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_port_of_an_example_to_mlx(path: Path, snapshot: SnapshotAssertion) -> None:
    port = translate(path.read_text("utf-8"), "mlx", name=path.name).text
    golden = snapshot.use_extension(PythonFiles)
    assert port.replace(f"torchport {__version__}", "torchport VERSION") == golden


@pytest.mark.parametrize("target", ["jax", "mlx"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_port_stands_alone_and_is_the_same_again(path: Path, target: str) -> None:
    text = path.read_text("utf-8")
    port = translate(text, target, name=path.name).text
    assert port == translate(text, target, name=path.name).text
    imported = {
        name.name.partition(".")[0] if isinstance(node, ast.Import) else node.module or ""
        for node in ast.walk(ast.parse(port))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert not any(name.startswith("torchport") for name in imported)
    header = read_header(port)
    assert header is not None and header.source == path.name and not edited_by_hand(port)
    assert edited_by_hand(port.replace("self", "this", 1))
