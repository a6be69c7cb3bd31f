"""Rules for what OpInfo has no samples of: Python values, sizes, dtypes, devices, data, windows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from .frameworks import FRAMEWORKS, Framework
from .oracle import compare_results, resolve, to_port

X = torch.tensor([[1.5, -2.0, 0.0], [3.0, 4.0, 5.5]])
IDS = torch.tensor([[1, 2], [3, 4]])
ONE = torch.tensor([2.5])

# Two layers of two directions, in the order of torch's flat weights.
_RANDOM = torch.Generator().manual_seed(0)
SEQUENCE = torch.randn(5, 5, 3, generator=_RANDOM)
STATE = torch.randn(4, 5, 2, generator=_RANDOM)


def flat_weights(gates: int, *, bias: bool) -> list[torch.Tensor]:
    """Of inputs of 3 and hidden states of 2."""
    rows = 2 * gates
    shapes = [[(rows, width), (rows, 2), *[(rows,)] * (2 * bias)] for width in (3, 3, 4, 4)]
    return [torch.randn(shape, generator=_RANDOM) for layer in shapes for shape in layer]


LSTM_WEIGHTS = flat_weights(4, bias=True)
GRU_WEIGHTS = flat_weights(3, bias=False)
RNN_WEIGHTS = flat_weights(1, bias=True)

# (API, arguments, keyword arguments)
CALLS: list[tuple[str, tuple[object, ...], dict[str, object]]] = [
    ("torch.Tensor.size", (X,), {}),
    ("torch.Tensor.size", (X, -1), {}),
    ("torch.Tensor.size", (X,), {"dim": 0}),
    ("torch.Tensor.dim", (X,), {}),
    ("torch.Tensor.ndimension", (X,), {}),
    ("torch.numel", (X,), {}),
    ("torch.Tensor.numel", (X,), {}),
    ("torch.Tensor.element_size", (X,), {}),
    ("torch.Tensor.item", (ONE,), {}),
    ("torch.Tensor.tolist", (X,), {}),
    ("torch.is_nonzero", (ONE,), {}),
    ("torch.is_tensor", (X,), {}),
    ("torch.is_floating_point", (X,), {}),
    ("torch.is_floating_point", (IDS,), {}),
    ("torch.is_complex", (X,), {}),
    ("torch.Tensor.is_signed", (X,), {}),
    ("torch.Tensor.is_signed", (X.bool(),), {}),
    ("torch.Tensor.is_signed", (X.abs().byte(),), {}),
    ("torch.Tensor.is_contiguous", (X,), {}),
    ("torch.Tensor.is_same_size", (X, IDS), {}),
    ("torch.Size", ([2, 3],), {}),
    ("torch.Tensor.type", (X, torch.int64), {}),
    ("torch.Tensor.type_as", (X, IDS), {}),
    ("torch.Tensor.to", (X, torch.float16), {}),
    ("torch.Tensor.to", (X,), {"dtype": torch.bfloat16}),
    ("torch.Tensor.to", (X, "cpu"), {}),
    ("torch.Tensor.to", (X, torch.device("cpu")), {"non_blocking": True}),
    ("torch.Tensor.to", (X, "cpu", torch.int32), {}),
    ("torch.Tensor.to", (X,), {"device": "cpu", "dtype": torch.int32}),
    ("torch.Tensor.to", (X,), {"device": "cpu"}),
    ("torch.Tensor.to", (X, IDS), {}),
    ("torch.Tensor.cpu", (X,), {}),
    ("torch.Tensor.requires_grad_", (X.clone(),), {}),
    ("torch.Tensor.detach", (X,), {}),
    ("torch.promote_types", (torch.float16, torch.float32), {}),
    ("torch.result_type", (IDS, X), {}),
    ("torch.tensor", (2,), {}),
    ("torch.tensor", ([1.0, 2.0],), {}),
    ("torch.tensor", ([[True], [False]],), {}),
    ("torch.tensor", ([1, 2],), {"dtype": torch.float32, "device": "cpu"}),
    ("torch.tensor", ([],), {}),
    ("torch.as_tensor", ([1, 2],), {"dtype": torch.float32}),
    ("torch.from_numpy", (np.array([1.0, 2.0]),), {}),
    ("torch.FloatTensor", ([1, 2],), {}),
    ("torch.LongTensor", ([1, 2],), {}),
    ("torch.BoolTensor", ([1, 0],), {}),
    ("torch.Tensor.new_tensor", (X, [1, 2]), {}),
    ("torch.Tensor.new_zeros", (X, 2, 3), {}),
    ("torch.Tensor.new_ones", (IDS, (2,)), {"dtype": torch.float32}),
    ("torch.Tensor.fill_", (X.clone(), 3), {}),
    ("torch.Tensor.zero_", (IDS.clone(),), {}),
    ("torch.Tensor.copy_", (X.clone(), torch.tensor([1, 2, 3])), {}),
    ("torch.zeros", (3,), {}),
    ("torch.zeros", (2, 3), {"dtype": torch.int64}),
    ("torch.zeros", ((2, 3),), {}),
    ("torch.zeros", ([2, 3],), {}),
    ("torch.zeros", (), {"size": (2, 3)}),
    ("torch.full", ((2, 3), 7), {}),
    ("torch.full", ((2, 3), 0.5), {"dtype": torch.float16}),
    ("torch.arange", (5,), {}),
    ("torch.arange", (5.0,), {}),
    ("torch.arange", (1, 5), {}),
    ("torch.arange", (0, 5), {"dtype": torch.float32}),
    ("torch.arange", (0, 1, 0.25), {}),
    ("torch.arange", (), {"start": 1, "end": 7, "step": 2}),
    ("torch.linspace", (0, 1, 5), {}),
    ("torch.logspace", (0, 2, 3), {}),
    ("torch.hann_window", (8,), {}),
    ("torch.hann_window", (8, False), {}),
    ("torch.hamming_window", (8,), {"periodic": False}),
    ("torch.blackman_window", (8,), {}),
    ("torch.bartlett_window", (8,), {}),
    *(
        (f"torch.Tensor.{name}", (X,), {})
        for name in ("is_conj", "is_neg", "is_pinned", "get_device")
    ),
    ("torch.Tensor.to_dense", (X,), {}),
    ("torch.is_same_size", (X, IDS), {}),
    ("torch.is_signed", (X,), {}),
    ("torch.Tensor.new", (X, [1.0, 2.0]), {}),
    ("torch.Tensor.__len__", (X,), {}),
    ("torch.Tensor.__contains__", (IDS, 1), {}),
    ("torch.Tensor.__int__", (ONE,), {}),
    ("torch.Tensor.__float__", (ONE,), {}),
    ("torch.Tensor.__reversed__", (X,), {}),
    ("torch.Tensor.__floordiv__", (X, 2.0), {}),
    ("torch.Tensor.__getitem__", (X, (slice(1, None), None)), {}),
    ("torch.linalg.matrix_rank", (torch.diag(torch.tensor([3.0, 0.5, 2.0])), 1.0), {}),
    ("torch.linalg.pinv", (torch.diag(torch.tensor([3.0, 0.5, 2.0])), 0.2), {}),
    (
        "torch.lstm",
        (SEQUENCE, (STATE, 0.5 * STATE), LSTM_WEIGHTS, True, 2, 0.0, False, True, False),
        {},
    ),
    ("torch.gru", (SEQUENCE, STATE, GRU_WEIGHTS, False, 2, 0.0, True, True, True), {}),
    ("torch.rnn_tanh", (SEQUENCE, STATE, RNN_WEIGHTS, True, 2, 0.5, False, True, False), {}),
    ("torch.rnn_relu", (SEQUENCE, STATE, RNN_WEIGHTS, True, 2, 0.0, False, True, False), {}),
    ("torch.lstm_cell", (SEQUENCE[0], (STATE[0], STATE[1]), *LSTM_WEIGHTS[:4]), {}),
    ("torch.gru_cell", (SEQUENCE[0], STATE[0], *GRU_WEIGHTS[:2]), {}),
    ("torch.rnn_tanh_cell", (SEQUENCE[0], STATE[0], *RNN_WEIGHTS[:4]), {}),
    ("torch.rnn_relu_cell", (SEQUENCE[0], STATE[0], *RNN_WEIGHTS[:4]), {}),
    ("torch.norm", (torch.zeros(2, 3),), {"dim": 1}),
    ("torch.var", (X, False), {}),
    ("torch.std", (X,), {"unbiased": False}),
    ("torch.std", (X, 1, False, True), {}),
]


def torch_function(api: str) -> object:
    found = torch
    for name in api.split(".")[1:]:
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(
    ("api", "args", "kwargs"), CALLS, ids=[f"{api[6:]}-{i}" for i, (api, *_) in enumerate(CALLS)]
)
def test_rule_gives_what_torch_gives(
    api: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    _, port = resolve(api, to_port(args), to_port(kwargs))
    got = port()

    expected = torch_function(api)(*args, **kwargs)
    wide = expected.double() if torch.is_tensor(expected) else expected
    assert compare_results(got, expected, wide) is None


@pytest.mark.parametrize("name", ["max", "min", "eps", "tiny", "bits"])
def test_finfo_has_torch_names(name: str) -> None:
    _, port = resolve("torch.finfo", (to_port(torch.float16),), {})

    assert float(getattr(port(), name)) == getattr(torch.finfo(torch.float16), name)


@pytest.mark.parametrize("api", ["torch.norm", "torch.std"])
def test_gradient_at_a_constant_is_zero(api: str) -> None:
    gradient = jax.grad(lambda x: resolve(api, (x,), {})[1]())(jnp.zeros(3))

    assert gradient.tolist() == [0, 0, 0]


@pytest.mark.parametrize("largest", [True, False])
def test_lobpcg_gives_the_eigenpairs_at_the_end_that_is_asked_for(largest: bool) -> None:
    matrix = torch.diag(torch.arange(9.0)) + 0.1

    values, vectors = resolve("torch.lobpcg", (to_port(matrix), 2), {"largest": largest})[1]()
    expected, _ = torch.lobpcg(matrix, 2, largest=largest)

    assert np.allclose(values, expected, atol=1e-3)
    assert np.allclose(to_port(matrix) @ vectors, vectors * values, atol=1e-5)


@pytest.mark.parametrize("on", FRAMEWORKS.values(), ids=FRAMEWORKS)
@pytest.mark.parametrize("args", [(3,), (4, 0.5, 0.6, 2.0)])
def test_cross_map_lrn_has_torch_s_values(on: Framework, args: tuple[float, ...]) -> None:
    """Its values only: torch's gradient is not that of its own result."""
    images = torch.randn(2, 6, 3, 3, generator=torch.Generator().manual_seed(0))

    got = resolve("torch.nn.CrossMapLRN2d", args, {}, on)[1]()(to_port(images, on))

    expected = torch.nn.CrossMapLRN2d(*args)(images)
    assert compare_results(got, expected, expected.double(), on=on) is None
