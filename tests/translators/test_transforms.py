"""Function transforms, autograd and what surrounds them: run in torch and, ported, in JAX.

`EQUAL` rows must agree in values, and in gradients unless they stand in `NO_GRADIENT`, without a
warning. `TOLD` rows cannot be ported exactly: a warning or an error must say so. A function's
inputs are chosen by the names of its parameters (`INPUTS` of test_semantics).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from torchport_translators.findings import Severity
from torchport_translators.translate import translate
from torchport_translators.weights.nnx import placements, transfer_weights

from .test_semantics import (
    as_array,
    as_torch,
    inputs_of,
    leaves,
    port_gradients,
    run,
    torch_gradients,
)

torch.set_num_threads(1)

_HEADER = """import torch
from torch import nn
import torch.nn.functional as F
from torch import Tensor

"""

EQUAL: dict[str, str] = {
    # torch.func
    "grad": """
def loss(w, x):
    return torch.tanh(x @ w).square().sum()


def f(x: Tensor, z: Tensor):
    return torch.func.grad(loss)(x, z).t()
""",
    "grad of a lambda, by the second argument": """
def f(x: Tensor, z: Tensor):
    return torch.func.grad(lambda a, b: (a * b.exp()).sum(), argnums=1)(x, z)
""",
    "grad by several arguments": """
def f(x: Tensor, z: Tensor):
    one, two = torch.func.grad(lambda a, b: (a * b.exp()).sum(), argnums=(0, 1))(x, z)
    return one.unsqueeze(0), two
""",
    "grad with more results": """
def loss(w, x):
    y = x @ w
    return y.square().sum(), y


def f(x: Tensor, z: Tensor):
    g, y = torch.func.grad(loss, has_aux=True)(x, z)
    return g, y.relu()
""",
    "grad of a dict": """
def loss(params, x):
    return torch.sigmoid(x @ params["w"] + params["b"]).sum()


def f(x: Tensor, z: Tensor, v: Tensor):
    g = torch.func.grad(loss)({"w": z, "b": v}, x)
    return g["w"], g["b"]
""",
    "grad of grad": """
def f(v: Tensor):
    cube = lambda a: (a**3).sum()
    return torch.func.grad(lambda a: torch.func.grad(cube)(a).sum())(v)
""",
    "grad as a decorator": """
@torch.func.grad
def slope(a):
    return torch.sin(a).sum()


def f(v: Tensor):
    return slope(v)
""",
    "grad with arguments by name": """
def f(x: Tensor):
    def loss(a, scale):
        return (a * scale).sin().sum()

    return torch.func.grad(func=loss, argnums=0)(x, scale=2.0)
""",
    "grad_and_value taken apart": """
def f(x: Tensor):
    g, value = torch.func.grad_and_value(lambda a: a.exp().sum())(x)
    return g, value
""",
    "grad_and_value kept": """
def f(x: Tensor):
    both = torch.func.grad_and_value(lambda a: a.exp().sum())(x)
    return both[0].t(), both[1]
""",
    "grad_and_value with more results": """
def f(x: Tensor):
    g, (value, more) = torch.func.grad_and_value(lambda a: (a.exp().sum(), a * 2), has_aux=True)(x)
    return g, value, more.t()
""",
    "vmap": """
def f(x: Tensor, z: Tensor):
    return torch.vmap(torch.dot)(x, z), torch.func.vmap(torch.sum)(x)
""",
    "vmap over other axes": """
def f(x: Tensor, v: Tensor):
    return torch.vmap(lambda a, b: a * b.sum(), in_dims=(1, None), out_dims=1)(x, v)
""",
    "vmap of vmap": """
def f(x: Tensor, z: Tensor):
    pairs = torch.vmap(torch.vmap(torch.dot, in_dims=(None, 0)), in_dims=(0, None))
    return pairs(x, z)
""",
    "vmap of grad": """
def loss(w, x, y):
    return ((x @ w) - y).square()


def f(v: Tensor, x: Tensor, z: Tensor):
    return torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(v, x, z[0])
""",
    "vmap in chunks": """
