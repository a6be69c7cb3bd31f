"""The torch lane: runs the original, works out its inputs, and gives the float64 reference."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import inspect
import itertools
import os
import shutil
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from . import checkpoint, equivalents, infer, torch_behaviour, trace
from .inputs import Call, materialise
from .inputs import describe as show
from .loading import Loaded, StageError, describe, signature
from .protocol import Array, Opaque, Record, cotangent, leaves, storage_dtype, tree_map
from .rounding import RandomRounding

_LARGE = 20_000_000
_OPERATORS = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "truediv": torch.div,
    "matmul": torch.matmul, "pow": torch.pow, "sqrt": torch.sqrt, "neg": torch.neg,
    "not_": lambda x: not x, "invert": torch.bitwise_not,
}  # fmt: skip
_DOUBLE = {torch.float32: torch.float64, torch.complex64: torch.complex128}
# Arguments in half precision are exact in float64; what the code itself rounds to half stays so.
_WIDE = _DOUBLE | {torch.float16: torch.float64, torch.bfloat16: torch.float64}


def to_wire(value: Any) -> Any:
    """A torch value as what travels; tensors are copied."""
    return tree_map(_leaf_to_wire, _containers(value))


def _leaf_to_wire(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        tensor = value.detach()
        if tensor.layout != torch.strided:
            tensor = tensor.to_dense()
        tensor = tensor.resolve_conj().resolve_neg().cpu()
        dtype = str(tensor.dtype).removeprefix("torch.")
        if storage_dtype(dtype) == dtype:
            return Array(dtype, tensor.numpy().copy())
        # Under `_Doubling`, `float` gives float64.
        return Array(dtype, tensor.float().numpy().astype(storage_dtype(dtype)))
    if isinstance(value, np.ndarray | np.generic):
        return Array(value.dtype.name, np.array(value))
    if isinstance(value, Array):
        return value
    if isinstance(value, torch.dtype):
        return Record("$dtype", {"name": str(value).removeprefix("torch.")})
    if isinstance(value, torch.device):
        return Record("$device", {"name": str(value)})
    if value is None or isinstance(value, bool | int | float | complex | str | Opaque):
        return value
    return Opaque(type(value).__qualname__)


def _containers(value: Any) -> Any:
    """`value` with dataclasses and named tuples as `Record`, down to the leaves."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Array | Record | Opaque):
        fields = dataclasses.fields(value)
        return Record(
            type(value).__name__, {f.name: _containers(getattr(value, f.name)) for f in fields}
        )
    if isinstance(value, tuple):
        items = tuple(_containers(item) for item in value)
        if hasattr(value, "_fields"):
            return Record(type(value).__name__, dict(zip(value._fields, items, strict=True)))
        return items
    if isinstance(value, list):
        return [_containers(item) for item in value]
    if isinstance(value, dict):
        return {key: _containers(item) for key, item in value.items()}
    return value


