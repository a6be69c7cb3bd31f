"""Reductions over one, several or all axes, and running ones along an axis."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from torchport_translators.catalogue import ports
from torchport_translators.jax.elementwise import abs

# ----------------------------------------------------------------------------- sums and moments


@ports("torch.sum", "torch.Tensor.sum")
def sum(input, dim=None, keepdim=False, *, dtype=None):
    return jnp.sum(input, axis=dim, keepdims=keepdim, dtype=dtype)


@ports("torch.nansum", "torch.Tensor.nansum")
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    return jnp.nansum(input, axis=dim, keepdims=keepdim, dtype=dtype)


@ports("torch.mean", "torch.Tensor.mean")
def mean(input, dim=None, keepdim=False, *, dtype=None):
    return jnp.mean(input, axis=dim, keepdims=keepdim, dtype=dtype)


@ports("torch.nanmean", "torch.Tensor.nanmean")
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    return jnp.nanmean(input, axis=dim, keepdims=keepdim, dtype=dtype)


@ports("torch.prod", "torch.Tensor.prod")
def prod(input, dim=None, keepdim=False, *, dtype=None):
    return jnp.prod(input, axis=dim, keepdims=keepdim, dtype=dtype)


@ports("torch.var", "torch.Tensor.var")
def var(input, dim=None, unbiased=True, keepdim=False, *, correction=1):
    """Variance; torch divides by N - correction, jax by N - ddof."""
    if isinstance(dim, bool):
        return jnp.var(input, ddof=1 if dim else 0)
    if not unbiased:
        return jnp.var(input, axis=dim, keepdims=keepdim)
    return jnp.var(input, axis=dim, ddof=1 if correction is None else correction, keepdims=keepdim)


@ports("torch.std", "torch.Tensor.std")
def std(input, dim=None, unbiased=True, keepdim=False, *, correction=1):
    """Standard deviation; where it is zero so is torch's gradient, and that of `jnp.std` is nan."""
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))


@ports("torch.var_mean")
def var_mean(
    input, dim=None, unbiased=True, keepdim=False, *, correction=1
) -> tuple[jax.Array, jax.Array]:
    return (
        var(input, dim, unbiased, keepdim, correction=correction),
        jnp.mean(input, axis=None if isinstance(dim, bool) else dim, keepdims=keepdim),
    )


@ports("torch.std_mean")
def std_mean(
    input, dim=None, unbiased=True, keepdim=False, *, correction=1
) -> tuple[jax.Array, jax.Array]:
    return (
        std(input, dim, unbiased, keepdim, correction=correction),
        jnp.mean(input, axis=None if isinstance(dim, bool) else dim, keepdims=keepdim),
    )


@ports("torch.norm", "torch.Tensor.norm")
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """The p-norm of all elements or along axes; its gradient at a zero vector is zero, as torch's."""
    if dtype is not None:
        input = input.astype(dtype)
    if p == "fro" or p is None or p == 2:
        squares = jnp.sum(jnp.abs(input) ** 2, axis=dim, keepdims=keepdim)
        return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    if p == "nuc":
        return jnp.linalg.norm(input, ord="nuc", axis=dim, keepdims=keepdim)
    if p == 1:
        return jnp.sum(abs(input), axis=dim, keepdims=keepdim)
    if p == 0:
        return jnp.sum(input != 0, axis=dim, keepdims=keepdim, dtype=input.real.dtype)
    if p == float("inf"):
        return jnp.max(abs(input), axis=dim, keepdims=keepdim)
    if p == float("-inf"):
        return jnp.min(abs(input), axis=dim, keepdims=keepdim)
    return jnp.sum(abs(input) ** p, axis=dim, keepdims=keepdim) ** (1 / p)


@ports("torch.frobenius_norm")
def frobenius_norm(input, dim, keepdim=False):
    return norm(input, 2, dim, keepdim)


@ports("torch.nuclear_norm")
def nuclear_norm_of_matrices(input, dim: tuple | list, keepdim=False):
    return norm(input, "nuc", dim, keepdim)


