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


@ports("torch.Tensor.is_cpu")
def is_cpu(input) -> bool:
    return jax.default_backend() == "cpu"


@ports("torch.Tensor.is_mps")
def is_mps(input) -> bool:
    return jax.default_backend() == "METAL"


@ports("torch.get_device", "torch.Tensor.get_device")
def get_device(input) -> int:
    """The number of the default device, -1 of the CPU as in torch."""
    return -1 if jax.default_backend() == "cpu" else jax.devices()[0].id
