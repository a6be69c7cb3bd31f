"""The light bulb: what is offered where, to which clients, and what each edit does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from lsprotocol import types as lsp
from tests.server.conftest import write_pair
from tests.server.editor import capabilities, editing

SOURCE = """\
import torch


def f(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(x)


class G(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cuda.memory_snapshot(x)
"""
PORT = "refactor.rewrite.torchport.jax"
CHECK = "source.torchport.check"
MODEL = "Port with the language model"


def titles(actions: Sequence[lsp.CodeAction]) -> list[tuple[str, str]]:
    return [(action.title, str(getattr(action.kind, "value", action.kind))) for action in actions]


@pytest.mark.asyncio
async def test_what_is_offered(tmp_path: Path) -> None:
    async with editing(tmp_path) as editor:
        (tmp_path / "a.py").write_text(SOURCE)
        uri = editor.open(tmp_path / "a.py")
        cursor = editor.range_of(uri, "def f").start
        actions = await editor.actions(uri, lsp.Range(cursor, cursor))
        assert titles(actions) == [
            ("Port f to JAX (a_jax.py)", PORT),
            ("Port all of a.py to JAX (a_jax.py)", PORT),
            ("Port f to JAX, in place", PORT),
            (MODEL, "refactor.rewrite.torchport"),
        ]
        (disabled,) = [action for action in actions if action.disabled is not None]
        assert disabled.title == MODEL and "No language model" in disabled.disabled.reason
        assert all(action.edit is None for action in actions)  # they are made when chosen

        # A selection over both; and outside of any.
        whole = lsp.Range(lsp.Position(0, 0), lsp.Position(20, 0))
        assert ("Port f, G to JAX (a_jax.py)", PORT) in titles(await editor.actions(uri, whole))
        imports = editor.range_of(uri, "import torch")
        assert titles(await editor.actions(uri, imports))[:2] == [
            ("Port all of a.py to JAX (a_jax.py)", PORT),
            ("Port the selection to JAX, in place", PORT),
        ]

        # Once there is a port it can be checked; watching needs a verdict first.
        write_pair(tmp_path, "a", SOURCE)
        actions = await editor.actions(uri, editor.range_of(uri, "def f"))
        assert ("Check f now", CHECK) in titles(actions)
        assert ("Check a_jax.py now", CHECK) in titles(actions)
        (watch,) = [action for action in actions if action.title.startswith("Watch f")]
        assert watch.disabled is not None and "not been checked" in watch.disabled.reason

        # A client asks for the kinds that it wants, and for those below them.
        for only, expected in [
            (["refactor"], {PORT, "refactor", "refactor.rewrite.torchport"}),
            (["refactor.rewrite.torchport"], {PORT, "refactor.rewrite.torchport"}),
            (["source"], {CHECK}),
            (["quickfix"], set()),
            (["refac"], set()),
        ]:
            found = await editor.actions(uri, editor.range_of(uri, "def f"), only=only)
            assert {kind for _, kind in titles(found)} == expected, only

        # A port is no source, and code without torch has nothing to port.
        port = editor.open(tmp_path / "a_jax.py")
        found = await editor.actions(port, editor.range_of(port, "def f"))
        assert [title for title, _ in titles(found)] == ["Check f now", "Check a_jax.py now"]
        plain = editor.open(tmp_path / "plain.py", "def f(x):\n    return x\n")
        assert await editor.actions(plain, editor.range_of(plain, "def f")) == []


@pytest.mark.asyncio
async def test_ignore(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", SOURCE)
        (found,) = await editor.findings(uri)
        actions = await editor.actions(uri, found.range, [found], only=["quickfix"])
        (action,) = actions
        assert action.title == f"Ignore this finding ({found.code})"
        assert list(action.diagnostics or ()) == [found] and not action.is_preferred
        await editor.choose(actions, "Ignore")
        assert f"memory_snapshot(x)  # torchport: ignore[{found.code}]\n" in editor.texts[uri]
        assert await editor.findings(uri) == []


@pytest.mark.asyncio
async def test_in_place_asks_for_confirmation(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", SOURCE)
        actions = await editor.actions(uri, editor.range_of(uri, "    return torch.exp(x)"))
        action = await editor.choose(actions, "Port the selection to JAX, in place")
        assert editor.texts[uri] == SOURCE.replace(
            "import torch\n", "import torch\nimport jax.numpy as jnp\n", 1
        ).replace("torch.exp(x)", "jnp.exp(x)")
        assert action.edit is not None and action.edit.change_annotations is not None
        (annotation,) = action.edit.change_annotations.values()
        assert annotation.needs_confirmation


def cannot_resolve(can: lsp.ClientCapabilities) -> None:
    assert can.text_document is not None and can.text_document.code_action is not None
    can.text_document.code_action.resolve_support = None


def cannot_show_disabled(can: lsp.ClientCapabilities) -> None:
    assert can.text_document is not None and can.text_document.code_action is not None
    can.text_document.code_action.disabled_support = None


def cannot_create(can: lsp.ClientCapabilities) -> None:
    assert can.workspace is not None
    can.workspace.workspace_edit = lsp.WorkspaceEditClientCapabilities(document_changes=True)


def cannot_version(can: lsp.ClientCapabilities) -> None:
    assert can.workspace is not None
    can.workspace.workspace_edit = None


def cannot_anything(can: lsp.ClientCapabilities) -> None:
    can.workspace = can.text_document = can.window = can.general = None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("lacks", "resolves", "disabled", "creates"),
    [
        (cannot_resolve, False, True, True),
        (cannot_show_disabled, True, False, True),
        (cannot_create, True, True, False),
        (cannot_version, True, True, False),
        (cannot_anything, False, False, False),
    ],
)
async def test_clients_that_can_do_less(
    tmp_path: Path,
    lacks: Callable[[lsp.ClientCapabilities], None],
    resolves: bool,
    disabled: bool,
    creates: bool,
) -> None:
    can = capabilities()
    lacks(can)
    async with editing(tmp_path, can=can, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", SOURCE)
        actions = await editor.actions(uri, editor.range_of(uri, "def f"))
        assert any(action.disabled for action in actions) == disabled
        enabled = [action for action in actions if action.disabled is None]
        assert all((action.edit is None) == resolves for action in enabled)
        offered = [action.title for action in enabled]

        # Where no file can be made, the port cannot be offered at once, and is refused with advice.
        port = (tmp_path / "a_jax.py").as_uri()
        if creates:
            await editor.choose(actions, "Port f to JAX")
            assert "jnp.exp" in editor.texts[port]
        elif resolves:
            await editor.choose(actions, "Port f to JAX")
            assert port not in editor.texts
            assert "cannot create files" in editor.client.messages[-1].message
        else:
            assert "Port f to JAX (a_jax.py)" not in offered

        # What needs no new file works for all of them.
        await editor.choose(actions, "Port the selection to JAX, in place")
        assert "jnp.exp" in editor.texts[uri]
        if not creates:
            editor.change(uri, SOURCE)
            (tmp_path / "a_jax.py").touch()
            actions = await editor.actions(uri, editor.range_of(uri, "def f"))
            await editor.choose(actions, "Port f to JAX")
            assert "jnp.exp" in editor.texts[port]


@pytest.mark.asyncio
async def test_an_action_whose_text_is_gone(tmp_path: Path) -> None:
    async with editing(tmp_path, trusted=False) as editor:
        uri = editor.open(tmp_path / "a.py", SOURCE)
        actions = await editor.actions(uri, editor.range_of(uri, "def f"))
        editor.change(uri, "import torch\n")
        await editor.choose(actions, "Port f to JAX")
        assert (tmp_path / "a_jax.py").as_uri() not in editor.texts
        assert "no top-level function or class f" in editor.client.messages[-1].message
        editor.change(uri, SOURCE)
        await editor.choose(actions, "Port f to JAX")
        assert "jnp.exp" in editor.texts[(tmp_path / "a_jax.py").as_uri()]
