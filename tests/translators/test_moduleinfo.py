"""Every module rule, on the samples that torch tests itself with (ModuleInfo), and on some more.

A sample's module is built by torch and by its rule for each target, given the same weights by the
weights transfer, and run in training and in evaluation: outputs, running statistics, and (in JAX under
`jax.jit`) gradients of inputs and parameters in torch's names and layout must agree.

`pytest tests/translators/test_moduleinfo.py -k "mlx and Conv2d"` runs one module. The default run takes
a few samples of each; `TORCHPORT_OPINFO=all` takes all of them.
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree
from torch import nn
from torch.testing._internal.common_modules import module_db

from . import known_failures, known_failures_mlx
from .frameworks import FRAMEWORKS, Framework
from .modules import MODULES, Modules
from .oracle import (
    EVERYTHING,
    Rejected,
    compare_results,
    difference,
    resolve,
    to_numpy,
    to_port,
)

MODULE_FAILURES = {
    "jax": known_failures.MODULE_FAILURES,
    "mlx": known_failures_mlx.MODULE_FAILURES,
}
# How many of torch's samples the default run takes of a module.
SAMPLES = 4


@dataclass
class Sample:
    """How a module is built and called, in torch's terms."""

    name: str
    args: tuple[object, ...] = ()
    kwargs: dict[str, object] = field(default_factory=dict[str, object])
    inputs: tuple[object, ...] = ()
    named_inputs: dict[str, object] = field(default_factory=dict[str, object])

    def on(self, *inputs: object, **named_inputs: object) -> Sample:
        """The same module called with other inputs."""
        return Sample(self.name, self.args, self.kwargs, inputs, named_inputs)

    def build(self) -> nn.Module:
        """Torch's module, its parameters and statistics moved off their round initial values."""
        torch.manual_seed(0)
        module = getattr(nn, self.name)(*self.args, **self.kwargs)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
            for name, buffer in module.named_buffers():
                if name.endswith("running_mean"):
                    buffer += torch.randn_like(buffer)
                elif name.endswith("running_var"):
                    buffer += torch.rand_like(buffer)
        return module

    def port(self, target: Modules) -> object:
        """What the rule gives.

        Raises:
            Rejected: the rule does not take the arguments.
        """
        args = [as_argument(arg, target) for arg in self.args]
        kwargs = {name: as_argument(arg, target) for name, arg in self.kwargs.items()}
        call = resolve(f"torch.nn.{self.name}", args, kwargs, target.on)[1]
        try:
            return call()
        except ValueError as refusal:
            raise Rejected(str(refusal)) from refusal

    def __str__(self) -> str:
        words = [*map(show, self.args), *(f"{k}={show(v)}" for k, v in self.kwargs.items())]
        given = [*map(show, self.inputs), *(f"{k}={show(v)}" for k, v in self.named_inputs.items())]
        return f"{self.name}({', '.join(words)})({', '.join(given)})"


def module(name: str, *args: object, **kwargs: object) -> Sample:
    return Sample(name, args, kwargs)


def show(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(show, value))}]"
    return type(value).__name__ if isinstance(value, nn.Module) else repr(value)


def as_argument(value: object, target: Modules) -> object:
    """An argument of a module's constructor as the port has it."""
    match value:
        case nn.TransformerEncoderLayer() | nn.TransformerDecoderLayer():
            kwargs = {
                "d_model": value.linear1.in_features,
                "nhead": value.self_attn.num_heads,
                "dim_feedforward": value.linear1.out_features,
                "dropout": value.dropout.p,
                "activation": value.activation,
                "batch_first": value.self_attn.batch_first,
                "norm_first": value.norm_first,
                "bias": value.linear1.bias is not None,
            }
            return Sample(type(value).__name__, (), kwargs).port(target)
        case nn.LayerNorm():
            return Sample("LayerNorm", (value.normalized_shape,)).port(target)
        case _ if callable(value) and value in target.functions:
            return target.functions[value]
        case _:
            return to_port(value, target.on)


# ------------------------------------------------------------------------------------ samples


def x(*shape: int, offset: float = 0.0) -> torch.Tensor:
    values = np.random.default_rng(sum(shape)).standard_normal(shape) + offset
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


def ids(*shape: int, below: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, below, shape))


HIDE_LAST = torch.tensor([[False] * 3 + [True], [False] * 4])
CAUSAL = nn.Transformer.generate_square_subsequent_mask(4)

