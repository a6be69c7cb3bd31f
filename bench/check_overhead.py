"""What a check costs: single ones in warm lanes, and many in a batch.

    python bench/check_overhead.py [--repeat 9]
    python bench/check_overhead.py --batch 100 [--rounds 3] [--quick]

For each snippet, quick (what the editor runs on save) and full: `bare` is what a script would do in the
same warm processes, torch's part and JAX's part added: run the file, construct the module, and for as
many draws of the inputs call it and take the gradients of its parameters and inputs. `first` is the
first check of the pair there, `again` the median of further ones (what an edit costs), and `ratio` is
of that to `bare`. A full check runs more beside the draws: other sizes and dtypes, the port eagerly and
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

from torchport_checks import Checker, CheckOptions
from torchport_checks.worker.protocol import Array
from torchport_translators.translate import translate

HEADER = """\
import math

import torch
import torch.nn.functional as F
from torch import nn


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
    source = HEADER + textwrap.dedent(SNIPPETS[snippet][0]).lstrip()
    return source, translate(source, "jax", name="model.py").text


def write(folder: Path, name: str, snippet: str) -> tuple[Path, Path]:
    """The paths of a new pair."""
    pair = folder / f"{name}.py", folder / f"{name}_jax.py"
    for path, text in zip(pair, texts(snippet), strict=True):
        path.write_text(text, "utf-8")
    return pair


def seconds(checker: Checker, pair: tuple[Path, Path]) -> float:
    start = time.perf_counter()
    verdict = checker.check(*pair)
    assert verdict.ok, verdict
    return time.perf_counter() - start


def single_checks(repeat: int) -> None:
    """Quick and full checks of each snippet in warm lanes, and the bare runs."""
    print(f"{'':<10} {'quick':^28} {'full':^28}")
    columns = ("bare", "first", "again", "ratio") * 2
    print(f"{'snippet':<10}" + "".join(f"{name:>7}" for name in columns) + "  milliseconds")
    rows: dict[str, list[float]] = {name: [] for name in SNIPPETS}
    quick = CheckOptions(containment="off")  # the bare runs write their times to a file
    for options in (quick, quick.thorough()):
        with (
            tempfile.TemporaryDirectory() as name,
            Checker(options, store=False) as checker,
        ):
            folder = Path(name)
            # What this is: the lanes start, and the frameworks do what they do once in a process.
            (folder / "warm.py").write_text("def f(x: float):\n    return x * 2\n", "utf-8")
            warm = "import jax.numpy as jnp\n\ndef f(x):\n    return x * 2\n"
            (folder / "warm_jax.py").write_text(warm, "utf-8")
            checker.check(folder / "warm.py", folder / "warm_jax.py")
            for snippet, (_, shape) in SNIPPETS.items():
                pair = write(folder, f"model_{snippet}", snippet)
                first = seconds(checker, pair)
                # An eager run compiles each operation by itself, when a pair comes again.
                for _ in range(2):
                    seconds(checker, pair)
                again = statistics.median(seconds(checker, pair) for _ in range(repeat))
                source, port = (path.read_text("utf-8") for path in pair)
                count = len(options.draws)
                both = bare(checker, "torch", source, shape, count, repeat, folder)
                both += bare(checker, "jax", port, shape, count, repeat, folder)
                rows[snippet] += [1e3 * both, 1e3 * first, 1e3 * again, again / both]
    for snippet, row in rows.items():
        cells = "".join(f"{x:7.0f}" if n % 4 != 3 else f"{x:7.1f}" for n, x in enumerate(row))
        print(f"{snippet:<10}{cells}")


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
        for round_ in range(rounds):
            taken: list[float] = []
            for jobs in (1, 2):
                command = [sys.executable, "-m", "torchport", "port", str(folder), "--fresh"]
                command += ["-o", str(Path(name) / f"ports_{round_}_{jobs}"), "-j", str(jobs)]
                command += ["--quick"] if quick else []
                start = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
                taken.append(time.perf_counter() - start)
            ratios.append(taken[0] / taken[1])
            print(f"{pairs} pairs: {taken[0]:.1f} s with one job, {taken[1]:.1f} s with two")
    print(f"two jobs are {statistics.median(ratios):.2f} times as fast as one (median)")


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
