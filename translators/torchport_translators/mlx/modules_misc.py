"""Shapes, padding, resizing, distances and dropout: torch.nn modules, most of them as functions."""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.dropout import alpha_dropout, feature_alpha_dropout
from torchport_translators.mlx.losses import cosine_similarity, pairwise_distance
from torchport_translators.mlx.vision import (
    _pad_constant,
    _resize_linear,
    _resize_nearest,
    channel_shuffle,
    interpolate,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    upsample_bilinear,
    upsample_nearest,
)


@ports("torch.nn.Identity")
def Identity(*args, **kwargs):
    return nn.Identity()


# ----------------------------------------------------------------------------------- shapes


@ports("torch.nn.Flatten")
def Flatten(start_dim=1, end_dim=-1):
    return partial(mx.flatten, start_axis=start_dim, end_axis=end_dim)


@ports("torch.nn.Unflatten")
def Unflatten(dim, unflattened_size):
    return partial(mx.unflatten, axis=dim, shape=unflattened_size)


@ports("torch.nn.PixelShuffle")
def PixelShuffle(upscale_factor):
    return partial(pixel_shuffle, upscale_factor=upscale_factor)


@ports("torch.nn.PixelUnshuffle")
def PixelUnshuffle(downscale_factor):
    return partial(pixel_unshuffle, downscale_factor=downscale_factor)


@ports("torch.nn.ChannelShuffle")
def ChannelShuffle(groups):
    return partial(channel_shuffle, groups=groups)


# --------------------------------------------------------------------------------- resizing


@ports("torch.nn.Upsample")
def Upsample(
    size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None
):
    if mode == "nearest":
        return partial(
            _resize_nearest,
            size=size,
            scale_factor=scale_factor,
            recompute_scale_factor=recompute_scale_factor,
        )
    if mode == "linear" or mode == "bilinear" or mode == "trilinear":
        return partial(
            _resize_linear,
            size=size,
            scale_factor=scale_factor,
            align_corners=align_corners,
            recompute_scale_factor=recompute_scale_factor,
        )
    return partial(
        interpolate,
        size=size,
        scale_factor=scale_factor,
        mode=mode,
        align_corners=align_corners,
        recompute_scale_factor=recompute_scale_factor,
    )


@ports("torch.nn.UpsamplingNearest2d")
def UpsamplingNearest2d(size=None, scale_factor=None):
    return partial(upsample_nearest, size=size, scale_factor=scale_factor)


@ports("torch.nn.UpsamplingBilinear2d")
def UpsamplingBilinear2d(size=None, scale_factor=None):
    return partial(upsample_bilinear, size=size, scale_factor=scale_factor)


# -------------------------------------------------------------------------------- distances


@ports("torch.nn.CosineSimilarity")
def CosineSimilarity(dim=1, eps=1e-8):
    return partial(cosine_similarity, dim=dim, eps=eps)


@ports("torch.nn.PairwiseDistance")
def PairwiseDistance(p=2.0, eps=1e-6, keepdim=False):
    return partial(pairwise_distance, p=p, eps=eps, keepdim=keepdim)


# ---------------------------------------------------------------------------------- dropout


@ports("torch.nn.Dropout")
def Dropout(p=0.5, inplace=False):
    return nn.Dropout(p)


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


@ports("torch.nn.Dropout1d")
def Dropout1d(p=0.5, inplace=False):
    return ChannelDropout(p=p, rank=1)


@ports("torch.nn.Dropout2d")
def Dropout2d(p=0.5, inplace=False):
    return ChannelDropout(p=p, rank=2)


@ports("torch.nn.Dropout3d")
def Dropout3d(p=0.5, inplace=False):
    return ChannelDropout(p=p, rank=3)


@ports("torch.nn.AlphaDropout")
class AlphaDropout(nn.Module):
    """Dropout that keeps the mean and variance of what SELU gives."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def __call__(self, input):
        return alpha_dropout(input, self.p, self.training)


@ports("torch.nn.FeatureAlphaDropout")
class FeatureAlphaDropout(nn.Module):
    """Alpha dropout of whole channels of (batch, channels, ...)."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def __call__(self, input):
        return feature_alpha_dropout(input, self.p, self.training)