MORE = [
    module("Linear", 5, 3, bias=False).on(x(2, 4, 5)),
    module("Bilinear", 3, 4, 5, bias=False).on(x(2, 6, 3), x(2, 6, 4)),
    module("Embedding", 7, 3, padding_idx=-2).on(ids(4, 5, below=7)),
    module("EmbeddingBag", 7, 3).on(ids(4, 5, below=7)),
    module("EmbeddingBag", 7, 3, mode="sum", padding_idx=2).on(
        ids(9, below=7), torch.tensor([0, 4, 4])
    ),
    module("EmbeddingBag", 7, 3, mode="max", include_last_offset=True).on(
        ids(9, below=7), torch.tensor([0, 4, 9])
    ),
    # Convolutions: sides that differ, each padding mode, groups, no batch.
    module("Conv1d", 4, 6, 4, padding="same", dilation=3).on(x(2, 4, 11)),
    module("Conv1d", 4, 6, 3, padding="valid", groups=2, bias=False).on(x(4, 11)),
    module("Conv2d", 4, 6, (3, 2), stride=(2, 1), padding=(2, 1)).on(x(2, 4, 7, 6)),
    *[
        module("Conv2d", 4, 4, 3, padding=padding, padding_mode=mode, groups=4).on(x(2, 4, 7, 6))
        for mode in ("reflect", "replicate", "circular")
        for padding in (1, (2, 0), "same")
    ],
    module("Conv3d", 2, 4, 3, padding=1, stride=2, groups=2).on(x(2, 5, 6, 7)),
    module("ConvTranspose1d", 4, 6, 3, 2, 1, 1, groups=2).on(x(2, 4, 5)),
    module("ConvTranspose2d", 4, 6, (3, 2), (2, 3), (1, 0), (1, 2), dilation=2).on(x(4, 5, 6)),
    module("ConvTranspose3d", 2, 4, 3, 2, 1, 1, bias=False).on(x(1, 2, 3, 4, 5)),
    # Normalization, also far from the origin, where E[x^2] - E[x]^2 would be rounding only.
    module("BatchNorm1d", 5).on(x(8, 5, offset=1e2)),
    module("BatchNorm2d", 5, momentum=0.3).on(x(4, 5, 3, 3, offset=1e2)),
    module("InstanceNorm2d", 5, affine=True).on(x(4, 5, 6, 6, offset=1e2)),
    module("GroupNorm", 2, 6).on(x(4, 6, 5, offset=1e2)),
    module("LayerNorm", 6).on(x(4, 5, 6, offset=1e2)),
    module("LayerNorm", (5, 6), elementwise_affine=False).on(x(4, 5, 6)),
    module("LayerNorm", (5, 6), bias=False).on(x(4, 5, 6)),
    module("RMSNorm", (5, 6)).on(x(4, 5, 6)),
    module("RMSNorm", 6, eps=0.1, elementwise_affine=False).on(x(4, 5, 6)),
    module("AdaptiveLogSoftmaxWithLoss", 8, 10, [4, 7], 2.0).on(x(5, 8), ids(5, below=10)),
    module("AdaptiveLogSoftmaxWithLoss", 8, 10, [4], head_bias=True).on(x(8), torch.tensor(6)),
    # Recurrent layers with a batch; torch's own samples have none.
    *[
        module(name, 3, 4, num_layers=2, batch_first=first, bidirectional=both).on(x(5, 6, 3))
        for name in ("RNN", "GRU", "LSTM")
        for first, both in ((False, True), (True, False))
    ],
    module("RNN", 3, 4, nonlinearity="relu", bias=False).on(x(5, 6, 3), x(1, 6, 4)),
    module("LSTM", 3, 4, 2, batch_first=True, bidirectional=True, proj_size=2).on(
        x(5, 6, 3), (x(4, 5, 2), x(4, 5, 4))
    ),
    module("LSTMCell", 3, 4).on(x(5, 3)),
    # Attention and transformers with a batch and masks.
    module("MultiheadAttention", 6, 2).on(x(5, 2, 6), x(4, 2, 6), x(4, 2, 6)),
    module("MultiheadAttention", 6, 2, kdim=3, vdim=5, batch_first=True).on(
        x(2, 5, 6), x(2, 4, 3), x(2, 4, 5), key_padding_mask=HIDE_LAST
    ),
    module("MultiheadAttention", 6, 2, batch_first=True).on(
        *[x(2, 4, 6)] * 3, attn_mask=CAUSAL, average_attn_weights=False
    ),
    module("MultiheadAttention", 6, 2, batch_first=True).on(
        *[x(2, 4, 6)] * 3, attn_mask=CAUSAL, key_padding_mask=HIDE_LAST.float(), need_weights=False
    ),
    module("MultiheadAttention", 6, 2, batch_first=True).on(
        *[x(2, 4, 6)] * 3, attn_mask=torch.rand(4, 4, 4) > 0.8
    ),
    *[
        module(
            "MultiheadAttention", 6, 2, add_bias_kv=True, add_zero_attn=zero, batch_first=True
        ).on(*[x(2, 4, 6)] * 3, attn_mask=CAUSAL, key_padding_mask=HIDE_LAST.float())
        for zero in (False, True)
    ],
    module(
        "TransformerEncoder",
        nn.TransformerEncoderLayer(6, 2, 8, 0.0, "gelu", batch_first=True),
        2,
        norm=nn.LayerNorm(6),
        enable_nested_tensor=False,
    ).on(x(2, 4, 6), mask=CAUSAL, src_key_padding_mask=HIDE_LAST.float()),
    module("TransformerDecoder", nn.TransformerDecoderLayer(6, 2, 8, 0.0, batch_first=True), 2).on(
        x(2, 4, 6), x(2, 5, 6), tgt_mask=CAUSAL
    ),
    module("Transformer", 6, 2, 2, 2, 8, 0.0).on(x(5, 2, 6), x(4, 2, 6), tgt_mask=CAUSAL),
    # Weights of losses are part of the state.
    module("CrossEntropyLoss", torch.rand(5), label_smoothing=0.1).on(x(4, 5), ids(4, below=5)),
    module("NLLLoss", torch.rand(5), reduction="sum").on(x(4, 5), ids(4, below=5)),
    module("BCEWithLogitsLoss", pos_weight=torch.rand(5)).on(x(4, 5), torch.rand(4, 5)),
    module("MultiMarginLoss", weight=torch.rand(5)).on(x(4, 5), ids(4, below=5)),
    module("TripletMarginLoss", 0.5, swap=True).on(x(4, 5), x(4, 5) * 2, x(4, 5) + 1),
    module("TripletMarginWithDistanceLoss").on(x(4, 5), x(4, 5) * 2, x(4, 5) + 1),
    # What torch has no samples of.
    module("Identity", 54, unused=True).on(x(2, 3)),
    module("Flatten").on(x(2, 3, 4)),
    module("Flatten", 0, -2).on(x(2, 3, 4)),
    module("Unflatten", 1, (2, 3)).on(x(4, 6, 5)),
    module("PixelShuffle", 2).on(x(2, 8, 3, 4)),
    module("PixelUnshuffle", 2).on(x(2, 3, 4, 6)),
    module("ChannelShuffle", 2).on(x(2, 6, 3, 4)),
    module("Unfold", 2, padding=1).on(x(2, 3, 4, 5)),
    module("Fold", (4, 5), 2).on(x(2, 12, 12)),
    module("Upsample", scale_factor=2, mode="bilinear", align_corners=True).on(x(2, 3, 4, 5)),
    module("Upsample", (7, 8)).on(x(2, 3, 4, 5)),
    module("UpsamplingNearest2d", scale_factor=2).on(x(2, 3, 4, 5)),
    module("UpsamplingBilinear2d", scale_factor=2).on(x(2, 3, 4, 5)),
    module("CosineSimilarity", dim=-1).on(x(4, 5), x(4, 5) + 1),
    module("PairwiseDistance", p=1, keepdim=True).on(x(4, 5), x(4, 5) + 1),
    module("AdaptiveAvgPool2d", 1).on(x(2, 3, 4, 5)),
    module("AdaptiveAvgPool2d", (None, 2)).on(x(2, 3, 4, 5)),
    module("AdaptiveMaxPool2d", 2, return_indices=True).on(x(2, 3, 4, 5)),
    module("MaxPool2d", 2, return_indices=True).on(x(2, 3, 4, 6)),
    *[
        module(f"MaxUnpool{n}d", 2).on(
            *getattr(F, f"max_pool{n}d")(x(2, 3, *[4] * n), 2, return_indices=True)
        )
        for n in (1, 2, 3)
    ],
    module("Hardsigmoid").on(x(4, 5) * 4),
    module("Softmax").on(x(2, 3, 4)),
    module("LogSoftmax", dim=1).on(x(2, 3, 4)),
    module("PReLU", 3).on(x(2, 3, 4)),
    module("GELU", "tanh").on(x(4, 5)),
    # Dropout in evaluation, and where it drops nothing or all.
    *[
        module(name, rate).on(x(2, 3, 4, 5))
        for name in ("Dropout", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout")
        for rate in (0.0, 1.0)
    ],
    module("Dropout1d", 0.0).on(x(2, 3, 4)),
    module("Dropout3d", 0.0).on(x(2, 3, 4, 5, 6)),
    module("RReLU", 0.2, 0.2).on(x(4, 5)),
]


def torch_samples(name: str, training: bool) -> list[Sample]:
    """ModuleInfo's samples of a module."""
    torch.manual_seed(0)
    found: list[Sample] = []
    for info in module_db:
        if info.name == f"nn.{name}":
            options = {"device": "cpu", "dtype": torch.float32, "requires_grad": True}
            for sample in info.module_inputs_func(info, training=training, **options):
                built, called = sample.constructor_input, sample.forward_input
                kwargs = {k: v for k, v in built.kwargs.items() if k not in ("device", "dtype")}
                found.append(
                    Sample(name, tuple(built.args), kwargs, tuple(called.args), dict(called.kwargs))
                )
    return found


SAMPLED = {info.name.removeprefix("nn.") for info in module_db} | {sample.name for sample in MORE}
NAMES = {
    target: sorted(n for n in SAMPLED if framework.catalogue.find(f"torch.nn.{n}"))
    for target, framework in FRAMEWORKS.items()
}
# Modules that do something else in training.
TRAINED = {info.name.removeprefix("nn.") for info in module_db if info.train_and_eval_differ} | {
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "RReLU",
    "TransformerDecoder",
}

# ----------------------------------------------------------------------------------- running


def is_float(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def wide(value: object) -> object:
    """A torch input in float64."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().double().requires_grad_(value.requires_grad)
    return value


def nearly(gradient: np.ndarray, exact: torch.Tensor) -> bool:
    """Whether a gradient is right but for rounding: it sums over a batch, and terms may cancel."""
    if gradient.shape != exact.shape:
        return False
    error = np.abs(gradient - exact.numpy()).max(initial=0)
    return bool(error <= 2e-5 * exact.abs().max())


class Run:
    """A sample's module with its inputs, as flat leaves."""

    def __init__(self, sample: Sample, target: Modules, *, training: bool) -> None:
        self.target, self.on = target, target.on
        given = (sample.inputs, sample.named_inputs)
        self.inputs, self.structure = pytree.tree_flatten(given)
        self.module = sample.build().train(training)
        self.state = {name: value.clone() for name, value in self.module.state_dict().items()}
        self.wide_module = copy.deepcopy(self.module).double()
        self.wide_inputs = [wide(leaf) for leaf in self.inputs]
        self.port_inputs = [to_port(leaf, self.on) for leaf in self.inputs]
        self.expected = self.call(self.module, self.inputs)
        self.reference = self.call(self.wide_module, self.wide_inputs)
        self.port = sample.port(target)
        target.train(self.port, training)
        target.place(self.state, self.port)

    def call(self, called: object, leaves: list[object]) -> list[typing.Any]:
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        result = typing.cast(Callable[..., object], called)(*args, **kwargs)
        return [leaf for leaf in pytree.tree_leaves(result) if leaf is not None]

    def differences(self) -> Iterator[tuple[str, str]]:
        """What differs from torch ("value", "statistics", "gradient"), and how."""
        results = self.call(self.port, self.port_inputs)
        if why := compare_results(results, self.expected, self.reference, on=self.on):
            yield "value", why
            return
        if isinstance(self.port, self.target.module):
            yield from self.statistics()
        self.target.place(self.state, self.port)  # the call may have moved the statistics
        yield from self.gradients()

    def statistics(self) -> Iterator[tuple[str, str]]:
        theirs, exact = self.module.state_dict(), self.wide_module.state_dict()
        for name, mine in self.target.statistics(self.port).items():
            if why := difference(mine, theirs[name], exact[name], self.on):
                yield "statistics", f"{name}: {why}"

    def gradients(self) -> Iterator[tuple[str, str]]:
        """By one vector-Jacobian product of all that has a gradient in torch."""
        outputs = [i for i, leaf in enumerate(self.expected) if is_float(leaf) and leaf.grad_fn]
        inputs = [i for i, leaf in enumerate(self.inputs) if is_float(leaf) and leaf.requires_grad]
        if not outputs:
            return
        random = np.random.default_rng(0)
        seeds = [random.standard_normal(self.expected[i].shape) for i in outputs]

        def vjp_of_torch(
            module: nn.Module, leaves: list[object], results: list[torch.Tensor]
        ) -> dict[str, torch.Tensor]:
            wanted = {str(i): leaves[i] for i in inputs} | dict(module.named_parameters())
            found = torch.autograd.grad(
                [results[i] for i in outputs],
                list(wanted.values()),
                [
                    torch.as_tensor(seed, dtype=results[i].dtype)
                    for i, seed in zip(outputs, seeds, strict=True)
                ],
                allow_unused=True,
                materialize_grads=True,
            )
            return dict(zip(wanted, found, strict=True))

        theirs = vjp_of_torch(self.module, self.inputs, self.expected)
        exact = vjp_of_torch(self.wide_module, self.wide_inputs, self.reference)

        def run(port: object, values: Sequence[object]) -> list[object]:
            leaves = list(self.port_inputs)
            for index, value in zip(inputs, values, strict=True):
                leaves[index] = value
            results = self.call(port, leaves)
            return [results[i] for i in outputs]

        of_inputs, of_parameters = self.target.vjp(
            self.port, run, [self.port_inputs[i] for i in inputs], seeds
        )
        named = zip(map(str, inputs), of_inputs, strict=True)
        mine = {name: to_numpy(value, self.on) for name, value in named} | of_parameters
        assert mine.keys() == theirs.keys()
        for name, gradient in mine.items():
            why = difference(gradient, theirs[name], exact[name], self.on)
            if why and not nearly(gradient, exact[name]):
                yield "gradient", f"of {name}: {why}"


# ------------------------------------------------------------------------------------- tests


@dataclass
class Outcome:
    """What a module came to: the raw material of the support matrix.

    Attributes:
        equal: how many samples agree.
        rejected: the samples that the signature does not take, by reason.
        failures: what differs: "value", "statistics" or "gradient".
        complete: whether every sample that torch has was run.
    """

    equal: int = 0
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    failures: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    complete: bool = True

    def run(self, sample: Sample, target: Modules, *, training: bool) -> None:
        try:
            found = list(Run(sample, target, training=training).differences())
        except Rejected as error:
            self.rejected[str(error)] = self.rejected.get(str(error), 0) + 1
            return
        except Exception as error:
            found = [("value", f"{type(error).__name__}: {str(error)[:200]}")]
        self.equal += not found
        for what, why in found:
            self.failures.setdefault(what, []).append(f"{sample}, training={training}: {why}")


def run_module(name: str, on: Framework) -> Outcome:
    """Run the samples of a module."""
    target = MODULES[on.name]
    outcome = Outcome()
    for training in (False, True) if name in TRAINED else (False,):
        samples = torch_samples(name, training)
        if not EVERYTHING and len(samples) > SAMPLES:
            outcome.complete = False
            samples = [samples[i * (len(samples) - 1) // (SAMPLES - 1)] for i in range(SAMPLES)]
        for sample in samples + [sample for sample in MORE if sample.name == name]:
            outcome.run(sample, target, training=training)
    return outcome


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("target", "name"), [(target, name) for target, names in NAMES.items() for name in names]
)
def test_module_agrees_with_torch(target: str, name: str) -> None:
    outcome = run_module(name, FRAMEWORKS[target])

    failures = MODULE_FAILURES[target]
    known = {key.split(" ")[1] for key in failures if key.split(" ")[0] == name}
    new = {what: whys for what, whys in outcome.failures.items() if what not in known}
    assert not new, "\n".join(f"{what}: {why}" for what, whys in new.items() for why in whys)
    if outcome.complete:
        assert not known - outcome.failures.keys(), "listed as a known failure, but passes"
    assert outcome.equal, f"no sample agrees: {outcome.rejected}"


@pytest.mark.parametrize("target", MODULES)
def test_known_failures_name_modules(target: str) -> None:
    names = {key.split(" ")[0] for key in MODULE_FAILURES[target]}

    assert names <= set(NAMES[target])
