"""The picture of a difference as SVG; its colours are classes of the page's style sheet."""

from __future__ import annotations

import math

from torchport_checks.compare import ULPS
from torchport_checks.reports.markup import Markup, joined, tag
from torchport_checks.verdicts import Picture

LEVELS = (-7, -6, -5, -4, -3, -2, -1)
"""log10 of the relative errors at which the heat map changes its colour."""

_WIDTH, _HEIGHT = 400, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 18, 40
_FEWEST_BINS = 12
_MAP = 230  # sides of the heat map, at most
_ROW = 380  # of a single row
_CELL = 24  # sides of a cell, at most


def histogram(picture: Picture, *, integers: bool) -> Markup:
    """How many errors are how large: a bar for each power of two, tall by the logarithm."""
    counts = picture.counts
    last = picture.first_bin + len(counts) - 1
    first = min(picture.first_bin, 0)
    last = max(last, first + _FEWEST_BINS - 1)
    step = (_WIDTH - _LEFT - _RIGHT) / (last - first + 1)
    base = _HEIGHT - _BOTTOM
    tallest = math.log2(1 + max(counts, default=1))
    parts: list[str] = []
    limit = 0 if integers else ULPS.bit_length() - 1
    for k, count in enumerate(counts, picture.first_bin):
        if not count:
            continue
        x = _LEFT + (k - first) * step
        height = max(3.0, (base - _TOP) * math.log2(1 + count) / tallest)
        kind = "bar" if k >= limit else "bar small"
        parts.append(
            tag("rect", tag("title", f"{count} of 2^{k} to 2^{k + 1} ulp"), class_=kind,
                x=x + 1, y=base - height, width=max(step - 2, 1), height=height, rx=1.5)
        )  # fmt: skip
        if step >= 6.4 * len(_short(count)) or count == max(counts):
            middle = min(max(x + step / 2, 12), _WIDTH - 12)
            parts.append(_text(_short(count), middle, base - height - 4, "count"))
    parts.append(tag("line", class_="axis", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base))
    if not integers and first <= limit <= last:
        x = _LEFT + (limit - first) * step
        parts.append(tag("line", class_="limit", x1=x, x2=x, y1=_TOP - 8, y2=base))
    every = next(n for n in (1, 2, 4, 8, 16) if step * n >= 26)
    for k in range(first, last + 1):
        if k % every == 0:
            parts.append(_text(_power(k), _LEFT + (k - first) * step, base + 14, "tick"))
    unit = "error, in integers" if integers else "error, in ulp of torch's value (dashed: 16)"
    parts.append(_text(unit, _WIDTH / 2, _HEIGHT - 6, "label"))
    label = f"Histogram of {sum(counts)} errors"
    return tag("svg", *parts, class_="histogram", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img",
               width=_WIDTH, height=_HEIGHT, aria_label=label)  # fmt: skip


