"""No text makes `translate` raise, and what is not torch stays byte for byte."""

from __future__ import annotations

import ast
import random
import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from torchport_translators.findings import CODES, Span, Translation
from torchport_translators.translate import translate

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Programs of the kind people have, without torch.

NAMES = st.sampled_from(
    ["x", "y", "self.w", "données", "变量", "cfg['a']", "items[0].value", "f(x)"]
)
VALUES = st.recursive(
    st.one_of(
        NAMES,
        st.sampled_from(
            ["1", "-2.5e-3", "0x_ff", "1j", "None", "...", "'a'", '"é"', "b'\\x00'", "r'\\d'"]
        ),
        st.sampled_from(["f'{x!r:>{y}}'", "'a' 'b'", "'''tri\nple'''", '"🔥"', "f'''{x}\n'''"]),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "@", "**", "and", "is not", "<="]), inner).map(
            " ".join
        ),
        st.lists(inner, max_size=3).map(lambda parts: f"f({', '.join(parts)})"),
        st.lists(inner, max_size=3).map(lambda parts: f"[{' , '.join(parts)}]"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]},\n     {pair[1]},  # why\n)"),
        inner.map(lambda value: f"(lambda a, *b: {value})"),
        inner.map(lambda value: f"[{value} for i in {value} if i]"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} if x else {pair[1]})"),
        inner.map(lambda value: f"{{ {value}: {value}, **z }}"),
    ),
    max_leaves=6,
)
SIMPLE = st.one_of(
    VALUES.map(lambda value: f"result = {value}"),
    VALUES.map(lambda value: f"x: int = {value}   # ty­pe"),
    VALUES.map(lambda value: f"x[{value}] += {value}"),
    VALUES.map(lambda value: f"print({value});  y = 2"),
    VALUES.map(lambda value: f"assert {value}, 'no'"),
    st.sampled_from(
        [
            *("pass", "import math", "from os import (\n    path,  # here\n    sep,\n)", "del x"),
            *("# a comment\t", "x = 1 \\\n    + 2", "'''docs'''", "global x", "x = y = z"),
        ]
    ),
)


def block(inner: st.SearchStrategy[str], head: str) -> st.SearchStrategy[str]:
    def written(parts: tuple[str, list[str], str]) -> str:
        value, body, indent = parts
        lines = "\n".join(body)
        return head.format(value) + "\n" + textwrap.indent(lines, indent)

    return st.tuples(
        NAMES, st.lists(inner, min_size=1, max_size=3), st.sampled_from(["    ", "\t", "  "])
    ).map(written)


STATEMENTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        *(
            block(inner, head)
            for head in (
                "def f(a, b=1, *c, d: int = 2, **e) -> 'int':",
                "class A(Base, metaclass=M):",
                "if {}:",
                "for i, (j, k) in {}:",
                "while not {}:",
                "with {} as h, g():",
                "@wrap(1)\ndef g():",
                "async def h():",
                "try:\n    pass\nexcept (A, B) as e:",
            )
        )
    ),
    max_leaves=5,
)
PROGRAMS = st.tuples(
    st.lists(STATEMENTS, max_size=6),
    st.sampled_from(["\n", "\n\n\n", "\n\f\n", "\n   \n"]),
    st.sampled_from(["", "\n", "\n\n", "  # end"]),
    st.sampled_from(["", "\ufeff", "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n"]),
).map(lambda parts: parts[3] + parts[1].join(parts[0]) + parts[2])


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A program in which something was cut, doubled, or overwritten with rubbish."""
    text = draw(
        st.one_of(PROGRAMS, st.sampled_from([path.read_text("utf-8") for path in EXAMPLES]))
    )
    rng = random.Random(draw(st.integers(0, 10_000)))
    for _ in range(draw(st.integers(1, 4))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([1, 3, 40, 400]))
        rubbish = rng.choice(
            ["", "(", ")", "\0", "\udcff", '"""', "\r", "\n\t", "🔥", text[start:end] * 2]
        )
        text = text[:start] + rubbish + text[end:]
    return text


def check(text: str) -> Translation:
    result = translate(text)
    lines = text.count("\n") + text.count("\r") + 1
    for finding in result.findings:
        assert finding.code in CODES
        assert 1 <= finding.line <= finding.end_line <= lines
        assert finding.help and finding.severity
    assert result.coverage.ported <= result.coverage.total
    return result


@SETTINGS
@given(PROGRAMS, st.sampled_from(["\n", "\r\n"]))
def test_a_program_without_torch_stays_as_it_is(text: str, newline: str) -> None:
    text = text.replace("\n", newline)
    assert check(text).text == text


@SETTINGS
@given(st.one_of(st.text(), st.binary(max_size=300).map(lambda data: data.decode("latin-1"))))
@example("\xfe\xff\x00\r")
def test_any_text_without_torch_stays_as_it_is(text: str) -> None:
    # A snippet that imports nothing is read with torch's usual names.
    assume(not re.search(r"\b(torch|nn|F|Tensor)\b", text))
    assert check(text).text == text


@SETTINGS
@given(mutated())
def test_broken_programs_do_not_raise(text: str) -> None:
    check(text)


@SETTINGS
@given(mutated(), st.integers(-5, 5000), st.integers(-5, 5000))
def test_broken_selections_do_not_raise(text: str, start: int, end: int) -> None:
    translate(text, span=Span(start, end))


HUGE = {
    "nested parentheses": "x = " + "(" * 5000 + "1" + ")" * 5000 + "\n",
    "unclosed parentheses": "(" * 5000,
    "nested lists": "import torch\nx = torch.tensor(" + "[" * 3000 + "]" * 3000 + ")\n",
    "nested calls": "import torch\nx = " + "torch.relu(" * 3000 + "y" + ")" * 3000 + "\n",
    "a long chain": "import torch\nx = torch.zeros(3)" + ".relu()" * 3000 + "\n",
    "a long sum": "import torch\nx = " + " + ".join(["torch.zeros(3)"] * 3000) + "\n",
    "deep blocks": "".join(" " * depth + "if x:\n" for depth in range(300)) + " " * 300 + "pass\n",
    "a long line": "import torch\nx = f("
    + ", ".join(f"torch.relu(a{i})" for i in range(6000))
    + ")\n",
    "a long string": 'import torch\nx = "' + "torch " * 20_000 + '"\n',
    "elifs": "if a:\n    pass\n" + "elif b:\n    pass\n" * 1000,
    "nul characters": "import torch\n" + "\0" * 1000 + "\nx = torch.zeros(3)\n",
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_huge_and_deep_texts(text: str) -> None:
    check(text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_ports_of_whole_files_parse_and_keep_line_endings(path: Path, newline: str) -> None:
    text = path.read_text("utf-8").replace("\n", newline)
    port = check(text).text
    ast.parse(port)
    if newline == "\r\n":
        assert port.replace("\r\n", "").count("\n") == 0


def test_a_constructor_without_a_body() -> None:
    check(
        "import torch\n\n\nclass A(torch.nn.Module):\n    def __init__(self):\n\n"
        "    def forward(self, x):\n        return torch.dropout(x, 0.1, self.training)\n"
    )


def test_an_unknown_target_is_an_error() -> None:
    with pytest.raises(ValueError, match="fortran"):
        translate("x = 1\n", "fortran")
