"""How a rewrite says which syntax it is for, and which targets."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torchport_translators.catalogue.code import Code
    from torchport_translators.rewriter import Rewriter
    from torchport_translators.source.syntax import Node

    Expression = TypeVar("Expression", bound=Callable[[Rewriter, Node], Code | None])
    Statement = TypeVar("Statement", bound=Callable[[Rewriter, Node], bool])

_EXPRESSIONS: list[tuple[str, str | None, Callable[[Rewriter, Node], Code | None]]] = []
_STATEMENTS: list[tuple[str, str | None, Callable[[Rewriter, Node], bool]]] = []


def expression(*types: str, target: str | None = None) -> Callable[[Expression], Expression]:
    """Register a rewrite of expressions: it returns the port, or None to pass.

    Args:
        types: the types of syntax nodes that it is tried on.
        target: the only target that it is for.
    """

    def register(rewrite: Expression) -> Expression:
        _EXPRESSIONS.extend((name, target, rewrite) for name in types)
        return rewrite

    return register


def statement(*types: str, target: str | None = None) -> Callable[[Statement], Statement]:
    """Register a rewrite of statements: it writes the port and returns True, or False to pass.

    Args:
        types: the types of syntax nodes that it is tried on.
        target: the only target that it is for.
    """

    def register(rewrite: Statement) -> Statement:
        _STATEMENTS.extend((name, target, rewrite) for name in types)
        return rewrite

    return register


@cache
def expressions(target: str) -> dict[str, list[Callable[[Rewriter, Node], Code | None]]]:
    """The rewrites of expressions for a target, by type of node, in the order they are tried."""
    return _by_type(_EXPRESSIONS, target)


@cache
def statements(target: str) -> dict[str, list[Callable[[Rewriter, Node], bool]]]:
    """The rewrites of statements for a target, by type of node, in the order they are tried."""
    return _by_type(_STATEMENTS, target)


Rewrite = TypeVar("Rewrite")


def _by_type(
    registered: list[tuple[str, str | None, Rewrite]], target: str
) -> dict[str, list[Rewrite]]:
    found: dict[str, list[Rewrite]] = {}
    for name, only, rewrite in registered:
        if only in (None, target):
            found.setdefault(name, []).append(rewrite)
    return found
