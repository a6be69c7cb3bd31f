"""Views, layout, joining and splitting: what moves elements and computes nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from torchport_translators.catalogue import ports
from torchport_translators.jax.vision import pad as pad_axes

# ------------------------------------------------------------------------------- one shape to another


@ports("torch.reshape", "torch.view_copy", "torch.Tensor.reshape", "torch.Tensor.view")
def reshape(input, *shape: int):
    return input.reshape(*shape)


@ports("torch.view_copy", "torch.Tensor.view")
def view_dtype(input, dtype: jnp.dtype):
    return input.view(dtype)


@ports("torch.Tensor.view_as", "torch.Tensor.reshape_as")
def reshape_as(input, other):
    return input.reshape(other.shape)


@ports("torch.ravel", "torch.Tensor.ravel")
def ravel(input):
    return input.ravel()


@ports("torch.flatten", "torch.Tensor.flatten")
def flatten(input, start_dim=0, end_dim=-1):
    if start_dim == 0 and end_dim == -1:
        return input.ravel()
    if start_dim == 1 and end_dim == -1:
        return input.reshape(input.shape[0], -1)
    if end_dim == -1:
        return lax.collapse(input, start_dim)
    return lax.collapse(input, start_dim, end_dim + 1)


@ports("torch.unflatten", "torch.Tensor.unflatten")
def unflatten(input, dim, sizes):
    if dim == -1:
        return input.reshape(*input.shape[:-1], *sizes)
    return input.reshape(*input.shape[:dim], *sizes, *input.shape[dim + 1 :])


@ports("torch.squeeze", "torch.squeeze_copy", "torch.Tensor.squeeze")
def squeeze(input, dim=None):
    """Drop axes of size 1; an axis that is named and longer stays, where jnp.squeeze raises."""
    if dim is None:
        return input.squeeze()
    if input.ndim == 0:
        return input
    dims = (dim,) if isinstance(dim, int) else dim
    return input.squeeze(tuple(d for d in dims if input.shape[d] == 1))


@ports("torch.unsqueeze", "torch.unsqueeze_copy", "torch.Tensor.unsqueeze")
def unsqueeze(input, dim):
    return jnp.expand_dims(input, dim)


@ports("torch.atleast_1d")
def atleast_1d(input: jax.Array):
    return jnp.atleast_1d(input)


@ports("torch.atleast_1d")
def atleast_1d_each(*tensors) -> list[jax.Array]:
    return jnp.atleast_1d(*tensors)


@ports("torch.atleast_2d")
def atleast_2d(input: jax.Array):
    return jnp.atleast_2d(input)


@ports("torch.atleast_2d")
def atleast_2d_each(*tensors) -> list[jax.Array]:
    return jnp.atleast_2d(*tensors)


@ports("torch.atleast_3d")
def atleast_3d(input: jax.Array):
    return jnp.atleast_3d(input)


@ports("torch.atleast_3d")
def atleast_3d_each(*tensors) -> list[jax.Array]:
    return jnp.atleast_3d(*tensors)


# ---------------------------------------------------------------------------------- order of the axes


@ports("torch.permute", "torch.permute_copy", "torch.Tensor.permute")
def permute(input, *dims: int):
    return input.transpose(*dims)


@ports(
    "torch.transpose",
    "torch.swapdims",
    "torch.transpose_copy",
    "torch.Tensor.transpose",
    "torch.Tensor.swapdims",
)
def transpose(input, dim0, dim1):
    return input.swapaxes(dim0, dim1)


@ports("torch.swapaxes", "torch.Tensor.swapaxes")
def swapaxes(input, axis0, axis1):
    return input.swapaxes(axis0, axis1)


@ports("torch.t", "torch.t_copy", "torch.Tensor.t")
def t(input):
    return input.T


@ports("torch.movedim", "torch.moveaxis", "torch.Tensor.movedim", "torch.Tensor.moveaxis")
def movedim(input, source, destination):
    return jnp.moveaxis(input, source, destination)


@ports("torch.flip", "torch.Tensor.flip")
def flip(input, *dims: int):
    return jnp.flip(input, axis=dims[0] if len(dims) == 1 else dims)


@ports("torch.fliplr", "torch.Tensor.fliplr")
def fliplr(input):
    return jnp.fliplr(input)


@ports("torch.flipud", "torch.Tensor.flipud")
def flipud(input):
    return jnp.flipud(input)


@ports("torch.rot90", "torch.Tensor.rot90")
def rot90(input, k=1, dims=(0, 1)):
    return jnp.rot90(input, k=k, axes=tuple(dims))


@ports("torch.roll", "torch.Tensor.roll")
def roll(input, shifts, dims=None):
    return jnp.roll(input, shifts, axis=dims)


# -------------------------------------------------------------------------------------- repeating


@ports("torch.expand_copy", "torch.Tensor.expand")
def expand(input, *size: int):
    """Like jnp.broadcast_to, where -1 keeps the size that an axis has."""
    if -1 not in size:
        return jnp.broadcast_to(input, size)
    old = (1,) * (len(size) - input.ndim) + input.shape
    return jnp.broadcast_to(input, [n if s == -1 else s for s, n in zip(size, old, strict=True)])


@ports("torch.broadcast_to", "torch.Tensor.broadcast_to")
def broadcast_to(input, *size: int):
    return expand(input, *size)


@ports("torch.Tensor.expand_as")
def expand_as(input, other):
    return jnp.broadcast_to(input, other.shape)


@ports("torch.broadcast_tensors")
def broadcast_tensors(*tensors) -> list[jax.Array]:
    return jnp.broadcast_arrays(*tensors)


@ports("torch.broadcast_shapes")
def broadcast_shapes(*shapes) -> tuple[int, ...]:
    return jnp.broadcast_shapes(*shapes)


@ports("torch.Tensor.repeat")
def repeat(input, *repeats: int):
    return jnp.tile(input, repeats)


@ports("torch.tile", "torch.Tensor.tile")
def tile(input, *dims: int):
    return jnp.tile(input, dims)


@ports("torch.repeat_interleave", "torch.Tensor.repeat_interleave")
def repeat_interleave(input, repeats: int, dim=None, *, output_size=None):
    return jnp.repeat(input, repeats, axis=dim)


@ports("torch.repeat_interleave", "torch.Tensor.repeat_interleave", jit=False)
def repeat_interleave_each(input, repeats: jax.Array, dim=None, *, output_size=None):
    """A repeat for each element; `output_size` makes the length known, so that it can be jitted."""
    return jnp.repeat(input, repeats, axis=dim, total_repeat_length=output_size)


@ports("torch.repeat_interleave", jit=False)
def repeat_interleave_index(repeats: jax.Array, *, output_size=None):
    """Each index as often as `repeats` says."""
    return jnp.repeat(
        jnp.arange(repeats.shape[0], dtype=repeats.dtype), repeats, total_repeat_length=output_size
    )


# ---------------------------------------------------------------------------------------- joining


@ports("torch.cat", "torch.concat", "torch.concatenate")
def cat(tensors, dim=0):
    return jnp.concatenate(tensors, axis=dim)


@ports("torch.stack")
def stack(tensors, dim=0):
    return jnp.stack(tensors, axis=dim)


@ports("torch.hstack")
def hstack(tensors):
    return jnp.hstack(tensors)


@ports("torch.vstack", "torch.row_stack")
def vstack(tensors):
    return jnp.vstack(tensors)


@ports("torch.dstack")
def dstack(tensors):
    return jnp.dstack(tensors)


@ports("torch.column_stack")
def column_stack(tensors):
    return jnp.column_stack(tensors)


@ports("torch.block_diag")
def block_diag(*tensors):
    return jax.scipy.linalg.block_diag(*tensors)


@ports("torch.cartesian_prod")
def cartesian_prod(*tensors):
    """Every combination of elements as a row; of one tensor alone, the tensor."""
    if len(tensors) == 1:
        return tensors[0]
    return jnp.stack([g.ravel() for g in jnp.meshgrid(*tensors, indexing="ij")], axis=-1)


@ports("torch.combinations", "torch.Tensor.combinations")
def combinations(input, r=2, with_replacement=False):
    """Every choice of r elements as a row, in the order of itertools.combinations."""
    index = np.indices((input.shape[0],) * r).reshape(r, -1)
    steps = np.diff(index, axis=0)
    return input[index[:, np.all(steps >= 0 if with_replacement else steps > 0, axis=0)].T]


@ports("torch.constant_pad_nd")
def constant_pad_nd(input, pad, value=0):
    return pad_axes(input, pad, value=value)


# --------------------------------------------------------------------------------------- splitting


@ports("torch.split", "torch.unsafe_split")
def split(tensor, split_size_or_sections: int, dim=0) -> list[jax.Array]:
    """Pieces of one size and a shorter last one."""
    return jnp.split(
        tensor,
        list(range(split_size_or_sections, tensor.shape[dim], split_size_or_sections)),
        axis=dim,
    )


@ports("torch.split", "torch.unsafe_split")
def split_sections(tensor, split_size_or_sections: tuple | list, dim=0) -> list[jax.Array]:
    """Pieces of the sizes listed; jnp.split takes the places where to cut."""
    return jnp.split(tensor, np.cumsum(split_size_or_sections)[:-1], axis=dim)


@ports("torch.split_copy", "torch.unsafe_split", "torch.Tensor.split", "torch.Tensor.unsafe_split")
def split_method(input, split_size: int, dim=0) -> list[jax.Array]:
    return split(input, split_size, dim)


@ports("torch.Tensor.split", "torch.Tensor.unsafe_split")
def split_method_sections(input, split_size: tuple | list, dim=0) -> list[jax.Array]:
    return split_sections(input, split_size, dim)


@ports(
    "torch.split_with_sizes",
    "torch.split_with_sizes_copy",
    "torch.unsafe_split_with_sizes",
    "torch.Tensor.split_with_sizes",
    "torch.Tensor.unsafe_split_with_sizes",
)
def split_with_sizes(input, split_sizes, dim=0) -> list[jax.Array]:
    return split_sections(input, split_sizes, dim)


@ports("torch.chunk", "torch.unsafe_chunk", "torch.Tensor.chunk", "torch.Tensor.unsafe_chunk")
def chunk(input, chunks, dim=0) -> list[jax.Array]:
    """Pieces of ceil(size / chunks) and a shorter last one; jnp.split alone takes only equal ones."""
    if input.shape[dim] % chunks == 0:
        return jnp.split(input, chunks, axis=dim)
    size = -(-input.shape[dim] // chunks)
    return jnp.split(input, list(range(size, input.shape[dim], size)), axis=dim)


@ports("torch.tensor_split", "torch.Tensor.tensor_split")
def tensor_split(input, indices_or_sections: int, dim=0) -> list[jax.Array]:
    return jnp.array_split(input, indices_or_sections, axis=dim)


@ports("torch.tensor_split", "torch.Tensor.tensor_split")
def tensor_split_at(input, indices_or_sections: tuple | list, dim=0) -> list[jax.Array]:
    return jnp.split(input, indices_or_sections, axis=dim)


@ports("torch.hsplit", "torch.Tensor.hsplit")
def hsplit(input, indices_or_sections) -> list[jax.Array]:
    return jnp.hsplit(input, indices_or_sections)


@ports("torch.vsplit", "torch.Tensor.vsplit")
def vsplit(input, indices_or_sections) -> list[jax.Array]:
    return jnp.vsplit(input, indices_or_sections)


@ports("torch.dsplit", "torch.Tensor.dsplit")
def dsplit(input, indices_or_sections) -> list[jax.Array]:
    return jnp.dsplit(input, indices_or_sections)


@ports("torch.unbind", "torch.unbind_copy", "torch.Tensor.unbind")
def unbind(input, dim=0) -> tuple[jax.Array, ...]:
    return jnp.unstack(input, axis=dim)


@ports("torch.unfold_copy", "torch.Tensor.unfold")
def unfold(input, dimension, size, step):
    """Windows along an axis; what is inside a window becomes the last axis."""
    if input.ndim == 0:
        return input[None]
    starts = jnp.arange(0, input.shape[dimension] - size + 1, step)
    windows = jnp.take(input, starts[:, None] + jnp.arange(size), axis=dimension)
    return jnp.moveaxis(windows, dimension + 1 if dimension >= 0 else dimension, -1)


# ---------------------------------------------------------------------------------------- diagonals


@ports("torch.diagonal", "torch.diagonal_copy", "torch.Tensor.diagonal")
def diagonal(input, offset=0, dim1=0, dim2=1):
    return jnp.diagonal(input, offset=offset, axis1=dim1, axis2=dim2)


@ports("torch.linalg.diagonal")
def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    return jnp.diagonal(A, offset=offset, axis1=dim1, axis2=dim2)


@ports("torch.diagflat", "torch.Tensor.diagflat")
def diagflat(input, offset=0):
    return jnp.diagflat(input, k=offset)


@ports("torch.diag_embed", "torch.Tensor.diag_embed")
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Matrices with the last axis on a diagonal and zeros elsewhere."""
    size = input.shape[-1] + abs(offset)
    rows = np.arange(input.shape[-1]) + max(-offset, 0)
    matrices = jnp.zeros((*input.shape[:-1], size, size), input.dtype)
    matrices = matrices.at[..., rows, rows + offset].set(input)
    return jnp.moveaxis(matrices, (-2, -1), (dim1, dim2))


@ports("torch.diagonal_scatter", "torch.Tensor.diagonal_scatter")
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """`input` with `src` on a diagonal."""
    matrices = jnp.moveaxis(input, (dim1, dim2), (-2, -1))
    rows = np.arange(src.shape[-1]) + max(-offset, 0)
    matrices = matrices.at[..., rows, rows + offset].set(src)
    return jnp.moveaxis(matrices, (-2, -1), (dim1, dim2))
