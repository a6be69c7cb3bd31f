"""Arrays that are no parameters: MLX trains every array of a module that is not frozen.

Before:
    import torch
    from torch import nn

    class Scale(nn.Module):
        def __init__(self, n: int):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(n))
            self.shift = torch.zeros(n)
            self.register_buffer("mask", torch.ones(n))

        def forward(self, x):
            self.last = x * self.gain + self.shift
            return self.last * self.mask
After (mlx):
    import mlx.core as mx
    import mlx.nn as nn

    class Scale(nn.Module):
        def __init__(self, n: int):
            super().__init__()
            self.gain = mx.ones((n,))
            self.shift = mx.zeros((n,))
            self.mask = mx.ones((n,))
            self.freeze(keys=["shift", "mask", "last"], recurse=False)

        def __call__(self, x):
            self.last = x * self.gain + self.shift
            return self.last * self.mask
Why:
    In torch a parameter is an `nn.Parameter`, and any other tensor a module holds is not trained.
When not:
    The attribute's name begins with `_`: MLX trains nothing there. Where it is a parameter or a module
    in torch, that is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator

from torchport_translators.rewriter import Rewriter
from torchport_translators.source import kinds as k
from torchport_translators.source.scopes import Class
from torchport_translators.source.syntax import Node


def freeze(rw: Rewriter, cls: Class) -> None:
    """Freeze, at the end of the constructor, what the class's methods keep and torch does not train."""
    if not cls.is_module:
        return
    names = frozen(rw, cls)
    if not names:
        return
    line = f"self.freeze(keys=[{', '.join(names)}], recurse=False)"
    constructor = cls.methods.get("__init__")
    if constructor is None:
        body = cls.node["body"]
        first = next(child for child in body.children if not _is_docstring(child))
        indent = rw.indent(first)
        text = (
            f"def __init__(self):\n{indent}    super().__init__()\n{indent}    {line}\n\n{indent}"
        )
        rw.edits.insert(first.start, text)
        return
    last = constructor.node["body"].named()[-1]
    line = (
        line.replace("self", constructor.parameters[0].name, 1) if constructor.parameters else line
    )
    if not rw.source.starts_line(last):
        rw.edits.insert(last.end, f"; {line}")
        return
    rw.edits.insert(rw.source.line_end(last.end), f"\n{rw.indent(last)}{line}")


def frozen(rw: Rewriter, cls: Class) -> list[str]:
    """The names to freeze, quoted, in the order in which they stand."""
    kept: dict[str, bool] = {}
    for name, node, trained in _kept(rw, cls):
        if name.startswith("_"):
            if trained:
                rw.find(
                    "not-trained",
                    f"{name} begins with an underscore: MLX does not train what is kept there",
                    node,
                )
            continue
        if not _is_module(node):
            kept[name] = kept.get(name, False) or trained
    return [f'"{name}"' for name, trained in kept.items() if not trained]


def _kept(rw: Rewriter, cls: Class) -> Iterator[tuple[str, Node, bool]]:
    """What methods assign to attributes of the module: the name, the value, and whether it is trained."""
    for statement in rw.source.nodes("expression_statement", cls.node):
        inner = statement.children[0]
        if rw.inference.class_at(inner) is not cls:
            continue
        if inner.type == "call" and isinstance(inner["function"].kind, k.Method):
            positional, _ = rw.arguments(inner)
            name = rw.literal(positional[0]) if positional else None
            if inner["function"].kind.name == "register_buffer" and name is not None:
                yield str(name[0]), inner, False
        elif inner.type == "assignment" and inner.get("right") is not None:
            left, right = inner["left"], inner["right"]
            if left.type != "attribute" or left["object"].kind != k.Instance(cls=cls):
                continue
            name = rw.source[left["attribute"]]
            match right.kind:
                case k.Tensor():
                    yield name, right, right.kind.variable and not _is_constant(rw, right)
                case k.Sequence(element=k.Tensor() as item):
                    yield name, right, item.variable
                case k.Sequence(items=tuple() as items) if items:
                    if all(isinstance(item, k.Tensor) and not item.variable for item in items):
                        yield name, right, False
                case k.Instance() if _is_module(right):
                    yield name, right, True
                case _:
                    continue


def _is_constant(rw: Rewriter, value: Node) -> bool:
    """`nn.Parameter(..., requires_grad=False)`"""
    if rw.called_api(value) != "torch.nn.Parameter":
        return False
    positional, keywords = rw.arguments(value)
    flag = positional[1] if len(positional) > 1 else keywords.get("requires_grad")
    return flag is not None and rw.literal(flag) == (False,)


def _is_module(node: Node) -> bool:
    kind = node.kind
    if not isinstance(kind, k.Instance):
        return False
    return (kind.cls is not None and kind.cls.is_module) or (kind.api or "").startswith("torch.nn.")


def _is_docstring(node: Node) -> bool:
    return node.type == "expression_statement" and node.children[0].type == "string"
