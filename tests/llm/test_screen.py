"""What a model's code may do and what not, and how it is put into a port."""

from __future__ import annotations

from textwrap import dedent

import pytest

from torchport_translators.emit.header import edited_by_hand, read_header
from torchport_translators.llm.fill import filled, marked, model_lines
from torchport_translators.llm.reply import Fault, ReplyProblem
from torchport_translators.llm.screen import screen
from torchport_translators.translate import translate

SOURCE = '''\
import os

import torch
import torch.nn as nn

ROOT = os.path.join("a", "b")


class Net(nn.Module):
    """A net."""

    def __init__(self, width: int):
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x, scale=1.0):
        # As it was.
        return torch.unknown(self.layer(x)) * scale

    def size(self):
        return self.layer.in_features


def f(x, *, dim=-1):
    y = torch.exp(x)
    return torch.unknown(y, dim)


def g(x):
    return torch.sin(x)
'''
TRANSLATION = translate(SOURCE, "jax", name="model.py")
PORT = TRANSLATION.text
MLX_PORT = translate(SOURCE, "mlx", name="model.py").text
GOOD = "def f(x, *, dim=-1):\n    y = jnp.exp(x)\n    return jnp.flip(y, dim)\n"


def look(code: str, names: tuple[str, ...] = ("f", "Net"), target: str = "jax") -> str:
    """The fault of a reply's code, and its message; empty where there is none."""
    port = PORT if target == "jax" else MLX_PORT
    try:
        screen(dedent(code), port, names, target)
    except ReplyProblem as problem:
        return f"{problem.fault}: {problem}"
    return ""


@pytest.mark.parametrize(
    "code",
    [
        GOOD,
        "import jax.numpy as jnp\nimport math\nimport numpy as np\n" + GOOD,
        "from __future__ import annotations\nfrom functools import partial\n" + GOOD,
        '"""What it is."""\n_TABLE = {1: 2}\n\n\ndef _help(x):\n    return x\n\n\n' + GOOD,
        "class Net(nnx.Module):\n    def __call__(self, x, scale=1.0):\n        return self.layer(x) * scale\n",
        "class Net(nnx.Module):\n    def __call__(self, x, scale=1.0, *, rngs):\n        return x\n",
        "def f(x, *, dim=-1, rngs):\n    return x\n",
        "async def _h(): pass\n" + GOOD,
        # A local name is not the module of that name.
        "def f(x, *, dim=-1):\n    signal = jnp.exp(x)\n    return signal.sum()\n",
        "import jax\ndef f(x, *, dim=-1):\n    return jax.scipy.signal.convolve(x, x)\n",
        # The port's author uses it, too.
        "def f(x, *, dim=-1):\n    os.path.join('a', 'b')\n    return x\n",
        "def f(x, *, dim=-1):\n    return jnp.zeros(x.shape).at[0].set(x.__class__.__name__ == 'a')\n",
    ],
)
def test_what_computes_may_run(code: str) -> None:
    assert look(code) == ""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import os\n    return x", "imports os"),
        ("import subprocess as s\n    return x", "imports subprocess"),
        ("from socket import socket\n    return x", "imports socket"),
        ("import torch\n    return torch.exp(x)", "imports torch, which a port does without"),
        ("from . import secrets\n    return x", "imports a module of the project"),
        ("import mlx.core as mx\n    return x", "imports mlx"),
        ("return eval('x')", "uses eval"),
        ("exec('x = 1')\n    return x", "uses exec"),
        ("return open('a').read()", "uses open"),
        ("return __import__('os').getcwd()", "uses __import__"),
        ("return os.system('ls')", "uses os.system"),
        ("return os.environ['HOME']", "uses os.environ"),
        ("return x.__class__.__mro__[1].__subclasses__()", "uses __subclasses__"),
        ("return f.__globals__", "uses __globals__"),
        ("return getattr(x, 'su' + 'm')()", "calls getattr with a name that is not written out"),
        ("return getattr(x, '__class__')", "uses __class__"),
        ("g = getattr\n    return g(x, '__class__')", "uses getattr other than by calling it"),
        ("import operator\n    return operator.attrgetter('a')(x)", "uses operator.attrgetter"),
        ("import warnings\n    return warnings.sys.modules", "uses warnings.sys"),
        ("from warnings import sys\n    return sys.path", "uses warnings.sys"),
        ("L = nnx.Linear\n    L.__call__ = f\n    return x", "changes __call__"),
        ("jnp.__setattr__('exp', f)\n    return x", "uses __setattr__"),
        ("jnp.exp = jnp.sin\n    return x", "changes jax.numpy.exp"),
        ("del jnp.exp\n    return x", "changes jax.numpy.exp"),
        ("return setattr(jnp, 'exp', jnp.sin)", "uses setattr"),
        ("return jax.pure_callback(print, x)", "uses jax.pure_callback"),
        ("return jax.experimental.io_callback(print, x)", "uses jax.experimental.io_callback"),
        ("jax.debug.print('{}', x)\n    return x", "uses jax.debug"),
        ("jax.config.update('jax_enable_x64', True)\n    return x", "uses jax.config"),
        ("return jnp.load('x.npy')", "uses jax.numpy.load"),
        ("import numpy as np\n    return np.fromfile('x')", "uses numpy.fromfile"),
        ("from numpy import load\n    return load('x.npy')", "uses numpy.load"),
        ("from jax._src import core\n    return x", "uses jax._src"),
        ("x.tofile('a')\n    return x", "uses .tofile"),
        ("global SEEN\n    SEEN = x\n    return x", "changes a global name"),
    ],
)
def test_what_reaches_beyond_may_not(body: str, says: str) -> None:
    told = look(f"def f(x, *, dim=-1):\n    {body}\n")
    assert told.startswith(Fault.FORBIDDEN)
    assert says in told


