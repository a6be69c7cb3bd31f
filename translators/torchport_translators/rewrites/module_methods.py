"""Methods of modules: moves between devices fall away, `eval()` returns nothing in flax.

Before:
    from torch import nn

    def build(device):
        model = nn.Sequential(nn.ReLU()).to(device).eval()
        model.cuda()
        n = sum(p.numel() for p in model.parameters())
        model.train(False)
        return model.forward
After (jax):
    import jax
    from flax import nnx

    def build(device):
        model = nnx.Sequential(nnx.relu)
        model.eval()
        n = sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param)))
        model.eval()
        return model
After (mlx):
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    def build(device):
        model = nn.Sequential(nn.ReLU()).eval()
        n = sum(p.size for _, p in tree_flatten(model.trainable_parameters()))
        model.train(False)
        return model
Why:
    JAX places arrays itself; a module's parameters are its state of the type `nnx.Param`.
"""

from __future__ import annotations

import re

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.emit.imports import ROOTS
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.frozen_parameters import freezes
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node

_MOVES = frozenset(
    ["to", "cuda", "cpu", "xpu", "ipu", "requires_grad_", "zero_grad", "compile", "share_memory"]
)
_BUFFERED = re.compile(r"BatchNorm|InstanceNorm|register_buffer|Buffer\(")
_CASTS = frozenset(["half", "float", "double", "bfloat16"])
_ITERATORS = {
    "modules": "(module for _, module in nnx.iter_modules({owner}))",
    "children": "(module for _, module in nnx.iter_children({owner}))",
    "parameters": "jax.tree.leaves(nnx.state({owner}, nnx.Param))",
}
_UNPORTED = frozenset(
    [
        "named_parameters",
        "named_modules",
        "named_children",
        "buffers",
        "named_buffers",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "half",
        "double",
        "bfloat16",
        "type",
        "get_parameter",
        "get_submodule",
        "get_buffer",
        "to_empty",
        "apply",
    ]
)


def _method(rw: Rewriter, node: Node) -> str | None:
    """The name of a method of nn.Module that a call calls on a module."""
    if node.type != "call" or node["function"].type != "attribute":
        return None
    match node["function"].kind:
        case k.Method(k.Instance(cls=cls, api=api), name):
            if cls is not None and not cls.is_module:
                return None
            if api is not None and not api.startswith("torch.nn."):
                return None
            return name
        case k.FunctionRef(function=function) if (
            function.cls is not None and function.cls.is_module and function.name == "forward"
        ):
            return "forward"
        case _:
            return None


@statement("expression_statement")
def method_statement(rw: Rewriter, node: Node) -> bool:
    call = node.children[0]
    name = _method(rw, call)
    if name in ("train", "eval") and rw.idioms.variables:
        positional, keywords = rw.arguments(call)
        mode = positional[0] if positional else keywords.get("mode")
        owner = rw.expr(call["function"]["object"]).within(Binding.ATOM)
        if mode is None:
            return False
        value = rw.literal(mode)
        if value is not None:
            rw.replace(node, f"{owner}.{'train' if value[0] else 'eval'}()")
        else:
            condition = rw.expr(mode).within(Binding.OR)
            rw.replace(node, f"{owner}.train() if {condition} else {owner}.eval()")
        return True
    if name in _MOVES and _is_place(call["function"]["object"]):
        rw.remove(node)
        return True
    return False


@expression("call")
def method_call(rw: Rewriter, node: Node) -> Code | None:
    name = _method(rw, node)
    if name is None:
        return None
    callee = node["function"]
    receiver = callee["object"]
    if name == "forward":
        return _forward(rw, node)
    if name in _MOVES:
        return rw.expr(receiver)
    if name in ("train", "eval") and rw.idioms.variables and not _is_statement(node):
        return _mode_in_expression(rw, node, receiver, name)
    if name in _ITERATORS and not rw.idioms.variables:
        return _iterated(rw, node, name)
    if name in _ITERATORS:
        rw.imports.needed.update((ROOTS["nnx"],))
        if name == "parameters":
            rw.imports.needed.add(ROOTS["jax"])
        owner = rw.expr(receiver).within(Binding.ATOM)
        if name == "parameters" and _is_looped(node):
            # A loop may change the parameters, so it is given the variables, not their values.
            return Code(f"(p for _, p in nnx.iter_graph({owner}) if isinstance(p, nnx.Param))")
        return Code(_ITERATORS[name].format(owner=owner))
    if name in _UNPORTED:
        api = f"torch.nn.Module.{name}"
        return rw.unported(node, f"{api} has no rule", "no-rule", api)
    return None


