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


def _hide(scores, mask):
    """Scores under a mask: -inf where a bool one is True, or with a float one added."""
    return jnp.where(mask, -jnp.inf, scores) if mask.dtype == bool else scores + mask


@ports("torch.nn.functional.multi_head_attention_forward")
def multi_head_attention_forward(
    query,
    key,
    value,
    embed_dim_to_check,
    num_heads,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn,
    dropout_p,
    out_proj_weight,
    out_proj_bias,
    training=True,
    key_padding_mask=None,
    need_weights=True,
    attn_mask=None,
    use_separate_proj_weight=False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights=True,
    is_causal=False,
    *,
    rngs: nnx.Rngs,
) -> tuple[jax.Array, jax.Array]:
    """Attention over (length, batch, features), the batch optional, with all weights given.

    Returns the output and the weights, (batch, target, source), or None for them. `is_causal` is a
    hint that `attn_mask` is causal, of which no use is made.
    """
    batched = query.ndim == 3
    inputs = [query, key, value] if batched else [x[:, None] for x in (query, key, value)]
    if use_separate_proj_weight:
        projections = [q_proj_weight, k_proj_weight, v_proj_weight]
    else:
        projections = jnp.split(in_proj_weight, 3)
    inputs = [x @ weight.T for x, weight in zip(inputs, projections, strict=True)]
    if in_proj_bias is not None:
        biases = jnp.split(in_proj_bias, 3)
        inputs = [x + bias for x, bias in zip(inputs, biases, strict=True)]
    if bias_k is not None and bias_v is not None:
        # One more position, the same for all.
        for i, bias in ((1, bias_k), (2, bias_v)):
            more = jnp.broadcast_to(bias, (1, *inputs[i].shape[1:]))
            inputs[i] = jnp.concatenate([inputs[i], more])
    _, batch, features = inputs[0].shape
    size = features // num_heads
    query, key, value = (
        x.reshape(len(x), batch, num_heads, size).transpose(1, 2, 0, 3) for x in inputs
    )
    if static_k is not None:
        key = static_k.reshape(batch, num_heads, -1, size)
    if static_v is not None:
        value = static_v.reshape(batch, num_heads, -1, size)
    if add_zero_attn:
        key, value = (jnp.pad(x, [(0, 0), (0, 0), (0, 1), (0, 0)]) for x in (key, value))

    scores = query @ key.swapaxes(-2, -1) / math.sqrt(size)
    if attn_mask is not None:
        # Positions that were added above are not hidden.
        added = scores.shape[-1] - attn_mask.shape[-1]
        attn_mask = jnp.pad(attn_mask, [(0, 0)] * (attn_mask.ndim - 1) + [(0, added)])
        if attn_mask.ndim == 3:
            attn_mask = attn_mask.reshape(scores.shape)
        scores = _hide(scores, attn_mask)
    if key_padding_mask is not None:
        key_padding_mask = key_padding_mask.reshape(batch, 1, 1, -1)
        added = scores.shape[-1] - key_padding_mask.shape[-1]
        scores = _hide(scores, jnp.pad(key_padding_mask, [(0, 0)] * 3 + [(0, added)]))
    # Where every key is hidden torch gives nan, or 0 if no weights are asked for.
    weights = jax.nn.softmax(scores, where=None if need_weights else scores > -jnp.inf)
    if training:
        weights = nnx.Dropout(dropout_p)(weights, rngs=rngs)
    output = (weights @ value).transpose(2, 0, 1, 3).reshape(-1, batch, features)
    output = output @ out_proj_weight.T
    if out_proj_bias is not None:
        output = output + out_proj_bias
    if average_attn_weights:
        weights = weights.mean(axis=1)
    if not batched:
        output, weights = output[:, 0], weights[0]
    return output, weights if need_weights else None
