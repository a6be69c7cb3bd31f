"""Linear maps and embeddings: torch.nn modules on MLX's, with torch's initial weights."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from torchport_translators.catalogue import ports
from torchport_translators.mlx.embedding import embedding_bag


def _cast(module, dtype):
    """A module with its floating-point parameters in a dtype."""
    module.set_dtype(dtype)
    return module


@ports("torch.nn.Linear")
def Linear(in_features, out_features, bias=True, *, dtype=None):
    if dtype is not None:
        return _cast(nn.Linear(in_features, out_features, bias=bias), dtype)
    return nn.Linear(in_features, out_features, bias=bias)


@ports("torch.nn.Bilinear")
def Bilinear(in1_features, in2_features, out_features, bias=True, *, dtype=None):
    if dtype is not None:
        return _cast(nn.Bilinear(in1_features, in2_features, out_features, bias=bias), dtype)
    return nn.Bilinear(in1_features, in2_features, out_features, bias=bias)


@ports("torch.nn.Embedding")
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


@ports("torch.nn.Embedding.from_pretrained")
def embedding_from_pretrained(embeddings, freeze=True, padding_idx=None) -> nn.Module:
    module = Embedding(*embeddings.shape, padding_idx)
    module.weight = embeddings
    return module.freeze() if freeze else module


@ports("torch.nn.EmbeddingBag")
class EmbeddingBag(nn.Module):
    """The sum, mean or maximum of bags of rows of `weight`, which is drawn from N(0, 1)."""

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        *,
        mode="mean",
        include_last_offset=False,
        padding_idx=None,
        dtype=mx.float32,
    ):
        super().__init__()
        self.weight = mx.random.normal((num_embeddings, embedding_dim), dtype)
        if padding_idx is not None:
            self.weight[padding_idx] = 0
        self.mode = mode
        self.include_last_offset = include_last_offset
        self.padding_idx = padding_idx

    def __call__(self, input, offsets=None, per_sample_weights=None):
        return embedding_bag(
            input,
            self.weight,
            offsets,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )


@ports("torch.nn.EmbeddingBag.from_pretrained")
def embedding_bag_from_pretrained(
    embeddings, freeze=True, *, mode="mean", include_last_offset=False, padding_idx=None
) -> nn.Module:
    module = EmbeddingBag(
        *embeddings.shape,
        mode=mode,
        include_last_offset=include_last_offset,
        padding_idx=padding_idx,
    )
    module.weight = embeddings
    return module.freeze() if freeze else module
