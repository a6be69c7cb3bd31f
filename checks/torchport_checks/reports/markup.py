"""HTML and SVG that cannot be ill-formed: elements are calls, and all text is escaped."""

from __future__ import annotations

from html import escape

_VOID = frozenset(("br", "hr", "input", "meta"))


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """`<name attributes>children</name>`; children that are no `Markup` are escaped.

    Of an attribute's name, a trailing underscore is dropped (`class_`) and others become hyphens.
    None and False leave it out, True writes its name only.
    """
    head = name
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            head += f" {key}"
        elif value is not None and value is not False:
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            head += f' {key}="{escape(text)}"'
    if name in _VOID:
        return Markup(f"<{head}>")
    return Markup(f"<{head}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Children side by side."""
    return Markup("".join(c if isinstance(c, Markup) else escape(_clean(c)) for c in children))


def _clean(text: str) -> str:
    """Without lone surrogates, which no encoding holds, and NUL, which HTML does not."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
