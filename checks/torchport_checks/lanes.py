"""A lane: one framework on one device, in a worker process that runs the user's code.

The process is spawned, never forked, in the strongest containment that works (`containment.py`) and
a directory of its own, with a clean environment and limits on time, memory, processes and disk.
Whatever the code does to it costs one request: it is killed with all that it started, and the next
request starts a new one. So does the next pair where one has left the framework other than it was
(`worker/pristine.py`).
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from torchport_checks.containment import (
    PROCESS_GROUP,
    Containment,
    Scratch,
    Setting,
    available,
    descendants,
    end_descendants,
    end_namespace,
)
from torchport_checks.options import Framework
from torchport_checks.verdicts import Category, LaneInfo
from torchport_checks.worker import MARK, protocol

WORKER = Path(__file__).parent / "worker" / "__main__.py"
_START_TIMEOUT = 180.0
_POLL_SECONDS = 0.05
_FAMILY_SECONDS = 0.25
_DISK_SECONDS = 0.5
_GRACE_SECONDS = 1.0
_MAX_PROCESSES = 64
_RESERVED_FACTOR = 8
_KEPT_OUTPUT = 16 * 1024

# What a framework, a compiler cache or the loader may need, and nothing that could be a secret.
_ENVIRONMENT = re.compile(
    r"(PATH|HOME|USER|LANG|TZ|TMPDIR|PYTHONPATH|VIRTUAL_ENV|CONDA_PREFIX|LD_LIBRARY_PATH"
    r"|DYLD_\w+|LC_\w+|XDG_CACHE_HOME|CUDA_\w+|NVIDIA_\w+|ROCM?_\w+|HIP_\w+|HSA_\w+|TPU_\w+"
    r"|XLA_\w+|JAX_\w+|TORCH_\w+|TORCHINDUCTOR_\w+|PYTORCH_\w+|OMP_\w+|MKL_\w+|OPENBLAS_\w+|MLX_\w+)"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|AUTH", re.IGNORECASE)


class LaneFailure(Exception):
    """The lane did not answer: its process ended, took too long or too much, or did not start.

    Attributes:
        category: what happened.
        output: the end of what the code had printed.
    """

    def __init__(self, category: Category, message: str, output: str = "") -> None:
        super().__init__(message)
        self.category = category
        self.output = output


class RemoteError(Exception):
    """The code in the lane raised.

    Attributes:
        type: the exception's class name.
        line: the line of the loaded file in which it arose, where known.
        traceback: as text, bounded.
        output: the end of what the code had printed.
    """

    def __init__(self, error: dict[str, Any], output: str = "") -> None:
        super().__init__(
            f"{error['type']}: {error['message']}" if error["message"] else error["type"]
        )
        self.type: str = error["type"]
        self.message: str = error["message"]
        self.line: int | None = error["line"]
        self.traceback: str = error["traceback"]
        self.category: str | None = error.get("category")
        self.output = output


def clean_environment(framework: Framework, device: str) -> dict[str, str]:
    """The environment of a lane: an allowlist of this process's, and what the device needs."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if _ENVIRONMENT.fullmatch(name) and not _SECRET.search(name)
    }
    environment["PYTHONUNBUFFERED"] = "1"
    if framework == "jax":
        environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        if device != "any":
            environment["JAX_PLATFORMS"] = {"gpu": "cuda"}.get(device, device)
    return environment


class _Excess(Exception):
    """The worker used more of something than it may."""


