"""What runs a session: ports what was found, checks what was ported, and tells how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from torchport_checks.checker import Checker
from torchport_checks.options import CheckOptions
from torchport_checks.reports.checked import indirect
from torchport_checks.sessions.records import SessionProblem
from torchport_checks.sessions.scheduler import default_jobs, run_jobs
from torchport_checks.sessions.session import Session
from torchport_checks.verdicts import DefinitionVerdict, Verdict
from torchport_translators.installed import ask

Phase = Literal["idle", "scanning", "porting", "checking", "stopping"]


@dataclass(frozen=True, slots=True)
class Running:
    """A check under way: of which file, at which definition, since when (`time.monotonic`)."""

    path: str
    definition: str
    since: float


@dataclass(frozen=True, slots=True)
class LaneState:
    """A process that runs code: of which framework, on which device."""

    framework: str
    device: str
    state: Literal["off", "idle", "busy"]
    pid: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        done: of the files of this phase; `total` how many there are.
        seconds: that the phase has taken so far.
        left: seconds that it will take, by what the files so far took; None where that is not known.
    """

    phase: Phase = "idle"
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    left: float | None = None
    running: tuple[Running, ...] = ()
    lanes: tuple[LaneState, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something has happened to a file; empty for the run as a whole."""

    path: str = ""
    text: str = ""
    """For the log; empty for what is worth no line."""


Listener = Callable[[Event], None]
"""Called from the threads of the run, one at a time."""


class Engine:
    """Runs a session, again and again, in warm lanes. `run` blocks; all else may be called meanwhile,
    from any thread."""

    def __init__(
        self,
        session: Session,
        options: CheckOptions,
        *,
        jobs: int | None = None,
        listener: Listener = lambda event: None,
    ) -> None:
        """`jobs`: pairs that are checked at the same time; by default by cores and free memory."""
        self.session = session
        self.options = options
        self.jobs = jobs or default_jobs()
        self._listener = listener
        self._telling = threading.RLock()
        self._running = threading.Lock()
        self._checker: Checker | None = None
        self._stop = threading.Event()
        self._closed = False
        self._phase: Phase = "idle"
        self._began = 0.0
        self._counts = (0, 0)
        self._ran = 0
        self._now: dict[str, Running] = {}

    def listen(self, listener: Listener) -> None:
        """Tell this one from now on."""
        self._listener = listener

    def progress(self) -> Progress:
        """How far the run is; cheap enough to be asked ten times a second."""
        done, total = self._counts
        seconds = time.monotonic() - self._began if self._phase != "idle" else 0.0
        # Stored verdicts come at once: what they took says nothing of the rest.
        left = seconds / self._ran * (total - done) if self._ran else None
        return Progress(
            self._phase, done, total, seconds, left,
            tuple(sorted(self._now.copy().values(), key=lambda running: running.since)),
            self._lanes(),
        )  # fmt: skip

    def run(self, only: Collection[str] | None = None) -> bool:
        """Port and check what has not been, of all files or of some; False if it was stopped.

        Raises:
            SessionProblem: the session cannot be written, or something runs already.
        """
        if not self._running.acquire(blocking=False):
            raise SessionProblem("This session runs already.")
        try:
            if self._closed:
                return False
            self._stop.clear()
            self.session.retry()
            self._port(only)
            self._check(only)
            return not self._stop.is_set()
        finally:
            self._enter("idle", 0)
            self._running.release()
            self._tell(Event())

    def stop(self) -> None:
        """End the run: nothing further is begun, and what is under way is given up."""
        self._stop.set()
        if self._phase != "idle":
            self._phase = "stopping"
        if self._checker is not None:
            self._checker.restart()

    def close(self) -> None:
        """Stop, wait for the run, and end the lanes; nothing runs any more. Idempotent."""
        self._closed = True
        self.stop()
        with self._running:
            checker, self._checker = self._checker, None
            if checker is not None:
                checker.close()

    def _enter(self, phase: Phase, total: int) -> None:
        if phase == "idle" or not self._stop.is_set():
            self._phase = phase
        self._counts = (0, total)
        self._ran = 0
        self._began = time.monotonic()
        self._tell(Event())

    def _ask_target(self) -> None:
        """What the port's interpreter has, which decides what rules may write."""
        target = self.session.target
        ask(target, self.session.configuration.interpreter(target))

    def _port(self, only: Collection[str] | None) -> None:
        todo = [path for path in self.session.unported() if only is None or path in only]
        if not todo:
            return
        self._enter("porting", len(todo))
        self._ask_target()
        for done, path in enumerate(self.session.port(todo), 1):
            self._counts = (done, len(todo))
            self._ran = done
            file = self.session.files(path)[0]
            text = f"{path}: {file.problem}" if file.problem else ""
            self._tell(Event(path, text or f"{path}: {file.ported} of {file.total} calls ported"))
            if self._stop.is_set():
                return

    def _check(self, only: Collection[str] | None) -> None:
        todo = [path for path in self.session.unchecked() if only is None or path in only]
        if not todo or self._stop.is_set():
            return
        jobs = min(self.jobs, len(todo))
        self._enter("checking", len(todo))
        if self._checker is None:
            self._checker = Checker(self.options, workers=self.jobs)
        run_jobs(todo, self._check_file, jobs=jobs, stop=self._stop.is_set)

    def _check_file(self, path: str) -> None:
        found = self.session.texts(path)
        checker = self._checker
        if found is None or checker is None:
            return
        file, texts, again = found
        began = time.monotonic()
        self._now[path] = Running(path, "", began)
        verdict: Verdict | None = None

        def at(name: str, ended: DefinitionVerdict | None) -> None:
            if ended is None:
                self._now[path] = Running(path, name, began)
                self._tell(Event())

        try:
            verdict = checker.check(file.source, file.port, progress=at, fresh=again, texts=texts)
        finally:
            del self._now[path]
        if self._stop.is_set():
            return  # what it says is that it was ended
        kept = self.session.record(path, verdict, texts)
        with self._telling:
            done, total = self._counts
            self._counts = (done + 1, total)
            self._ran += not verdict.from_store
            self._tell(Event(path, f"{path}: {_summary(verdict)}" if kept else ""))

    def _lanes(self) -> tuple[LaneState, ...]:
        checker = self._checker
        if checker is None:
            return ()
        idle = set(map(id, checker.idle_lanes()))
        target = self.session.target
        return tuple(
            LaneState(
                lane.framework,
                lane.device,
                "off" if lane.pid is None else "idle" if id(lane) in idle else "busy",
                lane.pid,
            )
            for lane in checker.lanes()
            if lane.framework in ("torch", target)
        )

    def _tell(self, event: Event) -> None:
        with self._telling:
            if event.text:
                self.session.log(event.text)
            self._listener(event)


def _summary(verdict: Verdict) -> str:
    if verdict.error:
        return verdict.error.splitlines()[0]
    direct = [definition for definition in verdict.definitions if not indirect(definition)]
    number = sum(definition.ok for definition in direct)
    stored = ", stored" if verdict.from_store else ""
    return f"{number} of {len(direct)} verified{stored} ({verdict.seconds:.1f} s)"
