"""Bessel and Airy functions, which MLX does not have.

Evaluated as in the Cephes library (S. L. Moshier, j0.c, j1.c, k0.c, k1.c, airy.c), whose coefficients torch
uses, too; the modified ones of the first kind by their series. A&S is Abramowitz and Stegun, Handbook of
Mathematical Functions.
"""

from __future__ import annotations

import math

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.elementwise import sinc
from torchport_translators.mlx.special import _polynomial

_J0_PP = [
    0.0007969367293,
    0.08283523921,
    1.239533716,
    5.447250031,
    8.747165002,
    5.303240382,
    1.0,
]
_J0_PQ = [
    0.0009244088106,
    0.08562884744,
    1.253527439,
    5.470977403,
    8.761908832,
    5.306052882,
    1.0,
]
_J0_QP = [
    -0.01136638389,
    -1.282527187,
    -19.55395443,
    -93.20601521,
    -177.681168,
    -147.0775052,
    -51.41053268,
    -6.050143506,
]
_J0_QQ = [
    64.31782561,
    856.430026,
    3882.401836,
    7240.467742,
    5930.727012,
    2062.093317,
    242.0057402,
]
_J0_RP = [
    -4794432210.0,
    1956174919000.0,
    -249248344400000.0,
    9708622510000000.0,
]
_J0_RQ = [
    499.5631472,
    173785.4017,
    48440965.83,
    11185553700.0,
    2112775201000.0,
    310518229900000.0,
    3.181219559e16,
    1.710862941e18,
]
_Y0_YP = [
    15592.43679,
    -14663929.59,
    5435264771.0,
    -982136065700.0,
    87590639440000.0,
    -3466283034000000.0,
    4.427332686e16,
    -1.849508004e16,
]
_Y0_YQ = [
    1041.283537,
    626107.3301,
    268919633.4,
    86400248710.0,
    20297961280000.0,
    3171577528000000.0,
    2.505962562e17,
]
_J1_PP = [
    0.0007621256162,
    0.07313970569,
    1.127196081,
    5.112079511,
    8.424045901,
    5.214515987,
    1.0,
]
_J1_PQ = [
    0.0005713231281,
    0.06884559088,
    1.105142326,
    5.073863861,
    8.399855543,
    5.209828487,
    1.0,
]
_J1_QP = [
    0.05108625948,
    4.98213873,
    75.82382841,
    366.7796094,
    710.856305,
    597.4896124,
    211.6887571,
    25.20702059,
]
_J1_QQ = [
    74.2373277,
    1056.44886,
    4986.410583,
    9562.318924,
    7997.041604,
    2826.192785,
    336.0936078,
]
_J1_RP = [
    -899971225.7,
    452228298000.0,
    -72749424520000.0,
    3682957329000000.0,
]
_J1_RQ = [
    620.8364781,
    256987.2568,
    83514679.14,
    22151159550.0,
    4749141221000.0,
    784369607900000.0,
    8.952223362e16,
    5.322786203e18,
]
_Y1_YP = [
    1263204748.0,
    -647355876400.0,
    114509511500000.0,
    -8127702555000000.0,
    2.024394757e17,
    -7.788771963e17,
]
_Y1_YQ = [
    594.3015923,
    235564.0929,
    73481194.45,
    18760131610.0,
    3882312775000.0,
    620557727100000.0,
    6.871410874e16,
    3.972706081e18,
]
_K0_A = [
    1.904516377e-09,
    2.534791079e-07,
    2.286212103e-05,
    0.001264615411,
    0.03597993652,
    0.3442898999,
    -0.5353273932,
]
_K0_B = [
    3.577397281e-10,
    -1.697534509e-09,
    8.574034017e-09,
    -4.660489898e-08,
    2.766813639e-07,
    -1.831755523e-06,
    1.394981372e-05,
    -0.0001284954958,
    0.001569883886,
    -0.03144810131,
    2.440303082,
]
_K1_A = [
    -1.411488393e-10,
    -2.213387631e-08,
    -2.433406142e-06,
    -0.0001730288958,
    -0.00697572386,
    -0.1226111808,
    -0.3531559608,
    1.525300227,
]
_K1_B = [
    -4.190354759e-10,
    2.015049755e-09,
    -1.034576247e-08,
    5.741084125e-08,
    -3.501960603e-07,
    2.406484948e-06,
    -1.936197974e-05,
    0.0001952155185,
    -0.00285781686,
    0.1039237366,
    2.72062619,
]
_AIRY_AN = [
    0.3465381015,
    12.00759527,
    76.27960536,
    168.0892249,
    159.7563914,
    70.53609068,
    14.02646912,
    1.0,
]
_AIRY_AD = [
    0.5675945326,
    14.75625626,
    84.51389701,
    177.3180881,
    164.2346929,
    71.47784008,
    14.09591356,
    1.0,
]
_AIRY_AFN = [
    -0.1316963234,
    -0.6264565444,
    -0.693158036,
    -0.2797799815,
    -0.04919001326,
    -0.004062659236,
    -0.0001592764962,
    -2.776491082e-06,
    -1.677876985e-08,
]
_AIRY_AFD = [
    13.35604207,
    32.68250328,
    26.73670409,
    9.187074029,
    1.475291468,
    0.1156871738,
    0.004402916416,
    7.547203483e-05,
    4.51850093e-07,
]
_AIRY_AGN = [
    0.01973399321,
    0.3911030296,
    1.065798976,
    0.9391692298,
    0.3514656561,
    0.06338889196,
    0.00585804113,
    0.0002828516008,
    6.9879367e-06,
    8.117892396e-08,
    3.415517848e-10,
]
_AIRY_AGD = [
    9.308929081,
    19.83529287,
    15.56466289,
    5.476860694,
    0.9542936116,
    0.08645808264,
    0.004126565238,
    0.0001012590851,
    1.171667332e-06,
    4.918345701e-09,
]


