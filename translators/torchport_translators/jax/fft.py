"""Discrete Fourier transforms."""

from __future__ import annotations

import jax.numpy as jnp

from torchport_translators.catalogue import ports


@ports("torch.fft.fft")
def fft(input, n=None, dim=-1, norm=None):
    return jnp.fft.fft(input, n=n, axis=dim, norm=norm)


@ports("torch.fft.ifft")
def ifft(input, n=None, dim=-1, norm=None):
    return jnp.fft.ifft(input, n=n, axis=dim, norm=norm)


@ports("torch.fft.rfft")
def rfft(input, n=None, dim=-1, norm=None):
    return jnp.fft.rfft(input, n=n, axis=dim, norm=norm)


@ports("torch.fft.irfft")
def irfft(input, n=None, dim=-1, norm=None):
    return jnp.fft.irfft(input, n=n, axis=dim, norm=norm)


@ports("torch.fft.hfft")
def hfft(input, n=None, dim=-1, norm=None):
    return jnp.fft.hfft(input, n=n, axis=dim, norm=norm)


@ports("torch.fft.ihfft")
def ihfft(input, n=None, dim=-1, norm=None):
    return jnp.fft.ihfft(input, n=n, axis=dim, norm=norm)


@ports("torch.fft.fft2")
def fft2(input, s=None, dim=(-2, -1), norm=None):
    return jnp.fft.fft2(input, s=s, axes=dim, norm=norm)


@ports("torch.fft.ifft2")
def ifft2(input, s=None, dim=(-2, -1), norm=None):
    return jnp.fft.ifft2(input, s=s, axes=dim, norm=norm)


@ports("torch.fft.rfft2")
def rfft2(input, s=None, dim=(-2, -1), norm=None):
    return jnp.fft.rfft2(input, s=s, axes=dim, norm=norm)


@ports("torch.fft.irfft2")
def irfft2(input, s=None, dim=(-2, -1), norm=None):
    return jnp.fft.irfft2(input, s=s, axes=dim, norm=norm)


@ports("torch.fft.fftn")
def fftn(input, s=None, dim: tuple | None = None, norm=None):
    return jnp.fft.fftn(input, s=s, axes=dim, norm=norm)


@ports("torch.fft.ifftn")
def ifftn(input, s=None, dim: tuple | None = None, norm=None):
    return jnp.fft.ifftn(input, s=s, axes=dim, norm=norm)


@ports("torch.fft.rfftn")
def rfftn(input, s=None, dim: tuple | None = None, norm=None):
    return jnp.fft.rfftn(input, s=s, axes=dim, norm=norm)


@ports("torch.fft.irfftn")
def irfftn(input, s=None, dim: tuple | None = None, norm=None):
    return jnp.fft.irfftn(input, s=s, axes=dim, norm=norm)


def _other_way(norm):
    """The same scale for a transform in the other direction."""
    return {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}[norm]


@ports("torch.fft.hfftn")
def hfftn(input, s=None, dim: tuple | None = None, norm=None):
    """The transform of a signal of Hermitian symmetry, which is real."""
    return jnp.fft.irfftn(jnp.conj(input), s=s, axes=dim, norm=_other_way(norm))


@ports("torch.fft.ihfftn")
def ihfftn(input, s=None, dim: tuple | None = None, norm=None):
    """The inverse of hfftn: the half of a spectrum that its symmetry leaves free."""
    return jnp.conj(jnp.fft.rfftn(input, s=s, axes=dim, norm=_other_way(norm)))


@ports("torch.fft.hfft2")
def hfft2(input, s=None, dim=(-2, -1), norm=None):
    return hfftn(input, s, dim, norm)


@ports("torch.fft.ihfft2")
def ihfft2(input, s=None, dim=(-2, -1), norm=None):
    return ihfftn(input, s, dim, norm)


@ports("torch.fft.fftfreq")
def fftfreq(n, d=1.0):
    return jnp.fft.fftfreq(n, d=d)


@ports("torch.fft.rfftfreq")
def rfftfreq(n, d=1.0):
    return jnp.fft.rfftfreq(n, d=d)


@ports("torch.fft.fftshift")
def fftshift(input, dim=None):
    return jnp.fft.fftshift(input, axes=dim)


@ports("torch.fft.ifftshift")
def ifftshift(input, dim=None):
    return jnp.fft.ifftshift(input, axes=dim)
