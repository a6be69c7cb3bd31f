"""Normalization as functions, in torch's axis order.

torch updates `running_mean` and `running_var` in place while training; here they are only read.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from torchport_translators.catalogue import ports


def _standardize(input, axis, eps):
    """Mean 0 and variance 1 along the axes; in float32 at least, as torch computes them."""
    output = input.astype(jnp.promote_types(input.dtype, jnp.float32))
    output -= jnp.mean(output, axis=axis, keepdims=True)
    output *= lax.rsqrt(jnp.mean(jnp.square(output), axis=axis, keepdims=True) + eps)
    return output.astype(input.dtype)


def _scale_channels(input, weight=None, bias=None):
    """An affine map with one weight and bias for each channel of axis 1."""
    shape = (-1, *[1] * (input.ndim - 2))
    if weight is not None:
        input *= weight.reshape(shape)
    if bias is not None:
        input += bias.reshape(shape)
    return input


@ports("torch.nn.functional.layer_norm", "torch.layer_norm")
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    axis = -1 if len(normalized_shape) == 1 else tuple(range(-len(normalized_shape), 0))
    output = _standardize(input, axis, eps)
    if weight is not None:
        output = output * weight
    return output if bias is None else output + bias


@ports("torch.nn.functional.rms_norm", "torch.rms_norm")
def rms_norm(input, normalized_shape, weight=None, eps=None):
    axis = -1 if len(normalized_shape) == 1 else tuple(range(-len(normalized_shape), 0))
    eps = jnp.finfo(input.dtype).eps if eps is None else eps
    output = input.astype(jnp.promote_types(input.dtype, jnp.float32))
    output *= lax.rsqrt(jnp.mean(jnp.square(output), axis=axis, keepdims=True) + eps)
    output = output.astype(input.dtype)
    return output if weight is None else output * weight


@ports("torch.nn.functional.group_norm", "torch.group_norm")
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    batch, channels, *spatial = input.shape
    groups = input.reshape(batch, num_groups, channels // num_groups, *spatial)
    groups = _standardize(groups, tuple(range(2, groups.ndim)), eps)
    return _scale_channels(groups.reshape(input.shape), weight, bias)


@ports("torch.nn.functional.batch_norm")
def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """By the batch's own statistics in training, by the running ones otherwise."""
    if training:
        output = _standardize(input, (0, *range(2, input.ndim)), eps)
    else:
        shape = (-1, *[1] * (input.ndim - 2))
        output = input - running_mean.reshape(shape)
        output = output * lax.rsqrt(running_var.reshape(shape) + eps)
    return _scale_channels(output, weight, bias)


@ports("torch.batch_norm")
def torch_batch_norm(
    input,
    weight,
    bias,
    running_mean,
    running_var,
    training,
    momentum,
    eps,
    cudnn_enabled=True,
):
    return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@ports("torch.native_batch_norm")
def native_batch_norm(
    input, weight, bias, running_mean, running_var, training, momentum, eps
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch normalization with the mean and 1 / deviation of the batch, which are empty if not used."""
    output = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return output, jnp.zeros(0, input.dtype), jnp.zeros(0, input.dtype)
    axes = (0, *range(2, input.ndim))
    return output, jnp.mean(input, axes), lax.rsqrt(jnp.var(input, axes) + eps)


@ports("torch.native_layer_norm")
def native_layer_norm(
    input, normalized_shape, weight, bias, eps
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Layer normalization with the mean and 1 / deviation that it takes."""
    axis = -1 if len(normalized_shape) == 1 else tuple(range(-len(normalized_shape), 0))
    return (
        layer_norm(input, normalized_shape, weight, bias, eps),
        jnp.mean(input, axis=axis, keepdims=True),
        lax.rsqrt(jnp.var(input, axis=axis, keepdims=True) + eps),
    )


@ports("torch.native_group_norm")
def native_group_norm(
    input, weight, bias, N, C, HxW, group, eps
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Group normalization with the mean and 1 / deviation of each image's groups."""
    groups = input.reshape(N, group, C // group * HxW)
    mean, scale = jnp.mean(groups, 2), lax.rsqrt(jnp.var(groups, 2) + eps)
    return group_norm(input, group, weight, bias, eps), mean, scale


@ports("torch.nn.functional.instance_norm")
def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """By each image's own statistics, or by the running ones."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    return _scale_channels(_standardize(input, tuple(range(2, input.ndim)), eps), weight, bias)


@ports("torch.instance_norm")
def torch_instance_norm(
    input,
    weight,
    bias,
    running_mean,
    running_var,
    use_input_stats,
    momentum,
    eps,
    cudnn_enabled=True,
):
    return instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


@ports("torch.nn.functional.local_response_norm")
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """Over `size` neighbouring channels of axis 1; those beyond the ends count as 0."""
    window = [1] * input.ndim
    window[1] = size
    padding = [(0, 0)] * input.ndim
    padding[1] = (size // 2, (size - 1) // 2)
    total = lax.reduce_window(jnp.square(input), 0.0, lax.add, window, [1] * input.ndim, padding)
    return input / (total * (alpha / size) + k) ** beta
