"""What an expression evaluates to, as far as reading the file tells.

A kind says *what* (a tensor, an int, an instance of a class, a torch name, ...) and, for tensors,
how *sure* we are: SURE from annotations, creation and torch results; LIKELY from convention and use
(an unannotated argument of `forward`); UNSURE where only an ambiguous method name speaks for it.
SURE and LIKELY are rewritten, UNSURE becomes a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchport_translators.source.scopes import Class, Function


class Confidence(IntEnum):
    UNSURE = 0
    LIKELY = 1
    SURE = 2


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A torch tensor.

    Attributes:
        sure: how sure we are that it is one.
        variable: it is held by a module as a parameter or buffer (an `nnx.Variable` in a port).
        integer: its dtype is integer or bool, where that is known.
        rank: its number of axes, where that is known.
        boolean: its dtype is known to be bool.
        loaded: a loader gave it that is not made in this file, and may be torch's in a port.
    """

    sure: Confidence = Confidence.SURE
    variable: bool = False
    integer: bool | None = None
    rank: int | None = None
    boolean: bool = False
    loaded: bool = False


@dataclass(frozen=True, slots=True)
class Scalar:
    """A Python value: "int", "float", "bool", "str", "none", "dtype", "device", "slice", ..."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """A "tuple", "list", "set", "size" or "batch"; `items` where each is known, else what all are.

    A batch is what a loader gives: tensors in a tuple, list or dict, or one tensor.

    `fields` are a named tuple's names.
    """

    name: str
    items: tuple[Kind, ...] | None = None
    element: Kind = Unknown()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """A dict (or `nn.ModuleDict`)."""

    element: Kind = Unknown()


@dataclass(frozen=True, slots=True)
class Api:
    """A name under `torch`: a module, a function, a class or a constant, not called yet."""

    path: str


@dataclass(frozen=True, slots=True)
class Factory:
    """A torch function or class held in a variable: `norm_layer=nn.LayerNorm`, `act = F.relu`."""

    path: str


@dataclass(frozen=True, slots=True)
class External:
    """A name of another library, such as `numpy.sqrt`, or a builtin."""

    path: str


@dataclass(frozen=True, slots=True)
class ModuleRef:
    """A module or package of the same project: its file, or the folder of one without code."""

    place: Path


@dataclass(frozen=True, slots=True)
class Instance:
    """An object made by calling a torch class (`api`) or a class of this file (`cls`).

    `element` is what a container of modules holds, `items` each of them where that is known, and
    `among` the classes of which it is one.
    """

    api: str | None = None
    cls: Class | None = None
    element: Kind = Unknown()
    items: tuple[Kind, ...] | None = None
    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassRef:
    """A class of this file."""

    cls: Class


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A function or method of this file; bound when `receiver` is known."""

    function: Function
    receiver: Kind | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a value that is not defined in this file: `receiver.name`."""

    receiver: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Transformed:
    """A function that a torch transform makes of another: `torch.func.grad(f)`.

    Attributes:
        path: the transform.
        function: what it transforms.
        argnums: of which arguments it takes derivatives: an index, or several.
        has_aux: whether `function` returns more than what is differentiated.
    """

    path: str
    function: Kind
    argnums: int | tuple[int, ...] = 0
    has_aux: bool = False


@dataclass(frozen=True, slots=True)
class Super:
    """What `super()` gives in a method of `cls`."""

    cls: Class


Kind = (
    Unknown
    | Tensor
    | Scalar
    | Sequence
    | Mapping
    | Api
    | Factory
    | External
    | ModuleRef
    | Instance
    | ClassRef
    | FunctionRef
    | Method
    | Transformed
    | Super
)

UNKNOWN = Unknown()
TENSOR = Tensor()
LIKELY_TENSOR = Tensor(Confidence.LIKELY)
INT = Scalar("int")
FLOAT = Scalar("float")
BOOL = Scalar("bool")
STR = Scalar("str")
NONE = Scalar("none")
SIZE = Sequence("size", element=INT)
BATCH = Sequence("batch", element=LIKELY_TENSOR)
LOADER = Instance("torch.utils.data.DataLoader", element=BATCH)
GIVEN_LOADER = Instance(
    "torch.utils.data.DataLoader",
    element=Sequence("batch", element=Tensor(Confidence.LIKELY, loaded=True)),
)


def join(left: Kind, right: Kind) -> Kind:
    """The kind of a value that is `left` on one path and `right` on another.

    `None` joins away (an optional tensor is a tensor where it is used as one), and a tensor beside
    something unknown stays a tensor, but no more than likely.
    """
    if left == right:
        return left
    for one, other in ((left, right), (right, left)):
        match one, other:
            case Scalar("none"), _:
                return other
            case Tensor(), Tensor():
                return Tensor(
                    min(one.sure, other.sure),
                    one.variable and other.variable,
                    one.integer if one.integer == other.integer else None,
                    one.rank if one.rank == other.rank else None,
                    one.boolean and other.boolean,
                )
            case Tensor(), Unknown():
                return Tensor(min(one.sure, Confidence.LIKELY))
            case Tensor(), Scalar("int" | "float" | "bool"):
                return Tensor(min(one.sure, Confidence.LIKELY))
            case Sequence(), Sequence() if one.name == other.name:
                if (
                    one.items is not None
                    and other.items is not None
                    and len(one.items) == len(other.items)
                ):
                    items = tuple(map(join, one.items, other.items))
                    return Sequence(one.name, items, fields=one.fields)
                return Sequence(one.name, element=join(element(one), element(other)))
            case Scalar("int"), Scalar("float"):
                return FLOAT
            case Instance(), Instance() if _is_module(one) and _is_module(other):
                apis = [api for kind in (one, other) for api in kind.among or (kind.api,)]
                among = tuple(dict.fromkeys(api for api in apis if api is not None))
                return Instance("torch.nn.Module", among=among if None not in apis else ())
            case Scalar(), Unknown():
                return UNKNOWN
            case Unknown(), _:
                return other
            case _:
                continue
    return UNKNOWN


def _is_module(kind: Instance) -> bool:
    if kind.cls is not None:
        return kind.cls.is_module
    return (kind.api or "").startswith("torch.nn.")


def element(kind: Kind) -> Kind:
    """What iterating over (or indexing) a value gives."""
    match kind:
        case Sequence(items=tuple() as items) if items:
            result = items[0]
            for item in items[1:]:
                result = join(result, item)
            return result
        case Sequence() | Mapping() | Instance():
            return kind.element
        case Tensor():
            return Tensor(
                kind.sure,
                integer=kind.integer,
                rank=None if kind.rank is None else max(kind.rank - 1, 0),
            )
        case _:
            return UNKNOWN


def is_tensor(kind: Kind | None, at_least: Confidence = Confidence.LIKELY) -> bool:
    return isinstance(kind, Tensor) and kind.sure >= at_least
