"""Weights of layers by name: the target calls some otherwise, and keeps some in another layout.

Before:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 3)
            self.norm = nn.LayerNorm(3)
            nn.init.zeros_(self.fc.bias)

        def forward(self, x):
            return self.norm(self.fc(x)) + self.fc.weight.sum() * self.norm.weight
After (jax):
    import jax.numpy as jnp
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs):
            self.fc = Linear(2, 3, rngs=rngs)
            self.norm = LayerNorm(3, rngs=rngs)
            self.fc.bias[...] = jnp.zeros_like(self.fc.bias)

        def __call__(self, x):
            return self.norm(self.fc(x)) + jnp.sum(self.fc.kernel.T) * self.norm.scale
After (mlx):
    import mlx.core as mx
    import mlx.nn as nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 3)
            self.norm = nn.LayerNorm(3)
            self.fc.bias = mx.zeros_like(self.fc.bias)

        def __call__(self, x):
            return self.norm(self.fc(x)) + mx.sum(self.fc.weight) * self.norm.weight
Why:
    A flax `kernel` is torch's `weight` with input features before output features, and channels
    last; an embedding's is called `embedding`, a norm's `scale`. MLX has torch's names, and the channels
    of convolutions last.
When not:
    The layer is one of several classes whose weights have different names: then the statement is
    written for each class, or the use is a finding.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.catalogue.expressions import Hole
from torchport_translators.catalogue.inline import Unsupported
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.places import store
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the target keeps a torch parameter: the attribute, and the layout change each way."""

    attribute: str
    to_torch: str = "{}"
    to_target: str = "{}"

    @property
    def moved(self) -> bool:
        return self.to_torch != "{}"


def _convolution(axes: int) -> Stored:
    """(*window, in, out) in flax, (out, in, *window) in torch."""
    window = ", ".join(str(axis) for axis in range(axes))
    back = ", ".join(str(axis) for axis in range(2, axes + 2))
    return Stored(
        "kernel",
        f"jnp.transpose({{}}, ({axes + 1}, {axes}, {window}))",
        f"jnp.transpose({{}}, ({back}, 1, 0))",
    )


_SCALE = {"weight": Stored("scale")}
_MOMENTS = {"running_mean": Stored("mean"), "running_var": Stored("var")}
_FLAX: dict[str, dict[str, Stored]] = {
    "torch.nn.Linear": {"weight": Stored("kernel", "{}.T", "{}.T")},
    "torch.nn.Embedding": {"weight": Stored("embedding")},
    "torch.nn.LayerNorm": _SCALE,
    "torch.nn.GroupNorm": _SCALE,
    "torch.nn.RMSNorm": _SCALE,
    **{f"torch.nn.Conv{axes}d": {"weight": _convolution(axes)} for axes in (1, 2, 3)},
    **{f"torch.nn.InstanceNorm{axes}d": _SCALE for axes in (1, 2, 3)},
    **{f"torch.nn.BatchNorm{axes}d": _SCALE | _MOMENTS for axes in (1, 2, 3)},
}


def _channels_last(axes: int) -> dict[str, Stored]:
    """(out, *window, in) in MLX, (out, in, *window) in torch."""
    return {
        "weight": Stored(
            "weight", f"mx.moveaxis({{}}, {axes + 1}, 1)", f"mx.moveaxis({{}}, 1, {axes + 1})"
        )
    }


_PLAIN = {"weight": Stored("weight")}
_OWN_MOMENTS = {name: Stored(name) for name in _MOMENTS}
_MLX: dict[str, dict[str, Stored]] = {
    **{
        f"torch.nn.{name}": _PLAIN
        for name in ("Linear", "Embedding", "LayerNorm", "GroupNorm", "RMSNorm")
    },
    **{f"torch.nn.Conv{axes}d": _channels_last(axes) for axes in (1, 2, 3)},
    **{f"torch.nn.InstanceNorm{axes}d": _PLAIN for axes in (1, 2, 3)},
    **{f"torch.nn.BatchNorm{axes}d": _PLAIN | _OWN_MOMENTS for axes in (1, 2, 3)},
}
_LAYERS = {"jax": _FLAX, "mlx": _MLX}
# Where the weight of a convolution, as the target keeps it, has its inputs (and outputs).
_AXES = {"jax": {"in_axis": -2, "out_axis": -1}, "mlx": {"in_axis": -1}}

# Initialisers whose values do not depend on which axis is which.
_LAYOUT_FREE = frozenset(["zeros_", "ones_", "constant_", "normal_", "uniform_", "trunc_normal_"])


def stored_at(rw: Rewriter, node: Node, name: str) -> Stored | None:
    """How the target keeps the parameter `layer.name`; None if it is not one of a known layer."""
    layers = _LAYERS[rw.catalogue.target]
    kind = node["object"].kind if node.type == "attribute" else None
    if not isinstance(kind, k.Instance) or kind.api is None:
        return None
    if name == "bias":
        return Stored(name)
    if kind.among:
        found = {layers.get(api, {}).get(name) for api in kind.among}
        return found.pop() if len(found) == 1 else None
    return layers.get(kind.api, {}).get(name)


def parameter_place(rw: Rewriter, node: Node) -> tuple[Code, Stored] | None:
    """The variable of the port that a layer's parameter is, and its layout."""
    if node.type != "attribute":
        return None
    owner = node["object"]
    name = rw.source[node["attribute"]]
    if name == "data":
        return parameter_place(rw, owner)
    stored = stored_at(rw, node, name)
    if stored is None:
        return None
    return Code(f"{rw.expr(owner).within(Binding.ATOM)}.{stored.attribute}"), stored


