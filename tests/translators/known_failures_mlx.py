"""What the catalogue for MLX does not meet of torch's own samples, each with its reason.

The form is that of `known_failures.py`: a key is an id of `test_opinfo_mlx.py` and what differs; one table
a rule module, which lists only what its module declares.
"""

from __future__ import annotations

_TIE = "where two elements are equal torch halves the gradient; MLX gives it to the second"
_DOUBLE = "a result in float64, which MLX has on the CPU only: the port stays in float32"
_POLE = "at a pole of the function: nan"
_NO_COMPLEX = "MLX has no such function of complex numbers; the port raises"
_ORIGIN = "at the origin the gradient is not defined; torch says 0 and MLX nan"

ELEMENTWISE: dict[str, str] = {
    "atan2 float32 gradient": _ORIGIN,
    "bitwise_left_shift int64 value": "shifts by less than 0 or more than the bits, which are not defined",
    "complex float32 value": "an infinite imaginary part makes the real part nan",
    "expm1 complex64 value": _NO_COMPLEX,
    "float_power bool value": _DOUBLE,
    "float_power complex64 value": _DOUBLE,
    "float_power float32 value": _DOUBLE,
    "float_power int64 value": _DOUBLE,
    "floor_divide float32 value": "a number by an infinite one of the other sign: -0.0, and torch says -1",
    "fmod float32 gradient": "of a divisor that is 0, where the value is nan",
    "logit float32 gradient": "outside [0, 1], where the value is nan, the gradient is not",
    "maximum float32 gradient": _TIE,
    "maximum/binary float32 gradient": _TIE,
    "minimum float32 gradient": _TIE,
    "minimum/binary float32 gradient": _TIE,
    "nextafter float32 gradient": "the port has none, torch that of the identity",
    "pow float32 gradient": _ORIGIN,
    "pow int64 value": "an integer to a negative power is 0 in MLX; torch knows those of 1 and -1",
    "sigmoid complex64 value": _NO_COMPLEX,
    "special.xlog1py float32 gradient": "where x log1p(y) is 0 * -inf: 0, and torch says nan",
    "square bool value": "the square of a bool is a bool in MLX, an integer in torch",
    "xlogy float32 gradient": "where x log(y) is 0 * -inf: 0, and torch says nan",
}

SPECIAL: dict[str, str] = {
    "digamma float32 gradient": _POLE,
    "lgamma float32 gradient": _POLE,
    "special.ndtri float32 gradient": "where the value is not finite: 0, and torch says nan or inf",
    "special.zeta float32 value": "where an argument is not finite",
}

_NO_ELEMENTS = "of an axis without elements: nn.log_softmax raises"

ACTIVATIONS: dict[str, str] = {
    "nn.functional.celu float32 gradient": "MLX takes the slope as expm1(x) + 1, to 1e-8 absolute",
    "nn.functional.elu float32 gradient": "MLX takes the slope as expm1(x) + 1, to 1e-8 absolute",
    "nn.functional.hardtanh int64 value": "integers become floats",
    "nn.functional.relu6 int64 value": "integers become floats",
    "nn.functional.selu float32 gradient": "MLX takes the slope as expm1(x) + 1, to 1e-8 absolute",
    "nn.functional.sigmoid complex64 value": _NO_COMPLEX,
    "nn.functional.silu/complex complex64 value": _NO_COMPLEX,
    "log_softmax float32 value": _NO_ELEMENTS,
    "nn.functional.log_softmax float32 value": _NO_ELEMENTS,
    **{
        f"{name}/with_dtype {dtype} value": _NO_ELEMENTS
        for name in ("log_softmax", "nn.functional.log_softmax")
        for dtype in ("float32", "int64", "bool", "complex64")
    },
}

LOSSES: dict[str, str] = {
    "nn.functional.l1_loss complex64 value": "of float64 and complex64: float32, and torch says float64",
    "nn.functional.pairwise_distance complex64 value": "float64 and complex64 become complex64",
    "nn.functional.normalize float32 gradient": "of a number by itself: rounding where torch has 0",
    **{
        f"nn.functional.triplet_margin_with_distance_loss {dtype} value": (
            "the samples pass a torch module as the distance"
        )
        for dtype in ("float32", "int64", "complex64")
    },
}

OPERATORS: dict[str, str] = {
    "Tensor.__rmatmul__ int64 value": "MLX multiplies no matrices of integers; the port raises",
    "Tensor.__rpow__ float32 gradient": _ORIGIN,
    "Tensor.__rpow__ int64 value": "an integer to a negative power is 0 in MLX; torch knows those of 1 and -1",
}

MASKED: dict[str, str] = {
    "masked.log_softmax float32 value": _NO_ELEMENTS,
    "masked.logsumexp complex64 value": "the imaginary part differs by a whole turn",
    "masked.mean complex64 value": "of no elements: the imaginary part is not nan",
    "masked.logsumexp int64 value": "torch truncates it to an integer; the port's result is a float",
    "masked.prod bool value": "of one 0-d bool: a bool",
    "masked.sum bool value": "of one 0-d bool: a bool",
}

