"""Lanes shared by the tests: starting a framework takes seconds, and none of them needs its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from torchport_checks import Checker, CheckOptions, Verdict

# Both frameworks would take every core for tensors of a few numbers.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TORCH = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n\n"
JAX = "import jax\nimport jax.numpy as jnp\nfrom flax import nnx\n\n\n"

Check = Callable[..., Verdict]


@pytest.fixture(scope="session")
def checker() -> Iterator[Checker]:
    """A checker that stores nothing, with lanes for the whole session."""
    with Checker(CheckOptions(timeout=60), store=False) as checker:
        yield checker


@pytest.fixture
def check(checker: Checker, tmp_path: Path) -> Check:
    """`check(source, port, **arguments)`, of two texts; the imports are written for them."""

    def run(source: str, port: str, **arguments: object) -> Verdict:
        return checker.check(*write_pair(tmp_path, source, port), **arguments)  # type: ignore[arg-type]

    return run


def write_pair(folder: Path, source: str, port: str) -> tuple[Path, Path]:
    """Both texts as files in `folder`, with the usual imports above them."""
    original, ported = folder / "model.py", folder / "model_jax.py"
    original.write_text(TORCH + dedent(source), encoding="utf-8")
    ported.write_text(JAX + dedent(port), encoding="utf-8")
    return original, ported
