"""Families of torch APIs that no target has an equivalent of: why, and what comes nearest."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """APIs that have no rule for one reason.

    Attributes:
        name: what they are about.
        apis: which they are.
        text: why there is no equivalent, and what to write instead.
    """

    name: str
    apis: re.Pattern[str]
    text: str


FAMILIES = (
    Family(
        "quantized tensors",
        re.compile(
            r"torch\.(ao|quantization|nn\.(intrinsic|qat|quantized))\b"
            r"|torch(\.Tensor)?\.(_?empty_(quantized|affine|per_channel_affine)"
            r"|(quantize|quantized|fake_quantize|fbgemm|fused_moving_avg_obs|choose_qparams)_"
            r"|(dequantize|int_repr|qscheme|is_quantized|q_scale|q_zero_point)$"
            r"|q_per_channel_|qu?int\d+(x\d+)?$|per_(tensor|channel)_(affine|symmetric))"
        ),
        "Quantized tensors carry a scale and a zero point; arrays of the target do not. Keep the "
        "integers and their scale as two arrays (in JAX "
        "`jnp.clip(jnp.round(x / scale), -128, 127).astype(jnp.int8)`, and `q * scale` back), or in "
        "MLX use `mx.quantize`, `mx.dequantize` and `mx.quantized_matmul`. For training that simulates "
        "quantization round in the forward pass and stop the gradient of the difference.",
    ),
    Family(
        "kernels and back-ends of torch",
        re.compile(
            r"torch(\.Tensor)?\.((cudnn|miopen|mkldnn)_|((to|is)_mkldnn|embedding_bag)$"
            r"|batch_norm_(stats|elemt|gather_stats|update_stats|backward))"
        ),
        "It is a kernel of torch, or calls one of its back-ends by name; the compiler of the target "
        "chooses its own. Call what it is there for (`F.conv2d` for `torch.cudnn_convolution`, "
        "`F.batch_norm`, `F.embedding_bag`, `F.grid_sample`, `nn.LSTM`), which is ported.",
    ),
    Family(
        "sparse tensors",
        re.compile(
            r"torch\.(sparse|optim\.SparseAdam)\b"
            r"|torch(\.Tensor)?\.((sparse|to_sparse|is_sparse)\w*|resize_as_sparse_|is_coalesced$"
            r"|coalesce$|to_dense$|(sparse|dense)_dim$|((ccol|col|crow|row)_)?indices(_copy)?$"
            r"|values(_copy)?$|(smm|sspaddmm|spmm|hspmm|saddmm|dsmm|hsmm|native_norm)$)"
        ),
        "Sparse tensors have no counterpart among the target's arrays. Keep the data dense where it "
        "fits. A product with a sparse matrix in coordinates is a gather and a sum by row: in JAX "
        "`jax.ops.segment_sum(values[:, None] * x[columns], rows, num_rows)`, in MLX "
        "`mx.zeros(...).at[rows].add(...)`. JAX also has `jax.experimental.sparse.BCOO`.",
    ),
    Family(
        "masked and nested tensors",
        re.compile(
            r"torch\.nested\b|torch(\.Tensor)?\.(is_nested|to_padded_tensor)$"
            r"|torch\.masked\.(MaskedTensor|(as_|is_)?masked_tensor)$"
        ),
        "Arrays of the target carry no mask and no lengths. Keep a mask, or lengths and padding, as an "
        "array beside the data, and say where it counts: `jnp.sum(x, where=mask)`, "
        "`jnp.where(mask, x, 0)`, in MLX `mx.where`. The functions of torch.masked that take `mask` "
        "are ported.",
    ),
    Family(
        "several devices and processes",
        re.compile(r"torch\.(distributed|nn\.parallel|nn\.DataParallel|nn\.SyncBatchNorm)\b"),
        "One program runs on all devices in the target, and says how arrays are laid out on them. In "
        "JAX place arrays with `jax.device_put(x, NamedSharding(mesh, P('data')))` and jit the step, "
        "which then holds what is reduced; inside `jax.shard_map` use `jax.lax.psum`. In MLX use "
        "`mx.distributed.all_sum`.",
    ),
    Family(
        "TorchScript",
        re.compile(
            r"torch\.(jit\b|(import_ir_module(_from_buffer)?|parse_(ir|schema|type_comment)"
            r"|merge_type_from_type_comment|unify_type_list|fork|wait)$)"
        ),
        "Programs of TorchScript are torch's own. The target compiles functions as they are, "
        "`jax.jit(f)` or `mx.compile(f)`, and JAX saves them with `jax.export`.",
    ),
    Family(
        "memory of a tensor",
        re.compile(
            r"torch(\.Tensor)?\.((const_)?data_ptr|(untyped_)?storage|storage_(offset|type)"
            r"|share_memory_|is_shared|is_set_to|set_|record_stream|from_file)$"
        ),
        "Arrays of the target do not show the memory that they are kept in, and share none that can "
        "be seen. What is done through memory must be done with values: an index, a reshape, a copy.",
    ),
)
"""In the order in which they are asked."""


def family_of(api: str) -> Family | None:
    """The family of an API in full ("torch.sparse.mm"), if it is of one."""
    return next((family for family in FAMILIES if family.apis.match(api)), None)
