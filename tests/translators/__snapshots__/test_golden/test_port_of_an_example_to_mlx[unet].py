# Ported from PyTorch (unet.py) to MLX by torchport VERSION.
# torchport: source=unet.py target=mlx text=a37c370c0479
# torchport: DoubleConv=5846391bfabf UpBlock=250d5343657e UNet=9434aa39a1bc

"""A small U-Net for segmentation: one encoder, one decoder, several heads.

Ronneberger et al. (2015), with GroupNorm and SiLU in place of BatchNorm and ReLU, so that
it trains with small batches. Two-space indentation, as this team likes it.
"""

import math
from collections import OrderedDict
from functools import partial
from typing import Dict, Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np


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


def _mean_of_means(groups):
    return mx.mean(mx.mean(groups, axis=-1, keepdims=True), axis=-2, keepdims=True)


def _normalized_groups(input, num_groups, eps):
    """Groups of channels with mean 0 and variance 1.

    A mean of the channels' means rounds less than one sum over all elements of a group.
    """
    batch, channels, *lengths = input.shape
    groups = input.reshape(batch, num_groups, channels // num_groups, math.prod(lengths))
    centred = groups - _mean_of_means(groups)
    variance = _mean_of_means(mx.square(centred))
    return (centred * mx.rsqrt(variance + eps)).reshape(input.shape)


def _scale_channels(input, weight=None, bias=None):
    """An affine map with one weight and bias for each channel of axis 1."""
    shape = (-1, *[1] * (input.ndim - 2))
    if weight is not None:
        input = input * weight.reshape(shape)
    return input if bias is None else input + bias.reshape(shape)


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm with the channels on axis 1."""

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, *, bias=True, dtype=None):
        super().__init__(num_groups, num_channels, eps, affine)
        if not bias:
            self.pop("bias", None)
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        output = _normalized_groups(input, self.num_groups, self.eps)
        return _scale_channels(output, self.get("weight"), self.get("bias"))


class NamedSequential(nn.Module):
    """Layers called in turn, each under its own name."""

    def __init__(self, layers: dict):
        super().__init__()
        self.names = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __call__(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
        return x


def _per_axis(value, rank):
    """One number for each spatial axis, from a number or a sequence of one or of all."""
    return (value,) * rank if isinstance(value, int) else tuple(value) * (rank // len(value))


def _convolve(x, weight, margins, groups, **options):
    """mx.conv_general, channels last, padded by (low, high) on each axis.

    MLX has no groups over three axes; they are convolved one by one.
    """
    options["padding"] = tuple(zip(*margins, strict=True))
    if groups == 1 or x.ndim < 5:
        return mx.conv_general(x, weight, groups=groups, **options)
    pairs = zip(mx.split(x, groups, axis=-1), mx.split(weight, groups), strict=True)
    return mx.concatenate([mx.conv_general(*pair, **options) for pair in pairs], axis=-1)


def _conv_transpose(
    input,
    weight,
    bias=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
    output_size=None,
):
    """The gradient of a convolution: the input, spread by the stride, under the flipped kernel."""
    options = (stride, padding, output_padding, groups, dilation, output_size)
    if input.ndim < weight.ndim:
        return _conv_transpose(input[None], weight, bias, *options)[0]
    in_channels, group_outputs, *kernel = weight.shape
    rank = len(kernel)
    stride, padding, dilation, extra = (
        _per_axis(value, rank) for value in (stride, padding, dilation, output_padding)
    )
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    axes = zip(input.shape[2:], stride, padding, reach, strict=True)
    lengths = [(n - 1) * s - 2 * p + r + 1 for n, s, p, r in axes]
    if output_size is not None:
        extra = [new - n for new, n in zip(output_size[-rank:], lengths, strict=True)]
    weight = weight.reshape(groups, in_channels // groups, group_outputs, *kernel)
    output = _convolve(
        mx.moveaxis(input, 1, -1),
        mx.moveaxis(weight, 1, -1).flatten(0, 1),
        [(r, r) for r in reach],
        groups,
        kernel_dilation=dilation,
        input_dilation=stride,
        flip=True,
    )
    # Padding crops the output; told of it, MLX has wrong gradients where output_padding is larger.
    if any(e > p for p, e in zip(padding, extra, strict=True)):
        beyond = [(0, max(e - p, 0)) for p, e in zip(padding, extra, strict=True)]
        output = mx.pad(output, [(0, 0), *beyond, (0, 0)])
    ends = [p + n + e for p, n, e in zip(padding, lengths, extra, strict=True)]
    output = output[:, *[slice(p, end) for p, end in zip(padding, ends, strict=True)]]
    return mx.moveaxis(output if bias is None else output + bias, -1, 1)


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


def _source_positions(length, new, step, align_corners):
    """Where each output element lies on the axis of the input, to float32 as in torch."""
    if align_corners:
        source = np.arange(new) * float(np.float32((length - 1) / max(new - 1, 1)))
    else:
        source = (np.arange(new) + 0.5) * float(np.float32(step)) - 0.5
    return source.astype(np.float32)


def _weigh(input, axis, index, weight):
    """The sum of the elements `index` along an axis by `weight`, both (taps, new length)."""
    shape = (-1, *[1] * (input.ndim - axis - 1))
    taps = [
        mx.take(input, mx.array(i), axis=axis) * mx.array(w.reshape(shape), input.dtype)
        for i, w in zip(index, weight, strict=True)
    ]
    return sum(taps[1:], taps[0])


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


class ChannelDropout(nn.Module):
    """Drops whole channels: the last `rank` axes of an element go together."""

    def __init__(self, p=0.5, *, rank):
        super().__init__()
        self.p = p
        self.rank = rank

    def __call__(self, input):
        if self.p == 0 or not self.training:
            return input
        # Of two axes torch takes (batch, channels, length) as well.
        channels = 2 if self.rank == 2 else input.ndim - self.rank
        shape = (*input.shape[:channels], *[1] * (input.ndim - channels))
        mask = mx.random.bernoulli(1 - self.p, shape)
        return input * mask * (0 if self.p == 1 else 1 / (1 - self.p))


# torchport: check(x=f32[2, 3, 16, 16], init=(3, 8))
class DoubleConv(nn.Module):
  """(Conv 3×3 → GroupNorm → SiLU) × 2, with a residual connection."""

  def __init__(self, in_channels: int, out_channels: int, groups: int = 4):
    super().__init__()
    self.block = NamedSequential(
      OrderedDict(
        [
          ('conv1', Conv2d(in_channels, out_channels, 3, padding=1, bias=False)),
          ('norm1', GroupNorm(groups, out_channels)),
          ('act1', nn.SiLU()),
          ('conv2', Conv2d(out_channels, out_channels, 3, padding=1, bias=False)),
          ('norm2', GroupNorm(groups, out_channels)),
        ]
      )
    )
    if in_channels == out_channels:
      self.skip = nn.Identity()
    else:
      self.skip = Conv2d(in_channels, out_channels, kernel_size=1)

  def __call__(self, x: mx.array) -> mx.array:
    return nn.silu(self.block(x) + self.skip(x))


# torchport: check(x=f32[2, 16, 7, 5], skip=f32[2, 8, 15, 11], init=(16, 8))
class UpBlock(nn.Module):
  """Doubles the resolution, then merges what the encoder saw there."""

  def __init__(self, in_channels: int, skip_channels: int):
    super().__init__()
    self.up = ConvTranspose2d(in_channels, skip_channels, kernel_size=2, stride=2)
    self.conv = DoubleConv(2 * skip_channels, skip_channels)

  def __call__(self, x: mx.array, skip: mx.array) -> mx.array:
    x = self.up(x)
    # An odd side was rounded down on the way in: 15 → 7 → 14 ≠ 15.
    if x.shape[-2:] != skip.shape[-2:]:
      x = _resize_linear(x, size=skip.shape[-2:], align_corners=False)
    return self.conv(mx.concatenate([skip, x], axis=1))


# torchport: check(x=f32[2, 3, 30, 22])
class UNet(nn.Module):
  """Image (B, 3, H, W) → one map (B, n, H, W) per head, by the head's name."""

  def __init__(
    self,
    in_channels: int = 3,
    widths: Sequence[int] = (8, 16, 32),
    dropout: float = 0.1,
  ):
    super().__init__()
    self.stem = DoubleConv(in_channels, widths[0])
    self.down = []
    self.up = []
    for narrow, wide in zip(widths, widths[1:]):
      self.down.append(DoubleConv(narrow, wide))
      self.up.insert(0, UpBlock(wide, narrow))
    self.pool = partial(_max_pool, kernel_size=2, rank=2)
    self.dropout = ChannelDropout(p=dropout, rank=2)
    self.heads = {
        'classes': Conv2d(widths[0], 4, kernel_size=1),  # fond, bâtiment, forêt, route
        'edges': Conv2d(widths[0], 1, kernel_size=1),
      }

  def __call__(self, x: mx.array) -> Dict[str, mx.array]:
    x = self.stem(x)
    skips = []
    for down in self.down:
      skips.append(x)
      x = down(self.pool(x))
    x = self.dropout(x)
    for up in self.up:
      x = up(x, skips.pop())
    return {name: head(x) for name, head in self.heads.items()}
