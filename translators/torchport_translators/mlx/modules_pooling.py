"""Pooling: torch.nn modules as functions, in torch's axis order."""

from __future__ import annotations

from functools import partial

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.pooling import (
    _avg_pool,
    _max_pool,
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d_with_indices,
    max_pool2d_with_indices,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)


@ports("torch.nn.MaxPool1d")
def MaxPool1d(
    kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
):
    if not return_indices:
        return partial(
            _max_pool,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
            rank=1,
        )
    return partial(
        max_pool1d_with_indices,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )


@ports("torch.nn.MaxPool2d")
def MaxPool2d(
    kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
):
    if not return_indices:
        return partial(
            _max_pool,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
            rank=2,
        )
    return partial(
        max_pool2d_with_indices,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )


@ports("torch.nn.MaxPool3d")
def MaxPool3d(
    kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
):
    if not return_indices:
        return partial(
            _max_pool,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
            rank=3,
        )
    return partial(
        max_pool3d_with_indices,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )


@ports("torch.nn.MaxUnpool1d")
def MaxUnpool1d(kernel_size, stride=None, padding=0):
    return partial(max_unpool1d, kernel_size=kernel_size, stride=stride, padding=padding)


@ports("torch.nn.MaxUnpool2d")
def MaxUnpool2d(kernel_size, stride=None, padding=0):
    return partial(max_unpool2d, kernel_size=kernel_size, stride=stride, padding=padding)


@ports("torch.nn.MaxUnpool3d")
def MaxUnpool3d(kernel_size, stride=None, padding=0):
    return partial(max_unpool3d, kernel_size=kernel_size, stride=stride, padding=padding)


@ports("torch.nn.AvgPool1d")
def AvgPool1d(kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    if not ceil_mode and count_include_pad:
        return partial(_avg_pool, kernel_size=kernel_size, stride=stride, padding=padding, rank=1)
    return partial(
        avg_pool1d,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


@ports("torch.nn.AvgPool2d")
def AvgPool2d(
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    if not ceil_mode and count_include_pad and divisor_override is None:
        return partial(_avg_pool, kernel_size=kernel_size, stride=stride, padding=padding, rank=2)
    return partial(
        avg_pool2d,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@ports("torch.nn.AvgPool3d")
def AvgPool3d(
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    if not ceil_mode and count_include_pad and divisor_override is None:
        return partial(_avg_pool, kernel_size=kernel_size, stride=stride, padding=padding, rank=3)
    return partial(
        avg_pool3d,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@ports("torch.nn.LPPool1d")
def LPPool1d(norm_type, kernel_size, stride=None, ceil_mode=False):
    return partial(
        lp_pool1d,
        norm_type=norm_type,
        kernel_size=kernel_size,
        stride=stride,
        ceil_mode=ceil_mode,
    )


@ports("torch.nn.LPPool2d")
def LPPool2d(norm_type, kernel_size, stride=None, ceil_mode=False):
    return partial(
        lp_pool2d,
        norm_type=norm_type,
        kernel_size=kernel_size,
        stride=stride,
        ceil_mode=ceil_mode,
    )


@ports("torch.nn.LPPool3d")
def LPPool3d(norm_type, kernel_size, stride=None, ceil_mode=False):
    return partial(
        lp_pool3d,
        norm_type=norm_type,
        kernel_size=kernel_size,
        stride=stride,
        ceil_mode=ceil_mode,
    )


@ports("torch.nn.AdaptiveAvgPool1d")
def AdaptiveAvgPool1d(output_size):
    if output_size == 1 or output_size == (1,):
        return partial(mx.mean, axis=-1, keepdims=True)
    return partial(adaptive_avg_pool1d, output_size=output_size)


@ports("torch.nn.AdaptiveAvgPool2d")
def AdaptiveAvgPool2d(output_size):
    if output_size == 1 or output_size == (1, 1):
        return partial(mx.mean, axis=(-2, -1), keepdims=True)
    return partial(adaptive_avg_pool2d, output_size=output_size)


@ports("torch.nn.AdaptiveAvgPool3d")
def AdaptiveAvgPool3d(output_size):
    if output_size == 1 or output_size == (1, 1, 1):
        return partial(mx.mean, axis=(-3, -2, -1), keepdims=True)
    return partial(adaptive_avg_pool3d, output_size=output_size)


@ports("torch.nn.AdaptiveMaxPool1d")
def AdaptiveMaxPool1d(output_size, return_indices=False):
    return partial(
        adaptive_max_pool1d_with_indices if return_indices else adaptive_max_pool1d,
        output_size=output_size,
    )


@ports("torch.nn.AdaptiveMaxPool2d")
def AdaptiveMaxPool2d(output_size, return_indices=False):
    return partial(
        adaptive_max_pool2d_with_indices if return_indices else adaptive_max_pool2d,
        output_size=output_size,
    )


@ports("torch.nn.AdaptiveMaxPool3d")
def AdaptiveMaxPool3d(output_size, return_indices=False):
    return partial(
        adaptive_max_pool3d_with_indices if return_indices else adaptive_max_pool3d,
        output_size=output_size,
    )
