"""Views, layout, joining and splitting: what moves elements and computes nothing."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports
from torchport_translators.mlx.vision import pad as pad_axes

# ------------------------------------------------------------------------------- one shape to another


@ports("torch.reshape", "torch.view_copy", "torch.Tensor.reshape", "torch.Tensor.view")
def reshape(input, shape: tuple | list):
    """The shape as it is written: `input.reshape(*())` ends the process in MLX 0.32."""
    return input.reshape(shape)


@ports("torch.view_copy", "torch.Tensor.view")
def view_dtype(input, dtype: mx.Dtype):
    return input.view(dtype)


@ports("torch.reshape", "torch.view_copy", "torch.Tensor.reshape", "torch.Tensor.view")
def reshape_to_sizes(input, *shape: int):
    return input.reshape(*shape)


@ports("torch.Tensor.view_as", "torch.Tensor.reshape_as")
def reshape_as(input, other):
    return input.reshape(other.shape)


@ports("torch.ravel", "torch.Tensor.ravel")
def ravel(input):
    return mx.flatten(input)


@ports("torch.flatten", "torch.Tensor.flatten")
def flatten(input, start_dim=0, end_dim=-1):
    return mx.flatten(input, start_axis=start_dim, end_axis=end_dim)


@ports("torch.unflatten", "torch.Tensor.unflatten")
def unflatten(input, dim, sizes):
    return mx.unflatten(input, dim, sizes)


@ports("torch.squeeze", "torch.squeeze_copy", "torch.Tensor.squeeze")
def squeeze(input, dim=None):
    """Drop axes of size 1; an axis that is named and longer stays, where mx.squeeze raises."""
    if dim is None:
        return mx.squeeze(input)
    if input.ndim == 0:
        return input
    dims = (dim,) if isinstance(dim, int) else dim
    return mx.squeeze(input, axis=tuple(d for d in dims if input.shape[d] == 1))


@ports("torch.unsqueeze", "torch.unsqueeze_copy", "torch.Tensor.unsqueeze")
def unsqueeze(input, dim):
    return mx.expand_dims(input, axis=dim)


@ports("torch.atleast_1d")
def atleast_1d(input: mx.array):
    return mx.atleast_1d(input)


@ports("torch.atleast_1d")
def atleast_1d_each(*tensors) -> list[mx.array]:
    return mx.atleast_1d(*tensors)


@ports("torch.atleast_2d")
def atleast_2d(input: mx.array):
    return mx.atleast_2d(input)


@ports("torch.atleast_2d")
def atleast_2d_each(*tensors) -> list[mx.array]:
    return mx.atleast_2d(*tensors)


@ports("torch.atleast_3d")
def atleast_3d(input: mx.array):
    return mx.atleast_3d(input)


@ports("torch.atleast_3d")
def atleast_3d_each(*tensors) -> list[mx.array]:
    return mx.atleast_3d(*tensors)


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
def movedim(input, source: int, destination: int):
    return mx.moveaxis(input, source, destination)


@ports("torch.movedim", "torch.moveaxis", "torch.Tensor.movedim", "torch.Tensor.moveaxis")
def move_axes(input, source: tuple | list, destination: tuple | list):
    """Move several axes at once; mx.moveaxis moves one."""
    source = [axis % input.ndim for axis in source]
    order = [axis for axis in range(input.ndim) if axis not in source]
    for place, axis in sorted(zip([d % input.ndim for d in destination], source, strict=True)):
        order.insert(place, axis)
    return mx.transpose(input, order)


@ports("torch.flip", "torch.Tensor.flip")
def flip(input, *dims: int):
    return mx.flip(input, axis=dims[0] if len(dims) == 1 else dims)


@ports("torch.fliplr", "torch.Tensor.fliplr")
def fliplr(input):
    return mx.flip(input, axis=1)


@ports("torch.flipud", "torch.Tensor.flipud")
def flipud(input):
    return mx.flip(input, axis=0)


@ports("torch.rot90", "torch.Tensor.rot90")
def rot90(input, k=1, dims=(0, 1)):
    """Turn by k right angles, from the first axis of `dims` towards the second."""
    if k % 4 == 0:
        return input
    if k % 4 == 1:
        return mx.flip(input, axis=dims[1]).swapaxes(dims[0], dims[1])
    if k % 4 == 2:
        return mx.flip(input, axis=dims)
    return mx.flip(input.swapaxes(dims[0], dims[1]), axis=dims[1])


@ports("torch.roll", "torch.Tensor.roll")
def roll(input, shifts, dims=None):
    return mx.roll(input, shifts, axis=dims)


# -------------------------------------------------------------------------------------- repeating


@ports("torch.expand_copy", "torch.Tensor.expand")
def expand(input, *size: int):
    """Like mx.broadcast_to, where -1 keeps the size that an axis has."""
    if -1 not in size:
        return mx.broadcast_to(input, size)
    old = (1,) * (len(size) - input.ndim) + input.shape
    return mx.broadcast_to(input, [n if s == -1 else s for s, n in zip(size, old, strict=True)])


@ports("torch.broadcast_to", "torch.Tensor.broadcast_to")
def broadcast_to(input, *size: int):
    return expand(input, *size)


@ports("torch.Tensor.expand_as")
def expand_as(input, other):
    return mx.broadcast_to(input, other.shape)


@ports("torch.broadcast_tensors")
def broadcast_tensors(*tensors) -> list[mx.array]:
    return mx.broadcast_arrays(*tensors)


@ports("torch.broadcast_shapes")
def broadcast_shapes(*shapes) -> tuple[int, ...]:
    return mx.broadcast_shapes(*shapes)


@ports("torch.Tensor.repeat")
def repeat(input, *repeats: int):
    return mx.tile(input, repeats)


@ports("torch.tile", "torch.Tensor.tile")
def tile(input, *dims: int):
    return mx.tile(input, dims)


@ports("torch.repeat_interleave", "torch.Tensor.repeat_interleave")
def repeat_interleave(input, repeats: int, dim=None, *, output_size=None):
    return mx.repeat(input, repeats, axis=dim)


@ports("torch.repeat_interleave", "torch.Tensor.repeat_interleave", jit=False)
def repeat_interleave_each(input, repeats: mx.array, dim=None, *, output_size=None):
    """A number of repeats for each element; mx.repeat takes one for all."""
    if dim is None:
        input, dim = mx.flatten(input), 0
    repeats = mx.broadcast_to(repeats, (input.shape[dim],))
    return mx.take(input, repeat_interleave_index(repeats, output_size=output_size), axis=dim)


@ports("torch.repeat_interleave", jit=False)
def repeat_interleave_index(repeats: mx.array, *, output_size=None):
    """Each index as often as `repeats` says."""
    size = mx.sum(repeats).item() if output_size is None else output_size
    index = mx.searchsorted(mx.cumsum(repeats), mx.arange(size), side="right")
    return index.astype(repeats.dtype)


# ---------------------------------------------------------------------------------------- joining


@ports("torch.cat", "torch.concat", "torch.concatenate")
def cat(tensors, dim=0):
    return mx.concatenate(tensors, axis=dim)


@ports("torch.stack")
def stack(tensors, dim=0):
    return mx.stack(tensors, axis=dim)


@ports("torch.hstack")
def hstack(tensors):
    """Join along the second axis, or along the only one of vectors."""
    tensors = [mx.atleast_1d(tensor) for tensor in tensors]
    return mx.concatenate(tensors, axis=0 if tensors[0].ndim == 1 else 1)


@ports("torch.vstack", "torch.row_stack")
def vstack(tensors):
    return mx.concatenate([mx.atleast_2d(tensor) for tensor in tensors])


@ports("torch.dstack")
def dstack(tensors):
    return mx.concatenate([mx.atleast_3d(tensor) for tensor in tensors], axis=2)


@ports("torch.column_stack")
def column_stack(tensors):
    """Join along the second axis, vectors as columns."""
    columns = [tensor.reshape(-1, 1) if tensor.ndim < 2 else tensor for tensor in tensors]
    return mx.concatenate(columns, axis=1)


@ports("torch.block_diag")
def block_diag(*tensors):
    """The matrices along a diagonal, zeros elsewhere."""
    blocks = [mx.atleast_2d(tensor) for tensor in tensors]
    ends = np.cumsum([block.shape[1] for block in blocks]).tolist()
    rows = [
        mx.pad(block, ((0, 0), (end - block.shape[1], ends[-1] - end)))
        for block, end in zip(blocks, ends, strict=True)
    ]
    return mx.concatenate(rows)


@ports("torch.cartesian_prod")
def cartesian_prod(*tensors):
    """Every combination of elements as a row; of one tensor alone, the tensor."""
    if len(tensors) == 1:
        return tensors[0]
    return mx.stack([mx.flatten(g) for g in mx.meshgrid(*tensors, indexing="ij")], axis=-1)


@ports("torch.combinations", "torch.Tensor.combinations")
def combinations(input, r=2, with_replacement=False):
    """Every choice of r elements as a row, in the order of itertools.combinations."""
    index = np.indices((input.shape[0],) * r).reshape(r, -1)
    steps = np.diff(index, axis=0)
    chosen = np.all(steps >= 0 if with_replacement else steps > 0, axis=0)
    return mx.take(input, mx.array(index[:, chosen].T))


@ports("torch.constant_pad_nd")
def constant_pad_nd(input, pad, value=0):
    return pad_axes(input, pad, value=value)


# --------------------------------------------------------------------------------------- splitting


@ports("torch.split", "torch.unsafe_split")
def split(tensor, split_size_or_sections: int, dim=0) -> list[mx.array]:
    """Pieces of one size and a shorter last one; mx.split takes the places where to cut."""
    return mx.split(
        tensor,
        list(range(split_size_or_sections, tensor.shape[dim], split_size_or_sections)),
        axis=dim,
    )


@ports("torch.split", "torch.unsafe_split")
def split_sections(tensor, split_size_or_sections: tuple | list, dim=0) -> list[mx.array]:
    """Pieces of the sizes listed; mx.split takes the places where to cut."""
    return mx.split(tensor, np.cumsum(split_size_or_sections)[:-1].tolist(), axis=dim)


@ports("torch.split_copy", "torch.Tensor.split", "torch.Tensor.unsafe_split")
def split_method(input, split_size: int, dim=0) -> list[mx.array]:
    return split(input, split_size, dim)


@ports("torch.split_copy", "torch.Tensor.split", "torch.Tensor.unsafe_split")
def split_method_sections(input, split_size: tuple | list, dim=0) -> list[mx.array]:
    return split_sections(input, split_size, dim)


@ports(
    "torch.split_with_sizes",
    "torch.split_with_sizes_copy",
    "torch.unsafe_split_with_sizes",
    "torch.Tensor.split_with_sizes",
    "torch.Tensor.unsafe_split_with_sizes",
)
def split_with_sizes(input, split_sizes, dim=0) -> list[mx.array]:
    return split_sections(input, split_sizes, dim)


@ports("torch.chunk", "torch.unsafe_chunk", "torch.Tensor.chunk", "torch.Tensor.unsafe_chunk")
def chunk(input, chunks, dim=0) -> list[mx.array]:
    """Pieces of ceil(size / chunks) and a shorter last one; mx.split alone takes only equal ones."""
    if input.shape[dim] % chunks == 0:
        return mx.split(input, chunks, axis=dim)
    size = -(-input.shape[dim] // chunks)
    return mx.split(input, list(range(size, input.shape[dim], size)), axis=dim)


@ports("torch.tensor_split", "torch.Tensor.tensor_split")
def tensor_split(input, indices_or_sections: int, dim=0) -> list[mx.array]:
    """So many pieces, the first ones longer by one where the size does not divide."""
    size, longer = divmod(input.shape[dim], indices_or_sections)
    ends = np.cumsum([size + (i < longer) for i in range(indices_or_sections)])
    return mx.split(input, ends[:-1].tolist(), axis=dim)


@ports("torch.tensor_split", "torch.Tensor.tensor_split")
def tensor_split_at(input, indices_or_sections: tuple | list, dim=0) -> list[mx.array]:
    return mx.split(input, indices_or_sections, axis=dim)


@ports("torch.hsplit", "torch.Tensor.hsplit")
def hsplit(input, indices_or_sections) -> list[mx.array]:
    return mx.split(input, indices_or_sections, axis=0 if input.ndim == 1 else 1)


@ports("torch.vsplit", "torch.Tensor.vsplit")
def vsplit(input, indices_or_sections) -> list[mx.array]:
    return mx.split(input, indices_or_sections)


@ports("torch.dsplit", "torch.Tensor.dsplit")
def dsplit(input, indices_or_sections) -> list[mx.array]:
    return mx.split(input, indices_or_sections, axis=2)


@ports("torch.unbind", "torch.unbind_copy", "torch.Tensor.unbind")
def unbind(input, dim=0) -> tuple[mx.array, ...]:
    return mx.unstack(input, axis=dim)


@ports("torch.unfold_copy", "torch.Tensor.unfold")
def unfold(input, dimension, size, step):
    """Windows along an axis; what is inside a window becomes the last axis."""
    if input.ndim == 0:
        return input[None]
    starts = mx.arange(0, input.shape[dimension] - size + 1, step)
    windows = mx.take(input, starts[:, None] + mx.arange(size), axis=dimension)
    return mx.moveaxis(windows, dimension + 1 if dimension >= 0 else dimension, -1)


# ---------------------------------------------------------------------------------------- diagonals


@ports("torch.diagonal", "torch.diagonal_copy", "torch.Tensor.diagonal")
def diagonal(input, offset=0, dim1=0, dim2=1):
    return mx.diagonal(input, offset=offset, axis1=dim1, axis2=dim2)


@ports("torch.linalg.diagonal")
def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    return mx.diagonal(A, offset=offset, axis1=dim1, axis2=dim2)


@ports("torch.diagflat", "torch.Tensor.diagflat")
def diagflat(input, offset=0):
    return mx.diag(mx.flatten(input), k=offset)


@ports("torch.diag_embed", "torch.Tensor.diag_embed")
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Matrices with the last axis on a diagonal and zeros elsewhere."""
    size = input.shape[-1] + abs(offset)
    rows = mx.arange(input.shape[-1]) + max(-offset, 0)
    matrices = mx.zeros((*input.shape[:-1], size, size), input.dtype)
    matrices[..., rows, rows + offset] = input
    return move_axes(matrices, (-2, -1), (dim1, dim2))


@ports("torch.diagonal_scatter", "torch.Tensor.diagonal_scatter")
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """`input` with `src` on a diagonal."""
    matrices = move_axes(input, (dim1, dim2), (-2, -1))
    rows = mx.arange(src.shape[-1]) + max(-offset, 0)
    matrices[..., rows, rows + offset] = src
    return move_axes(matrices, (-2, -1), (dim1, dim2))
