"""Normalization: torch.nn modules on flax's, in torch's axis order and with torch's constants.

flax computes the variance as E[x^2] - E[x]^2 unless told otherwise, which at a large mean is rounding
only; each class here has `use_fast_variance=False`.
"""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax import lax

from torchport_translators.catalogue import ports
from torchport_translators.jax.normalization import local_response_norm


@ports(
    "torch.nn.BatchNorm1d",
    "torch.nn.BatchNorm2d",
    "torch.nn.BatchNorm3d",
    "torch.nn.SyncBatchNorm",
)
class BatchNorm(nnx.BatchNorm):
    """nnx.BatchNorm over axis 1, with torch's momentum and its unbiased running variance."""

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum: float = 0.1,
        affine=True,
        track_running_stats=True,
        *,
        bias=True,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            num_features,
            axis=1,
            momentum=1 - momentum,
            epsilon=eps,
            use_bias=affine and bias,
            use_scale=affine,
            use_fast_variance=False,
            param_dtype=dtype,
            rngs=rngs,
        )
        self.track_running_stats = track_running_stats
        if not track_running_stats:
            # flax computes them all the same; as a cache they are no part of a checkpoint.
            self.mean, self.var = nnx.Cache(self.mean[...]), nnx.Cache(self.var[...])

    def __call__(self, input):
        if self.use_running_average and self.track_running_stats:
            return super().__call__(input)
        kept = self.momentum * self.var[...]
        output = super().__call__(input, use_running_average=False)
        count = input.size // input.shape[1]
        self.var[...] += (self.var[...] - kept) / (count - 1)
        return output


@ports("torch.nn.LayerNorm")
class LayerNorm(nnx.LayerNorm):
    """nnx.LayerNorm over the last axes, as many as `normalized_shape` has; eps is torch's."""

    def __init__(
        self,
        normalized_shape,
        eps=1e-5,
        elementwise_affine=True,
        bias=True,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        axes = tuple(range(-len(shape), 0))
        super().__init__(
            shape[-1],
            epsilon=eps,
            use_bias=elementwise_affine and bias,
            use_scale=elementwise_affine,
            bias_init=lambda *_: jnp.zeros(shape, dtype),
            scale_init=lambda *_: jnp.ones(shape, dtype),
            reduction_axes=axes,
            feature_axes=axes,
            use_fast_variance=False,
            rngs=rngs,
        )


@ports("torch.nn.RMSNorm")
class RMSNorm(nnx.RMSNorm):
    """nnx.RMSNorm over the last axes, as many as `normalized_shape` has; eps is torch's."""

    def __init__(
        self,
        normalized_shape,
        eps=None,
        elementwise_affine=True,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        axes = tuple(range(-len(shape), 0))
        super().__init__(
            shape[-1],
            epsilon=jnp.finfo(dtype).eps if eps is None else eps,
            use_scale=elementwise_affine,
            scale_init=lambda *_: jnp.ones(shape, dtype),
            reduction_axes=axes,
            feature_axes=axes,
            rngs=rngs,
        )


@ports("torch.nn.GroupNorm")
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


def _instance_norm(num_features, eps, affine, track_running_stats, bias, rngs, axis):
    if track_running_stats:
        raise ValueError("nnx.InstanceNorm keeps no running statistics")
    return nnx.InstanceNorm(
        num_features,
        epsilon=eps,
        use_bias=affine and bias,
        use_scale=affine,
        feature_axes=axis,
        use_fast_variance=False,
        rngs=rngs,
    )


@ports("torch.nn.InstanceNorm1d")
def InstanceNorm1d(
    num_features,
    eps=1e-5,
    momentum=0.1,
    affine=False,
    track_running_stats=False,
    *,
    bias=True,
    rngs: nnx.Rngs,
):
    """`momentum` is of running statistics, which nnx.InstanceNorm does not keep."""
    return _instance_norm(num_features, eps, affine, track_running_stats, bias, rngs, axis=-2)


@ports("torch.nn.InstanceNorm2d")
def InstanceNorm2d(
    num_features,
    eps=1e-5,
    momentum=0.1,
    affine=False,
    track_running_stats=False,
    *,
    bias=True,
    rngs: nnx.Rngs,
):
    """`momentum` is of running statistics, which nnx.InstanceNorm does not keep."""
    return _instance_norm(num_features, eps, affine, track_running_stats, bias, rngs, axis=-3)


@ports("torch.nn.InstanceNorm3d")
def InstanceNorm3d(
    num_features,
    eps=1e-5,
    momentum=0.1,
    affine=False,
    track_running_stats=False,
    *,
    bias=True,
    rngs: nnx.Rngs,
):
    """`momentum` is of running statistics, which nnx.InstanceNorm does not keep."""
    return _instance_norm(num_features, eps, affine, track_running_stats, bias, rngs, axis=-4)


@ports("torch.nn.LocalResponseNorm")
def LocalResponseNorm(size, alpha=1e-4, beta=0.75, k=1.0):
    return partial(local_response_norm, size=size, alpha=alpha, beta=beta, k=k)


def cross_map_lrn(input, size, alpha=1e-4, beta=0.75, k=1):
    """Over the channels on both sides of each, of (batch, channels, height, width).

    As in torch, channel 0 counts in all windows behind its own as well.
    """
    reach = (size - 1) // 2
    squares = jnp.square(input)
    window, padding = (1, 2 * reach + 1, 1, 1), [(0, 0), (reach, reach), (0, 0), (0, 0)]
    total = lax.reduce_window(squares, 0.0, lax.add, window, (1, 1, 1, 1), padding)
    behind = jnp.arange(input.shape[1])[:, None, None] > reach
    total += jnp.where(behind, squares[:, :1], 0)
    return input / (total * (alpha / size) + k) ** beta


@ports("torch.nn.CrossMapLRN2d")
def CrossMapLRN2d(size, alpha=1e-4, beta=0.75, k=1):
    return partial(cross_map_lrn, size=size, alpha=alpha, beta=beta, k=k)


@ports("torch.nn.SyncBatchNorm.convert_sync_batchnorm")
def convert_sync_batchnorm(module, process_group=None) -> nnx.Module:
    """Under jax.jit the statistics of a sharded batch are those of the whole batch already."""
    return module
