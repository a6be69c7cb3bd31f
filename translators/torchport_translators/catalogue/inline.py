"""The inliner: a call of a torch API becomes the body of its rule, with the arguments put in.

A rule's body is evaluated as far as the call makes it known: conditions are folded, the branch that
holds is taken, locals are put where they are used. If that leaves one expression, it is the port of
the call; if not, the rule itself is shipped as a helper and the call stays a call.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from torchport_translators.catalogue.bind import Bound, Refusal, accepts, bind
from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.catalogue.expressions import (
    UNSET,
    Hole,
    Local,
    Ref,
    Rngs,
    const_of,
    count_holes,
    fold_arithmetic,
    fold_boolean,
    is_starred,
    items_of,
    kind_of,
    parts_of,
    replace_hole,
    rule_of,
    size_of,
    spread,
    truth,
)
from torchport_translators.catalogue.load import Catalogue, Rule, RuleModule
from torchport_translators.catalogue.render import NotFolded, Renderer, Surroundings
from torchport_translators.installed import Installed
from torchport_translators.source import kinds as k
from torchport_translators.source.kinds import Kind

# Parameters for which torch takes a list of ints and JAX a tuple.
_AXES = frozenset(
    [
        "dim",
        "dims",
        "size",
        "shape",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "output_size",
        "normalized_shape",
        "repeats",
        "shifts",
        "output_padding",
    ]
)

_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")

# An inlined rule of more calls and operators than this is shipped as a helper instead.
_LARGEST = 14


@dataclass(slots=True)
class Unsupported(Exception):
    """No rule takes this call, for a reason worth telling."""

    why: str


@dataclass(slots=True)
class Result:
    """A ported call, not yet text: `pick` takes a tuple apart, `code` renders."""

    expression: ast.expr
    kind: Kind
    rule: Rule
    inliner: Inliner

    def pick(self, index: int) -> Result:
        """The item `index` of a tuple result."""
        items = self.kind.items if isinstance(self.kind, k.Sequence) else None
        kind = items[index] if items and -len(items) <= index < len(items) else k.UNKNOWN
        if isinstance(self.expression, ast.Tuple):
            return Result(self.expression.elts[index], kind, self.rule, self.inliner)
        subscript = ast.Subscript(self.expression, ast.Constant(index), ast.Load())
        return Result(subscript, kind, self.rule, self.inliner)

    def code(self) -> Code:
        code = self.inliner.renderer.render(self.expression)
        if isinstance(self.expression, ast.Tuple) and len(self.expression.elts) > 1:
            return Code(code.text[1:-1], Binding.TUPLE)
        return code


@dataclass(slots=True)
class Inliner:
    """Inlines calls of one file into one place after another."""

    catalogue: Catalogue
    place: Surroundings
    installed: Installed | None = None
    renderer: Renderer = field(init=False)
    depth: int = 0

    def __post_init__(self) -> None:
        self.renderer = Renderer(self.catalogue, self.place)

    def call(
        self, api: str, positional: Sequence[ast.expr], keywords: Mapping[str, ast.expr]
    ) -> Result:
        """Port a call of `api`.

        Raises:
            Unsupported: no rule for the API takes these arguments.
        """
        rules = self.catalogue.find(api)
        if not rules:
            raise Unsupported(f"{api} has no rule")
        refusals: list[Refusal] = []
        for rule in rules:
            bound = self._bind(rule, positional, keywords)
            if isinstance(bound, Refusal):
                refusals.append(bound)
                continue
            kinds = {name: kind_of(node) for name, node in bound.arguments.items()}
            rest = {name: [kind_of(n) for n in nodes] for name, nodes in bound.varargs.items()}
            if not accepts(rule, kinds, rest):
                refusals.append(Refusal("no overload takes arguments of these kinds"))
                continue
            if absent := self._absent(rule):
                refusals.append(Refusal(absent, argument=rule.name))
                continue
            return self._apply(rule, bound, api, positional, keywords)
        told = next((refusal for refusal in refusals if refusal.argument), refusals[0])
        raise Unsupported(f"{api}: {told.reason}")

    def helper(
        self,
        module: str,
        name: str,
        positional: Sequence[ast.expr],
        keywords: Mapping[str, ast.expr],
    ) -> Result:
        """A call of what rule module `module` calls `name`, for a rewrite: it need not port an API.

        Raises:
            Unsupported: it does not take these arguments.
        """
        found = self.catalogue.module(module)
        assert found is not None
        rule = found.definitions[name]
        bound = self._bind(rule, positional, keywords)
        if isinstance(bound, Refusal):
            raise Unsupported(bound.reason)
        if absent := self._absent(rule):
            raise Unsupported(absent)
        return self._apply(rule, bound, "", positional, keywords)

    def _absent(self, rule: Rule) -> str:
        """Why a rule does not hold for the installed version of the target; empty where it does."""
        if self.installed is None or not self.installed.lacking:
            return ""
        absent = sorted(self.catalogue.calls(rule) & self.installed.lacking)
        return f"it needs {absent[0]}, which {self.installed.versions} lacks" if absent else ""

    def reference(self, api: str, *, as_class: bool = False) -> Result:
        """Port a function or class that is named but not called: `act = F.relu`.

        With `as_class` it must be a class, as in `isinstance(m, nn.Linear)`.

        Raises:
            Unsupported: there is no rule.
        """
        rules = self.catalogue.find(api)
        if not rules:
            raise Unsupported(f"{api} has no rule")
        # Of classes alone, those of later overloads extend the first.
        rule = rules[0] if as_class else rules[-1]
        if absent := self._absent(rule):
            raise Unsupported(f"{api}: {absent}")
        if as_class and not all(each.is_class for each in rules):
            return Result(self._built_class(rules, api), k.UNKNOWN, rule, self)
        first = next((p for p in rule.params if p.form == "positional"), None)
        if not rule.is_class and first is not None and not rule.random:
            hole = Hole(Code(first.name), k.TENSOR)
            bound = self._bind(rule, [hole], {})
            if isinstance(bound, Bound):
                try:
                    expression = self._fold_rule(rule, bound)
                except (NotFolded, Unsupported):
                    expression = None
                # Eta: a call whose only argument is the parameter is the function called.
                if (
                    isinstance(expression, ast.Call)
                    and expression.args == [hole]
                    and not self.renderer.keywords(expression)
                ):
                    return Result(expression.func, k.UNKNOWN, rule, self)
        return Result(Ref(rule.name, rule.module), k.UNKNOWN, rule, self)

    def _built_class(self, rules: Sequence[Rule], api: str) -> ast.expr:
        """The target's class that module rules build: `nn.LayerNorm` is `nnx.LayerNorm`.

        A class among the rules extends it, so that it says what either is an instance of.

        Raises:
            Unsupported: no rule builds an instance of a class.
        """
        for rule in rules:
            required = [
                Hole(Code(p.name), k.INT)
                for p in rule.params
                if p.form == "positional" and p.default is None
            ]
            bound = self._bind(rule, required, {})
            if rule.is_class or not isinstance(bound, Bound):
                continue
            try:
                expression = self._fold_rule(rule, bound)
            except (NotFolded, Unsupported):
                continue
            if isinstance(expression, ast.Call) and self.renderer.dotted(
                expression.func
            ).startswith(("flax.", "mlx.nn.")):
                return expression.func
        raise Unsupported(f"{api} is a function in the port, not a class")

    def _bind(
        self, rule: Rule, positional: Sequence[ast.expr], keywords: Mapping[str, ast.expr]
    ) -> Bound[ast.expr] | Refusal:
        return bind(rule, positional, keywords, is_starred)

    def _apply(
        self,
        rule: Rule,
        bound: Bound[ast.expr],
        api: str,
        positional: Sequence[ast.expr],
        keywords: Mapping[str, ast.expr],
    ) -> Result:
        kind = rule.returns(api)
        if not rule.is_class:
            try:
                expression = self._fold_rule(rule, bound)
                if size_of(expression) > _LARGEST:
                    raise NotFolded("it is too long to be read at the call")
                expression = self._bind_repeated(expression)
                return Result(expression, kind, rule, self)
            except NotFolded:
                pass
        return Result(self._helper_call(rule, bound, positional, keywords), kind, rule, self)

    def _helper_call(
        self,
        rule: Rule,
        bound: Bound[ast.expr],
        positional: Sequence[ast.expr],
        keywords: Mapping[str, ast.expr],
    ) -> ast.expr:
        """The call as written, of the rule's own text."""
        names = {id(node): name for name, node in bound.arguments.items()}
        extra = {id(node): name for name, node in bound.keywords.items()}
        slots = [param.name for param in rule.params if param.form == "positional"]
        vararg = next((param.name for param in rule.params if param.form == "vararg"), None)
        args: list[ast.expr] = []
        for index, node in enumerate(positional):
            if isinstance(node, Hole) and node.starred:
                args.append(ast.Starred(node))
            elif index >= len(slots) and vararg and len(bound.varargs.get(vararg, [])) == 1:
                # A rule's vararg is spread by the binder; a helper's is spread at the call.
                args.extend(spread([node], starred=True))
            else:
                args.append(node)
        passed: list[ast.keyword] = []
        for node in keywords.values():
            name = names.get(id(node)) or extra.get(id(node))
            if name is not None:
                passed.append(ast.keyword(name, node))
            elif any(node is item for items in bound.varargs.values() for item in items):
                args.extend(spread([node], starred=True))
        if rule.random:
            passed.append(ast.keyword("rngs", Rngs()))
        return ast.Call(Ref(rule.name, rule.module), args, passed)

    # Folding

    def _fold_rule(self, rule: Rule, bound: Bound[ast.expr]) -> ast.expr:
        assert isinstance(rule.node, ast.FunctionDef)
        env: dict[str, ast.expr] = {}
        for param in rule.params:
            if param.name in bound.arguments:
                node = bound.arguments[param.name]
                if isinstance(node, Hole):
                    node.hint = param.name if node.hint == "value" else node.hint
                    node.nonzero |= param.annotation == "float" and node.const is UNSET
                env[param.name] = _as_axes(node) if param.name in _AXES else node
            elif param.name == "rngs" and param.default is None:
                env["rngs"] = Rngs()
            elif param.form == "vararg":
                env[param.name] = self._vararg(bound.varargs.get(param.name, []))
            elif param.form == "kwarg":
                if bound.keywords:
                    raise NotFolded("it passes keyword arguments on")
                env[param.name] = ast.Dict([], [])
            else:
                assert param.default is not None
                env[param.name] = self.fold(param.default, {}, rule.module)
        self.depth += 1
        try:
            if self.depth > 12:
                raise NotFolded("rules call each other too deeply")
            result = self._run(rule.node.body, env, rule.module)
        finally:
            self.depth -= 1
        if result is None:
            raise NotFolded("it ends without a return")
        return result

    @staticmethod
    def _vararg(nodes: list[ast.expr]) -> ast.expr:
        if len(nodes) == 1 and isinstance(nodes[0], Hole):
            only = nodes[0]
            if only.starred:
                return Hole(only.code, k.Sequence("tuple"))
            if only.items is not None:
                return only
            if isinstance(only.kind, k.Sequence):
                return only
            if only.kind == k.UNKNOWN:
                either = Hole(only.code, nullable=only.nullable, hint=only.hint, node=only.node)
                either.ambiguous = True
                return either
        if any(is_starred(node) for node in nodes):
            return ast.Tuple(
                [ast.Starred(node) if is_starred(node) else node for node in nodes], ast.Load()
            )
        return ast.Tuple(list(nodes), ast.Load())

    def _run(
        self, body: Sequence[ast.stmt], env: dict[str, ast.expr], module: RuleModule
    ) -> ast.expr | None:
        for statement in body:
            match statement:
                case ast.Expr(value=ast.Constant()):
                    continue
                case ast.Return(value=value):
                    if value is None:
                        return ast.Constant(None)
                    return self.fold(value, env, module)
                case ast.If(test=test, body=yes, orelse=no):
                    known = truth(self.fold(test, env, module))
                    if known is None:
                        raise NotFolded(f"{ast.unparse(test)} is not known here")
                    result = self._run(yes if known else no, env, module)
                    if result is not None:
                        return result
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    env[name] = self._local(name, self.fold(value, env, module))
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                    folded = self.fold(value, env, module)
                    items = folded.elts if isinstance(folded, ast.Tuple) else None
                    if isinstance(folded, Hole):
                        items = folded.items
                    if items is None or len(items) != len(targets):
                        raise NotFolded("a tuple is taken apart that is not known")
                    for target, item in zip(targets, items, strict=True):
                        if not isinstance(target, ast.Name):
                            raise NotFolded("it assigns to more than names")
                        env[target.id] = self._local(target.id, item)
                case ast.Raise(exc=ast.Call(args=[ast.Constant(value=message), *_])):
                    raise Unsupported(str(message))
                case ast.Pass():
                    continue
                case _:
                    raise NotFolded("it has statements that an expression cannot hold")
        return None

    def _local(self, name: str, value: ast.expr) -> ast.expr:
        if (
            isinstance(value, Hole | Ref | Rngs | Local | ast.Constant)
            or const_of(value) is not UNSET
        ):
            return value
        if isinstance(value, ast.Tuple):
            return value
        return Local(name, value)

    def fold(self, node: ast.expr, env: Mapping[str, ast.expr], module: RuleModule) -> ast.expr:
        """`node` with parameters put in, known conditions decided and rules it calls inlined."""
        match node:
            case ast.Name(id=name):
                if name in env:
                    return env[name]
                if name in module.imports or name in module.definitions or name in module.constants:
                    return self._resolve(Ref(name, module))
                return node
            case ast.Constant() | Hole() | Ref() | Rngs() | Local():
                return node
            case ast.IfExp(
                test=ast.Compare(left=ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)])),
                orelse=ast.Name(id=other),
            ) if name == other and _is_ambiguous(env.get(name)):
                # `dims[0] if len(dims) == 1 else dims`: what takes one or all takes either.
                return env[name]
            case ast.IfExp(test=test, body=yes, orelse=no):
                folded = self.fold(test, env, module)
                known = truth(folded)
                if known is not None:
                    return self.fold(yes if known else no, env, module)
                return ast.IfExp(folded, self.fold(yes, env, module), self.fold(no, env, module))
            case ast.BoolOp(op=op, values=values):
                return fold_boolean(op, [self.fold(value, env, module) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                folded = self.fold(operand, env, module)
                known = truth(folded)
                if known is not None:
                    return ast.Constant(not known)
                if isinstance(folded, ast.UnaryOp) and isinstance(folded.op, ast.Not):
                    return folded.operand
                if isinstance(folded, Hole) and folded.code.text.startswith("not "):
                    inner = Code(folded.code.text[4:], Binding.COMPARE)
                    return Hole(inner, folded.kind)
                return ast.UnaryOp(ast.Not(), folded)
            case ast.Compare():
                folded = ast.Compare(
                    self.fold(node.left, env, module),
                    node.ops,
                    [self.fold(other, env, module) for other in node.comparators],
                )
                known = truth(folded)
                return folded if known is None else ast.Constant(known)
            case ast.BinOp(left=left, op=op, right=right):
                return fold_arithmetic(
                    self.fold(left, env, module), op, self.fold(right, env, module)
                )
            case ast.Subscript(value=value, slice=index):
                folded = self.fold(value, env, module)
                if _is_ambiguous(folded):
                    raise NotFolded("one argument may stand for several")
                at = self.fold(index, env, module)
                number = const_of(at)
                items = items_of(folded)
                if (
                    items is not None
                    and isinstance(number, int)
                    and -len(items) <= number < len(items)
                    and not any(isinstance(item, ast.Starred) for item in items)
                ):
                    return items[number]
                return ast.Subscript(folded, at, ast.Load())
            case ast.Call():
                return self._fold_call(node, env, module)
            case ast.Lambda(args=args, body=body):
                names = {arg.arg for arg in args.args}
                inner = {name: value for name, value in env.items() if name not in names}
                return ast.Lambda(args, _closed(self.fold(body, inner, module), names, inner))
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                return self._fold_comprehension(node, env, module)
            case ast.Tuple(elts=items):
                return ast.Tuple(self._fold_items(items, env, module), ast.Load())
            case ast.List(elts=items):
                return ast.List(self._fold_items(items, env, module), ast.Load())
            case ast.Starred(value=value):
                return ast.Starred(self.fold(value, env, module))
            case _:
                clone = copy.copy(node)
                for name, part in ast.iter_fields(node):
                    if isinstance(part, ast.expr):
                        setattr(clone, name, self.fold(part, env, module))
                    elif isinstance(part, list):
                        parts = cast("list[object]", part)
                        setattr(
                            clone,
                            name,
                            [
                                self.fold(p, env, module) if isinstance(p, ast.expr) else p
                                for p in parts
                            ],
                        )
                return clone

    def _fold_items(
        self, items: Sequence[ast.expr], env: Mapping[str, ast.expr], module: RuleModule
    ) -> list[ast.expr]:
        folded: list[ast.expr] = []
        for item in items:
            if isinstance(item, ast.Starred):
                folded.extend(spread([self.fold(item.value, env, module)], starred=True))
            else:
                folded.append(self.fold(item, env, module))
        return folded

    def _fold_comprehension(
        self,
        node: ast.ListComp | ast.GeneratorExp | ast.SetComp,
        env: Mapping[str, ast.expr],
        module: RuleModule,
    ) -> ast.expr:
        inner = dict(env)
        generators: list[ast.comprehension] = []
        for generator in node.generators:
            iterated = self.fold(generator.iter, inner, module)
            for name in ast.walk(generator.target):
                if isinstance(name, ast.Name):
                    inner.pop(name.id, None)
            conditions = [self.fold(test, inner, module) for test in generator.ifs]
            generators.append(ast.comprehension(generator.target, iterated, conditions, 0))
        return type(node)(self.fold(node.elt, inner, module), generators)

    def _fold_call(
        self, node: ast.Call, env: Mapping[str, ast.expr], module: RuleModule
    ) -> ast.expr:
        function = self.fold(node.func, env, module)
        args = self._fold_items(node.args, env, module)
        keywords = [
            ast.keyword(keyword.arg, self.fold(keyword.value, env, module))
            for keyword in node.keywords
        ]
        folded = ast.Call(function, args, keywords)
        known = truth(folded) if isinstance(function, ast.Name) else None
        if known is not None and isinstance(function, ast.Name) and function.id == "isinstance":
            return ast.Constant(known)
        if isinstance(function, ast.Name) and function.id == "len":
            if _is_ambiguous(args[0]):
                raise NotFolded("one argument may stand for several")
            items = items_of(args[0])
            if items is not None and not any(isinstance(item, ast.Starred) for item in items):
                return ast.Constant(len(items))
        if isinstance(function, ast.Name) and function.id == "tuple" and len(args) == 1:
            items = items_of(args[0]) or _counted(args[0])
            if items is not None:
                return ast.Tuple(items, ast.Load())
        if isinstance(function, ast.Name) and len(args) == 1 and _is_new(args[0], function.id):
            return args[0]
        rule = rule_of(function)
        if rule is not None and not rule.is_class:
            named = {k.arg: self._local(k.arg, k.value) for k in keywords if k.arg}
            values = [a if isinstance(a, ast.Starred) else self._local("value", a) for a in args]
            bound = self._bind(rule, values, named)
            if isinstance(bound, Bound) and len(named) == len(keywords):
                try:
                    return self._fold_rule(rule, bound)
                except NotFolded:
                    pass
        return folded

    def _resolve(self, ref: Ref) -> Ref:
        """A rule imported from another rule module is a name of that module."""
        source = ref.module.imports.get(ref.name)
        prefix = f"torchport_translators.{self.catalogue.target}."
        if source is not None and source[1] is not None and source[0].startswith(prefix):
            module = self.catalogue.module(source[0].removeprefix(prefix))
            if module is not None:
                return self._resolve(Ref(source[1], module))
        return ref

    # Repeated arguments

    def _bind_repeated(self, expression: ast.expr) -> ast.expr:
        counts: dict[int, int] = {}
        holes: dict[int, Hole | Local] = {}
        count_holes(expression, counts, holes)
        # Inner locals first: an outer one may use them.
        repeated = [h for key, h in reversed(holes.items()) if counts[key] > 1 and not _cheap(h)]
        codes = [h.code if isinstance(h, Hole) else None for h in repeated]
        if any(code is None or not code.atomic for code in codes) and not self.place.may_hoist():
            raise NotFolded("an argument would be evaluated twice")
        for hole, known in zip(repeated, codes, strict=True):
            code = known or self.renderer.render(hole.value)  # type: ignore[union-attr]
            if code.atomic:
                continue
            named = Hole(self.place.bind(hole.hint, code), kind_of(hole))
            expression = replace_hole(expression, hole, named)
        return expression


def _closed(body: ast.expr, names: set[str], outside: Mapping[str, ast.expr]) -> ast.expr:
    """A lambda's body, in which locals that are not from outside stand where they are used.

    Raises:
        NotFolded: an argument of the call uses one of the lambda's names for something else.
    """
    from_outside = {id(part) for value in outside.values() for part in parts_of(value)}
    found: dict[int, Hole | Local] = {}
    count_holes(body, {}, found)
    for node in found.values():
        if isinstance(node, Local):
            if id(node) not in from_outside:
                body = replace_hole(body, node, node.value)
        elif names.intersection(_NAME.findall(node.code.text)):
            raise NotFolded("an argument has the name of a lambda's parameter")
    return body


def _as_axes(node: ast.expr) -> ast.expr:
    """A literal list as the tuple that it stands for."""
    if isinstance(node, Hole) and node.items is not None and node.code.text.startswith("["):
        return ast.Tuple(node.items, ast.Load())
    return node


# What in the source makes a list or a dict, which needs no copy.
_DISPLAYS = {
    "list": ("list", "list_comprehension"),
    "dict": ("dictionary", "dictionary_comprehension"),
}


def _is_new(node: ast.expr, made: str) -> bool:
    """Whether `made(node)`, `list(...)` or `dict(...)`, is `node` itself."""
    return (
        isinstance(node, Hole)
        and node.node is not None
        and node.node.type in _DISPLAYS.get(made, ())
    )


def _counted(node: ast.expr) -> list[ast.expr] | None:
    """The items of `range(2)`."""
    match node:
        case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=int() as count)]):
            return [ast.Constant(index) for index in range(count)]
        case _:
            return None


def _cheap(hole: Hole | Local) -> bool:
    return isinstance(hole, Hole) and (hole.const is not UNSET or hole.code.atomic)


def _is_ambiguous(node: ast.expr | None) -> bool:
    return isinstance(node, Hole) and node.ambiguous
