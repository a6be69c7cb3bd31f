"""The command line: sub-commands that each package brings, loaded when asked for.

What is needed to list them is here, so that `torchport --help` imports none of them.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import click

from torchport_translators._version import __version__

_BUGS = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Entry(NamedTuple):
    """Where a sub-command is defined, and its line in the list."""

    module: str
    attribute: str
    short_help: str


COMMANDS = {
    "port": Entry(
        "torchport_checks.commands", "port", "Port files, run them against the originals, report."
    ),
    "translate": Entry(
        "torchport_translators.commands",
        "translate",
        "Port PyTorch files to JAX or MLX, by rules alone: nothing is run.",
    ),
    "check": Entry(
        "torchport_checks.commands", "check", "Run a port against its original and judge it."
    ),
    "batch": Entry(
        "torchport_checks.session_commands",
        "batch",
        "Port and check many files, in a session that can be resumed.",
    ),
    "tui": Entry(
        "torchport_tui.commands",
        "tui",
        "Review a session in the terminal: diffs, verdicts, findings.",
    ),
    "guard": Entry(
        "torchport_checks.guard_commands",
        "guard",
        "Find ports that have drifted, or are not checked; runs nothing.",
    ),
    "status": Entry(
        "torchport_checks.overview.commands",
        "status",
        "Say how far a project's migration is, and what to port next.",
    ),
    "replay": Entry(
        "torchport_checks.commands",
        "replay",
        "Run the smallest failing input of a definition again.",
    ),
    "weights": Entry(
        "torchport_checks.weights_commands",
        "weights",
        "Convert a torch checkpoint for a port, and verify it there.",
    ),
    "explain": Entry(
        "torchport_translators.commands",
        "explain",
        "Show the rule for a torch API, or what a finding means.",
    ),
    "llm": Entry(
        "torchport_checks.llm_commands",
        "llm",
        "Show or test the language model that --llm asks; keep its key.",
    ),
    "eval": Entry(
        "torchport_checks.evaluation.commands",
        "evaluate",
        "Evaluate a model on a dataset, by running what it ports.",
    ),
    "bugs": Entry(
        "torchport_checks.bugs_commands",
        "bugs",
        "Show, verify and add records of mistakes in porting.",
    ),
    "lsp": Entry(
        "torchport_server.commands", "lsp", "Serve editors over the Language Server Protocol."
    ),
    "devices": Entry(
        "torchport_checks.commands", "devices", "List the frameworks and devices of this machine."
    ),
    "doctor": Entry(
        "torchport_checks.commands", "doctor", "Say what is installed, and what to install."
    ),
    "clean": Entry(
        "torchport_checks.commands", "clean", "Remove old verdicts, and give their disk space back."
    ),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, or their help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        return getattr(importlib.import_module(entry.module), entry.attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that nobody foresaw costs one line, not a page."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(_INTERRUPTED)
        except Exception as error:
            if ctx.params["debug"]:
                raise
            _tell(error)
            ctx.exit(_BUGS)


def _tell(error: Exception) -> None:
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    try:
        place = f"The traceback is in {_save(error)}."
    except OSError:
        place = "Run it again with `torchport --debug` to see the traceback."
    click.echo(f"Error: torchport failed, and should not have: {what}. {place}", err=True)


def _save(error: Exception) -> Path:
    """Write the traceback to a file of its own.

    Raises:
        OSError: there is no folder to write to.
    """
    from platformdirs import user_log_path

    folder = user_log_path("torchport", appauthor=False, ensure_exists=True)
    path = folder / f"error-{os.getpid()}.txt"
    head = f"torchport {__version__}, Python {sys.version}\n{' '.join(sys.argv)}\n\n"
    path.write_text(head + "".join(traceback.format_exception(error)), encoding="utf-8")
    return path


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="torchport", message="torchport %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Port PyTorch code to JAX or MLX, and prove each port by running it.

    \b
    Examples:
      torchport port model.py          write model_jax.py and check it
      torchport translate src/         write the ports of a folder
      torchport check a.py a_jax.py    check a port that you have edited
      torchport explain F.gelu         see the rule for an API
      torchport tui src/               port and review many files on a screen
      torchport doctor                 see what is installed

    \b
    Settings are read from [tool.torchport] in the nearest pyproject.toml.
    Every command but lsp and tui takes --json. Exit codes: 0 clean, 1 findings
    or a divergence, 2 wrong usage or an internal error.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
