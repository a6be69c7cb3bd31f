"""The MLX lane: constructs the port, gives it the original's weights, and runs it."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten

from . import equivalents, mlx_behaviour, trace
from .loading import describe
from .port_side import PortSide, Slot, bound_call, slots
from .protocol import Array, cotangent, tree_map

_DROPOUT = (nn.Dropout, nn.Dropout2d, nn.Dropout3d)
# What MLX says where code asks for a value under a trace, and where it has no gradient.
_EVALUATES = re.compile(r"\[eval\] Attempting to eval an array during|\[async_eval\] Not allowed")
_NO_GRADIENT = re.compile(r"not implemented", re.IGNORECASE)

_OPERATORS = {
    "add": mx.add, "sub": mx.subtract, "mul": mx.multiply, "truediv": mx.divide,
    "matmul": mx.matmul, "pow": mx.power, "sqrt": mx.sqrt, "neg": mx.negative,
    "not_": lambda x: not x, "invert": mx.bitwise_invert,
}  # fmt: skip


class Side(PortSide):
    """The operations of the MLX lane; each takes and returns what `protocol` can carry."""

    library = "mlx.nn"
    module_class = nn.Module

    def __init__(self, device: str) -> None:
        self.device = mx.gpu if device == "gpu" else mx.cpu
        mx.set_default_device(self.device)
        # Started here, once: the first evaluation starts the device's stream.
        mx.eval(mx.value_and_grad(lambda x: (x * x).sum())(mx.ones(1)))

    def hello(self) -> dict[str, Any]:
        return {
            "version": mx.__version__,
            "device": "gpu" if self.device == mx.gpu else "cpu",
            "devices": ["cpu", "gpu"] if _has_gpu() else ["cpu"],
            "python": sys.version.split()[0],
        }

    def prepare(
        self,
        name: str,
        init: Any,
        weights: dict[str, Array],
        weight_names: list[str],
        weights_module: str,
        parameters: list[str],
        constants: list[str],
        seed: int,
    ) -> dict[str, Any]:
        """Construct `name` and give it `weights`; `constants` it may keep as it makes them.

        Returns `failed`, the stage that failed or None, and then the `error`; and `notes`.
        """
        self.seed, self.weight_names, self.parameters = seed, weight_names, parameters
        mx.set_default_device(self.device)  # the code may have set another
        mx.random.seed(seed)
        made = self.make(name, init, weights, weights_module, constants)
        trained = [n for n in constants if n in self.places and self.places[n].trainable]
        made["notes"] = [
            f"MLX trains {name}, which is no parameter in torch: freeze it, or begin its name with _."
            for name in trained
        ]
        return made

    def run(
        self,
        calls: list[dict[str, Any]],
        cases: list[tuple[bool, int]],
        gradients: bool,
        variant: str,
    ) -> list[dict[str, Any]]:
        """The outcome of each case (train mode, number of the call).

        `variant` is "compiled", "eager", or "either", which is eager: that is the quicker one, since
        what is compiled for the CPU goes through a C++ compiler. Gradients are eager in each form:
        where MLX differentiates a compiled function, it takes that one's operations one by one.
        """
        return [
            self._outcome(calls[number], train, gradients, variant == "compiled")
            for train, number in cases
        ]

    def _outcome(
        self, call: dict[str, Any], train: bool, gradients: bool, compiled: bool
    ) -> dict[str, Any]:
        run = _Run(self, call, train, compiled)
        try:
            return run.outcome(gradients)
        except BaseException as error:  # sys.exit included
            failed = describe(error)
        if compiled and _EVALUATES.search(failed["message"]):
            failed["type"] = "NotCompilable"
        elif gradients:
            plain = self._outcome(call, train, False, compiled)
            if plain["error"] is None and _NO_GRADIENT.search(failed["message"]):
                return plain | {"reason": f"MLX cannot differentiate the port: {failed['message']}"}
            if plain["error"] is None:
                failed["message"] = f"{failed['message']} (when it is differentiated)"
            else:
                failed = plain["error"]
        return {"error": failed}

    def trace(
        self,
        call: dict[str, Any],
        train: bool,
        forced: dict[int, Array],
        cotangents: bool,
        seconds: float,
    ) -> dict[str, Any]:
        """One eager run, with the value or the cotangent of each operation, some of them `forced`."""
        recorder = trace.Recorder(_KIT, forced, cotangents, seconds)
        with recorder.on(self.loaded):
            outcome = self._outcome(call, train, cotangents, False)
        return recorder.answer(outcome)

    def steps(self, call: dict[str, Any], count: int, rate: float) -> dict[str, Any]:
        """`mlx_behaviour.steps`."""
        try:
            return mlx_behaviour.steps(_Run(self, call, True, False), count, rate)
        except BaseException as error:
            return {"error": describe(error)}

    def samples(self, call: dict[str, Any], train: bool, least: int) -> dict[str, Any]:
        """`mlx_behaviour.samples`."""
        return mlx_behaviour.samples(self, _Run(self, call, train, False), least)

    def initial(self, name: str, init: Any, least: int) -> dict[str, Any]:
        """`mlx_behaviour.initial`."""
        return mlx_behaviour.initial(self, name, init, least)

    def read(self, place: Any) -> Array:
        """What a place holds, as torch lays it out."""
        array = to_array(place.array)
        return Array(array.dtype, place.to_source(array.value))

    def operators(self) -> dict[str, Any]:
        """What an equivalent graph calls in the place of operators."""
        return equivalents.namespace(lambda value: isinstance(value, mx.array), _OPERATORS)

    def instance(self, cls: Any, init: dict[str, Any]) -> Any:
        """`cls` with the travelled arguments `init`."""
        return cls(*self.unwire(init["args"]), **self.unwire(init["kwargs"]))

    def bound(self, function: Any, modules: dict[str, Any]) -> Any:
        """A module of `modules` by name, that calls `function` with them and other arguments."""
        return _Bound(function, modules)

    def numpy(self, array: Array) -> np.ndarray:
        """The numpy array of an array's values; the weights transfer converts them."""
        return array.value

    def array(self, array: Array) -> mx.array:
        """A travelled array as MLX's, in the nearest dtype that the device has."""
        return mx.array(array.value, self.dtype(array.dtype))

    def exported(self) -> dict[str, Array]:
        """The parameters of the constructed module, frozen ones too, as `load_weights` names them."""
        return {name: to_array(value) for name, value in tree_flatten(self.target.parameters())}

    def dtype(self, name: str) -> mx.Dtype:
        """MLX's dtype of a name of torch's: complex128 is complex64, float64 the CPU's alone."""
        if name == "float64" and self.device == mx.gpu:
            name = "float32"
        return getattr(mx, {"bool": "bool_", "complex128": "complex64"}.get(name, name))


