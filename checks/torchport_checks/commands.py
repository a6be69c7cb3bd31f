"""`torchport port`, `check`, `replay`, `devices`, `doctor` and `clean`."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from torchport_checks.reports.formats import FORMATS, Format, format_of, render
from torchport_translators.batch import Outcome, Plan, Ported, port_files
from torchport_translators.commands import (
    check_outputs,
    configuration_for,
    count,
    envelope,
    exit_code,
    fail,
    found_files,
    json_option,
    passed_over_text,
    print_json,
    target_option,
)
from torchport_translators.configuration import Configuration
from torchport_translators.files import STDIN, FileProblem, write_port

if TYPE_CHECKING:
    from torchport_checks.checker import Checker
    from torchport_checks.mutate import MutationScore
    from torchport_checks.options import CheckOptions
    from torchport_checks.replay import Replayed
    from torchport_checks.reports.checked import Checked
    from torchport_checks.verdicts import DefinitionVerdict, Verdict

_FRAMEWORKS = {"torch": ("torch", "numpy"), "jax": ("jax", "flax", "optax"), "mlx": ("mlx",)}
_MAX_JOBS = 4
_MEMORY_PER_JOB = 2 * 2**30
"""Bytes: a job's processes have a framework each, and what small pairs make of it."""

Progress = Callable[[str, "DefinitionVerdict | None"], None]


def check_options(
    configuration: Configuration, timeout: float | None, memory: int | None
) -> CheckOptions:
    """The settings of a check: what the command line gives, else the project's."""
    from torchport_checks.options import CheckOptions

    return CheckOptions(
        timeout=timeout or configuration.timeout,
        memory_mb=memory or configuration.memory,
        containment=configuration.containment,
        torch_python=_interpreter(configuration, configuration.python.torch),
        jax_python=_interpreter(configuration, configuration.python.jax),
        mlx_python=_interpreter(configuration, configuration.python.mlx),
        torch_device=configuration.device.torch or "all",
        jax_device=configuration.device.jax or "all",
        mlx_device=configuration.device.mlx or "all",
    )


def _interpreter(configuration: Configuration, given: str | None) -> str:
    """An interpreter as the project names it: a path from its pyproject.toml, or a command."""
    if given is None:
        return sys.executable
    if "/" in given or os.sep in given:
        folder = configuration.path.parent if configuration.path else Path()
        return os.path.normpath(folder / Path(given).expanduser())
    return shutil.which(given) or given


def verdict_code(verdict: Verdict) -> int:
    """0 verified, or nothing to check by itself; 1 not verified; 2 a framework is missing."""
    from torchport_checks.reports.checked import indirect
    from torchport_checks.verdicts import Category

    if any(x.category is Category.FRAMEWORK for x in (verdict, *verdict.definitions)):
        return 2
    nothing = not verdict.error and all(map(indirect, verdict.definitions))
    return 0 if verdict.ok or nothing else 1