@dataclass
class _Process:
    """A running worker: its pipes, and the end of what it printed since the last request."""

    popen: subprocess.Popen[bytes]
    """The first of the lane's processes; on Linux the worker is below it."""
    scratch: Scratch
    namespaced: bool
    memory_bytes: int
    disk_bytes: int
    selector: selectors.BaseSelector
    printed: deque[bytes] = field(default_factory=deque[bytes])
    printed_bytes: int = 0
    worker: psutil.Process | None = None
    """What runs the code, once it has answered."""
    own: frozenset[int] = frozenset()
    """The processes there were when it first answered."""
    reserved_bytes: int = 0
    """Address space in use once the framework has started."""
    interrupted: bool = False
    looks: dict[str, float] = field(default_factory=dict[str, float])
    """When each limit is to be looked at next."""

    def has_ended(self) -> bool:
        """Whether it was killed, died by itself, or wrote unasked, between requests."""
        assert self.popen.stdout is not None
        return self.interrupted or self.popen.poll() is not None or bool(self.popen.stdout.read(1))

    def settle(self) -> None:
        """Take what runs now as what belongs to it: it has loaded the framework and nothing else."""
        family = [psutil.Process(pid) for pid in [self.popen.pid, *descendants(self.popen.pid)]]
        self.own = frozenset(process.pid for process in family)
        self.worker = max(family, key=lambda process: process.memory_info().rss)
        self.reserved_bytes = self.worker.memory_info().vms

    def is_worn(self) -> bool:
        """Whether what ran before left processes, or so much in memory or on disk, that the next
        code could be blamed for it."""
        for pid in set(descendants(self.popen.pid)) - self.own:
            with contextlib.suppress(psutil.Error):
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    return True
        with contextlib.suppress(psutil.Error):
            if self.worker is not None and 2 * self.worker.memory_info().rss > self.memory_bytes:
                return True
        return self.scratch.used(self.disk_bytes // 2) > self.disk_bytes // 2

    def hold_limits(self) -> None:
        """Look at what it uses, each by its own clock.

        Raises:
            MemoryError: too much memory.
            _Excess: too many processes, or too much disk.
        """
        with contextlib.suppress(psutil.Error):
            if self.worker is not None and self._due("memory", _POLL_SECONDS):
                used = self.worker.memory_info()
                # What was asked for and not yet written is not resident; frameworks reserve some.
                asked = used.vms - self.reserved_bytes
                if used.rss > self.memory_bytes or asked > _RESERVED_FACTOR * self.memory_bytes:
                    raise MemoryError
        if self._due("family", _FAMILY_SECONDS):
            family = descendants(self.popen.pid)
            if len(family) > _MAX_PROCESSES:
                raise _Excess(f"started more than {_MAX_PROCESSES} processes")
            if _memory_of(family, self.memory_bytes) > self.memory_bytes:
                raise MemoryError
        if self._due("disk", _DISK_SECONDS):
            start = time.monotonic()
            if self.scratch.used(self.disk_bytes) > self.disk_bytes:
                raise _Excess(f"wrote more than {self.disk_bytes >> 20} MiB of files")
            self.looks["disk"] += 10 * (time.monotonic() - start)

    def _due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self.looks.get(what, 0.0):
            return False
        self.looks[what] = now + seconds
        return True

    def end(self) -> None:
        """SIGKILL all its processes; from any thread."""
        if self.popen.returncode is not None:
            return
        if self.namespaced:
            end_namespace(self.popen.pid)
        else:
            end_descendants(self.popen.pid)
            if sys.platform != "linux":
                self.popen.kill()  # elsewhere the first process is the worker

    def close(self) -> None:
        """End the process with all it started, and remove its directory."""
        self.end()
        try:
            # On Linux the first process ends by itself when nothing is left below it.
            self.popen.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.selector.close()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.scratch.close()


def _memory_of(pids: list[int], limit: int) -> int:
    """Bytes resident in all processes together, shared pages counted once where it matters."""
    processes: list[psutil.Process] = []
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            total += process.memory_info().rss
            processes.append(process)
    if total <= limit or sys.platform != "linux":
        return total
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


class Lane:
    """One framework on one device. Starts at the first request; safe to use from any thread.

    Requests run one after the other in a thread of the lane's own: on Linux the kernel ends a worker
    with the *thread* that started it, so that thread must last as long as the lane.
    """

    def __init__(
        self,
        framework: Framework,
        interpreter: str,
        device: str = "cpu",
        memory_mb: int = 8192,
        *,
        disk_mb: int = 1024,
        containment: Setting | Containment = "auto",
    ) -> None:
        self.framework: Framework = framework
        self.interpreter = interpreter
        self.device = device
        self._wanted = containment
        self._forms: tuple[Containment, ...] = ()
        self._disk = disk_mb * 2**20
        total = psutil.virtual_memory().total
        self._memory = min(memory_mb * 2**20, int(total * 0.75))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"torchport-{framework}")
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._closed = False
        self._hello: dict[str, Any] = {}

    def submit(self, operation: str, *, timeout: float, **arguments: Any) -> Future[Any]:
        """Ask the worker for `operation`; the future holds its answer.

        Raises:
            LaneFailure: the lane is closed; or, from the future, there is no answer.
            RemoteError: from the future, the code in the lane raised.
        """
        try:
            return self._thread.submit(self._request, operation, timeout, arguments)
        except RuntimeError as error:
            raise self._is_closed() from error

    def request(self, operation: str, *, timeout: float, **arguments: Any) -> Any:
        """`submit`, and wait."""
        return self.submit(operation, timeout=timeout, **arguments).result()

    def hello(self) -> dict[str, Any]:
        """What the worker says of itself: `version`, `devices`, `python`. Starts it if need be."""
        self.request("ping", timeout=_START_TIMEOUT)
        return self._hello

    @property
    def pid(self) -> int | None:
        """The id of the first of its processes while it runs."""
        process = self._process
        return process.popen.pid if process is not None else None

    @property
    def containment(self) -> str:
        """The form that is active, or was last; empty before the first request."""
        return self._forms[0].name if self._forms else ""

    def known_info(self) -> LaneInfo | None:
        """The lane, for a verdict; None before its worker has ever answered."""
        if not self._hello:
            return None
        return LaneInfo(
            framework=self.framework,
            version=self._hello["version"],
            device=self._hello["device"],
            interpreter=self.interpreter,
            containment=self.containment,
        )

    def recycle(self) -> None:
        """End the worker; the next request starts a fresh one."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.close()

    def interrupt(self) -> None:
        """End the worker while it runs: the request under way fails, the next starts a new one."""
        with self._lock:
            process = self._process
        if process is not None:
            # Killed here, reaped by the thread that reads from it, now or with the next request.
            process.interrupted = True
            process.end()

    def close(self) -> None:
        """End the worker and its thread; a request under way fails. Idempotent."""
        with self._lock:
            self._closed = True
        self.interrupt()
        self._thread.shutdown(wait=True)
        self.recycle()

    def _request(self, operation: str, timeout: float, arguments: dict[str, Any]) -> Any:
        process, message = self._process, {"op": operation, "args": arguments}
        if process is not None and (
            process.has_ended() or (operation == "load" and process.is_worn())
        ):
            self.recycle()
        answer = self._ask(message, timeout)
        if "spoiled" in answer:
            # Code that ran before has changed the framework itself; this one gets a fresh one.
            self.recycle()
            answer = self._ask(message, timeout)
        if answer.get("error") is not None:
            raise RemoteError(answer["error"], self._output(self._process))
        return answer["result"]

    def _ask(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        process = self._process or self._start()
        process.printed.clear()
        process.printed_bytes = 0
        return self._exchange(process, message, timeout)

    def _is_closed(self) -> LaneFailure:
        return LaneFailure(Category.CRASH, f"The {self.framework} lane is closed.")

    def _start(self) -> _Process:
        if isinstance(self._wanted, Containment):
            self._forms = self._forms or (self._wanted, PROCESS_GROUP)
        elif not self._forms:
            # `any` runs no code but asks for devices; a TPU's runtime asks the network for its own.
            plain = self._wanted == "off" or self.device in ("any", "tpu")
            self._forms = (PROCESS_GROUP,) if plain else available()
        while True:
            with self._lock:
                if self._closed:
                    raise self._is_closed()
                self._process = process = self._spawn(self._forms[0])
            try:
                hello = self._exchange(process, None, _START_TIMEOUT)
                break
            except LaneFailure as failure:
                weaker = self._forms[1:]
                if failure.category is not Category.CRASH or process.interrupted or not weaker:
                    raise
                self._forms = weaker  # nothing of the user's has run: it is the containment
        if "missing" in hello:
            self.recycle()
            raise LaneFailure(Category.FRAMEWORK, _missing(self, hello["missing"], hello["detail"]))
        self._hello = hello
        with contextlib.suppress(psutil.Error):
            process.settle()
        return process

    def _spawn(self, containment: Containment) -> _Process:
        scratch = Scratch(self.framework)
        worker = [self.interpreter, str(WORKER), self.framework, self.device, str(self._disk)]
        try:
            popen = subprocess.Popen(
                [*containment.wrap(scratch.path), *worker],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=scratch.work,
                env={**clean_environment(self.framework, self.device), **scratch.environment()},
                start_new_session=True,
            )
        except OSError as error:
            scratch.close()
            raise LaneFailure(
                Category.FRAMEWORK,
                f"The interpreter for {self.framework}, {self.interpreter}, does not start: "
                f"{error.strerror}. {_advice(self.framework)}",
            ) from error
        selector = selectors.DefaultSelector()
        for stream in (popen.stdout, popen.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        assert popen.stdin is not None
        os.set_blocking(popen.stdin.fileno(), False)
        namespaced = containment is not PROCESS_GROUP
        return _Process(popen, scratch, namespaced, self._memory, self._disk, selector)

    def _exchange(self, process: _Process, message: Any, timeout: float) -> dict[str, Any]:
        """Write `message` (None when the worker starts) and read one answer.

        Raises:
            LaneFailure: there is none; the worker has been ended.
        """
        deadline = time.monotonic() + timeout
        try:
            if message is not None:
                _write(process, protocol.dump(message), deadline)
            read = _reader(process, deadline)
            if message is None:
                _skip_to_mark(read)
            answer = protocol.load(read)
            if not isinstance(answer, dict):
                raise ValueError("an answer is a dict")
            return cast("dict[str, Any]", answer)
        except TimeoutError as error:
            raise self._failure(
                process,
                Category.TIMEOUT,
                f"The {self.framework} side took longer than {timeout:g} s and was ended. Check "
                "smaller inputs, or raise the timeout.",
            ) from error
        except MemoryError as error:
            raise self._failure(
                process,
                Category.MEMORY,
                f"The {self.framework} side used more than {process.memory_bytes >> 20} MiB and was "
                "ended. Check smaller inputs, or raise the memory limit.",
            ) from error
        except _Excess as error:
            message = f"The {self.framework} side {error} and was ended."
            raise self._failure(process, Category.CRASH, message) from error
        except (EOFError, BrokenPipeError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(_GRACE_SECONDS)
            raise self._failure(
                process, Category.CRASH, _ending(self.framework, process.popen.poll())
            ) from error
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise self._failure(
                process,
                Category.CRASH,
                f"The {self.framework} side wrote to the pipe of its answers and was ended.",
            ) from error

    def _failure(self, process: _Process, category: Category, message: str) -> LaneFailure:
        output = self._output(process)
        self.recycle()
        return LaneFailure(category, message, output)

    def _output(self, process: _Process | None) -> str:
        if process is None:
            return ""
        _drain(process)
        text = b"".join(process.printed)[-_KEPT_OUTPUT:].decode(errors="replace").strip()
        if process.printed_bytes > _KEPT_OUTPUT:
            return f"... ({process.printed_bytes:,} bytes printed)\n{text}"
        return text


def _ending(framework: str, code: int | None) -> str:
    number = -code if code is not None and code < 0 else (code or 0) - 128
    if code is None:
        how = "closed its pipes"
    elif number in set(signal.Signals):
        name = signal.Signals(number).name
        how = f"was ended by {name}"
        if name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL"):
            how += ", a fault in native code"
        elif name == "SIGKILL":
            how += ", as the system does when memory runs out"
    else:
        how = f"ended with exit code {code}"
    return f"The {framework} side's process {how} while it ran the code."


def _advice(framework: Framework) -> str:
    mlx = "mlx numpy" if sys.platform == "darwin" else "'mlx[cpu]' numpy"
    packages = {"torch": "torch numpy", "jax": "jax flax", "mlx": mlx}[framework]
    return (
        f"Install it there (python -m pip install {packages}), or name an interpreter that has it "
        f"(python.{framework} under [tool.torchport] in pyproject.toml)."
    )


def _missing(lane: Lane, module: str, detail: str) -> str:
    return f"{lane.interpreter} cannot import {module}: {detail}. {_advice(lane.framework)}"


def _wait(process: _Process, deadline: float) -> None:
    """Sleep until a pipe is ready, collecting what the code prints and holding both limits."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    ready = process.selector.select(min(remaining, _POLL_SECONDS))
    if any(key.fileobj is process.popen.stderr for key, _ in ready):
        _drain(process)
    if process.interrupted:
        raise EOFError
    process.hold_limits()  # whatever is ready: code may print without end


