"""Checking pairs of files: warm lanes, stored verdicts, one verdict a pair."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from torchport_checks.devices import device_names
from torchport_checks.examine import Lanes, examine
from torchport_checks.lanes import Lane, LaneFailure, RemoteError
from torchport_checks.options import CheckOptions, Framework, Target
from torchport_checks.replay import Replays
from torchport_checks.spec import read_specs
from torchport_checks.store import VerdictStore, content_key, file_hash, project_root
from torchport_checks.subject import Definition
from torchport_checks.verdicts import Category, DefinitionVerdict, Verdict
from torchport_checks.versions import installed, judge, version
from torchport_checks.worker.protocol import Array

Progress = Callable[[str, DefinitionVerdict | None], None]
"""Called with a definition's name when its check begins (None) and ends (its verdict)."""


_TARGETS: tuple[Target, ...] = ("jax", "mlx")
_IMPORTS_MLX = re.compile(rb"^\s*(?:import|from)\s+mlx\b", re.MULTILINE)


def target_of(port: bytes) -> Target:
    """The framework that a port's text is written for: MLX where it imports that, else JAX."""
    return "mlx" if _IMPORTS_MLX.search(port) else "jax"


class _Worker:
    """The lanes that check one pair at a time: torch's, and each target's."""

    def __init__(self, options: CheckOptions) -> None:
        self.torch = self._lanes("torch", options)
        self.ports = {target: self._lanes(target, options) for target in _TARGETS}

    @staticmethod
    def _lanes(framework: Framework, options: CheckOptions) -> list[Lane]:
        python, memory = options.python(framework), options.memory_mb
        return [
            Lane(framework, python, device, memory) for device in device_names(framework, options)
        ]

    def all(self) -> list[Lane]:
        """Every lane, started or not."""
        return [*self.torch, *(lane for lanes in self.ports.values() for lane in lanes)]

    def for_target(self, target: Target) -> Lanes:
        """The lanes that check a port for one target."""
        return Lanes(self.torch, self.ports[target])


