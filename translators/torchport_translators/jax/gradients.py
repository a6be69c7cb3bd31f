"""Gradients, a tree of arrays as jax.grad gives it, between their computation and the optimizer's step.

torch changes the gradients that parameters carry; the rewrite of a training step calls these instead, as
they port no call by itself.
"""

import jax
import jax.numpy as jnp


def clip_grad_norm(grads, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Gradients scaled down to a norm of max_norm, if they have a larger one, and the norm they had.

    The scale is max_norm / (norm + 1e-6), as in torch; optax.clip_by_global_norm adds nothing.

    Raises:
        RuntimeError: the norm is not finite, if error_if_nonfinite.
    """
    norm = grad_norm(grads, norm_type)
    if error_if_nonfinite and not jnp.isfinite(norm):
        raise RuntimeError(f"the norm of the gradients is {norm}, so they cannot be clipped")
    scale = jnp.minimum(max_norm / (norm + 1e-6), 1.0)
    return jax.tree.map(lambda g: (g * scale).astype(g.dtype), grads), norm


def grad_norm(grads, norm_type=2.0):
    """The norm of all gradients, as of one vector."""
    order = float(norm_type)
    norms = [jnp.linalg.norm(g.ravel(), order) for g in jax.tree.leaves(grads)]
    return jnp.linalg.norm(jnp.stack(norms), order)


def clip_grad_value(grads, clip_value, foreach=None):
    """Gradients between -clip_value and clip_value."""
    return jax.tree.map(lambda g: jnp.clip(g, -clip_value, clip_value), grads)


def add_grads(grads, more):
    """The sum of the gradients of two backward passes; None stands for no gradients yet."""
    return more if grads is None else jax.tree.map(jnp.add, grads, more)
