"""Layers whose weight is computed from other parameters: weight and spectral normalisation.

The port of such a layer holds the layer's structure and its other parameters, and makes the layer
anew in each call, with the weight that it has computed. Parameters carry torch's names, axis order
and shapes, so that weights transfer. (nnx.WeightNorm scales from one and nnx.SpectralNorm iterates
on the kernel as flax holds it; neither has torch's parameters.)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from torchport_translators.catalogue import ports


class _Reparametrized(nnx.Module):
    """A layer without a weight of its own; `weight` is computed, in torch's axis order."""

    def _take_apart(self, layer):
        """Keep the layer's structure and its other parameters; returns its weight."""
        self.structure, state = nnx.split(layer)
        self.kept = tuple(name for name in state if name not in ("kernel", "weight"))
        for name in self.kept:
            setattr(self, name, getattr(layer, name))
        self.transposed = type(layer).__name__.startswith("ConvTranspose")
        self.has_kernel = "kernel" in state
        return (
            jnp.moveaxis(layer.kernel, (-1, -2), (0, 1)) if self.has_kernel else layer.weight[...]
        )

    def __call__(self, *args):
        name, value = "weight", self.weight
        if self.has_kernel:
            name, value = "kernel", jnp.moveaxis(value, (0, 1), (-1, -2))
        kept = {name: getattr(self, name) for name in self.kept}
        return nnx.merge(self.structure, nnx.State({name: nnx.Param(value), **kept}))(*args)


def _norm_but(weight, dim):
    """The norm over all axes but `dim`; over all of them for None and -1."""
    if dim is None or dim == -1:
        return jnp.linalg.norm(weight.ravel())
    axes = tuple(axis for axis in range(weight.ndim) if axis != dim % weight.ndim)
    return jnp.sqrt(jnp.sum(jnp.square(weight), axis=axes, keepdims=True))


class WeightNorm(_Reparametrized):
    """A layer with the weight `weight_g * weight_v / norm(weight_v)`."""

    def __init__(self, layer, dim=0):
        weight = self._take_apart(layer)
        self.dim = dim
        self.weight_g = nnx.Param(_norm_but(weight, dim))
        self.weight_v = nnx.Param(weight)

    @property
    def weight(self):
        return self.weight_v * (self.weight_g / _norm_but(self.weight_v[...], self.dim))


class ParametrizedWeightNorm(_Reparametrized):
    """A layer with the weight `g * v / norm(v)`; g and v are called as torch's parametrization does."""

    def __init__(self, layer, dim=0):
        weight = self._take_apart(layer)
        self.dim = dim
        originals = nnx.Dict(
            original0=nnx.Param(_norm_but(weight, dim)), original1=nnx.Param(weight)
        )
        self.parametrizations = nnx.Dict(weight=originals)

    @property
    def weight(self):
        originals = self.parametrizations.weight
        norm = _norm_but(originals.original1[...], self.dim)
        return originals.original1 * (originals.original0 / norm)


def _unit(x, eps):
    return x / jnp.maximum(jnp.linalg.norm(x), eps)


def _as_matrix(weight, dim):
    """The weight as a matrix of which `dim` are the rows."""
    return jnp.moveaxis(weight, dim, 0).reshape(weight.shape[dim], -1)


def _power_iteration(matrix, u, v, steps, eps):
    """Moves v, then u, towards the vectors of the largest singular value."""
    for _ in range(steps):
        v[...] = _unit(matrix.T @ u, eps)
        u[...] = _unit(matrix @ v, eps)


def _over_largest(weight, u, v, dim):
    """A weight over its largest singular value, whose vectors are u and v."""
    return weight / (u @ (_as_matrix(weight, dim) @ v))


