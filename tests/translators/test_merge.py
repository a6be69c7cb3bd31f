"""Porting some definitions into a port that is there, and may have been edited."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

from torchport_translators.emit.header import edited_by_hand, read_header
from torchport_translators.emit.merge import MergeProblem, merge
from torchport_translators.source.syntax import Source, top_level
from torchport_translators.translate import translate

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))

SOURCE = """\
\"\"\"Small things.\"\"\"

import math

import torch
from torch import nn

SCALE = 2.0
LIMITS = {}
LIMITS["top"] = SCALE


# Halves it.
def half(x: torch.Tensor):
    return x.mul(0.5)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor):
        return self.act(half(x))


@torch.no_grad()
def area(r: torch.Tensor):
    return math.pi * torch.square(r)


def scaled(x: torch.Tensor):
    return x.add(SCALE)


def limited(x: torch.Tensor, top=LIMITS["top"]):
    return x.add(top)


def loss(x: torch.Tensor, y: torch.Tensor):
    return nn.functional.cross_entropy(x, y)


def framed(x: torch.Tensor):
    return nn.functional.pad(x, (1, 1), mode="reflect")
"""

HALF = "# Halves it.\ndef half(x: jax.Array):\n    return x * 0.5\n"
AREA = "def area(r: jax.Array):\n    return jax.lax.stop_gradient(math.pi * jnp.square(r))\n"
SCALED = "def scaled(x: jax.Array):\n    return x + SCALE\n"
LIMITED = 'def limited(x: jax.Array, top=LIMITS["top"]):\n    return x + top\n'
NET = """\
class Net(nnx.Module):
    def __init__(self):
        self.act = nnx.relu

    def __call__(self, x: jax.Array):
        return self.act(half(x))
