"""The mistakes of records, found in ports."""

from __future__ import annotations

import pytest

from torchport_translators.bugs import Place, mistakes

SOURCE = """\
import torch

def spread(x: torch.Tensor):
    return torch.var(x * 2, dim=1)

def other(x: torch.Tensor):
    return x + 1
"""
PORT = """\
import jax.numpy as jnp

def spread(x):
    return jnp.var(x * 2, axis=1)

def other(x):
    return jnp.var(x)
"""
RIGHT = PORT.replace("axis=1", "axis=1, ddof=1")


@pytest.mark.parametrize(
    ("port", "name", "place", "found"),
    [
        (PORT, "spread", None, [("jax/var-correction", 4, "jnp.var(x * 2, axis=1, ddof=1)")]),
        (PORT, "spread", Place(4, range(4, 5)), [("jax/var-correction", 4, "jnp.var(x * 2, axis=1, ddof=1)")]),
        (PORT, "other", None, []),  # its original does not use torch.var
        (RIGHT, "spread", None, []),
        ("def (", "spread", None, []),
        ("", "spread", Place(4, range(400, 401)), []),
    ],
)  # fmt: skip
def test_found(
    port: str, name: str, place: Place | None, found: list[tuple[str, int, str]]
) -> None:
    known = mistakes(SOURCE, port, name, "jax", place)
    assert [(m.record.id, m.line, m.new) for m in known][:1] == found
