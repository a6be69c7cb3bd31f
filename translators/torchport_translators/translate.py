"""`translate`: text in; text, findings and coverage out."""

from __future__ import annotations

import ast
import difflib
import gc
import re
import symtable
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from torchport_translators.catalogue.load import catalogue
from torchport_translators.emit.assemble import assemble, clashing
from torchport_translators.emit.header import with_header
from torchport_translators.emit.layout import break_long_lines
from torchport_translators.emit.project_imports import link
from torchport_translators.findings import (
    CODES,
    Coverage,
    Definition,
    Finding,
    Span,
    Target,
    Translation,
)
from torchport_translators.installed import Installed
from torchport_translators.project import Linked, imported_modules
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites import expressions, statements
from torchport_translators.source.ignored import Ignored, read_ignored
from torchport_translators.source.infer import Inference
from torchport_translators.source.scopes import Function
from torchport_translators.source.snippets import grow
from torchport_translators.source.syntax import Node, Source, top_level

_MAX_SYNTAX_FINDINGS = 20
_TORCH = re.compile(r"\btorch\b")


def translate(
    source: str,
    to: str | Target = Target.JAX,
    span: Span | None = None,
    *,
    name: str | None = None,
    installed: Installed | None = None,
    links: Linked | None = None,
) -> Translation:
    """Port PyTorch source text.

    Pure: nothing is imported, run or written, and no input text makes it raise.

    Args:
        source: Python text; what does not parse is kept as it is.
        to: the framework to port to.
        span: port only this stretch, grown to whole statements; the result is a port of that
            stretch alone, with the imports and helpers that it needs.
        name: the source's file name; with it the port starts with a header.
        installed: the target as it is installed where the port will run: a rule that needs what that
            version lacks is refused.
        links: the project that the source is a file of, whose ports its port imports. `source` is
            that file's text.

    Raises:
        ValueError: `to` is not a target.
    """
    target = Target(to)
    try:
        with _collecting_later():
            return _translate(source, target, span, name, installed, links)
    except RecursionError:
        line = source.count("\n") + 1
        message = f"the code is nested more than {sys.getrecursionlimit()} levels deep"
        return Translation(source, (Finding("too-deep", message, 1, 0, line, 0),))


