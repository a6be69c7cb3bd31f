"""Automatic mixed precision: `autocast` and the scaling of gradients fall away, and the port says so.

Before:
    import torch
    from torch import nn

    def train_step(model: nn.Module, optimizer, x, y, scaler):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            loss = nn.functional.mse_loss(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    def main(model, batches):
        scaler = torch.amp.GradScaler("cuda")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for x, y in batches:
            train_step(model, optimizer, x, y, scaler)
After (jax):
    import jax.numpy as jnp
    import optax
    from flax import nnx

    def train_step(model: nnx.Module, optimizer, x, y, scaler):
        def loss_fn(model):
            return jnp.mean(jnp.square(model(x) - y))

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss

    def main(model, batches):
        scaler = None
        optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
        for x, y in batches:
            train_step(model, optimizer, x, y, scaler)
After (mlx):
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim

    def train_step(model: nn.Module, optimizer, x, y, scaler):
        def loss_fn(model):
            return mx.mean(mx.square(model(x) - y))

        loss, grads = nn.value_and_grad(model, loss_fn)(model)
        optimizer.update(model, grads)
        mx.eval(model.parameters(), optimizer.state)
        return loss

    def main(model, batches):
        scaler = None
        optimizer = optim.SGD(learning_rate=0.1)
        for x, y in batches:
            train_step(model, optimizer, x, y, scaler)
Why:
    The target computes in the dtype that parameters and inputs have. Gradients are scaled in torch
    because float16 loses small ones; a target's half precision is bfloat16, which does not.
When not:
    Nothing: it is told as an information where it falls away.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source.syntax import Node
from torchport_translators.source.training import SCALERS

_AUTOCAST = frozenset(
    (
        "torch.autocast",
        "torch.amp.autocast",
        "torch.amp.autocast_mode.autocast",
        "torch.cuda.amp.autocast",
        "torch.cpu.amp.autocast",
    )
)


def is_autocast(rw: Rewriter, node: Node) -> bool:
    """Whether an expression makes a context of mixed precision."""
    return rw.called_api(node) in _AUTOCAST


def tell_precision(rw: Rewriter, node: Node, api: str) -> None:
    rw.count(True)
    rw.find(
        "precision", f"{api} falls away: the port computes in its arrays' own dtypes", node, api
    )


@expression("call")
def context(rw: Rewriter, node: Node) -> Code | None:
    """A context that is kept in a variable: one that does nothing takes its place."""
    api = rw.called_api(node)
    if api is None or not is_autocast(rw, node):
        return None
    tell_precision(rw, node, api)
    return Code(f"{rw.imports.add('contextlib', 'nullcontext', 'nullcontext')}()")


@statement("expression_statement")
def scaler(rw: Rewriter, node: Node) -> bool:
    """`scaler = GradScaler()`."""
    assigned = node.children[0]
    value = assigned.get("right") if assigned.type == "assignment" else None
    api = rw.called_api(value) if value is not None else None
    if value is None or api not in SCALERS:
        return False
    tell_precision(rw, value, api)
    block = node.parent
    name = rw.source[assigned["left"]]
    # Only statements that scale use it, and they fall away, too.
    handed = any(
        rw.source[use] == name
        for use in rw.source.nodes_of(("identifier", "attribute"), rw.source.root)
        if use.parent is not None and use.parent.type in ("argument_list", "keyword_argument")
    )
    if handed or "." in name or block is None or len(block.named()) == 1:
        rw.edits.replace(value.start, value.end, "None")
    else:
        rw.remove(node)
    return True
