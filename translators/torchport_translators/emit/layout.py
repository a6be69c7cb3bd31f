"""Layout: a line that the port made too long is broken as Black and Ruff would break it.

Only lines that the source does not have are touched: a whole simple statement, the header of a
compound one, or a line that stands inside the brackets of a longer statement.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import tree_sitter

from torchport_translators.emit.edits import newline_of
from torchport_translators.source.syntax import parse

_INDENT = "    "
_PRAGMA = re.compile(r"#\s*(noqa|type:|pragma|pyright:|pylint:|fmt:|isort:|mypy:)")


def limit_of(source: str) -> int:
    """The line length a source keeps to: at least 88, at most 120 characters."""
    longest = max((len(line) for line in source.splitlines()), default=0)
    return min(max(longest, 88), 120)


def break_long_lines(
    port: str, source: str, keep: Iterable[str] = (), starts: Iterable[int] = ()
) -> str:
    """`port` with each too long line that is new broken at its brackets and operators.

    Args:
        port: the text to lay out.
        source: what it was made from; its lines stay as they are.
        keep: other texts whose lines stay as they are.
        starts: offsets of top-level statements in `port`, in order; only the stretches between
            them that have a long line are parsed.
    """
    limit = limit_of(source)
    newline = newline_of(port)
    known = {line for text in (source, *keep) for line in text.splitlines() if len(line) > limit}
    bounds = [0, *starts, len(port)]
    pieces = [port[start:end] for start, end in pairwise(bounds)]
    return "".join(_laid_out(piece, limit, newline, known) for piece in pieces)


def _laid_out(text: str, limit: int, newline: str, known: set[str]) -> str:
    lines = text.split(newline)
    long = [at for at, line in enumerate(lines) if len(line) > limit and line not in known]
    if not long:
        return text
    root = parse(text).root_node
    starts = _byte_starts(lines, len(newline))
    for at in long:
        role = _role(root, starts[at], lines[at])
        if role is not None:
            lines[at] = newline.join(_broken(lines[at], limit, inside=role == "inside"))
    return newline.join(lines)


def _byte_starts(lines: list[str], newline: int) -> list[int]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode("utf-8", "replace")) + newline)
    return starts


def _role(root: tree_sitter.Node, at: int, line: str) -> str | None:
    """What a line is: a whole "statement" or header, a part "inside" brackets; None for others."""
    if line.endswith("\\"):
        return None
    body = line.lstrip()
    start = at + len(line) - len(body)
    end = at + len(line.encode("utf-8", "replace"))
    node = root.descendant_for_byte_range(start, start + 1)
    outer = None
    while node is not None and node.start_byte == start:
        outer, node = node, node.parent
        if outer.type.endswith(("_statement", "_definition", "_clause", "decorator")):
            if outer.has_error and outer.end_byte <= end:
                return None
            inside = outer.child_by_field_name("body") or outer.child_by_field_name("consequence")
            if inside is None and outer.type.endswith("_clause"):
                inside = next((child for child in outer.children if child.type == "block"), None)
            if outer.type in ("for_in_clause", "if_clause", "with_clause"):
                continue
            whole = outer.end_byte <= end if inside is None else inside.start_byte > end
            return "statement" if whole else None
    while node is not None and node.start_byte < start:
        if node.type in ("string", "ERROR"):
            return None
        if node.type in _BRACKETED:
            return "inside"
        node = node.parent
    return None


_BRACKETED = frozenset(
    (
        *("argument_list", "subscript", "parameters", "type_parameter"),
        *("tuple", "list", "dictionary", "set", "tuple_pattern", "list_pattern"),
        *("list_comprehension", "dictionary_comprehension", "set_comprehension"),
        *("generator_expression", "parenthesized_expression"),
    )
)


# Tokens


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, and how strongly a line may be broken at it (0: not at all).

    Attributes:
        space: white space stands before it.
        depth: brackets around it (an opening or closing bracket is outside its own pair).
        priority: of breaking the line before it, or after it if it is a comma.
    """

    text: str
    space: bool
    depth: int
    priority: int = 0

    @property
    def opens(self) -> bool:
        return self.text in _OPENING

    @property
    def closes(self) -> bool:
        return self.text in _CLOSING


_Tokens = list[_Token]

