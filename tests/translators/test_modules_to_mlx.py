"""Whole modules as source text, ported to MLX, with torch's weights: outputs over two calls in training.

The second call shows what the first one has moved: the vectors of spectral normalisation.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchport_translators.findings import Severity
from torchport_translators.translate import translate
from torchport_translators.weights import transfer_weights

from .test_semantics import as_array, as_torch, inputs_of, leaves, run

_HEADER = """import torch
from torch import nn
import torch.nn.functional as F
from torch.nn.utils import weight_norm
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import (
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
)


"""

MODULES = {
    "packed sequences": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(6, 5)

    def forward(self, cube):
        lengths = torch.tensor([2, 3])
        packed = pack_padded_sequence(cube, lengths, batch_first=True, enforce_sorted=False)
        packed, (h, c) = self.lstm(packed)
        y, sizes = pad_packed_sequence(packed, batch_first=True, padding_value=0.5)
        last, hidden = self.gru(packed)
        last, _ = pad_packed_sequence(last, total_length=7)
        return y, h.relu(), c, last, hidden
""",
    "packed list": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 3)

    def forward(self, x):
        packed = pack_sequence([x[:2], x, x[1:]], enforce_sorted=False)
        packed, h = self.rnn(packed)
        one, two, three = unpack_sequence(packed)
        return one, two, three, h, pad_sequence([x, x[:2]], padding_side="left")
""",
    "cells": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRUCell(4, 5)
        self.lstm = nn.LSTMCell(input_size=4, hidden_size=5, bias=False)
        self.rnn = nn.RNNCell(4, 5, nonlinearity="relu")

    def forward(self, x):
        h = self.gru(x)
        c, d = self.lstm(x, (h, h))
        return self.rnn(x, c), d
""",
    "attention and transformers": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.extended = nn.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True)
        self.attention = nn.MultiheadAttention(4, 1)
        layer = nn.TransformerEncoderLayer(4, 2, 16, dropout=0.0, activation=F.gelu)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, norm=nn.LayerNorm(4))
        self.whole = nn.Transformer(4, 2, 1, 1, 16, 0.0)

    def forward(self, cube):
        mask = nn.Transformer.generate_square_subsequent_mask(cube.shape[0])
        y, weights = self.extended(cube, cube, cube, attn_mask=mask)
        z, none = self.attention(cube, y, y, need_weights=False)
        return self.encoder(z, mask), weights, self.whole(cube, y, tgt_mask=mask)
""",
    "weight norm": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = weight_norm(nn.Linear(4, 6))
        self.second = nn.Linear(6, 4, bias=False)
        weight_norm(self.second, name="weight", dim=None)
        self.conv = parametrizations.weight_norm(nn.Conv1d(2, 3, 3, padding=1), dim=1)
        self.back = weight_norm(nn.ConvTranspose1d(3, 2, 3, padding=1))
        self.third = parametrizations.weight_norm(nn.Linear(4, 4))

    def forward(self, cube):
        y = self.back(self.conv(cube[:, :2])).tanh()
        return self.third(self.second(self.first(y).relu()))
""",
    "spectral norm": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.utils.spectral_norm(nn.Linear(4, 6))
        self.conv = parametrizations.spectral_norm(nn.Conv2d(1, 3, 3), n_power_iterations=2)
        self.back = nn.utils.spectral_norm(nn.ConvTranspose1d(3, 2, 3))

    def forward(self, x):
        y = self.conv(self.first(x)[None, None]).tanh()
        return self.back(y[:, :, 0])
""",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_module_computes_the_same(name: str) -> None:
    source = _HEADER + MODULES[name] + "\nf = Net"
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    original = run(name, source)().train()
    result = translate(source, "mlx")
    shown = f"{result.text}\n{result.findings}"
    assert not [f for f in result.findings if f.severity is not Severity.INFO], shown
    port = run(f"{name} (port)", result.text)()
    # Copies: torch changes its buffers in place.
    transfer_weights({name: t.clone() for name, t in original.state_dict().items()}, port)

    values = inputs_of(original.forward)
    for _ in range(2):
        expected = list(leaves(original(*map(as_torch, values))))
        actual = list(leaves(port(*[as_array(value, "mlx") for value in values])))
        assert len(expected) == len(actual), shown
        for one, other in zip(expected, actual, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5, err_msg=shown)
