"""Devices: JAX places arrays on the default device itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from torchport_translators.catalogue import ports


@ports("torch.device")
def device(type, index=None) -> str:
    """JAX puts arrays on its default device; the name is kept for code that shows it."""
    return type


@ports("torch.cuda.is_available")
def is_available() -> bool:
    return jax.default_backend() == "gpu"


@ports("torch.backends.mps.is_available", "torch.mps.is_available")
def mps_is_available() -> bool:
    return jax.default_backend() == "METAL"


@ports("torch.cuda.device_count")
def device_count() -> int:
    return jax.device_count("gpu")


@ports("torch.get_default_dtype")
def get_default_dtype():
    return jnp.float32


@ports("torch.Tensor.device")
def tensor_device(input) -> jax.Device:
    """A traced array has no device; where JAX puts arrays is the default device."""
    return jax.devices()[0]


@ports("torch.Tensor.is_cuda")
def is_cuda(input) -> bool:
    return jax.default_backend() == "gpu"
