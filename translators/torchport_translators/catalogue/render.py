"""Folded expressions as text, with what they need imported or shipped."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Protocol

from torchport_translators.catalogue.code import AST_OPERATORS, OPERATORS, Binding, Code
from torchport_translators.catalogue.expressions import (
    UNSET,
    Hole,
    Local,
    Ref,
    Rngs,
    const_of,
    rule_of,
)
from torchport_translators.catalogue.load import Catalogue, Rule, RuleModule


@dataclass(slots=True)
class NotFolded(Exception):
    """The rule's body does not come down to one expression at this call."""

    why: str


class Surroundings(Protocol):
    """What the inliner asks of the place where the call stands."""

    def may_hoist(self) -> bool:
        """Whether a line before the statement runs exactly when the call would."""
        ...

    def bind(self, hint: str, code: Code) -> Code:
        """Give `code` a name before the statement."""
        ...

    def rngs(self) -> str:
        """The expression that holds random state here."""
        ...

    def helper(self, rule: Rule) -> str:
        """The name under which the port holds a rule's own text."""
        ...

    def constant(self, module: RuleModule, name: str) -> str:
        """The name under which the port holds a constant of a rule module."""
        ...

    def imported(self, module: str, name: str | None, alias: str) -> str:
        """The name under which the port imports something of the target."""
        ...


