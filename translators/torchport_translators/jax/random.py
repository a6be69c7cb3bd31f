"""Random tensors: jax.random, with keys from the caller's `rngs`. In-place ones return the new value."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from torchport_translators.catalogue import ports


@ports("torch.rand")
def rand(*size, dtype=None, rngs: nnx.Rngs):
    return jax.random.uniform(rngs(), size, dtype=dtype)


@ports("torch.randn")
def randn(*size, dtype=None, rngs: nnx.Rngs):
    return jax.random.normal(rngs(), size, dtype=dtype)


@ports("torch.randint")
def randint(low: int, high: int, size: tuple, *, dtype=None, rngs: nnx.Rngs):
    if dtype is not None:
        return jax.random.randint(rngs(), size, low, high).astype(dtype)
    return jax.random.randint(rngs(), size, low, high)


@ports("torch.randint")
def randint_below(high: int, size: tuple, *, dtype=None, rngs: nnx.Rngs):
    return randint(0, high, size, dtype=dtype, rngs=rngs)


@ports("torch.randperm")
def randperm(n, *, dtype=None, rngs: nnx.Rngs):
    if dtype is not None:
        return jax.random.permutation(rngs(), n).astype(dtype)
    return jax.random.permutation(rngs(), n)


@ports("torch.rand_like")
def rand_like(input, *, dtype=None, rngs: nnx.Rngs):
    return jax.random.uniform(rngs(), input.shape, input.dtype if dtype is None else dtype)


@ports("torch.randn_like")
def randn_like(input, *, dtype=None, rngs: nnx.Rngs):
    return jax.random.normal(rngs(), input.shape, input.dtype if dtype is None else dtype)


@ports("torch.randint_like")
def randint_like(input, low: int, high: int, *, dtype=None, rngs: nnx.Rngs):
    values = jax.random.randint(rngs(), input.shape, low, high)
    return values.astype(input.dtype if dtype is None else dtype)


@ports("torch.randint_like")
def randint_like_below(input, high: int, *, dtype=None, rngs: nnx.Rngs):
    return randint_like(input, 0, high, dtype=dtype, rngs=rngs)


@ports("torch.normal")
def normal_of_size(mean: float, std: float, size: tuple, *, dtype=None, rngs: nnx.Rngs):
    if mean == 0 and std == 1:
        return jax.random.normal(rngs(), size, dtype=dtype)
    return mean + std * jax.random.normal(rngs(), size, dtype=dtype)


@ports("torch.normal")
def normal(mean: jax.Array, std=1.0, *, rngs: nnx.Rngs):
    """The two are broadcast against each other."""
    shape = jnp.broadcast_shapes(mean.shape, jnp.shape(std))
    return mean + std * jax.random.normal(rngs(), shape, mean.dtype)


@ports("torch.normal")
def normal_of_std(mean: float, std: jax.Array, *, rngs: nnx.Rngs):
    return mean + std * jax.random.normal(rngs(), std.shape, std.dtype)


@ports("torch.bernoulli", "torch.Tensor.bernoulli")
def bernoulli(input, *, rngs: nnx.Rngs):
    """1 with the probability that each element gives."""
    return jax.random.bernoulli(rngs(), input).astype(input.dtype)


@ports("torch.bernoulli", "torch.Tensor.bernoulli")
def bernoulli_of_p(input, p: float, *, rngs: nnx.Rngs):
    return jax.random.bernoulli(rngs(), p, input.shape).astype(input.dtype)


@ports("torch.multinomial", "torch.Tensor.multinomial")
def multinomial(input, num_samples, replacement=False, *, rngs: nnx.Rngs):
    """Indices drawn with the weights in each row."""
    shape = (num_samples, *input.shape[:-1])
    drawn = jax.random.categorical(rngs(), jnp.log(input), shape=shape, replace=replacement)
    return jnp.moveaxis(drawn, 0, -1)


@ports("torch.Tensor.normal_")
def normal_(input, mean=0.0, std=1.0, *, rngs: nnx.Rngs):
    if mean == 0 and std == 1:
        return jax.random.normal(rngs(), input.shape, input.dtype)
    if mean == 0:
        return std * jax.random.normal(rngs(), input.shape, input.dtype)
    return mean + std * jax.random.normal(rngs(), input.shape, input.dtype)


@ports("torch.Tensor.uniform_")
def uniform_(input, low=0.0, to=1.0, *, rngs: nnx.Rngs):
    return jax.random.uniform(rngs(), input.shape, input.dtype, minval=low, maxval=to)


@ports("torch.Tensor.bernoulli_")
def bernoulli_(input, p=0.5, *, rngs: nnx.Rngs):
    return jax.random.bernoulli(rngs(), p, input.shape).astype(input.dtype)


@ports("torch.Tensor.exponential_")
def exponential_(input, lambd=1.0, *, rngs: nnx.Rngs):
    if lambd == 1:
        return jax.random.exponential(rngs(), input.shape, input.dtype)
    return jax.random.exponential(rngs(), input.shape, input.dtype) / lambd


@ports("torch.Tensor.cauchy_")
def cauchy_(input, median=0.0, sigma=1.0, *, rngs: nnx.Rngs):
    return median + sigma * jax.random.cauchy(rngs(), input.shape, input.dtype)


@ports("torch.Tensor.log_normal_")
def log_normal_(input, mean=1.0, std=2.0, *, rngs: nnx.Rngs):
    return jnp.exp(mean + std * jax.random.normal(rngs(), input.shape, input.dtype))


@ports("torch.Tensor.geometric_")
def geometric_(input, p, *, rngs: nnx.Rngs):
    return jax.random.geometric(rngs(), p, input.shape).astype(input.dtype)


@ports("torch.Tensor.random_")
def random_(input, low: int, to: int, *, rngs: nnx.Rngs):
    return jax.random.randint(rngs(), input.shape, low, to).astype(input.dtype)


@ports("torch.Tensor.random_")
def random_below(input, to: int, *, rngs: nnx.Rngs):
    return random_(input, 0, to, rngs=rngs)


@ports("torch.poisson")
def poisson(input, *, rngs: nnx.Rngs):
    """Counts with the rate that each element gives."""
    return jax.random.poisson(rngs(), input).astype(input.dtype)


@ports("torch.binomial")
def binomial(count, prob, *, rngs: nnx.Rngs):
    """How many of `count` draws succeed, each with the probability `prob`."""
    return jax.random.binomial(rngs(), count, prob, dtype=count.dtype)
