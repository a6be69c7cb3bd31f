"""Sorting, selecting by rank, searching and sets."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from torchport_translators.catalogue import ports


@ports("torch.sort", "torch.Tensor.sort", fields=("values", "indices"))
def sort(input, dim=-1, descending=False, stable=False) -> tuple[jax.Array, jax.Array]:
    """jax sorts stably unless told otherwise; torch leaves the order of ties open."""
    return (
        jnp.sort(input, axis=dim, descending=descending),
        jnp.argsort(input, axis=dim, descending=descending),
    )


@ports("torch.argsort", "torch.Tensor.argsort")
def argsort(input, dim=-1, descending=False, stable=False):
    """jax sorts stably unless told otherwise; torch leaves the order of ties open."""
    return jnp.argsort(input, axis=dim, descending=descending)


@ports("torch.msort", "torch.Tensor.msort")
def msort(input):
    return jnp.sort(input, axis=0)


@ports("torch.topk", "torch.Tensor.topk", fields=("values", "indices"))
def topk(input, k, dim=-1, largest=True, sorted=True) -> tuple[jax.Array, jax.Array]:
    """The k largest or smallest, in order; torch promises no order where `sorted` is False."""
    if largest:
        return lax.top_k(input, k, axis=dim)
    return (
        lax.slice_in_dim(jnp.sort(input, axis=dim), 0, k, axis=dim),
        lax.slice_in_dim(jnp.argsort(input, axis=dim), 0, k, axis=dim),
    )


@ports("torch.kthvalue", "torch.Tensor.kthvalue", fields=("values", "indices"))
def kthvalue(input, k, dim=-1, keepdim=False) -> tuple[jax.Array, jax.Array]:
    """The k-th smallest, counted from 1."""
    return (
        lax.index_in_dim(jnp.sort(input, axis=dim), k - 1, axis=dim, keepdims=keepdim),
        lax.index_in_dim(jnp.argsort(input, axis=dim), k - 1, axis=dim, keepdims=keepdim),
    )


@ports("torch.unique", "torch.Tensor.unique", jit=False)
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements, sorted always."""
    return jnp.unique(
        input,
        return_inverse=return_inverse,
        return_counts=return_counts,
        axis=dim,
        equal_nan=False,
    )


@ports("torch.unique_consecutive", "torch.Tensor.unique_consecutive", jit=False)
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements (or slices along `dim`) that differ from the one before."""
    items = input.ravel() if dim is None else jnp.moveaxis(input, dim, 0)
    changed = jnp.any(items[1:] != items[:-1], axis=tuple(range(1, items.ndim)))
    first = jnp.concatenate([jnp.ones(min(len(items), 1), bool), changed])
    values = items[first] if dim is None else jnp.moveaxis(items[first], 0, dim)
    result = (values,)
    if return_inverse:
        inverse = jnp.cumsum(first) - 1
        result += (inverse.reshape(input.shape) if dim is None else inverse,)
    if return_counts:
        starts = jnp.flatnonzero(first)
        result += (jnp.diff(starts, append=len(items)),)
    return result if len(result) > 1 else values


@ports("torch.searchsorted")
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side="left"):
    """Where `input` belongs in a sorted sequence, or each row of it in a row of sequences."""
    find = partial(jnp.searchsorted, side="right" if right else side)
    if sorted_sequence.ndim == 1:
        return find(sorted_sequence, input)
    return jnp.vectorize(find, signature="(n),(m)->(m)")(sorted_sequence, input)


@ports("torch.bucketize", "torch.Tensor.bucketize")
def bucketize(input, boundaries, *, out_int32=False, right=False):
    return jnp.searchsorted(boundaries, input, side="right" if right else "left")


@ports("torch.isin")
def isin(elements, test_elements, *, assume_unique=False, invert=False):
    return jnp.isin(elements, test_elements, assume_unique=assume_unique, invert=invert)