def heat_map(picture: Picture, worst: tuple[int, ...] | None) -> Markup:
    """Where the error is, and how large relative to torch's values; a ring around the worst."""
    rows, columns = len(picture.heat), len(picture.heat[0])
    width = min(_CELL, (_MAP if rows > 1 else _ROW) / columns)
    height = min(_CELL, _MAP / rows) if rows > 1 else max(width, 12)
    x0, y0 = (44.0 if rows > 1 else 4.0), 20.0
    right, bottom = x0 + columns * width, y0 + rows * height
    parts: list[str] = [
        tag("rect", class_="equal", x=x0, y=y0, width=columns * width, height=rows * height)
    ]
    # One path a colour keeps a map of a thousand cells small.
    paths: dict[str, list[str]] = {}
    for r, row in enumerate(picture.heat):
        c = 0
        while c < columns:
            value, begin = row[c], c
            kind = None if value is None else level(value)
            while c < columns and (None if (v := row[c]) is None else level(v)) == kind:
                c += 1
            if kind is not None:
                x, y = x0 + begin * width, y0 + r * height
                run = (c - begin) * width
                paths.setdefault(kind, []).append(
                    f"M{x:.4g} {y:.4g}h{run:.4g}v{height:.4g}h-{run:.4g}z"
                )
    parts += [tag("path", class_=kind, d="".join(d)) for kind, d in sorted(paths.items())]
    parts.append(
        tag("rect", class_="frame", x=x0, y=y0, width=columns * width, height=rows * height)
    )
    if picture.axes:
        axis = picture.axes[-1]
        size = picture.shape[axis]
        parts.append(_text(f"axis {axis}: {_range(size)}", x0, 12, "label start"))
        if rows > 1:
            axis = picture.axes[0]
            middle = (y0 + bottom) / 2
            parts.append(_text(f"axis {axis}", x0 - 6, middle, "label end"))
            parts.append(_text(_range(picture.shape[axis]), x0 - 6, middle + 13, "label end"))
    if worst is not None and picture.axes and len(worst) == len(picture.shape):
        cells = [columns] if rows == 1 else [rows, columns]
        at = [worst[axis] * cells[i] // picture.shape[axis] for i, axis in enumerate(picture.axes)]
        r, c = (0, at[0]) if rows == 1 else (at[0], at[1])
        # Inside a large cell, around a small one; the halo keeps it seen on every colour.
        x, y = x0 + (c + 0.5) * width, y0 + (r + 0.5) * height
        radius = 0.34 * min(width, height) if min(width, height) >= 12 else 6.0
        parts += [
            tag("circle", class_="halo", cx=x, cy=y, r=radius),
            tag("circle", tag("title", f"the worst, at {list(worst)}"), class_="worst",
                cx=x, cy=y, r=radius),
        ]  # fmt: skip
    # Room for the ring, and for the words of a narrow map.
    total = max(right + 16, x0 + 90)
    return tag("svg", *parts, class_="heat", viewBox=f"0 0 {total:.4g} {bottom + 14:.4g}",
               width=total, height=bottom + 14, role="img",
               aria_label="Map of where the error is")  # fmt: skip


def level(value: float) -> str:
    """The class of a relative error, given as its log10."""
    return "h8" if value == math.inf else f"h{sum(value > limit for limit in LEVELS)}"


def key() -> Markup:
    """What the colours of the heat map mean."""
    words = ["1e-7", "", "1e-5", "", "1e-3", "", "0.1", "more"]
    items = [tag("span", class_="swatch equal"), tag("span", "equal")]
    items += [
        part
        for number, word in enumerate(words)
        for part in (
            tag("span", class_=f"swatch h{number}"),
            *([tag("span", word)] if word else []),
        )
    ]
    items += [tag("span", class_="swatch h8"), tag("span", "not finite")]
    return tag("div", joined(*items), class_="key")


def bar(relative: float) -> Markup:
    """An error relative to the values, on a logarithmic scale from 1e-9 to 1."""
    share = 1.0 if math.isinf(relative) or math.isnan(relative) else 0.0
    if not share and relative > 0:
        share = min(1.0, max(0.03, 1 + math.log10(relative) / 9))
    return tag("span", tag("span", style=f"width:{100 * share:.0f}%"), class_="meter",
               aria_hidden="true")  # fmt: skip


def _range(size: int) -> str:
    return f"0–{size - 1}"


def _power(k: int) -> Markup:
    if k in (0, 1, 2, 3, 4):
        return joined(str(2**k))
    return joined("2", tag("tspan", str(k), dy="-4", class_="power"))


def _text(text: str, x: float, y: float, kind: str) -> Markup:
    return tag("text", text, class_=kind, x=float(x), y=float(y))


def _short(number: int) -> str:
    """`950`, `12k`, `3M`."""
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if number >= 10 * size:
            return f"{number // size}{unit}"
    return str(number)
