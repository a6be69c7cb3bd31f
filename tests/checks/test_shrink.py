"""Failing inputs are made small: fewest axes, elements, and numbers that are not zero.

All originals are one file, and so are all wrong ports: one check in all. Time is no limit here, so
that what is found does not depend on the machine; runs are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from torchport_checks import Category, Checker, CheckOptions, DefinitionVerdict, Verdict

from .conftest import Check, write_pair

AMPLE = 300.0


@dataclass(frozen=True)
class Wrong:
    """An original, a wrong port, and the smallest input in which they differ, by argument."""

    name: str
    original: str
    port: str
    smallest: str
    where: str = "output"
    category: Category = Category.MISMATCH


TABLE = [
    Wrong(
        "other_axis",
        "def other_axis(x: torch.Tensor):\n    return F.softmax(x, dim=0)",
        "def other_axis(x):\n    return jax.nn.softmax(x)",
        "x=f32[1, 2] = [[0, 0]]",
    ),
    Wrong(
        "spread",
        "def spread(x: torch.Tensor):\n    return x.var(dim=1)",
        "def spread(x):\n    return jnp.var(x, axis=1)",
        "x=f32[1, 2] = [[1, 0]]",
    ),
    Wrong(  # the gradient at a bound goes through; drawn among the ties only
        "bounded",
        "def bounded(x: torch.Tensor):\n    return torch.clamp(x, -1, 1)",
        "def bounded(x):\n    return jnp.where(jnp.abs(x) < 1, x, jnp.sign(x))",
        "x=f32[] = 1",
        where="gradient of x",
    ),
    Wrong(
        "padded",
        "# torchport: check(x=f32[2, 3, 9])\ndef padded(x):\n    return F.pad(x, (2, 0))",
        "def padded(x):\n    return jnp.pad(x, ((0, 0), (0, 0), (0, 2)))",
        "x=f32[1, 1, 1] = [[[1]]]",
    ),
    Wrong(  # the other axis is the weights'
        "Gate",
        """\
class Gate(nn.Module):
    def __init__(self, d=4):
        super().__init__()
        self.fc = nn.Linear(d, 3)

    def forward(self, x: torch.Tensor):
        return torch.sigmoid(self.fc(x))""",
        """\
class Gate(nnx.Module):
    def __init__(self, d=4, *, rngs):
        self.fc = nnx.Linear(d, 3, rngs=rngs)

    def __call__(self, x):
        return jax.nn.hard_sigmoid(self.fc(x))""",
        "x=f32[1, 4] = [[0, 0, 0, 0]]",
    ),
    Wrong(
        "halved",
        "# torchport: check(x=i64[4, 6] in [-9, 9])\ndef halved(x):\n"
        '    return torch.div(x, 2, rounding_mode="trunc")',
        "def halved(x):\n    return x // 2",
        "x=i64[] = -1",
    ),
    Wrong(
        "Model",
        """\
class Model(nn.Module):
    def forward(self, x):
        return x.amax(1)


def get_inputs():
    x = torch.randn(5, 6)
    x[3, 4] = float("nan")
    return [x]""",
        "class Model(nnx.Module):\n    def __call__(self, x):\n        return jnp.nanmax(x, axis=1)",
        "x=f32[1, 2] = [[nan, 0]]",
        category=Category.NAN,
    ),
    Wrong(
        "kept_axis",
        "# torchport: check(x=f32[4, 5, 6])\ndef kept_axis(x):\n    return x.sum(1, keepdim=True)",
        "def kept_axis(x):\n    return x.sum(1)",
        "x=f32[1, 1] = [[0]]",
        category=Category.SHAPE,
    ),
    Wrong(
        "summed",
        "# torchport: check(parts=[f32[3, 4], f32[3, 4], f32[3, 4]])\n"
        "def summed(parts):\n    return torch.stack(parts).sum(0)",
        "def summed(parts):\n    return jnp.stack(parts).mean(0)",
        "parts=[f32[] = 0, f32[] = 1]",
    ),
    Wrong(  # the sizes that must agree do
        "product",
        "# torchport: check(a=f32[3, 5], b=f32[5, 7])\ndef product(a, b):\n    return a @ b",
        "def product(a, b):\n    return 2 * a @ b",
        "a=f32[1] = [1], b=f32[1] = [1]",
    ),
    Wrong(
        "repeated",
        "# torchport: check(x=f32[2, 4], times=9)\ndef repeated(x, times):\n    return x * times",
        "def repeated(x, times):\n    return x * min(times, 4)",
        "x=f32[] = 1, times=5",
    ),
    Wrong(  # it is the tail that differs
        "tail",
        "# torchport: check(x=f32[3, 40])\ndef tail(x):\n"
        "    return torch.cat([x[:, :5], 2 * x[:, 5:]], dim=1)",
        "def tail(x):\n    return jnp.concatenate([x[:, :5], 3 * x[:, 5:]], axis=1)",
        "x=f32[1, 6] = [[0, 0, 0, 0, 0, 1]]",
    ),
    Wrong(  # cannot be compiled: it is run operation by operation
        "branching",
        "def branching(x: torch.Tensor):\n    return torch.where(x.sum() < 0, x + 1, x)",
        "def branching(x):\n    return x + 2 if x.sum() < 0 else x",
        "x=f32[] = -1",
    ),
    Wrong(
        "Running",
        """\