def _drain(process: _Process) -> None:
    """Take what the code has printed, keeping the end of it."""
    stream = process.popen.stderr
    assert stream is not None
    for _ in range(16):  # bounded: code may print faster than this reads
        try:
            data = stream.read(65536)
        except (OSError, ValueError):
            return
        if data is None:
            return
        if not data:
            with contextlib.suppress(KeyError, ValueError):
                process.selector.unregister(stream)
            return
        process.printed.append(data)
        process.printed_bytes += len(data)
        while len(process.printed) > 1 and sum(map(len, process.printed)) > 2 * _KEPT_OUTPUT:
            process.printed.popleft()


def _write(process: _Process, pieces: list[bytes | memoryview], deadline: float) -> None:
    stream = cast("Any", process.popen.stdin)
    process.selector.register(stream, selectors.EVENT_WRITE)
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                written: int | None = stream.write(view)
                if written is None:
                    _wait(process, deadline)
                else:
                    view = view[written:]
    finally:
        process.selector.unregister(stream)


def _skip_to_mark(read: Callable[[int], memoryview]) -> None:
    """Pass over what the interpreter printed before the worker had its pipes for itself."""
    seen = b""
    while not seen.endswith(MARK):
        seen = seen[-len(MARK) :] + bytes(read(1))


def _reader(process: _Process, deadline: float) -> Any:
    stream = cast("Any", process.popen.stdout)

    def read(count: int) -> memoryview:
        if not 0 <= count <= process.memory_bytes:
            raise ValueError("no answer is larger than what the lane may hold")
        data = bytearray(count)
        view, done = memoryview(data), 0
        while done < count:
            received: int | None = stream.readinto(view[done:])
            if received is None:
                _wait(process, deadline)
            elif received == 0:
                raise EOFError
            else:
                done += received
        return view

    return read
