"""Optimizers: what they are given is a module, and a learning rate that changes is a hyperparameter.

Before:
    import torch
    from torch import nn

    def optimizers(model: nn.Module, head: nn.Module):
        first = torch.optim.Adam(model.parameters(), lr=1e-3)
        return first, torch.optim.SGD([p for p in head.parameters() if p.requires_grad], lr=0.1)
After (jax):
    import optax
    from flax import nnx

    def optimizers(model: nnx.Module, head: nnx.Module):
        first = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
        return first, nnx.Optimizer(head, optax.sgd(0.1), wrt=nnx.Param)
After (mlx):
    import mlx.nn as nn
    import mlx.optimizers as optim

    def optimizers(model: nn.Module, head: nn.Module):
        first = optim.Adam(learning_rate=1e-3, bias_correction=True)
        return first, optim.SGD(learning_rate=0.1)
Why:
    torch's optimizers hold the parameters that they change; those of the targets are given the module
    and its gradients at each step.
When not:
    The parameters are not those of modules (plain tensors), or it is not known of which modules.
"""

from __future__ import annotations

import ast

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.catalogue.expressions import Hole
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.frozen_parameters import filter_of, freezes
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node
from torchport_translators.source.training import is_optimizer, modules_of

_SCHEDULERS = "torch.optim.lr_scheduler."
_CYCLING = frozenset((f"{_SCHEDULERS}OneCycleLR", f"{_SCHEDULERS}CyclicLR"))


@expression("call")
def optimizer(rw: Rewriter, node: Node) -> Code | None:
    """A call of an optimizer's class."""
    api = rw.called_api(node)
    if api is None or not is_optimizer(api):
        return None
    positional, keywords = rw.arguments(node)
    params = positional[0] if positional else keywords.get("params")
    if params is None:
        return None
    modules = modules_of(rw.inference, params)
    if modules is None:
        return rw.unported(
            node,
            f"{api}: {rw.source[params]} is not the parameters of modules as they stand; "
            "an optimizer of the target is given a module",
            "unsupported-argument",
            api,
        )
    text = modules[0] if len(modules) == 1 else f"({', '.join(modules)})"
    rw.decided[params] = lambda: Code(text)
    also: dict[str, ast.expr] = {}
    if rw.idioms.variables and _is_scheduled(rw, node):
        also["scheduled"] = ast.Constant(True)
        if any(rw.called_api(call) in _CYCLING for call in rw.source.nodes("call")):
            also["cycled"] = ast.Constant(True)
    frozen = rw.idioms.variables and freezes(rw)
    if frozen:
        also["bare"] = ast.Constant(True)
    result = rw.inline(node, also=also)
    if result is None or isinstance(result, Code):
        return result
    code = result.code()
    if not frozen:
        return code
    made = rw.imports.add_root("nnx.Optimizer")
    return Code(f"{made}({text}, {code.within(Binding.TEST)}, wrt={filter_of(rw)})")


def _is_scheduled(rw: Rewriter, node: Node) -> bool:
    """Whether something may change the optimizer's learning rate: a scheduler, or an assignment."""
    changed = _changed(rw)
    if not changed:
        return False
    parent = node.parent
    if parent is None or parent.type != "assignment":
        return True
    name = _last_name(rw.source[parent["left"]])
    made = {
        _last_name(rw.source[call.parent["left"]])
        for call in rw.source.nodes("call")
        if is_optimizer(rw.called_api(call) or "")
        and call.parent is not None
        and call.parent.type == "assignment"
    }
    return name in changed or not changed <= made


def _changed(rw: Rewriter) -> set[str]:
    """The names of optimizers whose learning rate is changed somewhere in the file."""
    found: set[str] = set()
    for call in rw.source.nodes("call"):
        if (rw.called_api(call) or "").startswith(_SCHEDULERS):
            positional, keywords = rw.arguments(call)
            given = positional[0] if positional else keywords.get("optimizer")
            if given is not None:
                found.add(_last_name(rw.source[given]))
    for place in rw.source.nodes("attribute"):
        if rw.source[place["attribute"]] == "param_groups":
            found.add(_last_name(rw.source[place["object"]]))
    return found


