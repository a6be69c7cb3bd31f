"""Subclasses of `torch.autograd.Function`: their methods, and what `backward` gives for each argument."""

from __future__ import annotations

from collections.abc import Iterator

from torchport_translators.source import kinds as k
from torchport_translators.source.scopes import Class, Function, Parameter
from torchport_translators.source.syntax import Node

FUNCTION = "torch.autograd.Function"
CONTEXT = "torch.autograd.FunctionCtx"
APPLY = "torch.autograd.Function.apply"


def is_custom(cls: Class | None) -> bool:
    """Whether a class is an operation with a gradient of its own."""
    return cls is not None and cls.bases == [k.Api(FUNCTION)]


def takes_context(cls: Class, function: Function) -> bool:
    """Whether the first parameter of a static method of the class is the context, `ctx`."""
    name = function.name
    return name in ("backward", "setup_context") or (
        name == "forward" and "setup_context" not in cls.methods
    )


def arguments(cls: Class) -> list[Parameter]:
    """The parameters of `forward`, the context left out."""
    forward = cls.methods.get("forward")
    if forward is None:
        return []
    return forward.parameters[1:] if takes_context(cls, forward) else forward.parameters


def returned(function: Function) -> Iterator[Node]:
    """What each `return` of a function gives; inner functions have their own."""
    stack = [function.node["body"]]
    while stack:
        node = stack.pop()
        if node.type in ("function_definition", "lambda", "class_definition"):
            continue
        if node.type == "return_statement":
            yield from node.named()[:1]
        else:
            stack += reversed(node.children)


def items(value: Node) -> list[Node] | None:
    """The items of a tuple that is written out."""
    if value.type == "parenthesized_expression":
        return items(value.named()[0])
    return value.named() if value.type in ("expression_list", "tuple") else None


def has_gradient(cls: Class, index: int) -> bool:
    """Whether `backward` gives more than None for an argument of `forward`."""
    backward = cls.methods.get("backward")
    if backward is None:
        return False
    for value in returned(backward):
        parts = items(value) or [value]
        if index >= len(parts) or parts[index].type != "none":
            return True
    return False
