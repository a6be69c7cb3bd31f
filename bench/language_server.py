"""How fast the language server is, and how large.

    python bench/language_server.py [--rounds 100]

Over stdio, with a real client: `initialize` answered from a cold start; hover and the list of code
actions on a file of 5,000 lines, while a check is running; from saving a small pair to its verdict,
warm; resident memory of the server's own process after all that. Prints each beside its goal; exit
code 1 if one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from lsprotocol import types as lsp

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.translate_speed import program
from tests.server.editor import Editor, capabilities, editing

SMALL = """\
import torch
import torch.nn.functional as F
from torch import nn


class MLP(nn.Module):
    def __init__(self, width: int = 16):
        super().__init__()
        self.up = nn.Linear(width, 32)
        self.norm = nn.LayerNorm(32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(F.gelu(self.up(x)))
"""


async def cold_start(folder: Path, rounds: int) -> float:
    """Least seconds from starting the process to its answer to `initialize`."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        async with editing(folder):
            best = min(best, time.perf_counter() - start)
    return best


async def latencies(editor: Editor, folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each hover and each list of code actions, checks running all the while."""
    large = folder / "large.py"
    large.write_text(program(5000), "utf-8")
    uri = editor.open(large)
    await editor.findings(uri)  # it has been read once, as it has a moment after it was opened
    pair = (folder / "small.py").as_uri()
    running = True

    async def check() -> None:
        while running:
            seen = len(editor.statuses)
            editor.change(pair, f"{editor.texts[pair]}# again\n")
            editor.save(pair)
            await editor.verdict(seen)

    checking = asyncio.ensure_future(check())
    lines = editor.texts[uri].split("\n")
    places = [n for n, line in enumerate(lines) if "torch." in line or "F." in line]
    hovers: list[float] = []
    actions: list[float] = []
    for number in range(rounds):
        line = places[number * 37 % len(places)]
        column = max(lines[line].find("torch."), lines[line].find("F.")) + 2
        position = lsp.Position(line, column)
        document = lsp.TextDocumentIdentifier(uri)
        start = time.perf_counter()
        await editor.client.text_document_hover_async(lsp.HoverParams(document, position))
        hovers.append(time.perf_counter() - start)
        start = time.perf_counter()
        await editor.actions(uri, lsp.Range(position, position))
        actions.append(time.perf_counter() - start)
        await asyncio.sleep(0.01)
    running = False
    await checking
    return hovers, actions


async def save_to_verdict(editor: Editor, folder: Path, rounds: int) -> list[float]:
    """Seconds from saving a changed port to the diagnostics of its check."""
    port = (folder / "small_jax.py").as_uri()
    good = editor.texts[port]
    bad = good.replace("self.norm(", "2.0 * self.norm(", 1)
    found: list[float] = []
    for number in range(rounds):
        # A comment of its own each time, so that no stored verdict answers.
        editor.change(port, f"{(bad, good)[number % 2]}\nROUND = {number}\n")
        seen = len(editor.statuses)
        start = time.perf_counter()
        editor.save(port)
        await editor.verdict(seen)
        wrong = number % 2 == 0
        await editor.until(lambda wrong=wrong: bool(editor.problems(port)) is wrong)
        found.append(time.perf_counter() - start)
    return found


async def measure(rounds: int) -> list[tuple[str, float, float, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "pyproject.toml").write_text("[tool.torchport]\n")
        (folder / "small.py").write_text(SMALL)
        started = await cold_start(folder, 3)
        async with editing(folder, can=capabilities()) as editor:
            source = editor.open(folder / "small.py")
            actions = await editor.actions(source, editor.range_of(source, "class MLP"))
            seen = len(editor.statuses)
            await editor.choose(actions, "Port MLP")
            await editor.verdict(seen)
            editor.save((folder / "small_jax.py").as_uri())
            verdicts = await save_to_verdict(editor, folder, max(rounds // 10, 6))
            hovers, lists = await latencies(editor, folder, rounds)
            process = psutil.Process(editor.client._server.pid)
            memory = process.memory_info().rss / 2**20
    return [
        ("initialize, cold start", started * 1e3, 1000, "ms"),
        ("hover, p95, 5,000 lines, checking", quantile(hovers) * 1e3, 20, "ms"),
        ("code actions, p95, 5,000 lines, checking", quantile(lists) * 1e3, 50, "ms"),
        ("save to verdict, warm, median", quantile(verdicts, 0.5) * 1e3, 1000, "ms"),
        ("resident memory of the server", memory, 150, "MiB"),
    ]


def quantile(values: Sequence[float], share: float = 0.95) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    rows = asyncio.run(measure(parser.parse_args().rounds))
    for what, value, goal, unit in rows:
        print(f"{what:<42} {value:8.1f} {unit:<3}  at most {goal:,.0f}")
    return 0 if all(value <= goal for _, value, goal, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
