"""Bug records: ports that were wrong, why, and what mends them, each of them executed.

A record is a Markdown file in `records/jax/` or `records/mlx/` (docs/bug-records.md). It is shown where
its mistake is near: in hovers, beside a line that diverges, and in a language model's prompt.
"""

from __future__ import annotations

from torchport_translators.bugs.known import Mistake, Place, mistakes
from torchport_translators.bugs.records import (
    CATEGORIES,
    Fix,
    Record,
    RecordError,
    corpus,
    parse_record,
    read_records,
    record_text,
    write_record,
)
from torchport_translators.bugs.retrieve import CARDS, Card, about, card, cards

__all__ = [
    "CARDS",
    "CATEGORIES",
    "Card",
    "Fix",
    "Mistake",
    "Place",
    "Record",
    "RecordError",
    "about",
    "card",
    "cards",
    "corpus",
    "mistakes",
    "parse_record",
    "read_records",
    "record_text",
    "write_record",
]
