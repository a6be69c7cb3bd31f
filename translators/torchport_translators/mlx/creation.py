"""Arrays from sizes, ranges, Python data and other arrays."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports

# ------------------------------------------------------------------------------------ constants


@ports("torch.zeros", "torch.empty")
def zeros(*size, dtype=None):
    """MLX leaves no array without values: what torch leaves so is zeros."""
    if dtype is None:
        return mx.zeros(size)
    return mx.zeros(size, dtype=dtype)


@ports("torch.ones")
def ones(*size, dtype=None):
    if dtype is None:
        return mx.ones(size)
    return mx.ones(size, dtype=dtype)


@ports("torch.full")
def full(size, fill_value, *, dtype=None):
    return mx.full(size, fill_value, dtype=dtype)


@ports("torch.eye")
def eye(n, m=None, *, dtype=None):
    if dtype is None:
        return mx.eye(n, m=m)
    return mx.eye(n, m=m, dtype=dtype)


@ports("torch.zeros_like", "torch.empty_like")
def zeros_like(input, *, dtype=None):
    return mx.zeros_like(input, dtype=dtype)


@ports("torch.ones_like")
def ones_like(input, *, dtype=None):
    return mx.ones_like(input, dtype=dtype)


@ports("torch.full_like")
def full_like(input, fill_value, *, dtype=None):
    return mx.full_like(input, fill_value, dtype=dtype)


@ports("torch.Tensor.new_zeros", "torch.Tensor.new_empty")
def new_zeros(input, *size, dtype=None):
    return mx.zeros(size, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.new_ones")
def new_ones(input, *size, dtype=None):
    return mx.ones(size, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.new_full")
def new_full(input, size, fill_value, *, dtype=None):
    return mx.full(size, fill_value, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.new")
def new(input, data: list | tuple | mx.array):
    return mx.array(data, dtype=input.dtype)


@ports("torch.Tensor.new")
def new_of_size(input, *size: int):
    return mx.zeros(size, dtype=input.dtype)


@ports("torch.Tensor.new_tensor")
def new_tensor(input, data, *, dtype=None):
    return mx.array(data, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.zero_")
def zero_(input):
    return mx.zeros_like(input)


@ports("torch.Tensor.fill_", "torch.fill", "torch.Tensor.fill")
def fill(input, value):
    return mx.full_like(input, value)


@ports("torch.Tensor.copy_")
def copy_(input, src):
    return mx.broadcast_to(src, input.shape).astype(input.dtype)


# -------------------------------------------------------------------------------------- ranges


@ports("torch.arange")
def arange(end, *, dtype=None):
    if dtype is None:
        return mx.arange(end)
    return mx.arange(end, dtype=dtype)


@ports("torch.arange")
def arange_from(start, end, *, dtype=None):
    if dtype is None:
        return mx.arange(end) if start == 0 else mx.arange(start, end)
    return mx.arange(end, dtype=dtype) if start == 0 else mx.arange(start, end, dtype=dtype)


@ports("torch.arange")
def arange_by(start, end, step, *, dtype=None):
    if dtype is None:
        return mx.arange(start, end, step)
    return mx.arange(start, end, step, dtype=dtype)


@ports("torch.range")
def range_of_integers(start: int, end: int, *, dtype=mx.float32):
    """With the end, unlike `torch.arange`, and in floats."""
    return mx.arange(start, end + 1, dtype=dtype)


@ports("torch.range")
def range(start, end, step=1, *, dtype=mx.float32):
    """With the end, where a step reaches it, unlike `torch.arange`, and in floats."""
    if start == 0:
        return step * mx.arange(int(end / step) + 1, dtype=dtype)
    return start + step * mx.arange(int((end - start) / step) + 1, dtype=dtype)


@ports("torch.linspace")
def linspace(start, end, steps, *, dtype=None):
    if dtype is None:
        return mx.linspace(start, end, steps)
    return mx.linspace(start, end, steps, dtype=dtype)


@ports("torch.logspace")
def logspace(start, end, steps, base=10.0, *, dtype=None):
    """Powers of the base, of exponents at equal distances."""
    if dtype is None:
        return base ** mx.linspace(start, end, steps)
    return (base ** mx.linspace(start, end, steps)).astype(dtype)


@ports("torch.meshgrid")
def meshgrid(*tensors, indexing="ij") -> tuple[mx.array, ...]:
    """Grids of coordinates; torch indexes "ij" unless told otherwise, MLX "xy"."""
    return mx.meshgrid(*tensors, indexing=indexing)


# ------------------------------------------------------------------------------------ from data


@ports("torch.tensor", "torch.as_tensor", "torch.asarray")
def tensor(data, *, dtype=None):
    if dtype is None:
        return mx.array(data)
    return mx.array(data, dtype=dtype)


@ports("torch.from_numpy")
def from_numpy(ndarray):
    return mx.array(ndarray)


@ports("torch.scalar_tensor")
def scalar_tensor(s, *, dtype=mx.float32):
    return mx.array(s, dtype=dtype)


@ports("torch.Tensor", "torch.FloatTensor")
def float_tensor(data: list | tuple | mx.array):
    return mx.array(data, dtype=mx.float32)


@ports("torch.Tensor", "torch.FloatTensor")
def float_tensor_of_size(*size):
    return mx.zeros(size)


@ports("torch.DoubleTensor")
def double_tensor(data):
    return mx.array(data, dtype=mx.float64)


@ports("torch.LongTensor")
def long_tensor(data):
    return mx.array(data, dtype=mx.int64)


@ports("torch.IntTensor")
def int_tensor(data):
    return mx.array(data, dtype=mx.int32)


@ports("torch.BoolTensor")
def bool_tensor(data):
    return mx.array(data, dtype=mx.bool_)


# --------------------------------------------------------------------------------------- triangles


@ports("torch.tril", "torch.Tensor.tril")
def tril(input, diagonal=0):
    return mx.tril(input, k=diagonal)


@ports("torch.triu", "torch.Tensor.triu")
def triu(input, diagonal=0):
    return mx.triu(input, k=diagonal)


@ports("torch.tril_indices")
def tril_indices(row, col, offset=0, *, dtype=mx.int64):
    return mx.array(np.stack(np.tril_indices(row, k=offset, m=col)), dtype=dtype)


@ports("torch.triu_indices")
def triu_indices(row, col, offset=0, *, dtype=mx.int64):
    return mx.array(np.stack(np.triu_indices(row, k=offset, m=col)), dtype=dtype)


@ports("torch.diag", "torch.Tensor.diag")
def diag(input, diagonal=0):
    return mx.diag(input, k=diagonal)
