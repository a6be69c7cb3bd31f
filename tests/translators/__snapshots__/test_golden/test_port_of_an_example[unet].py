# Ported from PyTorch (unet.py) to JAX by torchport VERSION.
# torchport: source=unet.py target=jax text=a9aa9db4f27c
# torchport: DoubleConv=5846391bfabf UpBlock=250d5343657e UNet=9434aa39a1bc

"""A small U-Net for segmentation: one encoder, one decoder, several heads.

Ronneberger et al. (2015), with GroupNorm and SiLU in place of BatchNorm and ReLU, so that
it trains with small batches. Two-space indentation, as this team likes it.
"""

import math
from collections import OrderedDict
from functools import partial
from typing import Dict, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax


def _per_axis(value, rank):
    """One number for each spatial axis, from a number or a sequence of one or of all."""
    return (value,) * rank if isinstance(value, int) else tuple(value) * (rank // len(value))


def _margins(padding, kernel_size, dilation):
    """The (low, high) padding of each axis; "same" keeps the lengths."""
    if padding == "same":
        spare = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
        return tuple((s // 2, s - s // 2) for s in spare)
    return tuple((p, p) for p in _per_axis(0 if padding == "valid" else padding, len(kernel_size)))


def _uniform_within(bound):
    """An initializer: uniform in [-bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def _pad_spatial(x, margins, padding_mode):
    """Pads the axes before the last other than by zeros."""
    mode = {"circular": "wrap", "replicate": "edge"}.get(padding_mode, padding_mode)
    return jnp.pad(x, [*[(0, 0)] * (x.ndim - len(margins) - 1), *margins, (0, 0)], mode=mode)


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


class GroupNorm(nnx.GroupNorm):
    """nnx.GroupNorm with the channels on axis 1."""

    def __init__(
        self,
        num_groups,
        num_channels,
        eps=1e-5,
        affine=True,
        *,
        bias=True,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            num_channels,
            num_groups,
            epsilon=eps,
            use_bias=affine and bias,
            use_scale=affine,
            use_fast_variance=False,
            param_dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, input):
        return jnp.moveaxis(super().__call__(jnp.moveaxis(input, 1, -1)), -1, 1)


class NamedSequential(nnx.Module):
    """Layers called in turn, each under its own name."""

    def __init__(self, layers: dict):
        self.names = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __call__(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
        return x


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
    """Where each output element lies on the axis of the input."""
    if align_corners:
        return np.arange(new) * ((length - 1) / max(new - 1, 1))
    return (np.arange(new) + 0.5) * step - 0.5


def _weigh(input, axis, index, weight):
    """The sum of the elements `index` along an axis by `weight`, both (taps, new length)."""
    shape = (-1, *[1] * (input.ndim - axis - 1))
    taps = [
        jnp.take(input, i, axis=axis) * jnp.asarray(w.reshape(shape), input.dtype)
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


# torchport: check(x=f32[2, 3, 16, 16], init=(3, 8))
class DoubleConv(nnx.Module):
  """(Conv 3×3 → GroupNorm → SiLU) × 2, with a residual connection."""

  def __init__(
      self, in_channels: int, out_channels: int, groups: int = 4, *, rngs: nnx.Rngs
  ):
    self.block = NamedSequential(
      OrderedDict(
        [
          (
              'conv1',
              Conv2d(in_channels, out_channels, 3, padding=1, bias=False, rngs=rngs),
          ),
          ('norm1', GroupNorm(groups, out_channels, rngs=rngs)),
          ('act1', nnx.silu),
          (
              'conv2',
              Conv2d(out_channels, out_channels, 3, padding=1, bias=False, rngs=rngs),
          ),
          ('norm2', GroupNorm(groups, out_channels, rngs=rngs)),
        ]
      )
    )
    if in_channels == out_channels:
      self.skip = nnx.identity
    else:
      self.skip = Conv2d(in_channels, out_channels, kernel_size=1, rngs=rngs)

  def __call__(self, x: jax.Array) -> jax.Array:
    return jax.nn.silu(self.block(x) + self.skip(x))


# torchport: check(x=f32[2, 16, 7, 5], skip=f32[2, 8, 15, 11], init=(16, 8))
class UpBlock(nnx.Module):
  """Doubles the resolution, then merges what the encoder saw there."""

  def __init__(self, in_channels: int, skip_channels: int, *, rngs: nnx.Rngs):
    self.up = ConvTranspose2d(
        in_channels, skip_channels, kernel_size=2, stride=2, rngs=rngs
    )
    self.conv = DoubleConv(2 * skip_channels, skip_channels, rngs=rngs)

  def __call__(self, x: jax.Array, skip: jax.Array) -> jax.Array:
    x = self.up(x)
    # An odd side was rounded down on the way in: 15 → 7 → 14 ≠ 15.
    if x.shape[-2:] != skip.shape[-2:]:
      x = _resize_linear(x, size=skip.shape[-2:], align_corners=False)
    return self.conv(jnp.concatenate([skip, x], axis=1))


# torchport: check(x=f32[2, 3, 30, 22])
class UNet(nnx.Module):
  """Image (B, 3, H, W) → one map (B, n, H, W) per head, by the head's name."""

  def __init__(
    self,
    in_channels: int = 3,
    widths: Sequence[int] = (8, 16, 32),
    dropout: float = 0.1,
    *,
    rngs: nnx.Rngs,
  ):
    self.stem = DoubleConv(in_channels, widths[0], rngs=rngs)
    self.down = nnx.List([])
    self.up = nnx.List([])
    for narrow, wide in zip(widths, widths[1:]):
      self.down.append(DoubleConv(narrow, wide, rngs=rngs))
      self.up.insert(0, UpBlock(wide, narrow, rngs=rngs))
    self.pool = partial(_max_pool, kernel_size=2, rank=2)
    self.dropout = nnx.Dropout(dropout, broadcast_dims=(2, 3), rngs=rngs)
    self.heads = nnx.Dict(
      {
        # fond, bâtiment, forêt, route
        'classes': Conv2d(widths[0], 4, kernel_size=1, rngs=rngs),
        'edges': Conv2d(widths[0], 1, kernel_size=1, rngs=rngs),
      }
    )

  def __call__(self, x: jax.Array) -> Dict[str, jax.Array]:
    x = self.stem(x)
    skips = []
    for down in self.down:
      skips.append(x)
      x = down(self.pool(x))
    x = self.dropout(x)
    for up in self.up:
      x = up(x, skips.pop())
    return {name: head(x) for name, head in self.heads.items()}
