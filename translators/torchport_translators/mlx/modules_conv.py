"""Convolutions: torch.nn modules on MLX's, in torch's axis order."""

from __future__ import annotations

import math
from functools import partial

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.convolution import (
    _convolve_transpose,
    _grouped,
    _margins,
    _per_axis,
    fold,
    unfold,
)
from torchport_translators.mlx.vision import pad


def _pad_spatial(input, margins, padding_mode):
    """Pads the last axes by (low, high) each."""
    widths = [width for margin in reversed(margins) for width in margin]
    return pad(input, widths, "constant" if padding_mode == "zeros" else padding_mode)


@ports("torch.nn.Conv1d")
class Conv1d(nn.Conv1d):
    """nn.Conv1d over (batch, channels, length), with torch's paddings and initial bias."""

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
        (kernel_size,), (stride,) = _per_axis(kernel_size, 1), _per_axis(stride, 1)
        (dilation,) = _per_axis(dilation, 1)
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        ((low, high),) = margins = _margins(padding, (kernel_size,), (dilation,))
        self.margins, self.padding_mode = margins, padding_mode
        if padding_mode == "zeros" and low == high:
            self.margins, self.padding = (), low
        if bias:
            bound = self.weight[0].size ** -0.5
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.ndim == 2:
            return self(input[None])[0]
        if self.margins:
            input = _pad_spatial(input, self.margins, self.padding_mode)
        return super().__call__(input.swapaxes(1, 2)).swapaxes(1, 2)


@ports("torch.nn.Conv2d")
class Conv2d(nn.Conv2d):
    """nn.Conv2d over (batch, channels, height, width), with torch's paddings and initial bias."""

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
        kernel_size, dilation = _per_axis(kernel_size, 2), _per_axis(dilation, 2)
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        margins = _margins(padding, kernel_size, dilation)
        self.margins, self.padding_mode = margins, padding_mode
        if padding_mode == "zeros" and all(low == high for low, high in margins):
            self.margins, self.padding = (), tuple(low for low, _ in margins)
        if bias:
            bound = self.weight[0].size ** -0.5
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.ndim == 3:
            return self(input[None])[0]
        if self.margins:
            input = _pad_spatial(input, self.margins, self.padding_mode)
        return mx.moveaxis(super().__call__(mx.moveaxis(input, 1, -1)), -1, 1)


@ports("torch.nn.Conv3d")
class Conv3d(nn.Conv3d):
    """nn.Conv3d over (batch, channels, depth, height, width), with torch's paddings, groups and initial bias."""

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
        kernel_size, dilation = _per_axis(kernel_size, 3), _per_axis(dilation, 3)
        super().__init__(
            in_channels // groups, out_channels, kernel_size, stride, 0, dilation, bias
        )
        self.groups = groups
        margins = _margins(padding, kernel_size, dilation)
        self.margins, self.padding_mode = margins, padding_mode
        if padding_mode == "zeros" and all(low == high for low, high in margins):
            self.margins, self.padding = (), tuple(low for low, _ in margins)
        if bias:
            bound = self.weight[0].size ** -0.5
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.ndim == 4:
            return self(input[None])[0]
        if self.margins:
            input = _pad_spatial(input, self.margins, self.padding_mode)
        convolve = partial(
            mx.conv3d, stride=self.stride, padding=self.padding, dilation=self.dilation
        )
        x = _grouped(convolve, mx.moveaxis(input, 1, -1), self.weight, self.groups)
        return mx.moveaxis(x + self.bias if "bias" in self else x, -1, 1)


@ports("torch.nn.ConvTranspose1d")
class ConvTranspose1d(nn.ConvTranspose1d):
    """nn.ConvTranspose1d over (batch, channels, length), with groups and torch's initial weights."""

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
        dtype=None,
    ):
        (kernel_size,), (stride,) = _per_axis(kernel_size, 1), _per_axis(stride, 1)
        (padding,), (dilation,) = _per_axis(padding, 1), _per_axis(dilation, 1)
        (output_padding,) = _per_axis(output_padding, 1)
        super().__init__(
            in_channels // groups,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            bias,
        )
        self.groups = groups
        bound = (out_channels // groups * kernel_size) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, self.weight.shape)
        if bias:
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input, output_size=None):
        if input.ndim == 2:
            return self(input[None], output_size)[0]
        x = _convolve_transpose(
            mx.moveaxis(input, 1, -1),
            self.weight,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
            output_size,
        )
        return mx.moveaxis(x + self.bias if "bias" in self else x, -1, 1)


@ports("torch.nn.ConvTranspose2d")
class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d over (batch, channels, height, width), with groups and torch's initial weights."""

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
        dtype=None,
    ):
        kernel_size = _per_axis(kernel_size, 2)
        super().__init__(
            in_channels // groups,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            bias,
        )
        self.groups = groups
        bound = (out_channels // groups * math.prod(kernel_size)) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, self.weight.shape)
        if bias:
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input, output_size=None):
        if input.ndim == 3:
            return self(input[None], output_size)[0]
        x = _convolve_transpose(
            mx.moveaxis(input, 1, -1),
            self.weight,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
            output_size,
        )
        return mx.moveaxis(x + self.bias if "bias" in self else x, -1, 1)


@ports("torch.nn.ConvTranspose3d")
class ConvTranspose3d(nn.ConvTranspose3d):
    """nn.ConvTranspose3d over (batch, channels, depth, height, width), with groups and torch's initial weights."""

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
        dtype=None,
    ):
        kernel_size = _per_axis(kernel_size, 3)
        super().__init__(
            in_channels // groups,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            bias,
        )
        self.groups = groups
        bound = (out_channels // groups * math.prod(kernel_size)) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, self.weight.shape)
        if bias:
            self.bias = mx.random.uniform(-bound, bound, (out_channels,))
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input, output_size=None):
        if input.ndim == 4:
            return self(input[None], output_size)[0]
        x = _convolve_transpose(
            mx.moveaxis(input, 1, -1),
            self.weight,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
            output_size,
        )
        return mx.moveaxis(x + self.bias if "bias" in self else x, -1, 1)


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
