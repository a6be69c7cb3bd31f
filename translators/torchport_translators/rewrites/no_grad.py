"""`no_grad`: the target differentiates only what it is asked to; what must not be is stopped.

Before:
    import torch
    from torch import nn

    class Target(nn.Module):
        def forward(self, x, y):
            # the target is a constant
            with torch.no_grad():
                # for the gradient
                goal = torch.exp(y)
            return x - goal

    @torch.no_grad()
    def evaluate(x):
        return torch.exp(x)

    with torch.no_grad():
        print(evaluate(torch.ones(2)))
After (jax):
    import jax
    import jax.numpy as jnp
    from flax import nnx

    class Target(nnx.Module):
        def __call__(self, x, y):
            # the target is a constant
            # for the gradient
            goal = jax.lax.stop_gradient(jnp.exp(y))
            return x - goal

    def evaluate(x):
        return jax.lax.stop_gradient(jnp.exp(x))

    print(evaluate(jnp.ones((2,))))
After (mlx):
    import mlx.core as mx
    import mlx.nn as nn

    class Target(nn.Module):
        def __call__(self, x, y):
            # the target is a constant
            # for the gradient
            goal = mx.stop_gradient(mx.exp(y))
            return x - goal

    def evaluate(x):
        return mx.stop_gradient(mx.exp(x))

    print(evaluate(mx.ones((2,))))
Why:
    Inside a function that may be differentiated, what torch computes without a graph is a constant.
When not:
    At the top level of a file nothing is being differentiated, so nothing is stopped.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding
from torchport_translators.rewriter import Rewriter, Stopping
from torchport_translators.rewrites.mixed_precision import is_autocast, tell_precision
from torchport_translators.rewrites.registry import statement
from torchport_translators.rewrites.settings import is_setting, tell
from torchport_translators.rewrites.training_step import trains
from torchport_translators.source import kinds as k
from torchport_translators.source.sharing import is_label, sharing
from torchport_translators.source.syntax import Node

_NO_GRAD = frozenset(
    (
        "torch.no_grad",
        "torch.inference_mode",
        "torch.autograd.no_grad",
        "torch.autograd.inference_mode",
    )
)
_GRAD = frozenset(("torch.enable_grad", "torch.autograd.enable_grad"))
_SET = frozenset(("torch.set_grad_enabled", "torch.autograd.set_grad_enabled"))
_PLAIN = frozenset(("torch.autograd.profiler.record_function",))


def _stops(rw: Rewriter, node: Node) -> bool | None:
    """Whether gradients stop in a context, flow in it, or (None) it is not known or another one."""
    api = rw.called_api(node) if node.type == "call" else rw.api(node)
    if api in _NO_GRAD or api in _GRAD:
        return api in _NO_GRAD
    if api in _SET and node.type == "call":
        positional, keywords = rw.arguments(node)
        mode = positional[0] if positional else keywords.get("mode")
        value = rw.literal(mode) if mode is not None else None
        return None if value is None else not value[0]
    return None


def _is_plain(rw: Rewriter, node: Node) -> bool:
    """A context that measures or sets how torch runs, and changes nothing."""
    return node.type == "call" and (
        rw.called_api(node) in _PLAIN
        or is_setting(rw, node)
        or is_autocast(rw, node)
        # Where a training step is written out, it says itself what is differentiated.
        or (rw.called_api(node) in _SET and trains(rw, rw.inference.function_at(node)))
    )


def _context(rw: Rewriter, node: Node) -> Node | None:
    """The context of a `with` that falls away in the port."""
    clauses = [child for child in node.children if child.type == "with_clause"]
    items = [item for clause in clauses for item in clause.named()]
    if len(items) != 1:
        return None
    value = items[0]["value"]
    return value if _stops(rw, value) is not None or _is_plain(rw, value) else None


@statement("with_statement")
def with_no_grad(rw: Rewriter, node: Node) -> bool:
    context = _context(rw, node)
    if context is None:
        return False
    api = rw.called_api(context)
    if api is not None and is_setting(rw, context):
        tell(rw, context, api)
    elif api is not None and is_autocast(rw, context):
        tell_precision(rw, context, api)
    else:
        rw.count(True)
    stops = _stops(rw, context)
    body = node["body"]
    _dedent(rw, node, body)
    outer = rw.stopping
    if stops and rw.function is not rw.inference.module:
        rw.stopping = Stopping(_read_after(rw, node), True)
    elif stops is False:
        rw.stopping = None
    extra = _extra(rw, node)
    rw.dedented += extra
    rw.block(body)
    rw.dedented -= extra
    rw.stopping = outer
    return True


@statement("decorated_definition")
def decorated(rw: Rewriter, node: Node) -> bool:
    definition = node.get("definition")
    stops: bool | None = None
    for child in node.children:
        if child.type != "decorator":
            continue
        context = child.children[0]
        if _stops(rw, context) is not None or _is_plain(rw, context):
            rw.count(True)
            stops = _stops(rw, context)
            rw.remove(child)
        else:
            rw.write(child)
    if definition is not None:
        outer = rw.stopping
        if stops is not None:
            rw.stopping = Stopping(frozenset(), True) if stops else None
        rw.statement(definition)
        rw.stopping = outer
    return True


@statement("expression_statement")
def stopped_assignment(rw: Rewriter, node: Node) -> bool:
    """Inside `no_grad`, a tensor that is used after the block is a constant for the gradient."""
    assignment = node.children[0]
    if rw.stopping is None or assignment.type != "assignment":
        return False
    value = assignment.get("right")
    names = {rw.source[inner] for inner in assignment["left"].walk() if inner.type == "identifier"}
    if value is None or (isinstance(value.kind, k.Tensor) and value.kind.variable):
        return False
    if assignment["left"].type != "attribute" and not names & rw.stopping.names:
        return False
    if not stoppable(rw, value):
        return False
    rw.edits.replace(value.start, value.end, stop(rw, value))
    return True


@statement("expression_statement")
def stopped_append(rw: Rewriter, node: Node) -> bool:
    """Inside `no_grad`, so is a tensor that goes into a list that is used after the block."""
    call = node.children[0]
    if rw.stopping is None or call.type != "call" or call["function"].type != "attribute":
        return False
    held = call["function"]["object"]
    if rw.source[held] not in rw.stopping.names or not isinstance(held.kind, k.Sequence):
        return False
    positional, keywords = rw.arguments(call)
    if rw.source[call["function"]["attribute"]] != "append" or len(positional) != 1 or keywords:
        return False
    if not stoppable(rw, positional[0]):
        return False
    rw.edits.replace(positional[0].start, positional[0].end, stop(rw, positional[0]))
    return True


@statement("return_statement")
def stopped_return(rw: Rewriter, node: Node) -> bool:
    if rw.stopping is None or len(node.named()) != 1 or not stoppable(rw, node.named()[0]):
        return False
    value = node.named()[0]
    rw.edits.replace(value.start, value.end, stop(rw, value))
    return True


def stop(rw: Rewriter, value: Node) -> str:
    """The port of a value as a constant for the gradient."""
    if value.type in _DISPLAYS:
        parts = [
            stop(rw, child) if stoppable(rw, child) else rw.expr(child).within(Binding.TEST)
            for child in value.named()
        ]
        text = ", ".join(parts)
        opening, closing = _DISPLAYS[value.type]
        return f"{opening}{text}{closing}"
    function = rw.imports.add_root(rw.idioms.stop_gradient)
    text = rw.value(value).within(Binding.TEST)
    if not rw.idioms.variables and not isinstance(value.kind, k.Tensor):
        # MLX's takes one array; that of a tree goes through it.
        return f"{rw.imports.add('mlx.utils', 'tree_map', 'tree_map')}({function}, {text})"
    if text.startswith((f"{function}(", "lax.stop_gradient(")):
        return text
    return f"{function}({text})"


_DISPLAYS = {"expression_list": ("", ""), "tuple": ("(", ")"), "list": ("[", "]")}


def stoppable(rw: Rewriter, value: Node) -> bool:
    """Whether an expression gives tensors that a gradient could flow through."""
    if value.type in _DISPLAYS and len(value.named()) > 1:
        return any(stoppable(rw, child) for child in value.named())
    if value.type == "identifier" and not _is_made_here(rw, value):
        return False
    match value.kind:
        case k.Tensor():
            return not value.kind.integer and value.type not in ("assignment", "expression_list")
        case k.Sequence(items=None, element=k.Tensor()) | k.Mapping(element=k.Tensor()):
            return value.type in ("list_comprehension", "dictionary", "dictionary_comprehension")
        case k.Sequence(items=tuple() as items) if value.type == "call" and items:
            return all(isinstance(item, k.Tensor) for item in items)
        case _:
            return False


def _is_made_here(rw: Rewriter, name: Node) -> bool:
    """Whether a name got its value under `no_grad`: what came from outside keeps its gradient."""
    start = rw.function.node.start
    for outer in name.ancestors():
        if outer.type == "with_statement" and _context(rw, outer) is not None:
            start = outer.start
    memory = sharing(rw.inference).memory(rw.function)
    return any(
        start <= bind.at.start < name.start for bind in memory.binds.get(rw.source[name], ())
    )


def _read_after(rw: Rewriter, node: Node) -> frozenset[str]:
    """Names that the function reads after a block (or before it, in a loop around both)."""
    loop = next(
        (a for a in node.ancestors() if a.type in ("for_statement", "while_statement")), None
    )
    return frozenset(
        rw.source[inner]
        for inner in rw.source.nodes("identifier", rw.function.node)
        if (
            inner.start >= node.end or (loop is not None and loop.start <= inner.start < node.start)
        )
        and not is_label(inner)
    )


def _dedent(rw: Rewriter, node: Node, body: Node) -> None:
    """Take the `with` line out and move what it holds to its indentation."""
    source = rw.source
    start = source.line_start(node.start)
    first = source.line_start(body.start)
    if first <= node.start:  # the body stands on the same line
        rw.edits.replace(node.start, body.start, "")
        return
    # Comments between the header and the body belong to the body.
    header_end = source.line_start(_first_line_after_header(rw, node))
    rw.edits.replace(start, header_end, "")
    extra = _extra(rw, node)
    # Blocks around this one that fall away take their share of the same lines' indentation.
    before = sum(
        _extra(rw, outer)
        for outer in node.ancestors()
        if outer.type == "with_statement" and _context(rw, outer) is not None
    )
    at = header_end
    inside = [(n.start, n.end) for n in source.nodes("string", body) if "\n" in source[n]]
    while at < body.end and extra > 0:
        line_end = source.text.find("\n", at)
        line_end = len(source.text) if line_end < 0 else line_end
        blank = source.text[at : at + before + extra].strip(" \t")
        if not blank and not any(a < at < b for a, b in inside):
            start = min(at + before, line_end)
            rw.edits.replace(start, min(start + extra, line_end), "")
        at = line_end + 1


def _extra(rw: Rewriter, node: Node) -> int:
    """How much deeper a `with` statement's body stands than the statement."""
    body = node["body"]
    if rw.source.line_start(body.start) <= node.start:
        return 0
    first = body.named()[0] if body.named() else body
    return len(rw.source.indent(first)) - len(rw.source.indent(node))


def _first_line_after_header(rw: Rewriter, node: Node) -> int:
    end = next(child.end for child in node.children if child.type == "with_clause")
    newline = rw.source.text.find("\n", end)
    return newline + 1