class _Bound(nn.Module):
    """A function with the modules that it takes as arguments: called with the other arguments.

    `modules` are the modules by the parameter's name, which is what their weights' names begin with.
    """

    def __init__(self, function: Any, modules: dict[str, Any]) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.call = bound_call(function, list(modules))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(self, args, kwargs)


class _Run:
    """One call of the target, as a function of its weights and inputs."""

    def __init__(self, side: Side, call: dict[str, Any], train: bool, compiled: bool) -> None:
        self.side, self.call, self.train, self.compiled = side, call, train, compiled
        self.times, self.cast = call.get("times", 1), call.get("cast")
        self.module = side.target if isinstance(side.target, nn.Module) else None
        self.names = [name for name in side.weight_names if name in side.places]
        self.buffers = [n for n in side.places if n not in side.weight_names] if train else []
        self.returned: list[str] = []  # arguments whose new values stand for the output
        places = {side.places[n].key: side.places[n] for n in self.names}
        self.trained = [place for place in places.values() if place.trainable]

    def inputs(self) -> tuple[dict[str, mx.array], dict[str, mx.array]]:
        """Fresh tensors of the call, by path: those with gradients, and the others."""
        inputs: dict[str, mx.array] = {}
        self.template = self.side.template(
            self.call["args"], self.call["kwargs"], self.side.parameters, inputs
        )
        moving = {n: v for n, v in inputs.items() if mx.issubdtype(v.dtype, mx.inexact)}
        return moving, {n: v for n, v in inputs.items() if n not in moving}

    def lent(self, dropping: bool = False) -> contextlib.AbstractContextManager[None]:
        """The module in the run's mode, put back afterwards as it was."""
        return _lent(self.module, self.train, dropping)

    def read(self, name: str) -> Array:
        """A parameter or buffer by torch's name, as torch lays it out."""
        return self.side.read(self.side.places[name])

    def output(self, seed: int) -> Any:
        """What one call gives, as it travels."""
        moving, fixed = self.inputs()
        weights = [place.array for place in self.trained]
        found, _, _ = self._plain({"weights": weights, "inputs": moving}, fixed, seed)
        mx.eval(found)
        return self.travelling(found)

    def travelling(self, found: list[mx.array]) -> Any:
        """The output of the last call, with `found` for its arrays, as it travels."""
        return tree_map(
            lambda leaf: to_array(found[leaf.index]) if isinstance(leaf, Slot) else leaf, self.tree
        )

    def outcome(self, gradients: bool) -> dict[str, Any]:
        """Call the target; return the outcome as the torch lane does."""
        mx.set_default_device(self.side.device)
        outcome = self._outcome(gradients)
        if outcome["output"] is None and outcome["mutated"]:
            # As the torch lane has it: what the code leaves in its arguments is its output.
            self.returned = list(outcome["mutated"])
            outcome = self._outcome(gradients)
        return outcome

    def _outcome(self, gradients: bool) -> dict[str, Any]:
        side = self.side
        moving, fixed = self.inputs()
        given = {path: to_array(value) for path, value in {**moving, **fixed}.items()}
        results, pulled = None, None
        if self.compiled:
            results = self._evaluated(mx.compile(self._plain), moving, fixed)
        if gradients and (self.trained or moving):
            eager, pulled = self._evaluated(self.differentiated, moving, fixed)
            results = results or eager
        elif results is None:
            results = self._evaluated(self._plain, moving, fixed)
        found, arguments, buffers = results
        after = {path: to_array(value) for path, value in arguments.items()}
        outcome: dict[str, Any] = {
            "error": None,
            "output": self.travelling(found),
            "mutated": {p: array for p, array in after.items() if not _equal(array, given[p])},
            "buffers": {n: side.source_layout(n, to_array(b)) for n, b in buffers.items()},
            "input_gradients": None,
            "weight_gradients": None,
            "reason": "",
        }
        if pulled is not None:
            of = {p.key: g for p, g in zip(self.trained, pulled["weights"], strict=True)}
            zero = {n: mx.zeros_like(side.places[n].array) for n in self.names}
            outcome["input_gradients"] = {n: to_array(g) for n, g in pulled["inputs"].items()}
            outcome["weight_gradients"] = {
                # A frozen parameter is not trained, whatever its gradient would be.
                n: side.source_layout(n, to_array(of.get(side.places[n].key, zero[n])))
                for n in self.names
            }
        return outcome

    def _evaluated(self, function: Any, moving: dict[str, Any], fixed: dict[str, Any]) -> Any:
        """What `function` gives for the module's weights and the inputs, all of it evaluated."""
        with self.lent():
            if self.cast is not None and self.module is not None:
                self.module.set_dtype(self.side.dtype(self.cast))
            weights = [place.array for place in self.trained]
            results = function({"weights": weights, "inputs": moving}, fixed)
            mx.eval(results)
            return results

    def _plain(
        self, primals: dict[str, Any], fixed: dict[str, Any], seed: int | None = None
    ) -> Any:
        """The outputs, the arguments as the call leaves them, and the buffers."""
        for place, value in zip(self.trained, primals["weights"], strict=True):
            place.place(value)
        arguments = {**primals["inputs"], **fixed}
        mx.random.seed(self.side.seed if seed is None else seed)
        for _ in range(self.times):
            args, kwargs = self.template(arguments)
            output = self.side.target(*args, **kwargs)
        if output is None and self.returned:
            changed = [arguments[path] for path in self.returned]
            output = changed[0] if len(changed) == 1 else tuple(changed)
        found: list[mx.array] = []
        self.tree = slots(output, found, _taken)
        return found, arguments, {n: self.side.places[n].array for n in self.buffers}

    def differentiated(self, primals: dict[str, Any], fixed: dict[str, Any]) -> Any:
        """What `_plain` gives, and the gradients in the structure of `primals`.

        The gradients are None where no output has any.
        """
        results: list[Any] = []

        def weighed(primals: dict[str, Any]) -> mx.array:
            """The outputs' product with their cotangents: its gradient pulls the cotangents back."""
            results[:] = self._plain(primals, fixed)
            inexact = [leaf for leaf in results[0] if mx.issubdtype(leaf.dtype, mx.inexact)]
            terms = [_product(index, leaf) for index, leaf in enumerate(inexact)]
            return sum(terms, start=mx.array(0.0))

        _, pulled = mx.value_and_grad(weighed)(primals)
        inexact = any(mx.issubdtype(leaf.dtype, mx.inexact) for leaf in results[0])
        return results, pulled if inexact else None


