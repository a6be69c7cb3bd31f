"""The set-up of docs/neovim.md in a real Neovim, without a window: port, break, restore."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NEOVIM = shutil.which("nvim", path=str(Path(sys.executable).parent)) or shutil.which("nvim")

SOURCE = """\
import torch
from torch import nn


class Wave(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.up = nn.Linear(width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        note = "é 🔥"; return torch.sin(self.up(x)) * len(note)
"""


def configuration() -> str:
    """The Lua that the document tells its reader to use."""
    (code,) = re.findall(r"```lua\n(.*?)```", (ROOT / "docs/neovim.md").read_text(), re.DOTALL)
    return code


def drive(folder: Path) -> dict[str, Any]:
    """Run drive.lua; what it reports. Neovim has a home of its own there."""
    assert NEOVIM is not None
    (folder / "init.lua").write_text(configuration())
    (folder / "pyproject.toml").write_text("[tool.torchport]\n")
    source = folder / "model.py"
    source.write_text(SOURCE)
    report = folder / "report.json"
    home = {
        name: str(folder / name.lower()) for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")
    }
    environment = {
        **os.environ,
        **home,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TORCHPORT_CONFIG": str(folder / "init.lua"),
        "TORCHPORT_SOURCE": str(source),
        "TORCHPORT_REPORT": str(report),
    }
    drive = Path(__file__).parent / "neovim" / "drive.lua"
    done = subprocess.run(
        [NEOVIM, "--headless", "--clean", "-n", "-c", f"luafile {drive}"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text())


@pytest.mark.skipif(NEOVIM is None, reason="nvim is not installed")
def test_port_break_restore_in_neovim(tmp_path: Path) -> None:
    report = drive(tmp_path)
    assert "problem" not in report, report["problem"]
    steps = {step["name"]: step["value"] for step in report["steps"]}
    assert steps["encoding"] == "utf-8"  # what Neovim prefers; VS Code speaks UTF-16
    assert any(title.startswith("Port Wave to JAX (model_jax.py)") for title in steps["actions"])
    assert steps["lens"].startswith("✓ verified")
    assert steps["divergence"]["line"] == steps["divergence"]["expected"]
    assert steps["divergence"]["code"] == "MISMATCH"
    assert steps["restored"] is True
    assert 'note = "é 🔥"; return jnp.sin(' in (tmp_path / "model_jax.py").read_text()
