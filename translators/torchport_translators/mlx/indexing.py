"""Reading and writing elements by position, by index and by mask."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports


def _along(input, dim, index):
    """The index that is `index` along the axis `dim`; of an array without axes, its one element."""
    if input.ndim == 0:
        return ()
    return (slice(None),) * (dim % input.ndim) + (index,)


# -------------------------------------------------------------------------------------- reading


@ports("torch.narrow", "torch.narrow_copy", "torch.Tensor.narrow", "torch.Tensor.narrow_copy")
def narrow(input, dim, start: int, length):
    if start < 0:
        start = input.shape[dim] + start
    if dim == 0:
        return input[start : start + length]
    if dim == 1:
        return input[:, start : start + length]
    if dim == -1:
        return input[..., start : start + length]
    return mx.take(input, mx.arange(start, start + length), axis=dim)


@ports("torch.narrow", "torch.narrow_copy", "torch.Tensor.narrow", "torch.Tensor.narrow_copy")
def narrow_from(input, dim, start: mx.array, length):
    return mx.take(input, start + mx.arange(length), axis=dim)


@ports("torch.select", "torch.select_copy", "torch.Tensor.select")
def select(input, dim, index):
    """The slice at one place of an axis; mx.take raises for a place counted from the end."""
    if dim == 0:
        return input[index]
    if dim == 1:
        return input[:, index]
    if dim == 2:
        return input[:, :, index]
    if dim == -1:
        return input[..., index]
    return input[_along(input, dim, index)]


@ports("torch.slice_copy")
def slice_copy(input, dim=0, start=None, end=None, step=1):
    """The elements from `start` to `end` along an axis."""
    if dim == 0:
        return input[start:end] if step == 1 else input[start:end:step]
    return input[_along(input, dim, slice(start, end, step))]


@ports("torch.index_select", "torch.Tensor.index_select")
def index_select(input, dim, index):
    return mx.take(input, index, axis=dim)


def _places(input, dim, index):
    """For each axis where an element of `index` stands, and for `dim` what it says."""
    if input.ndim == 0:
        return ()
    if index.ndim == 0:
        return (index,)
    places = list(mx.meshgrid(*map(mx.arange, index.shape), sparse=True, indexing="ij"))
    places[dim] = index
    return tuple(places)


@ports("torch.gather", "torch.Tensor.gather")
def gather(input, dim, index):
    """The elements that `index` names along `dim`, each from where it stands otherwise.

    Unlike mx.take_along_axis it does not broadcast an index that is shorter along another axis.
    """
    if input.ndim == 0:
        return mx.broadcast_to(input, index.shape)
    if index.size == 0:
        return mx.zeros(index.shape, dtype=input.dtype)
    return input[_places(input, dim, index)]


@ports("torch.take", "torch.Tensor.take")
def take(input, index):
    return mx.take(input, index)


@ports("torch.take_along_dim", "torch.Tensor.take_along_dim")
def take_along_dim(input, indices, dim=None):
    if dim is None:
        return mx.take(input, mx.flatten(indices))
    return mx.take_along_axis(input, indices, axis=dim)


@ports("torch.masked_select", "torch.Tensor.masked_select", jit=False)
def masked_select(input, mask):
    """The elements where `mask` holds, after both are broadcast to one shape."""
    input, mask = mx.broadcast_arrays(input, mask)
    return mx.take(input, mx.array(np.flatnonzero(mask)))


@ports("torch.nonzero", "torch.Tensor.nonzero", jit=False)
def nonzero(input, *, as_tuple=False):
    """Where the elements are that are not zero; MLX has no function whose shape depends on values."""
    if as_tuple:
        return tuple(mx.array(index) for index in np.nonzero(input != 0))
    return mx.array(np.argwhere(input != 0))


@ports("torch.argwhere", "torch.Tensor.argwhere", jit=False)
def argwhere(input):
    return mx.array(np.argwhere(input != 0))


@ports("torch.nonzero_static", "torch.Tensor.nonzero_static", jit=False)
def nonzero_static(input, *, size, fill_value=-1):
    """Where the first elements are that are not zero; rows of `fill_value` where there are fewer."""
    found = np.argwhere(input != 0)[:size]
    missing = ((0, size - len(found)), (0, 0))
    return mx.array(np.pad(found, missing, constant_values=fill_value))


@ports("torch.unravel_index")
def unravel_index(indices, shape) -> tuple[mx.array, ...]:
    """The coordinates of positions in an array of this shape."""
    coordinates = []
    for size in reversed((shape,) if isinstance(shape, int) else shape):
        coordinates.insert(0, indices % size)
        indices = indices // size
    return tuple(coordinates)


# ---------------------------------------------------------------------------- writing along an axis


@ports("torch.index_add", "torch.Tensor.index_add")
def index_add(input, dim, index, source, *, alpha=1):
    if alpha != 1:
        source = alpha * source
    if dim == 0:
        return input.at[index].add(source)
    if dim == 1:
        return input.at[:, index].add(source)
    if dim == -1:
        return input.at[..., index].add(source)
    return input.at[_along(input, dim, index)].add(source)


def _neutral(reduce, dtype):
    """What changes nothing when it is reduced with an element."""
    if reduce in ("amax", "amin") and mx.issubdtype(dtype, mx.floating):
        return -mx.inf if reduce == "amax" else mx.inf
    if reduce in ("amax", "amin"):
        return mx.iinfo(dtype).min if reduce == "amax" else mx.iinfo(dtype).max
    return 1 if reduce == "prod" else 0


def _products(values, dim, index, input):
    """The product of the values that `index` sends to each place along the axis `dim` of `input`.

    MLX has no gradient for `.at[].multiply`.
    """
    values, index = mx.moveaxis(values, dim, -1), mx.moveaxis(index, dim, -1)
    chosen = index[..., None, :] == mx.arange(input.shape[dim])[:, None]
    return mx.moveaxis(mx.prod(mx.where(chosen, values[..., None, :], 1), axis=-1), -1, dim)


@ports("torch.index_reduce", "torch.Tensor.index_reduce")
def index_reduce(input, dim, index, source, reduce, *, include_self=True):
    """Reduce the slices of `source` that `index` sends to one place along `dim`.

    `reduce` is "prod", "mean", "amax" or "amin"; without `include_self` what stood in a place that is
    written does not count.
    """
    at = _along(input, dim, index)
    if not include_self:
        input = mx.array(input)
        input[at] = _neutral(reduce, input.dtype)
    if reduce == "prod" and input.ndim > 0:
        along = mx.moveaxis(index.reshape(-1, *[1] * (input.ndim - 1)), 0, dim)
        return input * _products(source, dim, along, input)
    if reduce == "prod":
        return input * source
    if reduce == "amax":
        return input.at[at].maximum(source)
    if reduce == "amin":
        return input.at[at].minimum(source)
    total = input.at[at].add(source)
    count = mx.maximum(mx.full(input.shape, int(include_self), input.dtype).at[at].add(1), 1)
    return total / count if mx.issubdtype(input.dtype, mx.floating) else total // count


@ports("torch.index_copy", "torch.Tensor.index_copy")
def index_copy(input, dim, index, source):
    """A copy with other slices at some places of an axis."""
    output = mx.array(input)
    output[_along(input, dim, index)] = source
    return output


@ports("torch.index_fill", "torch.Tensor.index_fill")
def index_fill(input, dim, index, value):
    """A copy with one value at some places of an axis."""
    mask = mx.zeros(input.shape, dtype=mx.bool_)
    mask[_along(input, dim, index)] = True
    return mx.where(mask, value, input)


@ports("torch.select_scatter", "torch.Tensor.select_scatter")
def select_scatter(input, src, dim, index):
    """A copy with another slice at one place of an axis."""
    output = mx.array(input)
    output[_along(input, dim, index)] = src
    return output


@ports("torch.slice_scatter", "torch.Tensor.slice_scatter")
def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """A copy with other elements in a range of an axis."""
    output = mx.array(input)
    output[_along(input, dim, slice(start, end, step))] = src
    return output


@ports("torch.Tensor.fill_diagonal_")
def fill_diagonal_(input, fill_value):
    """A copy with one value where all indices are equal."""
    output = mx.array(input)
    diagonal = mx.arange(min(input.shape))
    output[(diagonal,) * input.ndim] = fill_value
    return output


# ---------------------------------------------------------------------------- writing by an index


@ports("torch.index_put", "torch.Tensor.index_put")
def index_put(input, indices, values, accumulate=False):
    """A copy with other elements, or the old ones plus others, where the indices or masks say."""
    indices = tuple(
        index
        for item in indices
        for index in (map(mx.array, np.nonzero(item)) if item.dtype == mx.bool_ else [item])
    )
    if accumulate:
        return input.at[indices].add(values)
    output = mx.array(input)
    output[indices] = values
    return output


@ports("torch.put", "torch.Tensor.put")
def put(input, index, source, accumulate=False):
    """A copy with other elements, or the old ones plus others, at positions of the flat array."""
    flat, index, source = mx.flatten(input), mx.flatten(index), mx.flatten(source)
    if index.size == 0:
        return input
    if accumulate:
        return flat.at[index].add(source).reshape(input.shape)
    flat[index] = source
    return flat.reshape(input.shape)


@ports("torch.scatter", "torch.Tensor.scatter")
def scatter(input, dim, index, src, *, reduce=None):
    """Put each element of `src` where `index` says along `dim`, and where it stands otherwise.

    Of a `src` larger than `index` the leading part is taken.
    """
    if isinstance(src, mx.array) and src.ndim > 0:
        src = src[tuple(slice(size) for size in index.shape)]
    places = _places(input, dim, index)
    if reduce == "add":
        return input.at[places].add(src)
    if reduce == "multiply":
        return input.at[places].multiply(src)
    output = mx.array(input)
    output[places] = src
    return output


@ports("torch.scatter", "torch.Tensor.scatter")
def scatter_value(input, dim, index, value, *, reduce=None):
    return scatter(input, dim, index, value, reduce=reduce)


@ports("torch.scatter_add", "torch.Tensor.scatter_add")
def scatter_add(input, dim, index, src):
    """Add each element of `src` where `index` says along `dim`, and where it stands otherwise.

    Of a `src` larger than `index` the leading part is taken.
    """
    if src.shape != index.shape:
        src = src[tuple(slice(size) for size in index.shape)]
    return input.at[_places(input, dim, index)].add(src)


@ports("torch.scatter_reduce", "torch.Tensor.scatter_reduce")
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
    """Reduce the elements of `src` that `index` sends to one place along `dim`.

    `reduce` is "sum", "prod", "mean", "amax" or "amin"; without `include_self` what stood in a place
    that is written does not count. Of a `src` larger than `index` the leading part is taken.
    """
    places = _places(input, dim, index)
    if src.shape != index.shape:
        src = src[tuple(slice(size) for size in index.shape)]
    if not include_self:
        input = mx.array(input)
        input[places] = _neutral(reduce, input.dtype)
    if reduce == "prod" and places:
        products = _products(src, dim, index, input)
        input = mx.array(input)
        leading = tuple(slice(size) for size in products.shape)
        input[leading] = input[leading] * products
        return input
    if reduce == "prod":
        return input * src
    if reduce == "amax":
        return input.at[places].maximum(src)
    if reduce == "amin":
        return input.at[places].minimum(src)
    total = input.at[places].add(src)
    if reduce == "sum":
        return total
    count = mx.full(input.shape, int(include_self), input.dtype).at[places].add(1)
    count = mx.maximum(count, 1)
    return total / count if mx.issubdtype(input.dtype, mx.floating) else total // count


# ------------------------------------------------------------------------------------- segments


@ports("torch.segment_reduce")
def segment_reduce(data, reduce, *, lengths=None, offsets=None, axis=0, unsafe=False, initial=None):
    """Reduce stretches of `axis`, given by their lengths or by where each begins and the last ends."""
    ends = mx.cumsum(lengths, axis=-1) if offsets is None else offsets[..., 1:]
    segments = mx.sum(ends[..., None, :] <= mx.arange(data.shape[axis])[:, None], axis=-1)
    neutral = {"sum": 0, "mean": 0, "prod": 1, "max": -mx.inf, "min": mx.inf}
    start = neutral[reduce] if initial is None else initial
    # One place more, for what lies after the last end: MLX writes wherever an index says.
    count, *inner = ends.shape[-1], *data.shape[axis + 1 :]
    result = mx.full((*ends.shape[:-1], count + 1, *inner), start, data.dtype)
    places = _places(result, axis, segments)
    if reduce == "max":
        result = result.at[places].maximum(data)
    elif reduce == "min":
        result = result.at[places].minimum(data)
    elif reduce == "prod":
        along = segments.reshape(*segments.shape, *[1] * len(inner))
        result = result * _products(data, axis, along, result)
    else:
        result = result.at[places].add(data)
    result = mx.split(result, [count], axis=axis)[0]
    if reduce != "mean":
        return result
    begins = mx.concatenate([mx.zeros_like(ends[..., :1]), ends[..., :-1]], axis=-1)
    sizes = (ends - begins).reshape(*ends.shape, *[1] * len(inner))
    return mx.where(sizes == 0, mx.nan if initial is None else result, result / sizes)


# ---------------------------------------------------------------------------------------- masks


@ports("torch.masked_fill", "torch.Tensor.masked_fill")
def masked_fill(input, mask, value: float | bool | complex):
    return mx.where(mask, value, input)


@ports("torch.masked_fill", "torch.Tensor.masked_fill")
def masked_fill_tensor(input, mask, value: mx.array):
    """The result has the input's dtype, whatever that of the value."""
    return mx.where(mask, value.astype(input.dtype), input)


@ports("torch.masked_scatter", "torch.Tensor.masked_scatter")
def masked_scatter(input, mask, source):
    """The elements of `source`, one after another, where `mask` holds."""
    input, mask = mx.broadcast_arrays(input, mask)
    order = mx.cumsum(mx.flatten(mask)) - 1
    return mx.where(mask, mx.take(source, order).reshape(mask.shape), input)
