"""Optimizers of the port against torch's: the parameters of a small network after training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch
from flax import nnx
from mlx.utils import tree_flatten

from torchport_translators.jax import gradients as jax_gradient_rules
from torchport_translators.jax import optim as jax_optim
from torchport_translators.jax import schedulers as jax_schedulers
from torchport_translators.mlx import gradients as mlx_gradient_rules
from torchport_translators.mlx import optim as mlx_optim
from torchport_translators.mlx import schedulers as mlx_schedulers
from torchport_translators.translate import translate
from torchport_translators.weights import transfer_weights
from torchport_translators.weights.nnx import placements

from .frameworks import FRAMEWORKS

# What a program writes for its optimizer; `model` is what the rewrite of a training step passes.
CALLS = {
    "SGD": [
        "lr=0.1",
        "lr=0.1, momentum=0.9",
        "lr=0.1, momentum=0.9, nesterov=True",
        "lr=0.1, momentum=0.9, dampening=0.3",
        "lr=0.1, weight_decay=0.05",
        "lr=0.1, momentum=0.9, weight_decay=0.05, nesterov=True",
        "lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.05, maximize=True",
        "lr=0.01, maximize=True",
    ],
    "Adam": [
        "",
        "lr=0.02, betas=(0.5, 0.9)",
        "lr=0.02, betas=(0.0, 0.9), eps=1e-2",
        "lr=0.02, weight_decay=0.1",
        "lr=0.02, amsgrad=True, eps=1e-2",
        "lr=0.02, maximize=True, weight_decay=0.1",
        "lr=0.02, weight_decay=0.1, decoupled_weight_decay=True",
        "lr=0.02, fused=False, foreach=True",
    ],
    "AdamW": [
        "lr=0.02",
        "lr=0.02, weight_decay=0.3, betas=(0.8, 0.95)",
        "lr=0.02, amsgrad=True",
        "lr=0.02, weight_decay=0.3, amsgrad=True, maximize=True",
        "lr=0.02, weight_decay=0.0",
    ],
    "Adamax": ["", "lr=0.02, weight_decay=0.1", "lr=0.02, eps=1e-2, maximize=True"],
    "NAdam": [
        "",
        "lr=0.02, momentum_decay=0.1",
        "lr=0.02, weight_decay=0.1, eps=1e-2",
        "lr=0.02, weight_decay=0.1, decoupled_weight_decay=True, maximize=True",
    ],
    "RAdam": [
        "",
        "lr=0.05, betas=(0.8, 0.9)",
        "lr=0.05, eps=1e-2, weight_decay=0.1",
        "lr=0.05, weight_decay=0.1, decoupled_weight_decay=True, maximize=True",
    ],
    "Adagrad": [
        "",
        "lr=0.1, lr_decay=0.1",
        "lr=0.1, initial_accumulator_value=0.5, eps=1e-2",
        "lr=0.1, weight_decay=0.1, maximize=True",
    ],
    "Adadelta": ["", "lr=0.5, rho=0.8, eps=1e-3, weight_decay=0.1", "maximize=True"],
    "RMSprop": [
        "",
        "lr=0.01, alpha=0.9, eps=1e-2",
        "lr=0.01, momentum=0.9",
        "lr=0.01, centered=True, momentum=0.5",
        "lr=0.01, weight_decay=0.1, centered=True",
        "lr=0.002, weight_decay=0.1, momentum=0.9, maximize=True",
    ],
    "Rprop": ["", "lr=0.02, etas=(0.3, 1.5), step_sizes=(1e-3, 0.1)", "maximize=True"],
    "ASGD": ["lr=0.1", "lr=0.1, lambd=0.1, alpha=0.5, weight_decay=0.1", "lr=0.01, maximize=True"],
    "Adafactor": [
        "",
        "lr=0.05, weight_decay=0.1, d=2.0",
        "lr=0.05, eps=(1e-3, 1e-2), beta2_decay=-0.5, maximize=True",
    ],
    "Muon": ["lr=0.02", "lr=0.02, nesterov=False", "lr=0.02, adjust_lr_fn='match_rms_adamw'"],
}

# Those whose momentum can be changed, too.
CYCLED = ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop")

ROWS = [(f"{name}({options})", name, options) for name, calls in CALLS.items() for options in calls]

Settings = Callable[[int], "tuple[float, float] | None"]


def unchanged(step: int) -> None:
    """The learning rate and the momentum to be set before a step; None leaves them."""


def changing(step: int) -> tuple[float, float]:
    return 0.05 / (1 + step % 4), 0.7 + 0.02 * (step % 10)


def steps_of(name: str) -> int:
    """Muon iterates in bfloat16, where few steps are all that can be compared."""
    return 5 if name == "Muon" else 25


@cache
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(16, 4)), generator.normal(size=(16, 3))


def network(bias: bool) -> torch.nn.Sequential:
    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 6, bias=bias), torch.nn.Linear(6, 3, bias=bias)
    return torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])


def set_in_torch(group: dict[str, Any], settings: tuple[float, float], cycled: bool) -> None:
    group["lr"], momentum = settings
    if cycled and "betas" in group:
        group["betas"] = (momentum, group["betas"][1])
    elif cycled:
        group["momentum"] = momentum


@cache
def in_torch(
    name: str,
    options: str,
    dtype: torch.dtype,
    settings: Settings = unchanged,
    cycled: bool = False,
) -> dict[str, np.ndarray]:
    """torch's parameters after training."""
    model = network(name != "Muon").to(dtype)
    optimizer = eval(
        f"torch.optim.{name}(model.parameters(), {options})", {"torch": torch, "model": model}
    )
    x, y = (torch.tensor(array, dtype=dtype) for array in data())
    for step in range(steps_of(name)):
        if wanted := settings(step):
            set_in_torch(optimizer.param_groups[0], wanted, cycled)
        optimizer.zero_grad()
        torch.mean((model(x * (1 + step % 3)) - y) ** 2).backward()
        optimizer.step()
    return {key: value.detach().numpy() for key, value in model.state_dict().items()}


