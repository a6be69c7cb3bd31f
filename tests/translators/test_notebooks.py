"""Notebooks: their code cells are read as one text, and the port is a notebook again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from torchport.cli import cli
from torchport_checks.pair import code_of
from torchport_translators.notebooks import Notebook, NotebookError


def notebook(*cells: str, **more: Any) -> dict[str, Any]:
    """Code cells; those that begin with `# ` and no code are Markdown."""
    made: list[dict[str, Any]] = []
    for text in cells:
        if text.startswith("# "):
            made.append({"cell_type": "markdown", "metadata": {}, "source": [text]})
        else:
            made.append(
                {
                    "cell_type": "code",
                    "id": f"c{len(made)}",
                    "metadata": {"tags": ["kept"]},
                    "execution_count": 7,
                    "outputs": [{"output_type": "stream", "name": "stdout", "text": ["old\n"]}],
                    "source": text.splitlines(keepends=True),
                }
            )
    return {"cells": made, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, **more}


def port(folder: Path, data: dict[str, Any], *options: str) -> tuple[list[str], str]:
    """The cells' texts in the port (without its header), and what was printed."""
    (folder / "work.ipynb").write_text(json.dumps(data))
    done = CliRunner().invoke(cli, ["translate", str(folder / "work.ipynb"), *options])
    assert done.exit_code in (0, 1), done.output
    made = json.loads((folder / "work_jax.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in made["cells"]]
    first = next(n for n, cell in enumerate(made["cells"]) if cell["cell_type"] == "code")
    header, _, cells[first] = cells[first].partition("\n\n")
    assert header.startswith("# Ported from PyTorch (work.ipynb)")
    assert [c["cell_type"] for c in made["cells"]] == [c["cell_type"] for c in data["cells"]]
    assert all(not c["outputs"] and c["execution_count"] is None and c["metadata"] == {"tags": ["kept"]}
               for c in made["cells"] if c["cell_type"] == "code")  # fmt: skip
    assert made["metadata"] == data["metadata"]
    return cells, done.output


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["import torch\nx = torch.ones(3)", "x.sum()"],
         ["import jax.numpy as jnp\nx = jnp.ones((3,))", "jnp.sum(x)"]),
        (["# Title", "import torch", "# import torch", "torch.ones(3)"],
         ["# Title", "import jax.numpy as jnp", "# import torch", "jnp.ones((3,))"]),
        # Magics and commands stay, also where Python wants a statement.
        (["%matplotlib inline\n!pip install torch\nimport torch", "for i in range(3):\n    %time torch.ones(i)"],
         ["%matplotlib inline\n!pip install torch\nimport jax.numpy as jnp", "for i in range(3):\n    %time jnp.ones((i,))"]),
        (["import torch\n%timeit -n 3 torch.ones(2)"], ["import jax.numpy as jnp\n%timeit -n 3 jnp.ones((2,))"]),
        (["import torch", "%%bash\nls 'torch", "files = !ls\ntorch.ones?\ntorch.ones(2)"],
         ["import jax.numpy as jnp", "%%bash\nls 'torch", "files = !ls\ntorch.ones?\njnp.ones((2,))"]),
        (["%%time\nimport torch\ntorch.ones(2)", ""], ["%%time\nimport jax.numpy as jnp\njnp.ones((2,))", ""]),
    ],
)  # fmt: skip
def test_cells(before: list[str], after: list[str], tmp_path: Path) -> None:
    cells, _ = port(tmp_path, notebook(*before))
    assert cells == after


def test_findings_name_the_cell(tmp_path: Path) -> None:
    _, printed = port(tmp_path, notebook("# Title", "import torch", "x = 1\ntorch.no_such(x)"))
    assert "work.ipynb:cell 3, line 2:1: error" in printed


def test_a_port_is_known_as_one(tmp_path: Path) -> None:
    data = notebook("import torch\ntorch.ones(3)")
    port(tmp_path, data)
    again = CliRunner().invoke(cli, ["translate", str(tmp_path)])
    assert "unchanged" in again.output and "1 written by torchport" in again.output

    # One that was edited by hand is kept.
    path = tmp_path / "work_jax.ipynb"
    made = json.loads(path.read_text())
    made["cells"][0]["source"].append("\nmine = 1")
    path.write_text(json.dumps(made))
    refused = CliRunner().invoke(cli, ["translate", str(tmp_path)])
    assert refused.exit_code == 2 and "edited by hand" in refused.output
    # What it printed when it was run is no edit.
    port(tmp_path, data, "--force")
    made = json.loads(path.read_text())
    made["cells"][0]["execution_count"] = 3
    path.write_text(json.dumps(made))
    assert CliRunner().invoke(cli, ["translate", str(tmp_path)]).exit_code == 0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "it has no list of cells"),
        (b'{"worksheets": []}', "it has no list of cells"),
        (b'{"cells": [1]}', "it has no list of cells"),
        (b"\xff\xfe", "it is not JSON"),
    ],
)
def test_what_is_no_notebook(data: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match=why):
        Notebook.read(data)
    (tmp_path / "a.ipynb").write_bytes(data)
    done = CliRunner().invoke(cli, ["translate", str(tmp_path / "a.ipynb")])
    assert done.exit_code == 2 and f"a.ipynb is not a notebook: {why}" in done.output
    with pytest.raises(OSError, match="is not a notebook"):
        code_of(tmp_path / "a.ipynb")


def test_a_notebook_is_checked(tmp_path: Path) -> None:
    cells = (
        "import torch\nfrom torch import nn",
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(4, 2)\n\n    def forward(self, x):\n        return self.fc(x)",
        "%matplotlib inline\nNet()(torch.randn(3, 4))",
    )
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(notebook(*cells)))
    done = CliRunner().invoke(cli, ["port", str(path), "--quick"])
    assert done.exit_code == 0 and "✓  Net" in done.output, done.output
    wrong = tmp_path / "work_jax.ipynb"
    wrong.write_text(wrong.read_text().replace("return self.fc(x)", "return 2 * self.fc(x)"))
    done = CliRunner().invoke(cli, ["check", str(path), str(wrong)])
    assert done.exit_code == 1 and "It begins with `2 * self.fc(x)`" in " ".join(
        done.output.split()
    )
