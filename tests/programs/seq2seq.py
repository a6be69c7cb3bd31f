"""An encoder and a decoder with an optimizer each; the loss is summed over the steps of a loop."""

import numpy as np
import torch
from torch import nn, optim


class Encoder(nn.Module):
    def __init__(self, vocabulary=7, hidden=8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)

    def forward(self, tokens):
        _, hidden = self.gru(self.embedding(tokens))
        return hidden[0]


class Decoder(nn.Module):
    def __init__(self, vocabulary=7, hidden=8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.cell = nn.GRUCell(hidden, hidden)
        self.out = nn.Linear(hidden, vocabulary)

    def forward(self, token, hidden):
        hidden = self.cell(self.embedding(token), hidden)
        return self.out(hidden), hidden


def train_step(
    source: torch.Tensor,
    target: torch.Tensor,
    encoder,
    decoder,
    encoder_optimizer,
    decoder_optimizer,
    criterion,
):
    encoder_optimizer.zero_grad()
    decoder_optimizer.zero_grad()

    loss = 0
    hidden = encoder(source)
    token = torch.zeros(source.size(0), dtype=torch.long)
    for t in range(target.size(1)):
        logits, hidden = decoder(token, hidden)
        loss += criterion(logits, target[:, t])
        token = target[:, t]  # teacher forcing

    loss.backward()

    encoder_optimizer.step()
    decoder_optimizer.step()
    return loss.item() / target.size(1)


def models():
    return Encoder(), Decoder()


def data():
    tokens = np.random.default_rng(0).integers(0, 7, (8, 4, 5))
    return [(torch.tensor(batch), torch.tensor(batch[:, ::-1].copy())) for batch in tokens]


def train(encoder, decoder, pairs):
    encoder_optimizer = optim.SGD(encoder.parameters(), lr=0.05)
    decoder_optimizer = optim.Adagrad(decoder.parameters(), lr=0.05)
    criterion = nn.CrossEntropyLoss()
    history = []
    for _ in range(3):
        for source, target in pairs:
            history.append(
                train_step(
                    source,
                    target,
                    encoder,
                    decoder,
                    encoder_optimizer,
                    decoder_optimizer,
                    criterion,
                )
            )
    return history


if __name__ == "__main__":
    train(*models(), data())
