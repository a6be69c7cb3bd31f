"""Whole training programs: from the same weights, on the same batches, both sides train to the same numbers.

A program defines `models()`, `data()` and `train(*models, data)`, which gives what it logged. torch in
float64 says what is right; a port may be as far from it as torch in float32 is, several times over.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest
import torch
from flax import nnx
from mlx.utils import tree_flatten
from torch.utils import _pytree as pytree

from torchport_translators.findings import Severity
from torchport_translators.translate import translate
from torchport_translators.weights import transfer_weights

PROGRAMS = sorted((Path(__file__).parents[1] / "programs").glob("*.py"))
RUNS = [
    (path, target)
    for path in PROGRAMS
    for target in ("jax", "mlx")
    # Functions with gradients of their own are ported to JAX only.
    if (path.stem, target) != ("custom_autograd", "mlx")
]


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_torch(
    program: ModuleType, models: tuple[torch.nn.Module, ...], dtype: torch.dtype
) -> tuple[list[float], list[torch.nn.Module]]:
    """What the program logs, and its modules once they are trained."""
    trained = [copy.deepcopy(model).to(dtype) for model in models]
    data = pytree.tree_map(
        lambda x: x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x,
        program.data(),
    )
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return program.train(*trained, data), trained
    finally:
        torch.set_default_dtype(default)


def calling(function: Any, *args: Any) -> Any:
    """A function of a port called, with random state if it takes any."""
    if "rngs" in inspect.signature(function).parameters:
        return function(*args, rngs=nnx.Rngs(0))
    return function(*args)


def single(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor


def difference(values: Iterable[Any], reference: Iterable[Any]) -> tuple[float, float]:
    """The largest difference of arrays, and the largest size of the reference."""
    worst = size = 0.0
    for value, right in zip(values, reference, strict=True):
        right = np.asarray(right, np.float64)
        worst = max(worst, float(np.max(np.abs(np.asarray(value, np.float64) - right), initial=0)))
        size = max(size, float(np.max(np.abs(right), initial=0)))
    return worst, size


def parameters(module: Any) -> list[np.ndarray]:
    """The parameters and buffers of a port's module, in the order of their names."""
    if isinstance(module, nnx.Module):
        state = nnx.state(module, (nnx.Param, nnx.BatchStat))
        return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    return [np.array(leaf) for _, leaf in sorted(tree_flatten(module.parameters()))]


@pytest.mark.parametrize(("path", "target"), RUNS, ids=lambda v: getattr(v, "stem", v))
def test_a_program_trains_to_the_same_numbers(path: Path, target: str, tmp_path: Path) -> None:
    translation = translate(path.read_text("utf-8"), target)
    errors = [f for f in translation.findings if f.severity is Severity.ERROR]
    assert not errors, [(f.line, f.message) for f in errors]
    written = tmp_path / f"{path.stem}_{target}.py"
    written.write_text(translation.text, "utf-8")

    program, port = load(path, path.stem), load(written, written.stem)
    torch.manual_seed(0)
    models = program.models()
    history, trained = run_torch(program, models, torch.float32)
    right, reference = run_torch(program, models, torch.float64)
    assert len(right) >= 20

    ported = calling(port.models)
    for model, module in zip(models, ported, strict=True):
        transfer_weights(model.state_dict(), module)
    logged = calling(port.train, *ported, calling(port.data))

    allowed = 8 * difference(history, right)[0]
    worst, size = difference(logged, right)
    assert worst <= allowed + 1e-5 * size, f"losses: {worst} of {size}, torch {allowed / 8}"
    for at, module in enumerate(ported):
        placed: list[list[np.ndarray]] = []
        for model in (trained[at], reference[at]):
            other = calling(port.models)[at]
            transfer_weights({n: single(v) for n, v in model.state_dict().items()}, other)
            placed.append(parameters(other))
        allowed = 8 * difference(placed[0], placed[1])[0]
        worst, size = difference(parameters(module), placed[1])
        assert worst <= allowed + 1e-5 * size, f"parameters: {worst} of {size}, torch {allowed / 8}"
