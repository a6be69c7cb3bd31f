"""What the catalogue for MLX does not meet of torch's own samples, each with its reason.

The form is that of `known_failures.py`: a key is an id of `test_opinfo.py` and what differs; one table
a rule module, which lists only what its module declares.
"""

from __future__ import annotations

REDUCTIONS: dict[str, str] = {
    "logsumexp bool value": "MLX 0.32 is wrong for bools: it counts each as a part of itself",
    "max/binary float32 gradient": "where two elements are equal torch halves the gradient; MLX does not",
    "sum bool value": "of one 0-d bool: a bool",
}

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
MODULE_FAILURES: dict[str, str] = {
    "Linear value": "called with input=, which is x= in MLX: the port raises",
}
