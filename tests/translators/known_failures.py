"""What the catalogue does not meet of torch's own samples, each with its reason.

A key is an id of `test_opinfo_jax.py` and what differs, `"sum float32 gradient"`; the value says why and
what the port does instead. One table a rule module; a table lists only what its module declares. An
entry whose samples pass is an error, so that the tables only say what is so.
"""

from __future__ import annotations

_FLOATS_ONLY = "the jax function takes floats only; on integers the port raises"
_ORIGIN = "at the origin the gradient is not defined; torch says 0 and jax nan (hypot: the reverse)"

ELEMENTWISE: dict[str, str] = {
    "angle float32 value": "of -0.0: pi, as in IEEE; torch says 0",
    "atan2 float32 gradient": _ORIGIN,
    "clamp_max float32 value": "a bound that is nan leaves the element; torch makes it nan",
    "clamp_min float32 value": "a bound that is nan leaves the element; torch makes it nan",
    "copysign float32 gradient": "at zero: one, and torch says 0",
    "digamma bool value": "at a pole: nan, and torch says -inf",
    "digamma float32 gradient": "jax's trigamma is wrong below zero",
    "digamma float32 value": "at a pole: nan, and torch says inf",
    "digamma int64 value": "at a pole: nan, and torch says -inf",
    "float_power float32 gradient": _ORIGIN,
    "hypot float32 gradient": _ORIGIN,
    "i0 float32 gradient": "at zero: one, since jax differentiates i0 through jnp.abs",
    "igamma float32 value": "at zero and infinity: nan, and torch says 1",
    "igammac float32 value": "at zero and infinity: nan, and torch says 1",
    "lgamma bool value": "at 1 and 2, its roots, the error is 4 ulp of one",
    "lgamma float32 value": "at 1 and 2, its roots, the error is 4 ulp of one",
    "logaddexp complex64 value": "the imaginary part differs by a whole turn",
    "logit float32 gradient": "outside [0, 1], where the value is nan, the gradient is not",
    "nextafter float32 gradient": "jax has no gradient for it and raises",
    "pow float32 gradient": _ORIGIN,
    "pow int64 value": "an integer to a negative power, which is 0 in torch and overflows in jax",
    "rsqrt bool value": _FLOATS_ONLY,
    "rsqrt int64 value": _FLOATS_ONLY,
    "sgn bool value": "jnp.sign takes numbers only; on bools the port raises",
    "sigmoid bool value": _FLOATS_ONLY,
    "sigmoid int64 value": _FLOATS_ONLY,
    "sign bool value": "jnp.sign takes numbers only; on bools the port raises",
    "special.log_ndtr bool value": _FLOATS_ONLY,
    "special.log_ndtr int64 value": _FLOATS_ONLY,
    "special.ndtr bool value": _FLOATS_ONLY,
    "special.ndtr float32 value": "far below zero torch, which computes 1 + erf, underflows; jax does not",
    "special.ndtr int64 value": _FLOATS_ONLY,
    "special.ndtri bool value": _FLOATS_ONLY,
    "special.ndtri int64 value": _FLOATS_ONLY,
    "special.xlog1py float32 gradient": "where the value is nan or the first factor 0: nan, torch says 0",
    "special.zeta float32 value": "outside its domain: inf, and torch says nan",
    "special.zeta int64 value": "outside its domain: inf, and torch says nan",
    "xlogy float32 gradient": "where the value is nan or the first factor 0: nan, torch says 0",
} | {
    f"{name} float32 value": "jax's polygamma is wrong below zero"
    for name in [
        "special.polygamma/special_polygamma_n_0",
        *(f"polygamma/polygamma_n_{n}" for n in range(5)),
        *(f"Tensor.polygamma/polygamma_n_{n}" for n in range(5)),
    ]
}

REDUCTIONS: dict[str, str] = {
    "bincount int64 value": "integer weights give integer counts; torch gives floats",
    "cummax bool value": "lax.cummax takes numbers only; on bools the port raises",
    "cummin bool value": "lax.cummin takes numbers only; on bools the port raises",
    "logcumsumexp complex64 value": "the imaginary part differs by a whole turn",
    "mode bool value": "torch does not say which of several equal elements it names",
    "mode int64 value": "torch does not say which of several equal elements it names",
}

CREATION: dict[str, str] = {}

_OUT_OF_RANGE = "what the integer type cannot hold is undefined in torch; jax clips or wraps it"

