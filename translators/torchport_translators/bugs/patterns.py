"""Mistakes as patterns of code: found in a port, and replaced.

A pattern is Python in which `$name` stands for any expression, the same one wherever it stands again,
and `$*rest` at the end of a call for the arguments that are left, keywords included:

    >>> var = Pattern("jnp.var($x, $*rest)")
    >>> var.replaced("y = jnp.var(a + b, axis=1) / 2", "jnp.var($x, $*rest, ddof=1)")
    'y = jnp.var(a + b, axis=1, ddof=1) / 2'

What a placeholder stands for keeps its text, in parentheses where it needs them:

    >>> Pattern("jnp.sqrt($x)").replaced("jnp.sqrt(a + b)", "$x ** 0.5")
    '(a + b) ** 0.5'

A statement is a pattern, too:

    >>> Pattern("$x.at[$i].set($v)", statement=True).replaced(
    ...     "x.at[0].set(1)\\ny = x.at[0].set(1)", "$x = $x.at[$i].set($v)")
    'x = x.at[0].set(1)\\ny = x.at[0].set(1)'
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast

_HOLE = re.compile(r"\$(\*?)([a-z_]\w*)")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")  # as `ast` counts them
_ONE, _REST = "hole_", "rest_"
_ATOMS = (
    ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript, ast.List, ast.Tuple, ast.Dict,
    ast.Set, ast.ListComp, ast.SetComp, ast.DictComp, ast.JoinedStr,
)  # fmt: skip
_Found = dict[str, list[ast.AST]]


class PatternError(ValueError):
    """A pattern does not parse; the message says why."""


class Match(NamedTuple):
    """A mistake in a text: its offsets, its first line (from 1), and what stands in its place."""

    start: int
    end: int
    line: int
    text: str


@dataclass(frozen=True)
class Pattern:
    """A piece of code with holes. `statement`: it is found only where it is a whole statement.

    Raises:
        PatternError: it does not parse, or is several statements.
    """

    text: str
    statement: bool = False
    _node: ast.stmt = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_node", _parsed(self.text))

    @property
    def is_expression(self) -> bool:
        """Whether it stands for a value."""
        return isinstance(self._node, ast.Expr)

    def matches(self, text: str, by: str, lines: range | None = None) -> list[Match]:
        """Where the pattern is in a text, in order, none inside another; empty if that does not parse.

        Args:
            by: what stands in its place, with the holes of this pattern. Where that would give an
                argument twice, the pattern does not match: somebody has mended it already.
            lines: the lines (from 1) that a match must touch; any if it is None.
        """
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return []
        pattern: ast.AST = self._node
        whole = self.statement or not self.is_expression
        if isinstance(pattern, ast.Expr) and not whole:
            pattern = pattern.value
        split = _LINE.findall(text)
        made: list[Match] = []
        for node in _outermost_first(tree):
            found: _Found = {}
            end_line = node.end_lineno or node.lineno
            if lines is not None and (end_line < lines.start or node.lineno >= lines.stop):
                continue
            if not _matches(pattern, node, found):
                continue
            start, end = _span(node, split)
            new = _filled(by, found, text)
            if (made and start < made[-1].end) or _gives_twice(new):
                continue
            made.append(Match(start, end, node.lineno, new))
        return made

    def replaced(self, text: str, by: str, lines: range | None = None) -> str | None:
        """The text with what matches replaced; None where nothing does (see `matches`)."""
        made = self.matches(text, by, lines)
        for match in reversed(made):
            text = text[: match.start] + match.text + text[match.end :]
        return text if made else None


def _parsed(text: str) -> ast.stmt:
    code = _HOLE.sub(lambda m: f"{'*' if m[1] else ''}{_REST if m[1] else _ONE}{m[2]}", text)
    try:
        (node,) = ast.parse(code).body
    except (SyntaxError, ValueError) as error:
        raise PatternError(f"the pattern {text!r} is not one statement or expression.") from error
    return node


def _gives_twice(code: str) -> bool:
    """Whether a call in it has a keyword twice."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    named = [[keyword.arg for keyword in call.keywords if keyword.arg] for call in calls]
    return any(len(names) != len(set(names)) for names in named)


