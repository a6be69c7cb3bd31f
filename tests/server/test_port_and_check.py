"""From the light bulb to the verdict, as an editor sees it: port, break, restore."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as lsp
from tests.server.editor import editing

SOURCE = '''\
"""A model — with é and 🔥."""
import torch
import torch.nn.functional as F
from torch import nn


class MLP(nn.Module):
    """Feu: 🔥."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.up = nn.Linear(width, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.up(x))  # 🔥 activation


def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(x, y)
'''


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.torchport]\n")
    (tmp_path / "model.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.asyncio
async def test_port_break_restore(workspace: Path) -> None:
    async with editing(workspace) as editor:
        source = editor.open(workspace / "model.py")
        port = (workspace / "model_jax.py").as_uri()

        # One definition first: the other is not in the port yet.
        actions = await editor.actions(source, editor.range_of(source, "class MLP"))
        seen = len(editor.statuses)
        await editor.choose(actions, "Port MLP to JAX (model_jax.py)")
        assert "class MLP(nnx.Module)" in editor.texts[port]
        assert "def loss" not in editor.texts[port]
        await editor.verdict(seen)
        (lens,) = await editor.lenses(port)
        assert lens.startswith("✓ verified") and "gradients equal" in lens and "cpu" in lens

        # The other beside it; what the user wrote elsewhere stays.
        editor.change(port, editor.texts[port] + "\n\nMINE = 1  # é 🔥\n")
        actions = await editor.actions(source, editor.range_of(source, "def loss"))
        seen = len(editor.statuses)
        await editor.choose(actions, "Port loss to JAX")
        assert "MINE = 1  # é 🔥" in editor.texts[port]
        await editor.verdict(seen)
        assert len(await editor.lenses(source)) == 2
        verified = editor.texts[port]

        # Broken and saved: the changed line carries the divergence, with both sides and the numbers.
        editor.change(port, verified.replace("jnp.mean(", "jnp.sum("))
        seen = len(editor.statuses)
        editor.save(port)
        status = await editor.verdict(seen)
        assert status.last.text == "model_jax.py: 1 verified, 1 diverged"
        await editor.until(lambda: editor.problems(port))
        (problem,) = editor.problems(port)
        line = editor.lines(port).line(problem.range.start.line)
        assert "jnp.sum(" in line
        assert problem.code == "MISMATCH" and problem.severity == lsp.DiagnosticSeverity.Error
        assert "torch gives" in problem.message and "torchport check model.py" in problem.message
        (related,) = problem.related_information or ()
        assert related.location.uri == source
        (told,) = editor.problems(source)
        assert told.severity == lsp.DiagnosticSeverity.Information

        # The fix puts back what was verified, and the divergence is gone.
        actions = await editor.actions(port, problem.range, [problem])
        assert actions[0].is_preferred
        seen = len(editor.statuses)
        await editor.choose(actions, "Restore loss as it was verified")
        assert editor.texts[port] == verified
        await editor.verdict(seen)
        await editor.until(lambda: not editor.problems(port))
        assert not editor.problems(source)


@pytest.mark.asyncio
async def test_a_port_imports_the_ports_of_other_files(tmp_path: Path) -> None:
    layers = "import torch\n\ndef noise(x: torch.Tensor):\n    return x + torch.randn_like(x)\n"
    model = (
        "import torch\nfrom layers import noise\n\ndef f(x: torch.Tensor):\n    return noise(x)\n"
    )
    (tmp_path / "layers.py").write_text(layers)
    (tmp_path / "model.py").write_text(model)
    async with editing(tmp_path) as editor:
        for name, title, wanted in (
            ("layers", "Port noise to JAX (", "def noise(x: jax.Array, *, rngs: nnx.Rngs)"),
            ("model", "Port f to JAX (", "from layers_jax import noise"),
        ):
            source = editor.open(tmp_path / f"{name}.py")
            port = tmp_path / f"{name}_jax.py"
            whole = editor.lines(source).range(0, len(editor.texts[source]))
            actions = await editor.actions(source, whole)
            await editor.choose(actions, title)
            assert wanted in editor.texts[port.as_uri()]
            port.write_text(editor.texts[port.as_uri()])
        assert "return noise(x, rngs=rngs)" in editor.texts[port.as_uri()]
