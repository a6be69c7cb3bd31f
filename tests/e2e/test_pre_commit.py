"""The hooks in real git repositories, as pre-commit installs and runs them.

`torchport-guard` is installed from this tree as a user gets it: pre-commit makes an environment and has pip
build the wheel. Only that nothing may be downloaded is arranged for: pip builds with the hatchling that
is installed here, and the environment borrows the packages that torchport depends on.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from torchport_translators.translate import translate

TREE = Path(__file__).parents[2]
PACKAGED = ("checks", "server", "translators", "tui")
PACKAGED_FILES = ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")

SOURCE = """\
import torch


def soft(x: torch.Tensor):
    return torch.softmax(x, 1)


# Between them.


def norm(x: torch.Tensor):
    return torch.sqrt((x * x).sum())
"""


@dataclass
class Hooks:
    """This tree as a repository of hooks, and the environment in which git and pre-commit run."""

    repository: Path
    environment: dict[str, str]


@pytest.fixture(scope="session")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Hooks:
    folder = tmp_path_factory.mktemp("pre-commit")
    repository = folder / "torchport"
    for name in PACKAGED:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(TREE / name, repository / name, ignore=ignored)
    for name in PACKAGED_FILES:
        shutil.copy(TREE / name, repository)
    # What a user's environment has for `language: system`: this torchport.
    command = folder / "bin" / "torchport"
    command.parent.mkdir()
    path = os.environ.get("PYTHONPATH", "")
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="{path}" exec "{sys.executable}" -m torchport "$@"\n'
    )
    command.chmod(0o755)
    hatchling = importlib.util.find_spec("hatchling")
    assert hatchling is not None and hatchling.origin is not None
    borrowed = [sysconfig.get_path("purelib"), str(Path(hatchling.origin).parents[1])]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.com",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "PATH": os.pathsep.join([str(command.parent), str(Path(sys.executable).parent)])
        + os.pathsep
        + os.environ["PATH"],
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's spelling of "without isolation"
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PRE_COMMIT_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(borrowed)),
        "TMPDIR": str(folder),
    }
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "torchport"]):
        subprocess.run(["git", *arguments], cwd=repository, env=environment, check=True)
    return Hooks(repository, environment)


@dataclass
class Project:
    """A user's repository."""

    folder: Path
    hooks: Hooks

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.hooks.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    def git(self, *arguments: str) -> str:
        """What git prints; the command must succeed."""
        done = self.run("git", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def commit(self, *arguments: str) -> str:
        """What the hooks say of a commit that passes."""
        done = self.run("git", "commit", "-m", "change", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def refused(self, *command: str) -> str:
        """What the hooks say of a commit that does not pass."""
        before = self.git("rev-parse", "HEAD")
        done = self.run("git", *(command or ("commit", "-m", "change")))
        assert done.returncode != 0
        assert self.git("rev-parse", "HEAD") == before
        return done.stdout + done.stderr

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, "utf-8")

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text("utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def port(self, name: str) -> None:
        source = self.folder / name
        text = translate(source.read_text("utf-8"), "jax", name=source.name).text
        self.write(str(Path(name).with_name(f"{source.stem}_jax.py")), text)

    def configure(self, *ids: str) -> None:
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=self.hooks.repository,
            env=self.hooks.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        repository = {
            "repo": str(self.hooks.repository),
            "rev": revision,
            "hooks": [{"id": name} for name in ids],
        }
        self.write(".pre-commit-config.yaml", yaml.safe_dump({"repos": [repository]}))

    def hooks_run(self, *arguments: str) -> tuple[int, str]:
        done = self.run("pre-commit", "run", "--verbose", *arguments)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(hooks: Hooks, tmp_path: Path) -> Project:
    """A repository with one pair, committed under `torchport-guard`."""
    project = Project(tmp_path / "a project", hooks)
    project.folder.mkdir()
    project.git("init", "-q", "-b", "main")
    project.configure("torchport-guard")
    project.write("model.py", SOURCE)
    project.port("model.py")
    project.write("other.py", "x = 1\n")
    done = project.run("pre-commit", "install", "-t", "pre-commit", "-t", "pre-merge-commit")
    assert done.returncode == 0, done.stdout + done.stderr
    project.git("add", "-A")
    assert "torchport guard" in project.commit()
    return project


def test_a_staged_change_is_refused_until_it_is_ported(project: Project) -> None:
    project.change("model.py", "(x, 1)", "(x, 0)")
    project.git("add", "model.py")
    for _ in range(2):  # the first run, and the second
        said = project.refused()
        assert "model.py:4: error: soft has changed since it was ported to model_jax.py." in said
        assert "    torchport port model.py" in said
    project.port("model.py")
    said = project.refused()  # the port is not staged
    assert "soft has changed" in said
    project.git("add", "-A")
    assert "Passed" in project.commit()


def test_what_is_not_staged_does_not_count(project: Project) -> None:
    project.change("model.py", "(x, 1)", "(x, 0)")
    project.write("other.py", "x = 2\n")
    project.git("add", "other.py")
    assert "Passed" in project.commit()
    assert "(x, 0)" in (project.folder / "model.py").read_text("utf-8")


@pytest.mark.parametrize("command", [("rm", "-q", "model.py"), ("mv", "model.py", "net.py")])
def test_a_source_that_goes_is_refused(project: Project, command: tuple[str, ...]) -> None:
    project.git(*command)
    said = project.refused()
    assert "model_jax.py:2: error: It is the port of model.py, which is not there." in said
    assert "Bring the source back" in said


def test_a_pair_may_go_and_a_port_may(project: Project) -> None:
    project.git("rm", "-q", "model_jax.py")
    code, said = project.hooks_run()
    assert code == 0
    assert "model_jax.py: note: The commit deletes it, the port of model.py, which stays." in said
    project.git("rm", "-q", "model.py")
    assert "Passed" in project.commit()


def test_what_was_wrong_before_does_not_stop_another_commit(project: Project) -> None:
    project.change("model.py", "(x, 1)", "(x, 0)")
    project.git("commit", "-q", "--no-verify", "-a", "-m", "in haste")
    project.write("other.py", "x = 2\n")
    project.git("rm", "-q", "--cached", "other.py")
    assert "Passed" in project.commit()
    code, said = project.hooks_run("--all-files")
    assert code == 1
    assert "soft has changed" in said


def test_names_with_spaces_and_other_letters(project: Project) -> None:
    name = "netze/größe 量 mit ' Zeichen.py"
    project.write(name, SOURCE)
    project.port(name)
    project.git("add", "-A")
    project.commit()
    project.change(name, "(x, 1)", "(x, 0)")
    project.git("add", "-A")
    assert f"{name}:4: error: soft has changed" in project.refused()
    project.git("checkout", "-q", "HEAD", "--", ".")
    project.git("rm", "-q", name)
    assert f"It is the port of {name}, which is not there." in project.refused()


def test_a_notebook_that_is_a_port(project: Project) -> None:
    header = (project.folder / "model_jax.py").read_text("utf-8").split("\n\n")[0]
    cell = '{"cell_type": "code", "source": %s}'
    lines = str([*(f"{line}\n" for line in header.splitlines()), "import torch\n", "torch.ones(3)"])
    project.write("ported.ipynb", '{"cells": [%s]}' % (cell % lines.replace("'", '"')))
    project.git("add", "-A")
    assert "ported.ipynb: error: cell 1, line 5: uses torch: `torch.ones`." in project.refused()


def test_merges(project: Project) -> None:
    """Each branch ports its change; together they conflict in the port, and not in the source."""
    for branch, old, new in (("one", "(x, 1)", "(x, 0)"), ("two", "(x * x)", "(x * x * x)")):
        project.git("checkout", "-q", "-b", branch, "main")
        project.change("model.py", old, new)
        project.port("model.py")
        project.git("add", "-A")
        project.commit()
    project.git("checkout", "-q", "one")
    assert "CONFLICT" in project.refused("merge", "two")
    project.git("checkout", "--ours", "model_jax.py")
    project.git("add", "-A")
    assert "norm has changed since it was ported to model_jax.py." in project.refused()
    project.port("model.py")
    project.git("add", "-A")
    assert "Passed" in project.commit()
    assert len(project.git("show", "-s", "--format=%p", "HEAD").split()) == 2


def test_a_merge_without_conflict_is_looked_at(project: Project) -> None:
    project.git("checkout", "-q", "-b", "hasty")
    project.change("model.py", "(x, 1)", "(x, 0)")
    project.git("commit", "-q", "--no-verify", "-a", "-m", "in haste")
    project.git("checkout", "-q", "main")
    project.write("other.py", "x = 2\n")
    project.git("add", "-A")
    project.commit()
    assert "soft has changed" in project.refused("merge", "--no-edit", "hasty")


def test_commits_between_two_references(project: Project) -> None:
    project.git("rm", "-q", "model.py")
    project.git("commit", "-q", "--no-verify", "-m", "in haste")
    code, said = project.hooks_run("--from-ref", "HEAD~1", "--to-ref", "HEAD")
    assert code == 1
    assert "It is the port of model.py, which is not there." in said


def test_a_baseline_is_passed_over(project: Project) -> None:
    project.change("model.py", "(x, 1)", "(x, 0)")
    done = project.run("torchport", "guard", "--update-baseline")
    assert done.returncode == 0, done.stderr
    project.git("add", "-A")
    assert "Passed" in project.commit()
    project.change("model.py", "(x * x)", "(x * x * x)")
    project.git("add", "-A")
    said = project.refused()
    assert "norm has changed" in said
    assert "soft has changed" not in said
    assert "1 finding in 1 pair, 1 in the baseline passed over." in said


def test_try_repo(project: Project) -> None:
    """Both hooks, each from an environment that try-repo makes anew."""
    project.change("model.py", "(x, 1)", "(x, 0)")
    project.git("add", "model.py")
    repository = str(project.hooks.repository)
    done = project.run("pre-commit", "try-repo", repository, "torchport-guard", "--verbose")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "    torchport port model.py" in done.stdout
    done = project.run("pre-commit", "try-repo", repository, "torchport-check", "--verbose")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "soft" in done.stdout and "1 of 2 verified" in done.stdout


def test_the_checks_of_a_commit(project: Project) -> None:
    """Verified the first time, from the store the second; a wrong edit is refused."""
    project.configure("torchport-check", "torchport-guard")
    project.git("add", "-A")
    code, said = project.hooks_run("--files", "model.py")
    assert code == 0, said
    assert "2 of 2 verified" in said and "stored" not in said
    code, said = project.hooks_run("--files", "model_jax.py")
    assert code == 0, said
    assert "stored" in said
    project.commit()
    project.change("model_jax.py", "jnp.sqrt(", "2 * jnp.sqrt(")
    project.git("add", "-A")
    said = project.refused()
    assert "MISMATCH" in said
    assert "norm diverges" in said  # the guard, which asks the store that the check has filled
    # Files that belong to no pair cost nothing.
    project.git("checkout", "-q", "HEAD", "--", ".")
    project.write("other.py", "x = 2\n")
    project.git("add", "-A")
    assert "Passed" in project.commit()


def test_the_action_annotates_and_writes_sarif(project: Project) -> None:
    """The step of `action.yml` that runs the guard, by the shell that a runner gives it."""
    action = yaml.safe_load((TREE / "action.yml").read_text("utf-8"))
    (step,) = [step for step in action["runs"]["steps"] if step["id"] == "guard"]
    inputs = {name: item["default"] for name, item in action["inputs"].items()}
    inputs["paths"] = "with space.py\nother.py\n"
    environment = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs[match[1]], value)
        for name, value in step["env"].items()
    }
    environment["TORCHPORT"] = "torchport"  # what the step before has installed
    project.write("with space.py", SOURCE)
    project.port("with space.py")
    project.change("with space.py", "(x, 1)", "(x, 0)")
    project.change("model.py", "(x, 1)", "(x, 0)")  # is not named
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=project.folder,
        env=project.hooks.environment | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("::error file=with space.py,line=4,title=torchport%3A drift::soft has")
    log = json.loads((project.folder / "torchport.sarif").read_text("utf-8"))
    assert [row["ruleId"] for row in log["runs"][0]["results"]] == ["drift"]
