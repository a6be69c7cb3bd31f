"""Checkpoints of ports: what is saved and loaded again computes the same; what is no state is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from torchport_translators.translate import translate

PROGRAM = """\
import copy
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.bn = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.drop(self.bn(x))

def save(model, optimizer, epoch, path):
    state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "note": "x"}
    torch.save(state, path)

def step(model, optimizer, x):
    optimizer.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    optimizer.step()

x = torch.randn(8, 3)
model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
step(model, optimizer, x)
best = copy.deepcopy(model.state_dict())
save(model, optimizer, 3, "all.ckpt")
torch.save(model.state_dict(), "model.ckpt")
model.eval()
saved = model(x)
model.train()

other = Net()
second = torch.optim.Adam(other.parameters(), lr=1e-2)
checkpoint = torch.load("all.ckpt", map_location="cpu", weights_only=True)
other.load_state_dict(checkpoint["model"])
second.load_state_dict(checkpoint["optimizer"])
print(checkpoint["epoch"], checkpoint["note"])
other.eval()
print(bool((other(x) == saved).all()))

# The optimizer goes on as the first one does: without dropout both take the same step.
model.drop = nn.Dropout(0.0)
other.drop = nn.Dropout(0.0)
other.train()
step(model, optimizer, x)
step(other, second, x)
model.eval()
other.eval()
print(bool((other(x) == model(x)).all()), bool((other(x) == saved).all()))

model.load_state_dict(torch.load("model.ckpt"))
print(bool((model(x) == saved).all()))
other.load_state_dict(best, strict=True)
print(bool((other(x) == saved).all()))
"""


@pytest.mark.parametrize("target", ["jax", "mlx"])
def test_state_is_saved_and_loaded(target: str, tmp_path: Path) -> None:
    port = translate(PROGRAM, target)
    assert {finding.code for finding in port.findings} == {"own-checkpoint"}
    for name, text in (("original", PROGRAM), ("port", port.text)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "program.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path / name,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == ["3", "x", "True", "True", "False", "True", "True"], (
            done.stderr
        )


@pytest.mark.parametrize("target", ["jax", "mlx"])
def test_an_array_without_a_place_is_refused(target: str, tmp_path: Path) -> None:
    program = PROGRAM.partition("x = torch.randn")[0] + (
        "model = Net()\nstate = model.state_dict()\nstate.pop(next(iter(state)))\n"
        "model.load_state_dict(state)\n"
    )
    (tmp_path / "program.py").write_text(translate(program, target).text)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and ("these do not fit" in done.stderr or "Missing" in done.stderr)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("torch.save(model, 'a.pt')", "torch.save of a whole module pickles it"),
        ("model.load_state_dict({}, strict=False)", "with strict=False or a prefix"),
        ("model.state_dict(prefix='a.')", "with arguments"),
        ("optimizer.load_state_dict({}, 3)", "torch.optim.Optimizer.load_state_dict"),
        ("torch.load('a.pt', weights_only=True)", "the port reads files that a port has saved"),
    ],
)
def test_told(line: str, told: str) -> None:
    source = (
        "import torch\nfrom torch import nn\n\nmodel = nn.Linear(2, 2)\n"
        f"optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n{line}\n"
    )
    for target in ("jax", "mlx"):
        assert any(told in finding.message for finding in translate(source, target).findings)
