"""What torch does in place or through shared memory: a port computes the same, or says it does not.

Each row is source text as users write it. `EQUAL` rows are run in torch and, ported, in JAX and in
MLX: results and gradients must agree, and the translation must not warn. `TOLD` rows cannot be ported exactly:
the translation must say so with a warning or an error of the given code. A function's inputs are
chosen by the names of its parameters (`INPUTS`).
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import torch
from flax import nnx

from torchport_translators.findings import Severity
from torchport_translators.translate import translate

from .frameworks import FRAMEWORKS, MLX

torch.set_num_threads(1)
_RANDOM = np.random.default_rng(0)
INPUTS: dict[str, Any] = {
    "x": _RANDOM.normal(size=(4, 4)).astype(np.float32),
    "z": _RANDOM.normal(size=(4, 4)).astype(np.float32),
    "v": _RANDOM.normal(size=(4,)).astype(np.float32),
    "cube": _RANDOM.normal(size=(2, 3, 4)).astype(np.float32),
    "i": np.array([2, 0, 3]),
    "twice": np.array([1, 1, 2]),
    "mask": _RANDOM.normal(size=(4, 4)) > 0,
    "rows": np.array([True, False, True, True]),
    "whole": np.arange(12).reshape(3, 4),
    "n": 3,
    "k": 1,
    "flag": True,
}
_HEADER = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\nfrom torch import Tensor\n\n"

EQUAL: dict[str, str] = {
    # In-place methods
    "method on a name": """
def f(x: Tensor):
    y = x * 1
    y.add_(1)
    return y
""",
    "chain of methods": """
def f(x: Tensor):
    y = x.clone()
    y.mul_(3).add_(1).clamp_(min=0)
    return y
""",
    "method on an element": """
def f(x: Tensor):
    y = x.clone()
    y[0].zero_()
    y[1].mul_(2)
    return y
""",
    "method on a slice": """
def f(x: Tensor):
    y = x.clone()
    y[:, 1:3].fill_(7)
    y[::2].neg_()
    return y
""",
    "method on an element of an element": """
def f(cube: Tensor):
    y = cube.clone()
    y[0][1].mul_(3)
    y[1][2][3].add_(5)
    return y
""",
    "method on a new value": """
def f(x: Tensor):
    return torch.zeros(4, 4).add_(x).mul_(2)
""",
    "method on the result of a call": """
def f(x: Tensor):
    y = (x + 1).mul_(2)
    return y + x
""",
    "method in an expression": """
def f(x: Tensor):
    y = x.clone()
    z = y.add_(1) * 2
    return y + z
""",
    "method in a return": """
def f(x: Tensor):
    y = x * 2
    return y.add_(1)
""",
    "method in an argument": """
def f(x: Tensor):
    y = x.clone()
    z = torch.exp(y.mul_(0.5))
    return y, z
""",
    "method assigned to its own name": """
def f(x: Tensor):
    y = x.clone()
    y = y.add_(1)
    return y
""",
    "method assigned to another name": """
def f(x: Tensor):
    y = x.clone()
    z = y.add_(1)
    z.mul_(2)
    return y, z
""",
    "method in a condition": """
def f(x: Tensor):
    y = x.clone()
    if y.add_(1).sum() > -1000:
        y.mul_(2)
    return y
""",
    "method under an if": """
def f(x: Tensor, flag: bool):
    y = x * 2
    if flag:
        y.add_(1)
    else:
        y.sub_(1)
    return y
""",
    "method on one line with if": """
def f(x: Tensor, flag: bool):
    y = x.clone()
    t = y[0]
    if flag: t.add_(1)
    return y
""",
    "two statements on a line": """
def f(x: Tensor):
    y = x.clone(); y.add_(1); y.mul_(2)
    return y
""",
    "method in a loop": """
def f(x: Tensor, n: int):
    y = x.clone()
    for step in range(n):
        y.mul_(0.5).add_(step)
    return y
""",
    "method in a while": """
def f(x: Tensor, n: int):
    y = x.clone()
    while n > 0:
        y.add_(n)
        n -= 1
    return y
""",
    "copy_": """
def f(x: Tensor, v: Tensor):
    y = torch.zeros_like(x)
    y.copy_(v)
    y[1].copy_(x[2])
    return y
""",
    "copy_ keeps the dtype": """
def f(x: Tensor):
    y = torch.zeros(4, 4, dtype=torch.int32)
    y.copy_(x * 10)
    return y
""",
    "masked_fill_": """
def f(x: Tensor, mask: Tensor):
    y = x.clone()
    y.masked_fill_(mask, 0.5)
    return y
""",
    "clamp_ with both ends": """
def f(x: Tensor):
    y = x * 3
    y.clamp_(-1, 1)
    return y
""",
    "index_fill_ and index_add_": """
def f(x: Tensor, i: Tensor):
    y = x.clone()
    y.index_fill_(0, i, 2.0)
    y.index_add_(0, i, torch.ones(3, 4))
    return y
""",
    "scatter_": """
def f(x: Tensor):
    y = torch.zeros(4, 5)
    y.scatter_(1, torch.tensor([[1], [2], [0], [4]]), 1.0)
    return y + x.sum()
""",
    "addcmul_ and lerp_": """
def f(x: Tensor, z: Tensor):
    y = x.clone()
    y.addcmul_(x, z, value=0.5)
    y.lerp_(z, 0.1)
    return y
""",
    "comparison in place keeps the dtype": """
def f(x: Tensor):
    y = x.clone()
    y.gt_(0)
    return y
""",
    "fill_diagonal_": """
def f(x: Tensor):
    y = x.clone()
    y.fill_diagonal_(0)
    return y
""",
    "function of torch with an underscore": """
def f(x: Tensor):
    y = x - 0.5
    torch.relu_(y)
    return y
""",
    "zero_ of an expression's result": """
def f(x: Tensor):
    y = x.clone()
    y[0, 1:].zero_()
    return y
""",
    # In-place functions
    "function on a name": """
