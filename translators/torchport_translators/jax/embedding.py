"""Embedding look-ups and one-hot vectors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from torchport_translators.catalogue import ports


@ports("torch.nn.functional.embedding")
def embedding(input, weight, padding_idx=None, *, sparse=False):
    """The row `padding_idx` gets no gradient; a `sparse` gradient is a dense one here."""
    if padding_idx is None:
        return jnp.take(weight, input, axis=0)
    frozen = weight.at[padding_idx].set(lax.stop_gradient(weight[padding_idx]))
    return jnp.take(frozen, input, axis=0)


@ports("torch.embedding")
def torch_embedding(
    weight, indices, padding_idx=-1, scale_grad_by_freq: bool = False, sparse=False
):
    """A negative `padding_idx` is none."""
    return embedding(indices, weight, None if padding_idx < 0 else padding_idx)


@ports("torch.embedding_renorm_")
def embedding_renorm_(input, indices, max_norm, norm_type):
    """Scale down the rows that are named and whose norm exceeds `max_norm`."""
    rows = input[indices]
    norms = jnp.linalg.norm(rows, norm_type, axis=-1, keepdims=True)
    rows = jnp.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    return input.at[indices].set(rows)


@ports("torch.nn.functional.one_hot", jit=False)
def one_hot_of_seen(tensor):
    return jax.nn.one_hot(tensor, int(tensor.max()) + 1, dtype=int)


@ports("torch.nn.functional.one_hot")
def one_hot(tensor, num_classes):
    if num_classes == -1:
        return one_hot_of_seen(tensor)
    return jax.nn.one_hot(tensor, num_classes, dtype=int)


@ports("torch.nn.functional.embedding_bag")
def embedding_bag(
    input,
    weight,
    offsets=None,
    *,
    mode="mean",
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """The sum, mean or maximum of each bag of rows; bags are rows of `input`, or start at `offsets`."""
    if offsets is None:
        bags = jnp.repeat(jnp.arange(input.shape[0]), input.shape[1])
        count = input.shape[0]
    else:
        count = len(offsets) - 1 if include_last_offset else len(offsets)
        bags = jnp.searchsorted(offsets[:count], jnp.arange(len(input)), side="right") - 1
    ids = input.reshape(-1)
    rows = embedding(ids, weight, padding_idx)
    # What is padding belongs to no bag.
    bags = bags if padding_idx is None else jnp.where(ids == padding_idx % len(weight), count, bags)
    if mode == "max":
        peak = jax.ops.segment_max(rows, bags, count)
        return jnp.where(jnp.isneginf(peak), 0, peak)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    total = jax.ops.segment_sum(rows, bags, count)
    if mode == "sum":
        return total
    sizes = jax.ops.segment_sum(jnp.ones_like(bags), bags, count)
    return total / jnp.maximum(sizes, 1)[:, None].astype(total.dtype)
