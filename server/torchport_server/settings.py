"""The settings of a workspace folder: the client's, over those of its pyproject.toml."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from torchport_checks.options import CheckOptions
from torchport_translators.configuration import (
    Configuration,
    ConfigurationError,
    Frameworks,
    read_configuration,
)


class _Section(BaseModel):
    # A client may send settings of its own beside these (the extension's `trace`, for example).
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Pythons(_Section):
    """Interpreters by framework; empty: see `Settings.interpreter`."""

    torch: str = ""
    jax: str = ""


class Checking(_Section):
    """How pairs are checked."""

    on_save: bool = Field(default=True, alias="onSave")
    timeout: float = Field(default=60.0, gt=0)


class Settings(_Section):
    """The section `torchport` of the client's configuration."""

    target: Literal["jax", "mlx"] = "jax"
    python: Pythons = Pythons()
    interpreter: str = ""
    check: Checking = Checking()
    code_lens: bool = Field(default=True, alias="codeLens")
    inlay_hints: bool = Field(default=False, alias="inlayHints")
    pitfalls: Literal["off", "hints", "warnings"] = "off"
    """How uses of torch are marked whose ports people and models get wrong."""


def read_settings(section: Any) -> tuple[Settings, str]:
    """The settings in a client's answer, and what is wrong with them (then the defaults hold)."""
    if not isinstance(section, dict):
        return Settings(), ""
    try:
        return Settings.model_validate(section), ""
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        return Settings(), (
            f"The setting torchport.{name} = {problem['input']!r} is not valid: {problem['msg']}. "
            "The defaults are used until it is corrected."
        )


def configuration_of(folder: Path) -> tuple[Configuration, str]:
    """The project's configuration in a folder, and what is wrong with it."""
    try:
        return read_configuration(folder), ""
    except ConfigurationError as error:
        return Configuration(), str(error)


def options_of(settings: Settings, configuration: Configuration) -> CheckOptions:
    """How to check in a folder: the interpreters, limits and devices."""
    from torchport_checks.commands import check_options

    chosen = Frameworks(
        torch=_first(settings.python.torch, configuration.python.torch, settings.interpreter),
        jax=_first(settings.python.jax, configuration.python.jax, settings.interpreter),
        mlx=_first(configuration.python.mlx, settings.interpreter),
    )
    options = check_options(
        replace(configuration, python=chosen), settings.check.timeout, configuration.memory
    )
    return options.model_copy(update={"locate": True})


def _first(*choices: str | None) -> str:
    return next((choice for choice in choices if choice), sys.executable)
