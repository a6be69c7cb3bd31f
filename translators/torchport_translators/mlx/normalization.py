"""Normalization as functions, in torch's axis order.

torch updates `running_mean` and `running_var` in place while training; here they are only read.
"""

from __future__ import annotations

import math

import mlx.core as mx

from torchport_translators.catalogue import ports


def _scale_channels(input, weight=None, bias=None):
    """An affine map with one weight and bias for each channel of axis 1."""
    shape = (-1, *[1] * (input.ndim - 2))
    if weight is not None:
        input = input * weight.reshape(shape)
    return input if bias is None else input + bias.reshape(shape)


@ports("torch.nn.functional.layer_norm", "torch.layer_norm")
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    if len(normalized_shape) == 1:
        return mx.fast.layer_norm(input, weight, bias, eps)
    weight = weight if weight is None else weight.reshape(-1)
    bias = bias if bias is None else bias.reshape(-1)
    flat = input.flatten(-len(normalized_shape))
    return mx.fast.layer_norm(flat, weight, bias, eps).reshape(input.shape)


@ports("torch.nn.functional.rms_norm", "torch.rms_norm")
def rms_norm(input, normalized_shape, weight=None, eps=None):
    eps = mx.finfo(input.dtype).eps if eps is None else eps
    if len(normalized_shape) == 1:
        return mx.fast.rms_norm(input, weight, eps)
    weight = weight if weight is None else weight.reshape(-1)
    flat = input.flatten(-len(normalized_shape))
    return mx.fast.rms_norm(flat, weight, eps).reshape(input.shape)


@ports("torch.nn.functional.group_norm", "torch.group_norm")
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    return _scale_channels(_normalized_groups(input, num_groups, eps), weight, bias)


def _normalized_groups(input, num_groups, eps):
    """Groups of channels with mean 0 and variance 1.

    A mean of the channels' means rounds less than one sum over all elements of a group.
    """
    batch, channels, *lengths = input.shape
    groups = input.reshape(batch, num_groups, channels // num_groups, math.prod(lengths))
    centred = groups - _mean_of_means(groups)
    variance = _mean_of_means(mx.square(centred))
    return (centred * mx.rsqrt(variance + eps)).reshape(input.shape)


def _mean_of_means(groups):
    return mx.mean(mx.mean(groups, axis=-1, keepdims=True), axis=-2, keepdims=True)


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
        axes = (0, *range(2, input.ndim))
        mean = mx.mean(input, axis=axes, keepdims=True)
        var = mx.var(input, axis=axes, keepdims=True)
    else:
        shape = (-1, *[1] * (input.ndim - 2))
        mean, var = running_mean.reshape(shape), running_var.reshape(shape)
    return _scale_channels((input - mean) * mx.rsqrt(var + eps), weight, bias)


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
) -> tuple[mx.array, mx.array, mx.array]:
    """Batch normalization with the mean and 1 / deviation of the batch, which are empty if not used."""
    output = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return output, mx.zeros(0, input.dtype), mx.zeros(0, input.dtype)
    axes = (0, *range(2, input.ndim))
    return output, mx.mean(input, axes), mx.rsqrt(mx.var(input, axes) + eps)


@ports("torch.native_layer_norm")
def native_layer_norm(
    input, normalized_shape, weight, bias, eps
) -> tuple[mx.array, mx.array, mx.array]:
    """Layer normalization with the mean and 1 / deviation that it takes."""
    axis = -1 if len(normalized_shape) == 1 else tuple(range(-len(normalized_shape), 0))
    return (
        layer_norm(input, normalized_shape, weight, bias, eps),
        mx.mean(input, axis=axis, keepdims=True),
        mx.rsqrt(mx.var(input, axis=axis, keepdims=True) + eps),
    )


@ports("torch.native_group_norm")
def native_group_norm(
    input, weight, bias, N, C, HxW, group, eps
) -> tuple[mx.array, mx.array, mx.array]:
    """Group normalization with the mean and 1 / deviation of each image's groups."""
    groups = input.reshape(N, group, C // group * HxW)
    mean, scale = mx.mean(groups, 2), mx.rsqrt(mx.var(groups, 2) + eps)
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
    output = mx.fast.layer_norm(input.flatten(2), None, None, eps).reshape(input.shape)
    return _scale_channels(output, weight, bias)


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
    widths = [(0, 0), (size // 2, (size - 1) // 2), *[(0, 0)] * (input.ndim - 2)]
    squares = mx.pad(mx.square(input), widths)
    total = sum(squares[:, i : i + input.shape[1]] for i in range(size))
    return input / (total * (alpha / size) + k) ** beta
