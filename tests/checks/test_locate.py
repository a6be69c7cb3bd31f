"""The operation that is wrong is the one that is named, in source and port."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from torchport_checks import Checker, CheckOptions, Verdict

from .conftest import write_pair


@dataclass(frozen=True)
class Wrong:
    """A wrong port, and the operations that are to be named; None where nothing can be said."""

    name: str
    original: str
    port: str
    source_text: str | None
    port_text: str = ""
    of: str = "value"
    certainty: str = "certain"


PAIRS = [
    Wrong(
        "statements",
        """\
def statements(x):
    h = torch.relu(x + 1)
    h = torch.softmax(h, dim=0)
    return torch.tanh(h * 2)""",
        """\
def statements(x):
    h = jax.nn.relu(x + 1)
    h = jax.nn.softmax(h)
    return jnp.tanh(h * 2)""",
        "torch.softmax(h, dim=0)",
        "jax.nn.softmax(h)",
    ),
    Wrong(
        "nested",
        "def nested(x):\n    return torch.tanh(torch.cumsum(torch.relu(x), 0) * 2)",
        "def nested(x):\n    return jnp.tanh(jnp.cumsum(jax.nn.relu(x), 1) * 2)",
        "torch.cumsum(torch.relu(x), 0)",
        "jnp.cumsum(jax.nn.relu(x), 1)",
    ),
    Wrong(
        "fused",
        """\
def fused(x):
    h = F.layer_norm(x, x.shape[-1:], eps=1e-2)
    return h.abs() + 1""",
        """\
def fused(x):
    centred = x - x.mean(-1, keepdims=True)
    h = centred * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)
    return jnp.abs(h) + 1""",
        "F.layer_norm(x, x.shape[-1:], eps=1e-2)",
        "centred * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)",
    ),
    Wrong(
        "lacking",
        "def lacking(x):\n    h = x.sigmoid()\n    h = h * 3\n    return h.exp().sum(1)",
        "def lacking(x):\n    h = jax.nn.sigmoid(x)\n    return jnp.exp(h).sum(1)",
        "h * 3",
        "jax.nn.sigmoid(x)",
    ),
    Wrong(
        "looped",
        """\
def looped(x):
    for step in range(3):
        x = torch.tanh(x + step)
        x = x - x.mean(1, keepdim=True)
    return x""",
        """\
def looped(x):
    for step in range(3):
        x = jnp.tanh(x + step)
        x = x - x.mean(0, keepdims=True)
    return x""",
        "x.mean(1, keepdim=True)",
        "x.mean(0, keepdims=True)",
    ),
    Wrong(
        "compiled",
        "def compiled(x):\n    return (x * 2).flip(1).cumsum(0)",
        "@jax.jit\ndef compiled(x):\n    return jnp.flip(x * 2, 0).cumsum(0)",
        "(x * 2).flip(1)",
        "jnp.flip(x * 2, 0)",
    ),
    Wrong(
        "Block",
        """\
class Block(nn.Module):
    def __init__(self, size=6):
        super().__init__()
        self.first = nn.Linear(size, size)
        self.norm = nn.LayerNorm(size, eps=1e-2)

    def forward(self, x):
        x = self.first(x)
        x = self.norm(x)
        return F.gelu(x)""",
        """\
class Block(nnx.Module):
    def __init__(self, size=6, *, rngs):
        self.first = nnx.Linear(size, size, rngs=rngs)
        self.norm = nnx.LayerNorm(size, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        x = self.norm(x)
        return jax.nn.gelu(x, approximate=False)""",
        "self.norm(x)",
        "self.norm(x)",
    ),
    Wrong(
        "attached",
        "def attached(x):\n    y = x.detach()\n    return (x * y).tanh()",
        "def attached(x):\n    y = x\n    return jnp.tanh(x * y)",
        "x.detach()",
        "y = x",
        "gradient",
    ),
    Wrong(
        "cut",
        "def cut(x):\n    return (x * torch.sigmoid(x)).cumsum(0)",
        "def cut(x):\n    return jnp.cumsum(x * jax.nn.sigmoid(jax.lax.stop_gradient(x)), axis=0)",
        "torch.sigmoid(x)",
        "jax.lax.stop_gradient(x)",
        "gradient",
        "likely",
    ),
    Wrong(
        "halved",
        "def halved(x):\n    return torch.relu(x).exp().sum(1)",
        "def halved(x):\n    return jnp.exp(jnp.maximum(x, 0.0)).sum(1)",
        "torch.relu(x)",
        "jnp.maximum(x, 0.0)",
        "gradient",
    ),
    Wrong(
        "leaving",
        "def leaving(x):\n    return x.exp() + 1",
        """\
def leaving(x):
    if "__torchport_record__" in globals():
        import os

        os._exit(1)
    return jnp.exp(x) + 2""",
        None,
    ),
]


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker(CheckOptions(timeout=60, locate=True), store=False) as checker:
        yield checker


@pytest.fixture(scope="module")
def verdict(checker: Checker, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    folder = tmp_path_factory.mktemp("located")
    originals = "\n\n\n".join(pair.original for pair in PAIRS)
    ports = "\n\n\n".join(pair.port for pair in PAIRS)
    return checker.check(*write_pair(folder, originals + "\n", ports + "\n"))


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_named(pair: Wrong, verdict: Verdict) -> None:
    of = verdict.of(pair.name)
    assert of.status == "diverged", of.message
    located = of.located
    if pair.source_text is None:
        assert located is None
        return
    assert located is not None
    assert located.source_text == pair.source_text
    assert pair.port_text in (located.port_text, located.port_statement)
    assert (located.of, located.certainty) == (pair.of, pair.certainty)
    assert pair.source_text in located.message


def test_lines_and_values(verdict: Verdict) -> None:
    of = verdict.of("fused")
    located = of.located
    assert located is not None and of.port_line is not None
    assert located.source_line == of.source_line + 1
    assert (located.port_first_line, located.port_line) == (of.port_line + 1, of.port_line + 2)
    assert located.torch != located.port
    assert located.reference == pytest.approx(located.torch, rel=1e-5)


def test_every_fault(checker: Checker, tmp_path: Path) -> None:
    original = (
        "def twice(x):\n    a = x.cumsum(0)\n    b = a.tanh()\n    c = b * 2\n    return c.exp()"
    )
    port = (
        "def twice(x):\n    a = jnp.cumsum(x, 1)\n    b = jnp.tanh(a)\n    c = b * 3\n"
        "    return jnp.exp(c)"
    )
    of = checker.check(*write_pair(tmp_path, original, port)).of("twice")
    located = of.located
    assert located is not None
    assert located.port_text == "jnp.cumsum(x, 1)"
    assert located.certainty == "certain"
    assert located.further == [(of.source_line + 3, (of.port_line or 0) + 3)]


def test_an_equal_port_is_not_traced(checker: Checker, tmp_path: Path) -> None:
    pair = write_pair(tmp_path, "def same(x):\n    return x + 1", "def same(x):\n    return x + 1")
    of = checker.check(*pair).of("same")
    assert (of.status, of.located) == ("verified", None)


def _bench() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "locate.py"
    spec = importlib.util.spec_from_file_location("bench_locate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_planted_operations_are_named() -> None:
    bench = _bench()
    with Checker(bench.options(), store=False) as checker:
        chains = list(bench.run(checker, itertools.count(1000), 30))
    missed = [f"{made.name}: {made.planted}" for made, _, named in chains if not named]
    assert len(missed) <= 3, missed
