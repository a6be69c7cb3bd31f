"""A dataset: a folder of Python files and notebooks, or a file of JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torchport_translators.emit.header import read_header
from torchport_translators.files import FileProblem, read_source

_MAGIC = re.compile(r"^([ \t]*)[%!?].*$", re.MULTILINE)
_CELL_MAGIC = re.compile(r"\s*%%(?!(?:time|timeit|capture|prun)\b)")
_TORCH = re.compile(r"^[ \t]*(?:import|from)[ \t]+torch\b", re.MULTILINE)


class DatasetProblem(Exception):
    """A dataset cannot be read; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Item:
    """One original.

    Attributes:
        name: for the reader.
        source: its text.
        path: its file, whose neighbours it may import; None where it has none.
        reference: a port that is known to be right; empty where there is none.
        exclude: ids of known bugs that are made of it, and so must not be shown.
    """

    name: str
    source: str
    path: Path | None = None
    reference: str = ""
    exclude: tuple[str, ...] = ()


def read_dataset(path: Path, target: str) -> list[Item]:
    """The items of a dataset, in the order of their names or lines.

    A folder gives its `.py` files that import torch and its notebooks (the Python of their code cells).
    `NAME_jax.py` beside `NAME.py` is the reference of its port to JAX. A line of JSON is an object with
    `source` (or T2J's `Input_Code`), and perhaps `name` (`Example_id`), `reference` and `exclude`.

    Raises:
        DatasetProblem: it cannot be read, or nothing is in it.
    """
    try:
        items = list(_folder(path, target) if path.is_dir() else _lines(path))
    except FileProblem as problem:
        raise DatasetProblem(str(problem)) from problem
    except OSError as error:
        raise DatasetProblem(f"{path} cannot be read: {error.strerror}.") from error
    if not items:
        raise DatasetProblem(f"{path} holds no original: no .py or .ipynb that imports torch.")
    return items


def _folder(folder: Path, target: str) -> Iterator[Item]:
    ending = f"_{target}.py"
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.ipynb")]):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".ipynb":
            yield Item(name, _notebook(path))
            continue
        text = read_source(path).text
        if read_header(text) is not None or not _TORCH.search(text) or name.endswith(ending):
            continue
        reference = path.with_name(path.stem + ending)
        known = read_source(reference).text if reference.is_file() else ""
        yield Item(name, text, path, known)


def _notebook(path: Path) -> str:
    """The Python of a notebook's code cells, one after the other; magics are left out.

    Raises:
        DatasetProblem: it is not a notebook.
    """
    try:
        cells: list[Any] = json.loads(path.read_text("utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetProblem(f"{path} is not a notebook: {error}.") from error
    parts = [_MAGIC.sub(r"\1pass", text) for text in sources if not _CELL_MAGIC.match(text)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _lines(path: Path) -> Iterator[Item]:
    for number, line in enumerate(read_source(path).text.splitlines(), 1):
        if line.strip():
            yield _item(line, number, path)


def _item(line: str, number: int, path: Path) -> Item:
    """
    Raises:
        DatasetProblem: the line is not such an object.
    """
    try:
        data: Any = json.loads(line)
    except ValueError as error:
        raise DatasetProblem(f"{path}:{number} is not JSON: {error}.") from error
    if not isinstance(data, dict):
        raise DatasetProblem(f"{path}:{number} is not an object.")
    fields = cast("dict[str, Any]", data)
    source = fields.get("source", fields.get("Input_Code"))
    reference, exclude = fields.get("reference", ""), fields.get("exclude", ())
    if not isinstance(source, str) or not isinstance(reference, str):
        raise DatasetProblem(f"{path}:{number} has no text under `source`.")
    if not isinstance(exclude, (list, tuple)):
        raise DatasetProblem(f"{path}:{number}: `exclude` is a list of ids.")
    name = str(fields.get("name", fields.get("Example_id", number)))
    return Item(name, source, None, reference, tuple(map(str, cast("list[object]", exclude))))
