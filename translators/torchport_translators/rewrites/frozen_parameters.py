"""Frozen parameters: `requires_grad = False` is kept with the parameter, and training passes over it.

Before:
    import torch
    from torch import nn

    def finetune(model: nn.Module, head: nn.Linear):
        for param in model.parameters():
            param.requires_grad = False
        head.requires_grad_(True)
        return torch.optim.SGD(model.parameters(), lr=0.1)
After (jax):
    import optax
    from flax import nnx

    def finetune(model: nnx.Module, head: Linear):
        for param in (p for _, p in nnx.iter_graph(model) if isinstance(p, nnx.Param)):
            param.set_metadata(requires_grad=False)
        for _, parameter in nnx.iter_graph(head):
            if isinstance(parameter, nnx.Param):
                parameter.set_metadata(requires_grad=True)
        return nnx.Optimizer(model, optax.sgd(0.1), wrt=trainable)
After (mlx):
    import mlx.nn as nn
    import mlx.optimizers as optim

    def finetune(model: nn.Module, head: nn.Linear):
        model.freeze()
        head.unfreeze()
        return optim.SGD(learning_rate=0.1)
Why:
    In torch a parameter without `requires_grad` has no gradient, and its optimizer leaves it as it is. In
    flax what is trained is said by a filter of the optimizer and of the gradient; MLX's modules freeze.
When not:
    It is set for single parameters in MLX, or from one step to the next for an optimizer that has a state
    of all of them.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding
from torchport_translators.emit.imports import ROOTS
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node
from torchport_translators.source.training import is_optimizer, modules_of

_WHY = "only what an optimizer is given is trained"
_WITHOUT_BUFFERS = frozenset(
    f"torch.nn.{name}"
    for name in ("Linear", "Conv1d", "Conv2d", "Conv3d", "Embedding", "LayerNorm")
)


def freezes(rw: Rewriter) -> bool:
    """Whether the source freezes parameters somewhere."""
    for node in rw.source.nodes("attribute"):
        if rw.source[node["attribute"]] not in ("requires_grad", "requires_grad_"):
            continue
        owner = node["object"].kind
        if not (isinstance(owner, k.Instance) or (isinstance(owner, k.Tensor) and owner.variable)):
            continue
        value = _value_of(rw, node)
        if value is not None and value.type != "true" and _is_trained(rw, node["object"]):
            return True
    return False


def _is_trained(rw: Rewriter, owner: Node) -> bool:
    """Whether an optimizer of the file may be given what is frozen: a teacher's weights never are."""
    text = rw.source[owner]
    loop = next((o for o in owner.ancestors() if o.type == "for_statement"), None)
    if loop is not None and rw.source[loop["left"]] == text:
        call = loop["right"]
        if call.type != "call" or call["function"].type != "attribute":
            return True
        text = rw.source[call["function"]["object"]]
    function = rw.inference.function_at(owner)
    given = any(p.name == text.partition(".")[0] for p in function.parameters)
    if given and ("." not in text or function.cls is None):
        return True
    for call in rw.source.nodes("call"):
        if not is_optimizer(rw.called_api(call) or ""):
            continue
        positional, keywords = rw.arguments(call)
        params = positional[0] if positional else keywords.get("params")
        modules = modules_of(rw.inference, params) if params is not None else None
        if modules is None:
            return True
        for module in modules:
            # `self.model = model` is the same module by another name.
            one, other = module.removeprefix("self."), text.removeprefix("self.")
            if f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}."):
                return True
    return False


def filter_of(rw: Rewriter) -> str:
    """The filter of parameters that are trained."""
    if not freezes(rw):
        return rw.imports.add_root("nnx.Param")
    module = rw.catalogue.module("training")
    assert module is not None
    return rw.helper(module.definitions["trainable"])


def _value_of(rw: Rewriter, node: Node) -> Node | None:
    """What `x.requires_grad` is set to, where it is set: by an assignment, or by a call."""
    parent = node.parent
    if parent is not None and parent.type == "assignment" and node.field == "left":
        return parent.get("right")
    if parent is not None and parent.type == "call" and node.field == "function":
        positional, keywords = rw.arguments(parent)
        return positional[0] if positional else keywords.get("requires_grad")
    return None


