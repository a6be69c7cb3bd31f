"""Recurrent layers: torch.nn modules; parameters carry torch's names and shapes."""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports


# A cell takes what the input gives to its gates, what the hidden state gives, and the state, whose
# first item is the hidden state; it returns the next state.
def _tanh_cell(x, h, state):
    return (mx.tanh(x + h),)


def _relu_cell(x, h, state):
    return (nn.relu(x + h),)


def _gru_cell(x, h, state):
    reset_x, update_x, new_x = mx.split(x, 3, axis=-1)
    reset_h, update_h, new_h = mx.split(h, 3, axis=-1)
    update = mx.sigmoid(update_x + update_h)
    new = mx.tanh(new_x + mx.sigmoid(reset_x + reset_h) * new_h)
    return (new + update * (state[0] - new),)


def _lstm_cell(x, h, state):
    enter, forget, new, leave = mx.split(x + h, 4, axis=-1)
    memory = mx.sigmoid(forget) * state[1] + mx.sigmoid(enter) * mx.tanh(new)
    return mx.sigmoid(leave) * mx.tanh(memory), memory


def _run_cell(
    cell,
    x,
    state,
    reverse,
    valid=None,
    *,
    weight_ih,
    weight_hh,
    bias_ih=0,
    bias_hh=0,
    weight_hr=None,
):
    """Runs a cell over (time, batch, features); gives the last state and all outputs.

    Where a step is not `valid` (time, batch), the state stays and the output is zero.
    """
    x = x @ weight_ih.T + bias_ih
    steps = range(len(x))
    outputs = []
    for step in reversed(steps) if reverse else steps:
        hidden, *rest = cell(x[step], state[0] @ weight_hh.T + bias_hh, state)
        if weight_hr is not None:
            hidden = hidden @ weight_hr.T
        new = (hidden, *rest)
        if valid is not None:
            keep = valid[step][:, None]
            new = tuple(mx.where(keep, *parts) for parts in zip(new, state, strict=True))
            hidden = mx.where(keep, hidden, 0)
        state = new
        outputs.append(hidden)
    return state, mx.stack(outputs[::-1] if reverse else outputs)


class _Recurrent(nn.Module):
    """Stacked layers of a cell, in one direction or both; the batch axis is optional.

    weight_ih_l0 is (gates * hidden, input), weight_hh_l0 (gates * hidden, hidden); the names of the
    backward direction end in "_reverse".
    """

    def __init__(
        self,
        gates,
        input_size,
        hidden_size,
        output_size,
        num_layers,
        bias,
        batch_first,
        dropout,
        bidirectional,
        dtype,
    ):
        super().__init__()
        self.hidden_size, self.output_size = hidden_size, output_size
        self.batch_first = batch_first
        self.layers = range(num_layers)
        self.directions = ("", "_reverse") if bidirectional else ("",)
        self.dropout = nn.Dropout(dropout)
        bound = hidden_size**-0.5
        rows = gates * hidden_size
        for layer in self.layers:
            width = output_size * len(self.directions) if layer else input_size
            shapes = {"weight_ih": (rows, width), "weight_hh": (rows, output_size)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if output_size != hidden_size:
                shapes |= {"weight_hr": (output_size, hidden_size)}
            for direction in self.directions:
                for name, shape in shapes.items():
                    parameter = mx.random.uniform(-bound, bound, shape, dtype)
                    setattr(self, f"{name}_l{layer}{direction}", parameter)
        self.names = tuple(shapes)

    def _run(self, cell, input, state, sizes):
        """The output, and the last state: a part (layers * directions, batch, size) for each size."""
        packed = input if hasattr(input, "lengths") else None
        valid = None
        if packed is not None:
            input = packed.padded
            valid = mx.arange(len(input))[:, None] < packed.lengths
        swapped = self.batch_first and input.ndim == 3 and packed is None
        x = input.swapaxes(0, 1) if swapped else input
        if state is None:
            count = len(self.layers) * len(self.directions)
            state = [mx.zeros((count, *x.shape[1:-1], size), x.dtype) for size in sizes]
        last = []
        for layer in self.layers:
            x = self.dropout(x) if layer else x
            outputs = []
            for direction in self.directions:
                end = f"_l{layer}{direction}"
                weights = {name: getattr(self, name + end) for name in self.names}
                start = tuple(part[len(last)] for part in state)
                back = direction == "_reverse"
                final, output = _run_cell(cell, x, start, back, valid, **weights)
                last.append(final)
                outputs.append(output)
            x = mx.concatenate(outputs, axis=-1)
        x = x.swapaxes(0, 1) if swapped else x
        x = x if packed is None else packed._replace(padded=x)
        return x, tuple(mx.stack(part) for part in zip(*last, strict=True))


@ports("torch.nn.LSTM")
class LSTM(_Recurrent):
    """torch's LSTM; returns the output and (hidden, memory)."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        proj_size=0,
        *,
        dtype=mx.float32,
    ):
        super().__init__(
            4,
            input_size,
            hidden_size,
            proj_size or hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
        )

    def __call__(self, input, hx=None) -> tuple[mx.array, tuple[mx.array, mx.array]]:
        return self._run(_lstm_cell, input, hx, (self.output_size, self.hidden_size))


@ports("torch.nn.GRU")
class GRU(_Recurrent):
    """torch's GRU, which applies the reset gate after the hidden projection."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        dtype=mx.float32,
    ):
        super().__init__(
            3,
            input_size,
            hidden_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
        )

    def __call__(self, input, hx=None) -> tuple[mx.array, mx.array]:
        state = None if hx is None else (hx,)
        output, (hidden,) = self._run(_gru_cell, input, state, (self.hidden_size,))
        return output, hidden