# torchport: check(x=f32[8, 2])
class Running(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2, momentum=0.5)

    def forward(self, x: torch.Tensor):
        return self.norm(x)""",
        """\
class Running(nnx.Module):
    def __init__(self, *, rngs):
        self.norm = nnx.BatchNorm(2, momentum=0.9, epsilon=1e-5, rngs=rngs)

    def __call__(self, x):
        return self.norm(x)""",
        "x=f32[2, 2] = [[0, 0], [0, 0]]",
        where="norm.running_mean after the step",
    ),
]
ids = [wrong.name for wrong in TABLE]


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    pair = write_pair(
        tmp_path_factory.mktemp("wrong"),
        "\n\n\n".join(wrong.original for wrong in TABLE) + "\n",
        "\n\n\n".join(wrong.port for wrong in TABLE) + "\n",
    )
    with Checker(CheckOptions(timeout=120, shrink_seconds=AMPLE), store=False) as checker:
        return checker.check(*pair)


@pytest.mark.parametrize("wrong", TABLE, ids=ids)
def test_smallest(wrong: Wrong, verdict: Verdict) -> None:
    found = verdict.of(wrong.name)
    assert shown(found) == wrong.smallest
    assert found.smallest is not None
    difference = found.smallest.difference
    assert found.smallest.runs < 200
    assert (difference.category, difference.where) == (wrong.category, wrong.where)


def test_a_call_that_can_be_pasted(verdict: Verdict) -> None:
    calls = {name: verdict.of(name).smallest for name in ("halved", "Gate", "summed", "Model")}
    assert {name: smallest and smallest.python for name, smallest in calls.items()} == {
        "halved": "halved(x=torch.tensor(-1))",
        "Gate": "Gate()(x=torch.tensor([[0.0, 0.0, 0.0, 0.0]]))",
        "summed": "summed(parts=[torch.tensor(0.0), torch.tensor(1.0)])",
        "Model": "Model()(x=torch.tensor([[torch.nan, 0.0]]))",
    }


def test_one_line_for_people(verdict: Verdict) -> None:
    calls = {name: verdict.of(name).smallest for name in ("halved", "kept_axis")}
    assert {name: smallest and smallest.text for name, smallest in calls.items()} == {
        "halved": "Smallest input: x=i64[] = -1; torch gives 0, the port -1.",
        "kept_axis": "Smallest input: x=f32[1, 1] = [[0]]. torch gives shape (1, 1), the port (1,).",
    }


def test_the_other_differences_stay(verdict: Verdict) -> None:
    """The verdict's first difference is that of the case it was found in."""
    found = verdict.of("other_axis")
    assert found.smallest is not None
    assert found.differences[0].case == "eval, normal"
    assert found.smallest.difference.case == "eval, smallest"


def test_nothing_is_looked_for_unless_asked(check: Check) -> None:
    verdict = check(TABLE[0].original, TABLE[0].port)
    assert verdict.of("other_axis").status == "diverged"
    assert verdict.of("other_axis").smallest is None


def test_a_candidate_that_ends_the_process(tmp_path: Path) -> None:
    """The verdict is that of the case, with the best input before it; what comes next is checked."""
    original = """\
    def fine(x: torch.Tensor):
        return x + 1


    # torchport: check(x=f32[4, 6])
    def fatal(x):
        return x * 2
    """
    port = """\
    def fine(x):
        return x + 1


    def fatal(x):
        if x.ndim < 2:
            import os
            os._exit(3)
        return x * 3
    """
    with Checker(CheckOptions(timeout=120, shrink_seconds=AMPLE), store=False) as checker:
        verdict = checker.check(*write_pair(tmp_path, original, port))
    assert (verdict.of("fatal").category, verdict.of("fine").status) == (
        Category.MISMATCH,
        "verified",
    )
    assert shown(verdict.of("fatal")).startswith("x=f32[1, 1] = ")


def shown(verdict: DefinitionVerdict) -> str:
    assert verdict.smallest is not None, verdict
    return ", ".join(f"{item.name}={item.text}" for item in verdict.smallest.inputs)
