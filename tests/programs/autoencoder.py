"""An encoder and a decoder that one optimizer trains."""

import itertools

import numpy as np
import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.fc = nn.Linear(4 * 4 * 4, 5)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 64)

    def forward(self, z):
        return torch.sigmoid(self.fc(z)).view(-1, 1, 8, 8)


def models():
    return Encoder(), Decoder()


def data():
    images = np.random.default_rng(0).random((10, 4, 1, 8, 8))
    return [torch.tensor(batch, dtype=torch.float32) for batch in images]


def train(encoder, decoder, batches):
    optimizer = torch.optim.Adam(
        itertools.chain(encoder.parameters(), decoder.parameters()), lr=1e-2
    )
    history = []
    for _ in range(2):
        for images in batches:
            loss = torch.nn.functional.mse_loss(decoder(encoder(images)), images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(float(loss))
    return history


if __name__ == "__main__":
    train(*models(), data())
