"""Dtypes, devices, Python values, and what a tensor says about itself.

A JAX array is immutable and lives where JAX puts it: copies and moves are the array itself.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from torchport_translators.catalogue import ports

# --------------------------------------------------------------------------------------- dtypes


@ports("torch.Tensor.float")
def to_float(input):
    return input.astype(jnp.float32)


@ports("torch.Tensor.double")
def to_double(input):
    return input.astype(jnp.float64)


@ports("torch.Tensor.half")
def to_half(input):
    return input.astype(jnp.float16)


@ports("torch.Tensor.bfloat16")
def to_bfloat16(input):
    return input.astype(jnp.bfloat16)


@ports("torch.Tensor.int", "torch.Tensor.long")
def to_int(input):
    """Torch's long is int64, which JAX makes int32 unless it is told to use 64 bits."""
    return input.astype(jnp.int32)


@ports("torch.Tensor.short")
def to_short(input):
    return input.astype(jnp.int16)


@ports("torch.Tensor.char")
def to_char(input):
    return input.astype(jnp.int8)


@ports("torch.Tensor.byte")
def to_byte(input):
    return input.astype(jnp.uint8)


@ports("torch.Tensor.bool")
def to_bool(input):
    return input.astype(bool)


@ports("torch.Tensor.cfloat")
def to_cfloat(input):
    return input.astype(jnp.complex64)


@ports("torch.Tensor.cdouble")
def to_cdouble(input):
    return input.astype(jnp.complex128)


@ports("torch.Tensor.type")
def to_type(input, dtype: jnp.dtype):
    return input.astype(dtype)


@ports("torch.Tensor.type_as")
def type_as(input, other):
    return input.astype(other.dtype)


@ports("torch.Tensor.to")
def to_dtype(input, dtype: jnp.dtype, non_blocking=False, copy=False):
    return input.astype(dtype)


@ports("torch.Tensor.to")
def to_device(input, device: jax.Device | str | int | None):
    return input


@ports("torch.Tensor.to")
def to_like(input, other: jax.Array, non_blocking=False, copy=False):
    return input.astype(other.dtype)


@ports("torch.Tensor.to")
def to_device_and_dtype(
    input,
    device: jax.Device | str | int | None,
    dtype: jnp.dtype | None,
    non_blocking=False,
    copy=False,
):
    if dtype is None:
        return input
    return input.astype(dtype)


@ports("torch.finfo")
def finfo(type) -> jnp.finfo:
    return jnp.finfo(type)


@ports("torch.iinfo")
def iinfo(type) -> jnp.iinfo:
    return jnp.iinfo(type)


@ports("torch.result_type")
def result_type(tensor1, tensor2) -> jnp.dtype:
    return jnp.result_type(tensor1, tensor2)


@ports("torch.promote_types")
def promote_types(type1, type2) -> jnp.dtype:
    return jnp.promote_types(type1, type2)


# --------------------------------------------------------------------- devices, copies, gradients


@ports("torch.Tensor.cpu")
def cpu(input):
    return input


@ports("torch.Tensor.cuda")
def cuda(input, device=None):
    return input


@ports("torch.clone", "torch.alias_copy", "torch.Tensor.clone")
def clone(input):
    return input


@ports("torch.Tensor.contiguous")
def contiguous(input):
    return input


@ports("torch.Tensor.pin_memory")
def pin_memory(input):
    return input


@ports("torch.Tensor.requires_grad_")
def requires_grad_(input, requires_grad=True):
    """In JAX the caller of `jax.grad` says what is differentiated."""
    if not requires_grad:
        return lax.stop_gradient(input)
    return input


@ports("torch.detach", "torch.detach_copy", "torch.Tensor.detach", "torch.Tensor.data")
def detach(input):
    return lax.stop_gradient(input)


# -------------------------------------------------------------------------------- Python values


@ports("torch.Tensor.item", jit=False)
def item(input) -> int | float:
    return input.item()


@ports("torch.Tensor.tolist", jit=False)
def tolist(input) -> list:
    return input.tolist()


@ports("torch.Tensor.numpy", jit=False)
def numpy(input) -> np.ndarray:
    return np.asarray(input)


@ports("torch.is_nonzero", "torch.Tensor.is_nonzero", jit=False)
def is_nonzero(input) -> bool:
    return bool(input)


# ----------------------------------------------------------------------------- sizes and dtypes


@ports("torch.Tensor.size")
def size(input) -> tuple[int, ...]:
    return input.shape


@ports("torch.Tensor.size")
def size_of_axis(input, dim) -> int:
    return input.shape[dim]


@ports("torch.Size")
def make_size(sizes) -> tuple[int, ...]:
    return tuple(sizes)


@ports("torch.Tensor.shape")
def shape(input) -> tuple[int, ...]:
    return input.shape


@ports("torch.Tensor.dim", "torch.Tensor.ndimension", "torch.Tensor.ndim")
def dim(input) -> int:
    return input.ndim


@ports("torch.numel", "torch.Tensor.numel", "torch.Tensor.nelement")
def numel(input) -> int:
    return input.size


@ports("torch.Tensor.element_size", "torch.Tensor.itemsize")
def element_size(input) -> int:
    return input.dtype.itemsize


@ports("torch.Tensor.nbytes")
def nbytes(input) -> int:
    return input.nbytes


@ports("torch.Tensor.dtype")
def dtype(input) -> jnp.dtype:
    return input.dtype


@ports("torch.is_tensor")
def is_tensor(obj) -> bool:
    return isinstance(obj, jax.Array)


@ports("torch.is_floating_point", "torch.Tensor.is_floating_point")
def is_floating_point(input) -> bool:
    return jnp.issubdtype(input.dtype, jnp.floating)


@ports("torch.is_complex", "torch.Tensor.is_complex")
def is_complex(input) -> bool:
    return jnp.issubdtype(input.dtype, jnp.complexfloating)


@ports("torch.is_signed", "torch.Tensor.is_signed")
def is_signed(input) -> bool:
    return not jnp.issubdtype(input.dtype, jnp.unsignedinteger) and input.dtype != bool


@ports("torch.Tensor.is_contiguous")
def is_contiguous(input) -> bool:
    return True


@ports(
    "torch.Tensor.is_sparse",
    "torch.Tensor.is_sparse_csr",
    "torch.Tensor.is_quantized",
    "torch.Tensor.is_mkldnn",
    "torch.Tensor.is_meta",
    "torch.Tensor.is_nested",
    "torch.Tensor.is_xpu",
    "torch.Tensor.is_neg",
    "torch.is_neg",
    "torch.Tensor.is_conj",
    "torch.is_conj",
    "torch.Tensor.is_pinned",
    "torch.Tensor.is_shared",
    "torch.Tensor.is_distributed",
    "torch.is_distributed",
)
def never(input) -> bool:
    """JAX arrays are dense and plain: no layouts, no lazy views, no host memory of another kind."""
    return False


@ports("torch.Tensor.to_dense")
def to_dense(input):
    return input


@ports("torch.is_same_size", "torch.Tensor.is_same_size")
def is_same_size(input, other) -> bool:
    return input.shape == other.shape


# ----------------------------------------------------------------------------------- transposes


@ports("torch.Tensor.T")
def transposed(input):
    return input.T


@ports("torch.Tensor.mT")
def matrix_transposed(input):
    return input.mT


@ports("torch.Tensor.H")
def conjugate_transposed(input):
    return input.conj().T


@ports("torch.adjoint", "torch.Tensor.adjoint", "torch.Tensor.mH")
def adjoint(input):
    return input.conj().mT
