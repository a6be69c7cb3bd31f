"""Activations: torch.nn.functional and the few that are also torch functions and Tensor methods.

mlx.nn has most of them; the ones written out here differ in value or, at a corner, in gradient.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports


@ports("torch.nn.functional.relu", "torch.relu", "torch.Tensor.relu")
def relu(input):
    return nn.relu(input)


@ports("torch.nn.functional.relu6")
def relu6(input):
    return nn.relu6(input)


@ports("torch.nn.functional.leaky_relu")
def leaky_relu(input, negative_slope=0.01):
    """nn.leaky_relu has slope 1 at 0, torch `negative_slope`."""
    return mx.where(input > 0, input, negative_slope * input)


@ports("torch.nn.functional.prelu", "torch.prelu", "torch.Tensor.prelu")
def prelu(input, weight):
    """The weight is one number, or one per channel of axis 1."""
    weight = weight.reshape(-1, *[1] * (input.ndim - 2)) if weight.size > 1 else weight.squeeze()
    return mx.where(input > 0, input, weight * input)


@ports("torch.nn.functional.rrelu", "torch.rrelu")
def rrelu(input, lower=1 / 8, upper=1 / 3, training=False):
    """Slopes drawn for each negative element in training, their mean otherwise."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    slope = mx.random.uniform(lower, upper, input.shape, input.dtype)
    return mx.where(input > 0, input, slope * input)


@ports("torch.nn.functional.elu")
def elu(input, alpha=1.0):
    """nn.elu takes exp(x) - 1, whose gradient is nan for large x, and which is inexact near 0."""
    below = mx.expm1(mx.minimum(0, input))
    return mx.where(input > 0, input, below if alpha == 1 else alpha * below)


@ports("torch.nn.functional.selu", "torch.selu")
def selu(input):
    """nn.selu has the faults of nn.elu, and rounded constants."""
    return 1.0507009873554805 * elu(input, 1.6732632423543772)


@ports("torch.nn.functional.celu", "torch.celu")
def celu(input, alpha=1.0):
    """nn.celu has slope 0 at 0, torch 1."""
    if alpha == 1:
        return elu(input)
    return mx.where(input > 0, input, alpha * mx.expm1(mx.minimum(0, input) / alpha))


@ports("torch.nn.functional.gelu")
def gelu(input, *, approximate="none"):
    if approximate == "tanh":
        return nn.gelu_approx(input)
    return nn.gelu(input)


@ports("torch.nn.functional.silu")
def silu(input):
    return nn.silu(input)


@ports("torch.nn.functional.mish")
def mish(input):
    return nn.mish(input)


@ports("torch.nn.functional.softplus")
def softplus(input, beta=1, threshold=20):
    """Linear above the threshold, which from 16 on is below the rounding of float32."""
    if threshold < 16:
        scaled = beta * input
        return mx.where(scaled > threshold, input, nn.softplus(scaled) / beta)
    if beta == 1:
        return nn.softplus(input)
    return nn.softplus(beta * input) / beta


@ports("torch.nn.functional.softsign")
def softsign(input):
    return nn.softsign(input)


@ports("torch.nn.functional.tanhshrink")
def tanhshrink(input):
    return input - mx.tanh(input)


@ports("torch.nn.functional.softshrink")
def softshrink(input, lambd=0.5):
    """A nan stays one; nn.softshrink makes it 0."""
    return mx.where(
        input > lambd, input - lambd, mx.where(input < -lambd, input + lambd, 0 * input)
    )


@ports("torch.nn.functional.hardshrink", "torch.hardshrink", "torch.Tensor.hardshrink")
def hardshrink(input, lambd=0.5):
    """A nan stays one; nn.hard_shrink makes it 0."""
    return mx.where((input >= -lambd) & (input <= lambd), 0, input)


@ports("torch.nn.functional.hardtanh")
def hardtanh(input, min_val=-1.0, max_val=1.0):
    return nn.hard_tanh(input, min_val, max_val)


@ports("torch.nn.functional.hardsigmoid")
def hardsigmoid(input):
    return nn.relu6(input + 3) / 6


@ports("torch.nn.functional.hardswish")
def hardswish(input):
    return nn.hardswish(input)


@ports("torch.nn.functional.sigmoid")
def sigmoid(input):
    return mx.sigmoid(input)


@ports("torch.nn.functional.tanh")
def tanh(input):
    return mx.tanh(input)


@ports("torch.nn.functional.logsigmoid")
def logsigmoid(input):
    return nn.log_sigmoid(input)


def _legacy_softmax_axis(input):
    """The axis that torch takes when `dim` is left out."""
    return 0 if input.ndim in (0, 1, 3) else 1


@ports("torch.nn.functional.softmax")
def softmax(input, dim=None, *, dtype=None):
    return mx.softmax(
        input if dtype is None else input.astype(dtype),
        axis=_legacy_softmax_axis(input) if dim is None else dim,
    )


@ports("torch.softmax", "torch.Tensor.softmax", "torch.special.softmax")
def softmax_method(input, dim, dtype=None):
    return mx.softmax(input if dtype is None else input.astype(dtype), axis=dim)


@ports("torch.nn.functional.log_softmax")
def log_softmax(input, dim=None, *, dtype=None):
    return nn.log_softmax(
        input if dtype is None else input.astype(dtype),
        axis=_legacy_softmax_axis(input) if dim is None else dim,
    )


@ports("torch.log_softmax", "torch.Tensor.log_softmax", "torch.special.log_softmax")
def log_softmax_method(input, dim, dtype=None):
    return nn.log_softmax(input if dtype is None else input.astype(dtype), axis=dim)


@ports("torch.nn.functional.softmin")
def softmin(input, dim=None, *, dtype=None):
    return softmax(-input, dim, dtype=dtype)


@ports("torch.nn.functional.glu")
def glu(input, dim=-1):
    return nn.glu(input, axis=dim)


@ports("torch.nn.functional.threshold", "torch.threshold")
def threshold(input, threshold, value):
    return mx.where(input <= threshold, value, input)


@ports("torch.nn.functional.gumbel_softmax")
def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """A sample of the relaxed one-hot distribution; `hard` rounds it, with the soft gradient."""
    noise = mx.random.gumbel(logits.shape, logits.dtype)
    soft = mx.softmax((logits + noise) / tau, axis=dim)
    if not hard:
        return soft
    largest = mx.argmax(soft, axis=dim, keepdims=True)
    one_hot = mx.put_along_axis(mx.zeros_like(soft), largest, mx.array(1, soft.dtype), axis=dim)
    return mx.stop_gradient(one_hot - soft) + soft
