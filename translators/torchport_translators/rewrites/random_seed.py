"""`torch.manual_seed`: the seed makes the random state that the code after it draws from.

Before:
    import torch

    torch.manual_seed(0)
    x = torch.randn(3)
After (jax):
    import jax
    from flax import nnx

    rngs = nnx.Rngs(0)
    x = jax.random.normal(rngs(), (3,))
After (mlx):
    import mlx.core as mx

    mx.random.seed(0)
    x = mx.random.normal((3,))
Why:
    JAX has no global random state to seed; MLX has one.
"""

from __future__ import annotations

from collections.abc import Callable

from torchport_translators.emit.imports import Imports
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import statement
from torchport_translators.source.syntax import Node

_OTHER_SEEDS = frozenset(("torch.cuda.manual_seed", "torch.cuda.manual_seed_all"))


@statement("expression_statement")
def manual_seed(rw: Rewriter, node: Node) -> bool:
    call = node.children[0]
    api = rw.called_api(call)
    if api in _OTHER_SEEDS:
        rw.count(True)
        rw.remove(node)
        return True
    if api not in ("torch.manual_seed", "torch.random.manual_seed"):
        return False
    positional, keywords = rw.arguments(call)
    seed = positional[0] if positional else keywords.get("seed")
    if seed is None:
        return False
    rw.count(True)
    rw.replace(node, _SEEDED[rw.catalogue.target](rw.imports, rw.expr(seed).text))
    return True


_SEEDED: dict[str, Callable[[Imports, str], str]] = {
    "jax": lambda imports, seed: f"rngs = {imports.add_root('nnx.Rngs')}({seed})",
    "mlx": lambda imports, seed: f"{imports.add_root('mx.random.seed')}({seed})",
}
