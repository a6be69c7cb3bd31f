"""What operators, builtins and other libraries give, by the kinds of their operands."""

from __future__ import annotations

import ast
from functools import lru_cache

from torchport_translators.source import kinds as k
from torchport_translators.source.kinds import Kind
from torchport_translators.source.scopes import Class

# Canonical names of torch modules that are reached by more than one path.
_ALIASES = {
    "torch.nn.parameter": "torch.nn",
    "torch.nn.modules": "torch.nn",
    "torch.functional": "torch",
    "torch.autograd.function": "torch.autograd",
    "functorch": "torch.func",
}


def external_result(path: str, kinds: list[Kind], cls: Class | None) -> Kind:
    """What calling a builtin or a function of another library gives.

    `kinds` are the positional arguments'; `cls` is the class around the call, for `super()`.
    """
    module, _, name = path.rpartition(".")
    if module == "builtins":
        return builtin_result(name, kinds, cls)
    if module == "math":
        return k.INT if name in ("floor", "ceil", "prod", "comb", "isqrt", "gcd") else k.FLOAT
    if module.split(".")[0] == "numpy":
        return k.Scalar("ndarray")
    if module.split(".")[0] == "einops" and kinds:
        return k.element(kinds[0]) if isinstance(kinds[0], k.Sequence) else kinds[0]
    if (path in ("copy.deepcopy", "copy.copy") or path.endswith(".tqdm")) and kinds:
        return kinds[0]
    if path == "collections.OrderedDict":
        return k.Mapping(pair_value(kinds[0]) if kinds else k.UNKNOWN)
    return k.UNKNOWN


def builtin_result(name: str, kinds: list[Kind], cls: Class | None) -> Kind:
    """What calling a builtin gives."""
    first = kinds[0] if kinds else k.UNKNOWN
    match name:
        case "len" | "int" | "round" | "ord" | "hash" | "id":
            return k.INT
        case "float":
            return k.FLOAT
        case "bool" | "isinstance" | "hasattr" | "callable" | "any" | "all" | "issubclass":
            return k.BOOL
        case "str" | "repr" | "format" | "chr":
            return k.STR
        case "range":
            return k.Sequence("list", element=k.INT)
        case "list" | "tuple" | "sorted" | "reversed" | "set":
            of = first.items if isinstance(first, k.Sequence) and name != "sorted" else None
            kind = "tuple" if name == "tuple" else "list"
            if of is not None:
                return k.Sequence(kind, of[::-1] if name == "reversed" else of)
            return k.Sequence(kind, element=k.element(first))
        case "dict":
            return k.Mapping()
        case "zip":
            return k.Sequence("list", element=k.Sequence("tuple", tuple(map(k.element, kinds))))
        case "enumerate":
            pair = k.Sequence("tuple", (k.INT, k.element(first)))
            return k.Sequence("list", element=pair)
        case "map" | "filter" | "iter":
            return k.Sequence("list", element=k.UNKNOWN if name == "map" else k.element(first))
        case "next":
            return k.element(first)
        case "min" | "max":
            if len(kinds) == 1:
                return k.element(first)
            result = first
            for kind in kinds[1:]:
                result = k.join(result, kind)
            return result
        case "sum":
            return k.element(first)
        case "abs":
            return first
        case "slice":
            return k.Scalar("slice")
        case "super":
            return k.Super(cls) if cls is not None else k.UNKNOWN
        case "getattr":
            return k.UNKNOWN
        case _:
            return k.UNKNOWN


