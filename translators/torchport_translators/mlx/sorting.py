"""Sorting, selecting by rank, searching and sets."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports


@ports("torch.sort", "torch.Tensor.sort", fields=("values", "indices"))
def sort(input, dim=-1, descending=False, stable=False) -> tuple[mx.array, mx.array]:
    if descending:
        order = argsort_descending(input, dim)
        return mx.take_along_axis(input, order, axis=dim), order
    return mx.sort(input, axis=dim), mx.argsort(input, axis=dim)


@ports("torch.argsort", "torch.Tensor.argsort")
def argsort(input, dim=-1, descending=False, stable=False):
    if descending:
        return argsort_descending(input, dim)
    return mx.argsort(input, axis=dim)


def argsort_descending(input, dim=-1):
    """Where the elements stand from the largest (nan counts as that) down, equal ones in their order.

    mx.argsort(-input) puts nan last, and takes neither bools nor unsigned integers.
    """
    if input.size == 0:
        return mx.zeros(input.shape, dtype=mx.uint32)
    order = mx.flip(mx.argsort(mx.flip(input, axis=dim), axis=dim), axis=dim)
    return mx.stop_gradient(input.shape[dim] - 1 - order)


@ports("torch.msort", "torch.Tensor.msort")
def msort(input):
    return mx.sort(input, axis=0)


@ports("torch.topk", "torch.Tensor.topk", fields=("values", "indices"))
def topk(input, k, dim=-1, largest=True, sorted=True) -> tuple[mx.array, mx.array]:
    """The k largest or smallest in order, and where they stand; mx.topk gives the values alone."""
    order = argsort_descending(input, dim) if largest else mx.argsort(input, axis=dim)
    first = mx.stop_gradient(mx.split(order, [k], axis=dim)[0])
    return mx.take_along_axis(input, first, axis=dim), first


@ports("torch.kthvalue", "torch.Tensor.kthvalue", fields=("values", "indices"))
def kthvalue(input, k, dim=-1, keepdim=False) -> tuple[mx.array, mx.array]:
    """The k-th smallest, counted from 1, and where it stands."""
    at = mx.split(mx.argsort(input, axis=dim), [k - 1, k], axis=dim)[1]
    at = mx.stop_gradient(at)
    values = mx.take_along_axis(input, at, axis=dim)
    if keepdim:
        return values, at
    return mx.squeeze(values, axis=dim), mx.squeeze(at, axis=dim)


@ports("torch.unique", "torch.Tensor.unique", jit=False)
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements (or slices along `dim`), sorted always; numpy finds how many there are."""
    if return_inverse or return_counts:
        found = np.unique(
            np.array(input),
            return_inverse=return_inverse,
            return_counts=return_counts,
            axis=dim,
            equal_nan=False,
        )
        return tuple(map(mx.array, found))
    return mx.array(np.unique(np.array(input), axis=dim, equal_nan=False))


@ports("torch.unique_consecutive", "torch.Tensor.unique_consecutive", jit=False)
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements (or slices along `dim`) that differ from the one before."""
    items = mx.flatten(input) if dim is None else mx.moveaxis(input, dim, 0)
    changed = mx.any(items[1:] != items[:-1], axis=tuple(range(1, items.ndim)))
    first = mx.concatenate([mx.ones(min(len(items), 1), dtype=mx.bool_), changed])
    starts = mx.array(np.flatnonzero(first))
    values = items[starts] if dim is None else mx.moveaxis(items[starts], 0, dim)
    result = (values,)
    if return_inverse:
        inverse = mx.cumsum(first) - 1
        result += (inverse.reshape(input.shape) if dim is None else inverse,)
    if return_counts:
        result += (mx.diff(mx.concatenate([starts, mx.array([len(items)])])),)
    return result if len(result) > 1 else values


@ports("torch.searchsorted")
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side="left", sorter=None):
    """Where `input` belongs in a sorted sequence, or each row of it in a row of sequences."""
    if sorter is not None:
        sorted_sequence = mx.take_along_axis(sorted_sequence, sorter, axis=-1)
    side = "right" if right else side
    if sorted_sequence.ndim == 1:
        found = mx.searchsorted(sorted_sequence, mx.array(input), side=side)
        return found.astype(mx.int32) if out_int32 else found
    # mx.searchsorted takes one sequence; of several, how many elements each value comes after.
    rows, values = sorted_sequence[..., None, :], input[..., None]
    return mx.sum(rows <= values if side == "right" else rows < values, axis=-1)


@ports("torch.bucketize", "torch.Tensor.bucketize")
def bucketize(input: mx.array, boundaries, *, out_int32=False, right=False):
    if out_int32:
        return bucketize(input, boundaries, right=right).astype(mx.int32)
    return mx.searchsorted(boundaries, input, side="right" if right else "left")


@ports("torch.bucketize")
def bucketize_number(input, boundaries, *, out_int32=False, right=False):
    return bucketize(mx.array(input), boundaries, out_int32=out_int32, right=right)


@ports("torch.isin")
def isin(elements, test_elements: mx.array, *, assume_unique=False, invert=False):
    """Which of the elements are among others."""
    elements, ordered = mx.array(elements), mx.sort(mx.flatten(test_elements))
    if ordered.size == 0:
        return mx.full(elements.shape, invert)
    at = mx.minimum(mx.searchsorted(ordered, elements), ordered.size - 1)
    return mx.take(ordered, at) != elements if invert else mx.take(ordered, at) == elements


@ports("torch.isin")
def isin_number(elements, test_elements: float, *, assume_unique=False, invert=False):
    if invert:
        return elements != test_elements
    return elements == test_elements