@dataclass(slots=True)
class Renderer:
    """Writes expressions for one file."""

    catalogue: Catalogue
    place: Surroundings

    def render(self, node: ast.expr) -> Code:
        """The text of a folded expression; notes what it needs imported or shipped."""
        match node:
            case Hole():
                return node.code
            case Rngs():
                return Code(self.place.rngs())
            case Local(value=value):
                return self.render(value)
            case Ref():
                return self._render_ref(node)
            case ast.Name(id=name):
                return Code(name)
            case ast.Constant(value=value):
                if isinstance(value, str):
                    return Code('"' + repr(value + "'")[1:-2].replace('"', '\\"') + '"')
                text = "..." if value is ... else repr(value)
                binding = Binding.FACTOR if text.startswith("-") else Binding.ATOM
                return Code(text, binding)
            case ast.Attribute(value=value, attr=attr):
                owner = self.render(value)
                text = owner.within(Binding.ATOM)
                return Code(f"({text}).{attr}" if text.isdigit() else f"{text}.{attr}")
            case ast.Subscript(value=value, slice=index):
                return Code(f"{self.render(value).within(Binding.ATOM)}[{self._index(index)}]")
            case ast.Call(func=func, args=[only]) if self.dotted(
                func
            ) == "functools.partial" and not self.keywords(node):
                return self.render(only)
            case ast.Call(func=func):
                return Code(f"{self.render(func).within(Binding.ATOM)}({self._arguments(node)})")
            case ast.BinOp(left=left, op=op, right=right):
                symbol = AST_OPERATORS[type(op)]
                level = OPERATORS[symbol]
                one, two = self.render(left), self.render(right)
                if symbol == "**":
                    text = f"{one.within(Binding.AWAIT)}**{two.within(Binding.FACTOR)}"
                    if not (one.atomic and two.atomic):
                        text = f"{one.within(Binding.AWAIT)} ** {two.within(Binding.FACTOR)}"
                else:
                    tighter = Binding(level + 1)
                    text = f"{one.within(level)} {symbol} {two.within(tighter)}"
                return Code(text, level)
            case ast.UnaryOp(op=op, operand=operand):
                inner = self.render(operand)
                if isinstance(op, ast.Not):
                    return Code(f"not {inner.within(Binding.NOT)}", Binding.NOT)
                symbol = _UNARY[type(op)]
                return Code(f"{symbol}{inner.within(Binding.FACTOR)}", Binding.FACTOR)
            case ast.BoolOp(op=op, values=values):
                level = Binding.AND if isinstance(op, ast.And) else Binding.OR
                word = " and " if isinstance(op, ast.And) else " or "
                tighter = Binding(level + 1)
                return Code(
                    word.join(self.render(value).within(tighter) for value in values), level
                )
            case ast.Compare(left=left, ops=ops, comparators=others):
                tighter = Binding.BIT_OR
                text = self.render(left).within(tighter)
                for op, other in zip(ops, others, strict=True):
                    text += f" {_COMPARISONS[type(op)]} {self.render(other).within(tighter)}"
                return Code(text, Binding.COMPARE)
            case ast.IfExp(test=test, body=yes, orelse=no):
                parts = [self.render(part).within(Binding.OR) for part in (yes, test)]
                last = self.render(no).within(Binding.TEST)
                return Code(f"{parts[0]} if {parts[1]} else {last}", Binding.TEST)
            case ast.Tuple(elts=items):
                inner = ", ".join(self._item(item) for item in items)
                return Code(f"({inner},)" if len(items) == 1 else f"({inner})")
            case ast.List(elts=items):
                return Code(f"[{', '.join(self._item(item) for item in items)}]")
            case ast.Dict(keys=keys, values=values):
                pairs = [
                    f"{self.render(key).within(Binding.TEST)}: " if key else "**" for key in keys
                ]
                items = [self.render(value).within(Binding.TEST) for value in values]
                return Code("{" + ", ".join(a + b for a, b in zip(pairs, items, strict=True)) + "}")
            case ast.Lambda(args=args, body=body):
                names = ast.unparse(args)
                head = f"lambda {names}" if names else "lambda"
                return Code(f"{head}: {self.render(body).within(Binding.TEST)}", Binding.TEST)
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                brackets = {ast.ListComp: "[]", ast.GeneratorExp: "()", ast.SetComp: "{}"}
                left, right = brackets[type(node)]
                return Code(f"{left}{self._comprehension(node)}{right}")
            case ast.JoinedStr():
                return Code(ast.unparse(node))
            case ast.Starred(value=value):
                return Code(f"*{self.render(value).within(Binding.BIT_OR)}", Binding.TUPLE)
            case _:
                raise NotFolded(f"{type(node).__name__} has no form as text here")

    def _item(self, node: ast.expr) -> str:
        code = self.render(node)
        return code.text if isinstance(node, ast.Starred) else code.within(Binding.TEST)

    def _index(self, node: ast.expr) -> str:
        match node:
            case ast.Slice(lower=lower, upper=upper, step=step):
                text = (self._part(lower)) + ":" + self._part(upper)
                return text + (":" + self._part(step) if step else "")
            case ast.Tuple(elts=items) if items:
                inner = ", ".join(
                    self._index(i) if isinstance(i, ast.Slice) else self._item(i) for i in items
                )
                return inner + ("," if len(items) == 1 else "")
            case _:
                return self._item(node)

    def _part(self, node: ast.expr | None) -> str:
        return "" if node is None else self.render(node).within(Binding.TEST)

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> str:
        text = self.render(node.elt).within(Binding.TEST)
        for generator in node.generators:
            source = self.render(generator.iter).within(Binding.OR)
            text += f" for {ast.unparse(generator.target)} in {source}"
            for test in generator.ifs:
                text += f" if {self.render(test).within(Binding.OR)}"
        return text

    def _arguments(self, call: ast.Call) -> str:
        keywords = self.keywords(call)
        args = call.args if keywords else self._positional(call)
        wants_value = not self.dotted(call.func).startswith("jax.numpy.")
        parts = [self._item(arg) + _value_mark(arg, wants_value) for arg in args]
        if len(args) == 1 and not keywords and _is_generator(args[0]):
            return parts[0][1:-1]
        for keyword in keywords:
            text = self.render(keyword.value).within(Binding.TEST)
            text += _value_mark(keyword.value, wants_value)
            parts.append(f"{keyword.arg}={text}" if keyword.arg else f"**{text}")
        return ", ".join(parts)

    def keywords(self, call: ast.Call) -> list[ast.keyword]:
        """The keyword arguments that say something: those equal to the default are dropped."""
        defaults = {
            name: default for name, default in self._signature(call) if default is not UNSET
        }
        return [
            keyword
            for keyword in call.keywords
            if not (
                keyword.arg in defaults
                and _same_meaning(keyword.arg, const_of(keyword.value), defaults[keyword.arg])
            )
        ]

    def _positional(self, call: ast.Call) -> list[ast.expr]:
        """The positional arguments without those at the end that equal the default."""
        args = list(call.args)
        if any(isinstance(arg, ast.Starred) for arg in args):
            return args
        signature = self._signature(call)
        while args and len(args) <= len(signature):
            name, default = signature[len(args) - 1]
            if default is UNSET or not _same_meaning(name, const_of(args[-1]), default):
                break
            args.pop()
        return args

    def _signature(self, call: ast.Call) -> list[tuple[str, object]]:
        """The parameters of what is called, and their defaults where those are literals."""
        function, partial = call.func, False
        if self.dotted(function) == "functools.partial" and call.args:
            function, partial = call.args[0], True
        elif isinstance(function, ast.Call) and self.dotted(function.func) == _INJECTS:
            function = function.args[0]
        rule = rule_of(function)
        if rule is not None:
            found = [(p.name, const_of(p.default)) for p in rule.params if p.form != "vararg"]
        else:
            rows = self.catalogue.signatures.get(self.dotted(function), [])
            found = [(str(row[0]), row[1] if len(row) > 1 else UNSET) for row in rows]
        # partial's own first argument is the function.
        return [("", UNSET), *found] if partial else found

    def dotted(self, node: ast.expr) -> str:
        """The full name of a function of the target, e.g. "jax.numpy.sum"; empty for a method."""
        if isinstance(node, ast.Attribute):
            owner = self.dotted(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        if isinstance(node, Ref) and node.name in node.module.imports:
            module, name = node.module.imports[node.name]
            return module if name is None else f"{module}.{name}"
        return ""

    def _render_ref(self, ref: Ref) -> Code:
        rule = ref.module.definitions.get(ref.name)
        if rule is not None:
            return Code(self.place.helper(rule))
        if ref.name in ref.module.imports:
            module, name = ref.module.imports[ref.name]
            return Code(self.place.imported(module, name, ref.name))
        return Code(self.place.constant(ref.module, ref.name))


def _value_mark(node: ast.expr, wants_value: bool) -> str:
    """`[...]` after a module's variable where only its value will do."""
    return "[...]" if wants_value and isinstance(node, Hole) and node.variable else ""


def _is_generator(node: ast.expr) -> bool:
    return isinstance(node, ast.GeneratorExp) or (isinstance(node, Hole) and node.generator)


# What it returns takes the arguments of the function that it is given.
_INJECTS = "optax.inject_hyperparams"

_UNARY: dict[type[ast.unaryop], str] = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}

# Pairs that say the same to a parameter although they are not equal.
_SAME = {("keepdims", None, False), ("keepdims", False, None)}


def _same_meaning(name: str | None, value: object, default: object) -> bool:
    if value is UNSET:
        return False
    if isinstance(default, list):
        default = tuple(default)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, bool) == isinstance(default, bool) and value == default:
        return True
    return isinstance(value, bool | None) and (name, value, default) in _SAME
