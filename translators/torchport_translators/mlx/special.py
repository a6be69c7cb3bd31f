"""Functions that are not elementary, of which MLX has few: they are composed from published formulas.

Integers become float32. Gradients are those of the formulas, which are written so that no
branch that is not taken makes them nan. A&S is Abramowitz and Stegun, Handbook of Mathematical Functions.
"""

from __future__ import annotations

import math

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.elementwise import xlogy


def _polynomial(coefficients, x):
    """A polynomial by Horner's rule, the highest power first."""
    value = mx.zeros_like(x)
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


# ------------------------------------------------------------------------------ error function


@ports("torch.erf", "torch.Tensor.erf", "torch.special.erf")
def erf(input):
    return mx.erf(input)


@ports("torch.erfinv", "torch.Tensor.erfinv", "torch.special.erfinv")
def erfinv(input):
    return mx.erfinv(input)


# (1 + 2x) erfcx(x) by powers of (x - 2) / (x + 2), for x from 0 to infinity: the form of Shepherd and
# Laframboise, Math. Comp. 36 (1981), fitted to 1e-8.
_ERFCX = [
    -1.98998475e-05,
    -2.03556785e-05,
    0.000128052182,
    0.000221873065,
    -0.00043878607,
    -0.00146441351,
    0.00126593882,
    0.00872478751,
    -0.00803312032,
    -0.0542203095,
    0.164051224,
    -0.16603038,
    -0.092763826,
    1.27697838,
]


def _erfcx_from_zero(x):
    """exp(x^2) erfc(x) for x >= 0."""
    return _polynomial(_ERFCX, 1 - 4 / (x + 2)) / (1 + 2 * x)


@ports("torch.special.erfcx")
def erfcx(input):
    """exp(x^2) erfc(x), which is 2 exp(x^2) less its mirror image below zero."""
    x = 1.0 * input
    right = _erfcx_from_zero(mx.maximum(0, x))
    left = mx.minimum(0, x)
    return mx.where(x >= 0, right, 2 * mx.exp(left * left) - _erfcx_from_zero(-left))


@ports("torch.erfc", "torch.Tensor.erfc", "torch.special.erfc")
def erfc(input):
    """1 - erf(x), of full precision also where it is tiny."""
    x = 1.0 * input
    right = mx.minimum(mx.maximum(0.5, x), 20)
    # exp(-x^2) in two factors: the first exponent is exact.
    coarse = mx.round(16 * right) / 16
    decay = mx.exp(-coarse * coarse) * mx.exp((coarse - right) * (coarse + right))
    return mx.where(x > 0.5, decay * _erfcx_from_zero(right), 1 - mx.erf(x))


@ports("torch.special.ndtr")
def ndtr(input):
    """The distribution function of the normal distribution."""
    return (1 + mx.erf(input / math.sqrt(2))) / 2


@ports("torch.special.log_ndtr")
def log_ndtr(input):
    """The logarithm of the distribution function of the normal distribution."""
    x = input / math.sqrt(2)
    left = mx.minimum(-0.5, x)
    tail = mx.log(_erfcx_from_zero(-left) / 2) - left * left
    return mx.where(x < -0.5, tail, mx.log1p(-erfc(mx.maximum(-0.5, x)) / 2))


@ports("torch.special.ndtri")
def ndtri(input):
    """The inverse of `ndtr`: Wichura, algorithm AS 241 (PPND7), Applied Statistics 37 (1988)."""
    p = 1.0 * input
    q = p - 0.5
    near = mx.minimum(0.425, mx.maximum(-0.425, q))
    r = 0.180625 - near * near
    centre = near * _polynomial([59.10937472, 159.29113202, 50.434271938, 3.3871327179], r)
    centre = centre / _polynomial([67.1875636, 78.757757664, 17.895169469, 1.0], r)
    tail = mx.minimum(p, 1 - p)
    r = mx.sqrt(-mx.log(mx.where((tail > 0) & (tail < 0.075), tail, 0.05)))
    middle = _polynomial([0.17023821103, 1.3067284816, 2.75681539, 1.4234372777], r - 1.6)
    middle = middle / _polynomial([0.12021132975, 0.7370016425, 1.0], r - 1.6)
    far = _polynomial([0.017337203997, 0.42868294337, 3.0812263860, 6.657905115], r - 5)
    far = far / _polynomial([0.012258202635, 0.24197894225, 1.0], r - 5)
    outer = mx.where(tail > 0, mx.where(r < 5, middle, far), mx.where(tail == 0, mx.inf, mx.nan))
    return mx.where(mx.abs(q) <= 0.425, centre, mx.where(q < 0, -outer, outer))


@ports("torch.special.entr")
def entr(input):
    """-x log(x), 0 at 0 and -inf below."""
    return mx.where(input < 0, -mx.inf, -xlogy(input, input))


