"""What a session costs over many files, on one core and on two.

    python bench/batch.py [--files 200] [--rounds 1] [--full]

Writes so many small files, every twentieth of which does not parse, and runs `torchport batch` over
them from nothing, by one job bound to one core and by two bound to two, in turn; processes and their
start included. `ratio` is of the two times. `resume` is the same command again, which finds all done.
Goal: at least 1.7.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = """\
import torch
from torch import nn


# torchport: check(x=f32[4, {n}])
class Block{n}(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear({n}, {n})

    def forward(self, x):
        return torch.relu(self.linear(x)) + x


def pooled(x: torch.Tensor):
    weights = torch.softmax(x * {n}.0, dim=-1)
    return (weights * x).sum(dim=-1)
"""
BROKEN = "import torch\n\n\ndef broken(x:\n    return torch.mul(x\n"


def generate(folder: Path, files: int) -> None:
    """The files of a run; they have no two texts alike, so that no verdict is shared."""
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    (folder / "src").mkdir()
    for n in range(files):
        text = SOURCE.format(n=n + 4) if n % 20 else BROKEN
        (folder / "src" / f"file{n:04}.py").write_text(text)


def run(folder: Path, jobs: int, cores: set[int], full: bool) -> tuple[float, dict[str, int]]:
    """Seconds of one command, and the states that it reports."""
    command = [sys.executable, "-m", "torchport", "batch", "src", "--json", "--jobs", str(jobs)]
    start = time.perf_counter()
    process = subprocess.run(
        command if full else [*command, "--quick"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    seconds = time.perf_counter() - start
    if process.returncode not in (0, 1):
        sys.exit(process.stderr)
    return seconds, json.loads(process.stdout)["states"]


def main() -> None:
    """Print the times, the ratio, and the states."""
    parser = argparse.ArgumentParser(description="Many files, by one job and by two.")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="full checks, not quick ones")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("Two cores are needed.")
    times: dict[int, list[float]] = {1: [], 2: []}
    again: list[float] = []
    states: dict[str, int] = {}
    for _ in range(arguments.rounds):
        for jobs in (1, 2):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name, "project")
                generate(folder, arguments.files)
                seconds, states = run(folder, jobs, set(cores[:jobs]), arguments.full)
                times[jobs].append(seconds)
                if jobs == 2:
                    again.append(run(folder, jobs, set(cores), arguments.full)[0])
                shutil.rmtree(folder)
    one, two = statistics.median(times[1]), statistics.median(times[2])
    load = os.getloadavg()[0]
    print(f"{arguments.files} files: one core {one:.1f} s, two cores {two:.1f} s")
    print(
        f"ratio {one / two:.2f} (goal 1.7); resume {statistics.median(again):.2f} s; load {load:.1f}"
    )
    print("states:", ", ".join(f"{number} {state}" for state, number in states.items() if number))


if __name__ == "__main__":
    main()
