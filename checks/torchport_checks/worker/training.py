"""What the training steps of all frameworks have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from .protocol import Array, cotangent, leaves

MOMENTUM = 0.9


def objective(output: Any) -> float:
    """The inner product of an output's arrays, as they travel, with the fixed cotangent."""
    arrays = [leaf for _, leaf in leaves(output) if isinstance(leaf, Array) and leaf.inexact]
    return float(
        sum(
            np.real(np.vdot(cotangent(i, a.shape).astype(np.float64), a.value))
            for i, a in enumerate(arrays)
        )
    )