def f(x: Tensor):
    y = x * 1
    torch.neg_(y)
    torch.clamp_(y, -1, 1)
    F.elu_(y, 0.5)
    return y
""",
    "function on elements and views": """
def f(x: Tensor):
    y = x.clone()
    torch.neg_(y[0])
    torch.deg2rad_(y[1:].t())
    row = y[2]
    torch.zero_(row)
    return y
""",
    "functions of functions and methods": """
def f(x: Tensor):
    y = x.clone()
    torch.rad2deg_(torch.neg_(y.mul_(3))).add_(1)
    return y
""",
    "function by keyword": """
def f(x: Tensor):
    y = x.clone()
    torch.neg_(input=y)
    torch.clamp_(min=0, input=y)
    return y
""",
    "function in an expression": """
def f(x: Tensor):
    y = x.clone()
    z = torch.exp_(y) * 2
    return torch.sin_(z) + y
""",
    "result of a function is another name": """
def f(x: Tensor):
    y = x.clone()
    z = torch.cos_(y)
    z.add_(1)
    return y
""",
    "detached in place": """
def f(x: Tensor):
    y = x * 2
    z = y * 3
    z.detach_()
    y = torch.detach_(y)
    return x + y + z
""",
    # out= and inplace=
    "out of a function": """
def f(x: Tensor, z: Tensor):
    y = torch.empty(4, 4)
    torch.add(x.detach(), z.detach(), out=y)
    return y
""",
    "out into a row": """
def f(x: Tensor):
    y = torch.zeros(4, 4)
    torch.mul(x[0].detach(), 2, out=y[1])
    return y
""",
    "out that is one of the arguments": """
def f(x: Tensor):
    y = x.detach().clone()
    torch.sub(y, 1, out=y)
    return y
""",
    "functional with inplace": """
def f(x: Tensor):
    y = x.clone()
    F.relu(y, inplace=True)
    return y
""",
    "functional with inplace by position": """
def f(x: Tensor):
    y = x.clone()
    F.leaky_relu(y, 0.1, True)
    return y
""",
    "functional with inplace, both used": """
def f(x: Tensor):
    y = x.clone()
    z = F.relu(y, inplace=True)
    return y * 2 + z
""",
    "module with inplace, its argument used later": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = x * 2
        z = self.act(y)
        return y + z


def f(x: Tensor):
    return M()(x)
""",
    "module with inplace, on its own name": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = x * 2
        identity = y
        y = self.act(y)
        return y + identity


def f(x: Tensor):
    return M()(x)
""",
    "module with inplace by position": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.LeakyReLU(0.2, True)

    def forward(self, x):
        y = x * 2
        z = self.act(y)
        return y * z


def f(x: Tensor):
    return M()(x)
""",
    "module with inplace first in a Sequential": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.ReLU(inplace=True), nn.Tanh())

    def forward(self, x):
        y = x * 2
        z = self.net(y)
        return z


def f(x: Tensor):
    return M()(x)
