"""Reading rule modules as source: what each rule ports, its signature, and its text.

Nothing here imports a framework. A module is parsed when the first of its rules is asked for, so a
cold start pays only for the families that a file uses.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path

from torchport_translators.source import kinds as k
from torchport_translators.source.kinds import Kind

_PACKAGE = Path(__file__).parent.parent
_DECORATOR = re.compile(r"^@ports\(([^)]*)\)", re.MULTILINE)
_API = re.compile(r'"(torch(?:\.\w+)+)"')


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a rule; `form` is "positional", "vararg", "keyword" or "kwarg"."""

    name: str
    form: str
    default: ast.expr | None
    annotation: str | None


@dataclass(eq=False, repr=False)
class Rule:
    """A function or class of the catalogue, and the torch APIs that it ports (none: a helper)."""

    name: str
    module: RuleModule
    node: ast.FunctionDef | ast.ClassDef
    params: list[Param]
    apis: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    jit: bool = True

    def __repr__(self) -> str:
        return f"<rule {self.module.name}.{self.name}>"

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)

    @cached_property
    def random(self) -> bool:
        """Whether it takes `rngs`."""
        return any(param.name == "rngs" and param.form == "keyword" for param in self.params)

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.node) or ""

    def returns(self, api: str) -> Kind:
        """What a call of `api` gives, from the rule's return annotation (a tensor without one)."""
        return k.Instance(api) if self.is_class or is_module_api(api) else _returned(self)

    def calls_return(self) -> Kind:
        """What calling an instance gives, for a class rule; `fields` are the fields of that."""
        return _called(self)


@cache
def _returned(rule: Rule) -> Kind:
    assert isinstance(rule.node, ast.FunctionDef)
    return _kind_of_annotation(rule.node.returns, rule.fields)


@cache
def _called(rule: Rule) -> Kind:
    for statement in rule.node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__call__":
            if statement.returns is not None:
                return _kind_of_annotation(statement.returns, rule.fields)
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Tuple):
                    return _kind_of_tuple(inner.value)
    return k.TENSOR


def is_module_api(api: str) -> bool:
    """Whether a torch name is a Module class."""
    parent, _, name = api.rpartition(".")
    return parent == "torch.nn" and name[0].isupper() and name != "Parameter"


def _kind_of_tuple(node: ast.expr) -> Kind:
    if isinstance(node, ast.Tuple):
        return k.Sequence("tuple", tuple(map(_kind_of_tuple, node.elts)))
    return k.TENSOR


def _kind_of_annotation(node: ast.expr | None, fields: tuple[str, ...]) -> Kind:
    match node:
        case None:
            if fields:
                return k.Sequence("tuple", (k.TENSOR,) * len(fields), fields=fields)
            return k.TENSOR
        case ast.Constant(value=None):
            return k.NONE
        case ast.Constant(value=str() as text):
            return _kind_of_annotation(ast.parse(text, mode="eval").body, fields)
        case ast.Name(id="int" | "float" | "bool" | "str" as name):
            return k.Scalar(name)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[item, last])) if (
            isinstance(last, ast.Constant) and last.value is ...
        ):
            inner = _kind_of_annotation(item, ())
            return k.SIZE if inner == k.INT else k.Sequence("tuple", element=inner)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=items)):
            return k.Sequence(
                "tuple", tuple(_kind_of_annotation(item, ()) for item in items), fields=fields
            )
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return k.Sequence("list", element=_kind_of_annotation(item, ()))
        case _:
            text = ast.unparse(node)
            if text in ("jax.Array", "mx.array"):
                return k.TENSOR
            if text == "np.ndarray":
                return k.Scalar("ndarray")
            return k.UNKNOWN


