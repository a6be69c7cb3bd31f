"""Activations: torch.nn modules as those of mlx.nn or functions; with parameters, classes."""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.activations import (
    celu,
    elu,
    hardshrink,
    hardsigmoid,
    hardtanh,
    leaky_relu,
    log_softmax,
    prelu,
    rrelu,
    selu,
    softmax,
    softmin,
    softplus,
    softshrink,
    tanhshrink,
)
from torchport_translators.mlx.activations import threshold as apply_threshold


@ports("torch.nn.ReLU")
def ReLU(inplace=False):
    return nn.ReLU()


@ports("torch.nn.ReLU6")
def ReLU6(inplace=False):
    return nn.ReLU6()


@ports("torch.nn.LeakyReLU")
def LeakyReLU(negative_slope=0.01, inplace=False):
    return partial(leaky_relu, negative_slope=negative_slope)


@ports("torch.nn.PReLU")
class PReLU(nn.Module):
    """nn.PReLU, but with the channels on axis 1."""

    def __init__(self, num_parameters=1, init=0.25, *, dtype=mx.float32):
        super().__init__()
        self.weight = mx.full(num_parameters, init, dtype)

    def __call__(self, input):
        return prelu(input, self.weight)


@ports("torch.nn.RReLU")
class RReLU(nn.Module):
    """A leaky ReLU whose slopes are drawn in training, and are their mean otherwise."""

    def __init__(self, lower=1 / 8, upper=1 / 3):
        super().__init__()
        self.lower = lower
        self.upper = upper

    def __call__(self, input):
        return rrelu(input, self.lower, self.upper, self.training)


@ports("torch.nn.ELU")
def ELU(alpha=1.0, inplace=False):
    return partial(elu, alpha=alpha)


@ports("torch.nn.SELU")
def SELU(inplace=False):
    return selu


@ports("torch.nn.CELU")
def CELU(alpha=1.0, inplace=False):
    return partial(celu, alpha=alpha)


@ports("torch.nn.GELU")
def GELU(approximate="none"):
    return nn.GELU(approximate)


@ports("torch.nn.SiLU")
def SiLU(inplace=False):
    return nn.SiLU()


@ports("torch.nn.Mish")
def Mish(inplace=False):
    return nn.Mish()


@ports("torch.nn.Softplus")
def Softplus(beta=1.0, threshold=20.0):
    """The threshold is below the rounding of float32 from 16 on."""
    if beta == 1 and threshold >= 16:
        return nn.Softplus()
    return partial(softplus, beta=beta, threshold=threshold)


@ports("torch.nn.Softsign")
def Softsign():
    return nn.Softsign()


@ports("torch.nn.Softshrink")
def Softshrink(lambd=0.5):
    return partial(softshrink, lambd=lambd)


@ports("torch.nn.Hardshrink")
def Hardshrink(lambd=0.5):
    return partial(hardshrink, lambd=lambd)


@ports("torch.nn.Tanhshrink")
def Tanhshrink():
    return tanhshrink


@ports("torch.nn.Hardtanh")
def Hardtanh(min_val=-1.0, max_val=1.0, inplace=False):
    if min_val == -1 and max_val == 1:
        return nn.HardTanh()
    return partial(hardtanh, min_val=min_val, max_val=max_val)


@ports("torch.nn.Hardsigmoid")
def Hardsigmoid(inplace=False):
    return hardsigmoid


@ports("torch.nn.Hardswish")
def Hardswish(inplace=False):
    return nn.Hardswish()


@ports("torch.nn.Sigmoid")
def Sigmoid():
    return nn.Sigmoid()


@ports("torch.nn.LogSigmoid")
def LogSigmoid():
    return nn.LogSigmoid()


@ports("torch.nn.Tanh")
def Tanh():
    return nn.Tanh()


@ports("torch.nn.Threshold")
def Threshold(threshold, value, inplace=False):
    return partial(apply_threshold, threshold=threshold, value=value)


@ports("torch.nn.GLU")
def GLU(dim=-1):
    return nn.GLU(axis=dim)


@ports("torch.nn.Softmax")
def Softmax(dim=None):
    """Without `dim` torch takes the axis from the rank."""
    if dim is None:
        return softmax
    if dim == -1:
        return nn.Softmax()
    return partial(mx.softmax, axis=dim)


@ports("torch.nn.LogSoftmax")
def LogSoftmax(dim=None):
    """Without `dim` torch takes the axis from the rank."""
    if dim is None:
        return log_softmax
    if dim == -1:
        return nn.LogSoftmax()
    return partial(nn.log_softmax, axis=dim)


@ports("torch.nn.Softmin")
def Softmin(dim=None):
    return partial(softmin, dim=dim)


@ports("torch.nn.Softmax2d")
def Softmax2d():
    """Over the channels of (batch, channels, height, width), the batch optional."""
    return partial(mx.softmax, axis=-3)
