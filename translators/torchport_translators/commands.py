"""`torchport translate` and `torchport explain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from torchport_translators.batch import Outcome, Plan, Ported, port_files
from torchport_translators.configuration import Configuration
from torchport_translators.files import EDITED, STDIN, FileProblem, Found, find_files
from torchport_translators.findings import CODES, Finding, Severity
from torchport_translators.output import (
    configuration_for,
    count,
    envelope,
    fail,
    json_option,
    print_json,
)

TARGETS = ("jax", "mlx")
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}


def found_files(arguments: Sequence[str], configuration: Configuration) -> Found:
    """The files that the arguments name.

    Raises:
        Failure: an argument names nothing.
    """
    from torchport_translators.neighbours import take_importers

    try:
        found = find_files(arguments, configuration)
    except FileProblem as problem:
        fail(problem)
    take_importers(found)
    return found


def passed_over_text(found: Found) -> str:
    """How many files were passed over, and why; empty if none."""
    if not found.passed_over:
        return ""
    total = sum(found.passed_over.values())
    reasons = ", ".join(f"{number} {reason}" for reason, number in found.passed_over.items())
    return f"{count(total, 'file')} passed over: {reasons}."


def exit_code(results: Sequence[Ported]) -> int:
    """0 where all was ported with nothing to tell, 1 with findings, 2 where a file failed."""
    if any(result.outcome is Outcome.FAILED for result in results):
        return 2
    return 0 if all(result.clean for result in results) else 1


def show_finding(result: Ported, finding: Finding, err: bool) -> None:
    """One line: where, how severe, what."""
    severity = click.style(finding.severity.value, fg=_COLOURS[finding.severity], bold=True)
    line = result.source.where(finding.line) if result.source is not None else finding.line
    place = f"{result.name}:{line}:{finding.column + 1}"
    code = click.style(f"[{finding.code}]", dim=True)
    click.echo(f"{place}: {severity}: {finding.message} {code}", err=err)


def show_ported(result: Ported, err: bool = False) -> None:
    """What became of one file: a line, its notes, its findings. Failures go to standard error."""
    for note in result.notes:
        click.echo(f"{click.style('note', fg='blue', bold=True)}: {note}", err=err)
    if result.outcome is Outcome.FAILED:
        click.echo(f"{click.style('Error', fg='red', bold=True)}: {result.problem}", err=True)
        return
    assert result.translation is not None
    if result.outcome is not Outcome.NOTHING:
        coverage = result.translation.coverage
        arrow = f"{result.name} → {result.port}" if result.port else result.name
        same = ", unchanged" if result.outcome is Outcome.UNCHANGED else ""
        ported = f"{coverage.ported} of {count(coverage.total, 'call')} ported"
        ignored = result.translation.ignored
        aside = f", {count(ignored, 'finding')} ignored" if ignored else ""
        click.echo(f"{arrow}: {ported}{aside}{same}", err=err)
    for finding in result.translation.findings:
        show_finding(result, finding, err)


def show_help_for(results: Sequence[Ported], err: bool = False) -> None:
    """What the codes of all findings mean, and families of APIs that have no rule, once each."""
    texts: dict[str, str] = {}
    for finding in (f for r in results if r.translation for f in r.translation.findings):
        texts.setdefault(CODES[finding.code][1], finding.code)
        texts.setdefault(finding.help, f"{finding.code} ({finding.api})")
    if texts:
        click.echo(err=err)
    for text, head in texts.items():
        click.echo(f"{click.style(head, bold=True)}: {text}", err=err)


def check_outputs(paths: Sequence[str], found: Found, plan: Plan) -> None:
    """Refuse what cannot be written before anything is.

    Raises:
        Failure: two files would be written to one place, or one over its source.
    """
    stdin = any(file.path == STDIN for file in found.files)
    if stdin and (len(paths) > 1 or plan.in_place):
        raise click.UsageError("'-' (standard input) goes alone, and cannot be replaced in place.")
    one_port = plan.out is not None and plan.out.suffix in (".py", ".ipynb")
    if one_port and len(found.files) > 1:
        raise click.UsageError(
            f"{plan.out} is one file, and there are {len(found.files)} to port: give -o a folder."
        )
    if stdin and plan.write and not one_port:
        raise click.UsageError("A port of standard input needs a file name: -o NAME.py.")
    problem = plan.problem(found.files)
    if problem:
        fail(problem)


def target_option(function: Any) -> Any:
    """`--to`."""
    return click.option(
        "--to", "target", type=click.Choice(TARGETS), help="Framework to port to. [default: jax]"
    )(function)


@click.command(short_help="Port PyTorch files to JAX or MLX, by rules alone: nothing is run.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@target_option
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Folder for the ports, or NAME.py for the port of one file.",
)
@click.option("--in-place", is_flag=True, help="Replace each source by its port.")
@click.option("--diff", is_flag=True, help="Show what would change; write nothing.")
@click.option("--stdout", is_flag=True, help="Print the port; write nothing.")
@click.option("--force", is_flag=True, help="Overwrite ports that were edited by hand.")
@json_option
def translate(
    files: tuple[str, ...],
    target: str | None,
    out: Path | None,
    in_place: bool,
    diff: bool,
    stdout: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Port PyTorch files to JAX or MLX, by rules alone: nothing is run.

    FILE is a Python file, a folder (its files that import torch), a glob, or '-' for standard
    input. The port of model.py is model_jax.py, beside it. What no rule covers stays as it is, is
    marked in the port and is told here.

    \b
    Examples:
      torchport translate model.py                 write model_jax.py
      torchport translate src/ -o ported/          port a folder into another
      torchport translate model.py --diff          look first
      cat snippet.py | torchport translate -       as a filter
      torchport translate src/ --json              for a script

    \b
    Exit code: 0 all ported, 1 findings (errors or warnings), 2 a file could
    not be read or written, or wrong usage.
    """
    ways = [
        name
        for name, given in (
            ("-o", out is not None),
            ("--in-place", in_place),
            ("--diff", diff),
            ("--stdout", stdout),
        )
        if given
    ]
    if len(ways) > 1:
        raise click.UsageError(f"{' and '.join(ways)} exclude each other.")
    if as_json and diff:
        raise click.UsageError("--json and --diff exclude each other.")
    configuration = configuration_for(files)
    found = found_files(files, configuration)
    stdout = stdout or (files == ("-",) and not ways)
    plan = Plan(
        configuration,
        target or configuration.target,
        out=out,
        in_place=in_place,
        write=not (diff or stdout),
        force=force,
    )
    if stdout and len(found.files) > 1:
        raise click.UsageError(f"--stdout prints one port, and there are {len(found.files)} files.")
    check_outputs(files, found, plan)
    results: list[Ported] = []
    for ported in port_files(found.files, plan):
        result = _refused(ported)
        results.append(result)
        if as_json:
            continue
        if result.translation is not None and result.outcome in (Outcome.SHOWN, Outcome.NOTHING):
            if stdout:
                assert result.source is not None
                # As bytes: the port's own encoding and line endings, whatever those of the terminal.
                click.echo(result.source.encode(result.translation.text), nl=False)
            elif diff and result.outcome is Outcome.SHOWN:
                click.echo(result.diff(), nl=False)
        show_ported(result, err=diff or stdout)
    code = exit_code(results)
    if as_json:
        print_json(
            {
                **envelope("translate"),
                "target": plan.target,
                "files": [result.data(text=not plan.write) for result in results],
                "passed_over": found.passed_over,
                "exit_code": code,
            }
        )
    else:
        show_help_for(results, err=diff or stdout)
        if passed_over_text(found):
            click.echo(passed_over_text(found), err=diff or stdout)
    raise click.exceptions.Exit(code)


