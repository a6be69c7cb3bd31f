"""A small GPT: gradients accumulated over micro-batches, clipped, a learning rate by hand."""

import math

import numpy as np
import torch
import torch.nn as nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.heads = heads

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.qkv(self.ln_1(x)).split(C, dim=2)
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).contiguous().view(B, T, C))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, vocabulary=11, length=8, width=16, heads=2, layers=2):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, idx, targets=None):
        positions = torch.arange(idx.size(1))
        x = self.wte(idx) + self.wpe(positions)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.ln_f(x))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))
        return logits, loss


def get_lr(step, warmup=4, steps=20, highest=1e-2, lowest=1e-3):
    if step < warmup:
        return highest * (step + 1) / warmup
    ratio = (step - warmup) / (steps - warmup)
    return lowest + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (highest - lowest)


def models():
    return (GPT(),)


def data():
    tokens = np.random.default_rng(0).integers(0, 11, (6, 4, 9))
    batches = [torch.tensor(batch) for batch in tokens]
    return [(batch[:, :-1], batch[:, 1:]) for batch in batches]


def train(model, batches, steps=20, accumulate=2):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    at = 0

    def get_batch():
        nonlocal at
        at += 1
        return batches[at % len(batches)]

    history = []
    X, Y = get_batch()
    for step in range(steps):
        # the learning rate of this step
        lr = get_lr(step)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr

        total = 0.0
        for _ in range(accumulate):
            _, loss = model(X, Y)
            loss = loss / accumulate
            # the next batch while this one is computed
            X, Y = get_batch()
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        history.append(total)
    return history


if __name__ == "__main__":
    train(*models(), data())
