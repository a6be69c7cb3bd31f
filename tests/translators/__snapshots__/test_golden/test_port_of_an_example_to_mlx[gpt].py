# Ported from PyTorch (gpt.py) to MLX by torchport VERSION.
# torchport: source=gpt.py target=mlx text=0da0d66803d3
# torchport: GPTConfig=2c582fefe849 CausalSelfAttention=d129aab2f3ea Block=985547c87968
# torchport: GPT=7fb259e5bde4 get_init_inputs=6a073ba6d2df

"""A decoder-only language model: causal attention, learned positions, tied embeddings.

Shapes in comments: B = batch, T = time (tokens), C = channels (n_embd), H = heads.
"""

import math
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten


def chunk(input, chunks, dim=0) -> list[mx.array]:
    """Pieces of ceil(size / chunks) and a shorter last one; mx.split alone takes only equal ones."""
    if input.shape[dim] % chunks == 0:
        return mx.split(input, chunks, axis=dim)
    size = -(-input.shape[dim] // chunks)
    return mx.split(input, list(range(size, input.shape[dim], size)), axis=dim)


class Embedding(nn.Embedding):
    """nn.Embedding drawn from N(0, 1); the row `padding_idx` starts as zeros and gets no gradient."""

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, *, dtype=mx.float32):
        super().__init__(num_embeddings, embedding_dim)
        self.weight = mx.random.normal((num_embeddings, embedding_dim), dtype)
        self.padding_idx = padding_idx
        if padding_idx is not None:
            self.weight[padding_idx] = 0

    def __call__(self, input):
        output = super().__call__(input)
        if self.padding_idx is None:
            return output
        is_padding = input == self.padding_idx % self.weight.shape[0]
        return mx.where(is_padding[..., None], mx.stop_gradient(output), output)


def _scaled_normal(mean, std, shape, dtype):
    if mean == 0 and std == 1:
        return mx.random.normal(shape, dtype=dtype)
    if mean == 0:
        return mx.random.normal(shape, dtype=dtype, scale=std)
    return mx.random.normal(shape, dtype=dtype, loc=mean, scale=std)


def _reduce(loss, reduction):
    if reduction == "mean":
        return mx.mean(loss)
    if reduction == "sum":
        return mx.sum(loss)
    return loss


def _mean(loss, weight):
    """The sum over the weight; where all targets are ignored nan without a gradient, as in torch."""
    return mx.where(weight == 0, mx.nan, mx.sum(loss) / mx.where(weight == 0, 1, weight))


def _cross_entropy(logits, target, ignore_index=-100, reduction="mean"):
    """Classes lie along axis 1 (0 if unbatched); the target holds indices or probabilities."""
    axis = 0 if logits.ndim == 1 else 1
    if mx.issubdtype(target.dtype, mx.floating):
        return _reduce(-mx.sum(target * nn.log_softmax(logits, axis), axis=axis), reduction)
    counted = target.astype(mx.int32) != ignore_index  # which no uint32 compares with
    loss = nn.losses.cross_entropy(logits, mx.where(counted, target, 0), axis=axis)
    loss = mx.where(counted, loss, 0)
    if reduction == "mean":
        return _mean(loss, mx.sum(counted))
    return _reduce(loss, reduction)


def argsort_descending(input, dim=-1):
    """Where the elements stand from the largest (nan counts as that) down, equal ones in their order.

    mx.argsort(-input) puts nan last, and takes neither bools nor unsigned integers.
    """
    if input.size == 0:
        return mx.zeros(input.shape, dtype=mx.uint32)
    order = mx.flip(mx.argsort(mx.flip(input, axis=dim), axis=dim), axis=dim)
    return mx.stop_gradient(input.shape[dim] - 1 - order)


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
class CausalSelfAttention(nn.Module):
    """Multi-head attention in which a token sees itself and what came before it."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        if config.n_embd % config.n_head != 0:
            raise ValueError(f'n_embd={config.n_embd} is not a multiple of n_head={config.n_head}')
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.resid_dropout = nn.Dropout(config.dropout)
        # A buffer moves with the model and is no parameter; it can be rebuilt, so it is not saved.
        mask = mx.tril(mx.ones((config.block_size, config.block_size), dtype=mx.bool_))
        self.mask = mask
        self.freeze(keys=["mask"], recurse=False)

    def __call__(self, x: mx.array) -> mx.array:
        B, T, C = x.shape
        q, k, v = (self._split_heads(part) for part in chunk(self.qkv(x), 3, dim=-1))

        scores = q @ k.swapaxes(-2, -1) / math.sqrt(q.shape[-1])
        scores = mx.where(~self.mask[:T, :T], float('-inf'), scores)  # (B, H, T, T)
        weights = self.attn_dropout(mx.softmax(scores, axis=-1))

        y = (weights @ v).swapaxes(1, 2).reshape(B, T, C)
        return self.resid_dropout(self.proj(y))

    def _split_heads(self, x: mx.array) -> mx.array:
        B, T, C = x.shape
        return x.reshape(B, T, self.n_head, C // self.n_head).swapaxes(1, 2)  # (B, H, T, C/H)


# torchport: check(x=f32[2, 16, 64])
class Block(nn.Module):
    """Attention and a feed-forward network, each normalised before and added to its input."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias),
            nn.GELU('tanh'),
            nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias),
            nn.Dropout(config.dropout),
        )

    def __call__(self, x: mx.array) -> mx.array:
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x


