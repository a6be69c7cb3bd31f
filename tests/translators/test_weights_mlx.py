"""The weights transfer into mlx.nn modules: torch's tensors where MLX has them, laid out as there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch

from torchport_translators import weights
from torchport_translators.weights import transfer_weights
from torchport_translators.weights.mlx import WeightsError, placements

mx.set_default_device(mx.cpu)


def _last(layer: Callable[..., mx.array]) -> Callable[..., mx.array]:
    """A layer of MLX, whose channels are last, called as torch's, whose channels come second."""

    def run(x: mx.array) -> mx.array:
        y = layer(x.transpose(0, *range(2, x.ndim), 1))
        return y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))

    return run


# Each: torch's layer, MLX's, and the shapes of their inputs.
LAYERS = {
    "linear": (torch.nn.Linear(3, 4), nn.Linear(3, 4), [(2, 3)]),
    "no bias": (torch.nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False), [(2, 3)]),
    "bilinear": (torch.nn.Bilinear(2, 3, 4), nn.Bilinear(2, 3, 4), [(5, 2), (5, 3)]),
    "layer norm": (torch.nn.LayerNorm(6), nn.LayerNorm(6), [(2, 6)]),
    "RMS norm": (torch.nn.RMSNorm(6, eps=1e-5), nn.RMSNorm(6), [(2, 6)]),
    "PReLU": (torch.nn.PReLU(init=0.3), nn.PReLU(), [(2, 3)]),
    "RNN": (
        torch.nn.RNN(3, 4, bias=False, batch_first=True),
        nn.RNN(3, 4, bias=False),
        [(2, 5, 3)],
    ),
    "GRU": (
        torch.nn.GRU(3, 4, bias=False, batch_first=True),
        nn.GRU(3, 4, bias=False),
        [(2, 5, 3)],
    ),
    "LSTM": (
        torch.nn.LSTM(3, 4, bias=False, batch_first=True),
        nn.LSTM(3, 4, bias=False),
        [(2, 5, 3)],
    ),
    "sequential": (
        torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
        [(2, 3)],
    ),
}
CHANNELS = {
    "conv 1d": (torch.nn.Conv1d(4, 6, 3), nn.Conv1d(4, 6, 3), (2, 4, 7)),
    "conv 2d": (torch.nn.Conv2d(3, 5, (2, 3)), nn.Conv2d(3, 5, (2, 3)), (2, 3, 6, 7)),
    "conv 3d": (torch.nn.Conv3d(2, 3, (1, 2, 3)), nn.Conv3d(2, 3, (1, 2, 3)), (1, 2, 4, 5, 6)),
    "grouped": (torch.nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 6)),
    "depthwise": (torch.nn.Conv1d(4, 4, 3, groups=4), nn.Conv1d(4, 4, 3, groups=4), (2, 4, 6)),
    "transposed 1d": (
        torch.nn.ConvTranspose1d(3, 5, 4, stride=2),
        nn.ConvTranspose1d(3, 5, 4, stride=2),
        (2, 3, 6),
    ),
    "transposed 2d": (
        torch.nn.ConvTranspose2d(3, 5, (2, 3)),
        nn.ConvTranspose2d(3, 5, (2, 3)),
        (2, 3, 4, 5),
    ),
    "transposed 3d": (
        torch.nn.ConvTranspose3d(2, 3, (1, 2, 3)),
        nn.ConvTranspose3d(2, 3, (1, 2, 3)),
        (1, 2, 3, 4, 5),
    ),
    "batch norm": (torch.nn.BatchNorm2d(3), nn.BatchNorm(3), (2, 3, 4, 5)),
    "group norm": (
        torch.nn.GroupNorm(2, 6),
        nn.GroupNorm(2, 6, pytorch_compatible=True),
        (3, 6, 4),
    ),
    "instance norm": (
        torch.nn.InstanceNorm1d(3, affine=True),
        nn.InstanceNorm(3, affine=True),
        (2, 3, 5),
    ),
}


class Linears(nn.Module):
    """Named linear layers."""

    def __init__(self, **shapes: tuple[int, int]) -> None:
        super().__init__()
        for name, (inputs, outputs) in shapes.items():
            setattr(self, name, nn.Linear(inputs, outputs, bias=False))


# ------------------------------------------------------------------------------------ placed


def _filled(theirs: torch.nn.Module, ours: nn.Module) -> None:
    """Other weights than the initial ones, which would hide a mistake where they are constant."""
    with torch.no_grad():
        for tensor in theirs.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.9)
    theirs.eval()
    ours.eval()
    state = theirs.state_dict()
    transfer_weights(state, ours)
    places = placements(ours)
    assert places.keys() == {name for name in state if not name.endswith("num_batches_tracked")}
    for name, place in places.items():
        np.testing.assert_array_equal(place.to_source(np.array(place.array)), state[name].numpy())
        assert place.shape == tuple(state[name].shape)


