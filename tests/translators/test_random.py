"""Random rules: streams differ between frameworks, so what is compared is the distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .frameworks import FRAMEWORKS
from .oracle import resolve, to_numpy, to_port

SIZE = (100, 200)
ZEROS = torch.zeros(SIZE)
ONES = torch.ones(SIZE)
CHANNELS = torch.ones((200, 100, 5, 2))

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
        (torch.tensor([1.0, 0.0, 3.0]), 20_000, True),
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
        (torch.randn(SIZE, generator=torch.Generator().manual_seed(7)), 0.3, True),
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


def drawn(target: str, api: str, *given: object, **keywords: object) -> np.ndarray:
    """What a rule draws, for torch's arguments."""
    on = FRAMEWORKS[target]
    on.random()
    args = [to_port(value, on) for value in given]
    return to_numpy(resolve(api, args, keywords, on)[1](), on)


EVERYWHERE = pytest.mark.parametrize("target", FRAMEWORKS)


@EVERYWHERE
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_draws_from_the_distribution(target: str, name: str) -> None:
    api, args, mean, deviation, low, high = DISTRIBUTIONS[name]

    values = drawn(target, api, *args)

    # Six standard errors; dropout of channels draws once for each of 20,000 channels.
    assert abs(values.mean() - mean) < 6 * deviation / 20_000**0.5
    assert abs(values.std() - deviation) < 0.05 * deviation
    assert values.min() >= low - 1e-6
    assert values.max() <= high + 1e-6


@EVERYWHERE
def test_dropout2d_drops_whole_channels(target: str) -> None:
    values = drawn(target, "torch.nn.functional.dropout2d", CHANNELS, 0.5)

    assert (values == values[:, :, :1, :1]).all()


@EVERYWHERE
def test_dropout_outside_training_returns_its_input(target: str) -> None:
    on = FRAMEWORKS[target]
    ones = to_port(ONES, on)

    assert resolve("torch.nn.functional.dropout", (ones, 0.5, False), {}, on)[1]() is ones


@EVERYWHERE
@pytest.mark.parametrize("name", ["dropout", "dropout2d", "alpha_dropout", "feature_alpha_dropout"])
def test_dropout_of_everything_is_zero(target: str, name: str) -> None:
    values = drawn(target, f"torch.nn.functional.{name}", CHANNELS, 1.0, True)

    assert not values.any()


@EVERYWHERE
def test_multinomial_without_replacement_draws_each_index_once(target: str) -> None:
    weights = torch.tensor([0.1, 0.2, 0.0, 0.7]).tile(50, 1)

    indices = drawn(target, "torch.multinomial", weights, 3)

    assert indices.shape == (50, 3)
    assert (np.sort(indices, axis=1) == [0, 1, 3]).all()


@EVERYWHERE
def test_randperm_is_a_permutation(target: str) -> None:
    indices = drawn(target, "torch.randperm", 100)

    assert sorted(indices.tolist()) == list(range(100)) != indices.tolist()


@EVERYWHERE
def test_gumbel_softmax_draws_by_the_logits_and_keeps_the_soft_gradient(target: str) -> None:
    on = FRAMEWORKS[target]
    logits = torch.tensor([0.2, 0.8]).tile(20_000, 1).log()
    api = "torch.nn.functional.gumbel_softmax"
    seed = on.of_numpy(np.random.default_rng(1).standard_normal((20_000, 2)).astype(np.float32))

    def gradient(hard: bool) -> np.ndarray:
        def run(values: object) -> list[object]:
            on.random()
            return [resolve(api, values, {"hard": hard}, on)[1]()]

        return to_numpy(on.vjp(run, [to_port(logits, on)], [seed], jit=True)[0], on)

    hard = drawn(target, api, logits, hard=True)

    assert set(np.unique(np.round(hard, 6))) == {0.0, 1.0}
    assert abs(float(hard[:, 1].mean()) - 0.8) < 0.02
    assert np.allclose(gradient(hard=True), gradient(hard=False), atol=1e-6)


@pytest.mark.parametrize(
    "target",
    [
        target
        for target, on in FRAMEWORKS.items()
        if on.catalogue.find("torch.nn.functional.scaled_dot_product_attention")
    ],
)
def test_attention_dropout_keeps_the_mean(target: str) -> None:
    query, key = torch.randn(2, 1, 20_000, 4, generator=torch.Generator().manual_seed(0))
    api = "torch.nn.functional.scaled_dot_product_attention"

    values = drawn(target, api, query, key[:, :4], torch.ones(1, 4, 1), dropout_p=0.5)

    assert abs(values.mean() - 1) < 0.05
    assert values.std() > 0.2
