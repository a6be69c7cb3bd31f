"""Learning-rate schedulers of the port against torch's: the same numbers, one by one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mlx.nn as nn
import mlx.optimizers as mlx_optim
import numpy as np
import optax
import pytest
import torch
from flax import nnx

from torchport_translators.catalogue.load import catalogue
from torchport_translators.jax import schedulers as jax_schedulers
from torchport_translators.mlx import schedulers as mlx_schedulers
from torchport_translators.translate import translate

from .frameworks import FRAMEWORKS

# torch warns where a scheduler steps before its optimizer, as those of these programs do.
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")

STEPS = 50

# What a program writes; a metric for those that ask for one is `0.9 ** step`, and level from step 20 on.
SCHEDULES = {
    "StepLR": "StepLR(optimizer, step_size=7, gamma=0.3)",
    "StepLR by position": "StepLR(optimizer, 10)",
    "MultiStepLR": "MultiStepLR(optimizer, milestones=[3, 11, 11, 30], gamma=0.5)",
    "ConstantLR": "ConstantLR(optimizer, factor=0.3, total_iters=8)",
    "LinearLR": "LinearLR(optimizer, start_factor=0.1, total_iters=20)",
    "LinearLR down": "LinearLR(optimizer, 1.0, 0.2, 33)",
    "ExponentialLR": "ExponentialLR(optimizer, gamma=0.93)",
    "PolynomialLR": "PolynomialLR(optimizer, total_iters=40, power=0.9)",
    "CosineAnnealingLR": "CosineAnnealingLR(optimizer, T_max=40, eta_min=1e-4)",
    "CosineAnnealingLR beyond T_max": "CosineAnnealingLR(optimizer, 13)",
    "CosineAnnealingWarmRestarts": "CosineAnnealingWarmRestarts(optimizer, T_0=5, T_mult=2)",
    "CosineAnnealingWarmRestarts of one length": (
        "CosineAnnealingWarmRestarts(optimizer, 7, eta_min=1e-3)"
    ),
    "LambdaLR": "LambdaLR(optimizer, lr_lambda=lambda epoch: 0.95 ** epoch)",
    "LambdaLR of a warm-up": "LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))",
    "MultiplicativeLR": "MultiplicativeLR(optimizer, lr_lambda=lambda epoch: 0.9 + epoch / 1000)",
    "CyclicLR": "CyclicLR(optimizer, base_lr=0.001, max_lr=0.1, step_size_up=5)",
    "CyclicLR triangular2": (
        "CyclicLR(optimizer, 0.001, 0.1, step_size_up=4, step_size_down=7, mode='triangular2')"
    ),
    "CyclicLR exp_range": (
        "CyclicLR(optimizer, 0.001, 0.1, 6, mode='exp_range', gamma=0.99, cycle_momentum=False)"
    ),
    "CyclicLR of a function": (
        "CyclicLR(optimizer, 0.001, 0.1, 6, scale_fn=lambda x: 1 / (5 ** (x * 0.0001)))"
    ),
    "OneCycleLR": "OneCycleLR(optimizer, max_lr=0.5, total_steps=50)",
    "OneCycleLR of epochs": "OneCycleLR(optimizer, max_lr=0.5, epochs=5, steps_per_epoch=10)",
    "OneCycleLR linear in three phases": (
        "OneCycleLR(optimizer, 0.5, 60, anneal_strategy='linear', three_phase=True, pct_start=0.4)"
    ),
    "OneCycleLR without momentum": (
        "OneCycleLR(optimizer, 0.5, total_steps=50, cycle_momentum=False, div_factor=10)"
    ),
    "ReduceLROnPlateau": "ReduceLROnPlateau(optimizer, patience=3, factor=0.5)",
    "ReduceLROnPlateau of what should grow": (
        "ReduceLROnPlateau(optimizer, 'max', patience=2, cooldown=4, min_lr=1e-3)"
    ),
    "ReduceLROnPlateau by differences": (
        "ReduceLROnPlateau(optimizer, threshold=0.02, threshold_mode='abs', patience=1)"
    ),
    "SWALR": "swa_utils.SWALR(optimizer, swa_lr=0.05, anneal_epochs=15)",
    "SWALR linear": "swa_utils.SWALR(optimizer, 0.5, anneal_strategy='linear', anneal_epochs=4)",
    "SWALR at once": "swa_utils.SWALR(optimizer, 0.05, anneal_epochs=0)",
    "a warm-up, then a cosine": (
        "SequentialLR(optimizer, [LinearLR(optimizer, 0.1, total_iters=5), "
        "CosineAnnealingLR(optimizer, T_max=45)], milestones=[5])"
    ),
    "three one after another": (
        "SequentialLR(optimizer, schedulers=[ConstantLR(optimizer, 0.1, 4), "
        "ExponentialLR(optimizer, 0.9), MultiStepLR(optimizer, [3, 9])], milestones=[6, 30])"
    ),
    "restarts after a warm-up": (
        "SequentialLR(optimizer, [LambdaLR(optimizer, lambda i: (i + 1) / 8), "
        "CosineAnnealingWarmRestarts(optimizer, 6, 2)], [8])"
    ),
    "one sequence in another": (
        "SequentialLR(optimizer, [SequentialLR(optimizer, [ConstantLR(optimizer), "
        "StepLR(optimizer, 2)], [4]), ExponentialLR(optimizer, 0.8)], [20])"
    ),
    "a polynomial after a multiple": (
        "SequentialLR(optimizer, [MultiplicativeLR(optimizer, lambda _: 0.9), "
        "PolynomialLR(optimizer, 20)], [10])"
    ),
    "several at once": (
        "ChainedScheduler([ConstantLR(optimizer, factor=0.1, total_iters=12), "
        "ExponentialLR(optimizer, gamma=0.9), StepLR(optimizer, 20)])"
    ),
    "several at once, of a cosine": (
        "ChainedScheduler([LinearLR(optimizer), CosineAnnealingLR(optimizer, 30)], optimizer)"
    ),
}


def source(expression: str) -> str:
    """A function that makes a scheduler of an `optimizer`, as a program has it."""
    return (
        "from torch.optim import swa_utils\n"
        "from torch.optim.lr_scheduler import *\n\n\n"
        f"def make(optimizer):\n    return {expression}\n"
    )


def built(text: str) -> dict[str, Any]:
    """What a program defines, and `groups`: what tells the settings of an optimizer there."""
    namespace: dict[str, Any] = {}
    exec(text, namespace)
    namespace["groups"] = namespace.get("param_groups", lambda optimizer: optimizer.param_groups)
    return namespace


def ported(expression: str, target: str) -> dict[str, Any]:
    names = sorted(name for name in vars(jax_schedulers) if f"{name}(" in expression)
    imported = source(expression).replace(
        "import *",
        f"import {', '.join(name for name in names if name != 'SWALR') or 'LRScheduler'}",
    )
    translation = translate(imported, to=target)
    assert not translation.findings
    return built(translation.text)


def torch_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.02, momentum=0.9)


def jax_optimizer() -> Any:
    descent = optax.inject_hyperparams(optax.sgd)(learning_rate=0.02, momentum=0.9)
    return nnx.Optimizer(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), descent, wrt=nnx.Param)


def mlx_optimizer() -> Any:
    optimizer = mlx_optim.SGD(learning_rate=0.02, momentum=0.9)
    optimizer.init(nn.Linear(2, 2).trainable_parameters())
    return optimizer


OPTIMIZERS = {"jax": jax_optimizer, "mlx": mlx_optimizer}


def held(optimizer: Any) -> float:
    """The learning rate that an optimizer of the target computes with."""
    if isinstance(optimizer, nnx.Optimizer):
        return float(optimizer.opt_state.hyperparams["learning_rate"][...])
    return optimizer.learning_rate.item()


def run(program: dict[str, Any], optimizer: Any) -> list[tuple[list[float], float]]:
    """The learning rates that a scheduler tells, and the momentum, at the beginning and each step."""
    scheduler, groups = program["make"](optimizer), program["groups"]
    found = [(list(scheduler.get_last_lr()), groups(optimizer)[0]["momentum"])]
    for step in range(1, STEPS):
        if isinstance(optimizer, torch.optim.Optimizer):
            optimizer.step()
        else:
            assert np.float32(scheduler.get_last_lr()[0]) == np.float32(held(optimizer))
        metric = (0.9 ** min(step, 20),) if "Plateau" in type(scheduler).__name__ else ()
        scheduler.step(*metric)
        found.append((list(scheduler.get_last_lr()), groups(optimizer)[0]["momentum"]))
    return found


@pytest.mark.parametrize("target", FRAMEWORKS)
@pytest.mark.parametrize("expression", SCHEDULES.values(), ids=SCHEDULES)
def test_a_schedule_has_torchs_numbers(expression: str, target: str) -> None:
    expected = run(built(source(expression)), torch_optimizer())
    assert run(ported(expression, target), OPTIMIZERS[target]()) == expected


# Two on one optimizer, each stepped by the program; the rate set by hand; the state kept and restored.
PROGRAMS = {
    "two schedulers": """
