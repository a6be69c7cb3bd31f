"""`torchport bugs`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from torchport.cli import cli
from torchport_translators.bugs import corpus, read_records

SOURCE = "import torch\n\ndef spread(x: torch.Tensor):\n    return x.std(dim=1).sum()\n"
WRONG = "import jax.numpy as jnp\n\ndef spread(x):\n    return jnp.std(x, axis=0).sum()\n"
RIGHT = (
    "import jax.numpy as jnp\n\ndef spread(x):\n"
    "    v = jnp.var(x, axis=1, ddof=1)\n"
    "    return jnp.where(v > 0, jnp.sqrt(jnp.where(v > 0, v, 1)), v).sum()\n"
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bugs", *arguments])


def test_list() -> None:
    every = run("list")
    assert every.exit_code == 0
    assert f"{len(corpus())} records in" in every.output
    some = json.loads(run("list", "--api", "torch.var", "--to", "mlx", "--json").output)
    assert "mlx/var-correction" in [record["id"] for record in some["records"]]


def test_show() -> None:
    shown = run("show", "jax/var-correction")
    assert shown.exit_code == 0 and "ddof=1" in shown.output
    unknown = run("show", "jax/var-correctoin")
    assert unknown.exit_code == 2 and "No record is called" in unknown.output
    near = run("show", "var-correction")
    assert "jax/var-correction, mlx/var-correction" in near.output


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text('[tool.torchport]\nbugs = "known bugs"\n')
    for name, text in (("m.py", SOURCE), ("wrong.py", WRONG), ("m_jax.py", RIGHT)):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_add_verify_and_use(project: Path) -> None:
    told = ["--title", "std along the other axis", "--why", "Axes were swapped."]
    add = ["add", "m.py", "m_jax.py", "--only", "spread", "--id", "std-axis", *told]

    refused = run(*add, "--wrong", "m_jax.py")
    assert refused.exit_code == 2 and "the wrong port is not caught" in refused.output
    assert not (project / "known bugs").exists()
    no_git = run(*add)
    assert no_git.exit_code == 2 and "git has no m_jax.py in HEAD" in no_git.output

    added = run(*add, "--wrong", "wrong.py", "--category", "axes")
    assert added.exit_code == 0, added.output
    (record,) = read_records(project / "known bugs")
    assert record.id == "jax/std-axis" and record.category == "axes"
    assert "torch.Tensor.std" in record.apis and record.symptom.startswith("output")
    again = run(*add, "--wrong", "wrong.py")
    assert again.exit_code == 2 and "is there already" in again.output

    assert "jax/std-axis" in run("list", "--category", "axes").output
    verified = run("verify", "known bugs/jax/std-axis.md")
    assert verified.exit_code == 0 and "✓ jax/std-axis" in verified.output

    exported = run("export", "set.json")
    assert exported.exit_code == 0, exported.output
    assert f"{len(corpus()) + 1} records" in exported.output
    few = json.loads((project / "set.json").read_text())
    few["Pytorch_to_JAX_Examples"] = few["Pytorch_to_JAX_Examples"][-1:]
    few.pop("Pytorch_to_MLX_Examples")
    (project / "few.json").write_text(json.dumps(few))
    read = run("import", "few.json", "--into", "other")
    assert read.exit_code == 0, read.output
    assert [r.id for r in read_records(project / "other")] == ["jax/std-axis"]


def test_a_record_that_is_not_true(project: Path) -> None:
    text = (corpus("jax")[0].path or Path()).read_text()
    blocks = text.split("```python fixed")
    (project / "false.md").write_text(
        blocks[0] + "```python fixed" + blocks[0].split("```python wrong")[1]
    )
    found = run("verify", "false.md")
    assert found.exit_code == 1 and "the fixed port is not verified" in found.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "begins with TOML between two lines of +++"),
        ("+++\nx = \n+++\n# t\nw\n", "Invalid value"),
        ("+++\nx = 1\n+++\n# t\nw\n", "unknown: x"),
        ('+++\ntarget = "jax"\n+++\n# t\nw\n', 'category = "..." is missing'),
    ],
)
def test_a_file_that_is_no_record(project: Path, text: str, message: str) -> None:
    (project / "bad.md").write_text(text)
    found = run("verify", "bad.md")
    assert found.exit_code == 2 and message in found.output
