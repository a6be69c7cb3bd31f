"""Positions in the client's units, and line endings as they are: no edit may spoil a text."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as lsp
from tests.server.editor import capabilities, editing

from torchport_translators.emit.header import edited_by_hand

UTF8, UTF16, UTF32 = (
    lsp.PositionEncodingKind.Utf8,
    lsp.PositionEncodingKind.Utf16,
    lsp.PositionEncodingKind.Utf32,
)

# Characters of two, three and four bytes in UTF-8 stand before every position that is asked for.
SOURCE = """\
import torch
import torch.nn.functional as F

é = "β🔥"


def f(x: torch.Tensor) -> torch.Tensor:
    a = "🔥é𝔸", F.relu(x); b = "🔥", torch.cuda.memory_snapshot(); c = "🔥"
    return x * 2
"""
FINDING = "torch.cuda.memory_snapshot()"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), UTF16),
        ((UTF16,), UTF16),
        ((UTF8, UTF16), UTF8),
        ((UTF32, UTF8, UTF16), UTF32),
    ],
)
async def test_encodings(
    tmp_path: Path,
    offered: tuple[lsp.PositionEncodingKind, ...],
    chosen: lsp.PositionEncodingKind,
) -> None:
    async with editing(tmp_path, can=capabilities(offered), trusted=False) as editor:
        assert editor.encoding == chosen
        uri = editor.open(tmp_path / "a.py", SOURCE)
        hover = await editor.hover(uri, "F.relu", 2)
        assert hover is not None and hover.range == editor.range_of(uri, "F.relu")
        (found,) = await editor.findings(uri)
        assert found.range == editor.range_of(uri, FINDING)

        # What is typed after such characters lands where the editor has it.
        editor.type(uri, editor.range_of(uri, "F.relu"), "🔥, F.silu")
        editor.type(uri, editor.range_of(uri, "🔥, F.silu"), "F.silu")
        hover = await editor.hover(uri, "F.silu")
        assert hover is not None and hover.range == editor.range_of(uri, "F.silu")

        # An edit of a selection leaves what is around it.
        selected = editor.range_of(uri, "    return x * 2\n")
        before = editor.texts[uri]
        actions = await editor.actions(uri, editor.range_of(uri, 'a = "🔥é𝔸", F.silu(x)'))
        await editor.choose(actions, "Port the selection to JAX, in place")
        after = editor.texts[uri]
        assert "🔥é𝔸" in after and "silu(x)" in after and 'c = "🔥"' in after
        assert after.count("🔥") == before.count("🔥")
        assert selected.start.line > 0


CRLF = SOURCE.replace("\n", "\r\n")


@pytest.mark.asyncio
async def test_crlf(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(CRLF.encode())
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py")
        actions = await editor.actions(uri, editor.range_of(uri, "def f"))
        await editor.choose(actions, "Port f to JAX")
        port = (tmp_path / "a_jax.py").as_uri()
        text = editor.texts[port]
        assert "\r\n" in text and "\n" not in text.replace("\r\n", "")
        assert not edited_by_hand(text)

        # A second definition is put into that port, of which only its own lines change.
        editor.change(uri, CRLF + "\r\n\r\ndef g(x):\r\n    return torch.exp(x)\r\n")
        editor.change(port, text + '\r\n\r\nmine = "🔥"\r\n')
        actions = await editor.actions(uri, editor.range_of(uri, "def g"))
        await editor.choose(actions, "Port g to JAX")
        text = editor.texts[port]
        assert "\n" not in text.replace("\r\n", "")
        assert "def f" in text and "jnp.exp(x)" in text and 'mine = "🔥"' in text


@pytest.mark.asyncio
async def test_crlf_in_place(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", CRLF)
        actions = await editor.actions(uri, editor.range_of(uri, "F.relu(x)"))
        await editor.choose(actions, "Port the selection to JAX, in place")
        assert "\n" not in editor.texts[uri].replace("\r\n", "")
        assert "import jax\r\n" in editor.texts[uri]


@pytest.mark.asyncio
async def test_form_feeds_and_other_separators_end_no_line(tmp_path: Path) -> None:
    # Python's `splitlines` ends lines at these; the protocol does not.
    text = 'import torch\n\f\nx = "\u2028\x0b\x1c\x85"; y = torch.ones(3)\n'
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", text)
        editor.type(uri, editor.range_of(uri, "torch.ones(3)"), FINDING)
        (found,) = await editor.findings(uri)
        assert found.range == editor.range_of(uri, FINDING)
        assert found.range.start.line == 2
        hover = await editor.hover(uri, FINDING, 8)
        assert hover is not None and hover.range.start.line == 2


@pytest.mark.asyncio
async def test_a_position_past_the_end_of_a_line_is_that_end(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", "import torch\nx = torch.ones(2")
        far = lsp.Position(1, 1000)
        editor.type(uri, lsp.Range(far, far), ")")
        far = lsp.Position(1000, 1000)
        editor.type(uri, lsp.Range(far, far), f"\n{FINDING}\n")
        (found,) = await editor.findings(uri)
        assert found.range == editor.range_of(uri, FINDING)
