"""Boolean indices, which MLX does not read with."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports


@ports("torch.Tensor.__getitem__", jit=False)
def select(input, mask: mx.array):
    """The elements or rows at which a mask is true: how many is known once it is evaluated."""
    if mask.ndim > 1:
        input = input.reshape(-1, *input.shape[mask.ndim :])
    return input[mx.array(np.flatnonzero(mask))]
