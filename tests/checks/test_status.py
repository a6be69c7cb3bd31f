"""`torchport status`: the state of each file, what blocks, and the order of work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from torchport.cli import cli
from torchport_checks.overview.imports import Modules, imports_of, needs, order
from torchport_translators.translate import translate

Run = Callable[..., Result]

CODE = "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.exp(x)\n"
BLOCKED = """\
import torch
import torch.distributed as dist


def f(x: torch.Tensor):
    dist.all_reduce(x)
    return dist.all_reduce(torch.exp(x))
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("status", ...)`, in an empty project."""
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").touch()

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="torchport")

    return invoke


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def write_port(name: str) -> Path:
    path = Path(name)
    text = translate(path.read_text("utf-8"), "jax", name=path.name).text
    return write(str(path.with_name(f"{path.stem}_jax.py")), text)


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# The order of work

# What each file imports: (files, the order in which they are to be ported)
GRAPHS: dict[str, tuple[dict[str, str], list[list[str]]]] = {
    "leaves first": (
        {
            "a.py": "import b\nfrom c import f",
            "b.py": "from c import f",
            "c.py": "",
            "d.py": "",
        },
        [["c.py"], ["d.py"], ["b.py"], ["a.py"]],
    ),
    "what most wait for, among equals": (
        {"a.py": "", "b.py": "", "c.py": "import b", "d.py": "import b", "e.py": "import a"},
        [["b.py"], ["a.py"], ["c.py"], ["d.py"], ["e.py"]],
    ),
    "a cycle is one group": (
        {
            "a.py": "import b",
            "b.py": "import c",
            "c.py": "import a, d",
            "d.py": "",
            "e.py": "import a",
        },
        [["d.py"], ["a.py", "b.py", "c.py"], ["e.py"]],
    ),
    "two cycles, and a file that imports itself": (
        {"a.py": "import a, b", "b.py": "import a", "c.py": "import d", "d.py": "import c, a"},
        [["a.py", "b.py"], ["c.py", "d.py"]],
    ),
    "a package, relative": (
        {
            "net/__init__.py": "from .model import Net",
            "net/model.py": "from . import layers\nfrom .parts.block import Block",
            "net/layers.py": "",
            "net/parts/__init__.py": "",
            "net/parts/block.py": "from ..layers import Linear\nfrom ... import beyond",
            "train.py": "from net import Net",
        },
        [
            ["net/layers.py"],
            ["net/parts/__init__.py"],
            ["net/parts/block.py"],
            ["net/model.py"],
            ["net/__init__.py"],
            ["train.py"],
        ],
    ),
    "sources in src, tests beside": (
        {
            "src/net/model.py": "from net.layers import Linear",
            "src/net/layers.py": "import torch, os",
            "tests/test_model.py": "import net.model as m",
        },
        [["src/net/layers.py"], ["src/net/model.py"], ["tests/test_model.py"]],
    ),
    "the nearest of two": (
        {
            "one/layers.py": "",
            "one/a.py": "import layers",
            "two/layers.py": "",
            "b.py": "import layers",
        },
        [["one/layers.py"], ["b.py"], ["two/layers.py"], ["one/a.py"]],
    ),
    "inside a function, and what does not parse": (
        {"a.py": "def f():\n    from b import g", "b.py": "import (a"},
        [["b.py"], ["a.py"]],
    ),
}


@pytest.mark.parametrize(("files", "expected"), GRAPHS.values(), ids=GRAPHS)
def test_each_file_comes_after_what_it_imports(
    files: dict[str, str], expected: list[list[str]]
) -> None:
    imports = {file: imports_of(text) for file, text in files.items()}
    assert order(needs(frozenset(files), imports)) == expected


def test_what_is_not_to_be_ported_is_looked_through() -> None:
    files = {
        "a.py": "import helper",
        "helper.py": "import more, a",
        "more.py": "import b",
        "b.py": "",
    }
    imports = {file: imports_of(text) for file, text in files.items()}
    assert needs(frozenset(("a.py", "b.py")), imports) == {
        "a.py": frozenset(("b.py",)),
        "b.py": frozenset(),
    }


def test_a_long_chain_is_no_deep_recursion() -> None:
    graph = {f"{n:05}": frozenset((f"{(n + 1) % 20000:05}",)) for n in range(20000)}
    assert len(order(graph)) == 1
    graph["19999"] = frozenset()
    assert order(graph)[:2] == [["19999"], ["19998"]]


def test_names_of_other_packages_mean_no_file() -> None:
    modules = Modules(frozenset(("src/torch_utils.py", "net/a.py")))
    assert [modules.targets("net/a.py", item) for item in imports_of("import torch, os.path")] == [
        [],
        [],
    ]


# States


def test_each_file_has_a_state(run: Run) -> None:
    write("verified.py", CODE)
    write_port("verified.py")
    assert run("check", "--quick", "verified.py", "verified_jax.py").exit_code == 0
    write("diverged.py", CODE)
    port = write_port("diverged.py")
    port.write_text(port.read_text("utf-8").replace("jnp.exp(x)", "2 * jnp.exp(x)"), "utf-8")
    assert run("check", "--quick", "diverged.py", "diverged_jax.py").exit_code == 1
    write("ported.py", CODE)
    write_port("ported.py")
    write("by_hand.py", CODE)
    write("by_hand_jax.py", "import jax.numpy as jnp\n")
    write("drifted.py", CODE)
    write_port("drifted.py")
    write("drifted.py", CODE.replace("torch.exp", "2 * torch.exp"))
    write("blocked.py", BLOCKED)
    write("half.py", BLOCKED)
    write_port("half.py")
    write("open.py", CODE)
    write("broken.py", "import torch\n\ndef f(:\n")
    write("binary.py", "import torch\0")
    write("no_torch.py", "import math\n")
    data = told(run("status", "--json"))
    assert {file["file"]: file["state"] for file in data["files"]} == {
        "binary.py": "blocked",
        "blocked.py": "blocked",
        "broken.py": "blocked",
        "by_hand.py": "ported",
        "diverged.py": "diverged",
        "drifted.py": "drifted",
        "half.py": "blocked",
        "open.py": "not ported",
        "ported.py": "ported",
        "verified.py": "verified",
    }
    by_name = {file["file"]: file for file in data["files"]}
    assert by_name["blocked.py"]["blocked_by"] == {"torch.distributed.all_reduce": 2}
    assert by_name["broken.py"]["blocked_by"] == {"syntax": 1}
    assert "NUL bytes" in by_name["binary.py"]["problem"]
    assert (by_name["half.py"]["port"], by_name["open.py"]["port"]) == ("half_jax.py", None)
    assert data["blocked_by"][0] == {
        "api": "torch.distributed.all_reduce",
        "uses": 4,
        "files": ["blocked.py", "half.py"],
    }
    assert data["states"]["blocked"] == 4
    calls = data["calls"]
    assert calls["total"] == sum(file["calls"]["total"] for file in data["files"])
    assert calls["ported"] < calls["with_rule"] < calls["total"]
    # What is done is not listed as work, nor what is no text.
    listed = [name for group in data["order"] for name in group]
    done = {"verified.py", "ported.py", "by_hand.py"}
    assert sorted(listed) == sorted({*by_name} - done - {"binary.py"})


def test_what_is_left_is_listed_with_what_it_waits_for(run: Run) -> None:
    write("net/layers.py", CODE)
    write(
        "net/model.py", CODE.replace("import torch\n", "import torch\nfrom .layers import f as g\n")
    )
    write(
        "net/train.py", CODE.replace("import torch\n", "import torch\nfrom .model import f as g\n")
    )
    lines = run("status").stdout.splitlines()
    at = lines.index("Port next")
    assert lines[at + 1 :] == [
        "  net/layers.py  not ported; 1 file after it",
        "  net/model.py  not ported; after net/layers.py; 1 file after it",
        "  net/train.py  not ported; after net/model.py",
    ]
    write_port("net/layers.py")
    lines = run("status").stdout.splitlines()
    assert lines[lines.index("Port next") + 1] == "  net/model.py  not ported; 1 file after it"
    assert lines[0] == "3 files with torch: 1 ported, 2 not ported."


def test_a_path_limits_what_is_told(run: Run) -> None:
    for name in ("a/one.py", "a/two.py", "b/three.py"):
        write(name, CODE)
    assert [file["file"] for file in told(run("status", "a", "--json"))["files"]] == [
        "a/one.py",
        "a/two.py",
    ]
    assert [file["file"] for file in told(run("status", "b/three.py", "--json"))["files"]] == [
        "b/three.py"
    ]
    write("c/four.py", "import math\n")
    assert run("status", "c").stdout == "No file uses torch.\n"


def test_the_target_says_which_port_counts(run: Run) -> None:
    write("model.py", CODE)
    write_port("model.py")
    assert told(run("status", "--json"))["files"][0]["state"] == "ported"
    assert told(run("status", "--json", "--to", "mlx"))["files"][0]["state"] == "not ported"


def test_nothing_is_run_and_what_is_known_is_kept(run: Run) -> None:
    write("model.py", f"{CODE}\nopen('was_run', 'w')\nraise SystemExit(7)\n")
    first = told(run("status", "--json"))
    assert not Path("was_run").exists()
    kept = Path(".torchport/status.json")
    before = kept.read_bytes()
    assert told(run("status", "--json")) == first
    assert kept.read_bytes() == before
    for damaged in (b"{", b"[]", b'{"key": 1}', b"\xff"):
        kept.write_bytes(damaged)
        assert told(run("status", "--json")) == first
        assert kept.read_bytes() == before
    assert Path(".torchport/.gitignore").read_text() == "*\n"


# The page


class Tags(HTMLParser):
    """What a page is made of; it must be well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file_and_well_formed(run: Run) -> None:
    write("odd <name> & 'more'.py", BLOCKED)
    write("model.py", CODE)
    write_port("model.py")
    result = run("status", "-o", "report.html")
    assert result.stdout.endswith("Full report: report.html\n")
    text = Path("report.html").read_text("utf-8")
    tags = Tags(text)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.seen}
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"https?://", text)
    places = {attributes.get("id") for _, attributes in tags.seen}
    links = [attributes["href"] for tag, attributes in tags.seen if tag == "a"]
    assert links and all(str(link).removeprefix("#") in places for link in links)
    assert "torch.distributed.all_reduce ×2" in text
    assert "odd &lt;name&gt; &amp; &#x27;more&#x27;.py" in text


def test_a_page_of_nothing(run: Run) -> None:
    assert run("status", "-o", "report.html").exit_code == 0
    assert "No file uses torch" in Path("report.html").read_text("utf-8")
    result = run("status", "-o", "report.pdf")
    assert result.exit_code == 2
    assert "report.pdf is no .html" in result.stderr
