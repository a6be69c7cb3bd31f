'''Module classes: the constructor keeps its arguments, takes `rngs` and needs no `super().__init__()`.

Before:
    from torch import nn

    class Net(nn.Module):
        """Two layers."""

        def __init__(self, width: int):
            super().__init__()
            self.inner = nn.Embedding(10, width)  # tokens
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(self.inner(x))

    def build():
        return Net(8)
After (jax):
    from flax import nnx

    class Net(nnx.Module):
        """Two layers."""

        def __init__(self, width: int, *, rngs: nnx.Rngs):
            self.inner = Embedding(10, width, rngs=rngs)  # tokens
            self.act = nnx.relu

        def __call__(self, x):
            return self.act(self.inner(x))

    def build(*, rngs: nnx.Rngs):
        return Net(8, rngs=rngs)
After (mlx):
    import mlx.nn as nn

    class Net(nn.Module):
        """Two layers."""

        def __init__(self, width: int):
            super().__init__()
            self.inner = Embedding(10, width)  # tokens
            self.act = nn.ReLU()

        def __call__(self, x):
            return self.act(self.inner(x))

    def build():
        return Net(8)
Why:
    A flax module has nothing to initialise before its attributes are set. Parameters are drawn when
    it is built, so every constructor on the way is given the random state. MLX has random state of
    its own, and its modules are initialised before anything else, as torch's are.
When not:
    A constructor that builds nothing random takes no `rngs`.
'''

from __future__ import annotations

from torchport_translators.catalogue.code import Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.frozen_arrays import freeze
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source import kinds as k
from torchport_translators.source.custom_gradients import is_custom
from torchport_translators.source.scopes import Class, Function
from torchport_translators.source.syntax import Node


@statement("class_definition")
def class_definition(rw: Rewriter, node: Node) -> bool:
    cls = rw.inference.class_of(node)
    if is_custom(cls):
        return False
    superclasses = node.get("superclasses")
    if superclasses is not None:
        rw.write(superclasses)
    body = node["body"]
    constructor = cls.methods.get("__init__")
    lines = setup_lines(rw, cls)
    if constructor is None and lines and cls.method("__init__") is None:
        _add_constructor(rw, body, lines)
    for child in body.children:
        own = constructor is not None and child is constructor.node and not lines
        if own and constructor is not None and _does_nothing(rw, constructor):
            _remove_definition(rw, child)
        else:
            rw.statement(child)
    if not rw.idioms.variables:
        freeze(rw, cls)
    return True


@statement("expression_statement", target="jax")
def super_init(rw: Rewriter, node: Node) -> bool:
    """`super().__init__()` of `nn.Module` gives way to the attributes that the port needs."""
    cls = rw.cls
    if cls is None or not _is_super_init(rw, node):
        return False
    lines = setup_lines(rw, cls)
    if lines:
        rw.replace(node, f"\n{rw.indent(node)}".join(lines))
    elif not rw.function.node["body"].named()[1:]:
        rw.edits.replace(node.start, node.end, "pass")
    else:
        rw.remove(node)
    return True


def setup_lines(rw: Rewriter, cls: Class) -> list[str]:
    """What the constructor of the class sets before anything else."""
    if not rw.idioms.variables:
        return []
    if not cls.is_module:
        return ["self.rngs = rngs"] if cls.keeps_rngs else []
    lines = ["self.deterministic = False"] if cls.reads_training else []
    return lines + (["self.rngs = rngs"] if cls.keeps_rngs else [])


def add_setup(rw: Rewriter, constructor: Function) -> None:
    """Set what the port needs where no `super().__init__()` of nn.Module gives way to it."""
    lines = setup_lines(rw, constructor.cls) if constructor.cls is not None else []
    statements = constructor.node["body"].named()
    if (
        not lines
        or not statements
        or any(s.type == "expression_statement" and _is_super_init(rw, s) for s in statements)
    ):
        return
    docstring = statements[0].type == "expression_statement" and (
        statements[0].children[0].type == "string"
    )
    first = statements[1 if docstring and len(statements) > 1 else 0]
    indent = rw.indent(first)
    rw.edits.insert(first.start, "".join(f"{line}\n{indent}" for line in lines))


def _is_super_init(rw: Rewriter, node: Node) -> bool:
    call = node.children[0]
    if call.type != "call" or call["function"].type != "attribute":
        return False
    function = call["function"]
    if rw.source[function["attribute"]] != "__init__":
        return False
    owner = function["object"]
    if isinstance(owner.kind, k.Super):
        plain = owner.kind.cls.bases == [k.Api("torch.nn.Module")]
        return plain and isinstance(function.kind, k.Method)
    return isinstance(owner.kind, k.Api) and owner.kind.path == "torch.nn.Module"


@expression("call")
def super_init_of_layer(rw: Rewriter, node: Node) -> Code | None:
    """`super().__init__(...)` of a torch layer that the class extends: it is given `rngs`."""
    function = node["function"]
    match function.kind:
        case k.Method(k.Instance(api=str() as api), "__init__") if isinstance(
            function["object"].kind, k.Super
        ):
            rules = rw.catalogue.find(api)
            return rw.with_rngs(node) if rules and rules[-1].random else None
        case _:
            return None


def _does_nothing(rw: Rewriter, constructor: Function) -> bool:
    """Whether a constructor without parameters only calls nn.Module's."""
    statements = constructor.node["body"].named()
    return (
        rw.idioms.variables
        and len(constructor.parameters) == 1
        and not constructor.random
        and len(statements) == 1
        and statements[0].type == "expression_statement"
        and _is_super_init(rw, statements[0])
        and not any(child.type == "comment" for child in constructor.node.walk())
        and len(constructor.node.parent.named() if constructor.node.parent else ()) > 1
    )


def _remove_definition(rw: Rewriter, node: Node) -> None:
    """Take a method out with the blank lines after it."""
    text = rw.source.text
    start = rw.source.line_start(node.start)
    end = node.end
    while end < len(text) and text[end] in " \t\r\n":
        end += 1
    rw.edits.replace(start, rw.source.line_start(end), "")


def _add_constructor(rw: Rewriter, body: Node, lines: list[str]) -> None:
    first = body.children[0]
    for child in body.children:
        if child.type != "expression_statement" or child.children[0].type != "string":
            first = child
            break
    indent = rw.indent(first)
    rngs = ", *, rngs: nnx.Rngs" if "self.rngs = rngs" in lines else ""
    inner = "".join(f"\n{indent}    {line}" for line in lines)
    rw.edits.insert(first.start, f"def __init__(self{rngs}):{inner}\n\n{indent}")
