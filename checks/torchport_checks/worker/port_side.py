"""What the lanes of ports have in common, whatever the framework: making the port, and its calls."""

from __future__ import annotations

import abc
import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from .loading import Loaded, StageError, describe, signature
from .protocol import Array, Opaque, Record

_WEIGHTS = "_torchport_weights"


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where output number `index` stands in the output's structure."""

    index: int


class PortSide(abc.ABC):
    """The operations that are one for all frameworks; a framework's side derives from it.

    Attributes:
        library: what modules come from, e.g. `"flax.nnx"`.
        module_class: their base class.
        loaded: the file.
        target: the port: a function, or a constructed module.
        places: of a module, where each of torch's tensors is.
    """

    library: str
    module_class: type

    def ping(self) -> bool:
        """Answer."""
        return True

    def load(self, path: str, source: Array, equivalent: bool = False) -> dict[str, Any]:
        """Run the file and give the lines of its definitions.

        With `equivalent` its operators are replaced by the framework's functions.
        """
        self.loaded = Loaded(path, source.value.tobytes(), self.operators() if equivalent else None)
        found = vars(self.loaded.module)
        lines = {n: line for n, line in self.loaded.lines().items() if callable(found.get(n))}
        return {"lines": lines, "dependencies": self.loaded.dependencies()}

    def make(
        self,
        name: str,
        init: Any,
        weights: dict[str, Array],
        weights_module: str,
        constants: list[str],
    ) -> dict[str, Any]:
        """Construct `name` and give it `weights`; `constants` it may keep as it makes them.

        Returns `failed`, the stage that failed or None, and then the `error`.
        """
        self.places: dict[str, Any] = {}
        stage = "CONSTRUCTION"
        try:
            self.target = getattr(self.loaded.module, name)
            if init is not None:
                self.target = self._construct(self.target, init)
                stage = "WEIGHTS"
                self._transfer(weights, weights_module, constants)
        except BaseException as error:  # sys.exit included
            return {"failed": stage, "error": describe(error)}
        return {"failed": None}

    def _construct(self, value: Any, init: dict[str, Any]) -> Any:
        """An instance of a class, or a function with the modules that it takes."""
        if "modules" not in init:
            return self.instance(value, init)
        names = vars(self.loaded.module)
        return self.bound(
            value, {p["parameter"]: self.instance(names[p["class"]], p) for p in init["modules"]}
        )

    def _transfer(self, weights: dict[str, Array], path: str, constants: list[str]) -> None:
        if not isinstance(self.target, self.module_class):
            if weights:
                raise StageError(
                    "WEIGHTS",
                    f"the port is a {type(self.target).__name__}, not a {self.library} Module, and "
                    "cannot take the original's weights",
                )
            return
        transfer = _weights_module(Path(path))
        state = {n: self.numpy(a) for n, a in weights.items()}
        transfer.transfer_weights(state, self.target, constants)
        self.placements = transfer.placements
        self.places = transfer.placements(self.target)

    # What a framework's side gives.

    @abc.abstractmethod
    def operators(self) -> dict[str, Any]:
        """What an equivalent graph calls in the place of operators: `equivalents.namespace`."""

    @abc.abstractmethod
    def instance(self, cls: Any, init: dict[str, Any]) -> Any:
        """`cls` with the travelled arguments `init`."""

    @abc.abstractmethod
    def bound(self, function: Any, modules: dict[str, Any]) -> Any:
        """A module of `modules` by name, that calls `function` with them and other arguments."""

    @abc.abstractmethod
    def numpy(self, array: Array) -> np.ndarray:
        """A travelled array as the framework takes it from numpy."""

    @abc.abstractmethod
    def array(self, array: Array) -> Any:
        """A travelled array as the framework's."""

    @abc.abstractmethod
    def exported(self) -> dict[str, Array]:
        """The arrays of the constructed module by the names, and in the layout, that they have there."""

    @abc.abstractmethod
    def dtype(self, name: str) -> Any:
        """The framework's dtype of a name of torch's."""

    # Values that travel.

    def unwire(self, value: Any) -> Any:
        """A travelled value as the port sees it."""
        match value:
            case Array():
                return self.array(value)
            case Record(name="$dtype"):
                return self.dtype(value.fields["name"])
            case Record(name="$device"):
                return None
            case Record():
                cls = getattr(self.loaded.module, value.name)
                return cls(**{k: self.unwire(v) for k, v in value.fields.items()})
            case list():
                return [self.unwire(item) for item in value]
            case tuple():
                return tuple(self.unwire(item) for item in value)
            case dict():
                return {key: self.unwire(item) for key, item in value.items()}
            case _:
                return value

    def template(
        self, args: Any, kwargs: Any, names: list[str], inputs: dict[str, Any]
    ) -> Callable[[dict[str, Any]], tuple[list[Any], dict[str, Any]]]:
        """Collect the tensors among the arguments in `inputs`; return what puts others in."""

        def collect(path: str, value: Any) -> Callable[[dict[str, Any]], Any]:
            match value:
                case Array():
                    inputs[path] = self.unwire(value)
                    return lambda given: given[path]
                case list() | tuple():
                    parts = [collect(f"{path}[{i}]", v) for i, v in enumerate(value)]
                    kind = type(value)
                    return lambda given: kind(part(given) for part in parts)
                case dict():
                    fields = {k: collect(f"{path}[{k!r}]", v) for k, v in value.items()}
                    return lambda given: {k: part(given) for k, part in fields.items()}
                case _:
                    plain = self.unwire(value)
                    return lambda given: plain

        positional = [collect(names[i], value) for i, value in enumerate(args)]
        keyword = {name: collect(name, value) for name, value in kwargs.items()}
        return lambda given: (
            [part(given) for part in positional],
            {name: part(given) for name, part in keyword.items()},
        )

    def source_layout(self, name: str, array: Array) -> Array:
        """A variable's value, or its gradient, as torch lays it out."""
        return Array(array.dtype, self.places[name].to_source(array.value))


