"""How long `torchport guard` takes on a commit, interpreter start included.

    python bench/guard.py [--pairs 1000] [--files 20] [--rounds 15]

A repository of that many pairs is made of copies of the files under examples/ and their ports, with a
verdict stored on each pair. A commit touches some files, sources and ports. The guard is run on it as
the hook runs it, where all is well, and where each source of the commit has drifted. Medians of wall
time, and in parentheses of processor time, which a busy machine lengthens less; "python" is an interpreter
that does nothing. Modules are compiled once, as pip does when it installs them.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from torchport_checks.store import VerdictStore, pair_content
from torchport_checks.verdicts import DefinitionVerdict, Verdict
from torchport_translators.translate import translate

EXAMPLES = Path(__file__).parent.parent / "examples"
_DEFINED = re.compile(r"^(?:class|def) (\w+)", re.MULTILINE)


def texts() -> list[tuple[str, str]]:
    """The examples and their ports."""
    found: list[tuple[str, str]] = []
    for path in sorted(EXAMPLES.glob("*.py")):
        text = path.read_text("utf-8")
        # `functional.py` has a call that stays torch's, on purpose.
        text = re.sub(r"\b(torch\.distributed|dist)\.all_reduce\(", "torch.exp(", text)
        found.append((text, translate(text, "jax", name="NAME.py").text))
    return found


def make_repository(root: Path, pairs: int) -> list[Path]:
    """A repository with that many pairs, committed, and a verdict on each; the sources."""
    made = texts()
    store = VerdictStore(root)
    sources: list[Path] = []
    (root / "pyproject.toml").write_text('[tool.torchport]\ntarget = "jax"\n', "utf-8")
    (root / ".gitignore").write_text(".torchport/\n", "utf-8")
    for number in range(pairs):
        folder = root / f"package_{number // 25}"
        folder.mkdir(exist_ok=True)
        text, port = made[number % len(made)]
        source = folder / f"model_{number}.py"
        ported = folder / f"model_{number}_jax.py"
        source.write_text(text, "utf-8")
        ported.write_text(port.replace("NAME.py", source.name), "utf-8")
        verdict = Verdict(
            torchport="0",
            source=str(source),
            port=str(ported),
            definitions=[
                DefinitionVerdict(
                    name=name, kind="function", source_line=1, status="verified", message="Equal"
                )
                for name in _DEFINED.findall(text)
            ],
        )
        store.put(str(number), verdict, pair_content((source.read_bytes(), ported.read_bytes())))
        sources.append(source)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return sources


def milliseconds(command: Sequence[str], folder: Path, rounds: int, expected: int) -> str:
    """Wall and processor time of a command, which must end with this exit code: the medians."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = f"{folder}-compiled"
    wall: list[float] = []
    processor: list[float] = []
    for _ in range(rounds + 1):
        start, before = time.perf_counter(), os.times()
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, check=False
        )
        after = os.times()
        wall.append(time.perf_counter() - start)
        processor.append(sum(after[2:4]) - sum(before[2:4]))
        if done.returncode != expected:
            raise SystemExit(done.stdout.decode() + done.stderr.decode())
    # The first run compiles the modules.
    return f"{statistics.median(wall[1:]) * 1000:.0f} ms ({statistics.median(processor[1:]) * 1000:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "repository"
        root.mkdir()
        sources = make_repository(root, options.pairs)
        touched = sources[:: max(1, len(sources) // options.files)][: options.files]
        files = [
            str((path.with_name(f"{path.stem}_jax.py") if number % 2 else path).relative_to(root))
            for number, path in enumerate(touched)
        ]
        guard = [sys.executable, "-m", "torchport", "guard"]
        clean = milliseconds([*guard, "--commit", *files], root, options.rounds, 0)
        whole = milliseconds(guard, root, max(3, options.rounds // 3), 0)
        for path in touched:
            text = path.read_text("utf-8")
            path.write_text(re.sub(r"^    return ", "    return 1 * ", text, flags=re.M), "utf-8")
        drifted = milliseconds([*guard, "--commit", *files], root, options.rounds, 1)
        python = milliseconds([sys.executable, "-c", "pass"], root, options.rounds, 0)
        print(
            f"guard, {len(files)} files of {options.pairs} pairs: {clean}; all drifted: {drifted}; "
            f"the whole project: {whole}; python: {python}"
        )


if __name__ == "__main__":
    main()
