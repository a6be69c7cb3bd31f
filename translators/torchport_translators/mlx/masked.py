"""torch.masked: reductions, running sums and normalizations over the elements where a mask holds.

The mask may be of any shape that broadcasts to the input's; without one every element counts.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.linalg import vector_norm
from torchport_translators.mlx.reductions import nanmedian_dim


def _axes(dim):
    """Torch takes an empty tuple for all axes."""
    return None if dim == () else dim


def _counted(input, dtype, mask, fill):
    """The input in a dtype, with `fill` where it is masked out."""
    if dtype is not None:
        input = input.astype(dtype)
    return input if mask is None else mx.where(mask, input, fill)


def _visible(input, dtype, mask, axis):
    """The input with -inf where it is masked out, and whether anything is left along axes.

    Where nothing is it is zeros: the gradient of what has only -inf is nan, and torch's is zero.
    """
    input = _counted(input, dtype, None, 0)
    if mask is None:
        return input, True
    mask = mx.broadcast_to(mask, input.shape)
    left = mx.any(mask, axis=axis, keepdims=True)
    return mx.where(mask, input, mx.where(left, -mx.inf, 0)), left


def _lowest(dtype):
    return -mx.inf if mx.issubdtype(dtype, mx.floating) else mx.iinfo(dtype).min


def _highest(dtype):
    return mx.inf if mx.issubdtype(dtype, mx.floating) else mx.iinfo(dtype).max


# ----------------------------------------------------------------------------------- reductions


@ports("torch.masked.sum")
def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    return mx.sum(_counted(input, dtype, mask, 0), axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.prod")
def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    return mx.prod(_counted(input, dtype, mask, 1), axis=_axes(dim), keepdims=keepdim)


def _count(input, axis, keepdim, mask):
    """How many elements a mask leaves along axes."""
    mask = mx.ones(input.shape, mx.bool_) if mask is None else mx.broadcast_to(mask, input.shape)
    return mx.sum(mask, axis=axis, keepdims=keepdim)


@ports("torch.masked.mean")
def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    axis = _axes(dim)
    total = mx.sum(_counted(input, dtype, mask, 0), axis=axis, keepdims=keepdim)
    count = _count(input, axis, keepdim, mask)
    return mx.where(count == 0, mx.nan, total / mx.maximum(count, 1))


@ports("torch.masked.var")
def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """Variance over N - correction."""
    if correction is None:
        correction = 0 if unbiased is False else 1
    center = mean(input, dim, keepdim=True, dtype=dtype, mask=mask)
    distances = _counted(input - center, dtype, mask, 0)
    squares = distances * mx.conjugate(distances)
    count = _count(input, _axes(dim), keepdim, mask) - correction
    return mx.sum(squares, axis=_axes(dim), keepdims=keepdim) / mx.maximum(count, 0)


@ports("torch.masked.std")
def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """Standard deviation over N - correction."""
    options = {"correction": correction, "keepdim": keepdim, "dtype": dtype, "mask": mask}
    return mx.sqrt(var(input, dim, unbiased, **options))


@ports("torch.masked.amax")
def amax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    counted = _counted(input, dtype, mask, _lowest(input.dtype))
    return mx.max(counted, axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.amin")
def amin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    counted = _counted(input, dtype, mask, _highest(input.dtype))
    return mx.min(counted, axis=_axes(dim), keepdims=keepdim)


@ports("torch.masked.argmax")
def argmax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Torch gives these positions in the input's dtype."""
    counted = _counted(input, None, mask, _lowest(input.dtype))
    output = mx.argmax(counted, axis=dim, keepdims=keepdim)
    return output.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.argmin")
def argmin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Torch gives these positions in the input's dtype."""
    counted = _counted(input, None, mask, _highest(input.dtype))
    output = mx.argmin(counted, axis=dim, keepdims=keepdim)
    return output.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.median")
def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    """The lower of the two middle values; of a row that is masked out, nan."""
    precise = mx.float64 if input.dtype == mx.float64 else mx.float32
    values, _ = nanmedian_dim(_counted(input, precise, mask, mx.nan), dim, keepdim)
    return values.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.norm")
def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The p-norm of all elements or along axes."""
    counted = _counted(input, dtype, mask, mx.inf if ord == -mx.inf else 0)
    return vector_norm(counted, ord, _axes(dim), keepdim)


@ports("torch.masked.logsumexp")
def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    axis = _axes(dim)
    visible, left = _visible(input, dtype, mask, axis)
    output = mx.where(left, mx.logsumexp(visible, axis=axis, keepdims=True), -mx.inf)
    return output if keepdim else mx.squeeze(output, axis=axis)


@ports("torch.masked.logaddexp")
def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    if input_mask is None or other_mask is None:
        left = True
    else:
        left = mx.logical_or(input_mask, other_mask)
    # Where neither counts both are zeros: the gradient of two -inf is nan.
    fill = mx.where(left, -mx.inf, 0)
    sums = mx.logaddexp(
        _counted(input, dtype, input_mask, fill), _counted(other, dtype, other_mask, fill)
    )
    return mx.where(left, sums, -mx.inf)


# -------------------------------------------------------------------------------------- running


@ports("torch.masked.cumsum")
def cumsum(input, dim, *, dtype=None, mask=None):
    return mx.cumsum(_counted(input, dtype, mask, 0), axis=dim)


@ports("torch.masked.cumprod")
def cumprod(input, dim, *, dtype=None, mask=None):
    return mx.cumprod(_counted(input, dtype, mask, 1), axis=dim)


# -------------------------------------------------------------------------------- normalization


@ports("torch.masked.softmax")
def softmax(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes 0; a row that is so as a whole, nan."""
    visible, left = _visible(input, dtype, mask, dim)
    return mx.where(left, mx.softmax(visible, axis=dim), mx.nan)


@ports("torch.masked.log_softmax")
def log_softmax(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes -inf; a row that is so as a whole, nan."""
    visible, left = _visible(input, dtype, mask, dim)
    return mx.where(left, nn.log_softmax(visible, axis=dim), mx.nan)


@ports("torch.masked.softmin")
def softmin(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes 0; a row that is so as a whole, nan."""
    return softmax(-input, dim, dtype=dtype, mask=mask)


@ports("torch.masked.normalize")
def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    """The input over its p-norm, which is at least `eps`; what is masked out becomes 0."""
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _counted(input, dtype, mask, 0) / mx.maximum(length, eps)
