"""What the commit that is being made deletes, asked of git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def deleted(root: Path) -> dict[str, bytes]:
    """The Python files and notebooks that a commit deletes, by absolute path, with what they held.

    The commit is the one of git's index; under `pre-commit run --from-ref A --to-ref B`, what lies
    between A and B. Empty outside a repository, and before the first commit. A renamed file is
    deleted here, and new there.
    """
    first, last = os.environ.get("PRE_COMMIT_FROM_REF"), os.environ.get("PRE_COMMIT_TO_REF")
    between = [f"{first}...{last}"] if first and last else ["--cached"]
    before = "HEAD"
    listed = _git(
        root, "diff", *between, "--name-only", "--no-renames", "--diff-filter=D", "-z", "--",
        "*.py", "*.ipynb",
    )  # fmt: skip
    names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    if not names:
        return {}
    if first and last:
        before = os.fsdecode(_git(root, "merge-base", first, last).strip())
    top = os.fsdecode(_git(root, "rev-parse", "--show-toplevel").strip())
    return {
        str(Path(top) / name): _git(root, "cat-file", "blob", f"{before}:{name}") for name in names
    }


def _git(folder: Path, *arguments: str) -> bytes:
    """What git prints; nothing where it is missing or refuses."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout
