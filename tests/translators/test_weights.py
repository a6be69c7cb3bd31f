"""The weights transfer: torch's tensors into flax.nnx modules, all of them or an error that says why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

from torchport_translators import weights
from torchport_translators.weights import nnx as weights_nnx
from torchport_translators.weights import transfer_weights
from torchport_translators.weights.nnx import WeightsError, placements


class Block(nnx.Module):
    """What a port looks like: a Sequential, a List, a Dict, a buffer, random state, a mask."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.body = nnx.Sequential(
            nnx.Conv(2, 4, (3, 5), rngs=rngs), nnx.relu, nnx.BatchNorm(4, rngs=rngs)
        )
        self.heads = nnx.List([nnx.Linear(4, 3, rngs=rngs), nnx.Linear(4, 5, rngs=rngs)])
        self.norms = nnx.Dict(
            {"layer": nnx.LayerNorm(4, rngs=rngs), "group": nnx.GroupNorm(4, 2, rngs=rngs)}
        )
        self.embed = nnx.Embed(7, 4, rngs=rngs)
        self.scale = nnx.Param(jnp.ones(3))
        self.count = nnx.Variable(jnp.zeros((), int))
        self.mask = jnp.ones((2, 2))
        self.dropout = nnx.Dropout(0.1, rngs=rngs)


class TorchBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, (3, 5)), nn.ReLU(), nn.BatchNorm2d(4))
        self.heads = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 5)])
        self.norms = nn.ModuleDict({"layer": nn.LayerNorm(4), "group": nn.GroupNorm(2, 4)})
        self.embed = nn.Embedding(7, 4)
        self.scale = nn.Parameter(torch.rand(3))
        self.register_buffer("count", torch.tensor(5))
        self.register_buffer("mask", torch.ones(2, 2), persistent=False)


@pytest.fixture
def block() -> Block:
    return Block(rngs=nnx.Rngs(0))


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return TorchBlock().state_dict()


class Linears(nnx.Module):
    """Named linear layers."""

    def __init__(self, **shapes: tuple[int, int]) -> None:
        for name, (inputs, outputs) in shapes.items():
            setattr(self, name, nnx.Linear(inputs, outputs, use_bias=False, rngs=nnx.Rngs(0)))


# ------------------------------------------------------------------------------------ placed


def test_every_tensor_is_placed_in_the_targets_layout(
    block: Block, state: dict[str, torch.Tensor]
) -> None:
    transfer_weights(state, block)

    expected = {
        "conv": (block.body.layers[0].kernel, state["body.0.weight"].permute(2, 3, 1, 0)),
        "conv bias": (block.body.layers[0].bias, state["body.0.bias"]),
        "norm": (block.body.layers[2].scale, state["body.2.weight"]),
        "mean": (block.body.layers[2].mean, state["body.2.running_mean"]),
        "variance": (block.body.layers[2].var, state["body.2.running_var"]),
        "linear": (block.heads[1].kernel, state["heads.1.weight"].T),
        "layer norm": (block.norms["layer"].scale, state["norms.layer.weight"]),
        "group norm": (block.norms["group"].bias, state["norms.group.bias"]),
        "embedding": (block.embed.embedding, state["embed.weight"]),
        "parameter": (block.scale, state["scale"]),
        "buffer": (block.count, state["count"]),
    }
    for name, (mine, theirs) in expected.items():
        np.testing.assert_array_equal(np.asarray(mine[...]), theirs.numpy(), err_msg=name)
    assert block.count.dtype == jnp.int32


