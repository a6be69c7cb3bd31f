"""Imports of a project's other files: a port imports their ports.

`from .layers import Scale` becomes `from .layers_jax import Scale`; a name that a package passes on is
imported from the port of the module that defines it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torchport_translators.project import names_of
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node

if TYPE_CHECKING:
    from torchport_translators.project import Linked
    from torchport_translators.rewriter import Rewriter


def link(rw: Rewriter, links: Linked, nodes: Sequence[Node]) -> int:
    """Write the imports among some statements; how many of them import a port now."""
    linked = 0
    for outer in nodes:
        for node in rw.source.nodes("import_statement", outer):
            linked += _modules(rw, links, node)
        for node in rw.source.nodes("import_from_statement", outer):
            linked += _names(rw, links, node)
    return linked


def _modules(rw: Rewriter, links: Linked, node: Node) -> bool:
    """`import net.model`"""
    linked = False
    for child in names_of(node):
        aliased = child.type == "aliased_import"
        module = rw.source[child["name"] if aliased else child]
        place = links.project.find(links.path, module)
        if place is None:
            continue
        if links.unported(place):
            _tell(rw, module, child)
            continue
        ported = links.port(place)
        if ported is not None:
            name = _dotted(module.rpartition(".")[0], ported)
            bound = rw.source[child["alias"]] if aliased else module
            new = name if "." in bound or name == bound else f"{name} as {bound}"
        else:
            homes = [_dotted(module, home) for home in _passed_on(rw, links, place)]
            new = ", ".join([*homes, *([rw.source[child]] if aliased else [])])
            if not homes:
                continue
        linked = linked or new != rw.source[child]
        rw.edits.replace(child.start, child.end, new)
    return linked


def _passed_on(rw: Rewriter, links: Linked, package: Path) -> list[str]:
    """The ports, named from the package, of what the file takes from it as `package.Name`."""
    nodes = (n for n in rw.source.nodes("attribute") if n["object"].kind == k.ModuleRef(package))
    homes = (links.home(package, rw.source[node["attribute"]]) for node in nodes)
    return list(dict.fromkeys(home for home in homes if home is not None))


def _names(rw: Rewriter, links: Linked, node: Node) -> bool:
    """`from net import Net, model`"""
    written = node.get("module_name")
    place = links.project.find(links.path, rw.source[written]) if written is not None else None
    if written is None or place is None:
        return False
    module = rw.source[written]
    if links.unported(place):
        _tell(rw, module, node)
        return False
    ported = links.port(place)
    if ported is not None:
        new = _port_of(module, place, ported)
        rw.edits.replace(written.start, written.end, new)
        return new != module
    statements: dict[str, list[str]] = {}
    for home, item in _items(rw, links, module, place, node):
        statements.setdefault(home, []).append(item)
    if [(module, [rw.source[child] for child in names_of(node)])] == list(statements.items()):
        return False
    newline = f"\n{rw.source.indent(node)}"
    lines = [f"from {home} import {', '.join(items)}" for home, items in statements.items()]
    if lines:
        rw.edits.replace(node.start, node.end, newline.join(lines))
    return bool(lines)


def _items(
    rw: Rewriter, links: Linked, module: str, package: Path, node: Node
) -> Iterator[tuple[str, str]]:
    """For each name taken from a package where the port imports it from, and how."""
    for child in names_of(node):
        aliased = child.type == "aliased_import"
        name = rw.source[child["name"] if aliased else child]
        home = links.home(package, name)
        inner = links.project.at(_folder(package) / name)
        ported = links.port(inner) if inner is not None else None
        if home is not None:
            yield _dotted(module, home), rw.source[child]
        elif ported is not None:
            bound = rw.source[child["alias"]] if aliased else name
            yield module, ported if ported == bound else f"{ported} as {bound}"
        else:
            if (inner is not None and links.unported(inner)) or links.passes_unported(module, name):
                _tell(rw, _dotted(module, name), child)
            yield module, rw.source[child]


def _port_of(module: str, place: Path, ported: str) -> str:
    """How the port of a module is imported that is imported as `module` itself."""
    if place.name == "__init__.py":
        return _dotted(module, ported)
    dots = module[: len(module) - len(module.lstrip("."))]
    folders = module[len(dots) :].rpartition(".")[0]
    return f"{dots}{_dotted(folders, ported)}"


def _dotted(module: str, name: str) -> str:
    return f"{module}.{name}" if module.strip(".") else f"{module}{name}"


def _folder(package: Path) -> Path:
    return package.parent if package.name == "__init__.py" else package


def _tell(rw: Rewriter, module: str, node: Node) -> None:
    rw.find(
        "unported-import",
        f"{module} uses torch and is not ported with this file, so its original is imported",
        node,
    )
