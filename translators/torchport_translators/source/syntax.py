"""Python source as a light tree: tree-sitter parses, this keeps what the translator reads.

Offsets are indices into the text (characters, not bytes), so that slicing is plain.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from sys import intern
from typing import TYPE_CHECKING

import tree_sitter
import tree_sitter_python

if TYPE_CHECKING:
    from torchport_translators.source.kinds import Kind

_NEWLINE = re.compile(r"\r\n|\n|\r")
_NON_ASCII = re.compile(r"[^\x00-\x7f]+")


class Malformed(Exception):
    """A node lacks a part that valid Python has: it stands in code that does not parse."""


class Node:
    """A syntax node: tree-sitter's type, its span, and its children (punctuation left out).

    `field` is the name of the place it takes in its parent ("left", "arguments", ...). `kind` is
    what the expression evaluates to, set by inference.
    """

    __slots__ = ("children", "end", "field", "kind", "parent", "start", "type")

    def __init__(self, type: str, start: int, end: int, field: str | None) -> None:
        self.type = type
        self.start = start
        self.end = end
        self.field = field
        self.children: Sequence[Node] = ()
        self.parent: Node | None = None
        self.kind: Kind | None = None

    def get(self, field: str) -> Node | None:
        """The first child in the place `field`."""
        for child in self.children:
            if child.field == field:
                return child
        return None

    def __getitem__(self, field: str) -> Node:
        for child in self.children:
            if child.field == field:
                return child
        raise Malformed(f"{self.type} at {self.start} has no {field}")

    def named(self) -> list[Node]:
        """The children that are not comments or operators."""
        return [child for child in self.children if child.type != "comment"]

    def walk(self) -> Iterator[Node]:
        """This node and everything below it, in source order."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            if node.children:
                stack += node.children[::-1]

    def ancestors(self) -> Iterator[Node]:
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def __repr__(self) -> str:
        return f"<{self.type} {self.start}:{self.end}>"


