"""The overview as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torchport_checks.overview.survey import File, Overview, State
from torchport_checks.reports.markup import Markup, joined, tag
from torchport_checks.reports.page import page
from torchport_translators._version import __version__
from torchport_translators.output import count

_KINDS = {
    State.VERIFIED: "ok",
    State.PORTED: "done",
    State.DRIFTED: "bad",
    State.DIVERGED: "bad",
    State.BLOCKED: "open",
    State.NOT_PORTED: "aside",
}
_MEANINGS = {
    State.VERIFIED: "ported, and verified as it is now",
    State.PORTED: "ported, and not checked as it is now",
    State.DRIFTED: "changed since it was ported",
    State.DIVERGED: "the check says that source and port are not equal",
    State.BLOCKED: "calls of torch that no rule covers",
    State.NOT_PORTED: "every call has a rule",
}
_TITLES = {"jax": "JAX", "mlx": "MLX"}
_NAMED = 6


def html(found: Overview) -> str:
    """An overview as a self-contained HTML page."""
    title = f"{found.root.name} → {_TITLES[found.target]}"
    return page(title, _summary(found, title), _main(found), _footer())


def _summary(found: Overview, title: str) -> Iterator[Markup]:
    states = found.states
    verified, total = states[State.VERIFIED], len(found.files)
    calls = found.calls
    yield tag("p", "torchport", class_="brand")
    yield tag("h1", title)
    if not total:
        yield tag("p", tag("span", "No file uses torch", class_="said"))
        return
    yield tag(
        "p",
        tag("span", f"{verified} of {count(total, 'file')} verified", class_="said"),
        tag(
            "span",
            f"{calls['with_rule']:,} of {count(calls['total'], 'call')} of torch have a rule, "
            f"{calls['ported']:,} are ported",
            class_="quiet",
        ),
    )
    there = [(state, number) for state, number in states.items() if number]
    yield tag(
        "div",
        *(tag("span", class_=_KINDS[state], style=f"flex:{n}", title=state) for state, n in there),
        class_="shares",
        role="img",
        aria_label=", ".join(f"{number} {state}" for state, number in there),
    )
    yield tag(
        "p",
        *(
            tag("span", f"{number} {state}", class_=f"chip state {_KINDS[state]}", title=_MEANINGS[state])
            for state, number in there
        ),
        class_="chips",
    )  # fmt: skip


def _main(found: Overview) -> Iterator[Markup]:
    if found.groups:
        steps = (tag("li", *_step(found, group)) for group in found.groups)
        yield tag("section", tag("h2", "Port next"), tag("ol", *steps, class_="steps"))
    if found.blocking:
        rows = (
            tag(
                "tr",
                tag("td", tag("code", api)),
                tag("td", count(uses, "use"), class_="quiet"),
                tag("td", *_names(files)),
            )
            for api, uses, files in found.blocking
        )
        yield tag("section", tag("h2", "Blocked by"), tag("table", tag("tbody", *rows)))
    if found.files:
        names = ("state", "file", "calls of torch that have a rule", "blocked by")
        head = tag("tr", *(tag("td", name, class_="quiet") for name in names))
        rows = (_row(file) for file in found.files)
        table = tag("table", tag("thead", head), tag("tbody", *rows), class_="files")
        yield tag("section", tag("h2", "Files"), table)


def _step(found: Overview, group: Sequence[File]) -> Iterator[Markup]:
    for number, file in enumerate(group):
        if number:
            yield joined(" with ")
        yield tag("a", file.path, href=f"#{_anchor(file)}", class_="path")
        yield joined(" ")
        yield _chip(file)
    names = {file.path for file in group}
    missing = sorted({name for file in group for name in found.missing(file)} - names)
    waiting = sorted({name for file in group for name in found.waiting(file)} - names)
    if missing:
        yield tag("span", " after ", *_names(missing), class_="quiet")
    if waiting:
        yield tag("span", f" {count(len(waiting), 'file')} after it", class_="quiet",
                  title=", ".join(waiting))  # fmt: skip


def _row(file: File) -> Markup:
    total, with_rule = file.calls
    blocked = [
        tag("code", f"{api} ×{uses}" if uses > 1 else api, class_="argument")
        for api, uses in file.blocked_by.items()
    ]
    share = tag("span", tag("span", style=f"width:{100 * with_rule / max(total, 1):.0f}%"),
                class_="meter", aria_hidden="true")  # fmt: skip
    return tag(
        "tr",
        tag("td", _chip(file)),
        tag(
            "td",
            tag("span", file.path, class_="path"),
            *((tag("span", f" → {file.port}", class_="quiet"),) if file.port else ()),
        ),
        tag("td", f"{with_rule} of {total}", share, class_="quiet"),
        tag("td", *(blocked or ([file.problem] if file.problem else []))),
        id=_anchor(file),
        class_=_KINDS[file.state],
    )


def _chip(file: File) -> Markup:
    return tag("span", file.state, class_=f"chip state {_KINDS[file.state]}",
               title=_MEANINGS[file.state])  # fmt: skip


def _names(files: Sequence[str]) -> Iterator[Markup]:
    yield joined(", ".join(files[:_NAMED]))
    if len(files) > _NAMED:
        yield tag("span", f" and {len(files) - _NAMED} more", class_="quiet",
                  title=", ".join(files[_NAMED:]))  # fmt: skip


def _anchor(file: File) -> str:
    return f"file:{file.path}"


def _footer() -> Iterator[Markup]:
    yield tag(
        "p",
        "Port next: each file after what it imports, cycles together. Drift is told by the hashes in the "
        "ports' headers, verified by the stored verdicts; nothing was run for this page.",
    )
    yield tag("p", f"torchport {__version__}")
