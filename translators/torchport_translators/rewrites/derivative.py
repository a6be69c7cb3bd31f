"""`autograd.grad` and `backward()`: what is differentiated becomes a function, and is given to JAX.

Before:
    import torch

    def slope(x: torch.Tensor):
        x.requires_grad_()
        y = torch.sin(x) * x
        y.sum().backward()
        return x.grad

    def force(position: torch.Tensor, charge: torch.Tensor):
        energy = (charge * torch.cos(position)).sum()
        (gradient,) = torch.autograd.grad(energy, position, create_graph=True)
        return energy, -gradient

    def pulled(x: torch.Tensor, v: torch.Tensor):
        return torch.autograd.grad(torch.exp(x), x, grad_outputs=v)[0]
After (jax):
    import jax
    import jax.numpy as jnp

    def slope(x: jax.Array):
        def objective(x):
            y = jnp.sin(x) * x
            return jnp.sum(y)

        x_grad = jax.grad(objective)(x)
        return x_grad

    def force(position: jax.Array, charge: jax.Array):
        def objective(position):
            energy = jnp.sum(charge * jnp.cos(position))
            return energy

        energy, gradient = jax.value_and_grad(objective)(position)
        return energy, -gradient

    def pulled(x: jax.Array, v: jax.Array):
        _, pull = jax.vjp(lambda x: jnp.exp(x), x)
        return pull(v)[0]
Why:
    torch records what was computed and goes back through the record; JAX transforms functions. The
    statements from the first use of what is differentiated by go into a function; what the rest of
    the code needs of them is returned beside the value.
When not:
    The inputs are no plain names, were computed from each other, or bound outside the block; the
    statements between do more than bind names, or draw random numbers; `x.grad` is accumulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.emit.imports import ROOTS
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.function_transforms import draws
from torchport_translators.rewrites.registry import statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node

_GRAD = "torch.autograd.grad"
_ARGUMENTS = ("outputs", "inputs", "grad_outputs", "retain_graph", "create_graph", "only_inputs")
_HARMLESS = frozenset((*_ARGUMENTS, "materialize_grads"))
_SIMPLE = frozenset(
    ("expression_statement", "if_statement", "for_statement", "while_statement", "comment")
)
_FORBIDDEN = (
    "return_statement",
    "yield",
    "await",
    "global_statement",
    "nonlocal_statement",
    "delete_statement",
    "import_statement",
    "import_from_statement",
    "function_definition",
    "class_definition",
    "named_expression",
    "try_statement",
    "with_statement",
)
_DEFERRED = frozenset(
    ("lambda", "list_comprehension", "generator_expression", "conditional_expression")
)


@dataclass(slots=True)
class _Derivative:
    """What is differentiated, by what, and the statements that compute it.

    Attributes:
        names: the inputs.
        moved: the statements between, which become the function's.
        leaves: statements that only mark the inputs, which fall away.
        needed: names that `moved` binds and code outside uses.
    """

    output: Node
    names: list[str]
    cotangent: Node | None
    moved: list[Node]
    leaves: list[Node]
    needed: list[str]


@statement("expression_statement", "return_statement", target="jax")
def gradient(rw: Rewriter, node: Node) -> bool:
    """A statement that calls `torch.autograd.grad` once."""
    calls = [call for call in rw.source.nodes("call", node) if rw.called_api(call) == _GRAD]
    if len(calls) != 1 or any(
        outer.type in _DEFERRED for outer in calls[0].ancestors() if outer.start >= node.start
    ):
        return False
    (call,) = calls
    positional, keywords = rw.arguments(call)
    if len(positional) > len(_ARGUMENTS) or keywords.keys() - _HARMLESS:
        return False
    given = dict(zip(_ARGUMENTS, positional, strict=False)) | keywords
    output, inputs = given.get("outputs"), given.get("inputs")
    if output is None or inputs is None:
        return False
    by = inputs.named() if inputs.type in ("list", "tuple") else [inputs]
    output, cotangent = _only(output), _only(given.get("grad_outputs"))
    if output is None or (cotangent is None and given.get("grad_outputs") is not None):
        return False
    if cotangent is not None and cotangent.type == "none":
        cotangent = None
    found = _find(rw, node, output, by, cotangent, inside=[output])
    if found is None:
        return False
    rw.count(True)
    graph = given.get("create_graph")
    _write_gradient(rw, node, call, found, constant=graph is None or graph.type != "true")
    return True


@statement("expression_statement", target="jax")
def backward(rw: Rewriter, node: Node) -> bool:
    """`loss.backward()`, after which the function reads `x.grad`."""
    call = node.children[0]
    if rw.called_api(call) != "torch.Tensor.backward":
        return False
    body = rw.function.node.get("body") or rw.source.root
    others = [c for c in rw.source.nodes("call", body) if rw.called_api(c) == rw.called_api(call)]
    reads = [
        read
        for read in rw.source.nodes("attribute", body)
        if rw.source[read["attribute"]] == "grad" and isinstance(read["object"].kind, k.Tensor)
    ]
    if len(others) != 1 or not reads or any(not _is_plain_read(rw, r, node) for r in reads):
        return False
    positional, keywords = rw.arguments(call)
    if len(positional) > 1 or keywords.keys() - {"gradient", "retain_graph", "create_graph"}:
        return False
    cotangent = positional[0] if positional else keywords.get("gradient")
    if cotangent is not None and cotangent.type == "none":
        cotangent = None
    by = list({rw.source[read["object"]]: read["object"] for read in reads}.values())
    found = _find(rw, node, call["function"]["object"], by, cotangent, inside=[call])
    if found is None:
        return False
    rw.count(True)
    grads = {name: rw.fresh(f"{name}_grad") for name in found.names}
    for read in reads:
        held = Code(grads[rw.source[read["object"]]])
        rw.decided[read] = lambda held=held: held
    lines, result = _differentiated(rw, found, list(grads.values()))
    bound = ", ".join(grads.values())
    if result is not None:
        lines.append(f"{bound}{_comma(found)} = {result}")
    graph = keywords.get("create_graph")
    if (graph is None or graph.type != "true") and not all(map(_is_returned, reads)):
        lines += [f"{name} = jax.lax.stop_gradient({name})" for name in grads.values()]
    _put(rw, node, found, lines, None)
    return True


def _is_plain_read(rw: Rewriter, read: Node, after: Node) -> bool:
    parent = read.parent
    if read.start < after.end or read["object"].type != "identifier" or parent is None:
        return False
    if parent.type == "attribute" and rw.source[parent["attribute"]].endswith("_"):
        return False
    if read.field == "left" and parent.type in ("assignment", "augmented_assignment"):
        return False
    return parent.type not in ("comparison_operator", "delete_statement")


def _only(node: Node | None) -> Node | None:
    """The one tensor that is meant, alone or in a list."""
    if node is None or node.type not in ("list", "tuple"):
        return node
    return node.named()[0] if len(node.named()) == 1 else None


# Finding what is differentiated


def _find(
    rw: Rewriter,
    node: Node,
    output: Node,
    by: list[Node],
    cotangent: Node | None,
    inside: list[Node],
) -> _Derivative | None:
    """The statements that compute the output from the inputs; None if that is not sure."""
    block = node.parent
    if block is None or any(name.type != "identifier" for name in by):
        return None
    names = [rw.source[name] for name in by]
    if any(not isinstance(name.kind, k.Tensor) or name.kind.variable for name in by):
        return None
    if any(outer.type in ("for_statement", "while_statement") for outer in node.ancestors()):
        return None
    statements = block.named()
    index = statements.index(node)
    begin = _after_bindings(rw, block, statements[:index], names)
    if begin is None:
        return None
    between = statements[begin:index]
    leaves = [child for child in between if _marks(rw, child, names)]
    rest = [child for child in between if child not in leaves]
    while rest and not _mentions(rw, rest[0], names):
        rest.pop(0)
    if not rest and not _mentions(rw, output, names):
        return None
    bound: list[str] = []
    for child in rest:
        if not _is_movable(rw, child):
            return None
        bound += [name for name in _bound_in(rw, child) if name not in bound]
    start = (rest[0] if rest else node).start
    if not rw.source.starts_line(rest[0] if rest else node):
        return None
    if not rw.source.indent(node) and rw.edits.made(start, start):
        return None
    if set(bound) & set(names) or not _bound_before_read(rw, rest, set(bound)):
        return None
    if any(_is_random(rw, call) for part in (*rest, output) for call in _calls(rw, part)):
        return None
    spans = [(part.start, part.end) for part in (*rest, *inside)]
    function = rw.function.node
    outside = {
        rw.source[use]
        for use in rw.source.nodes("identifier", function)
        if use.field not in ("attribute", "name")
        and not any(start <= use.start < end for start, end in spans)
    }
    if cotangent is not None:
        outside |= {rw.source[use] for use in rw.source.nodes("identifier", cotangent)}
    needed = [name for name in bound if name in outside]
    return _Derivative(output, names, cotangent, rest, leaves, needed)


def _after_bindings(rw: Rewriter, block: Node, before: list[Node], names: list[str]) -> int | None:
    """The index of the statement from which all inputs have the values that count."""
    begin = 0
    places: list[int] = []
    for name in names:
        last = -1
        for index, child in enumerate(before):
            if _marks(rw, child, names):
                continue
            if name in _bound_in(rw, child):
                last = index
        if last < 0:
            own = any(parameter.name == name for parameter in rw.function.parameters)
            if not own or block is not rw.function.node.get("body"):
                return None
        else:
            inner = before[last].children[0]
            value = inner.get("right") if inner.type == "assignment" else None
            if value is None or value.type in ("identifier", "attribute", "subscript"):
                return None
        places.append(last)
        begin = max(begin, last + 1)
    # Inputs that are computed from each other are not independent.
    early = before[min(places) + 1 : begin]
    if len(names) > 1 and any(_mentions_value(rw, child, names) for child in early):
        return None
    return begin


def _mentions_value(rw: Rewriter, node: Node, names: list[str]) -> bool:
    inner = node.children[0] if node.children else node
    value = inner.get("right") if inner.type == "assignment" else node
    return not _marks(rw, node, names) and _mentions(rw, value or node, names)


def _marks(rw: Rewriter, node: Node, names: list[str]) -> bool:
    """`x.requires_grad_()`, `x.retain_grad()`, `x.requires_grad = True`: x is differentiated by."""
    if node.type != "expression_statement":
        return False
    inner = node.children[0]
    if inner.type == "call" and inner["function"].type == "attribute":
        method = inner["function"]
        marked = rw.source[method["attribute"]] in ("requires_grad_", "retain_grad")
        return marked and rw.source[method["object"]] in names and not _denies(rw, inner)
    if inner.type == "assignment" and inner["left"].type == "attribute":
        target, value = inner["left"], inner.get("right")
        marked = rw.source[target["attribute"]] == "requires_grad"
        return (
            marked
            and rw.source[target["object"]] in names
            and value is not None
            and value.type == "true"
        )
    return False


def _denies(rw: Rewriter, call: Node) -> bool:
    positional, keywords = rw.arguments(call)
    return any(value.type != "true" for value in (*positional, *keywords.values()))


def _uses(rw: Rewriter, node: Node) -> Iterator[Node]:
    for use in rw.source.nodes("identifier", node):
        if use.field not in ("attribute", "name"):
            yield use


def _mentions(rw: Rewriter, node: Node, names: list[str]) -> bool:
    return any(rw.source[use] in names for use in _uses(rw, node))


def _targets(node: Node) -> Iterator[Node]:
    for inner in node.walk():
        if inner.type in ("assignment", "augmented_assignment", "for_statement"):
            left = inner["left"]
            yield from left.named() if left.type in ("pattern_list", "tuple_pattern") else [left]


def _bound_in(rw: Rewriter, node: Node) -> list[str]:
    return [rw.source[target] for target in _targets(node) if target.type == "identifier"]


def _is_movable(rw: Rewriter, node: Node) -> bool:
    """Whether a statement only binds names, so that it can be a function's."""
    if node.type not in _SIMPLE or rw.source.nodes_of(_FORBIDDEN, node):
        return False
    if any(target.type != "identifier" for target in _targets(node)):
        return False
    for inner in rw.source.nodes("expression_statement", node):
        if inner.children[0].type not in ("assignment", "augmented_assignment", "string"):
            return False
    return not any(
        rw.source[call["function"]["attribute"]].endswith("_")
        for call in _calls(rw, node)
        if call["function"].type == "attribute"
    )