def _set(rw: Rewriter, node: Node) -> tuple[Node, str] | None:
    """The owner of the `requires_grad` that a statement sets, and the value, as text."""
    inner = node.children[0] if node.children else node
    if inner.type == "assignment" and inner["left"].type == "attribute":
        place, name = inner["left"], "requires_grad"
    elif inner.type == "call" and inner["function"].type == "attribute":
        place, name = inner["function"], "requires_grad_"
    else:
        return None
    if rw.source[place["attribute"]] != name:
        return None
    value = _value_of(rw, place)
    if value is None and (name == "requires_grad" or rw.arguments(inner)[1]):
        return None
    return place["object"], "True" if value is None else rw.expr(value).within(Binding.TEST)


@statement("expression_statement")
def frozen(rw: Rewriter, node: Node) -> bool:
    """`model.requires_grad_(False)`, `model.fc.weight.requires_grad = False`."""
    found = _set(rw, node)
    if found is None:
        return False
    owner, value = found
    module = isinstance(owner.kind, k.Instance)
    if not module and not (isinstance(owner.kind, k.Tensor) and owner.kind.variable):
        return False
    text = rw.expr(owner).within(Binding.ATOM)
    if not freezes(rw) or not _is_trained(rw, owner):
        rw.count(True)
        rw.find("setting", f"{rw.source[node]} falls away: {_WHY}", node)
        _leave_out(rw, node)
        return True
    if not module and not rw.idioms.variables:
        rw.unported(node.children[0], "MLX freezes modules, not single arrays", "training-step")
        return True
    if not module and not rw.is_variable(owner):
        return False
    rw.count(True)
    if not module:
        rw.replace(node, f"{text}.set_metadata(requires_grad={value})")
    elif rw.idioms.variables:
        rw.imports.needed.add(ROOTS["nnx"])
        indent = rw.indent(node)
        lines = (
            f"for _, parameter in nnx.iter_graph({text}):",
            "    if isinstance(parameter, nnx.Param):",
            f"        parameter.set_metadata(requires_grad={value})",
        )
        rw.replace(node, f"\n{indent}".join(lines))
    else:
        _freeze(rw, node, owner, value)
    return True


@statement("for_statement")
def all_frozen(rw: Rewriter, node: Node) -> bool:
    """`for p in model.parameters(): p.requires_grad = False`."""
    call, body = node["right"], node["body"].named()
    if call.type != "call" or call["function"].type != "attribute" or len(body) != 1:
        return False
    if rw.source[call["function"]["attribute"]] != "parameters" or call["arguments"].named():
        return False
    found = _set(rw, body[0])
    if found is None or rw.source[found[0]] != rw.source[node["left"]]:
        return False
    if not freezes(rw) or not _is_trained(rw, found[0]):
        rw.count(True)
        rw.find("setting", f"requires_grad falls away: {_WHY}", node)
        _leave_out(rw, node)
        return True
    if rw.idioms.variables:
        return False
    rw.count(True)
    _freeze(rw, node, call["function"]["object"], found[1])
    return True


def _freeze(rw: Rewriter, node: Node, module: Node, value: str) -> None:
    owner = rw.expr(module).within(Binding.ATOM)
    if value == "False":
        rw.replace(node, f"{owner}.freeze()")
        return
    api = module.kind.api if isinstance(module.kind, k.Instance) else None
    if api not in _WITHOUT_BUFFERS:
        rw.find(
            "not-trained",
            "unfreeze() also frees running statistics and other buffers of the modules inside",
            node,
        )
    if value == "True":
        rw.replace(node, f"{owner}.unfreeze()")
    else:
        rw.replace(node, f"({owner}.unfreeze if {value} else {owner}.freeze)()")


def _leave_out(rw: Rewriter, node: Node) -> None:
    if node.parent is not None and len(node.parent.named()) > 1:
        rw.remove(node)
    else:
        rw.replace(node, "pass")
