# Ported from PyTorch (lstm_classifier.py) to MLX by torchport VERSION.
# torchport: source=lstm_classifier.py target=mlx text=3175001880f7
# torchport: length_mask=3af46c897605 AttentionPooling=3968f4ba455a LSTMClassifier=331bc00f12a1
# torchport: get_inputs=d622574b1842 get_init_inputs=3bf8732be65c

"""Sentiment of a sentence: embeddings → bidirectional LSTM → attention pooling → classes."""

from typing import Tuple

import mlx.core as mx
import mlx.nn as nn


def squeeze(input, dim=None):
    """Drop axes of size 1; an axis that is named and longer stays, where mx.squeeze raises."""
    if dim is None:
        return mx.squeeze(input)
    if input.ndim == 0:
        return input
    dims = (dim,) if isinstance(dim, int) else dim
    return mx.squeeze(input, axis=tuple(d for d in dims if input.shape[d] == 1))


class Embedding(nn.Embedding):
    """nn.Embedding drawn from N(0, 1); the row `padding_idx` starts as zeros and gets no gradient."""

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, *, dtype=mx.float32):
        super().__init__(num_embeddings, embedding_dim)
        self.weight = mx.random.normal((num_embeddings, embedding_dim), dtype)
        self.padding_idx = padding_idx
        if padding_idx is not None:
            self.weight[padding_idx] = 0

    def __call__(self, input):
        output = super().__call__(input)
        if self.padding_idx is None:
            return output
        is_padding = input == self.padding_idx % self.weight.shape[0]
        return mx.where(is_padding[..., None], mx.stop_gradient(output), output)


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


def _lstm_cell(x, h, state):
    enter, forget, new, leave = mx.split(x + h, 4, axis=-1)
    memory = mx.sigmoid(forget) * state[1] + mx.sigmoid(enter) * mx.tanh(new)
    return mx.sigmoid(leave) * mx.tanh(memory), memory


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


PAD = 0  # the id of padding; its embedding stays zero


def length_mask(lengths: mx.array, max_len: int = 12) -> mx.array:
    """True where a token is real: lengths: (B,) → (B, max_len) bool.

    >>> length_mask(torch.tensor([1, 3]), 3)
    tensor([[ True, False, False],
            [ True,  True,  True]])
    """
    positions = mx.arange(max_len)
    return mx.expand_dims(positions, axis=0) < mx.expand_dims(lengths, axis=1)


class AttentionPooling(nn.Module):
    """A weighted mean over time; the weights come from a small tanh network (Yang et al., 2016)."""

    def __init__(self, dim: int = 48, hidden: int = 32) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )

    def __call__(self, x: mx.array, mask: mx.array) -> Tuple[mx.array, mx.array]:
        """x: (B, T, dim), mask: (B, T) bool → pooled: (B, dim), weights: (B, T)."""
        scores = squeeze(self.score(x), -1)
        # A finite minimum, not -inf: a row that is all padding averages instead of becoming nan.
        scores = mx.where(~mask, mx.finfo(scores.dtype).min, scores)
        weights = mx.softmax(scores, axis=1)
        pooled = squeeze(mx.expand_dims(weights, axis=1) @ x, 1)
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
        self.embedding = Embedding(vocab_size, embed_dim, padding_idx=PAD)
        self.dropout = nn.Dropout(dropout)
        self.lstm = LSTM(
            embed_dim,
            hidden,
            num_layers=num_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.pool = AttentionPooling(2 * hidden)
        self.classifier = nn.Linear(4 * hidden, num_classes)

    def __call__(self, ids: mx.array, lengths: mx.array) -> mx.array:
        """ids: (B, T) int64, lengths: (B,) int64 → logits: (B, num_classes)."""
        mask = length_mask(lengths, ids.shape[1])
        x = self.dropout(self.embedding(ids))

        output, (h_n, c_n) = self.lstm(x)
        pooled, _ = self.pool(output, mask)
        # The last layer's final states, forward ‖ backward.
        final = mx.concatenate((h_n[-2], h_n[-1]), axis=-1)

        return self.classifier(self.dropout(mx.concatenate([pooled, final], axis=-1)))


def get_inputs():
    lengths = mx.array([12, 7, 3, 1])
    ids = mx.random.randint(1, 100, (4, 12))
    ids = mx.where(~length_mask(lengths, 12), PAD, ids)
    return [ids, lengths]


def get_init_inputs():
    return [100, 32, 24]
