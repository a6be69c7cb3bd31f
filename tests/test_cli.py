"""The command line, as a user meets it: what is written, what is said, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from torchport import __version__
from torchport.cli import COMMANDS, cli
from torchport_translators.configuration import (
    Configuration,
    ConfigurationError,
    read_configuration,
)

Run = Callable[..., Result]

CLEAN = "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.exp(x)  # keep\n"
PORT_OF_CLEAN = "def f(x: jax.Array):\n    return jnp.exp(x)  # keep\n"
UNPORTED = "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.distributed.all_reduce(x)\n"
NO_TORCH = "import math\n\n\ndef f(x):\n    return math.exp(x)\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("translate", ...)`, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="torchport")

    return invoke


def write(**files: str) -> None:
    """Write `name="text"` as name.py in the current folder."""
    for name, text in files.items():
        Path(f"{name}.py").write_text(text, encoding="utf-8")


def names() -> list[str]:
    """Every file below the current folder."""
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


# Help


def test_help_lists_every_command_and_imports_none() -> None:
    program = (
        "import sys\nfrom torchport.cli import cli\ncli(['--help'], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.startswith(('torchport_checks', 'rich', "
        "'pydantic', 'numpy', 'torchport_translators.translate'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_teaches(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert COMMANDS[name].short_help in result.output
    # An editor's server speaks JSON in any case; what the screen does, `batch` does with --json.
    # What `bugs` shows has it, as its sub-commands say.
    if name == "bugs":
        result = run(name, "list", "--help")
    assert "--json" in result.output or name in ("lsp", "tui")


@pytest.mark.parametrize("name", ["translate", "port", "check", "explain"])
def test_help_of_the_main_commands_has_examples(run: Run, name: str) -> None:
    assert f"  torchport {name} " in run(name, "--help").output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_commands_own(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.short_help == COMMANDS[name].short_help


def test_version(run: Run) -> None:
    assert run("--version").output == f"torchport {__version__}\n"


def test_python_m_torchport_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torchport", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"torchport {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["translate"], "Missing argument 'FILE...'"),
        (["transalte"], "No such command 'transalte'"),
        (["translate", "gone.py"], "gone.py does not exist."),
        (["translate", "gone/*.py"], "No file matches gone/*.py."),
        (["translate", "a.py", "--to", "tensorflow"], "'tensorflow' is not one of 'jax', 'mlx'"),
        (["translate", "a.py", "--diff", "--stdout"], "--diff and --stdout exclude each other."),
        (["translate", "a.py", "--diff", "--json"], "--json and --diff exclude each other."),
        (["translate", "a.py", "b.py", "-o", "c.py"], "c.py is one file, and there are 2 to port"),
        (["translate", "a.py", "b.py", "--stdout"], "--stdout prints one port, and there are 2"),
        (["translate", "a.py", "-o", "a.py"], "use --in-place to replace it."),
        (["translate", "-", "-o", "ported"], "needs a file name: -o NAME.py."),
        (["translate", "-", "a.py"], "'-' (standard input) goes alone"),
        (["translate", "-", "--in-place"], "cannot be replaced in place."),
        (["port", "-"], "it needs a file. Use `translate`."),
        (["check", "a.py", "gone.py"], "'gone.py' does not exist."),
        (["check", "a.py", "b.py", "--timeout", "0"], "0.0 is not in the range x>0"),
    ],
)
def test_wrong_usage_says_so_and_writes_nothing(run: Run, arguments: list[str], says: str) -> None:
    write(a=CLEAN, b=CLEAN)
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert names() == ["a.py", "b.py"]


# translate: where the port goes


def test_the_port_is_written_beside_the_source(run: Run) -> None:
    write(model=CLEAN)
    result = run("translate", "model.py")
    assert result.exit_code == 0
    assert result.stdout == "model.py → model_jax.py: 2 of 2 calls ported\n"
    port = Path("model_jax.py").read_text()
    assert port.startswith("# Ported from PyTorch (model.py) to JAX by torchport ")
    assert port.endswith(PORT_OF_CLEAN)
    assert Path("model.py").read_text() == CLEAN


def test_the_port_is_a_named_file(run: Run) -> None:
    write(model=CLEAN)
    assert run("translate", "model.py", "-o", "deep/in/ported.py").exit_code == 0
    assert "# torchport: source=../../model.py " in Path("deep/in/ported.py").read_text()


def test_a_folder_is_ported_into_another_with_its_structure(run: Run) -> None:
    for path, text in {
        "src/model.py": CLEAN,
        "src/layers/attention.py": CLEAN,
        "src/plain.py": NO_TORCH,
        "src/.hidden/model.py": CLEAN,
        "src/.venv/lib/torch_user.py": CLEAN,
        "src/env/pyvenv.cfg": "",
        "src/env/torch_user.py": CLEAN,
        "src/__pycache__/model.py": CLEAN,
        "src/notes.txt": CLEAN,
    }.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    result = run("translate", "src", "-o", "out")
    assert result.exit_code == 0
    assert [name for name in names() if name.startswith("out")] == [
        "out/layers/attention_jax.py",
        "out/model_jax.py",
    ]
    assert "1 file passed over: 1 without torch." in result.stdout


def test_ports_are_not_ported_again_however_they_are_named(run: Run) -> None:
    write(model=CLEAN)
    run("translate", "model.py")
    for arguments in (["."], ["*.py"], ["model.py", "model_jax.py"]):
        result = run("translate", *arguments)
        assert result.exit_code == 0
        assert result.stdout == (
            "model.py → model_jax.py: 2 of 2 calls ported, unchanged\n"
            "1 file passed over: 1 written by torchport.\n"
        )
    assert names() == ["model.py", "model_jax.py"]


def test_a_file_named_twice_is_ported_once(run: Run) -> None:
    write(model=CLEAN)
    assert run("translate", "model.py", "./model.py", ".").stdout.count("→") == 1


def test_two_files_for_one_port_are_refused_before_anything_is_written(run: Run) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "model.py").write_text(CLEAN)
    result = run("translate", "a/model.py", "b/model.py", "-o", "out")
    assert result.exit_code == 2
    assert "2 of the files would be written to out/model_jax.py" in result.stderr
    assert not Path("out").exists()


def test_in_place_replaces_the_source_and_keeps_its_mode(run: Run) -> None:
    write(model=CLEAN)
    Path("model.py").chmod(0o754)
    assert run("translate", "model.py", "--in-place").exit_code == 0
    assert Path("model.py").read_text().endswith(PORT_OF_CLEAN)
    assert Path("model.py").stat().st_mode & 0o777 == 0o754
    assert names() == ["model.py"]


def test_a_link_stays_a_link(run: Run) -> None:
    write(real=CLEAN)
    Path("model.py").symlink_to("real.py")
    run("translate", "model.py", "--in-place")
    assert Path("model.py").is_symlink()
    assert Path("real.py").read_text().endswith(PORT_OF_CLEAN)


def test_diff_shows_and_writes_nothing(run: Run) -> None:
    write(model=CLEAN)
    result = run("translate", "model.py", "--diff")
    assert result.exit_code == 0
    assert result.stdout.startswith("--- model.py\n+++ model_jax.py\n")
    assert "-    return torch.exp(x)  # keep\n" in result.stdout
    assert "+    return jnp.exp(x)  # keep\n" in result.stdout
    assert names() == ["model.py"]


def test_stdout_holds_the_port_alone(run: Run) -> None:
    write(model=UNPORTED)
    result = run("translate", "model.py", "--stdout")
    assert result.exit_code == 1
    compile(result.stdout, "port", "exec")
    assert "[no-rule]" in result.stderr
    assert names() == ["model.py"]


def test_standard_input_to_standard_output_is_a_filter(run: Run) -> None:
    result = run("translate", "-", stdin=CLEAN)
    assert result.exit_code == 0
    assert result.stdout == f"import jax\nimport jax.numpy as jnp\n\n\n{PORT_OF_CLEAN}"


def test_standard_input_to_a_file(run: Run) -> None:
    assert run("translate", "-", "-o", "new.py", stdin=CLEAN).exit_code == 0
    assert "# torchport: source=stdin " in Path("new.py").read_text()


# translate: what must not be overwritten


def test_an_edited_port_is_kept_until_forced(run: Run) -> None:
    write(model=CLEAN)
    run("translate", "model.py")
    port = Path("model_jax.py")
    edited = port.read_text().replace("jnp.exp(x)", "jnp.exp(x) + 1")
    port.write_text(edited)
    result = run("translate", "model.py")
    assert result.exit_code == 2
    assert "it has been edited by hand since torchport wrote it." in result.stderr
    assert "--force" in result.stderr
    assert port.read_text() == edited
    assert run("translate", "model.py", "--force").exit_code == 0
    assert port.read_text().endswith(PORT_OF_CLEAN)


@pytest.mark.parametrize(
    ("existing", "reason"),
    [
        ("print('mine')\n", "it was not written by torchport."),
        (b"\0\1", "it was not written by torchport."),
        ("other", "it is the port of another file, other.py."),
    ],
)
def test_a_file_of_someone_elses_is_kept(run: Run, existing: str | bytes, reason: str) -> None:
    write(model=CLEAN, other=CLEAN)
    port = Path("model_jax.py")
    if existing == "other":
        run("translate", "other.py", "-o", "model_jax.py")
    else:
        port.write_bytes(existing.encode() if isinstance(existing, str) else existing)
    before = port.read_bytes()
    result = run("translate", "model.py")
    assert result.exit_code == 2
    assert reason in result.stderr
    assert port.read_bytes() == before


def test_a_port_that_would_be_the_same_is_not_touched(run: Run) -> None:
    write(model=CLEAN)
    run("translate", "model.py")
    os.utime("model_jax.py", (1, 1))
    assert "unchanged" in run("translate", "model.py").stdout
    assert Path("model_jax.py").stat().st_mtime == 1


# translate: findings


def test_findings_are_told_as_compilers_do_and_explained_once(run: Run) -> None:
    write(model=UNPORTED + UNPORTED)
    result = run("translate", "model.py")
    assert result.exit_code == 1
    finding = "error: torch.distributed.all_reduce has no rule [no-rule]"
    assert f"model.py:5:12: {finding}\nmodel.py:10:12: {finding}\n" in result.stdout
    assert result.stdout.count("no-rule: No rule covers this torch call") == 1
    assert result.stdout.count("no-rule (torch.distributed.all_reduce): One program runs") == 1


def test_notes_alone_are_clean(run: Run) -> None:
    write(model="import torch\n\n\ndef f(x: torch.Tensor):\n    return x.sum().item()\n")
    result = run("translate", "model.py")
    assert "info:" in result.stdout
    assert result.exit_code == 0


def test_json_is_the_only_output(run: Run) -> None:
    write(model=UNPORTED, plain=NO_TORCH)
    result = run("translate", ".", "--json")
    data = json.loads(result.stdout)
    assert result.stderr == ""
    assert {key: data[key] for key in ("schema_version", "torchport", "command", "target")} == {
        "schema_version": 1,
        "torchport": __version__,
        "command": "translate",
        "target": "jax",
    }
    assert data["passed_over"] == {"without torch": 1}
    assert data["exit_code"] == result.exit_code == 1
    (file,) = data["files"]
    assert (file["source"], file["port"], file["outcome"]) == (
        "model.py",
        "model_jax.py",
        "written",
    )
    (finding,) = file["findings"]
    assert (finding["code"], finding["severity"], finding["line"]) == ("no-rule", "error", 5)
    assert file["definitions"][0]["name"] == "f"


def test_json_holds_the_text_where_nothing_is_written(run: Run) -> None:
    (file,) = json.loads(run("translate", "-", "--json", stdin=CLEAN).stdout)["files"]
    assert file["text"].endswith(PORT_OF_CLEAN)


@pytest.mark.parametrize("colour", [True, False])
def test_colours_are_for_terminals_that_want_them(
    run: Run, monkeypatch: pytest.MonkeyPatch, colour: bool
) -> None:
    write(model=UNPORTED)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    result = CliRunner().invoke(cli, ["translate", "model.py"], color=True)
    assert ("\x1b[" in result.stdout) == colour


def test_a_terminal_without_the_arrow_still_gets_its_line(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(CLEAN)
    done = subprocess.run(
        [sys.executable, "-m", "torchport", "translate", "model.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "model.py ? model_jax.py: 2 of 2 calls ported\n"


def test_a_file_of_two_hundred_lines_is_ported_in_half_a_second(tmp_path: Path) -> None:
    """The floor is what Python and click take alone, so that a busy machine does not matter."""
    body = "".join(
        f"def f{i}(x: torch.Tensor):\n    return torch.exp(x).sum(1)\n\n\n" for i in range(50)
    )
    (tmp_path / "model.py").write_text(f"import torch\n\n\n{body}")
    program = (
        "import os, sys; sys.argv[1:] = ['translate', 'model.py']; import torchport.__main__ as m\n"
    )

    def seconds(end: str) -> float:
        times: list[float] = []
        for _ in range(5):
            code = f"{program}import resource\ntry:\n    {end}\nexcept SystemExit: pass\n"
            code += "r = resource.getrusage(resource.RUSAGE_SELF); print(r.ru_utime + r.ru_stime)"
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            )
            times.append(float(done.stdout.splitlines()[-1]))
        return min(times)

    assert seconds("m.main()") < 0.5


# Settings


def settings(text: str) -> None:
    """Write [tool.torchport] with `text` into the current folder's pyproject.toml."""
    Path("pyproject.toml").write_text(f"[tool.torchport]\n{textwrap.dedent(text)}")


