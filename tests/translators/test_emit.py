"""Writing a port: edits, imports, helpers, layout and the header."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchport_translators._version import __version__
from torchport_translators.catalogue.load import Catalogue, RuleModule
from torchport_translators.emit.edits import Edits, newline_of
from torchport_translators.emit.header import (
    definition_digests,
    edited_by_hand,
    read_header,
)
from torchport_translators.emit.helpers import Helpers
from torchport_translators.emit.imports import Import, Imports, names_in, statements
from torchport_translators.emit.layout import break_long_lines, limit_of
from torchport_translators.source.syntax import Source
from torchport_translators.translate import translate

# Edits


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([], "abcdef"),
        ([(1, 3, "X")], "aXdef"),
        ([(3, 3, "X"), (3, 3, "Y")], "abcXYdef"),
        ([(1, 3, "X"), (3, 5, "Y")], "aXYf"),
        ([(2, 4, "X"), (2, 2, "Y")], "abYXef"),
        ([(2, 3, "inner"), (1, 5, "outer")], "aouterf"),
        ([(2, 2, "inner"), (1, 5, "outer")], "aouterf"),
        ([(1, 2, "inner"), (1, 5, "outer")], "aouterf"),
        ([(6, 6, "end"), (0, 0, "start")], "startabcdefend"),
    ],
)
def test_edits(edits: list[tuple[int, int, str]], expected: str) -> None:
    made = Edits()
    for start, end, text in edits:
        made.replace(start, end, text)
    assert made.apply("abcdef") == expected


def test_edits_of_a_stretch_leave_out_what_is_outside() -> None:
    edits = Edits()
    edits.replace(0, 1, "X")
    edits.replace(2, 3, "Y")
    edits.replace(5, 6, "Z")
    assert edits.apply("abcdef", 1, 5) == "bYde"


def test_places_tell_where_offsets_stand_after_the_edits() -> None:
    text = "ab\r\ncd\r\nef"
    edits = Edits()
    edits.replace(0, 2, "longer")  # before the second line
    edits.insert(4, "new\n")  # at its start: comes after it
    edits.replace(5, 9, "-")  # over the start of the third
    assert edits.apply(text) == "longer\r\nnew\r\nc-f"
    assert edits.places(text, [0, 4, 8, 10]) == [0, 8, 16]


def test_new_text_takes_the_line_endings_of_the_old() -> None:
    edits = Edits()
    edits.insert(3, "x\ny\r\n")
    assert edits.apply("a\r\nb\r\n") == "a\r\nx\r\ny\r\nb\r\n"


@pytest.mark.parametrize(
    ("text", "newline"), [("", "\n"), ("a", "\n"), ("a\r\nb\n", "\r\n"), ("a\nb\r\n", "\n")]
)
def test_newline_of(text: str, newline: str) -> None:
    assert newline_of(text) == newline


# Imports: a source, and its port.

IMPORTS = {
    "in the place of torch's": (
        "import torch\nimport torch.nn.functional as F\n\nx = F.relu(torch.zeros(3))\n",
        "import jax\nimport jax.numpy as jnp\n\nx = jax.nn.relu(jnp.zeros((3,)))\n",
    ),
    "an order that is none stays": (
        "import torch\nimport sys\nimport math\nx = torch.zeros(3)\nprint(math, sys)\n",
        "import jax.numpy as jnp\nimport sys\nimport math\nx = jnp.zeros((3,))\nprint(math, sys)\n",
    ),
    "sorted into a sorted block": (
        "import einops\nimport torch\nimport yaml\n\nx = torch.zeros(3)\n",
        "import einops\nimport jax.numpy as jnp\nimport yaml\n\nx = jnp.zeros((3,))\n",
    ),
    "between the standard library and the project": (
        '"""Doc."""\n\nfrom __future__ import annotations\n\nimport os\n\nfrom .a import b\n'
        "\n\ndef f():\n    import torch\n\n    return torch.zeros(3)\n",
        '"""Doc."""\n\nfrom __future__ import annotations\n\nimport os\n\nimport jax.numpy as jnp\n'
        "\nfrom .a import b\n\n\ndef f():\n    return jnp.zeros((3,))\n",
    ),
    "below licence, shebang and docstring": (
        '#!/usr/bin/env python\n# Licence\n"""Doc."""\n\nimport torch\n\nx = torch.zeros(3)\n',
        '#!/usr/bin/env python\n# Licence\n"""Doc."""\n\nimport jax.numpy as jnp\n\nx = jnp.zeros((3,))\n',
    ),
    "what is present is not imported again": (
        "import jax.numpy as jnp\nimport numpy as np\nimport torch\n\nx = torch.zeros(3) + np.e\n",
        "import jax.numpy as jnp\nimport numpy as np\n\nx = jnp.zeros((3,)) + np.e\n",
    ),
    "no blank line before a class that had none": (
        "import torch\nclass A:\n    x = torch.zeros(3)\n",
        "import jax.numpy as jnp\nclass A:\n    x = jnp.zeros((3,))\n",
    ),
    "a block that is gone takes its blank lines along": (
        "import math\n\nimport torch\n\n\ndef f():\n    return math.pi\n",
        "import math\n\n\ndef f():\n    return math.pi\n",
    ),
    "one of two names": (
        "import torch, math\nx = torch.zeros(3) * math.pi\n",
        "import jax.numpy as jnp\nimport math\nx = jnp.zeros((3,)) * math.pi\n",
    ),
    "one of two statements on a line": (
        "import math; import torch\nx = math.pi\n",
        "import math\nx = math.pi\n",
    ),
    "what is not ported keeps its import": (
        "import torch\nfrom torch import nn\n\nx = torch.sparse.mm(a, b)\n",
        "import torch\n\n# torchport: not ported: torch.sparse.mm has no rule\n"
        "x = torch.sparse.mm(a, b)\n",
    ),
    "parentheses and comments": (
        "from torch import (\n    nn,  # layers\n    zeros,  # filled\n    # the rest\n    sparse,\n)\n\n"
        "x = sparse.mm(zeros(3), a)\n",
        "from torch import (\n    zeros,  # filled\n    # the rest\n    sparse,\n)\n\n"
        "# torchport: not ported: torch.sparse.mm has no rule\nx = sparse.mm(zeros(3), a)\n",
    ),
    "a star": (
        "from torch import *\n\nx = zeros(3)\n",
        "import jax.numpy as jnp\n\nx = jnp.zeros((3,))\n",
    ),
    "a function is not left empty": ("def f():\n    import torch\n", "def f():\n    pass\n"),
    "an import inside a function": (
        "def f(x):\n    import torch.distributed as dist\n\n    return x\n",
        "def f(x):\n    return x\n",
    ),
    "a guarded import": (
        "try:\n    import torch\nexcept ImportError:\n    torch = None\n\nx = 3\n",
        "x = 3\n",
    ),
    "a guarded import that says more": (
        "try:\n    import torch\n\n    HAS = True\nexcept ImportError:\n    HAS = False\n",
        "try:\n    HAS = True\nexcept ImportError:\n    HAS = False\n",
    ),
    "for type checking only": (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import torch\n\nx = 1\n",
        "from typing import TYPE_CHECKING\n\nx = 1\n",
    ),
    "a use above the import": (
        "if a: x = torch.sparse.mm(a, b)\nimport torch\n",
        "if a: x = torch.sparse.mm(a, b)\nimport torch\n",
    ),
    "a quoted annotation": (
        "from torch import Tensor\n\n\ndef f(x: 'list[Tensor]'):\n    pass\n",
        "import jax\n\n\ndef f(x: 'list[jax.Array]'):\n    pass\n",
    ),
    "nothing but torch": ("import torch", ""),
    "carriage returns": (
        "import math\r\nimport torch\r\n\r\nx = torch.zeros(3) * math.pi\r\n",
        "import math\r\nimport jax.numpy as jnp\r\n\r\nx = jnp.zeros((3,)) * math.pi\r\n",
    ),
    "statements that the port leaves alone may stand among the imports": (
        "import os\nos.environ['A'] = '1'\nimport torch\n\nx = torch.zeros(3)\n",
        "import os\nos.environ['A'] = '1'\nimport jax.numpy as jnp\n\nx = jnp.zeros((3,))\n",
    ),
}


@pytest.mark.parametrize(("source", "port"), IMPORTS.values(), ids=IMPORTS)
def test_imports(source: str, port: str) -> None:
    assert translate(source).text == port


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("jnp.sum(x, axis=1)", {"jnp.sum", "x"}),
        ("a.jnp.b", {"a.jnp.b"}),
        ("f().jnp", {"f"}),
        ("# jnp\n'jnp' \"np\" '''lax'''", set()),
        ("f'{jnp.pi:>{w}}' rb'{np}'", {"jnp.pi", "w"}),
        ("x == y", {"x", "y"}),
        ("é.β + 3.0e5 + _1", {"é.β", "_1"}),
        ("'unclosed", {"unclosed"}),
    ],
)
def test_names_in(code: str, names: set[str]) -> None:
    assert names_in(code) == names


def test_statements_are_sorted_and_names_of_one_module_stand_together() -> None:
    wanted = [
        Import("jax", "random", "random"),
        Import("flax", "nnx", "nnx"),
        Import("jax", "lax", "jlax"),
        Import("jax.numpy", None, "jnp"),
        Import("jax", None, "jax"),
    ]
    assert statements(wanted) == [
        "import jax",
        "import jax.numpy as jnp",
        "from flax import nnx",
        "from jax import lax as jlax, random",
    ]


@pytest.mark.parametrize(
    ("taken", "present", "name"),
    [
        (set[str](), set[Import](), "jnp"),
        ({"jnp"}, set[Import](), "jax_numpy"),
        ({"jnp", "jax_numpy"}, set[Import](), "jax_numpy_"),
        ({"jnp"}, {Import("jax.numpy", None, "jnp")}, "jnp"),
        ({"jnp"}, {Import("jax.numpy", None, "J")}, "J"),
    ],
)
def test_a_name_that_the_source_binds_is_not_taken(
    taken: set[str], present: set[Import], name: str
) -> None:
    imports = Imports(taken, present)
    assert imports.root("jnp") == name
    assert imports.add_root("jnp.float32") == f"{name}.float32"
    assert [item.alias for item in imports.needed] == [name]


def test_a_name_that_what_is_left_of_torch_needs_is_not_taken() -> None:
    source = """
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.odd = nn.NoSuchLayer()

    def forward(self, x):
        return self.odd(torch.sum(x))
