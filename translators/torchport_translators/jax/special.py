"""Special functions that are not elementary: Bessel and Airy functions, orthogonal polynomials.

jax.scipy.special has few of them. The Bessel and Airy functions are evaluated as in the Cephes library
(S. L. Moshier, j0.c, j1.c, k0.c, k1.c, airy.c), whose coefficients torch uses, too; the polynomials
by their three-term recurrences (Abramowitz and Stegun, 22.7).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from torchport_translators.catalogue import ports

_J0_PP = (
    7.96936729297347051624e-4,
    8.28352392107440799803e-2,
    1.23953371646414299388,
    5.44725003058768775090,
    8.74716500199817011941,
    5.30324038235394892183,
    9.99999999999999997821e-1,
)

_J0_PQ = (
    9.24408810558863637013e-4,
    8.56288474354474431428e-2,
    1.25352743901058953537,
    5.47097740330417105182,
    8.76190883237069594232,
    5.30605288235394617618,
    1.00000000000000000218,
)

_J0_QP = (
    -1.13663838898469149931e-2,
    -1.28252718670509318512,
    -1.95539544257735972385e1,
    -9.32060152123768231369e1,
    -1.77681167980488050595e2,
    -1.47077505154951170175e2,
    -5.14105326766599330220e1,
    -6.05014350600728481186,
)

_J0_QQ = (
    6.43178256118178023184e1,
    8.56430025976980587198e2,
    3.88240183605401609683e3,
    7.24046774195652478189e3,
    5.93072701187316984827e3,
    2.06209331660327847417e3,
    2.42005740240291393179e2,
)

_J0_RP = (
    -4.79443220978201773821e9,
    1.95617491946556577543e12,
    -2.49248344360967716204e14,
    9.70862251047306323952e15,
)

_J0_RQ = (
    4.99563147152651017219e2,
    1.73785401676374683123e5,
    4.84409658339962045305e7,
    1.11855537045356834862e10,
    2.11277520115489217587e12,
    3.10518229857422583814e14,
    3.18121955943204943306e16,
    1.71086294081043136091e18,
)

_Y0_YP = (
    1.55924367855235737965e4,
    -1.46639295903971606143e7,
    5.43526477051876500413e9,
    -9.82136065717911466409e11,
    8.75906394395366999549e13,
    -3.46628303384729719441e15,
    4.42733268572569800351e16,
    -1.84950800436986690637e16,
)

_Y0_YQ = (
    1.04128353664259848412e3,
    6.26107330137134956842e5,
    2.68919633393814121987e8,
    8.64002487103935000337e10,
    2.02979612750105546709e13,
    3.17157752842975028269e15,
    2.50596256172653059228e17,
)

_J1_PP = (
    7.62125616208173112003e-4,
    7.31397056940917570436e-2,
    1.12719608129684925192,
    5.11207951146807644818,
    8.42404590141772420927,
    5.21451598682361504063,
    1.00000000000000000254,
)

_J1_PQ = (
    5.71323128072548699714e-4,
    6.88455908754495404082e-2,
    1.10514232634061696926,
    5.07386386128601488557,
    8.39985554327604159757,
    5.20982848682361821619,
    9.99999999999999997461e-1,
)

_J1_QP = (
    5.10862594750176621635e-2,
    4.98213872951233449420,
    7.58238284132545283818e1,
    3.66779609360150777800e2,
    7.10856304998926107277e2,
    5.97489612400613639965e2,
    2.11688757100572135698e2,
    2.52070205858023719784e1,
)

_J1_QQ = (
    7.42373277035675149943e1,
    1.05644886038262816351e3,
    4.98641058337653607651e3,
    9.56231892404756170795e3,
    7.99704160447350683650e3,
    2.82619278517639096600e3,
    3.36093607810698293419e2,
)

_J1_RP = (
    -8.99971225705559398224e8,
    4.52228297998194034323e11,
    -7.27494245221818276015e13,
    3.68295732863852883286e15,
)

_J1_RQ = (
    6.20836478118054335476e2,
    2.56987256757748830383e5,
    8.35146791431949253037e7,
    2.21511595479792499675e10,
    4.74914122079991414898e12,
    7.84369607876235854894e14,
    8.95222336184627338078e16,
    5.32278620332680085395e18,
)

_Y1_YP = (
    1.26320474790178026440e9,
    -6.47355876379160291031e11,
    1.14509511541823727583e14,
    -8.12770255501325109621e15,
    2.02439475713594898196e17,
    -7.78877196265950026825e17,
)

_Y1_YQ = (
    5.94301592346128195359e2,
    2.35564092943068577943e5,
    7.34811944459721705660e7,
    1.87601316108706159478e10,
    3.88231277496238566008e12,
    6.20557727146953693363e14,
    6.87141087355300489866e16,
    3.97270608116560655612e18,
)

_K0_A = (
    1.37446543561352307156e-16,
    4.25981614279661018399e-14,
    1.03496952576338420167e-11,
    1.90451637722020886025e-9,
    2.53479107902614945675e-7,
    2.28621210311945178607e-5,
    1.26461541144692592338e-3,
    3.59799365153615016266e-2,
    3.44289899924628486886e-1,
    -5.35327393233902768720e-1,
)

_K0_B = (
    5.30043377268626276149e-18,
    -1.64758043015242134646e-17,
    5.21039150503902756861e-17,
    -1.67823109680541210385e-16,
    5.51205597852431940784e-16,
    -1.84859337734377901440e-15,
    6.34007647740507060557e-15,
    -2.22751332699166985548e-14,
    8.03289077536357521100e-14,
    -2.98009692317273043925e-13,
    1.14034058820847496303e-12,
    -4.51459788337394416547e-12,
    1.85594911495471785253e-11,
    -7.95748924447710747776e-11,
    3.57739728140030116597e-10,
    -1.69753450938905987466e-9,
    8.57403401741422608519e-9,
    -4.66048989768794782956e-8,
    2.76681363944501510342e-7,
    -1.83175552271911948767e-6,
    1.39498137188764993662e-5,
    -1.28495495816278026384e-4,
    1.56988388573005337491e-3,
    -3.14481013119645005427e-2,
    2.44030308206595545468,
)

_K1_A = (
    -7.02386347938628759343e-18,
    -2.42744985051936593393e-15,
    -6.66690169419932900609e-13,
    -1.41148839263352776110e-10,
    -2.21338763073472585583e-8,
    -2.43340614156596823496e-6,
    -1.73028895751305206302e-4,
    -6.97572385963986435018e-3,
    -1.22611180822657148235e-1,
    -3.53155960776544875667e-1,
    1.52530022733894777053,
)

_K1_B = (
    -5.75674448366501715755e-18,
    1.79405087314755922667e-17,
    -5.68946255844285935196e-17,
    1.83809354436663880070e-16,
    -6.05704724837331885336e-16,
    2.03870316562433424052e-15,
    -7.01983709041831346144e-15,
    2.47715442448130437068e-14,
    -8.97670518232499435011e-14,
    3.34841966607842919884e-13,
    -1.28917396095102890680e-12,
    5.13963967348173025100e-12,
    -2.12996783842756842877e-11,
    9.21831518760500529508e-11,
    -4.19035475934189648750e-10,
    2.01504975519703286596e-9,
    -1.03457624656780970260e-8,
    5.74108412545004946722e-8,
    -3.50196060308781257119e-7,
    2.40648494783721712015e-6,
    -1.93619797416608296024e-5,
    1.95215518471351631108e-4,
    -2.85781685962277938680e-3,
    1.03923736576817238437e-1,
    2.72062619048444266945,
)

_AIRY_AN = (
    3.46538101525629032477e-1,
    1.20075952739645805542e1,
    7.62796053615234516538e1,
    1.68089224934630576269e2,
    1.59756391350164413639e2,
    7.05360906840444183113e1,
    1.40264691163389668864e1,
    9.99999999999999995305e-1,
)

_AIRY_AD = (
    5.67594532638770212846e-1,
    1.47562562584847203173e1,
    8.45138970141474626562e1,
    1.77318088145400459522e2,
    1.64234692871529701831e2,
    7.14778400825575695274e1,
    1.40959135607834029598e1,
    1.00000000000000000470,
)

_AIRY_AFN = (
    -1.31696323418331795333e-1,
    -6.26456544431912369773e-1,
    -6.93158036036933542233e-1,
    -2.79779981545119124951e-1,
    -4.91900132609500318020e-2,
    -4.06265923594885404393e-3,
    -1.59276496239262096340e-4,
    -2.77649108155232920844e-6,
    -1.67787698489114633780e-8,
)

_AIRY_AFD = (
    1.33560420706553243746e1,
    3.26825032795224613948e1,
    2.67367040941499554804e1,
    9.18707402907259625840,
    1.47529146771666414581,
    1.15687173795188044134e-1,
    4.40291641615211203805e-3,
    7.54720348287414296618e-5,
    4.51850092970580378464e-7,
)

_AIRY_AGN = (
    1.97339932091685679179e-2,
    3.91103029615688277255e-1,
    1.06579897599595591108,
    9.39169229816650230044e-1,
    3.51465656105547619242e-1,
    6.33888919628925490927e-2,
    5.85804113048388458567e-3,
    2.82851600836737019778e-4,
    6.98793669997260967291e-6,
    8.11789239554389293311e-8,
    3.41551784765923618484e-10,
)

_AIRY_AGD = (
    9.30892908077441974853,
    1.98352928718312140417e1,
    1.55646628932864612953e1,
    5.47686069422975497931,
    9.54293611618961883998e-1,
    8.64580826352392193095e-2,
    4.12656523824222607191e-3,
    1.01259085116509135510e-4,
    1.17166733214413521882e-6,
    4.91834570062930015649e-9,
)


@ports("torch.special.erfcx")
def erfcx(input):
    return jax.scipy.special.erfcx(input)


# ---------------------------------------------------------------------------- Bessel functions


def _floats(input):
    """Numbers that can be divided: integers become floats."""
    input = jnp.asarray(input)
    return input.astype(jnp.promote_types(input.dtype, jnp.float32))


def _polynomial(coefficients, x):
    """A polynomial by Horner's rule, the highest power first."""
    value = jnp.zeros_like(x)
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