def written(call: str) -> str:
    """A call as torch has it: on the parameters of the model.

    Keywords of the rule that torch does not have (`scheduled`) stand in it as the rewrite passes them.
    """
    return "torch.optim." + re.sub(r"\(model\b", "(model.parameters()", call)


def made(target: str, call: str) -> Callable[[Any], Any]:
    """What the port of `call` makes of a `model`."""
    text = f"import torch\n\n\ndef make(model):\n    return {written(call)}\n"
    translation = translate(text, to=target)
    assert not translation.findings
    namespace: dict[str, Any] = {}
    exec(translation.text, namespace)
    return namespace["make"]


def jax_network(bias: bool) -> Any:
    rngs = nnx.Rngs(0)
    layers = nnx.Linear(4, 6, use_bias=bias, rngs=rngs), nnx.Linear(6, 3, use_bias=bias, rngs=rngs)
    model = nnx.Sequential(layers[0], nnx.tanh, layers[1])
    transfer_weights(network(bias).state_dict(), model)
    return model


def mlx_network(bias: bool) -> Any:
    model = nn.Sequential(nn.Linear(4, 6, bias=bias), nn.Tanh(), nn.Linear(6, 3, bias=bias))
    transfer_weights(network(bias).state_dict(), model)
    return model


@nnx.jit
def jax_gradients(model: Any, x: Any, y: Any) -> Any:
    return nnx.grad(lambda model: jnp.mean((model(x) - y) ** 2))(model)