""",
    "module with inplace on a new value": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(True)

    def forward(self, x):
        return self.act(x + 1) + x


def f(x: Tensor):
    return M()(x)
""",
    # Augmented assignment
    "augmented name": """
def f(x: Tensor, z: Tensor):
    y = x * 1
    y += z
    y -= 1
    y *= 2
    y /= 3
    return y
""",
    "augmented power and matmul": """
def f(x: Tensor, z: Tensor):
    y = x * 1
    y **= 2
    y @= z
    return y
""",
    "augmented integers": """
def f(whole: Tensor):
    y = whole.clone()
    y //= 2
    y %= 3
    y |= 4
    y <<= 1
    return y
""",
    "augmented masks": """
def f(mask: Tensor, x: Tensor):
    m = mask.clone()
    m |= x > 1
    m &= x < 2
    m ^= x > 0
    return m
""",
    "augmented element": """
def f(x: Tensor):
    y = x.clone()
    y[0] += 1
    y[1, 2] -= 2
    y[:, 0] *= 3
    y[2:] /= 2
    y[-1] **= 2
    return y
""",
    "augmented element, other operators": """
def f(whole: Tensor):
    y = whole.clone()
    y[0] //= 2
    y[1] %= 3
    y[2] |= 8
    return y
""",
    "augmented by an index that repeats": """
def f(x: Tensor, twice: Tensor):
    y = x.clone()
    y[twice] += 1
    y[:, twice] *= 2
    return y
""",
    "augmented by a list that repeats": """
def f(x: Tensor):
    y = x.clone()
    y[[0, 0, 1]] += 1
    return y
""",
    "augmented by a mask": """
def f(x: Tensor):
    y = x.clone()
    y[y > 0] += 1
    y[~(y > 0)] *= 2
    return y
""",
    "augmented by a sum that binds loosely": """
def f(x: Tensor, v: Tensor):
    y = x.clone()
    y[0] -= v - 1
    y[1] -= v * 2
    return y
""",
    "augmented element of an element": """
def f(cube: Tensor):
    y = cube.clone()
    y[0][1] += 1
    y[1][0][2] *= 2
    return y
""",
    "augmented in a loop": """
def f(x: Tensor, n: int):
    total = torch.zeros(4)
    for j in range(n):
        total += x[j] * j
    return total
""",
    "augmented number is not in place": """
def f(x: Tensor, n: int):
    total = 0
    for j in range(n):
        total += x[j].sum()
    return total
""",
    # Indexed assignment
    "int": """
def f(x: Tensor):
    y = x.clone()
    y[0] = 1
    y[-1] = x[1]
    y[1, 2] = 5.5
    return y
""",
    "slices and strides": """
def f(x: Tensor, v: Tensor):
    y = x.clone()
    y[:, 0] = 0
    y[1:3, ::2] = 7
    y[:-1, -2:] = v[:2]
    return y
""",
    "None and Ellipsis": """
def f(cube: Tensor):
    y = cube.clone()
    y[..., 0] = 1
    y[0, ..., 2] = 2
    y[None, 1] = 3
    return y
""",
    "boolean mask": """
def f(x: Tensor, mask: Tensor):
    y = x.clone()
    y[mask] = 0
    y[y > 0.5] = -1
    return y
""",
    "mask of rows": """
def f(x: Tensor, rows: Tensor):
    y = x.clone()
    y[rows] = 2
    y[~rows, 0] = 3
    return y
""",
    "values at a mask": """
def f(x: Tensor, z: Tensor, mask: Tensor):
    y = x.clone()
    y[mask] = z[mask]
    return y
""",
    "index tensor": """
def f(x: Tensor, i: Tensor):
    y = x.clone()
    y[i] = 0
    y[:, i] = x[:, :3]
    return y
""",
    "two index tensors": """
def f(x: Tensor, i: Tensor):
    y = x.clone()
    y[torch.arange(3), i] = 9
    return y
""",
    "lists": """
def f(x: Tensor):
    y = x.clone()
    y[[0, 2]] = 1
    y[:, [1, 3]] = 2
    y[[0, 1], [2, 3]] = 3
    return y
""",
    "tuple": """
def f(x: Tensor):
    y = x.clone()
    y[(0, 1)] = 4
    return y
""",
    "a slice object": """
def f(x: Tensor):
    y = x.clone()
    y[slice(1, 3)] = 4
    return y
""",
    "ints that are computed": """
def f(x: Tensor, n: int):
    y = x.clone()
    y[n - 1, n // 2] = 4
    y[: n - 1] = 1
    return y
""",
    "broadcast right side": """
def f(x: Tensor, v: Tensor):
    y = x.clone()
    y[1:3] = v
    y[:, 1] = v[0]
    y[2:, 2:] = v[:2].unsqueeze(1)
    return y
""",
    "float into integers": """
def f(x: Tensor):
    y = torch.zeros(4, 4, dtype=torch.int32)
    y[0] = x[0] * 10
    y[1, 1] = 3
    return y
""",
    "integers into floats": """
def f(whole: Tensor):
    y = torch.zeros(3, 4)
    y[0] = whole[1]
    return y
""",
    "element of an element": """
def f(cube: Tensor):
    y = cube.clone()
    y[0][1] = 3
    y[1][2][0] = 4
    y[0][:, 1] = 5
    y[1][0:2] = 6
    return y
""",
    "element of a slice": """
def f(cube: Tensor):
    y = cube.clone()
    y[:, 1:][0] = 3
    y[..., 1][1] = 2
    return y
""",
    "conditional": """
def f(x: Tensor, flag: bool):
    y = x.clone()
    if flag:
        y[0] = 1
    else:
        y[1] = 2
    return y
""",
    "chained, the element last": """
def f(x: Tensor, v: Tensor):
    y = x.clone()
    a = y[0] = v * 2
    return a + y
""",
    "chained elements": """
def f(x: Tensor):
    y = x.clone()
    y[0] = y[1] = x[2] + 1
    return y
""",
    "chained constants": """
def f(x: Tensor):
    y = x.clone()
    y[0, 0] = y[1, 1] = 8
    return y
""",
    "tuple targets of views": """
def f(x: Tensor):
    y = x.clone()
    y[0], y[1] = y[1], y[0]
    return y
""",
    "tuple targets of copies": """
def f(x: Tensor):
    y = x.clone()
    y[0], y[1] = y[1].clone(), y[0].clone()
    return y
""",
    "tuple targets of numbers": """
def f(x: Tensor):
    y = x.clone()
    y[0, 0], y[1, 1] = 1, 2
    return y
""",
    "tuple targets of a result": """
def f(x: Tensor):
    y = x.clone()
    y[0], y[1] = torch.max(x, dim=1)
    return y
""",
    "swap by an index list": """
def f(x: Tensor):
    y = x.clone()
    y[[0, 1]] = y[[1, 0]]
    return y
""",
    "empty, then filled": """
def f(x: Tensor, n: int):
    y = torch.empty(n, 4)
    for j in range(n):
        y[j] = x[j] * j
    return y
""",
    "recurrence": """
def f(x: Tensor):
    y = torch.zeros(5, 4)
    for j in range(4):
        y[j + 1] = y[j] * 0.5 + x[j]
    return y
""",
    "nested loops": """
def f(x: Tensor):
    y = torch.zeros(4, 4)
    for a in range(4):
        for b in range(a):
            y[a, b] = x[a, b] * x[b, a]
    return y
""",
    "try and finally": """
def f(x: Tensor):
    y = x.clone()
    try:
        y[0] = 1
    finally:
        y[1] = 2
    return y
""",
    "early return": """
def f(x: Tensor, flag: bool):
    y = x.clone()
    if flag:
        y[0] = 1
        return y
    y[1] = 2
    return y
""",
    "comment beside": """
def f(x: Tensor):
    y = x.clone()
    y[0] = 1  # the first
    # a row more
    y[1] = 2
    return y
""",
    # Through views
    "a row, written back": """
def f(x: Tensor):
    y = x.clone()
    row = y[0]
    row.add_(1)
    return y
""",
    "a patch, written back": """
def f(x: Tensor, v: Tensor):
    out = torch.zeros(4, 4)
    patch = out[..., 1:3]
    patch.copy_(x[:, :2])
    return out
""",
    "an element of a row": """
def f(x: Tensor):
    y = x.clone()
    row = y[1]
    row[2] = 7
    row[0] += 1
    return y + row
""",
    "a view of a view": """
def f(cube: Tensor):
    y = cube.clone()
    a = y[0]
    b = a[1]
    b.mul_(2)
    return y + a
""",
    "flat view": """
def f(x: Tensor):
    y = x.clone()
    y.view(-1)[0] = 1
    y.view(2, 8)[1, 3] = 5
    flat = y.view(-1)
    flat[::3] = 0
    return y
""",
    "transposed": """
def f(x: Tensor):
    y = x.clone()
    y.t()[0] = 1
    y.T[1] = 2
    turned = y.transpose(0, 1)
    turned[2].add_(5)
    return y
""",
    "permuted": """
def f(cube: Tensor):
    y = cube.clone()
    y.permute(2, 0, 1)[0] = 1
    p = y.permute(1, 2, 0)
    p[0, 1].mul_(2)
    return y
""",
    "squeezed and unsqueezed": """
def f(x: Tensor, v: Tensor):
    y = x.clone()
    y.unsqueeze(0)[0, 1] = 1
    s = y[0:1].squeeze(0)
    s.add_(1)
    return y
""",
    "select and narrow": """
def f(x: Tensor):
    y = x.clone()
    y.select(1, 2).zero_()
    y.narrow(0, 1, 2).add_(1)
    return y
""",
    "another name": """
def f(x: Tensor):
    y = x.clone()
    z = y
    z += 1
    return y
""",
    "another name, the first changed": """
def f(x: Tensor):
    y = x.clone()
    z = y
    y.mul_(2)
    return z
""",
    "the base changed, views read": """
def f(x: Tensor):
    y = x.clone()
    row = y[0]
    column = y[:, 1]
    y.add_(1)
    y[0, 1] = 9
    return row, column
""",
    "sibling views": """
def f(x: Tensor):
    y = x.clone()
    top = y[:2]
    middle = y[1:3]
    top.mul_(2)
    return middle
""",
    "two names at once": """
def f(x: Tensor):
    a = b = torch.zeros(4)
    a.add_(1)
    return b
""",
    "name bound anew is free": """
def f(x: Tensor):
    y = x.clone()
    old = y
    y = y + 1
    y.mul_(2)
    return old + y
""",
    "view bound anew is free": """
def f(x: Tensor):
    y = x.clone()
    row = y[0]
    row = row * 2
    row.add_(1)
    return y, row
""",
    "a copy is free": """
def f(x: Tensor, i: Tensor):
    y = x.clone()
    picked = y[i]
    picked.add_(1)
    return y
""",
    "residual": """
def f(x: Tensor):
    y = x * 2
    residual = y
    y = y * torch.tanh(x)
    y += residual
    return y
""",
    "view in a loop": """
def f(x: Tensor, n: int):
    y = x.clone()
    for j in range(n):
        row = y[j]
        row.mul_(j)
    return y
""",
    "name through a loop": """
def f(x: Tensor, n: int):
    h = x[0] * 1
    outs = []
    for j in range(n):
        h = h * 0.5
        h += x[j]
        outs.append(h)
    return torch.stack(outs)
""",
    # Attributes, buffers, containers
    "buffer, every form": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4))
        self.register_buffer("b", torch.ones(4))
        self.register_buffer("c", torch.zeros(2, 4))
        self.register_buffer("d", torch.zeros(1))

    def forward(self, x):
        self.a.add_(x.sum())
        self.a.mul_(0.5).add_(1)
        self.b += 1
        self.b = self.b * 2
        self.c[0] = x[0]
        self.c[1, 2:] += 3
        self.c[0].mul_(2)
        self.d.copy_(x.sum())
        self.d.data.add_(1)
        self.a.data = self.a + 1
        return x


