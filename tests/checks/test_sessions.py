"""Sessions: what is kept, what is lost by a kill (nothing but the item in flight), what is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from torchport.cli import cli
from torchport_checks import Verdict
from torchport_checks.sessions import Engine, Key, Session, SessionBusy, SessionProblem, State
from torchport_checks.sessions.hunks import hunks_of, rows, without
from torchport_checks.sessions.report import document, exit_code, selected
from torchport_checks.sessions.scheduler import run_jobs
from torchport_checks.sessions.session import last_session, open_session
from torchport_checks.store import project_root
from torchport_checks.verdicts import Category, DefinitionVerdict, Status
from torchport_translators.configuration import Configuration
from torchport_translators.emit.header import edited_by_hand, read_header

from torchport_checks.options import CheckOptions  # isort: skip

SCALE = "import torch\n\n\ndef scale(x: torch.Tensor):\n    return torch.mul(x, 2.0)\n"
TWO = SCALE + "\n\ndef shift(x: torch.Tensor):\n    return torch.add(x, 1.0)\n"
BROKEN = "import torch\n\n\ndef broken(x:\n    return torch.mul(x\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "src").mkdir()
    return tmp_path


def opened(project: Path, *, review: bool = False, target: str = "jax") -> Session:
    return open_session([str(project / "src")], target, Configuration(), review=review)


def ported(project: Path, *, review: bool = False, **texts: str) -> Session:
    """A session over the given files, ported."""
    for name, text in texts.items():
        (project / "src" / f"{name}.py").write_text(text)
    session = opened(project, review=review)
    session.scan()
    list(session.port(session.unported()))
    return session


def judge(session: Session, path: str, **statuses: Status) -> None:
    """Note a verdict as a check would give it."""
    found = session.texts(path)
    assert found is not None
    definitions = [
        DefinitionVerdict(
            name=name,
            kind="function",
            source_line=4,
            status=status,
            category=None if status == "verified" else Category.MISMATCH,
            message="equal" if status == "verified" else "it differs",
        )
        for name, status in statuses.items()
    ]
    verdict = Verdict(torchport="0", source=path, port="p", definitions=definitions)
    assert session.record(path, verdict, found[1])


def states(session: Session) -> dict[str, str]:
    return {item.name: item.state.value for item in session.items()}


def test_a_definition_moves_through_its_states(project: Path) -> None:
    (project / "src" / "a.py").write_text(TWO)
    port = project / "src" / "a_jax.py"
    session = opened(project, review=True)
    assert session.scan().added == ("src/a.py",)
    assert states(session) == {"<module>": "found"}
    list(session.port(session.unported()))
    assert states(session) == {"scale": "ported", "shift": "ported"}
    judge(session, "src/a.py", scale="verified", shift="diverged")
    assert states(session) == {"scale": "checked", "shift": "checked"}
    session.decide([Key("src/a.py", "shift")], State.REVIEWED)
    assert states(session) == {"scale": "checked", "shift": "reviewed"}
    assert not port.exists()

    # What is accepted is written, and nothing else.
    session.decide([Key("src/a.py", "scale")], State.ACCEPTED)
    session.decide([Key("src/a.py", "shift")], State.REJECTED)
    assert states(session) == {"scale": "accepted", "shift": "rejected"}
    text = port.read_text()
    assert "def scale" in text and "def shift" not in text
    header = read_header(text)
    assert header is not None and list(header.definitions) == ["scale"]

    # All of it is what `torchport port` would have written.
    session.decide([Key("src/a.py", "shift")], State.ACCEPTED)
    evidence = session.evidence("src/a.py")
    assert evidence is not None and port.read_text() == evidence.text
    for expected in ("rejected", "reviewed", "reviewed"):
        assert session.undo() is not None
        assert states(session)["shift"] == expected
    assert states(session)["scale"] == "checked"
    assert not port.exists()
    session.close()


def test_what_an_accepted_definition_still_lacks_is_told(project: Path) -> None:
    text = SCALE + "\n\ndef twice(x: torch.Tensor):\n    return scale(torch.exp(x))\n"
    session = ported(project, review=True, a=text)
    decided = session.decide([Key("src/a.py", "twice")], State.ACCEPTED)
    assert "src/a.py: its port uses scale, which is not in it yet" in decided.notes[0]
    assert session.decide([Key("src/a.py", "scale")], State.ACCEPTED).notes == ()
    session.close()


def test_a_batch_writes_at_once_and_a_rejection_takes_it_out(project: Path) -> None:
    session = ported(project, a=TWO)
    port = project / "src" / "a_jax.py"
    assert "def shift" in port.read_text()
    session.decide([Key("src/a.py", "shift")], State.REJECTED)
    assert "def shift" not in port.read_text()
    session.decide([Key("src/a.py", "scale")], State.REJECTED)
    assert not port.exists()
    session.undo()
    session.undo()
    assert "def shift" in port.read_text()
    session.close()


def test_what_lay_there_before_stays_but_for_what_is_accepted(project: Path) -> None:
    first = ported(project, a=TWO)
    first.close()
    port = project / "src" / "a_jax.py"
    old = port.read_text()
    (project / "src" / "a.py").write_text(TWO.replace("2.0", "3.0").replace("1.0", "4.0"))
    session = open_session([str(project / "src" / "a.py")], "jax", Configuration(), review=True)
    session.scan()
    list(session.port(session.unported()))
    assert port.read_text() == old
    session.decide([Key("src/a.py", "scale")], State.ACCEPTED)
    text = port.read_text()
    assert "3.0" in text and "4.0" not in text
    session.undo()
    assert port.read_text() == old
    session.close()


def test_a_port_edited_by_hand_is_kept_and_checked_as_it_is(project: Path) -> None:
    ported(project, a=TWO).close()
    port = project / "src" / "a_jax.py"
    port.write_text(port.read_text().replace("2.0", "2.0 * 1"))
    session = opened(project)
    assert session.scan().changed == ("src/a.py",)
    list(session.port(session.unported()))
    (file,) = session.files()
    assert file.outcome == "edited"
    evidence = session.evidence("src/a.py")
    assert evidence is not None and "2.0 * 1" in evidence.text
    session.decide([Key("src/a.py", "scale")], State.ACCEPTED)
    assert "2.0 * 1" in port.read_text()
    session.close()


def test_a_port_that_somebody_changes_meanwhile_is_left_alone(project: Path) -> None:
    session = ported(project, a=TWO)
    port = project / "src" / "a_jax.py"
    port.write_text("# mine\n")
    decided = session.decide([Key("src/a.py", "scale")], State.REJECTED)
    assert decided.number == 0
    assert "changed since" in decided.problems[0]
    assert states(session)["scale"] == "ported"
    assert port.read_text() == "# mine\n"
    session.close()


def test_a_changed_source_begins_again_and_the_others_do_not(project: Path) -> None:
    session = ported(project, a=TWO, b=SCALE)
    for path in ("src/a.py", "src/b.py"):
        judge(session, path, scale="verified")
    session.decide([item.key for item in session.items()], State.ACCEPTED)
    session.close()
    (project / "src" / "a.py").write_text(TWO.replace("1.0", "5.0"))
    (project / "src" / "c.py").write_text(SCALE)
    session = opened(project)
    scanned = session.scan()
    assert (scanned.added, scanned.changed) == (("src/c.py",), ("src/a.py",))
    assert session.unported() == ["src/a.py", "src/c.py"]
    assert [item.state.value for item in session.items("src/b.py")] == ["accepted"]
    (project / "src" / "b.py").unlink()
    assert session.scan().removed == ("src/b.py",)
    session.close()


def test_an_edit_is_written_where_it_was_accepted_and_has_to_be_checked(project: Path) -> None:
    session = ported(project, review=True, a=TWO)
    judge(session, "src/a.py", scale="verified", shift="verified")
    session.decide([item.key for item in session.items()], State.ACCEPTED)
    before = session.evidence("src/a.py")
    assert before is not None and before.verdict is not None
    session.revise("src/a.py", before.text.replace("2.0", "2.5"), "edited a.py")
    now = session.evidence("src/a.py")
    assert now is not None and now.verdict is None
    assert session.unchecked() == ["src/a.py"]
    text = (project / "src" / "a_jax.py").read_text()
    assert "2.5" in text and edited_by_hand(text)
    # A verdict on the text that was there before says nothing of this one.
    texts = before.original.encode(before.original.text), before.original.encode(before.text)
    assert not session.record("src/a.py", before.verdict, texts)
    assert session.undo() == ("edited a.py", ["src/a.py"])
    assert session.evidence("src/a.py") == before
    assert "2.5" not in (project / "src" / "a_jax.py").read_text()
    session.close()


@pytest.mark.parametrize(
    ("status", "findings", "state", "code"),
    [
        ("verified", 0, State.CHECKED, 0),
        ("verified", 1, State.CHECKED, 1),
        ("diverged", 0, State.CHECKED, 1),
        ("diverged", 0, State.REJECTED, 0),
        ("diverged", 0, State.ACCEPTED, 1),
        ("", 0, State.PORTED, 1),
        ("error", 0, State.FOUND, 2),
    ],
)
def test_exit_codes(project: Path, status: str, findings: int, state: State, code: int) -> None:
    from dataclasses import replace

    session = ported(project, a=SCALE)
    (item,) = session.items()
    session.close()
    assert exit_code([replace(item, status=status, findings=findings, state=state)]) == code


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("all", ["scale", "shift", "scale"]),
        ("verified", ["shift"]),
        ("scale", ["scale", "scale"]),
        ("src/a.py", ["scale", "shift"]),
        ("src/b*", ["scale"]),
        ("src/a.py:s*t", ["shift"]),
        ("nothing", []),
    ],
)
def test_selectors(project: Path, selector: str, names: list[str]) -> None:
    session = ported(project, a=TWO, b=SCALE)
    judge(session, "src/a.py", scale="diverged", shift="verified")
    assert [key.name for key in selected(session.items(), [selector])] == names
    session.close()


@pytest.mark.parametrize(
    ("category", "again"),
    [(Category.TIMEOUT, True), (Category.FRAMEWORK, True), (Category.MISMATCH, False)],
)
def test_failures_of_the_moment_are_tried_again_by_a_run(
    project: Path, category: Category, again: bool
) -> None:
    session = ported(project, a=SCALE)
    found = session.texts("src/a.py")
    assert found is not None
    definition = DefinitionVerdict(
        name="scale", kind="function", source_line=4, status="error", category=category, message="m"
    )
    verdict = Verdict(torchport="0", source="a", port="p", definitions=[definition])
    session.record("src/a.py", verdict, found[1])
    session.scan()  # to look at it changes nothing
    assert session.unchecked() == []
    session.retry()
    assert session.unchecked() == (["src/a.py"] if again else [])
    session.close()


def test_two_processes_on_one_session_and_a_lock_of_a_dead_one(project: Path) -> None:
    session = ported(project, a=SCALE)
    with pytest.raises(SessionBusy, match=f"Process {os.getpid()} works at this session"):
        opened(project)
    other = opened(project, target="mlx")  # another session
    other.close()
    result = CliRunner().invoke(cli, ["batch", str(project / "src"), "--no-run"])
    assert result.exit_code == 2
    assert f"Process {os.getpid()} works" in result.output
    session.close()
    opened(project).close()
    script = f"""
        import os, signal
        from torchport_checks.sessions.session import open_session
        from torchport_translators.configuration import Configuration
        open_session([{str(project / "src")!r}], "jax", Configuration())
        os.kill(os.getpid(), signal.SIGKILL)
        """
    subprocess.run([sys.executable, "-c", dedent(script)], check=False)
    opened(project).close()


def generate(folder: Path, number: int) -> None:
    """That many small files, every twentieth of which does not parse."""
    for n in range(number):
        text = TWO.replace("2.0", f"{n}.0") if n % 20 else BROKEN
        (folder / f"f{n:03}.py").write_text(text)


def test_a_session_that_is_killed_goes_on_where_it_was(project: Path) -> None:
    """200 files, 10 of them broken; killed at three moments, each with a file under way."""
    generate(project / "src", 200)
    script = f"""
        from torchport_checks.sessions.session import open_session
        from torchport_translators.configuration import Configuration
        session = open_session([{str(project / "src")!r}], "jax", Configuration())
        session.scan()
        for path in session.port(session.unported()):
            print(path, flush=True)
        """
    done: list[str] = []
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", dedent(script)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(25):
            done.append(process.stdout.readline().strip())
        process.kill()
        # What it printed before it died counts, too.
        done += process.communicate()[0].split()
    assert len(set(done)) == len(done)  # nothing was done twice
    session = opened(project)
    session.scan()
    left = session.unported()
    # At most the item in flight of each kill was done, and not told.
    assert 0 <= 200 - len(done) - len(left) <= 3
    assert not set(done) & set(left)
    list(session.port(left))
    items = session.items()
    assert len({item.path for item in items}) == 200
    broken = {item.path for item in items if item.findings}
    assert broken == {item.path for item in items if item.status == "error"}
    assert broken == {f"src/f{n:03}.py" for n in range(0, 200, 20)}
    assert exit_code(items) == 1
    whole = document(session)
    session.close()

    # The report of an undisturbed run over the same files is the same.
    again = project / "again"
    again.mkdir()
    (again / "pyproject.toml").touch()
    (again / "src").mkdir()
    generate(again / "src", 200)
    undisturbed = opened(again)
    undisturbed.scan()
    list(undisturbed.port(undisturbed.unported()))
    assert document(undisturbed) == whole
    undisturbed.close()


@pytest.mark.parametrize("data", [b"not a database" * 500, b"", b"SQLite format 3\0" + bytes(4000)])
def test_a_damaged_file_is_moved_aside_and_told(project: Path, data: bytes) -> None:
    ported(project, a=SCALE).close()
    path = project / ".torchport" / "sessions.db"
    path.write_bytes(data)
    session = opened(project)
    assert ("was damaged" in session.note) == bool(data)
    session.scan()
    assert session.unported() == ["src/a.py"]
    session.close()


def test_problems_are_told_and_nothing_is_overwritten(project: Path) -> None:
    (project / "src" / "a_jax.py").write_text("mine = 1\n")
    (project / "src" / "bad.py").write_bytes(b"import torch\n\0")
    session = ported(project, a=SCALE)
    messages = {item.path: item.message for item in session.items()}
    assert "not written by torchport" in messages["src/a.py"]
    assert "NUL bytes" in messages["src/bad.py"]
    assert (project / "src" / "a_jax.py").read_text() == "mine = 1\n"
    decided = session.decide([item.key for item in session.items()], State.ACCEPTED)
    assert decided.number == 0 and len(decided.problems) == 2
    assert exit_code(session.items()) == 2
    session.close()
    with pytest.raises(SessionProblem, match="does not exist"):
        open_session([str(project / "absent.py")], "jax", Configuration()).scan()
    with pytest.raises(SessionProblem, match="No session of"):
        open_session([str(project / "other")], "jax", Configuration(), known=True)
    with pytest.raises(SessionProblem, match="No session is kept"):
        last_session(project_root(project / "src" / "x").parent, Configuration())


@pytest.mark.parametrize(
    ("old", "new", "hunks"),
    [
        ("a\nb\nc\n", "a\nB\nc\n", [((1, 2), (1, 2))]),
        ("a\nb\n", "a\nb\nc\n", [((2, 2), (2, 3))]),
        ("a\n\nb\n", "A\n\nB\n", [((0, 1), (0, 1)), ((2, 3), (2, 3))]),
        ("a\nb", "a\nc", [((1, 2), (1, 2))]),
        ("", "a\n", [((0, 0), (0, 1))]),
        ("a\x0cb\n", "a\x0cc\n", [((0, 1), (0, 1))]),  # a form feed ends no line
    ],
)
def test_hunks(old: str, new: str, hunks: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    found = hunks_of(old, new)
    assert [(hunk.old, hunk.new) for hunk in found] == hunks
    text = new
    for hunk in reversed(found):
        text = without(old, text, hunk)
    assert text == old
    side = list(rows(old, new))
    assert [row.old for row in side if row.old is not None] == list(
        range(old.count("\n") + (old[-1:] not in ("\n", "")))
    )


def test_jobs_run_beside_each_other_only_while_memory_is_free() -> None:
    def widest(free: int) -> int:
        lock, active, most = threading.Lock(), 0, 0

        def work(_: int) -> None:
            nonlocal active, most
            with lock:
                active += 1
                most = max(most, active)
            time.sleep(0.02)
            with lock:
                active -= 1

        run_jobs(range(6), work, jobs=3, free=lambda: free)
        return most

    assert widest(2**40) == 3
    assert widest(0) == 1


def test_what_a_job_raises_ends_the_rest() -> None:
    done: list[int] = []

    def work(n: int) -> None:
        done.append(n)
        if n == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        run_jobs(range(100), work, jobs=1)
    assert done == [0, 1, 2]


def test_a_real_run_is_stopped_resumed_and_exported(project: Path) -> None:
    """Both frameworks: one function is right, one file's port is spoiled by hand."""
    for n in range(3):
        (project / "src" / f"f{n}.py").write_text(SCALE.replace("2.0", f"{n}.5"))
    options = CheckOptions(draws=("normal",))
    session = opened(project, review=True)
    session.scan()
    events: list[str] = []
    engine = Engine(session, options, jobs=1)

    def listen(event: object) -> None:
        path = getattr(event, "path", "")
        if path and engine.progress().phase == "checking":
            events.append(path)
            engine.stop()

    engine.listen(listen)
    assert not engine.run()
    assert events == ["src/f0.py"]
    assert session.unchecked() == ["src/f1.py", "src/f2.py"]
    evidence = session.evidence("src/f2.py")
    assert evidence is not None
    session.revise("src/f2.py", evidence.text.replace("2.5", "2.25"), "spoiled")
    engine.listen(lambda event: None)
    assert engine.run()
    states = {lane.state for lane in engine.progress().lanes}
    assert states == {"idle"}
    engine.close()
    session.close()

    arguments = ["batch", str(project / "src"), "--resume", "--no-run"]
    export = project / "session.json"
    runner = CliRunner()
    result = runner.invoke(cli, [*arguments, "--accept", "verified", "--export", str(export)])
    assert result.exit_code == 1, result.output
    assert "2 of 3 verified" in result.output
    assert "src/f2.py:4: scale: MISMATCH" in result.output
    told = json.loads(export.read_text())
    found = {file["source"]: file["definitions"][0] for file in told["files"]}
    assert [found[f"src/f{n}.py"]["state"] for n in range(3)] == ["accepted", "accepted", "checked"]
    assert [found[f"src/f{n}.py"]["status"] for n in range(3)] == [
        "verified",
        "verified",
        "diverged",
    ]
    assert "seconds" not in export.read_text()
    assert (project / "src" / "f0_jax.py").exists()
    assert not (project / "src" / "f2_jax.py").exists()
    result = runner.invoke(cli, [*arguments, "--reject", "src/f2.py", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["states"]["rejected"] == 1


def test_an_interrupt_stops_a_batch_and_keeps_what_was_done(project: Path) -> None:
    generate(project / "src", 40)
    process = subprocess.Popen(
        [sys.executable, "-m", "torchport", "batch", str(project / "src"), "--quick"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for _ in range(10):
        process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    session = opened(project)
    session.scan()
    assert len(session.unported()) <= 30
    session.close()
