# Ported from PyTorch (gpt.py) to JAX by torchport VERSION.
# torchport: source=gpt.py target=jax text=9e6fb241f8c7
# torchport: GPTConfig=2c582fefe849 CausalSelfAttention=d129aab2f3ea Block=985547c87968
# torchport: GPT=7fb259e5bde4 get_init_inputs=6a073ba6d2df

"""A decoder-only language model: causal attention, learned positions, tied embeddings.

Shapes in comments: B = batch, T = time (tokens), C = channels (n_embd), H = heads.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax


def _uniform_within(bound):
    """An initializer: uniform in [-bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


class Linear(nnx.Linear):
    """nnx.Linear with torch's initial weights: uniform within 1 / sqrt(in_features)."""

    def __init__(self, in_features, out_features, bias=True, *, dtype=jnp.float32, rngs: nnx.Rngs):
        init = _uniform_within(max(in_features, 1) ** -0.5)
        super().__init__(
            in_features,
            out_features,
            use_bias=bias,
            param_dtype=dtype,
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )


def chunk(input, chunks, dim=0) -> list[jax.Array]:
    """Pieces of ceil(size / chunks) and a shorter last one; jnp.split alone takes only equal ones."""
    if input.shape[dim] % chunks == 0:
        return jnp.split(input, chunks, axis=dim)
    size = -(-input.shape[dim] // chunks)
    return jnp.split(input, list(range(size, input.shape[dim], size)), axis=dim)


class LayerNorm(nnx.LayerNorm):
    """nnx.LayerNorm over the last axes, as many as `normalized_shape` has; eps is torch's."""

    def __init__(
        self,
        normalized_shape,
        eps=1e-5,
        elementwise_affine=True,
        bias=True,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        axes = tuple(range(-len(shape), 0))
        super().__init__(
            shape[-1],
            epsilon=eps,
            use_bias=elementwise_affine and bias,
            use_scale=elementwise_affine,
            bias_init=lambda *_: jnp.zeros(shape, dtype),
            scale_init=lambda *_: jnp.ones(shape, dtype),
            reduction_axes=axes,
            feature_axes=axes,
            use_fast_variance=False,
            rngs=rngs,
        )


class Embedding(nnx.Embed):
    """nnx.Embed drawn from N(0, 1); the row `padding_idx` starts as zeros and gets no gradient."""

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        padding_idx=None,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            num_embeddings,
            embedding_dim,
            param_dtype=dtype,
            embedding_init=nnx.initializers.normal(1.0),
            rngs=rngs,
        )
        self.padding_idx = padding_idx
        if padding_idx is not None:
            self.embedding[...] = self.embedding[...].at[padding_idx].set(0)

    def __call__(self, input):
        output = super().__call__(input)
        if self.padding_idx is None:
            return output
        is_padding = input == self.padding_idx % self.num_embeddings
        return jnp.where(is_padding[..., None], lax.stop_gradient(output), output)


def _reduce(loss, reduction):
    if reduction == "mean":
        return jnp.mean(loss)
    if reduction == "sum":
        return jnp.sum(loss)
    return loss


def _cross_entropy(logits, target, ignore_index=-100, reduction="mean"):
    """Classes lie along axis 1 (0 if unbatched); the target holds indices or probabilities."""
    axis = 0 if logits.ndim == 1 else 1
    if jnp.issubdtype(target.dtype, jnp.floating):
        return _reduce(optax.softmax_cross_entropy(logits, target, axis=axis), reduction)
    counted = target != ignore_index
    loss = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(counted, target, 0), axis=axis
    )
    loss = jnp.where(counted, loss, 0)
    if reduction == "mean":
        return jnp.sum(loss) / jnp.sum(counted)
    return _reduce(loss, reduction)


@dataclass
class GPTConfig:
    """Sizes of the model; the defaults suit a laptop's CPU."""

    vocab_size: int = 96  # printable ASCII, and one for the rest (é, 日本, …)
    block_size: int = 32  # longest context
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 64
    dropout: float = 0.1
    bias: bool = False  # biases in Linear and LayerNorm layers


# torchport: check(x=f32[2, 16, 64])
class CausalSelfAttention(nnx.Module):
    """Multi-head attention in which a token sees itself and what came before it."""

    def __init__(self, config: GPTConfig, *, rngs: nnx.Rngs):
        if config.n_embd % config.n_head != 0:
            raise ValueError(f'n_embd={config.n_embd} is not a multiple of n_head={config.n_head}')
        self.n_head = config.n_head
        self.qkv = Linear(config.n_embd, 3 * config.n_embd, bias=config.bias, rngs=rngs)
        self.proj = Linear(config.n_embd, config.n_embd, bias=config.bias, rngs=rngs)
        self.attn_dropout = nnx.Dropout(config.dropout, rngs=rngs)
        self.resid_dropout = nnx.Dropout(config.dropout, rngs=rngs)
        # A buffer moves with the model and is no parameter; it can be rebuilt, so it is not saved.
        mask = jnp.tril(jnp.ones((config.block_size, config.block_size), dtype=jnp.bool_))
        self.mask = mask

    def __call__(self, x: jax.Array) -> jax.Array:
        B, T, C = x.shape
        q, k, v = (self._split_heads(part) for part in chunk(self.qkv(x), 3, dim=-1))

        scores = q @ k.swapaxes(-2, -1) / math.sqrt(q.shape[-1])
        scores = jnp.where(~self.mask[:T, :T], float('-inf'), scores)  # (B, H, T, T)
        weights = self.attn_dropout(jax.nn.softmax(scores))

        y = (weights @ v).swapaxes(1, 2).reshape(B, T, C)
        return self.resid_dropout(self.proj(y))

    def _split_heads(self, x: jax.Array) -> jax.Array:
        B, T, C = x.shape
        return x.reshape(B, T, self.n_head, C // self.n_head).swapaxes(1, 2)  # (B, H, T, C/H)


# torchport: check(x=f32[2, 16, 64])
class Block(nnx.Module):
    """Attention and a feed-forward network, each normalised before and added to its input."""

    def __init__(self, config: GPTConfig, *, rngs: nnx.Rngs):
        self.ln_1 = LayerNorm(config.n_embd, bias=config.bias, rngs=rngs)
        self.attn = CausalSelfAttention(config, rngs=rngs)
        self.ln_2 = LayerNorm(config.n_embd, bias=config.bias, rngs=rngs)
        self.mlp = nnx.Sequential(
            Linear(config.n_embd, 4 * config.n_embd, bias=config.bias, rngs=rngs),
            nnx.gelu,
            Linear(4 * config.n_embd, config.n_embd, bias=config.bias, rngs=rngs),
            nnx.Dropout(config.dropout, rngs=rngs),
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x


# torchport: check(ids=i64[2, 16] in [0, 95], targets=i64[2, 16] in [0, 95])
class GPT(nnx.Module):
    """Token ids in, logits for the next token out; with targets, the loss as well."""

    def __init__(self, config: GPTConfig, *, rngs: nnx.Rngs):
        self.rngs = rngs
        self.config = config
        self.tok_emb = Embedding(config.vocab_size, config.n_embd, rngs=rngs)
        self.pos_emb = Embedding(config.block_size, config.n_embd, rngs=rngs)
        self.drop = nnx.Dropout(config.dropout, rngs=rngs)
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.n_layer)])
        self.ln_f = LayerNorm(config.n_embd, bias=config.bias, rngs=rngs)
        # One matrix reads tokens and writes them (Press & Wolf, 2017).

        for _, module in nnx.iter_modules(self):
            self._init_weights(module)
        # Each block adds twice to the residual stream: keep its variance near 1 at any depth.
        std = 0.02 / math.sqrt(2 * config.n_layer)
        for block in self.blocks:
            block.attn.proj.kernel[...] = nnx.initializers.normal(std)(
                rngs(), block.attn.proj.kernel.shape, block.attn.proj.kernel.dtype
            )
            block.mlp.layers[2].kernel[...] = nnx.initializers.normal(std)(
                rngs(), block.mlp.layers[2].kernel.shape, block.mlp.layers[2].kernel.dtype
            )

    def _init_weights(self, module: nnx.Module) -> None:
        if isinstance(module, (Linear, Embedding)):
            weight = module.kernel if isinstance(module, Linear) else module.embedding
            weight[...] = nnx.initializers.normal(0.02)(self.rngs(), weight.shape, weight.dtype)
        if isinstance(module, Linear) and module.bias is not None:
            module.bias[...] = jnp.zeros_like(module.bias)

    def num_parameters(self) -> int:
        """The number of parameters; the tied matrix counts once."""
        return sum(p.size for p in jax.tree.leaves(nnx.state(self, nnx.Param)))

    def __call__(
        self, ids: jax.Array, targets: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array | None]:
        """ids, targets: (B, T) int64 → logits: (B, T, vocab_size), loss: scalar or None.

        A target of -1 is ignored.
        """
        B, T = ids.shape
        if T > self.config.block_size:
            raise ValueError(f'{T} tokens do not fit a context of {self.config.block_size}')

        pos = jnp.arange(T, dtype=jnp.int32)
        x = self.drop(self.tok_emb(ids) + self.pos_emb(pos))  # (B, T, C) + (T, C)
        for block in self.blocks:
            x = block(x)
        logits = self.tok_emb.attend(self.ln_f(x))

        loss = None
        if targets is not None:
            loss = _cross_entropy(
                logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=-1
            )
        return logits, loss

    def generate(
        self,
        ids: jax.Array,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> jax.Array:
        """Continue ids: (B, T) by max_new_tokens sampled tokens.

        With top_k only the k likeliest tokens can be drawn; top_k=1 is greedy.
        """
        for _ in range(max_new_tokens):
            context = ids[:, -self.config.block_size :]
            logits, _ = self(context)
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                best = lax.top_k(logits, min(top_k, logits.shape[-1]))[0]
                logits = jnp.where(logits < best[:, -1:], float('-inf'), logits)
            value = jax.nn.softmax(logits)
            next_id = jnp.moveaxis(
                jax.random.categorical(
                    self.rngs(), jnp.log(value), shape=(1, *value.shape[:-1]), replace=False
                ),
                0,
                -1,
            )
            ids = jnp.concatenate((ids, next_id), axis=1)
        return jax.lax.stop_gradient(ids)


def get_init_inputs():
    return [GPTConfig()]