def f(x: Tensor, v: Tensor):
    g = torch.vmap(lambda a, b: torch.cumsum(a * b, 0), (1, None), chunk_size=3)
    return g(x, v), torch.vmap(torch.sin, out_dims=1, chunk_size=2)(x)
""",
    "vmap as a decorator": """
from functools import partial


@torch.vmap
def one(a):
    return a / a.norm()


@partial(torch.vmap, in_dims=(0, None))
def two(a, b):
    return (a - b).abs().sum()


def f(x: Tensor, v: Tensor):
    return one(x), two(x, v)
""",
    "vjp": """
def f(x: Tensor, z: Tensor):
    output, pull = torch.func.vjp(torch.mul, x, z)
    one, two = pull(torch.ones_like(output))
    return output, one.exp(), two
""",
    "vjp of one argument, with more results": """
def f(x: Tensor):
    output, pull, more = torch.func.vjp(lambda a: (a.sin(), a + 1), x, has_aux=True)
    return output, pull(x)[0], more
""",
    "vjp of a tuple": """
def f(x: Tensor, z: Tensor):
    _, pull = torch.func.vjp(lambda pair: pair[0] * pair[1], (x, z))
    ((one, two),) = pull(x)
    return one, two
""",
    "jvp": """
def f(x: Tensor, z: Tensor):
    output, tangent = torch.func.jvp(torch.sin, (x,), (z,))
    both = torch.func.jvp(lambda a, b: a @ b, (x, z), (z, x))
    return output, tangent, both[1].t()
""",
    "linearize": """
def f(x: Tensor, z: Tensor):
    output, push = torch.func.linearize(lambda a: a.sin() * 2, x)
    return output, push(z)
""",
    "jacobians": """
def f(v: Tensor, x: Tensor):
    g = lambda a: torch.tanh(x @ a)
    return torch.func.jacrev(g)(v), torch.func.jacfwd(g)(v), torch.func.jacrev(g, chunk_size=2)(v)
""",
    "jacobian by several arguments": """
def f(v: Tensor, x: Tensor):
    by_v, by_x = torch.func.jacrev(lambda a, b: torch.tanh(b @ a), argnums=(0, 1))(v, x)
    return by_v, by_x.sum(0)
""",
    "jacobian with more results": """
def f(v: Tensor):
    j, y = torch.func.jacfwd(lambda a: (a.sin(), a.cos()), has_aux=True)(v)
    return j, y
""",
    "hessian": """
def f(v: Tensor):
    return torch.func.hessian(lambda a: (a**3).sum() + a.prod())(v)
""",
    "functionalize": """
def g(a):
    b = a * 1
    b.add_(1)
    return b


def f(x: Tensor):
    return torch.func.functionalize(g)(x)
""",
    "functorch": """
from functorch import grad, vmap


def f(x: Tensor):
    return vmap(grad(lambda a: a.sin().sum()))(x)
""",
    # torch.autograd.functional
    "functional jacobian": """
from torch.autograd.functional import jacobian


def f(v: Tensor, x: Tensor):
    def g(a):
        return torch.tanh(x @ a)

    both = jacobian(lambda a, b: b @ a, (v, x))
    return jacobian(g, v), jacobian(g, v, strategy="forward-mode", vectorize=True), both[0], both[1]
""",
    "functional hessian": """
def f(v: Tensor, x: Tensor):
    whole = torch.autograd.functional.hessian(lambda a: (a**3).sum(), v)
    parts = torch.autograd.functional.hessian(lambda a, b: (a * b * b).sum(), (v, x[0]))
    return whole, parts[0][1], parts[1][1]
""",
    "functional vjp": """
def f(v: Tensor, x: Tensor):
    output, product = torch.autograd.functional.vjp(lambda a: x @ a, v, v * 2)
    total, gradient = torch.autograd.functional.vjp(lambda a: a.exp().sum(), v)
    _, (one, two) = torch.autograd.functional.vjp(torch.mul, (v, x[0]), v)
    return output, product.exp(), total, gradient, one, two
""",
    "functional jvp": """
