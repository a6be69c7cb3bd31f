"""Embedding look-ups and one-hot vectors."""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports


@ports("torch.nn.functional.embedding")
def embedding(input, weight, padding_idx=None, *, sparse=False):
    """The row `padding_idx` gets no gradient; a `sparse` gradient is a dense one here."""
    if padding_idx is None:
        return weight[input]
    rows = weight[input]
    is_padding = input == (padding_idx if padding_idx >= 0 else padding_idx + weight.shape[0])
    return mx.where(is_padding[..., None], mx.stop_gradient(rows), rows)


@ports("torch.embedding")
def torch_embedding(
    weight, indices, padding_idx=-1, scale_grad_by_freq: bool = False, sparse=False
):
    """A negative `padding_idx` is none."""
    return embedding(indices, weight, None if padding_idx < 0 else padding_idx)


@ports("torch.embedding_renorm_")
def embedding_renorm_(input, indices, max_norm, norm_type):
    """Scale down the rows that are named and whose norm exceeds `max_norm`."""
    rows = input[indices]
    norms = mx.linalg.norm(rows, norm_type, axis=-1, keepdims=True)
    rows = mx.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    output = mx.array(input)
    output[indices] = rows
    return output


@ports("torch.nn.functional.one_hot", jit=False)
def one_hot_of_seen(tensor):
    return one_hot(tensor, tensor.max().item() + 1)


@ports("torch.nn.functional.one_hot")
def one_hot(tensor, num_classes):
    if num_classes == -1:
        return one_hot_of_seen(tensor)
    return mx.eye(num_classes, dtype=mx.int64)[tensor]


@ports("torch.nn.functional.embedding_bag")
def embedding_bag(
    input,
    weight,
    offsets=None,
    *,
    mode="mean",
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """The sum, mean or maximum of each bag of rows; bags are rows of `input`, or start at `offsets`."""
    if offsets is None:
        count = input.shape[0]
        bags = mx.repeat(mx.arange(count), input.shape[1])
    else:
        count = offsets.size - 1 if include_last_offset else offsets.size
        positions = mx.arange(input.size, dtype=offsets.dtype)
        bags = mx.searchsorted(offsets[:count], positions, side="right") - 1
    ids = input.reshape(-1)
    rows = embedding(ids, weight, padding_idx)
    if padding_idx is not None:
        # What is padding goes to a bag of its own, which is left out.
        bags = mx.where(ids == padding_idx % weight.shape[0], count, bags)
    shape = (count + 1, weight.shape[1])
    if mode == "max":
        # The first row that is the maximum gets the gradient.
        peaks = mx.full(shape, -mx.inf, rows.dtype).at[bags].maximum(rows)
        candidates = mx.where(rows == peaks[bags], mx.arange(ids.size)[:, None], ids.size)
        first = mx.full(shape, ids.size).at[bags].minimum(mx.stop_gradient(candidates))[:count]
        values = mx.take_along_axis(rows, mx.minimum(first, ids.size - 1), axis=0)
        return mx.where(first == ids.size, 0, values)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    total = mx.zeros(shape, rows.dtype).at[bags].add(rows)[:count]
    if mode == "sum":
        return total
    sizes = mx.zeros(count + 1, rows.dtype).at[bags].add(1)[:count]
    return total / mx.maximum(sizes, 1)[:, None]