def f(x: Tensor):
    m = M()
    m(x)
    m(x)
    return m.a + m.b + m.c.sum(0) + m.d
""",
    "buffer through a name": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4, 4))

    def forward(self, x):
        whole = self.a
        whole.add_(x)
        row = self.a[0]
        row.zero_()
        return whole * 2


def f(x: Tensor):
    m = M()
    return m(x), m.a
""",
    "buffer bound anew keeps the old value elsewhere": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4))

    def forward(self, x):
        old = self.a
        self.a = self.a + x.sum()
        return old * 2


def f(x: Tensor):
    m = M()
    first = m(x)
    return first, m(x), m.a
""",
    "running mean without a gradient": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        with torch.no_grad():
            self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
        return x - self.mean


def f(x: Tensor):
    return M()(x)
""",
    "buffer that is not saved": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4), persistent=False)

    def forward(self, x):
        self.a.add_(1)
        self.a[0] = 5
        self.a = self.a * 2
        return x + self.a


def f(x: Tensor):
    return M()(x)
""",
    "queue with a pointer": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("queue", torch.zeros(4, 8))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def push(self, keys):
        at = int(self.pointer.item())
        self.queue[:, at : at + 4] = keys.T
        self.pointer[0] = (at + 4) % 8

    def forward(self, x):
        self.push(x)
        self.push(x * 2)
        return x @ self.queue.clone().detach()


def f(x: Tensor):
    return M()(x)
""",
    "plain attribute": """
class Box:
    def __init__(self, value: Tensor):
        self.value = value.clone()

    def grow(self):
        self.value.add_(1)
        self.value[0] = 0
        self.value *= 2


def f(x: Tensor):
    box = Box(x)
    box.grow()
    box.grow()
    return box.value
""",
    "elements of a list": """
def f(x: Tensor, z: Tensor):
    held = [x * 1, z * 1]
    held[0].add_(1)
    held[1] += 2
    held[0][1] = 3
    return held[0] + held[1]
""",
    "elements of a dict": """
def f(x: Tensor):
    held = {"a": x * 1, "b": x * 2}
    held["a"].mul_(2)
    held["b"] += 2
    held["b"][0] = 1
    return held["a"] + held["b"]
""",
    "element of a dict by a name": """
def f(x: Tensor):
    held = {"a": x * 1}
    a = held["a"]
    a.mul_(2)
    return held["a"]
""",
    "list filled in a loop": """
def f(x: Tensor, n: int):
    outs = []
    for j in range(n):
        y = x[j] * 1
        y.add_(j)
        outs.append(y)
    return torch.stack(outs)
""",
    # Scopes
    "closure": """
def f(x: Tensor):
    total = torch.zeros(4)

    def add(row: Tensor):
        total.add_(row)

    add(x[0])
    add(x[1])
    return total
""",
    "closure with elements": """
def f(x: Tensor):
    table = torch.zeros(4, 4)

    def put(j: int):
        table[j] = x[j]
        table[j] *= 2

    put(1)
    put(3)
    return table
""",
    "global": """
total = torch.zeros(4)


def add(row: Tensor):
    total.add_(row)


def f(x: Tensor):
    add(x[0].detach())
    add(x[1].detach())
    return total + x
""",
    "declared global": """
total = torch.zeros(4)


def add(row: Tensor):
    global total
    total += row


def f(x: Tensor):
    add(x[0].detach())
    return total + x
""",
    # Gradients
    "no_grad block": """
def f(x: Tensor, z: Tensor):
    with torch.no_grad():
        y = x * 2
        y.add_(z)
        y[0] = z[1]
    return y * x
""",
    "no_grad, nested with enable_grad": """
def f(x: Tensor):
    with torch.no_grad():
        a = x * 2
        with torch.enable_grad():
            b = x * 3
    return a * b
""",
    "no_grad decorator": """
@torch.no_grad()
def target(x: Tensor):
    y = x * 2
    y.add_(x)
    return y


def f(x: Tensor):
    return target(x) * x
""",
    "inference of a tuple": """
@torch.no_grad()
def target(x: Tensor):
    return x * 2, x + 1


def f(x: Tensor):
    a, b = target(x)
    return a * b * x
""",
    "set_grad_enabled False": """
def f(x: Tensor):
    with torch.set_grad_enabled(False):
        y = x * 2
    return y * x
""",
    "detach": """
def f(x: Tensor):
    return x.detach() * x + x.sin().detach()
""",
    "in place on a copy keeps gradients": """
def f(x: Tensor, v: Tensor):
    y = x.clone()
    y[0] = v
    y[1:] *= x[:3]
    y.sin_()
    return y
""",
    "gradient through a row": """
def f(x: Tensor, v: Tensor):
    y = x * 1
    row = y[2]
    row.mul_(v)
    return y * x
""",
    # Named tuples
    "max kept whole": """
def f(x: Tensor):
    m = x.max(1)
    return m.values, m[1], m.indices
""",
    "max unpacked": """
def f(x: Tensor):
    values, indices = x.max(dim=1)
    best, _ = torch.min(x, 0)
    return values, indices, best
""",
    "sort kept and picked": """
def f(x: Tensor):
    s = torch.sort(x, dim=1, descending=True)
    top = s[0][:, :2]
    return top, s.indices
""",
    "topk picked": """
def f(x: Tensor):
    return x.topk(2, dim=1)[1], torch.topk(x, 2).values
""",
    "returned whole": """
def pair(x: Tensor):
    return x.max(1)


def f(x: Tensor):
    a, b = pair(x)
    return a, b
""",
    "in a for": """
def f(x: Tensor):
    out = []
    for part in x.max(1):
        out.append(part * 2)
    return out[0], out[1]
""",
    "starred": """
def f(x: Tensor):
    first, *rest = x.unbind(0)
    last, = x[3:].unbind(0)
    return first, rest[0] + rest[-1], last
""",
    "starred into a call": """
def f(x: Tensor):
    parts = x.chunk(2)
    return torch.cat([*parts, x])
""",
    # Reading with indices
    "lists as indices": """
def f(x: Tensor):
    return x[[0, 2]], x[:, [1, 1]], x[[0, 1], [2, 3]]
""",
    "index in a name": """
def f(x: Tensor):
    order = [2, 0, 1]
    return x[order]
""",
    "del": """
def f(x: Tensor):
    y = x * 2
    z = y + 1
    del y
    z.add_(1)
    return z
""",
    "training mode": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        if self.training:
            self.seen += 1
        return x + self.seen


