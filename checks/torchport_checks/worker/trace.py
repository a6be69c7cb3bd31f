"""Traces: the value of each operation of the user's code, and what comes out with some replaced.

The file's functions are compiled a second time with each operation inside a call of a recorder, and
for one run that code stands in the place of theirs: `y = relu(x @ w)` runs as
`y = record(3, relu(record(2, record(0, x) @ record(1, w))))`. So instances, weights, closures and
line numbers are those of the ordinary run, and afterwards nothing has changed.

The recorder numbers what it is given (an *event*: a tensor that an operation returned, or that a
name stood for), and may put another value, or another cotangent, in its place. A run is deterministic,
so that an event has the same number in each.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .loading import Loaded
from .protocol import Array

_RECORDER = "__torchport_record__"
UNKNOWN, HIDDEN = -1, -2
"""In the place of a value's number: it is not known; nor can its cotangent be."""
_MAX_EVENTS = 20_000
_MAX_BYTES = 256 * 2**20
_MAX_LEAVES = 64
_MAX_TEXT = 200
# Attributes that are operations, where others only name what is there.
_COMPUTED = {"T", "mT", "H", "mH", "real", "imag"}


@dataclass
class Site:
    """A place in the text whose value is recorded.

    Attributes:
        kind: `op` computes a value, `name` stands for one.
        span: first and last line of the expression.
        statement: first and last line of the statement's head, and its text.
        target: what the statement assigns to; empty where it does not.
        called: the name of the function or operator.
        operands: the numbers of the sites next below this one, in order of evaluation.
    """

    kind: str
    span: tuple[int, int]
    text: str
    statement: tuple[int, int, str]
    target: str
    called: str
    function: str
    operands: list[int]

    def wire(self) -> list[Any]:
        """The fields in order."""
        return list(vars(self).values())