def f(v: Tensor, x: Tensor):
    output, product = torch.autograd.functional.jvp(lambda a: x @ a, v, v * 2)
    both = torch.autograd.functional.jvp(torch.mul, (v, x[0]), (x[1], v))
    return output, product.exp(), both[0], both[1]
""",
    "functional hvp": """
def g(a):
    return (a**3).sum() + a.prod()


def f(v: Tensor, x: Tensor):
    value, product = torch.autograd.functional.hvp(g, v, x[0])
    _, parts = torch.autograd.functional.vhp(lambda a, b: (a * b * b).sum(), (v, x[0]), (x[1], v))
    return value, product.exp(), parts[0], parts[1]
""",
    # torch.autograd.Function
    "custom gradient": """
class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x > 0) * ctx.scale, None


def f(x: Tensor):
    return Scaled.apply(x, 0.5), Scaled.apply(x * 2, 3.0)
""",
    "custom gradient of a layer": """
class LinearFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, weight, bias=None):
        ctx.save_for_backward(input, weight, bias)
        output = input.mm(weight.t())
        if bias is not None:
            output += bias.unsqueeze(0).expand_as(output)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias


linear = LinearFunction.apply


def f(x: Tensor, z: Tensor, v: Tensor):
    return linear(x, z, v) + linear(x, z, v * 2)
""",
    "custom gradient with setup_context, of two results": """
class Both(torch.autograd.Function):
    @staticmethod
    def forward(x, k: int):
        return x**k, x * k

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, k = inputs
        ctx.save_for_backward(x)
        ctx.k = k
        ctx.shape = x.shape

    @staticmethod
    def backward(ctx, one, two):
        (x,) = ctx.saved_tensors
        return (one * ctx.k * x ** (ctx.k - 1) + two * ctx.k).view(ctx.shape), None


def f(x: Tensor):
    one, two = Both.apply(x, 3)
    return one.t(), two
""",
    "custom gradient from the result": """
class Soft(torch.autograd.Function):
    '''Sigmoid, with the gradient of a part of it.'''

    @staticmethod
    def forward(ctx, x):
        result = x.sigmoid()
        ctx.mask = result > 0.5
        ctx.n = x.size(0)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        result = ctx.saved_tensors[0]
        mask = ctx.mask
        return grad * result * (1 - result) * mask / ctx.n


def f(x: Tensor):
    return Soft.apply(x)
""",
    "straight through": """
class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, grad):
        return grad


class Net(nn.Module):
    def forward(self, x):
        return Round.apply(x * 3) / 3


def f(x: Tensor):
    return Net()(x)
""",
    "custom gradient with an index": """
class Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, i):
        ctx.save_for_backward(i)
        ctx.shape = x.shape
        return x[i]

    @staticmethod
    def backward(ctx, grad):
        (i,) = ctx.saved_tensors
        out = grad.new_zeros(ctx.shape)
        out.index_add_(0, i, grad)
        return out, None


def f(x: Tensor, twice: Tensor):
    return Rows.apply(x, twice)
""",
    "custom gradient inside transforms": """