RANDOM: dict[str, str] = {
    "rand_like complex64 value": "MLX draws no complex numbers; the port raises",
    "rand_like float32 value": "mx.random.uniform does not draw float64; the port raises",
}
_TIE = "where two elements are equal torch halves the gradient; MLX gives it to one"
_SCALAR_BOOL = "of one 0-d bool: a bool"
_DDOF = "a correction that is no integer: MLX raises"

REDUCTIONS: dict[str, str] = {
    "Tensor.sum_to_size bool value": _SCALAR_BOOL,
    "aminmax float32 gradient": "of a 0-d array both are the array itself, of which mx.vjp counts one",
    "bincount int64 value": "integer weights give integer counts; torch gives floats",
    "histc float32 value": "of no elements: MLX raises",
    "logsumexp bool value": "MLX 0.32 is wrong for bools: it counts each as a part of itself",
    "logsumexp complex64 value": "MLX 0.32 is wrong for complex numbers",
    "max/binary float32 gradient": _TIE,
    "min/binary float32 gradient": _TIE,
    "mode bool value": "torch does not say which of several equal elements it names",
    "mode int64 value": "torch does not say which of several equal elements it names",
    "prod bool value": _SCALAR_BOOL,
    "sum bool value": _SCALAR_BOOL,
} | {
    f"{name} {dtype} value": _DDOF
    for name in ["std", "std_mean", "var", "var_mean"]
    for dtype in ["float32", "complex64"]
}

_EMPTY = "torch skips empty 1-d tensors among others; MLX raises"

SHAPES: dict[str, str] = {
    "broadcast_shapes float32 value": "an int among the shapes: MLX raises",
} | {f"cat {dtype} value": _EMPTY for dtype in ["float32", "int64", "bool", "complex64"]}

_BOUNDS = "torch truncates bounds and steps of integers, before it counts; MLX after"

CREATION: dict[str, str] = {
    "arange int64 value": _BOUNDS,
    "full bool value": "an integer as the value of bools: mx.full gives integers",
    "linspace int64 value": _BOUNDS,
    "linspace/tensor_overload int64 value": _BOUNDS,
    "logspace int64 value": _BOUNDS,
    "logspace/tensor_overload int64 value": _BOUNDS,
}

STRIDES: dict[str, str] = {
    "as_strided_scatter float32 gradient": "torch's is not that of its own result",
} | {
    f"as_strided/partial_views {dtype} value": "the memory around a view, which no array of MLX has"
    for dtype in ["float32", "int64", "bool", "complex64"]
}

DECOMPOSITIONS: dict[str, str] = {
    f"{name} complex64 value": "MLX has it for real matrices only: the port raises"
    for name in [
        "linalg.inv_ex",
        "linalg.lu_factor_ex",
        "linalg.solve_ex",
        "lu",
        "lu_solve",
        "triangular_solve",
    ]
} | {
    f"svd_lowrank {dtype} value": "torch approximates by random projections, the port is exact"
    for dtype in ["float32", "complex64"]
}

WINDOWS: dict[str, str] = {"signal.windows.hann float32 value": "of two elements: 8e-15 for 0"}

HISTOGRAMS: dict[str, str] = {
    "histogramdd float32 value": "edges of bins that do not rise: numpy raises",
}

_BOOL_BOUNDS = "mx.iinfo takes no bools: the port raises"

INDEXING: dict[str, str] = (
    {
        "masked_fill bool value": "bools filled with an integer become integers",
        "masked_select float32 gradient": "a sum of 50 terms that cancel, in another order",
        "scatter bool value": "of a 0-d array, to which a number of another kind gives its dtype",
        "scatter complex64 value": "of a 0-d array, to which a number of another kind gives its dtype",
        "scatter int64 value": "of a 0-d array, to which a number of another kind gives its dtype",
        "scatter_reduce/prod bool value": "of a 0-d array: an integer",
        "scatter_reduce/sum bool value": "of a 0-d array: an integer",
        "take float32 gradient": "of no elements: MLX raises",
    }
    | {
        f"nonzero {dtype} value": "of a 0-d array as a tuple: numpy raises"
        for dtype in ["float32", "int64", "bool", "complex64"]
    }
    | {
        f"index_add {dtype} value": "an index of one axis into an array of none: MLX raises"
        for dtype in ["float32", "int64", "bool", "complex64"]
    }
    | {f"scatter_reduce/{reduce} bool value": _BOOL_BOUNDS for reduce in ["amin", "amax"]}
)

_TIES = "which of equal elements comes first: torch leaves it open, MLX takes the first"

SORTING: dict[str, str] = {
    "argsort bool value": _TIES,
    "kthvalue int64 value": _TIES,
    "sort bool value": _TIES,
    "topk int64 value": _TIES,
}

