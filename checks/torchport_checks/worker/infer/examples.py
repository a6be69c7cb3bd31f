"""What the file itself says of values: its constants, and calls that nothing runs on import.

Calls are read, not run: under `if __name__ == "__main__":`, in functions such as `main()` or
`test_shapes()`. Their arguments are evaluated where they are made of constants, torch's factories
and the file's dataclasses alone.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import linecache
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch

from .candidate import Drawn

_LARGEST = 512
_FACTORIES = {
    "rand", "randn", "zeros", "ones", "empty", "full", "randint", "arange", "tensor", "randperm",
    "eye", "linspace", "rand_like", "randn_like", "ones_like", "zeros_like",
}  # fmt: skip
_PLAIN = {"int": int, "float": float, "tuple": tuple, "list": list, "dict": dict, "range": range}


@dataclasses.dataclass(frozen=True)
class Example:
    """One call in the file: of a function, of a class (`instance` unset), or of its instance."""

    name: str
    instance: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def module_of(definition: Any) -> ModuleType | None:
    """The module that a definition stands in."""
    return sys.modules.get(getattr(definition, "__module__", None) or "")


def constant(module: Any, name: str) -> Any:
    """The module-level number, or list of numbers, that has the name of a parameter; else None.

    Large sizes are halved until they are small; as all are, they keep agreeing with each other.
    """
    for spelled in (name, name.upper(), name.lower()):
        value = vars(module).get(spelled) if module is not None else None
        if isinstance(value, int | float) or (
            isinstance(value, list | tuple)
            and value
            and all(isinstance(item, int | float | list | tuple) for item in value)
        ):
            return _modest(value)
    return None


def _modest(value: Any) -> Any:
    if type(value) in (list, tuple):
        return type(value)(_modest(item) for item in value)
    while type(value) is int and value > _LARGEST:
        value = -(-value // 2)
    return value


def calls_in(module: Any) -> list[Example]:
    """The calls of the file's own definitions whose arguments can be told."""
    path = getattr(module, "__file__", None)
    if path is None:
        return []
    return list(_examples(module, "".join(linecache.getlines(path))))


@functools.lru_cache(4)
def _examples(module: ModuleType, text: str) -> tuple[Example, ...]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    blocks: list[list[ast.stmt]] = [tree.body]
    blocks += [n.body for n in tree.body if isinstance(n, ast.FunctionDef | ast.If)]
    return tuple(example for block in blocks for example in _in_block(module, block))


def _in_block(module: ModuleType, block: list[ast.stmt]) -> Iterator[Example]:
    known: dict[str, Any] = {}
    instances: dict[str, str] = {}
    for statement in block:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.If):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                name, instance = _called(node, instances)
                if name in vars(module) and (arguments := _arguments(node, known, module)):
                    yield Example(name, instance, *arguments)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            target, value = statement.targets[0].id, statement.value
            while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
                if value.func.attr not in ("to", "eval", "train", "cuda", "cpu"):
                    break
                value = value.func.value
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                instances[target] = value.func.id
            try:
                known[target] = _evaluated(value, known, module)
            except Exception:  # the file's own expressions, out of their place
                known.pop(target, None)


def _called(node: ast.Call, instances: dict[str, str]) -> tuple[str, bool]:
    match node.func:
        case ast.Name(id=name) if name in instances:
            return instances[name], True
        case ast.Name(id=name):
            return name, False
        case ast.Call(func=ast.Name(id=name)):
            return name, True
        case _:
            return "", False


def _arguments(
    node: ast.Call, known: dict[str, Any], module: ModuleType
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    try:
        args = tuple(_as_drawn(_evaluated(a, known, module)) for a in node.args)
        kwargs = {
            k.arg: _as_drawn(_evaluated(k.value, known, module)) for k in node.keywords if k.arg
        }
    except Exception:  # the file's own expressions, out of their place
        return None
    return (args, kwargs) if len(kwargs) == len(node.keywords) else None


def _as_drawn(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        if value.is_floating_point() or dtype == "bool" or not value.numel():
            return Drawn(dtype, tuple(value.shape))
        return Drawn(dtype, tuple(value.shape), (int(value.min()), int(value.max())))
    if type(value) in (list, tuple):
        return type(value)(_as_drawn(item) for item in value)
    return value


def _evaluated(node: ast.expr, known: dict[str, Any], module: ModuleType) -> Any:
    """The value of an expression that runs nothing but what this module's docstring names.

    Raises:
        Exception: it is none, or it raises.
    """
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and not _is_harmless(inner.func, module):
            raise ValueError(ast.unparse(inner))
        if isinstance(inner, ast.Lambda | ast.Await | ast.Yield | ast.NamedExpr):
            raise ValueError(ast.unparse(inner))
    code = compile(ast.fix_missing_locations(ast.Expression(node)), "<example>", "eval")
    return eval(code, {**vars(module)}, known)


def _is_harmless(function: ast.expr, module: ModuleType) -> bool:
    match function:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return vars(module).get(name) is torch and attribute in _FACTORIES
        case ast.Name(id=name):
            value = vars(module).get(name, _PLAIN.get(name))
            return value in _PLAIN.values() or dataclasses.is_dataclass(value)
        case _:
            return False