def _bound_before_read(rw: Rewriter, statements: list[Node], bound: set[str]) -> bool:
    """Whether the statements bind each of their names before they read it."""
    known: set[str] = set()
    for child in statements:
        targets = {id(target) for target in _targets(child)}
        new = set(_bound_in(rw, child))
        simple = child.type == "expression_statement"
        for use in _uses(rw, child):
            name = rw.source[use]
            if name not in bound or name in known:
                continue
            augmented = use.parent is not None and use.parent.type == "augmented_assignment"
            if id(use) not in targets or augmented:
                return False
            if not simple:
                known.add(name)
        known |= new
    return True


def _calls(rw: Rewriter, node: Node) -> list[Node]:
    return rw.source.nodes("call", node)


def _is_random(rw: Rewriter, call: Node) -> bool:
    api = rw.called_api(call)
    if api is not None and any(rule.random for rule in rw.catalogue.find(api)):
        return True
    return draws(call["function"].kind)


# Writing it


def _write_gradient(
    rw: Rewriter, node: Node, call: Node, found: _Derivative, *, constant: bool
) -> None:
    first = call.parent
    item = (
        first
        if first is not None and first.type == "subscript" and rw.source[first["subscript"]] == "0"
        else None
    )
    assignment = node.children[0]
    single = len(found.names) == 1
    target: str | None = None
    if assignment.type == "assignment" and single:
        left = assignment["left"]
        if item is not None and assignment.get("right") is item and left.type == "identifier":
            target = rw.source[left]
        elif assignment.get("right") is call and left.type in ("pattern_list", "tuple_pattern"):
            target = rw.source[left.named()[0]] if len(left.named()) == 1 else None
    plain = [rw.fresh("gradient" if single else "gradients")] if target is None else [target]
    lines, result = _differentiated(rw, found, plain)
    if constant and not _is_only_returned(rw, node, item or call):
        # Without create_graph what follows does not differentiate through the gradient.
        if result is None:
            lines.append(f"{plain[0]} = jax.lax.stop_gradient({plain[0]})")
        else:
            result = f"jax.lax.stop_gradient({result})"
    if found.cotangent is not None:
        pulled = Code(result or "")
        rw.decided[call] = lambda: pulled
    elif target is not None:
        if result is not None:
            lines.append(f"{target} = {result}")
        _put(rw, node, found, lines, None)
        return
    else:
        text = result or plain[0]
        if single and item is None:
            text = f"({text},)"
        decided = Code(text)
        rw.decided[item if single and item is not None else call] = lambda: decided
    inner = node.children[0]
    last = rw.expr(inner).within(Binding.TUPLE)
    _put(rw, node, found, lines, f"return {last}" if node.type == "return_statement" else last)


