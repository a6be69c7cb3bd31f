"""Weights between torch's layout and flax.nnx modules.

This file imports only numpy, jax and flax, so that a process without torchport can load it by path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

Layout = Callable[[np.ndarray], np.ndarray]


class WeightsError(ValueError):
    """A state and a module that do not fit; the message lists every tensor that is at fault."""


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

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the tensor has in torch."""
        return self.to_source(np.broadcast_to(np.float32(0), self.variable.shape)).shape


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _kernel_to_torch(kernel: np.ndarray) -> np.ndarray:
    """(*window, in, out) to (out, in, *window)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _kernel_from_torch(weight: np.ndarray) -> np.ndarray:
    """(out, in, *window) to (*window, in, out)."""
    return np.moveaxis(weight, (0, 1), (-1, -2))


# What flax calls otherwise: by class, attribute to torch's name and the layout change each way.
_RENAMED: list[tuple[type, dict[str, tuple[str, Layout, Layout]]]] = [
    (nnx.Linear, {"kernel": ("weight", np.transpose, np.transpose)}),
    (nnx.Conv, {"kernel": ("weight", _kernel_from_torch, _kernel_to_torch)}),
    (nnx.Embed, {"embedding": ("weight", _same, _same)}),
    *[
        (norm, {"scale": ("weight", _same, _same)})
        for norm in (nnx.LayerNorm, nnx.RMSNorm, nnx.GroupNorm, nnx.InstanceNorm)
    ],
    (
        nnx.BatchNorm,
        {
            "scale": ("weight", _same, _same),
            "mean": ("running_mean", _same, _same),
            "var": ("running_var", _same, _same),
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
    names: dict[str, tuple[str, Layout, Layout]] = {}
    for cls, renamed in _RENAMED:
        if isinstance(node, cls):
            names = renamed
    for name, value in _children(node):
        torch_name, to_target, to_source = names.get(name, (name, _same, _same))
        full = torch_prefix + torch_name
        if isinstance(value, nnx.Variable):
            if not isinstance(value, _TRANSIENT):
                yield full, Placement(prefix + name, value, to_target, to_source)
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


def transfer_weights(state: Mapping[str, object], module: nnx.Module) -> None:
    """Fill a module in place with torch's tensors.

    Args:
        state: torch's names to tensors (of torch, without importing it, or NumPy arrays).
        module: its attributes are named as in torch, apart from what flax names otherwise.

    Raises:
        WeightsError: a variable has no tensor, a tensor has no variable, or shapes or kinds differ;
            the module is unchanged then. Not at fault are `num_batches_tracked` where the module
            does not count batches, and a second name of a tensor that is placed by its first.
    """
    places = placements(module)
    arrays = {name: _to_numpy(tensor) for name, tensor in state.items()}
    problems: list[str] = []
    filled: dict[int, str] = {}
    for name in [name for name in places if name in arrays]:
        place, array = places[name], arrays[name]
        variable = place.variable
        if array.shape != place.shape:
            problems.append(
                f"misshapen: {name} {array.shape} for {place.path} {variable.shape}, "
                f"which takes {place.shape}"
            )
        elif not _converts(array, variable.dtype):
            problems.append(
                f"misshapen: {name} is {array.dtype}, which {place.path}, {variable.dtype}, "
                "cannot hold"
            )
        first = filled.setdefault(id(variable), name)
        if first != name and not _equal(array, arrays[first]):
            problems.append(f"unlike: {first} and {name} differ, and are one {places[first].path}")
    for name, place in places.items():
        if id(place.variable) not in filled:
            filled[id(place.variable)] = name
            problems.append(
                f"missing: {name} {place.shape} for {place.path} {place.variable.shape}"
            )
    for name in arrays:
        if name not in places and not _is_spare(name, arrays, places):
            problems.append(f"unused: {name} {arrays[name].shape}")
    if problems:
        count = "1 tensor does" if len(problems) == 1 else f"{len(problems)} tensors do"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise WeightsError(f"{count} not fit {type(module).__name__}\n{lines}")
    for name, place in places.items():
        if name in arrays:
            value = place.to_target(arrays[name])
            place.variable.set_value(jnp.asarray(value, place.variable.dtype))


def _to_numpy(tensor: Any) -> np.ndarray:
    """A torch tensor, known by its methods, or whatever numpy takes."""
    if not hasattr(tensor, "detach"):
        return np.asarray(tensor)
    tensor = tensor.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # numpy has no bfloat16
        return tensor.float().numpy()


def _converts(array: np.ndarray, dtype: np.dtype[Any]) -> bool:
    """Whether a dtype can hold what an array holds, up to the precision of floats."""
    kinds = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
    given, wanted = (
        next(i for i, kind in enumerate(kinds) if jnp.issubdtype(each, kind))
        for each in (array.dtype, dtype)
    )
    if given == wanted == 1 and array.size:
        limits = jnp.iinfo(dtype)
        return bool(limits.min <= array.min() and array.max() <= limits.max)
    return given <= wanted


def _is_spare(name: str, arrays: Mapping[str, np.ndarray], placed: Mapping[str, Placement]) -> bool:
    """Whether a tensor needs no place: a count of batches, or one tied to another that has a place."""
    if name.rpartition(".")[2] == "num_batches_tracked":
        return True
    array = arrays[name]
    return any(_tied(array, arrays[other]) for other in placed if other in arrays)


def _tied(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are one, by their memory or by their content.

    Equal constants say nothing: a new model's biases are all zeros.
    """
    if one.shape != other.shape or one.size == 0:
        return False
    if np.shares_memory(one, other):
        return True
    return bool((one != one.flat[0]).any()) and _equal(one, other)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=jnp.issubdtype(one.dtype, jnp.inexact))