def _last_name(text: str) -> str:
    return text.rpartition(".")[2]


# The learning rate


def _groups(rw: Rewriter, node: Node) -> str | None:
    """The optimizer of which an expression is the `param_groups`, as written."""
    if node.type != "attribute" or rw.source[node["attribute"]] != "param_groups":
        return None
    owner = node["object"]
    known = isinstance(owner.kind, k.Instance) and is_optimizer(owner.kind.api or "")
    return rw.expr(owner).within(Binding.ATOM) if known or owner.kind == k.UNKNOWN else None


def _rate(rw: Rewriter, optimizer: str) -> str:
    if rw.idioms.variables:
        return f'{optimizer}.opt_state.hyperparams["learning_rate"]'
    return f"{optimizer}.learning_rate"


def _is_rate(rw: Rewriter, node: Node) -> bool:
    index = node.get("subscript")
    return node.type == "subscript" and index is not None and rw.literal(index) == ("lr",)


@expression("subscript")
def learning_rate(rw: Rewriter, node: Node) -> Code | None:
    """`optimizer.param_groups[0]["lr"]`, read."""
    if not _is_rate(rw, node) or node.field == "left":
        return None
    group = node["value"]
    if group.type != "subscript":
        return None
    optimizer = _groups(rw, group["value"])
    if optimizer is None or rw.literal(group["subscript"]) not in ((0,), (-1,)):
        return None
    rw.count(True)
    if rw.idioms.variables:
        return Code(f"float({_rate(rw, optimizer)}[...])")
    return Code(f"{_rate(rw, optimizer)}.item()")


@expression("attribute")
def groups(rw: Rewriter, node: Node) -> Code | None:
    """`optimizer.param_groups`, for anything else: dicts that set the optimizer's rate."""
    optimizer = _groups(rw, node)
    if optimizer is None:
        return None
    result = rw.inliner.helper("schedulers", "param_groups", [Hole(Code(optimizer))], {})
    rw.count(True)
    return result.code()


@statement("for_statement")
def every_group(rw: Rewriter, node: Node) -> bool:
    """`for group in optimizer.param_groups: group["lr"] = lr`."""
    optimizer = _groups(rw, node["right"])
    body = node["body"].named()
    if optimizer is None or len(body) != 1 or node["left"].type != "identifier":
        return False
    assigned = body[0].children[0] if body[0].children else body[0]
    if assigned.type not in ("assignment", "augmented_assignment"):
        return False
    target, value = assigned["left"], assigned.get("right")
    group = rw.source[node["left"]]
    if value is None or not _is_rate(rw, target) or rw.source[target["value"]] != group:
        return False
    if group in {rw.source[name] for name in rw.source.nodes("identifier", value)}:
        return False
    rw.count(True)
    rw.replace(node, _assigned(rw, optimizer, assigned, value))
    return True


@statement("expression_statement")
def assigned_rate(rw: Rewriter, node: Node) -> bool:
    """`optimizer.param_groups[0]["lr"] = lr`."""
    assigned = node.children[0]
    if assigned.type not in ("assignment", "augmented_assignment"):
        return False
    target, value = assigned["left"], assigned.get("right")
    if value is None or not _is_rate(rw, target) or target["value"].type != "subscript":
        return False
    optimizer = _groups(rw, target["value"]["value"])
    if optimizer is None or rw.literal(target["value"]["subscript"]) not in ((0,), (-1,)):
        return False
    rw.count(True)
    rw.replace(node, _assigned(rw, optimizer, assigned, value))
    return True


def _assigned(rw: Rewriter, optimizer: str, assigned: Node, value: Node) -> str:
    operator = rw.source[assigned["operator"]] if assigned.type != "assignment" else "="
    place = _rate(rw, optimizer)
    if rw.idioms.variables:
        place += "[...]"
    elif operator != "=":
        return f"{place} = {place} {operator[:-1]} {rw.expr(value).within(Binding.ATOM)}"
    return f"{place} {operator} {rw.expr(value).within(Binding.TEST)}"
