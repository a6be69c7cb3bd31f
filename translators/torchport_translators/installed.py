"""What the installed version of a target lacks of what rules call: such rules do not hold there.

`ask` starts the target's interpreter once for each version, and keeps what it says in the user's cache;
`known` only reads that, so that translating starts nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from platformdirs import user_cache_path

from torchport_translators.catalogue.load import catalogue

PACKAGES: Mapping[str, tuple[str, ...]] = {"jax": ("jax", "flax", "optax"), "mlx": ("mlx",)}
_TIMEOUT = 120
_PROGRAM = """
import importlib, json, sys

def has(name):
    module, rest = name, []
    while module:
        try:
            owner = importlib.import_module(module)
            break
        except ImportError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    else:
        return False
    for part in rest:
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True

print(json.dumps([name for name in json.load(sys.stdin) if not has(name)]))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A target as it is installed.

    Attributes:
        versions: its packages, for people: "jax 0.8.1, flax 0.12.1".
        lacking: full names of the functions that rules call and that it does not have.
    """

    versions: str
    lacking: frozenset[str] = frozenset()


def known(target: str, python: str | None = None) -> Installed | None:
    """What `ask` has found of a target under an interpreter; None if it was not asked."""
    place = _place(target, python or sys.executable)
    return _read(place) if place is not None else None


def ask(target: str, python: str | None = None) -> Installed | None:
    """What a target has under an interpreter, which is started where that is not known yet.

    None where the target is not installed there, or the interpreter does not answer.
    """
    python = python or sys.executable
    place = _place(target, python)
    if place is None:
        return None
    found = _read(place)
    if found is not None:
        return found
    try:
        done = subprocess.run(
            [python, "-I", "-W", "ignore", "-c", _PROGRAM],
            input=json.dumps(sorted(_functions(target))),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
        )
        lacking: list[str] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    found = Installed(_named(versions_of(target, python)), frozenset(lacking))
    _write(place, found)
    return found


def refused(target: str, installed: Installed) -> dict[str, str]:
    """The torch APIs whose rules do not hold, each with a function that they need and is lacking."""
    known = catalogue(target)
    found: dict[str, str] = {}
    for api in sorted(known.apis()):
        for rule in known.find(api):
            if absent := known.calls(rule) & installed.lacking:
                found[api] = min(absent)
    return found


@lru_cache(maxsize=2)
def _functions(target: str) -> frozenset[str]:
    """Every function of a target's packages that a rule calls."""
    known = catalogue(target)
    rules = {rule for api in known.apis() for rule in known.find(api)}
    return frozenset(name for rule in rules for name in known.calls(rule))


def _place(target: str, python: str) -> Path | None:
    """The file in the user's cache for an interpreter's versions and these rules."""
    versions = versions_of(target, python)
    if PACKAGES[target][0] not in versions:
        return None
    key = json.dumps([python, versions, catalogue(target).digest])
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return user_cache_path("torchport") / "installed" / f"{target}-{name}.json"


def _read(place: Path) -> Installed | None:
    try:
        data = json.loads(place.read_text("utf-8"))
        return Installed(str(data["versions"]), frozenset(map(str, data["lacking"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(place: Path, found: Installed) -> None:
    """Keep what was found; a cache that cannot be written is done without."""
    text = json.dumps({"versions": found.versions, "lacking": sorted(found.lacking)})
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(place)
    except OSError:
        return


def _named(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def versions_of(target: str, python: str) -> dict[str, str]:
    """The versions of a target's packages, read from where an interpreter keeps them."""
    paths = None
    if python != sys.executable:
        root = Path(python).absolute().parent.parent
        paths = [
            str(p) for p in (*root.glob("lib/python3*/site-packages"), root / "Lib/site-packages")
        ]
    found: dict[str, str] = {}
    for name in PACKAGES[target]:
        if paths is None:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        else:
            for distribution in metadata.distributions(name=name, path=paths):
                found[name] = distribution.version
                break
    return found
