"""Equivalent graphs: a file with its operators replaced by the functions that they stand for.

What computes the same by another way through the library tells a fault of the library from one of
the port (EGEO). `a + b` becomes `torch.add(a, b)` or `jnp.add(a, b)`, `x ** 0.5` the square root, and so
on; comparisons stay. Whether an operand is a tensor is known only at run time, so each operator becomes
a call that decides then; sizes, strings and lists keep their operators.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

_PREFIX = "_torchport_operator_"

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.MatMult: "matmul",
    ast.Pow: "pow",
    ast.USub: "neg",
    ast.Not: "not_",
    ast.Invert: "invert",
}


class _Rewrite(ast.NodeTransformer):
    def __init__(self) -> None:
        self.depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Only bodies are rewritten: defaults and decorators run once, at import."""
        self.depth += 1
        node.body = [self.visit(statement) for statement in node.body]
        self.depth -= 1
        return node

    def _call(self, node: ast.expr, op: ast.AST, operands: list[ast.expr]) -> ast.expr:
        name = _OPERATORS.get(type(op))
        if name is None or not self.depth:
            return node
        function = ast.Name(_PREFIX + name, ast.Load())
        return ast.copy_location(ast.Call(function, operands, []), node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """A binary operator as a call."""
        self.generic_visit(node)
        return self._call(node, node.op, [node.left, node.right])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        """A unary operator as a call; a negative literal stays one."""
        self.generic_visit(node)
        if isinstance(node.operand, ast.Constant):
            return node
        return self._call(node, node.op, [node.operand])


def rewritten(tree: ast.Module) -> ast.Module:
    """`tree` with the operators inside its functions replaced; it is changed in place."""
    return ast.fix_missing_locations(_Rewrite().visit(tree))


def namespace(
    is_tensor: Callable[[Any], bool], functions: dict[str, Callable[..., Any]]
) -> dict[str, Any]:
    """The names that a rewritten file needs.

    Args:
        is_tensor: whether a value is the framework's own.
        functions: by the operator's name (`add`, `truediv`, ...), and `sqrt`. One that is missing, or
            that does not take its operands, leaves the operator as it was.
    """

    def choose(name: str) -> Callable[..., Any]:
        plain = getattr(operator, name)
        function = functions.get(name)
        root = functions.get("sqrt")

        def call(*operands: Any) -> Any:
            if function is None or not any(map(is_tensor, operands)):
                return plain(*operands)
            if name == "pow" and root is not None and operands[1:] == (0.5,):
                return root(operands[0])
            try:
                return function(*operands)
            except TypeError:  # e.g. a number on the left, which a torch function does not take
                return plain(*operands)

        return call

    return {_PREFIX + name: choose(name) for name in _OPERATORS.values()}