def test_settings_are_read_from_the_nearest_pyproject(run: Run) -> None:
    settings('suffix = ".{target}"\nexclude = ["old", "src/generated_*.py"]\n')
    for path in ("src/model.py", "src/generated_a.py", "old/model.py", "src/deep/old/model.py"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(CLEAN)
    assert run("translate", ".").exit_code == 0
    assert [name for name in names() if ".jax" in name] == ["src/model.jax.py"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('targte = "jax"', "[tool.torchport] has no key targte. Did you mean target? The keys are"),
        ('python = {trch = "x"}', "has no key python.trch. Did you mean python.torch?"),
        ('python.tpu = "x"', "has no key python.tpu."),
        ('path = "x"', "has no key path."),
        ("timeout = 0", "timeout must be greater than 0"),
        ('timeout = "soon"', "timeout = 'soon': input should be a valid number"),
        ('target = "tensorflow"', "target = 'tensorflow': input should be 'jax' or 'mlx'"),
        ('suffix = ""', "suffix = '': it ends a file name"),
        ('suffix = "/x"', "suffix = '/x': it ends a file name"),
        ("target = ", "cannot be read"),
    ],
)
def test_a_setting_that_is_wrong_is_named_with_its_file(run: Run, text: str, says: str) -> None:
    write(model=CLEAN)
    settings(text)
    result = run("translate", "model.py")
    assert result.exit_code == 2
    assert "pyproject.toml" in result.stderr
    assert says in result.stderr
    assert names() == ["model.py", "pyproject.toml"]


