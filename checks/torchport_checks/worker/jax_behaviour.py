"""What only shows over many runs of the port: training, random results, initial values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

from .loading import describe
from .moments import CONSTRUCTIONS, collect, runs_for, stacked
from .protocol import Array
from .training import MOMENTUM, objective

if TYPE_CHECKING:
    from .jax_side import Side

_MOST_EAGERLY = 64


def steps(runner: Any, args: Any, kwargs: Any, count: int, rate: float) -> dict[str, Any]:
    """The steps that `torch_behaviour.steps` takes, from the same weights."""
    inputs = runner.inputs_of(args, kwargs)
    values, carried = runner.start()
    # In numpy: JAX would compile each of these operations for each shape.
    values = [np.asarray(value) for value in values]
    velocity = [np.zeros_like(value) for value in values]
    objectives = []
    for _ in range(count):
        outputs, (_, buffers), pulled = runner.execute(values, carried, *inputs, either=True)
        if pulled is None:
            return {"error": None, "objectives": None}
        objectives.append(objective(runner.side.to_wire(outputs)))
        gradients = [np.conj(np.asarray(g)) for g in pulled[0]]
        norm = np.sqrt(sum(np.sum(np.abs(g) ** 2) for g in gradients))
        scale = 1 / np.maximum(norm, 1)
        velocity = [MOMENTUM * v + scale * g for v, g in zip(velocity, gradients, strict=True)]
        values = [p - rate * v for p, v in zip(values, velocity, strict=True)]
        carried = {path: buffers[path] for path in carried}
    by_path = dict(zip(runner.ordered_paths(), values, strict=True))
    return {
        "error": None,
        "objectives": np.array(objectives),
        "parameters": {n: runner.read(n, by_path[runner.path_of[n]]) for n in runner.names},
        "buffers": {n: runner.read(n, carried[runner.path_of[n]]) for n in runner.buffers},
    }


def samples(side: Side, call: dict[str, Any], train: bool, least: int) -> dict[str, Any]:
    """The moments of each output over many runs; see `moments.collect`."""
    module = side.target if isinstance(side.target, nnx.Module) else None
    if module is not None:
        # A copy: streams of random numbers and running averages move on in every run.
        module = nnx.clone(module)
        module.train() if train else module.eval()
    wants_rngs = bool(side.rngs_for(type(module).__call__ if module else side.target)())
    args = [side.unwire(value) for value in call["args"]]
    kwargs = {name: side.unwire(value) for name, value in call["kwargs"].items()}

    def run(key: jax.Array) -> Any:
        extra = {"rngs": nnx.Rngs(key)} if wants_rngs else {}
        target = side.target
        if module is not None:
            target = nnx.merge(*nnx.split(module), copy=True)
            nnx.reseed(target, **dict.fromkeys(("default", "params", "dropout"), key))
        return target(*args, **kwargs, **extra)

    try:
        sizes = [leaf.size for leaf in jax.tree.leaves(jax.eval_shape(run, _key(side)))]
        count = runs_for(sizes, least)
    except Exception:  # it needs concrete values, or returns what no trace can
        count = _MOST_EAGERLY
    try:
        return {"error": None, "moments": _over_keys(side, run, count, least)}
    except BaseException as error:
        return {"error": describe(error)}


def initial(side: Side, name: str, init: Any, least: int) -> dict[str, Any]:
    """The moments of each parameter, by torch's name, over at most `CONSTRUCTIONS` constructions."""
    cls = getattr(side.loaded.module, name)
    args, kwargs = side.unwire(init["args"]), side.unwire(init["kwargs"])
    wants_rngs = bool(side.rngs_for(cls)())
    places = {n: place for n, place in side.places.items() if n in side.weight_names}

    def construct(key: jax.Array) -> Any:
        module = cls(*args, **kwargs, **({"rngs": nnx.Rngs(key)} if wants_rngs else {}))
        made = side.placements(module)
        return {n: made[n].variable[...] for n in places}

    try:
        sizes = [int(np.prod(place.shape)) for place in places.values()]
        count = runs_for(sizes, least, CONSTRUCTIONS)
        found = _over_keys(side, construct, count, least)
    except BaseException as error:
        return {"error": describe(error)}
    for path, place in zip(
        sorted(f"[{n!r}]" for n in places), (places[n] for n in sorted(places)), strict=True
    ):
        means = found[path]["means"]
        found[path]["means"] = Array("float64", place.to_source(means.value))
    return {"error": None, "moments": found}


def _over_keys(side: Side, run: Any, count: int, least: int) -> dict[str, Any]:
    """The moments of `run(key)` over `count` keys: at once where it can be traced, else one by one."""
    keys = jax.random.split(_key(side), count)
    try:
        program = side.compiler.start(jax.vmap(run), (keys,), quickly=True)
        return stacked(side.to_wire(program(keys)))
    except Exception:  # as above
        return collect(lambda number: side.to_wire(run(keys[number % count])), least, _MOST_EAGERLY)


def _key(side: Side) -> jax.Array:
    return jax.random.key(side.seed)
