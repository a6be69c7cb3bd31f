"""The frame of a page: one file, no script, nothing fetched; light and dark as the reader has it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torchport_checks.reports.markup import Markup, tag

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(
    title: str, header: Iterable[Markup], main: Iterable[Markup], footer: Iterable[Markup]
) -> str:
    """A self-contained HTML page."""
    style = Path(__file__).with_name("page.css").read_text("utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}: torchport"),
        tag("style", Markup(style)),
    )
    body = tag("body", tag("header", *header), tag("main", *main), tag("footer", *footer))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
