"""Every module rule, on the samples that torch tests itself with (ModuleInfo), and on some more.

A sample's module is built by torch and by its rule, given the same weights by the weights transfer,
and run in training and in evaluation: outputs, running statistics, and (under `jax.jit`) gradients of
inputs and parameters in torch's names and layout must agree.

`pytest tests/translators/test_moduleinfo.py -k Conv2d` runs one module. The default run takes a few
samples of each; `TORCHPORT_OPINFO=all` takes all of them.
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn
from torch.testing._internal.common_modules import module_db

from torchport_translators.weights.nnx import placements, transfer_weights

from .frameworks import JAX
from .known_failures import MODULE_FAILURES
from .oracle import (
    EVERYTHING,
    Rejected,
    compare_results,
    difference,
    resolve,
    to_port,
)

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

    def port(self) -> object:
        """What the rule gives.

        Raises:
            Rejected: the rule does not take the arguments.
        """
        args = [as_argument(arg) for arg in self.args]
        kwargs = {name: as_argument(arg) for name, arg in self.kwargs.items()}
        call = resolve(f"torch.nn.{self.name}", args, kwargs)[1]
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


FUNCTIONS = {F.relu: nnx.relu, F.gelu: partial(nnx.gelu, approximate=False)}


def as_argument(value: object) -> object:
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
            return Sample(type(value).__name__, (), kwargs).port()
        case nn.LayerNorm():
            return Sample("LayerNorm", (value.normalized_shape,)).port()
        case _ if callable(value) and value in FUNCTIONS:
            return FUNCTIONS[value]
        case _:
            return to_port(value)


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


NAMES = sorted(
    {
        info.name.removeprefix("nn.")
        for info in module_db
        if JAX.catalogue.find(f"torch.{info.name}")
    }
    | {sample.name for sample in MORE}
)
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


def nearly(gradient: jax.Array, exact: torch.Tensor) -> bool:
    """Whether a gradient is right but for rounding: it sums over a batch, and terms may cancel."""
    if gradient.shape != exact.shape:
        return False
    error = np.abs(np.asarray(gradient) - exact.numpy()).max(initial=0)
    return bool(error <= 2e-5 * exact.abs().max())


class Run:
    """A sample's module with its inputs, as flat leaves."""

    def __init__(self, sample: Sample, *, training: bool) -> None:
        given = (sample.inputs, sample.named_inputs)
        self.inputs, self.structure = jax.tree.flatten(given, is_leaf=lambda x: x is None)
        self.module = sample.build().train(training)
        self.state = {name: value.clone() for name, value in self.module.state_dict().items()}
        self.wide_module = copy.deepcopy(self.module).double()
        self.wide_inputs = [wide(leaf) for leaf in self.inputs]
        self.port_inputs = [to_port(leaf) for leaf in self.inputs]
        self.expected = self.call(self.module, self.inputs)
        self.reference = self.call(self.wide_module, self.wide_inputs)
        self.port = sample.port()
        if isinstance(self.port, nnx.Module):
            self.port.train() if training else self.port.eval()
            transfer_weights(self.state, self.port)
        else:
            assert not self.state, "the rule gives a function, but torch keeps a state"

    def call(self, called: object, leaves: list[object]) -> list[object]:
        args, kwargs = jax.tree.unflatten(self.structure, leaves)
        result = typing.cast(Callable[..., object], called)(*args, **kwargs)
        return jax.tree.leaves(result)

    def differences(self) -> Iterator[tuple[str, str]]:
        """What differs from torch ("value", "statistics", "gradient"), and how."""
        ran = nnx.clone(self.port) if isinstance(self.port, nnx.Module) else self.port
        if why := compare_results(self.call(ran, self.port_inputs), self.expected, self.reference):
            yield "value", why
            return
        if isinstance(ran, nnx.Module):
            yield from self.statistics(ran)
        yield from self.gradients()

    def statistics(self, ran: nnx.Module) -> Iterator[tuple[str, str]]:
        theirs, exact = self.module.state_dict(), self.wide_module.state_dict()
        for name, place in placements(ran).items():
            if isinstance(place.variable, nnx.BatchStat):
                mine = jnp.asarray(place.to_source(np.asarray(place.variable[...])))
                if why := difference(mine, theirs[name], exact[name]):
                    yield "statistics", f"{name}: {why}"

    def gradients(self) -> Iterator[tuple[str, str]]:
        """By one vector-Jacobian product of all that has a gradient in torch."""
        outputs = [i for i, leaf in enumerate(self.expected) if is_float(leaf) and leaf.grad_fn]
        inputs = [i for i, leaf in enumerate(self.inputs) if is_float(leaf) and leaf.requires_grad]
        if not outputs:
            return
        random = np.random.default_rng(0)
        seeds = {i: random.standard_normal(self.expected[i].shape) for i in outputs}

        def vjp_of_torch(
            module: nn.Module, leaves: list[object], results: list[object]
        ) -> dict[str, torch.Tensor]:
            wanted = {str(i): leaves[i] for i in inputs} | dict(module.named_parameters())
            found = torch.autograd.grad(
                [results[i] for i in outputs],
                list(wanted.values()),
                [torch.as_tensor(seeds[i], dtype=results[i].dtype) for i in outputs],
                allow_unused=True,
                materialize_grads=True,
            )
            return dict(zip(wanted, found, strict=True))

        theirs = vjp_of_torch(self.module, self.inputs, self.expected)
        exact = vjp_of_torch(self.wide_module, self.wide_inputs, self.reference)
        mine = {name: jnp.asarray(value) for name, value in self.vjp_of_port(inputs, seeds).items()}
        assert mine.keys() == theirs.keys()
        for name, gradient in mine.items():
            why = difference(gradient, theirs[name], exact[name])
            if why and not nearly(gradient, exact[name]):
                yield "gradient", f"of {name}: {why}"

    def vjp_of_port(
        self, inputs: list[int], seeds: dict[int, np.ndarray]
    ) -> dict[str, np.ndarray | jax.Array]:
        graph, parameters, rest = nnx.split(self.port, nnx.Param, ...)

        def run(parameters: nnx.State, values: list[jax.Array]) -> list[object]:
            leaves = list(self.port_inputs)
            for index, value in zip(inputs, values, strict=True):
                leaves[index] = value
            called = nnx.merge(graph, parameters, rest, copy=True)
            results = self.call(called, leaves)
            return [results[i] for i in seeds]

        @jax.jit
        def vjp(parameters: nnx.State, values: list[jax.Array]) -> object:
            results, pull = jax.vjp(run, parameters, values)
            return pull(
                [
                    jnp.asarray(seed, r.dtype)
                    for seed, r in zip(seeds.values(), results, strict=True)
                ]
            )

        of_parameters, of_inputs = vjp(parameters, [self.port_inputs[i] for i in inputs])
        found = dict(zip(map(str, inputs), of_inputs, strict=True))
        if isinstance(self.port, nnx.Module):
            for name, place in placements(nnx.merge(graph, of_parameters, rest)).items():
                if isinstance(place.variable, nnx.Param):
                    found[name] = place.to_source(np.asarray(place.variable[...]))
        return found


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

    def run(self, sample: Sample, *, training: bool) -> None:
        try:
            found = list(Run(sample, training=training).differences())
        except Rejected as error:
            self.rejected[str(error)] = self.rejected.get(str(error), 0) + 1
            return
        except Exception as error:
            found = [("value", f"{type(error).__name__}: {str(error)[:200]}")]
        self.equal += not found
        for what, why in found:
            self.failures.setdefault(what, []).append(f"{sample}, training={training}: {why}")


def run_module(name: str) -> Outcome:
    """Run the samples of a module."""
    outcome = Outcome()
    for training in (False, True) if name in TRAINED else (False,):
        samples = torch_samples(name, training)
        if not EVERYTHING and len(samples) > SAMPLES:
            outcome.complete = False
            samples = [samples[i * (len(samples) - 1) // (SAMPLES - 1)] for i in range(SAMPLES)]
        for sample in samples + [sample for sample in MORE if sample.name == name]:
            outcome.run(sample, training=training)
    return outcome


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_module_agrees_with_torch(name: str) -> None:
    outcome = run_module(name)

    known = {key.split(" ")[1] for key in MODULE_FAILURES if key.split(" ")[0] == name}
    new = {what: whys for what, whys in outcome.failures.items() if what not in known}
    assert not new, "\n".join(f"{what}: {why}" for what, whys in new.items() for why in whys)
    if outcome.complete:
        assert not known - outcome.failures.keys(), "listed in known_failures.py, but passes"
    assert outcome.equal, f"no sample agrees: {outcome.rejected}"


def test_known_failures_name_modules() -> None:
    assert {key.split(" ")[0] for key in MODULE_FAILURES} <= set(NAMES)