@dataclass(slots=True, eq=False, repr=False)
class RuleModule:
    """One file of rules: its definitions, constants and imports by the name it gives them."""

    name: str
    text: str
    lines: list[str] = field(init=False)
    definitions: dict[str, Rule] = field(default_factory=dict[str, Rule])
    ported: list[Rule] = field(default_factory=list[Rule])
    constants: dict[str, ast.stmt] = field(default_factory=dict[str, ast.stmt])
    imports: dict[str, tuple[str, str | None]] = field(
        default_factory=dict[str, tuple[str, str | None]]
    )

    def parse(self) -> None:
        self.lines = self.text.splitlines(keepends=True)
        for statement in ast.parse(self.text).body:
            match statement:
                case ast.Import(names=names):
                    for alias in names:
                        self.imports[alias.asname or alias.name] = (alias.name, None)
                case ast.ImportFrom(module=str() as module, names=names):
                    for alias in names:
                        self.imports[alias.asname or alias.name] = (module, alias.name)
                case ast.FunctionDef() | ast.ClassDef():
                    rule = self._rule(statement)
                    if rule.apis:
                        self.ported.append(rule)
                    self.definitions[rule.name] = rule
                case ast.Assign(targets=[ast.Name(id=name)]):
                    self.constants[name] = statement
                case ast.AnnAssign(target=ast.Name(id=name)):
                    self.constants[name] = statement
                case _:
                    continue

    def _rule(self, node: ast.FunctionDef | ast.ClassDef) -> Rule:
        rule = Rule(node.name, self, node, self._params(node))
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Name(id="ports"), args=args, keywords=keywords):
                    rule.apis = tuple(ast.literal_eval(arg) for arg in args)
                    for keyword in keywords:
                        value = ast.literal_eval(keyword.value)
                        if keyword.arg == "fields":
                            rule.fields = value
                        elif keyword.arg == "jit":
                            rule.jit = value
                case _:
                    continue
        return rule

    def _params(self, node: ast.FunctionDef | ast.ClassDef) -> list[Param]:
        """The parameters of a function or of a class, which may have its base's."""
        if isinstance(node, ast.FunctionDef):
            return _params(node)
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                return _params(statement)[1:]
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in self.definitions:
                return self.definitions[base.id].params
        return []


def _params(node: ast.FunctionDef) -> list[Param]:
    spec = node.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults = [None] * (len(positional) - len(spec.defaults)) + list(spec.defaults)
    params = [
        Param(arg.arg, "positional", default, arg.annotation and ast.unparse(arg.annotation))
        for arg, default in zip(positional, defaults, strict=True)
    ]
    if spec.vararg:
        hint = spec.vararg.annotation
        params.append(Param(spec.vararg.arg, "vararg", None, hint and ast.unparse(hint)))
    params += [
        Param(arg.arg, "keyword", default, arg.annotation and ast.unparse(arg.annotation))
        for arg, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    ]
    if spec.kwarg:
        params.append(Param(spec.kwarg.arg, "kwarg", None, None))
    return params


