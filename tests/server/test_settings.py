"""The client's settings over those of pyproject.toml; wrong ones are told and cost nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from torchport_server.settings import Settings, configuration_of, options_of, read_settings


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (None, ""),
        ({}, ""),
        ({"trace": {"server": "off"}}, ""),  # a client's own
        ({"check": {"onSave": False}, "inlayHints": True}, ""),
        ({"target": "tensorflow"}, "torchport.target = 'tensorflow'"),
        ({"check": {"timeout": 0}}, "torchport.check.timeout = 0"),
        ({"check": "yes"}, "torchport.check = 'yes'"),
    ],
)
def test_settings(section: Any, problem: str) -> None:
    settings, told = read_settings(section)
    assert problem in told
    assert bool(problem) == bool(told)
    if told:
        assert settings == Settings()


@pytest.mark.parametrize(
    ("section", "table", "torch", "jax"),
    [
        ({}, "", sys.executable, sys.executable),
        ({"interpreter": "/usr/bin/editor-python"}, "", "/usr/bin/editor-python", "/usr/bin/editor-python"),
        ({"interpreter": "/a/py"}, 'python.torch = "/b/py"', "/b/py", "/a/py"),
        ({"python": {"torch": "/c/py"}}, 'python.torch = "/b/py"', "/c/py", sys.executable),
    ],
)  # fmt: skip
def test_interpreters(section: Any, table: str, torch: str, jax: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.torchport]\n{table}\n")
    configuration, problem = configuration_of(tmp_path)
    assert problem == ""
    options = options_of(read_settings(section)[0], configuration)
    assert (options.torch_python, options.jax_python) == (torch, jax)


def test_a_wrong_pyproject_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.torchport]\ntarge = 'jax'\n")
    _, problem = configuration_of(tmp_path)
    assert "targe" in problem and str(tmp_path) in problem
