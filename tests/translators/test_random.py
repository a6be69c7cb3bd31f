"""Random rules: streams differ between frameworks, so what is compared is the distribution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from .oracle import resolve

SIZE = (100, 200)
ZEROS = jnp.zeros(SIZE)
ONES = jnp.ones(SIZE)
CHANNELS = jnp.ones((200, 100, 5, 2))

# Of each call: mean, standard deviation, lowest and highest value that may occur.
DISTRIBUTIONS = {
    "rand": ("torch.rand", SIZE, 0.5, 12**-0.5, 0, 1),
    "rand of a tuple": ("torch.rand", (SIZE,), 0.5, 12**-0.5, 0, 1),
    "randn": ("torch.randn", SIZE, 0, 1, -9, 9),
    "randn_like": ("torch.randn_like", (ZEROS,), 0, 1, -9, 9),
    "rand_like": ("torch.rand_like", (ZEROS,), 0.5, 12**-0.5, 0, 1),
    "randint": ("torch.randint", (3, 8, SIZE), 5, 2**0.5, 3, 7),
    "randint below": ("torch.randint", (5, SIZE), 2, 2**0.5, 0, 4),
    "randint_like": ("torch.randint_like", (ZEROS, 5), 2, 2**0.5, 0, 4),
    "normal of numbers": ("torch.normal", (2.0, 3.0, SIZE), 2, 3, -30, 30),
    "normal of a mean": ("torch.normal", (2 * ONES, 3.0), 2, 3, -30, 30),
    "normal of a deviation": ("torch.normal", (2.0, 3 * ONES), 2, 3, -30, 30),
    "bernoulli": ("torch.bernoulli", (0.3 * ONES,), 0.3, 0.21**0.5, 0, 1),
    "bernoulli of p": ("torch.bernoulli", (ZEROS, 0.3), 0.3, 0.21**0.5, 0, 1),
    "multinomial": (
        "torch.multinomial",
        (jnp.array([1.0, 0.0, 3.0]), 20_000, True),
        1.5,
        0.75**0.5,
        0,
        2,
    ),
    "normal_": ("torch.Tensor.normal_", (ONES, 1.0, 0.5), 1, 0.5, -4, 6),
    "uniform_": ("torch.Tensor.uniform_", (ONES, -2, 4), 1, 3**0.5, -2, 4),
    "bernoulli_": ("torch.Tensor.bernoulli_", (ZEROS, 0.3), 0.3, 0.21**0.5, 0, 1),
    "exponential_": ("torch.Tensor.exponential_", (ZEROS, 2.0), 0.5, 0.5, 0, 20),
    "log_normal_": ("torch.Tensor.log_normal_", (ZEROS, 0.0, 0.25), 1.0317, 0.2621, 0, 9),
    "geometric_": ("torch.Tensor.geometric_", (ZEROS, 0.5), 2, 2**0.5, 1, 40),
    "poisson": ("torch.poisson", (3 * ONES,), 3, 3**0.5, 0, 40),
    "binomial": ("torch.binomial", (8 * ONES, 0.25 * ONES), 2, 1.5**0.5, 0, 8),
    "random_": ("torch.Tensor.random_", (ZEROS, 3, 8), 5, 2**0.5, 3, 7),
    "dropout": ("torch.nn.functional.dropout", (ONES, 0.2), 1, 0.5, 0, 1.25),
    "dropout1d": ("torch.nn.functional.dropout1d", (CHANNELS[..., 0], 0.2), 1, 0.5, 0, 1.25),
    "dropout2d": ("torch.nn.functional.dropout2d", (CHANNELS, 0.2), 1, 0.5, 0, 1.25),
    "alpha_dropout": (
        "torch.nn.functional.alpha_dropout",
        (jax.random.normal(jax.random.key(7), SIZE), 0.3, True),
        0,
        1,
        -9,
        9,
    ),
    "rrelu": (
        "torch.nn.functional.rrelu",
        (-ONES, 0.2, 0.4, True),
        -0.3,
        0.2 * 12**-0.5,
        -0.4,
        -0.2,
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_draws_from_the_distribution(name: str) -> None:
    api, args, mean, deviation, low, high = DISTRIBUTIONS[name]

    values = np.asarray(resolve(api, args, {})[1]())

    # Six standard errors; dropout of channels draws once for each of 20,000 channels.
    assert abs(values.mean() - mean) < 6 * deviation / 20_000**0.5
    assert abs(values.std() - deviation) < 0.05 * deviation
    assert values.min() >= low - 1e-6
    assert values.max() <= high + 1e-6


def test_dropout2d_drops_whole_channels() -> None:
    values = np.asarray(resolve("torch.nn.functional.dropout2d", (CHANNELS, 0.5), {})[1]())

    assert (values == values[:, :, :1, :1]).all()


def test_dropout_outside_training_returns_its_input() -> None:
    assert resolve("torch.nn.functional.dropout", (ONES, 0.5, False), {})[1]() is ONES


def test_multinomial_without_replacement_draws_each_index_once() -> None:
    weights = jnp.tile(jnp.array([0.1, 0.2, 0.0, 0.7]), (50, 1))

    drawn = np.asarray(resolve("torch.multinomial", (weights, 3), {})[1]())

    assert drawn.shape == (50, 3)
    assert (np.sort(drawn, axis=1) == [0, 1, 3]).all()


def test_randperm_is_a_permutation() -> None:
    drawn = np.asarray(resolve("torch.randperm", (100,), {})[1]())

    assert sorted(drawn.tolist()) == list(range(100)) != drawn.tolist()


def test_gumbel_softmax_draws_by_the_logits_and_keeps_the_soft_gradient() -> None:
    logits = jnp.log(jnp.tile(jnp.array([0.2, 0.8]), (20_000, 1)))
    api = "torch.nn.functional.gumbel_softmax"

    hard, vjp = jax.vjp(lambda x: resolve(api, (x,), {"hard": True})[1](), logits)
    _, soft_vjp = jax.vjp(lambda x: resolve(api, (x,), {})[1](), logits)
    seed = jax.random.normal(jax.random.key(1), hard.shape)

    assert set(np.unique(np.round(hard, 6))) == {0.0, 1.0}
    assert abs(float(hard[:, 1].mean()) - 0.8) < 0.02
    assert np.allclose(vjp(seed)[0], soft_vjp(seed)[0], atol=1e-6)


def test_attention_dropout_keeps_the_mean() -> None:
    query, key = torch.randn(2, 1, 20_000, 4, generator=torch.Generator().manual_seed(0)).numpy()
    value = jnp.ones((1, 4, 1))
    given = (jnp.asarray(query), jnp.asarray(key[:, :4]), value)
    api = "torch.nn.functional.scaled_dot_product_attention"

    values = np.asarray(resolve(api, given, {"dropout_p": 0.5})[1]())

    assert abs(values.mean() - 1) < 0.05
    assert values.std() > 0.2
