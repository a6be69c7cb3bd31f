"""The imports of a port: what it needs of the target, under names that the source leaves free."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """`import module [as alias]`, or `from module import name [as alias]`."""

    module: str
    name: str | None
    alias: str

    def text(self) -> str:
        if self.name is None:
            plain = self.alias == self.module
            return f"import {self.module}" if plain else f"import {self.module} as {self.alias}"
        return f"from {self.module} import {self.item()}"

    def item(self) -> str:
        return f"{self.name}" if self.alias == self.name else f"{self.name} as {self.alias}"

    @property
    def binds(self) -> str:
        """The name that it binds: `import os.path` binds `os`."""
        return self.alias.partition(".")[0]

    @property
    def section(self) -> int:
        """Its block in a sorted file: 0 the standard library, 1 other packages, 2 the project."""
        return section_of(self.module)


def section_of(module: str) -> int:
    root = module.partition(".")[0]
    if root == "__future__":
        return -1
    return 2 if not root else 0 if root in sys.stdlib_module_names else 1


ROOTS = {
    "jax": Import("jax", None, "jax"),
    "jnp": Import("jax.numpy", None, "jnp"),
    "lax": Import("jax", "lax", "lax"),
    "nnx": Import("flax", "nnx", "nnx"),
    "optax": Import("optax", None, "optax"),
    "np": Import("numpy", None, "np"),
    "mx": Import("mlx.core", None, "mx"),
    "nn": Import("mlx.nn", None, "nn"),
    "optim": Import("mlx.optimizers", None, "optim"),
    "math": Import("math", None, "math"),
    "partial": Import("functools", "partial", "partial"),
}
"""The names by which rule texts and `NAMES` call their libraries."""


@dataclass(slots=True)
class Imports:
    """The imports that a port needs, collected while it is written.

    Attributes:
        taken: names that the source binds; an import whose name is among them gets another.
        present: what the source imports itself, under whatever name.
    """

    taken: set[str] = field(default_factory=set[str])
    present: set[Import] = field(default_factory=set[Import])
    needed: set[Import] = field(default_factory=set[Import])

    def add(self, module: str, name: str | None, alias: str) -> str:
        """Note an import; the name under which the port has it."""
        wanted = Import(module, name, alias)
        if wanted not in self.present and alias in self.taken:
            same = [i for i in self.present if (i.module, i.name) == (module, name)]
            wanted = min(same) if same else Import(module, name, self._free(wanted))
        self.needed.add(wanted)
        return wanted.alias

    def root(self, name: str) -> str:
        """Note the import of one of `ROOTS`; the name under which the port has it."""
        root = ROOTS[name]
        return self.add(root.module, root.name, root.alias)

    def add_root(self, dotted: str) -> str:
        """Note the import that a dotted target name such as "jnp.float32" needs; its text here."""
        root, dot, rest = dotted.partition(".")
        return f"{self.root(root)}{dot}{rest}" if root in ROOTS else dotted

    def _free(self, wanted: Import) -> str:
        """Another name: `jax_numpy` for `jnp`, `functools_partial` for `partial`."""
        path = wanted.module if wanted.name is None else f"{wanted.module}.{wanted.name}"
        name = path.replace(".", "_")
        while name in self.taken:
            name += "_"
        return name


def statements(imports: Iterable[Import]) -> list[str]:
    """Import statements, `import` before `from`, the names of one module together."""
    ordered = sorted(imports, key=lambda i: (i.module, i.name or "", i.alias))
    plain = [item.text() for item in ordered if item.name is None]
    grouped: dict[str, list[str]] = {}
    for item in ordered:
        if item.name is not None:
            grouped.setdefault(item.module, []).append(item.item())
    return plain + [f"from {module} import {', '.join(names)}" for module, names in grouped.items()]


_STRING = r"""(?:"{3}(?:\\.|[^\\])*?"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
_TOKEN = re.compile(
    rf"#[^\n]*|(?P<prefix>[rRbBuUfF]{{0,2}})(?P<string>{_STRING})"
    r"|(?P<keyword>[^\W\d]\w*)[ \t]*=(?!=)"
    r"|(?<![\w.])(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)|\.[^\W\d]\w*",
    re.DOTALL,
)
_HOLE = re.compile(r"\{([^{}]*)")


@lru_cache(maxsize=4096)  # helpers stand in port after port, and small edits are often alike
def names_in(code: str) -> frozenset[str]:
    """The dotted names that a piece of Python uses: not in strings or comments, no attributes.

    >>> sorted(names_in('f(jnp.sum(x), axis=1, s="math.pi", t=f"{np.pi}")'))
    ['f', 'jnp.sum', 'np.pi', 'x']
    """
    found: set[str] = set()
    for match in _TOKEN.finditer(code):
        if match["name"]:
            found.add(match["name"])
        elif match["string"] and match["prefix"].lower().strip("rb") == "f":
            for hole in _HOLE.findall(match["string"]):
                found |= names_in(hole)
    return frozenset(found)
