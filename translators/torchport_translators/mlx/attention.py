"""Scaled dot-product attention: MLX's own where it takes the arguments, composed elsewhere."""

from __future__ import annotations

import math

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.dropout import dropout


def _attention(
    query,
    key,
    value,
    mask=None,
    is_causal=False,
    scale=None,
    enable_gqa=False,
    dropout_p=0.0,
):
    """Attention in torch's axis order; a row whose keys are all masked is 0."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    length, source = query.shape[-2], key.shape[-2]
    if is_causal and length != source:
        # MLX's own causal mask ends at the last key, torch's begins at the first.
        mask, is_causal = mx.tri(length, source, dtype=mx.bool_), False
    hidden = None
    if mask is not None:
        # A finite number in place of -inf keeps rows without any key, and their gradients, from nan.
        hidden = mx.logical_not(mask) if mask.dtype == mx.bool_ else mask == -mx.inf
        seen = 0 if mask.dtype == mx.bool_ else mask
        mask = mx.where(hidden, mx.finfo(query.dtype).min, seen).astype(query.dtype)
    heads_fit = enable_gqa or query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
    if query.ndim == 4 and heads_fit and dropout_p == 0:
        output = mx.fast.scaled_dot_product_attention(
            query, key, value, scale=scale, mask="causal" if is_causal else mask
        )
    else:
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = mx.repeat(key, groups, axis=-3), mx.repeat(value, groups, axis=-3)
        precise = mx.float64 if query.dtype == mx.float64 else mx.float32
        scores = scale * query.astype(precise) @ key.swapaxes(-2, -1).astype(precise)
        if is_causal:
            scores = mx.where(mx.tri(length, dtype=mx.bool_), scores, -mx.inf)
        weights = mx.softmax(scores if mask is None else scores + mask, axis=-1)
        output = dropout(weights, dropout_p).astype(value.dtype) @ value
    if hidden is None:
        return output
    return mx.where(mx.all(hidden, axis=-1, keepdims=True), 0, output)


@ports("torch.nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    *,
    scale=None,
    enable_gqa=False,
):
    return _attention(
        query,
        key,
        value,
        mask=attn_mask,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=enable_gqa,
        dropout_p=dropout_p,
    )


def _bias(mask, dtype):
    """What a mask adds to the scores: -inf where a bool one is True, a float one itself."""
    return mx.where(mask, -mx.inf, 0).astype(dtype) if mask.dtype == mx.bool_ else mask


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
) -> tuple[mx.array, mx.array]:
    """Attention over (length, batch, features), the batch optional, with all weights given.

    Returns the output and the weights, (batch, target, source), or None for them. `is_causal` is a
    hint that `attn_mask` is causal, of which no use is made.
    """
    batched = query.ndim == 3
    inputs = [query, key, value] if batched else [x[:, None] for x in (query, key, value)]
    if use_separate_proj_weight:
        projections = [q_proj_weight, k_proj_weight, v_proj_weight]
    else:
        projections = mx.split(in_proj_weight, 3)
    inputs = [x @ weight.T for x, weight in zip(inputs, projections, strict=True)]
    if in_proj_bias is not None:
        biases = mx.split(in_proj_bias, 3)
        inputs = [x + bias for x, bias in zip(inputs, biases, strict=True)]
    if bias_k is not None and bias_v is not None:
        # One more position, the same for all.
        for i, bias in ((1, bias_k), (2, bias_v)):
            more = mx.broadcast_to(bias, (1, *inputs[i].shape[1:]))
            inputs[i] = mx.concatenate([inputs[i], more])
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
        key, value = (mx.pad(x, [(0, 0), (0, 0), (0, 1), (0, 0)]) for x in (key, value))

    mask = None
    if attn_mask is not None:
        mask = _bias(attn_mask, query.dtype)
        if mask.ndim == 3:
            mask = mask.reshape(batch, num_heads, *mask.shape[1:])
    if key_padding_mask is not None:
        padding = _bias(key_padding_mask, query.dtype).reshape(batch, 1, 1, -1)
        mask = padding if mask is None else mask + padding
    if mask is not None:
        # Positions that were added above are not hidden.
        added = key.shape[-2] - mask.shape[-1]
        mask = mx.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, added)])
    rate = dropout_p if training else 0.0
    if need_weights:
        # Where every key is hidden torch gives nan, or 0 if no weights are asked for.
        scores = query / math.sqrt(size) @ key.swapaxes(-2, -1)
        weights = mx.softmax(scores if mask is None else scores + mask, axis=-1, precise=True)
        weights = dropout(weights, rate)
        output = weights @ value
        weights = weights.mean(axis=1) if average_attn_weights else weights
    else:
        weights = None
        output = _attention(query, key, value, mask, dropout_p=rate)
    output = output.transpose(2, 0, 1, 3).reshape(-1, batch, features) @ out_proj_weight.T
    if out_proj_bias is not None:
        output = output + out_proj_bias
    if batched:
        return output, weights
    return output[:, 0], None if weights is None else weights[0]
