"""A source and its port, loaded in lanes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from torchport_checks.lanes import Lane, RemoteError
from torchport_checks.options import CheckOptions, Target
from torchport_checks.spec import read_specs
from torchport_checks.store import file_hash
from torchport_checks.subject import Definition
from torchport_checks.verdicts import Category, DefinitionVerdict
from torchport_checks.worker.protocol import Array
from torchport_translators import notebooks

_IMPORTS_MLX = re.compile(rb"^\s*(?:import|from)\s+mlx\b", re.MULTILINE)


def code_of(path: Path) -> bytes:
    """The Python of a file, of a notebook that of its code cells.

    Raises:
        OSError: it cannot be read, or is no notebook.
    """
    data = path.read_bytes()
    if path.suffix != notebooks.SUFFIX:
        return data
    try:
        return notebooks.Notebook.read(data).text.encode()
    except notebooks.NotebookError as error:
        raise OSError(f"{path} is not a notebook: {error}.") from error


def target_of(port: bytes) -> Target:
    """The framework that a port's text is written for: MLX where it imports that, else JAX."""
    return "mlx" if _IMPORTS_MLX.search(port) else "jax"


@dataclass
class Lanes:
    """The lanes of one check: the original's and the port's; the first of each is compared first."""

    torch: list[Lane]
    port: list[Lane]

    def all(self) -> list[Lane]:
        """Every lane."""
        return [*self.torch, *self.port]


@dataclass
class Pair:
    """A source and its port as they are run.

    Attributes:
        texts: of source and port.
        dependencies: local files that either imports, with the SHA-256 of each.
        loaded_by: the processes of the lanes that loaded the files.
    """

    lanes: Lanes
    options: CheckOptions
    source: Path
    port: Path
    texts: tuple[bytes, bytes]
    dependencies: dict[str, str] = field(default_factory=dict[str, str])
    loaded_by: list[int | None] = field(default_factory=list[int | None])

    def load(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Each file in its lanes: the source's definitions, and the port's lines.

        Raises:
            RemoteError: a file cannot be imported; the message says which, and where.
            LaneFailure: a lane does not answer.
        """
        futures = [self.load_source(lane) for lane in self.lanes.torch]
        futures += [self.load_port(lane) for lane in self.lanes.port]
        for future in futures:
            future.exception()
        loaded: list[dict[str, Any]] = []
        for number, future in enumerate(futures):
            original = number < len(self.lanes.torch)
            try:
                loaded.append(future.result())
            except RemoteError as error:
                line = f":{error.line}" if error.line else ""
                side, path = ("original", self.source) if original else ("port", self.port)
                error.args = (f"The {side} cannot be imported ({path.name}{line}): {error}",)
                raise
        for answer in loaded:
            for path in answer["dependencies"]:
                self.dependencies[path] = file_hash(Path(path))
        self.loaded_by = [lane.pid for lane in self.lanes.all()]
        return loaded[0]["definitions"], loaded[-1]["lines"]

    def load_source(self, lane: Lane, *, equivalent: bool = False) -> Future[Any]:
        """Run the source in a torch lane, or its equivalent graph."""
        return self._submit(lane, self.source, self.texts[0], equivalent)

    def load_port(
        self, lane: Lane, *, text: bytes | None = None, equivalent: bool = False
    ) -> Future[Any]:
        """Run the port in a lane, its equivalent graph, or another text in its place."""
        return self._submit(lane, self.port, text or self.texts[1], equivalent)

    def _submit(self, lane: Lane, path: Path, text: bytes, equivalent: bool) -> Future[Any]:
        return lane.submit(
            "load",
            timeout=self.options.timeout,
            path=str(path),
            source=Array("uint8", np.frombuffer(text, np.uint8)),
            equivalent=equivalent,
        )

    def definitions(
        self,
        listed: Sequence[dict[str, Any]],
        lines: dict[str, int],
        names: Sequence[str] | None = None,
    ) -> Iterator[Definition | DefinitionVerdict]:
        """What both files define, in the source's order; a verdict for what the port lacks.

        `listed` and `lines` are what `load` gave; `names`, if given, are the only ones wanted.
        """
        specs = read_specs(self.texts[0].decode(errors="replace"))
        wanted = None if names is None else set(names)
        for entry in sorted(listed, key=lambda entry: entry["line"]):
            name, kind, line = entry["name"], entry["kind"], entry["line"]
            if wanted is not None and name not in wanted:
                continue
            if name in lines:
                yield Definition(name, kind, line, lines[name], specs.get(name))
            else:
                yield DefinitionVerdict(
                    name=name,
                    kind=kind,
                    source_line=line,
                    status="not_run" if wanted is None else "error",
                    category=Category.MISSING,
                    message=f"{self.port.name} does not define {name}.",
                )
        for name in sorted((wanted or set()) - {entry["name"] for entry in listed}):
            yield DefinitionVerdict(
                name=name,
                kind="function",
                source_line=0,
                status="error",
                category=Category.MISSING,
                message=f"{self.source.name} defines no function or module class {name}.",
            )
