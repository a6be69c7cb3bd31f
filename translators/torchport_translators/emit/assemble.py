"""Putting a port together: imports, helpers, and the edited text."""

from __future__ import annotations

from collections.abc import Iterable

from torchport_translators.emit.edits import Edit, newline_of
from torchport_translators.emit.import_block import (
    Binding,
    Uses,
    after_docstring,
    after_line,
    bindings_of,
    blank_lines,
    drop_unused,
    import_statements,
    insert_imports,
    leading,
)
from torchport_translators.emit.imports import ROOTS, Import, names_in, statements
from torchport_translators.findings import Span
from torchport_translators.rewriter import Rewriter
from torchport_translators.source.syntax import Node, Source


def clashing(rw: Rewriter, span: Span | None = None) -> frozenset[str]:
    """Names of torch's imports that the port still uses, and imports of the target take as well."""
    source = rw.source
    start, end = (0, len(source.text)) if span is None else (span.start, span.end)
    edits = rw.edits.made(start, end)
    taken = {item.binds for item in rw.imports.needed}
    bindings = {
        name: bound
        for name, bound in _bindings(source).items()
        if name in taken and any(binding.torch for binding in bound)
    }
    if not bindings:
        return frozenset()
    uses = _uses(rw, edits, start, end, bindings, frozenset(taken))
    return frozenset(
        name
        for name, bound in bindings.items()
        if name in rw.left or any(uses.of(binding) for binding in bound if binding.torch)
    )


def _uses(
    rw: Rewriter,
    edits: list[Edit],
    start: int,
    end: int,
    bindings: dict[str, list[Binding]],
    own: frozenset[str],
) -> Uses:
    own |= rw.helpers.names()
    return Uses(rw.source, edits, start, end, bindings, own, frozenset(rw.ported))


def _bindings(source: Source) -> dict[str, list[Binding]]:
    """What the imports of a source bind, by name."""
    bindings: dict[str, list[Binding]] = {}
    for statement in import_statements(source):
        for binding in bindings_of(source, statement):
            bindings.setdefault(binding.name, []).append(binding)
    return bindings


def assemble(rw: Rewriter, span: Span | None = None) -> str:
    """The text of the port of a source, or of a stretch of it; without a header."""
    source = rw.source
    if rw.module_rngs_at is not None and not rw.inference.module.seeded:
        rw.imports.needed.add(ROOTS["nnx"])
        if span is None:
            rw.edits.insert(rw.module_rngs_at.start, "rngs = nnx.Rngs(0)\n")
    start, end = (0, len(source.text)) if span is None else (span.start, span.end)
    edits = rw.edits.made(start, end)
    kept = {_name_at(source, offset) for offset in rw.ported if start <= offset < end}
    new = _names(edit.text for edit in edits) | kept
    rw.helpers.only(new)
    new |= _names(rw.helpers.texts())
    needed = {item for item in rw.imports.needed if item.binds in new | rw.quoted}
    found = import_statements(source)
    bindings = _bindings(source)
    own = frozenset(item.binds for item in needed)
    uses = _uses(rw, edits, start, end, bindings, own)
    inside = [node for node in found if start <= node.start < end]
    removed = drop_unused(source, rw.edits, uses, inside)
    if span is not None:
        return _snippet(rw, span, needed, bindings, uses)
    top = leading(source, edits)
    block = rw.helpers.block()
    insert_imports(source, rw.edits, top, removed, needed, helpers=bool(block))
    if block:
        at = after_line(source, top[-1]) if top else after_docstring(source)
        definition = block.startswith(("def ", "class ", "@"))
        first = not (source.text[:at].strip() or needed)
        above = "" if first else "\n\n" if definition else "\n"
        below = max(0, 2 - blank_lines(source.text, at)) if source.text[at:].strip() else 0
        if at and source.text[at - 1] not in "\r\n":
            above += "\n"
        rw.edits.insert(at, above + block + "\n" * below)
    return rw.edits.apply(source.text)


def _name_at(source: Source, offset: int) -> str:
    node = source.node_at(offset)
    return source[node] if node.type == "identifier" else ""


def _names(texts: Iterable[str]) -> set[str]:
    """The undotted names that pieces of new code use."""
    return {name.partition(".")[0] for text in texts for name in names_in(text)}


def _snippet(
    rw: Rewriter,
    span: Span,
    needed: set[Import],
    bindings: dict[str, list[Binding]],
    uses: Uses,
) -> str:
    """The port of some statements as a text of its own: imports, helpers, and they."""
    source = rw.source
    own = {
        b.what
        for every in bindings.values()
        for b in every
        if span.start <= b.node.start < span.end
    }
    outer = {
        binding.what
        for every in bindings.values()
        for binding in every
        if uses.of(binding) and binding.statement.parent is source.root
    }
    imports = (needed | outer) - own
    body = rw.edits.apply(source.text, span.start, span.end)
    newline = newline_of(source.text)
    body = _dedented(body).rstrip() + newline
    sections = [statements(i for i in imports if i.section == section) for section in (-1, 0, 1, 2)]
    head = "\n".join("\n".join(lines) + "\n" for lines in sections if lines)
    block = rw.helpers.block()
    parts = [part.replace("\n", newline) for part in (head, block) if part] + [body]
    apart = block or body.startswith(("def ", "class ", "@", "async "))
    return (newline * (2 if apart else 1)).join(parts)


def _dedented(text: str) -> str:
    """Statements without the indentation that they share; lines inside strings stay as they are."""
    source = Source(text)
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    fixed = {
        number
        for number, start in enumerate(starts[:-1])
        if (node := source.node_at(start)).start < start and _in_string(node)
    }
    free = [line for number, line in enumerate(lines) if number not in fixed and line.strip()]
    shared = _shared_indent(free)
    return "".join(
        line
        if number in fixed
        else line.removeprefix(shared)
        if line.strip()
        else line.lstrip(" \t")
        for number, line in enumerate(lines)
    )


def _shared_indent(lines: list[str]) -> str:
    shared: str | None = None
    for line in lines:
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if shared is None:
            shared = indent
        while not indent.startswith(shared):
            shared = shared[:-1]
    return shared or ""


def _in_string(node: Node) -> bool:
    """Whether a node is in a string that is a value; a docstring moves with its code."""
    while node.type != "string":
        if node.parent is None:
            return False
        node = node.parent
    return node.parent is not None and node.parent.type != "expression_statement"
