"""`torchport guard`: what it prints, and its options. It starts fast, so it imports little."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from torchport_checks.guard.baseline import (
    Baseline,
    BaselineProblem,
    counted,
    read_baseline,
)
from torchport_checks.guard.findings import GuardFinding
from torchport_checks.guard.guard import Guard, renewed_header, shown
from torchport_checks.guard.project import Port, Project, Scope, port_of, scope_of
from torchport_translators.configuration import ConfigurationError
from torchport_translators.files import FileProblem, read_source, write_port
from torchport_translators.output import count, envelope, fail, json_option

Form = Literal["terminal", "json", "sarif", "github"]
_FORMS: tuple[Form, ...] = ("terminal", "json", "sarif", "github")
_COLOURS = {"error": "red", "note": "blue"}


@dataclass(frozen=True, slots=True)
class _Result:
    """What a run found.

    Attributes:
        project: that was looked at.
        pairs: how many ports.
        findings: that count, or are notes.
        passed_over: how many others the baseline holds.
        mended: how many findings of the baseline are no longer found.
        baseline: its file; None without one.
        verdicts: whether the stores of all pairs were asked.
    """

    project: Project
    pairs: int
    findings: Sequence[GuardFinding]
    passed_over: int
    mended: int
    baseline: Path | None
    verdicts: bool

    @property
    def exit_code(self) -> int:
        return int(any(finding.level == "error" for finding in self.findings))

    def data(self) -> dict[str, Any]:
        """For machines."""
        name = self.project.name
        return {
            **envelope("guard"),
            "root": str(self.project.root),
            "pairs": self.pairs,
            "findings": [
                {
                    "code": finding.code,
                    "level": finding.level,
                    "file": name(finding.path),
                    "line": finding.line,
                    "subject": finding.subject,
                    "message": finding.message,
                    "advice": finding.advice,
                    "commands": list(finding.commands),
                }
                for finding in self.findings
            ],
            "baseline": {
                "file": str(self.baseline) if self.baseline else None,
                "passed_over": self.passed_over,
                "mended": self.mended,
            },
            "verdicts": self.verdicts,
            "exit_code": self.exit_code,
        }


@click.command(short_help="Find ports that have drifted, or are not checked; runs nothing.")
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH...]")
@click.option(
    "--commit",
    "of_commit",
    is_flag=True,
    help="Look at the PATHs and at what the commit in git's index deletes: for hooks.",
)
@click.option(
    "--verdicts",
    type=click.Choice(("auto", "required", "off")),
    help="Ask for a stored verdict on each pair: auto, where the project has a store. [default: auto]",
)
@click.option(
    "--baseline",
    "baseline_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Findings to pass over. [default: .torchport-baseline.json in the project's folder]",
)
@click.option(
    "--update-baseline",
    is_flag=True,
    help="Write the baseline: all findings, the first time; later it only loses those that are mended.",
)
@click.option(
    "--renew",
    is_flag=True,
    help="Where a pair that drifted is verified as it is now, take the source's hashes into the "
    "port's header.",
)
@click.option(
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the findings to FILE, too: .sarif or .json.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMS),
    help="Of what is printed; github: annotations in a workflow. [default: terminal]",
)
@json_option
def guard(
    paths: tuple[str, ...],
    of_commit: bool,
    verdicts: str | None,
    baseline_path: Path | None,
    update_baseline: bool,
    renew: bool,
    report_path: Path | None,
    form: Form | None,
    as_json: bool,
) -> None:
    """Find ports that have drifted, or are not checked; runs nothing.

    PATH is a file or a folder: the pairs that it belongs to are looked at, whether it is the source or the
    port. Without PATH, the whole project is. Found are definitions that have changed since they were
    ported, sources that are gone, torch that is left in a port, ports that were edited and not checked,
    and pairs without a current verdict, or with one that says they are not equal.

    \b
    Examples:
      torchport guard                              the whole project
      torchport guard nets/model.py                what belongs to a file
      torchport guard --update-baseline            start from what there is
      torchport guard --format github --report torchport.sarif

    \b
    Exit code: 0 nothing found, 1 findings, 2 wrong usage, or a file that
    cannot be read or written.
    """
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} exclude each other.")
    printed: Form = "json" if as_json else form or "terminal"
    if report_path is not None and report_path.suffix not in (".json", ".sarif"):
        raise click.UsageError(f"{report_path} is neither .json nor .sarif.")
    if of_commit and update_baseline:
        raise click.UsageError("--commit and --update-baseline exclude each other.")
    try:
        project = Project.around(Path.cwd())
    except ConfigurationError as error:
        fail(error)
    scope, gone = _scope(project, paths, of_commit)
    looking = Guard(project, scope, verdicts or project.settings.verdicts)
    ports = looking.pairs()
    if not of_commit:
        _refuse_unknown(paths, ports)
    if renew:
        _renew(looking, ports, quiet=printed != "terminal")
    findings = [*looking.findings(ports), *_deleted_ports(project, gone)]
    kept, written = _baseline(project, scope, baseline_path, findings, update_baseline)
    new, passed_over = kept.sift(findings, project) if kept else (findings, 0)
    mended = 0
    if kept is not None:
        mended = Baseline(kept.path, kept.entries.copy()).shrink(
            counted(findings, project), scope, project
        )
    result = _Result(
        project,
        len(ports),
        new,
        passed_over,
        mended,
        kept.path if kept else None,
        looking.looked_for_verdicts,
    )
    if report_path is not None:
        text = _rendered("sarif" if report_path.suffix == ".sarif" else "json", result)
        try:
            write_port(report_path, text.encode("utf-8", "backslashreplace"))
        except FileProblem as problem:
            fail(problem)
    if printed == "terminal":
        _show(result, written)
    else:
        click.echo(_rendered(printed, result), nl=False)
    raise click.exceptions.Exit(result.exit_code)


def _scope(
    project: Project, paths: Sequence[str], of_commit: bool
) -> tuple[Scope, dict[str, bytes]]:
    """What a run is about, and the files that the commit deletes."""
    if not of_commit:
        return (scope_of(paths) if paths else Scope()), {}
    from torchport_checks.guard.commit import deleted

    gone = deleted(project.root)
    scope = scope_of([*paths, *gone])
    return Scope(frozenset((*(scope.paths or ()), *gone)), scope.folders), gone


def _refuse_unknown(paths: Sequence[str], ports: Sequence[Port]) -> None:
    """A path that names nothing is wrong usage, unless it is a source that is gone."""
    for path in paths:
        if not Path(path).exists():
            real = scope_of([path]).paths or ()
            if not any(port.source in real for port in ports):
                raise click.UsageError(f"{path} does not exist, and no port was made from it.")


def _deleted_ports(project: Project, gone: dict[str, bytes]) -> list[GuardFinding]:
    found: list[GuardFinding] = []
    for path, data in gone.items():
        port = port_of(path, data)
        if port is None or port.source is None or Path(path).exists():
            continue
        if Path(port.source).is_file():
            message = (
                f"The commit deletes it, the port of {project.name(port.source)}, which stays."
            )
            found.append(GuardFinding("port-deleted", path, 0, "", message))
    return found


def _baseline(
    project: Project,
    scope: Scope,
    path: Path | None,
    findings: Sequence[GuardFinding],
    update: bool,
) -> tuple[Baseline | None, str]:
    """The baseline of a run, brought up to date if asked, and what was done to it."""
    place = path or project.root / project.settings.baseline
    try:
        known = read_baseline(place)
    except BaselineProblem as problem:
        fail(problem)
    if not update:
        if known is None and path is not None:
            fail(f"{path} does not exist. Write it with --update-baseline.")
        return known, ""
    found = counted(findings, project)
    if known is None:
        if scope.paths is not None:
            fail("The first baseline is of the whole project: give no PATH.")
        kept, told = Baseline(place, found), count(found.total(), "finding")
        told = f"{shown(str(place))} written: {told} to mend."
    else:
        kept = known
        gone = kept.shrink(found, scope, project)
        told = f"{shown(str(place))}: {count(gone, 'finding')} mended, {kept.entries.total()} left."
    try:
        kept.write()
    except FileProblem as problem:
        fail(problem)
    return kept, told


def _renew(looking: Guard, ports: Sequence[Port], quiet: bool) -> None:
    """Renew the headers of ports that drifted, where a stored verdict holds for them as they are."""
    for port in ports:
        if port.source is None or port.is_notebook:
            continue
        source, path = Path(port.source), Path(port.path)
        try:
            texts = source.read_bytes(), path.read_bytes()
            known = looking.recorded.find(source, path, texts)
            if known is None or not known.settled:
                continue
            original, text = read_source(source), read_source(path)
            new = renewed_header(port, text.text, original.text)
            changed = write_port(path, text.encode(new))
        except (OSError, FileProblem):
            continue  # what cannot be read is a finding of its own
        if changed and not quiet:
            click.echo(f"{shown(port.path)}: header renewed.")


def _rendered(form: Form, result: _Result) -> str:
    if form == "json":
        return json.dumps(result.data(), indent=2, ensure_ascii=False) + "\n"
    from torchport_checks.reports.github import annotations_of
    from torchport_checks.reports.problems import Place, Problem
    from torchport_checks.reports.sarif import log_of

    found = [
        Problem(
            finding.level,
            finding.code,
            " ".join(filter(None, (finding.message, finding.advice, _run(finding.commands)))),
            Place(Path(finding.path), finding.line),
            (),
            (finding.subject,),
        )
        for finding in result.findings
    ]
    if form == "github":
        return annotations_of(found)
    return log_of(found, root=result.project.root, exit_code=result.exit_code)


def _run(commands: Sequence[str]) -> str:
    return f"Run `{'`, then `'.join(commands)}`." if commands else ""


def _show(result: _Result, written: str) -> None:
    """For people: each finding on its line, and below those that one remedy mends, the remedy."""
    findings = result.findings
    for at, finding in enumerate(findings):
        place = f"{shown(finding.path)}:{finding.line}" if finding.line else shown(finding.path)
        level = click.style(finding.level, fg=_COLOURS[finding.level], bold=True)
        code = click.style(f"[{finding.code}]", dim=True)
        click.echo(f"{place}: {level}: {finding.message} {code}")
        following = findings[at + 1] if at + 1 < len(findings) else None
        remedy = finding.advice, finding.commands
        if following is None or (following.advice, following.commands) != remedy:
            if finding.advice:
                click.echo(f"    {finding.advice}")
            for command in finding.commands:
                click.echo(f"    {click.style(command, fg='cyan')}")
    errors = sum(finding.level == "error" for finding in findings)
    if findings:
        click.echo()
    told = f"{count(errors, 'finding')} in {count(result.pairs, 'pair')}"
    if result.passed_over:
        told += f", {result.passed_over} in the baseline passed over"
    click.echo(f"{told}.")
    if written:
        click.echo(written)
    elif result.mended:
        click.echo(
            f"{count(result.mended, 'finding')} of the baseline mended: take them out with "
            "`torchport guard --update-baseline`."
        )
    if not result.verdicts:
        click.echo(
            "Verdicts were not asked for: this project has no store of them yet (`torchport check` "
            "makes one; `--verdicts required` asks all the same)."
        )
