"""How the terminal interface answers while a batch runs, and what many definitions cost it.

    python bench/tui.py [--files 60] [--presses 200] [--definitions 10000]

`key` is from the press of a key to the next drawn frame that shows its effect, in the session's table,
while files are ported and checked: median and 95th percentile in ms (goal: at most 50). `idle` is the
same when nothing runs. `memory` is what the process holds (resident, MiB) with 10 definitions and with
so many, after scrolling through all of them, filtering and sorting: what is added per definition is
what the session's rows take, not what is drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from batch import generate

from torchport_checks import CheckOptions
from torchport_checks.sessions.session import Session, open_session
from torchport_translators.configuration import Configuration
from torchport_tui.app import TorchportApp
from torchport_tui.widgets.definitions import DefinitionList

SIZE = (120, 40)


async def answers(app: TorchportApp, presses: int, *, running: bool) -> list[float]:
    """Seconds from each key to the frame with its effect."""
    found: list[float] = []
    async with app.run_test(size=SIZE) as pilot:
        end = time.monotonic() + 120
        while running and app.engine.progress().phase != "checking":
            assert time.monotonic() < end, "nothing is being checked"
            await pilot.pause(0.1)
        table = app.screen_stack[0].query_one(DefinitionList)
        for n in range(presses):
            if running and app.engine.progress().phase != "checking":
                print(f"(the batch ended after {n} presses)")
                break
            key = "down" if table.cursor < table.count() // 2 else "home"
            drawn = asyncio.Event()
            before = table.cursor
            start = time.perf_counter()
            app.simulate_key(key)
            while table.cursor == before and time.perf_counter() - start < 5:
                await asyncio.sleep(0)
            app.screen.call_after_refresh(drawn.set)
            await drawn.wait()
            found.append(time.perf_counter() - start)
            await asyncio.sleep(0.02)
        app.engine.stop()
    return found


def told(name: str, seconds: list[float]) -> None:
    """Print the median and the 95th percentile."""
    ms = sorted(1000 * value for value in seconds)
    p95 = ms[int(0.95 * (len(ms) - 1))]
    print(f"{name}: median {statistics.median(ms):.0f} ms, p95 {p95:.0f} ms, {len(ms)} presses")


def resident() -> float:
    """MiB that the process holds."""
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def many(folder: Path, definitions: int) -> Session:
    """A session of so many definitions, 20 to a file, ported and not checked."""
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    text = "import torch\n" + "".join(
        f"\n\ndef f{n}(x: torch.Tensor):\n    return torch.mul(x, {n}.0)\n" for n in range(20)
    )
    for n in range(-(-definitions // 20)):
        (folder / f"file{n:04}.py").write_text(text + f"# {n}\n")
    session = open_session([str(folder)], "jax", Configuration(), review=True)
    session.scan()
    for _ in session.port(session.unported()):
        pass
    return session


async def scrolled(session: Session) -> tuple[float, float]:
    """MiB once all rows were seen, filtered and sorted; and the slowest filter key in ms."""
    app = TorchportApp(session, CheckOptions(), run=False)
    async with app.run_test(size=SIZE) as pilot:
        await app.workers.wait_for_complete()
        table = app.screen.query_one(DefinitionList)
        for _ in range(0, table.count(), table.size.height):
            table.action_page(1)
            await asyncio.sleep(0)
        slowest = 0.0
        for key in ("slash", "f", "1", "9", "escape", "s", "s", "S"):
            start = time.perf_counter()
            await pilot.press(key)
            slowest = max(slowest, time.perf_counter() - start)
        return resident(), 1000 * slowest


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Answers of the terminal interface.")
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--presses", type=int, default=200)
    parser.add_argument("--definitions", type=int, default=10_000)
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "project")
        generate(folder, arguments.files)
        session = open_session([str(folder / "src")], "jax", Configuration(), review=True)
        app = TorchportApp(session, CheckOptions())
        told("key while a batch runs", asyncio.run(answers(app, arguments.presses, running=True)))
        app = TorchportApp(session, CheckOptions(), run=False)
        told("key while idle", asyncio.run(answers(app, arguments.presses, running=False)))
        session.close()
        few = many(Path(name, "few"), 10)
        small, _ = asyncio.run(scrolled(few))
        few.close()
        session = many(Path(name, "many"), arguments.definitions)
        large, slowest = asyncio.run(scrolled(session))
        session.close()
    each = 1024 * (large - small) / arguments.definitions
    print(
        f"memory: {small:.0f} MiB with 20 definitions, {large:.0f} MiB with {arguments.definitions:,} "
        f"({each:.1f} KiB each); slowest key there {slowest:.0f} ms"
    )


if __name__ == "__main__":
    main()
