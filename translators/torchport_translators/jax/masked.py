"""torch.masked: reductions, running sums and normalizations over the elements where a mask holds.

The mask may be of any shape that broadcasts to the input's; without one every element counts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from torchport_translators.catalogue import ports
from torchport_translators.jax.linalg import vector_norm
from torchport_translators.jax.reductions import nanmedian_dim


def _axes(dim):
    """Torch takes an empty tuple for all axes."""
    return None if dim == () else dim


def _lowest(dtype):
    if jnp.issubdtype(dtype, jnp.floating):
        return -jnp.inf
    return jnp.iinfo(dtype).min


def _highest(dtype):
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.inf
    return jnp.iinfo(dtype).max


# ----------------------------------------------------------------------------------- reductions


@ports("torch.masked.sum")
def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    return jnp.sum(input, axis=_axes(dim), dtype=dtype, keepdims=keepdim, where=mask)


@ports("torch.masked.prod")
def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    return jnp.prod(input, axis=_axes(dim), dtype=dtype, keepdims=keepdim, where=mask)


@ports("torch.masked.mean")
def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    return jnp.mean(input, axis=_axes(dim), dtype=dtype, keepdims=keepdim, where=mask)


@ports("torch.masked.var")
def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """Variance; torch divides by N - correction, jax by N - ddof."""
    if correction is None:
        correction = 0 if unbiased is False else 1
    return jnp.var(
        input, axis=_axes(dim), dtype=dtype, ddof=correction, keepdims=keepdim, where=mask
    )


@ports("torch.masked.std")
def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """Standard deviation; torch divides by N - correction, jax by N - ddof."""
    if correction is None:
        correction = 0 if unbiased is False else 1
    return jnp.std(
        input, axis=_axes(dim), dtype=dtype, ddof=correction, keepdims=keepdim, where=mask
    )


@ports("torch.masked.amax")
def amax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if mask is not None:
        input = jnp.where(mask, input, _lowest(input.dtype))
    output = jnp.max(input, axis=_axes(dim), keepdims=keepdim)
    return output if dtype is None else output.astype(dtype)


@ports("torch.masked.amin")
def amin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if mask is not None:
        input = jnp.where(mask, input, _highest(input.dtype))
    output = jnp.min(input, axis=_axes(dim), keepdims=keepdim)
    return output if dtype is None else output.astype(dtype)


@ports("torch.masked.argmax")
def argmax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Torch gives these positions in the input's dtype."""
    counted = input if mask is None else jnp.where(mask, input, _lowest(input.dtype))
    output = jnp.argmax(counted, axis=dim, keepdims=keepdim)
    return output.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.argmin")
def argmin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """Torch gives these positions in the input's dtype."""
    counted = input if mask is None else jnp.where(mask, input, _highest(input.dtype))
    output = jnp.argmin(counted, axis=dim, keepdims=keepdim)
    return output.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.median")
def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    """The lower of the two middle values; of a row that is masked out, nan."""
    floats = input.astype(jnp.promote_types(input.dtype, jnp.float32))
    counted = floats if mask is None else jnp.where(mask, floats, jnp.nan)
    values, _ = nanmedian_dim(counted, dim, keepdim)
    return values.astype(input.dtype if dtype is None else dtype)


@ports("torch.masked.norm")
def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The p-norm of all elements or along axes."""
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None and ord >= 0:
        input = jnp.where(mask, input, 0)
    elif mask is not None:
        input = jnp.where(mask, input, jnp.inf if ord == -jnp.inf else 0)
    return vector_norm(input, ord, _axes(dim), keepdim)


@ports("torch.masked.logsumexp")
def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if dtype is not None:
        input = input.astype(dtype)
    return jax.nn.logsumexp(input, axis=_axes(dim), keepdims=keepdim, where=mask)


@ports("torch.masked.logaddexp")
def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    if input_mask is not None:
        input = jnp.where(input_mask, input, -jnp.inf)
    if other_mask is not None:
        other = jnp.where(other_mask, other, -jnp.inf)
    output = jnp.logaddexp(input, other)
    return output if dtype is None else output.astype(dtype)


# -------------------------------------------------------------------------------------- running


@ports("torch.masked.cumsum")
def cumsum(input, dim, *, dtype=None, mask=None):
    if mask is not None:
        input = jnp.where(mask, input, 0)
    return jnp.cumsum(input, axis=dim, dtype=dtype)


@ports("torch.masked.cumprod")
def cumprod(input, dim, *, dtype=None, mask=None):
    if mask is not None:
        input = jnp.where(mask, input, 1)
    return jnp.cumprod(input, axis=dim, dtype=dtype)


# -------------------------------------------------------------------------------- normalization


@ports("torch.masked.softmax")
def softmax(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes 0; a row that is so as a whole, nan."""
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None:
        input = jnp.where(mask, input, -jnp.inf)
    return jax.nn.softmax(input, axis=dim)


@ports("torch.masked.log_softmax")
def log_softmax(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes -inf; a row that is so as a whole, nan."""
    if dtype is not None:
        input = input.astype(dtype)
    if mask is not None:
        input = jnp.where(mask, input, -jnp.inf)
    return jax.nn.log_softmax(input, axis=dim)


@ports("torch.masked.softmin")
def softmin(input, dim, *, dtype=None, mask=None):
    """What is masked out becomes 0; a row that is so as a whole, nan."""
    return softmax(-input, dim, dtype=dtype, mask=mask)


@ports("torch.masked.normalize")
def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    """The input over its p-norm, which is at least `eps`; what is masked out becomes 0."""
    counted = input if mask is None else jnp.where(mask, input, 0)
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return counted / jnp.maximum(length, eps)