class Source:
    """A parsed text. Never raises: what does not parse is in `errors`, the rest is in `root`."""

    def __init__(self, text: str) -> None:
        self.text = text
        tree = parse(text)
        self.errors: list[Node] = []
        self._by_type: defaultdict[str, list[Node]] = defaultdict(list)
        self.root = self._convert(tree, None if text.isascii() else _char_offsets(text))

    def __getitem__(self, node: Node) -> str:
        return self.text[node.start : node.end]

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in _NEWLINE.finditer(self.text))]

    def nodes(self, type: str, within: Node | None = None) -> list[Node]:
        """The nodes of a type in source order: all, or those in (or that are) a node."""
        found = self._by_type.get(type, [])
        if within is None or within is self.root:
            return found
        first = bisect_left(found, within.start, key=_start)
        last = bisect_left(found, within.end, first, key=_start)
        # What encloses it may start where it starts.
        return [node for node in found[first:last] if node.end <= within.end]

    def nodes_of(self, types: Iterable[str], within: Node) -> list[Node]:
        """The nodes of several types in source order, outer ones first."""
        found = [node for type in types for node in self.nodes(type, within)]
        return sorted(found, key=lambda node: (node.start, -node.end))

    def release(self) -> None:
        """Take the tree apart: each node knows its parent, so only the collector would free it.

        It would look at every object of a translation, which takes longer than parsing.
        """
        for nodes in self._by_type.values():
            for node in nodes:
                node.parent = node.kind = None
                node.children = ()
        self._by_type.clear()

    def node_at(self, offset: int) -> Node:
        """The smallest node that holds the character at an offset; the root if none does."""
        node = self.root
        while True:
            at = bisect_right(node.children, offset, key=_start) - 1
            # A zero-width node (what the parser found missing) may share another's start.
            while at >= 0 and node.children[at].start == node.children[at].end == offset:
                at -= 1
            if at < 0 or node.children[at].end <= offset:
                return node
            node = node.children[at]

    def position(self, offset: int) -> tuple[int, int]:
        """Line (from 1) and column (from 0, in characters) of an offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1]

    def offset(self, line: int, column: int = 0) -> int:
        """The offset of a line (from 1) and column; clamped to the text."""
        starts = self._line_starts
        if line < 1:
            return 0
        if line > len(starts):
            return len(self.text)
        return min(starts[line - 1] + column, len(self.text))

    def line_start(self, offset: int) -> int:
        """Where the line that holds an offset starts."""
        return self._line_starts[bisect_right(self._line_starts, offset) - 1]

    def line_end(self, offset: int) -> int:
        """Where the line that holds an offset ends, its line ending excluded."""
        match = _NEWLINE.search(self.text, offset)
        return match.start() if match else len(self.text)

    def starts_line(self, node: Node) -> bool:
        """Whether only white space stands before the node on its line."""
        return not self.text[self.line_start(node.start) : node.start].strip()

    def next_line(self, offset: int) -> int:
        """Where the line after the one that holds an offset starts."""
        match = _NEWLINE.search(self.text, offset)
        return match.end() if match else len(self.text)

    def indent(self, node: Node) -> str:
        """The white space that starts the node's line."""
        start = self.line_start(node.start)
        end = start
        while end < node.start and self.text[end] in " \t\f":
            end += 1
        return self.text[start:end]

    def _convert(self, tree: tree_sitter.Tree, chars: list[int] | None) -> Node:
        """The nodes that are named or take a named place, from tree-sitter's.

        tree-sitter makes a new string for each node's type and field; interned they are few, and
        quick to compare and to look up.
        """
        cursor = tree.walk()
        broken = tree.root_node.has_error
        descend, step, ascend = (
            cursor.goto_first_child,
            cursor.goto_next_sibling,
            cursor.goto_parent,
        )
        root = parent = Node(
            tree.root_node.type,
            tree.root_node.start_byte if chars is None else chars[tree.root_node.start_byte],
            len(self.text),
            None,
        )
        root.children = siblings = list[Node]()
        outer: list[tuple[Node, list[Node]]] = []
        by_type = self._by_type
        more = descend()
        while more:
            current = cursor.node
            assert current is not None
            field = cursor.field_name
            kept = field is not None or current.is_named
            wrong = broken and (current.is_error or current.is_missing)
            if kept or wrong:
                start, end = current.start_byte, current.end_byte
                if chars is not None:
                    start, end = chars[start], chars[end]
                type = intern(current.type)
                node = Node(type, start, end, field and intern(field))
                if wrong:
                    self.errors.append(node)
                if kept:
                    node.parent = parent
                    siblings.append(node)
                    by_type[type].append(node)
                    if descend():
                        outer.append((parent, siblings))
                        node.children = siblings = []
                        parent = node
                        continue
            while not (more := step()):
                if not outer:
                    break
                ascend()
                parent, siblings = outer.pop()
        return root


def _start(node: Node) -> int:
    return node.start


def parse(text: str) -> tree_sitter.Tree:
    """tree-sitter's own tree, whose offsets are in bytes of the text in UTF-8."""
    # A lone surrogate (undecodable input read with surrogateescape) has no UTF-8 form; its
    # replacement has the same length in characters, which is all that offsets need.
    return _parser().parse(text.encode("utf-8", "replace"))


@lru_cache(maxsize=1)
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_python.language()))


def _char_offsets(text: str) -> list[int]:
    """For each byte offset of the UTF-8 text, the character offset it falls in."""
    offsets: list[int] = []
    at = 0
    for match in _NON_ASCII.finditer(text):
        offsets.extend(range(at, match.start()))
        at = match.end()
        for index in range(match.start(), at):
            code = ord(text[index])
            surrogate = 0xD800 <= code < 0xE000
            width = 1 if surrogate else 2 if code < 0x800 else 3 if code < 0x10000 else 4
            offsets.extend([index] * width)
    offsets.extend(range(at, len(text) + 1))
    return offsets


def top_level(source: Source) -> list[tuple[str, Node]]:
    """The top-level functions and classes of a source, by name."""
    found: list[tuple[str, Node]] = []
    for child in source.root.children:
        node = child.get("definition") if child.type == "decorated_definition" else child
        if node is not None and node.type in ("function_definition", "class_definition"):
            name = node.get("name")
            if name is not None:
                found.append((source[name], child))
    return found
