"""Input that nobody would wish for: each gets a clear message and an exit code, nothing hangs, and
nothing is half written."""

from __future__ import annotations

import codecs
import errno
import json
import os
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from torchport.cli import cli
from torchport_translators import files

Run = Callable[..., Result]

FUNCTION = "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.exp(x)\n"
LATIN_1 = "# Grüße\n" + FUNCTION


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("translate", ...)`, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, arguments, prog_name="torchport")


# Text that is not what it should be. No port is written.


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        pytest.param(b"", 0, "There is nothing to port in bad.py: it is empty.", id="empty"),
        pytest.param(b" \n\t\n", 0, "There is nothing to port in bad.py: it is empty.", id="blank"),
        pytest.param(b"x = 1\n", 0, "it does not use torch.", id="no torch"),
        pytest.param(bytes(range(256)) * 20, 2, "it holds NUL bytes", id="binary"),
        pytest.param(FUNCTION.encode("utf-16"), 2, "as binary files and UTF-16 do.", id="utf-16"),
        pytest.param(
            b"# -*- coding: klingon -*-\nimport torch\n",
            2,
            "bad.py declares the encoding 'klingon', which Python does not know.",
            id="unknown encoding",
        ),
        pytest.param(
            b"# coding: base64\nimport torch\n",
            2,
            "declares the encoding 'base64', which Python does not know.",
            id="not an encoding of text",
        ),
        pytest.param(
            b"# coding: ascii\nx = '\xff'\n", 2, "is not the ascii that it declares", id="wrong one"
        ),
        pytest.param(
            codecs.BOM_UTF8 + b"x = '\xff'\n",
            2,
            "is not the utf-8 that it declares",
            id="wrong mark",
        ),
        pytest.param(b"#" * (5 * 2**20 + 1), 2, "bad.py is larger than 5 MiB", id="too large"),
    ],
)
@pytest.mark.parametrize("command", ["translate", "port"])
def test_what_is_no_source(run: Run, command: str, content: bytes, code: int, says: str) -> None:
    Path("bad.py").write_bytes(content)
    result = run(command, "bad.py")
    assert result.exit_code == code, result.output
    assert says in " ".join(result.output.split())
    assert [p.name for p in Path().iterdir() if p.name != ".torchport"] == ["bad.py"]
    assert Path("bad.py").read_bytes() == content


def test_a_bad_file_stops_no_other(run: Run) -> None:
    Path("a.py").write_bytes(b"\0")
    Path("b.py").write_text(FUNCTION)
    result = run("translate", "a.py", "b.py")
    assert result.exit_code == 2
    assert "a.py is not a Python text" in result.stderr
    assert Path("b_jax.py").exists()


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        ("def g(:\n    return torch.sin(1\n", "bad.py:7:"),
        ("class\n", "bad.py:7:1"),
        ("x = (1,\n", "bad.py:7:"),
        ("'''never closed\n", "bad.py:7:"),
        ("<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n", "bad.py:7:1"),
    ],
)
def test_broken_syntax_is_kept_and_the_rest_is_ported(run: Run, broken: str, place: str) -> None:
    Path("bad.py").write_text(f"{FUNCTION}\n{broken}")
    result = run("translate", "bad.py")
    assert result.exit_code == 1
    assert place in result.stdout
    assert "[syntax]" in result.stdout
    port = Path("bad_jax.py").read_text()
    assert "return jnp.exp(x)\n" in port
    assert port.count(broken.splitlines()[0]) == 1


def test_a_file_nested_too_deeply_is_refused(run: Run) -> None:
    Path("bad.py").write_text(f"import torch\nx = torch.exp({'(' * 3000}1{')' * 3000})\n")
    result = run("translate", "bad.py")
    assert result.exit_code in (0, 1)
    assert result.exit_code == 0 or "[too-deep]" in result.stdout


# Encodings and line endings, which the port keeps


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        pytest.param(
            ("# -*- coding: latin-1 -*-\n" + LATIN_1).encode("latin-1"), "latin-1", id="pep 263"
        ),
        pytest.param(
            ("# vim: fileencoding=cp1252\n# €\n" + LATIN_1).encode("cp1252"), "cp1252", id="vim"
        ),
        pytest.param(codecs.BOM_UTF8 + LATIN_1.encode(), "utf-8-sig", id="byte order mark"),
        pytest.param(LATIN_1.encode(), "utf-8", id="utf-8"),
    ],
)
def test_the_encoding_is_kept(run: Run, content: bytes, encoding: str) -> None:
    Path("a.py").write_bytes(content)
    assert run("translate", "a.py").exit_code == 0
    port = Path("a_jax.py").read_bytes()
    assert "# Grüße" in port.decode(encoding)
    assert port.startswith(codecs.BOM_UTF8) == (encoding == "utf-8-sig")
    compile(port, "a_jax.py", "exec")
    assert "unchanged" in run("translate", "a.py").stdout  # and it is known again as its own


def test_latin_1_that_declares_nothing_is_told(run: Run) -> None:
    Path("a.py").write_bytes(LATIN_1.encode("latin-1"))
    result = run("translate", "a.py")
    assert result.exit_code == 0
    assert "a.py is not UTF-8 and declares no encoding" in result.stdout
    port = Path("a_jax.py").read_bytes()
    assert "# Grüße" in port.decode("utf-8")
    compile(port, "a_jax.py", "exec")


def test_crlf_is_kept_on_every_line(run: Run) -> None:
    Path("a.py").write_bytes(FUNCTION.replace("\n", "\r\n").encode())
    assert run("translate", "a.py").exit_code == 0
    port = Path("a_jax.py").read_bytes()
    assert port.count(b"\n") == port.count(b"\r\n") > 5
    assert run("translate", "a.py", "--stdout").stdout_bytes == port


def test_tabs_are_kept(run: Run) -> None:
    Path("a.py").write_text(FUNCTION.replace("    ", "\t"))
    assert run("translate", "a.py").exit_code == 0
    assert "\treturn jnp.exp(x)\n" in Path("a_jax.py").read_text()


def test_fifty_thousand_lines(run: Run) -> None:
    body = "".join(
        f"def f{i}(x: torch.Tensor):\n    y = torch.exp(x)\n    # {i}\n    return y.sum(1)\n\n"
        for i in range(10_000)
    )
    Path("a.py").write_text(f"import torch\n\n{body}")
    start = time.perf_counter()
    result = run("translate", "a.py")
    assert result.exit_code == 0, result.output[-1000:]
    assert time.perf_counter() - start < 60
    assert Path("a_jax.py").read_text().count("y = jnp.exp(x)\n") == 10_000


# Writing that fails: the message says why, and what was there is as it was.


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_full_disk_leaves_everything_as_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.py").write_text(FUNCTION)
    run("translate", "a.py")
    before = Path("a_jax.py").read_bytes()
    Path("a.py").write_text(FUNCTION + "\n\n# more\n")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    result = run("translate", "a.py")
    assert result.exit_code == 2
    assert (
        "a_jax.py cannot be written: No space left on device. Nothing was changed." in result.stderr
    )
    assert Path("a_jax.py").read_bytes() == before
    assert names() == ["a.py", "a_jax.py"]


def test_an_interrupt_while_writing_leaves_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.py").write_text(FUNCTION)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    result = run("translate", "a.py")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted.\n"
    assert names() == ["a.py"]


def test_a_file_where_a_folder_should_be(run: Run) -> None:
    Path("a.py").write_text(FUNCTION)
    Path("out").write_text("not a folder")
    result = run("translate", "a.py", "-o", "out")
    assert result.exit_code == 2
    assert "Nothing was changed." in result.stderr or "cannot be read" in result.stderr
    assert names() == ["a.py", "out"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser reads and writes everything")
@pytest.mark.parametrize("mode", ["unreadable file", "read-only folder"])
def test_permissions(run: Run, mode: str) -> None:
    Path("a.py").write_text(FUNCTION)
    changed = Path("a.py") if mode == "unreadable file" else Path()
    changed.chmod(0o000 if mode == "unreadable file" else 0o500)
    try:
        result = run("translate", "a.py")
    finally:
        changed.chmod(0o700)
    assert result.exit_code == 2
    assert "Permission denied" in result.stderr
    assert names() == ["a.py"]


@pytest.mark.parametrize(
    "make", [lambda: Path("a.py").mkdir(), lambda: Path("a.py").symlink_to("gone.py")]
)
def test_a_name_that_is_no_file(run: Run, make: Callable[[], None]) -> None:
    make()
    result = run("translate", "a.py")
    assert result.exit_code in (0, 2)
    assert names() == ["a.py"]


# Code that misbehaves when it is run: it costs its own verdict, and no other.

MISBEHAVING = {
    "loops": "    while True:\n        pass\n",
    "allocates": (
        "    held = []\n    while True:\n        held.append(torch.ones(4_000_000) + len(held))\n"
    ),
    "exits": "    import os\n    os._exit(3)\n",
    "prints": "    for i in range(200_000):\n        print('x' * 50, i)\n    return torch.exp(x)\n",
    "reads": "    input()\n    return torch.exp(x)\n",
    "behaves": "    return torch.exp(x)\n",
}


@pytest.fixture(scope="module")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What `torchport port` says of all of them in one run, by name."""
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("misbehaving")
    for name, body in MISBEHAVING.items():
        text = (
            f"import torch\n\n\n# torchport: check(x=f32[4])\ndef {name}(x: torch.Tensor):\n{body}"
        )
        (folder / f"{name}.py").write_text(text)
    start = time.perf_counter()
    result = CliRunner().invoke(
        cli,
        [
            "port",
            str(folder),
            "--json",
            "--quick",
            "--timeout",
            "15",
            "--memory",
            "2000",
            "-j",
            "1",
        ],
    )
    assert time.perf_counter() - start < 240
    data = json.loads(result.stdout)
    assert data["exit_code"] == result.exit_code == 1
    yield {Path(file["source"]).stem: file["verdict"] for file in data["files"]}


@pytest.mark.parametrize(
    ("name", "category", "says"),
    [
        ("loops", "TIMEOUT", "took longer than 15 s"),
        ("allocates", "MEMORY", "used more than"),
        ("exits", "CRASH", "ended with exit code 3"),
        ("reads", "", "EOF"),
    ],
)
def test_misbehaving_code_costs_its_verdict(
    misbehaving: dict[str, Any], name: str, category: str, says: str
) -> None:
    (definition,) = misbehaving[name]["definitions"]
    assert definition["status"] != "verified"
    assert not category or definition["category"] == category
    assert says in definition["message"]


@pytest.mark.parametrize("name", ["prints", "behaves"])
def test_and_nothing_else(misbehaving: dict[str, Any], name: str) -> None:
    (definition,) = misbehaving[name]["definitions"]
    assert definition["status"] == "verified", definition["message"]
    assert len(definition["output"]) < 100_000


# Frameworks that are not there


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter without any package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True, with_pip=False)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("how", ["bare", "gone"])
def test_a_missing_framework_is_named_with_what_to_do(
    run: Run, bare_python: Path, framework: str, how: str
) -> None:
    python = str(bare_python) if how == "bare" else "./gone/python"
    Path("pyproject.toml").write_text(f'[tool.torchport]\npython = {{{framework} = "{python}"}}\n')
    Path("a.py").write_text(
        f"{FUNCTION.replace('def', '# torchport: check(x=f32[4])' + chr(10) + 'def')}"
    )
    result = run("port", "a.py")
    assert result.exit_code == 2
    text = " ".join(result.stdout.split())
    assert "Nothing was checked" in text
    assert ("cannot import" if how == "bare" else "does not start") in text
    assert f"-m pip install {framework}" in text
    assert Path("a_jax.py").exists()  # it was ported: only the check needs frameworks
    assert not Path(".torchport/verdicts.sqlite3").exists()  # and nothing of it is remembered
