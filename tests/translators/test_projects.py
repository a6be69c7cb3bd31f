"""Files that import each other are ported together.

Each row: the files of a project, and lines that ports must have, by port. `-line` must not be there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from torchport_translators.batch import Outcome, Plan, Ported, port_files
from torchport_translators.configuration import Configuration
from torchport_translators.files import find_files
from torchport_translators.neighbours import take_importers

LAYERS = """\
import torch
from torch import nn

class Scale(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return x * self.w

class Head(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc = nn.Linear(n, n)

    def forward(self, x):
        return self.fc(x)

def noise(x):
    return x + torch.randn_like(x)

"""

ROWS: dict[str, tuple[dict[str, str], dict[str, list[str]]]] = {
    "names, and what they need": (
        {
            "layers.py": LAYERS,
            "main.py": """\
                import torch
                from layers import Head, Scale, noise

                def f(x: torch.Tensor):
                    return noise(Scale(3)(x))

                def g():
                    return Head(3)
                """,
        },
        {
            "main_jax.py": [
                "from layers_jax import Head, Scale, noise",
                "def f(x: jax.Array, *, rngs: nnx.Rngs):",
                "    return noise(Scale(3)(x), rngs=rngs)",
                "    return Head(3, rngs=rngs)",
            ]
        },
    ),
    "under other names": (
        {
            "layers.py": LAYERS,
            "main.py": """\
                import layers as parts
                from layers import noise as blur
                import torch

                y = blur(torch.ones(3))
                h = parts.Head(3)
                """,
        },
        {
            "main_jax.py": [
                "import layers_jax as parts",
                "from layers_jax import noise as blur",
                "y = blur(jnp.ones((3,)), rngs=rngs)",
                "h = parts.Head(3, rngs=rngs)",
            ]
        },
    ),
    "what a caller passes says what a parameter is": (
        {
            "layers.py": "import torch\n\ndef double(x):\n    return x.view(-1) * 2\n",
            "main.py": "import torch\nfrom layers import double\ny = double(torch.ones(2, 3))\n",
        },
        {"layers_jax.py": ["    return x.reshape(-1) * 2"]},
    ),
    "a package": (
        {
            "net/__init__.py": "from .model import Net\nfrom . import layers\n",
            "net/layers.py": LAYERS,
            "net/model.py": """\
                import torch
                from torch import nn
                from . import layers
                from .layers import Head

                class Net(nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.head = Head(3)

                    def forward(self, x):
                        return layers.noise(self.head(x)).view(-1)
                """,
            "main.py": """\
                import net
                import net.layers
                from net import Net, layers
                import torch

                a = Net()
                b = net.Net()
                c = net.layers.Head(3)
                d = layers.noise(torch.ones(3))
                """,
        },
        {
            "net/model_jax.py": [
                "from . import layers_jax as layers",
                "from .layers_jax import Head",
                "        self.head = Head(3, rngs=rngs)",
                "        return layers.noise(self.head(x), rngs=self.rngs).reshape(-1)",
            ],
            "main_jax.py": [
                "import net.model_jax",
                "import net.layers_jax",
                "from net.model_jax import Net",
                "from net import layers_jax as layers",
                "a = Net(rngs=rngs)",
                "b = net.model_jax.Net(rngs=rngs)",
                "c = net.layers_jax.Head(3, rngs=rngs)",
                "d = layers.noise(jnp.ones((3,)), rngs=rngs)",
            ],
        },
    ),
    "one package from another": (
        {
            "app/core/layers.py": LAYERS,
            "app/models/net.py": """\
                from ..core.layers import Head

                class Net:
                    def __init__(self):
                        self.head = Head(3)
                """,
        },
        {
            "app/models/net_jax.py": [
                "from ..core.layers_jax import Head",
                "        self.head = Head(3, rngs=rngs)",
            ]
        },
    ),
    "a base class": (
        {
            "layers.py": LAYERS,
            "main.py": """\
                from layers import Head

                class Double(Head):
                    def __init__(self, n):
                        super().__init__(n)

                    def forward(self, x):
                        return super().forward(x).view(-1)
                """,
        },
        {
            "main_jax.py": [
                "from layers_jax import Head",
                "    def __init__(self, n, *, rngs: nnx.Rngs):",
                "        super().__init__(n, rngs=rngs)",
                "    def __call__(self, x):",
                "        return super().__call__(x).reshape(-1)",
            ]
        },
    ),
    "everything": (
        {"layers.py": LAYERS, "main.py": "from layers import *\n\nh = Head(3)\n"},
        {"main_jax.py": ["from layers_jax import *", "h = Head(3, rngs=rngs)"]},
    ),
    "in a circle": (
        {
            "a.py": "import torch\nimport b\n\ndef f(x: torch.Tensor):\n    return b.g(x).exp()\n",
            "b.py": "import torch\nimport a\n\ndef g(x: torch.Tensor):\n    return a.f(x).view(-1)\n",
        },
        {
            "a_jax.py": ["import b_jax as b", "    return jnp.exp(b.g(x))"],
            "b_jax.py": ["import a_jax as a", "    return a.f(x).reshape(-1)"],
        },
    ),
    "inside a function, and beside what is not ported": (
        {
            "layers.py": LAYERS,
            "plain.py": "def width():\n    return 3\n",
            "main.py": """\
                import plain

                def build():
                    from layers import Head
                    return Head(plain.width())
                """,
        },
        {
            "main_jax.py": [
                "import plain",
                "def build(*, rngs: nnx.Rngs):",
                "    from layers_jax import Head",
                "    return Head(plain.width(), rngs=rngs)",
            ]
        },
    ),
    "beside one that does not parse": (
        {"layers.py": LAYERS, "bad.py": "import torch\nfrom layers import Head\ndef (\n"},
        {"bad_jax.py": ["from layers_jax import Head", "def ("]},
    ),
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))


def port(folder: Path, *names: str, target: str = "jax", out: Path | None = None) -> list[Ported]:
    found = find_files([str(folder / name) for name in names] or [str(folder)], Configuration())
    take_importers(found)
    return list(port_files(found.files, Plan(Configuration(), target, out=out)))


@pytest.mark.parametrize(("files", "ports"), ROWS.values(), ids=ROWS)
def test_ports_import_each_other(
    files: dict[str, str], ports: dict[str, list[str]], tmp_path: Path
) -> None:
    write(tmp_path, files)
    results = port(tmp_path)
    codes = {f.code for r in results if r.translation for f in r.translation.findings}
    assert codes <= {"syntax", "not-under-jit"}
    for name, lines in ports.items():
        written = (tmp_path / name).read_text().splitlines()
        assert [line for line in lines if line not in written] == []


def test_what_is_not_ported_with_it_is_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "net/__init__.py": "from .layers import Head as Top\n",
            "net/layers.py": LAYERS,
            "main.py": "import torch\nfrom net import Top\nimport net.layers\n\nh = Top(3)\nx = torch.ones(3)\n",
        },
    )
    (result,) = port(tmp_path, "main.py")
    assert result.translation is not None
    told = [(f.code, f.line) for f in result.translation.findings]
    assert told == [("unported-import", 2), ("unported-import", 3)]
    assert "h = Top(3)" in result.translation.text

    # Once they have a port, that is what is imported.
    port(tmp_path, "net/layers.py")
    (result,) = port(tmp_path, "main.py")
    assert result.translation is not None and not result.translation.findings
    assert "from net.layers_jax import Head as Top" not in result.translation.text
    assert "h = Top(3, rngs=rngs)" in result.translation.text


def test_files_without_torch_that_import_ported_ones(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "layers.py": LAYERS,
            "model.py": "from layers import Head\n\ndef build():\n    return Head(3)\n",
            "run.py": "from model import build\n\nprint(build())\n",
            "other.py": "print(1)\n",
        },
    )
    results = {r.file.path.name: r.outcome for r in port(tmp_path)}
    assert results == dict.fromkeys(("layers.py", "model.py", "run.py"), Outcome.WRITTEN)
    assert "print(build(rngs=rngs))" in (tmp_path / "run_jax.py").read_text()
    assert not (tmp_path / "other_jax.py").exists()


@pytest.mark.parametrize("target", ["jax", "mlx"])
def test_a_ported_package_runs(target: str, tmp_path: Path) -> None:
    files, _ = ROWS["a package"]
    write(tmp_path / "source", files)
    results = port(tmp_path / "source", target=target, out=tmp_path / "out")
    assert [r.outcome for r in results] == [Outcome.WRITTEN] * 3
    program = f"import main_{target} as m; print(m.a(m.d).shape, type(m.b).__module__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == f"(3,) net.model_{target}", done.stderr