# ------------------------------------------------------------------------------ gamma functions

# log(gamma(2 + t)) / t by powers of t in [-1, 1]: A&S 6.1.33, economised to 1e-8.
_LGAMMA = [
    -5.07789167e-06,
    1.08078787e-05,
    -4.06602621e-06,
    9.14230025e-06,
    -4.93677661e-05,
    0.000108847155,
    -0.000221254794,
    0.000505653914,
    -0.00119316364,
    0.00289137617,
    -0.00738551252,
    0.0205807271,
    -0.0673523021,
    0.322467036,
    0.422784335,
]


def _stirling(x):
    """What Stirling's formula for log(gamma(x)) lacks of the value, for x >= 3: A&S 6.1.41."""
    return _polynomial([1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12], 1 / (x * x)) / x


def _lgamma_above_zero(x):
    near = mx.minimum(3, x)
    t = near - mx.where(near < 1.5, 1, 2)
    series = t * _polynomial(_LGAMMA, t) - mx.log(mx.where(near < 1.5, near, 1))
    far = mx.maximum(3, x)
    formula = (far - 0.5) * (mx.log(far) - 1) + (math.log(2 * math.pi) - 1) / 2 + _stirling(far)
    return mx.where(x < 3, series, formula)


@ports("torch.lgamma", "torch.Tensor.lgamma", "torch.special.gammaln")
def lgamma(input):
    """The logarithm of the absolute value of the gamma function; below zero by reflection."""
    x = 1.0 * input
    below = x < 0
    part = mx.where(below, mx.abs(x - mx.round(x)), 0.5)
    value = _lgamma_above_zero(mx.where(below, 1 - x, x))
    value = mx.where(below, math.log(math.pi) - mx.log(mx.sin(math.pi * part)) - value, value)
    return mx.where(mx.isinf(x), mx.inf, value)


@ports("torch.digamma", "torch.Tensor.digamma", "torch.special.digamma", "torch.special.psi")
def digamma(input):
    """The slope of `lgamma`: recurrence up to 6, then the asymptotic series (A&S 6.3.5, 6.3.18)."""
    x = 1.0 * input
    below = x < 0
    value = mx.zeros_like(x)
    far = mx.where(below, 1 - x, x)
    for _ in range(6):
        value = value - mx.where(far < 6, 1 / far, 0)
        far = mx.where(far < 6, far + 1, far)
    series = _polynomial([1 / 240, -1 / 252, 1 / 120, -1 / 12, 0.0], 1 / (far * far))
    value = value + mx.log(far) - 1 / (2 * far) + series
    part = mx.where(below, x - mx.round(x), 0.25)
    pole = below & (part == 0)
    cotangent = math.pi / mx.tan(math.pi * mx.where(pole, mx.nan, part))
    return mx.where(below, value - cotangent, value)


# B_2k / (2k)! of the Bernoulli numbers.
_BERNOULLI = [1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000]


def _zeta_above_zero(s, q):
    """Sum of (q + k)^-s for q > 0 and s > 1 by Euler and Maclaurin's formula (A&S 23.1.30)."""
    total = q**-s
    for k in range(1, 9):
        total = total + (q + k) ** -s
    q = q + 9
    total = total + q ** (1 - s) / (s - 1) + q**-s / 2
    term = s * q ** (-s - 1)
    for k, number in enumerate(_BERNOULLI):
        total = total + number * term
        term = term * (s + 2 * k + 1) * (s + 2 * k + 2) / (q * q)
    return total


@ports("torch.special.zeta")
def zeta(input, other):
    """Hurwitz's zeta function. At other <= 0 its terms are summed on both sides of zero apart."""
    s, q = mx.array(1.0) * input, mx.array(1.0) * other
    power = mx.where(s > 1, s, 2.0)
    below = q <= 0
    part = mx.where(below, mx.ceil(q) - q, 0.5)
    pole = below & (part == 0)
    part = mx.where(pole, 0.5, part)
    first = mx.where(below, 1 - part, q)
    value = _zeta_above_zero(power, first)
    mirrored = _zeta_above_zero(power, part) - _zeta_above_zero(power, mx.where(below, 1 - q, 1.0))
    mirrored = mx.where(power % 2 == 0, mirrored, -mirrored)
    value = value + mx.where(below, mirrored, 0)
    value = mx.where(pole, mx.inf, mx.where(below & (power != mx.floor(power)), mx.nan, value))
    return mx.where(s > 1, value, mx.where(s == 1, mx.inf, mx.nan))


@ports("torch.polygamma", "torch.special.polygamma")
def polygamma(n, input):
    """The derivatives of `digamma`: A&S 6.4.10."""
    if n == 0:
        return digamma(input)
    return (-1) ** (n + 1) * math.factorial(n) * zeta(n + 1, input)