CONVERSION: dict[str, str] = {
    "Tensor.byte float32 value": _OUT_OF_RANGE,
    "Tensor.char float32 value": _OUT_OF_RANGE,
    "Tensor.int float32 value": _OUT_OF_RANGE,
    "Tensor.short float32 value": _OUT_OF_RANGE,
}

SHAPES: dict[str, str] = (
    {
        "broadcast_shapes float32 value": "torch.Size counts as one result here, the port's tuple as several",
    }
    | {
        f"cat {dtype} value": "torch skips empty 1-d tensors among others; jax raises"
        for dtype in ["float32", "int64", "bool", "complex64"]
    }
    | {
        f"{name} {dtype} value": "axes of a tensor that has none, which torch takes; jax raises"
        for name in ["transpose", "transpose_copy", "swapaxes"]
        for dtype in ["float32", "int64", "bool", "complex64"]
    }
)

_RANK = "an empty index of another rank than the tensor: jax raises"
_BOOL = "jax's indexed updates do not calculate with bools; the port raises"

INDEXING: dict[str, str] = (
    {
        "index_add bool value": _BOOL,
        "masked_fill bool value": "bools filled with an integer become integers",
        "masked_select float32 gradient": "a sum of 50 terms that cancel, in another order",
        "put bool value": _BOOL,
        "scatter bool value": _BOOL,
        "scatter int64 value": "a fraction added to an integer, which torch truncates first",
        "scatter_add bool value": _BOOL,
        "unravel_index int64 value": "a shape beyond int32",
    }
    | {f"gather {dtype} value": _RANK for dtype in ["float32", "int64", "bool", "complex64"]}
    | {
        f"nonzero_static {dtype} value": "of a tensor without elements jnp.argwhere fills with 0"
        for dtype in ["float32", "int64", "bool", "complex64"]
    }
    | {f"scatter_reduce/{reduce} bool value": _BOOL for reduce in ["sum", "prod", "amin", "amax"]}
)

_TIES = "which of equal elements comes first: torch leaves it open, jax takes the first"

SORTING: dict[str, str] = {
    "argsort bool value": _TIES,
    "kthvalue int64 value": _TIES,
    "sort bool value": _TIES,
    "topk int64 value": _TIES,
}

_TRIANGLE = "torch also gives the triangle that is not read a gradient"
_INTEGER = "integers scaled by fractions, which torch truncates; the port's result is a float"

LINALG: dict[str, str] = {
    "addbmm int64 value": _INTEGER,
    "addmv int64 value": _INTEGER,
    "addr bool value": "bools times integers, which are integers in jax",
    "baddbmm int64 value": _INTEGER,
    "cholesky_inverse float32 gradient": _TRIANGLE,
    "cholesky_solve float32 gradient": _TRIANGLE,
    "kron bool value": "jnp.kron takes numbers only; on bools the port raises",
    "linalg.det float32 gradient": "of a matrix without elements: jax raises",
    "linalg.eigh complex64 jit": "the sign of an eigenvector",
    "linalg.eigh float32 jit": "the sign of an eigenvector",
    "linalg.matrix_rank complex64 value": "of a matrix without elements: jax raises",
    "linalg.matrix_rank float32 value": "of a matrix without elements: jax raises",
    "linalg.matrix_rank/hermitian complex64 value": "of a matrix without elements: jax raises",
    "linalg.matrix_rank/hermitian float32 value": "of a matrix without elements: jax raises",
    "linalg.norm/subgradients_at_zero float32 gradient": "where the largest singular values tie",
    "linalg.pinv/hermitian complex64 value": "not symmetric: torch reads one triangle, jax the mean",
    "linalg.pinv/hermitian float32 value": "not symmetric: torch reads one triangle, jax the mean",
    "linalg.vander complex64 value": "of a scalar, which torch takes for a vector",
    "linalg.vander float32 value": "of a scalar, which torch takes for a vector",
    "linalg.vander int64 value": "of a scalar, which torch takes for a vector",
    "tensordot complex64 value": "axes of size 1 contracted with longer ones: jax raises",
    "tensordot float32 value": "axes of size 1 contracted with longer ones: jax raises",
    "tensordot int64 value": "axes of size 1 contracted with longer ones: jax raises",
}

DECOMPOSITIONS: dict[str, str] = {
    f"svd_lowrank {dtype} value": "torch approximates by random projections, the port is exact"
    for dtype in ["float32", "complex64"]
}

STRIDES: dict[str, str] = {
    "as_strided_scatter float32 gradient": "torch's is not that of its own result",
} | {
    f"as_strided/partial_views {dtype} value": "the memory around a view, which no array of jax has"
    for dtype in ["float32", "int64", "bool", "complex64"]
}

