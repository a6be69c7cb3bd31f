"""Layers whose weight is computed from other parameters: weight and spectral normalisation.

The port of such a layer has the layer's other parameters, and gives the layer a weight that it
computes in each call. Parameters carry torch's names, axis order and shapes, so that weights transfer.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports


class _Reparametrized(nn.Module):
    """A layer without a weight of its own; `weight` is computed, in torch's axis order."""

    def _take(self, layer):
        """Keep the layer, of which nothing is trained, and its other parameters; returns its weight."""
        self._layer = layer
        self.is_convolution = isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        self.kept = tuple(
            name
            for name, value in layer.items()
            if isinstance(value, mx.array) and name != "weight"
        )
        for name in self.kept:
            self[name] = layer[name]
        return mx.moveaxis(layer.weight, -1, 1) if self.is_convolution else layer.weight

    def __call__(self, *args):
        weight = self.weight
        self._layer.weight = mx.moveaxis(weight, 1, -1) if self.is_convolution else weight
        for name in self.kept:
            self._layer[name] = self[name]
        return self._layer(*args)


def _norm_but(weight, dim):
    """The norm over all axes but `dim`; over all of them for None and -1."""
    if dim is None or dim == -1:
        return mx.linalg.norm(weight)
    axes = tuple(axis for axis in range(weight.ndim) if axis != dim % weight.ndim)
    return mx.sqrt(mx.sum(mx.square(weight), axis=axes, keepdims=True))


class WeightNorm(_Reparametrized):
    """A layer with the weight `weight_g * weight_v / norm(weight_v)`."""

    def __init__(self, layer, dim=0):
        super().__init__()
        weight = self._take(layer)
        self.dim = dim
        self.weight_g = _norm_but(weight, dim)
        self.weight_v = weight

    @property
    def weight(self):
        return self.weight_v * (self.weight_g / _norm_but(self.weight_v, self.dim))


class ParametrizedWeightNorm(_Reparametrized):
    """A layer with the weight `g * v / norm(v)`; g and v are called as torch's parametrization does."""

    def __init__(self, layer, dim=0):
        super().__init__()
        weight = self._take(layer)
        self.dim = dim
        originals = {"original0": _norm_but(weight, dim), "original1": weight}
        self.parametrizations = {"weight": originals}

    @property
    def weight(self):
        originals = self.parametrizations["weight"]
        norm = _norm_but(originals["original1"], self.dim)
        return originals["original1"] * (originals["original0"] / norm)


def _unit(x, eps):
    return x / mx.maximum(mx.linalg.norm(x), eps)


def _as_matrix(weight, dim):
    """The weight as a matrix of which `dim` are the rows."""
    return mx.moveaxis(weight, dim, 0).reshape(weight.shape[dim], -1)


def _power_iterations(matrix, u, v, steps, eps):
    """The vectors after `steps` of power iteration to the largest singular value: v first, then u."""
    matrix = mx.stop_gradient(matrix)
    for _ in range(steps):
        v = _unit(matrix.T @ u, eps)
        u = _unit(matrix @ v, eps)
    return u, v


def _over_largest(weight, u, v, dim):
    """A weight over its largest singular value, whose vectors are u and v."""
    return weight / (u @ (_as_matrix(weight, dim) @ v))


class SpectralNorm(_Reparametrized):
    """A layer with the weight `weight_orig` over its largest singular value.

    In training each call does `n_power_iterations` towards it; in evaluation none.
    """

    def __init__(self, layer, n_power_iterations=1, eps=1e-12, dim=None):
        super().__init__()
        weight = self._take(layer)
        self.steps, self.eps = n_power_iterations, eps
        transposed = type(layer).__name__.startswith("ConvTranspose")
        self.dim = (1 if transposed else 0) if dim is None else dim
        rows, columns = _as_matrix(weight, self.dim).shape
        self.weight_orig = weight
        self.weight_u = _unit(mx.random.normal((rows,)), eps)
        self.weight_v = _unit(mx.random.normal((columns,)), eps)
        self.freeze(keys=["weight_u", "weight_v"], recurse=False)

    @property
    def weight(self):
        if self.training:
            matrix = _as_matrix(self.weight_orig, self.dim)
            self.weight_u, self.weight_v = _power_iterations(
                matrix, self.weight_u, self.weight_v, self.steps, self.eps
            )
        return _over_largest(self.weight_orig, self.weight_u, self.weight_v, self.dim)


class ParametrizedSpectralNorm(_Reparametrized):
    """A layer with a weight over its largest singular value, named as torch's parametrization does.

    In training each call does `n_power_iterations` towards it; in evaluation none.
    """

    def __init__(self, layer, n_power_iterations=1, eps=1e-12, dim=None):
        super().__init__()
        weight = self._take(layer)
        self.steps, self.eps = n_power_iterations, eps
        transposed = type(layer).__name__.startswith("ConvTranspose")
        self.dim = (1 if transposed else 0) if dim is None else dim
        matrix = _as_matrix(weight, self.dim)
        u, v = (_unit(mx.random.normal((size,)), eps) for size in matrix.shape)
        vectors = nn.Module()
        vectors._v, vectors._u = _power_iterations(matrix.T, v, u, 15, eps)
        self.parametrizations = {"weight": {"original": weight, "0": vectors}}

    @property
    def weight(self):
        weight = self.parametrizations["weight"]["original"]
        vectors = self.parametrizations["weight"]["0"]
        if self.training:
            # This one begins with u.
            matrix = _as_matrix(weight, self.dim).T
            vectors._v, vectors._u = _power_iterations(
                matrix, vectors._v, vectors._u, self.steps, self.eps
            )
        return _over_largest(weight, vectors._u, vectors._v, self.dim)


@ports("torch.nn.utils.weight_norm")
def weight_norm(module, name="weight", dim=0) -> nn.Module:
    if name != "weight":
        raise NotImplementedError("it is ported for a layer's parameter `weight`")
    return WeightNorm(module, dim=dim)


@ports("torch.nn.utils.parametrizations.weight_norm")
def parametrized_weight_norm(module, name="weight", dim=0) -> nn.Module:
    if name != "weight":
        raise NotImplementedError("it is ported for a layer's parameter `weight`")
    return ParametrizedWeightNorm(module, dim=dim)


@ports("torch.nn.utils.spectral_norm")
def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None) -> nn.Module:
    if name != "weight":
        raise NotImplementedError("it is ported for a layer's parameter `weight`")
    return SpectralNorm(module, n_power_iterations=n_power_iterations, eps=eps, dim=dim)


@ports("torch.nn.utils.parametrizations.spectral_norm")
def parametrized_spectral_norm(
    module, name="weight", n_power_iterations=1, eps=1e-12, dim=None
) -> nn.Module:
    if name != "weight":
        raise NotImplementedError("it is ported for a layer's parameter `weight`")
    return ParametrizedSpectralNorm(module, n_power_iterations=n_power_iterations, eps=eps, dim=dim)
