"""Short-time Fourier transforms."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from torchport_translators.catalogue import ports


def _frame_window(window, win_length, n_fft):
    """The window in the middle of a frame, with zeros around it; ones where there is none."""
    length = n_fft if win_length is None else win_length
    window = jnp.ones(length) if window is None else window
    before = (n_fft - length) // 2
    return jnp.pad(window, (before, n_fft - length - before))


@ports("torch.stft", "torch.Tensor.stft")
def stft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
    return_complex=None,
):
    """The spectra of windowed frames: (..., frequencies, frames)."""
    if center:
        mode = {"replicate": "edge", "circular": "wrap"}.get(pad_mode, pad_mode)
        widths = [(0, 0)] * (input.ndim - 1) + [(n_fft // 2, n_fft // 2)]
        input = jnp.pad(input, widths, mode=mode)
    hop = n_fft // 4 if hop_length is None else hop_length
    starts = np.arange(0, input.shape[-1] - n_fft + 1, hop)
    frames = input[..., starts[:, None] + np.arange(n_fft)]
    frames = frames * _frame_window(window, win_length, n_fft)
    norm = "ortho" if normalized else None
    if onesided is False or jnp.iscomplexobj(frames):
        spectra = jnp.fft.fft(frames, norm=norm).mT
    else:
        spectra = jnp.fft.rfft(frames, norm=norm).mT
    if return_complex is False:
        return jnp.stack([spectra.real, spectra.imag], axis=-1)
    return spectra


@ports("torch.istft", "torch.Tensor.istft")
def istft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    normalized=False,
    onesided=None,
    length=None,
    return_complex=False,
):
    """The signal whose short-time spectra are `input`: frames are added, and the windows divided out."""
    hop = n_fft // 4 if hop_length is None else hop_length
    window = _frame_window(window, win_length, n_fft)
    norm = "ortho" if normalized else None
    if return_complex:
        frames = jnp.fft.ifft(input.mT, norm=norm)
    else:
        frames = jnp.fft.irfft(input.mT, n=n_fft, norm=norm)
    frames = frames * window
    count = input.shape[-1]
    places = hop * np.arange(count)[:, None] + np.arange(n_fft)
    total = n_fft + hop * (count - 1)
    signal = jnp.zeros((*frames.shape[:-2], total), frames.dtype).at[..., places].add(frames)
    weight = jnp.zeros(total, window.dtype).at[places].add(window**2)
    start = n_fft // 2 if center else 0
    end = total - start if length is None else start + length
    signal = signal[..., start:end] / weight[start:end]
    if length is not None:
        missing = length - signal.shape[-1]
        return jnp.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, missing)])
    return signal
