"""`torch.autograd.Function`: a function with a gradient of its own, by `jax.custom_vjp`.

Before:
    import torch

    class Scaled(torch.autograd.Function):
        '''Clamps, and scales the gradient.'''

        @staticmethod
        def forward(ctx, x, scale: float):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx, grad):
            # where it is not clamped
            (x,) = ctx.saved_tensors
            return grad * (x > 0) * ctx.scale, None

    def use(x: torch.Tensor):
        return Scaled.apply(x, 0.5)
After (jax):
    from functools import partial

    import jax
    import jax.numpy as jnp

    @partial(jax.custom_vjp, nondiff_argnums=(1,))
    def Scaled(x, scale: float):
        '''Clamps, and scales the gradient.'''
        return Scaled_fwd(x, scale)[0]

    def Scaled_fwd(x, scale: float):
        return jnp.where(x < 0, 0, x), x

    def Scaled_bwd(scale, residuals, grad):
        # where it is not clamped
        x = residuals
        return (grad * (x > 0) * scale,)

    Scaled.defvjp(Scaled_fwd, Scaled_bwd)

    def use(x: jax.Array):
        return Scaled(x, 0.5)
Why:
    JAX differentiates functions, so the operation becomes one; what `ctx` carries from `forward` to
    `backward` is returned as residuals. Python values are no residuals: they are arguments that JAX
    leaves out of differentiation, and what is computed from shapes is computed again.
When not:
    `ctx` is used under a condition in `forward`, or handed on; tensors are changed in place
    (`mark_dirty`); `forward` draws random numbers; the class has a `jvp` of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.emit.imports import ROOTS
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source import kinds as k
from torchport_translators.source.custom_gradients import (
    APPLY,
    FUNCTION,
    arguments,
    has_gradient,
    is_custom,
    items,
    returned,
)
from torchport_translators.source.scopes import Class, Function, Parameter
from torchport_translators.source.syntax import Node, Source

_METHODS = frozenset(("forward", "backward", "setup_context"))
# Decorators that a port does not need: of methods, of mixed precision, of second derivatives.
_DROPPED = ("staticmethod", "once_differentiable", "custom_fwd", "custom_bwd")
_NOTES = frozenset(("mark_non_differentiable", "set_materialize_grads"))


@dataclass(slots=True)
class _Refused(Exception):
    """Why a class cannot be ported."""

    why: str
    node: Node


@dataclass(slots=True)
class _Operation:
    """A subclass of `torch.autograd.Function`, as its port needs it.

    Attributes:
        fixed: the indices of arguments that JAX leaves out of differentiation.
        setting: the method that fills the context: `forward`, or `setup_context`.
        saved: the names of what `save_for_backward` keeps.
        carried: attributes of the context that are residuals, to their names in `setting`.
        again: attributes that `backward` computes again, to the expressions.
        dropped: statements of `setting` that fall away.
        bound: attributes whose value `setting` binds to a name.
    """

    cls: Class
    forward: Function
    backward: Function
    setting: Function
    fixed: list[int]
    saved: list[str] = field(default_factory=list[str])
    carried: dict[str, str] = field(default_factory=dict[str, str])
    again: dict[str, Node] = field(default_factory=dict[str, Node])
    dropped: list[Node] = field(default_factory=list[Node])
    bound: dict[Node, str] = field(default_factory=dict[Node, str])

    @property
    def parameters(self) -> list[Parameter]:
        return arguments(self.cls)

    @property
    def fixed_names(self) -> list[str]:
        return [self.parameters[index].name for index in self.fixed]


@expression("attribute", target="jax")
def application(rw: Rewriter, node: Node) -> Code | None:
    """`Scaled.apply` is the function."""
    match node.kind:
        case k.Transformed(path=path, function=k.FunctionRef(function=function)) if path == APPLY:
            if rw.source[node["attribute"]] != "apply" or function.cls is None:
                return None
            return Code(rw.source[node["object"]]) if _is_ported(rw, function.cls) else None
        case _:
            return None


@statement("class_definition", target="jax")
def custom_gradient(rw: Rewriter, node: Node) -> bool:
    cls = rw.inference.class_of(node)
    if not is_custom(cls):
        return False
    base = node["superclasses"].named()[0]
    try:
        operation = _examine(rw, cls)
    except _Refused as refused:
        line, _ = rw.source.position(refused.node.start)
        rw.unported(base, f"{cls.name}: {refused.why} (line {line})", "no-rule", FUNCTION)
        return True
    rw.count(True)
    rw.edits.replace(node.start, node.end, _written(rw, operation))
    return True


def _is_ported(rw: Rewriter, cls: Class) -> bool:
    try:
        _examine(rw, cls)
    except _Refused:
        return False
    return True


# Reading the class


def _examine(rw: Rewriter, cls: Class) -> _Operation:
    """What the port of a class needs.

    Raises:
        _Refused: it does what a port cannot.
    """
    for child in cls.node["body"].named():
        _check_member(rw, child)
    forward, backward = cls.methods.get("forward"), cls.methods.get("backward")
    if forward is None or backward is None:
        raise _Refused("forward and backward are not both here", cls.node)
    setting = cls.methods.get("setup_context", forward)
    for function in (forward, backward, setting):
        if function.random or function.draws:
            raise _Refused("it draws random numbers; pass them as an argument", function.node)
    parameters = arguments(cls)
    for parameter in parameters:
        if parameter.form != "positional":
            raise _Refused("forward takes a variable number of arguments", parameter.node)
    fixed = [i for i, parameter in enumerate(parameters) if _is_fixed(forward, parameter, cls, i)]
    operation = _Operation(cls, forward, backward, setting, fixed)
    _read_setting(rw, operation)
    _check_backward(rw, operation)
    return operation


def _check_member(rw: Rewriter, node: Node) -> None:
    inner = node.get("definition") if node.type == "decorated_definition" else node
    if inner is not None and inner.type == "function_definition":
        if rw.source[inner["name"]] not in _METHODS:
            raise _Refused(f"it has a method {rw.source[inner['name']]}", inner)
        for child in node.children:
            text = rw.source[child].lstrip("@").split("(")[0].strip()
            if child.type == "decorator" and text.rpartition(".")[2] not in _DROPPED:
                raise _Refused(f"its method has the decorator {text}", child)
        return
    if node.type == "expression_statement" and node.children[0].type == "string":
        return
    if node.type == "pass_statement" or rw.source[node].startswith("generate_vmap_rule"):
        return
    raise _Refused("it has more than methods", node)


def _is_fixed(forward: Function, parameter: Parameter, cls: Class, index: int) -> bool:
    """Whether an argument is a Python value: it has no gradient, and is no tensor."""
    if has_gradient(cls, index):
        return False
    kind = (forward.entry or {}).get(parameter.name, k.UNKNOWN)
    if kind == k.NONE or kind == k.UNKNOWN:
        return parameter.default is not None and kind == k.UNKNOWN
    if isinstance(kind, k.Sequence | k.Mapping):
        return not isinstance(k.element(kind), k.Tensor | k.Unknown)
    return not isinstance(kind, k.Tensor)


def _read_setting(rw: Rewriter, operation: _Operation) -> None:
    """What the context is given: by `forward`, or by `setup_context`."""
    function = operation.setting
    body = function.node["body"]
    context = function.parameters[0].name if function.parameters else ""
    handled: set[Node] = set()
    for child in body.named():
        uses = _uses(rw, child, context)
        if not uses:
            continue
        if child.type != "expression_statement" or len(uses) != 1:
            raise _Refused("the context is used in a way that is not understood", child)
        _read_use(rw, operation, child, context)
        handled.update(uses)
    if set(_uses(rw, body, context)) - handled:
        raise _Refused("the context is used in a way that is not understood", body)
    values = list(returned(function))
    if function is operation.forward:
        last = body.named()[-1]
        if len(values) != 1 or last.type != "return_statement" or not last.named():
            raise _Refused("forward returns from more than its end", body)
    elif values:
        raise _Refused("setup_context returns a value", values[0])
    else:
        _drop_unpacking(rw, operation)


def _drop_unpacking(rw: Rewriter, operation: _Operation) -> None:
    """`x, scale = inputs` in `setup_context`: they are the parameters of the port."""
    given = operation.setting.parameters
    if len(given) != 3:
        raise _Refused("setup_context takes other than ctx, inputs and output", given[0].node)
    inputs = given[1].name
    names = [parameter.name for parameter in operation.parameters]
    uses = _uses(rw, operation.setting.node["body"], inputs)
    for child in operation.setting.node["body"].named():
        assignment = child.children[0] if child.type == "expression_statement" else child
        if assignment.type != "assignment" or assignment.get("right") is None:
            continue
        left, right = assignment["left"], assignment["right"]
        if rw.source[right] != inputs or left.type not in ("pattern_list", "tuple_pattern"):
            continue
        targets = [rw.source[target] for target in left.named()]
        if all(t in (n, "_") for t, n in zip(targets, names, strict=False)) and (
            len(targets) == len(names)
        ):
            operation.dropped.append(child)
            uses.remove(right)
    if uses:
        raise _Refused("inputs are not taken apart by the names that forward gives them", uses[0])


def _read_use(rw: Rewriter, operation: _Operation, node: Node, context: str) -> None:
    """One statement that gives the context something."""
    inner = node.children[0]
    if inner.type == "call" and inner["function"].type == "attribute":
        name = rw.source[inner["function"]["attribute"]]
        positional, keywords = rw.arguments(inner)
        if name == "save_for_backward" and not operation.saved and not keywords:
            for value in positional:
                if value.type != "identifier":
                    raise _Refused("what is saved has no name", value)
                _check_kept(rw, operation.setting, value, node)
            operation.saved += [rw.source[value] for value in positional]
            operation.dropped.append(node)
            return
        told = [rw.source[value] for value in chain(positional, keywords.values())]
        if name in _NOTES and told != ["False"]:
            operation.dropped.append(node)
            return
        raise _Refused(f"ctx.{name} has no counterpart", node)
    if inner.type != "assignment" or inner.get("right") is None:
        raise _Refused("the context is used in a way that is not understood", node)
    target, value = inner["left"], inner["right"]
    if target.type != "attribute" or rw.source[target["object"]] != context:
        raise _Refused("the context is used in a way that is not understood", node)
    name = rw.source[target["attribute"]]
    if name in (*operation.carried, *operation.again):
        raise _Refused(f"ctx.{name} is set twice", node)
    if isinstance(value.kind, k.Tensor):
        if value.type == "identifier":
            _check_kept(rw, operation.setting, value, node)
            operation.carried[name] = rw.source[value]
            operation.dropped.append(node)
        else:
            operation.carried[name] = name if _is_free(rw, operation, name) else f"{name}_saved"
            operation.bound[target] = operation.carried[name]
        return
    if not _is_repeatable(rw, operation, value):
        raise _Refused(f"ctx.{name} is neither a tensor nor follows from the arguments", value)
    operation.again[name] = value
    operation.dropped.append(node)


def _is_free(rw: Rewriter, operation: _Operation, name: str) -> bool:
    return all(
        not _uses(rw, function.node, name)
        for function in (operation.forward, operation.backward, operation.setting)
    )


def _check_kept(rw: Rewriter, function: Function, value: Node, at: Node) -> None:
    """A name that is bound anew after it was saved is no longer what was saved."""
    name = rw.source[value]
    for use in _uses(rw, function.node["body"], name):
        if use.start > at.end and _is_bound(use):
            raise _Refused(f"{name} is bound anew after it was saved", use)


def _is_bound(name: Node) -> bool:
    """Whether a name stands where a value is put."""
    node = name
    while node.parent is not None:
        if node.parent.type in ("assignment", "augmented_assignment", "for_statement"):
            return node.field == "left"
        if node.parent.type not in ("pattern_list", "tuple_pattern", "list_pattern", "subscript"):
            return False
        node = node.parent
    return False


def _is_repeatable(rw: Rewriter, operation: _Operation, value: Node) -> bool:
    """Whether an expression gives the same in `backward`, from the arguments alone."""
    own = {parameter.name for parameter in operation.parameters}
    body = operation.setting.node["body"]
    local = {rw.source[n] for n in rw.source.nodes("identifier", body) if _is_bound(n)}
    for name in rw.source.nodes("identifier", value):
        if name.field in ("attribute", "name"):
            continue
        text = rw.source[name]
        if text in own and not (text in local and operation.setting is operation.forward):
            continue
        if text in local or text in {p.name for p in operation.setting.parameters}:
            return False
    return True


def _check_backward(rw: Rewriter, operation: _Operation) -> None:
    function = operation.backward
    if len(function.parameters) < 2:
        raise _Refused("backward takes no gradient", function.node)
    context = function.parameters[0].name
    known = {*operation.carried, *operation.again, "needs_input_grad"}
    for use in _uses(rw, function.node["body"], context):
        parent = use.parent
        if parent is None or parent.type != "attribute" or use.field != "object":
            raise _Refused("the context is handed on", use)
        name = rw.source[parent["attribute"]]
        if name == "saved_tensors":
            _check_saved(rw, operation, parent)
        elif name not in known or _is_bound(parent):
            raise _Refused(f"ctx.{name} is not set by forward", parent)
        elif name == "needs_input_grad" and _index_of(rw, parent) is None:
            raise _Refused("ctx.needs_input_grad is used as a whole", parent)
    count = len(operation.parameters)
    for value in returned(function):
        parts = items(value)
        if parts is None:
            whole = isinstance(value.kind, k.Sequence)
            if (count == 1 and not whole) or (whole and not operation.fixed):
                continue
            raise _Refused("the gradients that backward returns cannot be told apart", value)
        if len(parts) < count or any(part.type == "list_splat" for part in parts):
            raise _Refused("backward does not return one gradient for each argument", value)
    if not list(returned(function)):
        raise _Refused("backward returns no gradient", function.node)


def _check_saved(rw: Rewriter, operation: _Operation, node: Node) -> None:
    """`ctx.saved_tensors` is taken apart, or indexed."""
    targets = _targets(node)
    if targets is not None:
        if len(targets) != len(operation.saved):
            raise _Refused("saved_tensors are not as many as are saved", node)
        return
    index = _index_of(rw, node)
    if index is None or not -len(operation.saved) <= index < len(operation.saved):
        raise _Refused("ctx.saved_tensors is used as a whole", node)


def _targets(node: Node) -> list[Node] | None:
    """The names that a tuple is taken apart into."""
    assignment = node.parent
    if assignment is None or assignment.type != "assignment" or node.field != "right":
        return None
    left = assignment["left"]
    if left.type not in ("pattern_list", "tuple_pattern", "list_pattern"):
        return None
    targets = left.named()
    return targets if all(target.type == "identifier" for target in targets) else None


def _index_of(rw: Rewriter, node: Node) -> int | None:
    subscript = node.parent
    if subscript is None or subscript.type != "subscript" or node.field != "value":
        return None
    literal = rw.literal(subscript["subscript"])
    return literal[0] if literal is not None and isinstance(literal[0], int) else None


def _uses(rw: Rewriter, node: Node, name: str) -> list[Node]:
    """Where a name is used, attributes and keywords of that name left out."""
    return [
        inner
        for inner in rw.source.nodes("identifier", node)
        if rw.source[inner] == name and inner.field not in ("attribute", "name")
    ]


# Writing the functions


def _written(rw: Rewriter, operation: _Operation) -> str:
    rw.imports.needed.add(ROOTS["jax"])
    cls, base = operation.cls, rw.source.indent(operation.cls.node)
    name = cls.name
    names = ", ".join(parameter.name for parameter in operation.parameters)
    signature = _signature(rw, operation)
    decorator = "@jax.custom_vjp"
    if operation.fixed:
        rw.imports.needed.add(ROOTS["partial"])
        decorator = f"@partial(jax.custom_vjp, nondiff_argnums={tuple(operation.fixed)})"
    documented = _docstring(rw, cls)
    residuals = list(dict.fromkeys((*operation.saved, *operation.carried.values())))
    repeated = _inputs_again(rw, operation)
    residuals += [name for name in repeated if name not in residuals]
    for target, held in operation.bound.items():
        _decide(rw, target, Code(held))

    kept = _tuple(residuals) if residuals else "()"
    apart = operation.setting is not operation.forward
    result = operation.forward.node.get("return_type")
    states = f" -> {rw.splice(result).text}" if result is not None else ""
    inside = base + "    "
    parts: list[str] = []
    if apart:
        head = f"{decorator}\n{base}def {name}({signature}){states}:\n{documented}"
        parts.append(head + _body(rw, operation.forward, operation))
        output = operation.setting.parameters[2].name
        call = f"{inside}{output} = {name}({names})\n"
        body = _body(rw, operation.setting, operation)
        lines = f"{call}{body}\n" if body else call
        parts.append(f"def {name}_fwd({signature}):\n{lines}{inside}return {output}, {kept}")
    else:
        head = f"{decorator}\n{base}def {name}({signature}){states}:\n{documented}"
        parts.append(f"{head}{inside}return {name}_fwd({names})[0]")
        (value,) = returned(operation.forward)
        rw.decided[value] = _with_residuals(rw, value, kept)
        parts.append(f"def {name}_fwd({signature}):\n" + _body(rw, operation.forward, operation))
    gradients = [parameter.name for parameter in operation.backward.parameters[1:]]
    several = len(gradients) > 1 or operation.backward.parameters[1].form == "vararg"
    first = "" if not several else "gradients"
    if operation.backward.parameters[1].form == "vararg":
        first = gradients[0]
    taken = ", ".join((*operation.fixed_names, "residuals", first or gradients[0]))
    lines = "" if first in ("", gradients[0]) else f"{inside}{', '.join(gradients)} = {first}\n"
    lines += _decide_backward(rw, operation, residuals)
    parts.append(f"def {name}_bwd({taken}):\n{lines}" + _body(rw, operation.backward, operation))
    parts.append(f"{name}.defvjp({name}_fwd, {name}_bwd)")
    blank = "\n\n\n" if not base else "\n\n"
    return (blank + base).join(parts)


def _tuple(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def _with_residuals(rw: Rewriter, value: Node, kept: str) -> Callable[[], Code]:
    node = value
    while node.type == "parenthesized_expression":
        node = node.named()[0]

    def text() -> Code:
        inner = rw.splice(node).text if node.type == "expression_list" else None
        shown = f"({inner})" if inner is not None else _own(rw, value).within(Binding.TEST)
        return Code(f"{shown}, {kept}", Binding.TUPLE)

    return text


def _signature(rw: Rewriter, operation: _Operation) -> str:
    return ", ".join(rw.splice(parameter.node).text for parameter in operation.parameters)


def _docstring(rw: Rewriter, cls: Class) -> str:
    for child in cls.node["body"].named()[:1]:
        if child.type == "expression_statement" and child.children[0].type == "string":
            return f"{rw.source.indent(child)}{rw.source[child]}\n"
    return ""


def _inputs_again(rw: Rewriter, operation: _Operation) -> list[str]:
    """Arguments from which `backward` computes what the context held."""
    own = {p.name for p in operation.parameters} - set(operation.fixed_names)
    return [
        rw.source[name]
        for value in operation.again.values()
        for name in rw.source.nodes("identifier", value)
        if rw.source[name] in own and name.field not in ("attribute", "name")
    ]


def _names_in_backward(
    rw: Rewriter, operation: _Operation, residuals: list[str]
) -> tuple[dict[str, str], bool]:
    """What `backward` calls the residuals; and whether the author's own line takes them apart."""
    body = operation.backward.node["body"]
    names = {name: name for name in residuals}
    saved = [
        node
        for node in rw.source.nodes("attribute", body)
        if rw.source[node["attribute"]] == "saved_tensors"
    ]
    targets = _targets(saved[0]) if len(saved) == 1 else None
    if targets is not None and len(set(operation.saved)) == len(operation.saved):
        assignment = saved[0].parent
        line = assignment.parent if assignment is not None else None
        if residuals == operation.saved:
            return names, True
        if line is not None and line.parent is body:
            for name, target in zip(operation.saved, targets, strict=True):
                names[name] = name if rw.source[target] == "_" else rw.source[target]
            operation.dropped.append(line)
    gradients = {parameter.name for parameter in operation.backward.parameters}
    for name, held in names.items():
        taken = held in gradients or any(
            _is_bound(use) and not _repeats(rw, operation, use)
            for use in _uses(rw, body, held)
            if not any(line.start <= use.start < line.end for line in operation.dropped)
        )
        names[name] = f"{held}_saved" if taken else held
    return names, False