# ---------------------------------------------------------------------------------- padding


@ports("torch.nn.ZeroPad1d")
def ZeroPad1d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(x, [(0, 0)] * (x.ndim - 1) + [(padding, padding)])
    return partial(_pad_constant, pad=(padding,) * 2 if isinstance(padding, int) else padding)


@ports("torch.nn.ZeroPad2d")
def ZeroPad2d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(x, [(0, 0)] * (x.ndim - 2) + [(padding, padding)] * 2)
    return partial(_pad_constant, pad=(padding,) * 4 if isinstance(padding, int) else padding)


@ports("torch.nn.ZeroPad3d")
def ZeroPad3d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(x, [(0, 0)] * (x.ndim - 3) + [(padding, padding)] * 3)
    return partial(_pad_constant, pad=(padding,) * 6 if isinstance(padding, int) else padding)


@ports("torch.nn.ConstantPad1d")
def ConstantPad1d(padding, value):
    return partial(
        _pad_constant, pad=(padding,) * 2 if isinstance(padding, int) else padding, value=value
    )


@ports("torch.nn.ConstantPad2d")
def ConstantPad2d(padding, value):
    return partial(
        _pad_constant, pad=(padding,) * 4 if isinstance(padding, int) else padding, value=value
    )


@ports("torch.nn.ConstantPad3d")
def ConstantPad3d(padding, value):
    return partial(
        _pad_constant, pad=(padding,) * 6 if isinstance(padding, int) else padding, value=value
    )


@ports("torch.nn.ReflectionPad1d")
def ReflectionPad1d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(x, [(0, 0)] * (x.ndim - 1) + [(padding, padding)], mode="reflect")
    return partial(pad, pad=(padding,) * 2 if isinstance(padding, int) else padding, mode="reflect")


@ports("torch.nn.ReflectionPad2d")
def ReflectionPad2d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(
            x, [(0, 0)] * (x.ndim - 2) + [(padding, padding)] * 2, mode="reflect"
        )
    return partial(pad, pad=(padding,) * 4 if isinstance(padding, int) else padding, mode="reflect")


@ports("torch.nn.ReflectionPad3d")
def ReflectionPad3d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(
            x, [(0, 0)] * (x.ndim - 3) + [(padding, padding)] * 3, mode="reflect"
        )
    return partial(pad, pad=(padding,) * 6 if isinstance(padding, int) else padding, mode="reflect")


@ports("torch.nn.ReplicationPad1d")
def ReplicationPad1d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(x, [(0, 0)] * (x.ndim - 1) + [(padding, padding)], mode="edge")
    return partial(
        pad, pad=(padding,) * 2 if isinstance(padding, int) else padding, mode="replicate"
    )


@ports("torch.nn.ReplicationPad2d")
def ReplicationPad2d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(x, [(0, 0)] * (x.ndim - 2) + [(padding, padding)] * 2, mode="edge")
    return partial(
        pad, pad=(padding,) * 4 if isinstance(padding, int) else padding, mode="replicate"
    )


@ports("torch.nn.ReplicationPad3d")
def ReplicationPad3d(padding):
    if isinstance(padding, int) and padding >= 0:
        return lambda x: mx.pad(x, [(0, 0)] * (x.ndim - 3) + [(padding, padding)] * 3, mode="edge")
    return partial(
        pad, pad=(padding,) * 6 if isinstance(padding, int) else padding, mode="replicate"
    )


@ports("torch.nn.CircularPad1d")
def CircularPad1d(padding):
    return partial(
        pad, pad=(padding,) * 2 if isinstance(padding, int) else padding, mode="circular"
    )


@ports("torch.nn.CircularPad2d")
def CircularPad2d(padding):
    return partial(
        pad, pad=(padding,) * 4 if isinstance(padding, int) else padding, mode="circular"
    )


@ports("torch.nn.CircularPad3d")
def CircularPad3d(padding):
    return partial(
        pad, pad=(padding,) * 6 if isinstance(padding, int) else padding, mode="circular"
    )