def _format_options(function: Any) -> Any:
    """`--format`, and `--json` for one of them."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        help="Of what is printed; github: annotations in a workflow. [default: terminal]",
    )(json_option(function))


def _printed(form: Format | None, as_json: bool, path: Path | None) -> Format:
    """The format of what goes to standard output, where the file `path` gets a report, too."""
    if as_json:
        if form not in (None, "json"):
            raise click.UsageError(f"--json and --format {form} exclude each other.")
        return "json"
    if form is None or (path is not None and form == _filed(form, path)):
        return "terminal"  # the file has what was asked for
    return form


def _filed(form: Format | None, path: Path) -> Format:
    """The format of a report file: by its name, else as printed, else JSON."""
    return format_of(path) or form or "json"


def bounded(function: Any) -> Any:
    """`--timeout` and `--memory`."""
    for option in (
        click.option(
            "--memory",
            type=click.IntRange(min=1),
            metavar="MIB",
            help="Memory that each framework's process may take. [default: 8192]",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Time for each definition on each side. [default: 120]",
        ),
    ):
        function = option(function)
    return function


_SEARCHED = 256
_PLANTED = 40


def _depth_options(function: Any) -> Any:
    """How much is run for a verdict."""
    for option in (
        click.option(
            "--variants",
            is_flag=True,
            help="Also run equivalent graphs of both sides, eager and compiled (torch.compile): tells "
            "a fault of a library from one of the port. Slow.",
        ),
        click.option(
            "--search",
            type=click.IntRange(min=1),
            metavar="N",
            is_flag=False,
            flag_value=_SEARCHED,
            help="Where all inputs agree, search for ones that do not; N is how many to try. "
            f"[default: {_SEARCHED}]",
        ),
        click.option(
            "--quick",
            is_flag=True,
            help="Fewer inputs, the form that is quicker, no training: what the editor runs on save.",
        ),
    ):
        function = option(function)
    return function


def _deepened(
    options: CheckOptions, quick: bool, search: int | None, variants: bool
) -> CheckOptions:
    """The options of a check from the command line."""
    options = options if quick else options.thorough()
    return options.model_copy(update={"search": search or 0, "graphs": variants})


def _limits(function: Any) -> Any:
    fresh = click.option(
        "--fresh", is_flag=True, help="Run even where a stored verdict is current."
    )
    return bounded(fresh(function))


@contextlib.contextmanager
def _progress(
    total: int, quiet: bool
) -> Generator[Callable[[str], tuple[Progress, Callable[[Verdict], None]]]]:
    """Show how far the checks are: a bar on a terminal, a line per file that was run elsewhere.

    Yields a function that takes a file's name and returns what to call for each of its definitions
    and with its verdict.
    """
    from torchport_checks.reports.terminal import console

    err = console(stderr=True)
    if quiet or not err.is_terminal:

        def plain(name: str) -> tuple[Progress, Callable[[Verdict], None]]:
            def finished(verdict: Verdict) -> None:
                if not quiet and not verdict.from_store:
                    number = sum(definition.ok for definition in verdict.definitions)
                    what = f"{number} of {len(verdict.definitions)} verified"
                    if verdict.error:
                        what = "failed"
                    click.echo(f"checked {name}: {what} ({verdict.seconds:.1f} s)", err=True)

            return lambda _name, _verdict: None, finished

        yield plain
        return

    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task("starting torch and jax", total=total)

        def shown(name: str) -> tuple[Progress, Callable[[Verdict], None]]:
            def definition(part: str, verdict: DefinitionVerdict | None) -> None:
                if verdict is None:
                    bar.update(task, description=f"{name}: {part}")

            return definition, lambda _verdict: bar.advance(task)

        yield shown


def _check_all(
    pairs: Sequence[tuple[str, Path, Path]],
    options: CheckOptions,
    *,
    jobs: int,
    fresh: bool,
    quiet: bool,
    definitions: Sequence[str] | None = None,
) -> list[Verdict]:
    """Check pairs, given as (name, source, port), in warm lanes; their verdicts in order."""
    from torchport_checks.checker import Checker

    def one(checker: Checker, pair: tuple[str, Path, Path]) -> Verdict:
        name, source, port = pair
        definition, finished = begin(name)
        verdict = checker.check(
            source, port, definitions=definitions, progress=definition, fresh=fresh
        )
        finished(verdict)
        return verdict

    with (
        ThreadPoolExecutor(jobs) as pool,
        # Entered after the pool, so that an interrupt ends the lanes before it waits for the pool.
        Checker(options, workers=jobs) as checker,
        _progress(len(pairs), quiet) as begin,
    ):
        futures = [pool.submit(one, checker, pair) for pair in pairs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _default_jobs() -> int:
    """A job for each core, for its processes take turns; fewer where memory is short."""
    import psutil

    cores = len(psutil.Process().cpu_affinity()) if sys.platform == "linux" else os.cpu_count() or 1
    affordable = psutil.virtual_memory().available // _MEMORY_PER_JOB
    return max(1, min(_MAX_JOBS, cores, affordable))


@click.command(short_help="Port files, run them against the originals, report.")
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
@click.option("--force", is_flag=True, help="Overwrite ports that were edited by hand.")
@click.option(
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the full report goes; its format is told by its name (.json, .sarif, .xml for JUnit, "
    ".html, .txt), else by --format. [default: .torchport/report.json]",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Pairs to check at the same time. [default: by cores and free memory, at most 4]",
)
@_depth_options
@_limits
@_format_options
def port(
    files: tuple[str, ...],
    target: str | None,
    out: Path | None,
    force: bool,
    report_path: Path | None,
    jobs: int | None,
    quick: bool,
    search: int | None,
    variants: bool,
    timeout: float | None,
    memory: int | None,
    fresh: bool,
    form: Format | None,
    as_json: bool,
) -> None:
    """Port files, run them against the originals, report.

    FILE is a Python file, a folder (its files that import torch), or a glob. The port of model.py is
    model_jax.py, beside it. Original and port then run on the same inputs with the same weights, each
    in a process of its own: outputs, gradients and buffers are compared. A port that you have edited
    is kept, and checked as it is.

    The code of the files is run. Verdicts are stored under .torchport/, so that what has not changed
    is not run again.

    \b
    Examples:
      torchport port model.py
      torchport port src/ -o ported/ --report report.html
      torchport port model.py --fresh --timeout 300
      torchport port src/ --format github --report torchport.sarif

    \b
    Inputs are found in get_inputs()/get_init_inputs(), in calls, in annotations
    and layers. State them in a comment above a definition where they are not:
      # torchport: check(x=f32[8, 16], mask=bool[8])

    \b
    Exit code: 0 all ported and verified, 1 findings or a port that is not
    verified, 2 a file or framework is missing, or wrong usage.
    """
    from torchport_checks.reports.checked import Checked
    from torchport_translators.installed import ask

    printed = _printed(form, as_json, report_path)
    began = time.perf_counter()
    configuration = configuration_for(files)
    found = found_files(files, configuration)
    if any(file.path == STDIN for file in found.files):
        raise click.UsageError(
            "Standard input cannot be checked: it needs a file. Use `translate`."
        )
    plan = Plan(configuration, target or configuration.target, out=out, force=force)
    ask(plan.target, configuration.interpreter(plan.target))
    check_outputs(files, found, plan)
    options = _deepened(check_options(configuration, timeout, memory), quick, search, variants)
    ported = list(port_files(found.files, plan))
    pairs = [
        (result.name, result.file.path, result.port)
        for result in ported
        if result.port is not None and result.outcome is not Outcome.FAILED
    ]
    jobs = min(jobs or _default_jobs(), len(pairs) or 1)
    verdicts = dict(
        zip(
            (source for _, source, _ in pairs),
            _check_all(pairs, options, jobs=jobs, fresh=fresh, quiet=printed != "terminal")
            if pairs
            else (),
            strict=True,
        )
    )
    results = [Checked(result, verdicts.get(result.file.path)) for result in ported]
    code = max(exit_code(ported), *map(verdict_code, verdicts.values()), 0)
    document = {
        **envelope("port"),
        "target": plan.target,
        "files": [_data(result) for result in results],
        "passed_over": found.passed_over,
        "exit_code": code,
    }
    seconds = time.perf_counter() - began
    told = problem = ""
    if results:
        path = report_path or _report_in(found.files[0].path)
        told, problem = _write_report(path, _filed(form, path), results, document, seconds)
    if printed == "terminal":
        told = told or ("" if report_path else problem)
        _show(results, ported, passed_over_text(found), told, seconds)
    else:
        click.echo(render(printed, results, document, seconds=seconds), nl=False)
    if problem and report_path is not None:
        fail(problem)
    raise click.exceptions.Exit(code)


def _data(result: Checked) -> dict[str, Any]:
    assert result.ported is not None
    verdict = _plain(result.verdict) if result.verdict else None
    return {**result.ported.data(text=False), "verdict": verdict}


def _plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON has it: pydantic writes nan and inf as strings, `json` as no JSON at all."""
    return json.loads(verdict.model_dump_json())


