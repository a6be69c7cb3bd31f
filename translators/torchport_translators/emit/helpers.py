"""Helpers: rules that do not fold to an expression, copied into the port with what they need."""

from __future__ import annotations

import ast
import builtins
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from torchport_translators.catalogue.load import Catalogue, Rule, RuleModule
from torchport_translators.emit.imports import Imports, names_in

_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class _Helper:
    name: str
    text: str

    @property
    def is_definition(self) -> bool:
        return self.text.startswith(("def ", "class ", "@", "async "))


@dataclass(slots=True)
class Helpers:
    """The helpers of one port, in an order in which each comes after what it uses.

    Attributes:
        taken: names that the source binds; a helper of such a name, or of a builtin's, gets another.
    """

    catalogue: Catalogue
    imports: Imports
    taken: set[str]
    _names: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    _shipped: list[_Helper] = field(default_factory=list[_Helper])

    def rule(self, rule: Rule) -> str:
        """Ship a rule's text; the name that it has in the port."""
        return self._ship(
            rule.module, rule.name, lambda name: self._copy(rule.module, rule.node, name)
        )

    def constant(self, module: RuleModule, name: str) -> str:
        """Ship a constant of a rule module; the name that it has in the port."""
        return self._ship(module, name, lambda new: self._copy(module, module.constants[name], new))

    def texts(self) -> list[str]:
        return [helper.text for helper in self._shipped]

    def names(self) -> frozenset[str]:
        """What the helpers are called in the port."""
        return frozenset(helper.name for helper in self._shipped)

    def block(self) -> str:
        """The helpers as they stand in a port; empty if there are none."""
        parts: list[str] = []
        for at, helper in enumerate(self._shipped):
            if at:
                apart = helper.is_definition or self._shipped[at - 1].is_definition
                parts.append("\n\n" if apart else "")
            parts.append(helper.text)
        return "".join(parts)

    def only(self, used: set[str]) -> None:
        """Leave out helpers that neither code using the names `used` nor another helper uses."""
        kept: set[str] = set()
        while True:
            more = {h.name for h in self._shipped if h.name in used and h.name not in kept}
            if not more:
                break
            kept |= more
            for helper in self._shipped:
                if helper.name in more:
                    used = used | {name.partition(".")[0] for name in names_in(helper.text)}
        self._shipped = [helper for helper in self._shipped if helper.name in kept]

    def _ship(self, module: RuleModule, name: str, write: Callable[[str], str]) -> str:
        key = (module.name, name)
        if key not in self._names:
            new = self._names[key] = self._free(name)
            # What it uses is shipped while its text is written, and so comes before it.
            self._shipped.append(_Helper(new, write(new)))
        return self._names[key]

    def _free(self, name: str) -> str:
        unfit = self.taken | _BUILTINS | set(self._names.values())
        plain = name.lstrip("_")
        new, number = name, 2
        while new in unfit:
            prefix = "TORCH_" if plain.isupper() else "Torch" if plain[0].isupper() else "torch_"
            new = f"{prefix}{plain}"
            if new in unfit:
                new, number = f"{new}_{number}", number + 1
        return new

    def _copy(self, module: RuleModule, node: ast.stmt, new: str) -> str:
        """The text of a definition under its new name, its module-level names resolved.

        The `@ports` that makes it a rule stays behind.
        """
        decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
        own = [decorator for decorator in decorators if not _is_ports(decorator)]
        first = min([node.lineno, *(decorator.lineno for decorator in own)])
        lines = module.lines[first - 1 : node.end_lineno]
        edits: list[tuple[int, int, int, str]] = []
        for name in _uses(node):
            resolved = self._resolve(module, name.id)
            if resolved is not None and resolved != name.id:
                edits.append((name.lineno, name.col_offset, len(name.id), resolved))
        old, line, column = _defined(node, lines[node.lineno - first])
        if new != old:
            edits.append((line, column, len(old), new))
        for line, column, length, name in sorted(edits, reverse=True):
            data = lines[line - first].encode()
            data = data[:column] + name.encode() + data[column + length :]
            lines[line - first] = data.decode()
        return textwrap.dedent("".join(lines)).rstrip() + "\n"

    def _resolve(self, module: RuleModule, name: str) -> str | None:
        """What a module-level name of a rule module is called in the port; None if it is not one."""
        if name in module.definitions:
            return self.rule(module.definitions[name])
        if name in module.constants:
            return self.constant(module, name)
        if name in module.imports:
            origin, imported = module.imports[name]
            prefix = f"torchport_translators.{self.catalogue.target}."
            if origin.startswith(prefix) and imported is not None:
                other = self.catalogue.module(origin.removeprefix(prefix))
                return self._resolve(other, imported) if other is not None else None
            if not origin.startswith("torchport_translators"):
                return self.imports.add(origin, imported, name)
        return None


def _is_ports(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "ports"


def _defined(node: ast.stmt, line: str) -> tuple[str, int, int]:
    """The name that a statement defines, with the line and the byte column where it stands."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name, node.lineno, line.index(f" {name}", node.col_offset) + 1
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name, node.lineno, node.col_offset
        case _:
            raise TypeError(f"{type(node).__name__} defines no name")


@cache
def _uses(definition: ast.stmt) -> tuple[ast.Name, ...]:
    """The uses of names that a rule's text does not bind itself; worked out once for each rule."""
    return tuple(_free_names(definition, frozenset()))


def _free_names(node: ast.AST, bound: frozenset[str]) -> Iterator[ast.Name]:
    """The uses of names that a definition does not bind itself, as Python's scopes have it."""
    match node:
        case ast.Name():
            if node.id not in bound and isinstance(node.ctx, ast.Load):
                yield node
            return
        case ast.FunctionDef():
            outside = [*node.decorator_list, *_annotations(node.args), *_defaults(node.args)]
            inside = frozenset((*bound, *_parameters(node.args), *_bound_in(node.body)))
            parts = [(part, bound) for part in outside]
            parts += [(node.returns, bound)] if node.returns else []
            parts += [(part, inside) for part in node.body]
        case ast.Lambda():
            inside = frozenset((*bound, *_parameters(node.args)))
            parts = [*((part, bound) for part in _defaults(node.args)), (node.body, inside)]
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            inside = frozenset((*bound, *_bound_in([node])))
            parts = [(part, inside) for part in ast.iter_child_nodes(node)]
        case _:
            # What a class's body binds its methods do not see.
            parts = [(part, bound) for part in ast.iter_child_nodes(node)]
    for part, names in parts:
        yield from _free_names(part, names)


def _annotations(args: ast.arguments) -> list[ast.expr]:
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [arg.annotation for arg in every if arg is not None and arg.annotation is not None]


def _defaults(args: ast.arguments) -> list[ast.expr]:
    return [*args.defaults, *(default for default in args.kw_defaults if default is not None)]


def _parameters(args: ast.arguments) -> list[str]:
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [arg.arg for arg in every if arg is not None]


def _bound_in(body: list[ast.stmt] | list[ast.expr]) -> Iterator[str]:
    """The names that statements bind, nested scopes left out (but for their comprehensions)."""
    queue: list[ast.AST] = list(body)
    while queue:
        node = queue.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
                continue
            case ast.Lambda():
                continue
            case _:
                pass
        queue.extend(ast.iter_child_nodes(node))
