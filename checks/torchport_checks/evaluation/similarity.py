"""How alike two texts are: CodeBLEU, and the edits between their syntax trees.

CodeBLEU (Ren et al. 2020) is a weighted sum of four matches with a reference: of n-grams, of n-grams in
which keywords count five times, of subtrees of the syntax tree, and of the flow of data. It says how alike
code reads, not whether it is right: it is reported, and decides nothing.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torchport_translators.source.syntax import Node, Source

_TOKEN = re.compile(r"\w+|[^\w\s]")
_COMMENT = re.compile(r"(?m)^[ \t]*#.*$")
_KEYWORD_WEIGHT = 5.0
_ORDERS = 4
_SMOOTHING = 0.1


def code_bleu(candidate: str, reference: str) -> float:
    """CodeBLEU of a text against a reference, from 0 to 1, its four parts weighted alike."""
    ours, theirs = _tokens(candidate), _tokens(reference)
    one, other = Source(candidate), Source(reference)
    return (
        _bleu(ours, theirs)
        + _bleu(ours, theirs, weighted=True)
        + _recall(Counter(_subtrees(one.root)), Counter(_subtrees(other.root)))
        + _recall(Counter(_flow(one)), Counter(_flow(other)))
    ) / 4


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_COMMENT.sub("", text))


def _bleu(ours: Sequence[str], theirs: Sequence[str], *, weighted: bool = False) -> float:
    """BLEU up to 4-grams with its brevity penalty; weights hold for single tokens, as in the paper."""
    if not ours or not theirs:
        return float(ours == theirs)
    logs = 0.0
    for order in range(1, _ORDERS + 1):
        a, b = _grams(ours, order), _grams(theirs, order)
        if not a:
            logs += math.log(_SMOOTHING)
            continue
        heavy = weighted and order == 1

        def weight(gram: tuple[str, ...], heavy: bool = heavy) -> float:
            return _KEYWORD_WEIGHT if heavy and keyword.iskeyword(gram[0]) else 1.0

        matched = sum(weight(gram) * min(number, b[gram]) for gram, number in a.items())
        total = sum(weight(gram) * number for gram, number in a.items())
        logs += math.log(max(matched, _SMOOTHING) / total)
    brevity = min(0.0, 1 - len(theirs) / len(ours))
    return math.exp(logs / _ORDERS + brevity)


def _grams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def _recall(ours: Counter[Any], theirs: Counter[Any]) -> float:
    """The part of the reference that the candidate has; 1 where the reference has none."""
    total = sum(theirs.values())
    return sum(min(number, ours[item]) for item, number in theirs.items()) / total if total else 1.0


def _subtrees(root: Node) -> Iterator[str]:
    """Every subtree, as the types of its nodes: names and values do not count."""
    shapes: dict[int, str] = {}
    for node in reversed(list(root.walk())):
        children = [child for child in node.children if child.type != "comment"]
        shape = node.type + "".join(f"({shapes[id(child)]})" for child in children)
        shapes[id(node)] = shape
        if children:
            yield shape


def _flow(source: Source) -> Iterator[tuple[str, str]]:
    """Which value each assignment and loop makes of which, by names in order of their appearance."""
    numbers: dict[str, str] = {}
    for node in source.nodes_of(
        ("assignment", "augmented_assignment", "for_statement"), source.root
    ):
        left, right = node.get("left"), node.get("right")
        if left is None or right is None:
            continue
        made = _names(source, left)
        used = _names(source, right)
        if node.type == "augmented_assignment":
            used = [*used, *made]
        for name in (*used, *made):
            numbers.setdefault(name, f"v{len(numbers)}")
        for name in made:
            for origin in used:
                yield numbers[name], numbers[origin]


def _names(source: Source, node: Node) -> list[str]:
    return list(dict.fromkeys(source[name] for name in source.nodes("identifier", node)))


def tree_edits(before: str, after: str) -> int:
    """How many nodes of a syntax tree come, go or change from one text to another.

    The nodes are compared in the order in which they stand, each with what it says of itself.
    Texts that do not parse are compared by their tokens.
    """
    a, b = _nodes(before), _nodes(after)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return sum(
        max(end - start, other_end - other_start)
        for tag, start, end, other_start, other_end in matcher.get_opcodes()
        if tag != "equal"
    )


def _nodes(text: str) -> list[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _tokens(text)
    found: list[str] = []
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        plain = [str(value) for _, value in ast.iter_fields(node) if not _is_tree(value)]
        found.append(" ".join([type(node).__name__, *plain]))
        stack += reversed(list(ast.iter_child_nodes(node)))
    return found


def _is_tree(value: object) -> bool:
    return isinstance(value, (ast.AST, list)) or value is None