def _product(index: int, output: mx.array) -> mx.array:
    """The sum of an output times its cotangent, which is real for a complex one."""
    if mx.issubdtype(output.dtype, mx.complexfloating):
        output = mx.real(output)
    return (output * mx.array(cotangent(index, output.shape), output.dtype)).sum()


@contextlib.contextmanager
def _lent(module: nn.Module | None, train: bool, dropping: bool) -> Iterator[None]:
    """The module in the given mode, put back afterwards as it was, whatever the code stores in it.

    Dropout layers drop nothing, unless `dropping`: which units they drop differs between frameworks,
    and the rest of train mode must agree.
    """
    if module is None:
        yield
        return
    saved = [
        (part, list(part) if isinstance(part, list) else dict(part), _attributes(part))
        for part in _containers(module, {})
    ]
    try:
        for part, contents, _ in saved:
            for key, value in contents.items() if isinstance(part, dict) else enumerate(contents):
                if isinstance(value, mx.array):
                    part[key] = mx.array(value)  # another array, of the same memory
        module.train(train)
        for part, _, _ in saved:
            if isinstance(part, _DROPOUT) and not dropping:
                part._p_1 = 1
        yield
    finally:
        for part, contents, attributes in saved:
            if isinstance(part, list):
                part[:] = contents
                continue
            dict.clear(part)
            dict.update(part, contents)  # a module's own `update` is another
            if isinstance(part, nn.Module):
                vars(part).clear()
                vars(part).update(attributes)