def arithmetic(operator: str, left: Kind, right: Kind) -> Kind:
    tensors = [kind for kind in (left, right) if isinstance(kind, k.Tensor)]
    if tensors:
        integer = None
        if operator != "/" and all(
            kind.integer if isinstance(kind, k.Tensor) else kind in (k.INT, k.BOOL)
            for kind in (left, right)
        ):
            integer = True
        boolean = operator in ("&", "|", "^") and all(
            kind.boolean if isinstance(kind, k.Tensor) else kind == k.BOOL for kind in (left, right)
        )
        return k.Tensor(max(kind.sure for kind in tensors), integer=integer, boolean=boolean)
    match left, right:
        case k.Sequence(), k.Sequence() if operator == "+":
            if left.items is not None and right.items is not None:
                return k.Sequence(left.name, left.items + right.items)
            return k.Sequence(left.name, element=k.join(k.element(left), k.element(right)))
        case k.Sequence(), _ if operator == "*":
            return k.Sequence(left.name, element=k.element(left))
        case k.Scalar("str"), _:
            return k.STR
        case k.Scalar("int" | "bool"), k.Scalar("int" | "bool"):
            return k.FLOAT if operator == "/" else k.INT
        case k.Scalar("int" | "bool" | "float"), k.Scalar("int" | "bool" | "float"):
            return k.FLOAT
        case k.Scalar("ndarray"), _:
            return left
        case _, k.Scalar("ndarray"):
            return right
        case _:
            return k.UNKNOWN


def canonical(path: str) -> str:
    for alias, canonical in _ALIASES.items():
        if path == alias or path.startswith(alias + "."):
            rest = path[len(alias) :]
            # torch.nn.modules.linear.Linear is torch.nn.Linear.
            if alias == "torch.nn.modules" and rest.count(".") == 2:
                rest = "." + rest.rpartition(".")[2]
            return canonical + rest
    return path


def global_name(path: str) -> Kind:
    path = canonical(path)
    if path == "torch" or path.startswith("torch."):
        return k.Api(path)
    return k.External(path)


def instance_of(path: str) -> Kind:
    """The kind of a value whose annotation is a torch name."""
    match path:
        case "torch.Tensor" | "torch.FloatTensor":
            return k.TENSOR
        case "torch.LongTensor" | "torch.IntTensor":
            return k.Tensor(integer=True)
        case "torch.BoolTensor":
            return k.Tensor(integer=True, boolean=True)
        case "torch.nn.Parameter":
            return k.Tensor(variable=True)
        case "torch.Size":
            return k.SIZE
        case "torch.dtype":
            return k.Scalar("dtype")
        case "torch.device":
            return k.Scalar("device")
        case _:
            return k.Instance(path)


def unported_result(path: str) -> Kind:
    """What a torch call without a rule gives: a tensor, unless it makes an object."""
    name = path.rpartition(".")[2]
    if path == "torch.device":
        return k.Scalar("device")
    if path.startswith("torch.nn.utils.clip_grad_norm"):
        return k.TENSOR
    if path == "torch.autograd.grad":
        return k.Sequence("tuple", element=k.TENSOR)
    if name[:1].isupper():
        return k.Instance(path)
    if path.startswith(("torch.Tensor.", "torch.nn.functional.")) or path.count(".") == 1:
        return k.LIKELY_TENSOR
    return k.UNKNOWN


def says_none(annotation: str) -> bool:
    return "None" in annotation or "Optional" in annotation


def pair_value(pairs: Kind) -> Kind:
    """What the second items of pairs are."""
    pair = k.element(pairs)
    if isinstance(pair, k.Sequence) and pair.items is not None and len(pair.items) == 2:
        return pair.items[1]
    return pairs.element if isinstance(pairs, k.Mapping) else k.UNKNOWN


def is_empty(kind: k.Sequence) -> bool:
    return kind.items == () or (kind.items is None and kind.element == k.UNKNOWN)


def integer_literal(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def literal(text: str) -> tuple[object] | None:
    """The value of a literal, in a tuple as it may be None; None if the text is not one."""
    try:
        return (ast.literal_eval(text),)
    except (ValueError, SyntaxError, MemoryError):
        return None


def string_literal(text: str) -> str | None:
    found = literal(text)
    return found[0] if found and isinstance(found[0], str) else None
