"""Input values as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .protocol import Array, Record, leaves, storage_dtype


@dataclass
class Call:
    """The arguments of one call, tensors as `Array`; `bounds` by the id of a bounded array."""

    args: list[Any]
    kwargs: dict[str, Any] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def named(self, names: list[str]) -> list[tuple[str, Any]]:
        """The arguments with the parameter names `names` of the positional ones."""
        extra = [f"args[{i}]" for i in range(len(self.args) - len(names))]
        return [*zip([*names, *extra], self.args, strict=False), *self.kwargs.items()]


def tensor(
    dtype: str,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    bounds: tuple[float, float] | None = None,
) -> Array:
    """A tensor of `dtype` and `shape`: standard normal, or uniform within `bounds`.

    Integers are in [0, 4) unless bounded, both ends included; booleans are fair coins.
    """
    storage = np.dtype(storage_dtype(dtype))
    if storage.kind == "b":
        return Array(dtype, rng.integers(0, 2, shape).astype(bool))
    if storage.kind in "iu":
        low, high = bounds or (0, 3)
        return Array(dtype, rng.integers(int(low), int(high), shape, endpoint=True).astype(storage))
    if bounds is not None:
        return Array(dtype, rounded(rng.uniform(*bounds, shape), dtype))
    values = rng.standard_normal(shape)
    if storage.kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return Array(dtype, rounded(values, dtype))


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """`values` in the storage of `dtype`, exactly representable in `dtype` itself."""
    stored = np.asarray(values, dtype=storage_dtype(dtype))
    if storage_dtype(dtype) != dtype:
        # Cut to the 8 leading bits that bfloat16 has.
        stored = (stored.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return stored


def materialise(value: Any, rng: np.random.Generator, lookup: Any) -> tuple[Any, dict]:
    """A spec's value with tensors drawn and names looked up, and the bounds by leaf path.

    `lookup(name)` gives the value of a module-level name in the file.
    """
    bounds: dict[int, tuple[float, float]] = {}

    def build(node: Any) -> Any:
        match node:
            case Record(name="tensor"):
                fields = node.fields
                limits = fields["bounds"]
                array = tensor(fields["dtype"], tuple(fields["shape"]), rng, limits)
                if limits is not None:
                    bounds[id(array)] = tuple(limits)
                return array
            case Record(name="name"):
                return lookup(node.fields["id"])
            case Record(name="call"):
                function = lookup(node.fields["id"])
                return function(*build(node.fields["args"]), **build(node.fields["kwargs"]))
            case list():
                return [build(item) for item in node]
            case tuple():
                return tuple(build(item) for item in node)
            case dict():
                return {key: build(item) for key, item in node.items()}
            case _:
                return node

    built = build(value)
    return built, {path: bounds[id(leaf)] for path, leaf in leaves(built) if id(leaf) in bounds}


def describe(value: Any) -> str:
    """A value for people: `f32[8, 16]`, `3`, `[f32[2]]`."""
    if isinstance(value, Array):
        return f"{short_dtype(value.dtype)}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, Record):
        inner = ", ".join(f"{name}={describe(item)}" for name, item in value.fields.items())
        return f"{value.name}({inner})"
    if isinstance(value, list | tuple):
        inner = ", ".join(map(describe, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {describe(item)}" for key, item in value.items()) + "}"
    return repr(value)


def short_dtype(dtype: str) -> str:
    """`float32` as `f32`, as the check comment spells it."""
    for long, short in (
        ("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i"), ("complex", "c")
    ):  # fmt: skip
        if dtype.startswith(long):
            return short + dtype.removeprefix(long)
    return dtype
