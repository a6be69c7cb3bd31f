"""Pooling over the last one, two or three axes, in torch's axis order, the batch optional."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from torchport_translators.catalogue import ports
from torchport_translators.jax.convolution import _per_axis


def _windows(input, kernel_size, stride, padding, ceil_mode, rank):
    """The windows, strides and padding that lax.reduce_window takes, over the last `rank` axes."""
    kernel, padding = _per_axis(kernel_size, rank), _per_axis(padding, rank)
    stride = _per_axis(stride or kernel, rank)
    lead = input.ndim - rank
    pads = [(0, 0)] * lead
    for length, k, s, p in zip(input.shape[lead:], kernel, stride, padding, strict=True):
        spare = length + 2 * p - k
        last = -(-spare // s) * s
        # In ceil_mode a last window may run out of the padding, but not start in it.
        partial = ceil_mode and last < length + p
        pads.append((p, p + last - spare if partial else p))
    return (1,) * lead + kernel, (1,) * lead + stride, pads


def _max_pool(input, kernel_size, stride=None, padding=0, ceil_mode=False, *, rank):
    """The maximum of each window over the last `rank` axes."""
    if jnp.issubdtype(input.dtype, jnp.floating):
        lowest = -jnp.inf
    else:
        lowest = jnp.iinfo(input.dtype).min
    windows = _windows(input, kernel_size, stride, padding, ceil_mode, rank)
    return lax.reduce_window(input, lowest, lax.max, *windows)


def _max_pool_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, rank
) -> tuple[jax.Array, jax.Array]:
    """The maximum of each window, and where it lies in the flattened last `rank` axes."""
    kernel, dilation = _per_axis(kernel_size, rank), _per_axis(dilation, rank)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    _, strides, pads = _windows(input, reach, stride or kernel, padding, ceil_mode, rank)
    windows = []
    for axis in range(-rank, 0):
        spare = input.shape[axis] + sum(pads[axis]) - reach[axis]
        start = np.arange(0, spare + 1, strides[axis]) - pads[axis][0]
        windows.append(start[:, None] + np.arange(0, reach[axis], dilation[axis]))
    return _max_of_windows(input, windows)


def _max_of_windows(input, windows) -> tuple[jax.Array, jax.Array]:
    """Maxima and their flat positions; `windows` holds an axis's positions, (outputs, taps).

    Positions outside the axis are padding. Of equal values the first is taken, as torch does.
    """
    rank = len(windows)
    lead, shape = input.shape[:-rank], input.shape[-rank:]
    inside, position = np.True_, 0
    for axis, (window, length) in enumerate(zip(windows, shape, strict=True)):
        others = [i for i in range(2 * rank) if i not in (axis, rank + axis)]
        window = np.expand_dims(window, others)
        inside = inside & (window >= 0) & (window < length)
        position = position * length + window
    outputs, taps = position.shape[:rank], math.prod(position.shape[rank:])
    position = np.where(inside, position, 0).reshape(*outputs, taps)
    lowest = -jnp.inf if jnp.issubdtype(input.dtype, jnp.floating) else jnp.iinfo(input.dtype).min
    values = input.reshape(*lead, math.prod(shape))[..., position]
    values = jnp.where(inside.reshape(position.shape), values, lowest)
    choice = jnp.argmax(values, axis=-1, keepdims=True)
    indices = jnp.take_along_axis(jnp.broadcast_to(position, values.shape), choice, axis=-1)
    return jnp.take_along_axis(values, choice, axis=-1)[..., 0], indices[..., 0]


def _avg_pool(input, kernel_size, stride=None, padding=0, *, rank):
    """The mean of each window over the last `rank` axes, padding included."""
    windows = _windows(input, kernel_size, stride, padding, False, rank)
    mean = lax.reduce_window(_at_least_float32(input), 0.0, lax.add, *windows)
    mean /= math.prod(windows[0])
    return mean.astype(input.dtype)


def _at_least_float32(x):
    """What sums are taken in, so that half precision loses nothing in them."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


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
    windows = _windows(input, kernel_size, stride, padding, ceil_mode, rank)
    total = lax.reduce_window(_at_least_float32(input), 0.0, lax.add, *windows)
    if divisor_override is not None:
        return (total / divisor_override).astype(input.dtype)
    divisor = np.ones(())
    for axis in range(-rank, 0):
        length, kernel, stride, (low, high) = (input.shape[axis], *(w[axis] for w in windows))
        start = np.arange(0, length + low + high - kernel + 1, stride) - low
        margin = low if count_include_pad else 0
        covered = np.minimum(start + kernel, length + margin) - np.maximum(start, -margin)
        divisor = divisor[..., None] * covered
    return (total / jnp.asarray(divisor, total.dtype)).astype(input.dtype)


