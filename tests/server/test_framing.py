"""What anything prints goes anywhere but between the messages."""

from __future__ import annotations

from pathlib import Path

from tests.server.conftest import write_pair
from tests.server.wire import Wire

SOURCE = """\
import torch

LOUD = "x" * 65536

for _ in range(64):
    print(LOUD)


def f(x: torch.Tensor) -> torch.Tensor:
    print(LOUD)
    return torch.exp(x)
"""

# Runs at the start of every Python process. The server's own start is not in its hands.
SITE = """\
import os, sys
if "lsp" not in sys.orig_argv:
    print("Content-Length: 3\\r\\n\\r\\n{}!" * 100, flush=True)
    os.write(1, b"raw" * 1000)
    with open(os.path.join(os.path.dirname(__file__), "started"), "a") as file:
        file.write("one\\n")
"""


def test_no_stray_byte(tmp_path: Path) -> None:
    # Megabytes from the code that is checked, and prints from every interpreter that is started.
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    work = tmp_path / "work"
    work.mkdir()
    (work / "pyproject.toml").write_text('[tool.torchport]\ncontainment = "off"\n')
    files = write_pair(work, "a", SOURCE)
    wire = Wire(work, PYTHONPATH=str(site))
    try:
        wire.start()
        wire.open(files.source)
        wire.execute("torchport.check", files.source.as_uri())
        last = {"uri": files.source.as_uri(), "status": "verified", "text": "a_jax.py: 1 verified"}
        wire.until("torchport/status", busy=False, last=last)
        assert (site / "started").read_text().count("one") >= 3  # the analyst and two workers
        wire.request("shutdown")
        wire.notify("exit")
        assert wire.receive() is None
        assert wire.process.wait(60) == 0
    finally:
        wire.kill()
