"""What a selection grows to, and the port of a stretch of a file."""

from __future__ import annotations

import ast

import pytest

from torchport_translators.findings import Span
from torchport_translators.source.snippets import grow
from torchport_translators.source.syntax import Source
from torchport_translators.translate import translate

MODEL = '''"""A model."""

import math
import torch
from torch import nn

SCALE = 2  # a constant


# A net.
@register
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.n = 3

    def forward(self, x):
        y = torch.relu(x)

        if y.sum() > 0:
            y = y * math.pi
            y = torch.sin(y)
        else:
            y = -y
        return y


def loss(a: torch.Tensor): return a.sum()


x = 1; y = 2
'''

# What is selected, and the first and last line of what it grows to.
GROWS = {
    "an expression": ("relu(x", "y = torch.relu(x)", "y = torch.relu(x)"),
    "a statement": ("y = torch.relu(x)", "y = torch.relu(x)", "y = torch.relu(x)"),
    "two statements": (
        "math.pi\n            y = torch",
        "y = y * math.pi",
        "y = torch.sin(y)",
    ),
    "over an else": ("torch.sin(y)\n        else:\n", "if y.sum() > 0:", "y = -y"),
    "a condition": ("y.sum() > 0", "if y.sum() > 0:", "y = -y"),
    "a method's name": ("forward", "def forward(self, x):", "return y"),
    "over two methods": ("self.n = 3\n\n    def forward", "def __init__(self):", "return y"),
    "a class's name": ("class Net", "@register", "return y"),
    "a decorator": ("@register", "@register", "return y"),
    "a function's body on its line": ("a.sum()", "def loss(a: torch.Tensor): return a.sum()", None),
    "two definitions": ("-y\n        return y\n\n\ndef", "@register", "return a.sum()"),
    "an import": ("import torch\n", "import torch", None),
    "one of two statements on a line": ("x = 1", "x = 1; y = 2", None),
    "the other of them": ("y = 2", "x = 1; y = 2", None),
    "white space around": ("\n\n    def forward(self, x):\n", "def forward(self, x):", "return y"),
    "the whole file": (MODEL, '"""A model."""', "x = 1; y = 2"),
    "a comment": ("# A net.", "SCALE = 2", None),
    "a comment beside a statement": ("# a constant", "SCALE = 2", None),
    "a blank line in a block": ("\n\n        if y", "if y.sum() > 0:", "y = -y"),
    "a blank line between definitions": ("return y\n\n\n", "return y", None),
}


@pytest.mark.parametrize(("selected", "first", "last"), GROWS.values(), ids=GROWS)
def test_a_selection_grows_to_whole_statements(selected: str, first: str, last: str | None) -> None:
    start = MODEL.index(selected)
    grown = grow(Source(MODEL), Span(start, start + len(selected))).span
    text = MODEL[grown.start : grown.end].strip()
    assert text.startswith(first)
    assert text.endswith(first if last is None else last)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "\\\n"])
def test_nothing_to_select(text: str) -> None:
    result = translate(text, span=Span(0, len(text)))
    assert result.text.strip() in ("", text.strip())


def test_growing_a_grown_selection_changes_nothing() -> None:
    source = Source(MODEL)
    for start in range(0, len(MODEL), 7):
        for length in (0, 1, 20, 200):
            once = grow(source, Span(start, start + length)).span
            assert once.start <= once.end <= len(MODEL)
            assert grow(source, once).span == once


@pytest.mark.parametrize("span", [Span(-5, -1), Span(10**9, 10**9), Span(50, 10), Span(0, 10**9)])
def test_selections_outside_the_text(span: Span) -> None:
    ast.parse(translate(MODEL, span=span).text)


def select(source: str, selected: str) -> str:
    start = source.index(selected)
    return translate(source, span=Span(start, start + len(selected))).text


def test_a_statement_comes_with_the_imports_that_it_needs() -> None:
    assert select(MODEL, "y = torch.relu(x)") == "import jax\n\ny = jax.nn.relu(x)\n"


def test_and_with_those_that_the_file_has_for_it() -> None:
    assert select(MODEL, "y = y * math.pi\n            y = torch.sin(y)") == (
        "import math\n\nimport jax.numpy as jnp\n\ny = y * math.pi\ny = jnp.sin(y)\n"
    )


def test_what_is_not_ported_keeps_torch() -> None:
    source = "import torch\n\n\ndef f(a, b):\n    return torch.sparse.mm(a, b)\n"
    assert select(source, "return") == (
        "import torch\n\n# torchport: not ported: torch.sparse.mm has no rule\n"
        "return torch.sparse.mm(a, b)\n"
    )


def test_a_body_on_its_header_s_line_comes_with_the_header() -> None:
    assert select(MODEL, "a.sum()") == select(MODEL, "def loss")


def test_a_definition_stands_two_lines_below_its_imports() -> None:
    text = select(MODEL, "def loss")
    assert text == (
        "import jax\nimport jax.numpy as jnp\n\n\ndef loss(a: jax.Array): return jnp.sum(a)\n"
    )


def test_a_statement_comes_with_its_helpers() -> None:
    source = "import torch\n\n\ndef f(x: torch.Tensor, m):\n    return torch.nn.functional.pad(x, (1, 1), mode=m)\n"
    start = source.index("return")
    result = translate(source, span=Span(start, start))
    (helper,) = result.helpers
    assert result.text == (
        f"import jax.numpy as jnp\n\n\n{helper}\n\nreturn pad(x, (1, 1), mode=m)\n"
    )


def test_lines_inside_strings_keep_their_indentation() -> None:
    source = (
        "if a:\n    x = '''\n    indented\n    '''\n"
        "    def f():\n        '''Docs\n\n        more.'''\n        return x\n"
    )
    assert select(source, "indented\n    '''\n    def f") == (
        "x = '''\n    indented\n    '''\ndef f():\n    '''Docs\n\n    more.'''\n    return x\n"
    )


def test_carriage_returns_stay() -> None:
    source = MODEL.replace("\n", "\r\n")
    text = select(source, "y = torch.relu(x)")
    assert text == "import jax\r\n\r\ny = jax.nn.relu(x)\r\n"


def test_only_findings_of_the_stretch_are_told() -> None:
    source = (
        "import torch\n\n\ndef f(a):\n    return torch.sparse.mm(a, a)\n\n\n"
        "def g(a: torch.Tensor):\n    return torch.abs(a)\n"
    )
    start = source.index("def g")
    result = translate(source, span=Span(start, start + 5))
    assert result.findings == ()
    assert result.coverage.ratio == 1
    assert [definition.name for definition in result.definitions] == ["g"]
    assert result.span == Span(start, len(source) - 1)


@pytest.mark.parametrize(
    "selected", ["y = torch.abs(x)", "torch.abs", "def f(", "x = (1,", "class A"]
)
def test_selections_in_broken_code(selected: str) -> None:
    source = "import torch\ndef f(:\n    x = (1,\n    y = torch.abs(x)\nclass A\n    z = torch.zeros(3)\n"
    start = source.index(selected)
    result = translate(source, span=Span(start, start + len(selected)))
    assert result.span is not None
    assert result.span.start <= start and start + len(selected) <= result.span.end
