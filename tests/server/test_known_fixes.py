"""Bug records in the editor: pitfalls, the reason on a diverging line, and the known fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as lsp
from tests.server.conftest import write_pair
from tests.server.editor import editing

SOURCE = """\
import torch


def spread(x: torch.Tensor) -> torch.Tensor:
    return torch.var(x, dim=1)
"""


@pytest.mark.asyncio
async def test_the_known_fix(tmp_path: Path) -> None:
    files = write_pair(tmp_path, "a", SOURCE, ", ddof=1", "")
    async with editing(tmp_path) as editor:
        port = editor.open(files.port)
        seen = len(editor.statuses)
        editor.save(port)
        await editor.verdict(seen)
        await editor.until(lambda: editor.problems(port))
        (problem,) = editor.problems(port)
        assert "Known mistake on line" in problem.message
        assert "torch.var divides by n - 1" in problem.message

        actions = await editor.actions(port, problem.range, [problem])
        assert actions[0].title.startswith("Apply the known fix") and actions[0].is_preferred
        seen = len(editor.statuses)
        await editor.choose(actions, "Apply the known fix: jnp.var(x, axis=1, ddof=1)")
        assert "jnp.var(x, axis=1, ddof=1)" in editor.texts[port]
        await editor.verdict(seen)
        await editor.until(lambda: not editor.problems(port))


@pytest.mark.asyncio
async def test_pitfalls(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    async with editing(tmp_path) as editor:
        uri = editor.open(tmp_path / "a.py")
        hover = await editor.hover(uri, "torch.var")
        assert hover is not None and isinstance(hover.contents, lsp.MarkupContent)
        assert "Known mistakes" in hover.contents.value
        assert not await editor.findings(uri)
        for setting, severity in (
            ("hints", lsp.DiagnosticSeverity.Hint),
            ("warnings", lsp.DiagnosticSeverity.Warning),
        ):
            refreshed = editor.refreshed
            editor.reconfigure({"pitfalls": setting})
            await editor.until(lambda refreshed=refreshed: editor.refreshed > refreshed)
            found = await editor.findings(uri)
            assert {f.severity for f in found} == {severity}
            assert any("torch.var divides by n - 1" in f.message for f in found)


@pytest.mark.asyncio
async def test_the_prompt_for_what_is_left_open(tmp_path: Path) -> None:
    text = f"{SOURCE}\n\ndef peek(x: torch.Tensor):\n    return torch.no_such(x)\n"
    (tmp_path / "a.py").write_text(text)
    async with editing(tmp_path) as editor:
        uri = editor.open(tmp_path / "a.py")
        answer = await editor.execute("torchport.prompt", uri, "peek")
        assert not answer["problem"]
        assert "torch.no_such" in answer["prompt"] and "def peek" in answer["prompt"]
        answer = await editor.execute("torchport.prompt", uri, "spread")
        assert not answer["prompt"] or "torch.var divides by n - 1" in answer["prompt"]
        (tmp_path / "b.py").write_text(SOURCE)
        answer = await editor.execute("torchport.prompt", (tmp_path / "b.py").as_uri())
        assert "there is nothing to ask" in answer["problem"] and not answer["prompt"]
