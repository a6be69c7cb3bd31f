"""The JAX lane: constructs the port, gives it the original's weights, and runs it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from . import equivalents, jax_behaviour, trace
from .jax_compile import Compiler, Program
from .loading import describe, signature
from .port_side import PortSide, Slot, bound_call, slots
from .protocol import Array, Opaque, cotangent, leaves, tree_map

_OPERATORS = {
    "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "truediv": jnp.true_divide,
    "matmul": jnp.matmul, "pow": jnp.power, "sqrt": jnp.sqrt, "neg": jnp.negative,
    "not_": lambda x: not x, "invert": jnp.invert,
}  # fmt: skip


class Side(PortSide):
    """The operations of the JAX lane; each takes and returns what `protocol` can carry."""

    library = "flax.nnx"
    module_class = nnx.Module

    def __init__(self, device: str) -> None:
        jax.config.update("jax_default_matmul_precision", "highest")
        warnings.filterwarnings("ignore", message=".*dtype int64.*|.*dtype float64.*|.*truncated.*")
        self.device = jax.devices()[0]
        self.compiler = Compiler(self.device)
        self.checked: set[tuple[str, str]] = set()
        # A module constructed under a trace holds tracers where it would hold arrays, and flax takes
        # only arrays for data: a tracer would stay behind in the module as a constant.
        jax.jit(lambda x: _registered(x))(np.float32(0)).block_until_ready()

    def hello(self) -> dict[str, Any]:
        return {
            "version": jax.__version__,
            "device": self.device.platform,
            "devices": sorted({device.platform for device in jax.devices()} | {"cpu"}),
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

        Returns `failed`, the stage that failed or None, and then the `error`.
        """
        self.seed, self.weight_names, self.parameters = seed, weight_names, parameters
        self.making = (name, init, weights, weights_module, constants)
        # Eager JAX compiles each new operation by itself: slow once, and instant afterwards. So a
        # definition is compiled whole at first, and runs eagerly when it comes again, as one does
        # that is being edited; its next checks then compile what is new and nothing else.
        key = (str(self.loaded.path), name)
        self.familiar = key in self.checked
        self.checked.add(key)
        return self._make(eager=self.familiar)

    def _make(self, eager: bool) -> dict[str, Any]:
        self.runners: dict[Any, _Runner] = {}
        self.made_eagerly = eager
        return self.make(*self.making)

    def run(
        self,
        calls: list[dict[str, Any]],
        cases: list[tuple[bool, int]],
        gradients: bool,
        variant: str,
    ) -> list[dict[str, Any]]:
        """The outcome of each case (train mode, number of the call).

        A call says, beside its arguments, whether gradients are wanted, how often the target is
        called with them, and what its weights are cast to, as in the torch lane.
        `variant` is "compiled", "hurried": compiled, and what is not like the first case without
        optimising; "eager", or "either": compiled at first, eager where that is quicker or where it
        cannot be traced.
        """
        if variant == "either" and self.familiar:
            variant = "eager"
        outcomes = self._run(calls, cases, gradients, variant)
        if not self.made_eagerly and any(map(_leaked, outcomes)):
            # The constructor keeps a tracer where flax does not see it, in a closure for example.
            made = self._make(eager=True)
            if made["failed"]:
                return [{"error": made["error"]} for _ in cases]
            outcomes = self._run(calls, cases, gradients, variant)
        return outcomes

    def _run(
        self,
        calls: list[dict[str, Any]],
        cases: list[tuple[bool, int]],
        gradients: bool,
        variant: str,
    ) -> list[dict[str, Any]]:
        # All are made before the first one runs: what is compiled, is so while the next is traced.
        runners = [self._runner(calls[number], t, gradients, variant) for t, number in cases]
        outcomes = []
        for runner, (_, number) in zip(runners, cases, strict=True):
            try:
                if not isinstance(runner, _Runner):
                    raise runner
                args, kwargs = calls[number]["args"], calls[number]["kwargs"]
                outcomes.append(runner.run(args, kwargs, either=variant == "either"))
            except BaseException as error:
                outcomes.append({"error": describe(error)})
        return outcomes

    def _runner(
        self, call: dict[str, Any], train: bool, gradients: bool, variant: str
    ) -> _Runner | BaseException:
        """What runs a call in that mode and form, made at the first call of its kind; or why not."""
        args, kwargs = call["args"], call["kwargs"]
        shapes = [(path, getattr(leaf, "shape", leaf), getattr(leaf, "dtype", None))
                  for path, leaf in leaves([args, kwargs])]  # fmt: skip
        pull = gradients and call.get("gradients", True)
        times, cast = call.get("times", 1), call.get("cast")
        compiled, hurried = variant != "eager", variant == "hurried"
        key = train, pull, times, cast, compiled, hurried, repr(shapes)
        try:
            if key not in self.runners:
                quickly = hurried and any(r.program for r in self.runners.values())
                runner = _Runner(self, train, times, cast)
                runner.build(args, kwargs, self.parameters, pull)
                if compiled:
                    runner.compile(args, kwargs, quickly=quickly)
                self.runners[key] = runner
            return self.runners[key]
        except BaseException as error:
            return error

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
        # A function that is compiled, or traced as a loop's body, would run without the recorder.
        traced = _TRACING.search(self.loaded.source)
        with recorder.on(self.loaded), jax.disable_jit() if traced else contextlib.nullcontext():
            try:
                runner = _Runner(self, train)
                runner.build(call["args"], call["kwargs"], self.parameters, cotangents)
                outcome = runner.run(call["args"], call["kwargs"])
            except BaseException as error:
                outcome = {"error": describe(error)}
        return recorder.answer(outcome)

    def steps(
        self, call: dict[str, Any], count: int, rate: float, optimised: bool = False
    ) -> dict[str, Any]:
        """`jax_behaviour.steps`, compiled where it can be."""
        runner = self._runner(call, True, True, "compiled" if optimised else "hurried")
        try:
            if not isinstance(runner, _Runner):
                raise runner
            return jax_behaviour.steps(runner, call["args"], call["kwargs"], count, rate)
        except BaseException as error:
            return {"error": describe(error)}

    def samples(self, call: dict[str, Any], train: bool, least: int) -> dict[str, Any]:
        """`jax_behaviour.samples`."""
        return jax_behaviour.samples(self, call, train, least)

    def initial(self, name: str, init: Any, least: int) -> dict[str, Any]:
        """`jax_behaviour.initial`."""
        return jax_behaviour.initial(self, name, init, least)

    def instance(self, cls: Any, init: dict[str, Any]) -> Any:
        """`cls` with the travelled arguments `init`, and with random state where it takes that."""
        args, kwargs = self.unwire(init["args"]), self.unwire(init["kwargs"])

        extra = self.rngs_for(cls)

        def make() -> Any:
            return cls(*args, **kwargs, **extra())

        with _cheap_initialisers():
            if self.made_eagerly:
                return make()
            try:
                return self._made_at_once(make)
            except Exception:
                return make()  # constructors need not be traceable

    def _made_at_once(self, make: Callable[[], Any]) -> Any:
        """A module whose arrays are the results of one program."""
        graph = None

        def state() -> Any:
            nonlocal graph
            graph, state = nnx.split(make())
            return state

        made = self.compiler.start(state, (), quickly=True)()
        return nnx.merge(graph, made)

    def rngs_for(self, function: Any, number: int = 0) -> Callable[[], dict[str, Any]]:
        """What gives `rngs`, fresh, as a keyword argument, where the callable has such a parameter.

        `number` makes another random state of the same seed.
        """
        found = signature(function)
        if found is None or "rngs" not in found.parameters:
            return dict
        return lambda: {"rngs": nnx.Rngs(self.seed + number)}

    def operators(self) -> dict[str, Any]:
        """What an equivalent graph calls in the place of operators."""
        return equivalents.namespace(lambda value: isinstance(value, jax.Array), _OPERATORS)

    def bound(self, function: Any, modules: dict[str, Any]) -> Any:
        """A module of `modules` by name, that calls `function` with them and other arguments."""
        return _Bound(function, modules, self.rngs_for(function))

    def numpy(self, array: Array) -> np.ndarray:
        """The numpy array that JAX takes, bfloat16 included."""
        dtype = jnp.dtype(array.dtype)
        return array.value if array.value.dtype == dtype else array.value.astype(dtype)

    def array(self, array: Array) -> Any:
        """A travelled array as JAX's."""
        return jnp.asarray(self.numpy(array))

    def exported(self) -> dict[str, Array]:
        """The variables of the constructed module by path, "encoder.layers.0.kernel"; no random state."""
        variables = nnx.to_flat_state(nnx.state(self.target))
        return {
            ".".join(map(str, path)): to_array(variable.get_value())
            for path, variable in variables
            if not isinstance(variable, nnx.RngState)
        }

    def dtype(self, name: str) -> Any:
        """JAX's dtype of a name of torch's."""
        return jnp.bool_ if name == "bool" else getattr(jnp, name)

    def to_wire(self, value: Any) -> Any:
        """A JAX value as what travels."""
        found: list[Any] = []
        tree = slots(value, found, _taken)
        return tree_map(
            lambda leaf: to_array(found[leaf.index]) if isinstance(leaf, Slot) else leaf, tree
        )