@ports("torch.nuclear_norm")
def nuclear_norm(input, keepdim=False):
    return norm(input, "nuc", keepdim=keepdim)


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
    return jax.nn.logsumexp(input, axis=dim, keepdims=keepdim)


# -------------------------------------------------------------------------------------- extremes


@ports("torch.max", "torch.Tensor.max")
def max(input):
    return jnp.max(input)


@ports("torch.max", "torch.Tensor.max", fields=("values", "indices"))
def max_dim(input, dim: int, keepdim=False) -> tuple[jax.Array, jax.Array]:
    return jnp.max(input, axis=dim, keepdims=keepdim), jnp.argmax(input, axis=dim, keepdims=keepdim)


@ports("torch.max", "torch.Tensor.max")
def max_elementwise(input, other: jax.Array):
    return jnp.maximum(input, other)


@ports("torch.min", "torch.Tensor.min")
def min(input):
    return jnp.min(input)


@ports("torch.min", "torch.Tensor.min", fields=("values", "indices"))
def min_dim(input, dim: int, keepdim=False) -> tuple[jax.Array, jax.Array]:
    return jnp.min(input, axis=dim, keepdims=keepdim), jnp.argmin(input, axis=dim, keepdims=keepdim)


@ports("torch.min", "torch.Tensor.min")
def min_elementwise(input, other: jax.Array):
    return jnp.minimum(input, other)


@ports("torch.amax", "torch.Tensor.amax")
def amax(input, dim=None, keepdim=False):
    return jnp.max(input, axis=dim, keepdims=keepdim)


@ports("torch.amin", "torch.Tensor.amin")
def amin(input, dim=None, keepdim=False):
    return jnp.min(input, axis=dim, keepdims=keepdim)


@ports("torch.aminmax", "torch.Tensor.aminmax", fields=("min", "max"))
def aminmax(input, *, dim=None, keepdim=False) -> tuple[jax.Array, jax.Array]:
    return jnp.min(input, axis=dim, keepdims=keepdim), jnp.max(input, axis=dim, keepdims=keepdim)


@ports("torch.argmax", "torch.Tensor.argmax")
def argmax(input, dim=None, keepdim=False):
    return jnp.argmax(input, axis=dim, keepdims=keepdim)


@ports("torch.argmin", "torch.Tensor.argmin")
def argmin(input, dim=None, keepdim=False):
    return jnp.argmin(input, axis=dim, keepdims=keepdim)


# ------------------------------------------------------------------------------ order statistics


@ports("torch.median", "torch.Tensor.median")
def median(input):
    """The lower of the two middle values; `jnp.median` averages them."""
    return jnp.quantile(input, 0.5, method="lower").astype(input.dtype)


@ports("torch.median", "torch.Tensor.median", fields=("values", "indices"))
def median_dim(input, dim: int, keepdim=False) -> tuple[jax.Array, jax.Array]:
    """The lower of the two middle values along an axis, and where it stands."""
    middle = (input.shape[dim] - 1) // 2
    order = jnp.argsort(input, axis=dim)
    at = lax.slice_in_dim(order, middle, middle + 1, axis=dim)
    if jnp.issubdtype(input.dtype, jnp.floating):
        missing = jnp.isnan(input)
        first = jnp.argmax(missing, axis=dim, keepdims=True)
        at = jnp.where(jnp.any(missing, axis=dim, keepdims=True), first, at)
    values = jnp.take_along_axis(input, at, axis=dim)
    if keepdim:
        return values, at
    return jnp.squeeze(values, axis=dim), jnp.squeeze(at, axis=dim)


@ports("torch.nanmedian", "torch.Tensor.nanmedian")
def nanmedian(input):
    """The lower of the two middle values that are not nan."""
    return jnp.nanquantile(input, 0.5, method="lower").astype(input.dtype)


