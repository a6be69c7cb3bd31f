"""Pooling over the last one, two or three axes, in torch's axis order, the batch optional."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports
from torchport_translators.mlx.convolution import _per_axis


def _windows(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, fill=0, rank
):
    """The elements of each window over the last `rank` axes: (*lead, *outputs, elements)."""
    kernel, dilation = _per_axis(kernel_size, rank), _per_axis(dilation, rank)
    stride, padding = _per_axis(stride or kernel, rank), _per_axis(padding, rank)
    lead, lengths = input.shape[:-rank], input.shape[-rank:]
    margins, outputs = [], []
    for length, k, s, p, d in zip(lengths, kernel, stride, padding, dilation, strict=True):
        spare = length + 2 * p - d * (k - 1) - 1
        last = -(-spare // s) * s
        # In ceil_mode a last window may run out of the padding, but not start in it.
        over = last - spare if ceil_mode and last < length + p else 0
        margins.append((p, p + over))
        outputs.append((spare + over) // s + 1)
    if any(high for _, high in margins):
        input = mx.pad(input, [*[(0, 0)] * len(lead), *margins], constant_values=fill)
    steps = [math.prod(input.shape[axis + 1 :]) for axis in range(input.ndim)]
    along = [s * step for s, step in zip(stride, steps[-rank:], strict=True)]
    within = [d * step for d, step in zip(dilation, steps[-rank:], strict=True)]
    shape, strides = (*lead, *outputs, *kernel), (*steps[:-rank], *along, *within)
    return mx.as_strided(input, shape, strides).flatten(-rank)


def _max_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, rank):
    """The maximum of each window; of equal elements the first gets the gradient, as in torch."""
    lowest = -mx.inf
    if not mx.issubdtype(input.dtype, mx.floating):
        lowest = mx.iinfo(input.dtype).min
    options = (kernel_size, stride, padding, dilation, ceil_mode)
    windows = _windows(input, *options, fill=lowest, rank=rank)
    peak = mx.stop_gradient(mx.argmax(windows, axis=-1, keepdims=True))
    return mx.take_along_axis(windows, peak, axis=-1).squeeze(-1)


def _max_pool_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, rank
) -> tuple[mx.array, mx.array]:
    """The maximum of each window, and where it lies in the flattened last `rank` axes."""
    lowest = -mx.inf
    if not mx.issubdtype(input.dtype, mx.floating):
        lowest = mx.iinfo(input.dtype).min
    options = (kernel_size, stride, padding, dilation, ceil_mode)
    windows = _windows(input, *options, fill=lowest, rank=rank)
    peak = mx.stop_gradient(mx.argmax(windows, axis=-1, keepdims=True))
    lengths = input.shape[-rank:]
    positions = mx.arange(math.prod(lengths)).reshape(lengths)
    positions = mx.broadcast_to(_windows(positions, *options, rank=rank), windows.shape)
    values = mx.take_along_axis(windows, peak, axis=-1)
    return values.squeeze(-1), mx.take_along_axis(positions, peak, axis=-1).squeeze(-1)


def _avg_pool(input, kernel_size, stride=None, padding=0, *, rank):
    """The mean of each window over the last `rank` axes, padding included."""
    windows = _windows(input, kernel_size, stride=stride, padding=padding, rank=rank)
    return mx.mean(windows, axis=-1)


def _uneven_avg_pool(
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
    windows = _windows(input, kernel_size, stride, padding, ceil_mode=ceil_mode, rank=rank)
    total = mx.sum(windows, axis=-1)
    if divisor_override is not None:
        return total / divisor_override
    kernel, padding = _per_axis(kernel_size, rank), _per_axis(padding, rank)
    stride = _per_axis(stride or kernel, rank)
    divisor = np.ones(())
    for axis in range(-rank, 0):
        length, margin = input.shape[axis], padding[axis] if count_include_pad else 0
        start = np.arange(total.shape[axis]) * stride[axis] - padding[axis]
        end = np.minimum(start + kernel[axis], length + margin)
        divisor = divisor[..., None] * (end - np.maximum(start, -margin))
    return total / mx.array(divisor, input.dtype)


def _adaptive_windows(length, outputs):
    """The positions that each output covers, (outputs, taps), with -1 past a window's end."""
    start = np.arange(outputs) * length // outputs
    end = -(-np.arange(1, outputs + 1) * length // outputs)
    window = start[:, None] + np.arange((end - start).max())
    return np.where(window < end[:, None], window, -1)


def _adaptive_avg_pool(input, output_size, *, rank):
    """The mean of windows that split each of the last `rank` axes as evenly as can be."""
    for axis, outputs in zip(range(-rank, 0), _per_axis(output_size, rank), strict=True):
        length = input.shape[axis]
        position, window = np.arange(length)[:, None], np.arange(outputs or length)
        start = window * length // window.size
        end = -(-(window + 1) * length // window.size)
        inside = (start <= position) & (position < end)
        weight = mx.array(inside / inside.sum(0), input.dtype)
        input = mx.moveaxis(mx.moveaxis(input, axis, -1) @ weight, -1, axis)
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
    lowest = -mx.inf
    if not mx.issubdtype(input.dtype, mx.floating):
        lowest = mx.iinfo(input.dtype).min
    values = mx.where(mx.array(inside.reshape(shape)), values, lowest)
    tap = mx.stop_gradient(mx.argmax(values, axis=-1, keepdims=True))
    indices = mx.take_along_axis(mx.broadcast_to(position, values.shape), tap, axis=-1)
    return mx.take_along_axis(values, tap, axis=-1).squeeze(-1), indices.squeeze(-1)


def _lp_pool(input, norm_type, kernel_size, stride=None, ceil_mode=False, *, rank):
    """The p-norm of each window; one that is cut short counts as if it were whole."""
    mean = _uneven_avg_pool(input**norm_type, kernel_size, stride, ceil_mode=ceil_mode, rank=rank)
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
    )


@ports(
    "torch.nn.functional.max_pool1d",
    "torch.nn.functional.max_pool1d_with_indices",
    "torch.max_pool1d_with_indices",
)
def max_pool1d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool_with_indices(
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
    )


@ports("torch.nn.functional.max_pool2d", "torch.nn.functional.max_pool2d_with_indices")
def max_pool2d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool_with_indices(
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
    )


@ports("torch.nn.functional.max_pool3d", "torch.nn.functional.max_pool3d_with_indices")
def max_pool3d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[mx.array, mx.array]:
    if not return_indices:
        return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool_with_indices(
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
    if not ceil_mode and count_include_pad:
        return _avg_pool(input, kernel_size, stride=stride, padding=padding, rank=1)
    return _uneven_avg_pool(
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
    if not ceil_mode and count_include_pad and divisor_override is None:
        return _avg_pool(input, kernel_size, stride=stride, padding=padding, rank=2)
    return _uneven_avg_pool(
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
    if not ceil_mode and count_include_pad and divisor_override is None:
        return _avg_pool(input, kernel_size, stride=stride, padding=padding, rank=3)
    return _uneven_avg_pool(
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


def _fractional_max_pool(
    input, kernel_size, output_size, output_ratio, samples, *, rank
) -> tuple[mx.array, mx.array]:
    """Maxima and their flat positions in windows whose starts are spread by `samples`.

    B. Graham, Fractional max-pooling, 2014. The samples, in [0, 1), are (batch, channels, axes): of two
    axes the last one's first, of three in their order.
    """
    lead, shape = input.shape[:-rank], input.shape[-rank:]
    kernel = _per_axis(kernel_size, rank)
    if output_size is None:
        output_ratio = (output_ratio,) * rank if isinstance(output_ratio, float) else output_ratio
        output_size = [int(n * ratio) for n, ratio in zip(shape, output_ratio, strict=True)]
    position = 0
    for axis, (length, size, outputs) in enumerate(
        zip(shape, kernel, _per_axis(output_size, rank), strict=True)
    ):
        sample = samples[..., rank - 1 - axis if rank == 2 else axis].reshape(*lead, 1)
        step = (length - size) / max(outputs - 1, 1)
        index = mx.arange(outputs)
        start = ((index + sample) * step).astype(mx.int32) - (sample * step).astype(mx.int32)
        start = mx.where(index == outputs - 1, length - size, start)
        window = start[..., None] + mx.arange(size)
        others = [len(lead) + i for i in range(2 * rank) if i not in (axis, rank + axis)]
        position = position * length + mx.expand_dims(window, others)
    position = mx.stop_gradient(position.flatten(-rank))
    values = mx.take_along_axis(input.flatten(-rank), position.flatten(len(lead)), axis=-1)
    values = values.reshape(position.shape)
    choice = mx.stop_gradient(mx.argmax(values, axis=-1, keepdims=True))
    indices = mx.take_along_axis(position, choice, axis=-1).squeeze(-1)
    return mx.take_along_axis(values, choice, axis=-1).squeeze(-1), indices


@ports("torch.nn.functional.fractional_max_pool2d")
def fractional_max_pool2d(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    *,
    _random_samples=None,
):
    """The maxima of windows that cover the input at random; torch draws others."""
    if _random_samples is None:
        _random_samples = mx.random.uniform(shape=(*input.shape[:-2], 2))
    return _fractional_max_pool(
        input, kernel_size, output_size, output_ratio, _random_samples, rank=2
    )[0]


@ports(
    "torch.nn.functional.fractional_max_pool2d",
    "torch.nn.functional.fractional_max_pool2d_with_indices",
)
def fractional_max_pool2d_with_indices(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    return_indices=True,
    _random_samples=None,
) -> tuple[mx.array, mx.array]:
    """The maxima of windows that cover the input at random, and where they lie; torch draws others."""
    if _random_samples is None:
        _random_samples = mx.random.uniform(shape=(*input.shape[:-2], 2))
    pooled, indices = _fractional_max_pool(
        input, kernel_size, output_size, output_ratio, _random_samples, rank=2
    )
    return (pooled, indices) if return_indices else pooled


@ports("torch.nn.functional.fractional_max_pool3d")
def fractional_max_pool3d(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    *,
    _random_samples=None,
):
    """The maxima of windows that cover the input at random; torch draws others."""
    if _random_samples is None:
        _random_samples = mx.random.uniform(shape=(*input.shape[:-3], 3))
    return _fractional_max_pool(
        input, kernel_size, output_size, output_ratio, _random_samples, rank=3
    )[0]


@ports(
    "torch.nn.functional.fractional_max_pool3d",
    "torch.nn.functional.fractional_max_pool3d_with_indices",
)
def fractional_max_pool3d_with_indices(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    return_indices=True,
    _random_samples=None,
) -> tuple[mx.array, mx.array]:
    """The maxima of windows that cover the input at random, and where they lie; torch draws others."""
    if _random_samples is None:
        _random_samples = mx.random.uniform(shape=(*input.shape[:-3], 3))
    pooled, indices = _fractional_max_pool(
        input, kernel_size, output_size, output_ratio, _random_samples, rank=3
    )
    return (pooled, indices) if return_indices else pooled
