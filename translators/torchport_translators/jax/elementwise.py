"""Arithmetic, comparison and special functions, element by element.

Operators are written as operators: `torch.add(a, b)` becomes `a + b`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

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
    return jnp.trunc(input / other).astype(jnp.result_type(input, other))


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
def fmod(input, other):
    return jnp.fmod(input, other)


@ports("torch.pow", "torch.Tensor.pow")
def pow(input, exponent):
    return input**exponent


@ports("torch.float_power", "torch.Tensor.float_power")
def float_power(input, exponent):
    return jnp.float_power(input, exponent)


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
    """The absolute value, with torch's gradient of zero at zero, where that of `jnp.abs` is one."""
    return jnp.where(input == 0, 0, jnp.abs(input))


@ports("torch.square", "torch.Tensor.square")
def square(input):
    return jnp.square(input)


@ports("torch.sqrt", "torch.Tensor.sqrt")
def sqrt(input):
    return jnp.sqrt(input)


@ports("torch.rsqrt", "torch.Tensor.rsqrt")
def rsqrt(input):
    return lax.rsqrt(input)


@ports("torch.hypot", "torch.Tensor.hypot")
def hypot(input, other):
    return jnp.hypot(input, other)


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


@ports("torch.gcd", "torch.Tensor.gcd")
def gcd(input, other):
    return jnp.gcd(input, other)


@ports("torch.lcm", "torch.Tensor.lcm")
def lcm(input, other):
    return jnp.lcm(input, other)


@ports("torch.ldexp", "torch.Tensor.ldexp")
def ldexp(input, other):
    return input * 2.0**other


@ports("torch.frexp", "torch.Tensor.frexp", fields=("mantissa", "exponent"))
def frexp(input) -> tuple[jax.Array, jax.Array]:
    return jnp.frexp(input)


@ports("torch.nextafter", "torch.Tensor.nextafter")
def nextafter(input, other):
    return jnp.nextafter(input, other)


@ports("torch.copysign", "torch.Tensor.copysign")
def copysign(input, other):
    return jnp.copysign(input, other)


@ports("torch.heaviside", "torch.Tensor.heaviside")
def heaviside(input, values):
    """The step function in the dtype of its input, 0 for nan; `jnp.heaviside` makes floats."""
    return jnp.where(input == 0, values, (input > 0).astype(input.dtype))


# --------------------------------------------------------------------------- rounding and signs


@ports("torch.ceil", "torch.Tensor.ceil")
def ceil(input):
    return jnp.ceil(input)


@ports("torch.floor", "torch.Tensor.floor")
def floor(input):
    return jnp.floor(input)


@ports("torch.trunc", "torch.fix", "torch.Tensor.trunc", "torch.Tensor.fix")
def trunc(input):
    return jnp.trunc(input)


@ports("torch.frac", "torch.Tensor.frac")
def frac(input):
    return input - jnp.trunc(input)


@ports("torch.round", "torch.Tensor.round", "torch.special.round")
def round(input, *, decimals=0):
    return jnp.round(input, decimals)


@ports("torch.sign", "torch.Tensor.sign")
def sign(input):
    """The sign; torch's is 0 for nan, where jax's is nan."""
    return jnp.where(jnp.isnan(input), 0, jnp.sign(input))


@ports("torch.sgn", "torch.Tensor.sgn")
def sgn(input):
    """The sign, or a complex number over its absolute value; 0 for nan, where jax has nan."""
    return jnp.where(jnp.isnan(input), 0, jnp.sign(input))


@ports("torch.signbit", "torch.Tensor.signbit")
def signbit(input):
    return jnp.signbit(input)


@ports("torch.clamp", "torch.clip", "torch.Tensor.clamp", "torch.Tensor.clip")
def clamp(input, min=None, max=None):
    """Clamp to bounds. An element that equals a bound keeps its gradient; `jnp.clip` halves it."""
    if max is None:
        return jnp.where(input < min, min, input)
    if min is None:
        return jnp.where(input > max, max, input)
    return jnp.where((input < min) | (input > max), jnp.clip(input, min, max), input)


@ports("torch.clamp_min", "torch.Tensor.clamp_min")
def clamp_min(input, min):
    """An element that equals the bound keeps its gradient; `jnp.maximum` halves it."""
    return jnp.where(input < min, min, input)


@ports("torch.clamp_max", "torch.Tensor.clamp_max")
def clamp_max(input, max):
    """An element that equals the bound keeps its gradient; `jnp.minimum` halves it."""
    return jnp.where(input > max, max, input)


@ports("torch.maximum", "torch.Tensor.maximum")
def maximum(input, other):
    return jnp.maximum(input, other)


@ports("torch.minimum", "torch.Tensor.minimum")
def minimum(input, other):
    return jnp.minimum(input, other)


@ports("torch.fmax", "torch.Tensor.fmax")
def fmax(input, other):
    """The larger element, where a nan loses; a tie gives the gradient to `input`."""
    return jnp.where((input >= other) | jnp.isnan(other), input, other)


