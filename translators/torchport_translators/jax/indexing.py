"""Reading and writing elements by position, by index and by mask."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from torchport_translators.catalogue import ports

# -------------------------------------------------------------------------------------- reading


@ports("torch.narrow", "torch.narrow_copy", "torch.Tensor.narrow", "torch.Tensor.narrow_copy")
def narrow(input, dim, start, length):
    return lax.dynamic_slice_in_dim(input, start, length, axis=dim)


@ports("torch.select", "torch.select_copy", "torch.Tensor.select")
def select(input, dim, index):
    if dim == 0:
        return input[index]
    return jnp.take(input, index, axis=dim)


@ports("torch.slice_copy")
def slice_copy(input, dim=0, start=None, end=None, step=1):
    """The elements from `start` to `end` along an axis."""
    if dim == 0:
        return input[start:end] if step == 1 else input[start:end:step]
    index = [slice(None)] * input.ndim
    index[dim] = slice(start, end, step)
    return input[tuple(index)]


@ports("torch.index_select", "torch.Tensor.index_select")
def index_select(input, dim, index):
    return jnp.take(input, index, axis=dim)


@ports("torch.gather", "torch.Tensor.gather")
def gather(input, dim, index):
    """The elements that `index` names along `dim`, each from where it stands otherwise.

    Unlike jnp.take_along_axis it does not broadcast an index that is shorter along another axis.
    """
    places = list(jnp.indices(index.shape, sparse=True))
    if places:
        places[dim] = index
    return input[tuple(places)]


@ports("torch.take", "torch.Tensor.take")
def take(input, index):
    return jnp.take(input, index)


@ports("torch.take_along_dim", "torch.Tensor.take_along_dim")
def take_along_dim(input, indices, dim=None):
    if dim is None:
        return jnp.take(input, indices.ravel())
    return jnp.take_along_axis(input, indices, axis=dim)


@ports("torch.masked_select", "torch.Tensor.masked_select", jit=False)
def masked_select(input, mask):
    """The elements where `mask` holds, after both are broadcast to one shape."""
    input, mask = jnp.broadcast_arrays(input, mask)
    return input[mask]


@ports("torch.nonzero", "torch.Tensor.nonzero", jit=False)
def nonzero(input, *, as_tuple=False):
    if as_tuple:
        return jnp.nonzero(input)
    return jnp.argwhere(input)


@ports("torch.nonzero_static", "torch.Tensor.nonzero_static")
def nonzero_static(input, *, size, fill_value=-1):
    return jnp.argwhere(input, size=size, fill_value=fill_value)


@ports("torch.argwhere", "torch.Tensor.argwhere", jit=False)
def argwhere(input):
    return jnp.argwhere(input)


@ports("torch.unravel_index")
def unravel_index(indices, shape) -> tuple[jax.Array, ...]:
    return jnp.unravel_index(indices, shape)


# ---------------------------------------------------------------------------- writing along an axis


def _lowest(dtype):
    """What no element of a dtype is less than."""
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def _highest(dtype):
    """What no element of a dtype is greater than."""
    return jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).max


def _at(input, dim, index):
    """`input.at[index]` along the axis `dim`."""
    if dim == 0:
        return input.at[index]
    if dim == 1:
        return input.at[:, index]
    if dim == -1:
        return input.at[..., index]
    return input.at[(slice(None),) * (dim % input.ndim) + (index,)]


@ports("torch.index_add", "torch.Tensor.index_add")
def index_add(input, dim, index, source, *, alpha=1):
    if alpha == 1:
        return _at(input, dim, index).add(source)
    return _at(input, dim, index).add(alpha * source)


@ports("torch.index_copy", "torch.Tensor.index_copy")
def index_copy(input, dim, index, source):
    return _at(input, dim, index).set(source)


@ports("torch.index_fill", "torch.Tensor.index_fill")
def index_fill(input, dim, index, value):
    return _at(input, dim, index).set(value)


def _products(values, dim, index, input):
    """The product of the values that `index` sends to each place along the axis `dim` of `input`.

    jax has no gradient for `.at[].multiply` where indices may repeat.
    """
    values, index = jnp.moveaxis(values, dim, -1), jnp.moveaxis(index, dim, -1)
    chosen = index[..., None, :] == jnp.arange(input.shape[dim])[:, None]
    return jnp.moveaxis(jnp.prod(jnp.where(chosen, values[..., None, :], 1), axis=-1), -1, dim)


@ports("torch.index_reduce", "torch.Tensor.index_reduce")
def index_reduce(input, dim, index, source, reduce, *, include_self=True):
    """Reduce the slices of `source` that `index` sends to one place along `dim`.

    `reduce` is "prod", "mean", "amax" or "amin"; without `include_self` what stood in a place that is
    written does not count.
    """
    if not include_self:
        neutral = {
            "mean": 0,
            "prod": 1,
            "amax": _lowest(input.dtype),
            "amin": _highest(input.dtype),
        }
        input = _at(input, dim, index).set(neutral[reduce])
    if reduce == "prod":
        along = jnp.moveaxis(index.reshape(-1, *[1] * (input.ndim - 1)), 0, dim)
        return input * _products(source, dim, along, input)
    if reduce == "amax":
        return _at(input, dim, index).max(source)
    if reduce == "amin":
        return _at(input, dim, index).min(source)
    total = _at(input, dim, index).add(source)
    count = _at(jnp.full_like(total, int(include_self)), dim, index).add(1)
    count = jnp.maximum(count, 1)
    return total / count if jnp.issubdtype(input.dtype, jnp.floating) else total // count


@ports("torch.select_scatter", "torch.Tensor.select_scatter")
def select_scatter(input, src, dim, index):
    return _at(input, dim, index).set(src)


@ports("torch.slice_scatter", "torch.Tensor.slice_scatter")
def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    return _at(input, dim, slice(start, end, step)).set(src)


@ports("torch.Tensor.fill_diagonal_")
def fill_diagonal_(input, fill_value):
    return jnp.fill_diagonal(input, fill_value, inplace=False)


# ---------------------------------------------------------------------------- writing by an index


@ports("torch.index_put", "torch.Tensor.index_put")
def index_put(input, indices, values, accumulate=False):
    if accumulate:
        return input.at[tuple(indices)].add(values)
    return input.at[tuple(indices)].set(values)


@ports("torch.put", "torch.Tensor.put")
def put(input, index, source, accumulate=False):
    if accumulate:
        return input.ravel().at[index.ravel()].add(source.ravel()).reshape(input.shape)
    return input.ravel().at[index.ravel()].set(source.ravel()).reshape(input.shape)


@ports("torch.scatter", "torch.Tensor.scatter")
def scatter(input, dim, index, src, *, reduce=None):
    """Put each element of `src` where `index` says along `dim`, and where it stands otherwise.

    Of a `src` larger than `index` the leading part is taken.
    """
    places = list(jnp.indices(index.shape, sparse=True))
    if places:
        places[dim] = index
    if jnp.ndim(src) > 0:
        src = src[tuple(slice(n) for n in index.shape)]
    if reduce == "add":
        return input.at[tuple(places)].add(src)
    if reduce == "multiply":
        return input.at[tuple(places)].multiply(src)
    return input.at[tuple(places)].set(src)


@ports("torch.scatter", "torch.Tensor.scatter")
def scatter_value(input, dim, index, value, *, reduce=None):
    return scatter(input, dim, index, value, reduce=reduce)


@ports("torch.scatter_add", "torch.Tensor.scatter_add")
def scatter_add(input, dim, index, src):
    """Add each element of `src` where `index` says along `dim`, and where it stands otherwise.

    Of a `src` larger than `index` the leading part is taken.
    """
    places = list(jnp.indices(index.shape, sparse=True))
    if places:
        places[dim] = index
    return input.at[tuple(places)].add(src[tuple(slice(n) for n in index.shape)])


@ports("torch.scatter_reduce", "torch.Tensor.scatter_reduce")
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
    """Reduce the elements of `src` that `index` sends to one place along `dim`.

    `reduce` is "sum", "prod", "mean", "amax" or "amin"; without `include_self` what stood in a place
    that is written does not count. Of a `src` larger than `index` the leading part is taken.
    """
    places = list(jnp.indices(index.shape, sparse=True))
    if places:
        places[dim] = index
    places = tuple(places)
    src = src[tuple(slice(n) for n in index.shape)]
    if not include_self:
        limits = jnp.finfo if jnp.issubdtype(input.dtype, jnp.floating) else jnp.iinfo
        lowest, highest = limits(input.dtype).min, limits(input.dtype).max
        neutral = {"sum": 0, "mean": 0, "prod": 1, "amax": lowest, "amin": highest}
        input = input.at[places].set(neutral[reduce])
    if reduce == "prod" and places:
        products = _products(src, dim, index, input)
        leading = tuple(slice(n) for n in products.shape)
        return input.at[leading].multiply(products, unique_indices=True)
    if reduce == "prod":
        return input * src
    if reduce == "amax":
        return input.at[places].max(src)
    if reduce == "amin":
        return input.at[places].min(src)
    total = input.at[places].add(src)
    if reduce == "sum":
        return total
    count = jnp.full(input.shape, int(include_self), input.dtype).at[places].add(1)
    count = jnp.maximum(count, 1)
    return total / count if jnp.issubdtype(input.dtype, jnp.floating) else total // count


# ---------------------------------------------------------------------------------------- masks


@ports("torch.masked_fill", "torch.Tensor.masked_fill")
def masked_fill(input, mask, value: float | bool | complex):
    return jnp.where(mask, value, input)


@ports("torch.masked_fill", "torch.Tensor.masked_fill")
def masked_fill_tensor(input, mask, value: jax.Array):
    """The result has the input's dtype, whatever that of the value."""
    return jnp.where(mask, value.astype(input.dtype), input)


