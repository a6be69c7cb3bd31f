"""A lambda that calls the module's layers, kept as an attribute: a method.

Before:
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = nn.ModuleDict(dict(act=nn.ReLU(), out=nn.Sigmoid()))
            m = self.mlp
            self.mlpf = lambda x: m.out(m.act(x))  # forward

        def forward(self, x):
            return self.mlpf(x)
After (jax):
    from flax import nnx

    class Block(nnx.Module):
        def __init__(self):
            self.mlp = nnx.Dict(dict(act=nnx.relu, out=nnx.sigmoid))

        def mlpf(self, x):  # forward
            m = self.mlp
            return m.out(m.act(x))

        def __call__(self, x):
            return self.mlpf(x)
Why:
    A transformation such as `nnx.jit` or `nnx.grad` runs the module with other values in its
    variables. A lambda would still hold the layers that it was made with, and so constants.
When not:
    The lambda uses no module, or something else of the constructor that a method cannot see.
"""

from __future__ import annotations

from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node


@statement("expression_statement", target="jax")
def lambda_attribute(rw: Rewriter, node: Node) -> bool:
    function = rw.function
    if function.cls is None or not function.is_constructor or not function.cls.is_module:
        return False
    assignment = node.children[0]
    if _is_alias_for_lambda(rw, assignment):
        rw.remove(node)
        return True
    made = _lambda_of(rw, assignment)
    if made is None:
        return False
    aliases = _aliases(rw, made)
    if aliases is None:
        return False
    indent = rw.indent(function.node)
    inner = rw.indent(node)
    parameters = made.get("parameters")
    names = f", {rw.source[parameters]}" if parameters is not None else ""
    name = rw.source[assignment["left"]["attribute"]]
    lines = [f"{rw.source[alias]}" for alias in aliases.values()]
    outer, rw.function = rw.function, rw.inference.functions[made]
    with rw.deferred():
        lines.append(f"return {rw.expr(made['body']).text}")
    rw.function = outer
    receiver = function.parameters[0].name
    body = "".join(f"\n{inner}{line}" for line in lines)
    end = rw.source.line_end(node.end)
    comment = rw.source.text[node.end : end].strip()
    head = f"def {name}({receiver}{names}):" + (f"  {comment}" if comment else "")
    rw.remove(node, comment=True)
    after = rw.source.next_line(function.node.end)
    rw.edits.insert(after, f"\n{indent}{head}{body}\n")
    return True


def _lambda_of(rw: Rewriter, assignment: Node) -> Node | None:
    """The lambda that an assignment to an attribute of the module keeps."""
    if assignment.type != "assignment" or assignment.get("right") is None:
        return None
    left, right = assignment["left"], assignment["right"]
    if right.type != "lambda" or left.type != "attribute":
        return None
    owner = left["object"].kind
    return right if isinstance(owner, k.Instance) and owner.cls is rw.cls else None


def _aliases(rw: Rewriter, made: Node) -> dict[str, Node] | None:
    """Constructor locals that a lambda uses, each with the statement that makes it from `self`.

    None if it uses no module, or a local that is made of anything else.
    """
    function = rw.function
    receiver = function.parameters[0].name
    own = {parameter.name for parameter in rw.inference.functions[made].parameters}
    used = {
        rw.source[inner]
        for inner in rw.source.nodes("identifier", made["body"])
        if inner.field != "attribute"
    } - own
    local = {parameter.name for parameter in function.parameters[1:]}
    found: dict[str, Node] = {}
    for inner in rw.source.nodes("assignment", function.node["body"]):
        if inner["left"].type != "identifier":
            continue
        name = rw.source[inner["left"]]
        right = inner.get("right")
        if name in used and right is not None:
            plain = right.type == "attribute" and rw.source[right["object"]] == receiver
            if not plain or name in found:
                return None
            found[name] = inner
        local.add(name)
    if (used & local) - set(found) or not (found or receiver in used):
        return None
    return found


def _is_alias_for_lambda(rw: Rewriter, assignment: Node) -> bool:
    """Whether a local of the constructor serves only lambdas that become methods."""
    if assignment.type != "assignment" or assignment["left"].type != "identifier":
        return False
    name = rw.source[assignment["left"]]
    inside: set[Node] = set()
    for inner in rw.source.nodes("assignment", rw.function.node["body"]):
        made = _lambda_of(rw, inner)
        if made is not None:
            aliases = _aliases(rw, made)
            if aliases is not None and aliases.get(name) is assignment:
                inside.update(made.walk())
    return bool(inside) and not any(
        inner.field != "attribute"
        and rw.source[inner] == name
        and inner not in inside
        and inner is not assignment["left"]
        for inner in rw.source.nodes("identifier", rw.function.node["body"])
    )
