"""Mutation score: errors that ports have in practice, planted into a port, and which go unnoticed.

What the inputs of a check would not notice, it cannot vouch for. Each mutant changes one place of the
port; it is noticed where the check calls it diverged. Some mutants compute the same as the port, and
no check could notice them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from torchport_checks.draws import Case
from torchport_checks.examine import plan
from torchport_checks.judging import judge
from torchport_checks.lanes import LaneFailure, RemoteError
from torchport_checks.pair import Pair
from torchport_checks.subject import Definition, Outcome, Subject, Unchecked
from torchport_checks.verdicts import Category, DefinitionVerdict

_TRACED = "stop_gradient"


@dataclass(frozen=True)
class Survivor:
    """A planted error that the check would not notice: at `line` of the port, and of which kind."""

    definition: str
    line: int
    before: str
    after: str
    error: str


@dataclass
class MutationScore:
    """How many planted errors the inputs notice.

    Attributes:
        not_run: definitions that the check does not verify: nothing was planted into them.
    """

    planted: int = 0
    noticed: int = 0
    survivors: list[Survivor] = field(default_factory=list[Survivor])
    not_run: list[str] = field(default_factory=list[str])

    @property
    def score(self) -> float:
        """The share that was noticed, 1 where none could be planted."""
        return self.noticed / self.planted if self.planted else 1.0


@dataclass(frozen=True)
class Mutant:
    """A port with one error planted."""

    line: int
    before: str
    after: str
    error: str
    text: str

    def survived(self, definition: str) -> Survivor:
        """What is told of it where it is not noticed."""
        return Survivor(definition, self.line, self.before, self.after, self.error)


Replacement = tuple[str, str]
"""The kind of error, and the new text of the node."""


def _axis(node: ast.AST, text: str) -> Iterator[Replacement]:
    if isinstance(node, ast.keyword) and node.arg in ("axis", "dim"):
        try:
            axis = ast.literal_eval(node.value)
        except ValueError:
            return
        if isinstance(axis, int):
            yield "wrong axis", f"{node.arg}={axis - 1 if axis else 1}"


def _default(node: ast.AST, text: str) -> Iterator[Replacement]:
    if not isinstance(node, ast.keyword) or node.arg is None:
        return
    match node.value:
        case ast.Constant(value=bool() as flag):
            yield "swapped default", f"{node.arg}={not flag}"
        case ast.Constant(value=float() as eps) if node.arg in ("eps", "epsilon"):
            yield "another eps", f"{node.arg}={eps * 100!r}"
        case ast.Constant(value=int() as ddof) if node.arg == "ddof":
            yield "another ddof", f"ddof={1 - ddof}"
        case _:
            pass


def _dropped(node: ast.AST, text: str) -> Iterator[Replacement]:
    if isinstance(node, ast.Call) and node.keywords:
        for dropped in node.keywords:
            arguments = [ast.unparse(a) for a in node.args]
            arguments += [ast.unparse(k) for k in node.keywords if k is not dropped]
            yield "dropped argument", f"{ast.unparse(node.func)}({', '.join(arguments)})"


_SWAPPED: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Pow: "*",
}  # fmt: skip


def _operator(node: ast.AST, text: str) -> Iterator[Replacement]:
    if isinstance(node, ast.BinOp) and type(node.op) in _SWAPPED:
        left, right = ast.unparse(node.left), ast.unparse(node.right)
        yield "wrong operator", f"(({left}) {_SWAPPED[type(node.op)]} ({right}))"


_BOUNDARY: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
}  # fmt: skip


def _comparison(node: ast.AST, text: str) -> Iterator[Replacement]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _BOUNDARY:
        left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
        yield "boundary of a comparison", f"(({left}) {_BOUNDARY[type(node.ops[0])]} ({right}))"


def _off_by_one(node: ast.AST, text: str) -> Iterator[Replacement]:
    if isinstance(node, ast.Slice):
        for part in (node.lower, node.upper):
            if isinstance(part, ast.Constant) and type(part.value) is int:
                changed = ast.unparse(node).replace(str(part.value), str(part.value + 1), 1)
                yield "off by one", changed
    if isinstance(node, ast.keyword) and node.arg in ("k", "offset", "padding", "shift"):
        value = node.value
        if isinstance(value, ast.Constant) and type(value.value) is int:
            yield "off by one", f"{node.arg}={value.value + 1}"


def _layout(node: ast.AST, text: str) -> Iterator[Replacement]:
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield "lost transpose", f"({ast.unparse(node.value)})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        arguments = [ast.unparse(a) for a in node.args]
        if node.func.attr in ("transpose", "swapaxes", "moveaxis", "permute_dims") and arguments:
            # A method's tensor is its object, a function's its first argument.
            library = isinstance(node.func.value, ast.Name) and node.func.value.id in ("jnp", "mx")
            yield "lost transpose", arguments[0] if library else ast.unparse(node.func.value)
        if node.func.attr == "reshape" and len(arguments) > 2:
            swapped = [*arguments[:-2], arguments[-1], arguments[-2]]
            yield "sizes swapped", f"{ast.unparse(node.func)}({', '.join(swapped)})"


def _in_place(node: ast.AST, text: str) -> Iterator[Replacement]:
    if isinstance(node, ast.Assign) and ".at[" in text:
        yield "in-place update lost", ast.unparse(node.value)


def _gradient(node: ast.AST, text: str) -> Iterator[Replacement]:
    if not isinstance(node, ast.Call):
        return
    if isinstance(node.func, ast.Attribute) and node.func.attr == _TRACED and node.args:
        yield "gradient not stopped", f"({ast.unparse(node.args[0])})"


def _cut(node: ast.AST, stop: str) -> Iterator[Replacement]:
    if isinstance(node, ast.Return) and node.value is not None:
        yield "gradient cut", f"return {stop}({ast.unparse(node.value)})"


_RENAMED = {
    "sum": "mean", "mean": "sum", "max": "min", "min": "max", "maximum": "minimum",
    "minimum": "maximum", "argmax": "argmin", "argmin": "argmax", "floor": "round", "round": "floor",
    "ceil": "floor", "sin": "cos", "cos": "sin", "exp": "expm1", "log": "log1p", "any": "all",
    "all": "any", "triu": "tril", "tril": "triu", "softmax": "log_softmax", "relu": "relu6",
}  # fmt: skip


def _function(node: ast.AST, text: str) -> Iterator[Replacement]:
    if isinstance(node, ast.Attribute) and node.attr in _RENAMED:
        yield "another function", f"{ast.unparse(node.value)}.{_RENAMED[node.attr]}"


_ERRORS: tuple[Callable[[ast.AST, str], Iterator[Replacement]], ...] = (
    _axis, _default, _dropped, _operator, _comparison, _off_by_one, _layout, _in_place, _gradient,
    _function,
)  # fmt: skip


def mutants(port: str, names: Sequence[str], stop: str = "jax.lax.stop_gradient") -> list[Mutant]:
    """All mutants of the definitions `names` of a port, in the order of their places.

    Args:
        stop: what stops a gradient in the target.

    >>> port = "def f(x):\\n    return jnp.sum(x, axis=1)\\n"
    >>> [(m.error, m.after) for m in mutants(port, ["f"])][:2]
    [('gradient cut', 'return jax.lax.stop_gradient(jnp.sum(x, axis=1))'), ('dropped argument', 'jnp.sum(x)')]
    """
    data = port.encode()
    starts = _line_starts(data)
    found: dict[str, Mutant] = {}
    for definition in ast.parse(port).body:
        if getattr(definition, "name", None) not in names:
            continue
        for node in ast.walk(definition):
            span = _span(node, starts)
            if span is None:
                continue
            before = data[slice(*span)].decode()
            changes = [change for error in _ERRORS for change in error(node, before)]
            for error, after in [*_cut(node, stop), *changes]:
                text = (data[: span[0]] + after.encode() + data[span[1] :]).decode()
                if _is_another(text, port):
                    line = getattr(node, "lineno", 0)
                    found.setdefault(text, Mutant(line, before, after, error, text))
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _line_starts(text: bytes) -> list[int]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _span(node: ast.AST, starts: list[int]) -> tuple[int, int] | None:
    """The offsets of a node's text in UTF-8; None where it has none."""
    if not isinstance(node, ast.expr | ast.stmt | ast.keyword):
        return None
    if node.end_lineno is None or node.end_col_offset is None:
        return None
    return starts[node.lineno - 1] + node.col_offset, starts[
        node.end_lineno - 1
    ] + node.end_col_offset


