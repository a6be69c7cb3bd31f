"""Random tensors: mx.random, with the random state of MLX. In-place ones return the new value."""

from __future__ import annotations

import math

import mlx.core as mx

from torchport_translators.catalogue import ports


def _shape(size):
    """A shape, of a number too."""
    return (size,) if isinstance(size, int) else size


@ports("torch.rand")
def rand(*size, dtype=None):
    if dtype is not None:
        return mx.random.uniform(shape=_shape(size), dtype=dtype)
    return mx.random.uniform(shape=_shape(size))


@ports("torch.randn")
def randn(*size, dtype=None):
    if dtype is not None:
        return mx.random.normal(_shape(size), dtype=dtype)
    return mx.random.normal(_shape(size))


@ports("torch.randint")
def randint(low: int, high: int, size: tuple, *, dtype=None):
    if dtype is not None:
        return mx.random.randint(low, high, size).astype(dtype)
    return mx.random.randint(low, high, size)


@ports("torch.randint")
def randint_below(high: int, size: tuple, *, dtype=None):
    return randint(0, high, size, dtype=dtype)


@ports("torch.randperm")
def randperm(n, *, dtype=None):
    if dtype is not None:
        return mx.random.permutation(n).astype(dtype)
    return mx.random.permutation(n)


@ports("torch.rand_like")
def rand_like(input, *, dtype=None):
    return mx.random.uniform(shape=input.shape, dtype=input.dtype if dtype is None else dtype)


@ports("torch.randn_like")
def randn_like(input, *, dtype=None):
    return mx.random.normal(input.shape, dtype=input.dtype if dtype is None else dtype)


@ports("torch.randint_like")
def randint_like(input, low: int, high: int, *, dtype=None):
    values = mx.random.randint(low, high, input.shape)
    return values.astype(input.dtype if dtype is None else dtype)


@ports("torch.randint_like")
def randint_like_below(input, high: int, *, dtype=None):
    return randint_like(input, 0, high, dtype=dtype)


def _scaled_normal(mean, std, shape, dtype):
    if mean == 0 and std == 1:
        return mx.random.normal(shape, dtype=dtype)
    if mean == 0:
        return mx.random.normal(shape, dtype=dtype, scale=std)
    return mx.random.normal(shape, dtype=dtype, loc=mean, scale=std)


@ports("torch.normal")
def normal_of_size(mean: float, std: float, size: tuple, *, dtype=None):
    if dtype is not None:
        return _scaled_normal(mean, std, size, dtype)
    if mean == 0 and std == 1:
        return mx.random.normal(size)
    return mx.random.normal(size, loc=mean, scale=std)


@ports("torch.normal")
def normal(mean: mx.array, std: mx.array):
    """The two are broadcast against each other."""
    shape = mx.broadcast_shapes(mean.shape, std.shape)
    return mean + std * mx.random.normal(shape, dtype=mean.dtype)


@ports("torch.normal")
def normal_of_mean(mean: mx.array, std: float = 1.0):
    return mean + std * mx.random.normal(mean.shape, dtype=mean.dtype)


@ports("torch.normal")
def normal_of_std(mean: float, std: mx.array):
    return mean + std * mx.random.normal(std.shape, dtype=std.dtype)


@ports("torch.bernoulli", "torch.Tensor.bernoulli")
def bernoulli(input):
    """1 with the probability that each element gives."""
    return mx.random.bernoulli(input).astype(input.dtype)


@ports("torch.bernoulli", "torch.Tensor.bernoulli")
def bernoulli_of_p(input, p: float):
    return mx.random.bernoulli(p, input.shape).astype(input.dtype)


@ports("torch.multinomial", "torch.Tensor.multinomial")
def multinomial(input, num_samples, replacement=False):
    """Indices drawn with the weights in each row; without replacement the largest of logits and noise."""
    logits = mx.log(input)
    if replacement:
        return mx.random.categorical(logits, num_samples=num_samples)
    noisy = logits + mx.random.gumbel(logits.shape, logits.dtype)
    return mx.argsort(-noisy, axis=-1)[..., :num_samples]


@ports("torch.Tensor.normal_")
def normal_(input, mean=0.0, std=1.0):
    return _scaled_normal(mean, std, input.shape, input.dtype)


@ports("torch.Tensor.uniform_")
def uniform_(input, low=0.0, to=1.0):
    return mx.random.uniform(low=low, high=to, shape=input.shape, dtype=input.dtype)


@ports("torch.Tensor.bernoulli_")
def bernoulli_(input, p=0.5):
    return mx.random.bernoulli(p, input.shape).astype(input.dtype)


def _above_zero(input):
    """Uniform in (0, 1], so that its logarithm is finite."""
    return 1 - mx.random.uniform(shape=input.shape, dtype=input.dtype)


@ports("torch.Tensor.exponential_")
def exponential_(input, lambd=1.0):
    if lambd == 1:
        return -mx.log(_above_zero(input))
    return -mx.log(_above_zero(input)) / lambd


@ports("torch.Tensor.cauchy_")
def cauchy_(input, median=0.0, sigma=1.0):
    """By the inverse of the distribution function."""
    turn = mx.random.uniform(shape=input.shape, dtype=input.dtype)
    return median + sigma * mx.tan(mx.pi * (turn - 0.5))


@ports("torch.Tensor.log_normal_")
def log_normal_(input, mean=1.0, std=2.0):
    return mx.exp(_scaled_normal(mean, std, input.shape, input.dtype))


@ports("torch.Tensor.geometric_")
def geometric_(input, p):
    """By the inverse of the distribution function."""
    trials = mx.ceil(mx.log(1 - mx.random.uniform(shape=input.shape)) / math.log1p(-p))
    return mx.maximum(1, trials).astype(input.dtype)


@ports("torch.Tensor.random_")
def random_(input, low: int, to: int):
    return mx.random.randint(low, to, input.shape).astype(input.dtype)


@ports("torch.Tensor.random_")
def random_below(input, to: int):
    return random_(input, 0, to)


@ports("torch.poisson", jit=False)
def poisson(input):
    """Counts with the rate that each element gives: how many arrivals at exponential gaps it sees."""
    time, count = -mx.log(_above_zero(input)), mx.zeros_like(input)
    while mx.any((time <= input) & (input < mx.inf)).item():
        count = count + (time <= input)
        time = time - mx.log(_above_zero(input))
    return count


@ports("torch.binomial", jit=False)
def binomial(count, prob):
    """How many of `count` draws succeed, each with the probability `prob`."""
    successes = mx.zeros_like(count)
    for draw in range(int(mx.max(count).item())):
        drawn = mx.random.uniform(shape=count.shape, dtype=count.dtype)
        successes = successes + ((draw < count) & (drawn < prob))
    return successes
