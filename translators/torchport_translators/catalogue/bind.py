"""Binding a call's arguments to a rule's parameters, and choosing among overloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torchport_translators.catalogue.load import Rule
from torchport_translators.source import kinds as k
from torchport_translators.source.kinds import Kind

T = TypeVar("T")

IGNORED = frozenset(
    [
        "device",
        "layout",
        "pin_memory",
        "memory_format",
        "non_blocking",
        "inplace",
        "requires_grad",
        "copy",
        "_stacklevel",
        "check_reduction",
    ]
)
"""Arguments that have no meaning in the target and are dropped wherever they stand."""

# torch accepts numpy's spellings.
_SPELLINGS = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x1": "input", "x2": "other"}

DTYPES = frozenset(
    [
        "float32",
        "float",
        "float64",
        "double",
        "float16",
        "half",
        "bfloat16",
        "complex64",
        "cfloat",
        "complex128",
        "cdouble",
        "uint8",
        "int8",
        "int16",
        "short",
        "int32",
        "int",
        "int64",
        "long",
        "bool",
        "uint16",
        "uint32",
        "uint64",
    ]
)

_DTYPE_ANNOTATIONS = frozenset(("jnp.dtype", "np.dtype", "mx.Dtype", "DTypeLike", "type"))
_DEVICE_ANNOTATIONS = frozenset(("jax.Device", "mx.Device", "str"))


@dataclass(slots=True)
class Bound(Generic[T]):
    """A call bound to a rule: an argument per parameter; several for a vararg."""

    rule: Rule
    arguments: dict[str, T]
    varargs: dict[str, list[T]]
    keywords: dict[str, T]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a rule does not take a call."""

    reason: str
    argument: str | None = None


def bind(
    rule: Rule,
    positional: Sequence[T],
    keywords: Mapping[str, T],
    starred: Callable[[T], bool] = lambda _: False,
) -> Bound[T] | Refusal:
    """Match arguments to parameters as Python would, with torch's other spellings understood."""
    arguments: dict[str, T] = {}
    varargs: dict[str, list[T]] = {}
    extra: dict[str, T] = {}
    slots = [param for param in rule.params if param.form == "positional"]
    rest = next((param for param in rule.params if param.form == "vararg"), None)
    for index, argument in enumerate(positional):
        if index < len(slots):
            if starred(argument):
                return Refusal("it unpacks arguments with * where each must be known")
            arguments[slots[index].name] = argument
        elif rest is not None:
            varargs.setdefault(rest.name, []).append(argument)
        else:
            return Refusal(f"it takes {len(slots)} positional arguments here")
    names = {param.name for param in rule.params if param.form in ("positional", "keyword")}
    kwarg = next((param for param in rule.params if param.form == "kwarg"), None)
    for spelled, argument in keywords.items():
        name = spelled
        if name not in names and _SPELLINGS.get(name) in names:
            name = _SPELLINGS[name]
        if name in arguments:
            return Refusal(f"argument {name} is given twice", name)
        if name in names:
            arguments[name] = argument
        elif rest is not None and name in ("size", "dims", "shape", "repeats", "tensors"):
            varargs.setdefault(rest.name, []).append(argument)
        elif spelled in IGNORED:
            continue
        elif kwarg is not None:
            extra[spelled] = argument
        else:
            return Refusal(f"argument {spelled} is not supported", spelled)
    for param in rule.params:
        if (
            param.form in ("positional", "keyword")
            and param.default is None
            and param.name not in arguments
            and param.name != "rngs"
        ):
            return Refusal(f"argument {param.name} is missing", param.name)
    return Bound(rule, arguments, varargs, extra)


def select(
    rules: Sequence[Rule], positional: Sequence[Kind], keywords: Mapping[str, Kind]
) -> Rule | None:
    """The first overload that takes arguments of these kinds."""
    for rule in rules:
        bound = bind(rule, positional, keywords)
        if isinstance(bound, Bound) and accepts(rule, bound.arguments, bound.varargs):
            return rule
    return None


def accepts(
    rule: Rule, arguments: Mapping[str, Kind], varargs: Mapping[str, Sequence[Kind]]
) -> bool:
    """Whether no argument's kind contradicts its parameter's annotation."""
    for param in rule.params:
        if param.annotation is None:
            continue
        if param.name in arguments and contradicts(param.annotation, arguments[param.name]):
            return False
        for kind in varargs.get(param.name, ()):
            # A lone tuple or list stands for the items.
            if not isinstance(kind, k.Sequence) and contradicts(param.annotation, kind):
                return False
    return True


def contradicts(annotation: str, kind: Kind) -> bool:
    """Whether a value of this kind cannot be meant by a rule's annotation.

    >>> contradicts("int | tuple", k.TENSOR), contradicts("int | tuple", k.UNKNOWN)
    (True, False)
    """
    names = {part.strip().partition("[")[0] for part in annotation.split("|")}
    match kind:
        case k.Tensor():
            return not names & {"jax.Array", "mx.array"}
        case k.Scalar("int"):
            return not names & {"int", "float", "complex"}
        case k.Scalar("float"):
            return not names & {"float", "complex"}
        case k.Scalar("bool"):
            return "bool" not in names
        case k.Scalar("str"):
            return not names & {"str", "jax.Device"}
        case k.Scalar("none"):
            return "None" not in names
        case k.Scalar("dtype"):
            return not names & _DTYPE_ANNOTATIONS
        case k.Scalar("device"):
            return not names & _DEVICE_ANNOTATIONS
        case k.Sequence():
            return not names & {"tuple", "list", "Sequence"}
        case k.Mapping():
            return "dict" not in names
        case k.Instance() | k.ClassRef() | k.FunctionRef() | k.Factory():
            return not names & {"nnx.Module", "Callable", "nn.Module"}
        case k.Api(path):
            name = path.rpartition(".")[2]
            return contradicts(annotation, k.Scalar("dtype")) if name in DTYPES else False
        case k.External("builtins.float" | "builtins.int" | "builtins.bool"):
            return not names & _DTYPE_ANNOTATIONS
        case _:
            return False
