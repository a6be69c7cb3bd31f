"""Stored verdicts: found again when nothing has changed, never in the way when something is wrong."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from torchport_checks import Category, Checker, CheckOptions, Verdict
from torchport_checks import store as store_module
from torchport_checks.store import (
    Cleaned,
    StoreProblem,
    VerdictStore,
    content_key,
    file_hash,
    project_root,
)
from torchport_checks.verdicts import DefinitionVerdict

from .conftest import write_pair

SOURCE = "from numbers_beside import FACTOR\n\ndef scaled(x):\n    return x * FACTOR\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "numbers_beside.py").write_text("FACTOR = 2\n")
    return tmp_path


def test_an_unchanged_pair_is_not_run_again(project: Path) -> None:
    pair = write_pair(project, SOURCE, SOURCE)
    with Checker(CheckOptions(draws=("normal",))) as checker:
        first = checker.check(*pair)
        assert first.ok and not first.from_store
        assert [Path(path).name for path in first.dependencies] == ["numbers_beside.py"]
        again = checker.check(*pair)
        assert again.from_store
        assert again.definitions == first.definitions
        assert not checker.check(*pair, fresh=True).from_store

        # A file that both import is part of what was checked.
        (project / "numbers_beside.py").write_text("FACTOR = 3\n")
        assert not checker.check(*pair).from_store

        pair[1].write_text(pair[1].read_text() + "\n# edited\n")
        assert not checker.check(*pair).from_store
    # Other settings are another question.
    with Checker(CheckOptions(draws=("normal",), seed=1)) as checker:
        assert not checker.check(*pair).from_store
    assert (project / ".torchport" / ".gitignore").read_text() == "*\n"


def verdict(name: str = "f", category: Category | None = None) -> Verdict:
    definition = DefinitionVerdict(
        name=name, kind="function", source_line=1, status="verified", category=category, message=""
    )
    return Verdict(torchport="0", source="a.py", port="b.py", definitions=[definition])


def test_what_is_put_comes_back(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    assert store.get("key") is None
    store.put("key", verdict())
    found = store.get("key")
    assert found == verdict().model_copy(update={"from_store": True})
    assert store.get("other") is None


@pytest.mark.parametrize("category", ["FRAMEWORK", "TIMEOUT", "MEMORY", "CRASH"])
def test_passing_failures_are_not_kept(tmp_path: Path, category: str) -> None:
    store = VerdictStore(tmp_path)
    store.put("key", verdict(category=Category(category)))
    assert store.get("key") is None


def test_infinities_survive(tmp_path: Path) -> None:
    text = verdict().model_dump_json().replace('"abs":0.0', '"abs":"Infinity"', 1)
    assert Verdict.model_validate_json(text).definitions[0].largest.abs == float("inf")
    store = VerdictStore(tmp_path)
    store.put("key", Verdict.model_validate_json(text))
    found = store.get("key")
    assert found is not None
    assert found.definitions[0].largest.abs == float("inf")


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What can become of a file, by name."""
    yield "empty", b""
    yield "not a database", b"not a database at all, but long enough to be read" * 99
    with sqlite3.connect(":memory:") as other:
        other.execute("CREATE TABLE verdicts (name TEXT)")
        yield "another database", other.serialize()
    for size in range(1, len(data), 997):
        yield f"cut after {size} bytes", data[:size]
    # Every byte of the header, and places all over the rest.
    for place in (*range(100), *range(100, len(data), 131)):
        wrong = bytearray(data)
        wrong[place] ^= 0xFF
        yield f"another byte at {place}", bytes(wrong)
    for place in range(0, len(data), 4096):
        yield f"zeros from {place}", data[:place] + bytes(4096) + data[place + 4096 :]