def _adaptive_windows(length, outputs):
    """The positions that each output covers, (outputs, taps), with -1 past a window's end."""
    start = np.arange(outputs) * length // outputs
    end = -(-np.arange(1, outputs + 1) * length // outputs)
    window = start[:, None] + np.arange((end - start).max())
    return np.where(window < end[:, None], window, -1)


def _adaptive_avg_pool(input, output_size, *, rank):
    """The mean of windows that split each of the last `rank` axes as evenly as can be."""
    output = _at_least_float32(input)
    for axis, outputs in zip(range(-rank, 0), _per_axis(output_size, rank), strict=True):
        window = _adaptive_windows(input.shape[axis], outputs or input.shape[axis])
        inside = np.expand_dims(window >= 0, list(range(2, 1 - axis)))
        values = jnp.where(inside, jnp.take(output, window, axis=axis), 0)
        output = values.sum(axis) / inside.sum(1)
    return output.astype(input.dtype)


def _adaptive_max_pool(input, output_size, *, rank) -> tuple[jax.Array, jax.Array]:
    """Maxima and flat positions in windows that split the last `rank` axes evenly."""
    axes = zip(input.shape[-rank:], _per_axis(output_size, rank), strict=True)
    return _max_of_windows(input, [_adaptive_windows(n, outputs or n) for n, outputs in axes])


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
    shape = tuple(output_size)[-rank:]
    flat = jnp.put_along_axis(
        jnp.zeros((*lead, math.prod(shape)), input.dtype),
        indices.reshape(*lead, -1),
        input.reshape(*lead, -1),
        axis=-1,
        inplace=False,
    )
    return flat.reshape(*lead, *shape)


@ports("torch.nn.functional.max_pool1d", "torch.max_pool1d")
def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """A dilated one goes by indices: lax.reduce_window has no gradient for it."""
    if dilation == 1:
        return _max_pool(
            input, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode, rank=1
        )
    return max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)[0]


@ports(
    "torch.nn.functional.max_pool1d",
    "torch.nn.functional.max_pool1d_with_indices",
    "torch.max_pool1d_with_indices",
)
def max_pool1d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[jax.Array, jax.Array]:
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
    """A dilated one goes by indices: lax.reduce_window has no gradient for it."""
    if dilation == 1:
        return _max_pool(
            input, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode, rank=2
        )
    return max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)[0]


@ports("torch.nn.functional.max_pool2d", "torch.nn.functional.max_pool2d_with_indices")
def max_pool2d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[jax.Array, jax.Array]:
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
    """A dilated one goes by indices: lax.reduce_window has no gradient for it."""
    if dilation == 1:
        return _max_pool(
            input, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode, rank=3
        )
    return max_pool3d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)[0]


@ports("torch.nn.functional.max_pool3d", "torch.nn.functional.max_pool3d_with_indices")
def max_pool3d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True
) -> tuple[jax.Array, jax.Array]:
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
        return jnp.mean(input, axis=-1, keepdims=True)
    return _adaptive_avg_pool(input, output_size, rank=1)


@ports("torch.nn.functional.adaptive_avg_pool2d")
def adaptive_avg_pool2d(input, output_size):
    if output_size == 1 or output_size == (1, 1):
        return jnp.mean(input, axis=(-2, -1), keepdims=True)
    return _adaptive_avg_pool(input, output_size, rank=2)


@ports("torch.nn.functional.adaptive_avg_pool3d")
def adaptive_avg_pool3d(input, output_size):
    if output_size == 1 or output_size == (1, 1, 1):
        return jnp.mean(input, axis=(-3, -2, -1), keepdims=True)
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
) -> tuple[jax.Array, jax.Array]:
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
) -> tuple[jax.Array, jax.Array]:
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
) -> tuple[jax.Array, jax.Array]:
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
) -> tuple[jax.Array, jax.Array]:
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
        start = ((jnp.arange(outputs) + sample) * step).astype(int) - (sample * step).astype(int)
        start = start.at[..., -1].set(length - size)
        window = start[..., None] + jnp.arange(size)
        others = [len(lead) + i for i in range(2 * rank) if i not in (axis, rank + axis)]
        position = position * length + jnp.expand_dims(window, others)
    position = position.reshape(*position.shape[:-rank], math.prod(kernel))
    flat = input.reshape(*lead, *[1] * rank, math.prod(shape))
    values = jnp.take_along_axis(flat, position, axis=-1)
    choice = jnp.argmax(values, axis=-1, keepdims=True)
    indices = jnp.take_along_axis(position, choice, axis=-1)[..., 0]
    return jnp.take_along_axis(values, choice, axis=-1)[..., 0], indices


@ports("torch.nn.functional.fractional_max_pool2d")
def fractional_max_pool2d(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    *,
    _random_samples=None,
    rngs: nnx.Rngs,
):
    """The maxima of windows that cover the input at random; torch draws others."""
    if _random_samples is None:
        _random_samples = jax.random.uniform(rngs(), (*input.shape[:-2], 2), input.dtype)
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
    *,
    rngs: nnx.Rngs,
) -> tuple[jax.Array, jax.Array]:
    """The maxima of windows that cover the input at random, and where they lie; torch draws others."""
    if _random_samples is None:
        _random_samples = jax.random.uniform(rngs(), (*input.shape[:-2], 2), input.dtype)
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
    rngs: nnx.Rngs,
):
    """The maxima of windows that cover the input at random; torch draws others."""
    if _random_samples is None:
        _random_samples = jax.random.uniform(rngs(), (*input.shape[:-3], 3), input.dtype)
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
    *,
    rngs: nnx.Rngs,
) -> tuple[jax.Array, jax.Array]:
    """The maxima of windows that cover the input at random, and where they lie; torch draws others."""
    if _random_samples is None:
        _random_samples = jax.random.uniform(rngs(), (*input.shape[:-3], 3), input.dtype)
    pooled, indices = _fractional_max_pool(
        input, kernel_size, output_size, output_ratio, _random_samples, rank=3
    )
    return (pooled, indices) if return_indices else pooled
