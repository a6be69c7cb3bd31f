"""The process that reads texts for the server, and what it has found out."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar, TypeVarTuple

from torchport_server.survey import Survey, survey

Ts = TypeVarTuple("Ts")
T = TypeVar("T")
_KEPT = 64


class Analyst:
    """Asks one spawned process, and keeps the latest surveys by their text."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False
        self._surveys: OrderedDict[tuple[str, str], asyncio.Future[Survey]] = OrderedDict()

    async def ask(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """The result of a function of `survey.py`; a process that has died is started again once.

        Raises:
            Exception: what the function raised.
        """
        loop = asyncio.get_running_loop()
        if self._closed:
            raise asyncio.CancelledError("the server is shutting down")
        for last in (False, True):
            pool = self._pool = self._pool or _pool()
            try:
                return await loop.run_in_executor(pool, function, *args)
            except BrokenProcessPool:
                self._pool = None
                if last:
                    raise
        raise AssertionError("unreachable")

    async def survey(self, text: str, target: str) -> Survey:
        """The survey of a text; asked for once, however many wait for it."""
        key = (text, target)
        found = self._surveys.get(key)
        if found is None:
            found = asyncio.ensure_future(self.ask(survey, text, target))
            self._surveys[key] = found
            if len(self._surveys) > _KEPT:
                self._surveys.popitem(last=False)
        self._surveys.move_to_end(key)
        try:
            # One request that is cancelled must not take the survey from the others.
            return await asyncio.shield(found)
        except asyncio.CancelledError:
            raise
        except Exception:
            self._surveys.pop(key, None)
            raise

    def known(self, text: str, target: str) -> Survey | None:
        """The survey of a text if it is there already."""
        found = self._surveys.get((text, target))
        if found is None or not found.done() or found.cancelled() or found.exception():
            return None
        return found.result()

    def close(self) -> None:
        """End the process, whatever it is at; nothing can be asked any more."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is None:
            return
        processes = list(getattr(pool, "_processes", {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            with contextlib.suppress(Exception):
                process.kill()


def _pool() -> ProcessPoolExecutor:
    # Spawned, never forked: a fork would inherit the pipes of the client.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_end_with_the_server)


def _end_with_the_server() -> None:
    """In the process: end it when the server is gone, be it killed, and no pipe tells."""
    server = multiprocessing.parent_process()
    assert server is not None

    def wait() -> None:
        server.join()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
