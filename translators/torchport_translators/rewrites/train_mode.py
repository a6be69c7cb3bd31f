"""`self.training`: flax modules hold the opposite, `deterministic`, and `train()`/`eval()` set it.

Before:
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        def __init__(self, gain: float):
            super().__init__()
            self.gain = gain

        def forward(self, x):
            if self.training:
                x = x * self.gain
            return x
After (jax):
    from flax import nnx

    class Block(nnx.Module):
        def __init__(self, gain: float):
            self.deterministic = False
            self.gain = gain

        def __call__(self, x):
            if not self.deterministic:
                x = x * self.gain
            return x
Why:
    `module.train()` and `module.eval()` of flax set the attribute `deterministic` wherever a module
    has it, as they do for `nnx.Dropout`.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node


@expression("attribute", target="jax")
def training(rw: Rewriter, node: Node) -> Code | None:
    owner = node["object"]
    if rw.source[node["attribute"]] != "training" or not isinstance(owner.kind, k.Instance):
        return None
    if owner.kind.cls is not None and not owner.kind.cls.is_module:
        return None
    return Code(f"not {rw.expr(owner).within(Binding.ATOM)}.deterministic", Binding.NOT)
