"""Pooling over the last one, two or three axes, in torch's axis order, the batch optional."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports
from torchport_translators.mlx.convolution import _per_axis


def _margins_of_pool(lengths, kernel, stride, padding, ceil_mode):
    """The (low, high) padding of each axis; in `ceil_mode` a last window may need more of it."""
    margins = []
    for length, k, s, p in zip(lengths, kernel, stride, padding, strict=True):
        spare = length + 2 * p - k
        last = -(-spare // s) * s
        # It may run out of the padding, but not start in it.
        margins.append((p, p + last - spare if ceil_mode and last < length + p else p))
    return margins


def _windows(input, kernel, stride, dilation):
    """The windows over the last axes: (*lead, *outputs, *kernel)."""
    rank = len(kernel)
    steps = [math.prod(input.shape[axis + 1 :]) for axis in range(input.ndim)]
    axes = zip(input.shape[-rank:], kernel, stride, dilation, strict=True)
    outputs = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes]
    strides = [s * step for s, step in zip(stride, steps[-rank:], strict=True)]
    taps = [d * step for d, step in zip(dilation, steps[-rank:], strict=True)]
    return mx.as_strided(
        input, (*input.shape[:-rank], *outputs, *kernel), (*steps[:-rank], *strides, *taps)
    )


def _pad_last(input, margins, value=0):
    """Pads the last axes by (low, high) each."""
    if not any(width for margin in margins for width in margin):
        return input
    widths = [*[(0, 0)] * (input.ndim - len(margins)), *margins]
    return mx.pad(input, widths, constant_values=value)


def _lowest(dtype):
    return -mx.inf if mx.issubdtype(dtype, mx.floating) else mx.iinfo(dtype).min


def _max_pool(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, rank
) -> tuple[mx.array, mx.array]:
    """The maximum of each window, and where it lies in the flattened last `rank` axes.

    Of equal values the first is taken, and gets the gradient, as in torch.
    """
    kernel, dilation = _per_axis(kernel_size, rank), _per_axis(dilation, rank)
    stride, padding = _per_axis(stride or kernel, rank), _per_axis(padding, rank)
    lengths = input.shape[-rank:]
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    margins = _margins_of_pool(lengths, reach, stride, padding, ceil_mode)
    padded = _pad_last(input, margins, _lowest(input.dtype))
    windows = _windows(padded, kernel, stride, dilation).flatten(-rank)
    tap = mx.stop_gradient(mx.argmax(windows, axis=-1, keepdims=True))
    values = mx.take_along_axis(windows, tap, axis=-1).squeeze(-1)
    tap, index = tap.squeeze(-1).astype(mx.int32), 0
    for axis in range(rank):
        start = mx.arange(values.shape[axis - rank]) * stride[axis] - padding[axis]
        offset = tap // math.prod(kernel[axis + 1 :]) % kernel[axis] * dilation[axis]
        index = index * lengths[axis] + start.reshape(-1, *[1] * (rank - 1 - axis)) + offset
    return values, index


def _avg_pool(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
    *,
    rank,
):
    """The mean of each window over as many elements as it covers, or a sum over a fixed divisor."""
    kernel, padding = _per_axis(kernel_size, rank), _per_axis(padding, rank)
    stride = _per_axis(stride or kernel, rank)
    lengths = input.shape[-rank:]
    margins = _margins_of_pool(lengths, kernel, stride, padding, ceil_mode)
    windows = _windows(_pad_last(input, margins), kernel, stride, (1,) * rank)
    axes = tuple(range(-rank, 0))
    if divisor_override is not None:
        return mx.sum(windows, axis=axes) / divisor_override
    if count_include_pad and all(low == high for low, high in margins):
        return mx.mean(windows, axis=axes)
    divisor = np.ones(())
    for length, k, s, (low, high) in zip(lengths, kernel, stride, margins, strict=True):
        start = np.arange(0, length + low + high - k + 1, s) - low
        margin = low if count_include_pad else 0
        covered = np.minimum(start + k, length + margin) - np.maximum(start, -margin)
        divisor = divisor[..., None] * covered
    return mx.sum(windows, axis=axes) / mx.array(divisor, input.dtype)


def _adaptive_windows(length, outputs):
    """The positions that each output covers, (outputs, taps), with -1 past a window's end."""
    start = np.arange(outputs) * length // outputs
    end = -(-np.arange(1, outputs + 1) * length // outputs)
    window = start[:, None] + np.arange((end - start).max())
    return np.where(window < end[:, None], window, -1)


def _adaptive_avg_pool(input, output_size, *, rank):
    """The mean of windows that split each of the last `rank` axes as evenly as can be."""
    for axis, outputs in zip(range(-rank, 0), _per_axis(output_size, rank), strict=True):
        window = _adaptive_windows(input.shape[axis], outputs or input.shape[axis])
        inside = (window >= 0).reshape(*window.shape, *[1] * (-1 - axis))
        weight = mx.array(inside / inside.sum(1, keepdims=True), input.dtype)
        taps = mx.take(input, mx.array(np.maximum(window, 0)), axis=axis)
        input = mx.sum(taps * weight, axis=axis)
    return input


def _adaptive_max_pool(input, output_size, *, rank) -> tuple[mx.array, mx.array]:
    """Maxima and flat positions in windows that split the last `rank` axes evenly."""
    lengths = input.shape[-rank:]
    inside, position = np.True_, 0
    for axis, outputs in enumerate(_per_axis(output_size, rank)):
        window = _adaptive_windows(lengths[axis], outputs or lengths[axis])
        others = [i for i in range(2 * rank) if i not in (axis, rank + axis)]
        window = np.expand_dims(window, others)
        inside = inside & (window >= 0)
        position = position * lengths[axis] + window
    outputs, shape = position.shape[:rank], (*position.shape[:rank], -1)
    position = mx.array(np.where(inside, position, 0).reshape(shape))
    values = input.flatten(-rank)[..., position]
    values = mx.where(mx.array(inside.reshape(shape)), values, _lowest(input.dtype))
    tap = mx.stop_gradient(mx.argmax(values, axis=-1, keepdims=True))
    indices = mx.take_along_axis(mx.broadcast_to(position, values.shape), tap, axis=-1)
    return mx.take_along_axis(values, tap, axis=-1).squeeze(-1), indices.squeeze(-1)


def _lp_pool(input, norm_type, kernel_size, stride=None, ceil_mode=False, *, rank):
    """The p-norm of each window; one that is cut short counts as if it were whole."""
    mean = _avg_pool(input**norm_type, kernel_size, stride, ceil_mode=ceil_mode, rank=rank)
    return (mean * math.prod(_per_axis(kernel_size, rank))) ** (1 / norm_type)


def _max_unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None, *, rank):
    """Puts the maxima back where `indices` say, zeros elsewhere."""
    kernel, padding = _per_axis(kernel_size, rank), _per_axis(padding, rank)
    stride = _per_axis(stride or kernel, rank)
    lead = input.shape[:-rank]
    if output_size is None:
        axes = zip(input.shape[-rank:], kernel, stride, padding, strict=True)
        output_size = [(n - 1) * s + k - 2 * p for n, k, s, p in axes]
    shape = (*lead, *tuple(output_size)[-rank:])
    flat = mx.put_along_axis(
        mx.zeros(shape, input.dtype).flatten(-rank),
        indices.flatten(-rank),
        input.flatten(-rank),
        axis=-1,
    )
    return flat.reshape(shape)