_TRIANGLE = "torch also gives the triangle that is not read a gradient"
_FLOATS = "MLX multiplies matrices of floats only: the port raises"
_REAL = "MLX has it for real matrices only: the port raises"
_ORDER = "the order of the eigenvalues, which torch leaves open; MLX has no gradient of it"
_VANDER = "of a scalar, which torch takes for a vector"
_NO_MATRIX = "of a matrix without elements: the port raises"

LINALG: dict[str, str] = (
    {
        "addmm complex64 value": "complex factors, which mx.addmm does not take: the port raises",
        "addr bool value": "bools times integers, which are integers in MLX",
        "baddbmm complex64 value": "complex factors, which mx.addmm does not take: the port raises",
        "cholesky_inverse float32 gradient": _TRIANGLE,
        "cholesky_solve float32 gradient": _TRIANGLE,
        "cov complex64 value": "the imaginary part of a real number is 1e-8, not 0",
        "linalg.eig complex64 value": _ORDER,
        "linalg.eig float32 value": _ORDER,
        "linalg.eigh complex64 jit": "the sign of an eigenvector",
        "linalg.eigh float32 jit": "the sign of an eigenvector",
        "linalg.eigvals complex64 value": _ORDER,
        "linalg.eigvals float32 value": _ORDER,
        "linalg.norm complex64 value": _NO_MATRIX,
        "linalg.norm/subgradients_at_zero complex64 value": _NO_MATRIX,
        "linalg.pinv/hermitian float32 gradient": "not symmetric: torch mixes both triangles",
        "linalg.pinv/singular complex64 value": "the error of one element in 300 is 3e-6 of it",
        "linalg.vander complex64 value": _VANDER,
        "linalg.vander float32 value": _VANDER,
        "linalg.vander int64 value": _VANDER,
        "tensordot complex64 value": "axes of size 1 contracted with longer ones: MLX raises",
        "tensordot float32 value": "axes of size 1 contracted with longer ones: MLX raises",
        "tensordot int64 value": _FLOATS,
    }
    | {
        f"{name} int64 value": _FLOATS
        for name in [
            "addmm",
            "addmm/decomposed",
            "addmv",
            "addbmm",
            "baddbmm",
            "bmm",
            "einsum",
            "inner",
            "linalg.multi_dot",
            "matmul",
            "mm",
            "mv",
        ]
    }
    | {
        f"{name} complex64 value": _REAL
        for name in [
            "cholesky",
            "cholesky_inverse",
            "cholesky_solve",
            "linalg.cholesky",
            "linalg.det",
            "linalg.inv",
            "linalg.lu",
            "linalg.lu_factor",
            "linalg.lu_solve",
            "linalg.matrix_power",
            "linalg.qr",
            "linalg.slogdet",
            "linalg.solve",
            "linalg.solve_triangular",
            "linalg.tensorinv",
            "linalg.tensorsolve",
            "logdet",
            "qr",
        ]
    }
)

_REAL = "MLX convolves real floats only; the port raises"
_INEXACT = "MLX multiplies matrices of floats only; the port raises"
_EMPTY = "MLX has no gradient of views and elements of an array that has none: the port raises"

CONVOLUTION: dict[str, str] = {
    **{
        f"nn.functional.{name}{n}d {dtype} value": _REAL
        for name in ("conv", "conv_transpose")
        for n in (1, 2, 3)
        for dtype in ("int64", "complex64")
    },
    "nn.functional.bilinear int64 value": _INEXACT,
    "nn.functional.linear int64 value": _INEXACT,
    "nn.functional.unfold float32 gradient": _EMPTY,
}

NORMALIZATION: dict[str, str] = {
    "nn.functional.local_response_norm int64 value": (
        "torch averages integers in integers, MLX in floats"
    ),
    "nn.functional.rms_norm complex64 value": "mx.fast.rms_norm takes no complex numbers and raises",
}

POOLING: dict[str, str] = {
    "nn.functional.avg_pool1d float32 gradient": _EMPTY,
    "nn.functional.avg_pool3d float32 gradient": _EMPTY,
    **{
        f"nn.functional.avg_pool{n}d int64 value": "torch averages integers in integers, MLX in floats"
        for n in (1, 2, 3)
    },
    "nn.functional.fractional_max_pool3d float32 value": (
        "MLX takes no position of the maximum of an array without elements: the port raises"
    ),
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

# What module rules do not meet of the samples of `test_moduleinfo.py`; the key is a module's name.
_NO_AXES = "an axis of a 0-d tensor, which torch takes: MLX raises"

MODULE_FAILURES: dict[str, str] = {
    "KLDivLoss value": _NO_AXES,
    "LogSoftmax value": _NO_AXES,
    "Softmax value": _NO_AXES,
    "Softmin value": _NO_AXES,
    "Linear value": "called with input=, which is x= in MLX: the port raises",
    "PReLU value": "of a 0-d tensor: the result has the shape of the weight, (1,)",
    "Transformer value": "of four features nearly equal: to round the weights moves torch's own as far",
}
