"""Dtypes, devices, Python values, and what a tensor says about itself.

An array of MLX lives in memory that the CPU and the GPU share: a move is the array itself.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports

# --------------------------------------------------------------------------------------- dtypes


@ports("torch.Tensor.float")
def to_float(input):
    return input.astype(mx.float32)


@ports("torch.Tensor.double")
def to_double(input):
    """float64, which MLX calculates with on the CPU only."""
    return input.astype(mx.float64)


@ports("torch.Tensor.half")
def to_half(input):
    return input.astype(mx.float16)


@ports("torch.Tensor.bfloat16")
def to_bfloat16(input):
    return input.astype(mx.bfloat16)


@ports("torch.Tensor.int")
def to_int(input):
    return input.astype(mx.int32)


@ports("torch.Tensor.long")
def to_long(input):
    return input.astype(mx.int64)


@ports("torch.Tensor.short")
def to_short(input):
    return input.astype(mx.int16)


@ports("torch.Tensor.char")
def to_char(input):
    return input.astype(mx.int8)


@ports("torch.Tensor.byte")
def to_byte(input):
    return input.astype(mx.uint8)


@ports("torch.Tensor.bool")
def to_bool(input):
    return input.astype(mx.bool_)


@ports("torch.Tensor.cfloat", "torch.Tensor.cdouble")
def to_cfloat(input):
    """complex64, the only complex dtype of MLX."""
    return input.astype(mx.complex64)


@ports("torch.Tensor.type")
def to_type(input, dtype: mx.Dtype):
    return input.astype(dtype)


@ports("torch.Tensor.type_as")
def type_as(input, other):
    return input.astype(other.dtype)


@ports("torch.Tensor.to")
def to_dtype(input, dtype: mx.Dtype, non_blocking=False, copy=False):
    return input.astype(dtype)


@ports("torch.Tensor.to")
def to_device(input, device: mx.Device | str | int | None):
    return input


@ports("torch.Tensor.to")
def to_like(input, other: mx.array, non_blocking=False, copy=False):
    return input.astype(other.dtype)


@ports("torch.Tensor.to")
def to_device_and_dtype(
    input,
    device: mx.Device | str | int | None,
    dtype: mx.Dtype | None,
    non_blocking=False,
    copy=False,
):
    if dtype is None:
        return input
    return input.astype(dtype)


@ports("torch.finfo")
def finfo(type) -> mx.finfo:
    return mx.finfo(type)


@ports("torch.iinfo")
def iinfo(type) -> mx.iinfo:
    return mx.iinfo(type)


@ports("torch.result_type")
def result_type(tensor1: mx.array, tensor2: mx.array) -> mx.Dtype:
    return mx.result_type(tensor1, tensor2)


@ports("torch.result_type")
def result_type_of_number(tensor1, tensor2) -> mx.Dtype:
    return (tensor1 + tensor2).dtype


@ports("torch.promote_types")
def promote_types(type1, type2) -> mx.Dtype:
    return mx.result_type(type1, type2)


# --------------------------------------------------------------------- devices, copies, gradients


@ports("torch.Tensor.cpu")
def cpu(input):
    return input


@ports("torch.Tensor.cuda")
def cuda(input, device=None):
    return input


@ports("torch.clone", "torch.alias_copy", "torch.Tensor.clone")
def clone(input):
    """An array of its own: what is assigned to its elements does not change the other."""
    return mx.array(input)


@ports("torch.Tensor.contiguous")
def contiguous(input):
    return input


@ports("torch.Tensor.pin_memory")
def pin_memory(input):
    return input


@ports("torch.Tensor.requires_grad_")
def requires_grad_(input, requires_grad=True):
    """In MLX the caller of `mx.grad` says what is differentiated."""
    if not requires_grad:
        return mx.stop_gradient(input)
    return input


@ports("torch.detach", "torch.detach_copy", "torch.Tensor.detach", "torch.Tensor.data")
def detach(input):
    return mx.stop_gradient(input)


# -------------------------------------------------------------------------------- Python values


@ports("torch.Tensor.item", jit=False)
def item(input) -> int | float:
    return input.item()


@ports("torch.Tensor.tolist", jit=False)
def tolist(input) -> list:
    return input.tolist()


@ports("torch.Tensor.numpy", jit=False)
def numpy(input) -> np.ndarray:
    return np.array(input)


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
    return input.itemsize


@ports("torch.Tensor.nbytes")
def nbytes(input) -> int:
    return input.nbytes


@ports("torch.Tensor.dtype")
def dtype(input) -> mx.Dtype:
    return input.dtype


@ports("torch.is_tensor")
def is_tensor(obj) -> bool:
    return isinstance(obj, mx.array)


@ports("torch.is_floating_point", "torch.Tensor.is_floating_point")
def is_floating_point(input) -> bool:
    return mx.issubdtype(input.dtype, mx.floating)


@ports("torch.is_complex", "torch.Tensor.is_complex")
def is_complex(input) -> bool:
    return mx.issubdtype(input.dtype, mx.complexfloating)


@ports("torch.is_signed", "torch.Tensor.is_signed")
def is_signed(input) -> bool:
    return not mx.issubdtype(input.dtype, mx.unsignedinteger) and input.dtype != mx.bool_


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
    """MLX arrays are dense and plain: no layouts, no lazy views, no memory of another kind."""
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
    return mx.conj(input).T


@ports("torch.adjoint", "torch.Tensor.adjoint", "torch.Tensor.mH")
def adjoint(input):
    return mx.conj(input).mT