def _chebyshev_series(coefficients, x):
    """A sum of Chebyshev polynomials of x/2 by Clenshaw's recurrence, the highest first."""
    before = now = after = jnp.zeros_like(x)
    for coefficient in coefficients:
        before, now = now, after
        after = x * now - before + coefficient
    return (after - before) / 2


def _hankel(x, pp, pq, qp, qq):
    """Modulus and phase terms of Hankel's asymptotic expansion, for x above 5."""
    z = jnp.square(5 / x)
    return _polynomial(pp, z) / _polynomial(pq, z), 5 / x * _polynomial(qp, z) / _polynomial(qq, z)


@ports("torch.special.bessel_j0")
def bessel_j0(input):
    """The Bessel function of the first kind and order 0."""
    x = jnp.abs(_floats(input))
    z = jnp.square(jnp.minimum(x, 5))
    near = (z - 5.78318596294678452118) * (z - 30.4712623436620863991)
    near *= _polynomial(_J0_RP, z) / _polynomial(_J0_RQ, z)
    far = jnp.maximum(x, 5)
    p, q = _hankel(far, _J0_PP, _J0_PQ, _J0_QP, _J0_QQ)
    phase = far - math.pi / 4
    wave = p * jnp.cos(phase) - q * jnp.sin(phase)
    return jnp.where(x <= 5, near, wave * jnp.sqrt(2 / math.pi / far))


