"""What keys and clicks do, with the session as the witness."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from torchport_checks import CheckOptions
from torchport_checks.sessions import Session, State
from torchport_tui.app import TorchportApp
from torchport_tui.rows import Rows
from torchport_tui.widgets.definitions import DefinitionList

from .conftest import States
from .test_screens import settled

pytestmark = pytest.mark.asyncio

SIZE = (120, 36)


def shown(app: TorchportApp) -> list[str]:
    """The names in the table."""
    return [item.name for item in app.screen_stack[0].query_one(DefinitionList).rows.shown]


async def press(pilot: Pilot[None], keys: str) -> None:
    for key in keys.split():
        await pilot.press(key)
    await settled(pilot)


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ("", ["<module>", "scores", "Head", "gather", "scale", "norm"]),
        ("f", ["<module>", "scores", "gather"]),
        ("slash o p s", ["scale", "norm"]),
        ("slash o p s space s c", ["scale"]),
        ("slash o p s escape", ["<module>", "scores", "Head", "gather", "scale", "norm"]),
        ("slash m i s m a t c h", ["scores"]),
        ("s s s s s s s", ["<module>", "gather", "Head", "norm", "scale", "scores"]),
        ("S", ["norm", "scale", "gather", "Head", "scores", "<module>"]),
        ("t down down enter", ["<module>"]),  # broken.py
        ("t down down down enter", ["scores", "Head", "gather"]),  # nets/
    ],
)
async def test_what_is_shown(app: TorchportApp, keys: str, names: list[str]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, keys)
        assert shown(app) == names


@pytest.mark.parametrize(
    ("keys", "changed"),
    [
        ("G a", {"norm": "accepted"}),
        ("G x", {"norm": "rejected"}),
        ("G a z", {}),
        ("G enter", {"norm": "reviewed"}),
        ("G enter a", {"norm": "accepted"}),
        ("G up space space a", {"scale": "accepted", "norm": "accepted"}),
        ("G up space space a z", {}),
        ("asterisk x", {"scores": "rejected", "Head": "rejected", "gather": "rejected",
                        "scale": "rejected", "norm": "rejected"}),
        ("asterisk a enter", {"Head": "accepted", "scale": "accepted", "norm": "accepted"}),
        ("asterisk a escape", {}),
        ("right_square_bracket x", {"scores": "rejected"}),
        ("left_square_bracket x", {"gather": "rejected"}),
        ("G space G a", {"norm": "accepted"}),
        ("space escape G x", {"norm": "rejected"}),
    ],
)  # fmt: skip
async def test_decisions(
    app: TorchportApp, states: States, keys: str, changed: dict[str, str]
) -> None:
    before = states()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        for key in keys.split():
            await pilot.press(key)
            await settled(pilot)
    assert {name: state for name, state in states().items() if state != before[name]} == changed


async def test_an_accepted_port_is_written_and_undone(app: TorchportApp, project: Path) -> None:
    port = project / "src" / "ops_jax.py"
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "G a")
        assert "def norm" in port.read_text() and "def scale" not in port.read_text()
        await press(pilot, "k a")
        assert "def scale" in port.read_text()
        await press(pilot, "z z")
        assert not port.exists()


async def test_a_hunk_is_refused_and_undone(app: TorchportApp, session: Session) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "G enter")
        before = session.evidence("src/ops.py")
        assert before is not None and "return x / torch" not in before.text
        await press(pilot, "n")
        now = session.evidence("src/ops.py")
        assert now is not None and "return x / torch.linalg.norm" in now.text
        assert now.verdict is None  # it has to be checked again
        await press(pilot, "z")
        assert session.evidence("src/ops.py") == before


async def test_copying(app: TorchportApp, session: Session) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "G c")
        assert app.clipboard.startswith("src/ops.py:8\tnorm\tchecked\tverified")
        await press(pilot, "enter c")
        evidence = session.evidence("src/ops.py")
        assert evidence is not None and app.clipboard == evidence.text
        await press(pilot, "2 c")
        assert "Outputs and gradients equal" in app.clipboard


async def test_the_mouse(app: TorchportApp, states: States) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        table = app.screen.query_one(DefinitionList)
        await pilot.click(table, offset=(10, 2))
        current = table.current()
        assert current is not None and current.name == "Head"
        await pilot.click(table, offset=(1, 3))
        assert [key.name for key in table.rows.marked] == ["gather"]
        await pilot.click("#head", offset=(6, 0))  # sort by definition
        await settled(pilot)
        assert shown(app)[:2] == ["<module>", "gather"]
        await pilot.click(table, offset=(10, 2), times=2)
        await settled(pilot)
        await pilot.click("#panes", offset=(12, 0))
        await settled(pilot)
        assert app.focused is not None and app.focused.id == "verdict"
    assert states()["Head"] == "reviewed"


async def test_left_and_resumed(session: Session, app: TorchportApp, states: States) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "G a q")
    assert states()["norm"] == "accepted"
    again = TorchportApp(session, CheckOptions(), run=False)
    async with again.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "z")
    assert states()["norm"] == "checked"


async def test_real_checks_are_shown_as_they_come(session: Session, project: Path) -> None:
    """Both frameworks: what is left is run at the start, and what is asked for again."""
    for path in ("src/nets/attention.py", "src/broken.py"):
        (project / path).unlink()
    session.recheck(["src/ops.py"])
    assert {item.status for item in session.items("src/ops.py")} == {""}
    app = TorchportApp(session, CheckOptions(draws=("normal",)), jobs=1)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert shown(app) == ["scale", "norm"]
        rows: Rows = app.screen.query_one(DefinitionList).rows
        assert {item.status for item in rows.shown} == {"verified"}
        assert app.engine.progress().phase == "idle"
        assert {lane.state for lane in app.engine.progress().lanes} == {"idle"}
        await press(pilot, "r")
        assert {item.state for item in session.items()} == {State.CHECKED}
        assert {item.status for item in session.items()} == {"verified"}
