"""Input values as numpy arrays: from a spec, and drawn anew with other distributions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .protocol import Array, Record, leaves, storage_dtype, tree_map

_TIES = np.array([-2.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 2.0])


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
        return Array(dtype, _rounded(rng.uniform(*bounds, shape), dtype))
    values = rng.standard_normal(shape)
    if storage.kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return Array(dtype, _rounded(values, dtype))


def _rounded(values: np.ndarray, dtype: str) -> np.ndarray:
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


def redraw(kind: str, call: Call, seed: int) -> Call:
    """`call` with its floating-point tensors drawn anew.

    `normal` leaves it as it is. `wide` draws with scale 3 and offset 1/2; `ties` draws from few
    values with zeros among them. Tensors that look like labels or probabilities keep their values,
    and bounded ones stay within their bounds.
    """
    if kind == "normal":
        return call
    rng = np.random.default_rng([seed, sum(kind.encode())])

    def draw(array: Array, bounds: tuple[float, float] | None) -> Array:
        values = array.value
        if not array.inexact or values.size == 0 or _is_label(values):
            return array
        if bounds is not None:
            low, high = bounds
            if kind == "wide":
                drawn = rng.uniform(low, high, values.shape)
            else:
                drawn = rng.choice([low, (low + high) / 2, high], values.shape)
        elif kind == "wide":
            drawn = 3 * rng.standard_normal(values.shape) + 0.5
        else:
            drawn = rng.choice(_TIES, values.shape)
        return Array(array.dtype, _rounded(drawn, array.dtype))

    paths = iter([path for path, _ in leaves([call.args, call.kwargs])])

    def each(leaf: Any) -> Any:
        path = next(paths)
        return draw(leaf, call.bounds.get(path)) if isinstance(leaf, Array) else leaf

    kwargs = dict(sorted(call.kwargs.items()))  # in the order in which `leaves` visits them
    args, kwargs = tree_map(each, [call.args, _sorted(kwargs)])
    return Call(args, kwargs, call.bounds)


def _sorted(value: Any) -> Any:
    """Nested dicts with their keys in the order in which `leaves` visits them."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=str)}
    return value


def _is_label(values: np.ndarray) -> bool:
    """Whether values look like labels, a mask, or probabilities, which have a meaning to keep."""
    if not np.all(np.isfinite(values)):
        return True
    if values.size > 4 and np.unique(values.reshape(-1)[:4096]).size <= 2:
        return True
    if values.ndim and values.shape[-1] > 1 and np.all(values >= 0):
        return bool(np.allclose(values.sum(-1), 1, atol=1e-4))
    return False


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