@ports("torch.Tensor.polygamma")
def tensor_polygamma(input, n):
    return polygamma(n, input)


@ports("torch.mvlgamma", "torch.Tensor.mvlgamma", "torch.special.multigammaln")
def mvlgamma(input, p):
    """The logarithm of the multivariate gamma function."""
    value = p * (p - 1) / 4 * math.log(math.pi)
    for k in range(p):
        value = value + lgamma(input - k / 2)
    return value


# The first two functions of Temme's expansion, c0 and c1 of DLMF 8.12.10, by powers of eta.
_TEMME_0 = [
    8.29671134e-07,
    -1.85406221e-06,
    -2.18544851e-06,
    3.91926318e-05,
    -1.78755144e-04,
    3.52733686e-04,
    1.15740741e-03,
    -1.48148148e-02,
    8.33333333e-02,
    -3.33333333e-01,
]
_TEMME_1 = [
    -1.61209009e-06,
    7.64916092e-06,
    -1.80985503e-05,
    -4.01877572e-07,
    2.05761317e-04,
    -9.90226337e-04,
    2.64550265e-03,
    -3.47222222e-03,
    -1.85185185e-03,
]


def _incomplete_gamma(a, x):
    """P(a, x) and Q(a, x), the regularised incomplete gamma functions.

    Below a = 50 the power series, or the continued fraction from x = a + 1 on (A&S 6.5.29, 6.5.31);
    above Temme's uniform expansion (DLMF 8.12.3).
    """
    a, x = mx.broadcast_arrays(1.0 * a, 1.0 * x)
    valid = (a > 0) & (a < mx.inf) & (x > 0) & (x < mx.inf)
    small = mx.where(valid & (a < 50), a, 1.0)
    near = mx.where(valid & (a < 50) & (x < small + 1), x, 0.5)
    far = mx.where(valid & (a < 50) & (x >= small + 1), x, small + 1)
    series = mx.ones_like(a)
    fraction = mx.zeros_like(a)
    for k in range(60, 0, -1):
        series = 1 + series * near / (small + k)
        fraction = k * (k - small) / (far + 2 * k + 1 - small - fraction)
    lower = series * _poisson(small, near)
    upper = small * _poisson(small, far) / (far + 1 - small - fraction)
    is_near = x < small + 1
    lower, upper = mx.where(is_near, lower, 1 - upper), mx.where(is_near, 1 - lower, upper)

    large = mx.where(valid & (a >= 50), a, 50.0)
    excess = mx.where(valid & (a >= 50), x, 50.0) / large - 1
    eta = excess * mx.sqrt(2 * _log1p_rest(excess))
    bounded = mx.minimum(1, mx.maximum(-1, eta))
    rest = _polynomial(_TEMME_0, bounded) + _polynomial(_TEMME_1, bounded) / large
    rest = rest * mx.exp(-large * eta * eta / 2) / mx.sqrt(2 * math.pi * large)
    root = eta * mx.sqrt(large / 2)
    lower = mx.where(a < 50, lower, mx.maximum(0, erfc(-root) / 2 - rest))
    upper = mx.where(a < 50, upper, mx.maximum(0, erfc(root) / 2 + rest))

    known = mx.where((a == 0) & (x > 0) | (x == mx.inf), 1.0, mx.nan)
    known = mx.where((x == 0) | (a == mx.inf), 0.0, known)
    undefined = (a == 0) & (x == 0) | (a == mx.inf) & (x == mx.inf) | (a < 0) | (x < 0)
    known = mx.where(undefined, mx.nan, known)
    return mx.where(valid, lower, known), mx.where(valid, upper, 1 - known)


def _log1p_rest(x):
    """(x - log(1 + x)) / x^2: the power series near 0."""
    near = mx.minimum(0.25, mx.maximum(-0.25, x))
    series = mx.zeros_like(x)
    for k in range(14, 1, -1):
        series = 1 / k - near * series
    far = mx.where(mx.abs(x) > 0.25, x, 1)
    return mx.where(mx.abs(x) > 0.25, (far - mx.log1p(far)) / (far * far), series)


def _poisson(a, x):
    """x^a exp(-x) / gamma(a + 1)."""
    small, large = mx.minimum(8, a), mx.maximum(8, a)
    near = mx.exp(small * mx.log(x) - x - _lgamma_above_zero(small + 1))
    excess = x / large - 1
    far = mx.exp(-large * excess * excess * _log1p_rest(excess) - _stirling(large))
    return mx.where(a < 8, near, far / mx.sqrt(2 * math.pi * large))


@ports("torch.igamma", "torch.Tensor.igamma", "torch.special.gammainc")
def igamma(input, other):
    return _incomplete_gamma(input, other)[0]


@ports("torch.igammac", "torch.Tensor.igammac", "torch.special.gammaincc")
def igammac(input, other):
    return _incomplete_gamma(input, other)[1]
