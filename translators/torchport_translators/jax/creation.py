"""Arrays from sizes, ranges, Python data and other arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from torchport_translators.catalogue import ports

# ------------------------------------------------------------------------------------ constants


@ports("torch.zeros")
def zeros(*size, dtype=None):
    return jnp.zeros(size, dtype=dtype)


@ports("torch.ones")
def ones(*size, dtype=None):
    return jnp.ones(size, dtype=dtype)


@ports("torch.empty")
def empty(*size, dtype=None):
    return jnp.empty(size, dtype=dtype)


@ports("torch.full")
def full(size, fill_value, *, dtype=None):
    return jnp.full(size, fill_value, dtype=dtype)


@ports("torch.eye")
def eye(n, m=None, *, dtype=None):
    return jnp.eye(n, m, dtype=dtype)


@ports("torch.zeros_like")
def zeros_like(input, *, dtype=None):
    return jnp.zeros_like(input, dtype=dtype)


@ports("torch.ones_like")
def ones_like(input, *, dtype=None):
    return jnp.ones_like(input, dtype=dtype)


@ports("torch.empty_like")
def empty_like(input, *, dtype=None):
    return jnp.empty_like(input, dtype=dtype)


@ports("torch.full_like")
def full_like(input, fill_value, *, dtype=None):
    return jnp.full_like(input, fill_value, dtype=dtype)


@ports("torch.Tensor.new_zeros")
def new_zeros(input, *size, dtype=None):
    return jnp.zeros(size, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.new_ones")
def new_ones(input, *size, dtype=None):
    return jnp.ones(size, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.new_empty")
def new_empty(input, *size, dtype=None):
    return jnp.empty(size, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.new_full")
def new_full(input, size, fill_value, *, dtype=None):
    return jnp.full(size, fill_value, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.new_tensor")
def new_tensor(input, data, *, dtype=None):
    return jnp.array(data, dtype=input.dtype if dtype is None else dtype)


@ports("torch.Tensor.new")
def new(input, data: list | tuple | jax.Array):
    return jnp.array(data, dtype=input.dtype)


@ports("torch.Tensor.new")
def new_of_size(input, *size: int):
    return jnp.empty(size, dtype=input.dtype)


@ports("torch.Tensor.zero_")
def zero_(input):
    return jnp.zeros_like(input)


@ports("torch.Tensor.fill_", "torch.fill", "torch.Tensor.fill")
def fill(input, value):
    return jnp.full_like(input, value)


@ports("torch.Tensor.copy_")
def copy_(input, src):
    return jnp.broadcast_to(src, input.shape).astype(input.dtype)


# -------------------------------------------------------------------------------------- ranges


@ports("torch.arange")
def arange(end, *, dtype=None):
    return jnp.arange(end, dtype=dtype)


@ports("torch.arange")
def arange_from(start, end, *, dtype=None):
    if start == 0:
        return jnp.arange(end, dtype=dtype)
    return jnp.arange(start, end, dtype=dtype)


@ports("torch.arange")
def arange_by(start, end, step, *, dtype=None):
    return jnp.arange(start, end, step, dtype=dtype)


@ports("torch.range")
def range_of_integers(start: int, end: int, *, dtype=jnp.float32):
    """With the end, unlike `torch.arange`, and in floats."""
    return jnp.arange(start, end + 1, dtype=dtype)


@ports("torch.range")
def range(start, end, step=1, *, dtype=jnp.float32):
    """With the end, where a step reaches it, unlike `torch.arange`, and in floats."""
    if start == 0:
        return step * jnp.arange(int(end / step) + 1, dtype=dtype)
    return start + step * jnp.arange(int((end - start) / step) + 1, dtype=dtype)


@ports("torch.linspace")
def linspace(start, end, steps, *, dtype=None):
    return jnp.linspace(start, end, steps, dtype=dtype)


@ports("torch.logspace")
def logspace(start, end, steps, base=10.0, *, dtype=None):
    return jnp.logspace(start, end, steps, base=base, dtype=dtype)


@ports("torch.meshgrid")
def meshgrid(*tensors, indexing="ij") -> tuple[jax.Array, ...]:
    """Grids of coordinates; torch indexes "ij" unless told otherwise, jax "xy"."""
    return jnp.meshgrid(*tensors, indexing=indexing)


# ------------------------------------------------------------------------------------ from data


@ports("torch.tensor")
def tensor(data, *, dtype=None):
    return jnp.array(data, dtype=dtype)


@ports("torch.as_tensor", "torch.asarray")
def as_tensor(data, *, dtype=None):
    return jnp.asarray(data, dtype=dtype)


@ports("torch.from_numpy")
def from_numpy(ndarray):
    return jnp.asarray(ndarray)


@ports("torch.scalar_tensor")
def scalar_tensor(s, *, dtype=jnp.float32):
    return jnp.asarray(s, dtype=dtype)


@ports("torch.Tensor", "torch.FloatTensor")
def float_tensor(data: list | tuple | jax.Array):
    return jnp.array(data, dtype=jnp.float32)


@ports("torch.Tensor", "torch.FloatTensor")
def float_tensor_of_size(*size):
    return jnp.empty(size)


@ports("torch.DoubleTensor")
def double_tensor(data):
    return jnp.array(data, dtype=jnp.float64)


@ports("torch.LongTensor", "torch.IntTensor")
def int_tensor(data):
    return jnp.array(data, dtype=jnp.int32)


@ports("torch.BoolTensor")
def bool_tensor(data):
    return jnp.array(data, dtype=bool)


# --------------------------------------------------------------------------------------- triangles


@ports("torch.tril", "torch.Tensor.tril")
def tril(input, diagonal=0):
    return jnp.tril(input, k=diagonal)


@ports("torch.triu", "torch.Tensor.triu")
def triu(input, diagonal=0):
    return jnp.triu(input, k=diagonal)


@ports("torch.tril_indices")
def tril_indices(row, col, offset=0, *, dtype=None):
    return jnp.stack(jnp.tril_indices(row, k=offset, m=col), dtype=dtype)


@ports("torch.triu_indices")
def triu_indices(row, col, offset=0, *, dtype=None):
    return jnp.stack(jnp.triu_indices(row, k=offset, m=col), dtype=dtype)


@ports("torch.diag", "torch.Tensor.diag")
def diag(input, diagonal=0):
    return jnp.diag(input, k=diagonal)
