"""What every command of the command line shares: settings, failures, JSON, words.

Apart from `commands`, so that a command that translates nothing does not wait for what translates.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from torchport_translators._version import __version__
from torchport_translators.configuration import (
    Configuration,
    ConfigurationError,
    read_configuration,
)

SCHEMA = 1


class Failure(click.ClickException):
    """What ends a command with exit code 2 and one message."""

    exit_code = 2


def fail(message: object) -> NoReturn:
    """End the command with exit code 2.

    Raises:
        Failure: always.
    """
    raise Failure(str(message))


def configuration_for(arguments: Sequence[str]) -> Configuration:
    """The settings of the project of the first argument; those of the current folder for `-`.

    Raises:
        Failure: they are not valid.
    """
    first = Path(arguments[0]) if arguments and arguments[0] != "-" else Path()
    try:
        return read_configuration(first if first.is_dir() else first.parent)
    except ConfigurationError as error:
        fail(error)


def print_json(data: dict[str, Any]) -> None:
    """Write one JSON document to standard output."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def envelope(command: str) -> dict[str, Any]:
    """What every JSON document of the command line begins with."""
    return {"schema_version": SCHEMA, "torchport": __version__, "command": command}


def count(number: int, what: str) -> str:
    """`3 findings`, `1 finding`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def json_option(function: Any) -> Any:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")(
        function
    )
