"""torch.masked: reductions, running sums and normalizations over the elements where a mask holds.

The mask may be of any shape that broadcasts to the input's; without one every element counts.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports


def _counted(input, mask, dtype, rest):
    """The input in another dtype, with `rest` where it does not count."""
    if dtype is not None:
        input = input.astype(dtype)
    return input if mask is None else mx.where(mask, input, mx.array(rest, input.dtype))


def _axes(dim):
    """Torch takes an empty tuple for all axes."""
    return None if dim == () else dim


def _lowest(dtype):
    return -mx.inf if mx.issubdtype(dtype, mx.inexact) else mx.iinfo(dtype).min


def _highest(dtype):
    return mx.inf if mx.issubdtype(dtype, mx.inexact) else mx.iinfo(dtype).max


# ----------------------------------------------------------------------------------- reductions


@ports("torch.masked.sum")
def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    return mx.sum(_counted(input, mask, dtype, 0), axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.prod")
def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    return mx.prod(_counted(input, mask, dtype, 1), axis=_axes(dim), keepdims=keepdim)


def _count(input, dim, mask):
    """How many elements count, along axes that are kept."""
    mask = mx.ones(input.shape) if mask is None else mx.broadcast_to(mask, input.shape)
    return mx.sum(mask, axis=_axes(dim), keepdims=True)


def _reduced(output, dim, keepdim):
    return output if keepdim else output.squeeze(_axes(dim))


@ports("torch.masked.mean")
def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    total, count = sum(input, dim, keepdim=True, dtype=dtype, mask=mask), _count(input, dim, mask)
    output = mx.where(count == 0, mx.nan, total / mx.maximum(count, 1))
    return _reduced(output, dim, keepdim)


@ports("torch.masked.var")
def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """Variance; the sum of squares is divided by N - correction."""
    if correction is None:
        correction = 0 if unbiased is False else 1
    centred = input - mean(input, dim, keepdim=True, dtype=dtype, mask=mask)
    squares = sum(centred * mx.conj(centred), dim, keepdim=True, dtype=dtype, mask=mask)
    count = mx.maximum(_count(input, dim, mask) - correction, 0)
    return _reduced(squares / count, dim, keepdim)


@ports("torch.masked.std")
def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    return mx.sqrt(
        var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask)
    )


@ports("torch.masked.amax")
def amax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    counted = _counted(input, mask, dtype, _lowest(input.dtype))
    return mx.max(counted, axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.amin")
def amin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    counted = _counted(input, mask, dtype, _highest(input.dtype))
    return mx.min(counted, axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.argmax")
def argmax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Torch gives these positions in the input's dtype."""
    counted = _counted(input, mask, None, _lowest(input.dtype))
    output = mx.argmax(counted, axis=dim, keepdims=keepdim)
    return output.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.argmin")
def argmin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Torch gives these positions in the input's dtype."""
    counted = _counted(input, mask, None, _highest(input.dtype))
    output = mx.argmin(counted, axis=dim, keepdims=keepdim)
    return output.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.median")
def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    """The lower of the two middle values; of a row that is masked out, nan."""
    ordered = mx.sort(_counted(input, mask, dtype, mx.inf), axis=dim)
    count = _count(input, dim, mask).astype(mx.int32)
    middle = mx.take_along_axis(ordered, mx.maximum(count - 1, 0) // 2, axis=dim)
    return _reduced(mx.where(count == 0, mx.nan, middle), dim, keepdim)


@ports("torch.masked.norm")
def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The p-norm of all elements or along axes."""
    size = mx.abs(_counted(input, mask, dtype, mx.inf if ord == -mx.inf else 0))
    if ord == mx.inf:
        return mx.max(size, axis=_axes(dim), keepdims=keepdim)
    if ord == -mx.inf:
        return mx.min(size, axis=_axes(dim), keepdims=keepdim)
    if ord == 0:
        return mx.sum(size != 0, axis=_axes(dim), keepdims=keepdim).astype(size.dtype)
    if ord == 1:
        return mx.sum(size, axis=_axes(dim), keepdims=keepdim)
    total = mx.sum(size**ord, axis=_axes(dim), keepdims=keepdim)
    # The root has no gradient at 0, where torch's is 0.
    empty = (total == 0) & (ord > 0)
    return mx.where(empty, 0, mx.where(empty, 1, total) ** (1 / ord))


def _damped(input, mask, dtype):
    """The input with next to nothing, in logarithms, where it does not count: -inf has no gradient."""
    input = 1.0 * input if dtype is None else input.astype(dtype)
    return input if mask is None else mx.where(mask, input, mx.finfo(input.dtype).min)


@ports("torch.masked.logsumexp")
def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    output = mx.logsumexp(_damped(input, mask, dtype), axis=_axes(dim), keepdims=True)
    output = mx.where(_count(input, dim, mask) == 0, -mx.inf, output)
    return _reduced(output, dim, keepdim)


@ports("torch.masked.logaddexp")
def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    output = mx.logaddexp(_damped(input, input_mask, dtype), _damped(other, other_mask, dtype))
    return mx.where(output == mx.finfo(output.dtype).min, -mx.inf, output)


# -------------------------------------------------------------------------------------- running


@ports("torch.masked.cumsum")
def cumsum(input, dim, *, dtype=None, mask=None):
    return mx.cumsum(_counted(input, mask, dtype, 0), axis=dim)


@ports("torch.masked.cumprod")
def cumprod(input, dim, *, dtype=None, mask=None):
    return mx.cumprod(_counted(input, mask, dtype, 1), axis=dim)


# -------------------------------------------------------------------------------- normalization


@ports("torch.masked.softmax")
def softmax(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes 0; a row that is so as a whole, nan."""
    if mask is None:
        return mx.softmax(input if dtype is None else input.astype(dtype), axis=dim)
    output = mx.softmax(_damped(input, mask, dtype), axis=dim)
    return mx.where(_count(input, dim, mask) == 0, mx.nan, output)


@ports("torch.masked.log_softmax")
def log_softmax(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes -inf; a row that is so as a whole, nan."""
    if mask is None:
        return nn.log_softmax(input if dtype is None else input.astype(dtype), axis=dim)
    output = nn.log_softmax(_damped(input, mask, dtype), axis=dim) + mx.where(mask, 0.0, -mx.inf)
    return mx.where(_count(input, dim, mask) == 0, mx.nan, output)


@ports("torch.masked.softmin")
def softmin(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes 0; a row that is so as a whole, nan."""
    return softmax(-input, dim, dtype=dtype, mask=mask)


@ports("torch.masked.normalize")
def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    """The input over its p-norm, which is at least `eps`; what is masked out becomes 0."""
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _counted(input, mask, dtype, 0) / mx.maximum(length, eps)
