"""Ports to MLX: wrong ones are caught, right ones pass, and what is peculiar to MLX is told.

All originals are one file, and so are all wrong and all right ports: two checks in all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from torchport_checks import Category, Checker, CheckOptions, Verdict
from torchport_checks.verdicts import DefinitionVerdict

from .conftest import TORCH
from .mlx_pairs import PAIRS
from .pairs import Pair

MLX = "import mlx.core as mx\nimport mlx.nn as nn\n\n\n"

ids = [pair.name for pair in PAIRS]


def write_mlx_pair(folder: Path, source: str, port: str) -> tuple[Path, Path]:
    """Both texts as files in `folder`, with the usual imports above them."""
    original, ported = folder / "model.py", folder / "model_mlx.py"
    original.write_text(TORCH + dedent(source), encoding="utf-8")
    ported.write_text(MLX + dedent(port), encoding="utf-8")
    return original, ported


@pytest.fixture(scope="module")
def right(checker: Checker, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    folder = tmp_path_factory.mktemp("right")
    return checker.check(*_joined(folder, [pair.right for pair in PAIRS]))


@pytest.fixture(scope="module")
def wrong(checker: Checker, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    folder = tmp_path_factory.mktemp("wrong")
    return checker.check(*_joined(folder, [pair.wrong for pair in PAIRS]))


def _joined(folder: Path, ports: list[str]) -> tuple[Path, Path]:
    originals = [pair.original for pair in PAIRS]
    return write_mlx_pair(folder, "\n\n\n".join(originals) + "\n", "\n\n\n".join(ports) + "\n")


@pytest.mark.parametrize("pair", PAIRS, ids=ids)
def test_right(pair: Pair, right: Verdict) -> None:
    verdict = right.of(pair.name)
    assert verdict.status == "verified", verdict.message
    assert (verdict.stages.spec, verdict.stages.numeric) == ("passed", "passed")


@pytest.mark.parametrize("pair", PAIRS, ids=ids)
def test_wrong(pair: Pair, wrong: Verdict) -> None:
    verdict = wrong.of(pair.name)
    assert (verdict.status, verdict.category) == ("diverged", pair.category), verdict.message
    if pair.where:
        assert verdict.differences[0].where.startswith(pair.where)


def test_the_whole(right: Verdict) -> None:
    assert (right.ok, right.target) == (True, "mlx")
    assert {lane.framework: lane.device for lane in right.lanes} == {"torch": "cpu", "mlx": "cpu"}


def test_gradients_by_torchs_names(right: Verdict) -> None:
    assert set(right.of("Strided").gradients.parameters) == {
        "down.weight",
        "down.bias",
        "up.weight",
        "up.bias",
    }
    assert set(right.of("Tied").gradients.parameters) == {"embed.weight"}
    assert set(right.of("penalised").gradients.parameters) == {
        "model.head.weight",
        "model.head.bias",
    }
    assert set(right.of("filled_twice").gradients.inputs) == {"x", "y"}


CheckOne = Callable[..., DefinitionVerdict]


@pytest.fixture
def one(checker: Checker, tmp_path: Path) -> CheckOne:
    """The verdict on `f`, which both texts define."""
    return lambda source, port: checker.check(*write_mlx_pair(tmp_path, source, port)).of("f")


def test_a_port_may_return_what_the_original_writes_into_its_argument(one: CheckOne) -> None:
    verdict = one("def f(x):\n    x.clamp_(min=0)", "def f(x):\n    return mx.where(x < 0, 0.0, x)")
    assert verdict.status == "verified"
    assert any("x in place, which the port does not" in note for note in verdict.notes)


def test_a_very_long_sum_may_be_taken_one_by_one(one: CheckOne) -> None:
    source = """
        # torchport: check(x=f32[2, 16, 8192])
        def f(x):
            return F.layer_norm(x, (16, 8192))
        """
    port = """
        def f(x):
            return mx.fast.layer_norm(x.flatten(-2), None, None, 1e-5).reshape(x.shape)
        """
    verdict = one(source, port)
    assert verdict.status == "verified", verdict.message


def test_what_a_call_leaves_in_the_module_is_gone_before_the_next(one: CheckOne) -> None:
    source = """
        class f(nn.Module):
            def forward(self, x):
                return x * 2
        """
    port = """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.calls, self.seen, self._total = 0, [], mx.zeros(1)

            def __call__(self, x):
                self.calls += 1
                self.seen.append(x)
                self._total[0] += 1
                return x * (self.calls + len(self.seen)) / self._total
        """
    assert one(source, port).status == "verified"


@pytest.mark.parametrize(
    ("mask", "status", "told"),
    [
        ("self.mask = mx.tril(mx.ones((6, 6)))", "verified", True),
        ("self.mask = mx.tril(mx.ones((6, 6))); self.freeze()", "verified", False),
        ("self.mask = mx.triu(mx.ones((6, 6)))", "diverged", True),
        ("self.other = self.mask = mx.tril(mx.ones((6, 6)))", "diverged", False),
    ],
    ids=["trained", "frozen", "another", "one too many"],
)
def test_a_constant_that_mlx_would_train_is_told(
    one: CheckOne, mask: str, status: str, told: bool
) -> None:
    source = """
        # torchport: check(x=f32[4, 6])
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.mask = torch.tril(torch.ones(6, 6))

            def forward(self, x):
                return x @ self.mask
        """
    port = source.replace("self.mask = torch.tril(torch.ones(6, 6))", mask)
    verdict = one(source, port.replace("forward", "__call__"))
    assert verdict.status == status, verdict.message
    assert any("MLX trains mask" in note for note in verdict.notes) == told


def test_what_mlx_cannot_differentiate_is_told(one: CheckOne) -> None:
    source = "# torchport: check(x=f32[3, 3])\ndef f(x):\n    return torch.linalg.svdvals(x)"
    verdict = one(source, "def f(x):\n    return mx.linalg.svd(x, stream=mx.cpu)[1]")
    assert verdict.status == "verified", verdict.message
    assert verdict.gradients.status == "not_compared"
    assert "MLX cannot differentiate the port: [Primitive::vjp] Not implemented for SVD" in (
        verdict.gradients.reason
    )
    assert any(verdict.gradients.reason in note for note in verdict.notes)


def test_weights_that_mlx_holds_otherwise_are_told(one: CheckOne) -> None:
    source = """
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = nn.GRU(3, 4)

            def forward(self, x):
                return self.rnn(x)[0]
        """
    verdict = one(source, source.replace("forward", "__call__").replace("(x)[0]", "(x)"))
    assert verdict.category is Category.WEIGHTS
    assert "rnn is an mlx.nn.GRU with biases" in verdict.message


def test_a_port_that_needs_values_works_and_cannot_be_compiled(tmp_path: Path) -> None:
    source = "# torchport: check(x=f32[4])\ndef f(x):\n    return x if x.sum() > 0 else -x"
    options = CheckOptions(timeout=60, forms=("compiled",))
    with Checker(options, store=False) as checker:
        verdict = checker.check(*write_mlx_pair(tmp_path, source, source)).of("f")
    assert verdict.status == "verified", verdict.message
    forms = [(variant.form, variant.status, variant.line) for variant in verdict.variants]
    assert forms == [("compiled", "not_compilable", 7), ("eager", "equal", None)]
    assert any("line 7 of the port needs a value" in note for note in verdict.notes)


def test_compiled_as_eagerly(tmp_path: Path) -> None:
    source = """
        # torchport: check(x=f32[4, 3])
        class f(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(3, 2)
                self.norm = nn.BatchNorm1d(2)

            def forward(self, x):
                return self.norm(self.fc(x))
        """
    port = source.replace("forward", "__call__").replace("BatchNorm1d", "BatchNorm")
    options = CheckOptions(timeout=300, forms=("eager", "compiled"))
    with Checker(options, store=False) as checker:
        verdict = checker.check(*write_mlx_pair(tmp_path, source, port)).of("f")
    assert verdict.status == "verified", verdict.message
    assert verdict.gradients.status == "equal"
    forms = [(variant.form, variant.status) for variant in verdict.variants]
    assert forms == [("eager", "equal"), ("compiled", "equal")]


def test_a_fault_in_native_code_costs_one_verdict(checker: Checker, tmp_path: Path) -> None:
    source = "def f(x):\n    return x * 2\n\n\ndef g(x):\n    return x * 3\n"
    port = source.replace("x * 3", "mx.take(x, mx.array([10**9]))")  # MLX does not look
    for text, expected in ((port, "error"), (source, "verified")):
        verdict = checker.check(*write_mlx_pair(tmp_path, source, text))
        assert (verdict.of("f").status, verdict.of("g").status) == ("verified", expected)
        if expected == "error":
            assert verdict.of("g").category is Category.CRASH
            assert "The mlx side's process was ended by SIG" in verdict.of("g").message


def test_missing_mlx_is_told(tmp_path: Path) -> None:
    with Checker(CheckOptions(mlx_python="/no/such/python"), store=False) as checker:
        verdict = checker.check(*write_mlx_pair(tmp_path, "def f(x): ...", "def f(x): ..."))
    assert (verdict.status, verdict.category) == ("error", Category.FRAMEWORK)
    assert "The interpreter for mlx, /no/such/python, does not start" in verdict.error
    assert "python.mlx" in verdict.error
