"""Boolean indices, which MLX does not read with."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports


@ports("torch.Tensor.__getitem__", jit=False)
def select(input, mask: mx.array):
    """The elements or rows at which a mask is true: how many is known once it is evaluated."""
    if not isinstance(mask, mx.array) or mask.dtype != mx.bool_:
        return input[mask]
    if mask.ndim > 1:
        input = input.reshape(-1, *input.shape[mask.ndim :])
    return input[mx.array(np.flatnonzero(mask))]


@ports("torch.Tensor.__setitem__")
def put(input, mask: mx.array, value):
    """The array with a number, or one value for each, where a mask of its first axes is true."""
    if mask.dtype != mx.bool_:
        output = mx.array(input)
        output[mask] = value
        return output
    rows = mask.reshape(*mask.shape, *[1] * (input.ndim - mask.ndim))
    if isinstance(value, mx.array) and value.ndim > 0 and value.shape[0] != 1:
        counts = mx.cumsum(mask.reshape(-1).astype(mx.int32))
        places = mx.stop_gradient(mx.maximum(counts - 1, 0))
        value = value[places].reshape(*mask.shape, *value.shape[1:])
    return mx.where(rows, value, input).astype(input.dtype)