@contextmanager
def _collecting_later() -> Generator[None]:
    """Inside it no garbage is collected: a tree is many objects, all in use until the port is done.

    Looking through them again and again while they are made takes a fifth of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _translate(
    text: str,
    target: Target,
    span: Span | None,
    name: str | None,
    installed: Installed | None,
    links: Linked | None,
) -> Translation:
    known = catalogue(target)
    if links is None:
        source = Source(text)
        if not _concerns_torch(source):
            return Translation(text)
        inference = Inference(source, known)
    else:
        source, inference = links.project.final(links.path)
        others = (links.find(module) for module in imported_modules(source))
        linked = any(place is not None and links.leads_to_port(place) for place in others)
        if not linked and not _concerns_torch(source):
            return Translation(text)
    chosen = grow(source, span) if span is not None else None
    nodes = chosen.nodes if chosen else source.root.children
    span = chosen.span if chosen else None
    written = {f for f in inference.functions.values() if chosen is None or _within(f, nodes)}

    def write(reserved: frozenset[str]) -> tuple[Rewriter, list[Definition]]:
        forms = expressions(target), statements(target)
        rewriter = Rewriter(source, inference, known, *forms, reserved, installed)
        return rewriter, _write(rewriter, nodes)

    rewriter, definitions = write(frozenset())
    if any(f.draws and f not in rewriter.drawing for f in written):
        # Some call of a random API draws nothing here: write again without `rngs` on its way.
        inference.spread_randomness(rewriter.drawing)
        rewriter, definitions = write(frozenset())
    if clashes := clashing(rewriter, span):
        # What stays torch's needs the name that the target's import would take: `nn`.
        rewriter, definitions = write(clashes)
    for error in source.errors[:_MAX_SYNTAX_FINDINGS]:
        if chosen is None or chosen.span.start <= error.start < chosen.span.end:
            shown = source[error].strip().splitlines()[:1]
            what = f": {shown[0][:60]}" if shown else ""
            rewriter.find("syntax", f"this does not parse{what}", error)
    if chosen is None and not source.errors:
        _compile(rewriter)
    linked = link(rewriter, links, nodes) if links is not None else 0
    ignored = read_ignored(source, CODES)
    _tell_unknown_codes(rewriter, ignored, span)
    port = assemble(rewriter, span)
    starts = [] if chosen else [n.start for n in source.root.children if source.starts_line(n)]
    places = rewriter.edits.places(text, starts)
    port = break_long_lines(port, text, rewriter.helpers.texts(), places)
    if name is not None:
        port = with_header(port, name, target, source)
    findings = sorted(rewriter.findings, key=lambda f: (f.line, f.column, f.code))
    told = tuple(finding for finding in findings if not ignored.covers(finding))
    translation = Translation(
        port,
        told,
        rewriter.tally.coverage(),
        tuple(_located(definitions, port)),
        tuple(rewriter.helpers.texts()),
        span,
        len(findings) - len(told),
        linked,
    )
    if links is None:
        source.release()
    return translation


def _concerns_torch(source: Source) -> bool:
    """Whether a source can use torch: it imports it, or imports nothing (a snippet)."""
    imports = [*source.nodes("import_statement"), *source.nodes("import_from_statement")]
    return not imports or any(_TORCH.search(source[node]) for node in imports)


def _compile(rewriter: Rewriter) -> None:
    """Tell what Python refuses although the tolerant parser takes it: `if x:` without a body."""
    source = rewriter.source
    try:
        # This builds no tree of Python objects, which takes longer than all the rest of parsing.
        symtable.symtable(source.text, "<source>", "exec")
        return
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        pass  # it refuses more than the parser does: `x = 1; global x`
    try:
        ast.parse(source.text)
    except SyntaxError as error:
        line = error.lineno or 1
        at = source.offset(line)
        node = Node("ERROR", at, source.line_end(at), None)
        rewriter.find("syntax", f"this does not parse: {error.msg}", node)
    except (ValueError, MemoryError):
        return  # null characters and the like, which the tolerant parser has told


def _tell_unknown_codes(rewriter: Rewriter, ignored: Ignored, span: Span | None) -> None:
    """Tell of ignore comments that name what is no code."""
    for node in ignored.unknown:
        if span is not None and not span.start <= node.start < span.end:
            continue
        code = rewriter.source[node][:40]
        near = difflib.get_close_matches(code, CODES, 3) or sorted(CODES)
        what = f"no finding has the code {code}" if code[0] != "[" else "no code is named"
        rewriter.find("unknown-code", f"{what}; there is {', '.join(near)}", node)


def _within(function: Function, nodes: Sequence[Node]) -> bool:
    return any(node.start <= function.node.start < node.end for node in nodes)


def _write(rewriter: Rewriter, nodes: Sequence[Node]) -> list[Definition]:
    """Write the port of each statement, and count what was ported in each definition."""
    source = rewriter.source
    names = {node: name for name, node in top_level(source)}
    definitions: list[Definition] = []
    for node in nodes:
        total, ported = rewriter.tally.total, rewriter.tally.ported
        rewriter.statement(node)
        if node in names:
            coverage = Coverage(rewriter.tally.total - total, rewriter.tally.ported - ported)
            line, _ = source.position(node.start)
            end, _ = source.position(max(node.end - 1, node.start))
            definitions.append(Definition(names[node], line, end, coverage))
    return definitions


def _located(definitions: list[Definition], port: str) -> list[Definition]:
    """The definitions with the line at which each stands in the port."""
    lines: dict[str, int] = {}
    for number, line in enumerate(port.splitlines(), 1):
        match = re.match(r"(?:class|def|async\s+def)\s+(\w+)", line)
        if match:
            lines[match[1]] = number
    return [
        Definition(d.name, d.line, d.end_line, d.coverage, lines.get(d.name, 0))
        for d in definitions
    ]
