"""Arithmetic and comparison, element by element. What has no elementary form is in `special`.

Operators are written as operators: `torch.add(a, b)` becomes `a + b`.
"""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports

# ------------------------------------------------------------------------------------ arithmetic


@ports("torch.add", "torch.Tensor.add")
def add(input, other, *, alpha=1):
    if alpha == 1:
        return input + other
    return input + alpha * other


@ports("torch.sub", "torch.subtract", "torch.Tensor.sub", "torch.Tensor.subtract")
def sub(input, other, *, alpha=1):
    if alpha == 1:
        return input - other
    return input - alpha * other


@ports("torch.rsub")
def rsub(input, other, *, alpha=1):
    if alpha == 1:
        return other - input
    return other - alpha * input


@ports("torch.mul", "torch.multiply", "torch.Tensor.mul", "torch.Tensor.multiply")
def mul(input, other):
    return input * other


@ports("torch.div", "torch.divide", "torch.Tensor.div", "torch.Tensor.divide")
def div(input, other, *, rounding_mode=None):
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return div_trunc(input, other)
    return input / other


def div_trunc(input, other):
    """Division that rounds towards zero; integers stay integers."""
    quotient = input // other
    if mx.issubdtype(quotient.dtype, mx.integer):
        return quotient + ((quotient < 0) & (quotient * other != input))
    return mx.trunc(input / other)


@ports("torch.true_divide", "torch.Tensor.true_divide")
def true_divide(input, other):
    return input / other


@ports("torch.floor_divide", "torch.Tensor.floor_divide")
def floor_divide(input, other):
    return input // other


@ports("torch.remainder", "torch.Tensor.remainder")
def remainder(input, other):
    return input % other


@ports("torch.fmod", "torch.Tensor.fmod")
def fmod(input, other: mx.array):
    """The remainder with the sign of `input`; that of `%` has the sign of `other`."""
    size = mx.where(input < 0, -input, input) % mx.abs(other)
    return mx.where(input < 0, -size, size)


@ports("torch.fmod", "torch.Tensor.fmod")
def fmod_of_number(input, other: int | float):
    """The remainder with the sign of `input`; that of `%` has the sign of `other`."""
    size = mx.where(input < 0, -input, input) % (other if other > 0 else -other)
    return mx.where(input < 0, -size, size)


@ports("torch.pow", "torch.Tensor.pow")
def pow(input, exponent):
    return input**exponent


@ports("torch.float_power", "torch.Tensor.float_power")
def float_power(input, exponent):
    """A power of floats; in float32, where torch goes to float64."""
    return input ** (1.0 * exponent)


@ports("torch.neg", "torch.negative", "torch.Tensor.neg", "torch.Tensor.negative")
def neg(input):
    return -input


@ports("torch.positive", "torch.Tensor.positive")
def positive(input):
    return input


@ports("torch.reciprocal", "torch.Tensor.reciprocal")
def reciprocal(input):
    return 1 / input


@ports("torch.abs", "torch.absolute", "torch.Tensor.abs", "torch.Tensor.absolute")
def abs(input):
    return mx.abs(input)


@ports("torch.square", "torch.Tensor.square")
def square(input):
    return mx.square(input)


@ports("torch.sqrt", "torch.Tensor.sqrt")
def sqrt(input):
    return mx.sqrt(input)


@ports("torch.rsqrt", "torch.Tensor.rsqrt")
def rsqrt(input):
    return mx.rsqrt(input)


@ports("torch.hypot", "torch.Tensor.hypot")
def hypot(input, other):
    """sqrt(input^2 + other^2), scaled so that no square overflows."""
    scale = mx.stop_gradient(mx.maximum(mx.abs(input), mx.abs(other)))
    scale = mx.where(scale == 0, 1, scale)
    size = scale * mx.sqrt(mx.square(input / scale) + mx.square(other / scale))
    return mx.where(mx.isinf(input) | mx.isinf(other), mx.inf, size)


