"""In-place methods and functions: arrays do not change, so the name is bound to a new one.

Before:
    import torch
    from torch import nn

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(3))

        def forward(self, x):
            y = x * 2
            y.mul_(3).add_(1)
            torch.neg_(y)
            y[0].zero_()
            self.count.add_(1)
            return y
After (jax):
    import jax.numpy as jnp
    from flax import nnx

    class Counter(nnx.Module):
        def __init__(self):
            self.count = nnx.Variable(jnp.zeros((3,)))

        def __call__(self, x):
            y = x * 2
            y = y * 3 + 1
            y = -y
            y = y.at[0].set(jnp.zeros_like(y[0]))
            self.count[...] = self.count + 1
            return y
Why:
    `x.add_(y)` is `torch.Tensor.add` with the result stored where `x` was, `torch.neg_(x)` is
    `torch.neg`.
When not:
    The result of an in-place call on a new value (`torch.empty(3).uniform_()`) is just that value.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.catalogue.inline import Result
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.places import place_of, root_of, store
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.rewrites.shared_memory import memory_at, seen_later, settle
from torchport_translators.source import kinds as k
from torchport_translators.source.sharing import (
    called_function,
    is_label,
    method,
    overwritten,
    sharing,
)
from torchport_translators.source.syntax import Node

# In-place comparisons keep the tensor's dtype; what they stand for gives booleans.
_COMPARING = frozenset(
    [
        "gt_",
        "lt_",
        "ge_",
        "le_",
        "eq_",
        "ne_",
        "greater_",
        "less_",
        "greater_equal_",
        "less_equal_",
        "not_equal_",
        "logical_and_",
        "logical_or_",
        "logical_xor_",
        "logical_not_",
    ]
)
# These change what a tensor is for all its names, but nothing in its memory.
_RESHAPING = frozenset(
    [
        "t_",
        "squeeze_",
        "unsqueeze_",
        "transpose_",
        "swapaxes_",
        "resize_",
        "resize_as_",
        "set_",
        "as_strided_",
        "detach_",
    ]
)


@statement("expression_statement")
def in_place(rw: Rewriter, node: Node) -> bool:
    call = node.children[0]
    subject = _changed(rw, call)
    if subject is None:
        return False
    place = place_of(rw, subject)
    if place is None:
        if sharing(rw.inference).roots(subject):
            _refuse(rw, call, subject)
            return True
        return False
    result = _value(rw, call)
    if result is None:
        return False
    if _is_left(rw, call, result):
        return True
    text = stored(rw, place, _cast(rw, call, place, result), node, alike=_reshapes(rw, call))
    write_statements(rw, node, [text, *settle(rw, subject, node, alike=_reshapes(rw, call))])
    return True


def write_statements(rw: Rewriter, node: Node, lines: list[str]) -> None:
    """Put statements in the place of one."""
    separator = f"\n{rw.indent(node)}" if rw.current.hoistable else "; "
    rw.replace(node, separator.join(lines))


@expression("call")
def in_place_value(rw: Rewriter, node: Node) -> Code | None:
    """`y = x.add_(1)`: x changes first, then it is the value."""
    subject = _changed(rw, node)
    if subject is None or _is_chained(rw, node):
        return None
    place = place_of(rw, subject)
    result = _value(rw, node)
    if result is None:
        return None
    if _is_left(rw, node, result):
        return result.code() if isinstance(result, Result) else result
    value = _cast(rw, node, place or subject, result)
    if place is None:
        for line in settle(rw, subject, node, alike=_reshapes(rw, node), rebound=True):
            rw.after(line)
        return value
    if _assigned_name(rw, rw.current.node, node) == rw.source[place]:
        _after(rw, settle(rw, subject, node, alike=_reshapes(rw, node), rebound=True))
        return value
    if not seen_later(rw, subject, node):
        settle(rw, subject, node, alike=_reshapes(rw, node), rebound=True)
        return value
    if not rw.may_hoist():
        rw.find("in-place", f"{rw.source[place]} is changed in place inside an expression", node)
        return value
    _tell_read_before(rw, subject, node)
    rw.before(stored(rw, place, value, node, alike=_reshapes(rw, node)))
    for line in settle(rw, subject, node, alike=_reshapes(rw, node)):
        rw.before(line)
    return rw.expr(place)


def stored(
    rw: Rewriter,
    place: Node,
    value: Code,
    node: Node,
    *,
    alike: bool = False,
    kind: k.Kind | None = k.TENSOR,
) -> str:
    """The statement that puts a new value in a place; inside `no_grad` it may be a constant.

    `alike`: the value has another shape than the place. `kind`: what is known of the value.
    """
    if rw.idioms.variables or not isinstance(kind, k.Scalar):
        value = _constant(rw, place, value, node)
    if rw.idioms.elements_change and not alike and _is_seen_elsewhere(rw, place, node):
        return f"{rw.expr(place).text}[...] = {value.within(Binding.TUPLE)}"
    return store(rw, place, value)


def _is_seen_elsewhere(rw: Rewriter, place: Node, node: Node) -> bool:
    """Whether a caller or another name sees what happens to the array that a name is bound to."""
    key = sharing(rw.inference).key(place) if place.type in ("identifier", "attribute") else None
    if key is None:
        return False
    if place.type == "identifier" and rw.is_variable(place):
        return True
    memory = memory_at(rw, node)
    return memory.is_parameter(key, node) or any(
        memory.live(other, node) for other in memory.partners(key, node)
    )


def _constant(rw: Rewriter, place: Node, value: Code, node: Node) -> Code:
    """The value, made a constant for the gradient where the place is one inside `no_grad`."""
    root = root_of(rw, place)
    function = rw.inference.function_at(node)
    if rw.stopping is None or root is None or function is rw.inference.module:
        return value
    if isinstance(root.kind, k.Tensor) and root.kind.integer:
        return value
    if rw.is_variable(root):
        if not _is_buffer(rw, root):
            return value
    elif root.type == "identifier":
        key = rw.source[root]
        if key not in rw.stopping.names:
            return value
        block = next((a for a in node.ancestors() if a.type == "with_statement"), None)
        if block is not None and not any(
            block.start <= bind.at.start < node.start
            for bind in memory_at(rw, node).binds.get(key, ())
        ):
            rw.find(
                "in-place",
                f"{key} is changed in place under no_grad: in torch gradients pass through it as if "
                "it were not, in the port they see the change",
                node,
            )
            return value
    function = rw.imports.add_root(rw.idioms.stop_gradient)
    return Code(f"{function}({value.within(Binding.TEST)})")


def _is_buffer(rw: Rewriter, place: Node) -> bool:
    """Whether an attribute is a buffer, which gradients can flow into, and not a parameter."""
    owner = place["object"].kind if place.type == "attribute" else None
    if not isinstance(owner, k.Instance) or owner.cls is None:
        return False
    name = rw.source[place["attribute"]]
    for cls in owner.cls.lineage():
        for inner in rw.source.nodes("call", cls.node):
            if method(inner) == "register_buffer":
                first = rw.arguments(inner)[0][:1]
                if first and rw.literal(first[0]) == (name,):
                    return True
    return False


def _after(rw: Rewriter, lines: list[str]) -> None:
    if rw.current.hoistable:
        for line in lines:
            rw.after(line)
    elif lines:
        rw.edits.insert(rw.current.node.end, "".join(f"; {line}" for line in lines))


def _value(rw: Rewriter, call: Node) -> Result | Code | None:
    """What an in-place call computes."""
    if isinstance(call["function"].kind, k.Instance):
        return rw.splice(call)
    out = rw.arguments(call)[1].get("out")
    if out is None:
        return rw.inline(call)
    return rw.inline(call, without=frozenset(("out",)))


def _reshapes(rw: Rewriter, call: Node) -> bool:
    return _name(rw, call) in _RESHAPING


def _name(rw: Rewriter, call: Node) -> str:
    return (method(call) or rw.called_api(call) or "").rpartition(".")[2]


def _is_left(rw: Rewriter, call: Node, result: Result | Code) -> bool:
    """Whether the call could not be ported, and stays as it was."""
    unported = isinstance(result, Code) and result.text == rw.source[call]
    return unported and not isinstance(call["function"].kind, k.Instance)


def _cast(rw: Rewriter, call: Node, place: Node, result: Result | Code) -> Code:
    """The value in the dtype that the place keeps."""
    code = result if isinstance(result, Code) else result.code()
    if _name(rw, call) not in _COMPARING:
        return code
    return Code(f"{code.within(Binding.ATOM)}.astype({rw.expr(place).within(Binding.ATOM)}.dtype)")


def _refuse(rw: Rewriter, call: Node, subject: Node) -> None:
    text = rw.source[subject]
    rw.unported(
        call,
        f"{text} is changed in place: what it shares memory with would not change in the port",
        "in-place",
    )


def _tell_read_before(rw: Rewriter, subject: Node, node: Node) -> None:
    """The change moves above the statement: what the statement read before it, it reads after."""
    keys = sharing(rw.inference).roots(subject)
    start = rw.current.node.start
    for inner in rw.current.node.walk():
        if inner.type != "identifier" or is_label(inner) or not start <= inner.start < node.start:
            continue
        if rw.source[inner] in keys:
            rw.find(
                "in-place",
                f"{rw.source[inner]} is read and changed in place by one statement: the port "
                "changes it first",
                node,
            )


@expression("attribute")
def data(rw: Rewriter, node: Node) -> Code | None:
    """`x.data` where it is written to is x itself."""
    if not sharing(rw.inference).is_data(node) or not _is_written(rw, node):
        return None
    owner = node["object"]
    function = rw.inference.function_at(node)
    root = root_of(rw, owner)
    held = root is not None and rw.is_variable(root)
    if not held and rw.stopping is None and function is not rw.inference.module:
        rw.find(
            "in-place",
            f"{rw.source[owner]} is changed in place through .data: in torch gradients pass through "
            "it as if it were not, in the port they see the change",
            node,
        )
    is_element = node.parent is not None and node.parent.type == "subscript"
    return rw.expr(owner) if is_element else rw.value(owner)


def _is_written(rw: Rewriter, node: Node) -> bool:
    """Whether an expression, or a view of it, is what an in-place call or an assignment changes."""
    parent = node.parent
    if parent is None:
        return False
    match parent.type:
        case "attribute" if parent.parent is not None and parent.parent.type == "call":
            call = parent.parent
            return overwritten(rw.source, call) is node or (
                place_of(rw, call) is not None and _is_written(rw, call)
            )
        case "argument_list" | "keyword_argument":
            call = next(ancestor for ancestor in node.ancestors() if ancestor.type == "call")
            return overwritten(rw.source, call) is node
        case "subscript":
            return node.field == "value" and _is_written(rw, parent)
        case "assignment" | "augmented_assignment":
            return node.field == "left"
        case _:
            return False


def _changed(rw: Rewriter, call: Node) -> Node | None:
    """What a call of torch changes in place: `x.add_(y)`, `F.relu(x, inplace=True)`, `out=x`."""
    if call.type != "call" or called_function(call) is not None:
        return None
    if rw.called_api(call) is not None and (rw.called_api(call) or "").startswith("torch.nn.init."):
        return None
    changes = sharing(rw.inference).changes(call)
    if not changes or not all(k.is_tensor(change.kind) for change in changes):
        return None
    return changes[0]


def _is_chained(rw: Rewriter, node: Node) -> bool:
    """`x.mul_(2)` in `x.mul_(2).add_(1)` or `torch.relu_(x.mul_(2))`: the outer call changes x."""
    outer = next((ancestor for ancestor in node.ancestors() if ancestor.type == "call"), None)
    return outer is not None and overwritten(rw.source, outer) is node


def _assigned_name(rw: Rewriter, statement: Node, value: Node) -> str | None:
    if statement.type != "expression_statement" or not statement.children:
        return None
    assignment = statement.children[0]
    if assignment.type == "assignment" and assignment.get("right") is value:
        return rw.source[assignment["left"]]
    return None
