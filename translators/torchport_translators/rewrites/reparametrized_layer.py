"""`weight_norm(self.layer)` changes the layer; its port gives a new one, which takes its place.

Before:
    from torch import nn
    from torch.nn.utils import weight_norm

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = weight_norm(nn.Linear(3, 4), dim=None)
            self.act = nn.ReLU()
            self.layers = nn.ModuleList([nn.Linear(4, 4)])
            weight_norm(self.layers[0])

        def forward(self, x):
            return self.layers[0](self.act(self.first(x)))
After (jax):
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs):
            self.first = WeightNorm(Linear(3, 4, rngs=rngs), dim=None)
            self.act = nnx.relu
            self.layers = nnx.List([Linear(4, 4, rngs=rngs)])
            self.layers[0] = WeightNorm(self.layers[0])

        def __call__(self, x):
            return self.layers[0](self.act(self.first(x)))
After (mlx):
    import mlx.nn as nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = WeightNorm(nn.Linear(3, 4), dim=None)
            self.act = nn.ReLU()
            self.layers = [nn.Linear(4, 4)]
            self.layers[0] = WeightNorm(self.layers[0])

        def __call__(self, x):
            return self.layers[0](self.act(self.first(x)))
Why:
    torch hooks into the layer; a module of the target computes what it needs when it is called.
When not:
    The layer is an argument of the function: who calls it has to put the new layer in its place.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import statement
from torchport_translators.source.syntax import Node

_APIS = frozenset(
    f"torch.nn.utils.{name}"
    for name in (
        "weight_norm",
        "spectral_norm",
        "parametrizations.weight_norm",
        "parametrizations.spectral_norm",
    )
)


@statement("expression_statement")
def reparametrized(rw: Rewriter, node: Node) -> bool:
    call = node.children[0]
    api = rw.called_api(call)
    if api not in _APIS:
        return False
    positional, keywords = rw.arguments(call)
    layer = positional[0] if positional else keywords.get("module")
    if layer is None:
        return False
    if layer.type not in ("attribute", "subscript") and rw.source[layer] in {
        parameter.name for parameter in rw.function.parameters
    }:
        rw.unported(
            call,
            f"{api} changes the caller's layer: return the new one, and put it in its place there",
            "unsupported-argument",
            api,
        )
        return True
    place = rw.expr(layer).within(Binding.TEST)
    rw.replace(node, f"{place} = {rw.expr(call).within(Binding.TEST)}")
    return True
