"""A pair finds its lane as new, whatever the pair before has done to the framework."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from torchport_checks import Checker, CheckOptions

from .conftest import write_pair

# What a file does on import: (side, code). The next pair must be judged as if it had never run.
LASTING = {
    "replaces a function of torch": ("torch", "torch.tanh = torch.sin"),
    "replaces a method": ("torch", "torch.Tensor.sum = lambda self, *a, **k: self * 0"),
    "replaces an operator": ("torch", "torch.Tensor.__add__ = torch.Tensor.__sub__"),
    "replaces torch.nn.functional": ("torch", "F.relu = F.gelu"),
    "replaces a layer's forward": ("torch", "nn.Linear.forward = lambda self, x: x"),
    "sets a default dtype": ("torch", "torch.set_default_dtype(torch.float64)"),
    "turns gradients off": ("torch", "torch.set_grad_enabled(False)"),
    "deletes a module": ("torch", "import sys; del sys.modules['torch.nn.functional']"),
    "goes to another directory": ("torch", "import os; os.chdir('/')"),
    "changes the environment": ("torch", "import os; os.environ.clear()"),
    "handles signals": ("torch", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"),
    "sets an alarm": ("torch", "import signal; signal.setitimer(signal.ITIMER_REAL, 0.3)"),
    "limits recursion": ("torch", "import sys; sys.setrecursionlimit(120)"),
    "leaves a thread": (
        "torch",
        "import threading, time\n"
        "threading.Thread(target=lambda: [time.sleep(0.01) for _ in range(10**6)], daemon=True).start()",
    ),
    "leaves a process": ("torch", "import subprocess; subprocess.Popen(['sleep', '60'])"),
    "exits later": ("torch", "import atexit, os; atexit.register(os._exit, 3)"),
    "closes standard output": ("torch", "import sys; sys.stdout.close(); sys.stderr.close()"),
    "replaces a function of JAX": ("jax", "jnp.tanh = jnp.sin"),
    "replaces a function of jax.nn": ("jax", "jax.nn.relu = jax.nn.gelu"),
    "replaces numpy": ("jax", "import numpy; numpy.asarray = lambda *a, **k: numpy.zeros(3)"),
    "turns x64 on": ("jax", "jax.config.update('jax_enable_x64', True)"),
    "turns jit off": ("jax", "jax.config.update('jax_disable_jit', True)"),
    "lowers the precision": (
        "jax",
        "jax.config.update('jax_default_matmul_precision', 'bfloat16')",
    ),
    "makes errors of warnings": ("jax", "import warnings; warnings.simplefilter('error')"),
}

PLAIN = "def plain(x):\n    return x\n"

NEXT_SOURCE = """\
class Next(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x):
        return F.relu(self.fc(torch.tanh(x))) + x.sum(1, keepdim=True)"""

NEXT_PORT = """\
class Next(nnx.Module):
    def __init__(self, *, rngs):
        self.fc = nnx.Linear(6, 6, rngs=rngs)

    def __call__(self, x):
        return jax.nn.relu(self.fc(jnp.tanh(x))) + jnp.sum(x, axis=1, keepdims=True)"""


@pytest.fixture(scope="module")
def warm() -> Checker:
    with Checker(CheckOptions(timeout=60, draws=("normal",)), store=False) as checker:
        yield checker


@pytest.mark.parametrize(("side", "code"), LASTING.values(), ids=LASTING)
def test_the_next_pair_is_judged_as_ever(
    warm: Checker, tmp_path: Path, side: str, code: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    patched = f"{textwrap.dedent(code)}\n\n\n{PLAIN}"
    warm.check(*write_pair(first, *((patched, PLAIN) if side == "torch" else (PLAIN, patched))))
    verdict = warm.check(*write_pair(second, NEXT_SOURCE, NEXT_PORT))
    assert verdict.ok, verdict.error or verdict.definitions[0].message
    wrong = NEXT_PORT.replace("jax.nn.relu", "jax.nn.gelu")
    assert warm.check(*write_pair(second, NEXT_SOURCE, wrong)).of("Next").status == "diverged"


def test_a_lane_that_was_not_touched_stays(warm: Checker, tmp_path: Path) -> None:
    pair = write_pair(tmp_path, NEXT_SOURCE, NEXT_PORT)
    warm.check(*pair)
    before = [lane.pid for lane in warm.lanes()]
    warm.check(*pair)
    assert [lane.pid for lane in warm.lanes()] == before
