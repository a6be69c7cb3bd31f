"""What a Sequential holds: flax and MLX keep it in `layers`.

Before:
    from torch import nn

    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())

        def forward(self, x):
            head = self.net[:2]
            x = self.net[0](x)
            for layer in self.net:
                x = layer(x)
            return head(x) * len(self.net)
After (jax):
    from flax import nnx

    class Features(nnx.Module):
        def __init__(self):
            self.net = nnx.Sequential(nnx.relu, nnx.tanh, nnx.sigmoid)

        def __call__(self, x):
            head = nnx.Sequential(*self.net.layers[:2])
            x = self.net.layers[0](x)
            for layer in self.net.layers:
                x = layer(x)
            return head(x) * len(self.net.layers)
After (mlx):
    import mlx.nn as nn

    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())

        def __call__(self, x):
            head = nn.Sequential(*self.net.layers[:2])
            x = self.net.layers[0](x)
            for layer in self.net.layers:
                x = layer(x)
            return head(x) * len(self.net.layers)
Why:
    `nnx.Sequential` and MLX's `nn.Sequential` have no index, length or iteration of its own.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node

_DICT_METHODS = frozenset(dir(dict))
_ITERATING = frozenset(("len", "enumerate", "list", "tuple", "iter", "reversed", "zip"))


def _is_sequential(kind: k.Kind | None) -> bool:
    return isinstance(kind, k.Instance) and kind.api == "torch.nn.Sequential"


@expression("subscript")
def layer(rw: Rewriter, node: Node) -> Code | None:
    if not _is_sequential(node["value"].kind):
        return None
    owner = rw.expr(node["value"]).within(Binding.ATOM)
    opening = rw.source.text.index("[", node["value"].end)
    index = rw.source.text[opening : node.end]
    if any(child.type == "slice" for child in node.children):
        sequential = rw.imports.add_root(rw.idioms.sequential)
        return Code(f"{sequential}(*{owner}.layers{index})")
    return Code(f"{owner}.layers{index}")


@expression("attribute", target="mlx")
def named(rw: Rewriter, node: Node) -> Code | None:
    """A layer of a ModuleDict by attribute: MLX keeps the layers in a plain dict."""
    kind, name = node["object"].kind, rw.source[node["attribute"]]
    if not isinstance(kind, k.Instance) or kind.api != "torch.nn.ModuleDict":
        return None
    if name in _DICT_METHODS:
        return None
    return Code(f'{rw.expr(node["object"]).within(Binding.ATOM)}["{name}"]')


@expression("identifier", "attribute")
def iterated(rw: Rewriter, node: Node) -> Code | None:
    """A Sequential that is looped over or measured."""
    parent = node.parent
    if parent is None or not _is_sequential(node.kind):
        return None
    looped = node.field == "right" and parent.type in ("for_statement", "for_in_clause")
    call = parent.parent
    measured = (
        parent.type == "argument_list"
        and call is not None
        and call.type == "call"
        and rw.source[call["function"]] in _ITERATING
    )
    if looped or measured or parent.type == "list_splat":
        return Code(f"{rw.source[node]}.layers")
    return None
