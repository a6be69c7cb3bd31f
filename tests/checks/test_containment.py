"""What code in a lane can reach and leave behind, in each form of containment that works here."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from torchport_checks.containment import (
    PROCESS_GROUP,
    Containment,
    Scratch,
    available,
    forms,
    hidden,
)
from torchport_checks.lanes import Lane, LaneFailure, RemoteError
from torchport_checks.verdicts import Category
from torchport_checks.worker.protocol import Array

FORMS = ["bubblewrap", "namespaces", "process group"]
NAMESPACES = FORMS[:2]


def form_named(name: str) -> Containment:
    """The form, where it works; else the test is skipped, and says so."""
    for form in (*forms(), PROCESS_GROUP):
        if form.name == name and form.works():
            return form
    pytest.skip(f"{name} does not work on this machine: not installed, or forbidden")


@pytest.fixture(scope="module", params=FORMS)
def lane(request: pytest.FixtureRequest) -> Iterator[Lane]:
    """A lane in each form, with small limits."""
    lane = Lane("torch", sys.executable, memory_mb=2048, disk_mb=64,
                containment=form_named(request.param))  # fmt: skip
    yield lane
    lane.close()


Ask = Callable[..., Any]


@pytest.fixture
def ask(lane: Lane, tmp_path: Path) -> Ask:
    """`ask(code, timeout=20)`: runs `code` in the lane and returns what it leaves in `answer`."""

    def run(code: str, timeout: float = 20) -> Any:
        text = f"{textwrap.dedent(code)}\nraise RuntimeError(repr(answer))\n"
        source = Array("uint8", np.frombuffer(text.encode(), np.uint8))
        with pytest.raises(RemoteError) as caught:
            lane.request("load", timeout=timeout, path=str(tmp_path / "code.py"), source=source)
        assert caught.value.type == "RuntimeError", f"{caught.value}\n{caught.value.traceback}"
        return ast.literal_eval(caught.value.message)

    return run


def test_the_strongest_that_works_is_used() -> None:
    found = next((form for form in (*forms(), PROCESS_GROUP) if form.works()), None)
    assert found is not None and found.name == available()[0].name
    assert available()[-1] is PROCESS_GROUP


def test_a_lane_says_what_contains_it(lane: Lane) -> None:
    lane.hello()
    info = lane.known_info()
    assert info is not None
    assert info.containment == lane.containment
    assert info.containment in FORMS


def test_a_form_that_does_not_start_the_lane_gives_way() -> None:
    lane = Lane("torch", sys.executable, containment=Containment("namespaces", lambda _: ["false"]))
    assert lane.hello()["device"] == "cpu"
    assert lane.containment == "process group"
    lane.close()


def test_off() -> None:
    lane = Lane("torch", sys.executable, containment="off")
    lane.hello()
    assert lane.containment == "process group"
    lane.close()


REACHED = """
    import os, socket
    def tries(function, *arguments):
        try:
            function(*arguments)
            return True
        except OSError:
            return False
"""


def test_the_network_is_out_of_reach(lane: Lane, ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        reached = ask(f"{REACHED}    answer = tries(socket.create_connection, {address!r}, 5)")
    assert reached is (lane.containment == "process group")


def test_other_processes_are_out_of_reach(lane: Lane, ask: Ask) -> None:
    me = os.getpid()
    code = f"{REACHED}    answer = [tries(os.kill, {me}, 0), tries(open, '/proc/{me}/environ')]"
    inside = lane.containment == "process group"
    assert ask(code) == [inside, inside and sys.platform == "linux"]


def test_files_of_others_are_read_only(lane: Lane, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("as it was")
    paths = [str(tmp_path / "there"), str(tmp_path / "new"), str(Path.home() / "torchport-new")]
    code = f"{REACHED}    answer = [tries(open, path, 'a') for path in {paths[:2]}]"
    assert ask(code) == [lane.containment != "bubblewrap"] * 2
    assert (tmp_path / "there").read_text() == "as it was"
    assert ask(f"answer = open({paths[0]!r}).read()") == "as it was"


WRITABLE = """
    import multiprocessing.shared_memory, os, tempfile
    with open("here", "w") as file: file.write("x")
    with tempfile.TemporaryFile() as file: file.write(b"x")
    os.makedirs(os.path.join(os.environ["TORCHINDUCTOR_CACHE_DIR"], "x"))
    shared = multiprocessing.shared_memory.SharedMemory(create=True, size=64)
    shared.close(); shared.unlink()
    answer = os.listdir()
