"""Scaled dot-product attention."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from torchport_translators.catalogue import ports


def _attention(
    query,
    key,
    value,
    mask=None,
    is_causal=False,
    scale=None,
    enable_gqa=False,
    dropout=None,
):
    """Attention in torch's axis order; a row whose keys are all masked is 0."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = jnp.repeat(key, groups, axis=-3), jnp.repeat(value, groups, axis=-3)
    precise = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.matmul(query, key.swapaxes(-2, -1), preferred_element_type=precise)
    scores *= 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if is_causal:
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    if mask is None:
        weights = jax.nn.softmax(scores)
    else:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
        weights = jax.nn.softmax(scores, where=scores > -jnp.inf)
    if dropout is not None:
        weights = dropout(weights)
    return weights.astype(value.dtype) @ value


@ports("torch.nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention(
    query, key, value, attn_mask=None, *, is_causal=False, scale=None, enable_gqa=False
):
    return _attention(
        query,
        key,
        value,
        mask=attn_mask,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=enable_gqa,
    )


@ports("torch.nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention_dropout(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    *,
    scale=None,
    enable_gqa=False,
    rngs: nnx.Rngs,
):
    """With dropout on the weights."""
    if dropout_p == 0:
        return scaled_dot_product_attention(
            query, key, value, attn_mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
        )
    return _attention(
        query,
        key,
        value,
        mask=attn_mask,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=enable_gqa,
        dropout=nnx.Dropout(dropout_p, rngs=rngs),
    )
