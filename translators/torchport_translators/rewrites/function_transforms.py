"""torch.func: JAX has the same transforms; some results come in another order.

Before:
    import torch
    from torch.func import grad, grad_and_value, vjp, vmap

    def loss(weight, x: torch.Tensor):
        return torch.tanh(x @ weight).square().sum()

    def examine(weight: torch.Tensor, x: torch.Tensor):
        gradient, value = grad_and_value(loss)(weight, x)
        each = vmap(grad(loss), in_dims=(None, 0))(weight, x)
        output, pull = vjp(loss, weight, x)
        return gradient, value, each.mean(), pull(output)
After (jax):
    import jax
    import jax.numpy as jnp

    def loss(weight, x: jax.Array):
        return jnp.sum(jnp.square(jnp.tanh(x @ weight)))

    def examine(weight: jax.Array, x: jax.Array):
        value, gradient = jax.value_and_grad(loss)(weight, x)
        each = jax.vmap(jax.grad(loss), in_axes=(None, 0))(weight, x)
        output, pull = jax.vjp(loss, weight, x)
        return gradient, value, jnp.mean(each), pull(output)
Why:
    torch.func was modelled on JAX. Where `grad_and_value` is not taken apart at once, a helper gives
    its results in torch's order.
When not:
    A function that draws random numbers: its port is given them as an argument, which the transform
    would have to map over or leave out. The finding names the idiom.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.emit.imports import ROOTS
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node
from torchport_translators.source.transforms import AT_INPUTS, OF_FUNCTIONS

_SAME = {"torch.func.vjp": "jax.vjp", "torch.func.linearize": "jax.linearize"}
_RENAMED = {"in_dims": "in_axes", "out_dims": "out_axes", "argnums": "argnums"}


def draws(kind: k.Kind | None) -> bool:
    """Whether a function that is handed on draws random numbers."""
    match kind:
        case k.FunctionRef(function=function):
            return function.random or function.draws
        case k.Transformed(function=inner):
            return draws(inner)
        case _:
            return False


@expression("call", target="jax")
def of_random_function(rw: Rewriter, node: Node) -> Code | None:
    api = rw.called_api(node)
    if api is None or api not in OF_FUNCTIONS | AT_INPUTS | _SAME.keys():
        return None
    positional, keywords = rw.arguments(node)
    function = positional[0] if positional else keywords.get("func")
    if function is None or not draws(function.kind):
        return None
    return rw.unported(
        node,
        f"{api} of a function that draws random numbers: pass the key (jax.random.split for each "
        "element of a vmap) as one of its arguments",
        "unsupported-argument",
        api,
    )


@expression("call", target="jax")
def same_in_jax(rw: Rewriter, node: Node) -> Code | None:
    """Transforms whose arguments are the function's own: they stay as they are written."""
    api = rw.called_api(node)
    if api not in _SAME:
        return None
    positional, keywords = rw.arguments(node)
    if not positional or keywords.keys() - {"has_aux"}:
        return rw.unported(
            node, f"{api}: the function is not its first argument", "unsupported-argument", api
        )
    rw.count(True)
    rw.imports.needed.add(ROOTS["jax"])
    return rw.splice(node, {node["function"]: Code(_SAME[api])})


@expression("call", target="jax")
def partially_applied(rw: Rewriter, node: Node) -> Code | None:
    """`@partial(torch.vmap, in_dims=1)`"""
    if node["function"].kind != k.External("functools.partial"):
        return None
    positional, keywords = rw.arguments(node)
    api = rw.api(positional[0]) if positional else None
    if api not in OF_FUNCTIONS:
        return None
    if len(positional) > 1 or keywords.keys() - {*_RENAMED, "has_aux"}:
        return rw.unported(
            node,
            f"{api} is applied in part, with arguments that JAX does not have",
            "unsupported-argument",
            api,
        )
    transform = rw.expr(positional[0]).within(Binding.TEST)
    passed = "".join(
        f", {_RENAMED.get(name, name)}={rw.expr(value).within(Binding.TEST)}"
        for name, value in keywords.items()
    )
    return Code(f"{rw.source[node['function']]}({transform}{passed})")


@statement("expression_statement", target="jax")
def gradient_and_value(rw: Rewriter, node: Node) -> bool:
    """`gradient, value = grad_and_value(f)(x)`: both sides are put in JAX's order."""
    assignment = node.children[0]
    if assignment.type != "assignment" or assignment.get("right") is None:
        return False
    left, right = assignment["left"], assignment["right"]
    if left.type not in ("pattern_list", "tuple_pattern") or len(left.named()) != 2:
        return False
    if right.type != "call" or right["function"].type != "call":
        return False
    inner = right["function"]
    if rw.called_api(inner) != "torch.func.grad_and_value" or rw.source.nodes("comment", right):
        return False
    positional, keywords = rw.arguments(inner)
    if not positional or keywords.keys() - {"argnums", "has_aux"} or draws(positional[0].kind):
        return False
    if any(child.type.endswith("splat") for child in positional):
        return False
    rw.count(True)
    rw.imports.needed.add(ROOTS["jax"])
    gradient, value = (rw.source[target] for target in left.named())
    made = rw.splice(inner, {inner["function"]: Code("jax.value_and_grad")}).text
    arguments = rw.splice(right["arguments"]).text
    rw.replace(node, f"{value}, {gradient} = {made}{arguments}")
    return True
