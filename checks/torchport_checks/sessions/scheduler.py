"""How many checks run at the same time: by cores, and by what memory is left."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

MAX_JOBS = 4
MEMORY_PER_JOB = 2 * 2**30
"""Bytes: a job's processes have a framework each, and what small pairs make of it."""
_HEADROOM = 2**30
"""Bytes that are free when a job begins beside another."""
_LOOK_SECONDS = 0.5


def available_memory() -> int:
    """Bytes that can be taken without swapping."""
    import psutil

    return psutil.virtual_memory().available


def default_jobs() -> int:
    """A job for each core, for its processes take turns; fewer where memory is short."""
    import psutil

    cores = len(psutil.Process().cpu_affinity()) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(MAX_JOBS, cores, available_memory() // MEMORY_PER_JOB))


def run_jobs(
    items: Iterable[T],
    work: Callable[[T], None],
    *,
    jobs: int,
    stop: Callable[[], bool] = lambda: False,
    free: Callable[[], int] = available_memory,
) -> None:
    """Do `work` on each item, in order, at most `jobs` at the same time, each in a thread.

    One job runs however little memory there is; a further one begins only while a GiB is free.

    Args:
        stop: once it is true, no further item is begun.
        free: bytes of memory that are free.

    Raises:
        BaseException: the first that `work` raised, or an interrupt of the waiting; what is under way
            is waited for, the rest is not begun.
    """
    waiting = deque(items)
    changed = threading.Condition()
    raised: list[BaseException] = []
    active = 0

    def take() -> T | None:
        nonlocal active
        with changed:
            while not raised and not stop() and waiting:
                if not active or free() >= _HEADROOM:
                    active += 1
                    return waiting.popleft()
                changed.wait(_LOOK_SECONDS)
            return None

    def loop() -> None:
        nonlocal active
        while (item := take()) is not None:
            try:
                work(item)
            except BaseException as error:
                raised.append(error)
            finally:
                with changed:
                    active -= 1
                    changed.notify_all()

    threads = [threading.Thread(target=loop, name=f"torchport-job-{n}") for n in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as interrupt:
        raised.insert(0, interrupt)
        for thread in threads:
            thread.join()
    if raised:
        raise raised[0]
