"""Porting files: read, translate, protect what must not be overwritten, write."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from torchport_translators.configuration import Configuration
from torchport_translators.files import (
    EDITED,
    STDIN,
    FileProblem,
    SourceFile,
    Text,
    port_path,
    protection,
    read_source,
    relative_name,
    write_port,
)
from torchport_translators.findings import Severity, Translation
from torchport_translators.installed import Installed, known
from torchport_translators.neighbours import Neighbourhood
from torchport_translators.project import Project
from torchport_translators.translate import translate


class Outcome(StrEnum):
    """What became of a file."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"  # the port was there already, as it would be written now
    SHOWN = "shown"  # translated, and nothing was to be written
    EDITED = "edited"  # the port has been edited by hand and was kept
    NOTHING = "nothing"  # there is nothing to port in the file
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Plan:
    """How files are to be ported.

    Attributes:
        target: "jax" or "mlx".
        out: a folder for the ports, or the port of the only file; None: beside the sources.
        in_place: write the port over the source.
        write: False to translate only.
        force: overwrite files that were edited by hand or not written by torchport.
    """

    configuration: Configuration
    target: str
    out: Path | None = None
    in_place: bool = False
    write: bool = True
    force: bool = False

    def port(self, file: SourceFile) -> Path:
        """Where the port of a file lies."""
        if self.in_place:
            return file.path
        return port_path(file, self.configuration, self.target, self.out)

    def port_name(self, file: SourceFile) -> str | None:
        """The module name of a file's port; None where it is not among those of other files."""
        if self.in_place:
            return file.path.stem if file.path.suffix == ".py" else None
        alone = self.out is not None and self.out.suffix in (".py", ".ipynb")
        return None if alone or file.path.suffix != ".py" else self.port(file).stem

    def problem(self, files: Sequence[SourceFile]) -> str:
        """Why these files cannot be ported so; empty if they can."""
        if not self.write or self.in_place:
            return ""
        ports = [self.port(file) for file in files]
        for file, port in zip(files, ports, strict=True):
            if file.path != STDIN and port.resolve() == file.path.resolve():
                return f"{port} is the source itself: use --in-place to replace it."
        (port, count), *_ = Counter(ports).most_common(1) or [(None, 0)]
        if count > 1:
            return f"{count} of the files would be written to {port}: port them one by one."
        return ""


@dataclass(frozen=True, slots=True)
class Ported:
    """A file that was ported, or why it was not.

    Attributes:
        port: where the port lies, or would.
        source: the text that was read; None where it could not be.
        notes: what the reader should know besides the findings.
        problem: why it failed.
    """

    file: SourceFile
    outcome: Outcome
    port: Path | None = None
    source: Text | None = None
    translation: Translation | None = None
    notes: tuple[str, ...] = ()
    problem: str = ""

    @property
    def name(self) -> str:
        """The file's name for the reader."""
        return "standard input" if self.file.path == STDIN else str(self.file.path)

    @property
    def clean(self) -> bool:
        """Whether nothing in it needs the reader's attention."""
        findings = self.translation.findings if self.translation else ()
        return all(finding.severity is Severity.INFO for finding in findings)

    def diff(self) -> str:
        """The port against its source, as a unified diff."""
        assert self.source is not None and self.translation is not None
        lines = difflib.unified_diff(
            self.source.text.splitlines(keepends=True),
            self.translation.text.splitlines(keepends=True),
            self.name,
            str(self.port or "port"),
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in lines
        )

    def data(self, text: bool) -> dict[str, Any]:
        """The file as it is told to machines, with the port's text if `text`."""
        translation = self.translation or Translation("")
        return {
            "source": str(self.file.path),
            "port": str(self.port) if self.port else None,
            "outcome": self.outcome.value,
            "problem": self.problem or None,
            "notes": list(self.notes),
            "coverage": asdict(translation.coverage),
            "definitions": [asdict(definition) for definition in translation.definitions],
            "findings": [
                {"severity": finding.severity.value, **asdict(finding), "help": finding.help}
                for finding in translation.findings
            ],
            "ignored": translation.ignored,
            **({"text": translation.text} if text else {}),
        }


def port_files(files: Sequence[SourceFile], plan: Plan) -> Iterator[Ported]:
    """Port each file, one after the other; a file that fails stops no other.

    Files that import each other are ported together: each port imports the others' ports.
    """
    installed = known(plan.target, plan.configuration.interpreter(plan.target))
    projects = Neighbourhood(files, plan.target, plan.port_name)
    done: dict[SourceFile, Ported] = {}
    for file in files:
        if file not in done:
            with projects.around(file) as (project, order):
                for one in order:
                    done[one] = _ported(one, plan, installed, project)
        yield done.pop(file)


def translate_beside(text: str, path: Path, plan: Plan) -> Translation:
    """Port a text that is to be the file at `path`, with what the files around it define.

    Ports are imported that lie beside their sources; what has none is a finding.
    """
    file = SourceFile(path, Path(path.name))
    neighbours = Neighbourhood([file], plan.target, plan.port_name)
    neighbours.hold(path, text)
    with neighbours.around(file) as (project, _):
        links = project.links(path.resolve()) if project is not None else None
        return translate(text, plan.target, name=path.name, links=links)


def _ported(
    file: SourceFile, plan: Plan, installed: Installed | None, project: Project | None
) -> Ported:
    try:
        return _port_file(file, plan, installed, project)
    except FileProblem as problem:
        return Ported(file, Outcome.FAILED, problem=str(problem))


def _port_file(
    file: SourceFile, plan: Plan, installed: Installed | None, project: Project | None
) -> Ported:
    source = read_source(file.path)
    port = plan.port(file) if plan.write or file.path != STDIN else None
    name = relative_name(file.path, port) if port else None
    links = project.links(file.path.resolve()) if project is not None else None
    translation = translate(source.text, plan.target, name=name, installed=installed, links=links)
    notes = (f"{file.path} {source.note}.",) if source.note else ()
    if not translation.coverage.total and not translation.linked:
        empty = "it is empty" if not source.text.strip() else "it does not use torch"
        notes = (*notes, f"There is nothing to port in {file.path}: {empty}.")
        return Ported(file, Outcome.NOTHING, None, source, translation, notes)
    if not plan.write:
        return Ported(file, Outcome.SHOWN, port, source, translation, notes)
    assert port is not None and name is not None
    if not plan.force and not plan.in_place:
        reason = protection(port, name)
        if reason == EDITED:
            return Ported(file, Outcome.EDITED, port, source, translation, notes)
        if reason:
            raise FileProblem(
                f"{port} is not overwritten: {reason}. Write elsewhere with -o, or overwrite it "
                "with --force."
            )
    like = file.path if file.path != STDIN else None
    changed = write_port(port, source.encode(translation.text), like)
    outcome = Outcome.WRITTEN if changed else Outcome.UNCHANGED
    return Ported(file, outcome, port, source, translation, notes)