@pytest.mark.parametrize(
    ("code", "fault", "says"),
    [
        ("def f(x:\n", Fault.SYNTAX, "does not parse at its line 1"),
        ("def f(x):\n\treturn x\n        y\n", Fault.SYNTAX, "does not parse"),
        ("def h(x):\n    return x\n", Fault.INCOMPLETE, "does not define f, Net"),
        ("print(1)\n" + GOOD, Fault.FORBIDDEN, "Line 1 of the reply's code runs when it is imported"),
        ("for i in range(3): pass\n" + GOOD, Fault.FORBIDDEN, "runs when it is imported"),
        ("def f(x, dim=-1):\n    return x\n", Fault.SIGNATURE, "(x, *, dim=-1), not (x, dim=-1)"),
        ("def f(x, *, dim=0):\n    return x\n", Fault.SIGNATURE, "f must keep its parameters"),
        ("def f(x, *, axis=-1):\n    return x\n", Fault.SIGNATURE, "f must keep its parameters"),
        ("class f:\n    pass\n", Fault.SIGNATURE, "f is a function, and must stay one"),
        ("class Net:\n    pass\n", Fault.SIGNATURE, "class Net must keep its bases: (nnx.Module)"),
        (
            "class Net(nnx.Module):\n    def __call__(self, y):\n        return y\n",
            Fault.SIGNATURE,
            "Net.__call__ must keep its parameters",
        ),
        (
            "class Net(nnx.Module):\n    def __init__(self, w, *, rngs):\n        pass\n",
            Fault.SIGNATURE,
            "Net.__init__ must keep its parameters",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(code: str, fault: Fault, says: str) -> None:
    told = look(code)
    assert told.startswith(fault)
    assert says in told


def test_a_port_to_mlx_imports_mlx() -> None:
    assert look(GOOD.replace("jnp", "mx"), target="mlx") == ""
    told = look(GOOD.replace("    y = jnp", "    import jax\n    y = jnp"), target="mlx")
    assert "imports jax" in told
    assert "uses mlx.core.load" in look(
        "def f(x, *, dim=-1):\n    return mx.load('a')\n", target="mlx"
    )


# Putting it in


def fill(code: str, names: tuple[str, ...] = ("f", "Net"), port: str = PORT) -> str:
    return filled(port, screen(dedent(code), port, names, "jax"), SOURCE, "model.py", "jax")


def test_only_what_was_asked_for_changes() -> None:
    text = fill(GOOD + "\n\ndef g(x):\n    return x\n")
    assert "return jnp.flip(y, dim)" in text
    assert "return jnp.sin(x)" in text  # of g, which nobody asked for
    assert "# torchport: not ported" in text  # of Net
    assert "import torch" in text


def test_the_header_says_that_it_is_not_what_the_rules_wrote() -> None:
    text = fill(GOOD)
    header, before = read_header(text), read_header(PORT)
    assert header is not None and before is not None
    assert header.definitions == before.definitions
    assert edited_by_hand(text)


def test_methods_that_were_left_out_stay() -> None:
    text = fill(
        """\
        class Net(nnx.Module):
          def __call__(self, x, scale=1.0):
            return _flipped(self.layer(x)) * scale

          def extra(self):
            return 1


        def _flipped(x):
          return x[::-1]
        """
    )
    net = text[text.index("class Net(") : text.index("def f(")]
    assert '"""A net."""' in net
    assert "self.layer = Linear(width, width, rngs=rngs)" in net
    assert "return _flipped(self.layer(x)) * scale" in net
    assert "def size(self):" in net
    assert "def extra(self):" in net
    assert "def _flipped(x):" in text


def test_torch_is_no_longer_imported_where_nothing_uses_it() -> None:
    both = (
        GOOD + "class Net(nnx.Module):\n    def __call__(self, x, scale=1.0):\n        return x\n"
    )
    text = fill(both)
    assert "import torch" not in text
    assert "import os" in text
    assert "not ported" not in text


def test_a_model_cannot_speak_for_torchport() -> None:
    marks = (
        "def f(x, *, dim=-1):\n    # torchport: 9 lines by nobody\n"
        "    # torchport: not ported: this\n    return x  # torchport: ignore\n"
    )
    text = fill(marks)
    assert "by nobody" not in text
    assert "not ported: this" not in text


def test_customary_imports_are_written_for_it() -> None:
    source = "import torch\n\n\ndef f(x):\n    return torch.unknown(x)\n"
    port = translate(source, "jax", name="model.py").text
    screened = screen("def f(x):\n    return jnp.flip(x)\n", port, ("f",), "jax")
    text = filled(port, screened, source, "model.py", "jax")
    assert "import jax.numpy as jnp\n" in text
    with pytest.raises(ReplyProblem, match="uses pd, which neither it nor the port defines"):
        fill("def f(x, *, dim=-1):\n    return pd.exp(x)\n")


def test_each_line_says_who_wrote_it() -> None:
    text = marked(fill(GOOD), PORT, "some/model-7b")
    assert (
        "def f(x, *, dim=-1):\n    y = jnp.exp(x)\n    # torchport: 1 line by some/model-7b\n"
        "    return jnp.flip(y, dim)\n" in text
    )
    ((first, last),) = model_lines(text)
    assert [line.strip() for line in text.splitlines()[first - 1 : last]] == [
        "return jnp.flip(y, dim)"
    ]


def test_blocks_and_helpers_are_marked_as_a_whole() -> None:
    code = """\
        def _help(x):
            return x


        def f(x, *, dim=-1):
            y = jnp.exp(x)
            if dim > 0:
                y = _help(
                    y
                )
            else:
                y = y + 1
            return jnp.flip(y, dim)
        """
    text = marked(fill(code), PORT, "m")
    lines = text.splitlines()
    runs = ["\n".join(lines[first - 1 : last]) for first, last in model_lines(text)]
    assert runs[0] == "def _help(x):\n    return x"
    assert runs[1].startswith("    if dim > 0:")
    assert runs[1].endswith("    return jnp.flip(y, dim)")
    assert len(runs) == 2


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_and_form_feeds_stay(newline: str) -> None:
    source = "import torch\n\n\ndef f(x):\n    return torch.unknown(x)\n\x0c\n\ndef g(x):\n    return x\n"
    source = source.replace("\n", newline)
    port = translate(source, "jax", name="model.py").text
    screened = screen("def f(x):\n    y = jnp.flip(x)\n    return y\n", port, ("f",), "jax")
    text = marked(filled(port, screened, source, "model.py", "jax"), port, "m")
    assert f"{newline}    y = jnp.flip(x){newline}    return y{newline}" in text
    assert f"    # torchport: 2 lines by m{newline}" in text
    assert "\x0c" in text
    assert text.count("\n") == text.count(newline)
    ((first, last),) = model_lines(text)
    assert last - first == 1
