"""The functions and classes of a file, and what inference finds out about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from torchport_translators.source.kinds import External, Kind
from torchport_translators.source.syntax import Node

if TYPE_CHECKING:
    from torchport_translators.source.infer import Inference


@dataclass(slots=True, eq=False)
class Scope:
    """Names to kinds, in one function or module; flow-sensitive while inference walks it."""

    names: dict[str, Kind]
    parent: Scope | None = None

    def lookup(self, name: str) -> Kind:
        scope: Scope | None = self
        while scope is not None:
            kind = scope.names.get(name)
            if kind is not None:
                return kind
            scope = scope.parent
        return _builtin(name)


@lru_cache(maxsize=1024)
def _builtin(name: str) -> Kind:
    return External(f"builtins.{name}")


@dataclass(slots=True)
class Parameter:
    """A parameter as written: `form` is "positional", "vararg", "keyword" or "kwarg"."""

    name: str
    form: str
    node: Node
    annotation: Node | None = None
    default: Node | None = None


@dataclass(slots=True, eq=False, repr=False)
class Function:
    """A function, method or lambda of a file.

    Attributes:
        home: the inference that has read it, which is another one for what a file imports.
        returns: what it returns, once its body has been read.
        evidence: kinds of parameters that its body's use of them speaks for.
        passed: kinds of arguments seen at calls in this file.
        calls: functions and constructors of this file that it calls.
        draws: it calls torch APIs whose ports take `rngs`.
        random: it draws, or calls what does, so that its port needs `rngs`.
        decorators: as they are written, without the `@`.
        seeded: it seeds torch's generator, so that its port makes its own `rngs`.
        reads: the functions and classes whose facts its body was read with.
        read_at: when its body was last read, in ticks of inference's clock.
        entry: the kinds of its parameters that its body was read with.
        changed_at: when what is known of it, its result included, last changed.
    """

    node: Node
    name: str
    home: Inference
    cls: Class | None = None
    outer: Function | None = None
    decorators: tuple[str, ...] = ()
    parameters: list[Parameter] = field(default_factory=list[Parameter])
    scope: Scope | None = None
    returns: Kind | None = None
    evidence: dict[str, Kind] = field(default_factory=dict[str, Kind])
    passed: dict[str, Kind] = field(default_factory=dict[str, Kind])
    calls: list[Function] = field(default_factory=list["Function"])
    draws: bool = False
    random: bool = False
    seeded: bool = False
    reads: set[Function | Class] = field(default_factory=set["Function | Class"])
    read_at: int = 0
    entry: dict[str, Kind] = field(default_factory=dict[str, "Kind"])
    changed_at: int = 0

    @property
    def qualname(self) -> str:
        owner = self.cls.name if self.cls else self.outer.qualname if self.outer else None
        return f"{owner}.{self.name}" if owner else self.name

    def __repr__(self) -> str:
        return f"<function {self.qualname}>"

    @property
    def is_static(self) -> bool:
        return "staticmethod" in self.decorators

    @property
    def is_property(self) -> bool:
        return not {"property", "cached_property"}.isdisjoint(self.decorators)

    @property
    def is_constructor(self) -> bool:
        return self.cls is not None and self.name == "__init__"


@dataclass(slots=True, eq=False, repr=False)
class Class:
    """A class of a file.

    Attributes:
        home: the inference that has read it, which is another one for what a file imports.
        is_module: it derives from `torch.nn.Module`, directly or through a class of the file.
        attributes: kinds of what its methods assign to `self`.
        reads_training: its methods read `self.training`.
        keeps_rngs: its methods draw random numbers, so that its port holds `rngs`.
        changed_at: when its attributes last changed, in ticks of inference's clock.
    """

    node: Node
    name: str
    home: Inference
    bases: list[Kind] = field(default_factory=list[Kind])
    is_module: bool = False
    methods: dict[str, Function] = field(default_factory=dict[str, Function])
    attributes: dict[str, Kind] = field(default_factory=dict[str, Kind])
    reads_training: bool = False
    keeps_rngs: bool = False
    changed_at: int = 0

    def __repr__(self) -> str:
        return f"<class {self.name}>"

    def lineage(self) -> Iterator[Class]:
        """This class and its bases in this file, nearest first."""
        from torchport_translators.source.kinds import ClassRef

        seen: set[int] = set()
        queue: list[Class] = [self]
        while queue:
            cls = queue.pop(0)
            if id(cls) in seen:
                continue
            seen.add(id(cls))
            yield cls
            queue.extend(base.cls for base in cls.bases if isinstance(base, ClassRef))

    def method(self, name: str) -> Function | None:
        if name in self.methods:
            return self.methods[name]
        return next((c.methods[name] for c in self.lineage() if name in c.methods), None)

    def attribute(self, name: str) -> Kind | None:
        if name in self.attributes:
            return self.attributes[name]
        return next((c.attributes[name] for c in self.lineage() if name in c.attributes), None)

    def torch_base(self) -> str | None:
        """The torch class that it derives from, e.g. "torch.nn.Module"."""
        from torchport_translators.source.kinds import Api

        for cls in self.lineage():
            for base in cls.bases:
                if isinstance(base, Api):
                    return base.path
        return None