def f(x: Tensor):
    m = M()
    m(x)
    m.eval()
    return m(x)
""",
    "comprehension over rows, read only": """
def f(x: Tensor):
    return torch.stack([row * 2 for row in x])
""",
    "walrus": """
def f(x: Tensor):
    if (y := x * 2).sum() > -1000:
        y.add_(1)
    return y
""",
    "layout changed in place": """
def f(x: Tensor):
    y = x.clone()
    z = y
    y.t_()
    return z
""",
    "parameters in a loop": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))
        self.b = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        return x * self.w + self.b


def decay(model: M):
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.5)
            p.add_(1)


def f(x: Tensor):
    model = M()
    decay(model)
    return model(x)
""",
    "parameter in place": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))
        self.w.data.mul_(3)
        self.w.data[0] = 7
        with torch.no_grad():
            self.w += 1
            self.w[1] = 2

    def forward(self, x):
        return x * self.w


def f(x: Tensor):
    return M()(x)
""",
    "argument returned": """
def scaled(y: Tensor):
    y.mul_(2)
    return y


def f(x: Tensor):
    y = x * 1
    y = scaled(y)
    return y
""",
    "buffer, its copy kept": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4))

    def forward(self, x):
        old = self.a.clone()
        self.a.add_(x.sum())
        return old


def f(x: Tensor):
    m = M()
    m(x)
    return m(x), m.a
""",
    "buffer returned, then changed": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4))

    def forward(self, x):
        self.a = self.a + x.sum()
        return self.a


def f(x: Tensor):
    m = M()
    one = m(x)
    two = m(x)
    return one, two
""",
    "attribute through a name": """
class Box:
    def __init__(self, v: Tensor):
        self.v = v

    def go(self, x: Tensor):
        h = self.v
        h.add_(x)
        return self.v


def f(x: Tensor):
    b = Box(x * 0)
    return b.go(x)
""",
    "view with an index of the loop": """
def f(x: Tensor, n: int):
    y = x.clone()
    for j in range(n):
        part = y[j : j + 2]
        part += 1
        part[0] = j
    return y
""",
    "stacking copies": """
def f(x: Tensor):
    y = x.clone()
    s = torch.stack([y, y])
    y.add_(1)
    return s, y
""",
    "no_grad around an if": """
def f(x: Tensor, flag: bool):
    with torch.no_grad():
        if flag:
            y = x * 2
        else:
            y = x * 3
    return y * x
