"""The counterexample search: it finds what the draws miss, and accuses nothing that is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchport_checks import Checker, CheckOptions

from .conftest import write_pair

TRIES = 320

# Wrong where no draw looks: (what is wrong, original, wrong port, right port)
HIDDEN = [
    (
        "a branch at a number that stands in the code",
        "def hidden(x):\n    return torch.where(x > 17.25, x * 2, x)",
        "def hidden(x):\n    return jnp.where(x > 19.25, x * 2, x)",
        "def hidden(x):\n    return jnp.where(x > 17.25, x * 2, x)",
    ),
    (
        "which side of a boundary belongs to it",
        "def hidden(x):\n    return (x >= 0.3).float()",
        "def hidden(x):\n    return (x > 0.3).astype(jnp.float32)",
        "def hidden(x):\n    return (x >= 0.3).astype(jnp.float32)",
    ),
    (
        "a clamp that is missing",
        "def hidden(x):\n    return x.clamp(max=30.0).tanh() + x.clamp(max=30.0)",
        "def hidden(x):\n    return jnp.tanh(x) + x",
        "def hidden(x):\n    return jnp.tanh(jnp.minimum(x, 30.0)) + jnp.minimum(x, 30.0)",
    ),
    (
        "how halves are rounded",
        "def hidden(x):\n    return torch.round(x * 0.125)",
        "def hidden(x):\n    return jnp.floor(x * 0.125 + 0.5)",
        "def hidden(x):\n    return jnp.round(x * 0.125)",
    ),
    (
        "log1p that is not one",
        "def hidden(x):\n    return torch.log1p(x.abs())",
        "def hidden(x):\n    return jnp.log(1 + jnp.abs(x))",
        "def hidden(x):\n    return jnp.log1p(jnp.abs(x))",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def searching() -> Checker:
    options = CheckOptions(search=TRIES, gradients=False)
    with Checker(options, store=False) as checker:
        yield checker


@pytest.mark.parametrize(
    ("original", "wrong"), [(h[1], h[2]) for h in HIDDEN], ids=[h[0] for h in HIDDEN]
)
def test_what_the_draws_miss_is_found(
    searching: Checker, tmp_path: Path, original: str, wrong: str
) -> None:
    verdict = searching.check(*write_pair(tmp_path, original, wrong)).of("hidden")
    assert verdict.status == "diverged"
    assert "searched" in verdict.differences[0].case
    assert any("it tried" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("original", "right"), [(h[1], h[3]) for h in HIDDEN], ids=[h[0] for h in HIDDEN]
)
def test_what_is_right_stays_verified(
    searching: Checker, tmp_path: Path, original: str, right: str
) -> None:
    verdict = searching.check(*write_pair(tmp_path, original, right)).of("hidden")
    assert verdict.status == "verified", verdict.message
    assert f"A search tried {TRIES} more inputs; none makes a difference." in verdict.notes


def test_bounds_are_kept(searching: Checker, tmp_path: Path) -> None:
    """Ids stay in range, and so do values that a check comment bounds."""
    original = """\
# torchport: check(p=f32[6] in [0.1, 0.9], ids=i64[4] in [0, 5])
def bounded(p, ids):
    if p.min() < 0.09 or p.max() > 0.91:
        raise SystemExit("out of bounds")
    return torch.log(p)[ids]"""
    port = "def bounded(p, ids):\n    return jnp.log(p)[ids]"
    verdict = searching.check(*write_pair(tmp_path, original, port)).of("bounded")
    assert verdict.status == "verified", verdict.message


def test_the_order_of_equal_elements_is_torchs_to_choose(
    searching: Checker, tmp_path: Path
) -> None:
    original = "def best(x):\n    return x.topk(3, dim=1).indices"
    port = "def best(x):\n    return x.shape[1] - 1 - jax.lax.top_k(x[:, ::-1], 3)[1]"
    verdict = searching.check(*write_pair(tmp_path, original, port)).of("best")
    assert verdict.status == "verified", verdict.message
