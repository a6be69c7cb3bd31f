"""Many checks in one session, a tenth of them hostile: what leaks, and is every verdict right?

    python bench/soak.py [CHECKS]

Prints checks per second, the verdicts that were right, and the processes, descriptors and memory of
this process along the way. Exit code 1 where a verdict was wrong or something leaked.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from torchport_checks import Checker, CheckOptions

CHECKS = 2000
OPTIONS = CheckOptions(timeout=3, memory_mb=900, draws=("normal",))
GROWTH = 32 * 2**20
"""Bytes by which this process may grow between the first tenth, with everything loaded, and the
last: some hundredth of what one lane holds."""

TORCH = "import torch\n\n\n# torchport: check(x=f32[3, 4])\ndef f(x):\n    {}\n    return {}\n"
JAX = "import jax.numpy as jnp\n\n\ndef f(x):\n    {}\n    return {}\n"


@dataclass(frozen=True)
class Case:
    """A pair, and the outcome (status and category) that is right for it."""

    name: str
    expected: tuple[str, str | None]
    torch: str
    jax: str

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The paths of source and port."""
        source, port = folder / f"{self.name}.py", folder / f"{self.name}_jax.py"
        source.write_text(self.torch)
        port.write_text(self.jax)
        return source, port


def _plain(name: str, original: str, port: str, *expected: str | None) -> Case:
    return Case(name, (str(expected[0]), expected[1]), TORCH.format("pass", original),
                JAX.format("pass", port))  # fmt: skip


def _hostile(name: str, statement: str, status: str, category: str | None) -> list[Case]:
    """The same in the original's lane, and in the port's."""
    return [
        Case(f"{name}_torch", (status, category), TORCH.format(statement, "x"),
             JAX.format("pass", "x")),
        Case(f"{name}_jax", (status, category), TORCH.format("pass", "x"),
             JAX.format(statement, "x")),
    ]  # fmt: skip


PLAIN = [
    _plain("double", "x * 2", "x * 2", "verified", None),
    _plain("softmax", "torch.softmax(x, 1)", "jnp.exp(x) / jnp.exp(x).sum(1, keepdims=True)",
           "verified", None),
    _plain("spread", "x.std(1)", "jnp.std(x, axis=1)", "diverged", "MISMATCH"),
    _plain("product", "x @ x.T", "x @ x.T", "verified", None),
    _plain("turned", "x.T", "x", "diverged", "SHAPE"),
    _plain("mean", "x.mean(0)", "x.mean(0)", "verified", None),
]  # fmt: skip

HOG = "kept = []\n    while True: kept.append(bytearray(b'x') * 2**25)"
HOSTILE = [
    case
    for cases in zip(
        _hostile("crash", "import ctypes; ctypes.string_at(0)", "error", "CRASH"),
        _hostile("hang", "while True: pass", "error", "TIMEOUT"),
        _hostile("memory", HOG, "error", "MEMORY"),
        _hostile("flood", "import os; os.write(1, b'noise ' * 10**6)", "verified", None),
        strict=True,
    )
    for case in cases
]


class Usage:
    """What this process holds, before and along the run."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.descriptors = self.process.num_fds()
        self.directories = self._lane_directories()

    def rss(self) -> int:
        """Bytes resident."""
        return self.process.memory_info().rss

    def line(self) -> str:
        """Memory, descriptors, and processes below this one."""
        below = len(self.process.children(recursive=True))
        return f"{self.rss() / 2**20:6.0f} MiB, {self.process.num_fds()} descriptors, {below} processes"

    def leaks(self) -> list[str]:
        """What there is now, after the end, and was not there before."""
        leaks = [f"process {child.pid}" for child in self.process.children(recursive=True)]
        leaks += [str(path) for path in self._lane_directories() - self.directories]
        if (now := self.process.num_fds()) > self.descriptors:
            leaks.append(f"{now - self.descriptors} descriptors")
        return leaks

    @staticmethod
    def _lane_directories() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob("torchport-lane-*"))


def main() -> int:
    """Run, print, and return the exit code."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CHECKS
    usage, faults, begin = Usage(), list[str](), time.perf_counter()
    kinds: Counter[str] = Counter()
    first = last = 0
    with tempfile.TemporaryDirectory() as folder, Checker(OPTIONS, store=False) as checker:
        pairs = {case.name: case.write(Path(folder)) for case in (*PLAIN, *HOSTILE)}
        for number in range(count):
            hostile = number % 10 == 9
            cases, index = (HOSTILE, number // 10) if hostile else (PLAIN, number)
            case = cases[index % len(cases)]
            verdict = checker.check(*pairs[case.name])
            found = verdict.of("f") if verdict.definitions else verdict
            kinds[case.name.split("_")[0] if hostile else "plain"] += 1
            if (found.status, found.category) != case.expected:
                faults.append(f"check {number} ({case.name}): {found.status}, {found.category}")
                print(faults[-1], getattr(found, "message", verdict.error), flush=True)
            if (number + 1) % max(1, count // 10) == 0:
                first, last = first or usage.rss(), usage.rss()
                rate = (number + 1) / (time.perf_counter() - begin)
                print(f"{number + 1:6} checks, {rate:5.2f} a second, {usage.line()}", flush=True)
        contained = {lane.framework: lane.containment for lane in checker.lanes()}
    seconds = time.perf_counter() - begin
    leaks = usage.leaks()
    if last - first > GROWTH:
        leaks.append(f"{(last - first) / 2**20:.0f} MiB of memory")
    print(f"{count} checks in {seconds:.0f} s ({count / seconds:.2f} a second): {dict(kinds)}")
    print(f"containment: {contained}")
    print(f"verdicts right: {count - len(faults)} of {count}")
    print(f"leaked: {', '.join(leaks) or 'nothing'}; {usage.line()}")
    return 1 if faults or leaks else 0


if __name__ == "__main__":
    sys.exit(main())