@ports("torch.fmin", "torch.Tensor.fmin")
def fmin(input, other):
    """The smaller element, where a nan loses; a tie gives the gradient to `input`."""
    return jnp.where((input <= other) | jnp.isnan(other), input, other)


@ports("torch.nan_to_num", "torch.Tensor.nan_to_num")
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    return jnp.nan_to_num(input, nan=nan, posinf=posinf, neginf=neginf)


# -------------------------------------------------------------------- exponentials, logarithms


@ports("torch.exp", "torch.Tensor.exp")
def exp(input):
    return jnp.exp(input)


@ports("torch.exp2", "torch.Tensor.exp2", "torch.special.exp2")
def exp2(input):
    return jnp.exp2(input)


@ports("torch.expm1", "torch.Tensor.expm1", "torch.special.expm1")
def expm1(input):
    return jnp.expm1(input)


@ports("torch.log", "torch.Tensor.log")
def log(input):
    return jnp.log(input)


@ports("torch.log2", "torch.Tensor.log2")
def log2(input):
    return jnp.log2(input)


@ports("torch.log10", "torch.Tensor.log10")
def log10(input):
    return jnp.log10(input)


@ports("torch.log1p", "torch.Tensor.log1p", "torch.special.log1p")
def log1p(input):
    return jnp.log1p(input)


@ports("torch.logaddexp", "torch.Tensor.logaddexp")
def logaddexp(input, other):
    return jnp.logaddexp(input, other)


@ports("torch.logaddexp2", "torch.Tensor.logaddexp2")
def logaddexp2(input, other):
    return jnp.logaddexp2(input, other)


@ports("torch.xlogy", "torch.Tensor.xlogy", "torch.special.xlogy")
def xlogy(input, other):
    return jax.scipy.special.xlogy(input, other)


@ports("torch.special.xlog1py")
def xlog1py(input, other):
    return jax.scipy.special.xlog1py(input, other)


@ports("torch.sigmoid", "torch.Tensor.sigmoid", "torch.special.expit")
def sigmoid(input):
    return jax.nn.sigmoid(input)


@ports("torch.logit", "torch.Tensor.logit", "torch.special.logit")
def logit(input, eps=None):
    if eps is None:
        return jax.scipy.special.logit(input)
    return jax.scipy.special.logit(clamp(input, eps, 1 - eps))


# -------------------------------------------------------------------------------- trigonometry


@ports("torch.sin", "torch.Tensor.sin")
def sin(input):
    return jnp.sin(input)


@ports("torch.cos", "torch.Tensor.cos")
def cos(input):
    return jnp.cos(input)


@ports("torch.tan", "torch.Tensor.tan")
def tan(input):
    return jnp.tan(input)


@ports("torch.asin", "torch.arcsin", "torch.Tensor.asin", "torch.Tensor.arcsin")
def asin(input):
    return jnp.arcsin(input)


@ports("torch.acos", "torch.arccos", "torch.Tensor.acos", "torch.Tensor.arccos")
def acos(input):
    return jnp.arccos(input)


@ports("torch.atan", "torch.arctan", "torch.Tensor.atan", "torch.Tensor.arctan")
def atan(input):
    return jnp.arctan(input)


@ports("torch.atan2", "torch.arctan2", "torch.Tensor.atan2", "torch.Tensor.arctan2")
def atan2(input, other):
    return jnp.arctan2(input, other)


@ports("torch.sinh", "torch.Tensor.sinh")
def sinh(input):
    return jnp.sinh(input)


@ports("torch.cosh", "torch.Tensor.cosh")
def cosh(input):
    return jnp.cosh(input)


@ports("torch.tanh", "torch.Tensor.tanh")
def tanh(input):
    return jnp.tanh(input)


@ports("torch.asinh", "torch.arcsinh", "torch.Tensor.asinh", "torch.Tensor.arcsinh")
def asinh(input):
    return jnp.arcsinh(input)


@ports("torch.acosh", "torch.arccosh", "torch.Tensor.acosh", "torch.Tensor.arccosh")
def acosh(input):
    return jnp.arccosh(input)


@ports("torch.atanh", "torch.arctanh", "torch.Tensor.atanh", "torch.Tensor.arctanh")
def atanh(input):
    return jnp.arctanh(input)


@ports("torch.deg2rad", "torch.Tensor.deg2rad")
def deg2rad(input):
    return jnp.deg2rad(input)


@ports("torch.rad2deg", "torch.Tensor.rad2deg")
def rad2deg(input):
    return jnp.rad2deg(input)


@ports("torch.sinc", "torch.Tensor.sinc", "torch.special.sinc")
def sinc(input):
    return jnp.sinc(input)


# --------------------------------------------------------------------------- special functions


@ports("torch.erf", "torch.Tensor.erf", "torch.special.erf")
def erf(input):
    return jax.scipy.special.erf(input)


@ports("torch.erfc", "torch.Tensor.erfc", "torch.special.erfc")
def erfc(input):
    return jax.scipy.special.erfc(input)


@ports("torch.erfinv", "torch.Tensor.erfinv", "torch.special.erfinv")
def erfinv(input):
    return jax.scipy.special.erfinv(input)