_MASK = "a mask as index makes the shape depend on values"

OPERATORS: dict[str, str] = {
    "Tensor.__getitem__ bool jit": _MASK,
    "Tensor.__getitem__ complex64 jit": _MASK,
    "Tensor.__getitem__ int64 jit": _MASK,
    "Tensor.__rpow__ float32 gradient": _ORIGIN,
    "Tensor.__rpow__ int64 value": "an integer to a negative power: 0 in torch, in jax it overflows",
}

_AXES = "an int as axes, or three axes of a transform over two: jax raises"

FFT: dict[str, str] = {
    f"fft.{name} {dtype} value": _AXES
    for name in ["fft2", "hfft2", "ifft2", "irfft2"]
    for dtype in ["float32", "int64", "bool", "complex64"]
} | {
    f"fft.{name} {dtype} value": _AXES
    for name in ["ihfft2", "rfft2"]
    for dtype in ["float32", "int64", "bool"]
}

ACTIVATIONS: dict[str, str] = {
    "nn.functional.celu float32 gradient": "jax takes the slope as expm1(x) + 1, to 1e-8 absolute",
    "nn.functional.elu float32 gradient": "jax takes the slope as expm1(x) + 1, to 1e-8 absolute",
    "nn.functional.selu float32 gradient": "jax takes the slope as expm1(x) + 1, to 1e-8 absolute",
    "nn.functional.hardtanh int64 value": "integers become floats",
    "nn.functional.relu6 int64 value": "integers become floats",
    "nn.functional.sigmoid bool value": "jax.nn.sigmoid takes floats only; the port raises",
    "nn.functional.sigmoid int64 value": "jax.nn.sigmoid takes floats only; the port raises",
    "nn.functional.softmin/with_dtype float32 gradient": "float64 is float32 in jax by default",
}

LOSSES: dict[str, str] = {
    "nn.functional.multi_margin_loss float32 value": "a 0-d input has no class axis; the port raises",
    "nn.functional.multilabel_margin_loss float32 value": (
        "a 0-d input has no class axis; the port raises"
    ),
    "nn.functional.triplet_margin_with_distance_loss float32 value": (
        "the samples pass a torch module as the distance"
    ),
    "nn.functional.triplet_margin_with_distance_loss int64 value": (
        "the samples pass a torch module as the distance"
    ),
}

NORMALIZATION: dict[str, str] = {
    "nn.functional.local_response_norm int64 value": (
        "torch averages integers in integers, jax in floats"
    ),
}

CONVOLUTION: dict[str, str] = {}

VISION: dict[str, str] = {
    "nn.functional.pad/circular float32 value": "circular with negative widths: the port raises",
    "nn.functional.pad/circular int64 value": "circular with negative widths: the port raises",
}

POOLING: dict[str, str] = {
    **{
        f"nn.functional.max_unpool{n}d float32 gradient": (
            "where indices repeat, only the element that stays has a gradient; in torch all have"
        )
        for n in (1, 2, 3)
    },
}

ATTENTION: dict[str, str] = {}

EMBEDDING: dict[str, str] = {
    "nn.functional.one_hot int64 jit": "num_classes=-1 makes the shape depend on values",
}

RANDOM: dict[str, str] = {}

MASKED: dict[str, str] = {
    "masked.logsumexp int64 value": "torch truncates it to an integer; the port's result is a float",
}

KNOWN_FAILURES: dict[str, str] = {
    key: reason
    for table in [
        value
        for name, value in list(globals().items())
        if isinstance(value, dict) and name.isupper()
    ]
    for key, reason in table.items()
}

_NO_AXES = "an axis of a 0-d tensor, which torch takes: jax raises"

# What module rules do not meet of the samples of `test_moduleinfo.py`; the key is a module's name.
MODULE_FAILURES: dict[str, str] = {
    "CTCLoss value": "targets of all samples in one row, without a batch axis: the port raises",
    **{
        f"InstanceNorm{n}d value": "without a batch axis, which nnx.InstanceNorm needs: it raises"
        for n in (1, 2, 3)
    },
    "Linear value": "called with input=, which is inputs= in flax: the port raises",
    "LogSoftmax value": _NO_AXES,
    "PReLU value": "of a 0-d tensor: the result has the shape of the weight, (1,)",
    "Softmax value": _NO_AXES,
    "Softmin value": _NO_AXES,
}
