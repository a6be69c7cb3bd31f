"""What an evaluation found, for people: a table, and plots as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torchport_checks.evaluation.evaluate import STAGES, Evaluation, Summary
from torchport_checks.reports.markup import Markup, tag

_WIDTH, _BAR, _GAP, _LEFT, _TOP = 560, 18, 10, 150, 44
_COLOURS = ("#4269d0", "#efb118", "#3ca951", "#ff725c", "#a463f2")


def rows(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """The heads and the rows of the table: one row for each context."""
    rounds = max((len(s.passed) for s in evaluation.summaries.values()), default=1) - 1
    heads = ["context", "items", "rules", *(f"pass@{k}" for k in range(1, rounds + 1))]
    heads += [*STAGES[1:], "grade", "rounds", "edits", "CodeBLEU", "judge", "tokens"]
    return heads, [[name, *_cells(s)] for name, s in evaluation.summaries.items()]


def _cells(s: Summary) -> list[str]:
    numbers = [s.grade, s.rounds, s.edits, s.similarity, s.judged]
    return [
        str(s.items),
        *(f"{part:.0%}" for part in s.passed),
        *(f"{s.stages[name]:.0%}" for name in STAGES[1:]),
        *("" if number is None else f"{number:.2f}" for number in numbers),
        f"{s.tokens:,}",
    ]


def markdown(evaluation: Evaluation) -> str:
    """The table, and how contexts compare, as Markdown."""
    heads, body = rows(evaluation)
    lines = [_row(heads), _row(["---"] * len(heads)), *map(_row, body)]
    for v in evaluation.versus:
        text = f"{v.first} against {v.second}: {v.wins} better, {v.ties} alike, {v.losses} worse"
        if v.judged_wins or v.judged_ties or v.judged_losses:
            text += f" (judge: {v.judged_wins}, {v.judged_ties}, {v.judged_losses})"
        lines += ["", f"{text}."]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plots(evaluation: Evaluation) -> dict[str, str]:
    """SVG by file name: what passes after each round, and how far the ports come."""
    summaries = evaluation.summaries
    passed = {
        name: {f"after {k} rounds" if k else "rules alone": v for k, v in enumerate(s.passed)}
        for name, s in summaries.items()
    }
    stages = {name: {str(k): v for k, v in s.stages.items()} for name, s in summaries.items()}
    return {
        "passed.svg": _bars("Verified, of the originals that can be judged", passed),
        "stages.svg": _bars("Stages that every definition passed", stages),
    }


def _bars(title: str, values: Mapping[str, Mapping[str, float]]) -> Markup:
    """Groups of horizontal bars, from 0 to 100 %, a colour for each label."""
    labels = list(dict.fromkeys(label for group in values.values() for label in group))
    span = _WIDTH - _LEFT - 60
    parts = [tag("text", title, x=12, y=20, font_size=14, font_weight="bold")]
    y = _TOP
    for name, group in values.items():
        parts.append(tag("text", name, x=12, y=y + _BAR - 5, font_size=12))
        for label, value in group.items():
            colour = _COLOURS[labels.index(label) % len(_COLOURS)]
            note = tag("title", f"{name}, {label}: {value:.0%}")
            parts.append(tag("rect", note, x=_LEFT, y=y, width=max(span * value, 1.0),
                             height=_BAR - 3, fill=colour))  # fmt: skip
            parts.append(
                tag("text", f"{value:.0%} {label}", x=_LEFT + span * value + 6, y=y + _BAR - 6,
                    font_size=11)
            )  # fmt: skip
            y += _BAR
        y += _GAP
    head = tag("rect", x=0, y=0, width="100%", height="100%", fill="#ffffff")
    return tag("svg", head, *parts, xmlns="http://www.w3.org/2000/svg", font_family="sans-serif",
               viewBox=f"0 0 {_WIDTH + 60} {y + 6}", role="img", aria_label=title)  # fmt: skip