class _Bound(nnx.Module):
    """A function with the modules that it takes as arguments: called with the other arguments.

    `modules` are the modules by the parameter's name, which is what their weights' names begin with.
    """

    def __init__(
        self, function: Any, modules: dict[str, Any], extra: Callable[[], dict[str, Any]]
    ) -> None:
        for name, module in modules.items():
            setattr(self, name, module)
        self._call = bound_call(function, list(modules), extra)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self, args, kwargs)


class _Runner:
    """One mode of the target as a pure function of its variables and inputs."""

    def __init__(self, side: Side, train: bool, times: int = 1, cast: str | None = None) -> None:
        self.side = side
        self.train = train
        self.times = times
        self.program: Program | None = None
        self.module = side.target if isinstance(side.target, nnx.Module) else None
        self.names: list[str] = []
        self.buffers: list[str] = []
        self.flat: list[Any] = []
        self.wanted: set[Any] = set()
        if self.module is None:
            return
        self.module.train() if train else self.module.eval()
        if train:
            for _, part in nnx.iter_graph(self.module):
                if isinstance(part, nnx.Dropout):
                    part.deterministic = True
        self.graph, state = nnx.split(self.module)
        self.flat = nnx.to_flat_state(state)
        paths = {id(variable): path for path, variable in nnx.to_flat_state(nnx.state(self.module))}
        self.path_of = {n: paths[id(place.variable)] for n, place in side.places.items()}
        if cast is not None:
            held = set(self.path_of.values())
            self.flat = [(p, _cast(v, cast) if p in held else v) for p, v in self.flat]
        self.names = [name for name in side.weight_names if name in self.path_of]
        self.wanted = {self.path_of[name] for name in self.names}
        self.buffers = [n for n in self.path_of if n not in side.weight_names] if train else []

    def run(self, args: Any, kwargs: Any, *, either: bool = False) -> dict[str, Any]:
        """Call the target with wire arguments; return the outcome as the torch lane does."""
        outputs, (others, buffers), pulled = self.execute(
            *self.start(), *self.inputs_of(args, kwargs), either=either
        )
        inexact, rest = iter(outputs), iter(others)
        ordered = [next(inexact if kind else rest) for kind in self.inexact]
        outcome: dict[str, Any] = {
            "error": None,
            "output": tree_map(
                lambda leaf: to_array(ordered[leaf.index]) if isinstance(leaf, Slot) else leaf,
                self.tree,
            ),
            "buffers": {
                n: self.read(n, buffers[self.path_of[n]])
                for n in self.buffers
                if self.path_of[n] in buffers
            },
            "input_gradients": None,
            "weight_gradients": None,
        }
        if pulled is not None:
            by_path = dict(zip(self.ordered_paths(), pulled[0], strict=True))
            outcome["input_gradients"] = {n: _conjugate(to_array(g)) for n, g in pulled[1].items()}
            outcome["weight_gradients"] = {
                n: self.read(n, by_path[self.path_of[n]]) for n in self.names
            }
        return outcome

    def build(self, args: Any, kwargs: Any, parameters: list[str], gradients: bool) -> None:
        """Make the function for calls of this structure, which differ in values only."""
        self.parameters = parameters
        self.function = self._build(self.side.template(args, kwargs, parameters, {}), gradients)

    def compile(self, args: Any, kwargs: Any, *, quickly: bool) -> None:
        """Begin to compile the function, with which calls then run."""
        arguments = *self.start(), *self.inputs_of(args, kwargs)
        self.program = self.side.compiler.start(self.function, arguments, quickly=quickly)

    def read(self, name: str, value: Any) -> Array:
        """A parameter, buffer or gradient in torch's layout, as it travels."""
        return self.side.source_layout(name, to_array(value))

    def inputs_of(self, args: Any, kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The tensors of a call by path: those with gradients, and the others."""
        inputs: dict[str, jax.Array] = {}
        self.side.template(args, kwargs, self.parameters, inputs)
        differentiable = {n: v for n, v in inputs.items() if jnp.issubdtype(v.dtype, jnp.inexact)}
        return differentiable, {n: v for n, v in inputs.items() if n not in differentiable}

    def start(self) -> tuple[list[Any], dict[Any, Any]]:
        """The values of the parameters in order, and those of the buffers by path."""
        kept = {self.path_of[name] for name in self.buffers}
        return (
            [v[...] for path, v in self.flat if path in self.wanted],
            {path: v[...] for path, v in self.flat if path in kept},
        )

    def _build(self, template: Callable[..., Any], gradients: bool) -> Callable[..., Any]:
        """The function of weights and inputs that gives outputs, other results and gradients."""

        extra = self.side.rngs_for(self.module.__call__ if self.module else self.side.target)

        def pure(values: Any, carried: Any, differentiable: Any, fixed: Any) -> Any:
            target, read_buffers = self._bind(values, carried)
            for _ in range(self.times):
                args, kwargs = template({**differentiable, **fixed})
                output = target(*args, **kwargs, **extra())
            found: list[Any] = []
            self.tree = slots(output, found, _taken)
            self.inexact = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in found]
            pairs = list(zip(found, self.inexact, strict=True))
            others = [leaf for leaf, inexact in pairs if not inexact]
            return [leaf for leaf, inexact in pairs if inexact], (others, read_buffers())

        def whole(values: Any, carried: Any, differentiable: Any, fixed: Any) -> Any:
            if not gradients or not (values or differentiable):
                return *pure(values, carried, differentiable, fixed), None
            outputs, pull, rest = jax.vjp(
                lambda v, d: pure(v, carried, d, fixed), values, differentiable, has_aux=True
            )
            seeds = [
                np.conj(cotangent(i, leaf.shape).astype(leaf.dtype))
                for i, leaf in enumerate(outputs)
            ]
            return outputs, rest, pull(seeds) if outputs else None

        return whole

    def ordered_paths(self) -> list[Any]:
        """The paths of the parameters, in the order of `start`."""
        return [path for path, _ in self.flat if path in self.wanted]

    def _bind(
        self, values: list[Any], carried: dict[Any, Any]
    ) -> tuple[Any, Callable[[], dict[Any, Any]]]:
        """The target with `values` in its parameters and `carried` in its buffers, and how to read
        its buffers afterwards."""
        if self.module is None:
            return self.side.target, dict
        new = {**dict(zip(self.ordered_paths(), values, strict=True)), **carried}
        state = nnx.from_flat_state(
            [(path, v.replace(new[path]) if path in new else v) for path, v in self.flat]
        )
        module = nnx.merge(self.graph, state, copy=True)
        kept = {self.path_of[name] for name in self.buffers}

        def read() -> dict[Any, Any]:
            flat = nnx.to_flat_state(nnx.state(module)) if self.train else []
            return {path: variable[...] for path, variable in flat if path in kept}

        return module, read

    def execute(self, *arguments: Any, either: bool = False) -> Any:
        """Run the program where it is compiled, else the function; with `either` that, too, where the
        program fails."""
        if self.program is not None:
            try:
                return self.program(*arguments)
            except Exception:
                # The code may need concrete values; if it fails for another reason, so it will now.
                if not either:
                    raise
        return self.function(*arguments)


def _cast(variable: Any, dtype: str) -> Any:
    value = variable[...]
    return variable.replace(value.astype(dtype)) if value.dtype == jnp.float32 else variable


def to_array(value: Any) -> Array:
    """A JAX or numpy array as it travels."""
    name = value.dtype.name
    values = np.asarray(value)
    if name.startswith(("bfloat", "float8")):
        values = values.astype(np.float32)
    return Array(name, values)


def _conjugate(array: Array) -> Array:
    """A complex gradient in torch's convention."""
    return Array(array.dtype, array.value.conj()) if array.value.dtype.kind == "c" else array


def _taken(value: Any) -> Any:
    """The array that a leaf of an output is, an `Opaque`, or None where it is neither."""
    if isinstance(value, nnx.Variable):
        value = value[...]
    if isinstance(value, jax.Array):
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return Opaque("PRNG key")
        return value
    return jnp.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


def _leaked(outcome: dict[str, Any]) -> bool:
    error = outcome.get("error")
    return error is not None and error["type"] == "UnexpectedTracerError"


def _registered(tracer: Any) -> Any:
    nnx.register_data_type(type(tracer))
    return tracer


@contextlib.contextmanager
def _cheap_initialisers():
    """Zeros for random draws while a module is constructed: the transfer replaces them all.

    Compiling a truncated normal for each shape is most of what constructing a module costs.
    """
    patched = [(module, name, getattr(module, name)) for module, name in _drawing()]
    for module, name, original in patched:
        setattr(module, name, _zeros_like(original))
    try:
        yield
    finally:
        for module, name, original in patched:
            setattr(module, name, original)


@functools.cache
def _drawing() -> list[tuple[Any, str]]:
    """The functions that initialisers draw with: JAX's own go past the public module."""
    modules = [jax.random]
    with contextlib.suppress(ImportError):
        from jax._src import random as private

        modules.append(private)
    names = ("normal", "uniform", "truncated_normal")
    return [(module, name) for module in modules for name in names if hasattr(module, name)]


@functools.cache
def _zeros_like(original: Callable[..., Any]) -> Callable[..., Any]:
    parameters = list(inspect.signature(original).parameters)

    def draw(*args: Any, **kwargs: Any) -> Any:
        bound = dict(zip(parameters, args, strict=False)) | kwargs
        return jnp.asarray(np.zeros(bound.get("shape") or (), bound.get("dtype") or "float32"))

    return draw


def _tensor(value: Any) -> jax.Array | None:
    """The array that a value is, or that a variable holds."""
    if isinstance(value, nnx.Variable):
        value = value[...]
    if not isinstance(value, jax.Array) or jnp.issubdtype(value.dtype, jax.dtypes.extended):
        return None
    return value


def _replacement(array: Array, like: jax.Array) -> jax.Array:
    value = jnp.asarray(array.value)
    # The port's own precision; its kind may be what is wrong.
    return value.astype(like.dtype) if value.dtype.kind == like.dtype.kind else value


def _alias(tensor: jax.Array, cotangent: Callable[[Any], Any]) -> jax.Array:
    if not jnp.issubdtype(tensor.dtype, jnp.inexact):
        return tensor

    @jax.custom_vjp
    def passed(x: Any) -> Any:
        return x

    passed.defvjp(lambda x: (x, None), lambda _, given: (cotangent(given),))
    return passed(tensor)


_TRACING = re.compile(
    rb"\b(jit|scan|fori_loop|while_loop|cond|switch|map|remat|checkpoint|associative_scan)\b"
)
_KIT = trace.Kit(
    tensor=_tensor,
    to_array=lambda tensor: None if isinstance(tensor, jax.core.Tracer) else to_array(tensor),
    replace=_replacement,
    version=lambda tensor: 0,
    alias=_alias,
)
