"""Checks under way: cancelled, overtaken by edits, killed; the server outlives them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from lsprotocol import types as lsp
from tests.server.conftest import Files, write_pair
from tests.server.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """\
import torch


def scale(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(x) * 2
"""
GOOD = "return jnp.exp(x) * 2"

Pairs = Callable[..., Files]


async def check(editor: Editor, uri: str, *names: str) -> Any:
    """Run a check to its end; the status then."""
    seen = len(editor.statuses)
    await editor.execute("torchport.check", uri, *names)
    return await editor.verdict(seen)


async def replace(editor: Editor, uri: str, old: str, new: str) -> Any:
    """Change a text and save it; the status once that has been checked."""
    seen = len(editor.statuses)
    editor.change(uri, editor.texts[uri].replace(old, new))
    editor.save(uri)
    return await editor.verdict(seen)


def server_of(editor: Editor) -> psutil.Process:
    return psutil.Process(editor.client._server.pid)


def workers(editor: Editor, framework: str) -> list[psutil.Process]:
    """The first processes of a framework's lanes (`... worker/__main__.py jax cpu BYTES`)."""
    return [p for p in server_of(editor).children() if p.cmdline()[-3:-2] == [framework]]


def ended(process: psutil.Process) -> bool:
    """Whether a process is gone with all its threads, or only waits to be reaped."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def endless(marker: Path) -> str:
    """A body that never ends, and says that it has been reached."""
    return f"from pathlib import Path; Path({str(marker)!r}).touch()\n    while True: pass"


@pytest.mark.parametrize("how", ["command", "progress"])
async def test_cancel(editor: Editor, pair: Pairs, tmp_path: Path, how: str) -> None:
    marker = tmp_path / "reached"
    files = pair(SOURCE, GOOD, endless(marker))
    port = editor.open(files.port)
    seen = len(editor.statuses)
    job = (await editor.execute("torchport.check", port))["job"]
    await editor.until(marker.exists)

    if how == "command":
        assert await editor.execute("torchport.cancel", job) is True
    else:
        token = list(editor.client.progress_reports)[-1]
        cancel = lsp.WorkDoneProgressCancelParams(token)
        editor.client.window_work_done_progress_cancel(cancel)
    await editor.verdict(seen)
    assert editor.problems(port) == []
    assert await editor.lenses(port) == []  # nothing is known of it: it was stopped
    assert await editor.execute("torchport.cancel", job) is False

    status = await replace(editor, port, endless(marker), GOOD)
    assert status.last.text == f"{files.port.name}: 1 verified"


async def test_cancel_before_the_check_has_begun(
    editor: Editor, pair: Pairs, tmp_path: Path
) -> None:
    marker = tmp_path / "reached"
    port = editor.open(pair(SOURCE, GOOD, endless(marker)).port)
    seen = len(editor.statuses)
    _, number = (await editor.execute("torchport.check", port))["job"].split("-")
    await editor.execute("torchport.cancel", f"check-{number}")
    await editor.verdict(seen)

    # In one breath: the server has not been answered yet that it may show progress.
    marker.unlink(missing_ok=True)
    seen = len(editor.statuses)
    _, cancelled = await asyncio.gather(
        editor.execute("torchport.check", port),
        editor.execute("torchport.cancel", f"check-{int(number) + 1}"),
    )
    assert cancelled is True
    await editor.until(lambda: len(editor.statuses) >= seen + 2)
    assert not editor.statuses[-1].busy
    assert not marker.exists()


async def test_the_newest_save_wins(editor: Editor, pair: Pairs) -> None:
    port = editor.open(pair(SOURCE).port)
    good = editor.texts[port]
    seen = len(editor.statuses)
    editor.change(port, good.replace("* 2", "* 3"))
    editor.save(port)
    editor.change(port, good)
    editor.save(port)
    status = await editor.verdict(seen)
    assert status.last.status == "verified"
    assert editor.problems(port) == []


async def test_edits_during_a_check(editor: Editor, pair: Pairs, tmp_path: Path) -> None:
    # The port diverges, and waits until the test has changed the text: what is found is old then.
    reached, go_on = tmp_path / "reached", tmp_path / "go-on"
    body = (
        "from pathlib import Path; import time\n"
        f"    Path({str(reached)!r}).touch()\n"
        f"    while not Path({str(go_on)!r}).exists(): time.sleep(0.01)\n"
        "    return jnp.exp(x) * 3"
    )
    port = editor.open(pair(SOURCE, GOOD, body).port)
    seen = len(editor.statuses)
    editor.save(port)
    await editor.until(reached.exists)
    editor.change(port, editor.texts[port].replace(body, GOOD))
    go_on.touch()
    status = await editor.verdict(seen)
    assert status.last.status == "diverged"
    assert editor.problems(port) == []
    (lens,) = await editor.lenses(port)
    assert lens.endswith("(edited since)")
    assert (await replace(editor, port, "", "")).last.status == "verified"


async def test_cancelling_one_check_leaves_the_others_alone(
    editor: Editor, pair: Pairs, shared: tuple[Editor, Path], tmp_path: Path
) -> None:
    # The first pair holds the workers until it may go on; the second waits for them.
    reached, go_on = tmp_path / "reached", tmp_path / "go-on"
    slow = (
        "from pathlib import Path; import time\n"
        f"    Path({str(reached)!r}).touch()\n"
        f"    while not Path({str(go_on)!r}).exists(): time.sleep(0.01)\n"
        f"    {GOOD}"
    )
    first = editor.open(pair(SOURCE, GOOD, slow).port)
    second = editor.open(write_pair(shared[1], "waiting", SOURCE).port)
    seen = len(editor.statuses)
    await editor.execute("torchport.check", first)
    await editor.until(reached.exists)
    job = (await editor.execute("torchport.check", second))["job"]
    assert await editor.execute("torchport.cancel", job) is True
    go_on.touch()
    status = await editor.verdict(seen)
    assert status.last.text.endswith("leaves_the_others_alone_jax.py: 1 verified")
    assert await editor.lenses(second) == []


async def test_a_port_that_ends_its_process(editor: Editor, pair: Pairs) -> None:
    dies = "import os; os._exit(3)"
    port = editor.open(pair(SOURCE, GOOD, dies).port)
    status = await check(editor, port)
    assert status.last.status == "diverged" or status.last.status == "error"
    await editor.until(lambda: editor.problems(port))
    (problem,) = editor.problems(port)
    assert problem.code == "CRASH" and "exit code 3" in problem.message
    status = await replace(editor, port, dies, GOOD)
    assert status.last.status == "verified"
    await editor.until(lambda: not editor.problems(port))


async def test_a_worker_that_is_killed(editor: Editor, pair: Pairs) -> None:
    port = editor.open(pair(SOURCE).port)
    assert (await check(editor, port)).last.status == "verified"
    (worker,) = workers(editor, "jax")
    worker.kill()
    await editor.until(lambda: ended(worker))
    status = await replace(editor, port, "* 2", "* 3")
    assert status.last.text.endswith(": 1 diverged")


async def test_an_analyst_that_is_killed(editor: Editor, pair: Pairs) -> None:
    source = editor.open(pair(SOURCE).source)
    assert await editor.hover(source, "torch.exp")
    analysts = [p for p in server_of(editor).children() if "spawn_main" in " ".join(p.cmdline())]
    assert analysts
    for analyst in analysts:
        analyst.kill()
    await editor.until(lambda: all(map(ended, analysts)))
    editor.change(source, f"{SOURCE}\n# changed\n")
    assert await editor.hover(source, "torch.exp")


async def test_restart(editor: Editor, pair: Pairs) -> None:
    port = editor.open(pair(SOURCE).port)
    assert (await check(editor, port)).last.status == "verified"
    before = workers(editor, "torch") + workers(editor, "jax")
    assert len(before) == 2
    await editor.execute("torchport.restart")
    await editor.until(lambda: all(map(ended, before)))
    assert (await replace(editor, port, "* 2", "* 3")).last.status == "diverged"


async def test_status(editor: Editor, pair: Pairs) -> None:
    files = pair(SOURCE)
    port = editor.open(files.port)
    seen = len(editor.statuses)
    await check(editor, port)
    first, *_, last = editor.statuses[seen:]
    assert first.busy and not last.busy
    assert last.last.uri == files.source.as_uri()
    assert [(lane.framework, lane.device) for lane in last.lanes] == [
        ("torch", "cpu"),
        ("jax", "cpu"),
    ]
    assert {lane.state for lane in last.lanes} == {"idle"}
    assert all(lane.version for lane in last.lanes)
