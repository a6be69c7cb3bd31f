# Ported from PyTorch (lstm_classifier.py) to JAX by torchport VERSION.
# torchport: source=lstm_classifier.py target=jax text=dd18abeabc4d
# torchport: length_mask=3af46c897605 AttentionPooling=3968f4ba455a LSTMClassifier=331bc00f12a1
# torchport: get_inputs=d622574b1842 get_init_inputs=3bf8732be65c

"""Sentiment of a sentence: embeddings → bidirectional LSTM → attention pooling → classes."""

from typing import Tuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax


def _uniform_within(bound):
    """An initializer: uniform in [-bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


class Linear(nnx.Linear):
    """nnx.Linear with torch's initial weights: uniform within 1 / sqrt(in_features)."""

    def __init__(self, in_features, out_features, bias=True, *, dtype=jnp.float32, rngs: nnx.Rngs):
        init = _uniform_within(max(in_features, 1) ** -0.5)
        super().__init__(
            in_features,
            out_features,
            use_bias=bias,
            param_dtype=dtype,
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )


def squeeze(input, dim=None):
    """Drop axes of size 1; an axis that is named and longer stays, where jnp.squeeze raises."""
    if dim is None:
        return input.squeeze()
    if input.ndim == 0:
        return input
    dims = (dim,) if isinstance(dim, int) else dim
    return input.squeeze(tuple(d for d in dims if input.shape[d] == 1))


class Embedding(nnx.Embed):
    """nnx.Embed drawn from N(0, 1); the row `padding_idx` starts as zeros and gets no gradient."""

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        padding_idx=None,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            num_embeddings,
            embedding_dim,
            param_dtype=dtype,
            embedding_init=nnx.initializers.normal(1.0),
            rngs=rngs,
        )
        self.padding_idx = padding_idx
        if padding_idx is not None:
            self.embedding[...] = self.embedding[...].at[padding_idx].set(0)

    def __call__(self, input):
        output = super().__call__(input)
        if self.padding_idx is None:
            return output
        is_padding = input == self.padding_idx % self.num_embeddings
        return jnp.where(is_padding[..., None], lax.stop_gradient(output), output)