def test_without_a_table_the_defaults_hold(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert read_configuration(tmp_path) == Configuration(path=tmp_path / "pyproject.toml")


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\ntorchport = 3\n")
    with pytest.raises(ConfigurationError, match="is not a table"):
        read_configuration(tmp_path)


# explain


@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("torch.var", ["torch.var", "var(input, dim=None", "jnp.var("]),
        ("F.gelu", ["torch.nn.functional.gelu", "approximate"]),
        ("nn.Linear", ["class Linear(nnx.Linear):", "in_features"]),
        ("view", ["torch.Tensor.view", "input.reshape"]),
        ("x.view", ["torch.Tensor.view", "input.reshape"]),
        ("add_", ["torch.Tensor.add", "alpha"]),
        ("torch.float16", ["jnp.float16"]),
        ("torch.no_grad", ["rewrites/no_grad.py", "# torch", "# jax", "stop_gradient", "Why:"]),
        ("unsure", ["Annotate the parameter"]),
        ("relu_", ["torch.relu", "jax.nn.relu"]),
        ("torch.zero_", ["torch.Tensor.zero_", "zeros_like"]),
        ("torch.quantize_per_tensor", ["quantized tensors", "scale"]),
        ("mkldnn_max_pool2d", ["back-ends of torch", "F.conv2d"]),
        ("torch.sparse.mm", ["sparse tensors", "segment_sum"]),
        ("x.to_sparse", ["sparse tensors", "BCOO"]),
    ],
)
def test_explain_shows_what_is_known(run: Run, name: str, shows: list[str]) -> None:
    result = run("explain", name)
    assert result.exit_code == 0
    for text in shows:
        assert text in result.stdout


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("nn.Transfomer", "torch.nn.Transformer"),
        ("softmx", "torch.nn.functional.softmax"),
        ("unsupported-arguments", "unsupported-argument"),
        ("zzzzzz", "Give a torch API"),
    ],
)
def test_explain_suggests_what_is_near(run: Run, name: str, near: str) -> None:
    result = run("explain", name)
    assert result.exit_code == 2
    assert f"is called {name}." in result.stderr
    assert near in result.stderr


