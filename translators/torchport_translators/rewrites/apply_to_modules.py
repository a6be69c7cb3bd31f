"""`module.apply(function)`: a loop over the modules inside.

Before:
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 3)
            self.apply(self._init_weights)

        def _init_weights(self, module):
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
After (jax):
    import jax.numpy as jnp
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs):
            self.fc = Linear(2, 3, rngs=rngs)
            for _, module in nnx.iter_modules(self):
                self._init_weights(module)

        def _init_weights(self, module):
            if isinstance(module, Linear):
                module.bias[...] = jnp.zeros_like(module.bias)
After (mlx):
    import mlx.core as mx
    import mlx.nn as nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 3)
            for module in self.modules():
                self._init_weights(module)

        def _init_weights(self, module):
            if isinstance(module, nn.Linear):
                module.bias = mx.zeros_like(module.bias)
Why:
    flax modules have no `apply`, and MLX's is another: `nnx.iter_modules` and `modules()` visit the
    module and all inside it.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.function_header import takes_rngs
from torchport_translators.rewrites.registry import statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node


@statement("expression_statement")
def apply_statement(rw: Rewriter, node: Node) -> bool:
    call = node.children[0]
    if call.type != "call" or not isinstance(call["function"].kind, k.Method):
        return False
    method = call["function"].kind
    if method.name != "apply" or not isinstance(method.receiver, k.Instance):
        return False
    positional, _ = rw.arguments(call)
    if len(positional) != 1:
        return False
    owner = rw.expr(call["function"]["object"]).within(Binding.ATOM)
    function = rw.expr(positional[0]).within(Binding.ATOM)
    rngs = ""
    kind = positional[0].kind
    if isinstance(kind, k.FunctionRef) and takes_rngs(kind.function):
        rngs = f", rngs={rw.rngs()}"
    module = rw.fresh("module")
    indent = rw.indent(node)
    if rw.idioms.variables:
        loop = f"for _, {module} in {rw.imports.add_root('nnx.iter_modules')}({owner}):"
    else:
        loop = f"for {module} in {owner}.modules():"
    rw.replace(node, f"{loop}\n{indent}    {function}({module}{rngs})")
    return True
