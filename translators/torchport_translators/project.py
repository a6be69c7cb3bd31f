"""Files that are ported together: what each knows of the others, and how their ports import each other.

A file that imports another of the project is read with what that one defines, so that a class is known
to be a module, and a function to need random state. Its port imports the other's port: where a name
comes through a package's `__init__`, from the module that defines it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torchport_translators.catalogue.load import catalogue
from torchport_translators.source import kinds as k
from torchport_translators.source.infer import Inference
from torchport_translators.source.kinds import Kind
from torchport_translators.source.syntax import Node, Source

_ROUNDS = 2
"""How often all files are read at most: what one calls another's functions with, and what files that
import each other define, is known after the first."""


@dataclass(slots=True)
class File:
    """A file of a project.

    Attributes:
        path: resolved.
        port: the module name of its port (`model_jax`); None where it is not ported.
        earlier: what the round before knew of it.
    """

    path: Path
    source: Source
    port: str | None
    inference: Inference | None = None
    earlier: Inference | None = None
    reading: bool = False

    @property
    def uses_torch(self) -> bool:
        return any(name.partition(".")[0] == "torch" for name in imported_modules(self.source))


class Project:
    """Files that know each other: all that can be imported, by resolved path."""

    def __init__(self, target: str, files: Iterable[File]) -> None:
        self.files = {file.path: file for file in files}
        self._known = catalogue(target)
        self._passed: dict[Path, dict[str, dict[str, Kind]]] = {}
        self._circular = False
        self._folders = {folder for path in self.files for folder in path.parents}
        for _ in range(_ROUNDS):
            for file in self.files.values():
                file.earlier, file.inference = file.inference, None
            for file in self.files.values():
                self.read(file)
            if not self._pass_on():
                break

    def links(self, path: Path) -> Linked:
        """What a file sees of the others."""
        return Linked(self, path)

    def final(self, path: Path) -> tuple[Source, Inference]:
        """A file as it was read with the others; what those draw is known by now."""
        file = self.files[path]
        assert self.read(file) is not None and file.inference is not None
        file.inference.spread_randomness()
        return file.source, file.inference

    def order(self) -> list[Path]:
        """The files, each after those that it imports, as far as there are no circles."""
        done: dict[Path, None] = {}
        seen: set[Path] = set()

        def visit(path: Path) -> None:
            if path in seen:
                return
            seen.add(path)
            for other in self._imports(self.files[path]):
                visit(other)
            done[path] = None

        for path in self.files:
            visit(path)
        return list(done)

    def release(self) -> None:
        """Take the trees apart: only the collector would free them."""
        for file in self.files.values():
            file.source.release()

    def find(self, path: Path, module: str) -> Path | None:
        """The file, or the folder of a package without code, that a file imports as `module`."""
        dots = len(module) - len(module.lstrip("."))
        parts = [part for part in module.split(".") if part]
        if parts[:1] == ["torch"] and not dots:
            return None
        if dots:
            bases: Iterable[Path] = list(path.parents)[dots - 1 : dots]
        else:
            bases = path.parents
        for base in bases:
            found = self.at(base.joinpath(*parts))
            if found is not None and (dots or parts):
                return found
        return None

    def at(self, place: Path) -> Path | None:
        """The file of a module, or the folder of a package without code, at a path without ending."""
        for choice in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if choice in self.files:
                return choice
        return place if place in self._folders else None

    def read(self, file: File) -> Inference | None:
        """What is known of a file, which is read if need be; while that is done, what was known."""
        if file.reading:
            self._circular = True
            return file.earlier
        if file.inference is None:
            file.reading = True
            links, passed = self.links(file.path), self._passed.get(file.path)
            file.inference = Inference(file.source, self._known, links, passed)
            file.reading = False
        return file.inference

    def _imports(self, file: File) -> Iterator[Path]:
        for module in imported_modules(file.source):
            found = self.find(file.path, module)
            if found is not None and found in self.files:
                yield found

    def _pass_on(self) -> bool:
        """Keep what functions were called with; whether some were from other files."""
        called = False
        for file in self.files.values():
            assert file.inference is not None
            called = called or file.inference.called_from_outside
            for function in file.inference.functions.values():
                told = {name: kind for name, kind in function.passed.items() if _is_plain(kind)}
                if told:
                    self._passed.setdefault(file.path, {})[function.qualname] = told
        return called or self._circular


def _is_plain(kind: Kind) -> bool:
    """Whether a kind says the same when its file has been read anew: it names no class of it."""
    match kind:
        case k.Tensor() | k.Scalar() | k.Factory() | k.External():
            return True
        case k.Sequence(items=items):
            return all(map(_is_plain, (*(items or ()), kind.element))) or kind.element == k.UNKNOWN
        case k.Instance(cls=None, items=None):
            return kind.element == k.UNKNOWN
        case _:
            return False


def imported_modules(source: Source) -> Iterator[str]:
    """The modules that a file imports, as it names them; `from . import x` is `.` and `.x`."""
    for node in source.nodes("import_statement"):
        for child in node.named():
            if child.field == "name":
                yield source[child["name"] if child.type == "aliased_import" else child]
    for node in source.nodes("import_from_statement"):
        module = node.get("module_name")
        if module is None:
            continue
        name = source[module]
        yield name
        for child in node.named():
            if child.field == "name":
                last = source[child["name"] if child.type == "aliased_import" else child]
                yield f"{name}{last}" if name.endswith(".") else f"{name}.{last}"


@dataclass(frozen=True, slots=True)
class Linked:
    """What one file sees of its project (`source.infer.Links`), and how its port imports the rest."""

    project: Project
    path: Path

    def find(self, module: str) -> Path | None:
        """The place of a module; None if it is not the project's, or stays torch's: to the port that
        is another library."""
        place = self.project.find(self.path, module)
        return None if place is None or self.unported(place) else place

    def below(self, package: Path, name: str) -> Path | None:
        folder = package.parent if package.name == "__init__.py" else package
        place = self.project.at(folder / name)
        return None if place is None or self.unported(place) else place

    def read(self, place: Path) -> Inference | None:
        file = self.project.files.get(place)
        return self.project.read(file) if file is not None else None

    def port(self, place: Path) -> str | None:
        file = self.project.files.get(place)
        return file.port if file is not None else None

    def home(self, package: Path, name: str) -> str | None:
        inference = self.read(package)
        scope = inference.module.scope if inference is not None else None
        match scope.names.get(name) if scope is not None else None:
            case k.ClassRef(cls):
                home = cls.home
            case k.FunctionRef(function=function):
                home = function.home
            case _:
                return None
        file = next((f for f in self.project.files.values() if f.inference is home), None)
        if file is None or file.port is None or not file.path.is_relative_to(package.parent):
            return None
        folders = file.path.parent.relative_to(package.parent).parts
        return ".".join((*folders, file.port))

    def leads_to_port(self, place: Path) -> bool:
        """Whether a module is ported, or a package that passes on names of what is."""
        if self.port(place) is not None:
            return True
        inference = self.read(place)
        scope = inference.module.scope if inference is not None else None
        return any(self.home(place, name) for name in (scope.names if scope is not None else ()))

    def unported(self, place: Path) -> bool:
        """Whether a module uses torch, and has no port."""
        file = self.project.files.get(place)
        return file is not None and file.port is None and file.uses_torch

    def passes_unported(self, module: str, name: str, depth: int = 8) -> bool:
        """Whether a name of a module is one that it has from a module that is not ported."""
        place = self.project.find(self.path, module)
        file = self.project.files.get(place) if place is not None else None
        if file is None or file.port is not None or not depth:
            return False
        inner = self.project.links(file.path)
        for node in file.source.nodes("import_from_statement"):
            origin = node.get("module_name")
            for child in names_of(node):
                aliased = child.type == "aliased_import"
                if origin is None or file.source[child["alias"] if aliased else child] != name:
                    continue
                own = file.source[child["name"]] if aliased else name
                home = self.project.find(file.path, file.source[origin])
                if home is not None and self.unported(home):
                    return True
                return inner.passes_unported(file.source[origin], own, depth - 1)
        return False


def names_of(node: Node) -> list[Node]:
    """The names that a `from` import takes, in order."""
    return [child for child in node.named() if child.field == "name"]
