"""The tree that the translator reads is tree-sitter's own, in characters of the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport_translators.source.syntax import Node, Source, parse

TEXTS = {
    "empty": "",
    "blank": "\n\n  \n",
    "no newline at the end": "x = 1",
    "crlf": "if a:\r\n    b = 1\r\nc = 2\r\n",
    "tabs and form feeds": "if a:\n\tb = 1\n\f\nc = 2\n",
    "byte order mark": "\ufeffx = torch.zeros(3)\n",
    "non-ascii": 'é = "日本"  # …\nf(é, "ß")\n',
    "astral": 'x = "🔥🔥"; y = f("𝔘")\n# 🔥\nz = 1\n',
    "lone surrogate": 'x = "\udcff"; y = 1\n',
    "nul": "x = 1\0y = 2\nz = 3\n",
    "broken": "def f(:\n    x = (1,\nclass A:\n    y = 2\n",
    "missing": "x = foo(1, 2\ny = 3\n",
    "binary": bytes(range(256)).decode("latin-1"),
}

PROGRAMS = st.one_of(
    st.text(),
    st.text(alphabet="abx01 ()[]{}:,.=+-*\"'#\\\n\r\t\fé🔥\udcff\0def clas", max_size=200),
    st.lists(
        st.sampled_from(
            [
                *("x = 1\n", "def f(a, *b, c=1, **d):\n    return a\n", "é = '🔥' + f(ä)\n"),
                *("class A(B):\n    x: int = 3\n", "for i in x: pass\r\n", "f(x for x in y)\n"),
                *("with a as b, c: d\n", "lambda x: (x, 1)\n", '"""日本\n"""\n', "(((\n", "]]\n"),
            ]
        )
    ).map("".join),
)


def pairs(text: str) -> list[tuple[Node, tuple[str, str, str | None]]]:
    """Each node with the type, text and place of tree-sitter's node that it was made from."""
    data = text.encode("utf-8", "replace")
    expected: list[tuple[str, str, str | None]] = []

    def visit(cursor_node, field: str | None) -> None:
        if not cursor_node.is_named and field is None:
            return
        start, end = cursor_node.start_byte, cursor_node.end_byte
        expected.append((cursor_node.type, data[start:end].decode(), field))
        for index, child in enumerate(cursor_node.children):
            visit(child, cursor_node.field_name_for_child(index))

    root = parse(text).root_node
    for index, child in enumerate(root.children):
        visit(child, root.field_name_for_child(index))
    nodes = list(Source(text).root.walk())[1:]
    return list(zip(nodes, expected, strict=True))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_nodes_are_tree_sitters(text: str) -> None:
    check_nodes(text)


@given(PROGRAMS)
def test_nodes_are_tree_sitters_for_any_text(text: str) -> None:
    check_nodes(text)


def check_nodes(text: str) -> None:
    source = Source(text)
    for node, (type, slice, field) in pairs(text):
        # tree-sitter was given "?" for a surrogate, which UTF-8 cannot hold.
        shown = "".join("?" if 0xD800 <= ord(c) < 0xE000 else c for c in source[node])
        assert (node.type, shown, node.field) == (type, slice, field)


@given(PROGRAMS)
def test_children_lie_in_their_parents_in_order(text: str) -> None:
    for node in Source(text).root.walk():
        at = node.start
        for child in node.children:
            assert child.parent is node
            assert at <= child.start <= child.end <= node.end
            at = child.end


@pytest.mark.parametrize(
    ("text", "offset", "type"),
    [
        ("x = f(y)\n", 0, "identifier"),
        ("x = f(y)\n", 6, "identifier"),
        ("x = f(y)\n", 5, "argument_list"),
        ("x = f(y)\n", 8, "module"),
        ("é = '🔥'\n", 5, "string_content"),
        ("import os\n", 0, "import_statement"),
        ("", 0, "module"),
    ],
)
def test_node_at(text: str, offset: int, type: str) -> None:
    assert Source(text).node_at(offset).type == type


@given(PROGRAMS, st.integers(0, 300))
def test_node_at_is_the_smallest_that_holds_the_character(text: str, offset: int) -> None:
    source = Source(text)
    node = source.node_at(offset)
    assert node is source.root or node.start <= offset < node.end
    assert not any(child.start <= offset < child.end for child in node.children)


@pytest.mark.parametrize(
    ("text", "offset", "position"),
    [
        ("a\nbc\n", 0, (1, 0)),
        ("a\nbc\n", 3, (2, 1)),
        ("a\r\nbc", 4, (2, 1)),
        ("a\rbc", 3, (2, 1)),
        ("é🔥\nb", 3, (2, 0)),
        ("a\n", 2, (2, 0)),
    ],
)
def test_positions(text: str, offset: int, position: tuple[int, int]) -> None:
    source = Source(text)
    assert source.position(offset) == position
    assert source.offset(*position) == offset


@pytest.mark.parametrize(
    ("line", "column", "offset"), [(0, 5, 0), (1, 99, 5), (9, 0, 5), (2, 1, 3), (-3, 0, 0)]
)
def test_offsets_outside_the_text_are_clamped(line: int, column: int, offset: int) -> None:
    assert Source("a\nbcd").offset(line, column) == offset


@pytest.mark.parametrize("text", ["x = (1,\n", "def f(:\n    pass\n", "\0", "x = = 1\n"])
def test_what_does_not_parse_is_an_error(text: str) -> None:
    assert Source(text).errors


def test_what_parses_has_no_errors() -> None:
    assert not Source("x = 1\n").errors
