"""Reductions over one, several or all axes, and running ones along an axis."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports

# ----------------------------------------------------------------------------- sums and moments


@ports("torch.sum", "torch.Tensor.sum")
def sum(input, dim=None, keepdim=False, *, dtype=None):
    if dtype is not None:
        return mx.sum(input.astype(dtype), axis=dim, keepdims=keepdim)
    return mx.sum(input, axis=dim, keepdims=keepdim)


@ports("torch.mean", "torch.Tensor.mean")
def mean(input, dim=None, keepdim=False, *, dtype=None):
    if dtype is not None:
        return mx.mean(input.astype(dtype), axis=dim, keepdims=keepdim)
    return mx.mean(input, axis=dim, keepdims=keepdim)


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


@ports("torch.logsumexp", "torch.Tensor.logsumexp", "torch.special.logsumexp")
def logsumexp(input, dim, keepdim=False):
    return mx.logsumexp(input, axis=dim, keepdims=keepdim)


# -------------------------------------------------------------------------------------- extremes


@ports("torch.max", "torch.Tensor.max")
def max(input):
    return mx.max(input)


@ports("torch.max", "torch.Tensor.max", fields=("values", "indices"))
def max_along(input, dim: int, keepdim=False) -> tuple[mx.array, mx.array]:
    return (
        mx.max(input, axis=dim, keepdims=keepdim),
        mx.argmax(input, axis=dim, keepdims=keepdim),
    )


@ports("torch.max", "torch.Tensor.max")
def max_of_two(input, other: mx.array):
    return mx.maximum(input, other)


@ports("torch.argmax", "torch.Tensor.argmax")
def argmax(input, dim=None, keepdim=False):
    return mx.argmax(input, axis=dim, keepdims=keepdim)
