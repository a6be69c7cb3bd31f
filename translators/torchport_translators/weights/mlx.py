"""Weights between torch's layout and mlx.nn modules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from .placing import Layout, Renamed, WeightsError, fit, same

__all__ = ["Placement", "WeightsError", "placements", "transfer_weights"]


@dataclass(frozen=True)
class Placement:
    """Where a torch tensor belongs.

    Attributes:
        path: the attributes that lead to the array, e.g. `"encoder.layers.0.weight"`.
        owner: the module, dict or list that holds the array.
        name: the array's key there.
        to_target: torch's layout to the array's.
        to_source: the array's layout to torch's, also of a gradient.
        required: False where MLX keeps no weights: below an attribute whose name begins with `_`.
        trainable: whether MLX differentiates by it: it is required, and not frozen.
    """

    path: str
    owner: Any
    name: str | int
    to_target: Layout
    to_source: Layout
    required: bool
    trainable: bool

    @property
    def array(self) -> mx.array:
        """The array that is there now."""
        return self.owner[self.name]

    def place(self, array: mx.array) -> None:
        """Put another array there."""
        self.owner[self.name] = array

    @property
    def key(self) -> tuple[int, str | int]:
        """Equal for the names of one place: of a layer that is shared."""
        return id(self.owner), self.name

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The shape that the array has."""
        return self.array.shape

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the tensor has in torch."""
        return self.to_source(np.broadcast_to(np.float32(0), self.array.shape)).shape

    @property
    def dtype(self) -> str:
        """The name of the array's dtype."""
        return str(self.array.dtype).rpartition(".")[2]


def _channels_last(weight: np.ndarray) -> np.ndarray:
    """(out, in, *window) to (out, *window, in)."""
    return np.moveaxis(weight, 1, -1)


def _channels_first(weight: np.ndarray) -> np.ndarray:
    """(out, *window, in) to (out, in, *window)."""
    return np.moveaxis(weight, -1, 1)


def _transposed_from_torch(weight: np.ndarray) -> np.ndarray:
    """(in, out, *window) to (out, *window, in)."""
    return np.moveaxis(weight, 0, -1)


def _transposed_to_torch(weight: np.ndarray) -> np.ndarray:
    """(out, *window, in) to (in, out, *window)."""
    return np.moveaxis(weight, -1, 0)


def _swapped(weight: np.ndarray) -> np.ndarray:
    """(out, in1, in2) to (out, in2, in1), and back."""
    return np.swapaxes(weight, 1, 2)


def _recurrent(inputs: str, hidden: str) -> dict[str, Renamed]:
    """The two matrices of a recurrent layer: rows of gates in one order, MLX's and torch's."""
    return {
        inputs: Renamed("weight_ih_l0", same, same),
        hidden: Renamed("weight_hh_l0", same, same),
    }


# What MLX names or lays out otherwise, by class and attribute.
_RENAMED: list[tuple[tuple[type, ...], dict[str, Renamed]]] = [
    (
        (nn.Conv1d, nn.Conv2d, nn.Conv3d),
        {"weight": Renamed("weight", _channels_last, _channels_first)},
    ),
    (
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
        {"weight": Renamed("weight", _transposed_from_torch, _transposed_to_torch)},
    ),
    ((nn.Bilinear,), {"weight": Renamed("weight", _swapped, _swapped)}),
    ((nn.RNN,), _recurrent("Wxh", "Whh")),
    ((nn.LSTM, nn.GRU), _recurrent("Wx", "Wh")),
]


def _unconvertible(node: object) -> str | None:
    """Why a layer of MLX cannot hold what torch's has, one tensor for one; None where it can."""
    what = f"is an mlx.nn.{type(node).__name__}"
    own = "Hold torch's tensors under torch's names in a module of the port's own."
    if isinstance(node, nn.RNN | nn.LSTM | nn.GRU) and any(n in node for n in ("bias", "b")):
        return f"{what} with biases, which are sums of torch's bias_ih_l0 and bias_hh_l0. {own}"
    if isinstance(node, nn.MultiHeadAttention):
        return f"{what}, which has three layers for torch's in_proj_weight. {own}"
    return None