def test_placements_lead_back_to_torchs_layout(
    block: Block, state: dict[str, torch.Tensor]
) -> None:
    transfer_weights(state, block)

    places = placements(block)

    assert places.keys() == {name for name in state if not name.endswith("num_batches_tracked")}
    for name, place in places.items():
        mine = place.to_source(np.asarray(place.variable[...]))
        np.testing.assert_array_equal(mine, state[name].numpy(), err_msg=name)
        assert place.shape == tuple(state[name].shape)
    assert places["body.0.weight"].path == "body.layers.0.kernel"


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda tensor: tensor.numpy(), id="numpy"),
        pytest.param(lambda tensor: tensor.double(), id="float64"),
        pytest.param(lambda tensor: tensor.bfloat16(), id="bfloat16"),
        pytest.param(lambda tensor: jnp.asarray(tensor.numpy(), jnp.bfloat16), id="jax bfloat16"),
        pytest.param(lambda tensor: nn.Parameter(tensor), id="parameter"),
    ],
)
def test_tensors_of_other_kinds_take_the_modules_dtype(convert) -> None:
    module = Linears(fc=(2, 3))
    weight = torch.arange(6.0).reshape(3, 2) / 8

    transfer_weights({"fc.weight": convert(weight)}, module)

    assert module.fc.kernel.dtype == jnp.float32
    np.testing.assert_array_equal(np.asarray(module.fc.kernel[...]), weight.T.numpy())


def test_a_half_precision_module_stays_one() -> None:
    module = nnx.Linear(2, 3, use_bias=False, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))

    transfer_weights({"weight": torch.full((3, 2), 0.5)}, module)

    assert module.kernel.dtype == jnp.bfloat16
    assert (module.kernel[...] == 0.5).all()


def test_an_abstract_module_is_filled() -> None:
    module = nnx.eval_shape(lambda: Linears(fc=(2, 3)))

    transfer_weights({"fc.weight": np.ones((3, 2), np.float32)}, module)

    assert module.fc(jnp.ones((1, 2))).tolist() == [[2.0] * 3]


def test_counts_of_batches_are_placed_where_the_module_has_them() -> None:
    module = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    module.num_batches_tracked = nnx.BatchStat(jnp.zeros((), int))
    torch_module = nn.BatchNorm1d(2)
    torch_module(torch.rand(4, 2))

    transfer_weights(torch_module.state_dict(), module)

    assert module.num_batches_tracked[...] == 1


# -------------------------------------------------------------------------------------- tied


def test_a_layer_under_two_names_is_placed_once() -> None:
    module = Linears(one=(2, 3))
    module.other = module.one
    weight = torch.rand(3, 2)

    transfer_weights({"one.weight": weight, "other.weight": weight}, module)
    np.testing.assert_array_equal(np.asarray(module.one.kernel[...]), weight.T.numpy())

    transfer_weights({"other.weight": 2 * weight}, module)
    np.testing.assert_array_equal(np.asarray(module.one.kernel[...]), 2 * weight.T.numpy())


def test_a_layer_under_two_names_is_missing_once() -> None:
    module = Linears(one=(2, 3))
    module.other = module.one

    with pytest.raises(WeightsError, match=r"^1 tensor does not fit Linears"):
        transfer_weights({}, module)


def test_a_layer_under_two_names_takes_no_two_tensors() -> None:
    module = Linears(one=(2, 3))
    module.other = module.one

    with pytest.raises(WeightsError, match=r"one\.weight and .* differ, and are one"):
        transfer_weights({"one.weight": torch.rand(3, 2), "other.weight": torch.rand(3, 2)}, module)


@pytest.mark.parametrize(
    ("second", "accepted"),
    [
        pytest.param(lambda weight: weight, True, id="same memory"),
        pytest.param(lambda weight: weight.clone(), True, id="same content, as safetensors has it"),
        pytest.param(lambda weight: weight + 1, False, id="other content"),
        pytest.param(lambda weight: weight[:2], False, id="a part"),
    ],
)
def test_a_second_name_of_a_tensor_needs_no_place(second, accepted: bool) -> None:
    module = Linears(embed=(2, 3))
    weight = torch.rand(3, 2)
    state = {"embed.weight": weight, "head.weight": second(weight)}

    if accepted:
        transfer_weights(state, module)
        np.testing.assert_array_equal(np.asarray(module.embed.kernel[...]), weight.T.numpy())
    else:
        with pytest.raises(WeightsError, match=r"unused: head\.weight"):
            transfer_weights(state, module)


