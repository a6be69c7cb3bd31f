"""Views by strides, and sizes in memory. JAX arrays have no strides: they are read in row-major order."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from torchport_translators.catalogue import ports


def _places(size, stride, storage_offset):
    """Where in the flat memory each element of a strided view stands."""
    places = np.asarray(storage_offset)
    for length, step in zip(size, stride, strict=True):
        places = np.add.outer(places, step * np.arange(length))
    return places


@ports("torch.as_strided", "torch.as_strided_copy", "torch.Tensor.as_strided")
def as_strided(input, size, stride, storage_offset=0):
    """A view by strides, of a tensor that is contiguous in torch."""
    return input.ravel()[_places(size, stride, storage_offset or 0)]


@ports("torch.as_strided_scatter", "torch.Tensor.as_strided_scatter")
def as_strided_scatter(input, src, size, stride, storage_offset=0):
    """`input` with `src` where a view by strides would be, of a tensor that is contiguous in torch."""
    places = _places(size, stride, storage_offset or 0)
    return input.ravel().at[places].set(src).reshape(input.shape)


@ports("torch.empty_strided")
def empty_strided(size, stride, *, dtype=None):
    return jnp.empty(size, dtype=dtype)


@ports("torch.empty_permuted")
def empty_permuted(size, physical_layout, *, dtype=None):
    return jnp.empty(size, dtype=dtype)


@ports("torch.Tensor.new_empty_strided")
def new_empty_strided(input, size, stride, *, dtype=None):
    return jnp.empty(size, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.resize_", "torch.Tensor.resize")
def resize_(input, *size: int):
    """The elements in memory order under another shape; new ones, undefined in torch, repeat the old."""
    return jnp.resize(input, size)


@ports("torch.resize_as_", "torch.Tensor.resize_as_", "torch.Tensor.resize_as")
def resize_as_(input, the_template):
    return jnp.resize(input, the_template.shape)
