"""What is installed where, told without starting a framework."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

_PACKAGES = ("torch", "jax", "jaxlib", "flax", "optax", "mlx", "numpy")
_PROGRAM = """
import json, platform, sys
from importlib import metadata
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@functools.cache
def version() -> str:
    """The installed version of torchport."""
    try:
        return metadata.version("torchport")
    except metadata.PackageNotFoundError:
        return "unknown"


@functools.cache
def installed(interpreter: str) -> str:
    """The versions of Python and the frameworks under `interpreter`, as text for a key.

    Empty where the interpreter does not start: its lane then says so.
    """
    if interpreter == sys.executable:
        found = {"python": platform.python_version()}
        for name in _PACKAGES:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return json.dumps(found)
    try:
        done = subprocess.run(
            [interpreter, "-I", "-c", _PROGRAM, *_PACKAGES],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


@functools.cache
def judge() -> str:
    """What decides a verdict: the hash of the code that checks and transfers weights.

    A version says less: in a checkout the code changes under one version, and a verdict of other
    code must not be reused.
    """
    found = importlib.util.find_spec("torchport_translators.weights")
    folders = [Path(__file__).parent]
    if found is not None and found.origin is not None:
        folders.append(Path(found.origin).parent)
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
