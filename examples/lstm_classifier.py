"""Sentiment of a sentence: embeddings → bidirectional LSTM → attention pooling → classes."""

from typing import Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

PAD = 0  # the id of padding; its embedding stays zero


def length_mask(lengths: Tensor, max_len: int = 12) -> Tensor:
    """True where a token is real: lengths: (B,) → (B, max_len) bool.

    >>> length_mask(torch.tensor([1, 3]), 3)
    tensor([[ True, False, False],
            [ True,  True,  True]])
    """
    positions = torch.arange(max_len, device=lengths.device)
    return positions.unsqueeze(0) < lengths.unsqueeze(1)


class AttentionPooling(nn.Module):
    """A weighted mean over time; the weights come from a small tanh network (Yang et al., 2016)."""

    def __init__(self, dim: int = 48, hidden: int = 32) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tuple[Tensor, Tensor]:
        """x: (B, T, dim), mask: (B, T) bool → pooled: (B, dim), weights: (B, T)."""
        scores = self.score(x).squeeze(-1)
        # A finite minimum, not -inf: a row that is all padding averages instead of becoming nan.
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = F.softmax(scores, dim=1)
        pooled = torch.bmm(weights.unsqueeze(1), x).squeeze(1)
        return pooled, weights


class LSTMClassifier(nn.Module):
    """Class logits for padded batches of token ids.

    Padding takes no part in the pooling. The backward LSTM does read it (first), so batches
    are best made of sentences of similar length (« bucketing »; 日本語の文も同じ).
    """

    def __init__(
        self,
        vocab_size: int = 100,
        embed_dim: int = 32,
        hidden: int = 24,
        num_layers: int = 2,
        num_classes: int = 3,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=PAD)
        self.dropout = nn.Dropout(p=dropout)
        self.lstm = nn.LSTM(
            embed_dim,
            hidden,
            num_layers=num_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.pool = AttentionPooling(2 * hidden)
        self.classifier = nn.Linear(4 * hidden, num_classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids: (B, T) int64, lengths: (B,) int64 → logits: (B, num_classes)."""
        mask = length_mask(lengths, ids.size(1))
        x = self.dropout(self.embedding(ids))

        output, (h_n, c_n) = self.lstm(x)
        pooled, _ = self.pool(output, mask)
        # The last layer's final states, forward ‖ backward.
        final = torch.cat((h_n[-2], h_n[-1]), dim=-1)

        return self.classifier(self.dropout(torch.cat([pooled, final], dim=-1)))


def get_inputs():
    lengths = torch.tensor([12, 7, 3, 1])
    ids = torch.randint(1, 100, (4, 12))
    ids = ids.masked_fill(~length_mask(lengths, 12), PAD)
    return [ids, lengths]


def get_init_inputs():
    return [100, 32, 24]