def _assert_alike(theirs, ours, *shapes: tuple[int, ...]) -> None:
    inputs = [torch.randn(*shape, generator=torch.manual_seed(0)) for shape in shapes]
    expected, found = theirs(*inputs), ours(*(mx.array(x.numpy()) for x in inputs))
    expected = expected[0] if isinstance(expected, tuple) else expected
    found = found[0] if isinstance(found, tuple) else found
    np.testing.assert_allclose(np.array(found), expected.detach().numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_what_torchs_does(name: str) -> None:
    theirs, ours, shapes = LAYERS[name]
    _filled(theirs, ours)
    _assert_alike(theirs, ours, *shapes)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_layer_over_channels_computes_what_torchs_does(name: str) -> None:
    theirs, ours, shape = CHANNELS[name]
    _filled(theirs, ours)
    _assert_alike(theirs, _last(ours), shape)


def test_an_embedding_is_looked_up_as_torchs() -> None:
    theirs, ours = torch.nn.Embedding(7, 4), nn.Embedding(7, 4)
    _filled(theirs, ours)
    ids = [0, 6, 3, 3]
    np.testing.assert_array_equal(ours(mx.array(ids)), theirs(torch.tensor(ids)).detach())


class Block(nn.Module):
    """What a port looks like: lists, dicts, a buffer, a constant, a layer within a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm(4))
        self.heads = [nn.Linear(4, 3), [nn.Linear(4, 5)]]
        self.norms = {"layer": nn.LayerNorm(4)}
        self.scales = [mx.ones(3), mx.ones(2)]
        self.count = mx.array(0, mx.int64)
        self._mask = mx.ones((2, 2))
        self._table = mx.zeros(2)
        self.freeze(keys=["count"])


STATE = {
    "body.0.weight": np.arange(72.0).reshape(4, 2, 3, 3),
    "body.0.bias": np.arange(4.0),
    "body.2.weight": np.ones(4),
    "body.2.bias": np.ones(4),
    "body.2.running_mean": np.arange(4.0),
    "body.2.running_var": np.ones(4),
    "body.2.num_batches_tracked": np.array(3),
    "heads.0.weight": np.ones((3, 4)),
    "heads.0.bias": np.ones(3),
    "heads.1.0.weight": np.ones((5, 4)),
    "heads.1.0.bias": np.ones(5),
    "norms.layer.weight": np.ones(4),
    "norms.layer.bias": np.ones(4),
    "scales.0": np.arange(3.0),
    "scales.1": np.arange(2.0),
    "count": np.array(2**40),
    "_table": np.arange(2.0),
}


def test_every_tensor_is_placed_by_its_name() -> None:
    block = Block()

    transfer_weights(STATE, block)

    assert block.body.layers[0].weight.shape == (4, 3, 3, 2)
    assert block.body.layers[0].weight[1, 0, 2].tolist() == [20.0, 29.0]
    assert block.body.layers[2].running_mean.tolist() == [0, 1, 2, 3]
    assert block.heads[1][0].bias.tolist() == [1] * 5
    assert block.scales[1].tolist() == [0, 1]
    assert block.count.item() == 2**40
    assert block._table.tolist() == [0, 1]  # no parameter, and held by the state all the same
    assert block._mask.tolist() == [[1, 1], [1, 1]]  # as it was constructed: the state has none


def test_placements_tell_what_is_trained() -> None:
    places = placements(Block())

    assert places["body.0.weight"].path == "body.layers.0.weight"
    untrained = {name for name, place in places.items() if not place.trainable}
    assert untrained == {"body.2.running_mean", "body.2.running_var", "count", "_mask", "_table"}
    assert {name for name, place in places.items() if not place.required} == {"_mask", "_table"}


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda tensor: tensor.numpy(), id="numpy"),
        pytest.param(lambda tensor: tensor.double(), id="float64"),
        pytest.param(lambda tensor: tensor.bfloat16(), id="bfloat16"),
        pytest.param(lambda tensor: torch.nn.Parameter(tensor), id="parameter"),
    ],
)
def test_tensors_of_other_kinds_take_the_modules_dtype(convert, dtype: mx.Dtype) -> None:
    module = Linears(fc=(2, 3))
    module.set_dtype(dtype)
    weight = torch.arange(6.0).reshape(3, 2) / 8

    transfer_weights({"fc.weight": convert(weight)}, module)

    assert module.fc.weight.dtype == dtype
    assert module.fc.weight.tolist() == weight.tolist()


def test_float64_stays_exact() -> None:
    module = Linears()
    module.constant = mx.zeros(1, mx.float64)
    transfer_weights({"constant": np.array([1 + 2.0**-40])}, module)
    assert module.constant.tolist() == [1 + 2.0**-40]


# -------------------------------------------------------------------------------------- tied


def test_a_layer_under_two_names_is_placed_once() -> None:
    module = Linears(one=(2, 3))
    module.other = module.one
    weight = torch.rand(3, 2)

    transfer_weights({"one.weight": weight, "other.weight": weight}, module)
    assert module.one.weight.tolist() == weight.tolist()

    with pytest.raises(WeightsError, match=r"one\.weight and .* differ, and are one"):
        transfer_weights({"one.weight": weight, "other.weight": weight + 1}, module)
    with pytest.raises(WeightsError, match=r"^1 tensor does not fit Linears"):
        transfer_weights({}, module)


def test_an_array_in_two_places_needs_one_tensor_and_takes_two() -> None:
    module = Linears(embed=(2, 3), head=(2, 3))
    module.head.weight = module.embed.weight
    weight = torch.rand(3, 2)

    transfer_weights({"embed.weight": weight}, module)
    assert module.head.weight.tolist() == module.embed.weight.tolist() == weight.tolist()

    transfer_weights({"embed.weight": weight, "head.weight": weight + 1}, module)
    assert module.head.weight.tolist() == (weight + 1).tolist()


def test_a_second_name_of_a_tensor_needs_no_place() -> None:
    weight = torch.rand(3, 2)
    module = Linears(embed=(2, 3))
    transfer_weights({"embed.weight": weight, "head.weight": weight}, module)
    assert module.embed.weight.tolist() == weight.tolist()


# ------------------------------------------------------------------------------------ errors


def test_the_error_lists_everything_and_changes_nothing() -> None:
    module = Linears(fits=(2, 2), missing=(4, 5))
    module.misshapen = nn.Conv1d(2, 3, 4, bias=False)
    module.kind = mx.zeros(2, mx.int32)
    before = module.fits.weight.tolist()
    state = {
        "fits.weight": np.ones((2, 2), np.float32),
        "misshapen.weight": np.ones((3, 4, 2), np.float32),
        "kind": np.ones(2, np.float32),
        "unused.weight": np.ones((6, 7), np.float32),
    }

    with pytest.raises(WeightsError) as raised:
        transfer_weights(state, module)

    assert str(raised.value) == (
        "4 tensors do not fit Linears\n"
        "  misshapen: misshapen.weight (3, 4, 2) for misshapen.weight (3, 4, 2), "
        "which takes (3, 2, 4)\n"
        "  misshapen: kind is float32, which kind, int32, cannot hold\n"
        "  missing: missing.weight (5, 4) for missing.weight (5, 4)\n"
        "  unused: unused.weight (6, 7)"
    )
    assert module.fits.weight.tolist() == before


CANNOT = {
    "LSTM": (nn.LSTM(3, 4), torch.nn.LSTM(3, 4), "sums of torch's bias_ih_l0 and bias_hh_l0"),
    "GRU": (nn.GRU(3, 4), torch.nn.GRU(3, 4), "sums of torch's bias_ih_l0 and bias_hh_l0"),
    "RNN": (nn.RNN(3, 4), torch.nn.RNN(3, 4), "sums of torch's bias_ih_l0 and bias_hh_l0"),
    "MultiHeadAttention": (
        nn.MultiHeadAttention(4, 2),
        torch.nn.MultiheadAttention(4, 2),
        "three layers for torch's in_proj_weight",
    ),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_mlx_holds_otherwise_is_told(name: str) -> None:
    layer, theirs, why = CANNOT[name]
    module = Linears(fc=(2, 3))
    module.inner = layer
    state = {f"inner.{n}": tensor for n, tensor in theirs.state_dict().items()}

    with pytest.raises(WeightsError) as raised:
        transfer_weights({"fc.weight": np.ones((3, 2)), **state}, module)

    head, line = str(raised.value).splitlines()  # one line for the layer, none for its tensors
    assert head == "The tensors do not fit Linears"
    assert line.startswith(f"  not convertible: inner is an mlx.nn.{name}")
    assert why in line


# -------------------------------------------------------------------------------- on its own


def test_the_folder_needs_only_numpy_and_mlx() -> None:
    folder = Path(weights.__file__).parent
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "weights", {str(folder / "__init__.py")!r}, submodule_search_locations=[{str(folder)!r}]
)
sys.modules["weights"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["weights"])
import weights.mlx
foreign = {{name.partition(".")[0] for name in sys.modules}} & {{"torch", "jax", "flax", "torchport_translators"}}
assert not foreign, foreign
"""

    subprocess.run([sys.executable, "-c", code], check=True)
