"""Checking pairs of files: warm lanes, stored verdicts, one verdict a pair."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from torchport_checks.devices import device_names
from torchport_checks.examine import examine
from torchport_checks.lanes import Lane, LaneFailure, RemoteError
from torchport_checks.mutate import MutationScore, plant
from torchport_checks.options import CheckOptions, Framework, Target
from torchport_checks.pair import Lanes, Pair, target_of
from torchport_checks.replay import Replays
from torchport_checks.store import VerdictStore, content_key, project_root
from torchport_checks.verdicts import Category, DefinitionVerdict, Verdict
from torchport_checks.versions import installed, judge, version

Progress = Callable[[str, DefinitionVerdict | None], None]
"""Called with a definition's name when its check begins (None) and ends (its verdict)."""


_TARGETS: tuple[Target, ...] = ("jax", "mlx")


class _Worker:
    """The lanes that check one pair at a time: torch's, and each target's."""

    def __init__(self, options: CheckOptions) -> None:
        self.torch = self._lanes("torch", options)
        self.ports = {target: self._lanes(target, options) for target in _TARGETS}

    @staticmethod
    def _lanes(framework: Framework, options: CheckOptions) -> list[Lane]:
        return [
            Lane(
                framework,
                options.python(framework),
                device,
                options.memory_mb,
                containment=options.containment,
            )
            for device in device_names(framework, options)
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

    def mutate(
        self,
        source: Path,
        port: Path,
        *,
        definitions: Sequence[str] | None = None,
        limit: int = 40,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> MutationScore:
        """Plant up to `limit` translation errors into each definition; see which are noticed.

        Raises:
            OSError: a file cannot be read.
            RemoteError: a file cannot be imported.
            LaneFailure: a framework is missing.
        """
        source, port = source.resolve(), port.resolve()
        texts = source.read_bytes(), port.read_bytes()
        with self.lent(target_of(texts[1])) as lanes:
            pair = Pair(lanes, self.options, source, port, texts)
            return plant(pair, definitions, limit, progress)

    @contextlib.contextmanager
    def lent(self, target: Target) -> Generator[Lanes]:
        """The lanes of a target, for one caller at a time; waits until some are free."""
        worker = self._free.get()
        try:
            yield worker.for_target(target)
        finally:
            self._free.put(worker)

    def stored(self, source: Path, port: Path, texts: tuple[bytes, bytes]) -> Verdict | None:
        """The stored verdict on a whole pair with these texts; nothing is run."""
        source, port = source.resolve(), port.resolve()
        return self._known(VerdictStore(project_root(source)), source, port, texts, None)

    def _known(
        self,
        store: VerdictStore,
        source: Path,
        port: Path,
        texts: tuple[bytes, bytes],
        definitions: Sequence[str] | None,
    ) -> Verdict | None:
        """The stored verdict of these options, or of the full check, which says all that they ask."""
        for options in dict.fromkeys([self.options, self.options.thorough()]):
            if known := store.get(_key(options, source, port, texts, definitions)):
                return known
        return None

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
        if store is not None and not fresh:
            known = self._known(store, source, port, texts, definitions)
            if known is not None:
                seconds = time.perf_counter() - start
                return known.model_copy(update={"seconds": seconds})
        lanes = worker.for_target(target_of(texts[1]))
        pair = Pair(lanes, self.options, source, port, texts)
        replays = Replays(source, port, texts) if self._store else None
        verdict = _Check(pair, definitions, progress, replays).run()
        verdict = verdict.model_copy(update={"seconds": time.perf_counter() - start})
        if store is not None:
            store.put(_key(self.options, source, port, texts, definitions), verdict)
        return verdict


def _key(
    options: CheckOptions,
    source: Path,
    port: Path,
    texts: tuple[bytes, bytes],
    definitions: Sequence[str] | None,
) -> str:
    wanted = "all" if definitions is None else "\n".join(sorted(definitions))
    frameworks: tuple[Framework, ...] = ("torch", target_of(texts[1]))
    # Whether inputs are made small is part of a verdict; for how long, it need not be asked again.
    options = options.model_copy(update={"shrink_seconds": float(options.shrink_seconds > 0)})
    return content_key(
        *texts, str(source), str(port), wanted, judge(), options.model_dump_json(),
        *(installed(options.python(framework)) for framework in frameworks),
    )  # fmt: skip


@dataclass
class _Check:
    """One check of one pair."""

    pair: Pair
    names: Sequence[str] | None
    progress: Progress | None
    replays: Replays | None

    def run(self) -> Verdict:
        """Load both files, examine each definition, and collect the verdicts."""
        pair = self.pair
        try:
            listed, lines = pair.load()
        except (LaneFailure, RemoteError) as failure:
            return self._failed(failure)
        verdicts: list[DefinitionVerdict] = []
        # The outer definitions come last in a file, and running them shows how they call the rest.
        for definition in reversed(list(pair.definitions(listed, lines, self.names))):
            if isinstance(definition, DefinitionVerdict):
                verdicts.append(definition)
                continue
            self._report(definition.name, None)
            verdict = examine(definition, pair, self.replays)
            verdicts.append(verdict)
            self._report(definition.name, verdict)
            if pair.loaded_by != [lane.pid for lane in pair.lanes.all()]:
                try:
                    pair.load()
                except (LaneFailure, RemoteError) as failure:
                    return self._failed(failure, verdicts)
        return self._verdict(verdicts)

    def _report(self, name: str, verdict: DefinitionVerdict | None) -> None:
        if self.progress is not None:
            self.progress(name, verdict)

    def _failed(
        self, failure: LaneFailure | RemoteError, verdicts: Sequence[DefinitionVerdict] = ()
    ) -> Verdict:
        category = failure.category if isinstance(failure, LaneFailure) else Category.LOAD
        message = str(failure)
        if category is not Category.FRAMEWORK and failure.output:
            message = f"{message}\n{failure.output[-2000:]}"
        return self._verdict(verdicts).model_copy(update={"error": message, "category": category})

    def _verdict(self, verdicts: Sequence[DefinitionVerdict]) -> Verdict:
        pair = self.pair
        infos = [lane.known_info() for lane in pair.lanes.all()]
        return Verdict(
            torchport=version(),
            source=str(pair.source),
            port=str(pair.port),
            target=target_of(pair.texts[1]),
            lanes=[info for info in infos if info is not None],
            definitions=sorted(verdicts, key=lambda verdict: verdict.source_line),
            dependencies=pair.dependencies,
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
