"""`--llm`, `--show-prompt` and `torchport llm`, as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keyring
import pytest
from click.testing import CliRunner, Result
from tests.llm.server import Fail, Say, Server, Step

from torchport.cli import cli

Run = Callable[..., Result]

SOURCE = """\
import torch


def density(x: torch.Tensor):
    return torch.distributions.Normal(0.0, 1.0).log_prob(x)


def double(x: torch.Tensor):
    return 2 * torch.exp(x)
"""
WEAK = "def density(x: jax.Array):\n    return -x * x / 2\n"
GOOD = "def density(x: jax.Array):\n    return jax.scipy.stats.norm.logpdf(x, 0.0, 1.0)\n"
MARKED = """\
def density(x: jax.Array):
    # torchport: 1 line by m
    return jax.scipy.stats.norm.logpdf(x, 0.0, 1.0)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("port", ...)`, in a project of its own with model.py in it."""
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(SOURCE, encoding="utf-8")

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="torchport")

    return invoke


def project(server: Server, more: str = "") -> None:
    Path("pyproject.toml").write_text(
        '[tool.torchport]\ndevice = { torch = "cpu", jax = "cpu" }\n\n'
        f'[tool.torchport.llm]\nmodel = "m"\nbase_url = "{server.url}"\nretries = 0\n{more}',
        encoding="utf-8",
    )


def test_what_the_rules_leave_open_is_asked_for_checked_and_marked(run: Run) -> None:
    with Server([Say(WEAK), Say(GOOD)]) as server:
        project(server)
        result = run("port", "model.py", "--llm", "--quick")
        again = run("port", "model.py", "--llm", "--quick")
    assert result.exit_code == 0, result.output
    assert "m wrote density: verified (2 rounds)." in result.output
    assert "Model: 2 requests, 2,400 tokens." in result.output
    assert "no rule" not in result.output
    text = Path("model_jax.py").read_text("utf-8")
    assert MARKED in text
    assert "import torch" not in text
    # The port is not asked for again, and not written over by the rules.
    assert len(server.asked) == 2
    assert "by a model: it was kept" in again.output
    assert again.exit_code == 1
    assert Path("model_jax.py").read_text("utf-8") == text


def test_machines_are_told_what_a_model_wrote(run: Run) -> None:
    with Server([Say(WEAK)]) as server:
        project(server, "rounds = 1\nprice = { input = 1, output = 2 }\n")
        result = run("port", "model.py", "--llm", "--quick", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    (file,) = data["files"]
    model = file["model"]
    assert (model["names"], model["changed"], model["verified"]) == (["density"], ["density"], [])
    assert model["stopped"] == "All rounds are spent (1)."
    assert model["rounds"][0]["grades"] == {"density": 3}
    text = Path("model_jax.py").read_text("utf-8").splitlines()
    ((first, last),) = model["lines"]
    assert text[first - 1 : last] == ["    return -x * x / 2"]
    # It differs, and is told as what it is.
    assert {d["name"]: d["status"] for d in file["verdict"]["definitions"]} == {
        "density": "diverged",
        "double": "verified",
    }
    assert "m wrote density: not verified. All rounds are spent (1)." in file["notes"]
    assert [finding["api"] for finding in file["findings"]] == ["torch.distributions.Normal"]
    assert data["spent"]["requests"] == 1
    assert data["spent"]["cost"] == pytest.approx(0.0014)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ([Fail(401, "bad key")], "does not accept the key"),
        ([Say(refusal="No.")], "The model refused to answer: No."),
    ],
)
def test_the_rules_port_is_there_whatever_the_model_does(
    run: Run, script: list[Step], says: str
) -> None:
    with Server(script) as server:
        project(server)
        result = run("port", "model.py", "--llm", "--quick")
    assert result.exit_code == 1
    assert "The model changed nothing." in result.output
    assert says in " ".join(result.output.split())
    assert "# torchport: not ported: torch.distributions.Normal has no rule" in Path(
        "model_jax.py"
    ).read_text("utf-8")


def test_no_model_is_asked_without_being_told_to(run: Run) -> None:
    with Server([Say(GOOD)]) as server:
        project(server)
        run("translate", "model.py")
        run("port", "model.py", "--quick", "--force")
        assert server.asked == []


def test_a_model_must_be_named(run: Run) -> None:
    result = run("port", "model.py", "--llm")
    assert result.exit_code == 2
    assert "--llm needs a model. Write it into pyproject.toml" in result.stderr
    assert not Path("model_jax.py").exists()


def test_a_key_must_be_there_before_anything_is_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHPORT_MODEL", "m")
    result = run("port", "model.py", "--llm")
    assert result.exit_code == 2
    assert "There is no key for api.openai.com. Set TORCHPORT_API_KEY" in result.stderr
    assert not Path("model_jax.py").exists()


def test_a_key_in_a_projects_file_is_refused(run: Run) -> None:
    Path("pyproject.toml").write_text('[tool.torchport.llm]\napi_key = "sk-1"\n', encoding="utf-8")
    result = run("llm")
    assert result.exit_code == 2
    assert "a secret does not belong in a project's file" in result.stderr
    assert "sk-1" not in result.output


def test_the_prompt_is_shown_without_a_model_and_nothing_is_written(run: Run) -> None:
    result = run("port", "model.py", "--show-prompt")
    assert result.exit_code == 0
    assert "Write density." in result.stdout
    assert "Answer with one fenced block of Python." in result.stdout
    assert "note: model.py: " in result.stderr
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["model.py"]


# `torchport llm`


def test_what_would_be_asked_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHPORT_MODEL", "m")
    monkeypatch.setenv("TORCHPORT_BASE_URL", "http://localhost:11434/v1")
    result = run("llm")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "model     m",
        "endpoint  http://localhost:11434/v1",
        "key       none is needed on this machine",
    ]


def test_a_model_is_tested(run: Run) -> None:
    with Server([Say("def one():\n    return 1\n")], knows=()) as server:
        project(server)
        result = run("llm", "--test", "--json")
    data = json.loads(result.stdout)
    assert (result.exit_code, data["answered"], data["form"]) == (0, "m", "text")
    with Server([Say(text="One.")]) as server:
        project(server)
        result = run("llm", "--test")
    assert result.exit_code == 1
    assert "The reply holds no code: One." in result.stderr


def test_a_key_is_kept_in_the_keyring_and_forgotten(run: Run) -> None:
    assert run("llm", "--set-key", stdin="sk-1\n").exit_code == 1  # there is no model yet
    assert keyring.get_password("torchport", "api.openai.com") == "sk-1"
    shown = run("llm")
    assert "the keyring, for api.openai.com" in shown.stdout
    assert "sk-1" not in shown.output
    run("llm", "--forget-key")
    assert keyring.get_password("torchport", "api.openai.com") is None


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("rounds = 9", "rounds = 9: write a number from 1 to 5"),
        ("cards = -1", "cards = -1: write 0 or more"),
        ('base_url = "ftp://x"', "write a URL such as https://api.openai.com/v1"),
        ('base_url = "https://me:pw@x.example/v1"', "base_url holds a password or key"),
        ("max_cost = 1.0", "max_cost needs price"),
        ('options = { model = "x" }', "options.model is written by torchport"),
        ("modell = 1", "has no key llm.modell. Did you mean llm.model?"),
        ("prompt_tokens = 0", "prompt_tokens = 0: write a number greater than 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(run: Run, setting: str, says: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.torchport.llm]\n{setting}\n", encoding="utf-8")
    result = run("llm")
    assert result.exit_code == 2
    assert says in result.stderr
    assert "pw" not in result.stderr
