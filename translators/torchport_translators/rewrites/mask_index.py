"""Masks as indices: MLX assigns by them, but does not read by them.

Before:
    import torch

    def positive(x: torch.Tensor):
        mask = x > 0
        x[~mask] = 0
        return x[mask]
After (mlx):
    import mlx.core as mx

    def positive(x: mx.array):
        mask = x > 0
        x[~mask] = 0
        return select(x, mask)
Why:
    How many elements a mask selects is known only once it is evaluated, and MLX's graphs have known
    shapes.
When not:
    The index is not known to be a mask, or stands beside others.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node


@expression("subscript", target="mlx")
def mask_index(rw: Rewriter, node: Node) -> Code | None:
    indices = [child for child in node.children if child.field == "subscript"]
    if len(indices) != 1 or not k.is_tensor(node["value"].kind) or _is_assigned(node):
        return None
    mask = indices[0].kind
    if not isinstance(mask, k.Tensor) or not mask.boolean:
        return None
    rw.find(
        "not-under-jit",
        "a mask as an index needs values, which are not known in a compiled function",
        node,
    )
    return rw.inliner.call(
        "torch.Tensor.__getitem__", [rw.hole(node["value"]), rw.hole(indices[0])], {}
    ).code()


def _is_assigned(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.type == "assignment" and node.field == "left"