# torchport: check(ids=i64[2, 16] in [0, 95], targets=i64[2, 16] in [0, 95])
class GPT(nn.Module):
    """Token ids in, logits for the next token out; with targets, the loss as well."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.tok_emb = Embedding(config.vocab_size, config.n_embd)
        self.pos_emb = Embedding(config.block_size, config.n_embd)
        self.drop = nn.Dropout(config.dropout)
        self.blocks = [Block(config) for _ in range(config.n_layer)]
        self.ln_f = nn.LayerNorm(config.n_embd, bias=config.bias)
        # One matrix reads tokens and writes them (Press & Wolf, 2017).

        for module in self.modules():
            self._init_weights(module)
        # Each block adds twice to the residual stream: keep its variance near 1 at any depth.
        std = 0.02 / math.sqrt(2 * config.n_layer)
        for block in self.blocks:
            block.attn.proj.weight = _scaled_normal(
                0.0, std, block.attn.proj.weight.shape, block.attn.proj.weight.dtype
            )
            block.mlp.layers[2].weight = _scaled_normal(
                0.0, std, block.mlp.layers[2].weight.shape, block.mlp.layers[2].weight.dtype
            )

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, Embedding)):
            module.weight = mx.random.normal(
                module.weight.shape, dtype=module.weight.dtype, scale=0.02
            )
        if isinstance(module, nn.Linear) and "bias" in module:
            module.bias = mx.zeros_like(module.bias)

    def num_parameters(self) -> int:
        """The number of parameters; the tied matrix counts once."""
        return sum(p.size for _, p in tree_flatten(self.trainable_parameters()))

    def __call__(
        self, ids: mx.array, targets: mx.array | None = None
    ) -> tuple[mx.array, mx.array | None]:
        """ids, targets: (B, T) int64 → logits: (B, T, vocab_size), loss: scalar or None.

        A target of -1 is ignored.
        """
        B, T = ids.shape
        if T > self.config.block_size:
            raise ValueError(f'{T} tokens do not fit a context of {self.config.block_size}')

        pos = mx.arange(T, dtype=mx.int64)
        x = self.drop(self.tok_emb(ids) + self.pos_emb(pos))  # (B, T, C) + (T, C)
        for block in self.blocks:
            x = block(x)
        logits = self.tok_emb.as_linear(self.ln_f(x))

        loss = None
        if targets is not None:
            loss = _cross_entropy(
                logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=-1
            )
        return logits, loss

    def generate(
        self,
        ids: mx.array,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> mx.array:
        """Continue ids: (B, T) by max_new_tokens sampled tokens.

        With top_k only the k likeliest tokens can be drawn; top_k=1 is greedy.
        """
        for _ in range(max_new_tokens):
            context = ids[:, -self.config.block_size :]
            logits, _ = self(context)
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                first = mx.stop_gradient(
                    mx.split(argsort_descending(logits), [min(top_k, logits.shape[-1])], axis=-1)[
                        0
                    ]
                )
                best = mx.take_along_axis(logits, first)
                logits = mx.where(logits < best[:, -1:], float('-inf'), logits)
            logits_2 = mx.log(mx.softmax(logits, axis=-1))
            next_id = mx.argsort(-(logits_2 + mx.random.gumbel(logits_2.shape, logits_2.dtype)))[
                ..., :1
            ]
            ids = mx.concatenate((ids, next_id), axis=1)
        return mx.stop_gradient(ids)


def get_init_inputs():
    return [GPTConfig()]
