"""A Trainer class that holds the model, the optimizer and a schedule."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Regressor(nn.Module):
    def __init__(self, features=5, hidden=16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, x):
        return self.layers(x).squeeze(-1)


class Trainer:
    def __init__(self, model, lr=0.05, clip=1.0, decay=1e-3):
        self.model = model
        self.clip = clip
        self.decay = decay
        self.optimizer = torch.optim.RMSprop(model.parameters(), lr=lr)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=5)
        self.history = []

    def train_step(self, batch):
        x, y = batch
        self.model.train()
        prediction = self.model(x)
        penalty = sum(p.pow(2).sum() for p in self.model.parameters())
        loss = F.smooth_l1_loss(prediction, y) + self.decay * penalty

        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return {"loss": loss.item(), "error": (prediction - y).abs().mean().item()}

    def validate(self, batches):
        self.model.eval()
        with torch.no_grad():
            losses = [F.mse_loss(self.model(x), y).item() for x, y in batches]
        return sum(losses) / len(losses)

    def fit(self, batches, epochs):
        for _ in range(epochs):
            for batch in batches:
                metrics = self.train_step(batch)
                self.history.append(metrics["loss"])
            self.scheduler.step()
            self.history.append(self.validate(batches))


def models():
    return (Regressor(),)


def data():
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.standard_normal((6, 8, 5)), dtype=torch.float32)
    y = torch.tensor(rng.standard_normal((6, 8)), dtype=torch.float32)
    return [(x[i], y[i]) for i in range(6)]


def train(model, batches):
    trainer = Trainer(model)
    trainer.fit(batches, epochs=4)
    return trainer.history


if __name__ == "__main__":
    train(*models(), data())
