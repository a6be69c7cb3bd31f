"""`torchport batch`: a session without a terminal interface."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchport_checks.commands import check_options
from torchport_translators.commands import target_option
from torchport_translators.configuration import Configuration
from torchport_translators.files import FileProblem, write_port
from torchport_translators.output import (
    configuration_for,
    count,
    envelope,
    fail,
    json_option,
    print_json,
)

if TYPE_CHECKING:
    from torchport_checks.options import CheckOptions
    from torchport_checks.sessions import Engine, Item, Session, State

_INTERRUPTED = 130
_SHOWN = 20


def session_for(
    paths: Sequence[str],
    target: str | None,
    out: Path | None,
    *,
    review: bool,
    resume: bool,
) -> tuple[Session, Configuration]:
    """The session that a command line asks for, and the project's settings.

    Raises:
        Failure: there is none, another process works at it, or it cannot be read.
    """
    from torchport_checks.sessions import SessionProblem
    from torchport_checks.sessions.session import last_session, open_session

    configuration = configuration_for(paths)
    try:
        if not paths:
            return last_session(Path.cwd(), configuration, target), configuration
        target = target or configuration.target
        session = open_session(paths, target, configuration, out=out, review=review, known=resume)
    except SessionProblem as problem:
        fail(problem)
    if review and not session.review:
        click.echo("Note: this session writes ports as they are made; it was begun so.", err=True)
    return session, configuration


def session_options(
    configuration: Configuration, timeout: float | None, memory: int | None, quick: bool
) -> CheckOptions:
    """The options of a session's checks."""
    options = check_options(configuration, timeout, memory)
    return options if quick else options.thorough()


def session_arguments(function: Any) -> Any:
    """What `batch` and `tui` take alike."""
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
        click.option(
            "--quick",
            is_flag=True,
            help="Fewer inputs, the form that is quicker, no training: what the editor runs on save.",
        ),
        click.option("--force", is_flag=True, help="Overwrite ports that were edited by hand."),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(min=1),
            metavar="N",
            help="Pairs to check at the same time. [default: by cores and free memory, at most 4]",
        ),
        click.option(
            "-o",
            "--output",
            "out",
            type=click.Path(path_type=Path),
            metavar="OUT",
            help="Folder for the ports, or NAME.py for the port of one file.",
        ),
        target_option,
    ):
        function = option(function)
    return click.argument("paths", nargs=-1, metavar="[PATH]...")(function)


@click.command(short_help="Port and check many files, in a session that can be resumed.")
@session_arguments
@click.option(
    "--resume", is_flag=True, help="Go on with a session that is there; without PATH the last one."
)
@click.option("--review", is_flag=True, help="Keep ports in the session until they are accepted.")
@click.option(
    "--accept",
    multiple=True,
    metavar="WHICH",
    help="Accept definitions: `verified`, `all`, or a glob of names, files or FILE:NAME. Repeatable.",
)
@click.option("--reject", multiple=True, metavar="WHICH", help="Reject definitions. Repeatable.")
@click.option("--undo", is_flag=True, help="Take the last decision or edit back, before all else.")
@click.option("--retry", is_flag=True, help="Check anew what was not verified.")
@click.option("--no-run", is_flag=True, help="Run nothing: decide, show and export only.")
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the session with all its evidence, as JSON.",
)
@click.option("--timings", is_flag=True, help="Say in JSON how long things took.")
@json_option
def batch(
    paths: tuple[str, ...],
    target: str | None,
    out: Path | None,
    jobs: int | None,
    force: bool,
    quick: bool,
    timeout: float | None,
    memory: int | None,
    resume: bool,
    review: bool,
    accept: tuple[str, ...],
    reject: tuple[str, ...],
    undo: bool,
    retry: bool,
    no_run: bool,
    export: Path | None,
    timings: bool,
    as_json: bool,
) -> None:
    """Port and check many files, in a session that can be resumed.

    PATH is a Python file, a folder (its files that import torch), or a glob. Each definition is found,
    ported, checked, and accepted or rejected. All of it is kept under .torchport/: what was done is not
    done again, a session that was stopped or killed goes on where it was, and `torchport tui` shows it.
    The code of the files is run.

    \b
    Examples:
      torchport batch src/                          port, write and check
      torchport batch src/ --review                 write nothing yet
      torchport batch --resume --accept verified    accept what was verified
      torchport batch --resume --no-run --reject 'src/old/*'
      torchport batch src/ --json --export session.json

    \b
    Exit code: 0 all ported and verified, or decided, 1 something is not, 2 a
    file or framework is missing, or wrong usage, 130 interrupted.
    """
    from torchport_checks.sessions import Engine, SessionProblem, State
    from torchport_checks.sessions.report import document

    if not paths and not resume:
        raise click.UsageError("Name files or folders, or go on with the last session: --resume.")
    began = time.perf_counter()
    session, configuration = session_for(paths, target, out, review=review, resume=resume)
    session.force = force
    complete = True
    with contextlib.closing(session):
        try:
            _tell(session.note)
            if undo:
                _undo(session)
            scanned = session.scan()
            if retry:
                session.recheck({item.path for item in session.items() if not item.verified})
            if not no_run:
                options = session_options(configuration, timeout, memory, quick)
                engine = Engine(session, options, jobs=jobs)
                with contextlib.closing(engine), _stopping(engine), _shown(engine, as_json):
                    complete = engine.run()
            for which, state in ((accept, State.ACCEPTED), (reject, State.REJECTED)):
                _decide(session, which, state)
            told = {**envelope("batch"), **document(session, timings=timings)}
            told["passed_over"] = dict(scanned.passed_over)
            if not complete:
                told["exit_code"] = _INTERRUPTED
            if export is not None:
                text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
                write_port(export, text.encode("utf-8", "backslashreplace"))
        except (SessionProblem, FileProblem) as problem:
            fail(problem)
        if as_json:
            print_json(told)
        else:
            _show(session, session.items(), complete, time.perf_counter() - began)
    raise click.exceptions.Exit(told["exit_code"])


