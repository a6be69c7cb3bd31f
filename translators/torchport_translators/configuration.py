"""`[tool.torchport]`: the settings of a project, read from the nearest pyproject.toml.

The table is validated by pydantic, which is imported only where there is one: a command in a project
without settings starts without it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from torchport_translators.llm.settings import ModelSettings

TABLE = "tool.torchport"


_FRAMEWORKS = ("torch", "jax", "mlx")


class ConfigurationError(Exception):
    """A pyproject.toml cannot be used; the message names the file, the key, and what to write."""


@dataclass(frozen=True, slots=True)
class Frameworks:
    """One string for each framework."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    torch: str | None = None
    jax: str | None = None
    mlx: str | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of a project; each has the default that holds without a table.

    Attributes:
        target: the framework to port to.
        suffix: what a port's file name has after its source's; `{target}` stands for the target.
        exclude: globs of files and folders that are passed over when a folder is ported, relative to
            the pyproject.toml.
        python: the interpreter that has each framework; by default the one that runs torchport.
        device: the device that each framework is checked on ("cpu", "cuda", "gpu"); by default on
            all that are found.
        timeout: seconds for one request to a lane.
        memory: MiB that one lane may take.
        bugs: the folder of the project's own bug records, relative to the pyproject.toml.
        containment: "off" where the code that is checked has to write files or use the network.
        llm: the language model that `--llm` asks.
        verdicts: whether `torchport guard` asks for a verdict on each pair: "auto", where the project
            has a store of them; "required", everywhere; "off".
        baseline: the file of findings that `torchport guard` passes over, relative to the
            pyproject.toml.
        path: the pyproject.toml; None without one.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    target: Literal["jax", "mlx"] = "jax"
    suffix: str = "_{target}"
    exclude: tuple[str, ...] = ()
    python: Frameworks = field(default_factory=Frameworks)
    device: Frameworks = field(default_factory=Frameworks)
    timeout: float = 120.0
    memory: int = 8192
    bugs: str | None = None
    containment: Literal["auto", "off"] = "auto"
    llm: ModelSettings = field(default_factory=ModelSettings)
    verdicts: Literal["auto", "required", "off"] = "auto"
    baseline: str = ".torchport-baseline.json"
    path: Path | None = None

    @property
    def bugs_folder(self) -> Path | None:
        """Where the project's own bug records are."""
        if self.bugs is None or self.path is None:
            return None
        return self.path.parent / self.bugs

    def interpreter(self, framework: str) -> str | None:
        """The interpreter that has a framework; None for the one that runs torchport."""
        named: dict[str, str | None] = {name: getattr(self.python, name) for name in _FRAMEWORKS}
        return named[framework]

    def excluded(self, path: Path) -> bool:
        """Whether `exclude` names a file or folder, or a folder above it."""
        if not self.exclude or self.path is None:
            return False
        try:
            relative = path.resolve().relative_to(self.path.parent)
        except ValueError:
            return False
        places = [relative, *relative.parents][:-1]
        return any(place.match(pattern.rstrip("/")) for place in places for pattern in self.exclude)


_TABLES = {"python": Frameworks, "device": Frameworks, "llm": ModelSettings}


def find_pyproject(start: Path) -> Path | None:
    """The nearest pyproject.toml, in `start` or a folder above it."""
    start = start.resolve()
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            return path
    return None


def read_configuration(start: Path) -> Configuration:
    """The settings that hold in the folder `start`.

    Raises:
        ConfigurationError: the nearest pyproject.toml cannot be read, or its table is not valid.
    """
    path, table = read_table(start)
    if path is None or not table:
        return Configuration(path=path)
    return _validated(table, path)


def read_table(start: Path) -> tuple[Path | None, dict[str, Any]]:
    """The pyproject.toml nearest to the folder `start`, and its table of ours, not validated.

    Raises:
        ConfigurationError: it cannot be read.
    """
    path = find_pyproject(start)
    if path is None:
        return None, {}
    try:
        table: Any = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    for key in TABLE.split("."):
        table = cast("dict[str, Any]", table).get(key, {})
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path}: [{TABLE}] is not a table")
    return path, cast("dict[str, Any]", table)


def _validated(table: dict[str, Any], path: Path) -> Configuration:
    from pydantic import TypeAdapter, ValidationError

    if "path" in table:  # a field of ours, not a setting
        raise ConfigurationError(_unknown(("path",), path))
    try:
        configuration = TypeAdapter(Configuration).validate_python({**table, "path": path})
    except ValidationError as error:
        problem = error.errors()[0]
        keys = tuple(str(part) for part in problem["loc"])
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            raise ConfigurationError(_unknown(keys, path)) from error
        raise ConfigurationError(
            f"{path}: [{TABLE}] {'.'.join(keys)} = {problem['input']!r}: {_lower(problem['msg'])}"
        ) from error
    for name in ("timeout", "memory"):
        if getattr(configuration, name) <= 0:
            raise ConfigurationError(f"{path}: [{TABLE}] {name} must be greater than 0")
    if problem := configuration.llm.problem():
        raise ConfigurationError(f"{path}: [{TABLE}.llm] {problem}")
    suffix = configuration.suffix.replace("{target}", "jax")
    if not re.fullmatch(r"[\w.-]+", suffix):
        raise ConfigurationError(
            f"{path}: [{TABLE}] suffix = {configuration.suffix!r}: it ends a file name, as in "
            "model_jax.py, so it takes letters, digits, '_', '-' and '.', and at least one of them"
        )
    return configuration


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _unknown(keys: tuple[str, ...], path: Path) -> str:
    import difflib

    known = list(_names(Configuration))
    key = ".".join(keys)
    if keys[0] == "llm" and "key" in keys[-1]:
        return (
            f"{path}: [{TABLE}] has no key {key}: a secret does not belong in a project's file. Set "
            "TORCHPORT_API_KEY, or keep it in the keyring of your system: torchport llm --set-key."
        )
    near = difflib.get_close_matches(key.replace("-", "_"), known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{path}: [{TABLE}] has no key {key}.{hint} The keys are {', '.join(known)}."


def _names(kind: type) -> Iterable[str]:
    for item in fields(kind):
        if item.name == "path":
            continue
        if item.name in _TABLES:
            yield from (f"{item.name}.{inner.name}" for inner in fields(_TABLES[item.name]))
        else:
            yield item.name
