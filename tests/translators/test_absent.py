"""What the target has no equivalent of: the call stays, and its finding says why and what to do."""

from __future__ import annotations

import pytest

from torchport_translators.catalogue.load import catalogue
from torchport_translators.findings import Target
from torchport_translators.translate import translate

# An expression of a tensor `x`, and what its finding says.
ABSENT = {
    "x.to_sparse()": "jax.experimental.sparse",
    "torch.sparse_coo_tensor(x, x)": "jax.experimental.sparse",
    "torch.nn.LazyLinear(3)": "the size of its input",
    "x.stride()": "no strides",
    "x.layout": "no strides",
    "x.is_leaf": "no graph",
    "torch.linalg.ldl_factor(x)": "jnp.linalg.solve",
    "x.chalf()": "jnp.complex64",
    "torch.solve(x, x)": "removed",
}


@pytest.mark.parametrize("expression", ABSENT)
def test_the_finding_says_why_and_what_to_do(expression: str) -> None:
    result = translate(f"import torch\n\n\ndef f(x: torch.Tensor):\n    return {expression}\n")

    (finding,) = result.findings
    assert finding.code == "no-rule"
    assert ABSENT[expression] in finding.message
    assert f"return {expression}" in result.text


# The same of MLX.
ABSENT_IN_MLX = {
    "x.to_sparse()": "dense arrays",
    "torch.nn.LazyLinear(3)": "the size of its input",
    "x.stride()": "no strides",
    "torch.linalg.ldl_factor(x)": "mx.linalg.solve",
    "torch.nn.utils.clip_grad_norm_([x], 1.0)": "mlx.optimizers.clip_grad_norm",
    "torch.get_rng_state()": "mx.random.key(seed)",
    "torch.set_default_device('cpu')": "mx.set_default_device(mx.cpu)",
}


@pytest.mark.parametrize("expression", ABSENT_IN_MLX)
def test_the_finding_says_what_to_do_in_mlx(expression: str) -> None:
    source = f"import torch\n\n\ndef f(x: torch.Tensor):\n    return {expression}\n"
    result = translate(source, to="mlx")

    (finding,) = result.findings
    assert finding.code == "no-rule"
    assert ABSENT_IN_MLX[expression] in finding.message
    assert f"return {expression}" in result.text


@pytest.mark.parametrize("target", ["jax", "mlx"])
def test_what_a_rule_ports_is_not_said_to_be_absent(target: Target) -> None:
    known = catalogue(target)

    assert not [api for api in known.absent if known.find(api) or api in known.names]


# An attribute of a tensor that is the same for every array of JAX.
CONSTANT = {
    "x.is_sparse": "False",
    "x.is_quantized": "False",
    "x.is_contiguous()": "True",
    "x.is_cpu": 'jax.default_backend() == "cpu"',
}


@pytest.mark.parametrize("expression", CONSTANT)
def test_what_holds_of_every_array_is_a_constant(expression: str) -> None:
    result = translate(f"import torch\n\n\ndef f(x: torch.Tensor):\n    return {expression}\n")

    assert not result.findings
    assert result.text.endswith(f"return {CONSTANT[expression]}\n")


def test_data_parallel_is_the_module_itself() -> None:
    source = "from torch import nn\n\nm = nn.DataParallel(nn.ReLU())\nr = m.module\n"

    assert translate(source).text.endswith("m = nnx.relu\nr = m\n")