@ports("torch.nn.RNN")
class RNN(_Recurrent):
    """torch's plain recurrence: tanh (or relu) of the two projections."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        nonlinearity="tanh",
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        dtype=mx.float32,
    ):
        super().__init__(
            1,
            input_size,
            hidden_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
        )
        self.cell = _relu_cell if nonlinearity == "relu" else _tanh_cell

    def __call__(self, input, hx=None) -> tuple[mx.array, mx.array]:
        state = None if hx is None else (hx,)
        output, (hidden,) = self._run(self.cell, input, state, (self.hidden_size,))
        return output, hidden


class _Cell(nn.Module):
    """One step of a recurrence; weight_ih is (gates * hidden, input)."""

    def __init__(self, gates, input_size, hidden_size, bias, dtype):
        super().__init__()
        self.hidden_size = hidden_size
        bound = hidden_size**-0.5
        draw = partial(mx.random.uniform, -bound, bound, dtype=dtype)
        rows = gates * hidden_size
        self.weight_ih = draw(shape=(rows, input_size))
        self.weight_hh = draw(shape=(rows, hidden_size))
        self.bias_ih = draw(shape=(rows,)) if bias else None
        self.bias_hh = draw(shape=(rows,)) if bias else None

    def _step(self, cell, input, state):
        if state is None:
            state = (mx.zeros((*input.shape[:-1], self.hidden_size), input.dtype),) * 2
        x, h = input @ self.weight_ih.T, state[0] @ self.weight_hh.T
        if self.bias_ih is not None:
            x, h = x + self.bias_ih, h + self.bias_hh
        return cell(x, h, state)


@ports("torch.nn.LSTMCell")
class LSTMCell(_Cell):
    """One step of an LSTM; returns (hidden, memory)."""

    def __init__(self, input_size, hidden_size, bias=True, *, dtype=mx.float32):
        super().__init__(4, input_size, hidden_size, bias, dtype)

    def __call__(self, input, hx=None) -> tuple[mx.array, mx.array]:
        return self._step(_lstm_cell, input, hx)


@ports("torch.nn.GRUCell")
class GRUCell(_Cell):
    """One step of a GRU, which applies the reset gate after the hidden projection."""

    def __init__(self, input_size, hidden_size, bias=True, *, dtype=mx.float32):
        super().__init__(3, input_size, hidden_size, bias, dtype)

    def __call__(self, input, hx=None):
        return self._step(_gru_cell, input, None if hx is None else (hx,))[0]


@ports("torch.nn.RNNCell")
class RNNCell(_Cell):
    """One step of a plain recurrence: tanh (or relu) of the two projections."""

    def __init__(
        self,
        input_size,
        hidden_size,
        bias=True,
        nonlinearity="tanh",
        *,
        dtype=mx.float32,
    ):
        super().__init__(1, input_size, hidden_size, bias, dtype)
        self.cell = _relu_cell if nonlinearity == "relu" else _tanh_cell

    def __call__(self, input, hx=None):
        return self._step(self.cell, input, None if hx is None else (hx,))[0]