def test_explain_as_json(run: Run) -> None:
    (found,) = json.loads(run("explain", "unsure", "--json").stdout)["found"]
    assert (found["kind"], found["title"], found["place"]) == ("code", "unsure", "error")


# doctor and devices


def test_doctor_says_what_is_there(run: Run) -> None:
    data = json.loads(run("doctor", "--json").stdout)
    found = {row["name"]: row for row in data["packages"]}
    assert set(found) == {"torch", "numpy", "jax", "flax", "optax", "mlx"}
    needed = [row for row in found.values() if row["needed"]]
    assert {row["name"] for row in needed} == set(found) - {"mlx"}
    assert data["exit_code"] == int(any(row["advice"] for row in needed))
    assert data["store"].endswith(".torchport/verdicts.sqlite3")


def test_doctor_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    versions: dict[str, Any] = {"python": "3.11.7", "torch": "2.1.0+cpu", "jax": "0.10.2"}
    monkeypatch.setattr("torchport_checks.versions.installed", lambda _: json.dumps(versions))
    result = run("doctor")
    assert result.exit_code == 1
    assert "-m pip install 'torch>=2.6'" in result.stdout
    assert "-m pip install 'flax>=" in result.stdout
    assert "'jax>=" not in result.stdout


def test_doctor_does_not_ask_for_another_target(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {
        "torch": "2.9",
        "numpy": "2.1.0",
        "jax": "0.10.2",
        "flax": "0.12.7",
        "optax": "0.2.5",
    }
    monkeypatch.setattr("torchport_checks.versions.installed", lambda _: json.dumps(versions))
    result = run("doctor")
    assert result.exit_code == 0
    assert "--  mlx    missing" in result.stdout
    assert "pip install" not in result.stdout


def test_devices_does_not_ask_for_another_target(run: Run) -> None:
    settings('python = {mlx = "./gone/bin/python"}')
    result = run("devices", "--json")
    data = json.loads(result.stdout)
    assert {lane["framework"] for lane in data["lanes"]} == {"torch", "jax"}
    assert result.exit_code == data["exit_code"] == 0
    (message,) = data["missing"]
    assert "gone/bin/python, does not start" in message


def test_doctor_says_which_interpreter_does_not_start(run: Run) -> None:
    settings('python = {torch = "./gone/bin/python"}')
    result = run("doctor")
    assert result.exit_code == 1
    assert "gone/bin/python does not start." in result.stdout
    assert 'python.torch = "PATH"' in result.stdout


# Errors that nobody foresaw


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make `translate` fail as a bug would; returns where tracebacks are saved."""

    def fail(*_: object) -> None:
        raise KeyError("a bug")

    folder = tmp_path / "logs"
    monkeypatch.setattr("torchport_translators.commands.find_files", fail)
    monkeypatch.setattr(
        "platformdirs.user_log_path", lambda *_, **__: (folder.mkdir(exist_ok=True), folder)[1]
    )
    return folder


def test_a_bug_costs_one_line_and_leaves_its_traceback(run: Run, broken: Path) -> None:
    write(model=CLEAN)
    result = run("translate", "model.py")
    assert result.exit_code == 2
    (saved,) = broken.iterdir()
    assert result.stderr == (
        "Error: torchport failed, and should not have: KeyError: 'a bug'. "
        f"The traceback is in {saved}.\n"
    )
    assert "KeyError: 'a bug'" in saved.read_text()


def test_debug_shows_the_traceback(run: Run, broken: Path) -> None:
    write(model=CLEAN)
    result = run("--debug", "translate", "model.py")
    assert isinstance(result.exception, KeyError)
    assert not broken.exists()
