"""Attention and transformers: torch.nn modules; parameters carry torch's names and shapes."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from torchport_translators.catalogue import ports
from torchport_translators.jax.modules_linear import Linear
from torchport_translators.jax.modules_norm import LayerNorm


@ports("torch.nn.MultiheadAttention")
class MultiheadAttention(nnx.Module):
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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.xavier_uniform(in_axis=1, out_axis=0)
        self.num_heads = num_heads
        self.batch_first = batch_first
        self.packed = kdim in (None, embed_dim) and vdim in (None, embed_dim)
        shapes = {"in_proj_weight": (3 * embed_dim, embed_dim)}
        if not self.packed:
            shapes = {
                "q_proj_weight": (embed_dim, embed_dim),
                "k_proj_weight": (embed_dim, kdim or embed_dim),
                "v_proj_weight": (embed_dim, vdim or embed_dim),
            }
        for name, shape in shapes.items():
            setattr(self, name, nnx.Param(init(rngs.params(), shape, dtype)))
        self.in_proj_bias = nnx.Param(jnp.zeros(3 * embed_dim, dtype)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype, rngs=rngs)
        if bias:
            self.out_proj.bias[...] = jnp.zeros(embed_dim, dtype)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

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
    ) -> tuple[jax.Array, jax.Array]:
        """`is_causal` is a hint that `attn_mask` is causal, of which no use is made."""
        batched = query.ndim == 3
        inputs = [query, key, value]
        if not batched:
            inputs = [x[None] for x in inputs]
        elif not self.batch_first:
            inputs = [x.swapaxes(0, 1) for x in inputs]
        if self.packed:
            projections = jnp.split(self.in_proj_weight[...], 3)
        else:
            projections = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        inputs = [x @ weight.T for x, weight in zip(inputs, projections, strict=True)]
        if self.in_proj_bias is not None:
            biases = jnp.split(self.in_proj_bias[...], 3)
            inputs = [x + bias for x, bias in zip(inputs, biases, strict=True)]
        heads = [x.reshape(*x.shape[:2], self.num_heads, -1).swapaxes(1, 2) for x in inputs]
        query, key, value = heads

        scores = query @ key.swapaxes(-2, -1) / math.sqrt(query.shape[-1])
        if attn_mask is not None:
            if attn_mask.ndim == 3:
                attn_mask = attn_mask.reshape(scores.shape)
            scores = _masked(scores, attn_mask)
        if key_padding_mask is not None:
            scores = _masked(scores, key_padding_mask.reshape(len(scores), 1, 1, -1))
        # Where every key is hidden torch gives nan, or 0 if no weights are asked for.
        weights = jax.nn.softmax(scores, where=None if need_weights else scores > -jnp.inf)
        weights = self.dropout(weights)
        output = (weights @ value).swapaxes(1, 2)
        output = self.out_proj(output.reshape(*output.shape[:2], -1))

        if average_attn_weights:
            weights = weights.mean(axis=1)
        if not batched:
            output, weights = output[0], weights[0]
        elif not self.batch_first:
            output = output.swapaxes(0, 1)
        return output, weights if need_weights else None


def _masked(scores, mask):
    return jnp.where(mask, -jnp.inf, scores) if mask.dtype == bool else scores + mask


def _activation(activation):
    """A function, or the name of one: torch's "gelu" is the exact one."""
    named = {"relu": nnx.relu, "gelu": partial(nnx.gelu, approximate=False)}
    return named[activation] if isinstance(activation, str) else activation


@ports("torch.nn.TransformerEncoderLayer")
class TransformerEncoderLayer(nnx.Module):
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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        options = {"dtype": dtype, "rngs": rngs}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **options
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **options)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **options)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.activation = _activation(activation)
        self.norm_first = norm_first

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
class TransformerDecoderLayer(nnx.Module):
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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        options = {"dtype": dtype, "rngs": rngs}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **options
        )
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **options
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **options)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **options)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.activation = _activation(activation)
        self.norm_first = norm_first

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


def _copies(layer, count, rngs):
    """A layer's copies start with its weights, as torch's do, but drop out on their own."""
    layers = nnx.List([nnx.clone(layer) for _ in range(count)])
    for _, module in nnx.iter_modules(layers):
        if isinstance(module, nnx.Dropout):
            module.rngs = rngs.dropout.fork()
    return layers


@ports("torch.nn.TransformerEncoder")
class TransformerEncoder(nnx.Module):
    """Copies of a layer, one after another."""

    def __init__(self, encoder_layer, num_layers, norm=None, *, rngs: nnx.Rngs):
        self.layers = _copies(encoder_layer, num_layers, rngs)
        self.norm = norm

    def __call__(self, src, mask=None, src_key_padding_mask=None, is_causal=False):
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


@ports("torch.nn.TransformerDecoder")
class TransformerDecoder(nnx.Module):
    """Copies of a layer, one after another, each with the same memory."""

    def __init__(self, decoder_layer, num_layers, norm=None, *, rngs: nnx.Rngs):
        self.layers = _copies(decoder_layer, num_layers, rngs)
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
class Transformer(nnx.Module):
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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        options = {"bias": bias, "dtype": dtype, "rngs": rngs}
        layer = TransformerEncoderLayer(*sizes, batch_first, norm_first, **options)
        norm = LayerNorm(d_model, layer_norm_eps, **options)
        self.encoder = TransformerEncoder(layer, num_encoder_layers, norm, rngs=rngs)
        layer = TransformerDecoderLayer(*sizes, batch_first, norm_first, **options)
        norm = LayerNorm(d_model, layer_norm_eps, **options)
        self.decoder = TransformerDecoder(layer, num_decoder_layers, norm, rngs=rngs)
        init = nnx.initializers.xavier_uniform()
        for parameter in jax.tree.leaves(
            nnx.state(self, nnx.Param), is_leaf=lambda x: isinstance(x, nnx.Param)
        ):
            if parameter.ndim > 1:
                parameter[...] = init(rngs.params(), parameter.shape, parameter.dtype)

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
    return jnp.triu(jnp.full((sz, sz), -jnp.inf), k=1)
