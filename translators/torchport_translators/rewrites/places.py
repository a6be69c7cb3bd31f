"""Places of tensors: what an expression writes to, and the statement that puts a value there."""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.mask_index import is_mask, store_masked
from torchport_translators.source import kinds as k
from torchport_translators.source.sharing import (
    REARRANGING,
    RESHAPING,
    integer,
    is_invertible,
    method,
    overwritten,
    sharing,
)
from torchport_translators.source.syntax import Node


def place_of(rw: Rewriter, node: Node) -> Node | None:
    """The name, attribute, element or view that an expression names, where a value can be put.

    None for a new value, and for what may share memory in a way that is not known.
    """
    match node.type:
        case "call":
            changed = overwritten(rw.source, node)
            if changed is not None:
                return place_of(rw, changed)
            name = method(node)
            if name is None or not k.is_tensor(node["function"]["object"].kind):
                return None
            if place_of(rw, node["function"]["object"]) is None:
                return None
            return node if is_invertible(rw.source, name, _arguments(node)) else None
        case "identifier":
            return node
        case "attribute" if k.is_tensor(node["object"].kind):
            inner = place_of(rw, node["object"])
            name = rw.source[node["attribute"]]
            if inner is None or name == "data":
                return inner
            return node if name in ("T", "mT") else None
        case "attribute" | "subscript" if _is_in_tuple(node):
            return None
        case "attribute":
            return node
        case "subscript" if k.is_tensor(node["value"].kind):
            return node if place_of(rw, node["value"]) is not None else None
        case "subscript":
            return node if sharing(rw.inference).key(node) is not None else None
        case "parenthesized_expression":
            return place_of(rw, node.named()[0])
        case _:
            return None


def _is_in_tuple(node: Node) -> bool:
    """An item of a tuple, which cannot be replaced."""
    held = node["object" if node.type == "attribute" else "value"].kind
    return isinstance(held, k.Sequence) and held.name != "list"


def root_of(rw: Rewriter, node: Node) -> Node | None:
    """The name, attribute or element of a list whose memory a place is."""
    place = place_of(rw, node)
    if place is None:
        return None
    match place.type:
        case "call":
            return root_of(rw, place["function"]["object"])
        case "attribute" if k.is_tensor(place["object"].kind):
            return root_of(rw, place["object"])
        case "subscript" if k.is_tensor(place["value"].kind):
            return root_of(rw, place["value"])
        case _:
            return place


def store(rw: Rewriter, place: Node, value: Code) -> str:
    """A statement that puts `value` where `place` is."""
    inner = place_of(rw, place)
    if inner is not None and inner is not place:
        return store(rw, inner, value)
    match place.type:
        case "call":
            return _store_view(rw, place, value)
        case "attribute" if k.is_tensor(place["object"].kind):
            turned = Code(f"{value.within(Binding.ATOM)}.{rw.source[place['attribute']]}")
            return store(rw, place["object"], turned)
        case "subscript" if rw.idioms.elements_change and is_mask(rw, place):
            owner = place["value"]
            if owner.type == "identifier":
                return f"{rw.expr(owner).text}[...] = {store_masked(rw, place, value).within(Binding.TUPLE)}"
            return store(rw, owner, store_masked(rw, place, value))
        case "subscript" if k.is_tensor(place["value"].kind) and not _is_variable(
            rw, place["value"]
        ):
            owner, index = element(rw, place)
            if rw.idioms.elements_change:
                return _store_element(rw, owner, index, value)
            updated = f"{rw.value(owner).within(Binding.ATOM)}.at[{index}].set({value.text})"
            return store(rw, owner, Code(updated))
        case "attribute" | "identifier" if rw.is_variable(place):
            # A name of a module's parameter: the module must see the new value.
            held = "[...]" if rw.idioms.variables or place.type == "identifier" else ""
            return f"{rw.expr(place).text}{held} = {value.within(Binding.TEST)}"
        case "identifier":
            declare(rw, place)
            return f"{rw.source[place]} = {value.within(Binding.TEST)}"
        case _:
            return f"{rw.expr(place).text} = {value.within(Binding.TEST)}"


def _is_variable(rw: Rewriter, node: Node) -> bool:
    place = place_of(rw, node)
    return place is not None and rw.is_variable(place)


def element(rw: Rewriter, subscript: Node) -> tuple[Node, str]:
    """A tensor and what stands between the brackets; `x[0][1]` is `x` and `0, 1`."""
    value = subscript["value"]
    index = index_text(rw, subscript)
    while (
        value.type == "subscript"
        and k.is_tensor(value["value"].kind)
        and all(child.kind == k.INT for child in _indices(value))
        and all(_is_plain(child) for child in _indices(subscript))
    ):
        index = f"{index_text(rw, value)}, {index}"
        value = value["value"]
    return value, index


