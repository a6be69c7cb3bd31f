"""What no editor should send, and some do: the server answers, and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as lsp
from tests.server.conftest import write_pair
from tests.server.editor import Editor, editing

from torchport_server.documents import Lines
from torchport_server.protocol import edits_between

SOURCE = "import torch\n\n\ndef f(x):\n    return torch.exp(x)\n"


async def lives(editor: Editor, folder: Path) -> None:
    """The server answers, has shown no message, and logged no error."""
    uri = editor.open(folder / "good.py", SOURCE)
    assert await editor.hover(uri, "torch.exp") is not None
    assert [message.message for message in editor.client.messages] == []
    assert [entry.message for entry in editor.client.log_messages] == []


@pytest.mark.asyncio
async def test_texts(tmp_path: Path) -> None:
    everywhere = lsp.Range(lsp.Position(0, 0), lsp.Position(1 << 20, 1 << 20))
    texts = {
        "empty": "",
        "binary": bytes(range(256)).decode("latin-1") * 64,
        "zeros": "torch\0" * 1000,
        "a lone surrogate": f'import torch\nx = "\ud83d", torch.exp(1)\n{SOURCE}',
        "broken": "import torch\ndef f(:\n  torch.exp((((\n\tclass\n",
        "a byte order mark": "\ufeff" + SOURCE,
        "old Mac line ends": SOURCE.replace("\n", "\r"),
        "one long line": "import torch; x = [" + "torch.ones(3), " * 2000 + "]",
        "deeply nested": "import torch\nx = " + "(" * 3000 + "torch.ones(3)" + ")" * 3000,
    }
    async with editing(tmp_path, trusted=False) as editor:
        for name, text in texts.items():
            uri = editor.open(tmp_path / f"{name}.py", text)
            await editor.findings(uri)
            await editor.lenses(uri)
            await editor.hints(uri)
            for position in (everywhere.start, lsp.Position(1, 5), everywhere.end):
                params = lsp.HoverParams(lsp.TextDocumentIdentifier(uri), position)
                await editor.client.text_document_hover_async(params)
            await editor.actions(uri, everywhere)
        await lives(editor, tmp_path)


@pytest.mark.asyncio
async def test_fifty_thousand_lines(tmp_path: Path) -> None:
    part = "def f{0}(x):\n    return torch.exp(x)\n\n\n"
    text = "import torch\n\n\n" + "".join(part.format(n) for n in range(1000))
    text += 'NOTES = """\n' + "some 🔥\n" * 46_000 + '"""\n'
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", text)
        # Others are answered while it is read, and typing in it is not held up.
        for number in range(20):
            editor.type(uri, lsp.Range(lsp.Position(4, 0), lsp.Position(4, 0)), " " * (number % 2))
        editor.change(uri, text)
        at = editor.range_of(uri, "def f999(")
        actions = await editor.actions(uri, at)
        await editor.choose(actions, "Port f999 to JAX")
        port = (tmp_path / "a_jax.py").as_uri()
        assert "def f999(" in editor.texts[port] and "def f998(" not in editor.texts[port]
        await lives(editor, tmp_path)


@pytest.mark.parametrize("change", ["import a\n{0}", "{0}import a\n", "import a\n{0}import b\n{0}"])
def test_edits_of_fifty_thousand_equal_lines(change: str) -> None:
    old = "x = 1\r\n" * 50_000
    new = change.format(old)
    lines = Lines(old, "utf-16")
    edits = edits_between(lines, new)
    text = old
    for edit in reversed(edits):
        start, end = lines.offset(edit.range.start), lines.offset(edit.range.end)
        text = text[:start] + edit.new_text + text[end:]
    assert text == new


@pytest.mark.asyncio
async def test_documents_that_are_not_there(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        unknown = (tmp_path / "unknown.py").as_uri()
        editor.texts[unknown], editor.versions[unknown] = SOURCE, 1
        editor.change(unknown, SOURCE)
        identifier = lsp.TextDocumentIdentifier(unknown)
        editor.client.text_document_did_save(lsp.DidSaveTextDocumentParams(identifier))
        editor.client.text_document_did_close(lsp.DidCloseTextDocumentParams(identifier))
        editor.client.protocol.notify("$/somethingNew", {"a": 1})
        assert await editor.findings(unknown) == []
        assert await editor.lenses(unknown) == []
        assert await editor.hover(unknown, "torch.exp") is None
        assert await editor.actions(unknown, editor.range_of(unknown, "def f")) == []

        # Closed while a request on it is under way; opened twice.
        uri = editor.open(tmp_path / "a.py", SOURCE + "\n".join(f"a{n} = 1" for n in range(3000)))
        params = lsp.HoverParams(lsp.TextDocumentIdentifier(uri), lsp.Position(4, 12))
        request = editor.client.protocol.send_request("textDocument/hover", params)
        identifier = lsp.TextDocumentIdentifier(uri)
        editor.client.text_document_did_close(lsp.DidCloseTextDocumentParams(identifier))
        await editor.until(request.done)
        request.result()
        editor.open(tmp_path / "a.py", SOURCE)
        editor.open(tmp_path / "a.py", SOURCE + "y = 1\n")
        assert await editor.hover(uri, "torch.exp") is not None
        await lives(editor, tmp_path)


@pytest.mark.asyncio
async def test_unsaved_documents(tmp_path: Path) -> None:
    async with editing(tmp_path) as editor:
        uri = "untitled:Untitled-1"
        editor.texts[uri], editor.versions[uri] = SOURCE, 1
        item = lsp.TextDocumentItem(uri, "python", 1, SOURCE)
        editor.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        assert await editor.hover(uri, "torch.exp") is not None
        actions = await editor.actions(uri, editor.range_of(uri, "torch.exp(x)"))
        offered = [action.title for action in actions if action.disabled is None]
        assert offered == ["Port the selection to JAX, in place"]
        await editor.choose(actions, "Port the selection to JAX, in place")
        assert "jnp.exp(x)" in editor.texts[uri]
        await lives(editor, tmp_path)


@pytest.mark.asyncio
async def test_odd_paths_and_links(tmp_path: Path) -> None:
    # Spaces, characters outside ASCII and of the URI syntax; the folder is opened through a link.
    real, link = tmp_path / "real", tmp_path / "a link"
    real.mkdir()
    link.symlink_to(real, target_is_directory=True)
    name = "mödel 🔥 100%25 #1+2"
    write_pair(real, name, SOURCE)
    async with editing(link) as editor:
        uri, port = editor.open(link / f"{name}.py"), editor.open(link / f"{name}_jax.py")
        # Its buffers are those of the pair, and what is found is told under the names it has.
        editor.change(port, editor.texts[port].replace("jnp.exp(x)", "jnp.sin(x)"))
        seen = len(editor.statuses)
        editor.save(port)
        assert (await editor.verdict(seen)).last.text.endswith(": 1 diverged")
        await editor.until(lambda: editor.problems(port))
        assert f"torchport check '{name}.py' '{name}_jax.py'" in editor.problems(port)[0].message
        assert len(editor.problems(uri)) == 1
        assert len(await editor.lenses(uri)) == len(await editor.lenses(port)) == 1

        editor.change(uri, SOURCE.replace("torch.exp", "torch.cos"))
        (drifted,) = await editor.findings(uri)
        actions = await editor.actions(uri, drifted.range, [drifted])
        await editor.choose(actions, "Port f to JAX again")
        assert "jnp.cos(x)" in editor.texts[port]
        assert set(editor.texts) == {uri, port}
