"""`torchport tui`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from torchport_checks.session_commands import session_arguments, session_for, session_options
from torchport_translators.output import fail


@click.command(short_help="Review a session in the terminal: diffs, verdicts, findings.")
@session_arguments
@click.option("--no-run", is_flag=True, help="Run nothing until asked to.")
def tui(
    paths: tuple[str, ...],
    target: str | None,
    out: Path | None,
    jobs: int | None,
    force: bool,
    quick: bool,
    timeout: float | None,
    memory: int | None,
    no_run: bool,
) -> None:
    """Review a session in the terminal: diffs, verdicts, findings.

    PATH is a Python file, a folder (its files that import torch), or a glob; without one the last
    session goes on. Files are ported and checked meanwhile, and a port is written once it is accepted.
    Everything is kept, so that it can be left and resumed at any time; `torchport batch` does the same
    without a screen. The code of the files is run.

    \b
    Examples:
      torchport tui src/
      torchport tui                  go on where it was left
      torchport tui model.py --to mlx --quick

    `?` shows the keys, Ctrl+P what can be done.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail(
            "The terminal interface needs a terminal; `torchport batch` does the same without one."
        )
    try:
        from torchport_tui.app import TorchportApp
    except ImportError as error:
        fail(f"The terminal interface needs Textual ({error}): python -m pip install textual")
    session, configuration = session_for(paths, target, out, review=True, resume=False)
    session.force = force
    with contextlib.closing(session):
        options = session_options(configuration, timeout, memory, quick)
        app = TorchportApp(session, options, jobs=jobs, run=not no_run)
        app.run()
    raise click.exceptions.Exit(app.return_code or 0)
