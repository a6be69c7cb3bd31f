"""How a rewrite says which syntax it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torchport_translators.catalogue.code import Code
    from torchport_translators.rewriter import Rewriter
    from torchport_translators.source.syntax import Node

    Expression = TypeVar("Expression", bound=Callable[[Rewriter, Node], Code | None])
    Statement = TypeVar("Statement", bound=Callable[[Rewriter, Node], bool])

EXPRESSIONS: dict[str, list[Callable[[Rewriter, Node], Code | None]]] = {}
STATEMENTS: dict[str, list[Callable[[Rewriter, Node], bool]]] = {}


def expression(*types: str) -> Callable[[Expression], Expression]:
    """Register a rewrite of expressions: it returns the port, or None to pass."""

    def register(rewrite: Expression) -> Expression:
        for name in types:
            EXPRESSIONS.setdefault(name, []).append(rewrite)
        return rewrite

    return register


def statement(*types: str) -> Callable[[Statement], Statement]:
    """Register a rewrite of statements: it writes the port and returns True, or False to pass."""

    def register(rewrite: Statement) -> Statement:
        for name in types:
            STATEMENTS.setdefault(name, []).append(rewrite)
        return rewrite

    return register