"""
    assert (
        translate(source, "mlx").text
        == """
import mlx.core as mx
import mlx.nn as mlx_nn
import torch.nn as nn


class Net(mlx_nn.Module):
    def __init__(self):
        super().__init__()
        # torchport: not ported: torch.nn.NoSuchLayer has no rule
        self.odd = nn.NoSuchLayer()

    def __call__(self, x):
        return self.odd(mx.sum(x))
"""
    )


def test_what_is_put_above_a_statement_moves_with_its_block() -> None:
    source = """
import torch


def f(x):
    with torch.no_grad():
        y = torch.no_such(x)
    return y
"""
    assert (
        translate(source).text
        == """
import jax
import torch


def f(x):
    # torchport: not ported: torch.no_such has no rule
    y = jax.lax.stop_gradient(torch.no_such(x))
    return y
"""
    )


def test_random_state_of_a_file_is_made_before_it_is_first_drawn_from() -> None:
    source = """
import torch

x = torch.randn(3)
y = torch.randn(4)
z = torch.no_such(x)
w = torch.randn(5)
"""
    port = """
import jax
import torch
from flax import nnx

rngs = nnx.Rngs(0)
x = jax.random.normal(rngs(), (3,))
y = jax.random.normal(rngs(), (4,))
# torchport: not ported: torch.no_such has no rule
z = torch.no_such(x)
w = jax.random.normal(rngs(), (5,))
"""
    assert translate(source).text == port


# Helpers

RULES = '''
import jax.numpy as jnp
from functools import partial

_EPS = 1e-6
_SCALE = 2 * _EPS


def _inner(x):
    return x + _SCALE


@ports("torch.outer_rule")
def outer_rule(input, pad=_EPS):
    """An outer_rule that keeps its name in words."""
    def local(_inner):
        return _inner
    return jnp.sum(_inner(input)) + sum(_inner(row) for row in input)


@ports("torch.rec")
@partial(jnp.vectorize)
def rec(n):
    return rec(n - 1) if n else even(n)


def even(n):
    return rec(n)


class Layer(Base):
    def even(self, x):
        return even(x)


class Base:
    pass


def sum(input):
    return input
'''


@pytest.fixture
def rules() -> RuleModule:
    module = RuleModule("sample", RULES)
    module.parse()
    return module


def helpers(taken: set[str]) -> Helpers:
    return Helpers(Catalogue("jax"), Imports(), taken)


def test_a_helper_comes_after_what_it_uses(rules: RuleModule) -> None:
    shipped = helpers(set())
    assert shipped.rule(rules.definitions["outer_rule"]) == "outer_rule"
    assert shipped.block() == (
        "_EPS = 1e-6\n_SCALE = 2 * _EPS\n\n\n"
        "def _inner(x):\n    return x + _SCALE\n\n\n"
        "def torch_sum(input):\n    return input\n\n\n"
        "def outer_rule(input, pad=_EPS):\n"
        '    """An outer_rule that keeps its name in words."""\n'
        "    def local(_inner):\n        return _inner\n"
        "    return jnp.sum(_inner(input)) + torch_sum(_inner(row) for row in input)\n"
    )
    assert shipped.imports.needed == {Import("jax.numpy", None, "jnp")}


def test_names_of_the_source_are_not_taken(rules: RuleModule) -> None:
    shipped = helpers({"_inner", "torch_inner", "outer_rule", "_EPS", "Base"})
    assert shipped.rule(rules.definitions["outer_rule"]) == "torch_outer_rule"
    text = shipped.block()
    assert "def torch_outer_rule(input, pad=TORCH_EPS):" in text
    assert "_SCALE = 2 * TORCH_EPS" in text
    assert "torch_inner_2(input)" in text and "def torch_inner_2(x):" in text
    assert shipped.rule(rules.definitions["Layer"]) == "Layer"
    assert "class Layer(TorchBase):" in shipped.block()


def test_recursion(rules: RuleModule) -> None:
    shipped = helpers({"rec"})
    assert shipped.rule(rules.definitions["rec"]) == "torch_rec"
    assert shipped.block() == (
        "def even(n):\n    return torch_rec(n)\n\n\n"
        "@partial(jnp.vectorize)\ndef torch_rec(n):\n"
        "    return torch_rec(n - 1) if n else even(n)\n"
    )


def test_a_method_does_not_hide_a_function_of_its_name(rules: RuleModule) -> None:
    shipped = helpers({"even"})
    shipped.rule(rules.definitions["Layer"])
    assert "    def even(self, x):\n        return torch_even(x)\n" in shipped.block()


def test_two_helpers_of_one_name_stay_apart(rules: RuleModule) -> None:
    other = RuleModule("other", "def _inner(x):\n    return -x\n")
    other.parse()
    shipped = helpers(set())
    names = {shipped.rule(rules.definitions["_inner"]), shipped.rule(other.definitions["_inner"])}
    assert names == {"_inner", "torch_inner"}


def test_what_is_not_used_is_left_out(rules: RuleModule) -> None:
    shipped = helpers(set())
    for name in ("outer_rule", "rec"):
        shipped.rule(rules.definitions[name])
    shipped.only({"rec", "print"})
    assert [text.splitlines()[0] for text in shipped.texts()] == [
        "def even(n):",
        "@partial(jnp.vectorize)",
    ]


def test_helpers_stand_below_the_imports_two_lines_apart() -> None:
    port = translate("import torch\nx = torch.nn.functional.pad(torch.zeros(3), (1, 1), mode=m)\n")
    (helper,) = port.helpers
    assert f"import jax.numpy as jnp\n\n\n{helper}\n\nx = pad(" in port.text


# Layout


@pytest.mark.parametrize(
    ("source", "limit"),
    [("", 88), ("x" * 95, 95), ("x" * 300, 120), ("x\n" * 200, 88)],
)
def test_a_port_keeps_the_line_length_of_its_source(source: str, limit: int) -> None:
    assert limit_of(source) == limit


ATOMS = st.sampled_from(
    [
        *(
            "x",
            "self.weight",
            "a_rather_long_name_of_a_tensor",
            "jnp.float32",
            "1e-5",
            "0x1F",
            "-1",
        ),
        *(
            "'a, (b'",
            '"it\'s [x]"',
            "f'{x!r:>3} ('",
            "b'\\'('",
            "'''a, b'''",
            "None",
            "...",
            "x[0]",
        ),
    ]
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda e: st.one_of(
        st.tuples(
            e, st.sampled_from(["+", "*", "@", "**", "and", "or", "not in", "is not", "<", "|"]), e
        ).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(e, e, e).map(lambda p: f"some.function({p[0]}, {p[1]}, key={p[2]})"),
        st.lists(e, min_size=1, max_size=4).map(lambda p: f"g({', '.join(p)})"),
        e.map(lambda v: f"(x).reshape({v}).transpose(0, *{v}).sum(axis={v})"),
        st.tuples(e, e).map(lambda p: f"y[{p[0]}, {p[1]}:, ::2]"),
        st.tuples(e, e).map(lambda p: f"({p[0]}, {p[1]})"),
        e.map(lambda v: f"({v},)"),
        st.tuples(e, e).map(lambda p: f"{{{p[0]}: {p[1]}, **{p[0]}}}"),
        e.map(lambda v: f"(lambda a, *b, c=1: {v})"),
        st.tuples(e, e).map(lambda p: f"[{p[0]} for i, j in {p[1]} if i if j]"),
        st.tuples(e, e).map(lambda p: f"f({p[0]} for i in {p[1]})"),
        st.tuples(e, e, e).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        e.map(lambda v: f"(not {v})"),
        e.map(lambda v: f"(-{v})"),
        e.map(lambda v: f"f(*{v}, **{v})"),
        e.map(lambda v: f"(yield {v})"),
    ),
    max_leaves=14,
)
LINES = st.one_of(
    *(
        EXPRESSIONS.map(form.format)
        for form in (
            *("x = {}", "x, y = {}", "x: T = {}", "x += {}", "x.y[z] = w = {}", "return {}"),
            *("assert {}", "assert {}, 'message'", "{}", "raise E({}) from e", "del x[{}]"),
            *("if {}: pass", "while {}:\n        pass", "for i, j in {}:\n        pass"),
            *("with f({}) as g:\n        pass", "@f({})\n    def g(): pass", "yield {}"),
            *("def g(a, b={}):\n        pass", "class A(B, k={}):\n        pass", "x = not {}"),
            *("x = {}  # a comment, (unclosed", "x = {}.a.b", "x = -{} ** 2", "x = {0} + {0}"),
            "if a:\n        pass\n    elif {}:\n        pass",
        )
    ),
    st.tuples(EXPRESSIONS, EXPRESSIONS).map(lambda p: f"x = {p[0]} and {p[1]} or {p[0]}"),
    st.tuples(EXPRESSIONS, EXPRESSIONS).map(lambda p: f"x = {p[0]}, {p[1]}"),
    st.tuples(EXPRESSIONS, EXPRESSIONS).map(
        lambda p: f"x = (\n        {p[0]},\n        {p[1]}\n    )"
    ),
)


@settings(max_examples=400, deadline=None)
@given(LINES)
def test_breaking_a_line_does_not_change_its_meaning(line: str) -> None:
    text = f"async def outer():\n    {line}\n"
    broken = break_long_lines(text, "")
    assert ast.dump(ast.parse(broken)) == ast.dump(ast.parse(text))
    if "# a comment" in line:
        assert "# a comment, (unclosed" in broken


LONG = "an_argument_of_some_length"


@pytest.mark.parametrize(
    "line",
    [
        f"x = function({LONG}, {LONG}, {LONG}, b=2)",
        f"x = function({LONG}, {LONG}, {LONG}, {LONG}, b=2)",
        f"x = function({LONG}, other({LONG}, {LONG}, {LONG}, {LONG}), b=2)",
        f"x = one.function({LONG}, {LONG}).transpose(0, 3, 1, 2).astype({LONG})",
        f"x = one.function({LONG}, {LONG}, {LONG}, {LONG})[0]",
        f"x = one.function({LONG}, {LONG}, {LONG}, {LONG}).mean()",
        f"x = {LONG} + {LONG} * {LONG} - {LONG} @ {LONG}",
        f"x = {LONG}({LONG}) + {LONG}(1, {LONG}, {LONG})",
        f"x = {LONG} if {LONG} and {LONG} else {LONG}",
        f"x = [{LONG}({LONG}, i) for i in {LONG} if {LONG}]",
        f"x = ({LONG}, {LONG}, {LONG}, {LONG})",
        f"x = {LONG}[:, {LONG}:{LONG}, {LONG}, {LONG}]",
        f"x[{LONG}] = function({LONG}, {LONG}, {LONG})",
        f"return function({LONG}, lambda a, b: a + b, {LONG}, {LONG})",
        f"return {LONG} @ {LONG} + {LONG} / {LONG}",
        f"function({LONG}, *{LONG}, key={LONG}, **{LONG})",
        f"assert {LONG} == {LONG}, 'they must be equal, and are not: check {LONG}'",
        f"if {LONG} and {LONG} or {LONG} and {LONG}:\n    pass",
        f"for i in function({LONG}, {LONG}, {LONG}):\n    pass",
        f"def function({LONG}, {LONG}: int, *, rngs: nnx.Rngs) -> x:\n    pass",
        f"def function({LONG}, {LONG}: int, {LONG}x=3, *, rngs: nnx.Rngs) -> x:\n    pass",
        f"def function({LONG}: list[tuple[{LONG}, {LONG}]]):\n    pass",
        f"with function({LONG}, {LONG}, {LONG}) as x:\n    pass",
        f"from module import {LONG}, {LONG}2, {LONG}3, other",
        f"x = function('{LONG}, ({LONG}', f'{{x}} [{LONG}')",
    ],
)
def test_lines_break_as_ruff_breaks_them(line: str, tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff is not None, "the development tools are not installed: make test does that"
    config = tmp_path / "ruff.toml"
    config.write_text('line-length = 88\n[format]\nquote-style = "preserve"\n')
    if line.startswith("return"):
        line = f"def outer():\n    {line}"
    done = subprocess.run(
        [ruff, "format", "--no-cache", "--config", str(config), "-"],
        input=f"{line}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(line.splitlines()[-1]) > 88 or len(line.splitlines()[0]) > 88
    assert break_long_lines(f"{line}\n", "") == done.stdout


UNTOUCHED = [
    f'text = """\n{LONG}({LONG}, {LONG}, {LONG}, {LONG})\n"""\n',
    f"x = f'{{d[\"a\"]}} {LONG} {LONG}' f'{{\", \".join({LONG})}} {LONG}'\n",
    f"x = {LONG}({LONG}, {LONG}, {LONG})  # type: ignore[arg-type]\n",
    f"x = {LONG}; y = {LONG}({LONG}, {LONG}, {LONG})\n",
    f"x = {LONG}({LONG}, {LONG}, \\\n    {LONG}, {LONG}, {LONG}, {LONG})\n",
    f"# {LONG}({LONG}, {LONG}, {LONG}, {LONG})\n",
    f"x = = {LONG}({LONG}, {LONG}, {LONG}, {LONG})\n",
    f"{LONG}{LONG}{LONG}{LONG}\n",
]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_lines_that_cannot_be_broken_safely_stay(text: str) -> None:
    assert break_long_lines(text, "") == text


def test_lines_of_the_source_stay() -> None:
    line = f"x = {LONG}({LONG}, {LONG}, {LONG})\n"
    assert break_long_lines(line, f"y = 1\n{line}") == line
    assert break_long_lines(line, "", [line]) == line
    assert break_long_lines(line, "") != line


def test_a_comment_that_does_not_fit_goes_above() -> None:
    line = f"    x = {LONG}  # " + "why " * 20
    assert break_long_lines(f"if y:\n{line}\n", "") == (
        "if y:\n    # " + ("why " * 20).rstrip() + f"\n    x = {LONG}\n"
    )


def test_line_endings_stay() -> None:
    text = f"a = 1\r\nlong_name = function({LONG}, {LONG}, b=222222222222)\r\n"
    broken = break_long_lines(text, "")
    assert (
        broken == f"a = 1\r\nlong_name = function(\r\n    {LONG}, {LONG}, b=222222222222\r\n)\r\n"
    )


# The header

SOURCE = '''"""Doc."""

import torch


class Größe(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x)


@torch.no_grad()
def loss(x: torch.Tensor):
    return x.sum()
'''


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["model.py", "my models/größe 1.py"])
@pytest.mark.parametrize("start", ["", "#!/usr/bin/env python\n", "# -*- coding: utf-8 -*-\n"])
def test_a_header_says_where_a_port_comes_from(start: str, name: str, newline: str) -> None:
    source = (start + SOURCE).replace("\n", newline)
    port = translate(source, "jax", name=name).text
    header = read_header(port)
    assert header is not None
    assert (header.source, header.target, header.version) == (name, "jax", __version__)
    assert header.definitions == definition_digests(Source(source))
    assert list(header.definitions) == ["Größe", "loss"]
    assert port.startswith(start.replace("\n", newline))
    assert newline == "\n" or port.count("\n") == port.count("\r\n")
    assert not edited_by_hand(port)
    ast.parse(port)


def test_a_port_without_its_header_is_the_port() -> None:
    plain, headed = translate(SOURCE).text, translate(SOURCE, name="model.py").text
    assert headed.endswith(f"\n\n{plain}")
    assert read_header(plain) is None
    assert read_header("") is None


@pytest.mark.parametrize(
    ("change", "edited"),
    [
        (lambda port: port.replace("jax.nn.relu", "jax.nn.gelu"), True),
        (lambda port: port + "x = 1\n", True),
        (lambda port: "import os\n" + port, True),
        (lambda port: port.partition("\n\n")[2], True),
        (lambda port: port.replace("\n", "\r\n"), False),
        (lambda port: port.rstrip() + "  \n\n\n", False),
    ],
    ids=["a call", "a line below", "a line above", "no header", "line endings", "white space"],
)
def test_an_edit_by_hand_is_seen(change, edited: bool) -> None:
    port = translate(SOURCE, name="model.py").text
    assert edited_by_hand(change(port)) is edited


def test_drift_is_seen_in_the_definition_that_changed() -> None:
    header = read_header(translate(SOURCE, name="model.py").text)
    assert header is not None
    changed = definition_digests(Source(SOURCE.replace("x.sum()", "x.mean()")))
    drifted = [name for name, value in changed.items() if header.definitions[name] != value]
    assert drifted == ["loss"]
    reformatted = definition_digests(Source(SOURCE.replace("\n\n\n", "\n\n\n\n\n")))
    assert reformatted == header.definitions


def test_many_definitions_take_several_lines() -> None:
    source = "\n".join(f"def function_{i}():\n    pass\n" for i in range(40))
    port = translate(source, name="model.py").text
    header = read_header(port)
    assert header is not None and len(header.definitions) == 40
    assert max(map(len, port.splitlines())) <= 100
    assert not edited_by_hand(port)
