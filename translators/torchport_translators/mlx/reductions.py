"""Reductions over one, several or all axes, and running ones along an axis."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.derivatives import nuclear_norm

# ----------------------------------------------------------------------------- sums and moments


@ports("torch.sum", "torch.Tensor.sum")
def sum(input, dim=None, keepdim=False, *, dtype=None):
    if dtype is not None:
        return mx.sum(input.astype(dtype), axis=dim, keepdims=keepdim)
    return mx.sum(input, axis=dim, keepdims=keepdim)


@ports("torch.nansum", "torch.Tensor.nansum")
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    return sum(mx.where(mx.isnan(input), 0, input), dim, keepdim, dtype=dtype)


@ports("torch.mean", "torch.Tensor.mean")
def mean(input, dim=None, keepdim=False, *, dtype=None):
    if dtype is not None:
        return mx.mean(input.astype(dtype), axis=dim, keepdims=keepdim)
    return mx.mean(input, axis=dim, keepdims=keepdim)


@ports("torch.nanmean", "torch.Tensor.nanmean")
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean of the elements that are not nan."""
    count = mx.sum(~mx.isnan(input), axis=dim, keepdims=keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / count


@ports("torch.prod", "torch.Tensor.prod")
def prod(input, dim=None, keepdim=False, *, dtype=None):
    if dtype is not None:
        return mx.prod(input.astype(dtype), axis=dim, keepdims=keepdim)
    return mx.prod(input, axis=dim, keepdims=keepdim)


@ports("torch.var", "torch.Tensor.var")
def var(input, dim=None, unbiased=True, keepdim=False, *, correction=1):
    """Variance; torch divides by N - correction, MLX by N - ddof."""
    if isinstance(dim, bool):
        return mx.var(input, ddof=1 if dim else 0)
    if not unbiased:
        return mx.var(input, axis=dim, keepdims=keepdim)
    return mx.var(input, axis=dim, keepdims=keepdim, ddof=1 if correction is None else correction)


@ports("torch.std", "torch.Tensor.std")
def std(input, dim=None, unbiased=True, keepdim=False, *, correction=1):
    """Standard deviation; where it is zero so is torch's gradient, and that of `mx.std` is nan."""
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return mx.where(variance == 0, 0, mx.sqrt(mx.where(variance == 0, 1, variance)))


@ports("torch.var_mean")
def var_mean(
    input, dim=None, unbiased=True, keepdim=False, *, correction=1
) -> tuple[mx.array, mx.array]:
    return (
        var(input, dim, unbiased, keepdim, correction=correction),
        mx.mean(input, axis=None if isinstance(dim, bool) else dim, keepdims=keepdim),
    )


@ports("torch.std_mean")
def std_mean(
    input, dim=None, unbiased=True, keepdim=False, *, correction=1
) -> tuple[mx.array, mx.array]:
    return (
        std(input, dim, unbiased, keepdim, correction=correction),
        mx.mean(input, axis=None if isinstance(dim, bool) else dim, keepdims=keepdim),
    )


def euclidean_norm(input, dim=None, keepdim=False):
    """The root of the sum of squares; its gradient at zero is zero, and that of mx.linalg.norm nan."""
    squares = mx.sum(mx.square(mx.abs(input)), axis=dim, keepdims=keepdim)
    return mx.where(squares == 0, 0, mx.sqrt(mx.where(squares == 0, 1, squares)))


@ports("torch.norm", "torch.Tensor.norm")
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """The p-norm of all elements or along axes, or with "nuc" that of matrices."""
    if dtype is not None:
        input = input.astype(dtype)
    if p == "fro" or p is None or p == 2:
        return euclidean_norm(input, dim, keepdim)
    if p == "nuc":
        return nuclear_norm(input, (0, 1) if dim is None else dim, keepdim)
    if p == 1:
        return mx.sum(mx.abs(input), axis=dim, keepdims=keepdim)
    if p == 0:
        return mx.sum((input != 0).astype(mx.abs(input).dtype), axis=dim, keepdims=keepdim)
    if p == float("inf"):
        return mx.max(mx.abs(input), axis=dim, keepdims=keepdim)
    if p == float("-inf"):
        return mx.min(mx.abs(input), axis=dim, keepdims=keepdim)
    return mx.sum(mx.abs(input) ** p, axis=dim, keepdims=keepdim) ** (1 / p)


@ports("torch.frobenius_norm")
def frobenius_norm(input, dim, keepdim=False):
    return euclidean_norm(input, dim, keepdim)


@ports("torch.nuclear_norm")
def nuclear_norm_of_matrices(input, dim: tuple | list, keepdim=False):
    return nuclear_norm(input, dim, keepdim)


@ports("torch.nuclear_norm")
def nuclear_norm_of_matrix(input, keepdim=False):
    return nuclear_norm(input, (0, 1), keepdim)


@ports("torch.norm_except_dim")
def norm_except_dim(v, pow=2, dim=0):
    """The norm of each slice along an axis; that of everything if the axis is -1."""
    if dim == -1:
        return norm(v, pow)
    return norm(v, pow, tuple(axis for axis in range(v.ndim) if axis != dim), True)


@ports("torch.dist", "torch.Tensor.dist")
def dist(input, other, p=2):
    return norm(input - other, p)


@ports("torch.logsumexp", "torch.Tensor.logsumexp", "torch.special.logsumexp")
def logsumexp(input, dim, keepdim=False):
    return mx.logsumexp(input, axis=dim, keepdims=keepdim)


# -------------------------------------------------------------------------------------- extremes


@ports("torch.max", "torch.Tensor.max")
def max(input):
    return mx.max(input)


@ports("torch.max", "torch.Tensor.max", fields=("values", "indices"))
def max_dim(input, dim: int, keepdim=False) -> tuple[mx.array, mx.array]:
    return mx.max(input, axis=dim, keepdims=keepdim), mx.argmax(input, axis=dim, keepdims=keepdim)


@ports("torch.max", "torch.Tensor.max")
def max_elementwise(input, other: mx.array):
    return mx.maximum(input, other)


@ports("torch.min", "torch.Tensor.min")
def min(input):
    return mx.min(input)


@ports("torch.min", "torch.Tensor.min", fields=("values", "indices"))
def min_dim(input, dim: int, keepdim=False) -> tuple[mx.array, mx.array]:
    return mx.min(input, axis=dim, keepdims=keepdim), mx.argmin(input, axis=dim, keepdims=keepdim)


@ports("torch.min", "torch.Tensor.min")
def min_elementwise(input, other: mx.array):
    return mx.minimum(input, other)


@ports("torch.amax", "torch.Tensor.amax")
def amax(input, dim=None, keepdim=False):
    return mx.max(input, axis=dim, keepdims=keepdim)


@ports("torch.amin", "torch.Tensor.amin")
def amin(input, dim=None, keepdim=False):
    return mx.min(input, axis=dim, keepdims=keepdim)


@ports("torch.aminmax", "torch.Tensor.aminmax", fields=("min", "max"))
def aminmax(input, *, dim=None, keepdim=False) -> tuple[mx.array, mx.array]:
    return mx.min(input, axis=dim, keepdims=keepdim), mx.max(input, axis=dim, keepdims=keepdim)


@ports("torch.argmax", "torch.Tensor.argmax")
def argmax(input, dim=None, keepdim=False):
    return mx.argmax(input, axis=dim, keepdims=keepdim)


@ports("torch.argmin", "torch.Tensor.argmin")
def argmin(input, dim=None, keepdim=False):
    return mx.argmin(input, axis=dim, keepdims=keepdim)


# ------------------------------------------------------------------------------ order statistics


@ports("torch.median", "torch.Tensor.median")
def median(input):
    """The lower of the two middle values; `mx.median` averages them."""
    return median_dim(mx.flatten(input), 0)[0]


@ports("torch.median", "torch.Tensor.median", fields=("values", "indices"))
def median_dim(input, dim: int, keepdim=False) -> tuple[mx.array, mx.array]:
    """The lower of the two middle values along an axis, and where it stands; nan where there is one."""
    at = mx.take(mx.argsort(input, axis=dim), (input.shape[dim] - 1) // 2, axis=dim)
    missing = mx.isnan(input)
    at = mx.where(mx.any(missing, axis=dim), mx.argmax(missing, axis=dim), at)
    at = mx.stop_gradient(mx.expand_dims(at, axis=dim))
    values = mx.take_along_axis(input, at, axis=dim)
    if keepdim:
        return values, at
    return mx.squeeze(values, axis=dim), mx.squeeze(at, axis=dim)


@ports("torch.nanmedian", "torch.Tensor.nanmedian")
def nanmedian(input):
    """The lower of the two middle values that are not nan."""
    return nanmedian_dim(mx.flatten(input), 0)[0]


@ports("torch.nanmedian", "torch.Tensor.nanmedian", fields=("values", "indices"))
def nanmedian_dim(input, dim: int, keepdim=False) -> tuple[mx.array, mx.array]:
    """The lower of the two middle values that are not nan along an axis, and where it stands."""
    count = mx.sum(~mx.isnan(input), axis=dim, keepdims=True)
    # Nans sort last, so the middle of the others is where it would be without them.
    order = mx.argsort(input, axis=dim)
    at = mx.take_along_axis(order, mx.maximum((count - 1) // 2, 0), axis=dim)
    at = mx.stop_gradient(at)
    values = mx.take_along_axis(input, at, axis=dim)
    if keepdim:
        return values, at
    return mx.squeeze(values, axis=dim), mx.squeeze(at, axis=dim)


@ports("torch.mode", "torch.Tensor.mode", fields=("values", "indices"))
def mode(input, dim=-1, keepdim=False) -> tuple[mx.array, mx.array]:
    """The smallest of the most frequent values, and where it stands last."""
    rows = mx.moveaxis(input, dim, -1)
    ordered = mx.stop_gradient(mx.sort(rows, axis=-1))
    here = mx.broadcast_to(mx.arange(rows.shape[-1]), rows.shape)
    # How often an element has stood up to here: the distance from where its run begins.
    begins = mx.concatenate([here[..., :1] == 0, ordered[..., 1:] != ordered[..., :-1]], axis=-1)
    count = here - mx.cummax(mx.where(begins, here, 0), axis=-1)
    values = mx.take_along_axis(ordered, mx.argmax(count, axis=-1, keepdims=True), axis=-1)
    last = mx.argmax(mx.where(rows == values, here, -1), axis=-1, keepdims=True)
    last = mx.stop_gradient(last)
    values = mx.take_along_axis(rows, last, axis=-1)
    if keepdim:
        return mx.moveaxis(values, -1, dim), mx.moveaxis(last, -1, dim)
    return mx.squeeze(values, axis=-1), mx.squeeze(last, axis=-1)


@ports("torch.quantile", "torch.Tensor.quantile")
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """The value below which a share q of the elements lies; nan where there is one."""
    result = nanquantile(input, q, dim, keepdim, interpolation=interpolation)
    return mx.where(mx.any(mx.isnan(input), axis=dim, keepdims=keepdim), mx.nan, result)


@ports("torch.nanquantile", "torch.Tensor.nanquantile")
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """The value below which a share q of the elements lies that are not nan.

    Several q are the first axis of the result.
    """
    rows = input.reshape(-1) if dim is None else mx.moveaxis(input, dim, -1)
    q = mx.array(q, dtype=input.dtype)
    # Nans sort last.
    count = mx.sum(~mx.isnan(rows), axis=-1, keepdims=True)
    at = mx.flatten(q) * mx.maximum(count - 1, 0)
    ordered = mx.sort(rows, axis=-1)
    if interpolation == "nearest":
        at = mx.round(at)
    below, above = mx.floor(at), mx.ceil(at)
    low = mx.take_along_axis(ordered, mx.stop_gradient(below.astype(mx.int32)), axis=-1)
    high = mx.take_along_axis(ordered, mx.stop_gradient(above.astype(mx.int32)), axis=-1)
    if interpolation == "higher":
        result = high
    elif interpolation == "midpoint":
        result = (low + high) / 2
    elif interpolation == "linear":
        result = low + (high - low) * (at - below)
    else:
        result = low
    result = mx.moveaxis(result, -1, 0)
    if keepdim and dim is None:
        result = result.reshape(-1, *(1,) * input.ndim)
    elif keepdim:
        result = mx.expand_dims(result, axis=dim % input.ndim + 1)
    return result if q.ndim == 1 else mx.squeeze(result, axis=0)


# -------------------------------------------------------------------------------- logic, counts


@ports("torch.all", "torch.Tensor.all")
def all(input, dim=None, keepdim=False):
    return mx.all(input, axis=dim, keepdims=keepdim)


@ports("torch.any", "torch.Tensor.any")
def any(input, dim=None, keepdim=False):
    return mx.any(input, axis=dim, keepdims=keepdim)


@ports("torch.count_nonzero", "torch.Tensor.count_nonzero")
def count_nonzero(input, dim=None):
    return mx.count_nonzero(input, axis=dim)


@ports("torch.bincount", "torch.Tensor.bincount", jit=False)
def bincount(input, weights=None, minlength=0):
    """How often each number stands in `input`, or the sum of its weights."""
    size = minlength
    if input.size > 0:
        size = mx.maximum(mx.max(input) + 1, minlength).item()
    if weights is None:
        return mx.zeros(size, dtype=mx.int64).at[input].add(1)
    return mx.zeros(size, dtype=weights.dtype).at[input].add(weights)


@ports("torch.histc", "torch.Tensor.histc")
def histc(input, bins=100, min=0, max=0):
    """Counts in equal bins from `min` to `max`, of the data where both are 0."""
    input = mx.flatten(input)
    if min == max == 0:
        min, max = mx.min(input), mx.max(input)
        equal = min == max
        min, max = mx.where(equal, min - 1, min), mx.where(equal, max + 1, max)
    inside = (input >= min) & (input <= max)
    # What equals `max` belongs to the last bin.
    at = mx.clip(mx.floor((input - min) * bins / (max - min)), 0, bins - 1)
    at = mx.where(inside, at, 0).astype(mx.int32)
    return mx.zeros(bins, dtype=input.dtype).at[at].add(inside.astype(input.dtype))


# ----------------------------------------------------------------------------------- running


@ports("torch.cumsum", "torch.Tensor.cumsum")
def cumsum(input, dim, *, dtype=None):
    return mx.cumsum(input, axis=dim, dtype=dtype)


@ports("torch.cumprod", "torch.Tensor.cumprod")
def cumprod(input, dim, *, dtype=None):
    return mx.cumprod(input, axis=dim, dtype=dtype)


@ports("torch.logcumsumexp", "torch.Tensor.logcumsumexp")
def logcumsumexp(input, dim):
    return mx.logcumsumexp(input, axis=dim)


@ports("torch.cummax", "torch.Tensor.cummax", fields=("values", "indices"))
def cummax(input, dim) -> tuple[mx.array, mx.array]:
    """The largest value so far along an axis, and where it last stood."""
    values = mx.cummax(input, axis=dim)
    return values, _last_place((input == values) | mx.isnan(input), dim)


@ports("torch.cummin", "torch.Tensor.cummin", fields=("values", "indices"))
def cummin(input, dim) -> tuple[mx.array, mx.array]:
    """The smallest value so far along an axis, and where it last stood."""
    values = mx.cummin(input, axis=dim)
    return values, _last_place((input == values) | mx.isnan(input), dim)


def _last_place(mask, dim):
    """Where along an axis `mask` last held, up to each element."""
    here = mx.expand_dims(mx.arange(mask.shape[dim]), axis=tuple(range(1, mask.ndim)))
    return mx.cummax(mx.where(mask, mx.moveaxis(here, 0, dim), 0), axis=dim)


# ------------------------------------------------------------------ differences and integrals


def _trapezoids(y, x, dx, dim):
    """The areas between neighbours, along the last axis."""
    if dim != -1:
        y = mx.moveaxis(y, dim, -1)
    areas = (y[..., 1:] + y[..., :-1]) / 2
    if x is None:
        return areas if dx == 1 else areas * dx
    return areas * mx.diff(x if dim == -1 or x.ndim == 1 else mx.moveaxis(x, dim, -1))


@ports("torch.trapezoid", "torch.trapz")
def trapezoid(y, x=None, *, dx=1, dim=-1):
    """The integral by the trapezoidal rule."""
    return mx.sum(_trapezoids(y, x, dx, dim), axis=-1)


@ports("torch.cumulative_trapezoid")
def cumulative_trapezoid(y, x=None, *, dx=1, dim=-1):
    """The running integral by the trapezoidal rule."""
    integral = mx.cumsum(_trapezoids(y, x, dx, dim), axis=-1)
    return integral if dim == -1 else mx.moveaxis(integral, -1, dim)


@ports("torch.diff", "torch.Tensor.diff")
def diff(input, n=1, dim=-1, prepend=None, append=None):
    if n == 0:
        return input
    if prepend is not None:
        return diff(mx.concatenate([prepend, input], axis=dim), n, dim, append=append)
    if append is not None:
        return mx.diff(mx.concatenate([input, append], axis=dim), n=n, axis=dim)
    return mx.diff(input, n=n, axis=dim)


@ports("torch.Tensor.sum_to_size")
def sum_to_size(input, *size):
    """Sum over the axes that were broadcast from `size`."""
    lead = tuple(range(input.ndim - len(size)))
    ones = tuple(axis for axis, length in enumerate(size) if length == 1)
    return mx.sum(mx.sum(input, axis=lead), axis=ones, keepdims=True)


@ports("torch.renorm", "torch.Tensor.renorm")
def renorm(input, p, dim, maxnorm):
    """Scale down each slice along `dim` whose p-norm exceeds `maxnorm`."""
    others = tuple(axis for axis in range(input.ndim) if axis != dim % input.ndim)
    norms = norm(input, p, others, True)
    return input * mx.where(norms > maxnorm, maxnorm / (norms + 1e-7), 1)


def _derivative(input, spacing, axis, edge_order):
    """The derivative along one axis by central differences; `spacing` is a step or coordinates.

    At the ends of the axis a difference of two values, or the slope of the parabola through three
    (`edge_order=2`).
    """
    f = mx.moveaxis(input, axis, -1)
    x = spacing if isinstance(spacing, mx.array) else spacing * mx.arange(f.shape[-1])
    steps = x[1:] - x[:-1]
    slopes = (f[..., 1:] - f[..., :-1]) / steps
    before, after = steps[:-1], steps[1:]
    # The slope of the parabola through a point and its neighbours.
    inner = (slopes[..., :-1] * after + slopes[..., 1:] * before) / (before + after)
    first, last = slopes[..., :1], slopes[..., -1:]
    if edge_order == 2:
        first = first + (first - slopes[..., 1:2]) * steps[0] / (steps[0] + steps[1])
        last = last + (last - slopes[..., -2:-1]) * steps[-1] / (steps[-1] + steps[-2])
    return mx.moveaxis(mx.concatenate([first, inner, last], axis=-1), -1, axis)


@ports("torch.gradient")
def gradient(input, *, spacing=None, dim=None, edge_order=1) -> tuple[mx.array, ...]:
    """The derivatives along the axes `dim` (all without it), a tuple also of one axis.

    `spacing` is a step for all axes, or a step or the coordinates for each.
    """
    axes = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else dim
    steps = 1.0 if spacing is None else spacing
    if not isinstance(steps, list | tuple):
        steps = (steps,) * len(axes)
    return tuple(
        _derivative(input, step, axis, edge_order) for step, axis in zip(steps, axes, strict=True)
    )