def _is_only_returned(rw: Rewriter, node: Node, value: Node) -> bool:
    """Whether a statement returns a value as it is, or binds it to names that are returned so."""
    if node.type == "return_statement":
        return _is_returned(value)
    names = _bound_in(rw, node)
    return all(
        _is_returned(use)
        for use in _uses(rw, rw.function.node)
        if rw.source[use] in names and use.start >= node.end
    )


def _is_returned(value: Node) -> bool:
    parent = value.parent
    while parent is not None and parent.type in ("expression_list", "tuple"):
        parent = parent.parent
    return parent is not None and parent.type == "return_statement"


def _comma(found: _Derivative) -> str:
    return "," if found.cotangent is not None and len(found.names) == 1 else ""


def _differentiated(
    rw: Rewriter, found: _Derivative, grads: list[str]
) -> tuple[list[str], str | None]:
    """The lines that define the function and differentiate it, and the gradient as an expression.

    The expression is None where a line has bound the gradient to the names `grads` already.
    """
    rw.imports.needed.add(ROOTS["jax"])
    for leaf in found.leaves:
        rw.remove(leaf)
    out = rw.source[found.output] if found.output.type == "identifier" else None
    value = out if out in found.needed else None
    aux = [name for name in found.needed if name != value]
    rest = f"({', '.join(aux)})" if len(aux) > 1 else "".join(aux)
    parameters, lines = ", ".join(found.names), list[str]()
    returned = rw.value(found.output).within(Binding.TEST)
    if found.moved:
        function = rw.fresh("objective")
        lines = [f"def {function}({parameters}):", *_moved(rw, found.moved)]
        lines += [f"    return {returned}{', ' + rest if rest else ''}", ""]
    else:
        function = f"lambda {parameters}: {returned}"
    has_aux = ", has_aux=True" if rest else ""
    if found.cotangent is not None:
        pull = rw.fresh("pull")
        taken = ", ".join((value or "_", pull, *([rest] if rest else [])))
        lines.append(f"{taken} = jax.vjp({function}, {parameters}{has_aux})")
        return lines, f"{pull}({rw.value(found.cotangent).within(Binding.TEST)})"
    several = len(found.names) > 1
    argnums = f", argnums=({', '.join(map(str, range(len(found.names))))})" if several else ""
    made = f"jax.grad({function}{argnums}{has_aux})({parameters})"
    bound = f"({', '.join(grads)})" if len(grads) > 1 else grads[0]
    if value is not None:
        made = made.replace("jax.grad", "jax.value_and_grad", 1)
        first = f"({value}, {rest})" if rest else value
        lines.append(f"{first}, {bound} = {made}")
        return lines, None
    if rest:
        lines.append(f"{bound}, {rest} = {made}")
        return lines, None
    return lines, made


def _moved(rw: Rewriter, statements: list[Node]) -> list[str]:
    """The port of statements, as lines inside a function."""
    source = rw.source
    base = len(source.indent(statements[0]))
    start = source.line_start(statements[0].start)
    text = rw.edits.apply(source.text, start, source.next_line(statements[-1].end))
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(f"    {line[base:]}" if line.strip() else "")
    return lines


def _put(rw: Rewriter, node: Node, found: _Derivative, lines: list[str], last: str | None) -> None:
    """Put the lines in the place of the statements that are moved, and of the statement."""
    start = found.moved[0] if found.moved else node
    before, rw.current.before = rw.current.before, []
    written = [*before, *lines, *([last] if last is not None else [])]
    indent = rw.source.indent(start)
    above = (
        [child for child in node.parent.named() if child.end <= start.start] if node.parent else []
    )
    if found.moved and any(child not in found.leaves for child in above):
        written.insert(0, "")
    text = "\n".join(f"{indent}{line}" if line else "" for line in written)
    # From the start of the line, so that what was put before a statement that moved goes with it.
    rw.edits.replace(rw.source.line_start(start.start), node.end, text)
