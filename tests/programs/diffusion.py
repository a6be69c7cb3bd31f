"""A diffusion model: noise at random times is predicted; an average of the weights is kept."""

import copy

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class NoisePredictor(nn.Module):
    def __init__(self, features=2, hidden=16, steps=10):
        super().__init__()
        self.time = nn.Embedding(steps, hidden)
        self.inner = nn.Linear(features, hidden)
        self.outer = nn.Linear(hidden, features)

    def forward(self, x, t):
        return self.outer(F.silu(self.inner(x) + self.time(t)))


class Diffusion:
    def __init__(self, model, steps=10, lr=1e-2, decay=0.9):
        self.model = model
        self.ema_model = copy.deepcopy(model)
        self.ema_model.requires_grad_(False)
        self.decay = decay
        betas = torch.linspace(1e-3, 0.2, steps)
        self.alphas_bar = torch.cumprod(1.0 - betas, dim=0)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)

    def update_ema(self):
        with torch.no_grad():
            for ema_param, param in zip(
                self.ema_model.parameters(), self.model.parameters(), strict=True
            ):
                ema_param.mul_(self.decay).add_(param, alpha=1 - self.decay)

    def train_step(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor):
        self.optimizer.zero_grad()
        a = self.alphas_bar[t].unsqueeze(-1)
        x_t = a.sqrt() * x0 + (1 - a).sqrt() * noise
        loss = F.mse_loss(self.model(x_t, t), noise)
        loss.backward()
        self.optimizer.step()
        self.update_ema()
        return loss.item()

    @torch.no_grad()
    def evaluate(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor):
        return F.mse_loss(self.ema_model(x0, t), noise).item()


def models():
    return (NoisePredictor(),)


def data():
    rng = np.random.default_rng(0)
    return [
        (
            torch.tensor(rng.standard_normal((8, 2)), dtype=torch.float32),
            torch.tensor(rng.integers(0, 10, 8)),
            torch.tensor(rng.standard_normal((8, 2)), dtype=torch.float32),
        )
        for _ in range(20)
    ]


def train(model, batches):
    diffusion = Diffusion(model)
    history = []
    for x0, t, noise in batches:
        history.append(diffusion.train_step(x0, t, noise))
        history.append(diffusion.evaluate(x0, t, noise))
    return history


if __name__ == "__main__":
    train(*models(), data())
