"""Several workspace folders, each with settings and interpreters of its own."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import pytest
from lsprotocol import types as lsp
from tests.server.conftest import Files, write_pair
from tests.server.editor import Editor, editing

SOURCE = "import torch\n\n\ndef f(x):\n    return torch.exp(x)\n"


def folder(path: Path) -> Files:
    path.mkdir()
    (path / "pyproject.toml").write_text("[tool.torchport]\n")
    return write_pair(path, "model", SOURCE)


def bare_python(path: Path) -> str:
    """An interpreter that has neither torch nor jax."""
    venv.create(path, with_pip=False)
    return str(path / ("Scripts" if sys.platform == "win32" else "bin") / "python")


@pytest.mark.asyncio
async def test_an_interpreter_without_torch(tmp_path: Path) -> None:
    good, bad = folder(tmp_path / "good é 🔥"), folder(tmp_path / "bad é 🔥")
    python = bare_python(tmp_path / "bare")
    settings = {bad.source.parent: {"python": {"torch": python}}}
    roots = (good.source.parent, bad.source.parent)
    async with editing(*roots, settings=settings) as editor:
        bad_port, good_port = editor.open(bad.port), editor.open(good.port)
        for _ in range(3):
            await saved(editor, bad_port)
        (message,) = editor.client.messages
        assert python in message.message and "torch" in message.message
        assert "install" in message.message
        assert editor.problems(bad_port) == [] == editor.problems(bad.source.as_uri())

        status = await saved(editor, good_port)
        assert status == "model_jax.py: 1 verified"

        # The setting is corrected while the server runs: the next check works, without a restart.
        refreshed = editor.refreshed
        editor.reconfigure({"python": {"torch": sys.executable}}, bad.source.parent)
        await editor.until(lambda: editor.refreshed > refreshed)
        assert await saved(editor, bad_port) == "model_jax.py: 1 verified"
        assert len(editor.client.messages) == 1


async def saved(editor: Editor, uri: str) -> str:
    seen = len(editor.statuses)
    editor.save(uri)
    return (await editor.verdict(seen)).last.text


@pytest.mark.asyncio
async def test_a_folder_that_is_added(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    (second / "a.py").write_text(SOURCE)
    settings = {second: {"target": "tensorflow"}}
    async with editing(first, settings=settings, trusted=False) as editor:
        assert editor.client.messages == []
        added = [lsp.WorkspaceFolder(second.as_uri(), "second")]
        for event in (
            lsp.WorkspaceFoldersChangeEvent(added, []),
            lsp.WorkspaceFoldersChangeEvent([], added),
        ):
            editor.client.workspace_did_change_workspace_folders(
                lsp.DidChangeWorkspaceFoldersParams(event)
            )
        await editor.until(lambda: editor.client.messages)
        assert "torchport.target" in editor.client.messages[0].message
        # It is gone again: its settings are not asked for any more.
        editor.reconfigure({"target": "jax"})
        uri = editor.open(second / "a.py")
        assert await editor.hover(uri, "torch.exp") is not None
        assert len(editor.client.messages) == 1


@pytest.mark.asyncio
async def test_wrong_settings_are_told_once_and_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    settings = {None: {"check": {"timeout": "soon"}, "codeLens": [1]}}
    async with editing(tmp_path, settings=settings, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py")
        for _ in range(3):
            assert await editor.actions(uri, editor.range_of(uri, "def f"))
        (message,) = editor.client.messages
        assert "torchport.check.timeout" in message.message and "'soon'" in message.message
        # Told again only when the settings have been changed, and are wrong again.
        editor.reconfigure({"interpreter": 3})
        await editor.until(lambda: len(editor.client.messages) == 2)
        assert "torchport.interpreter" in editor.client.messages[1].message
        editor.reconfigure("nonsense")
        assert await editor.hover(uri, "torch.exp") is not None
        assert len(editor.client.messages) == 2
