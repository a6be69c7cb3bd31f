"""Padding, resizing, sampling and shuffling of images, in torch's axis order."""

from __future__ import annotations

import itertools

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports
from torchport_translators.mlx.convolution import _per_axis
from torchport_translators.mlx.pooling import _adaptive_avg_pool


def _pad_constant(input, pad, value=None):
    """mx.pad, by widths from the last axis to the first, (low, high) each; negative ones crop."""
    widths = [(0, 0)] * (input.ndim - len(pad) // 2)
    widths += zip(pad[-2::-2], pad[::-2], strict=True)
    if any(width < 0 for width in pad):
        axes = zip(input.shape, widths, strict=True)
        input = input[tuple(slice(max(-low, 0), n + min(high, 0)) for n, (low, high) in axes)]
        widths = [(max(low, 0), max(high, 0)) for low, high in widths]
    return mx.pad(input, widths, constant_values=0 if value is None else value)


@ports("torch.nn.functional.pad")
def pad(input, pad, mode="constant", value=None):
    """`pad` goes from the last axis to the first, (low, high) for each; negative widths crop."""
    if mode == "constant":
        return _pad_constant(input, pad, value)
    widths = [(0, 0)] * (input.ndim - len(pad) // 2)
    widths += zip(pad[-2::-2], pad[::-2], strict=True)
    if mode == "circular":
        return _pad_circular(input, widths)
    grown = [(max(low, 0), max(high, 0)) for low, high in widths]
    output = mx.pad(input, grown, mode="edge" if mode == "replicate" else mode)
    if any(width < 0 for width in pad):
        axes = zip(output.shape, widths, strict=True)
        output = output[tuple(slice(max(-low, 0), n + min(high, 0)) for n, (low, high) in axes)]
    return output


def _pad_circular(input, widths):
    """Repeats each axis beyond its ends, what is cropped left out."""
    for axis, (low, high) in enumerate(widths):
        if low or high:
            ends = [max(-low, 0), input.shape[axis] + min(high, 0)]
            kept = mx.split(input, ends, axis=axis)[1]
            length = kept.shape[axis]
            cuts = [length - max(low, 0), 2 * length + max(high, 0)]
            input = mx.split(mx.concatenate([kept] * 3, axis=axis), cuts, axis=axis)[1]
    return input


# --------------------------------------------------------------------------------- resizing


def _resized_axes(input, size=None, scale_factor=None, recompute_scale_factor=None):
    """(axis, length, new length, input elements per output element) of each spatial axis.

    A given scale factor sets the step; otherwise the step follows from the lengths.
    """
    lengths = input.shape[2:]
    if size is not None:
        sizes = _per_axis(size, len(lengths))
        steps = [length / new for length, new in zip(lengths, sizes, strict=True)]
    else:
        scalar = isinstance(scale_factor, int | float)
        factors = (scale_factor,) * len(lengths) if scalar else tuple(scale_factor)
        sizes = tuple(int(length * f) for length, f in zip(lengths, factors, strict=True))
        steps = [1 / factor for factor in factors]
        if recompute_scale_factor:
            steps = [length / new for length, new in zip(lengths, sizes, strict=True)]
    return list(zip(range(2, input.ndim), lengths, sizes, steps, strict=True))


def _resize_nearest(input, size=None, scale_factor=None, recompute_scale_factor=None, offset=0.0):
    """The element under each output element; `offset` 0.5 takes the one under its centre."""
    for axis, length, new, step in _resized_axes(input, size, scale_factor, recompute_scale_factor):
        # In float32, as torch computes it: an index next to a boundary depends on it.
        source = np.floor(
            (np.arange(new, dtype=np.float32) + np.float32(offset)) * np.float32(step)
        )
        index = np.minimum(source, length - 1).astype(np.int32)
        input = mx.take(input, mx.array(index), axis=axis)
    return input


def _resize_linear(
    input, size=None, scale_factor=None, recompute_scale_factor=None, align_corners=None
):
    """Linear interpolation along each spatial axis, without antialiasing."""
    for axis, length, new, step in _resized_axes(input, size, scale_factor, recompute_scale_factor):
        source = _source_positions(length, new, step, align_corners).clip(0, length - 1)
        low = np.floor(source).astype(np.int32)
        index = np.stack([low, np.minimum(low + 1, length - 1)])
        input = _weigh(input, axis, index, np.stack([1 - (source - low), source - low]))
    return input


def _resize_cubic(
    input, size=None, scale_factor=None, recompute_scale_factor=None, align_corners=None
):
    """Cubic convolution with a = -0.75 along each spatial axis, without antialiasing."""
    for axis, length, new, step in _resized_axes(input, size, scale_factor, recompute_scale_factor):
        source = _source_positions(length, new, step, align_corners)
        low = np.floor(source).astype(np.int32)
        index = np.stack([low - 1, low, low + 1, low + 2]).clip(0, length - 1)
        input = _weigh(input, axis, index, np.stack(_cubic_weights(source - low)))
    return input


def _source_positions(length, new, step, align_corners):
    """Where each output element lies on the axis of the input, to float32 as in torch."""
    if align_corners:
        source = np.arange(new) * float(np.float32((length - 1) / max(new - 1, 1)))
    else:
        source = (np.arange(new) + 0.5) * float(np.float32(step)) - 0.5
    return source.astype(np.float32)


def _cubic_weights(t, a=-0.75):
    """The weights of the four neighbours of a point at `t` between the middle two."""
    near = [((a + 2) * x - (a + 3)) * x * x + 1 for x in (t, 1 - t)]
    far = [((a * x - 5 * a) * x + 8 * a) * x - 4 * a for x in (t + 1, 2 - t)]
    return [far[0], near[0], near[1], far[1]]


def _weigh(input, axis, index, weight):
    """The sum of the elements `index` along an axis by `weight`, both (taps, new length)."""
    shape = (-1, *[1] * (input.ndim - axis - 1))
    taps = [
        mx.take(input, mx.array(i), axis=axis) * mx.array(w.reshape(shape), input.dtype)
        for i, w in zip(index, weight, strict=True)
    ]
    return sum(taps[1:], taps[0])


def _resize_antialiased(
    input, mode, size=None, scale_factor=None, recompute_scale_factor=None, align_corners=None
):
    """Linear or cubic (a = -0.5) interpolation whose kernel widens where the image shrinks."""
    for axis, length, new, step in _resized_axes(input, size, scale_factor, recompute_scale_factor):
        if align_corners:
            step = (length - 1) / max(new - 1, 1)
        center = (np.arange(new)[:, None] + 0.5) * step
        distance = np.abs(np.arange(length) + 0.5 - center) / max(step, 1)
        if mode == "bilinear":
            weight = np.maximum(1 - distance, 0)
        else:
            near = (1.5 * distance - 2.5) * distance**2 + 1
            far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
            weight = np.where(distance < 1, near, np.where(distance < 2, far, 0))
        weight = weight / weight.sum(1, keepdims=True)
        moved = mx.moveaxis(input, axis, -1) @ mx.array(weight.T, input.dtype)
        input = mx.moveaxis(moved, -1, axis)
    return input


def _resize_area(input, size=None, scale_factor=None):
    """The mean of what each output element covers."""
    axes = _resized_axes(input, size, scale_factor)
    return _adaptive_avg_pool(input, [new for _, _, new, _ in axes], rank=len(axes))


@ports("torch.nn.functional.interpolate")
def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    if antialias:
        return _resize_antialiased(
            input,
            mode,
            size=size,
            scale_factor=scale_factor,
            recompute_scale_factor=recompute_scale_factor,
            align_corners=align_corners,
        )
    if mode == "nearest":
        return _resize_nearest(
            input,
            size=size,
            scale_factor=scale_factor,
            recompute_scale_factor=recompute_scale_factor,
        )
    if mode == "nearest-exact":
        return _resize_nearest(
            input,
            size=size,
            scale_factor=scale_factor,
            recompute_scale_factor=recompute_scale_factor,
            offset=0.5,
        )
    if mode == "area":
        return _resize_area(input, size=size, scale_factor=scale_factor)
    if mode == "bicubic":
        return _resize_cubic(
            input,
            size=size,
            scale_factor=scale_factor,
            recompute_scale_factor=recompute_scale_factor,
            align_corners=align_corners,
        )
    return _resize_linear(
        input,
        size=size,
        scale_factor=scale_factor,
        recompute_scale_factor=recompute_scale_factor,
        align_corners=align_corners,
    )


@ports("torch.nn.functional.upsample")
def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    return interpolate(input, size, scale_factor, mode, align_corners)


@ports("torch.nn.functional.upsample_nearest")
def upsample_nearest(input, size=None, scale_factor=None):
    return _resize_nearest(input, size=size, scale_factor=scale_factor)


@ports("torch.nn.functional.upsample_bilinear")
def upsample_bilinear(input, size=None, scale_factor=None):
    return _resize_linear(input, size=size, scale_factor=scale_factor, align_corners=True)


# --------------------------------------------------------------------------------- sampling


@ports("torch.nn.functional.affine_grid", "torch.affine_grid_generator")
def affine_grid(theta, size, align_corners=None):
    """The sampling grid of an affine map, (batch, *spatial, coordinates), x first."""
    steps = []
    for length in size[2:]:
        end = 0 if length == 1 else 1 if align_corners else (length - 1) / length
        steps.append(mx.linspace(-end, end, length, dtype=theta.dtype))
    points = mx.meshgrid(*steps, indexing="ij")
    points = mx.stack([*reversed(points), mx.ones_like(points[0])], axis=-1)
    grid = points.reshape(-1, points.shape[-1]) @ theta.swapaxes(1, 2)
    return grid.reshape(theta.shape[0], *size[2:], -1)


@ports("torch.nn.functional.grid_sample")
def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """Samples (batch, channels, *spatial) at the grid's points in [-1, 1], x first."""
    axes = []  # of each spatial axis, the (index, weight) of each neighbour of the points
    for i, length in enumerate(input.shape[2:]):
        position = grid[..., -1 - i]
        if align_corners:
            position = (position + 1) / 2 * (length - 1)
        else:
            position = ((position + 1) * length - 1) / 2
        if mode != "bicubic":
            position = _into_range(position, length, padding_mode, align_corners)
        axes.append(_neighbours(position, length, mode, padding_mode, align_corners))
    batch = mx.arange(input.shape[0]).reshape(-1, *[1] * (grid.ndim - 2))
    output = 0
    for taps in itertools.product(*axes):
        values = input[(batch, slice(None), *[index for index, _ in taps])]
        for _, weight in taps:
            values = values * weight[..., None]
        output = output + values
    return mx.moveaxis(output, -1, 1)


@ports("torch.grid_sampler", "torch.grid_sampler_2d", "torch.grid_sampler_3d")
def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """grid_sample, with its modes by number."""
    return grid_sample(
        input,
        grid,
        "bilinear"
        if interpolation_mode == 0
        else "nearest"
        if interpolation_mode == 1
        else "bicubic",
        "zeros" if padding_mode == 0 else "border" if padding_mode == 1 else "reflection",
        align_corners,
    )


def _into_range(position, length, padding_mode, align_corners):
    """Positions as the padding mode moves them; what is clipped has no gradient."""
    if padding_mode == "zeros":
        return position
    if padding_mode == "reflection":
        low, span = (0, length - 1) if align_corners else (-0.5, length)
        if span == 0:
            return mx.zeros_like(position)
        offset = mx.where(position < low, low - position, position - low)
        flips = mx.floor(offset / span)
        offset = offset - flips * span
        position = low + mx.where(flips % 2 == 0, offset, span - offset)
    return mx.where(position <= 0, 0, mx.where(position >= length - 1, length - 1, position))


def _neighbours(position, length, mode, padding_mode, align_corners):
    """(index, weight) of the elements around each position; outside an axis the weight is 0."""
    if mode == "nearest":
        taps = [(mx.round(position), mx.ones_like(position))]
    elif mode == "bilinear":
        low = mx.floor(position)
        taps = [(low, 1 - (position - low)), (low + 1, position - low)]
    else:
        low = mx.floor(position)
        taps = [
            (_into_range(low + shift, length, padding_mode, align_corners), weight)
            for shift, weight in zip((-1, 0, 1, 2), _cubic_weights(position - low), strict=True)
        ]
    return [
        (
            mx.stop_gradient(mx.clip(index, 0, length - 1)).astype(mx.int32),
            mx.where((index >= 0) & (index < length), weight, 0),
        )
        for index, weight in taps
    ]


# -------------------------------------------------------------------------------- shuffling


@ports("torch.nn.functional.pixel_shuffle", "torch.pixel_shuffle")
def pixel_shuffle(input, upscale_factor):
    """(..., channels * r**2, height, width) to (..., channels, height * r, width * r)."""
    *lead, channels, height, width = input.shape
    r = upscale_factor
    blocks = input.reshape(*lead, channels // r**2, r, r, height, width)
    n = len(lead) + 1
    blocks = blocks.transpose(*range(n), n + 2, n, n + 3, n + 1)
    return blocks.reshape(*lead, channels // r**2, height * r, width * r)


@ports("torch.nn.functional.pixel_unshuffle", "torch.pixel_unshuffle")
def pixel_unshuffle(input, downscale_factor):
    """(..., channels, height * r, width * r) to (..., channels * r**2, height, width)."""
    *lead, channels, height, width = input.shape
    r = downscale_factor
    blocks = input.reshape(*lead, channels, height // r, r, width // r, r)
    n = len(lead) + 1
    blocks = blocks.transpose(*range(n), n + 1, n + 3, n, n + 2)
    return blocks.reshape(*lead, channels * r**2, height // r, width // r)


@ports(
    "torch.nn.functional.channel_shuffle",
    "torch.nn.functional.native_channel_shuffle",
    "torch.channel_shuffle",
    "torch.native_channel_shuffle",
)
def channel_shuffle(input, groups):
    """Deals the channels of axis 1 out to the groups in turn."""
    batch, channels, *spatial = input.shape
    grouped = input.reshape(batch, groups, channels // groups, *spatial)
    return grouped.swapaxes(1, 2).reshape(input.shape)
