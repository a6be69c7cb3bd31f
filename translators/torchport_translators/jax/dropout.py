"""Dropout as functions: nnx.Dropout, called with the caller's random streams."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from torchport_translators.catalogue import ports


@ports("torch.nn.functional.dropout", "torch.dropout")
def dropout(input, p=0.5, training=True, *, rngs: nnx.Rngs):
    if not training:
        return input
    return nnx.Dropout(p)(input, rngs=rngs)


@ports("torch.nn.functional.dropout1d")
def dropout1d(input, p=0.5, training=True, *, rngs: nnx.Rngs):
    """Drops whole channels; the batch is optional."""
    if not training:
        return input
    return nnx.Dropout(p, broadcast_dims=(-1,))(input, rngs=rngs)


@ports("torch.nn.functional.dropout2d", "torch.feature_dropout")
def dropout2d(input, p=0.5, training=True, *, rngs: nnx.Rngs):
    """Drops whole channels of (batch, channels, ...)."""
    if not training:
        return input
    return nnx.Dropout(p, broadcast_dims=range(2, input.ndim))(input, rngs=rngs)


@ports("torch.nn.functional.dropout3d")
def dropout3d(input, p=0.5, training=True, *, rngs: nnx.Rngs):
    """Drops whole channels; the batch is optional."""
    if not training:
        return input
    return nnx.Dropout(p, broadcast_dims=(-3, -2, -1))(input, rngs=rngs)


@ports("torch.native_dropout")
def native_dropout(input, p, train, *, rngs: nnx.Rngs) -> tuple[jax.Array, jax.Array]:
    """Dropout, and where elements were kept."""
    if train is not None and not train:
        return input, jnp.ones_like(input, dtype=bool)
    keep = jax.random.bernoulli(rngs.dropout(), 1 - p, input.shape)
    return jnp.where(keep, input / (1 - p), 0), keep


def _alpha_dropout(input, shape, p, rngs):
    """What is dropped becomes SELU's limit, and the rest is moved to keep mean and variance."""
    if p == 1:
        return jnp.zeros_like(input)
    limit = -1.7580993408473766
    keep = jax.random.bernoulli(rngs.dropout(), 1 - p, shape)
    scale = ((1 - p) * (1 + p * limit**2)) ** -0.5
    return (jnp.where(keep, input, limit) - p * limit) * scale


@ports("torch.nn.functional.alpha_dropout", "torch.alpha_dropout")
def alpha_dropout(input, p=0.5, training=False, *, rngs: nnx.Rngs):
    if not training:
        return input
    return _alpha_dropout(input, input.shape, p, rngs)


@ports("torch.nn.functional.feature_alpha_dropout", "torch.feature_alpha_dropout")
def feature_alpha_dropout(input, p=0.5, training=False, *, rngs: nnx.Rngs):
    """Drops whole channels of (batch, channels, ...)."""
    if not training:
        return input
    return _alpha_dropout(input, input.shape[:2] + (1,) * (input.ndim - 2), p, rngs)
