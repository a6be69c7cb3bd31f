"""What only shows over many runs of the port: training, random results, initial values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from .loading import describe
from .moments import CONSTRUCTIONS, collect
from .training import MOMENTUM, objective

if TYPE_CHECKING:
    from .mlx_side import Side


def steps(run: Any, count: int, rate: float) -> dict[str, Any]:
    """The steps that `torch_behaviour.steps` takes, from the same weights."""
    moving, fixed = run.inputs()
    velocity = [mx.zeros_like(place.array) for place in run.trained]
    objectives = []
    with run.lent():
        for _ in range(count):
            weights = [place.array for place in run.trained]
            results, pulled = run.differentiated({"weights": weights, "inputs": moving}, fixed)
            if pulled is None:
                return {"error": None, "objectives": None}
            mx.eval(results, pulled)
            outputs, _, buffers = results
            objectives.append(objective(run.travelling(outputs)))
            gradients = pulled["weights"]
            norm = mx.sqrt(sum((g * g).sum() for g in gradients)) if gradients else mx.array(0.0)
            scale = 1 / mx.maximum(norm, 1)
            velocity = [MOMENTUM * v + scale * g for v, g in zip(velocity, gradients, strict=True)]
            for place, weight, v in zip(run.trained, weights, velocity, strict=True):
                place.place(weight - rate * v)
            for name, value in buffers.items():
                run.side.places[name].place(value)
            mx.eval([place.array for place in run.trained])
        return {
            "error": None,
            "objectives": np.array(objectives),
            "parameters": {n: run.read(n) for n in run.names},
            "buffers": {n: run.read(n) for n in run.buffers},
        }


def samples(side: Side, run: Any, least: int) -> dict[str, Any]:
    """The moments of each output over many runs; see `moments.collect`."""

    def sample(number: int) -> Any:
        with run.lent(dropping=True):
            return run.output(side.seed + number)

    try:
        return {"error": None, "moments": collect(sample, least)}
    except BaseException as error:
        return {"error": describe(error)}


def initial(side: Side, name: str, init: Any, least: int) -> dict[str, Any]:
    """The moments of each parameter, by torch's name, over at most `CONSTRUCTIONS` constructions."""

    def construct(number: int) -> Any:
        mx.random.seed(side.seed + number)
        places = side.placements(side.instance(getattr(side.loaded.module, name), init))
        return {n: side.read(places[n]) for n in side.weight_names if n in places}

    try:
        return {"error": None, "moments": collect(construct, least, CONSTRUCTIONS)}
    except BaseException as error:
        return {"error": describe(error)}
