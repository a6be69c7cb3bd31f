"""Signatures of the target as it is installed, asked from the interpreter that has it."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from platformdirs import user_cache_path

from torchport_translators.installed import versions_of

ALIASES: Mapping[str, Mapping[str, str]] = {
    "jax": {
        "jax": "jax",
        "jnp": "jax.numpy",
        "lax": "jax.lax",
        "nnx": "flax.nnx",
        "optax": "optax",
    },
    "mlx": {"mx": "mlx.core", "nn": "mlx.nn", "optim": "mlx.optimizers"},
}
"""What the customary names of a target's modules stand for."""

_HOMES = {
    "jax": (
        "jnp",
        "jax.nn",
        "jax.lax",
        "jax.scipy.special",
        "jnp.linalg",
        "jnp.fft",
        "jax.random",
        "jax.ops",
        "jax",
        "nnx",
        "optax",
    ),
    "mlx": ("mx", "nn", "nn.losses", "mx.linalg", "mx.fft", "mx.random", "mx.fast", "optim"),
}
"""Where a function of torch may have its namesake, the likeliest first."""

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|KEY|AUTH", re.IGNORECASE)
_TIMEOUT = 120
_MAX_DOC = 200
_PROGRAM = """
import difflib, importlib, inspect, json, sys

def told(name):
    module, rest = name, []
    while module:
        try:
            owner = importlib.import_module(module)
            break
        except ImportError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    else:
        return {}
    for part in rest:
        if not hasattr(owner, part):
            return {"near": difflib.get_close_matches(part, dir(owner), 3, 0.7)}
        owner = getattr(owner, part)
    if inspect.ismodule(owner):
        return {}
    doc = (inspect.getdoc(owner) or "").strip()
    try:
        # A metaclass may hide what a class is constructed with. Annotations would fill the prompt.
        shown = inspect.signature(owner.__init__ if inspect.isclass(owner) else owner)
        bare = [p.replace(annotation=p.empty) for p in shown.parameters.values() if p.name != "self"]
        signature = str(shown.replace(parameters=bare, return_annotation=shown.empty))
    except (TypeError, ValueError):
        # Compiled functions have theirs in the first line of their text.
        first, _, rest = doc.partition("\\n")
        called = first.partition("(")[0].rpartition(" ")[2].rpartition(".")[2]
        signature = "(" + first.partition("(")[2] if called == name.rpartition(".")[2] else "(...)"
        doc = rest.strip() if signature != "(...)" else doc
    return {"signature": signature, "doc": " ".join(doc.partition("\\n\\n")[0].split())}

print(json.dumps({name: told(name) for name in json.load(sys.stdin)}))
"""


@dataclass(frozen=True, slots=True)
class Signature:
    """A function of the target as it is installed, or a name that it has not.

    Attributes:
        name: as a port writes it, `jnp.var`.
        signature: `(a, axis=None, ...)`; empty where there is no such function.
        doc: the first sentence of its text.
        near: names like it, where there is none.
    """

    name: str
    signature: str = ""
    doc: str = ""
    near: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """One line for a prompt."""
        if self.signature:
            return f"{self.name}{self.signature}" + (f"  # {self.doc}" if self.doc else "")
        near = f"; there is {', '.join(self.near)}" if self.near else ""
        return f"{self.name} does not exist{near}"


def called_names(code: str, target: str) -> tuple[str, ...]:
    """The dotted names of the target that a text uses, in its order; none where it does not parse."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    roots = {alias: alias for alias in ALIASES[target]}
    customary = {module: alias for alias, module in ALIASES[target].items()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                if item.asname and item.name in customary:
                    roots[item.asname] = customary[item.name]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for item in node.names:
                full = f"{node.module}.{item.name}"
                if full in customary:
                    roots[item.asname or item.name] = customary[full]
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    inner = {id(node.value) for node in attributes}
    attributes.sort(key=lambda node: (node.lineno, node.col_offset))
    found: dict[str, None] = {}
    for node in attributes:
        parts = _dotted(node) if id(node) not in inner else []
        if parts and parts[0] in roots:
            found[".".join([roots[parts[0]], *parts[1:]])] = None
    return tuple(found)


def _dotted(node: ast.expr) -> list[str]:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else []


def likely_names(api: str, target: str) -> tuple[str, ...]:
    """Where the target may have what torch calls `api`: the same name, in the modules it has."""
    last = api.rpartition(".")[2].rstrip("_")
    if api.startswith("torch.optim."):
        home = "optax" if target == "jax" else "optim"
        return (f"{home}.{last.lower() if target == 'jax' else last}",)
    return tuple(f"{home}.{last}" for home in _HOMES[target])


def signatures(
    names: Sequence[str], target: str, python: str | None = None, *, absent: bool = False
) -> tuple[Signature, ...]:
    """The signatures of names, in their order, as an interpreter has them installed.

    The interpreter is started for names that were not asked of these versions before; none are
    found where it does not answer.

    Args:
        names: as ports write them: `jnp.var`, `nnx.Linear`.
        target: "jax" or "mlx".
        python: the interpreter; None for this one.
        absent: tell of names that do not exist, too.
    """
    python = python or sys.executable
    full = {name: _full(name, target) for name in dict.fromkeys(names)}
    place = _place(target, python)
    known = _read(place)
    unknown = sorted(set(full.values()) - set(known))
    if unknown:
        known |= _ask(unknown, python)
        _write(place, known)
    found: list[Signature] = []
    for name, path in full.items():
        item = _signature(name, known.get(path))
        if item is not None and (item.signature or absent):
            found.append(item)
    return tuple(found)


def _full(name: str, target: str) -> str:
    root, dot, rest = name.partition(".")
    return ALIASES[target].get(root, root) + dot + rest


def _signature(name: str, data: Any) -> Signature | None:
    if not isinstance(data, dict) or not data:
        return None
    item = cast("dict[str, Any]", data)
    if "near" in item:
        owner = name.rpartition(".")[0]
        return Signature(name, near=tuple(f"{owner}.{other}" for other in item["near"]))
    # Addresses say nothing to a reader, and differ from run to run.
    text = item["signature"].replace("<locals>.", "")
    text = re.sub(r"<\w+ '?([\w.]+)'?[^>]*>|<[^>]*>", r"\1", text)
    doc = item["doc"]
    return Signature(name, text, doc if len(doc) <= _MAX_DOC else doc[:_MAX_DOC] + "...")


def _ask(names: Iterable[str], python: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    try:
        done = subprocess.run(
            [python, "-I", "-W", "ignore", "-c", _PROGRAM],
            input=json.dumps(list(names)),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
            env=environment | {"JAX_PLATFORMS": "cpu"},
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}


def _place(target: str, python: str) -> Path:
    """The file in the user's cache for the versions that an interpreter has."""
    key = json.dumps([python, versions_of(target, python), _PROGRAM])
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return user_cache_path("torchport") / "signatures" / f"{target}-{name}.json"


def _read(place: Path) -> dict[str, Any]:
    try:
        data = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def _write(place: Path, known: Mapping[str, Any]) -> None:
    """Keep what was found; a cache that cannot be written is done without."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=place.parent, delete=False, encoding="utf-8"
        ) as file:
            json.dump(known, file)
        Path(file.name).replace(place)
