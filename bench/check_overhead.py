"""What a check costs: single ones in warm lanes, and many in a batch.

    python bench/check_overhead.py [--repeat 9]
    python bench/check_overhead.py --batch 100 [--rounds 3] [--quick]

For each snippet, quick (what the editor runs on save) and full: `bare` is what a script would do in the
same warm processes, torch's part and JAX's part added: run the file, construct the module, and for as
many draws of the inputs call it and take the gradients of its parameters and inputs. `first` is the
first check of the pair there, `again` the median of further ones (what an edit costs), and `ratio` is
of that to `bare`. `busy` is the processor time of all processes during the check before it, which other
load changes less. All in seconds. A full check runs more beside the draws: other sizes and dtypes, the port eagerly and
compiled, float64, training steps, initial values.

`--batch` is `torchport port --fresh` over so many files, by one job and by two in turn, processes and
their start included.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil

from torchport_checks import Checker, CheckOptions
from torchport_checks.worker.protocol import Array
from torchport_translators.translate import translate

HEADER = """\
import math

import torch
import torch.nn.functional as F
from torch import nn


"""
WARM = """
        # torchport: check(x=f32[3])
        def warm(x):
            return x * 2
        """
SNIPPETS = {
    "function": (
        """
        # torchport: check(x=f32[8, 64])
        def pooled(x):
            weights = torch.softmax(x, dim=-1)
            return (weights * x).sum(dim=-1), torch.logsumexp(x, dim=-1)
        """,
        (8, 64),
    ),
    "mlp": (
        """
        # torchport: check(x=f32[8, 64])
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.up = nn.Linear(64, 128)
                self.down = nn.Linear(128, 64)
                self.norm = nn.LayerNorm(64)

            def forward(self, x):
                return self.norm(x + self.down(F.gelu(self.up(x))))
        """,
        (8, 64),
    ),
    "conv": (
        """
        # torchport: check(x=f32[2, 3, 16, 16])
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
                self.norm = nn.BatchNorm2d(8)
                self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
                self.head = nn.Linear(8, 10)

            def forward(self, x):
                x = F.relu(self.norm(self.conv1(x)))
                x = F.max_pool2d(F.relu(self.conv2(x)), 2)
                return self.head(x.mean(dim=(2, 3)))
        """,
        (2, 3, 16, 16),
    ),
    "lstm": (
        """
        # torchport: check(x=f32[4, 12, 16])
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = nn.LSTM(16, 24, batch_first=True)
                self.out = nn.Linear(24, 5)

            def forward(self, x):
                h, _ = self.lstm(x)
                return self.out(h[:, -1])
        """,
        (4, 12, 16),
    ),
    "attention": (
        """
        # torchport: check(x=f32[2, 16, 32])
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.qkv = nn.Linear(32, 96)
                self.out = nn.Linear(32, 32)
                self.drop = nn.Dropout(0.1)

            def forward(self, x):
                q, k, v = self.qkv(x).chunk(3, dim=-1)
                mask = torch.tril(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool))
                scores = (q @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
                scores = scores.masked_fill(~mask, float("-inf"))
                return self.out(self.drop(torch.softmax(scores, dim=-1)) @ v)
        """,
        (2, 16, 32),
    ),
}

BARE_TORCH = """
import math, numpy as np, torch
def once(text, draws):
    module = {"__name__": "bare"}
    exec(compile(text, "bare.py", "exec"), module)
    target = module["Model"]() if "Model" in module else module["pooled"]
    parameters = list(target.parameters()) if "Model" in module else []
    if parameters:
        target.eval()
    for draw in draws:
        x = torch.from_numpy(draw).requires_grad_()
        output = target(x)
        outputs = output if isinstance(output, tuple) else (output,)
        seeds = [torch.ones_like(item) for item in outputs]
        gradients = torch.autograd.grad(outputs, [x, *parameters], seeds)
        results = [item.detach().numpy() for item in (*outputs, *gradients)]
"""
BARE_JAX = """
import numpy as np, jax, jax.numpy as jnp
from flax import nnx
def once(text, draws):
    module = {"__name__": "bare"}
    exec(compile(text, "bare.py", "exec"), module)
    if "Model" in module:
        model = module["Model"](rngs=nnx.Rngs(0))
        model.eval()
        graph, parameters, rest = nnx.split(model, nnx.Param, ...)
        call = lambda parameters, x: nnx.merge(graph, parameters, rest)(x)
    else:
        parameters, call = (), lambda parameters, x: module["pooled"](x)
    for draw in draws:
        output, pull = jax.vjp(call, parameters, jnp.asarray(draw))
        gradients = pull(jax.tree.map(jnp.ones_like, output))
        results = jax.tree.map(np.asarray, (output, gradients))
"""
TIMED = """
import json, time
def timed(text, shape, count, repeat):
    rng = np.random.default_rng(0)
    draws = [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]
    once(text, draws); once(text, draws)
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        once(text, draws)
        times.append(time.perf_counter() - start)
    return times
settings = json.loads({settings!r})
open(settings.pop("result"), "w").write(json.dumps(timed(**settings)))
"""


def bare(checker: Checker, framework: str, text: str, shape: tuple[int, ...], count: int,
         repeat: int, folder: Path) -> float:  # fmt: skip
    """Median seconds of the bare run of one framework, in the checker's own worker process."""
    (lane,) = [lane for lane in checker.idle_lanes() if lane.framework == framework]
    result = folder / "times.json"
    settings = {"text": text, "shape": shape, "count": count, "repeat": repeat,
                "result": str(result)}  # fmt: skip
    program = (BARE_TORCH if framework == "torch" else BARE_JAX) + TIMED.format(
        settings=json.dumps(settings)
    )
    source = Array("uint8", np.frombuffer(program.encode(), np.uint8))
    lane.request("load", timeout=300, path=str(folder / "bare_run.py"), source=source)
    return statistics.median(json.loads(result.read_text()))


def texts(snippet: str) -> tuple[str, str]:
    """A snippet as a file, and its port."""
    text = SNIPPETS[snippet][0] if snippet in SNIPPETS else WARM
    source = HEADER + textwrap.dedent(text).lstrip()
    return source, translate(source, "jax", name="model.py").text


def write(folder: Path, name: str, snippet: str) -> tuple[Path, Path]:
    """The paths of a new pair."""
    pair = folder / f"{name}.py", folder / f"{name}_jax.py"
    for path, text in zip(pair, texts(snippet), strict=True):
        path.write_text(text, "utf-8")
    return pair


def processor_seconds(checker: Checker) -> float:
    """Of this process and of the checker's lanes so far."""
    total = time.process_time()
    for lane in checker.lanes():
        if lane.pid is not None:
            root = psutil.Process(lane.pid)
            times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
            total += sum(found.user + found.system for found in times)
    return total


def seconds(checker: Checker, pair: tuple[Path, Path]) -> tuple[float, float]:
    """Of one check: by the clock, and of processors."""
    busy, start = processor_seconds(checker), time.perf_counter()
    verdict = checker.check(*pair)
    assert verdict.ok, verdict
    return time.perf_counter() - start, processor_seconds(checker) - busy


def single_checks(repeat: int) -> None:
    """Quick and full checks of each snippet in warm lanes, and the bare runs."""
    quick = CheckOptions(containment="off")  # the bare runs write their times to a file
    columns = ("bare", "first", "busy", "again", "busy", "ratio")
    for title, options in (("quick", quick), ("full", quick.thorough())):
        print(f"{title:<12}" + "".join(f"{column:>8}" for column in columns), flush=True)
        with (
            tempfile.TemporaryDirectory() as name,
            Checker(options, store=False) as checker,
        ):
            folder = Path(name)
            checker.check(*write(folder, "warm", "warm"))
            for snippet, (_, shape) in SNIPPETS.items():
                pair = write(folder, f"model_{snippet}", snippet)
                first = seconds(checker, pair)
                seconds(checker, pair)  # a quick check that comes again is eager, and compiles each
                times = [seconds(checker, pair) for _ in range(repeat)]
                again = [statistics.median(column) for column in zip(*times, strict=True)]
                source, port = (path.read_text("utf-8") for path in pair)
                count = len(options.draws)
                both = bare(checker, "torch", source, shape, count, repeat, folder)
                both += bare(checker, "jax", port, shape, count, repeat, folder)
                cells = "".join(f"{x:8.2f}" for x in (both, *first, *again))
                print(f"{snippet:<12}{cells}{again[0] / both:8.1f}", flush=True)


def batch(pairs: int, rounds: int, quick: bool) -> None:
    """`torchport port` over many files, one at a time and two at a time, in turn."""
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sources"
        folder.mkdir()
        kinds = list(SNIPPETS)
        for number in range(pairs):
            # No two are one text, nor have the sizes that the one before it has.
            text = texts(kinds[number % len(kinds)])[0].replace("f32[", f"f32[{2 + number // 5}, ")
            text = re.sub(r"(f32\[\d+), \d+", r"\1", text)
            (folder / f"model_{number}.py").write_text(text, "utf-8")
        for number in range(rounds):
            taken: list[float] = []
            for jobs in (1, 2):
                out = Path(name) / f"ports_{number}_{jobs}"
                taken.append(port_seconds(folder, out, quick, jobs))
            ratios.append(taken[0] / taken[1])
            print(f"{pairs} pairs: {taken[0]:.1f} s with one job, {taken[1]:.1f} s with two")
        first = port_seconds(folder / "model_0.py", Path(name) / "single", quick, 1)
    print(f"two jobs are {statistics.median(ratios):.2f} times as fast as one (median)")
    print(f"a command by itself takes {first:.1f} s for the first of these pairs")


def port_seconds(path: Path, out: Path, quick: bool, jobs: int) -> float:
    """Of `torchport port` as a process."""
    command = [sys.executable, "-m", "torchport", "port", str(path), "--fresh", "-j", str(jobs)]
    command += ["-o", str(out), *(["--quick"] if quick else [])]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9, help="warm checks of each snippet")
    parser.add_argument("--batch", type=int, metavar="PAIRS", help="measure batches instead")
    parser.add_argument("--rounds", type=int, default=3, help="of both batches")
    parser.add_argument("--quick", action="store_true", help="quick checks in the batches")
    arguments = parser.parse_args()
    if arguments.batch:
        batch(arguments.batch, arguments.rounds, arguments.quick)
    else:
        single_checks(arguments.repeat)


if __name__ == "__main__":
    main()
