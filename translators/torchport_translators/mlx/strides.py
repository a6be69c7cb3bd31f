"""Views by strides, and sizes in memory, of arrays in row-major order."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports


@ports("torch.as_strided", "torch.as_strided_copy", "torch.Tensor.as_strided")
def as_strided(input, size, stride, storage_offset=0):
    """A view by strides, of a tensor that is contiguous in torch."""
    return mx.as_strided(input, shape=size, strides=stride, offset=storage_offset or 0)


@ports("torch.as_strided_scatter", "torch.Tensor.as_strided_scatter")
def as_strided_scatter(input, src, size, stride, storage_offset=0):
    """`input` with `src` where a view by strides would be, of a tensor that is contiguous in torch."""
    places = mx.as_strided(mx.arange(input.size), size, stride, storage_offset or 0)
    output = mx.flatten(input)
    output[places] = src
    return output.reshape(input.shape)


@ports("torch.empty_strided")
def empty_strided(size, stride, *, dtype=None):
    if dtype is None:
        return mx.zeros(size)
    return mx.zeros(size, dtype=dtype)


@ports("torch.empty_permuted")
def empty_permuted(size, physical_layout, *, dtype=None):
    if dtype is None:
        return mx.zeros(size)
    return mx.zeros(size, dtype=dtype)


@ports("torch.Tensor.new_empty_strided")
def new_empty_strided(input, size, stride, *, dtype=None):
    return mx.zeros(size, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.resize_", "torch.Tensor.resize")
def resize_(input, *size: int):
    """The elements in memory order under another shape; new ones, undefined in torch, repeat the old."""
    places = np.arange(np.prod(size, dtype=int)) % input.size
    return mx.take(input, mx.array(places)).reshape(size)


@ports("torch.resize_as_", "torch.Tensor.resize_as_", "torch.Tensor.resize_as")
def resize_as_(input, the_template):
    return resize_(input, *the_template.shape)
