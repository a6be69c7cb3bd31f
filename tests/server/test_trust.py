"""A workspace that is not trusted: rules work, and nothing of it is run."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from tests.server.conftest import write_pair
from tests.server.editor import editing

SOURCE = "import torch\n\n\ndef f(x):\n    torch.cuda.memory_snapshot()\n    return torch.exp(x)\n"


@pytest.mark.asyncio
async def test_nothing_runs_before_trust_is_granted(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "pyproject.toml").write_text('[tool.torchport]\ncontainment = "off"\n')
    source = f"open({str(ran)!r}, 'w')\n" + SOURCE.replace("    torch.cuda.memory_snapshot()\n", "")
    files = write_pair(tmp_path, "a", source)
    (tmp_path / "b.py").write_text(SOURCE)
    async with editing(tmp_path, trusted=False) as editor:
        uri, port = editor.open(files.source), editor.open(files.port)
        other = editor.open(tmp_path / "b.py")
        assert len(await editor.findings(other)) == 1
        assert await editor.hover(other, "torch.exp") is not None
        actions = await editor.actions(other, editor.range_of(other, "def f"))
        action = await editor.choose(actions, "Port f to JAX")
        assert action.command is None
        actions = await editor.actions(uri, editor.range_of(uri, "def f"))
        assert not [action for action in actions if action.title.startswith("Check")]

        editor.save(uri)
        editor.save(port)
        for _ in range(3):
            assert (await editor.execute("torchport.check", uri))["job"] is None
        (message,) = editor.client.messages
        assert "not trusted" in message.message
        server = psutil.Process(editor.client._server.pid)
        assert not [p for p in server.children() if "worker" in " ".join(p.cmdline())]
        assert not ran.exists()

        editor.client.protocol.notify("torchport/trust", {"trusted": True})
        seen = len(editor.statuses)
        editor.save(port)
        assert (await editor.verdict(seen)).last.text == "a_jax.py: 1 verified"
        assert ran.exists()


@pytest.mark.asyncio
async def test_a_stored_verdict_is_shown_again(tmp_path: Path) -> None:
    # Also where it was checked with settings that the client sends after the file.
    files = write_pair(tmp_path, "a", SOURCE.replace("    torch.cuda.memory_snapshot()\n", ""))
    settings = {tmp_path: {"check": {"timeout": 90}}}
    async with editing(tmp_path, settings=settings) as editor:
        uri = editor.open(files.source)
        seen = len(editor.statuses)
        await editor.execute("torchport.check", uri)
        await editor.verdict(seen)
        lenses = await editor.lenses(uri)
    async with editing(
        tmp_path, settings=settings, restored=[files.source], client="other"
    ) as editor:
        await editor.until(lambda: editor.statuses[-1].last is not None)
        assert await editor.lenses(uri) == lenses
        assert not [status for status in editor.statuses if status.busy]
        # A client that has no view for it shows the report as a message.
        assert await editor.execute("torchport.report", uri) is not None
        assert editor.client.messages[-1].message == "1 verified"