def _scan_cell(
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

    def step(state, inputs):
        x, keep = inputs
        hidden, *rest = cell(x, state[0] @ weight_hh.T + bias_hh, state)
        if weight_hr is not None:
            hidden = hidden @ weight_hr.T
        new = (hidden, *rest)
        if keep is None:
            return new, hidden
        keep = keep[:, None]
        new = tuple(jnp.where(keep, *parts) for parts in zip(new, state, strict=True))
        return new, jnp.where(keep, hidden, 0)

    return lax.scan(step, state, (x @ weight_ih.T + bias_ih, valid), reverse=reverse)


class _Recurrent(nnx.Module):
    """Stacked layers of a cell, in one direction or both; the batch axis is optional.

    weight_ih_l0 is (gates * hidden, input), weight_hh_l0 (gates * hidden, hidden); the names of the
    backward direction end in "_reverse".
    """

    def _set_up(self, gates, input_size, num_layers, bias, dropout, bidirectional, dtype, rngs):
        self.layers = range(num_layers)
        self.directions = ("", "_reverse") if bidirectional else ("",)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        hidden, output = self.hidden_size, self.output_size
        init = _uniform_within(hidden**-0.5)
        for layer in self.layers:
            width = output * len(self.directions) if layer else input_size
            shapes = {"weight_ih": (gates * hidden, width), "weight_hh": (gates * hidden, output)}
            if bias:
                shapes |= {"bias_ih": (gates * hidden,), "bias_hh": (gates * hidden,)}
            if output != hidden:
                shapes |= {"weight_hr": (output, hidden)}
            for direction in self.directions:
                for name, shape in shapes.items():
                    parameter = nnx.Param(init(rngs.params(), shape, dtype))
                    setattr(self, f"{name}_l{layer}{direction}", parameter)
        self.names = tuple(shapes)

    def _run(self, cell, input, state, sizes):
        """The output, and the last state: a part (layers * directions, batch, size) for each size."""
        packed = input if hasattr(input, "lengths") else None
        valid = None
        if packed is not None:
            input = packed.padded
            valid = jnp.arange(len(input))[:, None] < packed.lengths
        swapped = self.batch_first and input.ndim == 3 and packed is None
        x = input.swapaxes(0, 1) if swapped else input
        if state is None:
            count = len(self.layers) * len(self.directions)
            state = [jnp.zeros((count, *x.shape[1:-1], size), x.dtype) for size in sizes]
        last = []
        for layer in self.layers:
            x = self.dropout(x) if layer else x
            outputs = []
            for direction in self.directions:
                end = f"_l{layer}{direction}"
                weights = {name: getattr(self, name + end)[...] for name in self.names}
                start = tuple(part[len(last)] for part in state)
                back = direction == "_reverse"
                final, output = _scan_cell(cell, x, start, back, valid, **weights)
                last.append(final)
                outputs.append(output)
            x = jnp.concatenate(outputs, axis=-1)
        x = x.swapaxes(0, 1) if swapped else x
        x = x if packed is None else packed._replace(padded=x)
        return x, tuple(jnp.stack(part) for part in zip(*last, strict=True))


def _lstm_cell(x, h, state):
    enter, forget, new, leave = jnp.split(x + h, 4, axis=-1)
    memory = nnx.sigmoid(forget) * state[1] + nnx.sigmoid(enter) * jnp.tanh(new)
    return nnx.sigmoid(leave) * jnp.tanh(memory), memory


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
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.hidden_size, self.output_size = hidden_size, proj_size or hidden_size
        self.batch_first = batch_first
        self._set_up(4, input_size, num_layers, bias, dropout, bidirectional, dtype, rngs)

    def __call__(self, input, hx=None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        return self._run(_lstm_cell, input, hx, (self.output_size, self.hidden_size))


PAD = 0  # the id of padding; its embedding stays zero


def length_mask(lengths: jax.Array, max_len: int = 12) -> jax.Array:
    """True where a token is real: lengths: (B,) → (B, max_len) bool.

    >>> length_mask(torch.tensor([1, 3]), 3)
    tensor([[ True, False, False],
            [ True,  True,  True]])
    """
    positions = jnp.arange(max_len)
    return jnp.expand_dims(positions, 0) < jnp.expand_dims(lengths, 1)


class AttentionPooling(nnx.Module):
    """A weighted mean over time; the weights come from a small tanh network (Yang et al., 2016)."""

    def __init__(self, dim: int = 48, hidden: int = 32, *, rngs: nnx.Rngs) -> None:
        self.score = nnx.Sequential(
            Linear(dim, hidden, rngs=rngs), nnx.tanh, Linear(hidden, 1, bias=False, rngs=rngs)
        )

    def __call__(self, x: jax.Array, mask: jax.Array) -> Tuple[jax.Array, jax.Array]:
        """x: (B, T, dim), mask: (B, T) bool → pooled: (B, dim), weights: (B, T)."""
        scores = squeeze(self.score(x), -1)
        # A finite minimum, not -inf: a row that is all padding averages instead of becoming nan.
        scores = jnp.where(~mask, jnp.finfo(scores.dtype).min, scores)
        weights = jax.nn.softmax(scores, axis=1)
        pooled = squeeze(jnp.expand_dims(weights, 1) @ x, 1)
        return pooled, weights


class LSTMClassifier(nnx.Module):
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
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.embedding = Embedding(vocab_size, embed_dim, padding_idx=PAD, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.lstm = LSTM(
            embed_dim,
            hidden,
            num_layers=num_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if num_layers > 1 else 0.0,
            rngs=rngs,
        )
        self.pool = AttentionPooling(2 * hidden, rngs=rngs)
        self.classifier = Linear(4 * hidden, num_classes, rngs=rngs)

    def __call__(self, ids: jax.Array, lengths: jax.Array) -> jax.Array:
        """ids: (B, T) int64, lengths: (B,) int64 → logits: (B, num_classes)."""
        mask = length_mask(lengths, ids.shape[1])
        x = self.dropout(self.embedding(ids))

        output, (h_n, c_n) = self.lstm(x)
        pooled, _ = self.pool(output, mask)
        # The last layer's final states, forward ‖ backward.
        final = jnp.concatenate((h_n[-2], h_n[-1]), axis=-1)

        return self.classifier(self.dropout(jnp.concatenate([pooled, final], axis=-1)))


def get_inputs(*, rngs: nnx.Rngs):
    lengths = jnp.array([12, 7, 3, 1])
    ids = jax.random.randint(rngs(), (4, 12), 1, 100)
    ids = jnp.where(~length_mask(lengths, 12), PAD, ids)
    return [ids, lengths]


def get_init_inputs():
    return [100, 32, 24]
