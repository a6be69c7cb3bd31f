"""`torchport guard`: what a change to a pair makes it say, and what a baseline passes over."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from torchport.cli import cli
from torchport_checks.guard.drift import drift_of
from torchport_checks.guard.leftovers import leftovers
from torchport_translators.emit.header import definition_digests
from torchport_translators.source.syntax import Source
from torchport_translators.translate import translate

Run = Callable[..., Result]

SOURCE = """\
import torch
from torch import nn

SCALE = 2.0


def soft(x: torch.Tensor):
    return torch.softmax(x * SCALE, 1)


@torch.no_grad()
def norm(
    x: torch.Tensor,
):
    return torch.sqrt((x * x).sum())


# What the model is made of.
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x).relu()
"""
SHARED = "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.distributed.all_reduce(x)\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("guard", ...)`, in a project with a pair: model.py and model_jax.py."""
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text("[tool.torchport]\n", "utf-8")
    write_pair("model")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="torchport")

    return invoke


def write_pair(stem: str, text: str = SOURCE) -> None:
    source = Path(f"{stem}.py")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text, "utf-8")
    port = translate(text, "jax", name=source.name).text
    source.with_name(f"{source.stem}_jax.py").write_text(port, "utf-8")


def change(path: str, old: str, new: str) -> None:
    text = Path(path).read_text("utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new), "utf-8")


def told(result: Result) -> list[str]:
    """The findings that were printed, without the words of a level."""
    return [line for line in result.stdout.splitlines() if line.endswith("]")]


# What a change makes it say


@dataclass
class Case:
    """`old` in a file becomes `new` (None: the file goes), and these findings come, with a remedy."""

    file: str
    old: str
    new: str | None
    says: tuple[str, ...]
    remedy: str = ""
    verdicts: str = "off"


CASES = {
    "nothing": Case("model.py", "SCALE", "SCALE", ()),
    "a comment between definitions": Case("model.py", "# What the", "# All that the", ()),
    "a function": Case(
        "model.py",
        "SCALE, 1)",
        "SCALE, 0)",
        ("model.py:7: error: soft has changed since it was ported to model_jax.py. [drift]",),
        "torchport port model.py",
    ),
    "a decorator": Case(
        "model.py",
        "@torch.no_grad()\n",
        "",
        ("model.py:11: error: norm has changed since it was ported to model_jax.py. [drift]",),
        "torchport port model.py",
    ),
    "a definition goes": Case(
        "model.py",
        SOURCE[SOURCE.index("# What") :],
        "",
        ("model_jax.py:45: error: Block is no longer in model.py. [drift]",),
        "torchport port model.py",
    ),
    "a definition comes": Case(
        "model.py",
        "# What the",
        "def new(x):\n    return x\n\n\n# What the",
        ("model.py:18: note: model_jax.py has no port of new. [not-in-port]",),
        "torchport port model.py",
    ),
    "the source goes": Case(
        "model.py",
        "",
        None,
        (
            "model_jax.py:2: error: It is the port of model.py, which is not there. [source-missing]",
        ),
    ),
    "torch in a port": Case(
        "model_jax.py",
        "def soft(x: jax.Array):\n",
        "def soft(x: jax.Array):\n    import torch\n    torch.manual_seed(0)\n",
        ("model_jax.py:36: error: uses torch: `torch.manual_seed`. [leftover]",),
        "torchport check model.py model_jax.py",
    ),
    "a merge has broken the header": Case(
        "model_jax.py",
        "# torchport: source=model.py",
        "# torchport: source=model.py target=jax text=0\n# torchport: source=model.py",
        ("model_jax.py:2: error: The lines of its header do not belong together",),
        "torchport port model.py --force",
    ),
    "a conflict is left": Case(
        "model_jax.py",
        "# torchport: source=model.py",
        "<<<<<<< HEAD\n# torchport: source=model.py target=jax text=0\n=======\n"
        "# torchport: source=model.py",
        ("model_jax.py:2: error: A conflict of a merge stands here, and is to be resolved.",),
    ),
    "a port was never checked": Case(
        "model.py",
        "SCALE",
        "SCALE",
        ("model_jax.py:2: error: It has never been checked against its source. [unchecked]",),
        "torchport check model.py model_jax.py",
        "required",
    ),
    "a port was edited": Case(
        "model_jax.py",
        "SCALE = 2.0",
        "SCALE = 3.0",
        ("model_jax.py:2: error: It was edited by hand, and has not been checked since. [edited]",),
        "torchport check model.py model_jax.py",
        "required",
    ),
    "no text": Case(
        "model.py",
        "SCALE",
        "\0",
        ("model.py: error: model.py is not a Python text: it holds NUL bytes",),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_change_is_told_with_its_remedy(run: Run, case: Case) -> None:
    if case.new is None:
        Path(case.file).unlink()
    else:
        change(case.file, case.old, case.new)
    result = run("guard", "--verdicts", case.verdicts)
    lines = result.stdout.splitlines()
    found = [line for line in lines if ": error: " in line or ": note: " in line]
    assert len(found) == len(case.says), result.stdout
    for line, says in zip(found, case.says, strict=True):
        assert line.startswith(says)
    if case.remedy:
        assert f"    {case.remedy}" in lines
    errors = any(": error: " in says for says in case.says)
    assert result.exit_code == int(errors)


@pytest.mark.parametrize(
    ("settings", "port", "command"),
    [
        ('target = "mlx"', "model_mlx.py", "torchport port model.py"),
        ("", "model_mlx.py", "torchport port model.py --to mlx"),
        ("", "ported/net.py", "torchport port model.py -o ported/net.py"),
        ('suffix = ".{target}"', "model.jax.py", "torchport port model.py"),
        ("", "mit ä.py", "torchport port model.py -o 'mit ä.py'"),
    ],
)
def test_the_command_writes_the_port_where_it_lies(
    run: Run, settings: str, port: str, command: str
) -> None:
    Path("pyproject.toml").write_text(f"[tool.torchport]\n{settings}\n", "utf-8")
    Path("model_jax.py").unlink()
    Path(port).parent.mkdir(exist_ok=True)
    name = os.path.relpath("model.py", Path(port).parent)
    target = "mlx" if "mlx" in port else "jax"
    Path(port).write_text(translate(SOURCE, target, name=name).text, "utf-8")
    change("model.py", "SCALE, 1)", "SCALE, 0)")
    result = run("guard")
    assert f"    {command}\n" in result.stdout
    # `translate` takes the same arguments, and runs nothing.
    assert run("translate", *shlex.split(command)[2:]).exit_code == 0
    assert told(run("guard", "--verdicts", "off")) == []


# What belongs to which file


def test_paths_choose_the_pairs_that_they_belong_to(run: Run) -> None:
    write_pair("nets/other")
    write_pair("nets/third")
    for stem in ("model", "nets/other", "nets/third"):
        change(f"{stem}.py", "SCALE, 1)", "SCALE, 0)")
    for paths, found in (
        (["model.py"], ["model.py"]),
        (["model_jax.py"], ["model.py"]),
        (["nets"], ["nets/other.py", "nets/third.py"]),
        (["pyproject.toml"], []),
        ([], ["model.py", "nets/other.py", "nets/third.py"]),
    ):
        assert [line.partition(":")[0] for line in told(run("guard", *paths))] == found


def test_a_source_that_is_gone_may_be_named(run: Run) -> None:
    Path("model.py").unlink()
    assert "[source-missing]" in run("guard", "model.py").stdout
    result = run("guard", "other.py")
    assert result.exit_code == 2
    assert "other.py does not exist, and no port was made from it." in result.stderr


def test_what_is_excluded_or_no_port_is_passed_over(run: Run) -> None:
    Path("pyproject.toml").write_text('[tool.torchport]\nexclude = ["old"]\n', "utf-8")
    for folder in ("old", ".hidden", "venv", "environment"):
        write_pair(f"{folder}/gone")
        Path(f"{folder}/gone.py").unlink()
    Path("environment/pyvenv.cfg").touch()
    Path("folder.py").mkdir()
    Path("tells.py").write_text('"""\n# torchport: source=gone.py target=jax\n"""\n', "utf-8")
    Path("in_place.py").write_text(translate(SOURCE, "jax", name="in_place.py").text, "utf-8")
    Path("piped.py").write_text(translate(SOURCE, "jax", name="stdin").text, "utf-8")
    result = run("guard", "--verdicts", "off")
    assert result.stdout == "0 findings in 3 pairs.\n"


def test_wrong_settings_are_refused(run: Run) -> None:
    Path("pyproject.toml").write_text('[tool.torchport]\nverdicts = "never"\n', "utf-8")
    result = run("guard")
    assert result.exit_code == 2
    assert "verdicts = 'never'" in result.stderr


# Verdicts


def test_a_verdict_is_asked_of_the_store_and_follows_the_content(run: Run) -> None:
    assert "Verdicts were not asked for" in run("guard").stdout
    assert run("check", "--quick", "model.py", "model_jax.py").exit_code == 0
    assert run("guard").stdout == "0 findings in 1 pair.\n"
    # A comment in the source: another content, of which nothing is known.
    change("model.py", "# What the", "# All that the")
    assert told(run("guard")) == [
        "model_jax.py:2: error: It, its source or what they import has changed since it was checked. "
        "[unchecked]"
    ]
    change("model.py", "# All that the", "# What the")
    assert told(run("guard")) == []
    # An edit that is wrong, and is checked.
    change("model_jax.py", "jnp.sqrt(", "2 * jnp.sqrt(")
    assert "[edited]" in run("guard").stdout
    assert run("check", "--quick", "--touched", "model_jax.py").exit_code == 1
    (line,) = told(run("guard"))
    assert line.startswith("model_jax.py:38: error: norm diverges: ")
    assert line.endswith("[diverged]")
    # Put right, by hand, together with the source: verified, and the header can be renewed.
    change("model_jax.py", "2 * jnp.sqrt(", "3 * jnp.sqrt(")
    change("model.py", "torch.sqrt(", "3 * torch.sqrt(")
    assert "bring the change into it" in run("guard").stdout
    assert run("guard", "--renew").exit_code == 1
    assert run("check", "--quick", "--touched", "model.py").exit_code == 0
    assert "norm has changed since it was ported to model_jax.py, and is verified" in " ".join(
        told(run("guard"))
    )
    result = run("guard", "--renew", "model_jax.py")
    assert result.stdout == "model_jax.py: header renewed.\n0 findings in 1 pair.\n"
    assert told(run("guard")) == []


def test_a_pair_is_touched_by_what_it_imports(run: Run) -> None:
    Path("scale.py").write_text("SCALE = 2.0\n", "utf-8")
    write_pair("net", SOURCE.replace("SCALE = 2.0", "from scale import SCALE"))
    assert run("check", "--quick", "net.py", "net_jax.py").exit_code == 0
    assert told(run("guard", "scale.py")) == []
    Path("scale.py").write_text("SCALE = 3.0\n", "utf-8")
    (line,) = told(run("guard", "scale.py"))
    assert line.startswith("net_jax.py:2: error: It, its source or what they import has changed")
    result = run("check", "--quick", "--touched", "scale.py", "--json")
    (verdict,) = json.loads(result.stdout)["verdicts"]
    assert Path(verdict["port"]).name == "net_jax.py"
    assert told(run("guard", "scale.py")) == []


def test_check_touched_says_where_there_is_nothing(run: Run) -> None:
    result = run("check", "--touched", "pyproject.toml")
    assert (result.exit_code, result.stdout) == (0, "No port belongs to these files.\n")


# Torch in a port

JAX = "import jax.numpy as jnp\nimport torch\nfrom torch import nn as layers\n\n\n"
LEFT = {
    "an import alone": (
        "def f(x):\n    return x\n",
        [
            (2, "", "imports torch, and does not use it: `torch`."),
            (3, "", "imports torch, and does not use it: `torch.nn`."),
        ],
    ),
    "a use": (
        "def f(x: torch.Tensor):\n    return layers.functional.relu(x)\n",
        [
            (6, "f", "uses torch: `torch.Tensor`."),
            (7, "f", "uses torch: `layers.functional.relu`."),
        ],
    ),
    "a mark": (
        "class A:\n    def f(x):\n"
        "        # torchport: not ported: torch.foo has no rule\n"
        "        return torch.foo(layers.bar(x))\n",
        [(9, "A", "not ported: torch.foo has no rule.")],
    ),
    "a statement that is set aside": (
        "def f(x):\n    # torchport: ignore\n    y = torch.load(x)\n    return layers.relu(y)\n",
        [(9, "f", "uses torch: `layers.relu`.")],
    ),
    "a definition that is set aside": (
        "def f(x):  # torchport: ignore[no-rule]\n    # torchport: not ported: torch.foo has no rule\n"
        "    y = torch.foo(x)\n    return layers.relu(y)\n",
        [],
    ),
    "another finding set aside": (
        "def f(x):\n    return layers.relu(torch.foo(x))  # torchport: ignore[in-place]\n",
        [(7, "f", "uses torch: `layers.relu`.")],
    ),
    "the header of a block": (
        "for x in torch.foo():\n    with layers.bar():\n        pass\n",
        [(6, "", "uses torch: `torch.foo`."), (7, "", "uses torch: `layers.bar`.")],
    ),
}


@pytest.mark.parametrize(("code", "left"), LEFT.values(), ids=LEFT)
def test_torch_that_is_left(code: str, left: list[tuple[int, str, str]]) -> None:
    found = [(item.line, item.definition, item.message) for item in leftovers(JAX + code)]
    assert found == left


def test_the_examples_have_only_what_is_marked() -> None:
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*.py")):
        port = translate(path.read_text("utf-8"), "jax").text
        assert len(leftovers(port)) == port.count("# torchport: not ported")


def notebook(*cells: tuple[str, str]) -> str:
    return json.dumps(
        {
            "cells": [
                {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
                for kind, text in cells
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
    )


def test_a_notebook_is_read_where_it_is_a_port(run: Run) -> None:
    cells = [
        ("markdown", "torch"),
        ("code", "%matplotlib inline\nimport torch\n"),
        ("code", "%%bash\nimport torch"),
        ("code", "x = 1\ntorch.ones(3)"),
    ]
    Path("plain.ipynb").write_text(notebook(*cells), "utf-8")
    header = Path("model_jax.py").read_text("utf-8").partition("\n\n")[0]
    Path("ported.ipynb").write_text(notebook(("code", header), *cells), "utf-8")
    assert told(run("guard", "--verdicts", "off")) == [
        "ported.ipynb: error: cell 5, line 2: uses torch: `torch.ones`. [leftover]"
    ]
    Path("ported.ipynb").write_text(f'["# torchport: source=a.py" {header!r}', "utf-8")
    assert "It is not a notebook" in run("guard", "--verdicts", "off").stdout


# Drift at a glance, and by the tree

TEXTS = {
    "plain": SOURCE,
    "two line endings": SOURCE.replace("\n", "\r\n"),
    "no last newline": SOURCE.rstrip(),
    "a byte order mark": f"\ufeff{SOURCE}",
    "a string in the first column": 'def f():\n    return """\nclass G:\n"""\n\n\ndef g():\n    pass\n',
    "twice": "def f():\n    return 1\n\n\ndef f():\n    return 2\n",
    "under a condition": "if True:\n    def f():\n        pass\nelse:\n    def f():\n        return\n",
    "a long decorator": "@a(\n    b,\n)\ndef f():\n    pass\n",
    "a continued line": "def f():\n    return 1 + \\\n2\n",
    "broken": "def f(:\n    return\n\nclass A\n    pass\n",
    "comments": "def f():\n    pass\n    # inside\n# outside\n\n# above\ndef g(): pass\nx = 1\n",
    "one line": "class A: pass\nasync def f(): return 1; x = 2\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_as_it_was_has_not_drifted(text: str) -> None:
    ported = definition_digests(Source(text))
    drift = drift_of(text, ported)
    assert (drift.changed, drift.removed, drift.added) == ((), (), ())
    for name in ported:
        assert drift_of(text, {**ported, name: "0" * 12}).changed == (name,)
        assert drift_of(text, {key: ported[key] for key in ported if key != name}).added == (name,)
    assert drift_of(text, {**ported, "gone": "0" * 12}).removed == ("gone",)


# Baselines


def test_a_baseline_only_shrinks(run: Run) -> None:
    write_pair("shared", SHARED)
    change("model.py", "SCALE, 1)", "SCALE, 0)")
    result = run("guard", "--update-baseline")
    assert result.exit_code == 0
    assert ".torchport-baseline.json written: 2 findings to mend." in result.stdout
    rows = json.loads(Path(".torchport-baseline.json").read_text("utf-8"))["findings"]
    assert [(row["file"], row["code"], row["count"]) for row in rows] == [
        ("model.py", "drift", 1),
        ("shared_jax.py", "leftover", 1),
    ]
    # Passed over, also when lines move.
    change("model.py", "SCALE = 2.0", "# Temperature.\nSCALE = 2.0")
    assert "0 findings in 2 pairs, 2 in the baseline passed over." in run("guard").stdout
    # What is new is told, and never taken in.
    change("model.py", "(x * x)", "(x * x * x)")
    for arguments in ((), ("--update-baseline",)):
        result = run("guard", *arguments)
        assert result.exit_code == 1
        assert told(result) == [
            "model.py:13: error: norm has changed since it was ported to model_jax.py. [drift]"
        ]
    # What is mended goes, and does not come back.
    change("model.py", "SCALE, 0)", "SCALE, 1)")
    assert "1 finding of the baseline mended" in run("guard").stdout
    # Of files that were not looked at nothing is said.
    assert "mended" not in run("guard", "shared.py").stdout
    result = run("guard", "--update-baseline")
    assert ".torchport-baseline.json: 1 finding mended, 1 left." in result.stdout
    change("model.py", "SCALE, 1)", "SCALE, 0)")
    assert len(told(run("guard"))) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ('{"version": 7, "findings": []}', "is of version 7"),
        ('{"version": 1, "findings": [{"file": "a.py"}]}', "KeyError: 'code'"),
        ("[]", "TypeError"),
    ],
)
def test_a_baseline_that_cannot_be_read_is_refused(run: Run, text: str, says: str) -> None:
    Path("known.json").write_text(text, "utf-8")
    result = run("guard", "--baseline", "known.json")
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_baseline_that_is_named_must_be_there(run: Run) -> None:
    result = run("guard", "--baseline", "known.json")
    assert result.exit_code == 2
    assert "known.json does not exist. Write it with --update-baseline." in result.stderr
    result = run("guard", "model.py", "--baseline", "known.json", "--update-baseline")
    assert "The first baseline is of the whole project: give no PATH." in result.stderr


# Formats


def test_formats_say_the_same(run: Run) -> None:
    change("model.py", "SCALE, 1)", "SCALE, 0)")
    data: dict[str, Any] = json.loads(run("guard", "--json").stdout)
    (finding,) = data["findings"]
    assert (finding["code"], finding["file"], finding["line"]) == ("drift", "model.py", 7)
    assert finding["commands"] == ["torchport port model.py"]
    assert data["exit_code"] == 1
    result = run("guard", "--format", "github", "--report", "found.sarif")
    assert result.stdout == (
        "::error file=model.py,line=7,title=torchport%3A drift::soft has changed since it was ported "
        "to model_jax.py. Run `torchport port model.py`.\n"
    )
    log = json.loads(Path("found.sarif").read_text("utf-8"))["runs"][0]
    (rule,) = log["tool"]["driver"]["rules"]
    (row,) = log["results"]
    assert (rule["id"], row["ruleId"], row["level"]) == ("drift", "drift", "error")
    place = row["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "model.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 7}


def test_it_imports_nothing_heavy(run: Run) -> None:
    program = (
        "import sys\nfrom torchport.cli import cli\n"
        "try:\n    cli(['guard', 'model.py'])\nexcept SystemExit as end:\n    print(end.code)\n"
        "heavy = ('torch', 'jax', 'numpy', 'pydantic', 'rich', 'tree_sitter', "
        "'torchport_translators.translate')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["0", "[]"], done.stdout + done.stderr
