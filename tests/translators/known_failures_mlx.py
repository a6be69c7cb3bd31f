"""What the catalogue for MLX does not meet of torch's own samples, each with its reason.

The form is that of `known_failures.py`: a key is an id of `test_opinfo.py` and what differs; one table
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
    "nn.functional.prelu float32 value": "of a 0-d tensor: the result has the shape of the weight, (1,)",
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
    "nn.functional.multilabel_margin_loss float32 value": (
        "a 0-d input has no class axis; the port raises"
    ),
    "nn.functional.normalize float32 gradient": "of a number by itself: rounding where torch has 0",
    **{
        f"nn.functional.triplet_margin_with_distance_loss {dtype} value": (
            "the samples pass a torch module as the distance"
        )
        for dtype in ("float32", "int64", "complex64")
    },
}

RANDOM: dict[str, str] = {
    "rand_like complex64 value": "MLX draws no complex numbers; the port raises",
    "rand_like float32 value": "mx.random.uniform does not draw float64; the port raises",
}

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
    "Linear value": "called with input=, which is x= in MLX: the port raises",
    "LogSoftmax value": _NO_AXES,
    "PReLU value": "of a 0-d tensor: the result has the shape of the weight, (1,)",
    "Softmax value": _NO_AXES,
    "Softmin value": _NO_AXES,
}