def _attributes(part: Any) -> dict[str, Any]:
    return dict(vars(part)) if isinstance(part, nn.Module) else {}


def _containers(value: Any, seen: dict[int, Any]) -> list[Any]:
    """The modules, dicts and lists of a module, itself included, each once."""
    if isinstance(value, dict | list) and id(value) not in seen:
        seen[id(value)] = value
        for item in list(value.values()) if isinstance(value, dict) else value:
            _containers(item, seen)
    elif isinstance(value, tuple):
        for item in value:
            _containers(item, seen)
    return list(seen.values())


def to_array(value: mx.array) -> Array:
    """An MLX array as it travels."""
    name = str(value.dtype).rpartition(".")[2]
    return Array(name, np.array(value.astype(mx.float32) if name == "bfloat16" else value))


def _taken(value: Any) -> mx.array | None:
    """The array that a leaf of an output is, or None."""
    if isinstance(value, np.ndarray | np.generic):
        name = {"bool": "bool_", "complex128": "complex64"}.get(value.dtype.name, value.dtype.name)
        return mx.array(value, getattr(mx, name))
    return value if isinstance(value, mx.array) else None


def _equal(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and np.array_equal(
        one.value, other.value, equal_nan=one.inexact
    )


def _has_gpu() -> bool:
    if hasattr(mx, "is_available"):
        return mx.is_available(mx.gpu)
    return mx.metal.is_available()


def _replacement(array: Array, like: mx.array) -> mx.array:
    value = mx.array(array.value)
    # The port's own precision; its kind may be what is wrong.
    same = any(
        mx.issubdtype(value.dtype, kind) and mx.issubdtype(like.dtype, kind)
        for kind in (mx.floating, mx.integer, mx.complexfloating)
    )
    return value.astype(like.dtype) if same else value


def _alias(tensor: mx.array, cotangent: Callable[[Any], Any]) -> mx.array:
    if not mx.issubdtype(tensor.dtype, mx.inexact):
        return tensor

    @mx.custom_function
    def passed(x: mx.array) -> mx.array:
        return (
            x * 1
        )  # what returns its argument itself is differentiated without the function below

    @passed.vjp
    def pulled(primal: mx.array, given: mx.array, output: mx.array) -> mx.array:
        return cotangent(given)

    return passed(tensor)


_KIT = trace.Kit(
    tensor=lambda value: value if isinstance(value, mx.array) else None,
    to_array=lambda tensor: to_array(tensor),
    replace=_replacement,
    version=lambda tensor: 0,
    alias=_alias,
)
