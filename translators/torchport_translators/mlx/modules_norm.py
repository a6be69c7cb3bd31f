"""Normalization: torch.nn modules on MLX's, in torch's axis order and with torch's constants."""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.modules_linear import _cast
from torchport_translators.mlx.normalization import (
    _normalized_groups,
    _scale_channels,
    layer_norm,
    local_response_norm,
    rms_norm,
)


@ports(
    "torch.nn.BatchNorm1d",
    "torch.nn.BatchNorm2d",
    "torch.nn.BatchNorm3d",
    "torch.nn.SyncBatchNorm",
)
class BatchNorm(nn.BatchNorm):
    """nn.BatchNorm over axis 1 of as many axes as there are."""

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum: float = 0.1,
        affine=True,
        track_running_stats=True,
        *,
        bias=True,
        dtype=None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        if not bias:
            self.bias = 0
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        if input.size == 0:  # which has no statistics
            return input
        x = mx.moveaxis(input, 1, -1)
        output = super().__call__(x.reshape(-1, self.num_features))
        return mx.moveaxis(output.reshape(x.shape), -1, 1)


@ports("torch.nn.LayerNorm")
def LayerNorm(normalized_shape: int, eps=1e-5, elementwise_affine=True, bias=True, *, dtype=None):
    if not elementwise_affine:
        return LayerNormOverAxes(normalized_shape, eps, False)
    if dtype is not None:
        return _cast(nn.LayerNorm(normalized_shape, eps=eps, bias=bias), dtype)
    return nn.LayerNorm(normalized_shape, eps=eps, bias=bias)


@ports("torch.nn.LayerNorm")
class LayerNormOverAxes(nn.LayerNorm):
    """nn.LayerNorm over the last axes, as many as `normalized_shape` has."""

    def __init__(
        self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, *, dtype=None
    ):
        super().__init__(normalized_shape, eps, False)
        is_int = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if is_int else tuple(normalized_shape)
        if elementwise_affine:
            self.weight = mx.ones(self.normalized_shape, dtype)
            self.bias = mx.zeros(self.normalized_shape, dtype) if bias else None

    def __call__(self, input):
        return layer_norm(
            input, self.normalized_shape, self.get("weight"), self.get("bias"), self.eps
        )


@ports("torch.nn.RMSNorm")
def RMSNorm(normalized_shape: int, eps=None, elementwise_affine=True, *, dtype=None):
    if not elementwise_affine:
        return RMSNormOverAxes(normalized_shape, eps, False)
    if dtype is not None:
        eps = mx.finfo(dtype).eps if eps is None else eps
        return _cast(nn.RMSNorm(normalized_shape, eps=eps), dtype)
    return nn.RMSNorm(normalized_shape, eps=mx.finfo(mx.float32).eps if eps is None else eps)


@ports("torch.nn.RMSNorm")
class RMSNormOverAxes(nn.RMSNorm):
    """nn.RMSNorm over the last axes, as many as `normalized_shape` has."""

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, *, dtype=mx.float32):
        is_int = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if is_int else tuple(normalized_shape)
        super().__init__(1, mx.finfo(dtype).eps if eps is None else eps)
        self.weight = mx.ones(self.normalized_shape, dtype) if elementwise_affine else None

    def _extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}"

    def __call__(self, input):
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)


@ports("torch.nn.GroupNorm")
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


class InstanceNorm(nn.InstanceNorm):
    """nn.InstanceNorm over the last `rank` axes, the channels before them; the batch is optional."""

    def __init__(self, num_features, eps=1e-5, affine=False, bias=True, *, rank, dtype=None):
        super().__init__(num_features, eps, affine)
        self.rank = rank
        if not bias:
            self.pop("bias", None)
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, input):
        output = mx.fast.layer_norm(input.flatten(-self.rank), None, None, self.eps)
        if "weight" in self:
            output = output * self.weight[:, None]
        if "bias" in self:
            output = output + self.bias[:, None]
        return output.reshape(input.shape)


