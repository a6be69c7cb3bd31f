"""Recurrent layers as functions, with their weights in one flat list."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.dropout import dropout as drop
from torchport_translators.mlx.modules_rnn import (
    _gru_cell,
    _lstm_cell,
    _relu_cell,
    _run_cell,
    _tanh_cell,
)


def _layers(
    cell,
    input,
    state,
    params,
    has_biases,
    num_layers,
    dropout,
    train,
    bidirectional,
    batch_first,
):
    """Stacked layers of a cell; `params` are the weights of each layer and direction in turn."""
    x = input.swapaxes(0, 1) if batch_first else input
    directions = 2 if bidirectional else 1
    each = len(params) // (num_layers * directions)
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if has_biases else []), "weight_hr"]
    last = []
    for layer in range(num_layers):
        if layer and dropout:
            x = drop(x, dropout, train)
        outputs = []
        for direction in range(directions):
            at = len(last)
            weights = dict(zip(names, params[at * each : (at + 1) * each], strict=False))
            start = tuple(part[at] for part in state)
            final, output = _run_cell(cell, x, start, direction == 1, **weights)
            last.append(final)
            outputs.append(output)
        x = mx.concatenate(outputs, axis=-1)
    output = x.swapaxes(0, 1) if batch_first else x
    return output, tuple(mx.stack(part) for part in zip(*last, strict=True))


@ports("torch.lstm")
def lstm(
    input,
    hx,
    params,
    has_biases,
    num_layers: int,
    dropout,
    train,
    bidirectional,
    batch_first,
) -> tuple[mx.array, mx.array, mx.array]:
    """`params`: weight_ih, weight_hh (bias_ih, bias_hh) (weight_hr) of each layer and direction."""
    output, (hidden, memory) = _layers(
        _lstm_cell,
        input,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
    )
    return output, hidden, memory


@ports("torch.gru")
def gru(
    input,
    hx,
    params,
    has_biases,
    num_layers: int,
    dropout,
    train,
    bidirectional,
    batch_first,
) -> tuple[mx.array, mx.array]:
    """`params`: weight_ih, weight_hh (bias_ih, bias_hh) of each layer and direction."""
    output, (hidden,) = _layers(
        _gru_cell,
        input,
        (hx,),
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
    )
    return output, hidden


@ports("torch.rnn_tanh")
def rnn_tanh(
    input,
    hx,
    params,
    has_biases,
    num_layers: int,
    dropout,
    train,
    bidirectional,
    batch_first,
) -> tuple[mx.array, mx.array]:
    """`params`: weight_ih, weight_hh (bias_ih, bias_hh) of each layer and direction."""
    output, (hidden,) = _layers(
        _tanh_cell,
        input,
        (hx,),
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
    )
    return output, hidden


@ports("torch.rnn_relu")
def rnn_relu(
    input,
    hx,
    params,
    has_biases,
    num_layers: int,
    dropout,
    train,
    bidirectional,
    batch_first,
) -> tuple[mx.array, mx.array]:
    """`params`: weight_ih, weight_hh (bias_ih, bias_hh) of each layer and direction."""
    output, (hidden,) = _layers(
        _relu_cell,
        input,
        (hx,),
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
    )
    return output, hidden


def _cell_step(cell, input, state, w_ih, w_hh, b_ih, b_hh):
    x, h = input @ w_ih.T, state[0] @ w_hh.T
    return cell(x if b_ih is None else x + b_ih, h if b_hh is None else h + b_hh, state)


@ports("torch.lstm_cell")
def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None) -> tuple[mx.array, mx.array]:
    """One step; returns (hidden, memory)."""
    return _cell_step(_lstm_cell, input, hx, w_ih, w_hh, b_ih, b_hh)


@ports("torch.gru_cell")
def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell_step(_gru_cell, input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@ports("torch.rnn_tanh_cell")
def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell_step(_tanh_cell, input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@ports("torch.rnn_relu_cell")
def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell_step(_relu_cell, input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]