def _repeats(rw: Rewriter, operation: _Operation, name: Node) -> bool:
    """`mask = ctx.mask`, where `mask` is what the residual is called."""
    assignment = name.parent
    value = assignment.get("right") if assignment is not None else None
    return (
        value is not None
        and value.type == "attribute"
        and rw.source[value["object"]] == operation.backward.parameters[0].name
        and operation.carried.get(rw.source[value["attribute"]]) == rw.source[name]
    )


def _decide_backward(rw: Rewriter, operation: _Operation, residuals: list[str]) -> str:
    """Decide what stands for the context in `backward`; the line that takes the residuals apart."""
    body = operation.backward.node["body"]
    names, own_line = _names_in_backward(rw, operation, residuals)
    context = operation.backward.parameters[0].name
    for value in operation.again.values():
        for inner in rw.source.nodes("identifier", value):
            if rw.source[inner] in names and inner.field not in ("attribute", "name"):
                held = names[rw.source[inner]]
                rw.decided[inner] = lambda held=held: Code(held)
    for use in _uses(rw, body, context):
        attribute = use.parent
        assert attribute is not None
        outer = attribute.parent
        assert outer is not None
        name = rw.source[attribute["attribute"]]
        index = _index_of(rw, attribute)
        if name == "needs_input_grad":
            _decide(rw, outer, Code(str(index not in operation.fixed)))
        elif name == "saved_tensors" and index is not None:
            _decide(rw, outer, Code(names[operation.saved[index]]))
        elif name == "saved_tensors":
            targets = _targets(attribute) or []
            if len(targets) == 1:  # one residual is in no tuple
                _decide(rw, outer["left"], Code(rw.source[targets[0]]))
            held = ", ".join(names[saved] for saved in operation.saved)
            _decide(rw, attribute, Code("residuals" if own_line else held, Binding.TUPLE))
        elif name in operation.carried:
            _decide(rw, attribute, Code(names[operation.carried[name]]))
        else:
            value = operation.again[name]
            rw.decided[attribute] = lambda value=value: rw.expr(value)
    for value in returned(operation.backward):
        rw.decided[value] = _gradients(rw, operation, value)
    if own_line or not residuals:
        return ""
    indent = rw.source.indent(operation.cls.node) + "    "
    return f"{indent}{', '.join(names[name] for name in residuals)} = residuals\n"