def test_a_constant_needs_no_tensor_where_the_caller_says_so() -> None:
    module = Linears(fc=(2, 3))
    module.mask = nnx.Variable(jnp.ones(2))
    state = {"fc.weight": np.ones((3, 2), np.float32)}

    with pytest.raises(WeightsError, match=r"missing: mask \(2,\) for mask \(2,\)$"):
        weights_nnx.transfer_weights(state, module)
    weights_nnx.transfer_weights(state, module, constants=["mask"])
    assert module.mask.tolist() == [1, 1]


def test_equal_constants_are_not_taken_for_tied() -> None:
    state = {"fc.weight": torch.zeros(3, 2), "forgotten.weight": torch.zeros(3, 2)}

    with pytest.raises(WeightsError, match=r"unused: forgotten\.weight \(3, 2\)"):
        transfer_weights(state, Linears(fc=(2, 3)))


# ------------------------------------------------------------------------------------ errors


def test_the_error_lists_everything_and_changes_nothing() -> None:
    module = Linears(fits=(2, 2), missing=(4, 5), misshapen=(2, 3))
    before = np.asarray(module.fits.kernel[...])
    state = {
        "fits.weight": np.ones((2, 2), np.float32),
        "misshapen.weight": np.ones((2, 3), np.float32),
        "unused.weight": np.ones((6, 7), np.float32),
    }

    with pytest.raises(WeightsError) as raised:
        transfer_weights(state, module)

    assert str(raised.value) == (
        "3 tensors do not fit Linears\n"
        "  misshapen: misshapen.weight (2, 3) for misshapen.kernel (2, 3), which takes (3, 2)\n"
        "  missing: missing.weight (5, 4) for missing.kernel (4, 5)\n"
        "  unused: unused.weight (6, 7)"
    )
    np.testing.assert_array_equal(np.asarray(module.fits.kernel[...]), before)


@pytest.mark.parametrize(
    ("tensor", "accepted"),
    [
        (np.ones(3, np.int64), True),
        (np.array([1, 2, 2**31], np.int64), False),
        (np.ones(3, bool), True),
        (np.ones(3, np.float32), False),
        (np.ones(3, np.complex64), False),
    ],
    ids=["int64", "too large", "bool", "float", "complex"],
)
def test_an_integer_buffer_takes_integers_that_fit(tensor: np.ndarray, accepted: bool) -> None:
    module = Linears()
    module.buffer = nnx.Variable(jnp.zeros(3, jnp.int32))

    if accepted:
        transfer_weights({"buffer": tensor}, module)
        assert module.buffer.tolist() == [1, 1, 1]
    else:
        with pytest.raises(WeightsError, match=r"misshapen: buffer .* cannot hold"):
            transfer_weights({"buffer": tensor}, module)


def test_other_frameworks_are_refused() -> None:
    with pytest.raises(TypeError, match=r"flax\.nnx or an mlx\.nn module, and not a Linear"):
        weights.transfer_weights({}, nn.Linear(2, 3))


# -------------------------------------------------------------------------------- on its own


def test_the_folder_needs_only_numpy_jax_and_flax() -> None:
    folder = Path(weights.__file__).parent
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "weights", {str(folder / "__init__.py")!r}, submodule_search_locations=[{str(folder)!r}]
)
sys.modules["weights"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["weights"])
import weights.nnx
foreign = {{name.partition(".")[0] for name in sys.modules}} & {{"torch", "mlx", "torchport", "torchport_translators"}}
assert not foreign, foreign
"""

    subprocess.run([sys.executable, "-c", code], check=True)


def test_dispatch_imports_no_framework() -> None:
    code = """
import sys
import torchport_translators.weights
assert not {"torch", "jax", "flax", "mlx", "numpy"} & set(sys.modules)
"""

    subprocess.run([sys.executable, "-c", code], check=True)
