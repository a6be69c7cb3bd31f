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

KNOWN_FAILURES: dict[str, str] = {
    key: reason
    for table in [
        value
        for name, value in list(globals().items())
        if isinstance(value, dict) and name.isupper()
    ]
    for key, reason in table.items()
}