def _refused(result: Ported) -> Ported:
    """A port that was edited by hand, and so kept, is a failure of this command."""
    if result.outcome is not Outcome.EDITED:
        return result
    return Ported(
        result.file,
        Outcome.FAILED,
        result.port,
        problem=f"{result.port} is not overwritten: {EDITED}. Look at the difference with --diff, "
        "write elsewhere with -o, or overwrite it with --force.",
    )


@click.command(short_help="Show the rule for a torch API, or what a finding means.")
@click.argument("name", metavar="API-OR-CODE")
@target_option
@json_option
def explain(name: str, target: str | None, as_json: bool) -> None:
    """Show the rule for a torch API, or what a finding means.

    API is a name in full or as it is written in code. The rule is the text that a port gets:
    either folded into one expression at the call, or as a helper.

    \b
    Examples:
      torchport explain torch.nn.functional.cross_entropy
      torchport explain F.gelu
      torchport explain nn.Linear
      torchport explain view
      torchport explain unsupported-argument
    """
    from torchport_translators.explain import UnknownName
    from torchport_translators.explain import explain as explanations

    try:
        found = explanations(name, target or TARGETS[0])
    except UnknownName as unknown:
        fail(unknown)
    if as_json:
        print_json({**envelope("explain"), "found": [asdict(item) for item in found]})
        return
    for number, item in enumerate(found):
        if number:
            click.echo()
        place = click.style(f"{item.kind}, {item.place}", dim=True)
        click.echo(f"{click.style(item.title, bold=True)}  {place}")
        if item.signature:
            click.echo(f"  {click.style(item.signature, fg='cyan')}")
        for line in item.text.splitlines():
            click.echo(f"  {line}".rstrip())
        if item.code:
            click.echo()
            for line in item.code.splitlines():
                click.echo(f"    {line}".rstrip())