def bound_call(
    function: Any, modules: Collection[str], extra: Callable[[], dict[str, Any]] = dict
) -> Callable[[Any, Any, Any], Any]:
    """`call(bound, args, kwargs)`: `function` with the modules that are attributes of `bound`.

    Args:
        modules: the names of the parameters that take them, and of the attributes.
        extra: gives further keyword arguments.
    """
    names = list(signature(function).parameters)

    def call(bound: Any, args: Any, kwargs: Any) -> Any:
        given = list(args)
        for name in modules:
            position = names.index(name)
            if position <= len(given):
                given.insert(position, getattr(bound, name))
            else:
                kwargs[name] = getattr(bound, name)
        return function(*given, **kwargs, **extra())

    return call


def slots(value: Any, found: list[Any], taken: Callable[[Any], Any]) -> Any:
    """The structure of an output, its arrays taken out into `found` in the order of `leaves`.

    Args:
        taken: the framework's array for a leaf, an `Opaque`, or None where it is neither.
    """
    array = taken(value)
    if isinstance(array, Opaque):
        return array
    if array is not None:
        found.append(array)
        return Slot(len(found) - 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        fields = {n: slots(getattr(value, n), found, taken) for n in names}
        return Record(type(value).__name__, fields)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        pairs = zip(value._fields, value, strict=True)
        return Record(type(value).__name__, {n: slots(item, found, taken) for n, item in pairs})
    if isinstance(value, list | tuple):
        return type(value)([slots(item, found, taken) for item in value])
    if isinstance(value, dict):
        return {key: slots(value[key], found, taken) for key in sorted(value, key=str)}
    if value is None or isinstance(value, bool | int | float | complex | str):
        return value
    return Opaque(type(value).__qualname__)


def _weights_module(path: Path) -> Any:
    """The weights transfer in the file at `path`; the folder around it is loaded as a package."""
    if _WEIGHTS not in sys.modules:
        folder = path.parent
        spec = importlib.util.spec_from_file_location(
            _WEIGHTS, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        package = importlib.util.module_from_spec(spec)
        sys.modules[_WEIGHTS] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{_WEIGHTS}.{path.stem}")
