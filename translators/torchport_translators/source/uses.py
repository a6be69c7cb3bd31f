"""Which of torch's API a source uses, and where."""

from __future__ import annotations

from collections.abc import Iterator

from torchport_translators.source import kinds as k
from torchport_translators.source.infer import Inference
from torchport_translators.source.syntax import Malformed, Node, Source

_OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod",
    "**": "pow", "@": "matmul", "&": "and", "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift",
    "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne",
}  # fmt: skip


def named_uses(inference: Inference) -> Iterator[tuple[int, int, str]]:
    """Each name of torch's API: the offsets of what names it, and its full name.

    A method is named by what follows the dot: `sum` in `x.sum()` is `torch.Tensor.sum`.
    """
    for node in inference.source.root.walk():
        if node.type not in ("identifier", "attribute"):
            continue
        match node.kind:
            case k.Api(path) if not _continues(node):
                api = path
            case k.Method(k.Tensor(), name):
                api = f"torch.Tensor.{name}"
            case _:
                continue
        named = node
        if node.type == "attribute":
            try:
                named = node["attribute"]
            except Malformed:
                continue
        start = node if node.type == "identifier" or isinstance(node.kind, k.Api) else named
        yield start.start, named.end, api


def operator_uses(inference: Inference) -> Iterator[tuple[int, int, str]]:
    """Each operator on a tensor, as the method that it calls: `torch.Tensor.__add__`."""
    for node in inference.source.root.walk():
        try:
            name = _operator(inference.source, node)
        except Malformed:
            continue
        if name:
            yield node.start, node.end, f"torch.Tensor.__{name}__"


def _operator(source: Source, node: Node) -> str:
    match node.type:
        case "binary_operator" if _is_tensor(node["left"]) or _is_tensor(node["right"]):
            return _OPERATORS.get(source[node["operator"]], "")
        case "augmented_assignment" if _is_tensor(node["left"]):
            name = _OPERATORS.get(source[node["operator"]].removesuffix("="), "")
            return f"i{name}" if name else ""
        case "comparison_operator" if any(_is_tensor(child) for child in node.named()):
            found = (_OPERATORS.get(child.type) for child in node.children)
            return next((name for name in found if name), "")
        case "subscript" if _is_tensor(node["value"]):
            parent = node.parent
            stored = parent is not None and parent.type in ("assignment", "augmented_assignment")
            return "setitem" if stored and node.field == "left" else "getitem"
        case _:
            return ""


def _is_tensor(node: Node) -> bool:
    return isinstance(node.kind, k.Tensor)


def _continues(node: Node) -> bool:
    """`nn` in `nn.Linear`: the whole name says more. Names in import statements are not uses."""
    parent = node.parent
    if parent is None or parent.type in ("dotted_name", "aliased_import"):
        return True
    return parent.type == "attribute" and node.field == "object" and isinstance(parent.kind, k.Api)
