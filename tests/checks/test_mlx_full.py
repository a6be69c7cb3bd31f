"""A full check of ports to MLX: all stages, the diverging operation, equivalent graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchport_checks import Checker, CheckOptions

from .test_mlx import write_mlx_pair as mlx_pair

NET = """\
# torchport: check(x=f32[16, 8])
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 32)
        self.norm = nn.BatchNorm1d(32)
        self.drop = nn.Dropout(0.25)
        self.out = nn.Linear(32, 3)

    def forward(self, x):
        h = torch.tanh(self.norm(self.fc(x)))
        h = self.drop(h)
        return self.out(h) * 0.5"""

PORT = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 32)
        self.norm = BatchNorm(32)
        self.drop = nn.Dropout(0.25)
        self.out = nn.Linear(32, 3)

    def __call__(self, x):
        h = mx.tanh(self.norm(self.fc(x)))
        h = self.drop(h)
        return self.out(h) * 0.5


class BatchNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = mx.ones((size,))
        self.bias = mx.zeros((size,))
        self.running_mean = mx.zeros((size,))
        self.running_var = mx.ones((size,))
        self.freeze(keys=["running_mean", "running_var"], recurse=False)

    def __call__(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0)
            unbiased = var * (x.shape[0] / (x.shape[0] - 1))
            self.running_mean = 0.9 * self.running_mean + 0.1 * mean
            self.running_var = 0.9 * self.running_var + 0.1 * unbiased
        return (x - mean) * mx.rsqrt(var + 1e-5) * self.weight + self.bias"""


OPTIONS = CheckOptions().thorough().model_copy(update={"draws": ("normal", "ties")})


@pytest.fixture(scope="module")
def thorough() -> Checker:
    with Checker(OPTIONS, store=False) as checker:
        yield checker


def test_a_right_port(tmp_path: Path) -> None:
    with Checker(OPTIONS.model_copy(update={"graphs": True}), store=False) as checker:
        verdict = checker.check(*mlx_pair(tmp_path, NET, PORT))
    found = verdict.of("Net")
    assert found.ok, found.message
    assert verdict.target == "mlx"
    assert (found.stages.numeric, found.stages.behavioural) == ("passed", "passed")
    assert found.gradients.status == "equal"
    assert {(v.framework, v.graph, v.form): v.status for v in found.variants} == {
        (framework, graph, form): "equal"
        for framework in ("torch", "mlx")
        for graph in ("original", "rewritten")
        for form in ("eager", "compiled")
        if (framework, graph, form) != ("torch", "original", "eager")
    }
    assert found.notes == []


WRONG = [
    ("mx.tanh(self.norm", "mx.sigmoid(self.norm", "h = mx.sigmoid(self.norm(self.fc(x)))"),
    ("* 0.5", "* 0.4", "return self.out(h) * 0.4"),
]


@pytest.mark.parametrize(("right", "wrong", "statement"), WRONG)
def test_the_diverging_operation_is_located(
    thorough: Checker, tmp_path: Path, right: str, wrong: str, statement: str
) -> None:
    port = PORT.replace(right, wrong)
    pair = mlx_pair(tmp_path, NET, port)
    found = thorough.check(*pair).of("Net")
    assert found.status == "diverged"
    assert found.located is not None
    line = pair[1].read_text().splitlines()[found.located.port_line - 1]
    assert line.strip() == statement
    assert found.smallest is not None


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("0.9 * self.running_var", "0.8 * self.running_var", "running_var"),
        ("nn.Dropout(0.25)", "nn.Dropout(0.35)", "random"),
    ],
)
def test_what_only_shows_in_training(
    thorough: Checker, tmp_path: Path, right: str, wrong: str, says: str
) -> None:
    found = thorough.check(*mlx_pair(tmp_path, NET, PORT.replace(right, wrong))).of("Net")
    assert found.status == "diverged"
    assert says in found.message


def test_noise(thorough: Checker, tmp_path: Path) -> None:
    source = "def noisy(x):\n    return x + 0.5 * torch.randn_like(x)"
    port = "def noisy(x):\n    return x + 0.5 * mx.random.normal(x.shape)"
    assert thorough.check(*mlx_pair(tmp_path, source, port)).of("noisy").ok
    wrong = port.replace("0.5", "0.4")
    found = thorough.check(*mlx_pair(tmp_path, source, wrong)).of("noisy")
    assert "standard deviation" in found.message


def test_what_cannot_be_compiled(thorough: Checker, tmp_path: Path) -> None:
    source = "def branch(x):\n    if x.sum() > 0:\n        return x * 2\n    return x"
    found = thorough.check(*mlx_pair(tmp_path, source, source)).of("branch")
    assert found.ok, found.message
    compiled = {v.form: v.status for v in found.variants if v.framework == "mlx"}
    assert compiled == {"compiled": "not_compilable", "eager": "equal"}
