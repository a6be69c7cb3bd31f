"""Attention and transformers: torch.nn modules; parameters carry torch's names and shapes."""

from __future__ import annotations

import copy
import math

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.attention import (
    _attention,
    _bias,
    multi_head_attention_forward,
)
from torchport_translators.mlx.dropout import dropout as drop


@ports("torch.nn.MultiheadAttention")
class MultiheadAttention(nn.Module):
    """torch's attention over (length, batch, features); returns the output and the weights.

    A bool mask hides where it is True, a float mask is added to the scores. The weights are the mean
    over heads unless told otherwise.
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        *,
        kdim=None,
        vdim=None,
        batch_first=False,
        dtype=mx.float32,
    ):
        super().__init__()
        draw = nn.init.glorot_uniform(dtype)
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.packed = kdim in (None, embed_dim) and vdim in (None, embed_dim)
        if self.packed:
            self.in_proj_weight = draw(mx.zeros((3 * embed_dim, embed_dim)))
        else:
            self.q_proj_weight = draw(mx.zeros((embed_dim, embed_dim)))
            self.k_proj_weight = draw(mx.zeros((embed_dim, kdim or embed_dim)))
            self.v_proj_weight = draw(mx.zeros((embed_dim, vdim or embed_dim)))
        self.in_proj_bias = mx.zeros(3 * embed_dim, dtype) if bias else None
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.out_proj.set_dtype(dtype)
        if bias:
            self.out_proj.bias = mx.zeros(embed_dim, dtype)

    def __call__(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ) -> tuple[mx.array, mx.array]:
        """`is_causal` is a hint that `attn_mask` is causal, of which no use is made."""
        batched = query.ndim == 3
        inputs = [query, key, value]
        if not batched:
            inputs = [x[None] for x in inputs]
        elif not self.batch_first:
            inputs = [x.swapaxes(0, 1) for x in inputs]
        if self.packed:
            projections = mx.split(self.in_proj_weight, 3)
        else:
            projections = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        inputs = [x @ weight.T for x, weight in zip(inputs, projections, strict=True)]
        if self.in_proj_bias is not None:
            biases = mx.split(self.in_proj_bias, 3)
            inputs = [x + bias for x, bias in zip(inputs, biases, strict=True)]
        heads = [mx.unflatten(x, -1, (self.num_heads, -1)).swapaxes(1, 2) for x in inputs]
        query, key, value = heads

        mask = None
        if attn_mask is not None:
            mask = _bias(attn_mask, query.dtype)
            mask = mask.reshape(-1, self.num_heads, *mask.shape[1:]) if mask.ndim == 3 else mask
        if key_padding_mask is not None:
            padding = _bias(key_padding_mask, query.dtype).reshape(len(query), 1, 1, -1)
            mask = padding if mask is None else mask + padding
        rate = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            # Where every key is hidden torch gives nan, or 0 if no weights are asked for.
            scores = query / math.sqrt(query.shape[-1]) @ key.swapaxes(-2, -1)
            weights = mx.softmax(scores if mask is None else scores + mask, axis=-1, precise=True)
            weights = drop(weights, rate)
            output = weights @ value
            weights = weights.mean(axis=1) if average_attn_weights else weights
        else:
            output = _attention(query, key, value, mask, dropout_p=rate)
        output = self.out_proj(output.swapaxes(1, 2).flatten(-2))

        if not batched:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.swapaxes(0, 1), weights


@ports("torch.nn.MultiheadAttention")
class ExtendedMultiheadAttention(MultiheadAttention):
    """Keys and values have one more position: learned (`add_bias_kv`), zeros (`add_zero_attn`)."""

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        add_bias_kv=False,
        add_zero_attn=False,
        kdim=None,
        vdim=None,
        batch_first=False,
        *,
        dtype=mx.float32,
    ):
        super().__init__(
            embed_dim,
            num_heads,
            dropout,
            bias,
            kdim=kdim,
            vdim=vdim,
            batch_first=batch_first,
            dtype=dtype,
        )
        self.add_zero_attn = add_zero_attn
        self.bias_k = self.bias_v = None
        if add_bias_kv:
            shape, deviation = (1, 1, embed_dim), embed_dim**-0.5
            self.bias_k = mx.random.normal(shape, dtype, scale=deviation)
            self.bias_v = mx.random.normal(shape, dtype, scale=deviation)

    def __call__(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ) -> tuple[mx.array, mx.array]:
        """`is_causal` is a hint that `attn_mask` is causal, of which no use is made."""
        swapped = self.batch_first and query.ndim == 3
        if swapped:
            query, key, value = (x.swapaxes(0, 1) for x in (query, key, value))
        output, weights = multi_head_attention_forward(
            query,
            key,
            value,
            query.shape[-1],
            self.num_heads,
            self.get("in_proj_weight"),
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.get("bias"),
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self.packed,
            q_proj_weight=self.get("q_proj_weight"),
            k_proj_weight=self.get("k_proj_weight"),
            v_proj_weight=self.get("v_proj_weight"),
            average_attn_weights=average_attn_weights,
        )
        return output.swapaxes(0, 1) if swapped else output, weights


def _activation(activation):
    """A function, or the name of one: torch's "gelu" is the exact one."""
    named = {"relu": nn.relu, "gelu": nn.gelu}
    return named[activation] if isinstance(activation, str) else activation


