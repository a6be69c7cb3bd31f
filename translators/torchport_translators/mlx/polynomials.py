"""Orthogonal polynomials, by their three-term recurrences: Abramowitz and Stegun, 22.7."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports


def _recurrence(x, n, first, step):
    """p_n(x), where p_0 is 1, p_1 `first(x)` and p_{k+1} `step(k, x, p_k, p_{k-1})`; 0 below degree 0.

    The degree may differ from element to element; its fraction is cut off.
    """
    n = mx.array(n)
    n = mx.where(mx.isfinite(n), n, -1).astype(mx.int32)
    x, n = mx.broadcast_arrays(1.0 * mx.array(x), n)
    before, now = mx.ones_like(x), first(x)
    for k in range(1, mx.max(n).item() if n.size else 0):
        before, now = now, mx.where(k < n, step(k, x, now, before), now)
    return mx.where(n > 0, now, mx.where(n == 0, 1.0, 0.0))


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
