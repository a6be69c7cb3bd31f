"""The kinds that annotations state."""

from __future__ import annotations

from typing import Protocol

from torchport_translators.source import kinds as k
from torchport_translators.source.kinds import Kind
from torchport_translators.source.results import instance_of
from torchport_translators.source.scopes import Scope
from torchport_translators.source.syntax import Node, Source

SCALAR_CLASSES: dict[str, Kind] = {"int": k.INT, "float": k.FLOAT, "bool": k.BOOL, "str": k.STR}


class Reader(Protocol):
    """What reading an annotation asks of inference."""

    source: Source

    def infer(self, node: Node, scope: Scope) -> Kind: ...

    def member(self, owner: Kind, name: str) -> Kind: ...


def annotated(reader: Reader, node: Node, scope: Scope) -> Kind:
    """The kind of a value annotated so; UNKNOWN where it says nothing of use."""
    match node.type:
        case "type" | "parenthesized_expression":
            return annotated(reader, node.children[0], scope) if node.children else k.UNKNOWN
        case "none":
            return k.NONE
        case "string":
            return _named(reader, reader.source[node].strip("\"'"), scope)
        case "identifier" | "attribute":
            kind = reader.infer(node, scope)
            match kind:
                case k.Api(path):
                    return instance_of(path)
                case k.ClassRef(cls):
                    return k.Instance(cls=cls)
                case k.External(path) if path.startswith("builtins."):
                    name = path.removeprefix("builtins.")
                    if name in SCALAR_CLASSES:
                        return SCALAR_CLASSES[name]
                    if name in ("list", "tuple", "set"):
                        return k.Sequence(name)
                    return k.Mapping() if name == "dict" else k.UNKNOWN
                case k.External("typing.List"):
                    return k.Sequence("list")
                case k.External("typing.Tuple"):
                    return k.Sequence("tuple")
                case k.External(path) if path.startswith("numpy."):
                    return k.Scalar("ndarray")
                case _:
                    return k.UNKNOWN
        case "binary_operator":
            parts = [annotated(reader, child, scope) for child in (node["left"], node["right"])]
            return k.join(parts[0], parts[1])
        case "generic_type" | "subscript":
            head, *arguments = [
                inner
                for child in node.named()
                for inner in (child.named() if child.type == "type_parameter" else [child])
            ]
            return _generic(reader, head, arguments, scope)
        case _:
            return k.UNKNOWN


def _generic(reader: Reader, head: Node, arguments: list[Node], scope: Scope) -> Kind:
    base = reader.infer(head, scope)
    path = base.path if isinstance(base, k.External) else ""
    name = path.rpartition(".")[2]
    if path.startswith("jaxtyping."):
        return k.TENSOR
    parts = [annotated(reader, argument, scope) for argument in arguments]
    match name:
        case "Optional" | "Final" | "Annotated" | "ClassVar":
            return parts[0] if parts else k.UNKNOWN
        case "Union":
            result = parts[0]
            for part in parts[1:]:
                result = k.join(result, part)
            return result
        case "list" | "List" | "Sequence" | "Iterable" | "Iterator" | "set" | "Set":
            return k.Sequence("list", element=parts[0] if parts else k.UNKNOWN)
        case "tuple" | "Tuple":
            if arguments and reader.source[arguments[-1]] == "...":
                return k.Sequence("tuple", element=parts[0])
            return k.Sequence("tuple", tuple(parts))
        case "dict" | "Dict" | "Mapping":
            return k.Mapping(parts[-1] if parts else k.UNKNOWN)
        case _:
            return k.UNKNOWN


def _named(reader: Reader, dotted: str, scope: Scope) -> Kind:
    """The kind of a value annotated with a name inside a string."""
    head, *rest = dotted.split(".")
    if not head.isidentifier():
        return k.UNKNOWN
    kind = scope.lookup(head)
    for name in rest:
        kind = reader.member(kind, name)
    match kind:
        case k.Api(path):
            return instance_of(path)
        case k.ClassRef(cls):
            return k.Instance(cls=cls)
        case k.External(path):
            return SCALAR_CLASSES.get(path.removeprefix("builtins."), k.UNKNOWN)
        case _:
            return k.UNKNOWN
