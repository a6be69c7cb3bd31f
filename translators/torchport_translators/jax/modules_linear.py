"""Linear maps and embeddings: torch.nn modules on flax's, with torch's initial weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from torchport_translators.catalogue import ports
from torchport_translators.jax.convolution import bilinear
from torchport_translators.jax.embedding import embedding_bag


def _uniform_within(bound):
    """An initializer: uniform in [-bound, bound)."""
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


@ports("torch.nn.Linear")
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


@ports("torch.nn.Bilinear")
class Bilinear(nnx.Module):
    """`x1 @ weight[o] @ x2 + bias[o]` for each output o; weight is (out, in1, in2)."""

    def __init__(
        self,
        in1_features,
        in2_features,
        out_features,
        bias=True,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        init = _uniform_within(in1_features**-0.5)
        self.weight = nnx.Param(
            init(rngs.params(), (out_features, in1_features, in2_features), dtype)
        )
        self.bias = nnx.Param(init(rngs.params(), (out_features,), dtype)) if bias else None

    def __call__(self, input1, input2):
        return bilinear(input1, input2, self.weight, self.bias)


@ports("torch.nn.Embedding")
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


@ports("torch.nn.Embedding.from_pretrained")
def embedding_from_pretrained(
    embeddings, freeze=True, padding_idx=None, *, rngs: nnx.Rngs
) -> nnx.Module:
    """A frozen table is an nnx.Variable, which is saved and not trained."""
    module = Embedding(*embeddings.shape, padding_idx, rngs=rngs)
    module.embedding = nnx.Variable(embeddings) if freeze else nnx.Param(embeddings)
    return module


@ports("torch.nn.EmbeddingBag")
class EmbeddingBag(nnx.Module):
    """The sum, mean or maximum of bags of rows of `weight`, which is drawn from N(0, 1)."""

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        *,
        mode="mean",
        include_last_offset=False,
        padding_idx=None,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        weight = jax.random.normal(rngs.params(), (num_embeddings, embedding_dim), dtype)
        if padding_idx is not None:
            weight = weight.at[padding_idx].set(0)
        self.weight = nnx.Param(weight)
        self.mode = mode
        self.include_last_offset = include_last_offset
        self.padding_idx = padding_idx

    def __call__(self, input, offsets=None, per_sample_weights=None):
        return embedding_bag(
            input,
            self.weight[...],
            offsets,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )
