"""Inputs of every dtype travel, run on both sides, and are judged by their own precision."""

from __future__ import annotations

import pytest

from .conftest import Check

SOURCE = "# torchport: check(x={}[4, 16])\ndef twice(x):\n    return x + x"
SOFTMAX = "# torchport: check(x={}[4, 16])\ndef soft(x):\n    return F.softmax(x, dim=-1)"
JAX_SOFTMAX = "def soft(x):\n    return jax.nn.softmax(x, axis=-1)"


@pytest.mark.parametrize(
    "dtype", ["bool", "u8", "i8", "i16", "i32", "i64", "f16", "bf16", "f32", "c64"]
)
def test_a_dtype_travels(check: Check, dtype: str) -> None:
    source = SOURCE.format(dtype)
    verdict = check(source, source).of("twice")
    assert verdict.ok, verdict.message


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_half_precision(check: Check, dtype: str) -> None:
    verdict = check(SOFTMAX.format(dtype), JAX_SOFTMAX).of("soft")
    assert verdict.ok, verdict.message
    wrong = check(SOFTMAX.format(dtype), JAX_SOFTMAX.replace("-1", "0")).of("soft")
    assert wrong.status == "diverged"