""",
    "no_grad method that updates a buffer": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4))
    @torch.no_grad()

    def update(self, x):
        self.a.lerp_(x.mean(0), 0.1)

    def forward(self, x):
        self.update(x)
        return x * self.a


def f(x: Tensor):
    return M()(x)
""",
    "no_grad with tuples and lists": """
def f(x: Tensor):
    with torch.no_grad():
        a, b = x * 2, x * 3
        c = [x * 4, x]
    return a * b * x * c[0]
""",
    "method on an element, assigned": """
def f(x: Tensor):
    y = x.clone()
    z = y[0].add_(1)
    return y, z
""",
    "index_put_": """
def f(x: Tensor, i: Tensor):
    y = x.clone()
    y.index_put_((i,), torch.zeros(3, 4))
    return y
""",
    "where, then a mask": """
def f(x: Tensor, mask: Tensor):
    y = torch.where(mask, x, torch.zeros_like(x))
    y[y == 0] = -1
    return y
""",
    "attribute that is a list of tensors": """
class Box:
    def __init__(self, v: Tensor):
        self.items = [v * 1, v * 2]

    def go(self):
        self.items[0].add_(1)
        self.items[1][0] = 5
        for j in range(2):
            self.items[j] *= 2
        return self.items[0] + self.items[1]


def f(x: Tensor):
    return Box(x).go()
""",
    "no_grad with append": """
def f(x: Tensor, n: int):
    outs = []
    with torch.no_grad():
        for j in range(n):
            outs.append(x[j] * 2)
    return torch.stack(outs) * x[:3]
""",
    "no_grad with a dict": """
def f(x: Tensor):
    with torch.no_grad():
        d = {"a": x * 2}
    return d["a"] * x
""",
    "no_grad with an attribute": """
class M(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            self.h = x * 2
        return self.h * x


def f(x: Tensor):
    return M()(x)
""",
    "no_grad with a comprehension": """
def f(x: Tensor):
    with torch.no_grad():
        parts = [r * 2 for r in x]
    return torch.stack(parts) * x
""",
    "view bound by a walrus": """
def f(x: Tensor):
    y = x.clone()
    if (row := y[0]) is not None:
        row.add_(1)
    return y
""",
    "buffers assigned together": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4))
        self.register_buffer("b", torch.ones(4))

    def forward(self, x):
        self.a, self.b = self.a + 1, self.a * 2 + self.b
        return x + self.a + self.b


def f(x: Tensor):
    m = M()
    m(x)
    return m(x)
""",
    "buffer of another module": """
class B(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4))


class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = B()

    def forward(self, x):
        self.b.a += 1
        self.b.a[0] = 4
        self.b.a = self.b.a * 2
        row = self.b.a[1:]
        row.add_(1)
        return x + self.b.a


def f(x: Tensor):
    m = M()
    m(x)
    return m(x)
""",
    "loop with continue and else": """
def f(x: Tensor, n: int):
    y = x.clone()
    for j in range(n):
        if j == 1:
            continue
        y[j] += j
    else:
        y[3].zero_()
    return y
""",
}
"""Ports that must compute what torch computes, silently."""

TOLD: dict[str, tuple[str, str]] = {
    "diagonal": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    y.diagonal().fill_(0)
    return y
""",
    ),
    "reshape, which may copy": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    flat = y.reshape(-1)
    flat.add_(1)
    return y
""",
    ),
    "contiguous, which may copy": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    c = y.contiguous()
    c.add_(1)
    return y
""",
    ),
    "float, which may copy": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    c = y.float()
    c += 1
    return y
""",
    ),
    "to, which may copy": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    c = y.to(torch.float32)
    c[0] = 1
    return y
""",
    ),
    "detach shares": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    d = y.detach()
    d.add_(1)
    return y
""",
    ),
    "halves": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    a, b = y.chunk(2)
    a.zero_()
    return y
""",
    ),
    "rows of a loop": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    for row in y:
        row.mul_(2)
    return y
""",
    ),
    "rows of enumerate": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    for j, row in enumerate(y):
        row += j
    return y
""",
    ),
    "rows of unbind": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    for row in y.unbind(0):
        row[0] = 1
    return y
""",
    ),
    "rows of a comprehension": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    parts = [row.mul_(2) for row in y]
    return y, parts
""",
    ),
    "lambda": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    grow = lambda: y.add_(1)
    grow()
    return y
""",
    ),
    "list that holds the tensor": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    held = [y]
    y.add_(1)
    return held[0]
""",
    ),
    "tensor that a list holds": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    held = [y]
    held[0].add_(1)
    return y
""",
    ),
    "list appended to": (
        "in-place",
        """
def f(x: Tensor, n: int):
    y = x.clone()
    seen = []
    for j in range(n):
        y.add_(1)
        seen.append(y)
    return torch.stack(seen)
""",
    ),
    "dict that holds the tensor": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    held = {}
    held["y"] = y
    y[0] = 1
    return held["y"]
""",
    ),
    "elements in a loop": (
        "in-place",
        """
def f(x: Tensor):
    held = [x * 1, x * 2]
    for part in held:
        part.add_(1)
    return held[0] + held[1]
""",
    ),
    "values of a dict in a loop": (
        "in-place",
        """
def f(x: Tensor):
    held = {"a": x * 1}
    for part in held.values():
        part.mul_(2)
    return held["a"]
""",
    ),
    "either of two": (
        "in-place",
        """
def f(x: Tensor, flag: bool):
    y = x.clone()
    z = y if flag else y.clone()
    z.add_(1)
    return y
""",
    ),
    "either of two, by statements": (
        "in-place",
        """
def f(x: Tensor, flag: bool):
    y = x.clone()
    z = y.clone()
    if flag:
        z = y
    z.add_(1)
    return y
""",
    ),
    "index changed since": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    j = 0
    row = y[j]
    j += 1
    row.add_(1)
    return y
""",
    ),
    "name from the round before": (
        "in-place",
        """