def placements(module: nn.Module) -> dict[str, Placement]:
    """Every array of a module by the name that torch gives it.

    A layer that is found under two names has two entries for each of its arrays. As for MLX itself,
    what a tuple holds is not part of the module.
    """
    found = _walk(module, "", "", True, True, ())
    return {name: place for name, place in found if isinstance(place, Placement)}


def _walk(
    node: object,
    torch_prefix: str,
    prefix: str,
    required: bool,
    trainable: bool,
    above: tuple[object, ...],
) -> Iterator[tuple[str, Placement | str]]:
    """Placements below `node`, and for each layer that cannot be filled the reason.

    Modules may refer to each other, so one is not entered from itself.
    """
    if any(node is parent for parent in above):
        return
    if (why := _unconvertible(node)) is not None:
        yield torch_prefix, why
        return
    names: dict[str | int, Renamed] = {}
    for classes, renamed in _RENAMED:
        if isinstance(node, classes):
            names = {**renamed}
    frozen: set[str] = node._no_grad if isinstance(node, nn.Module) else set()
    for name, value in _children(node):
        in_torch = names.get(name) or Renamed(str(name), same, same)
        full = torch_prefix + in_torch.name
        kept = required and not str(name).startswith("_")
        trains = trainable and kept and name not in frozen
        if isinstance(value, mx.array):
            yield (
                full,
                Placement(
                    f"{prefix}{name}",
                    node,
                    name,
                    in_torch.to_target,
                    in_torch.to_source,
                    kept,
                    trains,
                ),
            )
            continue
        inner = torch_prefix if isinstance(node, nn.Sequential) and name == "layers" else f"{full}."
        yield from _walk(value, inner, f"{prefix}{name}.", kept, trains, (*above, node))


def _children(node: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(node, dict):  # a module is one, of what may hold arrays
        yield from node.items()
    elif isinstance(node, list):
        yield from enumerate(node)


def transfer_weights(
    state: Mapping[str, object], module: nn.Module, constants: Collection[str] = ()
) -> None:
    """Fill a module in place with torch's tensors.

    Args:
        state: torch's names to tensors (of torch, without importing it, or NumPy arrays).
        module: its attributes are named as in torch, apart from what MLX names otherwise.
        constants: torch's names of tensors that it computes and does not save: where the state has
            none, the module may keep its own.

    Raises:
        WeightsError: an array has no tensor, a tensor has no array, shapes or kinds differ, or MLX's
            layer cannot hold what torch's has; the module is unchanged then. Not at fault are an
            array without a tensor that is no parameter in MLX (below an attribute whose name begins
            with `_`), `num_batches_tracked` where the module does not count batches, and a second
            name of a tensor that is placed by its first.
    """
    found = list(_walk(module, "", "", True, True, ()))
    places = {name: place for name, place in found if isinstance(place, Placement)}
    unplaced = {prefix: why for prefix, why in found if isinstance(why, str)}
    # One array in two places is a tied weight, whose second name a checkpoint may leave out.
    named = {id(place.array): state[name] for name, place in places.items() if name in state}
    tied = {n: named[id(p.array)] for n, p in places.items() if id(p.array) in named}
    filled = fit({**tied, **state}, places, module, constants=constants, unplaced=unplaced)
    for name, array in filled.items():
        place = places[name]
        place.place(_to_mlx(place.to_target(array), place.array.dtype))


def _to_mlx(array: np.ndarray, dtype: mx.Dtype) -> mx.array:
    if array.dtype.kind == "V":  # an extension of numpy's types, as bfloat16 is
        array = array.astype(np.float32)
    return mx.array(array, dtype)
