"""Forms and equivalent graphs: eager and compiled, as written and with functions for operators."""

from __future__ import annotations

import ast
import operator
from pathlib import Path

import pytest

from torchport_checks import Category, Checker, CheckOptions
from torchport_checks.worker import equivalents

from .conftest import write_pair

# (operators, functions)
REWRITTEN = [
    ("a + b", "add(a, b)"),
    ("a - b * c", "sub(a, mul(b, c))"),
    ("a / b @ c", "matmul(truediv(a, b), c)"),
    ("-a ** 0.5", "neg(pow(a, 0.5))"),
    ("~a", "invert(a)"),
    ("not a", "not_(a)"),
    ("a < b", "a < b"),
    ("a[-1]", "a[-1]"),
    ("a // b % c", "a // b % c"),
]


@pytest.mark.parametrize(("before", "after"), REWRITTEN)
def test_operators_become_functions(before: str, after: str) -> None:
    tree = equivalents.rewritten(ast.parse(f"def f(a, b, c):\n    return {before}"))
    shown = ast.unparse(tree).replace("_torchport_operator_", "")
    assert shown == f"def f(a, b, c):\n    return {after}"


def test_what_is_not_a_tensor_keeps_its_operator() -> None:
    names = equivalents.namespace(lambda value: isinstance(value, float), {"add": operator.sub})
    add = names["_torchport_operator_add"]
    assert (add(1.0, 2.0), add(1, 2), add("a", "b"), add([1], [2])) == (-1.0, 3, "ab", [1, 2])


@pytest.fixture(scope="module")
def both_forms() -> Checker:
    with Checker(CheckOptions(forms=("compiled", "eager")), store=False) as checker:
        yield checker


def test_a_port_that_cannot_be_compiled_is_verified_and_said_so(
    both_forms: Checker, tmp_path: Path
) -> None:
    source = "def branch(x):\n    if x.sum() > 0:\n        return x * 2\n    return x"
    verdict = both_forms.check(*write_pair(tmp_path, source, source)).of("branch")
    assert verdict.ok
    assert {v.form: v.status for v in verdict.variants} == {
        "compiled": "not_compilable",
        "eager": "equal",
    }
    port = (tmp_path / "model_jax.py").read_text().splitlines()
    (compiled,) = [v for v in verdict.variants if v.form == "compiled"]
    assert port[compiled.line - 1] == "    if x.sum() > 0:"
    assert any("cannot be compiled" in note for note in verdict.notes)


def test_a_port_that_is_wrong_in_one_form_only(both_forms: Checker, tmp_path: Path) -> None:
    source = "def traced(x):\n    return x * 2"
    port = "def traced(x):\n    return x * (2 if isinstance(x, jax.core.Tracer) else 3)"
    verdict = both_forms.check(*write_pair(tmp_path, source, port)).of("traced")
    assert verdict.category is Category.MISMATCH
    assert {v.form: v.status for v in verdict.variants} == {"compiled": "equal", "eager": "differs"}
    port = "def traced(x):\n    return x * 2 if eager() else x * 3\n\n\ndef eager():\n    return not isinstance(jnp.zeros(1), jax.core.Tracer)"
    verdict = both_forms.check(*write_pair(tmp_path, source, port)).of("traced")
    assert verdict.category is Category.MISMATCH
    assert {v.form: v.status for v in verdict.variants} == {"compiled": "differs", "eager": "equal"}


GRAPHS = {
    ("torch", "original", "compiled"), ("torch", "rewritten", "eager"),
    ("torch", "rewritten", "compiled"), ("jax", "original", "eager"),
    ("jax", "original", "compiled"), ("jax", "rewritten", "eager"),
    ("jax", "rewritten", "compiled"),
}  # fmt: skip


@pytest.fixture(scope="module")
def graphs() -> Checker:
    options = CheckOptions(forms=("compiled", "eager"), graphs=True, draws=("normal",))
    with Checker(options, store=False) as checker:
        yield checker


def test_all_graphs_run_and_agree(graphs: Checker, tmp_path: Path) -> None:
    source = """\
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        y = -self.fc(x) + x * 2
        return (y**2 + 1) ** 0.5 @ x.T / 3"""
    port = """\
class Net(nnx.Module):
    def __init__(self, width=8, *, rngs):
        self.fc = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x):
        y = -self.fc(x) + x * 2
        return (y**2 + 1) ** 0.5 @ x.T / 3"""
    verdict = graphs.check(*write_pair(tmp_path, source, port)).of("Net")
    assert verdict.ok
    assert {(v.framework, v.graph, v.form) for v in verdict.variants} == GRAPHS
    assert {v.status for v in verdict.variants} == {"equal"}


def test_a_wrong_port_is_wrong_in_all_its_graphs(graphs: Checker, tmp_path: Path) -> None:
    verdict = graphs.check(
        *write_pair(tmp_path, "def f(x):\n    return x + x**2", "def f(x):\n    return x + x**3")
    ).of("f")
    assert verdict.category is Category.MISMATCH
    assert {v.status for v in verdict.variants if v.framework == "jax"} == {"differs"}
    assert {v.status for v in verdict.variants if v.framework == "torch"} == {"equal"}
    assert any("The port itself differs from torch" in note for note in verdict.notes)
