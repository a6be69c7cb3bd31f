"""Window functions of signal processing.

MLX has the symmetric windows of numpy but for Kaiser's; a periodic one is a symmetric one that is one longer,
without its last element.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports

# ----------------------------------------------------------------------------- torch.*_window


@ports("torch.hann_window")
def hann_window(window_length, periodic=True, *, dtype=None):
    """Torch's window is periodic by default, that of MLX symmetric."""
    window = mx.hanning(window_length + 1)[:-1] if periodic else mx.hanning(window_length)
    return window if dtype is None else window.astype(dtype)


@ports("torch.hamming_window")
def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None):
    """Torch's window is periodic by default, that of MLX symmetric."""
    if alpha == 0.54 and beta == 0.46:
        window = mx.hamming(window_length + 1)[:-1] if periodic else mx.hamming(window_length)
    else:
        length = window_length if periodic else window_length - 1
        window = alpha - beta * mx.cos(2 * mx.pi / length * mx.arange(window_length))
    return window if dtype is None else window.astype(dtype)


@ports("torch.blackman_window")
def blackman_window(window_length, periodic=True, *, dtype=None):
    """Torch's window is periodic by default, that of MLX symmetric."""
    window = mx.blackman(window_length + 1)[:-1] if periodic else mx.blackman(window_length)
    return window if dtype is None else window.astype(dtype)


@ports("torch.bartlett_window")
def bartlett_window(window_length, periodic=True, *, dtype=None):
    """Torch's window is periodic by default, that of MLX symmetric."""
    window = mx.bartlett(window_length + 1)[:-1] if periodic else mx.bartlett(window_length)
    return window if dtype is None else window.astype(dtype)


def _kaiser(length, beta):
    """Kaiser's symmetric window, which numpy has and MLX has not."""
    return mx.array(np.kaiser(length, beta).astype(np.float32))


@ports("torch.kaiser_window")
def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None):
    """Torch's window is periodic by default, that of MLX symmetric."""
    window = _kaiser(window_length + 1, beta)[:-1] if periodic else _kaiser(window_length, beta)
    return window if dtype is None else window.astype(dtype)


# ------------------------------------------------------------------------- torch.signal.windows


def _cosines(M, a, sym):
    """The sum of (-1)^i a_i cos(i x) over a whole period."""
    period = max(M - 1 if sym else M, 1)
    phase = 2 * mx.pi / period * mx.arange(M)
    return sum((-1) ** i * weight * mx.cos(i * phase) for i, weight in enumerate(a))


@ports("torch.signal.windows.hann")
def signal_hann(M, *, sym=True, dtype=None):
    window = mx.hanning(M) if sym or M == 1 else mx.hanning(M + 1)[:-1]
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.hamming")
def signal_hamming(M, *, sym=True, dtype=None):
    window = mx.hamming(M) if sym or M == 1 else mx.hamming(M + 1)[:-1]
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.blackman")
def signal_blackman(M, *, sym=True, dtype=None):
    window = mx.blackman(M) if sym or M == 1 else mx.blackman(M + 1)[:-1]
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.bartlett")
def signal_bartlett(M, *, sym=True, dtype=None):
    window = mx.bartlett(M) if sym or M == 1 else mx.bartlett(M + 1)[:-1]
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.kaiser")
def signal_kaiser(M, *, beta=12.0, sym=True, dtype=None):
    window = _kaiser(M, beta) if sym or M == 1 else _kaiser(M + 1, beta)[:-1]
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.cosine")
def signal_cosine(M, *, sym=True, dtype=None):
    """Half a period of the sine, taken at the middles of equal steps."""
    steps = M if sym or M == 1 else M + 1
    window = mx.sin(mx.pi * (mx.arange(M) + 0.5) / steps)
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.exponential")
def signal_exponential(M, *, center=None, tau=1.0, sym=True, dtype=None):
    """Decay to both sides of the centre, to 1/e at a distance of `tau`."""
    if center is None:
        center = (M - 1) / 2 if sym or M == 1 else M / 2
    window = mx.exp(-mx.abs(mx.arange(M) - center) / tau)
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.gaussian")
def signal_gaussian(M, *, std=1.0, sym=True, dtype=None):
    """The bell curve of standard deviation `std`, 1 at the centre."""
    center = (M - 1) / 2 if sym or M == 1 else M / 2
    window = mx.exp(-0.5 * ((mx.arange(M) - center) / std) ** 2)
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.general_cosine")
def signal_general_cosine(M, *, a, sym=True, dtype=None):
    """A sum of cosines with the weights `a` and alternating signs."""
    window = mx.ones(1) if M == 1 else _cosines(M, a, sym)
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.general_hamming")
def signal_general_hamming(M, *, alpha=0.54, sym=True, dtype=None):
    """The Hamming window of another weight: alpha - (1 - alpha) cos(x)."""
    window = mx.ones(1) if M == 1 else _cosines(M, (alpha, 1 - alpha), sym)
    return window if dtype is None else window.astype(dtype)


@ports("torch.signal.windows.nuttall")
def signal_nuttall(M, *, sym=True, dtype=None):
    """Nuttall's window with a continuous first derivative (IEEE Trans. ASSP 29, 1981)."""
    weights = (0.3635819, 0.4891775, 0.1365995, 0.0106411)
    window = mx.ones(1) if M == 1 else _cosines(M, weights, sym)
    return window if dtype is None else window.astype(dtype)
