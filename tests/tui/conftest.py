"""A session with a bit of everything, made without running anything: verdicts are noted by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from torchport_checks import CheckOptions, Verdict
from torchport_checks.picture import picture
from torchport_checks.sessions import Session
from torchport_checks.sessions.session import open_session
from torchport_checks.verdicts import (
    Category,
    DefinitionVerdict,
    Difference,
    Errors,
    Gradients,
    Inputs,
    InputUsed,
    LaneInfo,
    Located,
    Smallest,
    Stages,
)
from torchport_translators.configuration import Configuration
from torchport_tui.app import TorchportApp

ATTENTION = '''"""Attention, written once and copied since."""

import torch
import torch.nn.functional as F
from torch import nn


# torchport: check(q=f32[6, 24], k=f32[6, 24])
def scores(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Attention weights of every query over all keys."""
    weights = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    return torch.softmax(weights, dim=-1)


class Head(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        return F.gelu(self.proj(x))


def gather(x: torch.Tensor):
    return torch.distributed.all_gather(x)
'''
OPS = """import torch


def scale(x: torch.Tensor):
    return torch.mul(x, 2.0)


def norm(x: torch.Tensor):
    return x / torch.linalg.norm(x, dim=-1, keepdim=True)
"""
BROKEN = "import torch\n\n\ndef broken(x:\n    return torch.mul(x\n"
LANES = [
    LaneInfo(framework=name, version="1.0", device="cpu", interpreter="python", containment="bubblewrap")
    for name in ("torch", "jax")
]  # fmt: skip


class SVG(SingleFileSnapshotExtension):
    """A screen as a picture: a file for each."""

    _write_mode = WriteMode.TEXT
    file_extension = "svg"


@pytest.fixture
def svg(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SVG)


def diverged() -> DefinitionVerdict:
    """Softmax over the wrong axis, with all that a check finds of it."""
    rng = np.random.default_rng(0)
    theirs = rng.random((6, 6)).astype(np.float32)
    ours = theirs.copy()
    ours[1:4] *= np.float32(1.5)
    ours[5, 2] += np.float32(1e-5)
    message = (
        "18 of 36 values differ; at [1, 3] torch gives 0.25, the port 0.375, float64 0.25. "
        "A relative tolerance of 0.5 would have passed."
    )
    difference = Difference(
        category=Category.MISMATCH, where="output", case="eval, normal", message=message,
        index=(1, 3), torch=0.25, port=0.375, reference=0.25, tolerance=0.5,
        picture=picture(theirs, ours),
    )  # fmt: skip
    return DefinitionVerdict(
        name="scores", kind="function", source_line=9, port_line=35, status="diverged",
        category=Category.MISMATCH, message=f"output (eval, normal): {message}",
        stages=Stages(spec="passed", numeric="failed"), largest=Errors(abs=0.1, rel=0.5, ulp=9e6),
        inputs=Inputs(
            origin="a check comment", draws=["eval, normal", "eval, wide"],
            call=[InputUsed(name="q", text="f32[6, 24]"), InputUsed(name="k", text="f32[6, 24]")],
        ),
        differences=[difference],
        smallest=Smallest(
            inputs=[InputUsed(name="q", text="f32[2, 2] = [[0, 0], [0, 0]]")],
            python="scores(q=[[0, 0], [0, 0]], k=[[0, 0]])", difference=difference,
            replay="torchport replay 0123456789", runs=9, seconds=1.0,
        ),
        located=Located(
            of="value", source_line=12, port_line=38, port_first_line=38,
            source_text="torch.softmax(weights, dim=-1)", port_text="jax.nn.softmax(weights)",
            source_statement="", port_statement="", certainty="certain",
        ),
        seconds=6.1,
    )  # fmt: skip


def verified(name: str, line: int) -> DefinitionVerdict:
    return DefinitionVerdict(
        name=name, kind="function", source_line=line, port_line=line, status="verified",
        message="Outputs and gradients equal in 3 runs",
        stages=Stages(spec="passed", numeric="passed"),
        largest=Errors(abs=1e-7, rel=1.2e-7, ulp=1), gradients=Gradients(status="equal"),
        inputs=Inputs(origin="inferred", call=[InputUsed(name="x", text="f32[8]")]), seconds=0.4,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "src" / "nets").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "src" / "nets" / "attention.py").write_text(ATTENTION)
    (root / "src" / "ops.py").write_text(OPS)
    (root / "src" / "broken.py").write_text(BROKEN)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def session(project: Path) -> Iterator[Session]:
    """Ported, and judged."""
    session = open_session(["src"], "jax", Configuration(), review=True)
    session.scan()
    list(session.port(session.unported()))
    for path, definitions in (
        ("src/nets/attention.py", [diverged(), verified("Head", 15)]),
        ("src/ops.py", [verified("scale", 4), verified("norm", 8)]),
    ):
        found = session.texts(path)
        assert found is not None
        verdict = Verdict(
            torchport="0", source=path, port="p", definitions=definitions, lanes=LANES
        )
        assert session.record(path, verdict, found[1])
    session.log("src/ops.py: 2 of 2 verified (0.8 s)")
    yield session
    session.close()


@pytest.fixture
def app(session: Session) -> TorchportApp:
    """The application over that session, which runs nothing."""
    return TorchportApp(session, CheckOptions(), run=False)


States = Callable[[], dict[str, str]]


@pytest.fixture
def states(session: Session) -> States:
    return lambda: {item.name: item.state.value for item in session.items()}
