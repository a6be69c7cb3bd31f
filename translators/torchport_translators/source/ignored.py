"""The ignore comment: `# torchport: ignore[no-rule]`, with which an author sets findings aside.

It names one code of a finding or several (`ignore[no-rule, in-place]`), or none and then means all
(`ignore`). Words may follow it, and other comments may stand before it. It is about

- what begins or ends on its line, where it stands beside code;
- all of a function or class, where that code is the line of its `def` or `class`, or the line that
  ends its header;
- the statement (or the argument, in a list of them) that follows, where it stands on a line of its
  own, perhaps among other comments: of a compound statement only the header, of a function or class
  everything.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from torchport_translators.findings import Finding
from torchport_translators.source.syntax import Node, Source

_MARK = re.compile(r"#\s*torchport:\s*ignore(?![\w-])(?:\s*(?P<bracket>\[)(?P<codes>[^\]#]*))?")
_CODE = re.compile(r"[^\s,]+")
_BODIES = frozenset(("block", "module"))
_SPACE = re.compile(r"[ \t\f]*")
_DEFINITIONS = frozenset(("function_definition", "class_definition"))


@dataclass(frozen=True, slots=True)
class Ignore:
    """What one comment sets aside: findings of these codes (None: of all) that begin on its lines.

    Where it stands beside code, on the line `beside`, also those that end there.
    """

    codes: frozenset[str] | None
    first: int
    last: int
    beside: int | None = None

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is one of those."""
        if self.codes is not None and finding.code not in self.codes:
            return False
        return self.first <= finding.line <= self.last or finding.end_line == self.beside


@dataclass(slots=True)
class Ignored:
    """The ignore comments of a source.

    Attributes:
        unknown: what stands between the brackets and is no code; all of them where they are empty.
    """

    comments: list[Ignore] = field(default_factory=list[Ignore])
    unknown: list[Node] = field(default_factory=list[Node])

    def covers(self, finding: Finding) -> bool:
        """Whether some comment sets a finding aside."""
        return any(comment.covers(finding) for comment in self.comments)


def read_ignored(source: Source, known: Collection[str]) -> Ignored:
    """The ignore comments of a source; `known` are the codes there are."""
    found = Ignored()
    if "torchport:" not in source.text:
        return found
    for comment in source.nodes("comment"):
        for match in _MARK.finditer(source.text, comment.start, comment.end):
            codes = None
            if match["bracket"] is not None:
                named = _CODE.finditer(source.text, *match.span("codes"))
                spans = {m[0]: m.span() for m in named}
                codes = frozenset(spans).intersection(known)
                if not spans:
                    end = min(match.end("codes") + 1, comment.end)
                    spans[""] = match.start("bracket"), end
                found.unknown += [
                    Node("comment", *span, None)
                    for code, span in spans.items()
                    if code not in known
                ]
            found.comments.append(_about(source, comment, codes))
    return found


def _about(source: Source, comment: Node, codes: frozenset[str] | None) -> Ignore:
    """What a comment with these codes sets aside."""
    line, _ = source.position(comment.start)
    if not source.starts_line(comment):
        first, last = _definition_with_header_on(source, comment, line) or (line, line)
        return Ignore(codes, first, last, beside=line)
    at = _next_code(source, comment)
    if at is None:
        return Ignore(codes, line, line)
    node = source.node_at(at)
    while (parent := node.parent) and parent.start == at and parent.type not in _BODIES:
        node = parent
    return Ignore(codes, *_reach(source, node))


def _next_code(source: Source, comment: Node) -> int | None:
    """Where the code below a comment starts, other comments passed over; None below blank lines."""
    text = source.text
    at = comment.start
    while text.startswith("#", at):
        space = _SPACE.match(text, source.next_line(at))
        at = space.end() if space else at
    return None if at >= len(text) or text[at] in "\r\n" else at


def _definition_with_header_on(source: Source, comment: Node, line: int) -> tuple[int, int] | None:
    """The lines of the function or class whose header begins or ends on a comment's line."""
    for node in comment.ancestors():
        if node.type not in _DEFINITIONS:
            continue
        header = [child for child in node.named() if child.field != "body"]
        begins, _ = source.position(node.start)
        ends, _ = source.position(header[-1].end if header else node.start)
        if line in (begins, ends):
            return _reach(source, node)
    return None


def _reach(source: Source, node: Node) -> tuple[int, int]:
    """The lines of a statement: of a definition with its decorators, of another block's header."""
    if node.type in _DEFINITIONS and node.parent is not None:
        node = node.parent if node.parent.type == "decorated_definition" else node
    first, _ = source.position(node.start)
    block = next((child for child in node.children if child.type == "block"), None)
    if block is None or node.type in _DEFINITIONS:
        last, _ = source.position(max(node.end - 1, node.start))
        return first, last
    header = [child for child in node.named() if child.end <= block.start]
    last, _ = source.position(header[-1].end if header else node.start)
    return first, last
