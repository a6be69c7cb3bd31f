"""A session in a real terminal, with real keys, both frameworks and an editor."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from torchport.cli import cli

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

_SECONDS = 120


class Terminal:
    """A terminal of 100 by 30 cells in a tmux server of its own."""

    def __init__(self, folder: Path, command: str) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._run("new-session", "-d", "-x", "100", "-y", "30", "-c", str(folder), command)

    def _run(self, *arguments: str, check: bool = True) -> str:
        command = [*self._tmux, *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True).stdout

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names of them."""
        for key in keys:
            self._run("send-keys", key)

    def wait_for(self, *texts: str) -> str:
        """The screen, once it shows all the texts."""
        screen = ""
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            screen = self._run("capture-pane", "-p", check=False)
            if all(text in screen for text in texts):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{texts} did not appear:\n{screen}")

    def wait_for_the_end(self) -> None:
        """Wait until the program has ended."""
        end = time.monotonic() + _SECONDS
        while self._run("list-sessions", check=False):
            assert time.monotonic() < end, self._run("capture-pane", "-p", check=False)
            time.sleep(0.1)

    def close(self) -> None:
        self._run("kill-server", check=False)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "model.py").write_text(
        "import torch\n\n\ndef scale(x: torch.Tensor):\n    return torch.mul(x, 2.0)\n"
    )
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i.bak 's/2\\.0/2.5/' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def terminal(root: Path) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "torchport", "tui", "model.py", "--quick"]
    terminal = Terminal(root, f"EDITOR={shlex.quote(str(root / 'editor'))} {shlex.join(command)}")
    yield terminal
    terminal.close()


def test_port_check_edit_reject_and_accept(root: Path, terminal: Terminal) -> None:
    terminal.wait_for("scale", "checked", "✓ 1 verified", "idle")
    assert not (root / "model_jax.py").exists()
    terminal.press("Enter")
    terminal.wait_for("1 Diff", "return torch.mul(x, 2.0)", "return x * 2.0")
    # An edit has to be checked; the checker notices what it has changed.
    terminal.press("e")
    terminal.wait_for("return x * 2.5", "The port has changed")
    terminal.press("r")
    terminal.wait_for("✗ scale", "2 Verdict ✗")
    terminal.press("2")
    terminal.wait_for("diverged (MISMATCH)", "What was run")
    terminal.press("z")
    terminal.wait_for("✓ scale", "Outputs and gradients equal")
    # Another process is told who works here.
    result = CliRunner().invoke(cli, ["batch", "model.py", "--no-run"])
    assert result.exit_code == 2 and "works at this session already" in result.output
    terminal.press("a")
    terminal.wait_for("scale  model.py:4  accepted")
    assert "return x * 2.0" in (root / "model_jax.py").read_text()
    terminal.press("Escape")
    terminal.wait_for("1 accepted")
    terminal.press("q")
    terminal.wait_for_the_end()
    result = CliRunner().invoke(cli, ["batch", "--resume", "--no-run", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["states"]["accepted"] == 1