@ports("torch.masked_scatter", "torch.Tensor.masked_scatter")
def masked_scatter(input, mask, source):
    """The elements of `source`, one after another, where `mask` holds."""
    input, mask = jnp.broadcast_arrays(input, mask)
    order = jnp.cumsum(mask.ravel()) - 1
    return jnp.where(mask, source.ravel()[order].reshape(mask.shape), input)


# ------------------------------------------------------------------------------------- segments


def _segment_reduce(data, reduce, ends, initial):
    """One row: what lies before each end, and after the one before it, is a segment."""
    neutral = {"sum": 0, "mean": 0, "prod": 1, "max": -jnp.inf, "min": jnp.inf}
    start = neutral[reduce] if initial is None else initial
    segments = jnp.searchsorted(ends, jnp.arange(data.shape[0]), side="right")
    result = jnp.full((len(ends), *data.shape[1:]), start, data.dtype)
    if reduce == "max":
        return result.at[segments].max(data)
    if reduce == "min":
        return result.at[segments].min(data)
    if reduce == "prod":
        along = segments.reshape(-1, *[1] * (data.ndim - 1))
        return result * _products(data, 0, along, result)
    result = result.at[segments].add(data)
    if reduce == "sum":
        return result
    count = jnp.diff(ends, prepend=0).reshape(-1, *[1] * (data.ndim - 1))
    return jnp.where(count == 0, jnp.nan if initial is None else result, result / count)


@ports("torch.segment_reduce")
def segment_reduce(data, reduce, *, lengths=None, offsets=None, axis=0, unsafe=False, initial=None):
    """Reduce stretches of `axis`, given by their lengths or by where each begins and the last ends."""
    ends = jnp.cumsum(lengths, axis=-1) if offsets is None else offsets[..., 1:]
    function = partial(_segment_reduce, reduce=reduce, initial=initial)
    for _ in range(axis):
        function = jax.vmap(function)
    return function(data, ends=ends)
