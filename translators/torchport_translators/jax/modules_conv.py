"""Convolutions: torch.nn modules in torch's axis order."""

from __future__ import annotations

import math
from functools import partial

import jax.numpy as jnp
from flax import nnx

from torchport_translators.catalogue import ports
from torchport_translators.jax.convolution import _conv_transpose, _per_axis, fold, unfold
from torchport_translators.jax.modules_linear import _uniform_within


def _margins(padding, kernel_size, dilation):
    """The (low, high) padding of each axis; "same" keeps the lengths."""
    if padding == "same":
        spare = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
        return tuple((s // 2, s - s // 2) for s in spare)
    return tuple((p, p) for p in _per_axis(0 if padding == "valid" else padding, len(kernel_size)))


def _pad_spatial(x, margins, padding_mode):
    """Pads the axes before the last other than by zeros."""
    mode = {"circular": "wrap", "replicate": "edge"}.get(padding_mode, padding_mode)
    return jnp.pad(x, [*[(0, 0)] * (x.ndim - len(margins) - 1), *margins, (0, 0)], mode=mode)


@ports("torch.nn.Conv1d")
class Conv1d(nnx.Conv):
    """nnx.Conv over (batch, channels, length), with torch's initial weights."""

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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        kernel_size, dilation = _per_axis(kernel_size, 1), _per_axis(dilation, 1)
        self.margins = _margins(padding, kernel_size, dilation)
        self.padding_mode = padding_mode
        init = _uniform_within((in_channels // groups * math.prod(kernel_size)) ** -0.5)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            _per_axis(stride, 1),
            padding=self.margins if padding_mode == "zeros" else "VALID",
            kernel_dilation=dilation,
            feature_group_count=groups,
            use_bias=bias,
            param_dtype=dtype,
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )

    def __call__(self, input):
        x = jnp.moveaxis(input, -2, -1)
        if self.padding_mode != "zeros":
            x = _pad_spatial(x, self.margins, self.padding_mode)
        return jnp.moveaxis(super().__call__(x), -1, -2)


@ports("torch.nn.Conv2d")
class Conv2d(nnx.Conv):
    """nnx.Conv over (batch, channels, height, width), with torch's initial weights."""

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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        kernel_size, dilation = _per_axis(kernel_size, 2), _per_axis(dilation, 2)
        self.margins = _margins(padding, kernel_size, dilation)
        self.padding_mode = padding_mode
        init = _uniform_within((in_channels // groups * math.prod(kernel_size)) ** -0.5)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            _per_axis(stride, 2),
            padding=self.margins if padding_mode == "zeros" else "VALID",
            kernel_dilation=dilation,
            feature_group_count=groups,
            use_bias=bias,
            param_dtype=dtype,
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )

    def __call__(self, input):
        x = jnp.moveaxis(input, -3, -1)
        if self.padding_mode != "zeros":
            x = _pad_spatial(x, self.margins, self.padding_mode)
        return jnp.moveaxis(super().__call__(x), -1, -3)


@ports("torch.nn.Conv3d")
class Conv3d(nnx.Conv):
    """nnx.Conv over (batch, channels, depth, height, width), with torch's initial weights."""

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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        kernel_size, dilation = _per_axis(kernel_size, 3), _per_axis(dilation, 3)
        self.margins = _margins(padding, kernel_size, dilation)
        self.padding_mode = padding_mode
        init = _uniform_within((in_channels // groups * math.prod(kernel_size)) ** -0.5)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            _per_axis(stride, 3),
            padding=self.margins if padding_mode == "zeros" else "VALID",
            kernel_dilation=dilation,
            feature_group_count=groups,
            use_bias=bias,
            param_dtype=dtype,
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )

    def __call__(self, input):
        x = jnp.moveaxis(input, -4, -1)
        if self.padding_mode != "zeros":
            x = _pad_spatial(x, self.margins, self.padding_mode)
        return jnp.moveaxis(super().__call__(x), -1, -4)


@ports("torch.nn.ConvTranspose1d")
class ConvTranspose1d(nnx.Module):
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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (in_channels, out_channels // groups, *_per_axis(kernel_size, 1))
        init = _uniform_within(math.prod(shape[1:]) ** -0.5)
        self.weight = nnx.Param(init(rngs.params(), shape, dtype))
        self.bias = nnx.Param(init(rngs.params(), (out_channels,), dtype)) if bias else None
        self.stride = _per_axis(stride, 1)
        self.padding = _per_axis(padding, 1)
        self.output_padding = _per_axis(output_padding, 1)
        self.groups = groups
        self.dilation = _per_axis(dilation, 1)

    def __call__(self, input):
        return _conv_transpose(
            input,
            self.weight[...],
            None if self.bias is None else self.bias[...],
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )


@ports("torch.nn.ConvTranspose2d")
class ConvTranspose2d(nnx.Module):
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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (in_channels, out_channels // groups, *_per_axis(kernel_size, 2))
        init = _uniform_within(math.prod(shape[1:]) ** -0.5)
        self.weight = nnx.Param(init(rngs.params(), shape, dtype))
        self.bias = nnx.Param(init(rngs.params(), (out_channels,), dtype)) if bias else None
        self.stride = _per_axis(stride, 2)
        self.padding = _per_axis(padding, 2)
        self.output_padding = _per_axis(output_padding, 2)
        self.groups = groups
        self.dilation = _per_axis(dilation, 2)

    def __call__(self, input):
        return _conv_transpose(
            input,
            self.weight[...],
            None if self.bias is None else self.bias[...],
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )


@ports("torch.nn.ConvTranspose3d")
class ConvTranspose3d(nnx.Module):
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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (in_channels, out_channels // groups, *_per_axis(kernel_size, 3))
        init = _uniform_within(math.prod(shape[1:]) ** -0.5)
        self.weight = nnx.Param(init(rngs.params(), shape, dtype))
        self.bias = nnx.Param(init(rngs.params(), (out_channels,), dtype)) if bias else None
        self.stride = _per_axis(stride, 3)
        self.padding = _per_axis(padding, 3)
        self.output_padding = _per_axis(output_padding, 3)
        self.groups = groups
        self.dilation = _per_axis(dilation, 3)

    def __call__(self, input):
        return _conv_transpose(
            input,
            self.weight[...],
            None if self.bias is None else self.bias[...],
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
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
