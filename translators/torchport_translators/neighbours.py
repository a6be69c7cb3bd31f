"""Which files belong together: those that import each other, as far as they lie in one tree."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torchport_translators.files import STDIN, FileProblem, Found, SourceFile, read_source
from torchport_translators.project import File, Project, imported_modules
from torchport_translators.source.syntax import Source


class Neighbourhood:
    """Finds what is to be read together.

    Args:
        files: those that are ported.
        port_name: the module name of a file's port; None where no other file can import it.
    """

    def __init__(
        self,
        files: Sequence[SourceFile],
        target: str,
        port_name: Callable[[SourceFile], str | None],
    ) -> None:
        self._target = target
        self._port_name = port_name
        self._given = {file.path.resolve(): file for file in files if file.path != STDIN}
        self._sources: dict[Path, Source | None] = {}
        self._imported: dict[Path, list[Path]] = {}
        self._importing: dict[Path, list[Path]] | None = None

    def hold(self, path: Path, text: str) -> None:
        """Take a text for what a file holds: it may not be saved yet."""
        self._sources[path.resolve()] = Source(text)

    @contextmanager
    def around(self, file: SourceFile) -> Generator[tuple[Project | None, list[SourceFile]]]:
        """A file with all that it imports or is imported by, read together.

        Gives the project, and those of its files that are ported, each after what it imports. There is
        no project for standard input, nor for a file that cannot be read or is nested too deeply.
        """
        start = file.path.resolve()
        if file.path == STDIN or self._source(start) is None:
            yield None, [file]
            return
        try:
            project = Project(self._target, map(self._file, self._connected(start)))
        except RecursionError:
            yield None, [file]
            return
        try:
            yield project, [self._given[p] for p in project.order() if p in self._given]
        finally:
            project.release()
            for path in project.files:
                del self._sources[path]

    def _file(self, path: Path) -> File:
        source = self._source(path)
        assert source is not None
        given = self._given.get(path)
        if given is not None:
            return File(path, source, self._port_name(given))
        # One that was ported before lies beside it.
        name = self._port_name(SourceFile(path, Path(path.name)))
        ported = name is not None and path.with_name(f"{name}.py").exists()
        return File(path, source, name if ported and name != path.stem else None)

    def _connected(self, start: Path) -> list[Path]:
        found = {start: None}
        queue = [start]
        while queue:
            path = queue.pop()
            for other in (*self._imports(path), *self._importers().get(path, ())):
                if other not in found:
                    found[other] = None
                    queue.append(other)
        return sorted(found)

    def _importers(self) -> dict[Path, list[Path]]:
        """By file, which of the given files import it."""
        if self._importing is None:
            self._importing = {}
            for path in self._given:
                for other in self._imports(path):
                    self._importing.setdefault(other, []).append(path)
        return self._importing

    def _imports(self, path: Path) -> list[Path]:
        """The files of the tree that a file imports."""
        known = self._imported.get(path)
        if known is None:
            source = self._source(path)
            modules = imported_modules(source) if source is not None else ()
            found = (place for module in modules for place in _places(path, module))
            known = self._imported[path] = [p for p in dict.fromkeys(found) if self._source(p)]
        return known

    def _source(self, path: Path) -> Source | None:
        """A file's tree; None where it cannot be read."""
        if path not in self._sources:
            try:
                self._sources[path] = Source(read_source(path).text)
            except FileProblem:
                self._sources[path] = None
        return self._sources[path]


def take_importers(found: Found) -> None:
    """Port files without torch, too, that import one that is ported: their ports import its port.

    A package's `__init__` is none of them: its names are imported from where they are defined.
    """
    taken = {file.path.resolve() for file in found.files if file.path != STDIN}
    imports = {
        file: set(_imports(file.path)) for file in found.plain if file.path.stem != "__init__"
    }
    packages = {path: set(_imports(path)) for path in _inits(imports)}
    more = True
    while more:
        reached = taken | {path for path, others in packages.items() if others & taken}
        new = [file for file, others in imports.items() if others & reached]
        more = bool(new)
        for file in new:
            del imports[file]
            taken.add(file.path.resolve())
            found.take(file)
    found.files.sort(key=lambda file: file.path)


def _inits(imports: dict[SourceFile, set[Path]]) -> set[Path]:
    return {path for others in imports.values() for path in others if path.stem == "__init__"}


def _imports(path: Path) -> Iterator[Path]:
    try:
        source = Source(read_source(path).text)
    except (FileProblem, RecursionError):
        return
    for module in imported_modules(source):
        yield from _places(path.resolve(), module)


def _places(path: Path, module: str) -> Iterator[Path]:
    """The files that importing a module from a file runs, as far as they lie around it."""
    dots = len(module) - len(module.lstrip("."))
    parts = [part for part in module.split(".") if part]
    if parts[:1] == ["torch"] and not dots:
        return
    for base in list(path.parents)[dots - 1 : dots] if dots else _bases(path):
        place = base.joinpath(*parts)
        choices = (place.with_name(f"{place.name}.py"), place / "__init__.py")
        found = next((choice for choice in choices if choice.is_file()), None)
        if found is None and not place.is_dir():
            continue
        # The packages on the way are run, too.
        for count in range(1, len(parts)):
            package = base.joinpath(*parts[:count], "__init__.py")
            if package.is_file():
                yield package.resolve()
        if found is not None and found != path:
            yield found.resolve()
        return


def _bases(path: Path) -> Iterator[Path]:
    """The folders in which a file's absolute imports can begin: up to that of its project."""
    for folder in path.parents:
        yield folder
        if not (folder / "__init__.py").exists() and any(
            (folder / mark).exists() for mark in ("pyproject.toml", "setup.py", ".git")
        ):
            return
        if folder == folder.parent.parent:
            return