def _report_in(source: Path) -> Path:
    """Where the report of a run goes that names no place for it."""
    from torchport_checks.store import project_root

    return project_root(source) / ".torchport" / "report.json"


def _write_report(
    path: Path,
    form: Format,
    results: Sequence[Checked],
    document: dict[str, Any],
    seconds: float,
) -> tuple[str, str]:
    """Write a report; returns where it is, or why it could not be written."""
    from torchport_checks.reports.checked import short

    try:
        if path.parent.name == ".torchport":
            path.parent.mkdir(exist_ok=True)
            write_port(path.with_name(".gitignore"), b"*\n")
        text = render(form, results, document, seconds=seconds)
        write_port(path, text.encode("utf-8", "backslashreplace"))
    except (FileProblem, OSError) as error:
        return "", f"The report was not written: {error}"
    return f"Full report: {short(path)}", ""


def _show(
    results: Sequence[Checked],
    ported: Sequence[Ported],
    passed_over: str,
    note: str,
    seconds: float,
) -> None:
    from torchport_checks.reports.checked import short
    from torchport_checks.reports.terminal import console, report

    out = console()
    report(results, out, seconds=seconds)
    if passed_over:
        out.print(passed_over, soft_wrap=True)
    folders = {short(result.port.parent): None for result in ported if result.port}
    if folders:
        out.print(f"Ports: {', '.join(folders)}", soft_wrap=True)
    if note:
        out.print(note, soft_wrap=True)