@ports("torch.nn.functional.max_pool1d", "torch.max_pool1d")
def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    return _max_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        rank=1,
    )[0]


@ports("torch.nn.functional.max_pool1d", "torch.nn.functional.max_pool1d_with_indices")
def max_pool1d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        rank=1,
    )


@ports("torch.nn.functional.max_pool2d", "torch.max_pool2d")
def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    return _max_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        rank=2,
    )[0]


@ports("torch.nn.functional.max_pool2d", "torch.nn.functional.max_pool2d_with_indices")
def max_pool2d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        rank=2,
    )


@ports("torch.nn.functional.max_pool3d", "torch.max_pool3d")
def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    return _max_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        rank=3,
    )[0]


@ports("torch.nn.functional.max_pool3d", "torch.nn.functional.max_pool3d_with_indices")
def max_pool3d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        rank=3,
    )


@ports("torch.nn.functional.avg_pool1d", "torch.avg_pool1d")
def avg_pool1d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
):
    return _avg_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        rank=1,
    )


@ports("torch.nn.functional.avg_pool2d")
def avg_pool2d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    return _avg_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
        rank=2,
    )


@ports("torch.nn.functional.avg_pool3d")
def avg_pool3d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    return _avg_pool(
        input,
        kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
        rank=3,
    )


