"""Lanes hold: whatever the code does, it costs one verdict, and the next check works."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from torchport_checks import Category, Checker, CheckOptions
from torchport_checks.lanes import Lane, LaneFailure, clean_environment

from .conftest import Check, write_pair

GOOD = "def good(x):\n    return x * 2\n"

HOSTILE = [
    ("loops for ever", "while True: pass", Category.TIMEOUT),
    ("allocates without bound", "kept = [bytearray(2**26)]\n    while True: kept.append(bytearray(2**26))",
     Category.MEMORY),
    ("calls os._exit", "import os; os._exit(0)", Category.CRASH),
    ("faults in native code", "import ctypes; ctypes.string_at(0)", Category.CRASH),
    ("kills itself", "import os; os.kill(os.getpid(), 9)", Category.CRASH),
    ("closes its pipes", "import os; os.closerange(3, 64); os._exit(3)", Category.CRASH),
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded() -> Checker:
    with Checker(CheckOptions(timeout=8, memory_mb=900, draws=("normal",)), store=False) as checker:
        yield checker


@pytest.mark.parametrize("side", ["torch", "jax"])
@pytest.mark.parametrize(
    ("code", "category"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE]
)
def test_hostile(
    guarded: Checker, tmp_path: Path, side: str, code: str, category: Category
) -> None:
    bad = f"# torchport: check(x=f32[2])\ndef bad(x):\n    {code}\n    return x\n"
    plain = "# torchport: check(x=f32[2])\ndef bad(x):\n    return x\n"
    texts = (bad, plain) if side == "torch" else (plain, bad)
    verdict = guarded.check(*write_pair(tmp_path, *(f"{GOOD}\n\n{text}" for text in texts)))
    assert (verdict.of("bad").status, verdict.of("bad").category) == ("error", category)
    assert f"The {side} side" in verdict.of("bad").message
    assert verdict.of("good").status == "verified"


RAISING = [
    ("sys.exit", "import sys; sys.exit(3)", "the code called sys.exit(3)"),
    ("an interrupt", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("an error whose message fails", "raise type('E', (Exception,), {'__str__': lambda s: 1 / 0})",
     "its message cannot be shown"),
    ("reading standard input", "input()", "EOFError"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "message"), [r[1:] for r in RAISING], ids=[r[0] for r in RAISING])
def test_raising_is_the_ports_fault(check: Check, code: str, message: str) -> None:
    verdict = check(GOOD, f"def good(x):\n    {code}\n").of("good")
    assert (verdict.status, verdict.category) == ("diverged", Category.PORT_ERROR)
    assert message in verdict.message


def test_megabytes_of_output_are_bounded(check: Check) -> None:
    port = "import os\ndef good(x):\n    os.write(1, b'noise ' * 10**6)\n    print('last'); 1 / 0\n"
    verdict = check(GOOD, port).of("good")
    assert verdict.category is Category.PORT_ERROR
    assert len(verdict.output) < 20_000
    port = "def good(x):\n    for _ in range(3000): print('x' * 1000)\n    return x * 2\n"
    assert check(GOOD, port).of("good").ok


def test_what_was_printed_before_a_crash_is_shown(guarded: Checker, tmp_path: Path) -> None:
    port = "import os\ndef good(x):\n    print('so far so good'); os._exit(1)\n"
    verdict = guarded.check(*write_pair(tmp_path, GOOD, port)).of("good")
    assert "so far so good" in verdict.output
    assert "exit code 1" in verdict.message


def test_a_file_that_hangs_on_import(guarded: Checker, tmp_path: Path) -> None:
    verdict = guarded.check(*write_pair(tmp_path, GOOD, "while True: pass\n"))
    assert (verdict.status, verdict.category) == ("error", Category.TIMEOUT)


UNREADABLE = [
    ("broken syntax", "def good(x:\n", "SyntaxError"),
    ("a missing module", "import no_such_module\n", "no_such_module"),
    ("an error", "1 / 0\n", "ZeroDivisionError"),
]


@pytest.mark.parametrize(
    ("text", "message"), [u[1:] for u in UNREADABLE], ids=[u[0] for u in UNREADABLE]
)
def test_a_port_that_cannot_be_imported(check: Check, text: str, message: str) -> None:
    verdict = check(GOOD, text)
    assert (verdict.status, verdict.category) == ("error", Category.LOAD)
    assert verdict.error.startswith("The port cannot be imported (model_jax.py:6): ")
    assert message in verdict.error


BYTES = [
    ("empty", b"", "not_run"),
    ("binary", bytes(range(256)), "error"),
    ("latin-1, undeclared", "NAME = 'caf\xe9'\n".encode("latin-1"), "error"),
    ("latin-1, declared", "# coding: latin-1\n# \xe9\ndef good(x):\n    return x * 2\n".encode("latin-1"),
     "verified"),
    ("CRLF and tabs", b"def good(x):\r\n\treturn x * 2\r\n", "verified"),
    ("a byte order mark", b"\xef\xbb\xbfdef good(x):\n    return x * 2\n", "verified"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), [b[1:] for b in BYTES], ids=[b[0] for b in BYTES])
def test_bytes(checker: Checker, tmp_path: Path, data: bytes, status: str) -> None:
    source, port = write_pair(tmp_path, GOOD, "")
    port.write_bytes(data)
    assert checker.check(source, port).status == status


def test_the_environment_holds_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "JAX_API_KEY", "ANYTHING"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("XLA_FLAGS", "--kept")
    environment = clean_environment("jax", "cpu")
    assert "secret" not in environment.values()
    assert environment["XLA_FLAGS"] == "--kept"
    assert environment["JAX_PLATFORMS"] == "cpu"


MISSING = [
    ("no such interpreter", "/no/such/python", "does not start"),
    ("no framework", "bare", "cannot import torch"),
]


@pytest.mark.parametrize(("kind", "message"), [m[1:] for m in MISSING], ids=[m[0] for m in MISSING])
def test_missing_framework(tmp_path: Path, kind: str, message: str) -> None:
    interpreter = kind
    if kind == "bare":  # an interpreter that sees numpy and no torch
        script = tmp_path / "python"
        hide = "import sys; sys.modules['torch'] = None; import runpy; sys.argv = sys.argv[1:]; "
        run = "runpy.run_path(sys.argv[0], run_name='__main__')"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{hide}{run}" "$@"\n')
        script.chmod(0o755)
        interpreter = str(script)
    with Checker(CheckOptions(torch_python=interpreter), store=False) as checker:
        verdict = checker.check(*write_pair(tmp_path, GOOD, GOOD))
    assert (verdict.status, verdict.category) == ("error", Category.FRAMEWORK)
    assert message in verdict.error
    assert "python -m pip install torch" in verdict.error
    assert interpreter in verdict.error


def test_a_closed_lane_leaves_no_process() -> None:
    lane = Lane("torch", sys.executable)
    lane.hello()
    assert lane.pid is not None
    worker = psutil.Process(lane.pid)
    lane.close()
    assert not worker.is_running()
    with pytest.raises(LaneFailure, match="closed"):
        lane.request("ping", timeout=5)


def test_a_worker_ends_with_its_checker(tmp_path: Path) -> None:
    program = """
        import os, sys
        from torchport_checks.lanes import Lane
        lane = Lane("torch", sys.executable)
        lane.hello()
        print(lane.pid, flush=True)
        os._exit(0)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    worker, deadline = int(result.stdout), time.monotonic() + 10
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker outlived its checker"
        time.sleep(0.1)
