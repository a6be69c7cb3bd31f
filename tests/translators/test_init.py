"""Initial values have torch's distribution: those of layers, and those of torch.nn.init."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

from torchport_translators.jax.modules_attention import TransformerEncoder, TransformerEncoderLayer
from torchport_translators.jax.modules_linear import Linear

from .frameworks import FRAMEWORKS
from .modules import MODULES
from .oracle import resolve

LAYERS = [
    ("Linear", (300, 200)),
    ("Bilinear", (30, 20, 40)),
    ("Conv1d", (60, 90, 5)),
    ("Conv2d", (30, 60, (3, 5), 1, 0, 1, 2)),
    ("Conv3d", (10, 40, 3)),
    ("ConvTranspose2d", (30, 60, (3, 5), 1, 0, 0, 2)),
    ("Embedding", (300, 100, 7)),
    ("EmbeddingBag", (300, 100)),
    ("BatchNorm2d", (10,)),
    ("InstanceNorm2d", (10, 1e-5, 0.1, True)),
    ("GroupNorm", (2, 10)),
    ("RMSNorm", (10,)),
    ("LayerNorm", (10,)),
    ("LayerNorm", ((5, 6),)),
    ("LSTM", (50, 60, 2)),
    ("GRUCell", (50, 60)),
    ("PReLU", (3,)),
    ("MultiheadAttention", (64, 4)),
    ("TransformerDecoderLayer", (64, 4, 128)),
    ("Transformer", (64, 4, 1, 1, 128)),
]


def assert_same_distribution(mine: np.ndarray, theirs: np.ndarray, name: str) -> None:
    """Equal where constant; else mean, deviation, extremes and the share of zeros agree."""
    assert mine.shape == theirs.shape, name
    if theirs.std() == 0:
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
        return
    spread = theirs.std() / math.sqrt(theirs.size)
    assert abs(mine.mean() - theirs.mean()) < 7 * spread, name
    tolerance = 7 / math.sqrt(2 * theirs.size)
    assert mine.std() == pytest.approx(theirs.std(), rel=tolerance), name
    assert (mine == 0).mean() == pytest.approx((theirs == 0).mean(), abs=1e-9), name
    # A bounded distribution shows itself in its extremes: normal ones reach beyond 3 deviations.
    if theirs.size > 2000:
        reach = [np.abs(values).max() / values.std() for values in (mine, theirs)]
        assert reach[0] == pytest.approx(reach[1], rel=0.05 if reach[1] < 2.2 else 0.3), name


@pytest.mark.parametrize(
    ("target", "name", "args"),
    [
        pytest.param(target, name, args, id=f"{target}-{name}")
        for target, framework in FRAMEWORKS.items()
        for name, args in LAYERS
        if framework.catalogue.find(f"torch.nn.{name}")
    ],
)
def test_layer_starts_as_torch_has_it(target: str, name: str, args: tuple[object, ...]) -> None:
    torch.manual_seed(0)
    theirs = getattr(nn, name)(*args).state_dict()

    on = FRAMEWORKS[target]
    on.random()
    layer = resolve(f"torch.nn.{name}", args, {}, on)[1]()

    for key, mine in MODULES[target].tensors(layer).items():
        assert_same_distribution(mine, theirs[key].numpy(), key)


INITIALISERS = [
    ("zeros_", (), {}),
    ("ones_", (), {}),
    ("constant_", (0.3,), {}),
    ("uniform_", (-1.0, 3.0), {}),
    ("normal_", (), {"std": 0.02}),
    ("normal_", (1.0, 0.5), {}),
    ("trunc_normal_", (), {"std": 0.02}),
    ("trunc_normal_", (0.5, 1.0, -1.0, 1.0), {}),
    ("trunc_normal_", (), {"a": -1.0, "b": 0.5}),
    ("xavier_uniform_", (), {}),
    ("xavier_uniform_", (), {"gain": 2.0}),
    ("xavier_normal_", (), {}),
    ("xavier_normal_", (0.5,), {}),
    ("kaiming_uniform_", (), {"a": math.sqrt(5)}),
    ("kaiming_uniform_", (), {"nonlinearity": "relu"}),
    ("kaiming_normal_", (), {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", (), {"nonlinearity": "tanh"}),
    ("orthogonal_", (), {"gain": 2.0}),
]
SHAPES = [(80, 50), (40, 20, 3, 5)]


# (target, whether the weight has the target's layout and not torch's)
LAYOUTS = [(target, own) for target in FRAMEWORKS for own in (False, True)]
IN_LAYOUTS = pytest.mark.parametrize(
    ("target", "own"),
    LAYOUTS,
    ids=[f"{target} {'layer' if own else 'tensor'}" for target, own in LAYOUTS],
)


@IN_LAYOUTS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "args", "kwargs"), INITIALISERS)
def test_initialiser_draws_as_torch_does(
    name: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    shape: tuple[int, ...],
    target: str,
    own: bool,
) -> None:
    torch.manual_seed(0)
    theirs = getattr(nn.init, name)(torch.empty(shape), *args, **kwargs).numpy()

    mine = initialised(target, name, shape, args, kwargs, own)

    assert_same_distribution(mine, theirs, name)
    if name == "orthogonal_":
        rows, expected = (values.reshape(shape[0], -1) for values in (mine, theirs))
        small = (rows @ rows.T, expected @ expected.T)
        if shape[0] > rows.shape[1]:
            small = (rows.T @ rows, expected.T @ expected)
        np.testing.assert_allclose(*small, atol=1e-5)


# Where each target's layers have a weight's outputs and inputs, and how its rules are told so.
PLACES = {"jax": ((-1, -2), {"in_axis": -2, "out_axis": -1}), "mlx": ((0, -1), {"in_axis": -1})}


def initialised(
    target: str,
    name: str,
    shape: tuple[int, ...],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    own: bool,
) -> np.ndarray:
    """What the rule gives, in torch's layout."""
    on = FRAMEWORKS[target]
    on.random()
    places, told = PLACES[target]
    api = f"torch.nn.init.{name}"
    taken = {param.name for param in on.catalogue.find(api)[0].params}
    given = np.moveaxis(np.zeros(shape, np.float32), (0, 1), places) if own else np.zeros(shape)
    axes = {axis: place for axis, place in told.items() if own and axis in taken}
    tensor = on.of_numpy(given.astype(np.float32))
    value = on.numpy(resolve(api, (tensor, *args), {**kwargs, **axes}, on)[1]())
    return np.moveaxis(value, places, (0, 1)) if own else value


