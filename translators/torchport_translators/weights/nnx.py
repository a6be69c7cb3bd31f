"""Weights between torch's layout and flax.nnx modules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx

from .placing import Layout, Renamed, WeightsError, fit, same

__all__ = ["Placement", "WeightsError", "placements", "transfer_weights"]


@dataclass(frozen=True)
class Placement:
    """Where a torch tensor belongs.

    Attributes:
        path: the attributes that lead to the variable, e.g. `"encoder.layers.0.kernel"`.
        variable: what holds it; its value is an array or a `jax.ShapeDtypeStruct`.
        to_target: torch's layout to the variable's.
        to_source: the variable's layout to torch's, also of a gradient.
    """

    path: str
    variable: nnx.Variable[Any]
    to_target: Layout
    to_source: Layout
    required: ClassVar[bool] = True

    @property
    def key(self) -> int:
        """Equal for the names of one variable."""
        return id(self.variable)

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The shape that the variable has."""
        return self.variable.shape

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the tensor has in torch."""
        return self.to_source(np.broadcast_to(np.float32(0), self.variable.shape)).shape

    @property
    def dtype(self) -> str:
        """The name of the variable's dtype."""
        return self.variable.dtype.name


def _kernel_to_torch(kernel: np.ndarray) -> np.ndarray:
    """(*window, in, out) to (out, in, *window)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _kernel_from_torch(weight: np.ndarray) -> np.ndarray:
    """(out, in, *window) to (*window, in, out)."""
    return np.moveaxis(weight, (0, 1), (-1, -2))


_WEIGHT = Renamed("weight", same, same)

# What flax calls otherwise, by class and attribute.
_RENAMED: list[tuple[type, dict[str, Renamed]]] = [
    (nnx.Linear, {"kernel": Renamed("weight", np.transpose, np.transpose)}),
    (nnx.Conv, {"kernel": Renamed("weight", _kernel_from_torch, _kernel_to_torch)}),
    (nnx.Embed, {"embedding": _WEIGHT}),
    *[
        (norm, {"scale": _WEIGHT})
        for norm in (nnx.LayerNorm, nnx.RMSNorm, nnx.GroupNorm, nnx.InstanceNorm)
    ],
    (
        nnx.BatchNorm,
        {
            "scale": _WEIGHT,
            "mean": Renamed("running_mean", same, same),
            "var": Renamed("running_var", same, same),
        },
    ),
]

# Variables that no checkpoint holds.
_TRANSIENT = (nnx.RngState, nnx.Cache, nnx.Intermediate, nnx.Perturbation)


def placements(module: nnx.Module) -> dict[str, Placement]:
    """Every variable of a module by the name that torch gives it.

    A variable that is found under two names (a shared layer, a tied weight) has two entries.
    """
    return dict(_walk(module, "", "", ()))


def _walk(
    node: object, torch_prefix: str, prefix: str, above: tuple[object, ...]
) -> Iterator[tuple[str, Placement]]:
    """Placements below `node`; modules may refer to each other, so one is not entered from itself."""
    if any(node is parent for parent in above):
        return
    names: dict[str, Renamed] = {}
    for cls, renamed in _RENAMED:
        if isinstance(node, cls):
            names = renamed
    for name, value in _children(node):
        in_torch = names.get(name) or Renamed(name, same, same)
        full = torch_prefix + in_torch.name
        if isinstance(value, nnx.Variable):
            if not isinstance(value, _TRANSIENT):
                place = Placement(prefix + name, value, in_torch.to_target, in_torch.to_source)
                yield full, place
        elif isinstance(node, nnx.Sequential) and name == "layers":
            yield from _walk(value, torch_prefix, f"{prefix}{name}.", (*above, node))
        else:
            yield from _walk(value, f"{full}.", f"{prefix}{name}.", (*above, node))


def _children(node: object) -> Iterator[tuple[str, object]]:
    if isinstance(node, nnx.Pytree):
        for name, value in vars(node).items():
            if not name.startswith("_pytree__"):
                yield name, value
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield str(index), value
    elif isinstance(node, dict):
        for key, value in node.items():
            yield str(key), value


def transfer_weights(
    state: Mapping[str, object], module: nnx.Module, constants: Collection[str] = ()
) -> None:
    """Fill a module in place with torch's tensors.

    Args:
        state: torch's names to tensors (of torch, without importing it, or NumPy arrays).
        module: its attributes are named as in torch, apart from what flax names otherwise.
        constants: torch's names of tensors that it computes and does not save: where the state has
            none, the module may keep its own.

    Raises:
        WeightsError: a variable has no tensor, a tensor has no variable, or shapes or kinds differ;
            the module is unchanged then. Not at fault are `num_batches_tracked` where the module
            does not count batches, and a second name of a tensor that is placed by its first.
    """
    places = placements(module)
    for name, array in fit(state, places, module, constants=constants).items():
        place = places[name]
        place.variable.set_value(jnp.asarray(place.to_target(array), place.variable.dtype))