"""


def test_its_own_directory_is_writable_and_empty_for_each_pair(ask: Ask) -> None:
    assert ask(WRITABLE) == ["here"]
    assert ask("import os; answer = os.listdir()") == []


def test_secrets_are_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".ssh/id_ed25519", ".netrc", ".config/gh/hosts.yml", ".cache/huggingface/token"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret")
    (tmp_path / ".cache" / "model.bin").write_text("kept")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert {tmp_path / ".ssh", tmp_path / ".netrc"} <= set(hidden())
    form = form_named("bubblewrap")
    scratch = Scratch("test")
    found = subprocess.run(
        [*form.wrap(scratch.path), "sh", "-c", f"cd {tmp_path}; cat .netrc .config/gh/* .ssh/* "
         ".cache/huggingface/token .cache/model.bin 2> /dev/null"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    scratch.close()
    assert found.stdout == "kept"


ENDINGS = [
    ("a fault in native code", "import ctypes; ctypes.string_at(0)", "SIGSEGV, a fault in native"),
    ("a signal from itself", "import os; os.kill(os.getpid(), 9)", "SIGKILL"),
    ("a signal to its group", "import os; os.killpg(0, 15)", "SIGTERM"),
    ("an exit code", "import os; os._exit(7)", "exit code 7"),
    ("more processes than it may", "import os, time\nfor _ in range(100): os.fork() or time.sleep(60)\ntime.sleep(60)", "more than 64 processes"),
    ("more files than it may",
     "n = 0\nwhile True:\n    n += 1; open(str(n), 'wb').write(bytes(2**20))",
     "more than 64 MiB of files"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "message"), [e[1:] for e in ENDINGS], ids=[e[0] for e in ENDINGS])
def test_how_it_ended_is_told(lane: Lane, ask: Ask, code: str, message: str) -> None:
    ask("answer = 1")  # started before the clock of the next request
    source = Array("uint8", np.frombuffer(code.encode(), np.uint8))
    with pytest.raises(LaneFailure) as caught:
        lane.request("load", timeout=60, path="code.py", source=source)
    assert caught.value.category is Category.CRASH
    assert message in str(caught.value)
    assert ask("answer = 'works'") == "works"


# Leaves a process that is in no group and under no parent of the lane's.
ESCAPE = """
    import os, subprocess, sys
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "{seconds}"])
        os._exit(0)
    os.wait()
"""


def running(seconds: int) -> list[psutil.Process]:
    """The processes that `ESCAPE` has left."""
    return [p for p in psutil.process_iter(["cmdline"])
            if p.info["cmdline"] == ["sleep", str(seconds)]]  # fmt: skip


def begins(seconds: int) -> bool:
    """Whether there is such a process, waiting some seconds until it has become `sleep`."""
    deadline = time.monotonic() + 10
    while not running(seconds) and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(running(seconds))


def ends(seconds: int) -> bool:
    """Whether no such process is left, waiting some seconds for the last to go."""
    deadline = time.monotonic() + 10
    while running(seconds) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(seconds)


def test_what_escaped_ends_with_the_worker(lane: Lane, ask: Ask, tmp_path: Path) -> None:
    ask("answer = 1")
    code = textwrap.dedent(ESCAPE).format(seconds=86411) + "os._exit(0)\n"
    source = Array("uint8", np.frombuffer(code.encode(), np.uint8))
    with pytest.raises(LaneFailure, match="exit code 0"):
        lane.request("load", timeout=20, path="code.py", source=source)
    assert running(86411) == []


def test_what_escaped_ends_with_the_pair(ask: Ask) -> None:
    assert ask(f"{ESCAPE}    answer = 1".format(seconds=86412)) == 1
    assert begins(86412)
    assert ask("answer = 2") == 2
    assert running(86412) == []


@pytest.mark.parametrize("name", FORMS)
def test_nothing_outlives_a_checker_that_was_killed(name: str, tmp_path: Path) -> None:
    seconds = 86420 + FORMS.index(name)
    escape = textwrap.dedent(ESCAPE).format(seconds=seconds)
    program = f"""
        import os, sys, numpy as np
        from torchport_checks.containment import PROCESS_GROUP, forms
        from torchport_checks.lanes import Lane
        from torchport_checks.worker.protocol import Array
        found = next(f for f in (*forms(), PROCESS_GROUP) if f.name == {name!r} and f.works())
        lane = Lane("torch", sys.executable, containment=found)
        source = Array("uint8", np.frombuffer({escape.encode()!r}, np.uint8))
        lane.request("load", timeout=60, path="code.py", source=source)
        print(lane.pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    form_named(name)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert ends(seconds)
    first, deadline = int(result.stdout), time.monotonic() + 10
    while psutil.pid_exists(first) and psutil.Process(first).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the lane outlived its checker"
        time.sleep(0.05)


MAKES = """
    import os, sys
    from torchport_checks.containment import Scratch
    scratch = Scratch("test")
    print(scratch.path, flush=True)
    sys.stdin.read()
    os._exit(0)
"""


def test_only_directories_that_nobody_holds_are_removed(tmp_path: Path) -> None:
    def make() -> tuple[Path, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(MAKES)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
        assert process.stdout is not None
        return Path(process.stdout.readline().strip()), process

    (held, holder), (left, leaver), (young, other) = make(), make(), make()
    for process in (leaver, other):
        process.communicate()
    for old in (held, left):
        (old / "work" / "large").write_bytes(bytes(1000))
        os.utime(old, (0, 0))
    last, sweeper = make()
    # The young one may be in the making, before its owner has locked it.
    assert {path: path.exists() for path in (held, left, young, last)} == {
        held: True, left: False, young: True, last: True,
    }  # fmt: skip
    for process in (holder, sweeper):
        process.communicate()