class _Instrument(ast.NodeTransformer):
    """Puts the operations inside functions into calls of the recorder."""

    def __init__(self, source: str, tree: ast.Module) -> None:
        self.lines = source.splitlines(keepends=True)
        self.sites: list[Site] = []
        self.functions: list[str] = []
        self.statement: tuple[int, int, str] = (0, 0, "")
        self.target = ""
        self.below: list[int] = []
        self.imported = {
            (alias.asname or alias.name).split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }

    def _text(self, node: Any) -> str:
        lines = [line.encode() for line in self.lines[node.lineno - 1 : node.end_lineno]]
        if not lines:
            return ""
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        text = " ".join(b"".join(lines).decode(errors="replace").split())
        return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."

    # Functions and statements.

    def visit_FunctionDef(self, node: Any) -> Any:
        """Only the body: defaults, decorators and annotations run elsewhere or never."""
        outer = self.statement, self.target
        self.functions.append(node.name)
        node.body = self._block(node.body)
        self.functions.pop()
        self.statement, self.target = outer
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        """The body, as a statement of its own."""
        self.functions.append("<lambda>")
        outer = self.below
        self.below = []
        node.body = self.visit(node.body)
        self.below = outer
        self.functions.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        """Its methods."""
        node.body = self._block(node.body)
        return node

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in statements:
            visited = self.visit(statement)
            found += visited if isinstance(visited, list) else [visited]
        return found

    def visit(self, node: ast.AST) -> Any:
        """Keep in mind the statement that is being visited."""
        if isinstance(node, ast.stmt):
            last = node.end_lineno or node.lineno
            body = getattr(node, "body", None)
            if isinstance(body, list) and body:
                last = max(node.lineno, body[0].lineno - 1)  # the head of a compound statement
                text = self.lines[node.lineno - 1].strip() if self.lines else ""
            else:
                text = self._text(node)
            self.statement, self.target, self.below = (node.lineno, last, text), "", []
        return super().visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        """The value; then what an assignment to an element has made of the whole."""
        self.target = ", ".join(map(self._text, node.targets))
        node.value = self._value(node.value)
        return self._after(node, node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """The value."""
        self.target = self._text(node.target)
        if node.value is not None:
            node.value = self._value(node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """The value; then what the target has become."""
        self.target = self._text(node.target)
        node.value = self.visit(node.value)
        if not self.functions:
            return node
        if not isinstance(node.target, ast.Name):
            return self._after(node, [node.target])
        name = type(node.op).__name__
        site = self._site(node, "op", name, [self._site(node.target, "name"), *self.below])
        result = self._record(site, ast.Name(node.target.id, ast.Load()), node)
        return [node, ast.copy_location(ast.Assign([node.target], result), node)]

    def _after(self, node: Any, targets: list[ast.expr]) -> Any:
        found = [node]
        for target in targets:
            if isinstance(target, ast.Subscript) and self.functions:
                base = target.value
                while isinstance(base, ast.Subscript):
                    base = base.value
                if isinstance(base, ast.Name | ast.Attribute):
                    site = self._site(node, "op", "setitem", self.below)
                    found.append(ast.copy_location(ast.Expr(self._record(site, base, node)), node))
        return found if len(found) > 1 else node

    def visit_Return(self, node: ast.Return) -> Any:
        """The value."""
        if node.value is not None:
            node.value = self._value(node.value)
        return node

    def _value(self, node: ast.expr) -> ast.expr:
        """The whole of what is assigned or returned: a name, too, is then an operation."""
        root = node
        while isinstance(root, ast.Attribute) and root.attr not in _COMPUTED:
            root = root.value
        if isinstance(root, ast.Name) and self.functions:
            return self._wrap(node, "op", self._text(node))
        return self.visit(node)

    def visit_match_case(self, node: ast.match_case) -> Any:
        """Guard and body: patterns are no expressions."""
        if node.guard is not None:
            node.guard = self.visit(node.guard)
        node.body = self._block(node.body)
        return node

    # Expressions.

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A name that may stand for a tensor."""
        if not isinstance(node.ctx, ast.Load) or node.id in self.imported or node.id == "self":
            return node
        return self._wrap(node, "name", node.id)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """`self.weight` as a name, `x.T` as an operation, `F.relu` not at all."""
        if not isinstance(node.ctx, ast.Load):
            return node
        root = node.value
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in self.imported:
            return node
        if node.attr in _COMPUTED:
            return self._wrap(node, "op", node.attr)
        if isinstance(root, ast.Name):
            return self._record_if_inside(node)
        return self._wrap(node, "name", node.attr)

    def _record_if_inside(self, node: ast.Attribute) -> ast.expr:
        if not self.functions:
            return node
        site = self._site(node, "name", node.attr)
        self.below.append(site)
        return self._record(site, node, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """A call; of `x.sum(1)` the receiver is an operand."""
        function = node.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        return self._wrap(node, "op", name)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """An operator."""
        return self._wrap(node, "op", type(node.op).__name__)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        """An operator; a negative literal is none."""
        if isinstance(node.operand, ast.Constant) or isinstance(node.op, ast.Not):
            return self.generic_visit(node)
        return self._wrap(node, "op", type(node.op).__name__)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """A comparison."""
        return self._wrap(node, "op", type(node.ops[0]).__name__)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Indexing, where it is read."""
        if not isinstance(node.ctx, ast.Load):
            return node
        return self._wrap(node, "op", "getitem")

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        """Text for people: left alone."""
        return node

    def _wrap(self, node: Any, kind: str, called: str) -> ast.expr:
        if not self.functions:
            return self.generic_visit(node)
        original = (node.lineno, node.end_lineno), self._text(node)
        outer, self.below = self.below, []
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                node.func.value = self.visit(node.func.value)
            elif not isinstance(node.func, ast.Name):
                node.func = self.visit(node.func)
            node.args = [self.visit(argument) for argument in node.args]
            node.keywords = [self.visit(keyword) for keyword in node.keywords]
        elif called != original[1]:
            self.generic_visit(node)
        site = self._site(node, kind, called, self.below)
        self.sites[site].span, self.sites[site].text = original
        self.below = [*outer, site]
        return self._record(site, node, node)

    def _site(self, node: Any, kind: str, called: str = "", below: list[int] | None = None) -> int:
        span = (node.lineno, node.end_lineno)
        text = self._text(node)
        function = self.functions[-1]
        self.sites.append(
            Site(kind, span, text, self.statement, self.target, called, function, below or [])
        )
        return len(self.sites) - 1

    def _record(self, site: int, value: ast.expr, at: ast.AST) -> ast.expr:
        value = ast.copy_location(value, at)
        call = ast.Call(ast.Name(_RECORDER, ast.Load()), [ast.Constant(site), value], [])
        return ast.copy_location(call, at)


@functools.lru_cache(maxsize=4)
def _instrumented(
    path: str, source: bytes
) -> tuple[list[Site], dict[tuple[str, int], types.CodeType]]:
    """The sites of a file, and the code of its functions by qualified name and first line.

    Functions that share both (two lambdas on a line) are left out.
    """
    tree = ast.parse(source, path)
    transformer = _Instrument(source.decode(errors="replace"), tree)
    tree = ast.fix_missing_locations(transformer.visit(tree))
    found: dict[tuple[str, int], types.CodeType | None] = {}
    pending = [compile(tree, path, "exec", dont_inherit=True)]
    while pending:
        code = pending.pop()
        key = code.co_qualname, code.co_firstlineno
        found[key] = None if key in found else code
        pending += [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return transformer.sites, {key: code for key, code in found.items() if code is not None}


@dataclass(frozen=True)
class Kit:
    """What a recorder needs of a framework.

    Attributes:
        tensor: the tensor that a value is or holds (a variable); None where it is none.
        to_array: a tensor's values; None where they are not known while it runs.
        replace: the tensor that stands for an array, in the place of another.
        version: a number that grows as the tensor is changed in place.
        alias: the same tensor again, whose cotangent passes through a function; itself where it
            can have none.
    """

    tensor: Callable[[Any], Any]
    to_array: Callable[[Any], Array | None]
    replace: Callable[[Array, Any], Any]
    version: Callable[[Any], int]
    alias: Callable[[Any, Callable[[Any], Any]], Any]


class OvertimeError(Exception):
    """A traced run took longer than it may."""


@dataclass
class Recorder:
    """Records one run. `cotangents`: note the cotangent of each event instead of its value.

    `forced` are values, or cotangents, by the number of the event that they replace; `seconds` is the
    processor time that the run may take.
    """

    kit: Kit
    forced: dict[int, Array]
    cotangents: bool
    seconds: float
    events: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """For each event its site and the number of its value, or `UNKNOWN` or `HIDDEN`."""
    values: list[Array] = field(default_factory=list[Array])
    found: dict[int, Array] = field(default_factory=dict[int, Array])
    truncated: bool = False

    def __post_init__(self) -> None:
        self._began = time.process_time()  # not the clock's: other programs take their share
        self._kept: list[Any] = []  # what is kept keeps its id
        self._numbers: dict[tuple[int, int], int] = {}
        self._bytes = 0

    def __call__(self, site: int, value: Any) -> Any:
        """Record `value`; return what stands in its place."""
        if time.process_time() - self._began > self.seconds:
            raise OvertimeError(f"the traced run took longer than {self.seconds:.1f} s")
        kind = type(value)
        if kind in (list, tuple, dict) or isinstance(value, tuple):
            return self._container(site, value)
        return self._leaf(site, value)

    def _container(self, site: int, value: Any) -> Any:
        items = list(value.values() if isinstance(value, dict) else value)
        if len(items) > _MAX_LEAVES:
            return value
        new = [self._leaf(site, item) for item in items]
        if all(a is b for a, b in zip(items, new, strict=True)):
            return value
        if isinstance(value, dict):
            return dict(zip(value, new, strict=True))
        if hasattr(value, "_fields"):
            return type(value)(*new)
        return type(value)(new)

    def _leaf(self, site: int, value: Any) -> Any:
        if isinstance(value, float):
            return self._number(site, value)
        tensor = self.kit.tensor(value)
        if tensor is None:
            return value
        if len(self.events) >= _MAX_EVENTS or self.truncated:
            self.truncated = True
            return value
        event = len(self.events)
        if self.cotangents:
            # A variable stays as it is: code may ask it for more than its content.
            seen = tensor is value
            if seen:
                value = self.kit.alias(tensor, functools.partial(self._cotangent, event))
            self.events.append((site, UNKNOWN if seen and value is not tensor else HIDDEN))
            return value
        if event in self.forced and tensor is value:
            value = tensor = self.kit.replace(self.forced[event], tensor)
        self.events.append((site, self._numbered(tensor)))
        return value

    def _number(self, site: int, value: float) -> float:
        if len(self.events) >= _MAX_EVENTS or self.truncated:
            return value
        event = len(self.events)
        if event in self.forced and not self.cotangents:
            value = float(self.forced[event].value.reshape(-1)[0])
        self.events.append((site, len(self.values)))
        self.values.append(Array("float", np.asarray(value)))
        self._kept.append(None)
        return value

    def _numbered(self, tensor: Any) -> int:
        key = id(tensor), self.kit.version(tensor)
        number = self._numbers.get(key)
        if number is None:
            array = self.kit.to_array(tensor)
            if array is None:
                return UNKNOWN
            self._bytes += array.value.nbytes
            self.truncated = self._bytes > _MAX_BYTES
            number = self._numbers[key] = len(self.values)
            self.values.append(array)
            self._kept.append(tensor)
        return number

    def _cotangent(self, event: int, cotangent: Any) -> Any:
        array = self.kit.to_array(cotangent)
        if array is not None:
            self._bytes += array.value.nbytes
            if self._bytes <= _MAX_BYTES:
                self.found[event] = array
        forced = self.forced.get(event)
        return cotangent if forced is None else self.kit.replace(forced, cotangent)

    @contextlib.contextmanager
    def on(self, loaded: Loaded) -> Iterator[None]:
        """Functions of the file record here, as long as the context lasts."""
        path = str(loaded.path)
        self._sites, codes = _instrumented(path, loaded.source)
        swapped: list[tuple[types.FunctionType, types.CodeType]] = []
        namespace = vars(loaded.module)
        try:
            namespace[_RECORDER] = self
            for function in gc.get_objects():
                if (
                    type(function) is not types.FunctionType
                    or function.__globals__ is not namespace
                ):
                    continue
                plain = function.__code__
                code = codes.get((plain.co_qualname, plain.co_firstlineno))
                if code is not None and code.co_freevars == plain.co_freevars:
                    swapped.append((function, plain))
                    function.__code__ = code
            yield
        finally:
            for function, plain in swapped:
                function.__code__ = plain
            namespace.pop(_RECORDER, None)

    def answer(self, outcome: dict[str, Any]) -> dict[str, Any]:
        """What travels: the run's outcome, its events, and what was recorded of them."""
        used: set[int] = set()
        pending = [site for site, _ in self.events]
        while pending:
            site = pending.pop()
            if site not in used:
                used.add(site)
                pending += self._sites[site].operands
        return {
            "outcome": outcome,
            "sites": {site: self._sites[site].wire() for site in sorted(used)},
            "events": self.events,
            "values": self.values,
            "cotangents": self.found,
            "truncated": self.truncated,
            "seconds": time.process_time() - self._began,
        }
