"""`torchport status`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from torchport_checks.guard.project import Project, Scope, scope_of
from torchport_checks.overview.survey import File, Overview, State, survey
from torchport_translators.configuration import ConfigurationError
from torchport_translators.files import FileProblem, write_port
from torchport_translators.output import count, envelope, fail, json_option, print_json

_COLOURS = {
    State.VERIFIED: "green",
    State.PORTED: "cyan",
    State.DRIFTED: "red",
    State.DIVERGED: "red",
    State.BLOCKED: "yellow",
    State.NOT_PORTED: None,
}
_SHOWN = 10


@click.command(short_help="Say how far a project's migration is, and what to port next.")
@click.argument("path", default=".", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--to",
    "target",
    type=click.Choice(("jax", "mlx")),
    help="Framework that the project moves to. [default: jax]",
)
@click.option(
    "-o",
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the report to FILE, too: one HTML page.",
)
@json_option
def status(path: Path, target: str | None, report_path: Path | None, as_json: bool) -> None:
    """Say how far a project's migration is, and what to port next.

    Every file that uses torch is verified, ported (and not checked as it is now), drifted from its port,
    diverged, blocked by calls that no rule covers, or not ported. What is left is listed in a good order:
    first what imports nothing else that is left. Nothing is run; what the rules say of a file is kept in
    .torchport/ until it changes.

    \b
    Examples:
      torchport status
      torchport status src/ -o report.html
      torchport status --json

    \b
    Exit code: 0 told, 2 wrong usage, or a file that cannot be read or written.
    """
    if report_path is not None and report_path.suffix not in (".html", ".htm"):
        raise click.UsageError(f"{report_path} is no .html: the report is a page. Or use --json.")
    try:
        project = Project.around(path if path.is_dir() else path.parent)
    except ConfigurationError as error:
        fail(error)
    scope = Scope() if path.resolve() == project.root else scope_of([str(path)])
    try:
        found = _surveyed(project, target or project.settings.target, scope)
        if report_path is not None:
            from torchport_checks.overview.html import html

            write_port(report_path, html(found).encode("utf-8", "backslashreplace"))
    except FileProblem as problem:
        fail(problem)
    if as_json:
        print_json(_data(found))
        return
    _show(found)
    if report_path is not None:
        click.echo(f"Full report: {report_path}")


def _surveyed(project: Project, target: str, scope: Scope) -> Overview:
    if not sys.stderr.isatty():
        return survey(project, target, scope)
    with click.progressbar(length=1, label="reading", file=sys.stderr) as bar:

        def progress(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        return survey(project, target, scope, progress)


def _data(found: Overview) -> dict[str, Any]:
    return {
        **envelope("status"),
        "root": str(found.root),
        "target": found.target,
        "states": {state.value: number for state, number in found.states.items()},
        "calls": found.calls,
        "files": [
            {
                "file": file.path,
                "state": file.state.value,
                "port": file.port,
                "lines": file.lines,
                "calls": {"total": file.calls[0], "with_rule": file.calls[1]},
                "blocked_by": dict(file.blocked_by),
                "needs": sorted(file.needs),
                "problem": file.problem or None,
            }
            for file in found.files
        ],
        "blocked_by": [
            {"api": api, "uses": uses, "files": files} for api, uses, files in found.blocking
        ],
        "order": [[file.path for file in group] for group in found.groups],
        "exit_code": 0,
    }


def _show(found: Overview) -> None:
    click.echo(summary(found))
    if not found.files:
        return
    click.echo()
    width = max(len(file.path) for file in found.files)
    for file in found.files:
        state = click.style(f"{file.state.value:<10}", fg=_COLOURS[file.state])
        click.echo(f"  {state}  {file.path:<{width}}  {described(file)}".rstrip())
    if found.blocking:
        click.echo(f"\n{click.style('Blocked by', bold=True)}")
        for api, uses, files in found.blocking[:_SHOWN]:
            click.echo(f"  {api}: {count(uses, 'use')} in {count(len(files), 'file')}")
        _more(len(found.blocking))
    if found.groups:
        click.echo(f"\n{click.style('Port next', bold=True)}")
        for group in found.groups[:_SHOWN]:
            names = " with ".join(file.path for file in group)
            click.echo(f"  {names}  {click.style(_why(found, group), dim=True)}".rstrip())
        _more(len(found.groups))


def _more(number: int) -> None:
    if number > _SHOWN:
        click.echo(f"  and {number - _SHOWN} more (--json, or -o report.html)")


def summary(found: Overview) -> str:
    """One or two lines: how many files are in which state, and how much of torch has a rule."""
    if not found.files:
        return "No file uses torch."
    states = ", ".join(f"{n} {state.value}" for state, n in found.states.items() if n)
    calls = found.calls
    return (
        f"{count(len(found.files), 'file')} with torch: {states}.\n"
        f"{calls['with_rule']} of {count(calls['total'], 'call')} of torch have a rule for "
        f"{found.target}; {calls['ported']} are ported."
    )


def described(file: File) -> str:
    """What there is to know of a file besides its state."""
    if file.problem:
        return file.problem
    total, with_rule = file.calls
    parts = [f"{with_rule} of {count(total, 'call')}"]
    if file.port:
        parts.append(f"→ {file.port}")
    parts += [f"{api} ({uses})" if uses > 1 else api for api, uses in file.blocked_by.items()]
    return "  ".join(parts)


def _why(found: Overview, group: Sequence[File]) -> str:
    names = {file.path for file in group}
    missing = sorted({name for file in group for name in found.missing(file)} - names)
    waiting = {name for file in group for name in found.waiting(file)} - names
    parts = [", ".join(dict.fromkeys(file.state.value for file in group))]
    if missing:
        parts.append(f"after {', '.join(missing[:3])}" + (", ..." if len(missing) > 3 else ""))
    if waiting:
        parts.append(f"{count(len(waiting), 'file')} after it")
    return "; ".join(parts)