class Cube(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2


def f(x: Tensor):
    return torch.vmap(torch.func.grad(lambda a: Cube.apply(a).sum()))(x)
""",
    # torch.autograd.grad, backward
    "gradient of a result that is used": """
def f(x: Tensor, z: Tensor):
    x.requires_grad_()
    h = torch.tanh(x @ z)
    scale = 2.0
    y = (h * h).sum() * scale
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    return y, g.t(), h
""",
    "gradient in an expression": """
def f(x: Tensor, z: Tensor):
    y = torch.exp(x * z)
    return torch.autograd.grad(y.mean(), [x], create_graph=True)[0] * 2 + y
""",
    "gradients by several": """
def f(x: Tensor, z: Tensor):
    y = torch.sin(x) * z
    y = y + x
    one, two = torch.autograd.grad(outputs=y.sum(), inputs=(x, z), create_graph=True)
    return one, two
""",
    "gradient with a cotangent": """
def f(x: Tensor, z: Tensor):
    y = torch.sin(x) * x
    g = torch.autograd.grad(y, x, grad_outputs=torch.ones_like(y), create_graph=True)[0]
    (h,) = torch.autograd.grad(x**3, x, z, create_graph=True)
    return y, g, h
""",
    "gradient of a gradient": """
def f(x: Tensor):
    y = torch.sin(x) * x
    one = torch.autograd.grad(y.sum(), x, create_graph=True)[0]
    two = torch.autograd.grad(one.sum(), x, create_graph=True)[0]
    return one, two
""",
    "gradient penalty": """
def critic(a):
    return torch.tanh(a).sum(1)


def f(x: Tensor, z: Tensor):
    mixed = (0.3 * x + 0.7 * z).requires_grad_(True)
    d = critic(mixed)
    gradients = torch.autograd.grad(
        outputs=d,
        inputs=mixed,
        grad_outputs=torch.ones_like(d),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()
""",
    "gradient under a condition, with a loop between": """
def f(x: Tensor, flag: bool):
    y = x * 1
    for i in range(3):
        t = torch.sin(y)
        y = t + i
    total = y.sum()
    return torch.autograd.grad(total, x, create_graph=True)[0]
""",
    "gradient without a graph is a constant": """
def f(x: Tensor, z: Tensor):
    y = (x**3 * z).sum()
    (g,) = torch.autograd.grad(y, x, retain_graph=True)
    return (g * x).sum() + y
""",
    "backward": """
def f(v: Tensor):
    w = v.detach().clone().requires_grad_()
    y = (w**3).sum()
    y.backward()
    return w.grad, y.detach()
""",
    "backward of several, with a cotangent": """
def f(v: Tensor, x: Tensor):
    a = v.detach().requires_grad_(True)
    b = x.detach().clone()
    b.requires_grad = True
    y = b @ a
    y.backward(torch.ones(4))
    return a.grad * 2, b.grad
""",
    # torch.utils.checkpoint
    "checkpoint of functions": """
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


def mix(a, b, gain: float):
    return torch.tanh(a @ b) * gain


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.Tanh()

    def tail(self, x, power: int, more=None):
        return x**power

    def forward(self, x):
        x = checkpoint(self.act, x, use_reentrant=False)
        return checkpoint(self.tail, x, 2, None, use_reentrant=False, preserve_rng_state=False)


def f(x: Tensor, z: Tensor):
    y = checkpoint(mix, x, z, 0.5, use_reentrant=False)
    y = checkpoint(lambda a: a.exp(), y, use_reentrant=False)
    y = y + checkpoint(torch.sin, x, use_reentrant=False)
    y = checkpoint_sequential([torch.sin, torch.cos, torch.tanh], 2, y, use_reentrant=False)
    return Net()(y)
""",
    # torch.nn.utils.rnn
    "pad_sequence": """
from torch.nn.utils.rnn import pad_sequence


def f(x: Tensor, v: Tensor):
    one = pad_sequence([x, x[:2], x[:3]])
    two = pad_sequence([v[:2], v], batch_first=True, padding_value=-1.0)
    return one, two, pad_sequence((x[:1], x), padding_side="left")
""",
    "helper that is called as torch's function was": """
from torch.func import grad_and_value
from torch.nn.functional import cosine_similarity


def f(x: Tensor, z: Tensor):
    both = grad_and_value(torch.sum)(x)
    return cosine_similarity(x, z), both[0], both[1]
""",
}

MODULES: dict[str, str] = {
    "checkpoint of modules": """
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return x + F.gelu(self.fc(self.norm(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(4) for _ in range(2)])
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.last = nn.Linear(4, 2)

    def tail(self, x):
        return self.last(x)

    def forward(self, x):
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        x = checkpoint_sequential(self.layers, 2, x, use_reentrant=False)
        x = checkpoint(self.layers, x, use_reentrant=False)
        return checkpoint(self.tail, x, use_reentrant=False)
""",
    "packed sequences": """
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(6, 5)

    def forward(self, cube):
        lengths = torch.tensor([2, 3])
        packed = pack_padded_sequence(cube, lengths, batch_first=True, enforce_sorted=False)
        packed, (h, c) = self.lstm(packed)
        y, sizes = pad_packed_sequence(packed, batch_first=True, padding_value=0.5)
        last, hidden = self.gru(packed)
        last, _ = pad_packed_sequence(last, total_length=7)
        return y, h.relu(), c, last, hidden
""",
    "packed list": """
from torch.nn.utils.rnn import pack_sequence, unpack_sequence


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 3)

    def forward(self, x):
        packed = pack_sequence([x[:2], x, x[1:]], enforce_sorted=False)
        packed, h = self.rnn(packed)
        one, two, three = unpack_sequence(packed)
        return one, two, three, h
""",
    # torch.nn.utils
    "weight norm": """
from torch.nn.utils import weight_norm
from torch.nn.utils.parametrizations import weight_norm as parametrized


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = weight_norm(nn.Linear(4, 6))
        self.second = nn.Linear(6, 4, bias=False)
        weight_norm(self.second, name="weight", dim=None)
        self.conv = parametrized(nn.Conv1d(2, 3, 3, padding=1), dim=1)
        self.back = weight_norm(nn.ConvTranspose1d(3, 2, 3, padding=1))
        self.third = parametrized(nn.Linear(4, 4))

    def forward(self, cube):
        y = self.back(self.conv(cube[:, :2])).tanh()
        return self.third(self.second(self.first(y).relu()))
""",
    "spectral norm": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.utils.spectral_norm(nn.Linear(4, 6))
        self.conv = nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 3, 3), n_power_iterations=2)
        self.back = nn.utils.spectral_norm(nn.ConvTranspose1d(3, 2, 3))

    def forward(self, x):
        y = self.conv(x[None, None]).flatten(2)
        return self.first(x).relu(), self.back(y)
""",
}
"""Modules `Net`, run with the same weights; their gradients are those of the parameters, too."""

TOLD: dict[str, tuple[str, str]] = {
    "vmap of what is random": (
        "unsupported-argument",
        """
def f(x: Tensor):
    return torch.vmap(lambda a: F.dropout(a, 0.5), randomness="different")(x)
""",
    ),
    "custom gradient that saves under a condition": (
        "no-rule",
        """
class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        if x.dim() == 2:
            ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def f(x: Tensor):
    return Double.apply(x)
""",
    ),
    "custom gradient in place": (
        "no-rule",
        """
class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def f(x: Tensor):
    return Twice.apply(x)
""",
    ),
    "gradient by what was computed from another": (
        "no-rule",
        """
def f(x: Tensor):
    h = torch.sin(x)
    y = h * x
    return torch.autograd.grad(y.sum(), (x, h))
""",
    ),
    "gradient by another name": (
        "no-rule",
        """
def f(x: Tensor, z: Tensor):
    h = torch.sin(z)
    x = h
    y = h * x
    return torch.autograd.grad(y.sum(), x)
""",
    ),
    "gradient that is added up": (
        "no-rule",
        """
def f(x: Tensor):
    for i in range(3):
        (x * i).sum().backward()
    return x.grad
""",
    ),
    "gradient through an attribute": (
        "no-rule",
        """
class Net(nn.Module):
    def forward(self, x):
        self.last = x.sin()
        return torch.autograd.grad(self.last.sum(), x)[0]
""",
    ),
    "strict jacobian": (
        "unsupported-argument",
        """
def f(v: Tensor):
    return torch.autograd.functional.jacobian(torch.sin, v, strict=True)
""",
    ),
}

NO_GRADIENT = frozenset[str](
    (
        # What backward() gives is a constant, and all that is returned comes from constants.
        "backward",
        "backward of several, with a cotangent",
        # torch computes the linear function with constants, and loses the gradient through them.
        "linearize",
        # torch's functional transforms detach unless create_graph is given.
        "functional jacobian",
        "functional hessian",
        "functional vjp",
        "functional jvp",
        "functional hvp",
    )
)


def ported(name: str, source: str) -> tuple[Callable[..., Any], str]:
    result = translate(source)
    shown = f"{result.text}\n{result.findings}"
    loud = [finding for finding in result.findings if finding.severity is not Severity.INFO]
    assert not loud, shown
    assert "import torch" not in result.text and "from torch" not in result.text, shown
    return run(f"{name} (port)", result.text), shown


@pytest.mark.parametrize("name", EQUAL)
def test_port_computes_the_same(name: str) -> None:
    source = _HEADER + EQUAL[name]
    original = run(name, source)
    port, shown = ported(name, source)
    values = inputs_of(original)
    expected = list(leaves(original(*(as_torch(value, grad=True) for value in values))))
    given = [as_array(value, "jax") for value in values]
    assert_equal(expected, list(leaves(port(*given))), shown)
    dynamic = [index for index, value in enumerate(given) if isinstance(value, jax.Array)]

    def jitted(*arrays: jax.Array) -> Any:
        arguments = list(given)
        for index, array in zip(dynamic, arrays, strict=True):
            arguments[index] = array
        return port(*arguments)

    assert_equal(expected, list(leaves(jax.jit(jitted)(*(given[i] for i in dynamic)))), shown)
    if name not in NO_GRADIENT:
        gradients = torch_gradients(run(name, source), values)
        assert_equal(gradients, port_gradients(port, values, "jax"), shown, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_module_computes_the_same(name: str) -> None:
    source = _HEADER + MODULES[name]
    original = run(name, source + "\nf = Net")()
    result = translate(source + "\nf = Net")
    shown = f"{result.text}\n{result.findings}"
    assert not [f for f in result.findings if f.severity is not Severity.INFO], shown
    constructor = run(f"{name} (port)", result.text)
    random = "rngs" in inspect.signature(constructor.__init__).parameters
    port = constructor(rngs=nnx.Rngs(0)) if random else constructor()
    for net in (original, port):
        net.train()
    values = inputs_of(original.forward)
    steps = 2 if list(original.buffers()) else 1
    # Copies: torch changes its buffers in place.
    transfer_weights({name: t.clone() for name, t in original.state_dict().items()}, port)
    for _ in range(steps):
        compare_modules(original, port, values, shown)
    for net in (original, port):
        net.eval()
    compare_modules(original, port, values, shown)


def compare_modules(original: Any, port: Any, values: list[Any], shown: str) -> None:
    """Outputs, gradients of parameters, and the state after one call."""
    original.zero_grad()
    results = list(tensors(original(*map(as_torch, values))))
    sum((r * torch.arange(1.0, r.numel() + 1).view(r.shape)).sum() for r in results).backward()
    expected = [result.detach().numpy() for result in results]

    def total(module: Any) -> Any:
        results = jax.tree.leaves(module(*[as_array(value, "jax") for value in values]))
        parts = [(r * jnp.arange(1.0, r.size + 1).reshape(r.shape)).sum() for r in results]
        return sum(parts), results

    (_, actual), gradients = nnx.value_and_grad(total, has_aux=True)(port)
    assert_equal(expected, [np.asarray(one) for one in actual], shown, 1e-4, 1e-5)

    places, theirs = placements(port), dict(original.named_parameters())
    by_path = nnx.to_flat_state(gradients)
    mine = {".".join(map(str, path)): np.asarray(value[...]) for path, value in by_path}
    assert original.state_dict().keys() == places.keys(), shown
    for name, tensor in original.state_dict().items():
        place = places[name]
        pairs = [(np.asarray(place.variable[...]), tensor.numpy())]
        if name in theirs and theirs[name].grad is not None:
            pairs.append((mine[place.path], theirs[name].grad.numpy()))
        for one, other in pairs:
            one = place.to_source(one)
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4, err_msg=f"{name}\n{shown}")


def tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors(item)


def assert_equal(
    expected: list[np.ndarray],
    actual: list[np.ndarray],
    shown: str,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    assert len(expected) == len(actual), shown
    for one, other in zip(expected, actual, strict=True):
        assert one.dtype.kind == other.dtype.kind, shown
        assert one.shape == other.shape, shown
        np.testing.assert_allclose(other, one, rtol=rtol, atol=atol, err_msg=shown)


@pytest.mark.parametrize("name", TOLD)
def test_port_says_what_it_cannot_do(name: str) -> None:
    code, source = TOLD[name]
    result = translate(_HEADER + source)
    said = {f.code for f in result.findings if f.severity is not Severity.INFO}
    assert code in said, f"{result.text}\n{result.findings}"
