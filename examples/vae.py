"""A convolutional variational auto-encoder for 28×28 grey images, and its loss.

Kingma & Welling, "Auto-Encoding Variational Bayes": q(z|x) = N(µ, σ²), trained on the ELBO.
"""

from typing import Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F


class ConvVAE(nn.Module):
    """Encoder 28 → 14 → 7, latent Gaussian, decoder 7 → 14 → 28."""

    def __init__(self, latent_dim: int = 16, channels: int = 16):
        super(ConvVAE, self).__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Conv2d(1, channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels * 2, 4, stride=2, padding=1),
            nn.BatchNorm2d(channels * 2),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.to_mu = nn.Linear(channels * 2 * 7 * 7, latent_dim)
        self.to_logvar = nn.Linear(channels * 2 * 7 * 7, latent_dim)

        self.from_latent = nn.Linear(latent_dim, channels * 2 * 7 * 7)
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (channels * 2, 7, 7)),
            nn.ConvTranspose2d(channels * 2, channels, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, kernel_size=4, stride=2, padding=1),
        )

    def encode(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """x: (B, 1, 28, 28) → µ, log σ²: (B, latent_dim)."""
        h = self.encoder(x)
        return self.to_mu(h), self.to_logvar(h)

    def reparameterize(self, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
        """z = µ + σ·ε while training, z = µ otherwise."""
        if not self.training:
            return mu
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """z: (B, latent_dim) → logits of the pixels: (B, 1, 28, 28)."""
        return self.decoder(F.relu(self.from_latent(z)))

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar

    @torch.no_grad()
    def sample(self, n: int) -> torch.Tensor:
        """n images from the prior: (n, 1, 28, 28), in [0, 1]."""
        device = next(self.parameters()).device
        z = torch.randn(n, self.latent_dim, device=device)
        return torch.sigmoid(self.decode(z))


def elbo_loss(
    logits: torch.Tensor,
    x: torch.Tensor,
    mu: torch.Tensor,
    logvar: torch.Tensor,
    beta: float = 1.0,
) -> torch.Tensor:
    """Negative ELBO per image: reconstruction + β · KL(q(z|x) ‖ N(0, 1)).

    logits, x: (B, 1, 28, 28), x in [0, 1]; mu, logvar: (B, 16). Returns a scalar.
    """
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    # KL = -½ Σ (1 + log σ² - µ² - σ²), in closed form
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (reconstruction + beta * kl) / x.size(0)


def get_inputs():
    return [torch.rand(4, 1, 28, 28)]


def get_init_inputs():
    return []