def _is_another(text: str, port: str) -> bool:
    try:
        return ast.dump(ast.parse(text)) != ast.dump(ast.parse(port))
    except SyntaxError:
        return False


def plant(
    pair: Pair,
    names: Sequence[str] | None,
    limit: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> MutationScore:
    """Plant up to `limit` errors into each definition of a pair, and see which are noticed.

    Raises:
        RemoteError: a file cannot be imported.
        LaneFailure: a lane does not answer.
    """
    listed, lines = pair.load()
    score = MutationScore()
    text = pair.texts[1].decode()
    definitions = [
        d for d in pair.definitions(listed, lines, names) if not isinstance(d, DefinitionVerdict)
    ]
    stop = "mx.stop_gradient" if pair.lanes.port[0].framework == "mlx" else "jax.lax.stop_gradient"
    for definition in definitions:
        bed = _bed(pair, definition)
        if bed is None:
            score.not_run.append(definition.name)
            continue
        planted = _spread(mutants(text, [definition.name], stop), limit)
        for number, mutant in enumerate(planted):
            progress(number, len(planted))
            if bed.notices(mutant):
                score.noticed += 1
            else:
                score.survivors.append(mutant.survived(definition.name))
        score.planted += len(planted)
    return score


def _spread(found: list[Mutant], limit: int) -> list[Mutant]:
    """At most `limit` of them, evenly over the definition."""
    if len(found) <= limit:
        return found
    return [found[number * len(found) // limit] for number in range(limit)]


@dataclass
class _Bed:
    """A verified definition with what torch makes of all cases: only the port is run anew."""

    pair: Pair
    subject: Subject
    cases: list[Case]
    expected: list[Outcome]

    def notices(self, mutant: Mutant) -> bool:
        """Whether the check would call the mutant diverged, or failed."""
        port = self.pair.lanes.port[0]
        try:
            self.pair.load_port(port, text=mutant.text.encode()).result()
            self.subject.reopen(port)
            return self.differs(self.subject.run_port(port, "either", self.cases))
        except (Unchecked, RemoteError):
            return True
        except LaneFailure as failure:
            if failure.category is Category.FRAMEWORK:
                raise
            return True

    def differs(self, actual: list[Outcome]) -> bool:
        """Whether the port's outcomes are judged wrong in some case."""
        for case, theirs, ours in zip(self.cases, self.expected, actual, strict=True):
            if theirs["error"] is not None:
                if theirs["error"]["deliberate"] and ours["error"] is None:
                    return True
            elif ours["error"] is not None or (
                not theirs["random"] and judge(self.subject, case, theirs, ours).wrong
            ):
                return True
        return False


def _bed(pair: Pair, definition: Definition) -> _Bed | None:
    """The definition, ready; None where the port as it is would not be verified."""
    port = pair.lanes.port[0]
    try:
        pair.load_port(port).result()  # a mutant of the definition before may still be there
        subject = Subject(definition, pair.lanes.torch[0], pair.options)
        cases = plan(subject)
        expected, actual = subject.run(port, "either", cases)
    except Unchecked:
        return None
    bed = _Bed(pair, subject, cases, expected)
    compared = any(o["error"] is None and not o["random"] for o in expected)
    return None if not compared or bed.differs(actual) else bed