class Catalogue:
    """Everything known for one target ("jax" or "mlx")."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._folder = _PACKAGE / target
        self._modules: dict[str, RuleModule] = {}
        self._found: dict[str, tuple[Rule, ...]] = {}
        self._calls: dict[Rule, frozenset[str]] = {}

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {
            path.stem: path.read_text("utf-8")
            for path in sorted(self._folder.glob("*.py"))
            if path.stem != "__init__"
        }

    @cached_property
    def _index(self) -> dict[str, str]:
        """Torch API to the one module that ports it."""
        index: dict[str, str] = {}
        for module, text in self._texts.items():
            for decorator in _DECORATOR.finditer(text):
                for api in _API.findall(decorator[1]):
                    index.setdefault(api, module)
        return index

    def problems(self) -> list[str]:
        """APIs that more than one module ports; the tests hold this empty."""
        homes: dict[str, set[str]] = {}
        for module, text in self._texts.items():
            for decorator in _DECORATOR.finditer(text):
                for api in _API.findall(decorator[1]):
                    homes.setdefault(api, set()).add(module)
        return [
            f"{api} has rules in {' and '.join(sorted(modules))}: one API is ported in one place"
            for api, modules in homes.items()
            if len(modules) > 1
        ]

    def apis(self) -> Iterator[str]:
        """Every torch API that has a rule."""
        return iter(self._index)

    def module(self, name: str) -> RuleModule | None:
        """The rule module `name` ("reductions"), parsed; None if there is none."""
        if name not in self._modules:
            text = self._texts.get(name)
            if text is None:
                return None
            module = self._modules[name] = RuleModule(name, text)
            module.parse()
        return self._modules[name]

    def find(self, api: str) -> tuple[Rule, ...]:
        """The rules (overloads, in the order written) for a torch API; empty if there is none."""
        rules = self._found.get(api)
        if rules is None:
            module = self.module(self._index[api]) if api in self._index else None
            rules = tuple(r for r in module.ported if api in r.apis) if module else ()
            self._found[api] = rules
        return rules

    def home(self, api: str) -> str:
        """The API that has the rule for `api`: what an in-place call computes has it out of place.

        `torch.Tensor.add_` is `torch.Tensor.add`, and `torch.zero_` is `torch.Tensor.zero_`.
        """
        owner, _, name = api.rpartition(".")
        if not name.endswith("_") or self.find(api):
            return api
        choices = [api[:-1]]
        if owner == "torch":
            choices += [f"torch.Tensor.{name}", f"torch.Tensor.{name[:-1]}"]
        return next((choice for choice in choices if self.find(choice)), api)

    @cached_property
    def digest(self) -> str:
        """Of the texts of all rule modules."""
        texts = "\0".join(f"{name}\0{text}" for name, text in self._texts.items())
        return hashlib.sha256(texts.encode("utf-8")).hexdigest()

    def calls(self, rule: Rule) -> frozenset[str]:
        """Full names of what a rule uses of the target, in its body and in the helpers it needs."""
        found = self._calls.get(rule)
        if found is None:
            found = self._calls[rule] = frozenset(self._walk(rule, set()))
        return found

    def _walk(self, rule: Rule, seen: set[Rule]) -> Iterator[str]:
        if rule in seen:
            return
        seen.add(rule)
        for node in ast.walk(rule.node):
            match node:
                case ast.Attribute():
                    name = _dotted(node, rule.module.imports)
                    if name is not None and name.partition(".")[0] in _TARGETS[self.target]:
                        yield name
                case ast.Name(id=name, ctx=ast.Load()):
                    used = self._definition(rule.module, name)
                    if used is not None:
                        yield from self._walk(used, seen)
                case _:
                    continue

    def _definition(self, module: RuleModule, name: str) -> Rule | None:
        """What a name of a rule module is, if it is a rule or a helper."""
        if name in module.definitions:
            return module.definitions[name]
        origin, inner = module.imports.get(name, ("", None))
        prefix = f"{_PACKAGE.name}.{self.target}."
        other = self.module(origin.removeprefix(prefix)) if origin.startswith(prefix) else None
        return other.definitions.get(inner or "") if other is not None else None

    @cached_property
    def names(self) -> dict[str, str]:
        """Torch names that are not calls, to what they become as source text."""
        module = self.module("names")
        if module is None:
            return {}
        assignment = module.constants["NAMES"]
        assert isinstance(assignment, ast.Assign | ast.AnnAssign) and assignment.value
        return ast.literal_eval(assignment.value)

    @cached_property
    def absent(self) -> dict[str, str]:
        """Torch APIs that the target has no equivalent of, to the reason and the nearest idiom."""
        module = self.module("absent")
        if module is None:
            return {}
        assignment = module.constants["ABSENT"]
        assert isinstance(assignment, ast.Assign | ast.AnnAssign) and assignment.value
        reasons: dict[str, tuple[str, ...]] = ast.literal_eval(assignment.value)
        return {api: why for why, apis in reasons.items() for api in apis}

    def no_rule(self, api: str) -> str:
        """What to tell of an API that has no rule."""
        why = self.absent.get(api)
        return f"{api} has no rule" if why is None else f"{api} has no rule: {why}"

    @cached_property
    def signatures(self) -> dict[str, list[list[object]]]:
        """Target function to its parameters: `[name]`, or `[name, default]` for a literal default.

        Written by `tests/translators/target_defaults.py`, so that no framework is asked here.
        """
        path = self._folder / "defaults.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else {}


_TARGETS = {"jax": ("jax", "flax", "optax"), "mlx": ("mlx",)}


def _dotted(node: ast.expr, imports: dict[str, tuple[str, str | None]]) -> str | None:
    """The full name that a name or attribute of a rule module stands for."""
    if isinstance(node, ast.Name) and node.id in imports:
        module, name = imports[node.id]
        return f"{module}.{name}" if name else module
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, imports)
        return f"{owner}.{node.attr}" if owner else None
    return None


@lru_cache(maxsize=4)
def catalogue(target: str) -> Catalogue:
    """The catalogue of a target, kept for the life of the process."""
    return Catalogue(target)