def _iterated(rw: Rewriter, node: Node, name: str) -> Code:
    """What MLX gives of a module: `modules()` is a list, its parameters are a tree."""
    owner = rw.expr(node["function"]["object"]).within(Binding.ATOM)
    if name == "modules":
        return Code(f"{owner}.modules()")
    item = "m" if name == "children" else "p"
    return Code(f"[{item} for _, {item} in {_named(rw, node, name)}]")


def _named(rw: Rewriter, node: Node, name: str) -> str:
    """MLX's pairs of a name and a child or parameter."""
    owner = rw.expr(node["function"]["object"]).within(Binding.ATOM)
    flatten = rw.imports.add("mlx.utils", "tree_flatten", "tree_flatten")
    if name == "children":
        is_leaf = f"is_leaf={rw.imports.add_root('nn.Module')}.is_module"
        return f"{flatten}({owner}.children(), {is_leaf})"
    if freezes(rw):
        # Those that are frozen are parameters, too.
        if _BUFFERED.search(rw.source.text):
            message = "parameters() of MLX also gives running statistics and other buffers"
            rw.find("not-trained", message, node)
        return f"{flatten}({owner}.parameters())"
    return f"{flatten}({owner}.trainable_parameters())"


@expression("for_in_clause", target="mlx")
def comprehended(rw: Rewriter, node: Node) -> Code | None:
    """`for p in model.parameters()` inside a comprehension."""
    name = _method(rw, node["right"])
    if name not in ("children", "parameters") or node["left"].type != "identifier":
        return None
    return Code(f"for _, {rw.source[node['left']]} in {_named(rw, node['right'], name)}")


@statement("for_statement", target="mlx")
def loop_over_named(rw: Rewriter, node: Node) -> bool:
    """`for p in model.parameters():`"""
    name = _method(rw, node["right"])
    if name not in ("children", "parameters") or node["left"].type != "identifier":
        return False
    rw.edits.insert(node["left"].start, "_, ")
    rw.edits.replace(node["right"].start, node["right"].end, _named(rw, node["right"], name))
    rw.block(node["body"])
    return True


@statement("for_statement", target="jax")
def loop_over_modules(rw: Rewriter, node: Node) -> bool:
    """`for m in self.modules()`: flax gives each module with its path."""
    name = _method(rw, node["right"])
    if name not in ("modules", "children") or node["left"].type != "identifier":
        return False
    rw.imports.needed.add(ROOTS["nnx"])
    owner = rw.expr(node["right"]["function"]["object"]).within(Binding.ATOM)
    iterator = "iter_modules" if name == "modules" else "iter_children"
    rw.edits.insert(node["left"].start, "_, ")
    rw.edits.replace(node["right"].start, node["right"].end, f"nnx.{iterator}({owner})")
    rw.block(node["body"])
    return True


@expression("attribute")
def forward_reference(rw: Rewriter, node: Node) -> Code | None:
    """`model.forward`, not called, is the model."""
    kind = node.kind
    if rw.source[node["attribute"]] != "forward" or not isinstance(kind, k.FunctionRef | k.Method):
        return None
    owner = node["object"]
    if isinstance(owner.kind, k.Super):
        return Code(f"{rw.expr(owner).within(Binding.ATOM)}.__call__")
    if isinstance(owner.kind, k.Instance):
        return rw.expr(owner)
    return None


def _forward(rw: Rewriter, node: Node) -> Code | None:
    callee = node["function"]
    owner = rw.expr(callee["object"]).within(Binding.ATOM)
    arguments = rw.splice(node["arguments"]).text
    if isinstance(callee["object"].kind, k.Super | k.ClassRef):
        return Code(f"{owner}.__call__{arguments}")
    return Code(owner + arguments)


def _mode_in_expression(rw: Rewriter, node: Node, receiver: Node, name: str) -> Code | None:
    """`model = Model().eval()`: the name is bound, then the mode set."""
    statement = rw.current.node
    assignment = statement.children[0] if statement.children else None
    if (
        assignment is not None
        and assignment.type == "assignment"
        and assignment.get("right") is node
        and assignment["left"].type in ("identifier", "attribute")
    ):
        rw.after(f"{rw.source[assignment['left']]}.{name}()")
        return rw.expr(receiver)
    api = f"torch.nn.Module.{name}"
    return rw.unported(
        node, f"{api} is used for its result, which flax does not give", "no-rule", api
    )


def _is_looped(node: Node) -> bool:
    """Whether a `for` statement goes over an expression, alone or beside others in a `zip`."""
    parent = node.parent
    if parent is not None and parent.type == "argument_list" and parent.parent is not None:
        call = parent.parent
        kind = call["function"].kind
        zipped = isinstance(kind, k.External) and kind.path == "builtins.zip"
        return zipped and _is_looped(call)
    return parent is not None and parent.type == "for_statement" and node.field == "right"


def _is_place(node: Node) -> bool:
    return node.type in ("identifier", "attribute", "subscript")


def _is_statement(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "expression_statement"