@ports("torch.addcmul", "torch.Tensor.addcmul")
def addcmul(input, tensor1, tensor2, *, value=1):
    if value == 1:
        return input + tensor1 * tensor2
    return input + value * tensor1 * tensor2


@ports("torch.addcdiv", "torch.Tensor.addcdiv")
def addcdiv(input, tensor1, tensor2, *, value=1):
    if value == 1:
        return input + tensor1 / tensor2
    return input + value * tensor1 / tensor2


@ports("torch.lerp", "torch.Tensor.lerp")
def lerp(input, end, weight):
    return input + weight * (end - input)


@ports("torch.gcd", "torch.Tensor.gcd", jit=False)
def gcd(input, other):
    """The greatest common divisor, by Euclid's algorithm."""
    a, b = mx.broadcast_arrays(mx.abs(input), mx.abs(other))
    while mx.any(b != 0).item():
        a, b = mx.where(b == 0, a, b), mx.where(b == 0, 0, a % b)
    return a


@ports("torch.lcm", "torch.Tensor.lcm", jit=False)
def lcm(input, other):
    """The least common multiple."""
    return mx.abs(input // mx.maximum(gcd(input, other), 1) * other)


@ports("torch.ldexp", "torch.Tensor.ldexp")
def ldexp(input, other):
    return input * 2.0**other


@ports("torch.frexp", "torch.Tensor.frexp", fields=("mantissa", "exponent"))
def frexp(input) -> tuple[mx.array, mx.array]:
    """The fraction in [0.5, 1) and the power of two, from the bits of normal float32 numbers."""
    wide = input.astype(mx.float32)
    field = (mx.stop_gradient(wide).view(mx.int32) >> 23) & 255
    exponent = mx.where((field == 0) | (field == 255), 0, field - 126)
    fraction = wide / 2 / ((exponent + 126) << 23).view(mx.float32)
    return fraction.astype(input.dtype), exponent


@ports("torch.nextafter", "torch.Tensor.nextafter")
def nextafter(input, other):
    """The next number after `input` towards `other`: its bits are the next integer."""
    input, other = mx.broadcast_arrays(mx.stop_gradient(input), mx.stop_gradient(other))
    integer = {2: mx.int16, 4: mx.int32, 8: mx.int64}[input.dtype.size]
    bits = input.view(integer)
    least = mx.where(other > 0, 1, mx.array(mx.iinfo(integer).min + 1, integer))
    bits = mx.where(input == 0, least, mx.where((other > input) == (input > 0), bits + 1, bits - 1))
    changed = mx.where(mx.isnan(input), input, bits.view(input.dtype))
    return mx.where((input == other) | mx.isnan(other), other, changed)


@ports("torch.copysign", "torch.Tensor.copysign")
def copysign(input, other: mx.array):
    size = 1.0 * mx.abs(input)
    return mx.where(signbit(mx.stop_gradient(other)), -size, size)


@ports("torch.copysign", "torch.Tensor.copysign")
def copysign_of_number(input, other: int | float):
    return math.copysign(1.0, other) * mx.abs(input)


@ports("torch.heaviside", "torch.Tensor.heaviside")
def heaviside(input, values):
    """The step function in the dtype of its input, 0 for nan."""
    return mx.where(input == 0, values, (input > 0).astype(input.dtype))


# --------------------------------------------------------------------------- rounding and signs


@ports("torch.ceil", "torch.Tensor.ceil")
def ceil(input):
    return mx.ceil(input)


@ports("torch.floor", "torch.Tensor.floor")
def floor(input):
    return mx.floor(input)


@ports("torch.trunc", "torch.fix", "torch.Tensor.trunc", "torch.Tensor.fix")
def trunc(input):
    return mx.trunc(input)


@ports("torch.frac", "torch.Tensor.frac")
def frac(input):
    return input - mx.trunc(input)


@ports("torch.round", "torch.Tensor.round", "torch.special.round")
def round(input, *, decimals=0):
    return mx.round(input, decimals)


@ports("torch.sign", "torch.Tensor.sign")
def sign(input):
    return mx.sign(input)


@ports("torch.sgn", "torch.Tensor.sgn")
def sgn(input):
    return mx.sign(input)


@ports("torch.signbit", "torch.Tensor.signbit")
def signbit(input):
    """Whether the sign is minus, -0.0 included."""
    return (input < 0) | (1 / input < 0)


@ports("torch.clamp", "torch.clip", "torch.Tensor.clamp", "torch.Tensor.clip")
def clamp(input, min=None, max=None):
    """Clamp to bounds. An element that equals a bound keeps its gradient; mx.clip drops it."""
    if max is None:
        return mx.maximum(min, input)
    if min is None:
        return mx.minimum(max, input)
    return mx.minimum(max, mx.maximum(min, input))


@ports("torch.clamp_min", "torch.Tensor.clamp_min")
def clamp_min(input, min):
    """Of equal arguments mx.maximum gives the gradient to the second, here `input`, as torch does."""
    return mx.maximum(min, input)


@ports("torch.clamp_max", "torch.Tensor.clamp_max")
def clamp_max(input, max):
    """Of equal arguments mx.minimum gives the gradient to the second, here `input`, as torch does."""
    return mx.minimum(max, input)


@ports("torch.maximum", "torch.Tensor.maximum")
def maximum(input, other):
    return mx.maximum(input, other)


@ports("torch.minimum", "torch.Tensor.minimum")
def minimum(input, other):
    return mx.minimum(input, other)


@ports("torch.fmax", "torch.Tensor.fmax")
def fmax(input, other):
    """The larger element, where a nan loses; a tie gives the gradient to `input`."""
    return mx.where((input >= other) | mx.isnan(other), input, other)


@ports("torch.fmin", "torch.Tensor.fmin")
def fmin(input, other):
    """The smaller element, where a nan loses; a tie gives the gradient to `input`."""
    return mx.where((input <= other) | mx.isnan(other), input, other)


@ports("torch.nan_to_num", "torch.Tensor.nan_to_num")
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    return mx.nan_to_num(input, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


# -------------------------------------------------------------------- exponentials, logarithms


@ports("torch.exp", "torch.Tensor.exp")
def exp(input):
    return mx.exp(input)


@ports("torch.exp2", "torch.Tensor.exp2", "torch.special.exp2")
def exp2(input):
    return 2.0**input


@ports("torch.expm1", "torch.Tensor.expm1", "torch.special.expm1")
def expm1(input):
    return mx.expm1(input)


@ports("torch.log", "torch.Tensor.log")
def log(input):
    return mx.log(input)


@ports("torch.log2", "torch.Tensor.log2")
def log2(input):
    return mx.log2(input)


@ports("torch.log10", "torch.Tensor.log10")
def log10(input):
    return mx.log10(input)


@ports("torch.log1p", "torch.Tensor.log1p", "torch.special.log1p")
def log1p(input):
    return mx.log1p(input)


@ports("torch.logaddexp", "torch.Tensor.logaddexp")
def logaddexp(input, other):
    return mx.logaddexp(input, other)


@ports("torch.logaddexp2", "torch.Tensor.logaddexp2")
def logaddexp2(input, other):
    """log2(2^input + 2^other)."""
    return mx.logaddexp(math.log(2) * input, math.log(2) * other) / math.log(2)


@ports("torch.xlogy", "torch.Tensor.xlogy", "torch.special.xlogy")
def xlogy(input, other):
    """input * log(other), 0 where `input` is 0 and the logarithm not finite."""
    zero = (input == 0) & ((other <= 0) | (other == mx.inf))
    return input * mx.log(mx.where(zero, 1, other))


@ports("torch.special.xlog1py")
def xlog1py(input, other):
    """input * log(1 + other), 0 where `input` is 0 and the logarithm not finite."""
    zero = (input == 0) & ((other <= -1) | (other == mx.inf))
    return input * mx.log1p(mx.where(zero, 0, other))


@ports("torch.sigmoid", "torch.Tensor.sigmoid", "torch.special.expit")
def sigmoid(input):
    return mx.sigmoid(input)


@ports("torch.logit", "torch.Tensor.logit", "torch.special.logit")
def logit(input, eps=None):
    """The logarithm of the odds; the input is first clamped to [eps, 1 - eps]."""
    p = input if eps is None else clamp(input, eps, 1 - eps)
    return mx.log(p / (1 - p))


# -------------------------------------------------------------------------------- trigonometry


@ports("torch.sin", "torch.Tensor.sin")
def sin(input):
    return mx.sin(input)


@ports("torch.cos", "torch.Tensor.cos")
def cos(input):
    return mx.cos(input)


@ports("torch.tan", "torch.Tensor.tan")
def tan(input):
    return mx.tan(input)


@ports("torch.asin", "torch.arcsin", "torch.Tensor.asin", "torch.Tensor.arcsin")
def asin(input):
    return mx.arcsin(input)


@ports("torch.acos", "torch.arccos", "torch.Tensor.acos", "torch.Tensor.arccos")
def acos(input):
    return mx.arccos(input)


@ports("torch.atan", "torch.arctan", "torch.Tensor.atan", "torch.Tensor.arctan")
def atan(input):
    return mx.arctan(input)


@ports("torch.atan2", "torch.arctan2", "torch.Tensor.atan2", "torch.Tensor.arctan2")
def atan2(input, other):
    return mx.arctan2(input, other)


@ports("torch.sinh", "torch.Tensor.sinh")
def sinh(input):
    return mx.sinh(input)


@ports("torch.cosh", "torch.Tensor.cosh")
def cosh(input):
    return mx.cosh(input)


@ports("torch.tanh", "torch.Tensor.tanh")
def tanh(input):
    return mx.tanh(input)


@ports("torch.asinh", "torch.arcsinh", "torch.Tensor.asinh", "torch.Tensor.arcsinh")
def asinh(input):
    return mx.arcsinh(input)


@ports("torch.acosh", "torch.arccosh", "torch.Tensor.acosh", "torch.Tensor.arccosh")
def acosh(input):
    return mx.arccosh(input)


@ports("torch.atanh", "torch.arctanh", "torch.Tensor.atanh", "torch.Tensor.arctanh")
def atanh(input):
    return mx.arctanh(input)


@ports("torch.deg2rad", "torch.Tensor.deg2rad")
def deg2rad(input):
    return mx.radians(input)


@ports("torch.rad2deg", "torch.Tensor.rad2deg")
def rad2deg(input):
    return mx.degrees(input)


@ports("torch.sinc", "torch.Tensor.sinc", "torch.special.sinc")
def sinc(input):
    """sin(pi x) / (pi x), and 1 at 0."""
    x = mx.pi * mx.where(input == 0, 1, input)
    return mx.where(input == 0, 1, mx.sin(x) / x)


# -------------------------------------------------------------------------- comparison, logic


@ports("torch.eq", "torch.Tensor.eq")
def eq(input, other):
    return input == other


@ports("torch.ne", "torch.not_equal", "torch.Tensor.ne", "torch.Tensor.not_equal")
def ne(input, other):
    return input != other


@ports("torch.lt", "torch.less", "torch.Tensor.lt", "torch.Tensor.less")
def lt(input, other):
    return input < other


@ports("torch.le", "torch.less_equal", "torch.Tensor.le", "torch.Tensor.less_equal")
def le(input, other):
    return input <= other


@ports("torch.gt", "torch.greater", "torch.Tensor.gt", "torch.Tensor.greater")
def gt(input, other):
    return input > other


@ports("torch.ge", "torch.greater_equal", "torch.Tensor.ge", "torch.Tensor.greater_equal")
def ge(input, other):
    return input >= other


@ports("torch.equal", "torch.Tensor.equal", jit=False)
def equal(input, other) -> bool:
    return mx.array_equal(input, other).item()


@ports("torch.allclose", "torch.Tensor.allclose", jit=False)
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    return mx.allclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan).item()


@ports("torch.isclose", "torch.Tensor.isclose")
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    return mx.isclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


@ports("torch.isnan", "torch.Tensor.isnan")
def isnan(input):
    return mx.isnan(input)


@ports("torch.isinf", "torch.Tensor.isinf")
def isinf(input):
    return mx.isinf(input)


@ports("torch.isfinite", "torch.Tensor.isfinite")
def isfinite(input):
    return mx.isfinite(input)


@ports("torch.isposinf", "torch.Tensor.isposinf")
def isposinf(input):
    return mx.isposinf(input)


@ports("torch.isneginf", "torch.Tensor.isneginf")
def isneginf(input):
    return mx.isneginf(input)


@ports("torch.isreal", "torch.Tensor.isreal")
def isreal(input):
    return mx.imag(input) == 0


@ports("torch.logical_and", "torch.Tensor.logical_and")
def logical_and(input, other):
    return mx.logical_and(input, other)


@ports("torch.logical_or", "torch.Tensor.logical_or")
def logical_or(input, other):
    return mx.logical_or(input, other)


@ports("torch.logical_xor", "torch.Tensor.logical_xor")
def logical_xor(input, other):
    return mx.logical_xor(input, other)


@ports("torch.logical_not", "torch.Tensor.logical_not")
def logical_not(input):
    return mx.logical_not(input)


@ports("torch.bitwise_and", "torch.Tensor.bitwise_and")
def bitwise_and(input, other):
    return input & other


@ports("torch.bitwise_or", "torch.Tensor.bitwise_or")
def bitwise_or(input, other):
    return input | other


@ports("torch.bitwise_xor", "torch.Tensor.bitwise_xor")
def bitwise_xor(input, other):
    return input ^ other


@ports("torch.bitwise_not", "torch.Tensor.bitwise_not")
def bitwise_not(input):
    return ~input


@ports("torch.bitwise_left_shift", "torch.Tensor.bitwise_left_shift")
def bitwise_left_shift(input, other):
    return input << other


@ports("torch.bitwise_right_shift", "torch.Tensor.bitwise_right_shift")
def bitwise_right_shift(input, other):
    return input >> other


@ports("torch.where", jit=False)
def where_indices(condition) -> tuple[mx.array, ...]:
    return tuple(map(mx.array, np.nonzero(condition)))


@ports("torch.where")
def where(condition, input, other):
    return mx.where(condition, input, other)


@ports("torch.Tensor.where")
def tensor_where(input, condition, other):
    return mx.where(condition, input, other)


# ------------------------------------------------------------------------------ complex numbers


@ports("torch.real", "torch.Tensor.real")
def real(input):
    return mx.real(input)


@ports("torch.imag", "torch.Tensor.imag")
def imag(input):
    return mx.imag(input)


@ports("torch.conj", "torch.conj_physical", "torch.Tensor.conj", "torch.Tensor.conj_physical")
def conj(input):
    return mx.conj(input)


@ports(
    "torch.resolve_conj",
    "torch.resolve_neg",
    "torch.Tensor.resolve_conj",
    "torch.Tensor.resolve_neg",
)
def resolve_conj(input):
    return input


@ports("torch.angle", "torch.Tensor.angle")
def angle(input):
    """The argument of a complex number; of a real one pi below zero, and 0 else."""
    if mx.issubdtype(input.dtype, mx.complexfloating):
        return mx.arctan2(mx.imag(input), mx.real(input))
    return mx.where(input < 0, mx.pi, mx.where(mx.isnan(input), input, 0.0))


@ports("torch.complex")
def complex(real, imag):
    return real + 1j * imag


@ports("torch.polar")
def polar(abs, angle):
    return abs * (mx.cos(angle) + 1j * mx.sin(angle))


@ports("torch.view_as_real", "torch.view_as_real_copy", "torch.Tensor.view_as_real")
def view_as_real(input):
    return mx.stack([mx.real(input), mx.imag(input)], axis=-1)


@ports("torch.view_as_complex", "torch.view_as_complex_copy")
def view_as_complex(input):
    return input[..., 0] + 1j * input[..., 1]