@ports("torch.special.bessel_j1")
def bessel_j1(input):
    """The Bessel function of the first kind and order 1."""
    input = _floats(input)
    x = jnp.abs(input)
    small = jnp.minimum(x, 5)
    z = jnp.square(small)
    near = small * (z - 14.6819706421238932572) * (z - 49.2184563216946036703)
    near *= _polynomial(_J1_RP, z) / _polynomial(_J1_RQ, z)
    far = jnp.maximum(x, 5)
    p, q = _hankel(far, _J1_PP, _J1_PQ, _J1_QP, _J1_QQ)
    phase = far - 3 * math.pi / 4
    wave = p * jnp.cos(phase) - q * jnp.sin(phase)
    return jnp.sign(input) * jnp.where(x <= 5, near, wave * jnp.sqrt(2 / math.pi / far))


@ports("torch.special.bessel_y0")
def bessel_y0(input):
    """The Bessel function of the second kind and order 0; nan below zero."""
    x = _floats(input)
    small = jnp.minimum(x, 5)
    z = jnp.square(small)
    near = _polynomial(_Y0_YP, z) / _polynomial(_Y0_YQ, z)
    near += 2 / math.pi * jnp.log(small) * bessel_j0(small)
    far = jnp.maximum(x, 5)
    p, q = _hankel(far, _J0_PP, _J0_PQ, _J0_QP, _J0_QQ)
    phase = far - math.pi / 4
    wave = p * jnp.sin(phase) + q * jnp.cos(phase)
    return jnp.where(x <= 5, near, wave * jnp.sqrt(2 / math.pi / far))


