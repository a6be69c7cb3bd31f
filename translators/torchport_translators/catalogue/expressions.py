"""Expressions of rules while they are folded: holes for arguments, and what is known of each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import cast

from torchport_translators.catalogue.bind import contradicts
from torchport_translators.catalogue.code import Code
from torchport_translators.catalogue.load import Rule, RuleModule
from torchport_translators.source import kinds as k
from torchport_translators.source.kinds import Kind
from torchport_translators.source.syntax import Node

UNSET = object()


class Hole(ast.expr):
    """An argument of the call (or a local of the rule) standing in a rule's expression.

    Attributes:
        code: its text.
        kind: what it is.
        const: its value, where it is a literal.
        items: its items, where it is a literal tuple or list.
        nullable: it may be None although its kind says otherwise.
        starred: it was passed as `*code`.
        variable: it is a module's variable, whose value functions outside `jax.numpy` want.
        generator: it is a generator expression, in its parentheses.
        hint: a name for it, should it need one.
        node: the argument in the source, where it is one.
        ambiguous: it is the only argument of a vararg, and either its one item or all of them.
        nonzero: it is a number that the call does not tell, for a parameter annotated `float`: taken
            for another than 0, since what a rule does for such a number must hold for 0, too.
    """

    _fields = ()

    def __init__(
        self,
        code: Code,
        kind: Kind = k.UNKNOWN,
        *,
        const: object = UNSET,
        items: list[ast.expr] | None = None,
        nullable: bool = False,
        starred: bool = False,
        variable: bool = False,
        generator: bool = False,
        hint: str = "value",
        node: Node | None = None,
    ) -> None:
        super().__init__()
        self.code = code
        self.kind = kind
        self.const = const
        self.items = items
        self.nullable = nullable
        self.starred = starred
        self.variable = variable
        self.generator = generator
        self.hint = hint
        self.node = node
        self.ambiguous = False
        self.nonzero = False

    def __deepcopy__(self, memo: object) -> Hole:
        return self


class Ref(ast.expr):
    """A module-level name of a rule module: an import, a constant, or another rule."""

    _fields = ()

    def __init__(self, name: str, module: RuleModule) -> None:
        super().__init__()
        self.name = name
        self.module = module


class Rngs(ast.expr):
    """The random state at the place of the call; asked for only where it is used."""

    _fields = ()


class Local(ast.expr):
    """A local of a rule, put where it is used; bound by name if that is more than once."""

    _fields = ()
    __match_args__ = ("hint", "value")

    def __init__(self, hint: str, value: ast.expr) -> None:
        super().__init__()
        self.hint = hint
        self.value = value

    def __deepcopy__(self, memo: object) -> Local:
        return self


def is_starred(node: ast.expr) -> bool:
    return isinstance(node, Hole) and node.starred


def spread(nodes: list[ast.expr], *, starred: bool) -> list[ast.expr]:
    """The items of a sequence that is unpacked; `*x` where they are not known."""
    result: list[ast.expr] = []
    for node in nodes:
        items = items_of(node)
        if items is not None:
            result.extend(items)
        elif starred and (not isinstance(node, Hole) or isinstance(node.kind, k.Sequence)):
            result.append(ast.Starred(node))
        else:
            result.append(node)
    return result


def items_of(node: ast.expr) -> list[ast.expr] | None:
    if isinstance(node, Hole):
        return node.items
    if isinstance(node, ast.Tuple | ast.List):
        return node.elts
    return None


def const_of(node: ast.expr | None) -> object:
    """The value of an expression that is a literal; `UNSET` for any other."""
    match node:
        case ast.Constant(value=value):
            return value
        case Hole(const=const, items=items):
            if const is UNSET and items is not None:
                values = [const_of(item) for item in items]
                return UNSET if UNSET in values else tuple(values)
            return const
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = const_of(operand)
            return -value if isinstance(value, int | float) else UNSET
        case ast.Tuple(elts=items):
            values = [const_of(item) for item in items]
            return UNSET if UNSET in values else tuple(values)
        case _:
            return UNSET


def kind_of(node: ast.expr) -> Kind:
    """What a folded expression is, as far as its form tells."""
    match node:
        case Hole(kind=kind):
            return kind
        case ast.Constant(value=value):
            name = "none" if value is None else type(value).__name__
            return k.Scalar(name)
        case ast.Tuple(elts=items):
            return k.Sequence("tuple", tuple(map(kind_of, items)))
        case ast.List(elts=items):
            return k.Sequence("list", tuple(map(kind_of, items)))
        case _:
            return k.UNKNOWN


def truth(node: ast.expr) -> bool | None:
    """Whether a condition holds; None where the call does not say."""
    value = const_of(node)
    if value is not UNSET:
        return bool(value)
    match node:
        case Hole(nonzero=True):
            return True
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            known = truth(operand)
            return None if known is None else not known
        case ast.BoolOp(op=op, values=values):
            known = [truth(value) for value in values]
            if isinstance(op, ast.And):
                return False if False in known else None if None in known else True
            return True if True in known else None if None in known else False
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compare(left, op, right)
        case ast.Call(func=ast.Name(id="isinstance"), args=[subject, classes]):
            return _is_instance(subject, classes)
        case _:
            items = items_of(node)
            return bool(items) if items is not None else None


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool | None:
    one, two = const_of(left), const_of(right)
    if isinstance(op, ast.Is | ast.IsNot):
        known: bool | None = None
        if one is not UNSET and two is not UNSET:
            known = one is two
        elif two is None:
            known = _is_none(left)
        elif isinstance(two, bool) and one is UNSET:
            kind = kind_of(left)
            known = False if kind not in (k.UNKNOWN, k.BOOL) else None
        return None if known is None else known == isinstance(op, ast.Is)
    if one is UNSET or two is UNSET:
        if one == -1 and isinstance(op, ast.In | ast.NotIn):
            return _has_minus_one(right, isinstance(op, ast.In))
        return _differ_in_kind(left, op, right)
    try:
        match op:
            case ast.Eq():
                return one == two
            case ast.NotEq():
                return one != two
            case ast.In():
                return one in two  # type: ignore[operator]
            case ast.NotIn():
                return one not in two  # type: ignore[operator]
            case ast.Lt():
                return one < two  # type: ignore[operator]
            case ast.LtE():
                return one <= two  # type: ignore[operator]
            case ast.Gt():
                return one > two  # type: ignore[operator]
            case ast.GtE():
                return one >= two  # type: ignore[operator]
            case _:
                return None
    except TypeError:
        return None


def _has_minus_one(sequence: ast.expr, wanted: bool) -> bool | None:
    """Whether sizes say "as it is" somewhere: a size that is no literal is taken for a real one.

    Should it be -1 all the same, the target refuses a negative size, so nothing is silently wrong.
    """
    items = items_of(sequence)
    if items is None or any(isinstance(item, ast.Starred) for item in items):
        return None
    return any(const_of(item) == -1 for item in items) is wanted


def _differ_in_kind(left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool | None:
    """`padding == "same"` is false for an int that is not known."""
    if not isinstance(op, ast.Eq | ast.NotEq):
        return None
    value, other = const_of(right), left
    if value is UNSET:
        value, other = const_of(left), right
    if isinstance(value, str):
        kind = kind_of(other)
        if isinstance(kind, k.Tensor | k.Sequence) or kind in (k.INT, k.FLOAT, k.BOOL):
            return isinstance(op, ast.NotEq)
    return None


def _is_none(node: ast.expr) -> bool | None:
    match node:
        case Hole(nullable=True):
            return None
        case Hole(kind=kind):
            if kind == k.NONE:
                return True
            return None if kind == k.UNKNOWN else False
        case ast.Tuple() | ast.List() | ast.Call() | ast.BinOp():
            return False
        case _:
            return None


def _is_instance(subject: ast.expr, classes: ast.expr) -> bool | None:
    if isinstance(subject, Hole) and subject.nullable:
        return None
    kind = kind_of(subject)
    if kind == k.UNKNOWN:
        return None
    names = classes.elts if isinstance(classes, ast.Tuple) else [classes]
    texts = [_class_name(name) for name in names]
    if kind in (k.INT, k.BOOL) and "int" in texts:
        return True
    if kind == k.INT:
        return False
    if isinstance(kind, k.Sequence):
        shapes = {"tuple": ("tuple",), "size": ("tuple",), "list": ("list",)}.get(kind.name, ())
        return any(text in shapes for text in texts)
    return not contradicts(" | ".join(texts), kind)


def _class_name(node: ast.expr) -> str:
    match node:
        case Ref(name=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{_class_name(value)}.{attr}"
        case ast.Name(id=name):
            return name
        case _:
            return "?"


def fold_boolean(op: ast.boolop, values: list[ast.expr]) -> ast.expr:
    decisive = isinstance(op, ast.Or)
    left: list[ast.expr] = []
    for value in values:
        known = truth(value)
        if known is None:
            left.append(value)
        elif known is decisive:
            return value if not left else ast.BoolOp(op, [*left, value])
    if not left:
        return values[-1]
    return left[0] if len(left) == 1 else ast.BoolOp(op, left)


def fold_arithmetic(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
    one, two = const_of(left), const_of(right)
    if isinstance(one, int | float) and isinstance(two, int | float):
        value: int | float | None
        match op:
            case ast.Add():
                value = one + two
            case ast.Sub():
                value = one - two
            case ast.Mult():
                value = one * two
            case ast.FloorDiv() if two:
                value = one // two
            case ast.Mod() if two:
                value = one % two
            case _:
                value = None
        # A sum such as 1 - 0.1 is worth doing; 0.30000000000000004 is not worth reading.
        if value is not None and len(repr(value)) <= 8:
            return ast.Constant(value)
    if isinstance(op, ast.Add) and isinstance(one, tuple) and isinstance(two, tuple):
        return ast.Tuple([*(items_of(left) or []), *(items_of(right) or [])], ast.Load())
    if isinstance(op, ast.Mult) and isinstance(two, int) and 0 < two < 8:
        items = items_of(left)
        if items is not None and isinstance(left, ast.Tuple):
            return ast.Tuple(items * two, ast.Load())
    return ast.BinOp(left, op, right)


# Nothing stands in these: to say so is quicker than to look.
_LEAVES = Ref | Rngs | ast.Name | ast.Constant | ast.expr_context | ast.operator | ast.cmpop


def count_holes(
    node: ast.AST, counts: dict[int, int], holes: dict[int, Hole | Local], weight: int = 1
) -> None:
    if isinstance(node, Hole | Local):
        counts[id(node)] = counts.get(id(node), 0) + weight
        holes[id(node)] = node
        if isinstance(node, Local) and counts[id(node)] == weight:
            count_holes(node.value, counts, holes, weight)
        return
    if isinstance(node, _LEAVES):
        return
    if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
        # What the first `for` runs over is evaluated once, all else for each item.
        first, *others = node.generators
        count_holes(first.iter, counts, holes, weight)
        for child in (node.elt, *first.ifs, *others):
            count_holes(child, counts, holes, 2)
        return
    if isinstance(node, ast.Lambda):
        weight = 2
    for child in _children(node):
        count_holes(child, counts, holes, weight)


def parts_of(node: ast.AST) -> Iterator[ast.AST]:
    """A folded expression and all that is in it, locals included."""
    yield node
    inner = [node.value] if isinstance(node, Local) else _children(node)
    for child in inner:
        yield from parts_of(child)


def replace_hole(node: ast.expr, old: ast.expr, new: ast.expr) -> ast.expr:
    if node is old:
        return new
    if isinstance(node, Local):
        node.value = replace_hole(node.value, old, new)
        return node
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.expr):
            setattr(node, name, replace_hole(value, old, new))
        elif isinstance(value, list):
            for index, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                if isinstance(item, ast.expr):
                    value[index] = replace_hole(item, old, new)
                elif isinstance(item, ast.keyword):
                    item.value = replace_hole(item.value, old, new)
                elif isinstance(item, ast.comprehension):
                    item.iter = replace_hole(item.iter, old, new)
                    item.ifs = [replace_hole(test, old, new) for test in item.ifs]
    return node


def rule_of(node: ast.expr) -> Rule | None:
    """The rule that a name is, if it is one."""
    return node.module.definitions.get(node.name) if isinstance(node, Ref) else None


def size_of(node: ast.AST) -> int:
    """How many calls, operators and conditions a folded expression has, its arguments left out."""
    if isinstance(node, Hole | _LEAVES):
        return 0
    if isinstance(node, Local):
        return size_of(node.value)
    own = isinstance(node, ast.Call | ast.BinOp | ast.Compare | ast.IfExp | ast.BoolOp)
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        own = 8  # reads better under a name
    return own + sum(map(size_of, _children(node)))


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """`ast.iter_child_nodes`, without the contexts (Load, Store) that most nodes have."""
    for name in node._fields:
        value: object = getattr(node, name, None)
        if isinstance(value, list):
            yield from (item for item in cast("list[object]", value) if isinstance(item, ast.AST))
        elif isinstance(value, ast.AST) and name != "ctx":
            yield value