def _decide(rw: Rewriter, node: Node, code: Code) -> None:
    rw.decided[node] = lambda: code


def _gradients(rw: Rewriter, operation: _Operation, value: Node) -> Callable[[], Code]:
    """The gradients that `backward` returns, as a tuple, those of fixed arguments left out."""

    def text() -> Code:
        parts = items(value)
        if parts is None:
            shown = _own(rw, value)
            if isinstance(value.kind, k.Sequence):
                return shown
            return Code(f"({shown.within(Binding.TEST)},)")
        kept = [
            rw.value(part).within(Binding.TEST)
            for index, part in enumerate(parts[: len(operation.parameters)])
            if index not in operation.fixed
        ]
        if len(kept) == 1:
            return Code(f"({kept[0]},)")
        return Code(", ".join(kept), Binding.TUPLE)

    return text


def _own(rw: Rewriter, node: Node) -> Code:
    """The port of an expression on which something is decided that holds it."""
    decided = rw.decided.pop(node)
    code = rw.value(node)
    rw.decided[node] = decided
    return code


def _body(rw: Rewriter, function: Function, operation: _Operation) -> str:
    """A method's body as the body of a function: written, and moved to the left."""
    source = rw.source
    outer, rw.function = rw.function, function
    body = function.node["body"]
    for child in body.children:
        if child in operation.dropped:
            rw.remove(child)
        else:
            rw.statement(child)
    rw.function = outer
    start = source.line_start(body.start)
    if start <= function.node["name"].start:  # the body stands on the line of `def`
        inside = source.indent(operation.cls.node) + "    "
        return inside + rw.edits.apply(source.text, body.start, body.end)
    first = function.node.get("return_type") or function.node["parameters"]
    start = source.next_line(first.end)
    text = rw.edits.apply(source.text, start, source.next_line(body.end))
    extra = len(source.indent(function.node)) - len(source.indent(operation.cls.node))
    return _moved(text, extra).rstrip()