@IN_LAYOUTS
@pytest.mark.parametrize(
    ("shape", "groups"), [((6, 4, 3), 1), ((4, 6, 3, 4), 2), ((6, 2, 3, 3, 3), 3)]
)
def test_dirac(shape: tuple[int, ...], groups: int, target: str, own: bool) -> None:
    theirs = nn.init.dirac_(torch.empty(shape), groups).numpy()

    mine = initialised(target, "dirac_", shape, (groups,), {}, own)

    np.testing.assert_array_equal(mine, theirs)


@IN_LAYOUTS
def test_sparse_zeroes_a_share_of_each_inputs_weights(target: str, own: bool) -> None:
    mine = initialised(target, "sparse_", (100, 80), (0.25, 0.5), {}, own)

    assert ((mine == 0).sum(axis=0) == 25).all()
    assert mine[mine != 0].std() == pytest.approx(0.5, rel=0.05)
    # Which ones differs between the inputs.
    assert len({tuple(column) for column in (mine == 0).T}) == 80


@pytest.mark.parametrize("target", FRAMEWORKS)
def test_eye(target: str) -> None:
    mine = initialised(target, "eye_", (3, 5), (), {}, own=False)

    np.testing.assert_array_equal(mine, np.eye(3, 5, dtype=np.float32))


@pytest.mark.parametrize("target", FRAMEWORKS)
@pytest.mark.parametrize(
    ("nonlinearity", "param"),
    [
        ("linear", None),
        ("conv2d", None),
        ("sigmoid", None),
        ("tanh", None),
        ("relu", None),
        ("leaky_relu", None),
        ("leaky_relu", 0.2),
        ("selu", None),
    ],
)
def test_calculate_gain(target: str, nonlinearity: str, param: float | None) -> None:
    args = (nonlinearity, param)
    gain = resolve("torch.nn.init.calculate_gain", args, {}, FRAMEWORKS[target])[1]()

    assert gain == pytest.approx(nn.init.calculate_gain(nonlinearity, param))


def test_a_layer_draws_other_values_each_time() -> None:
    rngs = nnx.Rngs(0)

    one, other = Linear(3, 4, rngs=rngs), Linear(3, 4, rngs=rngs)

    assert not jnp.array_equal(one.kernel[...], other.kernel[...])
    assert not jnp.array_equal(one.kernel[0], one.bias[...])


def test_copies_in_a_transformer_share_weights_and_not_dropout() -> None:
    rngs = nnx.Rngs(0)
    layer = TransformerEncoderLayer(8, 2, 16, 0.5, rngs=rngs)

    first, second = TransformerEncoder(layer, 2, rngs=rngs).layers

    assert jnp.array_equal(first.linear1.kernel[...], second.linear1.kernel[...])
    ones = jnp.ones(100)
    assert not jnp.array_equal(first.dropout(ones), second.dropout(ones))
    assert not jnp.array_equal(first.dropout(ones), first.self_attn.dropout(ones))


@pytest.mark.parametrize("name", ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d"])
def test_dropout_drops_and_scales(name: str) -> None:
    dropout = resolve(f"torch.nn.{name}", (0.25,), {})[1]()
    spatial = (3,) * int(name[-2]) if name[-1] == "d" else ()
    x = 1 + jax.random.uniform(jax.random.key(1), (200, 100, *spatial))

    y = dropout(x)

    dropped = y == 0
    assert dropped.mean() == pytest.approx(0.25, abs=0.02)
    assert jnp.allclose(y, jnp.where(dropped, 0, x / 0.75))
    channels = dropped.reshape(200, 100, -1)
    assert jnp.array_equal(channels.all(axis=-1), channels.any(axis=-1))
    dropout.eval()
    assert jnp.array_equal(dropout(x), x)


@pytest.mark.parametrize("name", ["AlphaDropout", "FeatureAlphaDropout"])
def test_alpha_dropout_keeps_mean_and_deviation(name: str) -> None:
    dropout = resolve(f"torch.nn.{name}", (0.25,), {})[1]()
    x = jax.random.normal(jax.random.key(1), (400, 300, 2))

    y = dropout(x)

    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.std() == pytest.approx(1, abs=0.02)
    _, counts = jnp.unique(y.round(3), return_counts=True)
    assert counts.max() / y.size == pytest.approx(0.25, abs=0.02), "the share that is dropped"
    dropout.eval()
    assert jnp.array_equal(dropout(x), x)


def test_rrelu_draws_slopes_in_training() -> None:
    rrelu = resolve("torch.nn.RReLU", (0.1, 0.3), {})[1]()
    x = -jnp.ones(20_000)

    slopes = -rrelu(x)

    assert slopes.min() == pytest.approx(0.1, abs=1e-3)
    assert slopes.max() == pytest.approx(0.3, abs=1e-3)
    assert slopes.mean() == pytest.approx(0.2, abs=2e-3)
    rrelu.eval()
    assert jnp.allclose(rrelu(x), -0.2)
