"""A variational autoencoder: a loss of two terms, its parts logged."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class VAE(nn.Module):
    def __init__(self, features=12, hidden=16, latent=3):
        super().__init__()
        self.encoder = nn.Linear(features, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, features), nn.Sigmoid()
        )

    def forward(self, x, noise):
        h = F.relu(self.encoder(x))
        mu, logvar = self.mean(h), self.logvar(h)
        z = mu + noise * torch.exp(0.5 * logvar)
        return self.decoder(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE, KLD


def models():
    return (VAE(),)


def data():
    rng = np.random.default_rng(0)
    return [
        (
            torch.tensor(rng.random((8, 12)), dtype=torch.float32),
            torch.tensor(rng.standard_normal((8, 3)), dtype=torch.float32),
        )
        for _ in range(5)
    ]


def train(model, batches, epochs=5):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for epoch in range(epochs):
        for batch_idx, (x, noise) in enumerate(batches):
            optimizer.zero_grad()
            recon, mu, logvar = model(x, noise)
            bce, kld = loss_function(recon, x, mu, logvar)
            loss = bce + kld
            loss.backward()
            if batch_idx % 2 == 0:
                print(f"{epoch} {batch_idx}: {bce.item() / len(x):.3f} {kld.item() / len(x):.3f}")
            optimizer.step()
            history.append(loss.item())
    return history


if __name__ == "__main__":
    train(*models(), data())