"""

# The port before, the names to port, and the port after; all of `SOURCE`.

MERGES = {
    "in the place of what was there": (
        "import jax\n\n\ndef half(x):\n    return 0\n\n\nprint(half(1))  # mine\n",
        ["half"],
        f"import jax\n\n\n{HALF}\n\nprint(half(1))  # mine\n",
    ),
    "with the comments directly above, and no others": (
        "import jax\n\n# Mine.\n\n# Old.\n# Older.\ndef half(x):\n    return 0  # old\n    # old\n",
        ["half"],
        f"import jax\n\n# Mine.\n\n{HALF}",
    ),
    "with its decorators": (
        "import math\n\nimport jax\nimport jax.numpy as jnp\n\n\n"
        "@jax.jit\n# why\n@wrap(\n    1,\n)\ndef area(r):\n    return 0\n\n\nx = 1\n",
        ["area"],
        f"import math\n\nimport jax\nimport jax.numpy as jnp\n\n\n{AREA}\n\nx = 1\n",
    ),
    "a function becomes a class": (
        "import jax\nfrom flax import nnx\n\n\ndef half(x):\n    return x\n\n\n"
        "async def Net(): return 1  # once\n",
        ["Net"],
        "import jax\nfrom flax import nnx\n\n\ndef half(x):\n    return x\n\n\n" + NET,
    ),
    "an assignment becomes a function": (
        "import jax\nhalf = lambda x: x / 2  # old\nprint(half(1))\n",
        ["half"],
        f"import jax\n\n\n{HALF}\n\nprint(half(1))\n",
    ),
    "a name that means several things is not replaced as an assignment": (
        "import jax\n\nhalf, third = 1, 2\n",
        ["half"],
        f"import jax\n\n\n{HALF}\n\nhalf, third = 1, 2\n",
    ),
    "two at once": (
        "import jax\nimport jax.numpy as jnp\n\nSCALE = 2.0\n\n\n"
        "def scaled(x):\n    return 1\n\n\ndef half(x):\n    return 1\n",
        ["half", "scaled"],
        f"import jax\nimport jax.numpy as jnp\n\nSCALE = 2.0\n\n\n{SCALED}\n\n{HALF}",
    ),
    "after the nearest earlier definition": (
        "import jax\n\n\ndef half(x):\n    return x\n\n\ndef loss(x):\n    return x\n"
        "from flax import nnx\n",
        ["Net"],
        "import jax\n\n\ndef half(x):\n    return x\n\n\n"
        f"{NET}\n\ndef loss(x):\n    return x\nfrom flax import nnx\n",
    ),
    "at the end, where the file has no last line ending": (
        "import jax\n\n\ndef mine():\n    pass\n\n\ndef half(x): return x",
        ["Net"],
        "import jax\nfrom flax import nnx\n\n\ndef mine():\n    pass\n\n\n"
        f"def half(x): return x\n\n\n{NET[:-1]}",
    ),
    "below the imports, where no earlier definition is": (
        "import jax\nx = 1\n",
        ["half"],
        f"import jax\n\n\n{HALF}\n\nx = 1\n",
    ),
    "not above what it uses": (
        "import jax\nimport jax.numpy as jnp\n\n\ndef half(x):\n    return x\n\n\n"
        'SCALE = 2.0\nLIMITS = {}\nLIMITS["top"] = SCALE\nprint(SCALE)\n',
        ["limited"],
        "import jax\nimport jax.numpy as jnp\n\n\ndef half(x):\n    return x\n\n\n"
        f'SCALE = 2.0\nLIMITS = {{}}\nLIMITS["top"] = SCALE\n\n\n{LIMITED}\n\nprint(SCALE)\n',
    ),
    "imports that are lacking": (
        '"""Mine."""\n\nimport os\n\nimport numpy as np\n\nprint(os, np)\n',
        ["area"],
        '"""Mine."""\n\nimport math\nimport os\n\nimport jax\nimport jax.numpy as jnp\n'
        f"import numpy as np\n\n\n{AREA}\n\nprint(os, np)\n",
    ),
    "a file without imports": (
        '"""Mine."""\n\nx = 1\n',
        ["area"],
        f'"""Mine."""\n\nimport math\n\nimport jax\nimport jax.numpy as jnp\n\n\n{AREA}\n\nx = 1\n',
    ),
    "a name from a module that is imported from": (
        "import jax\nfrom flax import linen\n\n\ndef half(x):\n    return x\n",
        ["Net"],
        f"import jax\nfrom flax import linen, nnx\n\n\ndef half(x):\n    return x\n\n\n{NET}",
    ),
    "an import that goes by another name": (
        "import jax\nfrom flax import nnx as fnx\n\n\ndef half(x):\n    return x\n",
        ["Net"],
        f"import jax\nfrom flax import nnx, nnx as fnx\n\n\ndef half(x):\n    return x\n\n\n{NET}",
    ),
    "an import that is written in another way": (
        "import jax\nimport flax.nnx as nnx\n\n\ndef half(x):\n    return x\n",
        ["Net"],
        f"import jax\nimport flax.nnx as nnx\n\n\ndef half(x):\n    return x\n\n\n{NET}",
    ),
    "a constant of the source": (
        "import jax\n\n\ndef mine():\n    pass\n",
        ["scaled"],
        f"import jax\n\nSCALE = 2.0\n\n\n{SCALED}\n\ndef mine():\n    pass\n",
    ),
    "a constant that is filled in": (
        "import jax\n",
        ["limited"],
        f'import jax\n\nSCALE = 2.0\nLIMITS = {{}}\nLIMITS["top"] = SCALE\n\n\n{LIMITED}',
    ),
    "a constant that is there": (
        "import jax\n\nSCALE = 2.0\n\n\ndef mine():\n    pass\n",
        ["scaled"],
        f"import jax\n\nSCALE = 2.0\n\n\n{SCALED}\n\ndef mine():\n    pass\n",
    ),
    "what was edited elsewhere": (
        "# mine\nimport jax\nimport unused\n\ndef  half( x ) :\n\treturn 0\nx=1;y = [\n2]\n\n\n\n",
        ["half"],
        f"# mine\nimport jax\nimport unused\n\n{HALF}x=1;y = [\n2]\n\n\n\n",
    ),
    "imports that only the old definition used stay": (
        "import jax\nimport scipy\n\n\ndef half(x):\n    return scipy.half(x)\n",
        ["half"],
        f"import jax\nimport scipy\n\n\n{HALF}",
    ),
    "carriage returns": (
        "import os\r\n\r\n\r\ndef half(x):\r\n    return 0\r\n\r\n\r\nx = os\r\n",
        ["half"],
        f"import os\n\nimport jax\n\n\n{HALF}\n\nx = os\n".replace("\n", "\r\n"),
    ),
    "a comment at the end of a definition, with carriage returns": (
        "import jax\r\n\r\n\r\ndef half(x):\r\n    return 0  # none\r\n\r\nx = 1\r\n",
        ["half"],
        f"import jax\n\n\n{HALF}\nx = 1\n".replace("\n", "\r\n"),
    ),
    "byte order mark, shebang and encoding line": (
        "\ufeff#!/usr/bin/env python\n# coding: utf-8\ndef half(x):\n    return 0\n",
        ["half"],
        f"\ufeff#!/usr/bin/env python\n# coding: utf-8\n\nimport jax\n\n\n{HALF}",
    ),
    "a byte order mark right before a definition": (
        "\ufeffdef half(x):\n    return 0\n",
        ["half"],
        f"\ufeffimport jax\n\n\n{HALF}",
    ),
    "letters that are not ASCII": (
        "import jax\n\nπ = '3 ½ 🔥'\n\n\ndef half(données):\n    return 'é' + π\n\n\nx = '变量'\n",
        ["half"],
        f"import jax\n\nπ = '3 ½ 🔥'\n\n\n{HALF}\n\nx = '变量'\n",
    ),
    "statements that share a line": (
        "import jax; x = [\n1]; half = 2\n",
        ["half"],
        f"import jax; x = [\n1]; half = 2\n\n\n{HALF}",
    ),
    "of several definitions of a name the last": (
        "import jax\n\n\ndef half(x):\n    return 0\n\n\ndef half(y):\n    return 1\n",
        ["half"],
        f"import jax\n\n\ndef half(x):\n    return 0\n\n\n{HALF}",
    ),
    "nothing to do": ("x = (\n", [], "x = (\n"),
}


@pytest.mark.parametrize(("port", "names", "after"), MERGES.values(), ids=MERGES)
def test_merge(port: str, names: list[str], after: str) -> None:
    merged = merge(port, SOURCE, "model.py", names)
    assert merged.text == after
    assert merge(merged.text, SOURCE, "model.py", names).text == after


def test_an_empty_port_gets_the_definitions_and_what_they_need() -> None:
    merged = merge("", SOURCE, "model.py", ["scaled", "half"])
    head = merged.text.index("import jax")
    assert merged.text[head:] == f"import jax\n\nSCALE = 2.0\n\n\n{HALF}\n\n{SCALED}"
    header = read_header(merged.text)
    assert header is not None and header.source == "model.py" and header.target == "jax"
    assert list(header.definitions) == ["half", "scaled"]
    assert not edited_by_hand(merged.text)
    assert merge(" \r\n\t", SOURCE, "model.py", ["scaled", "half"]).text == merged.text


def test_an_empty_port_is_written_as_its_source() -> None:
    merged = merge("\ufeff", SOURCE.replace("\n", "\r\n"), "model.py", ["half"])
    assert merged.text.startswith("\ufeff# Ported from") and merged.text.count("\ufeff") == 1
    assert merged.text.count("\r\n") == merged.text.count("\n")
    assert not edited_by_hand(merged.text)


def test_a_port_of_the_users_own_gets_no_header() -> None:
    assert read_header(merge("# mine\n", SOURCE, "model.py", ["half"]).text) is None


# What is told

TOLD = {
    "what is added, imports first": (
        "",
        ["scaled", "half"],
        {"added": ("jax", "SCALE", "half", "scaled")},
    ),
    "what is replaced": (
        "import jax\n\n\ndef half(x):\n    pass\n",
        ["half"],
        {"replaced": ("half",)},
    ),
    "another definition of the source that is not there": (
        "import jax\nfrom flax import nnx\n",
        ["Net"],
        {"added": ("Net",), "missing": ("half",)},
    ),
    "a name that may come from a star import": (
        "import jax\nfrom .shared import *\n",
        ["Net"],
        {"added": ("nnx", "Net"), "missing": ("half",)},
    ),
    "a constant of another value": (
        "import jax\n\nSCALE = 3.0\n",
        ["scaled"],
        {"added": ("scaled",), "kept": ("SCALE",)},
    ),
    "an import of another meaning": (
        "import jax\nimport numpy as jnp\nimport math\n",
        ["area"],
        {"added": ("area",), "kept": ("jnp",)},
    ),
    "a definition of an import's name": (
        "import jax\n\nmath = jnp = None\n",
        ["area"],
        {"added": ("area",), "kept": ("jnp", "math")},
    ),
}


@pytest.mark.parametrize(("port", "names", "told"), TOLD.values(), ids=TOLD)
def test_what_is_told(port: str, names: list[str], told: dict[str, tuple[str, ...]]) -> None:
    merged = merge(port, SOURCE, "model.py", names)
    nothing = dict.fromkeys(("replaced", "added", "kept", "missing", "displaced"), ())
    assert {key: getattr(merged, key) for key in nothing} == {**nothing, **told}
    assert pickle.loads(pickle.dumps(merged)) == merged


# Helpers


def fresh() -> str:
    return translate(SOURCE, name="model.py").text


def cut(text: str, name: str) -> tuple[str, str]:
    """A text without a definition (and the blank lines below it), and the definition."""
    source = Source(text)
    node = dict(top_level(source))[name]
    return text[: node.start] + text[node.end :].lstrip("\n"), source[node]


def test_helpers_come_along_with_what_they_need() -> None:
    port, _ = cut(fresh(), "loss")
    bare, helper = cut(port, "_cross_entropy")
    bare, inner = cut(bare, "_reduce")
    bare = bare.replace("import optax\n", "")
    merged = merge(bare, SOURCE, "model.py", ["loss"])
    assert merged.added == ("optax", "_reduce", "_cross_entropy", "loss")
    assert f"import optax\nfrom flax import nnx\n\n\n{inner}\n\n\n{helper}\n\n\n" in merged.text
    assert merged.text.index(helper) < merged.text.index("def half")
    assert merge(port, SOURCE, "model.py", ["loss"]).added == ("loss",)


def test_a_helper_goes_below_the_helpers_that_the_translation_has_above_it() -> None:
    port, _ = cut(fresh(), "_cross_entropy")
    merged = merge(port, SOURCE, "model.py", ["loss"])
    assert merged.added == ("_cross_entropy",)
    assert merged.text == fresh()


def test_a_helper_with_another_text_stays_and_is_told() -> None:
    port = fresh().replace("    counted = target != ignore_index\n", "    counted = True\n")
    merged = merge(port, SOURCE, "model.py", ["loss"])
    assert (merged.text, merged.kept) == (port, ("_cross_entropy",))


def test_a_helper_in_whose_place_a_definition_comes_is_told() -> None:
    source = SOURCE + "\n\ndef _reduce(x: torch.Tensor):\n    return x.sum()\n"
    merged = merge(fresh(), source, "model.py", ["_reduce"])
    assert merged.displaced == ("_reduce",)


# The header

CHANGED = SOURCE.replace("0.5", "0.25").replace("SCALE)", "SCALE + 1)")


def digests(port: str) -> dict[str, str]:
    header = read_header(port)
    assert header is not None
    return dict(header.definitions)


def test_the_hashes_of_what_is_ported_become_those_of_the_source() -> None:
    port = fresh()
    merged = merge(port, CHANGED, "model.py", ["half"]).text
    assert not edited_by_hand(merged)
    now = digests(translate(CHANGED, name="model.py").text)
    assert digests(merged) == {**digests(port), "half": now["half"]}
    assert digests(merged)["scaled"] != now["scaled"]
    again = merge(merged, CHANGED, "model.py", ["scaled"]).text
    assert again == translate(CHANGED, name="model.py").text


def test_a_new_definition_gets_its_hash_where_the_source_has_it() -> None:
    source = SOURCE.replace("class Net", "def new(x):\n    return x\n\n\nclass Net")
    assert merge(fresh(), source, "model.py", ["new"]).text == (
        translate(source, name="model.py").text
    )


def test_a_port_that_was_edited_says_so_still() -> None:
    port = fresh().replace("x + SCALE", "SCALE + x")
    merged = merge(port, CHANGED, "model.py", ["half"]).text
    assert edited_by_hand(merged) and "SCALE + x" in merged and "x * 0.25" in merged
    assert digests(merged) != digests(port)


def test_a_port_in_which_nothing_edited_is_left_is_not_edited() -> None:
    port = translate(CHANGED, name="model.py").text.replace("x * 0.25", "x / 4")
    assert edited_by_hand(port)
    merged = merge(port, SOURCE, "model.py", ["half", "scaled"]).text
    assert merged == fresh() and not edited_by_hand(merged)


def test_a_header_keeps_its_source_and_what_the_source_has_no_more() -> None:
    port = translate(SOURCE, name="../model.py").text
    source, _ = cut(SOURCE, "area")
    merged = merge(port, source, "model.py", ["half"]).text
    assert merged == port


# Other forms of sources


def test_future_annotations_come_along_with_annotations() -> None:
    source = '"""Doc."""\nfrom __future__ import annotations\n\nimport torch\n\n'
    source += "def f(x: Later):\n    return torch.square(x)\n\n\ndef g(x):\n    return x\n"
    merged = merge("# mine\n\nimport os\n\nprint(os)\n", source, "m.py", ["f"]).text
    assert merged == (
        "# mine\n\nfrom __future__ import annotations\n\nimport os\n\nimport jax.numpy as jnp\n\n\n"
        "def f(x: Later):\n    return jnp.square(x)\n\n\nprint(os)\n"
    )
    assert merge("import os\n", source, "m.py", ["g"]).added == ("g",)


def test_what_quoted_annotations_name_is_needed() -> None:
    source = "import torch\n\n\ndef f(x: 'list[torch.Tensor]'):\n    return x\n"
    assert merge("", source, "m.py", ["f"]).added == ("jax", "f")


def test_words_in_annotations_are_not_needed() -> None:
    source = (
        "import torch\nimport math\nfrom typing import Literal\n\n\n"
        "def f(x: torch.Tensor, how: Literal['mean', 'math']):\n    return x\n"
    )
    merged = merge("", source, "m.py", ["f"])
    assert (merged.added, merged.missing) == (("Literal", "jax", "f"), ())


def test_what_is_done_to_a_module_stays_behind() -> None:
    source = (
        "import os\n\nimport torch\n\nos.environ['A'] = '1'\n\n\n"
        "def f(x: torch.Tensor):\n    return x.square(), os.sep\n"
    )
    assert merge("", source, "m.py", ["f"]).added == ("jax", "jnp", "os", "f")
    assert merge("import os\n", source, "m.py", ["f"]).kept == ()


def test_imports_of_the_project_and_guarded_ones_come_along() -> None:
    source = (
        "import torch\n\nfrom .layers import register\n\ntry:\n    import einops\n"
        "except ImportError:\n    einops = None\n\n\n"
        "@register\ndef f(x: torch.Tensor):\n    return einops.rearrange(x.square())\n"
    )
    merged = merge("import os\n", source, "m.py", ["f"])
    assert merged.text == (
        "import os\n\nimport jax\nimport jax.numpy as jnp\n\nfrom .layers import register\n\n"
        "try:\n    import einops\nexcept ImportError:\n    einops = None\n\n\n"
        "@register\ndef f(x: jax.Array):\n    return einops.rearrange(jnp.square(x))\n"
    )


def test_a_program_is_not_copied_for_a_name() -> None:
    source = (
        "import torch\n\n\ndef f():\n    return torch.abs(model)\n\n\n"
        "if __name__ == '__main__':\n    model = torch.ones(3)\n"
    )
    assert merge("", source, "m.py", ["f"]).missing == ("model",)


def test_overloads_go_together() -> None:
    source = (
        "import torch\nfrom typing import overload\n\n\n@overload\ndef f(x: int): ...\n\n\n"
        "@overload\ndef f(x: str): ...\n\n\ndef f(x):\n    return torch.square(x)\n"
    )
    port = translate(source, name="m.py").text
    assert merge(port, source, "m.py", ["f"]).text == port
    one = merge("def f(y):\n    return y\n\n\nx = 1\n", source, "m.py", ["f"]).text
    assert one.count("def f(") == 3 and one.endswith("jnp.square(x)\n\n\nx = 1\n")


# Problems

PROBLEMS = {
    "a name that the source does not define": (
        "",
        SOURCE,
        "halve",
        "model.py has no top-level function or class halve. Near it: half.",
    ),
    "a constant is no definition": ("", SOURCE, "SCALE", "no top-level function or class SCALE"),
    "a port that does not parse": (
        "import jax\n\ndef f(:\n    pass\n",
        SOURCE,
        "half",
        "The port does not parse at line 3: invalid syntax. Correct it, then port half.",
    ),
    "a port with a null character": ("x = 1\n\0", SOURCE, "half", "port does not parse at line 2"),
    "a port with a stray carriage return": (
        "x = 1\ny\rz\n",
        SOURCE,
        "half",
        "parse at line 2: a lone",
    ),
    "a port with half a character": ("x\n'\ud800'", SOURCE, "half", "not parse at line 2"),
    "a definition that does not parse": (
        "",
        "import torch\n\n\ndef f(x):\n    x = 1\n    return (x +\n",
        "f",
        "model.py does not parse at line 6",
    ),
    "an expression too deep": (
        "",
        f"import torch\n\n\ndef f(x):\n    return {'-' * 5000}x\n",
        "f",
        "model.py",
    ),
    "a port to another framework": (
        "# Ported from PyTorch (model.py) to MLX by torchport 0.1.0.\n"
        "# torchport: source=model.py target=mlx text=1f0c2d9a83b4\n\nx = 1\n",
        SOURCE,
        "half",
        "The port is one to mlx, not to jax.",
    ),
}


@pytest.mark.parametrize(("port", "source", "name", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems_are_told(port: str, source: str, name: str, message: str) -> None:
    with pytest.raises(MergeProblem) as raised:
        merge(port, source, "model.py", [name])
    assert message in str(raised.value)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_a_source_that_does_not_parse_elsewhere_is_no_problem() -> None:
    merged = merge("import jax\n", f"{SOURCE}\n\ndef f(x):\n    return (\n", "model.py", ["half"])
    assert merged.text == f"import jax\n\n\n{HALF}"


# Of every example


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_fresh_port_does_not_change(path: Path) -> None:
    newline = "\r\n" if path.stem == "mlp" else "\n"
    source = path.read_text("utf-8").replace("\n", newline)
    port = translate(source, name=path.name).text
    for name, _ in top_level(Source(source)):
        merged = merge(port, source, path.name, [name])
        assert merged.text == port
        assert merged.replaced == (name,)
        assert not (merged.added or merged.kept or merged.missing or merged.displaced)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_empty_port_can_be_filled(path: Path) -> None:
    source = path.read_text("utf-8")
    names = [name for name, _ in top_level(Source(source))]
    merged = merge("", source, path.name, names)
    assert not (merged.missing or merged.kept or merged.replaced)
    _holds(merged.text, names)
    one_by_one = ""
    for name in reversed(names):
        one_by_one = merge(one_by_one, source, path.name, [name]).text
    _holds(one_by_one, names)
    assert sorted(one_by_one.splitlines()) == sorted(merged.text.splitlines())


def _holds(port: str, names: list[str]) -> None:
    """A port defines names, compiles, and is as torchport wrote it."""
    compile(port, "port.py", "exec")
    defined = [node.name for node in ast.parse(port).body if hasattr(node, "name")]
    assert set(names) <= set(defined) and len(set(defined)) == len(defined)
    assert not edited_by_hand(port)
    assert set(digests(port)) == set(names)
