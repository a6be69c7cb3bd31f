"""torch.masked: reductions, running sums and normalizations over the elements where a mask holds.

The mask may be of any shape that broadcasts to the input's; without one every element counts.
"""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.linalg import vector_norm
from torchport_translators.mlx.reductions import nanmedian_dim


def _axes(dim):
    """Torch takes an empty tuple for all axes."""
    return None if dim == () else dim


def _lowest(dtype):
    if mx.issubdtype(dtype, mx.floating):
        return -mx.inf
    return mx.iinfo(dtype).min


def _highest(dtype):
    if mx.issubdtype(dtype, mx.floating):
        return mx.inf
    return mx.iinfo(dtype).max


# ----------------------------------------------------------------------------------- reductions


@ports("torch.masked.sum")
def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None:
        input = mx.where(mask, input, 0)
    return mx.sum(input, axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.prod")
def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None:
        input = mx.where(mask, input, 1)
    return mx.prod(input, axis=_axes(dim), keepdims=keepdim)


def _count(input, mask, dim, keepdim):
    """How many elements count."""
    mask = mx.broadcast_to(True if mask is None else mask, input.shape)
    return mx.sum(mask, axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.mean")
def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The sum over the number of elements that count."""
    if dtype is not None:
        input = input.astype(dtype)
    if mask is None:
        return mx.mean(input, axis=_axes(dim), keepdims=keepdim)
    return sum(input, dim, keepdim=keepdim, mask=mask) / _count(input, mask, dim, keepdim)


@ports("torch.masked.var")
def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """Variance over the elements that count."""
    if dtype is not None:
        input = input.astype(dtype)
    if correction is None:
        correction = 0 if unbiased is False else 1
    deviation = input - mean(input, dim, keepdim=True, mask=mask)
    squares = mx.real(deviation * mx.conj(deviation))
    total = sum(squares, dim, keepdim=keepdim, mask=mask)
    return total / mx.maximum(_count(input, mask, dim, keepdim) - correction, 0)


@ports("torch.masked.std")
def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """Standard deviation over the elements that count."""
    return mx.sqrt(
        var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask)
    )


@ports("torch.masked.amax")
def amax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if mask is not None:
        input = mx.where(mask, input, _lowest(input.dtype))
    output = mx.max(input, axis=_axes(dim), keepdims=keepdim)
    return output if dtype is None else output.astype(dtype)


@ports("torch.masked.amin")
def amin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if mask is not None:
        input = mx.where(mask, input, _highest(input.dtype))
    output = mx.min(input, axis=_axes(dim), keepdims=keepdim)
    return output if dtype is None else output.astype(dtype)


@ports("torch.masked.argmax")
def argmax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Torch gives these positions in the input's dtype."""
    counted = input if mask is None else mx.where(mask, input, _lowest(input.dtype))
    output = mx.argmax(counted, axis=dim, keepdims=keepdim)
    return output.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.argmin")
def argmin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Torch gives these positions in the input's dtype."""
    counted = input if mask is None else mx.where(mask, input, _highest(input.dtype))
    output = mx.argmin(counted, axis=dim, keepdims=keepdim)
    return output.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.median")
def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    """The lower of the two middle values; of a row that is masked out, nan."""
    counted = input if mask is None else mx.where(mask, input, mx.nan)
    values, _ = nanmedian_dim(counted, dim, keepdim)
    return values.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.norm")
def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The p-norm of all elements or along axes."""
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None:
        input = mx.where(mask, input, mx.inf if ord == -mx.inf else 0)
    return vector_norm(input, ord, _axes(dim), keepdim)


@ports("torch.masked.logsumexp")
def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None:
        input = mx.where(mask, input, -mx.inf)
    return mx.logsumexp(input, axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.logaddexp")
def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    if input_mask is not None:
        input = mx.where(input_mask, input, -mx.inf)
    if other_mask is not None:
        other = mx.where(other_mask, other, -mx.inf)
    output = mx.logaddexp(input, other)
    return output if dtype is None else output.astype(dtype)


# -------------------------------------------------------------------------------------- running


@ports("torch.masked.cumsum")
def cumsum(input, dim, *, dtype=None, mask=None):
    if mask is not None:
        input = mx.where(mask, input, 0)
    return mx.cumsum(input, axis=dim, dtype=dtype)


@ports("torch.masked.cumprod")
def cumprod(input, dim, *, dtype=None, mask=None):
    if mask is not None:
        input = mx.where(mask, input, 1)
    return mx.cumprod(input, axis=dim, dtype=dtype)


# -------------------------------------------------------------------------------- normalization


@ports("torch.masked.softmax")
def softmax(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes 0; a row that is so as a whole, nan."""
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None:
        input = mx.where(mask, input, -mx.inf)
    return mx.softmax(input, axis=dim)


@ports("torch.masked.log_softmax")
def log_softmax(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes -inf; a row that is so as a whole, nan."""
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None:
        input = mx.where(mask, input, -mx.inf)
    return input - mx.logsumexp(input, axis=dim, keepdims=True)


@ports("torch.masked.softmin")
def softmin(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes 0; a row that is so as a whole, nan."""
    return softmax(-input, dim, dtype=dtype, mask=mask)


@ports("torch.masked.normalize")
def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    """The input over its p-norm, which is at least `eps`; what is masked out becomes 0."""
    counted = input if mask is None else mx.where(mask, input, 0)
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return counted / mx.maximum(length, eps)