class SpectralNorm(_Reparametrized):
    """A layer with the weight `weight_orig` over its largest singular value.

    In training each call does `n_power_iterations` towards it; in evaluation none.
    """

    def __init__(self, layer, n_power_iterations=1, eps=1e-12, dim=None, *, rngs: nnx.Rngs):
        weight = self._take_apart(layer)
        self.steps, self.eps = n_power_iterations, eps
        self.dim = (1 if self.transposed else 0) if dim is None else dim
        self.deterministic = False
        rows, columns = _as_matrix(weight, self.dim).shape
        self.weight_orig = nnx.Param(weight)
        self.weight_u = nnx.Variable(_unit(jax.random.normal(rngs(), (rows,)), eps))
        self.weight_v = nnx.Variable(_unit(jax.random.normal(rngs(), (columns,)), eps))

    @property
    def weight(self):
        weight, u, v = self.weight_orig[...], self.weight_u, self.weight_v
        if not self.deterministic:
            matrix = jax.lax.stop_gradient(_as_matrix(weight, self.dim))
            _power_iteration(matrix, u, v, self.steps, self.eps)
        return _over_largest(weight, u, v, self.dim)


class ParametrizedSpectralNorm(_Reparametrized):
    """A layer with a weight over its largest singular value, named as torch's parametrization does.

    In training each call does `n_power_iterations` towards it, u first; in evaluation none.
    """

    def __init__(self, layer, n_power_iterations=1, eps=1e-12, dim=None, *, rngs: nnx.Rngs):
        weight = self._take_apart(layer)
        self.steps, self.eps = n_power_iterations, eps
        self.dim = (1 if self.transposed else 0) if dim is None else dim
        self.deterministic = False
        matrix = _as_matrix(weight, self.dim)
        rows, columns = matrix.shape
        vectors = nnx.Dict(
            _u=nnx.Variable(_unit(jax.random.normal(rngs(), (rows,)), eps)),
            _v=nnx.Variable(_unit(jax.random.normal(rngs(), (columns,)), eps)),
        )
        _power_iteration(matrix.T, vectors["_v"], vectors["_u"], 15, eps)
        self.parametrizations = nnx.Dict(
            weight=nnx.Dict({"original": nnx.Param(weight), "0": vectors})
        )

    @property
    def weight(self):
        own = self.parametrizations.weight
        weight, u, v = own["original"][...], own["0"]["_u"], own["0"]["_v"]
        if not self.deterministic:
            matrix = jax.lax.stop_gradient(_as_matrix(weight, self.dim))
            _power_iteration(matrix.T, v, u, self.steps, self.eps)
        return _over_largest(weight, u, v, self.dim)


@ports("torch.nn.utils.weight_norm")
def weight_norm(module, name="weight", dim=0) -> nnx.Module:
    if name != "weight":
        raise NotImplementedError("it is ported for a layer's parameter `weight`")
    return WeightNorm(module, dim=dim)


@ports("torch.nn.utils.parametrizations.weight_norm")
def parametrized_weight_norm(module, name="weight", dim=0) -> nnx.Module:
    if name != "weight":
        raise NotImplementedError("it is ported for a layer's parameter `weight`")
    return ParametrizedWeightNorm(module, dim=dim)


@ports("torch.nn.utils.spectral_norm")
def spectral_norm(
    module, name="weight", n_power_iterations=1, eps=1e-12, dim=None, *, rngs: nnx.Rngs
) -> nnx.Module:
    if name != "weight":
        raise NotImplementedError("it is ported for a layer's parameter `weight`")
    return SpectralNorm(module, n_power_iterations=n_power_iterations, eps=eps, dim=dim, rngs=rngs)


@ports("torch.nn.utils.parametrizations.spectral_norm")
def parametrized_spectral_norm(
    module, name="weight", n_power_iterations=1, eps=1e-12, dim=None, *, rngs: nnx.Rngs
) -> nnx.Module:
    if name != "weight":
        raise NotImplementedError("it is ported for a layer's parameter `weight`")
    return ParametrizedSpectralNorm(
        module, n_power_iterations=n_power_iterations, eps=eps, dim=dim, rngs=rngs
    )
