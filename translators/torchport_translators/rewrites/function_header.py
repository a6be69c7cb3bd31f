"""Functions and methods: `forward` is what calling a module runs; random ones take `rngs`.

Before:
    import torch
    from torch import nn

    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu()

    def sample(n: int):
        return torch.rand(n)
After (jax):
    import jax
    from flax import nnx

    class Noise(nnx.Module):
        def __call__(self, x: jax.Array) -> jax.Array:
            return jax.nn.relu(x)

    def sample(n: int, *, rngs: nnx.Rngs):
        return jax.random.uniform(rngs(), (n,))
After (mlx):
    import mlx.core as mx
    import mlx.nn as nn

    class Noise(nn.Module):
        def __call__(self, x: mx.array) -> mx.array:
            return nn.relu(x)

    def sample(n: int):
        return mx.random.uniform(shape=(n,))
Why:
    A call of a module runs `__call__`, and JAX has no global random state: what draws random
    numbers is given the state to draw from.
When not:
    A function that seeds (`torch.manual_seed`) makes its own state and takes none.
"""

from __future__ import annotations

from torchport_translators.emit.imports import ROOTS
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.constructor import add_setup
from torchport_translators.rewrites.registry import statement
from torchport_translators.source.scopes import Function
from torchport_translators.source.syntax import Node


@statement("function_definition")
def function_header(rw: Rewriter, node: Node) -> bool:
    function = rw.inference.functions.get(node)
    if function is None:
        return False
    outer, rw.function = rw.function, function
    name = node["name"]
    if function.cls is not None and function.cls.is_module and function.name == "forward":
        rw.edits.replace(name.start, name.end, "__call__")
    for child in node.children:
        if child.field in ("parameters", "return_type"):
            rw.parts(child)
    if takes_rngs(function):
        add_rngs(rw, function)
    if function.is_constructor:
        add_setup(rw, function)
    body = node.get("body")
    if body is not None:
        rw.block(body)
    rw.function = outer
    return True


def takes_rngs(function: Function) -> bool:
    """Whether a function's port has a parameter `rngs`: methods find it on the module instead."""
    if not function.random or function.seeded:
        return False
    return function.is_constructor or function.cls is None


def add_rngs(rw: Rewriter, function: Function) -> None:
    """Add `*, rngs: nnx.Rngs` to a function's parameters."""
    rw.imports.needed.add(ROOTS["nnx"])
    parameters = function.node["parameters"]
    forms = [parameter.form for parameter in function.parameters]
    separated = "keyword" in forms or "vararg" in forms
    text = "rngs: nnx.Rngs" if separated else "*, rngs: nnx.Rngs"
    named = parameters.named()
    if forms and forms[-1] == "kwarg":
        rw.edits.insert(function.parameters[-1].node.start, f"{text}, ")
        return
    if not named:
        rw.edits.insert(parameters.end - 1, text)
        return
    last = named[-1]
    tail = rw.source.text[last.end : parameters.end - 1]
    if "\n" in tail and tail.lstrip().startswith(","):
        comma = last.end + tail.index(",") + 1
        indent = rw.source.indent(last)
        lines = text.replace("*, ", f"*,\n{indent}")
        rw.edits.insert(comma, f"\n{indent}{lines},")
        return
    rw.edits.insert(last.end, f", {text}")
