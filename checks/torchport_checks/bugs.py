"""Whether a bug record is true: its wrong port is caught, and its fixed port passes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from torchport_checks.checker import Checker
from torchport_checks.verdicts import Category, DefinitionVerdict, Verdict
from torchport_translators.bugs import Record

RAISED = (Category.PORT_ERROR, Category.CONSTRUCTION, Category.WEIGHTS, Category.LOAD)
"""What a wrong port may fail with, besides another result."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What the checker says of both ports of a record, and of the wrong one after each of its fixes."""

    record: Record
    wrong: DefinitionVerdict
    fixed: DefinitionVerdict
    mended: tuple[DefinitionVerdict | None, ...] = ()

    @property
    def caught(self) -> bool:
        """Whether the wrong port is known to be wrong, for a reason that is the port's."""
        if self.wrong.status == "diverged":
            return self.wrong.category is not Category.ILL_CONDITIONED
        return self.wrong.status == "error" and self.wrong.category in RAISED

    @property
    def problem(self) -> str:
        """Why the record is not true; empty if it is."""
        if not self.caught:
            return (
                f"the wrong port is not caught: {self.wrong.status}. {self.wrong.message}".strip()
            )
        if self.fixed.status != "verified":
            return (
                f"the fixed port is not verified: {self.fixed.status}. {self.fixed.message}".strip()
            )
        for fix, verdict in zip(self.record.fixes, self.mended, strict=True):
            if verdict is None:
                return f"the fix {fix.find.text!r} matches nothing in the wrong port."
            if verdict.status != "verified":
                return f"the fix {fix.find.text!r} does not mend the wrong port: {verdict.message}"
            if fix.apply(self.record.texts()["fixed"]) is not None:
                return f"the fix {fix.find.text!r} would change the fixed port, too."
        return ""


def verify(record: Record, checker: Checker) -> Verified:
    """Run the ports of a record against its original.

    Args:
        checker: with the options that `record.full` asks for, of a full check or a quick one. It should
            store nothing: the files are temporary.

    Raises:
        OSError: there is no temporary folder to write to.
    """
    texts = record.texts()
    with tempfile.TemporaryDirectory(prefix="torchport-bugs-") as name:
        folder = Path(name)
        source = folder / "original.py"
        source.write_text(texts["torch"], "utf-8")

        def run(side: str, text: str) -> DefinitionVerdict:
            port = folder / f"{side}.py"
            port.write_text(text, "utf-8")
            return _of(record, checker.check(source, port, definitions=[record.definition]))

        mended: list[DefinitionVerdict | None] = []
        fixed = run("fixed", texts["fixed"])
        for at, fix in enumerate(record.fixes):
            text = fix.apply(texts["wrong"])
            mended.append(None if text is None else run(f"mended_{at}", text))
        return Verified(record, run("wrong", texts["wrong"]), fixed, tuple(mended))


def _of(record: Record, verdict: Verdict) -> DefinitionVerdict:
    """The verdict on the record's definition; on the file, where that could not be loaded."""
    for found in verdict.definitions:
        if found.name == record.definition:
            return found
    return DefinitionVerdict(
        name=record.definition,
        kind="function",
        source_line=1,
        status="error",
        category=verdict.category,
        message=verdict.error,
    )