@click.command(short_help="Run a port against its original and judge it.")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("port", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--only", multiple=True, metavar="NAME", help="Check this definition only. Repeatable."
)
@click.option(
    "-o",
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the report to FILE, too; its format is told by its name (.json, .sarif, .xml for "
    "JUnit, .html, .txt), else by --format.",
)
@click.option(
    "--mutate",
    type=click.IntRange(min=1),
    metavar="N",
    is_flag=False,
    flag_value=_PLANTED,
    help="Plant known translation errors into the port, up to N into each definition, and tell which "
    f"the inputs would not notice. [default: {_PLANTED}]",
)
@_depth_options
@_limits
@_format_options
def check(
    source: Path,
    port: Path,
    only: tuple[str, ...],
    report_path: Path | None,
    mutate: int | None,
    quick: bool,
    search: int | None,
    variants: bool,
    timeout: float | None,
    memory: int | None,
    fresh: bool,
    form: Format | None,
    as_json: bool,
) -> None:
    """Run a port against its original and judge it.

    SOURCE is the PyTorch file, PORT its port, however it was made: definitions are matched by name.
    It is a port to MLX where it imports mlx, else to JAX.
    Both run on the same inputs with the same weights, each in a process of its own; outputs,
    gradients and buffers are compared. The code of both files is run.

    \b
    Examples:
      torchport check model.py model_jax.py
      torchport check model.py model_jax.py --only Attention --fresh
      torchport check model.py model_jax.py -o report.html
      torchport check model.py model_jax.py --format sarif
      torchport check model.py model_jax.py --search 1000 --variants
      torchport check model.py model_jax.py --mutate

    \b
    Exit code: 0 verified, 1 not verified, 2 a framework is missing, or wrong
    usage.
    """
    from torchport_checks.reports.checked import Checked

    printed = _printed(form, as_json, report_path)
    began = time.perf_counter()
    configuration = configuration_for([str(source)])
    options = _deepened(check_options(configuration, timeout, memory), quick, search, variants)
    try:
        (verdict,) = _check_all(
            [(str(source), source, port)],
            options,
            jobs=1,
            fresh=fresh,
            quiet=printed != "terminal",
            definitions=only or None,
        )
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}.")
    code = verdict_code(verdict)
    document = {**envelope("check"), "verdict": _plain(verdict), "exit_code": code}
    score = None
    if mutate is not None and code != 2 and not verdict.error:
        score = _mutate(source, port, only or None, options, mutate)
        document["mutation"] = {**asdict(score), "score": score.score}
    results, seconds = [Checked(verdict=verdict)], time.perf_counter() - began
    told = problem = ""
    if report_path is not None:
        filed = _filed(form, report_path)
        told, problem = _write_report(report_path, filed, results, document, seconds)
    if printed == "terminal":
        _show(results, (), "", told, seconds)
        if score is not None:
            _show_score(score, port)
    else:
        click.echo(render(printed, results, document, seconds=seconds), nl=False)
    if problem:
        fail(problem)
    raise click.exceptions.Exit(code)


