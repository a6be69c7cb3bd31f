"""Checks in the background: one at a time for a pair, the newest request wins."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from torchport_checks import Checker, CheckOptions
from torchport_checks.verdicts import Category, DefinitionVerdict, Verdict
from torchport_server.analyst import Analyst
from torchport_server.pairs import Pair
from torchport_server.survey import Survey, changed_lines

_PATIENCE = 2.0
"""Seconds that a check which has been overtaken is given to end by itself."""

_AGAIN = 0.2
"""Seconds after which workers are ended again for a check that has been stopped."""


class Cancelled(Exception):
    """Raised in the thread of a check that nobody waits for any more."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a pair at one moment."""

    source: str
    port: str

    def bytes(self) -> tuple[bytes, bytes]:
        return (
            self.source.encode("utf-8", "surrogateescape"),
            self.port.encode("utf-8", "surrogateescape"),
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """When a definition was last verified, and the texts that were."""

    texts: Texts
    when: float


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a pair.

    Attributes:
        texts: what the verdict is about.
        verified: by definition, also where a later check found a divergence.
    """

    verdict: Verdict
    texts: Texts
    verified: dict[str, Verified] = field(default_factory=dict[str, Verified])

    def of(self, name: str) -> DefinitionVerdict | None:
        return next((d for d in self.verdict.definitions if d.name == name), None)


@dataclass(eq=False, slots=True)
class Job:
    """A check that was requested. `generation` counts the requests for its pair.

    Attributes:
        cancelled: nobody waits for it any more; it stops between definitions.
        stopped: it must end now, even inside a request.
        started: it has the workers.
    """

    id: str
    pair: Pair
    generation: int
    names: tuple[str, ...] | None
    options: CheckOptions
    cancelled: bool = False
    started: bool = False
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        self.cancelled = True
        self.stopped.set()


Tell = Callable[[Job, str, int, int], Coroutine[Any, Any, None]]
"""Told of progress: the definition that is being checked, its number, and how many there are."""


class Checks:
    """Runs checks and keeps their results."""

    def __init__(self, analyst: Analyst) -> None:
        self._analyst = analyst
        self._checkers: dict[CheckOptions, Checker] = {}
        # Workers run one check at a time; who waits here can be told to give up at once.
        self._turns: dict[CheckOptions, asyncio.Lock] = {}
        # Not asyncio's own threads, which it waits for when the server ends: a check may hang.
        self._threads = ThreadPoolExecutor(thread_name_prefix="torchport-check")
        self._results: dict[Pair, Result] = {}
        self._jobs: dict[str, Job] = {}
        self._generations: dict[Pair, int] = {}
        self._numbers = itertools.count(1)

    def result(self, pair: Pair) -> Result | None:
        return self._results.get(pair)

    def running(self) -> list[Job]:
        """The jobs that have not ended, those that wait for their turn included."""
        return list(self._jobs.values())

    def checkers(self) -> list[Checker]:
        return list(self._checkers.values())

    def job(self, pair: Pair, names: tuple[str, ...] | None, options: CheckOptions) -> Job:
        """A new request for a pair; whatever was under way for it gives way."""
        generation = self._generations[pair] = self._generations.get(pair, 0) + 1
        job = Job(f"check-{next(self._numbers)}", pair, generation, names, options)
        self._jobs[job.id] = job
        return job

    def cancel(self, job_id: str) -> bool:
        """Stop a job for good; whether there was one to stop."""
        job = self._jobs.get(job_id)
        if job is None:
            return False
        job.stop()
        return True

    def restart(self) -> None:
        """End all workers; the next check starts new ones."""
        for checker in self._checkers.values():
            checker.restart()

    async def stored(self, pair: Pair, texts: Texts, options: CheckOptions) -> Result | None:
        """The result that the store has of these texts; nothing is run."""
        checker = self._checker(options)
        verdict = await asyncio.get_running_loop().run_in_executor(
            self._threads, checker.stored, pair.source, pair.port, texts.bytes()
        )
        if verdict is None or pair in self._results:
            return self._results.get(pair)
        self._results[pair] = _learned(None, verdict, texts)
        return self._results[pair]

    async def run(self, job: Job, texts: Texts, tell: Tell) -> Result | None:
        """Check a pair; None where the job was cancelled or a newer one has taken its place."""
        try:
            await self._overtake(job)
            async with self._turn(job):
                return None if self._is_old(job) else await self._run(job, texts, tell)
        except asyncio.CancelledError:
            self.close()  # the server ends: no thread may wait for a worker any more
            raise
        finally:
            job.done.set()
            del self._jobs[job.id]

    async def _run(self, job: Job, texts: Texts, tell: Tell) -> Result | None:
        job.started = True
        known = self._results.get(job.pair)
        names = job.names or await self._affected(known, texts)
        if known is not None and names == ():
            verdict = known.verdict
        else:
            verdict = await self._check(job, texts, names, tell)
        if verdict is None or self._is_old(job):
            return None
        if known is not None and names is not None:
            verdict = await self._joined(known.verdict, verdict, texts)
        result = self._results[job.pair] = _learned(known, verdict, texts)
        return result

    @contextlib.asynccontextmanager
    async def _turn(self, job: Job) -> AsyncGenerator[None]:
        """Wait until no other check uses the workers, or the job is stopped."""
        lock = self._turns.setdefault(job.options, asyncio.Lock())
        turn = asyncio.ensure_future(lock.acquire())
        await _first(turn, job.stopped)
        if not turn.done():
            turn.cancel()
            yield
            return
        try:
            yield
        finally:
            lock.release()

    async def _check(
        self, job: Job, texts: Texts, names: tuple[str, ...] | None, tell: Tell
    ) -> Verdict | None:
        loop = asyncio.get_running_loop()
        total = len(names) if names is not None else 0
        numbers = itertools.count(1)

        def progress(name: str, verdict: DefinitionVerdict | None) -> None:
            if job.cancelled:
                raise Cancelled
            if verdict is None:
                asyncio.run_coroutine_threadsafe(tell(job, name, next(numbers), total), loop)

        checker = self._checker(job.options)
        check = functools.partial(
            checker.check,
            job.pair.source,
            job.pair.port,
            definitions=names,
            progress=progress,
            texts=texts.bytes(),
        )
        work = loop.run_in_executor(self._threads, check)
        await _first(work, job.stopped)
        while not work.done():
            checker.restart()  # and again, where no worker had been started yet
            await asyncio.wait((work,), timeout=_AGAIN)
        try:
            verdict = work.result()
        except Cancelled:
            return None
        return None if job.cancelled else verdict

    async def _overtake(self, job: Job) -> None:
        """End the older jobs of the pair: one that runs may end its definition, if that is quick."""
        for old in self.running():
            if old.pair != job.pair or old.generation >= job.generation:
                continue
            old.cancelled = True
            if old.started:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(old.done.wait(), _PATIENCE)
            old.stop()
            await old.done.wait()

    def _is_old(self, job: Job) -> bool:
        return job.cancelled or self._generations[job.pair] != job.generation

    async def _affected(self, known: Result | None, texts: Texts) -> tuple[str, ...] | None:
        """The definitions whose verdicts may no longer hold; None for all of them."""
        if known is None or known.verdict.error:
            return None
        names: set[str] = set()
        for old, new in (
            (known.texts.source, texts.source),
            (known.texts.port, texts.port),
        ):
            was = await self._analyst.survey(old, known.verdict.target)
            now = await self._analyst.survey(new, known.verdict.target)
            if was.rest != now.rest:
                return None
            names |= _touched(was, now)
        names |= {d.name for d in known.verdict.definitions if d.status == "error"}
        listed = await self._analyst.survey(texts.source, known.verdict.target)
        return tuple(sorted(names & {outline.name for outline in listed.outlines}))

    async def _joined(self, old: Verdict, new: Verdict, texts: Texts) -> Verdict:
        """A new verdict on some definitions, beside those on the others, in today's lines."""
        source = await self._analyst.survey(texts.source, old.target)
        port = await self._analyst.survey(texts.port, old.target)
        known = {d.name: d for d in (*old.definitions, *new.definitions)}
        definitions: list[DefinitionVerdict] = []
        for outline in source.outlines:
            verdict = known.get(outline.name)
            if verdict is None:
                continue
            there = port.of(outline.name)
            definitions.append(verdict.moved(outline.line, there.line if there else None))
        lanes = new.lanes or old.lanes
        return new.model_copy(update={"definitions": definitions, "lanes": lanes})

    def _checker(self, options: CheckOptions) -> Checker:
        found = self._checkers.get(options)
        if found is None:
            found = self._checkers[options] = Checker(options)
        return found

    def close(self) -> None:
        """End all workers; checks under way end with an error."""
        for job in self.running():
            job.cancelled = True
        for checker in self._checkers.values():
            checker.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def culprits(self, result: Result, name: str, side: str) -> list[int]:
        """The lines (from 1) of a definition that have changed since it was last verified.

        `side` is "source" or "port". Empty where it never was, or that side is as it was.
        """
        verified = result.verified.get(name)
        if verified is None:
            return []
        old = getattr(verified.texts, side)
        new = getattr(result.texts, side)
        was = (await self._analyst.survey(old, result.verdict.target)).of(name)
        now = (await self._analyst.survey(new, result.verdict.target)).of(name)
        if was is None or now is None or was.digest == now.digest:
            return []
        lines = changed_lines(
            _part(old, was.line, was.end_line), _part(new, now.line, now.end_line)
        )
        return [min(now.line + line - 1, now.end_line) for line in lines]


async def _first(work: asyncio.Future[Any], stopped: asyncio.Event) -> None:
    """Wait until work is done, or is to be stopped."""
    waiting = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _part(text: str, line: int, end_line: int) -> str:
    return "\n".join(text.splitlines()[line - 1 : end_line])


def _touched(was: Survey, now: Survey) -> set[str]:
    """The definitions that have changed, and those that use them, however indirectly."""
    old = {outline.name: outline.digest for outline in was.outlines}
    names = {o.name for o in now.outlines if old.get(o.name) != o.digest}
    names |= old.keys() - {o.name for o in now.outlines}
    while True:
        more = {o.name for o in now.outlines if o.names & names} - names
        if not more:
            return names
        names |= more


def _learned(known: Result | None, verdict: Verdict, texts: Texts) -> Result:
    verified = dict(known.verified) if known is not None else {}
    for definition in verdict.definitions:
        if definition.status == "verified":
            verified[definition.name] = Verified(texts, time.time())
    return Result(verdict, texts, verified)


def lacks_framework(verdict: Verdict) -> bool:
    """Whether nothing could be checked because an interpreter has no framework."""
    return verdict.category is Category.FRAMEWORK


def summary(verdict: Verdict) -> str:
    """One line: "3 verified, 1 diverged"."""
    if verdict.error:
        return verdict.error.splitlines()[0]
    counts: dict[str, int] = {}
    for definition in verdict.definitions:
        counts[definition.status] = counts.get(definition.status, 0) + 1
    words = {
        "verified": "verified",
        "diverged": "diverged",
        "error": "failed",
        "not_run": "not run",
    }
    parts = [f"{counts[status]} {word}" for status, word in words.items() if status in counts]
    return ", ".join(parts) or "nothing to check"
