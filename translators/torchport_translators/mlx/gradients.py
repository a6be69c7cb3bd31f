"""Gradients, a tree of arrays as nn.value_and_grad gives it, before the optimizer's step.

torch changes the gradients that parameters carry; the rewrite of a training step calls these instead, as
they port no call by itself.
"""

import math

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_map


def clip_grad_norm(grads, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """mlx.optimizers.clip_grad_norm is torch's for the 2-norm."""
    if norm_type == 2 and not error_if_nonfinite:
        return optim.clip_grad_norm(grads, max_norm)
    return _clip_grad_norm(grads, max_norm, norm_type, error_if_nonfinite)


def _clip_grad_norm(grads, max_norm, norm_type=2.0, error_if_nonfinite=False):
    """Gradients scaled down to a norm of max_norm, if they have a larger one, and the norm they had.

    Raises:
        RuntimeError: the norm is not finite, if error_if_nonfinite.
    """
    norm = grad_norm(grads, norm_type)
    if error_if_nonfinite and not math.isfinite(norm.item()):
        raise RuntimeError(f"the norm of the gradients is {norm}, so they cannot be clipped")
    scale = mx.minimum(max_norm / (norm + 1e-6), 1.0)
    return tree_map(lambda g: (g * scale).astype(g.dtype), grads), norm


def grad_norm(grads, norm_type=2.0):
    """The norm of all gradients, as of one vector."""
    order = float(norm_type)
    norms = [mx.linalg.norm(g.reshape(-1), order) for _, g in tree_flatten(grads)]
    return mx.linalg.norm(mx.stack(norms), order)


def clip_grad_value(grads, clip_value, foreach=None):
    """Gradients between -clip_value and clip_value."""
    return tree_map(lambda g: mx.clip(g, -clip_value, clip_value), grads)


def add_grads(grads, more):
    """The sum of the gradients of two backward passes; None stands for no gradients yet."""
    return more if grads is None else tree_map(mx.add, grads, more)
