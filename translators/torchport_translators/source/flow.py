"""What statements read and write, and whether a name is read again after them.

A coarse reading of names, of one function at a time: what may be a read is one, and a name is
written for certain only where every path writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torchport_translators.source.syntax import Node, Source

LOOPS = frozenset(("for_statement", "while_statement"))
_PATTERNS = frozenset(
    ("pattern_list", "tuple_pattern", "list_pattern", "list_splat_pattern", "expression_list")
)
_SCOPES = frozenset(("function_definition", "class_definition", "lambda"))
# Methods that change the list, set or dict that they are called on.
_CHANGING = frozenset(
    ("append", "extend", "insert", "add", "update", "appendleft", "setdefault", "clear", "pop")
)


def is_label(node: Node) -> bool:
    """Whether an identifier is no variable: an attribute, the name of a keyword or a definition."""
    return node.field in ("attribute", "name")


def is_target(node: Node) -> bool:
    """Whether an identifier is what an assignment, a loop or a `with` binds."""
    at = node
    while at.parent is not None and at.parent.type in _PATTERNS:
        at = at.parent
    parent = at.parent
    if parent is None:
        return False
    match parent.type:
        case "assignment" | "for_statement" | "for_in_clause":
            return at.field == "left"
        case "as_pattern_target":
            return True
        case "named_expression":
            return at.field == "name"
        case _:
            return False


def variables(source: Source, node: Node) -> Iterator[Node]:
    """The identifiers in a node that stand for variables."""
    for name in source.nodes("identifier", node):
        if not is_label(name) or (
            name.parent is not None and name.parent.type == "named_expression"
        ):
            yield name


def reads(source: Source, node: Node) -> set[str]:
    """The names that a node may read."""
    return {source[name] for name in variables(source, node) if not is_target(name)}


def writes(source: Source, node: Node) -> set[str]:
    """The names that a node may bind, or whose list, dict or array it may change."""
    return bound(source, node) | changed(source, node)


def bound(source: Source, node: Node) -> set[str]:
    """The names that a node may bind."""
    found = {source[name] for name in variables(source, node) if _is_bound(name)}
    for statement in source.nodes("augmented_assignment", node):
        if statement["left"].type == "identifier":
            found.add(source[statement["left"]])
    for call in source.nodes("call", node):
        place = _receiver(call)
        # `x.add_(y)` binds x anew in a port.
        if place is not None and _is_in_place(source[call["function"]["attribute"]]):
            found.add(source[place])
    return found


def _is_bound(name: Node) -> bool:
    """Whether an identifier is bound in the function, and not in a comprehension alone."""
    own = any(outer.type == "for_in_clause" for outer in name.ancestors())
    return is_target(name) and not own


def changed(source: Source, node: Node) -> set[str]:
    """The names whose value a node may change in place: by an element, an attribute or a method."""
    found: set[str] = set()
    for statement in source.nodes_of(("assignment", "augmented_assignment"), node):
        left = statement["left"]
        for target in left.named() if left.type in _PATTERNS else [left]:
            if target.type in ("subscript", "attribute"):
                found.add(source[_root(target)])
    for call in source.nodes("call", node):
        place = _receiver(call)
        if place is not None and source[call["function"]["attribute"]] in _CHANGING:
            found.add(source[place])
    return found


def _is_in_place(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_") and name != "requires_grad_"


def _receiver(call: Node) -> Node | None:
    """The variable on which a call calls a method."""
    callee = call["function"]
    if callee.type != "attribute" or callee["object"].type != "identifier":
        return None
    return callee["object"]


def _root(node: Node) -> Node:
    while node.type in ("subscript", "attribute"):
        node = node["value"] if node.type == "subscript" else node["object"]
    return node


def first_use(source: Source, statements: Iterable[Node], name: str) -> bool | None:
    """Whether the statements read a name before they bind it (True), bind it first (False), or neither."""
    for statement in statements:
        found = _use(source, statement, name)
        if found is not None:
            return found
    return None


def _use(source: Source, node: Node, name: str) -> bool | None:
    match node.type:
        case "comment":
            return None
        case "if_statement":
            return _if(source, node, name)
        case "for_statement":
            if name in reads(source, node["right"]):
                return True
            binds = name in bound(source, node["left"])
            inside = None if binds else first_use(source, node["body"].children, name)
            return True if inside else None
        case "while_statement":
            if name in reads(source, node["condition"]):
                return True
            return first_use(source, node["body"].children, name) or None
        case "with_statement":
            for child in node.children:
                if child.type == "block":
                    return first_use(source, child.children, name)
                if name in reads(source, child):
                    return True
            return None
        case "try_statement" | "match_statement" | "decorated_definition" | "class_definition":
            return True if name in reads(source, node) else None
        case "function_definition":
            parts = [node.get("parameters"), node.get("body")]
            return True if any(p and name in reads(source, p) for p in parts) else None
        case _:
            if name in reads(source, node):
                return True
            ends = node.type in ("return_statement", "raise_statement")
            return False if ends or name in bound(source, node) else None


def _if(source: Source, node: Node, name: str) -> bool | None:
    complete = False
    every = True
    for clause in (node, *(c for c in node.children if c.field == "alternative")):
        condition = clause.get("condition")
        if condition is not None and name in reads(source, condition):
            return True
        complete = complete or condition is None
        body = clause.get("consequence" if condition is not None else "body")
        found = first_use(source, body.children, name) if body is not None else None
        if found:
            return True
        every = every and found is False
    return False if complete and every else None


def read_after(source: Source, statement: Node, name: str) -> bool:
    """Whether a name's value may be read once a statement has run, in its function or by another."""
    node = statement
    while node.parent is not None:
        block = node.parent
        siblings = list(block.children)
        rest = siblings[siblings.index(node) + 1 :] if node in siblings else []
        jumps = any(source.nodes_of(("continue_statement", "break_statement"), s) for s in rest)
        if block.type in ("block", "module"):
            found = first_use(source, rest, name)
            if found:
                return True
            if found is False and not jumps:
                return False
        if block.type in LOOPS and name not in _rebound(source, block):
            again = block.get("condition")
            if again is not None and name in reads(source, again):
                return True
            if first_use(source, block["body"].children, name):
                return True
        if block.type in _SCOPES:
            return _read_inside(source, block, name)
        node = block
    return _read_inside(source, node, name)


def _rebound(source: Source, loop: Node) -> set[str]:
    left = loop.get("left")
    return bound(source, left) if left is not None else set()


def _read_inside(source: Source, scope: Node, name: str) -> bool:
    """Whether a function inside a scope reads a name that is not its own."""
    for function in source.nodes_of(("function_definition", "lambda"), scope):
        if function is scope:
            continue
        body, parameters = function.get("body"), function.get("parameters")
        own = {source[n] for n in variables(source, parameters)} if parameters else set[str]()
        if body is not None and name in reads(source, body) - own - bound(source, body):
            return True
    return False
