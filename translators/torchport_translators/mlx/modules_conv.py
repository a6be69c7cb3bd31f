"""Convolutions: torch.nn modules on MLX's, in torch's axis order."""

from __future__ import annotations

import math
from functools import partial

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.convolution import (
    _conv_transpose,
    _convolve,
    _margins,
    _per_axis,
    fold,
    unfold,
)
from torchport_translators.mlx.vision import pad


@ports("torch.nn.Conv1d")
class Conv1d(nn.Conv1d):
    """nn.Conv1d over (batch, channels, length), with torch's initial bias."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding: int | tuple = 0,
        dilation=1,
        groups=1,
        bias=True,
        *,
        dtype=None,
    ):
        (kernel_size,), (stride,) = _per_axis(kernel_size, 1), _per_axis(stride, 1)
        (padding,), (dilation,) = _per_axis(padding, 1), _per_axis(dilation, 1)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        if bias:
            bound = self.weight[0].size ** -0.5
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.ndim == 2:
            return Conv1d.__call__(self, input[None])[0]
        return mx.moveaxis(super().__call__(mx.moveaxis(input, 1, -1)), -1, 1)


@ports("torch.nn.Conv1d")
class PaddedConv1d(Conv1d):
    """Conv1d that keeps the lengths, or pads by other than zeros."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        *,
        dtype=None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias, dtype=dtype
        )
        kernel_size, dilation = _per_axis(kernel_size, 1), _per_axis(dilation, 1)
        margins = reversed(_margins(padding, kernel_size, dilation))
        self.widths = tuple(width for margin in margins for width in margin)
        self.mode = "constant" if padding_mode == "zeros" else padding_mode

    def __call__(self, input):
        return super().__call__(pad(input, self.widths, self.mode))


@ports("torch.nn.Conv2d")
class Conv2d(nn.Conv2d):
    """nn.Conv2d over (batch, channels, height, width), with torch's initial bias."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding: int | tuple = 0,
        dilation=1,
        groups=1,
        bias=True,
        *,
        dtype=None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        if bias:
            bound = self.weight[0].size ** -0.5
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.ndim == 3:
            return Conv2d.__call__(self, input[None])[0]
        return mx.moveaxis(super().__call__(mx.moveaxis(input, 1, -1)), -1, 1)


@ports("torch.nn.Conv2d")
class PaddedConv2d(Conv2d):
    """Conv2d that keeps the lengths, or pads by other than zeros."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        *,
        dtype=None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias, dtype=dtype
        )
        kernel_size, dilation = _per_axis(kernel_size, 2), _per_axis(dilation, 2)
        margins = reversed(_margins(padding, kernel_size, dilation))
        self.widths = tuple(width for margin in margins for width in margin)
        self.mode = "constant" if padding_mode == "zeros" else padding_mode

    def __call__(self, input):
        return super().__call__(pad(input, self.widths, self.mode))


@ports("torch.nn.Conv3d")
class Conv3d(nn.Conv3d):
    """nn.Conv3d over (batch, channels, depth, height, width), with groups and torch's initial bias."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding: int | tuple = 0,
        dilation=1,
        groups=1,
        bias=True,
        *,
        dtype=None,
    ):
        super().__init__(
            in_channels // groups, out_channels, kernel_size, stride, padding, dilation, bias
        )
        self.groups = groups
        if bias:
            bound = self.weight[0].size ** -0.5
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.ndim == 4:
            return Conv3d.__call__(self, input[None])[0]
        x = _convolve(
            mx.moveaxis(input, 1, -1),
            self.weight,
            [(p, p) for p in self.padding],
            self.groups,
            stride=self.stride,
            kernel_dilation=self.dilation,
        )
        return mx.moveaxis(x + self.bias if "bias" in self else x, -1, 1)


@ports("torch.nn.Conv3d")
class PaddedConv3d(Conv3d):
    """Conv3d that keeps the lengths, or pads by other than zeros."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        *,
        dtype=None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias, dtype=dtype
        )
        kernel_size, dilation = _per_axis(kernel_size, 3), _per_axis(dilation, 3)
        margins = reversed(_margins(padding, kernel_size, dilation))
        self.widths = tuple(width for margin in margins for width in margin)
        self.mode = "constant" if padding_mode == "zeros" else padding_mode

    def __call__(self, input):
        return super().__call__(pad(input, self.widths, self.mode))


@ports("torch.nn.ConvTranspose1d")
class ConvTranspose1d(nn.Module):
    """Transposed convolution over (batch, channels, length); weight is (in, out / groups, *kernel)."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        *,
        dtype=mx.float32,
    ):
        super().__init__()
        shape = (in_channels, out_channels // groups, *_per_axis(kernel_size, 1))
        bound = math.prod(shape[1:]) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, shape, dtype)
        self.bias = mx.random.uniform(-bound, bound, (out_channels,), dtype) if bias else None
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.groups = groups
        self.dilation = dilation

    def __call__(self, input, output_size=None):
        return _conv_transpose(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
            output_size=output_size,
        )


@ports("torch.nn.ConvTranspose2d")
class ConvTranspose2d(nn.Module):
    """Transposed convolution over (batch, channels, height, width); weight is (in, out / groups, *kernel)."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        *,
        dtype=mx.float32,
    ):
        super().__init__()
        shape = (in_channels, out_channels // groups, *_per_axis(kernel_size, 2))
        bound = math.prod(shape[1:]) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, shape, dtype)
        self.bias = mx.random.uniform(-bound, bound, (out_channels,), dtype) if bias else None
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.groups = groups
        self.dilation = dilation

    def __call__(self, input, output_size=None):
        return _conv_transpose(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
            output_size=output_size,
        )


@ports("torch.nn.ConvTranspose3d")
class ConvTranspose3d(nn.Module):
    """Transposed convolution over (batch, channels, depth, height, width); weight is (in, out / groups, *kernel)."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        *,
        dtype=mx.float32,
    ):
        super().__init__()
        shape = (in_channels, out_channels // groups, *_per_axis(kernel_size, 3))
        bound = math.prod(shape[1:]) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, shape, dtype)
        self.bias = mx.random.uniform(-bound, bound, (out_channels,), dtype) if bias else None
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.groups = groups
        self.dilation = dilation

    def __call__(self, input, output_size=None):
        return _conv_transpose(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
            output_size=output_size,
        )


@ports("torch.nn.Unfold")
def Unfold(kernel_size, dilation=1, padding=0, stride=1):
    return partial(
        unfold, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )


@ports("torch.nn.Fold")
def Fold(output_size, kernel_size, dilation=1, padding=0, stride=1):
    return partial(
        fold,
        output_size=output_size,
        kernel_size=kernel_size,
        dilation=dilation,
        padding=padding,
        stride=stride,
    )
