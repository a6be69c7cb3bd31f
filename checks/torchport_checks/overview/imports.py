"""Which of a project's files import which others, and the order in which that suggests to port them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Imported(NamedTuple):
    """One import statement's part: `from ..package import name` is `(2, "package", "name")`."""

    level: int
    module: str
    name: str | None


def imports_of(text: str) -> list[Imported]:
    """What a text imports, in any of its scopes; nothing where it does not parse."""
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: dict[Imported, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {Imported(0, alias.name, None): None for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {
                Imported(node.level, node.module or "", alias.name): None for alias in node.names
            }
    return list(found)


@dataclass(slots=True)
class Modules:
    """The modules of a project, by path: "src/net/layers.py", with slashes, below its root.

    A name is looked up as Python would with each folder above the importing file on its path, the
    nearest first, and then where only one folder of the project has a module of that name: so it
    needs neither an installed package nor to know where a project keeps its sources.
    """

    files: frozenset[str]
    _homes: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])

    def __post_init__(self) -> None:
        homes: dict[str, set[str]] = {}
        for file in self.files:
            *folders, name = file.split("/")
            stem = name.removesuffix(".py")
            if stem != "__init__":
                homes.setdefault(stem, set()).add("/".join(folders))
            for depth, folder in enumerate(folders):
                homes.setdefault(folder, set()).add("/".join(folders[:depth]))
        self._homes = {name: sorted(found) for name, found in homes.items()}

    def targets(self, file: str, imported: Imported) -> list[str]:
        """The files that an import in a file may mean: a module, or a package's `__init__.py`."""
        parts = imported.module.split(".") if imported.module else []
        for base in self._bases(file, imported.level, parts):
            module = [*base, *parts]
            if imported.name is not None and (inner := self._file([*module, imported.name])):
                return [inner]
            if found := self._file(module):
                return [found]
        return []

    def _bases(self, file: str, level: int, parts: Sequence[str]) -> Iterator[list[str]]:
        folders = file.split("/")[:-1]
        if level:
            if level - 1 <= len(folders):
                yield folders[: len(folders) - level + 1]
            return
        for depth in range(len(folders), -1, -1):
            yield folders[:depth]
        homes = self._homes.get(parts[0], []) if parts else []
        if len(homes) == 1:
            yield homes[0].split("/") if homes[0] else []

    def _file(self, module: Sequence[str]) -> str | None:
        for path in ("/".join(module) + ".py", "/".join((*module, "__init__.py"))):
            if path in self.files:
                return path
        return None


def needs(
    wanted: frozenset[str], imports: Mapping[str, Iterable[Imported]]
) -> dict[str, frozenset[str]]:
    """For each wanted file the wanted files that it imports, itself or through others that are not.

    Args:
        wanted: the files to port.
        imports: what each file of the project imports.
    """
    modules = Modules(frozenset(imports))
    direct = {
        file: {target for item in found for target in modules.targets(file, item)} - {file}
        for file, found in imports.items()
    }
    reached: dict[str, frozenset[str]] = {}
    for file in wanted:
        seen: set[str] = set()
        left = list(direct.get(file, ()))
        while left:
            at = left.pop()
            if at in seen:
                continue
            seen.add(at)
            if at not in wanted:
                left += direct.get(at, ())
        reached[file] = frozenset(seen & wanted) - {file}
    return reached


def order(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The files in groups, each after all that it needs; a group is one file, or a cycle of them.

    Groups that need nothing come first, then those that need only these, and so on; among equals the one
    that most others wait for, then the name.
    """
    groups = _cycles(graph)
    number = {file: at for at, group in enumerate(groups) for file in group}
    below = [
        {number[n] for file in group for n in graph[file]} - {at} for at, group in enumerate(groups)
    ]
    depth: list[int] = []
    waiting = [0] * len(groups)
    for found in below:  # each group comes after those that it needs
        depth.append(1 + max((depth[other] for other in found), default=-1))
        for other in found:
            waiting[other] += 1
    ranked = sorted(range(len(groups)), key=lambda at: (depth[at], -waiting[at], groups[at]))
    return [groups[at] for at in ranked]


def _cycles(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The strongly connected components, each after those that it needs (Tarjan 1972, iterative)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[list[str]] = []
    for root in sorted(graph):
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = [(root, iter(sorted(graph[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    at = stack.index(node)
                    found.append(sorted(stack[at:]))
                    on_stack.difference_update(stack[at:])
                    del stack[at:]
            elif following not in index:
                index[following] = low[following] = len(index)
                stack.append(following)
                on_stack.add(following)
                work.append((following, iter(sorted(graph[following]))))
            elif following in on_stack:
                low[node] = min(low[node], index[following])
    return found
