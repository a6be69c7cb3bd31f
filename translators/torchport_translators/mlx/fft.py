"""Discrete Fourier transforms."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports


@ports("torch.fft.fft")
def fft(input, n=None, dim=-1, norm=None):
    return mx.fft.fft(input, n=n, axis=dim, norm=norm or "backward")


@ports("torch.fft.ifft")
def ifft(input, n=None, dim=-1, norm=None):
    return mx.fft.ifft(input, n=n, axis=dim, norm=norm or "backward")


@ports("torch.fft.rfft")
def rfft(input, n=None, dim=-1, norm=None):
    return mx.fft.rfft(input, n=n, axis=dim, norm=norm or "backward")


@ports("torch.fft.irfft")
def irfft(input, n=None, dim=-1, norm=None):
    return mx.fft.irfft(input, n=n, axis=dim, norm=norm or "backward")


def _axes(s, dim):
    """The axes that torch takes: the last ones where only their sizes are given."""
    if isinstance(dim, int):
        return (dim,)
    return tuple(range(-len(s), 0)) if dim is None and s is not None else dim


def _other_way(norm):
    """The same scale for a transform in the other direction."""
    if norm == "ortho":
        return norm
    return "backward" if norm == "forward" else "forward"


@ports("torch.fft.hfft")
def hfft(input, n=None, dim=-1, norm=None):
    """The transform of a signal of Hermitian symmetry, which is real."""
    return mx.fft.irfft(mx.conj(input), n=n, axis=dim, norm=_other_way(norm))


@ports("torch.fft.ihfft")
def ihfft(input, n=None, dim=-1, norm=None):
    """The inverse of hfft: the half of a spectrum that its symmetry leaves free."""
    return mx.conj(mx.fft.rfft(input, n=n, axis=dim, norm=_other_way(norm)))


@ports("torch.fft.fft2")
def fft2(input, s=None, dim=(-2, -1), norm=None):
    return mx.fft.fft2(input, s=s, axes=_axes(s, dim), norm=norm or "backward")


@ports("torch.fft.ifft2")
def ifft2(input, s=None, dim=(-2, -1), norm=None):
    return mx.fft.ifft2(input, s=s, axes=_axes(s, dim), norm=norm or "backward")


@ports("torch.fft.rfft2")
def rfft2(input, s=None, dim=(-2, -1), norm=None):
    return mx.fft.rfft2(input, s=s, axes=_axes(s, dim), norm=norm or "backward")


@ports("torch.fft.irfft2")
def irfft2(input, s=None, dim=(-2, -1), norm=None):
    return mx.fft.irfft2(input, s=s, axes=_axes(s, dim), norm=norm or "backward")


@ports("torch.fft.fftn")
def fftn(input, s=None, dim=None, norm=None):
    return mx.fft.fftn(input, s=s, axes=_axes(s, dim), norm=norm or "backward")


@ports("torch.fft.ifftn")
def ifftn(input, s=None, dim=None, norm=None):
    return mx.fft.ifftn(input, s=s, axes=_axes(s, dim), norm=norm or "backward")


@ports("torch.fft.rfftn")
def rfftn(input, s=None, dim=None, norm=None):
    return mx.fft.rfftn(input, s=s, axes=_axes(s, dim), norm=norm or "backward")


@ports("torch.fft.irfftn")
def irfftn(input, s=None, dim=None, norm=None):
    return mx.fft.irfftn(input, s=s, axes=_axes(s, dim), norm=norm or "backward")


@ports("torch.fft.hfftn")
def hfftn(input, s=None, dim=None, norm=None):
    """The transform of a signal of Hermitian symmetry, which is real."""
    return mx.fft.irfftn(mx.conj(input), s=s, axes=_axes(s, dim), norm=_other_way(norm))


@ports("torch.fft.ihfftn")
def ihfftn(input, s=None, dim=None, norm=None):
    """The inverse of hfftn: the half of a spectrum that its symmetry leaves free."""
    return mx.conj(mx.fft.rfftn(input, s=s, axes=_axes(s, dim), norm=_other_way(norm)))


@ports("torch.fft.hfft2")
def hfft2(input, s=None, dim=(-2, -1), norm=None):
    return hfftn(input, s, dim, norm)


@ports("torch.fft.ihfft2")
def ihfft2(input, s=None, dim=(-2, -1), norm=None):
    return ihfftn(input, s, dim, norm)


@ports("torch.fft.fftfreq")
def fftfreq(n, d=1.0):
    return mx.fft.fftfreq(n, d=d)


@ports("torch.fft.rfftfreq")
def rfftfreq(n, d=1.0):
    return mx.fft.rfftfreq(n, d=d)


@ports("torch.fft.fftshift")
def fftshift(input, dim=None):
    return mx.fft.fftshift(input, axes=dim)


@ports("torch.fft.ifftshift")
def ifftshift(input, dim=None):
    return mx.fft.ifftshift(input, axes=dim)