class _Doubling(TorchFunctionMode):
    """Makes float64 of every float32 that the code asks for by name, for the reference."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(_DOUBLE.get(a, a) if isinstance(a, torch.dtype) else a for a in args)
        dtype = kwargs.get("dtype")
        if isinstance(dtype, torch.dtype):
            kwargs = {**kwargs, "dtype": _DOUBLE.get(dtype, dtype)}
        if func is torch.rms_norm and kwargs.get("eps", args[3] if args[3:] else None) is None:
            args, kwargs = args[:3], {**kwargs, "eps": _FINFO(torch.float32).eps}
        return func(*args, **kwargs)


# What torch documents no order for among equal elements.
_UNORDERED = {"topk", "sort", "argsort", "kthvalue", "median", "nanmedian"}
# What hands the gradient to one of the equal elements, where JAX and MLX share it among them.
_PICKING = {"max", "min", "median", "nanmedian"}
# The same, where MLX alone shares it: JAX's pooling picks the first, as torch's does.
_POOLING = {
    f"{kind}max_pool{axes}d{indices}"
    for kind in ("", "adaptive_")
    for axes in (1, 2, 3)
    for indices in ("", "_with_indices")
}
# What overwrites: which value stays is not defined where an element is written twice.
_OVERWRITING = {
    "scatter", "scatter_", "index_copy", "index_copy_", "index_put", "index_put_", "__setitem__",
}  # fmt: skip
# What chooses among values, or asks for NaN: what it leaves out does not count, were it NaN.
_SELECTING = {
    "where", "masked_fill", "masked_select", "masked_scatter", "nan_to_num", "isnan", "isfinite",
    "isinf", "isposinf", "isneginf", "nansum", "nanmean", "nanmedian", "nanquantile", "fmax", "fmin",
    "scaled_dot_product_attention", "multi_head_attention_forward",
}  # fmt: skip
# What makes integers of floats: of those that do not fit, whatever the machine makes.
_CASTING = {"to", "type", "type_as", "long", "int", "short", "char", "byte"}


class _Watching(TorchFunctionMode):
    """Notes which functions run that leave something open: where elements are equal, where one is
    written twice, or where a float does not fit the integer that is made of it."""

    def __init__(self) -> None:
        super().__init__()
        self.unordered: set[str] = set()
        self.picking: set[str] = set()
        self.pooling: set[str] = set()
        self.undefined: set[str] = set()
        self.selecting: set[str] = set()
        self.repeating: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _UNORDERED and not kwargs.get("stable"):
            self.unordered.add(name)
        reduces = "dim" in kwargs or (len(args) > 1 and not isinstance(args[1], torch.Tensor))
        if name in _PICKING and reduces:
            self.picking.add(name)
        if name in _POOLING:
            self.pooling.add(name)
        masked = name in ("__getitem__", "__setitem__") and any(
            isinstance(leaf, torch.Tensor) and leaf.dtype == torch.bool
            for _, leaf in leaves(args[1])
        )
        if masked or name.strip("_") in _SELECTING:
            self.selecting.add(name.strip("_"))
        result = func(*args, **kwargs)
        if name in _OVERWRITING and _repeats(name, args, kwargs):
            self.repeating.add(name.strip("_"))
            if _conflicts(name, args, kwargs, result):
                self.undefined.add(name.strip("_"))
        if name in _CASTING and _overflows(args, result):
            self.undefined.add(name.strip("_"))
        return result


def _repeats(name: str, args: Any, kwargs: Any) -> bool:
    """Whether a function that overwrites is told to write to one place twice."""
    if kwargs.get("reduce") is not None or kwargs.get("accumulate"):
        return False
    given = [leaf for _, leaf in leaves([args[1:], kwargs])]
    tensors = [leaf for leaf in given if isinstance(leaf, torch.Tensor)]
    indices = [tensor for tensor in tensors if _is_integer(tensor)]
    if not indices or not any(tensor.is_floating_point() for tensor in tensors):
        return False
    if name.startswith("scatter"):
        dim = next(leaf for leaf in given if isinstance(leaf, int))
        return bool((indices[0].sort(dim).values.diff(dim=dim) == 0).any())
    places = torch.stack([i.reshape(-1) for i in torch.broadcast_tensors(*indices)])
    return places.unique(dim=1).shape[1] < places.shape[1]


def _conflicts(name: str, args: Any, kwargs: Any, result: Any) -> bool:
    """Whether a function that overwrites, and writes to one place twice, wrote unlike values."""
    names = {
        "scatter": ("input", "dim", "index", "src"),
        "index_copy": ("input", "dim", "index", "source"),
        "index_put": ("input", "indices", "values", "accumulate"),
        "setitem": ("input", "indices", "values"),
    }[name.strip("_")]
    given = dict(zip(names, args, strict=False)) | kwargs
    written = given[names[-1]] if "indices" not in given else given["values"]
    if not isinstance(written, torch.Tensor) or given.get("accumulate"):
        return False
    target = args[0] if result is None else result
    match name.strip("_"):
        case "scatter":
            index = given["index"]
            kept = target.gather(given["dim"], index)
            written = written[tuple(slice(size) for size in index.shape)]
        case "index_copy":
            kept = target.index_select(given["dim"], given["index"])
        case _:
            places = given["indices"]
            kept = target[tuple(places) if isinstance(places, list) else places]
    unlike = kept != written.to(kept.dtype)
    return bool((unlike & ~(kept.isnan() & written.isnan())).any())


def _overflows(args: Any, result: Any) -> bool:
    """Whether floats were made integers that cannot hold them; of 64 bits the ports have 32."""
    source = args[0]
    if not source.is_floating_point() or not source.numel() or not _is_integer(result):
        return False
    ends = torch.iinfo(torch.int32 if result.dtype == torch.int64 else result.dtype)
    low, high = source.min().item(), source.max().item()
    return not (ends.min <= low and high <= ends.max)  # so for NaN, too


def _is_integer(tensor: torch.Tensor) -> bool:
    dtype = tensor.dtype
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


_FINFO = torch.finfo


def _finfo_of_single(dtype: Any = None) -> Any:
    """What the code asks of its dtype, which is float32: an epsilon is no rounding."""
    dtype = dtype or torch.get_default_dtype()
    return _FINFO(torch.float32 if dtype is torch.float64 else dtype)


@contextlib.contextmanager
def _precise():
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.finfo = _finfo_of_single
    try:
        with _Doubling():
            yield
    finally:
        torch.set_default_dtype(default)
        torch.finfo = _FINFO


@contextlib.contextmanager
def _gradient_switches():
    """Counts how often the code turns gradients off, in the list that it yields."""
    seen: list[str] = []
    patched = [(cls, cls.__enter__) for cls in (torch.no_grad, torch.inference_mode)]
    for cls, enter in patched:

        def counting(self, enter=enter, name=cls.__name__):
            seen.append(name)
            return enter(self)

        cls.__enter__ = counting
    try:
        yield seen
    finally:
        for cls, enter in patched:
            cls.__enter__ = enter


@contextlib.contextmanager
def _kept(module: torch.nn.Module, tensors: list[torch.Tensor]):
    """Puts a module's attributes, and the values of `tensors`, back as they were.

    So are the lists, dicts and sets that its attributes hold, for code may count or cache in them.
    Not a deep copy: a lambda that holds a submodule would go on using the original's.
    """
    values = [tensor.detach().clone() for tensor in tensors]
    saved = [(part, dict(vars(part))) for part in module.modules()]
    held = {
        id(value): (value, copy.copy(value))
        for _, attributes in saved
        for value in attributes.values()
        if type(value) in (list, dict, set)
    }
    try:
        yield
    finally:
        for part, attributes in saved:
            vars(part).clear()
            vars(part).update(attributes)
        for container, contents in held.values():
            container.clear()
            if isinstance(container, list):
                container.extend(contents)
            else:
                container.update(contents)
        for tensor, value in zip(tensors, values, strict=True):
            tensor.data = value


@dataclasses.dataclass(frozen=True)
class _Jitter:
    """Moves tensors by a relative `size`, up or down; with `keep_round` only those of many digits."""

    rng: np.random.Generator
    size: float
    keep_round: bool

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        sign = torch.from_numpy(self.rng.choice([-1.0, 1.0], tensor.shape)).to(tensor)
        moved = tensor * (1 + self.size * sign)
        if not self.keep_round:
            return moved
        return torch.where(tensor == tensor.to(torch.bfloat16), tensor, moved)


class _Bound(torch.nn.Module):
    """A function with the modules that it takes as arguments: called with the other arguments.

    `modules` are the modules by the parameter's name, which is what their weights' names begin with.
    """

    def __init__(self, function: Any, modules: dict[str, torch.nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        found = inspect.signature(function)
        names = list(found.parameters)

        @functools.wraps(function)
        def forward(*args: Any, **kwargs: Any) -> Any:
            given = list(args)
            for name in modules:
                position = names.index(name)
                if position <= len(given):
                    given.insert(position, getattr(self, name))
                else:
                    kwargs[name] = getattr(self, name)
            return function(*given, **kwargs)

        rest = [p for n, p in found.parameters.items() if n not in modules]
        forward.__signature__ = found.replace(parameters=rest)
        self.forward = forward


_REGISTERS = ("_parameters", "_buffers", "_modules")
_ELSEWHERE = "it is checked through what uses it"


def _is_module_class(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, torch.nn.Module)


def _is_class_hint(hint: Any) -> bool:
    return hint is type or typing.get_origin(hint) is type


def _required_names(found: inspect.Signature | None) -> list[str]:
    parameters = found.parameters.values() if found else ()
    return [p.name for p in parameters if p.default is inspect.Parameter.empty]


class Side:
    """The operations of the torch lane; each takes and returns what `protocol` can carry."""

    def __init__(self, device: str) -> None:
        self.device = torch.device("cpu" if device == "any" else device)
        self._seed = 0
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        if "OMP_NUM_THREADS" not in os.environ:
            # Torch's threads spin while they wait, which the other lane pays for.
            torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
        torch.zeros(1, device=self.device)
        # Started here, once: the autograd engine's first use costs as much as a small check.
        torch.ones(1, requires_grad=True).sum().backward()

    def hello(self) -> dict[str, Any]:
        devices = ["cpu"]
        if torch.cuda.is_available():
            devices.append("cuda")
        if torch.backends.mps.is_available():
            devices.append("mps")
        return {
            "version": torch.__version__,
            "device": self.device.type,
            "devices": devices,
            "python": sys.version.split()[0],
        }

    def ping(self) -> None:
        """Answer."""

    def _reseed(self, number: int = 0) -> None:
        # Not torch.manual_seed: without a GPU it keeps a stack trace of every call for later.
        torch.default_generator.manual_seed(self._seed + number)
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(self._seed + number)

    def load(self, path: str, source: Array, equivalent: bool = False) -> dict[str, Any]:
        """Run the file and list its functions and module classes with their lines.

        With `equivalent` its operators are replaced by torch's functions.
        """
        self.names: dict[str, Any] = {}
        self.recorded: dict[str, tuple[Any, Call, str]] = {}
        self._reseed()
        operators = equivalents.namespace(torch.is_tensor, _OPERATORS) if equivalent else None
        self.loaded = Loaded(path, source.value.tobytes(), operators)
        lines = self.loaded.lines()
        found = []
        for name, value in vars(self.loaded.module).items():
            if name not in lines or not self.loaded.owns(value):
                continue
            if isinstance(value, type) and issubclass(value, torch.nn.Module):
                kind = "module"
            elif not isinstance(value, type) and callable(value):
                kind = "function"
            else:
                continue
            self.names[name] = value
            if name not in ("get_inputs", "get_init_inputs"):
                found.append({"name": name, "kind": kind, "line": lines[name]})
        return {"definitions": found, "dependencies": self.loaded.dependencies()}

    # Preparing: an instance, and inputs with which it runs.

    def prepare(
        self, name: str, spec: Any, seed: int, weights: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Construct `name` and find inputs with which it runs.

        A module's `weights` are those of a checkpoint (its `path` and `key`, or its `state`, and
        the file's `name`), else such that each tells.
        Returns the constructor's arguments, the call, the weights, and where the inputs came from.
        `error` is set where the given inputs make the original raise; `large` where one run takes
        so long that several would teach less than they cost.
        """
        self._seed = seed
        value = self.names[name]
        self.is_module = isinstance(value, type)
        self.made: dict[int, tuple[Any, Call]] = {}  # each instance and its constructor's arguments
        bounds: dict[str, tuple[float, float]] = {}
        call, error = None, None
        self.sizes: dict[str, int] = {}
        self.around: tuple[list[tuple[str, Any]], Any] | None = None
        self.bound = False
        init, self.target, origin = None, value, "inferred"
        if self.is_module:
            init, call, origin = self._construct(name, value, spec)
            shown_init = [[n, show(v)] for n, v in self._named_init(value, init).items()]
        else:
            init = self._bind(value, self._modules_taken(value))
            shown_init = [
                [
                    p["parameter"],
                    show(Record(p["class"], self._named_init(self.names[p["class"]], p))),
                ]
                for p in (init or {"modules": []})["modules"]
            ]
        restored: list[str] = []
        if weights is not None:
            restored = self._restore(weights)
        elif self.is_module:
            _unsettle(self.target, seed)
        if spec is not None and (spec["args"] or spec["kwargs"] or not self.is_module):
            origin = "a check comment"
            rng = np.random.default_rng(seed)
            (args, kwargs), bounds = materialise([spec["args"], spec["kwargs"]], rng, self._lookup)
            call = Call(to_wire(args), to_wire(kwargs), bounds)
            error = self._confirm(name, call)
        elif self.is_module and name == self._main() and "get_inputs" in self.names:
            origin = "get_inputs()"
            call = self._given(self._seeded(self.names["get_inputs"]))
            error = self._confirm(name, call)
        elif call is None and name in self.recorded:
            _, call, by = self.recorded[name]
            origin = f"a call in {by}"
            error = self._confirm(name, call)
        elif call is not None:
            error = self._confirm(name, call)
        if call is None or (error is not None and origin.startswith("a call in")):
            origin = "inferred"
            call = self._infer(name, value)
            error = None
        self.parameters = self._parameter_names(value)
        return {
            "init": init,
            "call": {"args": call.args, "kwargs": call.kwargs, "bounds": call.bounds},
            "large": self._is_large(call),
            "parameters": [n for n, _ in call.named(self.parameters)],
            "shown": [[n, show(v), v if isinstance(v, Array) else None]
                      for n, v in call.named(self.parameters)],
            "shown_init": shown_init,
            "origin": origin,
            "weights": self._weights(),
            "weight_names": self._weight_names(),
            "constants": self._constants(),
            "train": self._trains(),
            "drops": self._drops(),
            "error": error,
            "restored": restored,
        }  # fmt: skip

    def _restore(self, given: dict[str, Any]) -> list[str]:
        """Give the target the weights of a checkpoint; what is to be told of how they were found."""
        if "path" in given:
            found = checkpoint.read(Path(given["path"]))
        else:
            found = {name: self.unwire(array) for name, array in given["state"].items()}
        state, notes = checkpoint.state_in(found, given["key"], given["name"])
        checkpoint.restore(self.target, state, given["name"])
        return notes

    def _is_large(self, call: Call) -> bool:
        """Whether one run takes seconds, by the numbers that it works with."""
        sizes = [v.value.size for _, v in leaves([call.args, call.kwargs]) if isinstance(v, Array)]
        if self.is_module:
            sizes += [parameter.numel() for parameter in self.target.parameters()]
        return sum(sizes) > _LARGE

    def _main(self) -> str | None:
        modules = [name for name, value in self.names.items() if isinstance(value, type)]
        return "Model" if "Model" in modules else modules[-1] if modules else None

    def _lookup(self, name: str) -> Any:
        try:
            return getattr(self.loaded.module, name)
        except AttributeError:
            raise StageError(
                "INPUTS", f"the check comment names {name}, which the file does not define"
            ) from None

    def _seeded(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self._reseed()
        np.random.seed(self._seed % 2**32)
        return function(*args, **kwargs)

    def _given(self, given: Any) -> Call:
        """A call from what `get_inputs()` or `get_init_inputs()` returned."""
        if isinstance(given, dict):
            return Call([], to_wire(given))
        if isinstance(given, list | tuple):
            return Call([to_wire(item) for item in given])
        return Call([to_wire(given)])

    def _construct(self, name: str, cls: Any, spec: Any) -> tuple[Any, Call | None, str]:
        """Set the target to an instance; return its arguments, and a call if one was recorded."""
        call, origin = None, "inferred"
        if spec is not None and spec["init"] is not None:
            built, _ = materialise(spec["init"], np.random.default_rng(self._seed), self._lookup)
            given = built if isinstance(built, dict | list | tuple) else [built]
            options = [self._given(given)]
        elif name == self._main() and "get_init_inputs" in self.names:
            options = [self._given(self._seeded(self.names["get_init_inputs"]))]
        elif name in self.recorded and self.recorded[name][0] is not None:
            init, call, by = self.recorded[name]
            options, origin = [init], f"a call in {by}"
        else:
            options = infer.constructor_calls(cls, self.loaded.module)
        failure: BaseException | None = None
        for option in options:
            try:
                with self._recording():
                    self.target = self._seeded(cls, *self.unwire(option.args),
                                               **self.unwire(option.kwargs))  # fmt: skip
            except BaseException as error:
                failure = failure or error
                continue
            self.target.to(self.device)
            self._note_sizes(cls, option)
            return {"args": to_wire(option.args), "kwargs": to_wire(option.kwargs)}, call, origin
        try:
            hints = typing.get_type_hints(cls.__init__)
        except Exception:
            hints = {}
        classes = [n for n in _required_names(signature(cls)) if _is_class_hint(hints.get(n))]
        if classes:
            raise StageError(
                "NOTHING", f"Its constructor takes a class ({classes[0]}); {_ELSEWHERE}."
            )
        detail = f": {type(failure).__name__}: {failure}" if failure else ""
        raise StageError(
            "INPUTS",
            f"No constructor arguments are known with which {name} can be made{detail}. Give them "
            "in a comment above the class, e.g. # torchport: check(x=f32[2, 8], init=(8, 4)).",
        )

    def _note_sizes(self, cls: Any, init: Call) -> None:
        """Keep the whole numbers among a constructor's arguments, its defaults included."""
        found = signature(cls)
        if found is None:
            return
        values = {n: p.default for n, p in found.parameters.items()}
        values |= init.named(list(values))
        self.sizes |= {n: v for n, v in values.items() if type(v) is int}

    def _modules_taken(self, function: Any) -> dict[str, str]:
        """The module class of the file that each parameter is annotated with.

        Raises:
            StageError: a parameter is any module or a class, or the result is a module: there is
                nothing to compare before the caller says which.
        """
        try:
            hints = typing.get_type_hints(function)
        except Exception:  # one name that is missing at run time costs all of them
            hints = dict(getattr(function, "__annotations__", {}))
        names = {id(value): name for name, value in self.names.items()}
        found = signature(function)
        required = _required_names(found)
        taken: dict[str, str] = {}
        for parameter, hint in hints.items():
            if parameter == "return":
                if _is_module_class(hint):
                    raise StageError("NOTHING", f"It returns a module; {_ELSEWHERE}.")
            elif id(hint) in names and _is_module_class(hint):
                taken[parameter] = names[id(hint)]
            elif parameter in required and (_is_module_class(hint) or _is_class_hint(hint)):
                kind = "a class" if _is_class_hint(hint) else "any module"
                raise StageError("NOTHING", f"It takes {kind} ({parameter}); {_ELSEWHERE}.")
        return taken

    def _bind(self, function: Any, taken: dict[str, str]) -> dict[str, Any] | None:
        """Make the target the function together with modules for the parameters `taken`."""
        if not taken:
            return None
        self.is_module = self.bound = True
        parts, modules = [], {}
        for parameter, name in taken.items():
            cls = self.names[name]
            init, call, _ = self._construct(name, cls, None)
            parts.append({"parameter": parameter, "class": name, **init})
            modules[parameter] = self.target
            if self.around is None:
                self._run_by_itself(name, cls, call)
        self.target = _Bound(function, modules)
        return {"modules": parts}

    def _run_by_itself(self, name: str, cls: Any, call: Call | None) -> None:
        """Note inputs and output of the target, for those of a function that takes it."""
        try:
            if name == self._main() and "get_inputs" in self.names:
                call = self._given(self._seeded(self.names["get_inputs"]))
            call = call or self._infer(name, cls)
            given = call.named(self._parameter_names(cls))
            self.around = given, self._plain_run(call)
        except BaseException:  # the function may still run with what its own names suggest
            self.around = None

    def unwire(self, value: Any) -> Any:
        """A travelled value as torch sees it; tensors are fresh."""
        match value:
            case Array():
                tensor = torch.from_numpy(np.array(value.value))
                return tensor.to(getattr(torch, value.dtype)).to(self.device)
            case Record(name="$dtype"):
                return getattr(torch, value.fields["name"])
            case Record(name="$device"):
                return self.device
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

    def _confirm(self, name: str, call: Call) -> dict[str, Any] | None:
        """Run once, noting how the file's other definitions are called; what it raises, as data."""
        if len(self.names.keys() - {"get_inputs", "get_init_inputs"}) == 1:
            return None  # no other definition to watch; `run` will show whether it raises
        try:
            with self._recording(by=name):
                self._plain_run(call)
        except BaseException as error:  # sys.exit included
            return describe(error)
        return None

    def _plain_run(self, call: Call) -> Any:
        target = self.target
        kept = _kept(target, list(target.buffers())) if self.is_module else contextlib.nullcontext()
        with kept, torch.no_grad():
            if self.is_module:
                target.eval()
            return self._seeded(target, *self.unwire(call.args), **self.unwire(call.kwargs))

    def _infer(self, name: str, value: Any) -> Call:
        function = self.target.forward if self.is_module else value
        module = self.target if self.is_module else None
        options = infer.calls(function, module, self.sizes, self._seed)
        if self.bound and self.around is not None:
            options = itertools.chain(infer.calls_with(function, *self.around, self._seed), options)
        call, tried = infer.first_that_runs(options, self._plain_run)
        if call is None:
            raise StageError("INPUTS", f"{tried} Give them in a comment above the definition, e.g. "
                             "# torchport: check(x=f32[8, 16]).")  # fmt: skip
        self._confirm(name, call)
        return call

    @contextlib.contextmanager
    def _recording(self, by: str | None = None):
        """Notes how definitions of the file are constructed and, given `by`, called."""
        module, restore = self.loaded.module, []

        def note(name: str, init: Any, args: Any, kwargs: Any) -> None:
            if name in self.recorded or name == by:
                return
            call = Call(to_wire(list(args)), to_wire(dict(kwargs)))
            parts = [call.args, call.kwargs, init and [init.args, init.kwargs]]
            if not any(isinstance(leaf, Opaque) for _, leaf in leaves(parts)):
                self.recorded[name] = (init, call, by)

        for name, value in self.names.items():
            if isinstance(value, type):
                self._record_class(name, value, note if by else None, restore)
            elif by is not None:

                def function(*args, _name=name, _value=value, **kwargs):
                    note(_name, None, args, kwargs)
                    return _value(*args, **kwargs)

                setattr(module, name, functools.wraps(value)(function))
                restore.append(functools.partial(setattr, module, name, value))
        try:
            yield
        finally:
            for undo in reversed(restore):
                undo()

    def _record_class(self, name: str, cls: Any, note: Any, restore: list[Any]) -> None:
        side = self

        def patch(attribute: str, replacement: Any) -> None:
            own = attribute in vars(cls)
            original = vars(cls).get(attribute)
            setattr(cls, attribute, functools.wraps(getattr(cls, attribute))(replacement))
            undo = functools.partial(setattr, cls, attribute, original)
            restore.append(undo if own else functools.partial(delattr, cls, attribute))

        init, forward = cls.__init__, cls.forward
        found = signature(cls)
        defaults = {n: p.default for n, p in found.parameters.items()} if found else {}

        def recording_init(self, *args, **kwargs):
            if type(self) is cls:
                # A default spelled out, as norm_layer=nn.LayerNorm, is the port's own default.
                given = {n: v for n, v in kwargs.items() if v is not defaults.get(n, found)}
                call = Call(to_wire(list(args)), to_wire(given))
                side.made[id(self)] = (self, call)
            init(self, *args, **kwargs)

        patch("__init__", recording_init)
        if note is not None:

            def recording_forward(self, *args, **kwargs):
                if type(self) is cls and id(self) in side.made:
                    note(name, side.made[id(self)][1], args, kwargs)
                return forward(self, *args, **kwargs)

            patch("forward", recording_forward)

    def _parameter_names(self, value: Any) -> list[str]:
        found = signature(self.target.forward if self.is_module else value)
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [p.name for p in found.parameters.values() if p.kind in kinds] if found else []

    def _named_init(self, cls: Any, init: dict[str, Any]) -> dict[str, Any]:
        found = signature(cls)
        names = list(found.parameters) if found else []
        return dict(Call(init["args"], init["kwargs"]).named(names))

    def _weights(self) -> dict[str, Array]:
        if not self.is_module:
            return {}
        return {k: _leaf_to_wire(v) for k, v in self.target.state_dict().items()
                if isinstance(v, torch.Tensor)}  # fmt: skip

    def _weight_names(self) -> list[str]:
        if not self.is_module:
            return []
        return [n for n, p in self.target.named_parameters() if p.requires_grad]

    def _constants(self) -> list[str]:
        """The tensors that a module holds and its checkpoint does not, by name."""
        if not self.is_module:
            return []
        names = [name for name, _ in self.target.named_buffers()]
        for prefix, part in self.target.named_modules():
            for name, value in vars(part).items():
                path = f"{prefix}.{name}" if prefix else name
                if isinstance(value, torch.Tensor):
                    names.append(path)
                elif isinstance(value, list | tuple | dict) and name not in _REGISTERS:
                    items = value.items() if isinstance(value, dict) else enumerate(value)
                    names += [f"{path}.{k}" for k, v in items if isinstance(v, torch.Tensor)]
        saved = self.target.state_dict()
        return sorted({name for name in names if name not in saved})

    def _trains(self) -> bool:
        """Whether train mode is worth a run: batch statistics, or code that asks for the mode."""
        if not self.is_module or self.bound:
            return False
        norms = torch.nn.modules.batchnorm._NormBase
        return b".training" in self.loaded.source or any(
            isinstance(module, norms) for module in self.target.modules()
        )

    def _drops(self) -> bool:
        """Whether there are dropout layers that drop something."""
        if not self.is_module:
            return False
        dropout = torch.nn.modules.dropout._DropoutNd
        return any(isinstance(part, dropout) and part.p > 0 for part in self.target.modules())

    # Running.

    def run(
        self,
        calls: list[dict[str, Any]],
        cases: list[tuple[bool, int]],
        gradients: bool,
        form: str = "eager",
    ) -> list[dict[str, Any]]:
        """For each case (train mode, number of the call): the outcome, with its reference.

        A call has the arguments (`args`, `kwargs`) and may say how they are used: without
        `gradients`, so many `times` on one instance (the last one counts), with the weights `cast`
        to a dtype, with the tensors `strided`, i.e. as views that are not contiguous.

        With the form `compiled` the code goes through torch.compile; the reference never does.
        """
        if form == "compiled":
            return self._run_compiled(calls, cases, gradients)
        outcomes = []
        for train, number in cases:
            outcome = self._outcome(calls[number], train, gradients)
            if outcome["error"] is None:
                outcome["reference"] = self._outcome(calls[number], train, gradients, True)
            outcomes.append(outcome)
        return outcomes

    def _run_compiled(
        self, calls: list[dict[str, Any]], cases: list[tuple[bool, int]], gradients: bool
    ) -> list[dict[str, Any]]:
        torch._dynamo.reset()
        # Inductor needs a C++ compiler on the CPU; without one the graph is captured and run as it is.
        has_compiler = self.device.type != "cpu" or shutil.which(os.environ.get("CXX", "c++"))
        backend = "inductor" if has_compiler else "aot_eager"
        plain = self.target
        if isinstance(plain, torch.nn.Module):
            plain.compile(backend=backend)
        else:
            self.target = torch.compile(plain, backend=backend)
        try:
            return [self._outcome(calls[n], train, gradients) for train, n in cases]
        finally:
            self.target = plain
            if isinstance(plain, torch.nn.Module):
                plain._compiled_call_impl = None

    def accepts(self, calls: list[dict[str, Any]]) -> list[str]:
        """For each call "runs", "raises", or "refuses": by a `raise` or `assert` of its own."""
        answers = []
        for call in calls:
            try:
                with self.borrowed(False, False):
                    self._plain_run(Call(**call))
                answers.append("runs")
            except BaseException as error:
                answers.append("refuses" if describe(error)["deliberate"] else "raises")
        return answers

    def jitter(
        self,
        call: dict[str, Any],
        train: bool,
        gradients: bool,
        times: int,
        scale: int = -24,
        keep_round: bool = False,
    ) -> list[dict[str, Any]]:
        """The float64 outcomes of a call with inputs and weights moved by 2^scale, `times` times.

        With `keep_round` numbers of few digits stay as they are: what lies on a boundary because of
        them (a clamp's bound, a tie) does so on purpose, and not within rounding.
        """
        return [
            self._outcome(
                call,
                train,
                gradients,
                True,
                jitter=_Jitter(np.random.default_rng([number + 1, -scale]), 2.0**scale, keep_round),
            )
            for number in range(times)
        ]

    def rounded(
        self, call: dict[str, Any], train: bool, gradients: bool, times: int
    ) -> list[dict[str, Any]]:
        """The float64 outcomes of a call, `times` times, where operations round as in float32."""
        outcomes = []
        for number in range(times):
            with RandomRounding(number):
                outcomes.append(self._outcome(call, train, gradients, True))
        return outcomes

    def ties(self, call: dict[str, Any], train: bool) -> dict[str, list[str]]:
        """The functions in a call that leave something open where elements are equal.

        `unordered` are those in whose result equal elements may come in any order, `picking` those
        whose gradient goes to one of them; so does that of those that are `pooling`. `undefined` are those that were given values for which
        torch does not say what they do, `selecting` those that leave values out, and `repeating` those
        that overwrite one place twice, so that one of two gradients counts.
        """
        with _Watching() as watching:
            self._outcome(call, train, False)
        return {
            "unordered": sorted(watching.unordered),
            "picking": sorted(watching.picking),
            "pooling": sorted(watching.pooling),
            "undefined": sorted(watching.undefined),
            "selecting": sorted(watching.selecting),
            "repeating": sorted(watching.repeating),
        }

    def trace(
        self, call: dict[str, Any], train: bool, precise: bool, cotangents: bool, seconds: float
    ) -> dict[str, Any]:
        """One run, in float32 or float64, with the value or the cotangent of each operation."""
        recorder = trace.Recorder(_KIT, {}, cotangents, seconds)
        with recorder.on(self.loaded):
            outcome = self._outcome(call, train, cotangents, precise)
        return recorder.answer(outcome)

    def steps(
        self, call: dict[str, Any], count: int, rate: float, precise: bool, times: int = 0
    ) -> list[dict[str, Any]]:
        """`torch_behaviour.steps`, once; or `times` times with inputs and weights moved by 2^-24."""
        jitters: list[_Jitter | None] = [None]
        if times:
            jitters = [
                _Jitter(np.random.default_rng([n + 1]), 2.0**-24, False) for n in range(times)
            ]
        parts = call, count, rate, precise
        found = []
        for jitter in jitters:
            context = _precise() if precise else contextlib.nullcontext()
            with context:
                found.append(torch_behaviour.steps(self, *parts, jitter))
        return found

    def samples(self, call: dict[str, Any], train: bool, least: int) -> dict[str, Any]:
        """`torch_behaviour.samples`."""
        return torch_behaviour.samples(self, call, train, least)

    def initial(self, name: str, init: Any, least: int) -> dict[str, Any]:
        """`torch_behaviour.initial`."""
        return torch_behaviour.initial(self, name, init, least)

    def to_wire(self, value: Any) -> Any:
        """A torch value as what travels."""
        return to_wire(value)

    def _outcome(
        self,
        call: dict[str, Any],
        train: bool,
        gradients: bool,
        precise: bool = False,
        jitter: _Jitter | None = None,
    ) -> dict[str, Any]:
        try:
            with (
                _precise() if precise else contextlib.nullcontext(),
                self.borrowed(train, precise, cast=call.get("cast")) as target,
            ):
                return self.run_once(target, call, train, gradients, precise, jitter)
        except BaseException as error:
            return {"error": describe(error)}

    @contextlib.contextmanager
    def borrowed(self, train: bool, precise: bool, dropping: bool = False, cast: str | None = None):
        """The target in the given mode and precision, put back afterwards as it was.

        Dropout layers drop nothing, unless `dropping`: which units they drop differs between
        frameworks, and the rest of train mode must agree.
        """
        if not self.is_module:
            yield self.target
            return
        with _kept(self.target, [*self.target.parameters(), *self.target.buffers()]):
            self.target.train(train)
            for part in self.target.modules():
                if isinstance(part, torch.nn.modules.dropout._DropoutNd) and not dropping:
                    part.eval()
            if cast is not None:
                self.target.to(getattr(torch, cast))
            yield self.target.double() if precise else self.target

    def run_once(
        self,
        target: Any,
        how: dict[str, Any],
        train: bool,
        gradients: bool,
        precise: bool,
        jitter: _Jitter | None,
        number: int = 0,
    ) -> dict[str, Any]:
        """Call the target; `number` makes another random state of the same seed."""
        call = Call(how["args"], how["kwargs"])
        gradients = gradients and how.get("gradients", True)
        sources: dict[str, torch.Tensor] = {}
        passed: dict[str, torch.Tensor] = {}

        def argument(path: str, leaf: Any) -> Any:
            value = self.unwire(leaf)
            if not isinstance(value, torch.Tensor):
                return value
            if precise:
                value = value.to(_WIDE.get(value.dtype, value.dtype))
            if jitter is not None and value.is_floating_point():
                value = jitter(value)
            sources[path] = value
            if value.is_floating_point() or value.is_complex():
                value.requires_grad_(gradients)
            # Not the leaf itself, which may not be changed in place.
            passed[path] = _strided(value) if how.get("strided") else value.clone()
            return passed[path]

        def arguments() -> tuple[list[Any], dict[str, Any]]:
            args, kwargs = [], {}
            for position, (name, value) in enumerate(call.named(self.parameters)):
                built = self._mapped(argument, name, value)
                if position < len(call.args):
                    args.append(built)
                else:
                    kwargs[name] = built
            return args, kwargs

        args, kwargs = arguments()
        versions = {path: tensor._version for path, tensor in passed.items()}
        parameters = {}
        if self.is_module:
            parameters = {n: p for n, p in target.named_parameters() if p.requires_grad}
            if jitter is not None:
                with torch.no_grad():
                    for parameter in parameters.values():
                        parameter.copy_(jitter(parameter))
        self._reseed(number)
        state = torch.get_rng_state()
        for _ in range(how.get("times", 1) - 1):
            target(*args, **kwargs)
            args, kwargs = arguments()
            versions = {path: tensor._version for path, tensor in passed.items()}
        with _gradient_switches() as switches:
            output = target(*args, **kwargs)
        random = not torch.equal(state, torch.get_rng_state())
        written = {path: t for path, t in passed.items() if t._version != versions[path]}
        mutated = [
            path
            for path, tensor in written.items()
            if not torch.equal(tensor.detach(), sources[path].detach())
        ]
        tree = _containers(output)
        if output is None and written:
            # The port cannot change its argument: it must return what torch left there.
            tree = next(iter(written.values())) if len(written) == 1 else tuple(written.values())
        outcome = {
            "error": None,
            "output": tree_map(_leaf_to_wire, tree),
            "mutated": {path: _leaf_to_wire(written[path]) for path in mutated},
            "random": random,
            "modules": any(isinstance(v, torch.nn.Module) for _, v in leaves(tree)),
            "buffers": {n: _leaf_to_wire(b) for n, b in target.named_buffers()} if train else {},
            "input_gradients": None,
            "weight_gradients": None,
            "reason": "",
        }
        if gradients:
            wanted = {p: t for p, t in sources.items() if t.requires_grad}
            outcome |= _gradients(tree, wanted, parameters, switches)
        return outcome

    def _mapped(self, function: Any, path: str, value: Any) -> Any:
        """`value` with its tensors passed through `function(path, tensor)`."""
        match value:
            case Array():
                return function(path, value)
            case list() | tuple():
                items = [self._mapped(function, f"{path}[{i}]", v) for i, v in enumerate(value)]
                return items if isinstance(value, list) else tuple(items)
            case dict():
                return {k: self._mapped(function, f"{path}[{k!r}]", v) for k, v in value.items()}
            case _:
                return self.unwire(value)


def _unsettle(module: torch.nn.Module, seed: int) -> None:
    """Move running statistics, and weights that are left constant, in whole or in a row: beside zeros
    and ones (biases, scales, the row of a padding index, the end of a residual branch) a port that
    leaves them out, or what they multiply, looks right. A positive number stays positive."""
    rng = np.random.default_rng([seed, 0x3E17])

    def moved(tensor: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
        steps = torch.from_numpy(np.asarray(0.1 * rng.standard_normal(tuple(tensor.shape))))
        steps = steps.to(tensor)
        away = torch.where(tensor == 0, steps, steps.abs() * tensor.sign())
        return torch.where(constant, tensor + away, tensor)

    with torch.no_grad():
        for parameter in module.parameters():
            lazy = torch.nn.parameter.is_lazy(parameter)
            if lazy or not (parameter.requires_grad and parameter.is_floating_point()):
                continue
            if not parameter.numel():
                continue
            constant = (parameter == parameter.flatten()[0]).all()
            if parameter.ndim > 1 and parameter[0].numel() > 1:
                rows = parameter.flatten(1)
                alike = (rows == rows[:, :1]).all(1)
                constant = constant | alike.reshape(-1, *[1] * (parameter.ndim - 1))
            parameter.copy_(moved(parameter, constant))
        for part in module.modules():
            if isinstance(part, torch.nn.modules.batchnorm._NormBase) and part.track_running_stats:
                for name in ("running_mean", "running_var"):
                    buffer = getattr(part, name)
                    if buffer is not None and not torch.nn.parameter.is_lazy(buffer):
                        buffer.copy_(moved(buffer, torch.ones_like(buffer, dtype=torch.bool)))


def _strided(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of the same values that is not contiguous."""
    if tensor.ndim < 2:
        return torch.stack([tensor, tensor], -1)[..., 0]
    return tensor.transpose(0, -1).clone(memory_format=torch.contiguous_format).transpose(0, -1)


def _gradients(tree: Any, inputs: dict, parameters: dict, switches: list[str]) -> dict[str, Any]:
    """The vector-Jacobian product of all inexact outputs, by input path and by parameter name."""
    outputs = [leaf for _, leaf in leaves(tree) if isinstance(leaf, torch.Tensor)
               and (leaf.is_floating_point() or leaf.is_complex())]  # fmt: skip
    pairs = [
        (leaf, torch.from_numpy(cotangent(index, tuple(leaf.shape))).to(leaf))
        for index, leaf in enumerate(outputs)
        if leaf.requires_grad
    ]
    if not outputs:
        return {"reason": "no floating-point output"}
    if not pairs and switches:
        return {"reason": f"the original runs under torch.{switches[0]}"}
    if not inputs and not parameters:
        return {"reason": "no floating-point input"}
    wanted = [*inputs.values(), *parameters.values()]
    if pairs:
        try:
            found = torch.autograd.grad(
                [leaf for leaf, _ in pairs], wanted, [ct for _, ct in pairs], allow_unused=True
            )
        except RuntimeError as error:
            return {"reason": f"torch cannot differentiate it: {error}"}
    else:
        found = [None] * len(wanted)
    values = [
        _leaf_to_wire(torch.zeros_like(source) if gradient is None else gradient)
        for gradient, source in zip(found, wanted, strict=True)
    ]
    return {
        "input_gradients": dict(zip(inputs, values, strict=False)),
        "weight_gradients": dict(zip(parameters, values[len(inputs) :], strict=True)),
    }


def _recorded(tensor: torch.Tensor) -> Array | None:
    try:
        with torch.no_grad():
            return _leaf_to_wire(tensor)
    except Exception:  # a tensor of torch.func's, whose values are known only outside it
        return None


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _alias(tensor: torch.Tensor, cotangent: Any) -> torch.Tensor:
    if not tensor.requires_grad:
        return tensor
    view = tensor.view_as(tensor)
    view.register_hook(cotangent)
    return view


_KIT = trace.Kit(
    tensor=lambda value: value if isinstance(value, torch.Tensor) else None,
    to_array=_recorded,
    replace=lambda array, like: torch.from_numpy(np.array(array.value)).to(like),
    version=_version,
    alias=_alias,
)