def _indices(subscript: Node) -> list[Node]:
    return [child for child in subscript.children if child.field == "subscript"]


def _is_plain(index: Node) -> bool:
    return index.type in ("slice", "none", "ellipsis") or index.kind == k.INT


def index_text(rw: Rewriter, subscript: Node) -> str:
    """What stands between a subscript's brackets."""
    indices = _indices(subscript)
    text = rw.source.text
    parts: list[str] = []
    at = indices[0].start
    for child in indices:
        parts += (text[at : child.start], rw.value(child).text)
        at = child.end
    tail = text[at : subscript.end - 1].rstrip()
    return "".join(parts) + tail


def repeats(subscript: Node) -> bool:
    """Whether an index may name one element more than once."""
    return not all(_is_plain(child) or _is_mask(child) for child in _indices(subscript))


def _is_mask(index: Node) -> bool:
    if index.type == "unary_operator" or index.type == "parenthesized_expression":
        inner = index.named()[-1]
        return _is_mask(inner)
    if index.type == "binary_operator":
        return _is_mask(index["left"]) and _is_mask(index["right"])
    return index.type == "comparison_operator" and k.is_tensor(index.kind)


def _store_view(rw: Rewriter, place: Node, value: Code) -> str:
    """Undo a view: the value takes the shape that the tensor behind the view has."""
    name = method(place) or ""
    base = place["function"]["object"]
    arguments = _arguments(place)
    owner = value.within(Binding.ATOM)
    texts = [rw.expr(child).within(Binding.TEST) for child in arguments]
    if name in RESHAPING:
        shape = f"{rw.expr(base).within(Binding.ATOM)}.shape"
        return store(rw, base, Code(f"{owner}.reshape({shape})"))
    if name == "t":
        return store(rw, base, Code(f"{owner}.T"))
    if name == "permute":
        order = [integer(rw.source, child) or 0 for child in arguments]
        order = [axis % len(order) for axis in order]
        inverse = ", ".join(str(order.index(axis)) for axis in range(len(order)))
        return store(rw, base, Code(f"{owner}.transpose({inverse})"))
    if name in REARRANGING:
        return store(rw, base, Code(f"{owner}.swapaxes({texts[0]}, {texts[1]})"))
    before = ":, " * (integer(rw.source, arguments[0]) or 0)
    if name == "select":
        index = f"{before}{texts[1]}"
    else:
        first = rw.expr(arguments[1]).within(Binding.SUM)
        index = f"{before}{texts[1]}:{first} + {rw.expr(arguments[2]).within(Binding.TERM)}"
    if rw.idioms.elements_change:
        return _store_element(rw, base, index, value)
    updated = f"{rw.value(base).within(Binding.ATOM)}.at[{index}].set({value.text})"
    return store(rw, base, Code(updated))


def is_name(node: Node) -> bool:
    """Whether an expression names an array itself, not a view of one (`x.T`)."""
    if node.type == "attribute":
        return not k.is_tensor(node["object"].kind)
    return node.type == "identifier"


def _store_element(rw: Rewriter, owner: Node, index: str, value: Code) -> str:
    """Assign to an element; that of a view is assigned to in the view, which is then stored."""
    if is_name(owner):
        return f"{rw.expr(owner).text}[{index}] = {value.within(Binding.TUPLE)}"
    if not rw.may_hoist():
        rw.find("in-place", f"{rw.source[owner]} is changed in place inside an expression", owner)
    name = rw.fresh("view")
    rw.before(f"{name} = {rw.expr(owner).within(Binding.TEST)}")
    rw.before(f"{name}[{index}] = {value.within(Binding.TUPLE)}")
    return store(rw, owner, Code(name))


def _arguments(call: Node) -> list[Node]:
    arguments = call["arguments"]
    return arguments.named() if arguments.type == "argument_list" else [arguments]


def declare(rw: Rewriter, name: Node) -> None:
    """A name of an outer scope that the port binds here must be declared."""
    function = rw.inference.function_at(name)
    text = rw.source[name]
    known = sharing(rw.inference)
    memory = known.memory(function)
    if function is rw.inference.module or memory.is_own(text) or text in memory.declared:
        return
    outer = function.outer
    while outer is not None and not known.memory(outer).is_own(text):
        outer = outer.outer
    body = function.node.get("body")
    first = next((n for n in body.named() if not _is_docstring(n)), None) if body else None
    if function.node.type == "lambda" or first is None or not rw.may_hoist():
        rw.find("in-place", f"{text} is changed in place from an inner function", name)
        return
    memory.declared.add(text)
    keyword = "nonlocal" if outer is not None else "global"
    start = rw.source.line_start(first.start)
    rw.edits.insert(start, f"{rw.source.indent(first)}{keyword} {text}\n")


def _is_docstring(node: Node) -> bool:
    return node.type == "expression_statement" and node.children[0].type == "string"
