"""`torchport port`, `check`, `devices` and `doctor`."""

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
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from torchport_translators.batch import Outcome, Plan, Ported, port_files
from torchport_translators.commands import (
    check_outputs,
    configuration_for,
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
    from torchport_checks.options import CheckOptions
    from torchport_checks.report import Checked
    from torchport_checks.verdicts import DefinitionVerdict, Verdict

_FRAMEWORKS = {"torch": ("torch", "numpy"), "jax": ("jax", "flax", "optax"), "mlx": ("mlx",)}
_MAX_JOBS = 4
_CORES_PER_JOB = 4

Progress = Callable[[str, "DefinitionVerdict | None"], None]


def check_options(
    configuration: Configuration, timeout: float | None, memory: int | None
) -> CheckOptions:
    """The settings of a check: what the command line gives, else the project's."""
    from torchport_checks.options import CheckOptions

    return CheckOptions(
        timeout=timeout or configuration.timeout,
        memory_mb=memory or configuration.memory,
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
    from torchport_checks.report import indirect
    from torchport_checks.verdicts import Category

    if any(x.category is Category.FRAMEWORK for x in (verdict, *verdict.definitions)):
        return 2
    nothing = not verdict.error and all(map(indirect, verdict.definitions))
    return 0 if verdict.ok or nothing else 1


def _limits(function: Any) -> Any:
    for option in (
        click.option("--fresh", is_flag=True, help="Run even where a stored verdict is current."),
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


@contextlib.contextmanager
def _progress(
    total: int, quiet: bool
) -> Generator[Callable[[str], tuple[Progress, Callable[[Verdict], None]]]]:
    """Show how far the checks are: a bar on a terminal, a line per file that was run elsewhere.

    Yields a function that takes a file's name and returns what to call for each of its definitions
    and with its verdict.
    """
    from torchport_checks import report

    err = report.console(stderr=True)
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
    return max(1, min(_MAX_JOBS, (os.cpu_count() or 1) // _CORES_PER_JOB))


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
    help="Where the full report goes, as JSON. [default: .torchport/report.json]",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Pairs to check at the same time. [default: by the number of cores]",
)
@_limits
@json_option
def port(
    files: tuple[str, ...],
    target: str | None,
    out: Path | None,
    force: bool,
    report_path: Path | None,
    jobs: int | None,
    timeout: float | None,
    memory: int | None,
    fresh: bool,
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
      torchport port src/ -o ported/
      torchport port model.py --fresh --timeout 300

    \b
    Inputs are found in get_inputs()/get_init_inputs(), in calls, in annotations
    and layers. State them in a comment above a definition where they are not:
      # torchport: check(x=f32[8, 16], mask=bool[8])

    \b
    Exit code: 0 all ported and verified, 1 findings or a port that is not
    verified, 2 a file or framework is missing, or wrong usage.
    """
    from torchport_checks.report import Checked

    began = time.perf_counter()
    configuration = configuration_for(files)
    found = found_files(files, configuration)
    if any(file.path == STDIN for file in found.files):
        raise click.UsageError(
            "Standard input cannot be checked: it needs a file. Use `translate`."
        )
    plan = Plan(configuration, target or configuration.target, out=out, force=force)
    check_outputs(files, found, plan)
    options = check_options(configuration, timeout, memory)
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
            _check_all(pairs, options, jobs=jobs, fresh=fresh, quiet=as_json) if pairs else (),
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
    note = _write_report(document, report_path, found.files[0].path) if results else ""
    if as_json:
        print_json(document)
    else:
        _show_port(results, ported, passed_over_text(found), note, time.perf_counter() - began)
    raise click.exceptions.Exit(code)


def _data(result: Checked) -> dict[str, Any]:
    assert result.ported is not None
    verdict = _plain(result.verdict) if result.verdict else None
    return {**result.ported.data(text=False), "verdict": verdict}


def _plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON has it: pydantic writes nan and inf as null, `json` as no JSON at all."""
    return json.loads(verdict.model_dump_json())


def _write_report(document: dict[str, Any], path: Path | None, source: Path) -> str:
    """Write the full report; returns what to tell of it."""
    from torchport_checks import report
    from torchport_checks.store import project_root

    if path is None:
        path = project_root(source) / ".torchport" / "report.json"
    try:
        if path.parent.name == ".torchport":
            path.parent.mkdir(exist_ok=True)
            write_port(path.with_name(".gitignore"), b"*\n")
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        write_port(path, text.encode("utf-8", "backslashreplace"))
    except FileProblem as problem:
        return f"The full report was not written: {problem}"
    except OSError as error:
        return f"The full report was not written: {error}"
    return f"Full report: {report.short(path)}"


def _show_port(
    results: Sequence[Checked],
    ported: Sequence[Ported],
    passed_over: str,
    note: str,
    seconds: float,
) -> None:
    from torchport_checks import report

    out = report.console()
    report.report(results, out, seconds=seconds)
    if passed_over:
        out.print(passed_over, soft_wrap=True)
    folders = {report.short(result.port.parent): None for result in ported if result.port}
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
@_limits
@json_option
def check(
    source: Path,
    port: Path,
    only: tuple[str, ...],
    timeout: float | None,
    memory: int | None,
    fresh: bool,
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
      torchport check model.py model_jax.py --json

    \b
    Exit code: 0 verified, 1 not verified, 2 a framework is missing, or wrong
    usage.
    """
    from torchport_checks import report

    began = time.perf_counter()
    configuration = configuration_for([str(source)])
    options = check_options(configuration, timeout, memory)
    try:
        (verdict,) = _check_all(
            [(str(source), source, port)],
            options,
            jobs=1,
            fresh=fresh,
            quiet=as_json,
            definitions=only or None,
        )
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}.")
    code = verdict_code(verdict)
    if as_json:
        print_json({**envelope("check"), "verdict": _plain(verdict), "exit_code": code})
    else:
        result = report.Checked(verdict=verdict)
        report.report([result], report.console(), seconds=time.perf_counter() - began)
    raise click.exceptions.Exit(code)


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

    rows = [
        row
        for framework in get_args(Framework)
        for row in _packages(
            framework, options.python(framework), framework in ("torch", configuration.target)
        )
    ]
    return {
        "python": platform.python_version(),
        "packages": rows,
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
    lines.append(f"settings: {data['settings'] or 'none: no pyproject.toml here or above'}")
    lines.append(f"verdicts: {data['store']}")
    rows = [row for row in data["packages"] if row["needed"] and row["advice"]]
    advice = list(dict.fromkeys(row["advice"] for row in rows))
    return "\n".join([*lines, *([""] if advice else []), *advice])


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