@ports("torch.special.bessel_y1")
def bessel_y1(input):
    """The Bessel function of the second kind and order 1; nan below zero."""
    x = _floats(input)
    small = jnp.where(x == 0, 1, jnp.minimum(x, 5))
    z = jnp.square(small)
    near = small * _polynomial(_Y1_YP, z) / _polynomial(_Y1_YQ, z)
    near += 2 / math.pi * (bessel_j1(small) * jnp.log(small) - 1 / small)
    far = jnp.maximum(x, 5)
    p, q = _hankel(far, _J1_PP, _J1_PQ, _J1_QP, _J1_QQ)
    phase = far - 3 * math.pi / 4
    wave = p * jnp.sin(phase) + q * jnp.cos(phase)
    y1 = jnp.where(x <= 5, near, wave * jnp.sqrt(2 / math.pi / far))
    return jnp.where(x == 0, -jnp.inf, y1)


@ports("torch.special.modified_bessel_i0")
def modified_bessel_i0(input):
    return jax.scipy.special.i0(input)


@ports("torch.special.modified_bessel_i1")
def modified_bessel_i1(input):
    return jax.scipy.special.i1(input)


def _scaled_k0(x):
    """K0 up to 2, and exp(x) times K0 above."""
    small = jnp.minimum(x, 2)
    near = _chebyshev_series(_K0_A, jnp.square(small) - 2)
    near -= jnp.log(small / 2) * jax.scipy.special.i0(small)
    far = jnp.maximum(x, 2)
    return near, _chebyshev_series(_K0_B, 8 / far - 2) / jnp.sqrt(far)


def _scaled_k1(x):
    """K1 up to 2, and exp(x) times K1 above."""
    small = jnp.where(x == 0, 1, jnp.minimum(x, 2))
    near = jnp.log(small / 2) * jax.scipy.special.i1(small)
    near += _chebyshev_series(_K1_A, jnp.square(small) - 2) / small
    far = jnp.maximum(x, 2)
    far = _chebyshev_series(_K1_B, 8 / far - 2) / jnp.sqrt(far)
    return jnp.where(x == 0, jnp.inf, near), far


@ports("torch.special.modified_bessel_k0")
def modified_bessel_k0(input):
    """The modified Bessel function of the second kind and order 0; nan below zero."""
    x = _floats(input)
    near, far = _scaled_k0(x)
    return jnp.where(x <= 2, near, jnp.exp(-x) * far)


@ports("torch.special.modified_bessel_k1")
def modified_bessel_k1(input):
    """The modified Bessel function of the second kind and order 1; nan below zero."""
    x = _floats(input)
    near, far = _scaled_k1(x)
    return jnp.where(x <= 2, near, jnp.exp(-x) * far)


@ports("torch.special.scaled_modified_bessel_k0")
def scaled_modified_bessel_k0(x):
    """exp(x) K0(x); nan below zero."""
    x = _floats(x)
    near, far = _scaled_k0(x)
    return jnp.where(x <= 2, jnp.exp(jnp.minimum(x, 2)) * near, far)


@ports("torch.special.scaled_modified_bessel_k1")
def scaled_modified_bessel_k1(x):
    """exp(x) K1(x); nan below zero."""
    x = _floats(x)
    near, far = _scaled_k1(x)
    return jnp.where(x <= 2, jnp.exp(jnp.minimum(x, 2)) * near, far)


@ports("torch.special.spherical_bessel_j0")
def spherical_bessel_j0(x):
    """sin(x) / x, with its limits 1 at 0 and 0 at infinity."""
    return jnp.where(jnp.isinf(x), 0, jnp.sinc(x / math.pi))


@ports("torch.special.airy_ai")
def airy_ai(x):
    """The Airy function Ai: Maclaurin's series around 0, asymptotic forms beyond 2.09; nan at infinity."""
    x = _floats(x)
    below = -jnp.minimum(x, -2.09)
    zeta = 2 / 3 * below * jnp.sqrt(below)
    z = 1 / zeta
    even = 1 + z * z * _polynomial(_AIRY_AFN, z * z) / _polynomial(_AIRY_AFD, z * z)
    odd = z * _polynomial(_AIRY_AGN, z * z) / _polynomial(_AIRY_AGD, z * z)
    phase = zeta + math.pi / 4
    waves = jnp.sin(phase) * even - jnp.cos(phase) * odd
    waves /= math.sqrt(math.pi) * below**0.25

    above = jnp.clip(x, 2.09, 103.892)
    zeta = 2 / 3 * above * jnp.sqrt(above)
    decay = _polynomial(_AIRY_AN, 1 / zeta) / _polynomial(_AIRY_AD, 1 / zeta)
    decay /= 2 * math.sqrt(math.pi) * above**0.25 * jnp.exp(zeta)

    middle = jnp.clip(x, -2.09, 2.09)
    f = m = jnp.ones_like(x)
    g = n = middle
    for k in range(3, 48, 3):
        m = m * middle**3 / (k * (k - 1))
        n = n * middle**3 / (k * (k + 1))
        f, g = f + m, g + n
    series = 0.355028053887817239260 * f - 0.258819403792806798405 * g

    ai = jnp.where(x < -2.09, waves, jnp.where(x < 2.09, series, decay))
    return jnp.where(jnp.isinf(x), jnp.nan, jnp.where(x > 103.892, 0, ai))


