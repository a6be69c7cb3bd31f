"""The behavioural stage: training from the same start, random results, initial values."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchport_checks import Category, Checker, CheckOptions

from .conftest import write_pair


@pytest.fixture(scope="module")
def behaving() -> Checker:
    with Checker(CheckOptions(behaviour=True, draws=("normal",)), store=False) as checker:
        yield checker


# (what is random, original, wrong port, right port, what is said of the wrong one)
RANDOM = [
    (
        "noise of another scale",
        "def noisy(x):\n    return x + 0.5 * torch.randn_like(x)",
        "def noisy(x, *, rngs):\n    return x + 0.45 * jax.random.normal(rngs(), x.shape)",
        "def noisy(x, *, rngs):\n    return x + 0.5 * jax.random.normal(rngs(), x.shape)",
        "standard deviation is 0.5",
    ),
    (
        "noise of another kind",
        "def noisy(x):\n    return x + torch.randn_like(x)",
        "def noisy(x, *, rngs):\n    return x + jax.random.uniform(rngs(), x.shape, minval=-3**0.5, maxval=3**0.5)",
        "def noisy(x, *, rngs):\n    return x + jax.random.normal(rngs(), x.shape)",
        "torch's are normal, the port's uniform",
    ),
    (
        "noise that is not centred",
        "def noisy(x):\n    return x + torch.rand_like(x) - 0.5",
        "def noisy(x, *, rngs):\n    return x + jax.random.uniform(rngs(), x.shape) - 0.45",
        "def noisy(x, *, rngs):\n    return x + jax.random.uniform(rngs(), x.shape) - 0.5",
        "mean is",
    ),
    (
        "dropout of another rate",
        "def noisy(x):\n    return F.dropout(x, 0.3)",
        "def noisy(x, *, rngs):\n    return nnx.Dropout(0.2)(x, rngs=rngs)",
        "def noisy(x, *, rngs):\n    return nnx.Dropout(0.3)(x, rngs=rngs)",
        "are zero in",
    ),
    (
        "dropout that does not scale what it keeps",
        "def noisy(x):\n    return F.dropout(x, 0.3)",
        "def noisy(x, *, rngs):\n    return nnx.Dropout(0.3)(x, rngs=rngs) * 0.7",
        "def noisy(x, *, rngs):\n    return nnx.Dropout(0.3)(x, rngs=rngs)",
        "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("original", "wrong", "says"), [(r[1], r[2], r[4]) for r in RANDOM], ids=[r[0] for r in RANDOM]
)
def test_another_distribution(
    behaving: Checker, tmp_path: Path, original: str, wrong: str, says: str
) -> None:
    verdict = behaving.check(*write_pair(tmp_path, original, wrong)).of("noisy")
    assert (verdict.status, verdict.category) == ("diverged", Category.MISMATCH)
    assert verdict.stages.behavioural == "failed"
    assert says in verdict.message


@pytest.mark.parametrize(
    ("original", "right"), [(r[1], r[3]) for r in RANDOM], ids=[r[0] for r in RANDOM]
)
def test_the_same_distribution(
    behaving: Checker, tmp_path: Path, original: str, right: str
) -> None:
    verdict = behaving.check(*write_pair(tmp_path, original, right)).of("noisy")
    assert verdict.ok, verdict.message
    assert verdict.stages.behavioural == "passed"


NET = """\
# torchport: check(x=f32[16, 8])
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 32)
        self.drop = nn.Dropout(0.25)
        self.out = nn.Linear(32, 3)

    def forward(self, x):
        return self.out(self.drop(torch.tanh(self.fc(x))))"""

PORT = """\
class Net(nnx.Module):
    def __init__(self, *, rngs):
        self.fc = nnx.Linear(8, 32, rngs=rngs, **init(8))
        self.drop = nnx.Dropout(0.25, rngs=rngs)
        self.out = nnx.Linear(32, 3, rngs=rngs, **init(32))

    def __call__(self, x):
        return self.out(self.drop(jnp.tanh(self.fc(x))))


def init(size):
    def uniform(key, shape, dtype=jnp.float32, out_sharding=None):
        return jax.random.uniform(key, shape, dtype, -(size**-0.5), size**-0.5)

    return {"kernel_init": uniform, "bias_init": uniform}"""


def test_a_module_is_trained(behaving: Checker, tmp_path: Path) -> None:
    verdict = behaving.check(*write_pair(tmp_path, NET, PORT)).of("Net")
    assert verdict.ok, verdict.message
    assert verdict.stages.behavioural == "passed"
    assert verdict.notes == []


def test_dropout_of_another_rate_in_a_module(behaving: Checker, tmp_path: Path) -> None:
    port = PORT.replace("0.25", "0.3")
    verdict = behaving.check(*write_pair(tmp_path, NET, port)).of("Net")
    assert (verdict.status, verdict.stages.behavioural) == ("diverged", "failed")
    assert verdict.message.startswith("output (train, normal, random)")


def test_initial_values_drawn_otherwise_are_told_and_not_accused(
    behaving: Checker, tmp_path: Path
) -> None:
    port = PORT.replace(", **init(8)", "")
    verdict = behaving.check(*write_pair(tmp_path, NET, port)).of("Net")
    assert verdict.ok, verdict.message
    (note,) = verdict.notes
    assert note.startswith("Warning: initial values are drawn otherwise")
    assert "fc.bias" in note and "1 more" in note


# The second step shows what the first does not: state that a step leaves behind.
STATEFUL = """\
# torchport: check(x=f32[16, 4])
class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        if self.training:
            self.seen = 0.5 * self.seen + x.mean(0)
        return torch.tanh(x * self.weight + self.seen.detach())"""

STATELESS = """\
class Scaled(nnx.Module):
    def __init__(self, *, rngs):
        self.weight = nnx.Param(jnp.ones(4))
        self.seen = nnx.BatchStat(jnp.zeros(4))
        self.training = True

    def train(self, **attributes):
        super().train(**attributes)
        self.training = True

    def eval(self, **attributes):
        super().eval(**attributes)
        self.training = False

    def __call__(self, x):
        if self.training:
            self.seen[...] = {} * self.seen[...] + x.mean(0)
        return jnp.tanh(x * self.weight[...] + jax.lax.stop_gradient(self.seen[...]))"""


@pytest.mark.parametrize(("keeps", "status"), [("0.5", "verified"), ("0.6", "diverged")])
def test_state_is_carried_from_step_to_step(
    behaving: Checker, tmp_path: Path, keeps: str, status: str
) -> None:
    verdict = behaving.check(*write_pair(tmp_path, STATEFUL, STATELESS.format(keeps))).of("Scaled")
    assert verdict.status == status, verdict.message
    if status == "diverged":
        assert verdict.stages.behavioural == "failed"
        assert "after 5 training steps" in verdict.message