def _mutate(
    source: Path,
    port: Path,
    only: Sequence[str] | None,
    options: CheckOptions,
    limit: int,
) -> MutationScore:
    from torchport_checks.checker import Checker
    from torchport_checks.lanes import LaneFailure, RemoteError

    with Checker(options) as checker:
        try:
            return checker.mutate(source, port, definitions=only, limit=limit)
        except (LaneFailure, RemoteError) as failure:
            fail(f"No errors could be planted: {failure}")


def _show_score(score: MutationScore, port: Path) -> None:
    if not score.planted:
        click.echo("No errors were planted: nothing is verified that they could be planted into.")
        return
    click.echo(f"The inputs notice {score.noticed} of {count(score.planted, 'planted error')}.")
    for survivor in score.survivors:
        before, after = (" ".join(text.split()) for text in (survivor.before, survivor.after))
        click.echo(
            f"  not noticed in {survivor.definition}: {survivor.error}  {port}:{survivor.line}\n"
            f"    {before}  ->  {after}"
        )
    if score.survivors:
        click.echo(
            "  A planted error may compute the same; else give inputs that show it, in a comment "
            "# torchport: check(...)."
        )


@click.command(short_help="Run the smallest failing input of a definition again.")
@click.argument("name", metavar="ID|FILE")
@bounded
@json_option
def replay(name: str, timeout: float | None, memory: int | None, as_json: bool) -> None:
    """Run the smallest failing input of a definition again.

    ID is what `torchport check` names beside a port that diverges; FILE is a replay's file, as they
    are kept under .torchport/replays/. The original and the port run as they are now.

    \b
    Examples:
      torchport replay 3f2a90b1c4
      torchport replay .torchport/replays/3f2a90b1c4.json --json

    \b
    Exit code: 0 it no longer diverges, 1 it still does, or cannot be judged,
    2 there is no such replay, or a file or framework is missing.
    """
    from torchport_checks import replay as replays
    from torchport_checks.verdicts import Category

    try:
        path = replays.find_replay(name, Path.cwd())
        options = check_options(configuration_for([str(path)]), timeout, memory)
        result = replays.run_replay(path, options)
    except replays.ReplayError as error:
        fail(error)
    code = 0 if result.status == "verified" else 1
    if result.category is Category.FRAMEWORK:
        code = 2
    if as_json:
        data = json.loads(result.model_dump_json())
        print_json({**envelope("replay"), "replay": data, "exit_code": code})
    else:
        click.echo(_replay_text(result))
    raise click.exceptions.Exit(code)


def _replay_text(result: Replayed) -> str:
    from torchport_checks.reports.checked import short

    colour = {"verified": "green", "diverged": "red", "error": "red"}.get(result.status, "yellow")
    given = ", ".join(f"{item.name}={item.text}" for item in result.inputs)
    lines = [f"{click.style(result.definition, bold=True)}({given})"]
    if result.python:
        lines.append(f"  {result.python}")
    lines += [f"note: {short(p)} has changed since this was found." for p in result.changed]
    for row in result.rows:
        lines += [row.where, f"  original  {row.torch}", f"  port      {row.port}"]
        if row.reference:
            lines.append(f"  float64   {row.reference}")
    word = result.category.value if result.category else result.status
    lines.append(f"{click.style(word, fg=colour, bold=True)}: {result.message}")
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join([*lines, *([result.output] if result.output else [])])


