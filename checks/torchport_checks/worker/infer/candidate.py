"""A call before its tensors are drawn: what the search tries and changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..inputs import Call, tensor
from ..protocol import Array, leaves


@dataclass(frozen=True)
class Drawn:
    """A tensor to be drawn: standard normal, or within `bounds`, both ends included."""

    dtype: str
    shape: tuple[int, ...]
    bounds: tuple[float, float] | None = None

    @property
    def is_float(self) -> bool:
        """Whether it holds floating-point numbers."""
        return self.dtype.startswith(("float", "bfloat"))


@dataclass(frozen=True)
class Candidate:
    """Values for `parameters`: `Drawn` tensors, alone or in lists and tuples, and plain values."""

    parameters: Sequence[inspect.Parameter]
    values: tuple[Any, ...]
    seed: int = 0

    @property
    def key(self) -> str:
        """Equal for candidates that make the same call."""
        return repr([id(v) if isinstance(v, Array) else v for v in self.values])

    @property
    def tensors(self) -> list[Drawn]:
        """The tensors to be drawn, in order."""
        found: list[Drawn] = []
        self._mapped(lambda drawn: found.append(drawn))
        return found

    def with_tensors(self, tensors: Sequence[Drawn]) -> Candidate:
        """The candidate with other tensors, as many as `self.tensors`."""
        left = iter(tensors)
        return replace(self, values=self._mapped(lambda _: next(left)))

    def with_tensor(self, number: int, drawn: Drawn) -> Candidate:
        """The candidate with another tensor at `number` of `self.tensors`."""
        tensors = self.tensors
        tensors[number] = drawn
        return self.with_tensors(tensors)

    def with_value(self, number: int, value: Any) -> Candidate:
        """The candidate with another value for the parameter `number`."""
        values = [*self.values]
        values[number] = value
        return replace(self, values=tuple(values))

    def call(self) -> tuple[Call, list[Array]]:
        """The call, and the tensors drawn for it in the order of `tensors`."""
        arrays: list[Array] = []
        bounds: dict[int, tuple[float, float]] = {}

        def draw(drawn: Drawn) -> Array:
            rng = np.random.default_rng([self.seed, len(arrays)])
            array = tensor(drawn.dtype, drawn.shape, rng, drawn.bounds)
            arrays.append(array)
            if drawn.bounds is not None:
                bounds[id(array)] = drawn.bounds
            return array

        call = Call([])
        for parameter, value in zip(self.parameters, self._mapped(draw), strict=True):
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                call.kwargs[parameter.name] = value
            else:
                call.args.append(value)
        for path, leaf in leaves([call.args, call.kwargs]):
            if id(leaf) in bounds:
                call.bounds[path] = bounds[id(leaf)]
        return call, arrays

    def _mapped(self, function: Callable[[Drawn], Any]) -> tuple[Any, ...]:
        def each(value: Any) -> Any:
            if isinstance(value, Drawn):
                return function(value)
            if type(value) in (list, tuple):
                return type(value)(each(item) for item in value)
            return value

        return tuple(each(value) for value in self.values)
