"""`torch.utils.checkpoint`: what is not kept for the gradient is computed again, by `jax.checkpoint`.

Before:
    import torch
    from torch import nn
    from torch.utils.checkpoint import checkpoint

    def mix(x: torch.Tensor, gain: float):
        return torch.tanh(x * gain)

    class Block(nn.Module):
        def forward(self, x):
            return checkpoint(mix, x, 2.0, use_reentrant=False)

    class Stack(nn.Module):
        def __init__(self, act: nn.Module):
            super().__init__()
            self.block = Block()
            self.act = act

        def forward(self, x):
            x = checkpoint(self.block, x, use_reentrant=False)
            x = checkpoint(self.act, x, use_reentrant=False)
            return checkpoint(self.tail, x, use_reentrant=False)

        def tail(self, x):
            return torch.exp(x)
After (jax):
    import jax
    import jax.numpy as jnp
    from flax import nnx

    def mix(x: jax.Array, gain: float):
        return jnp.tanh(x * gain)

    class Block(nnx.Module):
        def __call__(self, x):
            return jax.checkpoint(mix, static_argnums=(1,))(x, 2.0)

    class Stack(nnx.Module):
        def __init__(self, act: nnx.Module):
            self.block = Block()
            self.act = act

        def __call__(self, x):
            x = nnx.remat(Block.__call__)(self.block, x)
            x = nnx.remat(lambda module, *args: module(*args))(self.act, x)
            return nnx.remat(Stack.tail)(self, x)

        def tail(self, x):
            return jnp.exp(x)
Why:
    `nnx.remat` is `jax.checkpoint` for functions that take a module: its parameters get gradients, and
    what it changes (running statistics, random state) is kept. Both trace the function, so Python
    values among the arguments are said to be static.
When not:
    `context_fn`, which chooses what is kept, is a `policy` in JAX; a keyword argument that is no array.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.catalogue.inline import Unsupported
from torchport_translators.emit.imports import ROOTS
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.function_transforms import draws
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.scopes import Class
from torchport_translators.source.syntax import Node

_CHECKPOINT = "torch.utils.checkpoint.checkpoint"
# How torch goes about it, which changes no value.
_OPTIONS = frozenset(
    ("use_reentrant", "preserve_rng_state", "determinism_check", "debug", "early_stop")
)


@expression("call", target="jax")
def checkpoint(rw: Rewriter, node: Node) -> Code | None:
    if rw.called_api(node) != _CHECKPOINT:
        return None
    positional, keywords = rw.arguments(node)
    passed = {name: value for name, value in keywords.items() if name not in _OPTIONS}
    refused = _refused(positional, passed)
    if refused is not None:
        message = f"{_CHECKPOINT}: {refused}"
        return rw.unported(node, message, "unsupported-argument", _CHECKPOINT)
    function, *arguments = positional
    transform, subject, texts = _transformed(rw, function)
    fixed = [
        str(index)
        for index, argument in enumerate(arguments, len(texts))
        if isinstance(argument.kind, k.Scalar) and argument.kind != k.NONE
    ]
    rw.count(True)
    rw.imports.needed.add(ROOTS[transform.partition(".")[0]])
    static = f", static_argnums=({', '.join(fixed)}{',' if len(fixed) == 1 else ''})"
    texts += [rw.value(argument).within(Binding.TEST) for argument in arguments]
    texts += [f"{name}={rw.value(value).within(Binding.TEST)}" for name, value in passed.items()]
    return Code(f"{transform}({subject}{static if fixed else ''})({', '.join(texts)})")


def _refused(positional: list[Node], passed: dict[str, Node]) -> str | None:
    """Why a call cannot be ported."""
    if "context_fn" in passed:
        return "context_fn chooses what is kept; in JAX that is `policy`, one of jax.checkpoint_policies"
    if not positional or "function" in passed or positional[0].type == "list_splat":
        return "the function is not its first argument"
    if any(isinstance(value.kind, k.Scalar) for value in passed.values()):
        return "an argument passed by name is no array; pass it by position"
    kind = positional[0].kind
    if draws(kind) and not (isinstance(kind, k.FunctionRef) and kind.receiver is not None):
        return "the function draws random numbers; pass the key as one of its arguments"
    return None


def _transformed(rw: Rewriter, function: Node) -> tuple[str, str, list[str]]:
    """The transform, what it is applied to, and the module that is its first argument."""
    match function.kind:
        case k.FunctionRef(function=method, receiver=k.Instance()) if (
            function.type == "attribute" and method.cls is not None and method.cls.is_module
        ):
            owner = rw.expr(function["object"]).within(Binding.TEST)
            name = "__call__" if method.name == "forward" else method.name
            return "nnx.remat", f"{_class_of(rw, method.cls, method.name, owner)}.{name}", [owner]
        case k.Instance(cls=Class() as cls) if cls.is_module:
            owner = rw.expr(function).within(Binding.TEST)
            return "nnx.remat", f"{_class_of(rw, cls, 'forward', owner)}.__call__", [owner]
        case k.Instance(api=api) if _stays_module(rw, api or ""):
            owner = rw.expr(function).within(Binding.TEST)
            return "nnx.remat", "lambda module, *args: module(*args)", [owner]
        case _:
            return "jax.checkpoint", rw.expr(function).within(Binding.TEST), []


def _stays_module(rw: Rewriter, api: str) -> bool:
    """Whether a torch layer is a module in the port, and not a function such as `nnx.relu`."""
    rules = rw.catalogue.find(api)
    if not rules:
        return True
    try:
        rw.inliner.reference(api, as_class=True)
        return True
    except Unsupported:
        return api.rpartition(".")[2] in ("Sequential", "Identity")


def _class_of(rw: Rewriter, cls: Class, method: str, owner: str) -> str:
    """The class whose method is called: that of the object, if the file has several it may be."""
    for other in rw.inference.classes.values():
        if other is not cls and cls in other.lineage() and method in other.methods:
            return f"type({owner})"
    return cls.name
