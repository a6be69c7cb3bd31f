"""The installed version of a target: rules that need what it lacks are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from torchport_translators.catalogue.load import catalogue
from torchport_translators.installed import Installed, ask, known, refused
from torchport_translators.translate import translate


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("target", ["jax", "mlx"])
def test_what_is_installed_here_has_all_that_rules_call(target: str) -> None:
    assert known(target) is None
    found = ask(target)
    assert found is not None and found.lacking == frozenset()
    assert known(target) == found
    assert refused(target, found) == {}


def test_a_rule_that_needs_what_is_lacking_is_refused() -> None:
    source = "import torch\n\n\ndef f(x):\n    return torch.sum(x) + torch.mean(x)\n"
    old = Installed("jax 0.1", frozenset(["jax.numpy.mean"]))
    result = translate(source, "jax", installed=old)
    assert [finding.message for finding in result.findings] == [
        "torch.mean: it needs jax.numpy.mean, which jax 0.1 lacks"
    ]
    assert "jnp.sum(x) + torch.mean(x)" in result.text
    assert refused("jax", old)["torch.mean"] == "jax.numpy.mean"


def test_what_a_helper_calls_counts() -> None:
    known = catalogue("jax")
    (rule,) = known.find("torch.nn.LSTM")
    assert "jax.lax.scan" in known.calls(rule)


def test_an_interpreter_without_the_target_is_not_known(tmp_path: Path) -> None:
    assert ask("jax", str(tmp_path / "bin" / "python")) is None


def test_a_damaged_cache_is_asked_again(cache: Path) -> None:
    found = ask("mlx", sys.executable)
    (file,) = (cache / "torchport" / "installed").iterdir()
    file.write_text("{", "utf-8")
    assert known("mlx") is None
    assert ask("mlx") == found
