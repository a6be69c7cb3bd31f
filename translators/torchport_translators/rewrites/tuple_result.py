"""Tuples that torch returns: taken apart where the source takes them apart.

Before:
    import torch

    def best(x: torch.Tensor):
        top = torch.max(x, dim=1)[0]
        low = x.max(0).values
        _, where = x.max(dim=-1)
        return top, low, where
After (jax):
    import jax
    import jax.numpy as jnp

    def best(x: jax.Array):
        top = jnp.max(x, axis=1)
        low = jnp.max(x, axis=0)
        where = jnp.argmax(x, axis=-1)
        return top, low, where
Why:
    JAX has a function for each of the results; only those that are used are computed.
When not:
    The tuple is kept whole, or a target is more than a name.
"""

from __future__ import annotations

import ast

from torchport_translators.catalogue.code import Binding
from torchport_translators.catalogue.inline import Result
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import statement
from torchport_translators.source.syntax import Node


@statement("expression_statement")
def unpacking(rw: Rewriter, node: Node) -> bool:
    assignment = node.children[0]
    if assignment.type != "assignment" or assignment.get("right") is None:
        return False
    left, right = assignment["left"], assignment["right"]
    if left.type not in ("pattern_list", "tuple_pattern"):
        return False
    if not rw.catalogue.find(rw.called_api(right) or ""):
        return False
    targets = left.named()
    if any(target.type != "identifier" for target in targets):
        return False
    ignored = [rw.source[target] == "_" for target in targets]
    if ignored.count(False) != 1:
        return False
    result = rw.inline(right)
    if not isinstance(result, Result):
        return False
    index = ignored.index(False)
    if not isinstance(result.expression, ast.Tuple) or len(result.expression.elts) != len(targets):
        return False
    code = result.pick(index).code()
    rw.replace(node, f"{rw.source[targets[index]]} = {code.within(Binding.TEST)}")
    return True