# ------------------------------------------------------------- modified, of the first kind


def _scaled_bessel_i(order, x):
    """exp(-|x|) I(x), the modified Bessel function of order 0 or 1: A&S 9.6.10 and 9.7.1."""
    size = 1.0 * mx.abs(x)
    near = mx.minimum(12, size)
    series = mx.ones_like(near)
    for k in range(20, 0, -1):
        series = 1 + series * near * near / (4 * k * (k + order))
    if order == 1:
        series = series * mx.where(size < 12, x, near) / 2
    far = mx.maximum(12, size)
    asymptotic = mx.ones_like(far)
    for k in range(9, 0, -1):
        asymptotic = 1 - asymptotic * (4 * order - (2 * k - 1) ** 2) / (8 * k * far)
    asymptotic = asymptotic / mx.sqrt(2 * math.pi * far)
    if order == 1:
        asymptotic = mx.sign(x) * asymptotic
    return mx.where(size < 12, mx.exp(-near) * series, asymptotic)


@ports("torch.i0", "torch.Tensor.i0", "torch.special.i0")
def i0(input):
    return mx.exp(mx.abs(input)) * _scaled_bessel_i(0, input)


@ports("torch.special.i0e")
def i0e(input):
    return _scaled_bessel_i(0, input)


@ports("torch.special.i1")
def i1(input):
    return mx.exp(mx.abs(input)) * _scaled_bessel_i(1, input)


@ports("torch.special.i1e")
def i1e(input):
    return _scaled_bessel_i(1, input)


# --------------------------------------------------------------------------- the others


def _chebyshev_series(coefficients, x):
    """A sum of Chebyshev polynomials of x/2 by Clenshaw's recurrence, the highest first."""
    before = now = after = mx.zeros_like(x)
    for coefficient in coefficients:
        before, now = now, after
        after = x * now - before + coefficient
    return (after - before) / 2


