"""The check comment: `# torchport: check(x=f32[8, 16], ids=i64[4, 12] in [0, 100], init=(16, 32))`.

It stands on a line of its own above a definition (above its decorators, too), or on a line inside
it, and may be continued on further comment lines until its parenthesis closes. It is written as a
Python call, whose arguments are those of the function, or of the module's `forward`:

- `f32[8, 16]` is a tensor, standard normal; `f32` alone has no dimensions. The dtypes are `bool`,
  `u8`, `i8`, `i16`, `i32`, `i64`, `f16`, `bf16`, `f32`, `f64`, `c64`, `c128`, or torch's long names.
- `f32[8] in [0, 1]` is uniform between both; integers include both ends.
- Numbers, strings, booleans and None are themselves; lists, tuples and dicts nest.
- A name is looked up in the file (`N_EMBED`), and may be called (`Config(n_layer=2)`).
- `init=` holds the constructor's arguments: a tuple or list of positional ones, or a dict.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field
from typing import Any

from torchport_checks.worker.protocol import Record

_MARK = re.compile(r"#\s*torchport:\s*check\b(?P<rest>.*)", re.DOTALL)
_SHORT = {
    "bool": "bool", "u8": "uint8", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
    "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64",
    "c64": "complex64", "c128": "complex128",
}  # fmt: skip
_DTYPES = _SHORT | {long: long for long in _SHORT.values()}
_HELP = "Write it like # torchport: check(x=f32[8, 16], n=3, init=(16, 32))."


class SpecError(Exception):
    """A check comment that cannot be read.

    Attributes:
        line: of the comment, from 1.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"{message} {_HELP}")
        self.line = line


@dataclass(frozen=True)
class Spec:
    """Arguments for one definition. Tensors, names and calls are `Record`s the lane materialises."""

    line: int
    args: list[Any] = field(default_factory=list[Any])
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    init: Any = None

    def wire(self) -> dict[str, Any]:
        """What travels to the torch lane."""
        return {"args": self.args, "kwargs": self.kwargs, "init": self.init}


def read_specs(source: str) -> dict[str, Spec | SpecError]:
    """The check comments of a file by the top-level definition that each belongs to.

    A comment that cannot be read gives its `SpecError`. Source that Python cannot parse gives none.
    """
    if "torchport:" not in source:
        return {}
    try:
        tree = ast.parse(source)
        comments = _comments(source)
    except (SyntaxError, ValueError, tokenize.TokenError):
        return {}
    definitions = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    found: dict[str, Spec | SpecError] = {}
    for line, last, text in comments:
        for node in definitions:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first <= line <= (node.end_lineno or first) or last + 1 == first:
                try:
                    found[node.name] = parse_spec(text, line)
                except SpecError as error:
                    found[node.name] = error
    return found


def _comments(source: str) -> list[tuple[int, int, str]]:
    """First line, last line and text (from `check` on) of each check comment."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    texts = {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}
    found: list[tuple[int, int, str]] = []
    for line, text in sorted(texts.items()):
        match = _MARK.match(text)
        if match is None:
            continue
        last, body = line, match["rest"]
        while body.count("(") > body.count(")") and last + 1 in texts:
            last += 1
            body += " " + texts[last].lstrip("#").strip()
        found.append((line, last, "check" + body))
    return found


def parse_spec(text: str, line: int = 1) -> Spec:
    """Read `check(...)`.

    Raises:
        SpecError: `text` is not of the form that this module documents.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise SpecError(line, f"The check comment is not a Python call: {error.msg}.") from None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise SpecError(line, "The check comment is not of the form check(...).")
    kwargs: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise SpecError(line, "A check comment cannot hold **.")
        kwargs[keyword.arg] = _value(keyword.value, line)
    init = kwargs.pop("init", None)
    return Spec(line, [_value(node, line) for node in call.args], kwargs, init)


def _value(node: ast.expr, line: int) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str()):
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List():
            return [_value(item, line) for item in node.elts]
        case ast.Tuple():
            return tuple(_value(item, line) for item in node.elts)
        case ast.Dict():
            keys = [_value(key, line) for key in node.keys if key is not None]
            if len(keys) != len(node.values):
                raise SpecError(line, "A check comment cannot hold **.")
            return dict(zip(keys, (_value(item, line) for item in node.values), strict=True))
        case ast.Compare(left=left, ops=[ast.In()], comparators=[bounds]):
            return _bounded(_value(left, line), _value(bounds, line), line)
        case ast.Name(id=name) if name in _DTYPES:
            return _tensor(name, ())
        case ast.Subscript(value=ast.Name(id=name), slice=index):
            return _tensor(_known(name, line), _shape(index, line))
        case ast.Name(id=name):
            return Record("name", {"id": name})
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            kwargs = {k.arg: _value(k.value, line) for k in keywords if k.arg is not None}
            if len(kwargs) != len(keywords):
                raise SpecError(line, "A check comment cannot hold **.")
            fields = {"id": name, "args": [_value(a, line) for a in args], "kwargs": kwargs}
            return Record("call", fields)
        case _:
            raise SpecError(line, f"{ast.unparse(node)} has no meaning in a check comment.")


def _known(name: str, line: int) -> str:
    if name not in _DTYPES:
        raise SpecError(line, f"{name} is not a dtype; known are {', '.join(_SHORT)}.")
    return name


def _shape(index: ast.expr, line: int) -> tuple[int, ...]:
    nodes = index.elts if isinstance(index, ast.Tuple) else [index]
    shape: list[int] = []
    for node in nodes:
        if not (isinstance(node, ast.Constant) and type(node.value) is int and node.value >= 0):
            raise SpecError(line, f"{ast.unparse(node)} is not a size: sizes are whole numbers.")
        shape.append(node.value)
    return tuple(shape)


def _tensor(name: str, shape: tuple[int, ...]) -> Record:
    return Record("tensor", {"dtype": _DTYPES[name], "shape": list(shape), "bounds": None})


def _bounded(tensor: Any, bounds: Any, line: int) -> Record:
    if not (isinstance(tensor, Record) and tensor.name == "tensor"):
        raise SpecError(line, "Only a tensor can be `in` bounds.")
    match bounds:
        case [int() | float() as low, int() | float() as high] if low <= high:
            return Record("tensor", {**tensor.fields, "bounds": [low, high]})
        case _:
            raise SpecError(line, "Bounds are two numbers in order, e.g. in [0, 100].")
