"""What went wrong in a run: the operation that failed, what had flown into it, and the message."""

from __future__ import annotations

import ast
import functools
import linecache
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ..protocol import Array, leaves

_OURS = str(Path(__file__).parent.parent)
_BELOW: dict[type[ast.cmpop], int] = {ast.Lt: -1, ast.LtE: 0, ast.Gt: 1, ast.GtE: 0, ast.Eq: 0}
_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt,
    ast.NotIn: ast.In,
}  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """Why a run ended.

    Attributes:
        done: how many operations had succeeded: how far it came.
        sources: which of the call's tensors had flown into the operation that failed; empty where
            it was none of torch's.
        shapes: of the operands that those tensors had made.
        wanted: (what it was, what it should be), from a comparison that the code itself made.
    """

    error: BaseException
    done: int = 0
    sources: frozenset[int] = frozenset()
    shapes: tuple[tuple[int, ...], ...] = ()
    wanted: list[tuple[Any, Any]] = field(default_factory=list)

    @property
    def message(self) -> str:
        """The error's own words."""
        try:
            return f"{type(self.error).__name__}: {self.error}"
        except Exception:
            return type(self.error).__name__


class _Watch(TorchFunctionMode):
    """Follows the call's tensors through torch's operations."""

    def __init__(self, arrays: list[Array]) -> None:
        super().__init__()
        self.done = 0
        self.failed: tuple[BaseException, list[torch.Tensor]] | None = None
        self._arrays = arrays
        self._sources: dict[int, frozenset[int]] = {}
        self._kept: list[torch.Tensor] = []  # no id is used twice while they live

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        operands = [v for _, v in leaves([list(args), kwargs]) if isinstance(v, torch.Tensor)]
        sources = frozenset().union(*map(self.sources, operands))
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            self.failed = error, operands
            raise
        self.done += 1
        for _, leaf in leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf, sources)
        return result

    def _note(self, tensor: torch.Tensor, sources: frozenset[int]) -> None:
        self._sources[id(tensor)] = sources
        self._kept.append(tensor)

    def sources(self, tensor: torch.Tensor) -> frozenset[int]:
        """Which of the call's tensors a tensor was made of."""
        if id(tensor) not in self._sources:
            found = (i for i, array in enumerate(self._arrays) if _same(tensor, array))
            self._note(tensor, frozenset(found))
        return self._sources[id(tensor)]


def _same(tensor: torch.Tensor, array: Array) -> bool:
    """Whether a tensor that no operation made is the one that was passed."""
    if tuple(tensor.shape) != array.shape or str(tensor.dtype) != f"torch.{array.dtype}":
        return False
    value = tensor.detach().cpu()
    return np.array_equal((value.float() if tensor.is_floating_point() else value).numpy(), array.value)  # fmt: skip


def explain(run: Callable[[], Any], arrays: list[Array]) -> Failure | None:
    """Run again what has failed, watching; None if it succeeds this time.

    `arrays` are the tensors that the call passes.
    """
    watch = _Watch(arrays)
    try:
        with watch:
            run()
    except BaseException as error:  # sys.exit included
        wanted = list(_compared(error))
        if watch.failed is None or watch.failed[0] is not error:
            return Failure(error, watch.done, wanted=wanted)
        made = [(watch.sources(operand), tuple(operand.shape)) for operand in watch.failed[1]]
        sources = frozenset().union(*(source for source, _ in made))
        shapes = tuple(shape for source, shape in made if source)
        return Failure(error, watch.done, sources, shapes, wanted)
    return None


def _compared(error: BaseException) -> Iterator[tuple[Any, Any]]:
    """What the comparison behind an `assert`, or behind `if ...: raise`, had and wanted."""
    trace = error.__traceback__
    frame: FrameType | None = None
    line = 0
    while trace is not None:
        frame, line, trace = trace.tb_frame, trace.tb_lineno, trace.tb_next
    if frame is None or frame.f_code.co_filename.startswith(_OURS):
        return
    test = _tests(frame.f_code.co_filename).get(line)
    if test is None:
        return
    condition, holds = test
    try:
        yield from _unmet(condition, holds, frame)
    except Exception:  # the code's own expressions, evaluated once more
        return


@functools.lru_cache(8)
def _parsed(text: str) -> dict[int, tuple[ast.expr, bool]]:
    """The condition of the `assert` or `if ...: raise` on each line, and what it should be."""
    found: dict[int, tuple[ast.expr, bool]] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assert):
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                found[number] = node.test, True
        elif isinstance(node, ast.If):
            for statement in node.body:
                if isinstance(statement, ast.Raise):
                    last = statement.end_lineno or statement.lineno
                    found |= dict.fromkeys(range(statement.lineno, last + 1), (node.test, False))
    return found


def _tests(path: str) -> dict[int, tuple[ast.expr, bool]]:
    try:
        return _parsed("".join(linecache.getlines(path)))
    except (SyntaxError, ValueError):
        return {}


def _unmet(node: ast.expr, should: bool, frame: FrameType) -> Iterator[tuple[Any, Any]]:
    """(had, wanted) for each comparison in a condition that has to be `should`."""
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                yield from _unmet(value, should, frame)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from _unmet(operand, not should, frame)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            kind = type(op) if should else _NEGATED.get(type(op))
            a, b = _value(left, frame), _value(right, frame)
            if kind is ast.In:
                yield from ((a, option) for option in b)
            elif kind is ast.Eq and isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mod):
                dividend, divisor = _value(left.left, frame), _value(left.right, frame)
                yield dividend, max(1, round(dividend / divisor)) * divisor
                yield divisor, 1
            elif kind in _BELOW and isinstance(a, list | tuple) and isinstance(b, list | tuple):
                if len(a) == len(b):
                    yield from ((x, y) for x, y in zip(a, b, strict=True) if x != y)
                else:
                    yield f"{len(a)}D", f"{len(b)}D"
            elif kind in _BELOW and _is_rank(left):
                yield f"{a}D", f"{b + _BELOW[kind]}D"
            elif kind in _BELOW and isinstance(a, int | float):
                yield a, operator.add(b, _BELOW[kind])
                yield b, operator.sub(a, _BELOW[kind])


def _is_rank(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return text.endswith((".ndim", ".dim()")) or text.startswith("len(")


def _value(node: ast.expr, frame: FrameType) -> Any:
    code = compile(ast.fix_missing_locations(ast.Expression(node)), "<condition>", "eval")
    return eval(code, frame.f_globals, frame.f_locals)
