"""Where a port uses torch: what the translator has marked, and what was written since."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torchport_checks.guard.drift import definition_at

_MARK = re.compile(r"^[ \t]*# torchport: not ported: (?P<what>.*?)\r?$", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+torch\b|import[ \t][^#\n]*\btorch\b)", re.MULTILINE)
_IGNORE = re.compile(r"#\s*torchport:\s*ignore\b")
_SET_ASIDE = frozenset(("leftover", "no-rule", "unsupported-argument", "unsure"))
"""Codes that an ignore comment may name: the guard's own, and those of what stays torch's."""


class Unparsable(Exception):
    """A text is not Python; `line` says where."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Leftover:
    """A statement that uses torch.

    Attributes:
        line: from 1.
        definition: the top-level one that it stands in; empty outside.
        message: what is left.
    """

    line: int
    definition: str
    message: str


def imports_torch(text: str) -> bool:
    """Whether a text imports torch, by a look at its lines."""
    return _IMPORT.search(text) is not None


def leftovers(text: str) -> list[Leftover]:
    """The statements of a port that use torch, but for those that an ignore comment sets aside.

    Raises:
        Unparsable: it imports torch, and does not parse.
    """
    marks = _marks(text)
    found = [(line, f"not ported: {what}.") for line, what in marks]
    if imports_torch(text):
        marked = {line for line, _ in marks}
        found += [use for use in _uses(text) if use[0] not in marked]
    if found and _IGNORE.search(text):
        aside = _lines_set_aside(text)
        found = [item for item in found if item[0] not in aside]
    return [Leftover(line, definition_at(text, line), what) for line, what in sorted(found)]


def _marks(text: str) -> list[tuple[int, str]]:
    """The translator's marks: the line of the statement below each, and what it says."""
    found: list[tuple[int, str]] = []
    lines = text.splitlines()
    for match in _MARK.finditer(text):
        at = text.count("\n", 0, match.start()) + 1
        while at < len(lines) and lines[at].lstrip().startswith("#"):
            at += 1
        found.append((at + 1, match["what"]))
    return found


def _uses(text: str) -> Iterator[tuple[int, str]]:
    """The statements that use what an import of torch binds; imports that nothing uses.

    Raises:
        Unparsable: the text does not parse.
    """
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except SyntaxError as error:
        raise Unparsable(error.lineno or 1, error.msg) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unparsable(1, str(error) or "it is nested too deeply") from error
    bound: dict[str, tuple[int, str]] = {}
    for node in ast.walk(tree):
        for name, what in _bound_by(node):
            assert isinstance(node, (ast.Import, ast.ImportFrom))
            bound[name] = node.lineno, what
    used: set[str] = set()
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.stmt):
            continue
        names = [name for name in _names_in(statement) if name.id in bound]
        if not names:
            continue
        used |= {name.id for name in names}
        yield _first_line(statement), f"uses torch: `{_dotted(statement, names[0])}`."
    for name, (line, what) in bound.items():
        if name not in used:
            yield line, f"imports torch, and does not use it: `{what}`."


def _bound_by(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that an import of torch binds, each with what it stands for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] == "torch":
                yield alias.asname or "torch", alias.name
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        for alias in node.names if node.module.partition(".")[0] == "torch" else ():
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _names_in(statement: ast.stmt) -> Iterator[ast.Name]:
    """The names in a statement's own expressions, not in the statements that it holds."""
    nodes: list[ast.AST] = [statement]
    while nodes:
        node = nodes.pop(0)
        if isinstance(node, ast.Name):
            yield node
        nodes[:0] = [
            child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)
        ]


def _dotted(statement: ast.stmt, name: ast.Name) -> str:
    """The attribute chain that begins with a name, as it is written."""
    attributes = {
        node.value: node for node in ast.walk(statement) if isinstance(node, ast.Attribute)
    }
    node: ast.expr = name
    while node in attributes:
        node = attributes[node]
    return ast.unparse(node)


def _first_line(statement: ast.stmt) -> int:
    decorators: Iterable[ast.expr] = getattr(statement, "decorator_list", ())
    return min((statement.lineno, *(decorator.lineno for decorator in decorators)))


def _lines_set_aside(text: str) -> set[int]:
    """The lines that ignore comments speak of."""
    from torchport_translators.source.ignored import read_ignored
    from torchport_translators.source.syntax import Source

    comments = read_ignored(Source(text), _SET_ASIDE).comments
    return {
        line
        for comment in comments
        if comment.codes is None or comment.codes
        for line in range(comment.first, comment.last + 1)
    }
