"""Devices: MLX runs operations on the default device; arrays live in memory that all share."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports


@ports("torch.device")
def device(type, index=None) -> str:
    """MLX runs operations on its default device; the name is kept for code that shows it."""
    return type


@ports("torch.cuda.is_available")
def is_available() -> bool:
    return mx.is_available(mx.gpu)


@ports("torch.backends.mps.is_available", "torch.mps.is_available")
def mps_is_available() -> bool:
    return mx.metal.is_available()


@ports("torch.cuda.device_count")
def device_count() -> int:
    return mx.device_count(mx.gpu)


@ports("torch.get_default_dtype")
def get_default_dtype():
    return mx.float32


@ports("torch.Tensor.device")
def tensor_device(input) -> mx.Device:
    """An array has no device of its own; operations run on the default one."""
    return mx.default_device()


@ports("torch.Tensor.is_cuda")
def is_cuda(input) -> bool:
    return mx.default_device() == mx.gpu


@ports("torch.Tensor.is_cpu")
def is_cpu(input) -> bool:
    return mx.default_device() == mx.cpu


@ports("torch.Tensor.is_mps")
def is_mps(input) -> bool:
    return mx.metal.is_available()


@ports("torch.get_device", "torch.Tensor.get_device")
def get_device(input) -> int:
    """The number of the default device, -1 of the CPU as in torch."""
    return -1 if mx.default_device() == mx.cpu else 0
