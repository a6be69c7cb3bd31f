"""What each screen looks like, as pictures.

After a change that is meant: `pytest tests/tui/test_screens.py --snapshot-update`, and look at them.
"""

from __future__ import annotations

import time

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from textual.widgets import Input

from torchport_checks import CheckOptions
from torchport_checks.sessions import Session
from torchport_tui.app import TorchportApp

pytestmark = pytest.mark.asyncio

WIDE, SMALL = (120, 36), (80, 24)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until everything that was begun is done and drawn."""
    await pilot.app.workers.wait_for_complete()
    await pilot.pause(0.12)  # what has changed is shown ten times a second
    await pilot.pause()


@pytest.mark.parametrize(
    ("name", "size", "keys"),
    [
        ("session", WIDE, ""),
        ("session small", SMALL, ""),
        ("tree small", SMALL, "t"),
        ("failures sorted by verdict", WIDE, "f s s"),
        ("marked", WIDE, "space space"),
        ("filter", WIDE, "slash n o r m"),
        ("question", WIDE, "asterisk a"),
        ("diff", WIDE, "G enter"),
        ("diff unified", WIDE, "G enter s"),
        ("diff small", SMALL, "G enter"),
        ("diff hunk taken", WIDE, "G enter y"),
        ("verdict diverged", WIDE, "j enter"),
        ("verdict small", SMALL, "j enter"),
        ("findings", WIDE, "j j j enter"),
        ("source that does not parse", WIDE, "enter"),
        ("keys", WIDE, "question_mark"),
        ("keys small", SMALL, "question_mark"),
    ],
)
async def test_screen(
    app: TorchportApp, svg: SnapshotAssertion, name: str, size: tuple[int, int], keys: str
) -> None:
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        for key in keys.split():
            await pilot.press(key)
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await settled(pilot)
        assert app.export_screenshot(title=name) == svg


async def test_log(app: TorchportApp, session: Session, svg: SnapshotAssertion) -> None:
    noon = time.mktime((2026, 1, 1, 12, 0, 0, 0, 1, -1))
    with session._records.change() as change:  # pyright: ignore[reportPrivateUsage]
        change.execute("UPDATE log SET at = ?", (noon,))
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("l")
        await settled(pilot)
        assert app.export_screenshot(title="log") == svg


async def test_palette(app: TorchportApp, svg: SnapshotAssertion) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+p")
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await pilot.press(*"undo")
        await settled(pilot)
        assert app.export_screenshot(title="palette") == svg


@pytest.mark.parametrize("theme", ["textual-light", "nord"])
async def test_themes(app: TorchportApp, svg: SnapshotAssertion, theme: str) -> None:
    async with app.run_test(size=WIDE) as pilot:
        app.theme = theme
        await pilot.press("G", "enter")
        await settled(pilot)
        assert app.export_screenshot(title=theme) == svg


async def test_without_colour(
    session: Session, svg: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks, signs and words say what colours do."""
    monkeypatch.setenv("NO_COLOR", "1")
    app = TorchportApp(session, CheckOptions(), run=False)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("j", "enter", "1")
        await settled(pilot)
        assert app.export_screenshot(title="without colour") == svg


async def test_smaller_than_anything(app: TorchportApp) -> None:
    """Whatever the size, and while it changes: nothing fails."""
    async with app.run_test(size=SMALL) as pilot:
        for size in ((20, 6), (1, 1), (300, 90), SMALL):
            await pilot.resize_terminal(*size)
            for key in ("j", "enter", "s", "2", "escape", "t", "t"):
                await pilot.press(key)
        await settled(pilot)
        assert app.size == SMALL