# ------------------------------------------------------------------------ orthogonal polynomials


def _recurrence(x, n, first, step):
    """p_n(x), where p_0 is 1, p_1 `first(x)` and p_{k+1} `step(k, x, p_k, p_{k-1})`; 0 below degree 0.

    The degree may differ from element to element; its fraction is cut off.
    """
    n = jnp.asarray(n)
    n = jnp.where(jnp.isfinite(n), n, -1).astype(int)
    x, n = jnp.broadcast_arrays(_floats(x), n)

    def advance(k, pair):
        before, now = pair
        return now, jnp.where(k < n, step(k, x, now, before), now)

    _, value = lax.fori_loop(1, jnp.max(n, initial=1), advance, (jnp.ones_like(x), first(x)))
    return jnp.where(n > 0, value, jnp.where(n == 0, 1.0, 0.0).astype(x.dtype))


def _chebyshev_step(k, x, now, before):
    return 2 * x * now - before


@ports("torch.special.chebyshev_polynomial_t")
def chebyshev_polynomial_t(input, n):
    """Chebyshev's polynomial of the first kind, of degree n."""
    return _recurrence(input, n, lambda x: x, _chebyshev_step)


@ports("torch.special.chebyshev_polynomial_u")
def chebyshev_polynomial_u(input, n):
    """Chebyshev's polynomial of the second kind, of degree n."""
    return _recurrence(input, n, lambda x: 2 * x, _chebyshev_step)


@ports("torch.special.chebyshev_polynomial_v")
def chebyshev_polynomial_v(input, n):
    """Chebyshev's polynomial of the third kind, of degree n."""
    return _recurrence(input, n, lambda x: 2 * x - 1, _chebyshev_step)


@ports("torch.special.chebyshev_polynomial_w")
def chebyshev_polynomial_w(input, n):
    """Chebyshev's polynomial of the fourth kind, of degree n."""
    return _recurrence(input, n, lambda x: 2 * x + 1, _chebyshev_step)


@ports("torch.special.shifted_chebyshev_polynomial_t")
def shifted_chebyshev_polynomial_t(input, n):
    """Chebyshev's polynomial of the first kind at 2x - 1."""
    return chebyshev_polynomial_t(2 * input - 1, n)


@ports("torch.special.shifted_chebyshev_polynomial_u")
def shifted_chebyshev_polynomial_u(input, n):
    """Chebyshev's polynomial of the second kind at 2x - 1."""
    return chebyshev_polynomial_u(2 * input - 1, n)


@ports("torch.special.shifted_chebyshev_polynomial_v")
def shifted_chebyshev_polynomial_v(input, n):
    """Chebyshev's polynomial of the third kind at 2x - 1."""
    return chebyshev_polynomial_v(2 * input - 1, n)


@ports("torch.special.shifted_chebyshev_polynomial_w")
def shifted_chebyshev_polynomial_w(input, n):
    """Chebyshev's polynomial of the fourth kind at 2x - 1."""
    return chebyshev_polynomial_w(2 * input - 1, n)


@ports("torch.special.hermite_polynomial_h")
def hermite_polynomial_h(input, n):
    """The physicist's Hermite polynomial of degree n."""
    return _recurrence(
        input, n, lambda x: 2 * x, lambda k, x, now, before: 2 * (x * now - k * before)
    )


@ports("torch.special.hermite_polynomial_he")
def hermite_polynomial_he(input, n):
    """The probabilist's Hermite polynomial of degree n."""
    return _recurrence(input, n, lambda x: x, lambda k, x, now, before: x * now - k * before)


@ports("torch.special.laguerre_polynomial_l")
def laguerre_polynomial_l(input, n):
    """Laguerre's polynomial of degree n."""

    def step(k, x, now, before):
        return ((2 * k + 1 - x) * now - k * before) / (k + 1)

    return _recurrence(input, n, lambda x: 1 - x, step)


@ports("torch.special.legendre_polynomial_p")
def legendre_polynomial_p(input, n):
    """Legendre's polynomial of degree n."""

    def step(k, x, now, before):
        return ((2 * k + 1) * x * now - k * before) / (k + 1)

    return _recurrence(input, n, lambda x: x, step)
