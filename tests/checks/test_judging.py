"""What is rounding, what is beyond the question, and what is wrong although it hides: all draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from torchport_checks import Checker, CheckOptions

from .conftest import write_pair


@pytest.fixture(scope="module")
def full() -> Iterator[Checker]:
    options = CheckOptions(timeout=60).thorough()
    update = {"forms": ("either",), "behaviour": False, "locate": False, "shrink_seconds": 0.0}
    with Checker(options.model_copy(update=update), store=False) as checker:
        yield checker


# what, original, a right port: torch's own float32 says nothing of how far off it may be
RIGHT = [
    (
        "a function that is saturated, and what its gradient is computed from",
        "def f(x):\n    return 1 / (1 + torch.exp(-4 * x.clamp(-20, 20)))",
        "def f(x):\n    return jax.nn.sigmoid(4 * jnp.clip(x, -20, 20))",
    ),
    (
        "a gradient that is turned around, through tanh",
        "def f(x):\n    y = 2 * x.detach() - x\n    return torch.tanh(y) + x.detach()",
        "def f(x):\n    s = jax.lax.stop_gradient(x)\n    return jnp.tanh(2 * s - x) + s",
    ),
    (
        "gradients that cancel",
        "def f(x):\n    return x.softmax(-1).sum(-1)",
        "def f(x):\n    e = jnp.exp(x - jax.lax.stop_gradient(x.max(-1, keepdims=True)))\n"
        "    return (e / e.sum(-1, keepdims=True)).sum(-1)",
    ),
    (
        "a mean that is taken away twice",
        "# torchport: check(x=f32[4, 8])\n"
        "def f(x):\n    return F.layer_norm(x, (8,)).sum(-1) + x.mean(-1)",
        "def f(x):\n    c = x - x.mean(-1, keepdims=True)\n"
        "    y = c / jnp.sqrt((c * c).mean(-1, keepdims=True) + 1e-5)\n"
        "    return y.sum(-1) + x.mean(-1)",
    ),
    (
        "a long sum, term by term",
        "# torchport: check(x=f32[3000])\ndef f(x):\n    return x.sin().sum()",
        "def f(x):\n"
        "    return jax.lax.scan(lambda t, v: (t + jnp.sin(v), None), 0 * x[0], x)[0]",
    ),
    (
        "a bin that rounding decides",
        "def f(x):\n    return torch.floor(x / 0.1).to(torch.int32)",
        "def f(x):\n    return jnp.floor(x * 10.0).astype(jnp.int32)",
    ),
    (
        "zero times NaN in a sum that needs no zeros",
        "def f(x):\n    return x.cumsum(-1)",
        "def f(x):\n    return x @ jnp.triu(jnp.ones((x.shape[-1], x.shape[-1])))",
    ),
    (
        "sizes that the comment does not name",
        "# torchport: check(q=f32[2, 5, 16], k=f32[2, 5, 16])\n"
        "def f(q, k):\n    return q @ k.mT / q.shape[-1] ** 0.5",
        "def f(q, k):\n    return q @ k.swapaxes(1, 2) / 4.0",
    ),
    (
        "a dtype that the comment does not name",
        "# torchport: check(x=f32[4, 8])\ndef f(x):\n    return x.float().exp()",
        "def f(x):\n    return jnp.exp(x)",
    ),
    (
        "a gradient that torch has no number for",
        "def f(x):\n    p = x.softmax(-1)\n    return torch.where(p > 0, p * p.log(), 0.0).sum(-1)",
        "def f(x):\n    p = jax.nn.softmax(x)\n    safe = jnp.where(p > 0, p, 1.0)\n"
        "    return jnp.where(p > 0, p * jnp.log(safe), 0.0).sum(-1)",
    ),
    (
        "a pooled maximum, by the target's own pooling",
        "# torchport: check(x=f32[1, 2, 6])\ndef f(x):\n    return F.max_pool1d(x, 2).sin()",
        "def f(x):\n    y = nnx.max_pool(x.transpose(0, 2, 1), (2,), strides=(2,))\n"
        "    return jnp.sin(y.transpose(0, 2, 1))",
    ),
    (
        "an index that is out of range for both",
        "# torchport: check(x=f32[4], ids=i64[2] in [4, 9])\ndef f(x, ids):\n    return x[ids]",
        "def f(x, ids):\n    if not bool((ids < len(x)).all()):\n"
        "        raise IndexError('out of range')\n    return x[ids]",
    ),
    (
        "a dtype that a function of the target does not take",
        "def f(x):\n    return torch.special.ndtr(x)",
        "def f(x):\n    return jax.scipy.special.ndtr(x)",
    ),
    (
        "an axis that can be 1 by broadcasting only",
        """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.ones(6))

            def forward(self, x):
                return x * self.weight""",
        """
        class f(nnx.Module):
            def __init__(self, *, rngs):
                self.weight = nnx.Param(jnp.ones(6))

            def __call__(self, x):
                return jnp.einsum("...d,d->...d", x, self.weight[...])
        """,
    ),
    (
        "one place that is written the same twice",
        "# torchport: check(x=f32[5], ids=i64[3] in [0, 4])\n"
        "def f(x, ids):\n    y = x * 2\n    y[ids] += x[ids]\n    return y",
        "def f(x, ids):\n    y = x * 2\n    return y.at[ids].set(y[ids] + x[ids])",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("original", "port"), [r[1:] for r in RIGHT], ids=[r[0] for r in RIGHT])
def test_right(full: Checker, tmp_path: Path, original: str, port: str) -> None:
    verdict = full.check(*write_pair(tmp_path, original, port)).of("f")
    assert verdict.status == "verified", verdict.message


# what, original, a port that is wrong where an excuse could hide it, where that shows
WRONG = [
    (
        "a gradient far from zero",
        "def f(x):\n    return F.softplus(x, threshold=20.0) * x",
        "def f(x):\n    s = jnp.where(x > 20, jax.lax.stop_gradient(x), jax.nn.softplus(x))\n"
        "    return s * x",
        "gradient of x",
    ),
    (
        "a pooled maximum's gradient, shared by equal elements",
        "# torchport: check(x=f32[1, 2, 6])\ndef f(x):\n    return F.max_pool1d(x, 2).sin()",
        "def f(x):\n    return jnp.sin(x.reshape(1, 2, 3, 2).max(-1))",
        "gradient of x",
    ),
    (
        "a gradient beside a saturated one",
        "def f(x):\n    return torch.tanh(x) + 1e-3 * x",
        "def f(x):\n    return jnp.tanh(x) + 1e-3 * jax.lax.stop_gradient(x)",
        "gradient of x",
    ),
    (
        "an index that counts twice",
        "# torchport: check(x=f32[5], ids=i64[3] in [0, 4])\n"
        "def f(x, ids):\n    y = x * 2\n    y[ids] += x[ids]\n    return y",
        "def f(x, ids):\n    return (x * 2).at[ids].add(x[ids])",
        "output",
    ),
    (
        "the row of a padding index, which starts at zero",
        """
        # torchport: check(ids=i64[2, 3] in [0, 5])
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = nn.Embedding(6, 4, padding_idx=0)

            def forward(self, ids):
                return self.table(ids).square().sum(1)""",
        """
        class f(nnx.Module):
            def __init__(self, *, rngs):
                self.table = nnx.Embed(6, 4, rngs=rngs)

            def __call__(self, ids):
                return jnp.square(self.table(ids)).sum(1)
        """,
        "gradient of table.weight",
    ),
    (
        "a branch whose last scale starts at zero",
        """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.zeros(6))

            def forward(self, x):
                return x + torch.tanh(self.scale * x)""",
        """
        class f(nnx.Module):
            def __init__(self, *, rngs):
                self.scale = nnx.Param(jnp.zeros(6))

            def __call__(self, x):
                return x + self.scale[...] * x
        """,
        "output",
    ),
    (
        "an axis of 1 that is lost, whatever the comment says of sizes",
        "# torchport: check(x=f32[4, 3, 1])\ndef f(x):\n    return x.squeeze(-1)",
        "def f(x):\n    return x.squeeze()",
        "output",
    ),
    (
        "an index that is out of range, and clamped",
        "# torchport: check(x=f32[4], ids=i64[2] in [4, 9])\ndef f(x, ids):\n    return x[ids]",
        "def f(x, ids):\n    return x[ids]",
        "",
    ),
    (
        "a mask that multiplies",
        "# torchport: check(x=f32[4, 6], drop=bool[4, 6])\n"
        "def f(x, drop):\n    return x.masked_fill(drop, 0.0)",
        "def f(x, drop):\n    return x * (1.0 - drop.astype(jnp.float32))",
        "output",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("original", "port", "where"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_wrong(full: Checker, tmp_path: Path, original: str, port: str, where: str) -> None:
    verdict = full.check(*write_pair(tmp_path, original, port)).of("f")
    assert verdict.status == "diverged", verdict.message
    assert not where or verdict.differences[0].where.startswith(where)


def test_other_sizes_are_told(full: Checker, tmp_path: Path) -> None:
    source = "# torchport: check(x=f32[2, 16])\ndef f(x):\n    return x.sum(-1) / x.shape[-1]"
    verdict = full.check(*write_pair(tmp_path, source, "def f(x):\n    return x.sum(-1) / 16")).of(
        "f"
    )
    assert any(note.startswith("Warning: for other sizes (eval, ") for note in verdict.notes)


def test_a_draw_that_never_ends_costs_that_draw(tmp_path: Path) -> None:
    """A loop that nothing leaves: the sum of no numbers is 0, and twice that as well."""
    source = """
        # torchport: check(x=f32[5] in [0.1, 6])
        def f(x):
            total = x.sum()
            while total < 100:
                total = total * 2
            return total
    """
    port = """
        def f(x):
            total = x.sum()
            while total < 100:
                total = total * 3
            return total
    """
    options = CheckOptions(draws=("normal", "wide", "empty"), timeout=10, gradients=False)
    with Checker(options, store=False) as checker:
        verdict = checker.check(*write_pair(tmp_path, source, port)).of("f")
    assert verdict.status == "diverged"
    assert any("only normal, wide were run" in note for note in verdict.notes)