@nnx.jit
def jax_step(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.update(model, jax_gradients(model, x, y))


def in_jax(
    make: Callable[[Any], Any],
    name: str,
    settings: Settings = unchanged,
    groups: Callable[[Any], Any] = jax_schedulers.param_groups,
    compiled: bool = False,
) -> dict[str, np.ndarray]:
    model = jax_network(name != "Muon")
    optimizer = make(model)
    x, y = data()
    for step in range(steps_of(name)):
        if wanted := settings(step):
            for group in groups(optimizer):
                group["lr"], group["momentum"] = wanted
        if compiled:
            jax_step(model, optimizer, x * (1 + step % 3), y)
        else:
            optimizer.update(model, jax_gradients(model, x * (1 + step % 3), y))
    places = placements(model)
    return {name: p.to_source(np.asarray(p.variable[...])) for name, p in places.items()}


def in_mlx(
    make: Callable[[Any], Any],
    name: str,
    settings: Settings = unchanged,
    groups: Callable[[Any], Any] = mlx_schedulers.param_groups,
) -> dict[str, np.ndarray]:
    model = mlx_network(name != "Muon")
    optimizer = make(model)
    x, y = (mx.array(array.astype(np.float32)) for array in data())
    gradients = nn.value_and_grad(model, lambda model, x: mx.mean((model(x) - y) ** 2))
    for step in range(steps_of(name)):
        if wanted := settings(step):
            for group in groups(optimizer):
                group["lr"], group["momentum"] = wanted
        optimizer.update(model, gradients(model, x * (1 + step % 3))[1])
        mx.eval(model.parameters(), optimizer.state)
    flat = tree_flatten(model.parameters())
    return {name.removeprefix("layers."): np.array(value) for name, value in flat}


TRAIN = {"jax": in_jax, "mlx": in_mlx}


def agree(found: Mapping[str, np.ndarray], name: str, options: str, *training: Any) -> None:
    """Within the rounding that torch shows itself in float32, against float64 (Muon: in bfloat16).

    optax and MLX correct the bias of Adam's means in float32, which holds 1 - 0.999 to 5 digits.
    """
    settings = training[0] if training else unchanged
    travelled = sum((settings(step) or [0.02])[0] for step in range(steps_of(name)))
    single = in_torch(name, options, torch.float32, *training)
    exact = in_torch(name, options, torch.float64, *training)
    assert found.keys() == exact.keys()
    size = max(np.abs(reference).max() for reference in exact.values())
    for key, reference in exact.items():
        allowed = max(8 * np.abs(single[key] - reference).max(), 2**-16 * size)
        if name == "Muon":
            reference, allowed = single[key], 2**-4 * travelled
        np.testing.assert_array_less(np.abs(found[key] - reference), allowed, key)


@pytest.mark.parametrize("target", FRAMEWORKS)
@pytest.mark.parametrize(("name", "options"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_an_optimizer_trains_as_torch_does(name: str, options: str, target: str) -> None:
    found = TRAIN[target](made(target, f"{name}(model, {options})"), name)
    agree(found, name, options)


@pytest.mark.parametrize(("name", "options"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_a_learning_rate_of_optax_can_be_changed(name: str, options: str) -> None:
    cycled = name in CYCLED
    call = f"{name}(model, {options}, scheduled=True{', cycled=True' if cycled else ''})"
    agree(
        in_jax(made("jax", call.replace(", ,", ",")), name, changing),
        name,
        options,
        changing,
        cycled,
    )


@pytest.mark.parametrize("name", CALLS)
def test_a_learning_rate_of_mlx_can_be_changed(name: str) -> None:
    options = CALLS[name][-1]
    found = in_mlx(made("mlx", f"{name}(model, {options})"), name, changing)
    agree(found, name, options, changing, name in CYCLED)


def test_a_compiled_step_takes_a_changed_learning_rate() -> None:
    options = "lr=0.02, weight_decay=0.1"
    make = made("jax", f"Adam(model, {options}, scheduled=True, cycled=True)")
    agree(in_jax(make, "Adam", changing, compiled=True), "Adam", options, changing, True)


# Groups of parameters by their paths: what torch is told, and the same of the port.
def groups_in_torch(model: torch.nn.Sequential) -> list[dict[str, Any]]:
    return [
        {"params": model[0].parameters(), "lr": 0.01, "momentum": 0.5},
        {"params": [model[2].bias]},
    ]


def test_groups_of_parameters_have_their_own_settings() -> None:
    """The last weight is in no group, and stays."""
    expected = {}
    for dtype in (torch.float32, torch.float64):
        model = network(True).to(dtype)
        optimizer = torch.optim.SGD(groups_in_torch(model), lr=0.1)
        x, y = (torch.tensor(array, dtype=dtype) for array in data())
        for step in range(10):
            optimizer.param_groups[1]["lr"] = 0.1 / (1 + step)
            optimizer.zero_grad()
            torch.mean((model(x * (1 + step % 3)) - y) ** 2).backward()
            optimizer.step()
        expected[dtype] = {key: value.detach().numpy() for key, value in model.state_dict().items()}

    model = jax_network(True)
    first = made("jax", "SGD(model, lr=0.01, momentum=0.5, scheduled=True, bare=True)")(None)
    second = made("jax", "SGD(model, lr=0.1, scheduled=True, bare=True)")(None)
    transformation = jax_optim.by_path(
        (first, lambda path, _: path.startswith("layers.0.")),
        (second, lambda path, array: path.endswith("bias") and array.ndim == 1),
    )
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)
    x, y = data()
    for step in range(10):
        jax_schedulers.param_groups(optimizer)[1]["lr"] = 0.1 / (1 + step)
        jax_step(model, optimizer, x * (1 + step % 3), y)
    places = placements(model).items()
    found = {"jax": {name: p.to_source(np.asarray(p.variable[...])) for name, p in places}}

    model = mlx_network(True)
    optimizer = mlx_optim.ByPath(
        (
            made("mlx", "SGD(model, lr=0.01, momentum=0.5)")(None),
            lambda path, _: path.startswith("layers.0."),
        ),
        (
            made("mlx", "SGD(model, lr=0.1)")(None),
            lambda path, array: path.endswith("bias") and array.ndim == 1,
        ),
    )
    gradients = nn.value_and_grad(model, lambda model, x, y: mx.mean((model(x) - y) ** 2))
    x, y = (mx.array(array.astype(np.float32)) for array in data())
    for step in range(10):
        mlx_schedulers.param_groups(optimizer)[1]["lr"] = 0.1 / (1 + step)
        optimizer.update(model, gradients(model, x * (1 + step % 3), y)[1])
    flat = tree_flatten(model.parameters())
    found["mlx"] = {name.removeprefix("layers."): np.array(value) for name, value in flat}

    for parameters in found.values():
        for name, reference in expected[torch.float64].items():
            error = np.abs(expected[torch.float32][name] - reference).max()
            allowed = 8 * error + 2**-20
            np.testing.assert_array_less(np.abs(parameters[name] - reference), allowed)
        np.testing.assert_array_equal(parameters["2.weight"], expected[torch.float32]["2.weight"])


# What a program writes, and what stands in the port for it.
TEXTS = {
    "plain": (
        "SGD(model, lr=0.1)",
        "nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)",
        "optim.SGD(learning_rate=0.1)",
    ),
    "settings from outside": (
        "SGD(model, args.lr, momentum=args.momentum, weight_decay=args.wd)",
        """\
nnx.Optimizer(
        model,
        optax.chain(optax.add_decayed_weights(args.wd), optax.sgd(args.lr, momentum=args.momentum)),
        wrt=nnx.Param,
    )""",
        "optim.SGD(learning_rate=args.lr, momentum=args.momentum, weight_decay=args.wd)",
    ),
    "torch's own defaults": (
        "Adam(model, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False)",
        "nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)",
        "optim.Adam(learning_rate=1e-3, bias_correction=True)",
    ),
    "decay of 0.01, which optax has not": (
        "AdamW(model)",
        "nnx.Optimizer(model, optax.adamw(0.001, weight_decay=0.01), wrt=nnx.Param)",
        "optim.AdamW(learning_rate=0.001, bias_correction=True)",
    ),
    "eps outside the root": (
        "RMSprop(model)",
        """\
nnx.Optimizer(
        model, optax.rmsprop(0.01, decay=0.99, eps_in_sqrt=False), wrt=nnx.Param
    )""",
        "optim.RMSprop(learning_rate=0.01)",
    ),
    "a helper": (
        "NAdam(model, lr=0.01)",
        """\
nnx.Optimizer(
        model,
        optax.chain(_scale_by_nadam(), optax.scale_by_learning_rate(0.01)),
        wrt=nnx.Param,
    )""",
        "_NAdam(learning_rate=0.01)",
    ),
}


@pytest.mark.parametrize(("call", "jax_text", "mlx_text"), TEXTS.values(), ids=TEXTS)
def test_an_optimizer_reads_as_written_for_the_target(
    call: str, jax_text: str, mlx_text: str
) -> None:
    source = f"import torch\n\n\ndef make(model, args):\n    return {written(call)}\n"
    assert translate(source, to="jax").text.endswith(f"    return {jax_text}\n")
    assert translate(source, to="mlx").text.endswith(f"    return {mlx_text}\n")


# With a learning rate that can be changed, in JAX.
SCHEDULED = {
    "SGD(model, 0.1, scheduled=True)": "optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)",
    "AdamW(model, lr=args.lr, scheduled=True)": (
        "optax.inject_hyperparams(optax.adamw)(learning_rate=args.lr, weight_decay=0.01)"
    ),
    "Adam(model, lr=1e-3, weight_decay=1e-4, scheduled=True)": (
        "optax.inject_hyperparams( lambda learning_rate: optax.chain( "
        "optax.add_decayed_weights(1e-4), optax.adam(learning_rate) ) )(learning_rate=1e-3)"
    ),
    "SGD(model, 0.1, momentum=0, scheduled=True, cycled=True)": (
        "optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0)"
    ),
    "SGD(model, learning_rate, weight_decay=learning_rate, scheduled=True)": "sgd(model,",
}


@pytest.mark.parametrize(("call", "text"), SCHEDULED.items())
def test_a_changeable_rate_reads_as_written_for_optax(call: str, text: str) -> None:
    source = (
        f"import torch\n\n\ndef make(model, args, learning_rate):\n    return {written(call)}\n"
    )
    ported = translate(source, to="jax").text
    assert text in " ".join(ported[ported.index("def make") :].split())


# Gradients that are clipped: the norm that they may have, which norm that is, and their scale.
CLIPPED = [
    (1.0, 2.0, 1.0),
    (1e3, 2.0, 1.0),
    (0.5, 1, 3.0),
    (0.5, math.inf, 3.0),
    (2.0, 3, 1.0),
    (1.0, 2, 0),
]


@pytest.mark.parametrize(("largest", "order", "scale"), CLIPPED)
def test_gradients_are_clipped_as_torch_does(largest: float, order: float, scale: float) -> None:
    generator = np.random.default_rng(0)
    arrays = {
        name: (scale * generator.normal(size=shape)).astype(np.float32)
        for name, shape in {"a": (3, 4), "b": (5,), "c": ()}.items()
    }
    parameters = []
    for array in arrays.values():
        parameters.append(torch.nn.Parameter(torch.zeros(array.shape)))
        parameters[-1].grad = torch.tensor(array)
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest, norm_type=order)
    in_jax = jax.tree.map(jnp.asarray, arrays)
    in_mlx = {name: mx.array(array) for name, array in arrays.items()}
    for module, tree in ((jax_gradient_rules, in_jax), (mlx_gradient_rules, in_mlx)):
        clipped, found = module.clip_grad_norm(tree, largest, order)
        np.testing.assert_allclose(np.array(found), norm, rtol=2**-21)
        np.testing.assert_allclose(np.array(module.grad_norm(tree, order)), norm, rtol=2**-21)
        for value, parameter in zip(clipped.values(), parameters, strict=True):
            np.testing.assert_allclose(np.array(value), parameter.grad, rtol=2**-21, atol=1e-30)

        clipped = module.clip_grad_value(tree, 0.5)
        for value, array in zip(clipped.values(), arrays.values(), strict=True):
            np.testing.assert_array_equal(np.array(value), np.clip(array, -0.5, 0.5))
        twice = module.add_grads(module.add_grads(None, tree), tree)
        for value, array in zip(twice.values(), arrays.values(), strict=True):
            np.testing.assert_array_equal(np.array(value), 2 * array)


@pytest.mark.parametrize("module", [jax_gradient_rules, mlx_gradient_rules])
def test_gradients_that_are_not_finite_are_refused_if_asked(module: Any) -> None:
    array = jnp.asarray if module is jax_gradient_rules else mx.array
    with pytest.raises(RuntimeError, match="nan"):
        module.clip_grad_norm({"a": array([1.0, math.nan])}, 1.0, error_if_nonfinite=True)
