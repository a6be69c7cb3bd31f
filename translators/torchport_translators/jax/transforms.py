"""Function transforms: torch.func and torch.autograd.functional, as JAX's own.

Both libraries transform functions; they differ in names, in the order of some results, and in what
torch.autograd.functional takes as one argument (`inputs`, a tensor or a tuple of tensors).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from torchport_translators.catalogue import ports


@ports("torch.func.grad")
def grad(func, argnums=0, has_aux=False):
    return jax.grad(func, argnums=argnums, has_aux=has_aux)


@ports("torch.func.grad_and_value")
def grad_and_value(func, argnums=0, has_aux=False):
    """jax.value_and_grad; torch gives the gradient first."""
    value_and_grad = jax.value_and_grad(func, argnums, has_aux)

    def transformed(*args, **kwargs):
        value, gradient = value_and_grad(*args, **kwargs)
        return gradient, value

    return transformed


def _vmap_in_chunks(func, in_dims, out_dims, chunk_size):
    """jax.vmap over `chunk_size` elements at a time, one chunk after the other."""

    def transformed(*args):
        axes = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(args)
        mapped = [
            jax.tree.map(lambda leaf, axis=axis: jnp.moveaxis(leaf, axis, 0), arg)
            for arg, axis in zip(args, axes, strict=True)
            if axis is not None
        ]

        def one(parts):
            rest = iter(parts)
            return func(
                *(arg if axis is None else next(rest) for arg, axis in zip(args, axes, strict=True))
            )

        out = lax.map(one, mapped, batch_size=chunk_size)
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, out_dims), out)

    return transformed


@ports("torch.vmap", "torch.func.vmap")
def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """JAX maps what draws random numbers as any function: by the keys that it is given."""
    if randomness != "error":
        raise NotImplementedError(
            "random numbers inside vmap need keys of their own: split them with nnx.split_rngs, "
            "and map over them with nnx.vmap"
        )
    if chunk_size is None:
        return jax.vmap(func, in_axes=in_dims, out_axes=out_dims)
    return _vmap_in_chunks(func, in_dims, out_dims, chunk_size)


@ports("torch.func.jacrev")
def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):
    """In torch `chunk_size` bounds memory; JAX computes the rows of the jacobian at once."""
    return jax.jacrev(func, argnums=argnums, has_aux=has_aux)


@ports("torch.func.jacfwd")
def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    if randomness != "error":
        raise NotImplementedError("a function that draws random numbers has no jacobian in JAX")
    return jax.jacfwd(func, argnums=argnums, has_aux=has_aux)


@ports("torch.func.hessian")
def hessian(func, argnums=0):
    return jax.hessian(func, argnums=argnums)


@ports("torch.func.jvp")
def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    if strict:
        raise NotImplementedError("JAX gives zeros where an output does not depend on an input")
    return jax.jvp(func, primals, tangents, has_aux=has_aux)


@ports("torch.func.functionalize")
def functionalize(func, *, remove="mutations"):
    """Nothing in a port changes in place, so there is nothing to take out."""
    return func


@ports("torch.autograd.functional.jacobian")
def functional_jacobian(
    func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"
):
    if strict:
        raise NotImplementedError("JAX gives zeros where an output does not depend on an input")
    transform = jax.jacrev if strategy == "reverse-mode" else jax.jacfwd
    if isinstance(inputs, tuple):
        return transform(func, argnums=tuple(range(len(inputs))))(*inputs)
    return transform(func)(inputs)


@ports("torch.autograd.functional.hessian")
def functional_hessian(
    func,
    inputs,
    create_graph=False,
    strict=False,
    vectorize=False,
    outer_jacobian_strategy="reverse-mode",
):
    """jax.grad refuses a result of shape (1,), of which jax.hessian would keep the axis."""
    if strict:
        raise NotImplementedError("JAX gives zeros where an output does not depend on an input")
    if isinstance(inputs, tuple):
        argnums = tuple(range(len(inputs)))
        return jax.jacfwd(jax.grad(func, argnums=argnums), argnums=argnums)(*inputs)
    return jax.jacfwd(jax.grad(func))(inputs)


@ports("torch.autograd.functional.vjp")
def functional_vjp(func, inputs, v=None, create_graph=False, strict=False):
    """The function's result, and v times its jacobian: as `inputs`, a tensor or a tuple."""
    if strict:
        raise NotImplementedError("JAX gives zeros where an output does not depend on an input")
    output, pull = jax.vjp(func, *(inputs if isinstance(inputs, tuple) else (inputs,)))
    products = pull(jnp.ones_like(output) if v is None else v)
    return output, products if isinstance(inputs, tuple) else products[0]


@ports("torch.autograd.functional.jvp")
def functional_jvp(func, inputs, v=None, create_graph=False, strict=False):
    """The function's result, and its jacobian times v."""
    if strict:
        raise NotImplementedError("JAX gives zeros where an output does not depend on an input")
    if isinstance(inputs, tuple):
        return jax.jvp(func, inputs, jax.tree.map(jnp.ones_like, inputs) if v is None else v)
    return jax.jvp(func, (inputs,), (jnp.ones_like(inputs) if v is None else v,))


@ports("torch.autograd.functional.vhp", "torch.autograd.functional.hvp")
def hessian_vector_product(func, inputs, v=None, create_graph=False, strict=False):
    """The function's result, and its hessian times v, which is v times the hessian: it is symmetric."""
    if strict:
        raise NotImplementedError("JAX gives zeros where an output does not depend on an input")
    several = isinstance(inputs, tuple)
    primals = inputs if several else (inputs,)
    if v is None:
        v = jax.tree.map(jnp.ones_like, inputs)
    derivative = jax.value_and_grad(func, argnums=tuple(range(len(primals))))
    (output, _), (_, products) = jax.jvp(derivative, primals, v if several else (v,))
    return output, products if several else products[0]


@ports("torch.utils.checkpoint.checkpoint_sequential")
def checkpoint_sequential(functions, segments, input, use_reentrant=None, preserve_rng_state=True):
    """Runs layers in a row; all segments but the last are computed again for the gradient."""
    layers = functions.layers if isinstance(functions, nnx.Sequential) else functions
    size = len(layers) // segments
    last = size * (segments - 1)
    for start in range(0, last, size):
        segment = nnx.Sequential(*layers[start : start + size])
        input = nnx.remat(lambda module, x: module(x))(segment, input)
    return nnx.Sequential(*layers[last:])(input)
