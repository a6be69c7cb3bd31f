"""The mutation score: which planted errors exist, and which the inputs do not notice."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from torchport_checks import Checker, CheckOptions
from torchport_checks.mutate import mutants

from .conftest import write_pair

# (kind of error, port's expression, what it becomes)
PLANTED = [
    ("wrong axis", "jnp.sum(x, axis=1)", "axis=0"),
    ("wrong axis", "jnp.sum(x, axis=-1)", "axis=-2"),
    ("swapped default", "jnp.sum(x, keepdims=True)", "keepdims=False"),
    ("dropped argument", "jnp.var(x, ddof=1)", "jnp.var(x)"),
    ("another ddof", "jnp.var(x, ddof=1)", "ddof=0"),
    ("another eps", "norm(x, epsilon=1e-05)", "epsilon=0.001"),
    ("wrong operator", "x + y", "((x) - (y))"),
    ("boundary of a comparison", "jnp.where(x < 0, 0, x)", "((x) <= (0))"),
    ("off by one", "x[1:]", "2:"),
    ("off by one", "jnp.triu(x, k=1)", "k=2"),
    ("lost transpose", "x @ y.T", "(y)"),
    ("lost transpose", "jnp.swapaxes(x, 1, 2)", "x"),
    ("sizes swapped", "x.reshape(2, 3, 4)", "x.reshape(2, 4, 3)"),
    ("gradient not stopped", "jax.lax.stop_gradient(x)", "(x)"),
    ("gradient cut", "x", "return jax.lax.stop_gradient(x)"),
    ("another function", "jnp.max(x)", "jnp.min"),
    ("in-place update lost", "x.at[0].set(y)", "x.at[0].set(y)"),
]


@pytest.mark.parametrize(("error", "expression", "after"), PLANTED, ids=[p[1] for p in PLANTED])
def test_planted(error: str, expression: str, after: str) -> None:
    body = (
        f"    x = {expression}\n    return x"
        if error.startswith("in-place")
        else f"    return {expression}"
    )
    port = f"def f(x, y):\n{body}\n\n\ndef other(x):\n    return x + 1\n"
    found = [m for m in mutants(port, ["f"]) if m.error == error]
    assert after in [m.after for m in found]
    for mutant in found:
        ast.parse(mutant.text)
        assert mutant.text.endswith("def other(x):\n    return x + 1\n")


def test_text_that_is_not_ascii() -> None:
    port = 'def f(x):\n    return {"größe": jnp.sum(x, axis=0)}  # über alles\n'
    (mutant,) = [m for m in mutants(port, ["f"]) if m.error == "wrong axis"]
    assert mutant.text == port.replace("axis=0", "axis=1")


ORIGINAL = "# torchport: check(x={})\ndef scaled(x):\n    return torch.softmax(x, dim=0).sum(1)"
PORT = "def scaled(x):\n    return jax.nn.softmax(x, axis=0).sum(axis=1)"


@pytest.mark.parametrize(
    ("inputs", "blind_to"),
    [
        ("f32[4, 6]", set()),
        # With one row, softmax over rows gives ones; and sums over one column take the axis away.
        ("f32[1, 1]", {"axis=1", "jax.nn.log_softmax"}),
    ],
)
def test_inputs_that_are_too_plain_leave_survivors(
    tmp_path: Path, inputs: str, blind_to: set[str]
) -> None:
    pair = write_pair(tmp_path, ORIGINAL.format(inputs), PORT)
    with Checker(CheckOptions(), store=False) as checker:
        score = checker.mutate(*pair)
        survivors = {survivor.after for survivor in score.survivors}
        assert blind_to - {"jax.nn.log_softmax"} <= survivors
        assert bool(survivors) == bool(blind_to), score.survivors
        assert score.noticed == score.planted - len(score.survivors)
        # The port that is checked afterwards is the one in the file.
        assert checker.check(*pair).ok


def test_nothing_is_planted_into_what_is_not_verified(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, ORIGINAL.format("f32[4, 6]"), PORT.replace("axis=0", "axis=1"))
    with Checker(CheckOptions(), store=False) as checker:
        score = checker.mutate(*pair)
    assert (score.planted, score.not_run) == (0, ["scaled"])
