"""Dropout as functions; nn.Dropout draws from the random state of MLX."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports


@ports("torch.nn.functional.dropout", "torch.dropout")
def dropout(input, p=0.5, training=True):
    if not training:
        return input
    if p == 1:
        return mx.zeros_like(input)
    return nn.Dropout(p)(input)


@ports("torch.native_dropout")
def native_dropout(input, p, train) -> tuple[mx.array, mx.array]:
    """Dropout, and where elements were kept."""
    if train is not None and not train:
        return input, mx.ones(input.shape, mx.bool_)
    if p == 1:
        return mx.zeros_like(input), mx.zeros(input.shape, mx.bool_)
    keep = mx.random.bernoulli(1 - p, input.shape)
    return mx.where(keep, input / (1 - p), 0), keep


def _channel_dropout(input, p, training, shape):
    """Drops what shares an element of `shape`, which is broadcast against the input."""
    if not training:
        return input
    if p == 1:
        return mx.zeros_like(input)
    return mx.where(mx.random.bernoulli(1 - p, shape), input / (1 - p), 0)


@ports("torch.nn.functional.dropout1d")
def dropout1d(input, p=0.5, training=True):
    """Drops whole channels of (batch, channels, length), the batch optional."""
    return _channel_dropout(input, p, training, (*input.shape[:-1], 1))


@ports("torch.nn.functional.dropout2d", "torch.feature_dropout")
def dropout2d(input, p=0.5, training=True):
    """Drops whole channels of (batch, channels, ...); nn.Dropout2d has the channels last."""
    return _channel_dropout(input, p, training, input.shape[:2] + (1,) * (input.ndim - 2))


@ports("torch.nn.functional.dropout3d")
def dropout3d(input, p=0.5, training=True):
    """Drops whole channels of three axes, the batch optional; nn.Dropout3d has the channels last."""
    return _channel_dropout(input, p, training, (*input.shape[:-3], 1, 1, 1))


def _alpha_dropout(input, p, shape):
    """What is dropped becomes SELU's limit, and the rest is moved to keep mean and variance."""
    if p == 1:
        return mx.zeros_like(input)
    limit = -1.7580993408473766
    keep = mx.random.bernoulli(1 - p, shape)
    scale = ((1 - p) * (1 + p * limit**2)) ** -0.5
    return (mx.where(keep, input, limit) - p * limit) * scale


@ports("torch.nn.functional.alpha_dropout", "torch.alpha_dropout")
def alpha_dropout(input, p=0.5, training=False):
    if not training:
        return input
    return _alpha_dropout(input, p, input.shape)


@ports("torch.nn.functional.feature_alpha_dropout", "torch.feature_alpha_dropout")
def feature_alpha_dropout(input, p=0.5, training=False):
    """Drops whole channels of (batch, channels, ...)."""
    if not training:
        return input
    return _alpha_dropout(input, p, input.shape[:2] + (1,) * (input.ndim - 2))