def make(optimizer):
    warm_up = LinearLR(optimizer, 0.1, total_iters=5)
    return warm_up, CosineAnnealingLR(optimizer, T_max=30)


def train(optimizer, schedulers, groups):
    for step in range(40):
        schedulers[step > 5].step()
        yield groups(optimizer)[0]["lr"]
""",
    "a rate set by hand": """
def make(optimizer):
    return StepLR(optimizer, 3)


def train(optimizer, scheduler, groups):
    for step in range(12):
        if step == 5:
            groups(optimizer)[0]["lr"] = 0.7
        scheduler.step()
        yield groups(optimizer)[0]["lr"]
""",
    "a state restored": """
def make(optimizer):
    return SequentialLR(optimizer, [LinearLR(optimizer), StepLR(optimizer, 4)], [6])


def train(optimizer, scheduler, groups):
    for step in range(10):
        scheduler.step()
    state = scheduler.state_dict()
    kept = groups(optimizer)[0]["lr"]
    for step in range(5):
        scheduler.step()
    scheduler.load_state_dict(state)
    groups(optimizer)[0]["lr"] = kept
    yield scheduler.last_epoch
    for step in range(10):
        scheduler.step()
        yield groups(optimizer)[0]["lr"]
""",
    "a scheduler of one's own": """
