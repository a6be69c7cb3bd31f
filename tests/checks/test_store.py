"""Stored verdicts: found again when nothing has changed, never in the way when something is wrong."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from torchport_checks import Category, Checker, CheckOptions, Verdict
from torchport_checks import store as store_module
from torchport_checks.store import VerdictStore, content_key, file_hash, project_root
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


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to be read" * 99])
def test_a_damaged_store_is_moved_aside(tmp_path: Path, damage: bytes) -> None:
    store = VerdictStore(tmp_path)
    store.put("key", verdict())
    store.path.write_bytes(damage)
    assert store.get("key") is None
    store.put("key", verdict("g"))
    found = store.get("key")
    assert found is not None
    assert found.definitions[0].name == "g"


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
