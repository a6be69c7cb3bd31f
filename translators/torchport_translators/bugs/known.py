"""Mistakes of bug records, found in a port that diverges."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchport_translators.bugs.records import Record, corpus
from torchport_translators.bugs.retrieve import card
from torchport_translators.catalogue.load import catalogue
from torchport_translators.source.infer import Inference
from torchport_translators.source.syntax import Source, top_level
from torchport_translators.source.uses import named_uses, other_uses

_ALIKE = 0.6
"""How alike two pieces of code must be, at least, to be the same mistake (1: equal)."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A record's mistake in a port.

    Attributes:
        line: where it is (from 1).
        old, new: the code, and what mends it; empty where no pattern says it.
    """

    record: Record
    line: int
    old: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a port begins to differ: lines (from 1) of source and port."""

    source_line: int
    port_lines: range


def mistakes(
    source: str,
    port: str,
    name: str,
    target: str,
    place: Place | None = None,
    records: Sequence[Record] = (),
) -> list[Mistake]:
    """The known mistakes that can be why the port of a definition diverges, the likeliest first.

    A record counts if its torch name is used by the original, and its pattern is in the port; without
    a pattern if the divergence was located, and the line there is more like the record's wrong port
    than like its right one.

    Args:
        name: the definition, a top-level one of both texts.
        place: where the port begins to differ, if that is known: that is searched first.
        records: the project's own, besides those that torchport ships.
    """
    try:
        lines = _lines_of(Source(port), name)
        used = _used(source, name, target)
    except RecursionError:
        return []  # nested too deeply to be read
    candidates = [
        record
        for record in (*corpus(target), *records)
        if record.target == target and any(api in used for api in record.apis)
    ]
    found: list[Mistake] = []
    if place is not None:
        found += _by_pattern(candidates, port, place.port_lines)
        found += _by_likeness(candidates, port, place, used)
    if lines is not None and not found:
        found += _by_pattern(candidates, port, lines)
    return found


def _lines_of(source: Source, name: str) -> range | None:
    for defined, node in top_level(source):
        if defined == name:
            return range(source.position(node.start)[0], source.position(node.end - 1)[0] + 1)
    return None


def _used(source: str, name: str, target: str) -> dict[str, set[int]]:
    """The torch names that a definition uses, with their lines."""
    text = Source(source)
    inference = Inference(text, catalogue(target))
    lines = _lines_of(text, name)
    used: dict[str, set[int]] = {}
    for start, _, api in (*named_uses(inference), *other_uses(inference)):
        line = text.position(start)[0]
        if lines is None or line in lines:
            used.setdefault(api, set()).add(line)
    return used


def _by_pattern(records: Iterable[Record], port: str, lines: range) -> list[Mistake]:
    found: list[Mistake] = []
    for record in records:
        for match in (match for fix in record.fixes for match in fix.places(port, lines)):
            found.append(Mistake(record, match.line, port[match.start : match.end], match.text))
    return found


def _by_likeness(
    records: Iterable[Record], port: str, place: Place, used: dict[str, set[int]]
) -> list[Mistake]:
    lines = port.splitlines()
    here = " | ".join(lines[n - 1].strip() for n in place.port_lines if n <= len(lines))
    found: list[tuple[float, Mistake]] = []
    for record in records:
        on_line = any(place.source_line in used.get(api, ()) for api in record.apis)
        if record.fixes or not on_line:
            continue
        shown = card(record)
        wrong, right = _alike(here, shown.wrong), _alike(here, shown.right)
        if wrong >= _ALIKE and wrong > right:
            found.append((-wrong, Mistake(record, place.port_lines.stop - 1)))
    return [mistake for _, mistake in sorted(found, key=lambda one: one[0])][:2]


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
