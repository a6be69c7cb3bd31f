"""Which definitions of a source are no longer what they were when they were ported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torchport_translators.emit.header import definition_digests, digest

_DEFINITION = re.compile(
    r"^(?:@.*\n)*(?:async[ \t]+def|def|class)[ \t]+(?P<name>[^\W\d]\w*)", re.MULTILINE
)
_NEXT = re.compile(r"^(?=[^\s#)\]}])", re.MULTILINE)
"""The line at which a definition is over: code in the first column that does not close a bracket."""
_COMMENTS_BELOW = re.compile(r"(?:^(?:#.*|[ \t]*)(?:\n|\Z))+\Z", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Drift:
    """How a source differs from what its port's header says of it.

    Attributes:
        changed: definitions that read differently now.
        removed: those that are gone.
        added: those that the header does not name.
    """

    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def drift_of(source: str, ported: Mapping[str, str]) -> Drift:
    """The drift of a source from the hashes that a port's header has of its definitions.

    A glance at lines settles it for definitions that are as they were: the same text has the same
    hash, however it was found. Only what is left then is parsed.
    """
    if _at_a_glance(source) == ported:
        return Drift()
    from torchport_translators.source.syntax import Source

    now = definition_digests(Source(source))
    return Drift(
        tuple(name for name in now if name in ported and now[name] != ported[name]),
        tuple(name for name in ported if name not in now),
        tuple(name for name in now if name not in ported),
    )


def _at_a_glance(source: str) -> dict[str, str]:
    """The hash of each definition, as far as it can be told from lines alone."""
    text = source.replace("\r\n", "\n")
    found: dict[str, str] = {}
    for match in _DEFINITION.finditer(text):
        following = _NEXT.search(text, match.end())
        part = text[match.start() : following.start() if following else len(text)]
        found[match["name"]] = digest(_COMMENTS_BELOW.sub("", part))
    return found


def line_of(text: str, name: str) -> int:
    """The line on which a top-level definition begins; 0 where the text has none of that name."""
    pattern = rf"^(?:async[ \t]+def|def|class)[ \t]+{re.escape(name)}\b"
    starts = [match.start() for match in re.finditer(pattern, text, re.MULTILINE)]
    return text.count("\n", 0, starts[-1]) + 1 if starts else 0


def definition_at(text: str, line: int) -> str:
    """The top-level definition that a line stands in or below; empty above the first."""
    name = ""
    for match in _DEFINITION.finditer(text):
        if text.count("\n", 0, match.start("name")) + 1 > line:
            break
        name = match["name"]
    return name
