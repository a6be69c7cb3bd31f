"""What the catalogue for MLX does not meet of torch's own samples, each with its reason.

The form is that of `known_failures.py`: a key is an id of `test_opinfo.py` and what differs; one table
a rule module, which lists only what its module declares.
"""

from __future__ import annotations

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
}

WINDOWS: dict[str, str] = {"signal.windows.hann float32 value": "of two elements: 8e-15 for 0"}

HISTOGRAMS: dict[str, str] = {
    "histogramdd float32 value": "edges of bins that do not rise: numpy raises",
}

_ALL_MASKED = "of what is masked out as a whole: nan, and torch says 0"

MASKED: dict[str, str] = {
    "masked.log_softmax float32 gradient": _ALL_MASKED,
    "masked.log_softmax float32 value": "of no elements: MLX raises",
    "masked.logaddexp float32 gradient": _ALL_MASKED,
    "masked.logsumexp complex64 value": "the imaginary part differs by a whole turn",
    "masked.logsumexp float32 gradient": _ALL_MASKED,
    "masked.logsumexp int64 value": "of integers: floats; torch gives integers",
    "masked.mean float32 gradient": _ALL_MASKED,
    "masked.prod bool value": _SCALAR_BOOL,
    "masked.softmax float32 gradient": _ALL_MASKED,
    "masked.softmin float32 gradient": _ALL_MASKED,
    "masked.std complex64 value": "of complex numbers: real, and torch says complex",
    "masked.sum bool value": _SCALAR_BOOL,
    "masked.var complex64 value": "of complex numbers: real, and torch says complex",
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

KNOWN_FAILURES: dict[str, str] = {
    key: reason
    for table in [
        value
        for name, value in list(globals().items())
        if isinstance(value, dict) and name.isupper()
    ]
    for key, reason in table.items()
}
