"""What is a problem, how grave, and where: one list for SARIF and for annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torchport_checks.reports.checked import (
    Checked,
    indirect,
    odd_variants,
    variant_name,
    variant_text,
)
from torchport_checks.verdicts import Category, DefinitionVerdict, Difference, Verdict
from torchport_translators.batch import Outcome
from torchport_translators.findings import Finding, Severity

Level = Literal["error", "warning", "note"]

NOT_PORTED = "not-ported"
NOT_COMPILABLE = "not-compilable"
VARIANT = "variant-differs"
OWN_RULES = {
    NOT_PORTED: "The file could not be read, translated or written.",
    NOT_COMPILABLE: "The port works eagerly and cannot be compiled: it needs a value that is known only "
    "when it runs. Use jax.numpy.where, jax.lax.cond or a static argument.",
    VARIANT: "The port agrees with torch, but not on every device, compiled, or with its operators "
    "written as functions: look at what this way of running it changes.",
}
"""Rules that are neither a category nor the code of a finding, with their help."""
_LEVELS: dict[Severity, Level] = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "note",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: a file, and the line from 1; 0 for the file as a whole."""

    path: Path
    line: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a reader of the code should see on its line.

    Attributes:
        rule: a `Category`, the code of a finding, or one of `OWN_RULES`.
        place: where it is to be mended: in the port, if it is one of values.
        related: other places, and what each is.
        identity: what tells it from the other problems of a run, and stays when lines move.
        finding: of the translation, with its columns.
        difference: with its values.
    """

    level: Level
    rule: str
    message: str
    place: Place
    related: tuple[tuple[Place, str], ...]
    identity: tuple[str, ...]
    finding: Finding | None = None
    difference: Difference | None = None


def problems(results: Sequence[Checked]) -> Iterator[Problem]:
    """The problems of a run, file by file."""
    for result in results:
        if result.ported is not None:
            yield from _of_translation(result)
        if result.verdict is not None:
            yield from _of_verdict(result.verdict)


def _of_translation(result: Checked) -> Iterator[Problem]:
    ported = result.ported
    assert ported is not None
    source = ported.file.path
    if ported.outcome is Outcome.FAILED:
        yield Problem("error", NOT_PORTED, ported.problem or "", Place(source), (), ())
    seen: dict[tuple[str, str], int] = {}
    for finding in ported.translation.findings if ported.translation else ():
        same = finding.code, finding.message
        seen[same] = seen.get(same, 0) + 1
        yield Problem(
            _LEVELS[finding.severity],
            finding.code,
            finding.message,
            Place(source, finding.line),
            (),
            (finding.message, str(seen[same])),
            finding=finding,
        )


def _of_verdict(verdict: Verdict) -> Iterator[Problem]:
    source, port = Path(verdict.source), Path(verdict.port)
    if verdict.error:
        category = verdict.category or Category.LOAD
        related = ((Place(port), "the port"),)
        yield Problem("error", category.value, verdict.error, Place(source), related, ())
    for definition in verdict.definitions:
        if definition.ok:
            yield from _variants(verdict, definition)
        if definition.differences:
            for difference in definition.differences:
                yield _difference(verdict, definition, difference)
        elif not definition.ok and not indirect(definition):
            level: Level = "warning" if definition.status == "not_run" else "error"
            category = definition.category or Category.MISMATCH
            message = f"{definition.name}: {definition.message}"
            place, related = _places(verdict, definition)
            yield Problem(
                level, category.value, message, place, related, (definition.name, definition.status)
            )


def _variants(verdict: Verdict, definition: DefinitionVerdict) -> Iterator[Problem]:
    place, related = _places(verdict, definition)
    for variant in odd_variants(definition):
        yield Problem(
            "warning",
            NOT_COMPILABLE if variant.status == "not_compilable" else VARIANT,
            f"{definition.name}: {variant_text(variant)}",
            Place(Path(verdict.port), variant.line) if variant.line else place,
            related,
            (definition.name, variant_name(variant)),
        )


def _difference(verdict: Verdict, definition: DefinitionVerdict, difference: Difference) -> Problem:
    case = f" ({difference.case})" if difference.case else ""
    place, related = _places(verdict, definition)
    return Problem(
        "note" if difference.category is Category.ILL_CONDITIONED else "error",
        difference.category.value,
        f"{definition.name}: {difference.where}{case}: {difference.message}",
        place,
        related,
        (definition.name, difference.where),
        difference=difference,
    )


def _places(
    verdict: Verdict, definition: DefinitionVerdict
) -> tuple[Place, tuple[tuple[Place, str], ...]]:
    """Where to mend it, and what to look at beside it."""
    original = Place(Path(verdict.source), definition.source_line)
    if definition.port_line is None:
        return original, ()
    port = Place(Path(verdict.port), definition.port_line)
    return port, ((original, f"{definition.name} in the original"),)