def test_no_damage_stops_a_check_or_changes_a_verdict(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    known = {f"key{i}": verdict(f"f{i}") for i in range(9)}
    for key, value in known.items():
        store.put(key, value)
    for name, data in damaged(store.path.read_bytes()):
        store.path.write_bytes(data)
        for key, value in known.items():
            found = store.get(key)
            assert found is None or found.definitions == value.definitions, name
        store.put("new", verdict("g"))
        found = store.get("new")
        assert found is not None, name
        assert found.definitions[0].name == "g", name
        assert {path.name for path in store.path.parent.iterdir()} <= {
            ".gitignore", "verdicts.sqlite3", "verdicts.old"
        }, name  # fmt: skip


@pytest.mark.parametrize("name", ["verdicts.sqlite3-wal", "verdicts.sqlite3-journal"])
def test_a_foreign_log_beside_the_store(tmp_path: Path, name: str) -> None:
    store = VerdictStore(tmp_path)
    store.put("key", verdict())
    (store.path.parent / name).write_bytes(bytes(range(256)) * 40)
    assert store.get("key") in (None, verdict().model_copy(update={"from_store": True}))
    store.put("key", verdict("g"))
    assert store.get("key") is not None


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_dead_link(path: Path) -> None:
    path.symlink_to(path.parent / "absent" / "store")


@pytest.mark.parametrize("make", [make_folder, make_pipe, make_dead_link])
def test_something_else_in_the_place_of_the_store(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    store = VerdictStore(tmp_path)
    store.path.parent.mkdir()
    make(store.path)
    store.put("key", verdict())
    assert store.get("key") is None


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".torchport").touch()
    store = VerdictStore(tmp_path)
    store.put("key", verdict())
    assert store.get("key") is None


def started(root: Path, script: str) -> subprocess.Popen[str]:
    """A process that runs `script` with `store`, a store in `root`, and `verdict`."""
    begin = """
        import os, resource, sys
        from pathlib import Path
        from torchport_checks.store import VerdictStore
        from torchport_checks.verdicts import DefinitionVerdict, Verdict
        store = VerdictStore(Path(sys.argv[1]))
        def verdict(name):
            definition = DefinitionVerdict(
                name=name, kind="function", source_line=1, status="verified", message="m" * 5000
            )
            return Verdict(torchport="0", source="a.py", port="b.py", definitions=[definition])
        """
    return subprocess.Popen(
        [sys.executable, "-c", dedent(begin) + dedent(script), str(root)],
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output


def test_many_processes_at_once(tmp_path: Path) -> None:
    """Each finds what it stored, with others writing and reading, from the first moment on."""
    script = """
        me = sys.argv[0] + str(os.getpid())
        for turn in range(40):
            store.put(f"{me}-{turn}", verdict(me))
            store.put("shared", verdict(me))
            assert store.get(f"{me}-{turn}").definitions[0].name == me
            assert store.get("shared") is not None
        print(me)
        """
    processes = [started(tmp_path, script) for _ in range(4)]
    names = [finished(process).strip() for process in processes]
    store = VerdictStore(tmp_path)
    for name in names:
        for turn in range(40):
            found = store.get(f"{name}-{turn}")
            assert found is not None
            assert found.definitions[0].name == name


def test_a_process_killed_while_it_writes_loses_no_more_than_that(tmp_path: Path) -> None:
    script = """
        turn = 0
        while True:
            store.put(f"{turn}", verdict(f"{turn}"))
            print(turn, flush=True)
            turn += 1
        """
    store = VerdictStore(tmp_path)
    done = 0
    for _ in range(3):
        process = started(tmp_path, script)
        assert process.stdout is not None
        for _ in range(20):
            done = int(process.stdout.readline())
        process.kill()
        process.communicate()
        for turn in range(done + 1):
            found = store.get(str(turn))
            assert found is not None
            assert found.definitions[0].name == str(turn)


def test_a_writer_that_does_not_end_stops_nobody(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    store.put("key", verdict())
    with sqlite3.connect(store.path, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        store.put("other", verdict())
        assert store.get("other") is None
        assert store.get("key") is not None
        with pytest.raises(StoreProblem, match="locked"):
            store.clean()
    connection.close()
    store.put("other", verdict())
    assert store.get("other") is not None


def test_a_folder_that_cannot_be_written() -> None:
    """What is stored there is found; nothing is added, and nothing fails."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        store = VerdictStore(root)
        store.put("key", verdict())
        store.path.chmod(0o444)
        store.path.parent.chmod(0o555)
        script = """
            if os.getuid() == 0:
                os.setuid(65534)  # root may write everywhere
            store.put("other", verdict("g"))
            print(store.get("key") is not None, store.get("other") is not None)
            """
        try:
            assert finished(started(root, script)) == "True False\n"
        finally:
            store.path.parent.chmod(0o755)
        assert [path.name for path in sorted(store.path.parent.iterdir())] == [
            ".gitignore",
            "verdicts.sqlite3",
        ]


def test_a_full_disk(tmp_path: Path) -> None:
    """Simulated by a limit on the size of files: writes fail at every size from the first byte on."""
    script = """
        store.put("key", verdict("f"))
        for size in range(0, 60_000, 1_500):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            for turn in range(3):
                store.put(f"{size}-{turn}", verdict("g" * 5000))
                store.get(f"{size}-{turn}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.put("new", verdict("h"))
        print(store.get("key") is not None, store.get("new") is not None)
        """
    assert finished(started(tmp_path, script)) == "True True\n"


def age(store: VerdictStore, **days: float) -> None:
    """Make it so that verdicts were last used so many days ago."""
    with sqlite3.connect(store.path) as connection:
        for key, number in days.items():
            used = time.time() - number * 86400
            connection.execute("UPDATE verdicts SET used = ? WHERE key = ?", (used, key))
    connection.close()


def held(store: VerdictStore, *keys: str) -> list[str]:
    with sqlite3.connect(store.path) as connection:
        found = {key for (key,) in connection.execute("SELECT key FROM verdicts")}
    connection.close()
    return [key for key in keys if key in found]


def test_what_was_not_used_for_90_days_is_removed_when_something_is_put(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    for key in ("a", "b", "c"):
        store.put(key, verdict())
    age(store, a=91, b=91, c=89)
    assert store.get("b") is not None  # a look is a use
    store.put("new", verdict())
    assert held(store, "a", "b", "c", "new") == ["b", "c", "new"]


def test_above_its_size_the_longest_unused_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VerdictStore(tmp_path)
    large = random.Random(0).randbytes(30_000).hex()
    big = verdict().model_copy(update={"notes": [large]})
    keys = [f"k{i}" for i in range(8)]
    for key in keys:
        store.put(key, big)
    age(store, **{key: 10 - i for i, key in enumerate(keys)})
    before = store.path.stat().st_size
    monkeypatch.setattr(store_module, "MAX_BYTES", 2 * before)
    store.put("k8", big)
    assert held(store, *keys) == keys
    monkeypatch.setattr(store_module, "MAX_BYTES", before // 2)
    store.put("k9", verdict())
    left = held(store, *keys, "k8", "k9")
    assert left == [*keys, "k8", "k9"][-len(left) :]  # the last used ones
    assert 3 <= len(left) <= 5
    assert store.path.stat().st_size < before * 0.6


def test_cleaning(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    assert store.clean() == Cleaned(removed=0, kept=0, freed=0)
    for key in ("a", "b"):
        store.put(key, verdict())
    age(store, a=91)
    folder = store.path.parent
    (folder / "verdicts.old").write_bytes(bytes(10_000))
    (folder / "report.json").write_bytes(bytes(10_000))
    cleaned = store.clean()
    assert (cleaned.removed, cleaned.kept) == (1, 1)
    assert cleaned.freed >= 10_000
    assert store.get("b") is not None
    names = [".gitignore", "report.json", "verdicts.sqlite3"]
    assert sorted(path.name for path in folder.iterdir()) == names

    (folder / "runs" / "deep").mkdir(parents=True)
    (folder / "runs" / "deep" / "x.npz").write_bytes(bytes(10_000))
    cleaned = store.clean(everything=True)
    assert (cleaned.removed, cleaned.kept) == (1, 0)
    assert cleaned.freed >= 20_000
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "verdicts.sqlite3"]
    store.put("c", verdict())
    assert store.get("c") is not None


def test_a_store_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    store.put("key", verdict())
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version = 999")
    assert store.get("key") is None
    store.put("key", verdict())
    assert store.get("key") is not None


def test_many_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            store = VerdictStore(tmp_path)
            for turn in range(20):
                store.put(f"{number}-{turn}", verdict(f"f{number}"))
                found = store.get(f"{number}-{turn}")
                assert found is not None
                assert found.definitions[0].name == f"f{number}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_store_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process stores between the look at the version and the lock is kept."""
    store, original = VerdictStore(tmp_path), store_module._is_current
    asked: list[bool] = []

    def slow(connection: sqlite3.Connection) -> bool:
        current = original(connection)
        asked.append(current)
        if len(asked) == 1:
            VerdictStore(tmp_path).put("other", verdict())
        return current

    monkeypatch.setattr(store_module, "_is_current", slow)
    store.put("key", verdict())
    assert asked[0] is False
    assert store.get("other") is not None
    assert store.get("key") is not None


def test_keys_do_not_run_together() -> None:
    assert content_key("ab", "c") != content_key("a", "bc") != content_key("abc")
    assert content_key("a", b"b") == content_key(b"a", "b")


def test_the_project_is_the_nearest_marked_folder(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").touch()
    assert project_root(inner / "model.py") == tmp_path / "a"
    assert file_hash(tmp_path / "absent") == ""
