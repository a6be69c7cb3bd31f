"""What is said of a text without running it: findings, pulled or pushed, and hovers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from tests.server.conftest import write_pair
from tests.server.editor import Editor, capabilities, editing

SOURCE = """\
import torch
import torch.nn.functional as F


def f(x: torch.Tensor) -> torch.Tensor:
    y = F.relu(x).contiguous()
    torch.cuda.memory_snapshot()
    return torch.cumsum(y, 0)
"""
FINDING = "torch.cuda.memory_snapshot()"


def cannot_pull() -> lsp.ClientCapabilities:
    can = capabilities()
    assert can.text_document is not None
    can.text_document.diagnostic = None
    return can


@pytest.mark.asyncio
async def test_hover_and_findings(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", SOURCE)

        # On a call, on a method, on nothing, on what no rule knows.
        for part, within, said in [
            ("F.relu", 0, "torch.nn.functional.relu"),
            ("F.relu", 3, "torch.nn.functional.relu"),
            ("contiguous", 4, "torch.Tensor.contiguous"),
            ("torch.cumsum", 8, "torch.cumsum"),
            ("memory_snapshot", 2, "no rule"),
        ]:
            hover = await editor.hover(uri, part, within)
            assert hover is not None, part
            assert isinstance(hover.contents, lsp.MarkupContent)
            assert said in hover.contents.value
        for part in ("def f", "return", "y ="):
            assert await editor.hover(uri, part) is None, part

        (found,) = await editor.findings(uri)
        assert found.range == editor.range_of(uri, FINDING)
        assert found.source == "torchport" and found.severity != lsp.DiagnosticSeverity.Error
        assert editor.problems(uri) == []  # it pulls

        # They follow the text: the change and the request come one after the other.
        editor.change(uri, SOURCE.replace(FINDING, "pass"))
        assert await editor.findings(uri) == []


@pytest.mark.asyncio
async def test_clients_that_cannot_pull_are_told(tmp_path: Path) -> None:
    async with editing(tmp_path, can=cannot_pull(), trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", SOURCE)
        await editor.until(lambda: editor.problems(uri))
        assert editor.problems(uri)[0].range == editor.range_of(uri, FINDING)
        editor.change(uri, SOURCE.replace(FINDING, "pass"))
        await editor.until(lambda: not editor.problems(uri))
        editor.change(uri, SOURCE)
        await editor.until(lambda: editor.problems(uri))
        close(editor, uri)
        await editor.until(lambda: not editor.problems(uri))


def close(editor: Editor, uri: str) -> None:
    identifier = lsp.TextDocumentIdentifier(uri)
    editor.client.text_document_did_close(lsp.DidCloseTextDocumentParams(identifier))


@pytest.mark.asyncio
async def test_results_of_checks_are_told_beside_the_findings(tmp_path: Path) -> None:
    source = SOURCE.replace("def f(", "def g(x):\n    return torch.exp(x)\n\n\ndef f(")
    files = write_pair(tmp_path, "a", source, "jnp.exp(x)", "jnp.sin(x)")
    async with editing(tmp_path, can=cannot_pull()) as editor:
        uri, port = editor.open(files.source), editor.open(files.port)
        await editor.until(lambda: len(editor.problems(uri)) == 1)
        editor.save(port)
        await editor.until(lambda: len(editor.problems(uri)) == 2 and editor.problems(port))
        assert {problem.source for problem in editor.problems(uri)} == {
            "torchport",
            "torchport check",
        }
        # Once the text has changed nothing is said of lines that may have moved.
        editor.change(port, "\n\n" + editor.texts[port])
        await editor.until(lambda: editor.problems(port) == [])


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["textDocument/hover", "textDocument/codeAction"])
async def test_a_cancelled_request(tmp_path: Path, method: str) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", SOURCE + "\n".join(f"a{n} = {n}" for n in range(5000)))
        at = editor.range_of(uri, "F.relu")
        identifier = lsp.TextDocumentIdentifier(uri)
        params = (
            lsp.HoverParams(identifier, at.start)
            if method == "textDocument/hover"
            else lsp.CodeActionParams(identifier, at, lsp.CodeActionContext([]))
        )
        # The file takes long to read: the request is under way when it is cancelled.
        request = editor.client.protocol.send_request(method, params, msg_id="asked")
        editor.client.protocol.notify("$/cancelRequest", lsp.CancelParams("asked"))
        with pytest.raises(JsonRpcException) as caught:
            await asyncio.wait_for(asyncio.wrap_future(request), 60)
        assert caught.value.code == lsp.LSPErrorCodes.RequestCancelled
        # What was read meanwhile is not lost, and the next request is answered.
        assert await editor.hover(uri, "F.relu") is not None