class Halving(LRScheduler):
    def __init__(self, optimizer, every, last_epoch=-1):
        self.every = every
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base_lr * 0.5 ** (self.last_epoch // self.every) for base_lr in self.base_lrs]


def make(optimizer):
    return Halving(optimizer, 3)


def train(optimizer, scheduler, groups):
    for step in range(12):
        scheduler.step()
        yield scheduler.get_last_lr()[0]
""",
    "an epoch by its number": """
def make(optimizer):
    return CosineAnnealingWarmRestarts(optimizer, T_0=4, T_mult=2)


def train(optimizer, scheduler, groups):
    for step in range(40):
        scheduler.step(1 + step / 3)
        yield groups(optimizer)[0]["lr"]
""",
}


@pytest.mark.parametrize("target", FRAMEWORKS)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_sees_torchs_numbers(program: str, target: str) -> None:
    names = [name for name in catalogue("jax").module("schedulers").definitions if name in program]  # type: ignore[union-attr]
    names = [name for name in names if name[0].isupper()]
    text = f"from torch.optim.lr_scheduler import {', '.join(names)}\n{program}"
    found = []
    for optimizer, code in (
        (torch_optimizer(), text),
        (OPTIMIZERS[target](), translate(text, to=target).text),
    ):
        ours = built(code)
        made = ours["make"](optimizer)
        found.append(list(ours["train"](optimizer, made, ours["groups"])))
    assert found[0] == found[1]


@pytest.mark.parametrize("target", FRAMEWORKS)
def test_a_rate_set_in_the_optimizer_is_found(target: str) -> None:
    optimizer = OPTIMIZERS[target]()
    module = jax_schedulers if target == "jax" else mlx_schedulers
    scheduler = module.ExponentialLR(optimizer, 0.5)
    if target == "jax":
        optimizer.opt_state.hyperparams["learning_rate"][...] = 0.3
    else:
        optimizer.learning_rate = 0.3
    assert module.param_groups(optimizer)[0]["lr"] == 0.3
    scheduler.step()
    assert scheduler.get_last_lr() == [0.15]
    assert math.isclose(held(optimizer), 0.15, rel_tol=1e-7)


# What is refused, and what is said of it.
REFUSED = {
    "OneCycleLR(optimizer, 0.1)": "total_steps, or epochs",
    "OneCycleLR(optimizer, 0.1, 10, anneal_strategy='log')": "'log'",
    "CyclicLR(optimizer, 0.1, 0.2, mode='square')": "'square'",
    "ReduceLROnPlateau(optimizer, 'least')": "'least'",
    "StepLR(optimizer, 3, last_epoch=4)": "initial_lr",
    "SequentialLR(optimizer, [StepLR(optimizer, 3)], [2])": "milestones",
    "LambdaLR(optimizer, [abs, abs])": "2 values for 1 groups",
}


@pytest.mark.parametrize(("expression", "told"), REFUSED.items())
def test_what_torch_refuses_is_refused(expression: str, told: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        built(source(expression))["make"](torch_optimizer())
    for target in FRAMEWORKS:
        with pytest.raises((ValueError, KeyError), match=told):
            ported(expression, target)["make"](OPTIMIZERS[target]())


def test_a_fixed_rate_is_told_how_to_be_made() -> None:
    optimizer = nnx.Optimizer(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), optax.sgd(0.1), wrt=nnx.Param)
    with pytest.raises(ValueError, match="inject_hyperparams"):
        jax_schedulers.StepLR(optimizer, 3)


def test_the_schedulers_of_both_targets_are_one_text() -> None:
    texts = [Path(module.__file__).read_text() for module in (jax_schedulers, mlx_schedulers)]
    ours, theirs = (text[text.index("def _of_each") :] for text in texts)
    assert ours == theirs