@ports("torch.nn.functional.lp_pool1d")
def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    return _lp_pool(input, norm_type, kernel_size, stride=stride, ceil_mode=ceil_mode, rank=1)


@ports("torch.nn.functional.lp_pool2d")
def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    return _lp_pool(input, norm_type, kernel_size, stride=stride, ceil_mode=ceil_mode, rank=2)


@ports("torch.nn.functional.lp_pool3d")
def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    return _lp_pool(input, norm_type, kernel_size, stride=stride, ceil_mode=ceil_mode, rank=3)


@ports("torch.nn.functional.adaptive_avg_pool1d", "torch.adaptive_avg_pool1d")
def adaptive_avg_pool1d(input, output_size):
    if output_size == 1 or output_size == (1,):
        return mx.mean(input, axis=-1, keepdims=True)
    return _adaptive_avg_pool(input, output_size, rank=1)


@ports("torch.nn.functional.adaptive_avg_pool2d")
def adaptive_avg_pool2d(input, output_size):
    if output_size == 1 or output_size == (1, 1):
        return mx.mean(input, axis=(-2, -1), keepdims=True)
    return _adaptive_avg_pool(input, output_size, rank=2)


@ports("torch.nn.functional.adaptive_avg_pool3d")
def adaptive_avg_pool3d(input, output_size):
    if output_size == 1 or output_size == (1, 1, 1):
        return mx.mean(input, axis=(-3, -2, -1), keepdims=True)
    return _adaptive_avg_pool(input, output_size, rank=3)


@ports("torch.nn.functional.adaptive_max_pool1d")
def adaptive_max_pool1d(input, output_size):
    return _adaptive_max_pool(input, output_size, rank=1)[0]


@ports(
    "torch.nn.functional.adaptive_max_pool1d",
    "torch.nn.functional.adaptive_max_pool1d_with_indices",
    "torch.adaptive_max_pool1d",
)
def adaptive_max_pool1d_with_indices(
    input, output_size, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return adaptive_max_pool1d(input, output_size)
    return _adaptive_max_pool(input, output_size, rank=1)


@ports("torch.nn.functional.adaptive_max_pool2d")
def adaptive_max_pool2d(input, output_size):
    return _adaptive_max_pool(input, output_size, rank=2)[0]


@ports(
    "torch.nn.functional.adaptive_max_pool2d",
    "torch.nn.functional.adaptive_max_pool2d_with_indices",
)
def adaptive_max_pool2d_with_indices(
    input, output_size, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return adaptive_max_pool2d(input, output_size)
    return _adaptive_max_pool(input, output_size, rank=2)


@ports("torch.nn.functional.adaptive_max_pool3d")
def adaptive_max_pool3d(input, output_size):
    return _adaptive_max_pool(input, output_size, rank=3)[0]


@ports(
    "torch.nn.functional.adaptive_max_pool3d",
    "torch.nn.functional.adaptive_max_pool3d_with_indices",
)
def adaptive_max_pool3d_with_indices(
    input, output_size, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return adaptive_max_pool3d(input, output_size)
    return _adaptive_max_pool(input, output_size, rank=3)


@ports("torch.nn.functional.max_unpool1d")
def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(
        input,
        indices,
        kernel_size,
        stride=stride,
        padding=padding,
        output_size=output_size,
        rank=1,
    )


@ports("torch.nn.functional.max_unpool2d")
def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(
        input,
        indices,
        kernel_size,
        stride=stride,
        padding=padding,
        output_size=output_size,
        rank=2,
    )


@ports("torch.nn.functional.max_unpool3d")
def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(
        input,
        indices,
        kernel_size,
        stride=stride,
        padding=padding,
        output_size=output_size,
        rank=3,
    )