_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")
_COMPREHENSION, _COMMA, _TERNARY, _LOGIC, _STRING, _COMPARISON, _DOT = 20, 18, 16, 14, 12, 10, 1
_PRIORITIES = {
    **dict.fromkeys(("and", "or"), _LOGIC),
    **dict.fromkeys(
        ("<", ">", "<=", ">=", "==", "!=", "in", "not in", "is", "is not"), _COMPARISON
    ),
    "|": 9,
    "^": 8,
    "&": 7,
    **dict.fromkeys(("<<", ">>"), 6),
    **dict.fromkeys(("+", "-"), 5),
    **dict.fromkeys(("*", "/", "//", "%", "@"), 4),
}
_UNARY = frozenset("+-*~@") | {"**"}
_KEYWORDS = frozenset(keyword.kwlist) - {"None", "True", "False"} | {"match", "case"}

_LEX = re.compile(
    r"""(?P<space>\s*)(?:
    (?P<string>(?P<prefix>[rRbBuUfFtT]{0,2})
        (?:"{3}(?:\\.|[^\\])*?"{3}|'{3}(?:\\.|[^\\])*?'{3}
        |"(?!"")(?:\\.|[^"\\])*"|'(?!'')(?:\\.|[^'\\])*'))
    |(?P<comment>\#.*)
    |(?P<word>\w+(?:(?<=[eE])[+-]\d+)?|\d[\w.]*(?:(?<=[eE])[+-]\d[\w]*)?|\.\d[\w]*)
    |(?P<operator>\*\*=?|//=?|>>=?|<<=?|->|:=|\.\.\.|[=!<>+\-*/%@&|^]=|[-+*/%@&|^=<>~.,:;()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"\d[\w.]*(?:(?<=[eE])[+-]\d\w*)?|\.\d\w*(?:(?<=[eE])[+-]\d\w*)?")


def _lex(text: str) -> tuple[_Tokens, str] | None:
    """The tokens of a line and its comment; None if they are not what they seem."""
    tokens: _Tokens = []
    open_brackets: list[str] = []
    # Brackets, and what else hides a comma or an `in`: `lambda ... :` and `for ... in`.
    hidden: list[tuple[str, int]] = []
    comprehensions: set[int] = set()
    at, end = 0, len(text.rstrip())
    while at < end:
        number = _NUMBER.match(text, at)
        match = _LEX.match(text, at) if number is None else None
        if match is None and number is None:
            return None
        found = number or match
        assert found is not None
        if match is not None and match["comment"]:
            return tokens, match["comment"]
        word = (
            number[0] if number else text[at + len(match["space"]) : match.end()] if match else ""
        )
        space = bool(match and match["space"]) or (at > 0 and text[at - 1].isspace())
        at = found.end()
        if match is not None and match["string"] and not _plain_string(match, tokens, space):
            return None
        if word in _CLOSING:
            if not open_brackets or _OPENING.index(open_brackets.pop()) != _CLOSING.index(word):
                return None
            while hidden and hidden[-1][1] > len(open_brackets):
                hidden.pop()
            comprehensions.discard(len(open_brackets) + 1)
        depth = len(open_brackets)
        before = tokens[-1] if tokens else None
        priority = 0
        here = hidden[-1] if hidden and hidden[-1][1] == depth else None
        is_name = match is not None and bool(match["word"])
        if is_name and word == "lambda":
            hidden.append((":", depth))
        elif here is not None and word == here[0]:
            hidden.pop()
        elif is_name and word == "for":
            start = before.text == "async" if before else False
            if start:
                tokens[-1] = replace(tokens[-1], priority=_COMPREHENSION)
            priority = 0 if start else _COMPREHENSION
            comprehensions.add(depth)
            hidden.append(("in", depth))
        elif here is None:
            priority = _priority(word, before, tokens, is_name, depth in comprehensions)
        if (
            match is not None
            and match["string"]
            and before is not None
            and before.text[-1:] in "\"'"
        ):
            priority = _STRING
        if is_name and before is not None and f"{before.text} {word}" in ("not in", "is not"):
            tokens[-1] = replace(
                tokens[-1],
                text=f"{before.text} {word}",
                priority=_COMPARISON if here is None else 0,
            )
            continue
        tokens.append(_Token(word, space, depth, priority))
        if word in _OPENING:
            open_brackets.append(word)
    return None if open_brackets else (tokens, "")


def _plain_string(match: re.Match[str], tokens: _Tokens, space: bool) -> bool:
    """Whether a string literal ends where the pattern thinks: f-strings may hold their own quotes."""
    text = match["string"]
    if match["prefix"].lower().strip("rbu"):
        holes = text.replace("{{", "").replace("}}", "")
        if holes.count("{") != holes.count("}"):
            return False
    return not (tokens and not space and tokens[-1].text[-1:] in "\"'")


def _priority(
    word: str, before: _Token | None, tokens: _Tokens, is_name: bool, comprehension: bool
) -> int:
    if word == ",":
        return _COMMA
    if word == "." and not is_name and before is not None:
        return _DOT if before.closes else 0
    if is_name and word in ("if", "else"):
        return _COMPREHENSION if comprehension and word == "if" else _TERNARY
    if word in _UNARY and (
        before is None
        or before.opens
        or before.text in _KEYWORDS
        or not (before.text[-1].isalnum() or before.text[-1] in "_\"'.)]}")
    ):
        return 0
    return _PRIORITIES.get(word, 0)


def _text(tokens: _Tokens) -> str:
    """The tokens on one line: no space just inside brackets."""
    parts: list[str] = []
    for at, token in enumerate(tokens):
        if at and token.space and not tokens[at - 1].opens and not token.closes:
            parts.append(" ")
        parts.append(token.text)
    return "".join(parts)


def _level(tokens: _Tokens) -> int:
    return min((token.depth for token in tokens), default=0)


def _delimiters(tokens: _Tokens) -> tuple[int, int]:
    """The strongest place to break outside brackets, and how many of it there are."""
    level = _level(tokens)
    found = [
        token.priority
        for at, token in enumerate(tokens)
        if token.depth == level and token.priority and at and at < len(tokens) - 1
    ]
    strongest = max(found, default=0)
    return strongest, found.count(strongest)


# Breaking


def _broken(line: str, limit: int, *, inside: bool) -> list[str]:
    body = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    lexed = _lex(body)
    if lexed is None:
        return [line]
    tokens, comment = lexed
    if any(token.text == ";" for token in tokens) or _PRAGMA.match(comment) or not tokens:
        return [line]
    above = [indent + comment] if comment else []
    code = _code(body, comment)
    if len(indent) + len(code) <= limit:
        return [*above, indent + code]
    laid_out = _Layout(limit)
    if inside:
        return above + laid_out.inside(tokens, indent, comma=False)
    return above + laid_out.statement(tokens, indent)


def _code(body: str, comment: str) -> str:
    return body[: len(body) - len(comment)].rstrip()


@dataclass(frozen=True, slots=True)
class _Layout:
    """Black's way of breaking lines, for the kinds of lines that a port has."""

    limit: int

    def fits(self, indent: str, text: str) -> bool:
        return len(indent) + len(text) <= self.limit

    def statement(self, tokens: _Tokens, indent: str) -> list[str]:
        """A statement, or the header of a compound one."""
        first = tokens[0].text
        if first == "async" and len(tokens) > 1:
            first = tokens[1].text
        if first == "def":
            return self._definition(tokens, indent)
        if first == "from":
            return self._from_import(tokens, indent)
        start, stop = _value(tokens, first)
        if start is None:
            return self.brackets(tokens, indent)
        head, value, tail = tokens[:start], tokens[start:stop], tokens[stop:]
        if _is_enclosed(value):
            return self.brackets(tokens, indent)
        opened = indent + _text([*head, _Token("(", True, 0)])
        body = self.inside(value, indent + _INDENT, comma=_delimiters(value)[0] == _COMMA)
        wrapped = [opened, *body, f"{indent}){_text(tail)}"]
        if first == "assert" and len(head) > 1:
            return wrapped if len(opened) <= self.limit else [indent + _text(tokens)]
        if self._needs_no_parentheses(head, value, indent):
            lines = self.brackets(tokens, indent)
            if not self._too_long(lines) or self._too_long(wrapped):
                return lines
        return wrapped

    def _too_long(self, lines: list[str]) -> bool:
        return any(len(line) > self.limit for line in lines)

    def _needs_no_parentheses(self, head: _Tokens, value: _Tokens, indent: str) -> bool:
        """Black's `can_omit_invisible_parens`."""
        priority, count = _delimiters(value)
        if not priority:
            return True
        if count > 1:
            return False
        if priority == _DOT:
            return True
        if value[0].opens and not value[1].closes:
            end = _closing(value, 0)
            rest = value[end:]
            if not any(token.opens for token in rest) and self.fits(indent, _text(rest)):
                return True
        last = value[-1]
        if last.closes and not value[-2].opens:
            opening = _opening(value, len(value) - 1)
            others = any(token.opens for token in value[:opening])
            return others or self.fits(indent, _text([*head, *value[: opening + 1]]))
        return False

    def inside(self, tokens: _Tokens, indent: str, *, comma: bool) -> list[str]:
        """Tokens that stand between brackets; `comma` says that one may be added at the end."""
        if self.fits(indent, _text(tokens)):
            return [indent + _text(tokens)]
        priority, count = _delimiters(tokens)
        colon = _lambda_body(tokens)
        if colon and priority != _COMMA and not _is_enclosed(tokens[colon:]):
            return self._lambda(tokens, colon, indent)
        if not priority or (priority == _DOT and count == 1):
            return self.brackets(tokens, indent)
        level = _level(tokens)
        pieces: list[_Tokens] = [[]]
        for token in tokens:
            breaks = token.depth == level and token.priority == priority
            if breaks and priority != _COMMA and pieces[-1]:
                pieces.append([])
            pieces[-1].append(token)
            if breaks and priority == _COMMA:
                pieces.append([])
        pieces = [piece for piece in pieces if piece]
        if priority == _COMMA and comma and pieces[-1][-1].text != ",":
            pieces[-1].append(_Token(",", False, level, _COMMA))
        return [line for piece in pieces for line in self.inside(piece, indent, comma=False)]

    def _lambda(self, tokens: _Tokens, start: int, indent: str) -> list[str]:
        """`lambda x: body`: the body's own brackets are broken, else it gets parentheses."""
        comma = tokens[-1].text == ","
        body = tokens[start : len(tokens) - comma]
        if not _delimiters(body)[0]:
            return self.brackets(tokens, indent)
        head = _text([*tokens[:start], _Token("(", True, 0)])
        lines = self.inside(body, indent + _INDENT, comma=False)
        return [indent + head, *lines, indent + (")," if comma else ")")]

    def brackets(self, tokens: _Tokens, indent: str) -> list[str]:
        """The line broken inside one of its brackets; as it is if there are none."""
        if self.fits(indent, _text(tokens)):
            return [indent + _text(tokens)]
        pairs = _pairs(tokens)
        if not pairs:
            return [indent + _text(tokens)]
        start, end = self._chosen(tokens, pairs, indent)
        return self._split(tokens, start, end, indent)

    def _chosen(
        self, tokens: _Tokens, pairs: list[tuple[int, int]], indent: str
    ) -> tuple[int, int]:
        for start, end in pairs:
            if self.fits(indent, _text(tokens[: start + 1])) and not self.fits(
                indent, _text(tokens[: end + 1])
            ):
                return start, end
        for start, end in reversed(pairs):
            if self.fits(indent, _text(tokens[: start + 1])):
                return start, end
        return pairs[-1]

    def _split(self, tokens: _Tokens, start: int, end: int, indent: str) -> list[str]:
        body = self._body(tokens, start, end, indent)
        head = indent + _text(tokens[: start + 1])
        return [head, *body, *self.brackets(tokens[end:], indent)]

    def _body(self, tokens: _Tokens, start: int, end: int, indent: str) -> list[str]:
        body = tokens[start + 1 : end]
        display = start == 0 or not _is_operand(tokens[start - 1])
        if _delimiters([*body, body[-1]])[0] == _COMMA and (display or body[-1].text == ","):
            # A literal of several items, or a trailing comma that asks for it: one item a line.
            if body[-1].text != ",":
                body = [*body, _Token(",", False, _level(body), _COMMA)]
            return self._each(body, indent + _INDENT)
        return self.inside(body, indent + _INDENT, comma=True)

    def _each(self, body: _Tokens, indent: str) -> list[str]:
        level = _level(body)
        pieces: list[_Tokens] = [[]]
        for token in body:
            pieces[-1].append(token)
            if token.depth == level and token.priority == _COMMA:
                pieces.append([])
        return [
            line for piece in pieces if piece for line in self.inside(piece, indent, comma=False)
        ]

    def _definition(self, tokens: _Tokens, indent: str) -> list[str]:
        """`def f(...)`: broken inside the parameters."""
        start = next((at for at, token in enumerate(tokens) if token.text == "("), None)
        if start is None:
            return [indent + _text(tokens)]
        end = _closing(tokens, start)
        body = tokens[start + 1 : end]
        if not body:
            return self.brackets(tokens, indent)
        if not any(token.priority == _COMMA and token.depth == _level(body) for token in body):
            body = [*body, _Token(",", False, _level(body), _COMMA)]
            lines = self.inside(body, indent + _INDENT, comma=False)
        else:
            lines = self._body(tokens, start, end, indent)
        head = indent + _text(tokens[: start + 1])
        return [head, *lines, *self.brackets(tokens[end:], indent)]

    def _from_import(self, tokens: _Tokens, indent: str) -> list[str]:
        """`from x import a, b`: one name a line, in parentheses."""
        at = next((at for at, token in enumerate(tokens) if token.text == "import"), None)
        if at is None or any(token.opens for token in tokens) or tokens[-1].text == "*":
            return self.brackets(tokens, indent)
        names = [*tokens[at + 1 :], _Token(",", False, 0, _COMMA)]
        head = _text(tokens[: at + 1]) + " ("
        return [indent + head, *self._each(names, indent + _INDENT), indent + ")"]


def _value(tokens: _Tokens, first: str) -> tuple[int | None, int]:
    """Where the expression of a statement that may stand in parentheses starts and ends."""
    stop = len(tokens)
    if first in ("if", "elif", "while", "return", "for"):
        if first != "return":
            if tokens[-1].text != ":":
                return None, stop
            stop -= 1
        start = 1
        if first == "for":
            start = next(at for at, token in enumerate(tokens) if token.text == "in") + 1
            if tokens[0].text == "async" and start < 2:
                return None, stop
        return (start if start < stop else None), stop
    if first == "assert":
        commas = [at for at, t in enumerate(tokens) if t.depth == 0 and t.text == ","]
        return (commas[0] + 1 if commas else 1), stop
    equals = [at for at, t in enumerate(tokens) if t.depth == 0 and t.text.endswith("=")]
    equals = [at for at in equals if tokens[at].text not in ("==", "<=", ">=", "!=")]
    if first in ("class", "with", "del", "raise", "match", "case", "except") or not equals:
        return None, stop
    return equals[-1] + 1, stop


def _is_operand(token: _Token) -> bool:
    """Whether a bracket after a token is a call's or a subscript's."""
    return token.closes or (
        (token.text[-1].isalnum() or token.text[-1] in "_\"'") and token.text not in _KEYWORDS
    )


def _lambda_body(tokens: _Tokens) -> int:
    """Where the body starts of the lambda that tokens are, or that is a keyword's value; else 0."""
    level = _level(tokens)
    names = [
        at for at, token in enumerate(tokens) if token.text == "lambda" and token.depth == level
    ]
    if not names or (names[0] and tokens[names[0] - 1].text not in ("=", ":")):
        return 0
    colons = (at for at, t in enumerate(tokens) if t.text == ":" and t.depth == level)
    return next((at + 1 for at in colons if at > names[0]), 0)


def _is_enclosed(value: _Tokens) -> bool:
    """Whether one pair of brackets holds all of an expression."""
    return value[0].opens and _opening(value, len(value) - 1) == 0


def _opening(tokens: _Tokens, end: int) -> int:
    """Where the bracket that closes at `end` opens; -1 if there is none there."""
    if not tokens[end].closes:
        return -1
    depth = tokens[end].depth
    return max(
        (at for at in range(end) if tokens[at].opens and tokens[at].depth == depth), default=-1
    )


def _closing(tokens: _Tokens, start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    depth = tokens[start].depth
    return next(
        at
        for at, token in enumerate(tokens)
        if at > start and token.closes and token.depth == depth
    )


def _pairs(tokens: _Tokens) -> list[tuple[int, int]]:
    """The outermost brackets that hold something."""
    level = _level(tokens)
    pairs: list[tuple[int, int]] = []
    start = -1
    for at, token in enumerate(tokens):
        if token.depth == level and token.opens:
            start = at
        elif token.depth == level and token.closes and at > start + 1 and start >= 0:
            pairs.append((start, at))
    return pairs
