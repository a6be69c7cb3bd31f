"""What a warm check costs beside the two framework runs that it cannot do without.

    python bench/check_overhead.py [--repeat 30]

For each snippet: `bare` is what a script would do in the same warm processes, torch's part and JAX's
part added: run the file, construct the module, and for each draw of the inputs call it and take the
gradients of its parameters and inputs. `check` is `Checker.check` on the same pair: the same runs, and
the float64 reference, the transfer of weights and inputs, the comparison and the verdict. The
least of several times, in milliseconds, since other load only adds; the ratio must stay at most 1.3.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np

from torchport_checks import Checker, CheckOptions
from torchport_checks.worker.protocol import Array

SNIPPETS = {
    "mlp": (
        """
        import torch
        from torch import nn
        import torch.nn.functional as F

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
        """
        import jax
        from flax import nnx

        class Model(nnx.Module):
            def __init__(self, *, rngs):
                self.up = nnx.Linear(64, 128, rngs=rngs)
                self.down = nnx.Linear(128, 64, rngs=rngs)
                self.norm = nnx.LayerNorm(64, epsilon=1e-5, rngs=rngs)

            def __call__(self, x):
                return self.norm(x + self.down(jax.nn.gelu(self.up(x), approximate=False)))
        """,
        (8, 64),
    ),
    "attention": (
        """
        import torch
        from torch import nn

        # torchport: check(x=f32[2, 16, 32])
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.qkv = nn.Linear(32, 96)
                self.out = nn.Linear(32, 32)

            def forward(self, x):
                q, k, v = self.qkv(x).chunk(3, dim=-1)
                mask = torch.tril(torch.ones(16, 16, dtype=torch.bool))
                scores = (q @ k.transpose(-2, -1)) / 32**0.5
                scores = scores.masked_fill(~mask, float("-inf"))
                return self.out(torch.softmax(scores, dim=-1) @ v)
        """,
        """
        import jax
        import jax.numpy as jnp
        from flax import nnx

        class Model(nnx.Module):
            def __init__(self, *, rngs):
                self.qkv = nnx.Linear(32, 96, rngs=rngs)
                self.out = nnx.Linear(32, 32, rngs=rngs)

            def __call__(self, x):
                q, k, v = jnp.split(self.qkv(x), 3, axis=-1)
                mask = jnp.tril(jnp.ones((16, 16), bool))
                scores = (q @ jnp.swapaxes(k, -2, -1)) / 32**0.5
                scores = jnp.where(mask, scores, -jnp.inf)
                return self.out(jax.nn.softmax(scores, axis=-1) @ v)
        """,
        (2, 16, 32),
    ),
    "function": (
        """
        import torch

        # torchport: check(x=f32[8, 64])
        def pooled(x):
            weights = torch.softmax(x, dim=-1)
            return (weights * x).sum(dim=-1), torch.logsumexp(x, dim=-1)
        """,
        """
        import jax
        import jax.numpy as jnp

        def pooled(x):
            weights = jax.nn.softmax(x, axis=-1)
            return jnp.sum(weights * x, axis=-1), jax.nn.logsumexp(x, axis=-1)
        """,
        (8, 64),
    ),
}

BARE_TORCH = """
import numpy as np, torch
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
    """Least seconds of the bare run of one framework, in the checker's own worker process."""
    (lane,) = [lane for lane in checker.idle_lanes() if lane.framework == framework]
    result = folder / "times.json"
    settings = {"text": text, "shape": shape, "count": count, "repeat": repeat,
                "result": str(result)}  # fmt: skip
    program = (BARE_TORCH if framework == "torch" else BARE_JAX) + TIMED.format(
        settings=json.dumps(settings)
    )
    source = Array("uint8", np.frombuffer(program.encode(), np.uint8))
    lane.request("load", timeout=300, path=str(folder / "bare_run.py"), source=source)
    return min(json.loads(result.read_text()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=30)
    repeat = parser.parse_args().repeat
    worst = 0.0
    print(
        f"{'snippet':<10} {'draws':>5} {'torch':>8} {'jax':>8} {'bare':>8} {'check':>8} {'ratio':>6}"
    )
    for draws in (("normal",), ("normal", "wide", "ties")):
        with (
            tempfile.TemporaryDirectory() as name,
            Checker(CheckOptions(draws=draws), store=False) as checker,
        ):
            folder = Path(name)
            for snippet, (torch_text, jax_text, shape) in SNIPPETS.items():
                torch_text, jax_text = textwrap.dedent(torch_text), textwrap.dedent(jax_text)
                source, port = folder / "model.py", folder / "model_jax.py"
                source.write_text(torch_text)
                port.write_text(jax_text)
                for _ in range(20):  # until every operation is compiled
                    verdict = checker.check(source, port)
                    assert verdict.ok, verdict
                times: list[float] = []
                for _ in range(repeat):
                    start = time.perf_counter()
                    checker.check(source, port)
                    times.append(time.perf_counter() - start)
                check = min(times)
                count = len(draws)
                torch = bare(checker, "torch", torch_text, shape, count, repeat, folder)
                jax = bare(checker, "jax", jax_text, shape, count, repeat, folder)
                ratio = check / (torch + jax)
                worst = max(worst, ratio)
                cells = [f"{1e3 * value:8.1f}" for value in (torch, jax, torch + jax, check)]
                print(f"{snippet:<10} {count:>5} {' '.join(cells)} {ratio:6.2f}", flush=True)
    print(f"largest ratio {worst:.2f}, to be at most 1.3")
    return 0 if worst <= 1.3 else 1


if __name__ == "__main__":
    sys.exit(main())
