"""Rules for what OpInfo has no samples of: Python values, sizes, dtypes, devices, data, windows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from .oracle import compare_results, resolve, to_port

X = torch.tensor([[1.5, -2.0, 0.0], [3.0, 4.0, 5.5]])
IDS = torch.tensor([[1, 2], [3, 4]])
ONE = torch.tensor([2.5])

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
