"""Convolutions, linear and bilinear maps, and sliding windows, in torch's axis order."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from torchport_translators.catalogue import ports


def _per_axis(value, rank):
    """One number for each spatial axis, from a number or a sequence of one or of all."""
    return (value,) * rank if isinstance(value, int) else tuple(value) * (rank // len(value))


def _conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution of (batch, channels, *spatial), the batch optional, by torch's weight."""
    if input.ndim < weight.ndim:
        return _conv(input[None], weight, bias, stride, padding, dilation, groups)[0]
    rank = weight.ndim - 2
    if isinstance(padding, str):
        padding = padding.upper()
    else:
        padding = [(p, p) for p in _per_axis(padding, rank)]
    output = lax.conv_general_dilated(
        input,
        weight,
        window_strides=_per_axis(stride, rank),
        padding=padding,
        rhs_dilation=_per_axis(dilation, rank),
        feature_group_count=groups,
    )
    return output if bias is None else output + bias.reshape(-1, *[1] * rank)


@ports("torch.nn.functional.conv1d", "torch.conv1d")
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _conv(
        input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


@ports("torch.nn.functional.conv2d", "torch.conv2d")
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _conv(
        input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


@ports("torch.nn.functional.conv3d", "torch.conv3d")
def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return _conv(
        input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def _conv_transpose(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The gradient of a convolution: the input, spread by the stride, under the flipped kernel."""
    if input.ndim < weight.ndim:
        return _conv_transpose(
            input[None], weight, bias, stride, padding, output_padding, groups, dilation
        )[0]
    rank = weight.ndim - 2
    in_channels, group_outputs, *kernel = weight.shape
    dilation = _per_axis(dilation, rank)
    padding = [
        (d * (k - 1) - p, d * (k - 1) - p + extra)
        for k, d, p, extra in zip(
            kernel,
            dilation,
            _per_axis(padding, rank),
            _per_axis(output_padding, rank),
            strict=True,
        )
    ]
    weight = weight.reshape(groups, in_channels // groups, group_outputs, *kernel)
    weight = weight.swapaxes(1, 2).reshape(-1, in_channels // groups, *kernel)
    output = lax.conv_general_dilated(
        input,
        jnp.flip(weight, range(2, rank + 2)),
        window_strides=(1,) * rank,
        padding=padding,
        lhs_dilation=_per_axis(stride, rank),
        rhs_dilation=dilation,
        feature_group_count=groups,
    )
    return output if bias is None else output + bias.reshape(-1, *[1] * rank)


@ports("torch.nn.functional.conv_transpose1d", "torch.conv_transpose1d")
def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    return _conv_transpose(
        input,
        weight,
        bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


@ports("torch.nn.functional.conv_transpose2d", "torch.conv_transpose2d")
def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    return _conv_transpose(
        input,
        weight,
        bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


@ports("torch.nn.functional.conv_transpose3d", "torch.conv_transpose3d")
def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    return _conv_transpose(
        input,
        weight,
        bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


@ports("torch.convolution")
def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    if transposed:
        return _conv_transpose(
            input,
            weight,
            bias,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            dilation=dilation,
        )
    return _conv(
        input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


@ports("torch.conv_tbc", "torch.nn.functional.conv_tbc")
def conv_tbc(input, weight, bias, pad=0):
    """Convolution of (time, batch, channels) by a kernel (width, in, out)."""
    output = lax.conv_general_dilated(
        input, weight, (1,), [(pad, pad)], dimension_numbers=("WNC", "WIO", "WNC")
    )
    return output + bias


@ports("torch.nn.functional.linear")
def linear(input, weight, bias=None):
    if bias is None:
        return input @ weight.T
    return input @ weight.T + bias


@ports("torch.nn.functional.bilinear", "torch.bilinear")
def bilinear(input1, input2, weight, bias=None):
    output = jnp.einsum("...i,oij,...j->...o", input1, weight, input2)
    return output if bias is None else output + bias


def _window_indices(length, kernel, stride, padding, dilation):
    """Where each window lies along an axis of the padded input: (windows, kernel)."""
    count = (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return jnp.arange(count)[:, None] * stride + jnp.arange(kernel) * dilation


@ports("torch.nn.functional.unfold")
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of (batch, channels, height, width) as columns."""
    kernel, dilation = _per_axis(kernel_size, 2), _per_axis(dilation, 2)
    padding, stride = _per_axis(padding, 2), _per_axis(stride, 2)
    rows, columns = map(_window_indices, input.shape[-2:], kernel, stride, padding, dilation)
    padded = jnp.pad(input, [(0, 0)] * (input.ndim - 2) + [(p, p) for p in padding])
    windows = padded[..., rows.T[:, None, :, None], columns.T[None, :, None, :]]
    *lead, channels, _, _ = input.shape
    return windows.reshape(
        *lead, channels * kernel[0] * kernel[1], rows.shape[0] * columns.shape[0]
    )


@ports("torch.nn.functional.fold")
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Sums the columns of `unfold` back into (batch, channels, height, width)."""
    size, kernel = _per_axis(output_size, 2), _per_axis(kernel_size, 2)
    padding, stride = _per_axis(padding, 2), _per_axis(stride, 2)
    rows, columns = map(_window_indices, size, kernel, stride, padding, _per_axis(dilation, 2))
    windows = input.reshape(*input.shape[:-2], -1, *kernel, rows.shape[0], columns.shape[0])
    padded = jnp.zeros(
        (*windows.shape[:-4], size[0] + 2 * padding[0], size[1] + 2 * padding[1]), input.dtype
    )
    padded = padded.at[..., rows.T[:, None, :, None], columns.T[None, :, None, :]].add(windows)
    return padded[..., padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]