@ports("torch.nn.TransformerEncoderLayer")
class TransformerEncoderLayer(nn.Module):
    """Self-attention and two linear layers, each added to its input and normalized."""

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation="relu",
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        *,
        dtype=None,
    ):
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.linear1 = nn.Linear(d_model, dim_feedforward, bias=bias)
        self.linear2 = nn.Linear(dim_feedforward, d_model, bias=bias)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.activation = _activation(activation)
        self.norm_first = norm_first
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        """`is_causal` is a hint that `src_mask` is causal, of which no use is made."""

        def attend(x):
            output, _ = self.self_attn(
                x, x, x, src_key_padding_mask, need_weights=False, attn_mask=src_mask
            )
            return self.dropout(output)

        def transform(x):
            hidden = self.dropout(self.activation(self.linear1(x)))
            return self.dropout(self.linear2(hidden))

        if self.norm_first:
            x = src + attend(self.norm1(src))
            return x + transform(self.norm2(x))
        x = self.norm1(src + attend(src))
        return self.norm2(x + transform(x))


@ports("torch.nn.TransformerDecoderLayer")
class TransformerDecoderLayer(nn.Module):
    """Self-attention, attention to the memory and two linear layers, each added and normalized."""

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation="relu",
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        *,
        dtype=None,
    ):
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first
        )
        self.linear1 = nn.Linear(d_model, dim_feedforward, bias=bias)
        self.linear2 = nn.Linear(dim_feedforward, d_model, bias=bias)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm3 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.activation = _activation(activation)
        self.norm_first = norm_first
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=False,
        memory_is_causal=False,
    ):
        """The two `is_causal` are hints of what the masks are, of which no use is made."""

        def attend(x):
            output, _ = self.self_attn(
                x, x, x, tgt_key_padding_mask, need_weights=False, attn_mask=tgt_mask
            )
            return self.dropout(output)

        def attend_memory(x):
            output, _ = self.multihead_attn(
                x,
                memory,
                memory,
                memory_key_padding_mask,
                need_weights=False,
                attn_mask=memory_mask,
            )
            return self.dropout(output)

        def transform(x):
            hidden = self.dropout(self.activation(self.linear1(x)))
            return self.dropout(self.linear2(hidden))

        if self.norm_first:
            x = tgt + attend(self.norm1(tgt))
            x = x + attend_memory(self.norm2(x))
            return x + transform(self.norm3(x))
        x = self.norm1(tgt + attend(tgt))
        x = self.norm2(x + attend_memory(x))
        return self.norm3(x + transform(x))


def _copies(layer, count):
    """Copies of a layer, which start with its weights as torch's do."""
    # Functions are shared: those that MLX compiles cannot be copied.
    functions = [f for module in layer.modules() for f in vars(module).values() if callable(f)]
    return [copy.deepcopy(layer, {id(f): f for f in functions}) for _ in range(count)]


@ports("torch.nn.TransformerEncoder")
class TransformerEncoder(nn.Module):
    """Copies of a layer, one after another."""

    def __init__(self, encoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.norm = norm

    def __call__(self, src, mask=None, src_key_padding_mask=None, is_causal=False):
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


@ports("torch.nn.TransformerDecoder")
class TransformerDecoder(nn.Module):
    """Copies of a layer, one after another, each with the same memory."""

    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.norm = norm

    def __call__(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=False,
        memory_is_causal=False,
    ):
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
            )
        return tgt if self.norm is None else self.norm(tgt)


@ports("torch.nn.Transformer")
class Transformer(nn.Module):
    """An encoder and a decoder, whose matrices are drawn by Xavier's rule."""

    def __init__(
        self,
        d_model=512,
        nhead=8,
        num_encoder_layers=6,
        num_decoder_layers=6,
        dim_feedforward=2048,
        dropout=0.1,
        activation="relu",
        *,
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        dtype=None,
    ):
        super().__init__()
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        layer = TransformerEncoderLayer(*sizes, batch_first, norm_first, bias)
        norm = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.encoder = TransformerEncoder(layer, num_encoder_layers, norm)
        layer = TransformerDecoderLayer(*sizes, batch_first, norm_first, bias)
        norm = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.decoder = TransformerDecoder(layer, num_decoder_layers, norm)
        draw = nn.init.glorot_uniform()
        self.apply(lambda array: draw(array) if array.ndim == 2 else array)
        if dtype is not None:
            self.set_dtype(dtype)

    def __call__(
        self,
        src,
        tgt,
        src_mask=None,
        tgt_mask=None,
        memory_mask=None,
        src_key_padding_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        src_is_causal=False,
        tgt_is_causal=False,
        memory_is_causal=False,
    ):
        """The three `is_causal` are hints of what the masks are, of which no use is made."""
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
        )


@ports("torch.nn.Transformer.generate_square_subsequent_mask")
def generate_square_subsequent_mask(sz):
    """Zeros, with -inf above the diagonal."""
    return mx.triu(mx.full((sz, sz), -mx.inf), k=1)
