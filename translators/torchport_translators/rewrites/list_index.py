"""Lists as indices: JAX and MLX index with arrays only.

Before:
    import torch

    def pick(x: torch.Tensor):
        order = [1, 0]
        return x[[0, 2]], x[:, [1]], x[order]
After (jax):
    import jax
    import jax.numpy as jnp

    def pick(x: jax.Array):
        order = [1, 0]
        return x[jnp.array([0, 2])], x[:, jnp.array([1])], x[jnp.array(order)]
After (mlx):
    import mlx.core as mx

    def pick(x: mx.array):
        order = [1, 0]
        return x[mx.array([0, 2])], x[:, mx.array([1])], x[mx.array(order)]
Why:
    `jax.Array` refuses a list as an index, as it would be slow in a traced function; `mx.array` does
    not take it either.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node


@expression("list", "list_comprehension", "identifier", "attribute")
def list_index(rw: Rewriter, node: Node) -> Code | None:
    parent = node.parent
    if parent is None or parent.type != "subscript" or node.field != "subscript":
        return None
    if not k.is_tensor(parent["value"].kind):
        return None
    if not isinstance(node.kind, k.Sequence) or node.kind.name != "list":
        return None
    array = rw.imports.add_root(f"{rw.idioms.array}.array")
    return Code(f"{array}({rw.splice(node).text})")
