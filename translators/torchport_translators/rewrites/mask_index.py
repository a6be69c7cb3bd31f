"""Masks as indices: MLX does not read by them, nor differentiate what is assigned by them.

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
        x[...] = put(x, ~mask, 0)
        return select(x, mask)
Why:
    How many elements a mask selects is known only once it is evaluated, and MLX's graphs have known
    shapes.
When not:
    The index is not known to be a mask, or stands beside others.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Code
from torchport_translators.catalogue.expressions import Hole
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node


@expression("subscript", target="mlx")
def mask_index(rw: Rewriter, node: Node) -> Code | None:
    if not is_mask(rw, node) or _is_assigned(node):
        return None
    indices = [child for child in node.children if child.field == "subscript"]
    rw.find(
        "not-under-jit",
        "a mask as an index needs values, which are not known in a compiled function",
        node,
    )
    return rw.inliner.call(
        "torch.Tensor.__getitem__", [rw.hole(node["value"]), rw.hole(indices[0])], {}
    ).code()


def is_mask(rw: Rewriter, node: Node) -> bool:
    """Whether a tensor is indexed with a mask alone, as far as its kind or its name tells."""
    indices = [child for child in node.children if child.field == "subscript"]
    if node.type != "subscript" or len(indices) != 1 or not k.is_tensor(node["value"].kind):
        return False
    kind = indices[0].kind
    name = rw.source[indices[0]].rpartition(".")[2]
    named = name.isidentifier() and name.lower().endswith("mask")
    return isinstance(kind, k.Tensor) and (kind.boolean or named)


def store_masked(rw: Rewriter, place: Node, value: Code) -> Code:
    """What a tensor is once the elements that a mask selects have a value.

    MLX does not differentiate an assignment by a mask that depends on what is differentiated.
    """
    mask = next(child for child in place.children if child.field == "subscript")
    owner = rw.hole(place["value"])
    return rw.inliner.call(
        "torch.Tensor.__setitem__", [owner, rw.hole(mask), Hole(value, k.UNKNOWN)], {}
    ).code()


def _is_assigned(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.type == "assignment" and node.field == "left"
