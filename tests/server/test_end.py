"""However a server ends, nothing that it has started is left."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.server.conftest import write_pair
from tests.server.wire import Wire

SOURCE = "import torch\n\n\ndef f(x: torch.Tensor) -> torch.Tensor:\n    return torch.exp(x)\n"
GIVE_UP = 60.0
"""Seconds after which a process that has not ended is taken to hang."""


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    wire = Wire(tmp_path)
    yield wire
    wire.kill()


def in_a_check(wire: Wire, marker: Path) -> list[psutil.Process]:
    """Bring the server to where it reads texts and runs a check that never ends; its processes."""
    endless = f"from pathlib import Path; Path({str(marker)!r}).touch()\n    while True: pass"
    (wire.folder / "pyproject.toml").write_text('[tool.torchport]\ncontainment = "off"\n')
    files = write_pair(wire.folder, "a", SOURCE, "return jnp.exp(x)", endless)
    wire.start()
    uri = wire.open(files.source)
    wire.open(files.port)
    position = {"line": 4, "character": 12}
    assert wire.request("textDocument/hover", textDocument={"uri": uri}, position=position)
    assert wire.execute("torchport.check", uri)["job"]
    wire.until("torchport/status", busy=True)
    while not marker.exists():
        assert wire.execute("torchport.cancel", "check-0") is False
    found = wire.family()
    lines = [" ".join(process.cmdline()) for process in found]
    assert any("spawn_main" in line for line in lines)
    assert sum("worker" in line for line in lines) >= 2
    return found


def closes_the_pipes(wire: Wire) -> None:
    assert wire.process.stdin is not None and wire.process.stdout is not None
    wire.process.stdin.close()
    wire.process.stdout.close()


def shuts_down(wire: Wire) -> None:
    wire.request("shutdown")
    wire.notify("exit")  # and the pipes stay open


def says_only_exit(wire: Wire) -> None:
    wire.notify("exit")


def is_terminated(wire: Wire) -> None:
    wire.process.terminate()


def is_killed(wire: Wire) -> None:
    wire.process.kill()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (shuts_down, 0),
        (says_only_exit, 1),
        (closes_the_pipes, 1),
        (is_terminated, None),
        pytest.param(
            is_killed,
            -signal.SIGKILL,
            marks=pytest.mark.skipif(sys.platform == "win32", reason="a signal"),
        ),
    ],
)
def test_in_the_middle_of_a_check(wire: Wire, tmp_path: Path, how: object, code: int) -> None:
    started = in_a_check(wire, tmp_path / "reached")
    how(wire)  # type: ignore[operator]
    found = wire.process.wait(GIVE_UP)
    assert code is None or found == code
    _, left = psutil.wait_procs(started, GIVE_UP)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert left == []


def test_before_anything_was_asked(wire: Wire) -> None:
    wire.start()
    assert wire.request("shutdown") is None
    wire.notify("exit")
    assert wire.process.wait(GIVE_UP) == 0
