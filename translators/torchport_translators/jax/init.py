"""Initialisers: torch.nn.init, each giving the new value of a tensor.

`in_axis` and `out_axis` say where a weight has its inputs and outputs: torch's layout (out, in,
*kernel) unless told otherwise; a flax kernel (*kernel, in, out) has them at -2 and -1.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from torchport_translators.catalogue import ports


@ports("torch.nn.init.zeros_")
def zeros_(tensor):
    return jnp.zeros_like(tensor)


@ports("torch.nn.init.ones_")
def ones_(tensor):
    return jnp.ones_like(tensor)


@ports("torch.nn.init.constant_", "torch.nn.init.constant")
def constant_(tensor, val):
    return jnp.full_like(tensor, val)


@ports("torch.nn.init.uniform_", "torch.nn.init.uniform")
def uniform_(tensor, a=0.0, b=1.0, *, rngs: nnx.Rngs):
    return jax.random.uniform(rngs(), tensor.shape, tensor.dtype, a, b)


@ports("torch.nn.init.normal_", "torch.nn.init.normal")
def normal_(tensor, mean=0.0, std=1.0, *, rngs: nnx.Rngs):
    if mean == 0:
        return nnx.initializers.normal(std)(rngs(), tensor.shape, tensor.dtype)
    return mean + std * jax.random.normal(rngs(), tensor.shape, tensor.dtype)


@ports("torch.nn.init.trunc_normal_")
def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, *, rngs: nnx.Rngs):
    """The bounds are values of the result; jax's are in standard deviations."""
    if mean == 0:
        return std * jax.random.truncated_normal(
            rngs(), a / std, b / std, tensor.shape, tensor.dtype
        )
    return mean + std * jax.random.truncated_normal(
        rngs(), (a - mean) / std, (b - mean) / std, tensor.shape, tensor.dtype
    )


@ports("torch.nn.init.xavier_uniform_", "torch.nn.init.xavier_uniform")
def xavier_uniform_(tensor, gain=1.0, *, in_axis=1, out_axis=0, rngs: nnx.Rngs):
    if gain == 1:
        return nnx.initializers.xavier_uniform(in_axis=in_axis, out_axis=out_axis)(
            rngs(), tensor.shape, tensor.dtype
        )
    return nnx.initializers.variance_scaling(
        gain**2, "fan_avg", "uniform", in_axis=in_axis, out_axis=out_axis
    )(rngs(), tensor.shape, tensor.dtype)


@ports("torch.nn.init.xavier_normal_", "torch.nn.init.xavier_normal")
def xavier_normal_(tensor, gain=1.0, *, in_axis=1, out_axis=0, rngs: nnx.Rngs):
    """jax's xavier_normal is a truncated normal; torch's is not."""
    return nnx.initializers.variance_scaling(
        1.0 if gain == 1 else gain**2, "fan_avg", "normal", in_axis=in_axis, out_axis=out_axis
    )(rngs(), tensor.shape, tensor.dtype)


@ports("torch.nn.init.kaiming_uniform_", "torch.nn.init.kaiming_uniform")
def kaiming_uniform_(
    tensor,
    a=0,
    mode="fan_in",
    nonlinearity="leaky_relu",
    *,
    in_axis=1,
    out_axis=0,
    rngs: nnx.Rngs,
):
    return nnx.initializers.variance_scaling(
        _gain_squared(nonlinearity, a), mode, "uniform", in_axis=in_axis, out_axis=out_axis
    )(rngs(), tensor.shape, tensor.dtype)


@ports("torch.nn.init.kaiming_normal_", "torch.nn.init.kaiming_normal")
def kaiming_normal_(
    tensor,
    a=0,
    mode="fan_in",
    nonlinearity="leaky_relu",
    *,
    in_axis=1,
    out_axis=0,
    rngs: nnx.Rngs,
):
    """jax's kaiming_normal is a truncated normal; torch's is not."""
    return nnx.initializers.variance_scaling(
        _gain_squared(nonlinearity, a), mode, "normal", in_axis=in_axis, out_axis=out_axis
    )(rngs(), tensor.shape, tensor.dtype)


def _gain_squared(nonlinearity, a):
    if nonlinearity == "relu" or (nonlinearity == "leaky_relu" and a == 0):
        return 2.0
    if nonlinearity == "leaky_relu":
        return 2 / (1 + a**2)
    return calculate_gain(nonlinearity) ** 2


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
def orthogonal_(tensor, gain=1.0, *, in_axis=1, out_axis=0, rngs: nnx.Rngs):
    """Rows or columns of the matrix of outputs by everything else are orthonormal, times gain."""
    return nnx.initializers.orthogonal(scale=gain, column_axis=out_axis)(
        rngs(), tensor.shape, tensor.dtype
    )


@ports("torch.nn.init.eye_", "torch.nn.init.eye")
def eye_(tensor):
    return jnp.eye(*tensor.shape, dtype=tensor.dtype)


@ports("torch.nn.init.dirac_", "torch.nn.init.dirac")
def dirac_(tensor, groups=1, *, in_axis=1, out_axis=0):
    """Each group's first outputs are its inputs: one at the middle of the kernel."""
    weight = jnp.moveaxis(jnp.zeros_like(tensor), (out_axis, in_axis), (0, 1))
    outputs, inputs, *kernel = weight.shape
    channel = jnp.arange(min(outputs // groups, inputs))
    output = jnp.arange(groups)[:, None] * (outputs // groups) + channel
    middle = tuple(size // 2 for size in kernel)
    return jnp.moveaxis(weight.at[output, channel, *middle].set(1), (0, 1), (out_axis, in_axis))


@ports("torch.nn.init.sparse_", "torch.nn.init.sparse")
def sparse_(tensor, sparsity, std=0.01, *, in_axis=1, out_axis=0, rngs: nnx.Rngs):
    """N(0, std), but a share of each input's weights is zero."""
    rank = jax.random.uniform(rngs(), tensor.shape).argsort(out_axis).argsort(out_axis)
    kept = rank >= math.ceil(sparsity * tensor.shape[out_axis])
    return jnp.where(kept, std * jax.random.normal(rngs(), tensor.shape, tensor.dtype), 0)