class Checker:
    """Keeps lanes warm over many pairs. A context manager; safe to use from several threads.

    Lanes start with the first pair that needs them. `workers` pairs are checked at the same time,
    each with lanes of its own; further calls wait.
    """

    def __init__(
        self, options: CheckOptions | None = None, *, workers: int = 1, store: bool = True
    ) -> None:
        self.options = options or CheckOptions()
        self._store = store
        self._all = [_Worker(self.options) for _ in range(workers)]
        self._free: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in self._all:
            self._free.put(worker)
        self._closing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the lanes; a check under way in another thread ends with an error. Idempotent."""
        with self._closing:
            for lane in self.lanes():
                lane.close()

    def idle_lanes(self) -> list[Lane]:
        """The lanes that no check is using now, for `doctor` and benchmarks."""
        with self._free.mutex:
            return [lane for worker in self._free.queue for lane in worker.all()]

    def restart(self) -> None:
        """End all workers, busy ones too: a check under way ends with an error; the next one starts
        new workers."""
        for lane in self.lanes():
            lane.interrupt()

    def lanes(self) -> list[Lane]:
        """All lanes, to tell of their state."""
        return [lane for worker in self._all for lane in worker.all()]

    def warm(self, target: Target = "jax") -> None:
        """Start the lanes in the background, so that the first check need not wait for them."""
        for worker in self._all:
            for lane in worker.for_target(target).all():
                lane.submit("ping", timeout=self.options.timeout)

    def check(
        self,
        source: Path,
        port: Path,
        *,
        definitions: Sequence[str] | None = None,
        progress: Progress | None = None,
        fresh: bool = False,
        texts: tuple[bytes, bytes] | None = None,
    ) -> Verdict:
        """Run `port` against `source` and judge it, definition by definition.

        Args:
            texts: of source and port, where they are not yet what the files hold.
            definitions: names to check; by default every function and module class of `source`.
            progress: told when a definition's check begins and ends, in the calling thread.
            fresh: run even if a stored verdict is current.

        Raises:
            OSError: a file cannot be read. Everything else, missing frameworks included, is in the
                verdict.
        """
        source, port = source.resolve(), port.resolve()
        texts = texts or (source.read_bytes(), port.read_bytes())
        worker = self._free.get()
        try:
            return self._check(worker, source, port, texts, definitions, progress, fresh)
        finally:
            self._free.put(worker)

    def stored(self, source: Path, port: Path, texts: tuple[bytes, bytes]) -> Verdict | None:
        """The stored verdict on a whole pair with these texts; nothing is run."""
        source, port = source.resolve(), port.resolve()
        return VerdictStore(project_root(source)).get(self._key(source, port, texts, None))

    def _key(
        self,
        source: Path,
        port: Path,
        texts: tuple[bytes, bytes],
        definitions: Sequence[str] | None,
    ) -> str:
        wanted = "all" if definitions is None else "\n".join(sorted(definitions))
        frameworks: tuple[Framework, ...] = ("torch", target_of(texts[1]))
        return content_key(
            *texts, str(source), str(port), wanted, judge(),
            self.options.model_dump_json(exclude={"shrink_seconds"}),
            *(installed(self.options.python(framework)) for framework in frameworks),
        )  # fmt: skip

    def _explained(self, known: Verdict) -> bool:
        """Whether smallest inputs were looked for where that is asked; an editor does not ask."""
        return not self.options.shrink_seconds or bool(known.shrink_seconds) or known.ok

    def _check(
        self,
        worker: _Worker,
        source: Path,
        port: Path,
        texts: tuple[bytes, bytes],
        definitions: Sequence[str] | None,
        progress: Progress | None,
        fresh: bool,
    ) -> Verdict:
        start = time.perf_counter()
        store = VerdictStore(project_root(source)) if self._store else None
        key = self._key(source, port, texts, definitions)
        known = store.get(key) if store is not None and not fresh else None
        if known is not None and self._explained(known):
            seconds = time.perf_counter() - start
            return known.model_copy(update={"seconds": seconds})
        lanes = worker.for_target(target_of(texts[1]))
        replays = Replays(source, port, texts) if self._store else None
        pair = _Pair(lanes, self.options, source, port, texts, definitions, progress, replays)
        verdict = pair.check()
        verdict = verdict.model_copy(update={"seconds": time.perf_counter() - start})
        if store is not None:
            store.put(key, verdict)
        return verdict


class _Pair:
    """One check of one pair."""

    def __init__(
        self,
        lanes: Lanes,
        options: CheckOptions,
        source: Path,
        port: Path,
        texts: tuple[bytes, bytes],
        definitions: Sequence[str] | None,
        progress: Progress | None,
        replays: Replays | None,
    ) -> None:
        self.lanes, self.options, self.replays = lanes, options, replays
        self.source, self.port, self.texts = source, port, texts
        self.definitions, self.progress = definitions, progress
        self.dependencies: dict[str, str] = {}
        self.loaded_by: list[int | None] = []

    def check(self) -> Verdict:
        """Load both files, examine each definition, and collect the verdicts."""
        try:
            listed, lines = self._load()
        except (LaneFailure, RemoteError) as failure:
            return self._failed(failure)
        verdicts: list[DefinitionVerdict] = []
        # The outer definitions come last in a file, and running them shows how they call the rest.
        for definition in reversed(list(self._paired(listed, lines))):
            if isinstance(definition, DefinitionVerdict):
                verdicts.append(definition)
                continue
            self._report(definition.name, None)
            verdict = examine(definition, self.lanes, self.options, self.replays)
            verdicts.append(verdict)
            self._report(definition.name, verdict)
            if self.loaded_by != [lane.pid for lane in self.lanes.all()]:
                try:
                    self._load()
                except (LaneFailure, RemoteError) as failure:
                    return self._failed(failure, verdicts)
        return self._verdict(verdicts)

    def _report(self, name: str, verdict: DefinitionVerdict | None) -> None:
        if self.progress is not None:
            self.progress(name, verdict)

    def _load(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Each file in its lanes: the source's definitions, and the port's lines."""
        sides = [
            (lane, path, text, side)
            for lanes, path, text, side in (
                (self.lanes.torch, self.source, self.texts[0], "original"),
                (self.lanes.port, self.port, self.texts[1], "port"),
            )
            for lane in lanes
        ]
        futures = [
            lane.submit(
                "load",
                timeout=self.options.timeout,
                path=str(path),
                source=Array("uint8", np.frombuffer(text, np.uint8)),
            )
            for lane, path, text, _ in sides
        ]
        for future in futures:
            future.exception()
        loaded: list[dict[str, Any]] = []
        for future, (_, path, _, side) in zip(futures, sides, strict=True):
            try:
                loaded.append(future.result())
            except RemoteError as error:
                line = f":{error.line}" if error.line else ""
                error.args = (f"The {side} cannot be imported ({path.name}{line}): {error}",)
                raise
        for answer in loaded:
            for path in answer["dependencies"]:
                self.dependencies[path] = file_hash(Path(path))
        self.loaded_by = [lane.pid for lane in self.lanes.all()]
        return loaded[0]["definitions"], loaded[-1]["lines"]

    def _paired(
        self, listed: list[dict[str, Any]], lines: dict[str, int]
    ) -> Iterator[Definition | DefinitionVerdict]:
        specs = read_specs(self.texts[0].decode(errors="replace"))
        wanted = None if self.definitions is None else set(self.definitions)
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

    def _failed(
        self, failure: LaneFailure | RemoteError, verdicts: Sequence[DefinitionVerdict] = ()
    ) -> Verdict:
        category = failure.category if isinstance(failure, LaneFailure) else Category.LOAD
        message = str(failure)
        if category is not Category.FRAMEWORK and failure.output:
            message = f"{message}\n{failure.output[-2000:]}"
        return self._verdict(verdicts).model_copy(update={"error": message, "category": category})

    def _verdict(self, verdicts: Sequence[DefinitionVerdict]) -> Verdict:
        infos = [lane.known_info() for lane in self.lanes.all()]
        return Verdict(
            torchport=version(),
            source=str(self.source),
            port=str(self.port),
            target=target_of(self.texts[1]),
            lanes=[info for info in infos if info is not None],
            definitions=sorted(verdicts, key=lambda verdict: verdict.source_line),
            dependencies=self.dependencies,
            shrink_seconds=self.options.shrink_seconds,
        )


def check(
    source: Path,
    port: Path,
    *,
    definitions: Sequence[str] | None = None,
    options: CheckOptions | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """`Checker.check` with lanes that live for this call only.

    Raises:
        OSError: a file cannot be read.
    """
    with Checker(options) as checker:
        return checker.check(source, port, definitions=definitions, progress=progress)