@click.command(short_help="List the frameworks and devices of this machine.")
@json_option
def devices(as_json: bool) -> None:
    """List the frameworks and devices of this machine.

    Each framework is started once in its interpreter and asked; that takes some seconds.

    \b
    Exit code: 0 torch and the target's framework are there, 2 one is missing.
    """
    from torchport_checks.devices import find_lanes

    configuration = configuration_for(())
    options = check_options(configuration, None, None)
    found = find_lanes(options)  # pyright: ignore[reportArgumentType]  a frozen model has a hash
    there = {lane.framework for lane in found.lanes}
    code = 0 if {"torch", configuration.target} <= there else 2
    if as_json:
        print_json({**envelope("devices"), **found.model_dump(mode="json"), "exit_code": code})
    else:
        for lane in found.lanes:
            name = click.style(f"{lane.framework:<6}{lane.device:<6}", bold=True)
            click.echo(f"{name} {lane.version:<14} {lane.interpreter}")
        for message in found.missing:
            style: dict[str, Any] = {"fg": "red", "bold": True} if code else {"dim": True}
            click.echo(f"{click.style('missing', **style)}: {message}", err=True)
    raise click.exceptions.Exit(code)


@click.command(short_help="Say what is installed, and what to install.")
@json_option
def doctor(as_json: bool) -> None:
    """Say what is installed, and what to install.

    \b
    Exit code: 0 everything is there, 1 something is missing or too old. The
    frameworks of other targets than the project's may be missing.
    """
    configuration = configuration_for(())
    options = check_options(configuration, None, None)
    data = _doctor(configuration, options, Path.cwd())
    if as_json:
        print_json({**envelope("doctor"), **data})
    else:
        click.echo(_doctor_text(data))
    raise click.exceptions.Exit(data["exit_code"])


def doctor_text(configuration: Configuration, options: CheckOptions, folder: Path) -> str:
    """What `torchport doctor` prints in a folder, without colours."""
    return click.unstyle(_doctor_text(_doctor(configuration, options, folder)))


def _doctor(configuration: Configuration, options: CheckOptions, folder: Path) -> dict[str, Any]:
    from torchport_checks.options import Framework
    from torchport_checks.store import VerdictStore, project_root
    from torchport_translators.installed import ask, refused

    rows = [
        row
        for framework in get_args(Framework)
        for row in _packages(
            framework, options.python(framework), framework in ("torch", configuration.target)
        )
    ]
    target = configuration.target
    found = ask(target, options.python(target))
    return {
        "python": platform.python_version(),
        "packages": rows,
        "rules": {
            "target": target,
            "refused": refused(target, found) if found is not None else None,
        },
        "settings": str(configuration.path) if configuration.path else None,
        "store": str(VerdictStore(project_root(folder / "x")).path),
        "exit_code": int(any(row["needed"] and row["advice"] for row in rows)),
    }


def _doctor_text(data: dict[str, Any]) -> str:
    head = envelope("doctor")
    lines = [f"torchport {head['torchport']}, Python {data['python']} ({sys.executable})"]
    for row in data["packages"]:
        mark = click.style("!!", fg="red") if row["needed"] else click.style("--", dim=True)
        if not row["advice"]:
            mark = click.style("ok", fg="green")
        version = row["version"] or "missing"
        lines.append(
            f"  {mark}  {row['name']:<6} {version:<14} needs {row['needs']:<9} {row['interpreter']}"
        )
    lines.append(_rules_text(data["rules"]))
    lines.append(f"settings: {data['settings'] or 'none: no pyproject.toml here or above'}")
    lines.append(f"verdicts: {data['store']}")
    rows = [row for row in data["packages"] if row["needed"] and row["advice"]]
    advice = list(dict.fromkeys(row["advice"] for row in rows))
    return "\n".join([*lines, *([""] if advice else []), *advice])