def _hankel(x, pp, pq, qp, qq):
    """Modulus and phase terms of Hankel's asymptotic expansion, for x above 5."""
    z = mx.square(5 / x)
    return _polynomial(pp, z) / _polynomial(pq, z), 5 / x * _polynomial(qp, z) / _polynomial(qq, z)


@ports("torch.special.bessel_j0")
def bessel_j0(input):
    """The Bessel function of the first kind and order 0."""
    x = mx.abs(1.0 * input)
    z = mx.square(mx.minimum(x, 5))
    near = (z - 5.78318596294678452118) * (z - 30.4712623436620863991)
    near *= _polynomial(_J0_RP, z) / _polynomial(_J0_RQ, z)
    far = mx.maximum(x, 5)
    p, q = _hankel(far, _J0_PP, _J0_PQ, _J0_QP, _J0_QQ)
    phase = far - math.pi / 4
    wave = p * mx.cos(phase) - q * mx.sin(phase)
    return mx.where(x <= 5, near, wave * mx.sqrt(2 / math.pi / far))


@ports("torch.special.bessel_j1")
def bessel_j1(input):
    """The Bessel function of the first kind and order 1."""
    input = 1.0 * input
    x = mx.abs(input)
    small = mx.minimum(x, 5)
    z = mx.square(small)
    near = small * (z - 14.6819706421238932572) * (z - 49.2184563216946036703)
    near *= _polynomial(_J1_RP, z) / _polynomial(_J1_RQ, z)
    far = mx.maximum(x, 5)
    p, q = _hankel(far, _J1_PP, _J1_PQ, _J1_QP, _J1_QQ)
    phase = far - 3 * math.pi / 4
    wave = p * mx.cos(phase) - q * mx.sin(phase)
    return mx.sign(input) * mx.where(x <= 5, near, wave * mx.sqrt(2 / math.pi / far))


@ports("torch.special.bessel_y0")
def bessel_y0(input):
    """The Bessel function of the second kind and order 0; nan below zero."""
    x = 1.0 * input
    small = mx.minimum(x, 5)
    z = mx.square(small)
    near = _polynomial(_Y0_YP, z) / _polynomial(_Y0_YQ, z)
    near += 2 / math.pi * mx.log(small) * bessel_j0(small)
    far = mx.maximum(x, 5)
    p, q = _hankel(far, _J0_PP, _J0_PQ, _J0_QP, _J0_QQ)
    phase = far - math.pi / 4
    wave = p * mx.sin(phase) + q * mx.cos(phase)
    return mx.where(x <= 5, near, wave * mx.sqrt(2 / math.pi / far))


@ports("torch.special.bessel_y1")
def bessel_y1(input):
    """The Bessel function of the second kind and order 1; nan below zero."""
    x = 1.0 * input
    small = mx.where(x == 0, 1, mx.minimum(x, 5))
    z = mx.square(small)
    near = small * _polynomial(_Y1_YP, z) / _polynomial(_Y1_YQ, z)
    near += 2 / math.pi * (bessel_j1(small) * mx.log(small) - 1 / small)
    far = mx.maximum(x, 5)
    p, q = _hankel(far, _J1_PP, _J1_PQ, _J1_QP, _J1_QQ)
    phase = far - 3 * math.pi / 4
    wave = p * mx.sin(phase) + q * mx.cos(phase)
    y1 = mx.where(x <= 5, near, wave * mx.sqrt(2 / math.pi / far))
    return mx.where(x == 0, -mx.inf, y1)


@ports("torch.special.modified_bessel_i0")
def modified_bessel_i0(input):
    return i0(input)


@ports("torch.special.modified_bessel_i1")
def modified_bessel_i1(input):
    return i1(input)