def _moved(text: str, extra: int) -> str:
    """Text with each line's indentation less by `extra`, but for what strings hold."""
    read = Source(text)
    strings = [(n.start, n.end) for n in read.nodes("string") if "\n" in read[n]]
    lines: list[str] = []
    at = 0
    for line in text.splitlines(keepends=True):
        inside = any(start < at < end for start, end in strings)
        blank = not line[:extra].strip(" \t")
        lines.append(line[extra:] if blank and not inside and line.strip() else line)
        at += len(line)
    return "".join(lines)


@expression("boolean_operator", target="jax")
def wanted_and_more(rw: Rewriter, node: Node) -> Code | None:
    """`bias is not None and ctx.needs_input_grad[2]`"""
    left, right = node["left"], node["right"]
    for one, other in ((left, right), (right, left)):
        decided = rw.decided.get(one)
        if decided is not None and rw.source[node["operator"]] == "and":
            return rw.expr(other) if decided().text == "True" else None
    return None


@statement("if_statement", target="jax")
def wanted_gradient(rw: Rewriter, node: Node) -> bool:
    """`if ctx.needs_input_grad[0]:` is always so: what is not wanted, jit leaves out."""
    condition = node["condition"]
    decided = rw.decided.get(condition)
    if decided is None or any(child.field == "alternative" for child in node.children):
        return False
    if decided().text == "False":
        rw.remove(node)
        return True
    body = node["consequence"]
    if not rw.source.starts_line(body.children[0]):
        rw.edits.replace(node.start, body.start, "")
        rw.block(body)
        return True
    rw.block(body)
    start, end = rw.source.line_start(body.start), body.end
    extra = len(rw.source.indent(body.children[0])) - len(rw.source.indent(node))
    moved = _moved(rw.edits.apply(rw.source.text, start, end), extra)
    rw.edits.replace(node.start, node.end, moved[len(rw.source.indent(node)) :])
    return True