def _rules_text(rules: dict[str, Any]) -> str:
    """How many rules of the target do not hold for the installed version, and the first of them."""
    if rules["refused"] is None:
        return f"rules:    {rules['target']} does not answer, so all are taken to hold"
    if not rules["refused"]:
        return f"rules:    all hold for the installed {rules['target']}"
    shown = [f"  {api}: needs {name}" for api, name in list(rules["refused"].items())[:20]]
    more = len(rules["refused"]) - len(shown)
    return "\n".join(
        [
            f"rules:    {len(rules['refused'])} do not hold for the installed {rules['target']}; "
            "calls that need them are findings:",
            *shown,
            *([f"  and {more} more (--json)"] if more else []),
        ]
    )


def _packages(framework: str, python: str, needed: bool) -> list[dict[str, Any]]:
    """What the interpreter of a framework has of what it needs, and what to do about the rest.

    `needed` says whether the project cannot do without it.
    """
    from torchport_checks.versions import installed

    text = installed(python)
    versions: dict[str, str] = json.loads(text) if text else {}
    bounds = _lower_bounds()
    rows: list[dict[str, Any]] = []
    wanting: list[str] = []
    for name in _FRAMEWORKS[framework]:
        version, bound = versions.get(name), bounds[name]
        if version is None or _numbers(version) < _numbers(bound):
            wanting.append(f"'{name}>={bound}'")
        rows.append(
            {"name": name, "version": version, "needs": f">={bound}", "interpreter": python}
        )
    if not text:
        advice = (
            f"{python} does not start. Name another interpreter for {framework} in pyproject.toml: "
            f'[tool.torchport] python.{framework} = "PATH".'
        )
    elif wanting:
        advice = f"Install {framework}: {python} -m pip install {' '.join(wanting)}"
    else:
        advice = ""
    return [
        {
            **row,
            "needed": needed,
            "advice": advice
            if not row["version"] or f"'{row['name']}{row['needs']}'" in wanting
            else "",
        }
        for row in rows
    ]


def _lower_bounds() -> dict[str, str]:
    """The oldest version of each framework that works, as this package's metadata has it."""
    found: dict[str, str] = {}
    for requirement in metadata.requires("torchport") or ():
        match = re.match(r"([\w-]+)\s*>=\s*([\d.]+)", requirement)
        if match:
            found[match[1]] = match[2]
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


@click.command(short_help="Remove old verdicts, and give their disk space back.")
@click.argument(
    "folder", default=".", type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--all", "everything", is_flag=True, help="Empty .torchport/: every verdict, every report."
)
@json_option
def clean(folder: Path, everything: bool, as_json: bool) -> None:
    """Remove old verdicts, and give their disk space back.

    FOLDER is in the project whose .torchport/ is cleaned. Verdicts that were not used for 90 days go,
    and what a damaged store has left behind. That also happens by itself, now and then.

    \b
    Exit code: 0 done, 2 it cannot be written, or is being written to.
    """
    from torchport_checks.reports.checked import short
    from torchport_checks.store import StoreProblem, VerdictStore, project_root

    store = VerdictStore(project_root(folder / "x"))
    try:
        done = store.clean(everything=everything)
    except StoreProblem as problem:
        fail(problem)
    place = short(store.path.parent)
    if as_json:
        print_json({**envelope("clean"), "folder": str(store.path.parent), **asdict(done)})
    else:
        size = f"{done.freed / 2**20:.1f} MiB" if done.freed >= 2**20 else f"{done.freed >> 10} KiB"
        removed = f"{count(done.removed, 'verdict')} removed, {done.kept} kept"
        click.echo(f"{place}: {removed}, {size} freed.")
