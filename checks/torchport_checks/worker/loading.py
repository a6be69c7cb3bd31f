"""Loading the user's files inside a lane, and describing what they raise."""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import re
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from . import equivalents

_BASELINE: set[str] = set()
_FOLDERS: list[Path] = []
PREFIX = "torchport_checked_"
_MAX_TEXT = 4000


class StageError(Exception):
    """An error of known category, raised by a side rather than by the user's code."""

    def __init__(self, category: str, message: str) -> None:
        super().__init__(message)
        self.category = category


def remember_modules() -> None:
    """Take the modules that are loaded now as the lane's own, never to be dropped."""
    _BASELINE.update(sys.modules)


def _local_modules(directory: Path) -> list[str]:
    """The names of the modules from `directory` that were imported since the lane started."""
    start = f"{directory}{os.sep}"
    found: list[str] = []
    for name in sys.modules.keys() - _BASELINE:
        file = getattr(sys.modules[name], "__file__", None)
        if not isinstance(file, str):
            continue
        if (
            "site-packages" in file
            or "dist-packages" in file
            or file.startswith(sys.base_prefix + os.sep)
        ):
            _BASELINE.add(name)  # a library that the lane keeps: never looked at again
        elif file.startswith(start):
            found.append(name)
    return found


class Loaded:
    """One of the user's files as a module, with the folder it lies in on `sys.path` meanwhile.

    Only one is loaded at a time: the modules beside the last one are dropped, so that an edited or
    a like-named one is read anew.
    """

    def __init__(
        self,
        path: str,
        source: bytes,
        operators: dict[str, Any] | None = None,
        *,
        port: bool = False,
    ) -> None:
        """Run the file; given `operators` (`equivalents.namespace`), as an equivalent graph.

        The packages that a port lies in are not run: their `__init__` imports the originals.
        """
        self.path = Path(path)
        self.directory = self.path.parent
        self.source = source
        self.roots = _roots(self.path, source)
        project = _project(self.path)
        stem = re.sub(r"\W", "_", self.path.stem)
        self.module = types.ModuleType(PREFIX + stem)
        self.module.__file__ = path
        self._forget(project)
        linecache.checkcache(path)
        sys.path[:0] = map(str, self.roots)
        sys.modules[self.module.__name__] = self.module
        top = self.roots[-1]
        if project is not None and project not in self.roots:
            self.roots.append(project)
            sys.path.append(str(project))
        packages = self.path.parent.relative_to(top).parts
        if packages:
            self.module.__package__ = ".".join(packages)
            for count in range(1, len(packages) + 1 if port else 0):
                package = types.ModuleType(".".join(packages[:count]))
                package.__path__ = [str(top.joinpath(*packages[:count]))]
                package.__file__ = str(Path(package.__path__[0], "__init__.py"))
                sys.modules[package.__name__] = package
        tree: Any = source
        if operators is not None:
            tree = equivalents.rewritten(ast.parse(source, path))
            vars(self.module).update(operators)
        code = compile(tree, path, "exec", dont_inherit=True)
        exec(code, self.module.__dict__)

    def _forget(self, project: Path | None) -> None:
        own = self.roots if project is None else [*self.roots, project]
        for directory in {*_FOLDERS, *own}:
            for name in _local_modules(directory):
                sys.modules.pop(name, None)
        folders = {str(folder) for folder in _FOLDERS}
        sys.path[:] = [entry for entry in sys.path if entry not in folders]
        _FOLDERS[:] = own

    def dependencies(self) -> list[str]:
        """The local files that the file has imported so far."""
        names = {name for root in self.roots for name in _local_modules(root)}
        files = {str(sys.modules[name].__file__) for name in names if not name.startswith(PREFIX)}
        return sorted(file for file in files if os.path.exists(file))  # noqa: PTH110 it is quicker

    def lines(self) -> dict[str, int]:
        """The line of each top-level definition, decorators not counted."""
        found: dict[str, int] = {}
        pending = list(ast.parse(self.source).body)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[node.name] = node.lineno
            elif isinstance(node, ast.If | ast.Try | ast.With):
                pending += node.body + getattr(node, "orelse", [])
        return found

    def owns(self, value: object) -> bool:
        """Whether `value` was defined in the file rather than imported into it."""
        return getattr(value, "__module__", None) == self.module.__name__


def _roots(path: Path, source: bytes) -> list[Path]:
    """The folders that imports of a file begin in: its own, and the one that its package lies in.

    A folder is a package if it has an `__init__.py`, or if the file's relative imports say so.
    """
    try:
        nodes = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError):
        return [path.parent]
    levels = max((node.level for node in nodes if isinstance(node, ast.ImportFrom)), default=0)
    root = path.parent
    while root != root.parent and (levels > 0 or (root / "__init__.py").exists()):
        levels -= 1
        root = root.parent
    return list(dict.fromkeys([path.parent, root]))


def _project(path: Path) -> Path | None:
    """The folder of the project that a file is of, in which absolute imports may begin, too."""
    marks = ("pyproject.toml", "setup.py", ".git")
    return next((f for f in path.parents if any((f / mark).exists() for mark in marks)), None)


def describe(error: BaseException) -> dict[str, object]:
    """An exception as data: type, message, line in the loaded file, bounded traceback."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    frames = traceback.extract_tb(error.__traceback__)
    for frame in frames:
        module = sys.modules.get(PREFIX + re.sub(r"\W", "_", Path(frame.filename).stem))
        if module is not None and getattr(module, "__file__", None) == frame.filename:
            line = frame.lineno
    try:
        message = str(error)
    except Exception:
        message = "(its message cannot be shown)"
    if isinstance(error, SystemExit):
        message = f"the code called sys.exit({'' if error.code is None else repr(error.code)})"
    ours = str(Path(__file__).parent)
    shown = [frame for frame in frames if not frame.filename.startswith(ours)]
    text = "".join(traceback.format_list(shown[-12:]))
    last = frames[-1] if frames else None
    return {
        "type": type(error).__name__,
        "message": message[:_MAX_TEXT],
        "line": line,
        "traceback": text[-_MAX_TEXT:],
        # Whether the file itself says that this is an error, rather than failing by accident.
        "deliberate": last is not None
        and last.lineno == line
        and (last.line or "").startswith(("raise", "assert")),
        "category": getattr(error, "category", None) if isinstance(error, StageError) else None,
    }


def signature(function: object) -> inspect.Signature | None:
    """The signature of a callable, or None where Python cannot tell; a class's is its `__init__`'s."""
    try:
        if not isinstance(function, type):
            return inspect.signature(function)
        # Not that of the class: flax's metaclass hides it behind (*args, **kwargs).
        found = inspect.signature(function.__init__)
        return found.replace(parameters=list(found.parameters.values())[1:])
    except (TypeError, ValueError):
        return None
