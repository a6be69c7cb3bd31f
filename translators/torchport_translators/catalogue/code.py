"""Expressions as text that knows how tightly it binds, so that it can be put anywhere."""

from __future__ import annotations

import ast
import re
from enum import IntEnum
from typing import NamedTuple


class Binding(IntEnum):
    """Python's operator precedence, loosest first."""

    TUPLE = 0
    TEST = 1
    OR = 2
    AND = 3
    NOT = 4
    COMPARE = 5
    BIT_OR = 6
    BIT_XOR = 7
    BIT_AND = 8
    SHIFT = 9
    SUM = 10
    TERM = 11
    FACTOR = 12
    POWER = 13
    AWAIT = 14
    ATOM = 15


OPERATORS: dict[str, Binding] = {
    "|": Binding.BIT_OR,
    "^": Binding.BIT_XOR,
    "&": Binding.BIT_AND,
    "<<": Binding.SHIFT,
    ">>": Binding.SHIFT,
    "+": Binding.SUM,
    "-": Binding.SUM,
    "*": Binding.TERM,
    "@": Binding.TERM,
    "/": Binding.TERM,
    "//": Binding.TERM,
    "%": Binding.TERM,
    "**": Binding.POWER,
}

AST_OPERATORS: dict[type[ast.operator], str] = {
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.BitAnd: "&",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.MatMult: "@",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}


_PLACE = re.compile(r"-?[^\W\d]\w*(\.[^\W\d]\w*|\[-?\d+\])*")


class Code(NamedTuple):
    """Source text of an expression, and how tightly its outermost operator binds."""

    text: str
    binding: Binding = Binding.ATOM

    def within(self, least: Binding) -> str:
        """The text, in parentheses where its surroundings bind as tightly as `least`."""
        if self.binding < least or (least > Binding.TEST and _breaks(self.text)):
            return f"({self.text})"
        return self.text

    @property
    def atomic(self) -> bool:
        """Cheap and free of effects, so that it may stand twice: a name, an attribute, a number."""
        return _PLACE.fullmatch(self.text) is not None or _is_number(self.text)


def _is_number(text: str) -> bool:
    text = text.removeprefix("-")
    return text[:1].isdigit() and text.replace(".", "").replace("e-", "").isalnum()


def _breaks(text: str) -> bool:
    """Whether a line ends outside brackets, as inside a call's arguments it may."""
    if "\n" not in text:
        return False
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return False