def _tell(text: str) -> None:
    if text:
        click.echo(text, err=True)


def _undo(session: Session) -> None:
    undone = session.undo()
    _tell(f"Undone: {undone[0]}." if undone else "There is nothing to undo.")


def _decide(session: Session, which: Sequence[str], state: State) -> None:
    from torchport_checks.sessions.report import selected

    if not which:
        return
    keys = selected(session.items(), which)
    if not keys and "verified" not in which:
        fail(f"No definition is meant by {', '.join(which)}. Give names, files or FILE:NAME.")
    decided = session.decide(keys, state)
    for problem in decided.problems:
        _tell(f"Not {state.value}: {problem}")
    for note in decided.notes:
        _tell(f"Note: {note}")


@contextlib.contextmanager
def _stopping(engine: Engine) -> Generator[None]:
    """Ctrl+C and SIGTERM stop the run, and keep what was done."""

    def stop(_number: int, _frame: object) -> None:
        engine.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _shown(engine: Engine, quiet: bool) -> Generator[None]:
    """How far the run is: a bar on a terminal, a line for each file elsewhere."""
    from torchport_checks.reports.terminal import console

    err = console(stderr=True)
    if quiet:
        yield
        return
    if not err.is_terminal:
        engine.listen(lambda event: click.echo(event.text, err=True) if event.text else None)
        yield
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.fields[phase]}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None, phase="porting")

        def at(_: object) -> None:
            now = engine.progress()
            left = f"{now.left:.0f} s left" if now.left is not None else ""
            names = ", ".join(running.path for running in now.running)
            bar.update(
                task, completed=now.done, total=now.total or None, phase=now.phase,
                description="  ".join(filter(None, (left, names))),
            )  # fmt: skip

        engine.listen(at)
        yield


def _show(session: Session, items: Sequence[Item], complete: bool, seconds: float) -> None:
    from torchport_checks.reports.terminal import console
    from torchport_checks.verdicts import Category

    to = console()
    looked = [item for item in items if item.failed and not item.state.decided]
    for item in looked[:_SHOWN]:
        what, message = item.category or item.status or "not checked", item.message
        if item.ported < item.total:
            what, message = f"{item.ported} of {count(item.total, 'call')} ported", ""
        to.print(f"{item.path}:{item.line}: {item.name}: {what}", style="bold", soft_wrap=True)
        if message:
            to.print(f"  {message.splitlines()[0]}", soft_wrap=True, markup=False)
    if len(looked) > _SHOWN:
        to.print(f"and {len(looked) - _SHOWN} more: torchport tui, or --json")
    states = ", ".join(f"{n} {state}" for state, n in session.counts().items() if n)
    direct = [item for item in items if item.category != Category.NOTHING]
    aside = f", {len(items) - len(direct)} indirectly" if len(direct) < len(items) else ""
    to.print(
        f"{sum(item.verified for item in direct)} of {len(direct)} verified{aside}, in "
        f"{count(len(session.files()), 'file')}; {states or 'nothing found'}  ({seconds:.1f} s)",
        style="bold red" if looked else "bold green",
    )
    if not complete:
        to.print("Interrupted. Go on with: torchport batch --resume")
