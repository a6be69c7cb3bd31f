"""`import torchport`: small, typed, and without a framework."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import torchport

FRAMEWORKS = "{'torch', 'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'pydantic', 'rich', 'click'}"


def test_translate_gives_text_findings_and_coverage() -> None:
    result = torchport.translate("import torch\nprint(torch.ones(3).var(0))\n", to="jax")
    assert result.text == (
        "import jax.numpy as jnp\nprint(jnp.var(jnp.ones((3,)), axis=0, ddof=1))\n"
    )
    assert result.findings == ()
    assert result.coverage.ported == result.coverage.total > 0


def test_a_target_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="tensorflow"):
        torchport.translate("", to="tensorflow")


def test_check_takes_paths_as_strings(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        torchport.check(str(tmp_path / "a.py"), str(tmp_path / "a_jax.py"))


def test_transfer_weights_says_what_it_fills() -> None:
    with pytest.raises(TypeError, match=r"flax\.nnx or an mlx\.nn module"):
        torchport.transfer_weights({}, object())


@pytest.mark.parametrize("name", sorted(torchport.__all__))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(torchport, name) is not None
    assert name in dir(torchport)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="port_everything"):
        torchport.port_everything  # noqa: B018


@pytest.mark.parametrize(
    "statement",
    [
        "import torchport",
        "import torchport; torchport.translate('import torch\\ntorch.ones(3)')",
        "import torchport; torchport.transfer_weights",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    program = f"{statement}\nimport sys\nprint(sorted({FRAMEWORKS} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_importing_takes_no_time_to_speak_of() -> None:
    def seconds(program: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return time.perf_counter() - start

    bare = min(seconds("import pathlib, typing") for _ in range(5))
    ours = min(seconds("import torchport") for _ in range(5))
    assert ours - bare < 0.15
