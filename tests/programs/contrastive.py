"""Contrastive learning: two views, a slow copy of the encoder whose weights are an average."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Encoder(nn.Module):
    def __init__(self, features=6, hidden=12, out=4):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, out))

    def forward(self, x):
        return F.normalize(self.net(x), dim=1)


@torch.no_grad()
def momentum_update(encoder_q, encoder_k, m=0.9):
    for param_q, param_k in zip(encoder_q.parameters(), encoder_k.parameters(), strict=True):
        param_k.data = param_k.data * m + param_q.data * (1.0 - m)


def models():
    return Encoder(), Encoder()


def data():
    views = np.random.default_rng(0).standard_normal((24, 2, 8, 6))
    return [
        (torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32))
        for a, b in views
    ]


def train(encoder_q, encoder_k, loader, temperature=0.2):
    for param in encoder_k.parameters():
        param.requires_grad = False  # not updated by gradient
    optimizer = torch.optim.SGD(encoder_q.parameters(), lr=0.1, momentum=0.9)
    history = []
    for im_q, im_k in loader:
        q = encoder_q(im_q)
        with torch.no_grad():
            momentum_update(encoder_q, encoder_k)
            k = encoder_k(im_k)
        logits = q @ k.t() / temperature
        labels = torch.arange(logits.shape[0])
        loss = F.cross_entropy(logits, labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


if __name__ == "__main__":
    train(*models(), data())
