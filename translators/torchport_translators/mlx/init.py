"""Initialisers: torch.nn.init, each giving the new value of a tensor.

`in_axis` says where a weight has its inputs: torch's layout (out, in, *kernel) unless told otherwise;
that of the layers of MLX, which `nn.init` takes, is (out, *kernel, in).
"""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.random import _scaled_normal


@ports("torch.nn.init.zeros_")
def zeros_(tensor):
    return mx.zeros_like(tensor)


@ports("torch.nn.init.ones_")
def ones_(tensor):
    return mx.ones_like(tensor)


@ports("torch.nn.init.constant_", "torch.nn.init.constant")
def constant_(tensor, val):
    return mx.full(tensor.shape, val, tensor.dtype)


@ports("torch.nn.init.uniform_", "torch.nn.init.uniform")
def uniform_(tensor, a=0.0, b=1.0):
    return mx.random.uniform(low=a, high=b, shape=tensor.shape, dtype=tensor.dtype)


@ports("torch.nn.init.normal_", "torch.nn.init.normal")
def normal_(tensor, mean=0.0, std=1.0):
    return _scaled_normal(mean, std, tensor.shape, tensor.dtype)


@ports("torch.nn.init.trunc_normal_")
def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0):
    """The bounds are values of the result; those of mx.random are in standard deviations."""
    if mean == 0:
        return std * mx.random.truncated_normal(a / std, b / std, tensor.shape, tensor.dtype)
    return mean + std * mx.random.truncated_normal(
        (a - mean) / std, (b - mean) / std, tensor.shape, tensor.dtype
    )


def _fans(shape):
    """How many inputs each output has, and how many outputs each input."""
    return math.prod(shape) // shape[0], math.prod(shape) // shape[1]


@ports("torch.nn.init.xavier_uniform_", "torch.nn.init.xavier_uniform")
def xavier_uniform_(tensor, gain=1.0, *, in_axis=1):
    if in_axis == -1:
        return nn.init.glorot_uniform(tensor.dtype)(tensor, gain)
    bound = gain * math.sqrt(6 / sum(_fans(tensor.shape)))
    return mx.random.uniform(-bound, bound, tensor.shape, tensor.dtype)


@ports("torch.nn.init.xavier_normal_", "torch.nn.init.xavier_normal")
def xavier_normal_(tensor, gain=1.0, *, in_axis=1):
    if in_axis == -1:
        return nn.init.glorot_normal(tensor.dtype)(tensor, gain)
    std = gain * math.sqrt(2 / sum(_fans(tensor.shape)))
    return mx.random.normal(tensor.shape, dtype=tensor.dtype, scale=std)


@ports("torch.nn.init.kaiming_uniform_", "torch.nn.init.kaiming_uniform")
def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", *, in_axis=1):
    gain = calculate_gain(nonlinearity, a)
    if in_axis == -1:
        return nn.init.he_uniform(tensor.dtype)(tensor, mode, gain)
    bound = gain * math.sqrt(3 / _fans(tensor.shape)[0 if mode == "fan_in" else 1])
    return mx.random.uniform(-bound, bound, tensor.shape, tensor.dtype)


@ports("torch.nn.init.kaiming_normal_", "torch.nn.init.kaiming_normal")
def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", *, in_axis=1):
    gain = calculate_gain(nonlinearity, a)
    if in_axis == -1:
        return nn.init.he_normal(tensor.dtype)(tensor, mode, gain)
    std = gain / math.sqrt(_fans(tensor.shape)[0 if mode == "fan_in" else 1])
    return mx.random.normal(tensor.shape, dtype=tensor.dtype, scale=std)


@ports("torch.nn.init.calculate_gain")
def calculate_gain(nonlinearity, param=None) -> float:
    if nonlinearity == "relu":
        return math.sqrt(2)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity == "tanh":
        return 5 / 3
    if nonlinearity == "selu":
        return 0.75
    return 1.0


@ports("torch.nn.init.orthogonal_", "torch.nn.init.orthogonal")
def orthogonal_(tensor, gain=1.0):
    """Rows or columns of the matrix of outputs by everything else are orthonormal, times gain."""
    outputs, inputs = tensor.shape[0], tensor.size // tensor.shape[0]
    noise = mx.random.normal((max(outputs, inputs), min(outputs, inputs)))
    q, r = mx.linalg.qr(noise, stream=mx.cpu)
    q = gain * q * mx.sign(mx.diag(r))
    return (q if outputs >= inputs else q.T).reshape(tensor.shape).astype(tensor.dtype)


@ports("torch.nn.init.eye_", "torch.nn.init.eye")
def eye_(tensor):
    return mx.eye(*tensor.shape, dtype=tensor.dtype)


@ports("torch.nn.init.dirac_", "torch.nn.init.dirac")
def dirac_(tensor, groups=1, *, in_axis=1):
    """Each group's first outputs are its inputs: one at the middle of the kernel."""
    weight = mx.moveaxis(mx.zeros_like(tensor), in_axis, 1)
    outputs, inputs, *kernel = weight.shape
    channel = mx.arange(min(outputs // groups, inputs))
    output = mx.arange(groups)[:, None] * (outputs // groups) + channel
    weight[(output, channel, *(size // 2 for size in kernel))] = 1
    return mx.moveaxis(weight, 1, in_axis)


@ports("torch.nn.init.sparse_", "torch.nn.init.sparse")
def sparse_(tensor, sparsity, std=0.01):
    """N(0, std), but a share of each input's weights is zero."""
    order = mx.argsort(mx.random.uniform(shape=tensor.shape), axis=0)
    kept = mx.argsort(order, axis=0) >= math.ceil(sparsity * tensor.shape[0])
    return mx.where(kept, mx.random.normal(tensor.shape, dtype=tensor.dtype, scale=std), 0)
