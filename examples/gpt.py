"""A decoder-only language model: causal attention, learned positions, tied embeddings.

Shapes in comments: B = batch, T = time (tokens), C = channels (n_embd), H = heads.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


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
        mask = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        self.register_buffer('mask', mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.size()
        q, k, v = (self._split_heads(part) for part in self.qkv(x).chunk(3, dim=-1))

        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        scores = scores.masked_fill(~self.mask[:T, :T], float('-inf'))  # (B, H, T, T)
        weights = self.attn_dropout(F.softmax(scores, dim=-1))

        y = (weights @ v).transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.proj(y))

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.size()
        return x.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)  # (B, H, T, C/H)


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
            nn.GELU(approximate='tanh'),
            nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias),
            nn.Dropout(config.dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x


# torchport: check(ids=i64[2, 16] in [0, 95], targets=i64[2, 16] in [0, 95])
class GPT(nn.Module):
    """Token ids in, logits for the next token out; with targets, the loss as well."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.n_embd)
        self.pos_emb = nn.Embedding(config.block_size, config.n_embd)
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        # One matrix reads tokens and writes them (Press & Wolf, 2017).
        self.lm_head.weight = self.tok_emb.weight

        self.apply(self._init_weights)
        # Each block adds twice to the residual stream: keep its variance near 1 at any depth.
        std = 0.02 / math.sqrt(2 * config.n_layer)
        for block in self.blocks:
            nn.init.normal_(block.attn.proj.weight, mean=0.0, std=std)
            nn.init.normal_(block.mlp[2].weight, mean=0.0, std=std)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def num_parameters(self) -> int:
        """The number of parameters; the tied matrix counts once."""
        return sum(p.numel() for p in self.parameters())

    def forward(
        self, ids: torch.Tensor, targets: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """ids, targets: (B, T) int64 → logits: (B, T, vocab_size), loss: scalar or None.

        A target of -1 is ignored.
        """
        B, T = ids.shape
        if T > self.config.block_size:
            raise ValueError(f'{T} tokens do not fit a context of {self.config.block_size}')

        pos = torch.arange(T, dtype=torch.long, device=ids.device)
        x = self.drop(self.tok_emb(ids) + self.pos_emb(pos))  # (B, T, C) + (T, C)
        for block in self.blocks:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))

        loss = None
        if targets is not None:
            loss = F.cross_entropy(
                logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1
            )
        return logits, loss

    @torch.no_grad()
    def generate(
        self,
        ids: torch.Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> torch.Tensor:
        """Continue ids: (B, T) by max_new_tokens sampled tokens.

        With top_k only the k likeliest tokens can be drawn; top_k=1 is greedy.
        """
        for _ in range(max_new_tokens):
            context = ids[:, -self.config.block_size :]
            logits, _ = self(context)
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                best = logits.topk(min(top_k, logits.size(-1)), dim=-1).values
                logits = logits.masked_fill(logits < best[:, -1:], float('-inf'))
            next_id = torch.multinomial(logits.softmax(dim=-1), num_samples=1)
            ids = torch.cat((ids, next_id), dim=1)
        return ids


def get_init_inputs():
    return [GPTConfig()]
