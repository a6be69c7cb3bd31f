"""What torch's function transforms give: the kinds of their results, from those of the function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torchport_translators.source import kinds as k
from torchport_translators.source.kinds import Kind

OF_FUNCTIONS = frozenset(
    (
        "torch.func.grad",
        "torch.func.grad_and_value",
        "torch.func.vmap",
        "torch.vmap",
        "torch.func.jacrev",
        "torch.func.jacfwd",
        "torch.func.hessian",
        "torch.func.functionalize",
    )
)
"""Transforms that take a function and return one."""

AT_ARGUMENTS = frozenset(
    (
        "torch.func.vjp",
        "torch.func.linearize",
        "torch.utils.checkpoint.checkpoint",
    )
)
"""Transforms that take a function and the arguments that it is called with."""

AT_INPUTS = frozenset(
    (
        "torch.func.jvp",
        *(
            f"torch.autograd.functional.{name}"
            for name in ("jacobian", "hessian", "vjp", "jvp", "vhp", "hvp")
        ),
    )
)
"""Transforms that take a function and its arguments as one: a tensor, or a tuple of them."""


def differentiated(argnums: int | tuple[int, ...], kinds: Sequence[Kind]) -> Kind:
    """Derivatives by arguments of these kinds: each is like the argument."""

    def like(index: int) -> Kind:
        kind = kinds[index] if -len(kinds) <= index < len(kinds) else k.UNKNOWN
        return kind if isinstance(kind, k.Mapping | k.Sequence) else k.TENSOR

    if isinstance(argnums, int):
        return like(argnums)
    return k.Sequence("tuple", tuple(map(like, argnums)))


def called(transformed: k.Transformed, kinds: Sequence[Kind], returned: Kind) -> Kind:
    """What a transformed function gives for arguments of these kinds.

    `returned` is what the function itself gives.
    """
    name = transformed.path.rpartition(".")[2]
    value, aux = returned, k.UNKNOWN
    if transformed.has_aux:
        items = returned.items if isinstance(returned, k.Sequence) else None
        value, aux = items if items is not None and len(items) == 2 else (k.TENSOR, k.UNKNOWN)
    derivatives = differentiated(transformed.argnums, kinds)
    match name:
        case "vmap" | "functionalize":
            return k.TENSOR if returned == k.UNKNOWN else returned
        case "grad_and_value":
            both = k.Sequence("tuple", (k.TENSOR, aux)) if transformed.has_aux else k.TENSOR
            return k.Sequence("tuple", (derivatives, both))
        case "grad":
            return k.Sequence("tuple", (derivatives, aux)) if transformed.has_aux else derivatives
        case "vjp_fn":
            return k.Sequence("tuple", element=k.TENSOR)
        case "jvp_fn":
            return returned
        case _ if isinstance(value, k.Sequence):
            return k.UNKNOWN
        case _:
            return k.Sequence("tuple", (derivatives, aux)) if transformed.has_aux else derivatives


def applied(
    path: str, function: Kind, kinds: Sequence[Kind], returned: Kind, *, has_aux: bool
) -> Kind:
    """What a transform gives that is told the function's arguments.

    `kinds` are those of the arguments, `returned` is what the function gives for them.
    """
    value, aux = returned, k.UNKNOWN
    if has_aux:
        items = returned.items if isinstance(returned, k.Sequence) else None
        value, aux = items if items is not None and len(items) == 2 else (k.TENSOR, k.UNKNOWN)
    value = k.TENSOR if value == k.UNKNOWN else value
    rest = (aux,) if has_aux else ()
    several = len(kinds) == 1 and isinstance(kinds[0], k.Sequence)
    like = kinds[0] if several else k.TENSOR
    match path.removeprefix("torch.").removeprefix("autograd."):
        case "utils.checkpoint.checkpoint":
            return returned
        case "func.vjp":
            return k.Sequence("tuple", (value, k.Transformed("vjp_fn", function), *rest))
        case "func.linearize":
            return k.Sequence("tuple", (value, k.Transformed("jvp_fn", function)))
        case "func.jvp":
            return k.Sequence("tuple", (value, value, *rest))
        case "functional.jvp":
            return k.Sequence("tuple", (value, value))
        case "functional.vjp" | "functional.vhp" | "functional.hvp":
            return k.Sequence("tuple", (value, like))
        case "functional.hessian" if several:
            return k.Sequence("tuple", element=k.Sequence("tuple", element=k.TENSOR))
        case "functional.jacobian" if isinstance(value, k.Sequence):
            inner = k.Sequence("tuple", element=k.TENSOR) if several else k.TENSOR
            return k.Sequence("tuple", element=inner)
        case _:
            return k.Sequence("tuple", element=k.TENSOR) if several else k.TENSOR


def options(
    positional: Sequence[object], keywords: Mapping[str, object]
) -> tuple[int | tuple[int, ...], bool]:
    """`argnums` and `has_aux` of a transform, from the literals that it is given.

    `positional` are the arguments after the function; a value that is no literal is None.
    """
    given = dict(zip(("argnums", "has_aux"), positional, strict=False)) | dict(keywords)
    argnums = given.get("argnums")
    if isinstance(argnums, tuple):
        indices = cast("tuple[object, ...]", argnums)
        known = tuple(index for index in indices if isinstance(index, int))
        return known, given.get("has_aux") is True
    return argnums if isinstance(argnums, int) else 0, given.get("has_aux") is True