def _outermost_first(tree: ast.AST) -> Iterator[ast.stmt | ast.expr]:
    """All nodes by where they begin, the larger ones first."""
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.stmt | ast.expr)]
    return iter(
        sorted(
            nodes,
            key=lambda n: (n.lineno, n.col_offset, -(n.end_lineno or 0), -(n.end_col_offset or 0)),
        )
    )


def _hole(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name) and node.id.startswith(_ONE):
        return node.id.removeprefix(_ONE)
    return None


def _matches(pattern: object, node: object, found: _Found) -> bool:
    """Whether a node is as the pattern says; what its holes stand for is put into `found`."""
    if isinstance(pattern, ast.AST):
        name = _hole(pattern)
        if name is not None and isinstance(node, ast.expr):
            if name in found:
                return ast.unparse(found[name][0]) == ast.unparse(node)
            found[name] = [node]
            return True
        if type(pattern) is not type(node):
            return False
        if isinstance(pattern, ast.Call) and isinstance(node, ast.Call):
            return _matches_call(pattern, node, found)
        return all(
            _matches(getattr(pattern, key), getattr(node, key, None), found)
            for key in pattern._fields
            if key not in ("ctx", "type_comment")
        )
    if isinstance(pattern, list):
        items = cast("list[object]", pattern)
        others = cast("list[object]", node) if isinstance(node, list) else []
        return len(items) == len(others) and all(
            _matches(a, b, found) for a, b in zip(items, others, strict=True)
        )
    return type(pattern) is type(node) and pattern == node


def _matches_call(pattern: ast.Call, node: ast.Call, found: _Found) -> bool:
    """Keywords in any order; more of them, and more arguments, where the pattern has a rest."""
    if not _matches(pattern.func, node.func, found):
        return False
    args = list(pattern.args)
    rest = args.pop() if args and _rest_of(args[-1]) else None
    if len(node.args) < len(args) or (rest is None and len(node.args) != len(args)):
        return False
    if not all(_matches(a, b, found) for a, b in zip(args, node.args, strict=False)):
        return False
    left: list[ast.AST] = list(node.args[len(args) :])
    given = {k.arg: k for k in node.keywords}
    for keyword in pattern.keywords:
        one = given.pop(keyword.arg, None)
        if one is None or not _matches(keyword.value, one.value, found):
            return False
    if given and rest is None:
        return False
    if rest is not None:
        wanted = {k.arg for k in pattern.keywords}
        found[_rest_of(rest)] = [*left, *(k for k in node.keywords if k.arg not in wanted)]
    return True


def _rest_of(node: ast.expr) -> str:
    if isinstance(node, ast.Starred) and isinstance(node.value, ast.Name):
        return node.value.id if node.value.id.startswith(_REST) else ""
    return ""


def _filled(by: str, found: _Found, text: str) -> str:
    """The replacement with its holes filled by the text of what they stand for."""

    def segment(node: ast.AST) -> str:
        return ast.get_source_segment(text, node) or ""

    def fill(match: re.Match[str]) -> str:
        if match[1]:
            return ", ".join(map(segment, found.get(_REST + match[2], [])))
        nodes = found.get(match[2])
        if not nodes:
            return match[0]
        inner = segment(nodes[0])
        return inner if isinstance(nodes[0], _ATOMS) or _stands_alone(match) else f"({inner})"

    filled = _HOLE.sub(fill, by)
    # A rest of nothing leaves its comma.
    return re.sub(r"\(\s*,\s*", "(", re.sub(r",\s*(?=[,)])", "", filled))


def _stands_alone(match: re.Match[str]) -> bool:
    """Whether a hole is a whole argument, index or right-hand side."""
    before = match.string[: match.start()].rstrip()
    after = match.string[match.end() :].lstrip()
    begins = not before or (before[-1] in "(,[=:" and not before.endswith(("==", "<=", ">=", "!=")))
    return begins and (not after or after[0] in "),]:")


def _span(node: ast.stmt | ast.expr, lines: list[str]) -> tuple[int, int]:
    """Offsets in characters: `ast` counts columns in bytes of UTF-8."""

    def offset(line: int, column: int) -> int:
        before = sum(map(len, lines[: line - 1]))
        return before + len(lines[line - 1].encode()[:column].decode())

    assert node.end_lineno is not None and node.end_col_offset is not None
    return offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)