def _scaled_k0(x):
    """K0 up to 2, and exp(x) times K0 above."""
    small = mx.minimum(x, 2)
    near = _chebyshev_series(_K0_A, mx.square(small) - 2)
    near -= mx.log(small / 2) * i0(small)
    far = mx.maximum(x, 2)
    return near, _chebyshev_series(_K0_B, 8 / far - 2) / mx.sqrt(far)


def _scaled_k1(x):
    """K1 up to 2, and exp(x) times K1 above."""
    small = mx.where(x == 0, 1, mx.minimum(x, 2))
    near = mx.log(small / 2) * i1(small)
    near += _chebyshev_series(_K1_A, mx.square(small) - 2) / small
    far = mx.maximum(x, 2)
    far = _chebyshev_series(_K1_B, 8 / far - 2) / mx.sqrt(far)
    return mx.where(x == 0, mx.inf, near), far


@ports("torch.special.modified_bessel_k0")
def modified_bessel_k0(input):
    """The modified Bessel function of the second kind and order 0; nan below zero."""
    x = 1.0 * input
    near, far = _scaled_k0(x)
    return mx.where(x <= 2, near, mx.exp(-x) * far)


@ports("torch.special.modified_bessel_k1")
def modified_bessel_k1(input):
    """The modified Bessel function of the second kind and order 1; nan below zero."""
    x = 1.0 * input
    near, far = _scaled_k1(x)
    return mx.where(x <= 2, near, mx.exp(-x) * far)


@ports("torch.special.scaled_modified_bessel_k0")
def scaled_modified_bessel_k0(x):
    """exp(x) K0(x); nan below zero."""
    x = 1.0 * x
    near, far = _scaled_k0(x)
    return mx.where(x <= 2, mx.exp(mx.minimum(x, 2)) * near, far)


@ports("torch.special.scaled_modified_bessel_k1")
def scaled_modified_bessel_k1(x):
    """exp(x) K1(x); nan below zero."""
    x = 1.0 * x
    near, far = _scaled_k1(x)
    return mx.where(x <= 2, mx.exp(mx.minimum(x, 2)) * near, far)


@ports("torch.special.spherical_bessel_j0")
def spherical_bessel_j0(x):
    """sin(x) / x, with its limits 1 at 0 and 0 at infinity."""
    return mx.where(mx.isinf(x), 0, sinc(x / math.pi))


@ports("torch.special.airy_ai")
def airy_ai(x):
    """The Airy function Ai: Maclaurin's series around 0, asymptotic forms beyond 2.09; nan at infinity."""
    x = 1.0 * x
    below = -mx.minimum(x, -2.09)
    zeta = 2 / 3 * below * mx.sqrt(below)
    z = 1 / zeta
    even = 1 + z * z * _polynomial(_AIRY_AFN, z * z) / _polynomial(_AIRY_AFD, z * z)
    odd = z * _polynomial(_AIRY_AGN, z * z) / _polynomial(_AIRY_AGD, z * z)
    phase = zeta + math.pi / 4
    waves = mx.sin(phase) * even - mx.cos(phase) * odd
    waves /= math.sqrt(math.pi) * below**0.25

    above = mx.clip(x, 2.09, 103.892)
    zeta = 2 / 3 * above * mx.sqrt(above)
    decay = _polynomial(_AIRY_AN, 1 / zeta) / _polynomial(_AIRY_AD, 1 / zeta)
    decay /= 2 * math.sqrt(math.pi) * above**0.25 * mx.exp(zeta)

    middle = mx.clip(x, -2.09, 2.09)
    f = m = mx.ones_like(x)
    g = n = middle
    for k in range(3, 48, 3):
        m = m * middle**3 / (k * (k - 1))
        n = n * middle**3 / (k * (k + 1))
        f, g = f + m, g + n
    series = 0.355028053887817239260 * f - 0.258819403792806798405 * g

    ai = mx.where(x < -2.09, waves, mx.where(x < 2.09, series, decay))
    return mx.where(mx.isinf(x), mx.nan, mx.where(x > 103.892, 0, ai))
