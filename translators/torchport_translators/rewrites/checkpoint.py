"""Checkpoints: the state of modules and optimizers, saved and loaded.

Before:
    import torch
    from torch import nn

    def save(model: nn.Module, path: str):
        torch.save(model.state_dict(), path)

    def restore(model: nn.Module, path: str):
        model.load_state_dict(torch.load(path, map_location="cpu"))
After (jax):
    from flax import nnx, serialization

    def save(model: nnx.Module, path: str):
        _save(state_dict(model), path)

    def restore(model: nnx.Module, path: str):
        load_state_dict(model, _load(path))
After (mlx):
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    def save(model: nn.Module, path: str):
        _save(dict(tree_flatten(model.parameters())), path)

    def restore(model: nn.Module, path: str):
        load_state_dict(model, _load(path))
Why:
    A state is a flat dict of arrays in torch, and so it is in a port: it can be copied, looked through and
    put into a larger dict. Its names and layouts are the port's own, and so are the files: flax's
    msgpack, or safetensors. `torchport weights` converts a checkpoint of torch.
When not:
    `strict=False`, a prefix, or a module that is saved whole.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Code
from torchport_translators.catalogue.expressions import Hole
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node
from torchport_translators.source.training import is_optimizer

_METHODS = ("state_dict", "load_state_dict")


@expression("call")
def state(rw: Rewriter, node: Node) -> Code | None:
    """`model.state_dict()` and `model.load_state_dict(saved)`, and those of optimizers."""
    callee = node["function"]
    if callee.type != "attribute" or rw.source[callee["attribute"]] not in _METHODS:
        return None
    name, owner = rw.source[callee["attribute"]], callee["object"]
    match owner.kind:
        case k.Instance(api=str() as api) if is_optimizer(api):
            api, prefix = "torch.optim.Optimizer", "" if rw.idioms.variables else "optimizer_"
        case k.Instance(cls=cls, api=api) if (cls is not None and cls.is_module) or (
            cls is None and (api or "").startswith("torch.nn.")
        ):
            api, prefix = "torch.nn.Module", ""
        case _:
            return None
    positional, keywords = rw.arguments(node)
    wanted = int(name == "load_state_dict")
    if keywords.get("strict") is not None and rw.literal(keywords["strict"]) == (True,):
        del keywords["strict"]
    if keywords or len(positional) != wanted:
        what = "with strict=False or a prefix" if wanted else "with arguments"
        message = f"{api}.{name} {what}: put together the dict that fits, and load that"
        return rw.unported(node, message, "unsupported-argument", f"{api}.{name}")
    rw.count(True)
    helper = name.replace("state_dict", f"{prefix}state_dict")
    holes = [Hole(rw.expr(owner)), *(Hole(rw.expr(value)) for value in positional)]
    return rw.inliner.helper("checkpoints", helper, holes, {}).code()


@expression("call")
def loaded(rw: Rewriter, node: Node) -> Code | None:
    """`torch.load(path)`: a rule ports it; the reader is told of what file."""
    if rw.called_api(node) == "torch.load":
        rw.find("own-checkpoint", "the port reads files that a port has saved", node)
    return None


@expression("call")
def whole_module(rw: Rewriter, node: Node) -> Code | None:
    """`torch.save(model, path)`"""
    if rw.called_api(node) != "torch.save":
        return None
    positional, keywords = rw.arguments(node)
    saved = positional[0] if positional else keywords.get("obj")
    if saved is None or not isinstance(saved.kind, k.Instance):
        return None
    message = "torch.save of a whole module pickles it: save its state_dict()"
    return rw.unported(node, message, "unsupported-argument", "torch.save")
