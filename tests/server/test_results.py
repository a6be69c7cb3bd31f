"""After a check: watching, drift, hints, lenses, the report and the other commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from tests.server.conftest import Files
from tests.server.editor import Editor

from torchport_checks.verdicts import Verdict

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """\
import torch


class Net(torch.nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.up = torch.nn.Linear(width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(self.up(x))


def scale(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(x) * 2
"""

Pairs = Callable[..., Files]


async def check(editor: Editor, uri: str, *names: str) -> Any:
    seen = len(editor.statuses)
    await editor.execute("torchport.check", uri, *names)
    return await editor.verdict(seen)


async def test_watch_pins_the_inputs(editor: Editor, pair: Pairs) -> None:
    files = pair(SOURCE)
    source = editor.open(files.source)
    await check(editor, source)
    for name, where in (("scale", "def scale"), ("Net", "class Net")):
        actions = await editor.actions(source, editor.range_of(source, where))
        await editor.choose(actions, f"Watch {name}")
        above, _, _ = editor.texts[source].partition(f"\n{where}")
        comment = above.splitlines()[-1]
        assert comment.startswith("# torchport: check(x=f32[")
    # The comments hold: the next check uses them, and they are not offered again.
    seen = len(editor.statuses)
    editor.save(source)
    await editor.verdict(seen)
    report = await editor.execute("torchport.report", source)
    verdict = Verdict.model_validate(report["verdict"])
    origins = {d.name: d.inputs.origin for d in verdict.definitions if d.inputs is not None}
    assert origins == {"scale": "a check comment", "Net": "a check comment"}
    assert {d.status for d in verdict.definitions} == {"verified"}
    actions = await editor.actions(source, editor.range_of(source, "def scale"))
    assert not [action for action in actions if action.title.startswith("Watch")]


async def test_port_again_after_drift(editor: Editor, pair: Pairs) -> None:
    files = pair(SOURCE)
    source, port = editor.open(files.source), editor.open(files.port)
    await check(editor, source)
    assert await editor.findings(source) == []
    editor.change(source, SOURCE.replace("* 2", "* 3"))
    (drifted,) = await editor.findings(source)
    assert drifted.code == "drifted"
    assert drifted.range == editor.range_of(source, "def scale(x: torch.Tensor) -> torch.Tensor:")
    actions = await editor.actions(source, drifted.range, [drifted], only=["quickfix"])
    assert [action.title for action in actions] == ["Port scale to JAX again"]
    seen = len(editor.statuses)
    action = await editor.choose(actions, "Port scale to JAX again")
    # Nothing was edited by hand in the port, so nothing is lost and nothing need be confirmed.
    assert action.edit is not None and not action.edit.change_annotations
    assert "jnp.exp(x) * 3" in editor.texts[port]
    assert await editor.findings(source) == []
    assert (await editor.verdict(seen)).last.status == "verified"

    # What was edited by hand is not replaced without a question.
    editor.change(port, editor.texts[port].replace("jnp.exp(x) * 3", "3 * jnp.exp(x)"))
    editor.change(source, SOURCE.replace("* 2", "* 4"))
    (drifted,) = await editor.findings(source)
    actions = await editor.actions(source, drifted.range, [drifted])
    action = await editor.choose(actions, "Port scale to JAX again")
    assert action.edit is not None and action.edit.change_annotations is not None
    (annotation,) = action.edit.change_annotations.values()
    assert annotation.needs_confirmation and "scale" in annotation.label


async def test_lenses_say_when_they_are_old(editor: Editor, pair: Pairs) -> None:
    files = pair(SOURCE)
    source, port = editor.open(files.source), editor.open(files.port)
    assert await editor.lenses(source) == []
    refreshed = editor.refreshed
    await check(editor, source)
    await editor.until(lambda: editor.refreshed > refreshed)
    for uri in (source, port):
        found = await editor.lenses(uri)
        assert len(found) == 2 and all(text.startswith("✓ verified · ") for text in found)
    editor.change(port, editor.texts[port] + "\n# mine\n")
    for uri in (source, port):
        assert all(text.endswith(" (edited since)") for text in await editor.lenses(uri))
    editor.change(port, editor.texts[port].removesuffix("\n# mine\n"))
    assert not [text for text in await editor.lenses(source) if "edited" in text]


async def test_hints_and_lenses_follow_the_settings(editor: Editor, pair: Pairs) -> None:
    source = editor.open(pair(SOURCE).source)
    await check(editor, source)
    assert await editor.hints(source) == []
    refreshed = editor.refreshed
    editor.reconfigure({"inlayHints": True, "codeLens": False})
    await editor.until(lambda: editor.refreshed > refreshed)
    hints = await editor.hints(source)
    assert len(hints) == 2 and all(hint.startswith(": f32[") for hint in hints)
    assert await editor.lenses(source) == []
    refreshed = editor.refreshed
    editor.reconfigure({})
    await editor.until(lambda: editor.refreshed > refreshed)
    assert await editor.hints(source) == []
    assert len(await editor.lenses(source)) == 2


async def test_saving_checks_unless_it_should_not(editor: Editor, pair: Pairs) -> None:
    source = editor.open(pair(SOURCE).source)
    refreshed, seen = editor.refreshed, len(editor.statuses)
    editor.reconfigure({"check": {"onSave": False}})
    await editor.until(lambda: editor.refreshed > refreshed)
    editor.save(source)
    assert await editor.execute("torchport.report", source) is None  # answered after the save
    assert not [status for status in editor.statuses[seen:] if status.busy]
    editor.reconfigure({})
    await check(editor, source)


async def test_the_report(editor: Editor, pair: Pairs) -> None:
    files = pair(SOURCE)
    port = editor.open(files.port)
    assert await editor.execute("torchport.report", port) is None
    await check(editor, port, "scale")
    report = await editor.execute("torchport.report", port, "scale")
    assert [d["name"] for d in report["verdict"]["definitions"]] == ["scale"]
    assert report["stale"] is False
    editor.change(port, editor.texts[port] + "\n")
    assert (await editor.execute("torchport.report", port))["stale"] is True


async def test_the_doctor(editor: Editor) -> None:
    text = await editor.execute("torchport.doctor")
    assert "torch" in text and "jax" in text and "\x1b" not in text


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("torchport.check", []),
        ("torchport.check", [None]),
        ("torchport.cancel", []),
        ("torchport.report", []),
        ("torchport.nothing", []),
    ],
)
async def test_wrong_arguments_are_an_error(
    editor: Editor, command: str, arguments: list[Any]
) -> None:
    with pytest.raises(JsonRpcException):
        await editor.execute(command, *arguments)
    assert await editor.execute("torchport.cancel", "check-0") is False


@pytest.mark.parametrize("uri", ["file:///does/not/exist.py", "untitled:Untitled-1", "nonsense"])
async def test_there_is_nothing_to_check(editor: Editor, uri: str) -> None:
    shown = len(editor.client.messages)
    assert (await editor.execute("torchport.check", uri))["job"] is None
    assert "no port to check" in editor.client.messages[shown].message
    assert editor.client.messages[shown].type == lsp.MessageType.Warning
    assert await editor.execute("torchport.report", uri) is None