def f(x: Tensor, n: int):
    y = x.clone()
    last = x * 0
    for j in range(n):
        last.add_(1)
        last = y[j]
    return y
""",
    ),
    "argument not returned": (
        "in-place",
        """
def halve(values: Tensor):
    values.div_(2)


def f(x: Tensor):
    y = x * 1
    halve(y)
    return y
""",
    ),
    "argument changed at the call": (
        "in-place",
        """
def scaled(y: Tensor):
    y.mul_(2)
    return y


def f(x: Tensor):
    y = x * 1
    z = scaled(y)
    return y + z
""",
    ),
    "argument changed through a view": (
        "in-place",
        """
def clear(t: Tensor):
    row = t[0]
    row.zero_()


def f(x: Tensor):
    y = x * 1
    clear(y)
    return y
""",
    ),
    "argument changed two calls down": (
        "in-place",
        """
def inner(t: Tensor):
    t[0] = 1
    return t


def outer(t: Tensor):
    return inner(t)


def f(x: Tensor):
    y = x * 1
    z = outer(y)
    return y + z
""",
    ),
    "argument of a module": (
        "in-place",
        """
class Block(nn.Module):
    def forward(self, x):
        x += 1
        return x * 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        h = x * 3
        return self.block(h) + h
""",
    ),
    "result that is the argument": (
        "in-place",
        """
def first(t: Tensor):
    return t[0]


def f(x: Tensor):
    y = x * 1
    row = first(y)
    row.add_(1)
    return y
""",
    ),
    "method that gives the attribute": (
        "in-place",
        """
class Box:
    def __init__(self, value: Tensor):
        self.value = value.clone()

    def get(self):
        return self.value


def f(x: Tensor):
    box = Box(x)
    held = box.get()
    held.add_(1)
    return box.value
""",
    ),
    "field of a named tuple": (
        "in-place",
        """
def f(x: Tensor):
    m = x.max(1)
    m.values.add_(1)
    return m.values
""",
    ),
    "item of a tuple": (
        "in-place",
        """
def f(x: Tensor):
    pair = (x * 1, x * 2)
    pair[0].add_(1)
    return pair[0]
""",
    ),
    "numpy shares": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    a = y.numpy()
    y.add_(1)
    return a
""",
    ),
    "read and changed by one expression": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    return y * 2 + y.add_(1) + y
""",
    ),
    "inside a conditional expression": (
        "in-place",
        """
def f(x: Tensor, flag: bool):
    y = x.clone()
    z = y.add_(1) if flag else y
    return y + z
""",
    ),
    "under no_grad, but made outside": (
        "in-place",
        """
def f(x: Tensor):
    y = x * 2
    with torch.no_grad():
        y.mul_(3)
    return y * x
""",
    ),
    "data of a tensor that is differentiated": (
        "in-place",
        """
def f(x: Tensor):
    y = x * 2
    y.data.mul_(3)
    return y * x
""",
    ),
    "identity module": (
        "in-place",
        """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.skip = nn.Identity()

    def forward(self, x):
        h = x * 2
        y = self.skip(h)
        y += 1
        return y + h
""",
    ),
    "dropout, which may pass its argument on": (
        "in-place",
        """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        h = x * 2
        y = self.drop(h)
        y += 1
        return y + h
""",
    ),
    "layout changed in place, and a view": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    z = y[0]
    y.t_()
    return y + z
""",
    ),
    "index of unknown kind": (
        "in-place",
        """
def f(x: Tensor, at):
    y = x.clone()
    row = y[at]
    row.add_(1)
    return y
""",
    ),
    "attribute that the caller gave": (
        "in-place",
        """
class Box:
    def __init__(self, v: Tensor):
        self.v = v

    def go(self):
        self.v.add_(1)


def f(x: Tensor):
    y = x * 1
    b = Box(y)
    b.go()
    return y
""",
    ),
    "list of rows": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    rows = list(y)
    rows[0].add_(1)
    return y
""",
    ),
    "comprehension of views": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    rows = [y[j] for j in range(4)]
    rows[1].zero_()
    return y
""",
    ),
    "expanded, the base changed": (
        "in-place",
        """
def f(x: Tensor, v: Tensor):
    w = v * 1
    e = w.expand(4, 4)
    w.add_(1)
    return e
""",
    ),
    "names swapped in a loop": (
        "in-place",
        """
def f(x: Tensor, n: int):
    a = x * 1
    b = x * 2
    while n > 0:
        a, b = b, a
        a.add_(1)
        n -= 1
    return a, b
""",
    ),
    "either of two, at once": (
        "in-place",
        """
def f(x: Tensor, flag: bool):
    a = x * 1
    b = x * 2
    (a if flag else b).add_(1)
    return a, b
""",
    ),
    "view from an inner function": (
        "in-place",
        """
def f(x: Tensor):
    y = x * 1

    def row(j: int):
        return y[j]
    r = row(0)
    r.add_(1)
    return y
""",
    ),
    "value of a dict by get": (
        "in-place",
        """
def f(x: Tensor):
    state = dict(h=x * 1)
    h = state.get("h")
    h.mul_(3)
    return state["h"]
""",
    ),
    "argument by keyword": (
        "in-place",
        """
def g(a: Tensor, out: Tensor):
    out.copy_(a)


def f(x: Tensor):
    y = torch.zeros(4, 4)
    g(x, out=y)
    return y
""",
    ),
    "views that a generator yields": (
        "in-place",
        """
def rows(y: Tensor):
    for j in range(4):
        yield y[j]


def f(x: Tensor):
    y = x * 1
    for r in rows(y):
        r.add_(1)
    return y
""",
    ),
    "sum under no_grad, started outside": (
        "in-place",
        """
def f(x: Tensor, n: int):
    total = torch.zeros(4)
    with torch.no_grad():
        for j in range(n):
            total += x[j]
    return total * x
""",
    ),
    "halves, both changed": (
        "in-place",
        """
def f(x: Tensor):
    y = x.clone()
    a, b = y.split(2, dim=1)
    a += 1
    b *= 2
    return a, b
""",
    ),
    "attribute changed by another method": (
        "in-place",
        """
class Box:
    def __init__(self, v: Tensor):
        self.v = v * 1

    def step(self):
        self.v.add_(1)

    def run(self):
        row = self.v[0]
        whole = self.v
        self.step()
        return row, whole


def f(x: Tensor):
    return Box(x).run()
""",
    ),
    "tensor of a cache": (
        "in-place",
        """
cache = {}


def get(x: Tensor):
    if "k" not in cache:
        cache["k"] = torch.zeros(4)
    return cache["k"]


def f(x: Tensor):
    c = get(x)
    c.add_(1)
    return get(x) + x
""",
    ),
}
"""Ports that would be wrong, or may be, with the code of the finding that says so."""

