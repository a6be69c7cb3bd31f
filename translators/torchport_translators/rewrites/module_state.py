"""Parameters and buffers: what a module holds besides its submodules.

Before:
    import torch
    from torch import nn

    class Scale(nn.Module):
        def __init__(self, n: int):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(n))
            self.register_buffer("mean", torch.zeros(n))
            self.register_buffer("mask", torch.ones(n, n), persistent=False)
            self.register_parameter("bias", None)

        def forward(self, x):
            self.mean = self.mean + 1
            return self.weight * (x - self.mean)
After (jax):
    import jax.numpy as jnp
    from flax import nnx

    class Scale(nnx.Module):
        def __init__(self, n: int):
            self.weight = nnx.Param(jnp.ones((n,)))
            self.mean = nnx.Variable(jnp.zeros((n,)))
            self.mask = jnp.ones((n, n))
            self.bias = None

        def __call__(self, x):
            self.mean[...] = self.mean + 1
            return self.weight * (x - self.mean)
After (mlx):
    import mlx.core as mx
    import mlx.nn as nn

    class Scale(nn.Module):
        def __init__(self, n: int):
            super().__init__()
            self.weight = mx.ones((n,))
            self.mean = mx.zeros((n,))
            self.mask = mx.ones((n, n))
            self.bias = None
            self.freeze(keys=["mean", "mask"], recurse=False)

        def __call__(self, x):
            self.mean = self.mean + 1
            return self.weight * (x - self.mean)
Why:
    An `nnx.Param` is what optimizers train; an `nnx.Variable` is state that is saved with the module
    but not trained, which is what a buffer is. A buffer that is not saved is a plain array. In MLX
    every array of a module is trained that is not frozen.
When not:
    The name is not a literal string.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.emit.imports import ROOTS
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.no_grad import stop, stoppable
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node


@statement("expression_statement")
def register(rw: Rewriter, node: Node) -> bool:
    call = node.children[0]
    if call.type != "call" or not isinstance(call["function"].kind, k.Method):
        return False
    method = call["function"].kind
    if method.name not in ("register_buffer", "register_parameter", "add_module"):
        return False
    if not isinstance(method.receiver, k.Instance):
        return False
    positional, keywords = rw.arguments(call)
    given = dict(zip(("name", "tensor", "persistent"), positional, strict=False)) | keywords
    value_node = given.get("tensor") or given.get("param") or given.get("module")
    literal = rw.literal(given["name"]) if "name" in given else None
    if literal is None or not isinstance(literal[0], str) or value_node is None:
        return False
    owner = rw.expr(call["function"]["object"]).within(Binding.ATOM)
    value = rw.expr(value_node).within(Binding.TEST)
    persistent = given.get("persistent")
    saved = persistent is None or rw.source[persistent] != "False"
    buffer = method.name == "register_buffer" and rw.idioms.variables
    if buffer and saved and value != "None":
        rw.imports.needed.add(ROOTS["nnx"])
        nullable = rw.nullable(value_node)
        value = f"nnx.Variable({value})"
        if nullable:
            value = f"None if {rw.expr(value_node).within(Binding.OR)} is None else {value}"
    rw.replace(node, f"{owner}.{literal[0]} = {value}")
    return True


@statement("expression_statement", target="jax")
def value_of_buffer(rw: Rewriter, node: Node) -> bool:
    """A tensor assigned to a buffer's name is the buffer's new value."""
    assignment = node.children[0]
    if assignment.type != "assignment" or assignment.get("right") is None:
        return False
    left, right = assignment["left"], assignment["right"]
    if left.type == "identifier" and right.type == "attribute" and rw.is_variable(right):
        return _old_value(rw, right)
    if left.type != "attribute" or not rw.is_variable(left) or right.type == "assignment":
        return False
    if not isinstance(right.kind, k.Tensor) or right.kind.variable:
        return False
    rw.edits.replace(left.start, left.end, f"{rw.expr(left).text}[...]")
    if rw.stopping is not None and stoppable(rw, right):
        rw.edits.replace(right.start, right.end, stop(rw, right))
    else:
        rw.write(right)
    return True


def _old_value(rw: Rewriter, buffer: Node) -> bool:
    """A name that keeps a buffer's value, where the function then gives the buffer another one."""
    text = rw.source[buffer]
    for inner in rw.source.nodes("assignment", rw.function.node):
        if rw.source[inner["left"]] == text:
            rw.edits.replace(buffer.start, buffer.end, f"{rw.expr(buffer).text}[...]")
            return True
    return False


@expression("call", target="jax")
def copied(rw: Rewriter, node: Node) -> Code | None:
    """A copy of a variable is its value, which stays as it is when the variable changes."""
    if rw.called_api(node) != "torch.Tensor.clone":
        return None
    receiver = node["function"]["object"]
    if not rw.is_variable(receiver):
        return None
    rw.count(True)
    return Code(f"{rw.expr(receiver).text}[...]")


@expression("attribute", target="jax")
def returned(rw: Rewriter, node: Node) -> Code | None:
    """A method that returns a buffer or parameter gives its value at that time."""
    parent = node.parent
    if parent is not None and parent.type == "expression_list":
        parent = parent.parent
    if parent is None or parent.type != "return_statement" or rw.stopping is not None:
        return None
    if not rw.is_variable(node) or not isinstance(node["object"].kind, k.Instance):
        return None
    return Code(f"{rw.source[node]}[...]")
