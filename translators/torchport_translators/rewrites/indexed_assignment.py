"""Assignment to an element: in JAX a new array with the element set.

Before:
    import torch

    def mask(x: torch.Tensor, i: torch.Tensor):
        y = x * 1
        y[:, 0] = 0
        y[i, 1:] += 2
        y[0][1] = 3
        y[0], y[1] = y[1], y[0]
        return y
After (jax):
    import jax

    def mask(x: jax.Array, i: jax.Array):
        y = x * 1
        y = y.at[:, 0].set(0)
        y = y.at[i, 1:].set(y[i, 1:] + 2)
        y = y.at[0, 1].set(3)
        y = y.at[0].set(y[1])
        y = y.at[1].set(y[0])
        return y
After (mlx):
    import mlx.core as mx

    def mask(x: mx.array, i: mx.array):
        y = x * 1
        y[:, 0] = 0
        y[i, 1:] += 2
        y[0, 1] = 3
        y[0] = y[1]
        y[1] = y[0]
        return y
Why:
    A `jax.Array` does not change; `x.at[i].set(v)` is a copy with the element set, and under `jit`
    no copy is made. An index that may name one element twice is not added to in the port with
    `.at[i].add`, which would add twice where torch adds once. An `mx.array` is assigned to as a tensor
    is, though what was made of it, a view in torch, does not change with it.
When not:
    The element belongs to a list, a dict or a module's variable: those do change.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import OPERATORS, Binding, Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.in_place import stored, write_statements
from torchport_translators.rewrites.mask_index import is_mask
from torchport_translators.rewrites.places import element, place_of, repeats, store
from torchport_translators.rewrites.registry import statement
from torchport_translators.rewrites.shared_memory import settle, tell_others
from torchport_translators.source import kinds as k
from torchport_translators.source.sharing import sharing
from torchport_translators.source.syntax import Node

_UPDATES = {"+": "add", "*": "multiply", "/": "divide", "**": "power"}
_PATTERNS = ("pattern_list", "tuple_pattern", "list_pattern")


@statement("expression_statement")
def indexed_assignment(rw: Rewriter, node: Node) -> bool:
    assignment = node.children[0]
    if assignment.type == "augmented_assignment":
        return _augmented(rw, node, assignment)
    if assignment.type != "assignment" or assignment.get("right") is None:
        return False
    targets, value = _sides(assignment)
    flat = [
        t for target in targets for t in (target.named() if target.type in _PATTERNS else [target])
    ]
    if not any(_is_written(rw, target) for target in flat):
        return False
    if any(_is_written(rw, target) and place_of(rw, target) is None for target in flat):
        rw.unported(
            node,
            f"{rw.source[node]}: what is assigned to may or may not share memory with other tensors",
            "in-place",
        )
        return True
    if len(targets) == 1 and targets[0].type not in _PATTERNS:
        lines = _put(rw, targets[0], rw.value(value), value.kind, node)
    elif len(targets) == 1:
        lines = _unpacked(rw, targets[0].named(), value, node)
    else:
        lines = _chained(rw, targets, value, node)
    write_statements(rw, node, lines)
    return True


def _sides(assignment: Node) -> tuple[list[Node], Node]:
    """The targets of `a = b = value`, and the value."""
    targets = [assignment["left"]]
    value = assignment["right"]
    while value.type == "assignment" and value.get("right") is not None:
        targets.append(value["left"])
        value = value["right"]
    return targets, value


def _is_written(rw: Rewriter, node: Node) -> bool:
    """Whether an assignment to the target writes into a tensor."""
    return _is_element(node) or sharing(rw.inference).is_data(node)


def _is_element(node: Node) -> bool:
    return node.type == "subscript" and k.is_tensor(node["value"].kind)


def _put(rw: Rewriter, target: Node, value: Code, kind: k.Kind | None, node: Node) -> list[str]:
    """Statements that assign a value to one target."""
    if not _is_written(rw, target):
        return [store(rw, target, value)]
    subject = target["value"] if _is_element(target) else target["object"]
    place = place_of(rw, target)
    assert place is not None
    if not _is_element(target):
        tell_others(rw, subject, node)
        return [store(rw, place, value)]
    value = _cast(rw, subject, value, kind)
    return [stored(rw, place, value, node, kind=kind), *settle(rw, subject, node)]


def _cast(rw: Rewriter, subject: Node, value: Code, kind: k.Kind | None) -> Code:
    """torch cuts what is written into an integer tensor; JAX asks for it to be said."""
    if not isinstance(subject.kind, k.Tensor) or not subject.kind.integer:
        return value
    dtype = f"{rw.expr(subject).within(Binding.ATOM)}.dtype"
    if isinstance(kind, k.Tensor) and not kind.integer:
        return Code(f"{value.within(Binding.ATOM)}.astype({dtype})")
    return value


def _chained(rw: Rewriter, targets: list[Node], value: Node, node: Node) -> list[str]:
    """`a = b[0] = value`: the value is made once, and put in each target from the left."""
    code = rw.value(value)
    lines: list[str] = []
    names = [target for target in targets if target.type == "identifier"]
    plain = rw.literal(value) is not None or value.type == "identifier"
    if not plain and names:
        lines.append(f"{rw.source[names[0]]} = {code.within(Binding.TEST)}")
        code = Code(rw.source[names[0]])
        targets = [target for target in targets if target is not names[0]]
    elif not plain:
        name = rw.fresh("value")
        lines.append(f"{name} = {code.within(Binding.TEST)}")
        code = Code(name)
    for target in targets:
        lines += _put(rw, target, code, value.kind, node)
    return lines


def _unpacked(rw: Rewriter, targets: list[Node], value: Node, node: Node) -> list[str]:
    """`x[0], x[1] = x[1], x[0]`: views of the right side are read when their turn comes, as torch
    reads them; what is computed there is computed first."""
    if any(target.type == "list_splat_pattern" for target in targets):
        rw.unported(node, "a starred target beside an element of a tensor", "in-place")
        return [rw.source[node]]
    values = value.named() if value.type in ("expression_list", "tuple", "list") else []
    lines: list[str] = []
    codes: list[Code] = []
    kinds: list[k.Kind | None] = []
    if len(values) == len(targets):
        known = sharing(rw.inference)
        for child in values:
            code = rw.value(child)
            if known.origin(child) is None and rw.literal(child) is None:
                name = rw.fresh("value")
                lines.append(f"{name} = {code.within(Binding.TEST)}")
                code = Code(name)
            codes.append(code)
            kinds.append(child.kind)
    else:
        names = [rw.fresh("value") for _ in targets]
        lines.append(f"{', '.join(names)} = {rw.value(value).within(Binding.TEST)}")
        codes = [Code(name) for name in names]
        kinds = [None] * len(names)
    for target, code, kind in zip(targets, codes, kinds, strict=True):
        lines += _put(rw, target, code, kind, node)
    return lines


def _augmented(rw: Rewriter, node: Node, assignment: Node) -> bool:
    left = assignment["left"]
    operator = rw.source[assignment["operator"]]
    if not k.is_tensor(left.kind) and not _is_element(left):
        return False
    if operator == "@=":  # torch binds a new tensor here
        return False
    place = place_of(rw, left)
    if place is None:
        rw.unported(
            node,
            f"{rw.source[left]} is changed in place: what it shares memory with would not change in "
            "the port",
            "in-place",
        )
        return True
    symbol = operator.removesuffix("=")
    value = rw.value(assignment["right"])
    if _is_element(left):
        subject = left["value"]
        text = _update(rw, left, symbol, value, node)
    else:
        subject = left
        if rw.stopping is not None or place is not left:
            text = stored(rw, place, _combined(rw.value(place), symbol, value), node)
        else:
            text = f"{_target(rw, left)} {operator} {value.within(Binding.TEST)}"
            store(rw, place, value)
    write_statements(rw, node, [text, *settle(rw, subject, node)])
    return True


def _target(rw: Rewriter, left: Node) -> str:
    text = rw.expr(left).text
    return f"{text}[...]" if rw.is_variable(left) else text


def _combined(old: Code, symbol: str, value: Code) -> Code:
    level = OPERATORS.get(symbol, Binding.SUM)
    return Code(f"{old.within(level)} {symbol} {value.within(Binding(level + 1))}", level)


def _update(rw: Rewriter, left: Node, symbol: str, value: Code, node: Node) -> str:
    if rw.idioms.elements_change:
        owner, index = element(rw, left)
        plain = owner.type in ("identifier", "attribute") and not is_mask(rw, left)
        if not plain or rw.stopping is not None:
            return stored(rw, left, _combined(rw.value(left), symbol, value), node)
        return f"{rw.expr(owner).text}[{index}] {symbol}= {value.within(Binding.TEST)}"
    base, index = element(rw, left)
    place = place_of(rw, base)
    if place is not None and rw.is_variable(place) and not repeats(left) and rw.stopping is None:
        return f"{rw.expr(left).text} {symbol}= {value.within(Binding.TEST)}"
    owner = rw.value(base).within(Binding.ATOM)
    if symbol in _UPDATES and not repeats(left):
        updated = f"{owner}.at[{index}].{_UPDATES[symbol]}({value.text})"
    elif symbol == "-" and not repeats(left):
        updated = f"{owner}.at[{index}].add(-{value.within(Binding.FACTOR)})"
    else:
        combined = _combined(Code(f"{owner}[{index}]"), symbol, value)
        updated = f"{owner}.at[{index}].set({combined.text})"
    return stored(rw, base, Code(updated), node)
