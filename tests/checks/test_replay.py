"""A failing input is kept in a file, and run again by one command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from torchport.cli import cli
from torchport_checks import Checker, CheckOptions, Verdict
from torchport_checks.replay import FOLDER, find_replay, run_replay

from .conftest import write_pair

ORIGINAL = """\
def scaled(x: torch.Tensor):
    return x.var(dim=1)


# torchport: check(x=f32[5, 4], init=(4, 3))
class Gate(nn.Module):
    def __init__(self, d, n, bias=True):
        super().__init__()
        self.fc = nn.Linear(d, n, bias=bias)

    def forward(self, x):
        return torch.sigmoid(self.fc(x))
"""
WRONG = """\
def scaled(x):
    return jnp.var(x, axis=1)


class Gate(nnx.Module):
    def __init__(self, d, n, bias=True, *, rngs):
        self.fc = nnx.Linear(d, n, use_bias=bias, rngs=rngs)

    def __call__(self, x):
        return jax.nn.hard_sigmoid(self.fc(x))
"""
RIGHT = WRONG.replace("axis=1", "axis=1, ddof=1")

Replay = Callable[..., Result]


AMPLE = CheckOptions(timeout=120).thorough().model_copy(update={"shrink_seconds": 300.0})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a pair of files, checked."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").touch()
    (folder / "src").mkdir()
    write_pair(folder / "src", ORIGINAL, WRONG)
    return folder


@pytest.fixture(scope="module")
def verdict(project: Path) -> Verdict:
    with Checker(AMPLE) as checker:
        return checker.check(project / "src" / "model.py", project / "src" / "model_jax.py")


@pytest.fixture
def replay(project: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """`replay(ID, ...)` as the command line runs it, in the folder of the source."""
    monkeypatch.chdir(project / "src")
    return lambda *arguments: CliRunner().invoke(cli, ["replay", *arguments])


def id_of(verdict: Verdict, name: str) -> str:
    smallest = verdict.of(name).smallest
    assert smallest is not None
    command, _, found = smallest.replay.rpartition(" ")
    assert command == "torchport replay"
    return found


def test_what_still_diverges(verdict: Verdict, replay: Replay) -> None:
    result = replay(id_of(verdict, "scaled"))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:6] == [
        "scaled(x=f32[1, 2] = [[1, 0]])",
        "  scaled(x=torch.tensor([[1.0, 0.0]]))",
        "output",
        "  original  f32[1] = [0.5]",
        "  port      f32[1] = [0.25]",
        "  float64   f64[1] = [0.5]",
    ]
    assert "MISMATCH: output: 1 of 1 values differ" in result.stdout


def test_a_module_has_the_weights_it_had(verdict: Verdict, replay: Replay) -> None:
    result = replay(id_of(verdict, "Gate"), "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["command"], answer["exit_code"]) == (1, "replay", 1)
    smallest = verdict.of("Gate").smallest
    assert smallest is not None
    found = answer["replay"]["differences"][0]
    assert (found["torch"], found["port"]) == (smallest.difference.torch, smallest.difference.port)
    assert answer["replay"]["changed"] == []


def test_what_no_longer_diverges(verdict: Verdict, project: Path, replay: Replay) -> None:
    port = project / "src" / "model_jax.py"
    before = port.read_text()
    write_pair(project / "src", ORIGINAL, RIGHT)
    try:
        result = replay(id_of(verdict, "scaled"))
    finally:
        port.write_text(before)
    assert result.exit_code == 0, result.stdout
    assert "note: model_jax.py has changed since this was found." in result.stdout
    assert "model.py has changed" not in result.stdout
    assert "verified: Outputs and gradients are equal now." in result.stdout


def test_a_definition_that_is_gone(verdict: Verdict, project: Path, replay: Replay) -> None:
    port = project / "src" / "model_jax.py"
    before = port.read_text()
    port.write_text("scaled = None\n")
    try:
        result = replay(id_of(verdict, "scaled"))
    finally:
        port.write_text(before)
    assert result.exit_code == 1
    assert "model_jax.py does not define scaled any more." in result.stdout


BAD = [
    ("0000000000", "No replay 0000000000 is kept here"),
    ("absent.json", "absent.json cannot be read: No such file"),
    ("broken.json", "is not a replay that this version reads"),
    ("newer.json", "is not a replay that this version reads: version"),
    ("moved.json", "elsewhere.py, which moved.json runs, is not there."),
    ("arguments.json", "The replay's arguments cannot be read"),
]


@pytest.mark.parametrize(("name", "message"), BAD, ids=[name for name, _ in BAD])
def test_what_is_no_replay(
    name: str, message: str, verdict: Verdict, project: Path, replay: Replay
) -> None:
    kept = find_replay(id_of(verdict, "scaled"), project)
    data = json.loads(kept.read_text())
    changes: dict[str, dict[str, Any]] = {
        "newer.json": {"version": 2},
        "moved.json": {"source": {"path": "elsewhere.py", "sha256": ""}},
        "arguments.json": {"buffers": []},
    }
    if name in changes:
        Path(name).write_text(json.dumps(data | changes[name]))
    Path("broken.json").write_text('{"format": "tor')
    result = replay(name)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_stored_verdict_keeps_its_replay(verdict: Verdict, project: Path) -> None:
    """An editor, which looks for no smallest input, is shown the one that is known."""
    with Checker(CheckOptions(timeout=120)) as checker:
        again = checker.check(project / "src" / "model.py", project / "src" / "model_jax.py")
    assert again.from_store
    assert again.of("scaled").smallest == verdict.of("scaled").smallest


def test_a_stored_verdict_without_smallest_inputs_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    pair = write_pair(tmp_path, ORIGINAL, WRONG)
    asked = AMPLE
    with Checker(CheckOptions(timeout=120)) as checker:
        first = checker.check(*pair)
    with Checker(asked) as checker:
        second, third = checker.check(*pair), checker.check(*pair)
    found = [(v.from_store, v.of("Gate").smallest is not None) for v in (first, second, third)]
    assert found == [(False, False), (False, True), (True, True)]


def test_values_are_kept_exactly_and_the_oldest_files_are_dropped(tmp_path: Path) -> None:
    """With no time to make it small, it is the case itself that is kept."""
    original = """\
    # torchport: check(x=bf16[3, 5], y=f32[3, 5], how=("scaled", 3), parts={"b": i64[5], "a": c64[2]})
    def mixed(x, y, how, parts):
        return x.float() * y * parts["b"] * how[1] + parts["a"].real.sum()
    """
    port = """\
    def mixed(x, y, how, parts):
        return x.astype(jnp.float32) * y * parts["b"] * how[1] - parts["a"].real.sum()
    """
    (tmp_path / "pyproject.toml").touch()
    kept = tmp_path / FOLDER
    kept.mkdir(parents=True)
    for age in range(1, 121):
        (kept / f"{age}.json").touch()
        os.utime(kept / f"{age}.json", (1e9 - age, 1e9 - age))
    options = CheckOptions(timeout=120, shrink_seconds=1e-9)
    with Checker(options) as checker:
        verdict = checker.check(*write_pair(tmp_path, original, port)).of("mixed")
    assert verdict.smallest is not None
    assert verdict.smallest.runs == 0
    name = verdict.smallest.replay.split()[-1]
    names = sorted(path.stem for path in kept.iterdir())
    assert names == sorted([name, *(str(age) for age in range(1, 100))])
    replayed = run_replay(kept / f"{name}.json", options)
    assert replayed.differences == verdict.differences
