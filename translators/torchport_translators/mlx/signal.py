"""Short-time Fourier transforms."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports


def _frame_window(window, win_length, n_fft):
    """The window in the middle of a frame, with zeros around it; ones where there is none."""
    length = n_fft if win_length is None else win_length
    window = mx.ones(length) if window is None else window
    before = (n_fft - length) // 2
    return mx.pad(window, (before, n_fft - length - before))


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
    """The spectra of windowed frames: (..., frequencies, frames).

    mx.fft.stft takes real signals without a batch, and scales them otherwise.
    """
    if center:
        mode = {"replicate": "edge"}.get(pad_mode, pad_mode)
        widths = [(0, 0)] * (input.ndim - 1) + [(n_fft // 2, n_fft // 2)]
        input = mx.pad(input, widths, mode=mode)
    hop = n_fft // 4 if hop_length is None else hop_length
    starts = mx.arange(0, input.shape[-1] - n_fft + 1, hop)
    frames = mx.take(input, starts[:, None] + mx.arange(n_fft), axis=-1)
    frames = frames * _frame_window(window, win_length, n_fft)
    norm = "ortho" if normalized else "backward"
    if onesided is False or mx.issubdtype(frames.dtype, mx.complexfloating):
        spectra = mx.fft.fft(frames, norm=norm).swapaxes(-1, -2)
    else:
        spectra = mx.fft.rfft(frames, norm=norm).swapaxes(-1, -2)
    if return_complex is False:
        return mx.stack([mx.real(spectra), mx.imag(spectra)], axis=-1)
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
    norm = "ortho" if normalized else "backward"
    if return_complex:
        frames = mx.fft.ifft(input.swapaxes(-1, -2), norm=norm)
    else:
        frames = mx.fft.irfft(input.swapaxes(-1, -2), n=n_fft, norm=norm)
    frames = frames * window
    count = input.shape[-1]
    places = hop * mx.arange(count)[:, None] + mx.arange(n_fft)
    total = n_fft + hop * (count - 1)
    signal = mx.zeros((*frames.shape[:-2], total), frames.dtype).at[..., places].add(frames)
    weight = mx.zeros(total, window.dtype).at[places].add(mx.square(window))
    start = n_fft // 2 if center else 0
    end = total - start if length is None else min(start + length, total)
    signal = signal[..., start:end] / weight[start:end]
    if length is not None:
        missing = length - signal.shape[-1]
        return mx.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, missing)])
    return signal