class TrackedInstanceNorm(InstanceNorm):
    """InstanceNorm that keeps running statistics, and goes by them in evaluation."""

    def __init__(
        self, num_features, eps=1e-5, momentum=0.1, affine=False, bias=True, *, rank, dtype=None
    ):
        super().__init__(num_features, eps, affine, bias, rank=rank)
        self.momentum = momentum
        self.running_mean = mx.zeros((num_features,))
        self.running_var = mx.ones((num_features,))
        self.freeze(keys=["running_mean", "running_var"], recurse=False)
        if dtype is not None:
            self.set_dtype(dtype)

    def unfreeze(self, *args, **kwargs):
        super().unfreeze(*args, **kwargs)
        self.freeze(keys=["running_mean", "running_var"], recurse=False)

    def __call__(self, input):
        flat = input.flatten(-self.rank)
        if self.training:
            axes = tuple(range(flat.ndim - 2))  # of the batch, where there is one
            mean = mx.mean(mx.mean(flat, axis=-1), axis=axes)
            var = mx.mean(mx.var(flat, axis=-1, ddof=1), axis=axes)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * var
            return super().__call__(input)
        output = flat - self.running_mean[:, None]
        output = output * mx.rsqrt(self.running_var + self.eps)[:, None]
        if "weight" in self:
            output = output * self.weight[:, None]
        if "bias" in self:
            output = output + self.bias[:, None]
        return output.reshape(input.shape)


def _instance_norm(num_features, eps, momentum, affine, track_running_stats, bias, dtype, rank):
    if track_running_stats:
        return TrackedInstanceNorm(
            num_features,
            eps=eps,
            momentum=momentum,
            affine=affine,
            bias=bias,
            rank=rank,
            dtype=dtype,
        )
    return InstanceNorm(num_features, eps=eps, affine=affine, bias=bias, rank=rank, dtype=dtype)


@ports("torch.nn.InstanceNorm1d")
def InstanceNorm1d(
    num_features,
    eps=1e-5,
    momentum=0.1,
    affine=False,
    track_running_stats=False,
    *,
    bias=True,
    dtype=None,
):
    return _instance_norm(
        num_features, eps, momentum, affine, track_running_stats, bias, dtype, rank=1
    )


@ports("torch.nn.InstanceNorm2d")
def InstanceNorm2d(
    num_features,
    eps=1e-5,
    momentum=0.1,
    affine=False,
    track_running_stats=False,
    *,
    bias=True,
    dtype=None,
):
    return _instance_norm(
        num_features, eps, momentum, affine, track_running_stats, bias, dtype, rank=2
    )


@ports("torch.nn.InstanceNorm3d")
def InstanceNorm3d(
    num_features,
    eps=1e-5,
    momentum=0.1,
    affine=False,
    track_running_stats=False,
    *,
    bias=True,
    dtype=None,
):
    return _instance_norm(
        num_features, eps, momentum, affine, track_running_stats, bias, dtype, rank=3
    )


@ports("torch.nn.LocalResponseNorm")
def LocalResponseNorm(size, alpha=1e-4, beta=0.75, k=1.0):
    return partial(local_response_norm, size=size, alpha=alpha, beta=beta, k=k)


def cross_map_lrn(input, size, alpha=1e-4, beta=0.75, k=1):
    """Over the channels on both sides of each, of (batch, channels, height, width).

    As in torch, channel 0 counts in all windows behind its own as well.
    """
    reach = (size - 1) // 2
    squares = mx.square(input)
    padded = mx.pad(squares, [(0, 0), (reach, reach), (0, 0), (0, 0)])
    total = sum(padded[:, i : i + input.shape[1]] for i in range(2 * reach + 1))
    behind = mx.arange(input.shape[1])[:, None, None] > reach
    total = total + mx.where(behind, squares[:, :1], 0)
    return input / (total * (alpha / size) + k) ** beta


@ports("torch.nn.CrossMapLRN2d")
def CrossMapLRN2d(size, alpha=1e-4, beta=0.75, k=1):
    return partial(cross_map_lrn, size=size, alpha=alpha, beta=beta, k=k)


@ports("torch.nn.SyncBatchNorm.convert_sync_batchnorm")
def convert_sync_batchnorm(module, process_group=None) -> nn.Module:
    """MLX runs on one device, whose batch is the whole batch."""
    return module
