"""What only shows over many runs of the original: training, random results, initial values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .loading import describe
from .moments import CONSTRUCTIONS, collect
from .training import MOMENTUM, objective

if TYPE_CHECKING:
    from .torch_side import Side


def steps(
    side: Side, call: dict[str, Any], count: int, rate: float, precise: bool, jitter: Any
) -> dict[str, Any]:
    """Take `count` steps of gradient descent in train mode, from the weights that the module has.

    The objective is the inner product of all outputs with the fixed cotangent; gradients are clipped to
    a global norm of 1, and momentum is 0.9. Returns `objectives`, one per step, and the `parameters` and
    `buffers` after the last, by name; or `error`. There are no objectives where a step is random, as one
    of an LSTM with dropout between its layers is.
    """
    try:
        with side.borrowed(True, precise) as target:
            return _steps(side, target, call, count, rate, precise, jitter)
    except BaseException as error:
        return {"error": describe(error)}


def _steps(
    side: Side,
    target: Any,
    call: dict[str, Any],
    count: int,
    rate: float,
    precise: bool,
    jitter: Any,
) -> dict[str, Any]:
    parameters = {n: p for n, p in target.named_parameters() if p.requires_grad}
    velocity = {n: torch.zeros_like(p) for n, p in parameters.items()}
    objectives = []
    for step in range(count):
        # The weights are moved once; inputs are the same in every step.
        outcome = side.run_once(target, call, True, True, precise, jitter if step == 0 else None)
        if outcome["weight_gradients"] is None or outcome["random"]:
            return {"error": None, "objectives": None}
        objectives.append(objective(outcome["output"]))
        gradients = {
            n: torch.from_numpy(g.value).to(parameters[n])
            for n, g in outcome["weight_gradients"].items()
        }
        norm = torch.sqrt(sum((g.abs() ** 2).sum() for g in gradients.values()))
        scale = 1 / torch.clamp(norm, min=1)
        with torch.no_grad():
            for name, parameter in parameters.items():
                velocity[name] = MOMENTUM * velocity[name] + scale * gradients[name]
                parameter -= rate * velocity[name]
    return {
        "error": None,
        "objectives": np.array(objectives),
        "parameters": {n: side.to_wire(p) for n, p in parameters.items()},
        "buffers": {n: side.to_wire(b) for n, b in target.named_buffers()},
    }


def samples(side: Side, call: dict[str, Any], train: bool, least: int) -> dict[str, Any]:
    """The moments of each output over many runs; see `moments.collect`."""
    try:
        with side.borrowed(train, False, dropping=True) as target, torch.no_grad():
            return {
                "error": None,
                "moments": collect(
                    lambda number: side.run_once(target, call, train, False, False, None, number)[
                        "output"
                    ],
                    least,
                ),
            }
    except BaseException as error:
        return {"error": describe(error)}


def initial(side: Side, name: str, init: Any, least: int) -> dict[str, Any]:
    """The moments of each parameter over at most `CONSTRUCTIONS` constructions."""

    def construct(number: int) -> Any:
        torch.manual_seed(number)
        module = side.names[name](*side.unwire(init["args"]), **side.unwire(init["kwargs"]))
        return {n: side.to_wire(p) for n, p in module.named_parameters()}

    try:
        return {"error": None, "moments": collect(construct, least, CONSTRUCTIONS)}
    except BaseException as error:
        return {"error": describe(error)}