@ports("torch.lgamma", "torch.Tensor.lgamma", "torch.special.gammaln")
def lgamma(input):
    return jax.scipy.special.gammaln(input)


@ports("torch.digamma", "torch.Tensor.digamma", "torch.special.digamma", "torch.special.psi")
def digamma(input):
    return jax.scipy.special.digamma(input)


@ports("torch.polygamma", "torch.special.polygamma")
def polygamma(n, input):
    return jax.scipy.special.polygamma(n, input)


@ports("torch.Tensor.polygamma")
def tensor_polygamma(input, n):
    return jax.scipy.special.polygamma(n, input)


@ports("torch.mvlgamma", "torch.Tensor.mvlgamma", "torch.special.multigammaln")
def mvlgamma(input, p):
    return jax.scipy.special.multigammaln(input, p)


@ports("torch.igamma", "torch.Tensor.igamma", "torch.special.gammainc")
def igamma(input, other):
    return jax.scipy.special.gammainc(input, other)


@ports("torch.igammac", "torch.Tensor.igammac", "torch.special.gammaincc")
def igammac(input, other):
    return jax.scipy.special.gammaincc(input, other)


@ports("torch.i0", "torch.Tensor.i0", "torch.special.i0")
def i0(input):
    return jax.scipy.special.i0(input)


@ports("torch.special.i0e")
def i0e(input):
    return jax.scipy.special.i0e(input)


@ports("torch.special.i1")
def i1(input):
    return jax.scipy.special.i1(input)


@ports("torch.special.i1e")
def i1e(input):
    return jax.scipy.special.i1e(input)


@ports("torch.special.entr")
def entr(input):
    return jax.scipy.special.entr(input)


@ports("torch.special.ndtr")
def ndtr(input):
    return jax.scipy.special.ndtr(input)


@ports("torch.special.ndtri")
def ndtri(input):
    return jax.scipy.special.ndtri(input)


@ports("torch.special.log_ndtr")
def log_ndtr(input):
    return jax.scipy.special.log_ndtr(input)


@ports("torch.special.zeta")
def zeta(input, other):
    return jax.scipy.special.zeta(input, other)


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
    return bool(jnp.array_equal(input, other))


@ports("torch.allclose", "torch.Tensor.allclose", jit=False)
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    return bool(jnp.allclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan))


@ports("torch.isclose", "torch.Tensor.isclose")
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    return jnp.isclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


@ports("torch.isnan", "torch.Tensor.isnan")
def isnan(input):
    return jnp.isnan(input)


@ports("torch.isinf", "torch.Tensor.isinf")
def isinf(input):
    return jnp.isinf(input)


@ports("torch.isfinite", "torch.Tensor.isfinite")
def isfinite(input):
    return jnp.isfinite(input)


@ports("torch.isposinf", "torch.Tensor.isposinf")
def isposinf(input):
    return jnp.isposinf(input)


@ports("torch.isneginf", "torch.Tensor.isneginf")
def isneginf(input):
    return jnp.isneginf(input)


@ports("torch.isreal", "torch.Tensor.isreal")
def isreal(input):
    return jnp.isreal(input)


@ports("torch.logical_and", "torch.Tensor.logical_and")
def logical_and(input, other):
    return jnp.logical_and(input, other)


@ports("torch.logical_or", "torch.Tensor.logical_or")
def logical_or(input, other):
    return jnp.logical_or(input, other)


@ports("torch.logical_xor", "torch.Tensor.logical_xor")
def logical_xor(input, other):
    return jnp.logical_xor(input, other)


@ports("torch.logical_not", "torch.Tensor.logical_not")
def logical_not(input):
    return jnp.logical_not(input)


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
def where_indices(condition) -> tuple[jax.Array, ...]:
    return jnp.nonzero(condition)


@ports("torch.where")
def where(condition, input, other):
    return jnp.where(condition, input, other)


@ports("torch.Tensor.where")
def tensor_where(input, condition, other):
    return jnp.where(condition, input, other)


# ------------------------------------------------------------------------------ complex numbers


@ports("torch.real", "torch.Tensor.real")
def real(input):
    return jnp.real(input)


@ports("torch.imag", "torch.Tensor.imag")
def imag(input):
    return jnp.imag(input)


@ports("torch.conj", "torch.conj_physical", "torch.Tensor.conj", "torch.Tensor.conj_physical")
def conj(input):
    return jnp.conj(input)


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
    return jnp.angle(input)


@ports("torch.complex")
def complex(real, imag):
    return lax.complex(*jnp.broadcast_arrays(real, imag))


@ports("torch.polar")
def polar(abs, angle):
    return lax.complex(abs * jnp.cos(angle), abs * jnp.sin(angle))


@ports("torch.view_as_real", "torch.view_as_real_copy", "torch.Tensor.view_as_real")
def view_as_real(input):
    return jnp.stack([input.real, input.imag], axis=-1)


@ports("torch.view_as_complex", "torch.view_as_complex_copy")
def view_as_complex(input):
    return lax.complex(input[..., 0], input[..., 1])
