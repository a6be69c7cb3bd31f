"""Activations: torch.nn modules as functions; those with parameters or randomness as classes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from torchport_translators.catalogue import ports
from torchport_translators.jax.activations import (
    hardshrink,
    hardtanh,
    leaky_relu,
    log_softmax,
    prelu,
    rrelu,
    softmax,
    softmin,
    softplus,
    softshrink,
    tanhshrink,
)
from torchport_translators.jax.activations import threshold as apply_threshold


@ports("torch.nn.ReLU")
def ReLU(inplace=False):
    return nnx.relu


@ports("torch.nn.ReLU6")
def ReLU6(inplace=False):
    return nnx.relu6


@ports("torch.nn.LeakyReLU")
def LeakyReLU(negative_slope=0.01, inplace=False):
    return partial(leaky_relu, negative_slope=negative_slope)


@ports("torch.nn.PReLU")
class PReLU(nnx.Module):
    """max(x, 0) + weight * min(x, 0); the weight is one number, or one per channel of axis 1."""

    def __init__(self, num_parameters=1, init=0.25, *, dtype=jnp.float32):
        self.weight = nnx.Param(jnp.full(num_parameters, init, dtype))

    def __call__(self, input):
        return prelu(input, self.weight[...])


@ports("torch.nn.RReLU")
class RReLU(nnx.Module):
    """A leaky ReLU whose slopes are drawn in training, and are their mean otherwise."""

    def __init__(self, lower=1 / 8, upper=1 / 3, *, rngs: nnx.Rngs):
        self.lower = lower
        self.upper = upper
        self.deterministic = False
        self.rngs = rngs.fork()

    def __call__(self, input):
        return rrelu(input, self.lower, self.upper, not self.deterministic, rngs=self.rngs)


@ports("torch.nn.ELU")
def ELU(alpha=1.0, inplace=False):
    return partial(nnx.elu, alpha=alpha)


@ports("torch.nn.SELU")
def SELU(inplace=False):
    return nnx.selu


@ports("torch.nn.CELU")
def CELU(alpha=1.0, inplace=False):
    return partial(nnx.celu, alpha=alpha)


@ports("torch.nn.GELU")
def GELU(approximate="none"):
    """nnx.gelu approximates by tanh unless told not to; torch the other way round."""
    return partial(nnx.gelu, approximate=approximate == "tanh")


@ports("torch.nn.SiLU")
def SiLU(inplace=False):
    return nnx.silu


@ports("torch.nn.Mish")
def Mish(inplace=False):
    return jax.nn.mish


@ports("torch.nn.Softplus")
def Softplus(beta=1.0, threshold=20.0):
    return partial(softplus, beta=beta, threshold=threshold)


@ports("torch.nn.Softsign")
def Softsign():
    return nnx.soft_sign


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
    return partial(hardtanh, min_val=min_val, max_val=max_val)


@ports("torch.nn.Hardsigmoid")
def Hardsigmoid(inplace=False):
    return nnx.hard_sigmoid


@ports("torch.nn.Hardswish")
def Hardswish(inplace=False):
    return nnx.hard_swish


@ports("torch.nn.Sigmoid")
def Sigmoid():
    return nnx.sigmoid


@ports("torch.nn.LogSigmoid")
def LogSigmoid():
    return nnx.log_sigmoid


@ports("torch.nn.Tanh")
def Tanh():
    return nnx.tanh


@ports("torch.nn.Threshold")
def Threshold(threshold, value, inplace=False):
    return partial(apply_threshold, threshold=threshold, value=value)


@ports("torch.nn.GLU")
def GLU(dim=-1):
    return partial(nnx.glu, axis=dim)


@ports("torch.nn.Softmax")
def Softmax(dim=None):
    """Without `dim` torch takes the axis from the rank."""
    if dim is None:
        return softmax
    return partial(nnx.softmax, axis=dim)


@ports("torch.nn.LogSoftmax")
def LogSoftmax(dim=None):
    """Without `dim` torch takes the axis from the rank."""
    if dim is None:
        return log_softmax
    return partial(nnx.log_softmax, axis=dim)


@ports("torch.nn.Softmin")
def Softmin(dim=None):
    return partial(softmin, dim=dim)


@ports("torch.nn.Softmax2d")
def Softmax2d():
    """Over the channels of (batch, channels, height, width), the batch optional."""
    return partial(nnx.softmax, axis=-3)