@ports("torch.nanmedian", "torch.Tensor.nanmedian", fields=("values", "indices"))
def nanmedian_dim(input, dim: int, keepdim=False) -> tuple[jax.Array, jax.Array]:
    """The lower of the two middle values that are not nan along an axis, and where it stands."""
    count = jnp.sum(~jnp.isnan(input), axis=dim, keepdims=True)
    # Nans sort last, so the middle of the others is where it would be without them.
    order = jnp.argsort(input, axis=dim)
    at = jnp.take_along_axis(order, jnp.clip((count - 1) // 2, 0), axis=dim)
    values = jnp.take_along_axis(input, at, axis=dim)
    if keepdim:
        return values, at
    return jnp.squeeze(values, axis=dim), jnp.squeeze(at, axis=dim)


@ports("torch.mode", "torch.Tensor.mode", fields=("values", "indices"))
def mode(input, dim=-1, keepdim=False) -> tuple[jax.Array, jax.Array]:
    """The smallest of the most frequent values, and where it stands last."""
    rows = jnp.moveaxis(input, dim, -1)
    ordered = jnp.sort(rows, axis=-1)
    count = jnp.sum(ordered[..., :, None] == ordered[..., None, :], axis=-1)
    values = jnp.take_along_axis(ordered, jnp.argmax(count, axis=-1, keepdims=True), axis=-1)
    last = rows.shape[-1] - 1 - jnp.argmax(jnp.flip(rows == values, axis=-1), axis=-1)
    values = values[..., 0]
    if keepdim:
        return jnp.expand_dims(values, dim), jnp.expand_dims(last, dim)
    return values, last


@ports("torch.quantile", "torch.Tensor.quantile")
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    return jnp.quantile(input, q, axis=dim, keepdims=keepdim, method=interpolation)


@ports("torch.nanquantile", "torch.Tensor.nanquantile")
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    return jnp.nanquantile(input, q, axis=dim, keepdims=keepdim, method=interpolation)


# -------------------------------------------------------------------------------- logic, counts


@ports("torch.all", "torch.Tensor.all")
def all(input, dim=None, keepdim=False):
    return jnp.all(input, axis=dim, keepdims=keepdim)


@ports("torch.any", "torch.Tensor.any")
def any(input, dim=None, keepdim=False):
    return jnp.any(input, axis=dim, keepdims=keepdim)


@ports("torch.count_nonzero", "torch.Tensor.count_nonzero")
def count_nonzero(input, dim=None):
    return jnp.count_nonzero(input, axis=dim)


@ports("torch.bincount", "torch.Tensor.bincount", jit=False)
def bincount(input, weights=None, minlength=0):
    return jnp.bincount(input, weights=weights, minlength=minlength)


@ports("torch.histc", "torch.Tensor.histc")
def histc(input, bins=100, min=0, max=0):
    """Counts in equal bins from `min` to `max`, of the data where both are 0."""
    if min == max == 0:
        return jnp.histogram(input, bins)[0].astype(input.dtype)
    return jnp.histogram(input, bins, range=(min, max))[0].astype(input.dtype)


# ----------------------------------------------------------------------------------- running


@ports("torch.cumsum", "torch.Tensor.cumsum")
def cumsum(input, dim, *, dtype=None):
    return jnp.cumsum(input, axis=dim, dtype=dtype)


@ports("torch.cumprod", "torch.Tensor.cumprod")
def cumprod(input, dim, *, dtype=None):
    return jnp.cumprod(input, axis=dim, dtype=dtype)


@ports("torch.logcumsumexp", "torch.Tensor.logcumsumexp")
def logcumsumexp(input, dim):
    return lax.cumlogsumexp(input, axis=dim if dim >= 0 else input.ndim + dim)


@ports("torch.cummax", "torch.Tensor.cummax", fields=("values", "indices"))
def cummax(input, dim) -> tuple[jax.Array, jax.Array]:
    """The largest value so far along an axis, and where it last stood."""
    axis = dim if dim >= 0 else input.ndim + dim
    values = lax.cummax(input, axis=axis)
    here = lax.broadcasted_iota(jnp.int32, input.shape, axis)
    at = jnp.where((input == values) | jnp.isnan(input), here, 0)
    return values, lax.cummax(at, axis=axis)


@ports("torch.cummin", "torch.Tensor.cummin", fields=("values", "indices"))
def cummin(input, dim) -> tuple[jax.Array, jax.Array]:
    """The smallest value so far along an axis, and where it last stood."""
    axis = dim if dim >= 0 else input.ndim + dim
    values = lax.cummin(input, axis=axis)
    here = lax.broadcasted_iota(jnp.int32, input.shape, axis)
    at = jnp.where((input == values) | jnp.isnan(input), here, 0)
    return values, lax.cummax(at, axis=axis)


# ------------------------------------------------------------------ differences and integrals


@ports("torch.trapezoid", "torch.trapz")
def trapezoid(y, x=None, *, dx=1, dim=-1):
    return jnp.trapezoid(y, x, dx=dx, axis=dim)


@ports("torch.cumulative_trapezoid")
def cumulative_trapezoid(y, x=None, *, dx=1, dim=-1):
    """The running integral by the trapezoidal rule."""
    y = jnp.moveaxis(y, dim, -1)
    if x is not None:
        dx = jnp.diff(x if x.ndim == 1 else jnp.moveaxis(x, dim, -1))
    areas = dx * (y[..., 1:] + y[..., :-1]) / 2
    return jnp.moveaxis(jnp.cumsum(areas, axis=-1), -1, dim)


@ports("torch.diff", "torch.Tensor.diff")
def diff(input, n=1, dim=-1, prepend=None, append=None):
    return jnp.diff(input, n=n, axis=dim, prepend=prepend, append=append)


@ports("torch.Tensor.sum_to_size")
def sum_to_size(input, *size):
    """Sum over the axes that were broadcast from `size`."""
    lead = tuple(range(input.ndim - len(size)))
    ones = tuple(axis for axis, length in enumerate(size) if length == 1)
    return jnp.sum(jnp.sum(input, axis=lead), axis=ones, keepdims=True)


@ports("torch.renorm", "torch.Tensor.renorm")
def renorm(input, p, dim, maxnorm):
    """Scale down each slice along `dim` whose p-norm exceeds `maxnorm`."""
    others = tuple(axis for axis in range(input.ndim) if axis != dim % input.ndim)
    norms = norm(input, p, others, True)
    return input * jnp.where(norms > maxnorm, maxnorm / (norms + 1e-7), 1)


def _derivative(input, spacing, axis, edge_order):
    """The derivative along one axis by central differences; `spacing` is a step or coordinates.

    At the ends of the axis a difference of two values, or the slope of the parabola through three
    (`edge_order=2`).
    """
    slope = jnp.gradient(input, spacing, axis=axis)
    if edge_order == 1:
        return slope
    f = jnp.moveaxis(input, axis, -1)
    size = f.shape[-1]
    x = spacing * jnp.arange(size) if jnp.ndim(spacing) == 0 else spacing
    slope = jnp.moveaxis(slope, axis, -1)
    for end, middle, far in ((0, 1, 2), (size - 1, size - 2, size - 3)):
        near, wide = x[middle] - x[end], x[far] - x[end]
        first = (f[..., middle] - f[..., end]) / near
        second = (f[..., far] - f[..., end]) / wide
        slope = slope.at[..., end].set((wide * first - near * second) / (wide - near))
    return jnp.moveaxis(slope, -1, axis)


@ports("torch.gradient")
def gradient(input, *, spacing=None, dim=None, edge_order=1) -> tuple[jax.Array, ...]:
    """The derivatives along the axes `dim` (all without it), a tuple also of one axis.

    `spacing` is a step for all axes, or a step or the coordinates for each.
    """
    if spacing is None and edge_order == 1 and isinstance(dim, int):
        return (jnp.gradient(input, axis=dim),)
    axes = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else dim
    steps = 1.0 if spacing is None else spacing
    if not isinstance(steps, list | tuple):
        steps = (steps,) * len(axes)
    slopes = []
    for step, axis in zip(steps, axes, strict=True):
        slopes.append(_derivative(input, step, axis, edge_order))
    return tuple(slopes)