NO_GRADIENT = frozenset(
    (
        # torch's own gradient counts an index that repeats twice.
        "augmented by a list that repeats",
        "augmented by an index that repeats",
        "augmented integers",
        "augmented element, other operators",
        "augmented masks",
        "comparison in place keeps the dtype",
        "copy_ keeps the dtype",
        "float into integers",
        "integers into floats",
        "out of a function",
        "out into a row",
        "out that is one of the arguments",
        "two names at once",
        "topk picked",
    )
)
"""Rows through which torch has no gradient."""


def inputs_of(function: Callable[..., object]) -> list[Any]:
    names = [name for name in inspect.signature(function).parameters if name != "rngs"]
    return [INPUTS[name] for name in names]


def run(name: str, text: str) -> Callable[..., Any]:
    """The function `f` that a source text defines."""
    namespace: dict[str, Any] = {"__name__": name}
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), namespace)
    return namespace["f"]


def leaves(value: object) -> Iterator[np.ndarray]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, torch.Tensor):
        yield value.detach().numpy()
    elif isinstance(value, nnx.Variable):
        yield np.asarray(value[...])
    elif isinstance(value, mx.array):
        yield MLX.numpy(value)
    else:
        yield np.asarray(value)


def as_torch(value: object, *, grad: bool = False) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.from_numpy(value.copy())
    return tensor.requires_grad_() if grad and tensor.is_floating_point() else tensor


def as_array(value: object, target: str) -> Any:
    return FRAMEWORKS[target].of_numpy(value) if isinstance(value, np.ndarray) else value


def is_float(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float32


def torch_gradients(function: Callable[..., Any], values: list[Any]) -> list[np.ndarray]:
    given = [as_torch(value, grad=True) for value in values]
    # What is changed in place may not be a leaf of the graph.
    result = function(
        *[v * 1 if isinstance(v, torch.Tensor) and v.requires_grad else v for v in given]
    )
    flat = result if isinstance(result, tuple | list) else [result]
    total = sum(
        (r * torch.arange(1.0, r.numel() + 1).view(r.shape)).sum() for r in flat if r.requires_grad
    )
    total.backward()
    return [
        (torch.zeros_like(v) if v.grad is None else v.grad).numpy()
        for v in given
        if isinstance(v, torch.Tensor) and v.requires_grad
    ]


def port_gradients(
    function: Callable[..., Any], values: list[Any], target: str
) -> list[np.ndarray]:
    places = [index for index, value in enumerate(values) if is_float(value)]
    framework = FRAMEWORKS[target]

    def results(floats: Sequence[Any]) -> list[Any]:
        given = [as_array(value, target) for value in values]
        for place, value in zip(places, floats, strict=True):
            # What is changed in place is not what is differentiated by.
            given[place] = value * 1
        result = function(*given)
        flat = result if isinstance(result, tuple | list) else [result]
        arrays = [r[...] if isinstance(r, nnx.Variable) else r for r in flat]
        return [r for r in arrays if framework.name_of(r.dtype) == "float32"]

    floats = [as_array(values[place], target) for place in places]
    weights = [
        framework.of_numpy(np.arange(1.0, r.size + 1, dtype=np.float32).reshape(r.shape))
        for r in results(floats)
    ]
    gradients = framework.vjp(results, floats, weights, jit=False)
    return [framework.numpy(gradient) for gradient in gradients]


# What MLX itself refuses, loudly, where nothing in the source tells that an index is a mask.
REFUSED = {
    (
        "mask of rows",
        "mlx",
    ): "MLX raises for a mask of rows, of which it is not known that it is one"
}


@pytest.mark.parametrize("target", FRAMEWORKS)
@pytest.mark.parametrize("name", EQUAL)
def test_port_computes_the_same(name: str, target: str) -> None:
    if reason := REFUSED.get((name, target)):
        pytest.skip(reason)
    source = _HEADER + EQUAL[name]
    result = translate(source, target)
    shown = f"{result.text}\n{result.findings}"
    loud = [finding for finding in result.findings if finding.severity is not Severity.INFO]
    assert not loud, shown

    original, ported = run(name, source), run(f"{name} (port)", result.text)
    values = inputs_of(original)
    expected = list(leaves(original(*map(as_torch, values))))
    actual = list(leaves(ported(*[as_array(value, target) for value in values])))

    assert len(expected) == len(actual), shown
    for one, other in zip(expected, actual, strict=True):
        kinds = (one.dtype.kind, other.dtype.kind)
        # Positions are unsigned in MLX.
        assert kinds[0] == kinds[1] or (target, *kinds) == ("mlx", "i", "u"), shown
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6, err_msg=shown)

    if name not in NO_GRADIENT:
        original, ported = run(name, source), run(f"{name} (port)", result.text)
        expected = torch_gradients(original, values)
        actual = port_gradients(ported, values, target)
        for one, other in zip(expected, actual, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5, err_msg=shown)


@pytest.mark.parametrize("name", TOLD)
def test_port_says_what_it_cannot_do(name: str) -> None:
    code, source = TOLD[name]
    result = translate(_HEADER + source)

    said = {f.code for f in result.findings if f.severity is not Severity.INFO}
    assert code in said, f"{result.text}\n{result.findings}"
