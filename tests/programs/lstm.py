"""An LSTM whose state is carried from one stretch of text to the next, cut off from its past."""

import numpy as np
import torch
from torch import nn


class RNNModel(nn.Module):
    def __init__(self, vocabulary=9, width=8, hidden=12):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, vocabulary)

    def forward(self, x, h):
        out, h = self.lstm(self.embed(x), h)
        return self.linear(out.reshape(out.size(0) * out.size(1), out.size(2))), h


def detach(states):
    return [state.detach() for state in states]


def models():
    return (RNNModel(),)


def data():
    return torch.tensor(np.random.default_rng(0).integers(0, 9, (4, 41)))


def train(model, ids: torch.Tensor, epochs=3, seq_length=5):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    history = []
    for _ in range(epochs):
        # Set initial hidden and cell states
        states = (torch.zeros(1, 4, 12), torch.zeros(1, 4, 12))
        for i in range(0, ids.size(1) - seq_length, seq_length):
            inputs = ids[:, i : i + seq_length]
            targets = ids[:, (i + 1) : (i + 1) + seq_length]

            # Forward pass
            states = detach(states)
            outputs, states = model(inputs, states)
            loss = criterion(outputs, targets.reshape(-1))

            # Backward and optimize
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            history += [loss.item(), norm.item()]
    return history


if __name__ == "__main__":
    train(*models(), data())
