"""Snippets: a selection grows to what can be ported on its own."""

from __future__ import annotations

from dataclasses import dataclass

from torchport_translators.findings import Span
from torchport_translators.source.syntax import Node, Source


@dataclass(frozen=True, slots=True)
class Snippet:
    """Whole sibling statements, and the lines that they take."""

    nodes: list[Node]
    span: Span


def grow(source: Source, span: Span) -> Snippet:
    """The smallest run of whole statements (or the definition) that holds a span.

    A selection inside one statement grows to it; one that covers a class's or function's header
    grows to all of it; blank space grows to the nearest statement before it, or after it.
    """
    start, end = max(min(span.start, len(source.text)), 0), max(span.end, span.start)
    text = source.text[start:end]
    start += len(text) - len(text.lstrip())
    end = max(end - (len(text) - len(text.rstrip())), start)
    body = source.root
    while True:
        touched = [
            child
            for child in body.children
            if child.type != "comment" and child.start < max(end, start + 1) and child.end > start
        ]
        if not touched:
            touched = _nearest(body, start)
        inner = _block_within(source, touched[0], start, end) if len(touched) == 1 else None
        if inner is None:
            break
        body = inner
    if not touched:
        return Snippet([], Span(start, start))
    touched = _on_the_same_lines(source, body, touched)
    first = source.line_start(touched[0].start)
    return Snippet(touched, Span(first, touched[-1].end))


def _nearest(body: Node, at: int) -> list[Node]:
    statements = [child for child in body.children if child.type != "comment"]
    before = [child for child in statements if child.end <= at]
    return before[-1:] or statements[:1]


def _on_the_same_lines(source: Source, body: Node, touched: list[Node]) -> list[Node]:
    """The statements, and those beside them between semicolons."""
    statements = [child for child in body.children if child.type != "comment"]
    first, last = statements.index(touched[0]), statements.index(touched[-1])
    while first and source.line_start(statements[first].start) < statements[first - 1].end:
        first -= 1
    while (
        last + 1 < len(statements)
        and source.line_start(statements[last + 1].start) < statements[last].end
    ):
        last += 1
    return statements[first : last + 1]


def _block_within(source: Source, node: Node, start: int, end: int) -> Node | None:
    """The block inside a statement that holds the whole selection, on lines of its own."""
    for inner in node.walk():
        if (
            inner is not node
            and inner.type == "block"
            and inner.start <= start
            and end <= inner.end
        ):
            line = source.line_start(inner.start)
            return None if source.text[line : inner.start].strip() else inner
    return None
