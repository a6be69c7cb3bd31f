"""A generative adversarial network: two modules, two optimizers, a detached sample."""

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim


class Generator(nn.Module):
    def __init__(self, latent=4, hidden=16, features=2):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, features),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self, features=2, hidden=16):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(features, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1), nn.Sigmoid()
        )

    def forward(self, x):
        return self.main(x).view(-1)


def models():
    return Generator(), Discriminator()


def data():
    rng = np.random.default_rng(0)
    return [
        (
            torch.tensor(rng.standard_normal((8, 2)) + 2, dtype=torch.float32),
            torch.tensor(rng.standard_normal((8, 4)), dtype=torch.float32),
        )
        for _ in range(24)
    ]


def train(netG, netD, dataloader):
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
    history = []
    for i, (real, noise) in enumerate(dataloader):
        ############################
        # (1) Update D network: maximize log(D(x)) + log(1 - D(G(z)))
        ###########################
        netD.zero_grad()
        label = torch.full((real.size(0),), 1.0)
        output = netD(real)
        errD_real = criterion(output, label)
        errD_real.backward()
        D_x = output.mean().item()

        # train with fake
        fake = netG(noise)
        label.fill_(0.0)
        output = netD(fake.detach())
        errD_fake = criterion(output, label)
        errD_fake.backward()
        errD = errD_real + errD_fake
        optimizerD.step()

        ############################
        # (2) Update G network: maximize log(D(G(z)))
        ###########################
        netG.zero_grad()
        label.fill_(1.0)  # fake labels are real for generator cost
        output = netD(fake)
        errG = criterion(output, label)
        errG.backward()
        D_G_z = output.mean().item()
        optimizerG.step()

        print(f"[{i}] Loss_D: {errD.item():.4f} Loss_G: {errG.item():.4f} {D_x:.4f} {D_G_z:.4f}")
        history += [errD.item(), errG.item()]
    return history


if __name__ == "__main__":
    train(*models(), data())
