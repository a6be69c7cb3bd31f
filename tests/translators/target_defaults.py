"""Writes `translators/torchport_translators/<target>/defaults.json`, by asking the framework.

The translator drops an argument that equals the target's own default, and must know defaults
without importing the target. Run `python tests/translators/target_defaults.py` after a rule calls
a function that none called before; `test_target_defaults.py` fails until then.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path

from torchport_translators.catalogue.load import catalogue

FOLDER = Path(importlib.import_module("torchport_translators").__path__[0])


def called_functions(target: str) -> set[str]:
    """Full names of the framework functions that rules of a target call or wrap in `partial`."""
    found: set[str] = set()
    for path in sorted((FOLDER / target).glob("*.py")):
        module = catalogue(target).module(path.stem)
        if module is None:
            continue
        for node in ast.walk(ast.parse(module.text)):
            if isinstance(node, ast.Attribute | ast.Name):
                name = _dotted(node, module.imports)
                if name is not None:
                    found.add(name)
    return found


def _dotted(node: ast.expr, imports: dict[str, tuple[str, str | None]]) -> str | None:
    if isinstance(node, ast.Name) and node.id in imports:
        module, name = imports[node.id]
        return None if module.startswith("torchport") else f"{module}.{name}" if name else module
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, imports)
        return f"{owner}.{node.attr}" if owner else None
    return None


def parameters(name: str) -> list[list[object]]:
    """A function's parameters in order: `[name]`, or `[name, default]` where that is a literal."""
    module, _, attribute = name.rpartition(".")
    if not module:
        return []
    owner: object
    try:
        owner = importlib.import_module(module)
    except ImportError:
        parent, _, inner = module.rpartition(".")
        try:
            owner = getattr(importlib.import_module(parent), inner, None)
        except ImportError:
            return []
    function = getattr(owner, attribute, None)
    if not callable(function):
        return []
    if overloads := getattr(function, "__nb_signature__", None):
        return _declared(overloads)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return []
    rows: list[list[object]] = []
    for parameter in signature.parameters.values():
        default = parameter.default
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            break
        if _is_literal(default):
            rows.append([parameter.name, default])
        elif isinstance(default, list | tuple) and all(map(_is_literal, default)):
            rows.append([parameter.name, list(default)])
        else:
            rows.append([parameter.name])
    return rows


def _declared(
    overloads: Sequence[tuple[str, str, tuple[object, ...] | None]],
) -> list[list[object]]:
    """The parameters that a function of C++ (nanobind) says it has; none where it has overloads.

    MLX's are `def sum(a: array, /, axis: None | int = None, ...) -> array`, and a default that has no
    literal is a name, or `\\0` for the first of those given beside the text.
    """
    if len(overloads) != 1:
        return []
    text, _, defaults = overloads[0]
    for index, default in enumerate(defaults or ()):
        literal = _is_literal(default) or isinstance(default, list | tuple)
        text = text.replace(f"\\{index}", repr(default) if literal else "no_literal")
    tree = ast.parse(f"{text}: ...").body[0]
    assert isinstance(tree, ast.FunctionDef)
    spec = tree.args
    positional = [*spec.posonlyargs, *spec.args]
    missing = [None] * (len(positional) - len(spec.defaults))
    pairs = list(zip(positional, missing + spec.defaults, strict=True))
    if not spec.vararg:
        pairs += zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    rows: list[list[object]] = []
    for arg, default in pairs:
        try:
            value = ast.literal_eval(default) if default is not None else ...
        except ValueError:
            value = ...
        rows.append([arg.arg] if value is ... else [arg.arg, value])
    return rows


def _is_literal(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def table(target: str) -> str:
    """The table as text: one function a line."""
    rows = {name: parameters(name) for name in sorted(called_functions(target))}
    lines = [
        f"{json.dumps(name)}: {json.dumps(row)}"
        for name, row in rows.items()
        if any(len(item) > 1 for item in row)
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    for target in ("jax", "mlx"):
        (FOLDER / target / "defaults.json").write_text(table(target), "utf-8")