@expression("attribute")
def parameter(rw: Rewriter, node: Node) -> Code | None:
    place = parameter_place(rw, node)
    if place is None or rw.source[node["attribute"]] == "data":
        return None
    code, stored = place
    _note_import(rw, stored.to_torch)
    return Code(stored.to_torch.format(code.text))


@expression("comparison_operator", target="mlx")
def present(rw: Rewriter, node: Node) -> Code | None:
    """`layer.bias is not None`: a layer of MLX without a bias has no such attribute."""
    sides = [child for child in node.children if child.field != "operators"]
    operators = [rw.source[child] for child in node.children if child.field == "operators"]
    if len(sides) != 2 or sides[1].type != "none" or operators[0] not in ("is", "is not"):
        return None
    tested = sides[0]
    if tested.type != "attribute":
        return None
    name = rw.source[tested["attribute"]]
    if stored_at(rw, tested, name) is None:
        return None
    word = "not in" if operators[0] == "is" else "in"
    return Code(
        f'"{name}" {word} {rw.expr(tested["object"]).within(Binding.BIT_OR)}', Binding.COMPARE
    )


@statement("expression_statement")
def initialise(rw: Rewriter, node: Node) -> bool:
    """`nn.init.*_` of a layer's parameter, a parameter or a tensor."""
    call = node.children[0]
    api = rw.called_api(call)
    if api is None or not api.startswith("torch.nn.init.") or not api.endswith("_"):
        return False
    positional, keywords = rw.arguments(call)
    target = positional[0] if positional else keywords.get("tensor")
    if target is None or not rw.catalogue.find(api):
        return False
    line = _initialised(rw, call, api, target)
    if line is not None:
        rw.count(True)
        rw.replace(node, line)
    return True


def _initialised(rw: Rewriter, call: Node, api: str, target: Node) -> str | None:
    place = parameter_place(rw, target)
    if place is None and _ambiguous(target):
        place = _by_class(rw, api, target)
        if place is None:
            rw.unported(
                call,
                f"{api}: {rw.source[target]} has another name or layout in each class it may be",
                "unsupported-argument",
                api,
            )
            return None
    if place is None:
        value = _value(rw, call, api, rw.hole(target), {})
        return None if value is None else store(rw, target, value)
    code, stored = place
    extra: dict[str, ast.expr] = {}
    shown, back = Hole(code, k.TENSOR, variable=rw.idioms.variables), "{}"
    if stored.moved and api.rpartition(".")[2] not in _LAYOUT_FREE:
        if any(param.name == "in_axis" for param in rw.catalogue.find(api)[0].params):
            extra = {name: ast.Constant(axis) for name, axis in _AXES[rw.catalogue.target].items()}
        else:
            shown, back = Hole(Code(stored.to_torch.format(code.text)), k.TENSOR), stored.to_target
            _note_import(rw, back)
    value = _value(rw, call, api, shown, extra)
    if value is None:
        return None
    text = value.within(Binding.ATOM if back == "{}.T" else Binding.TEST)
    held = f"{code.text}[...]" if rw.idioms.variables else code.text
    return f"{held} = {back.format(text)}"


def _note_import(rw: Rewriter, layout: str) -> None:
    """The import that a change of layout needs."""
    if layout.startswith(f"{rw.idioms.array}."):
        rw.imports.root(rw.idioms.array)


def _value(
    rw: Rewriter, call: Node, api: str, target: Hole, extra: dict[str, ast.expr]
) -> Code | None:
    """What the initialiser gives for the target; None if the call is not supported."""
    positional, keywords = rw.arguments(call)
    rest: list[ast.expr] = [rw.hole(node) for node in positional[1:]]
    named: dict[str, ast.expr] = {
        name: rw.hole(node) for name, node in keywords.items() if name != "tensor"
    }
    try:
        return rw.inliner.call(api, [target, *rest], named | extra).code()
    except Unsupported as refused:
        rw.unported(call, refused.why, "unsupported-argument", api)
        return None


def _ambiguous(target: Node) -> bool:
    owner = target["object"].kind if target.type == "attribute" else None
    return isinstance(owner, k.Instance) and owner.api == "torch.nn.Module"


def _by_class(rw: Rewriter, api: str, target: Node) -> tuple[Code, Stored] | None:
    """The parameter of a layer of one of several classes, given a name before the statement."""
    owner_kind = target["object"].kind
    if not isinstance(owner_kind, k.Instance) or not owner_kind.among or not rw.may_hoist():
        return None
    name = rw.source[target["attribute"]]
    layers = _LAYERS[rw.catalogue.target]
    found = [(cls, layers.get(cls, {}).get(name)) for cls in owner_kind.among]
    if api.rpartition(".")[2] not in _LAYOUT_FREE:
        return None
    owner = rw.expr(target["object"]).within(Binding.ATOM)
    groups: dict[str, list[str]] = {}
    for cls, stored in found:
        groups.setdefault(stored.attribute if stored else name, []).append(cls)
    *tested, last = groups.items()
    text = ""
    for attribute, classes in tested:
        names = [rw.inliner.reference(cls, as_class=True).code().text for cls in classes]
        test = names[0] if len(names) == 1 else f"({', '.join(names)})"
        text += f"{owner}.{attribute} if isinstance({owner}, {test}) else "
    variable = rw.fresh(name)
    rw.before(f"{variable} = {text}{owner}.{last[0]}")
    return Code(variable), Stored("")
