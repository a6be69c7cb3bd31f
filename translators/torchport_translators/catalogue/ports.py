"""The decorator that makes a function a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Rule = TypeVar("_Rule", bound=Callable[..., object])


def ports(*apis: str, fields: tuple[str, ...] = (), jit: bool = True) -> Callable[[_Rule], _Rule]:
    """Declare which torch APIs the decorated function (or class) ports.

    The engine reads rule modules as source and never calls this; it exists so that a rule module
    can be imported and its functions run by the tests, undecorated.

    Args:
        apis: qualified torch names, e.g. `"torch.var"`, `"torch.Tensor.var"`,
            `"torch.nn.functional.relu"`, `"torch.nn.Linear"`.
        fields: for a rule that returns a tuple where torch returns a named tuple, torch's field
            names in order, e.g. `("values", "indices")`; for a class, of what calling it returns.
        jit: False where the result's shape depends on values, so that the port runs eagerly but
            not under `jax.jit`.
    """
    del apis, fields, jit

    def declare(rule: _Rule) -> _Rule:
        return rule

    return declare
