"""Torch's tensors against the places that a ported module has for them, whatever its framework.

This folder imports only numpy and the frameworks, so that a process without torchport can load it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Layout = Callable[[np.ndarray], np.ndarray]

_KINDS = (("bool",), ("int", "uint"), ("float", "bfloat"), ("complex",))


class WeightsError(ValueError):
    """A state and a module that do not fit; the message lists every tensor that is at fault."""


class Place(Protocol):
    """Where a torch tensor belongs: what the frameworks' placements have in common."""

    @property
    def path(self) -> str:
        """The attributes that lead to it, e.g. `"encoder.layers.0.kernel"`."""
        ...

    @property
    def key(self) -> Hashable:
        """Equal for the names of one place: of a layer that is shared, of a weight that is tied."""
        ...

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The shape that the module's array has."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the tensor has in torch."""
        ...

    @property
    def dtype(self) -> str:
        """The name of the dtype that the module's array has."""
        ...

    @property
    def required(self) -> bool:
        """Whether a state without a tensor for it is at fault."""
        ...


@dataclass(frozen=True)
class Renamed:
    """What a layer of the target's library calls otherwise than torch.

    Attributes:
        name: torch's name.
        to_target: torch's layout to the target's.
        to_source: the target's layout to torch's, also of a gradient.
    """

    name: str
    to_target: Layout
    to_source: Layout


def same(array: np.ndarray) -> np.ndarray:
    """The layout that both sides have."""
    return array


def fit(
    state: Mapping[str, object],
    places: Mapping[str, Place],
    module: object,
    *,
    constants: Collection[str] = (),
    unplaced: Mapping[str, str] | None = None,
) -> dict[str, np.ndarray]:
    """The array for each named place, in torch's layout.

    Args:
        state: torch's names to tensors (of torch, without importing it, or NumPy arrays).
        places: the module's, by torch's names.
        module: named in the error.
        constants: torch's names of tensors that it computes: the module may keep its own.
        unplaced: what in the module cannot take torch's tensors, by torch's prefix, and why.

    Raises:
        WeightsError: a place has no tensor, a tensor has no place, or shapes or kinds differ. Not at
            fault are `num_batches_tracked` where the module does not count batches, and a second
            name of a tensor that is placed by its first.
    """
    arrays = {name: to_numpy(tensor) for name, tensor in state.items()}
    unplaced = unplaced or {}
    problems: list[str] = []
    filled: dict[Hashable, str] = {}
    for name in [name for name in places if name in arrays]:
        place, array = places[name], arrays[name]
        if array.shape != place.shape:
            problems.append(
                f"misshapen: {name} {array.shape} for {place.path} {place.target_shape}, "
                f"which takes {place.shape}"
            )
        elif not _converts(array, place.dtype):
            problems.append(
                f"misshapen: {name} is {array.dtype}, which {place.path}, {place.dtype}, "
                "cannot hold"
            )
        first = filled.setdefault(place.key, name)
        if first != name and not _equal(array, arrays[first]):
            problems.append(f"unlike: {first} and {name} differ, and are one {places[first].path}")
    for name, place in places.items():
        if place.required and place.key not in filled and name not in constants:
            filled[place.key] = name
            problems.append(f"missing: {name} {place.shape} for {place.path} {place.target_shape}")
    for prefix, why in unplaced.items():
        problems.append(f"not convertible: {prefix.rstrip('.') or 'the module'} {why}")
    for name in arrays:
        explained = name in places or name.startswith(tuple(unplaced))
        if not explained and not _is_spare(name, arrays, places):
            problems.append(f"unused: {name} {arrays[name].shape}")
    if problems:
        count = "1 tensor does" if len(problems) == 1 else f"{len(problems)} tensors do"
        if unplaced:
            count = "The tensors do"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise WeightsError(f"{count} not fit {type(module).__name__}\n{lines}")
    return {name: arrays[name] for name in places if name in arrays}


def to_numpy(tensor: Any) -> np.ndarray:
    """A torch tensor, known by its methods, or whatever numpy takes."""
    if not hasattr(tensor, "detach"):
        return np.asarray(tensor)
    tensor = tensor.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # numpy has no bfloat16
        return tensor.float().numpy()


def _kind(dtype: str) -> int:
    return next(i for i, starts in enumerate(_KINDS) if dtype.startswith(starts))


def _converts(array: np.ndarray, dtype: str) -> bool:
    """Whether a dtype can hold what an array holds, up to the precision of floats."""
    given, wanted = _kind(array.dtype.name), _kind(dtype)
    if given == wanted == 1 and array.size:
        bits = int(dtype.lstrip("uint"))
        low, high = (
            (0, 2**bits - 1) if dtype[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
        return bool(low <= int(array.min()) and int(array.max()) <= high)
    return given <= wanted


def _is_spare(name: str, arrays: Mapping[str, np.ndarray], placed: Mapping[str, Place]) -> bool:
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
    return np.array_equal(one, other, equal_nan=_kind(one.dtype.name) >= 2)
