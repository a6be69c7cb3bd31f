"""Inputs found without annotation: `python bench/inputs.py PATH...`.

A PATH is a Python file, a folder of them, or a JSON-lines file whose rows hold `id` and
`source_small` (or what `--field` names). From each text the check comments and the functions
`get_inputs` and `get_init_inputs` are taken out; then every function and module class of it is
asked for in the torch lane, beside a port of empty definitions. Prints, for each PATH, the share
for which inputs were found with which torch runs, and names the others with the reason.
Definitions that cannot be checked by themselves (a function that returns a module, say) are counted
apart. Exits with 1 if a share is below the goal.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torchport_checks import Category, Checker, CheckOptions

GOAL = 0.9
_GIVEN = ("get_inputs", "get_init_inputs")
_COMMENT = re.compile(r"#\s*torchport:.*")


@dataclass(frozen=True)
class Outcome:
    """One definition: what its inputs were (`used`), or why there are none (`reason`)."""

    id: str
    found: bool
    by_itself: bool
    origin: str
    used: str
    reason: str
    seconds: float


def texts(path: Path, field: str) -> Iterator[tuple[str, str]]:
    """(id, source) of every text under `path`."""
    if path.is_dir():
        for file in sorted(path.rglob("*.py")):
            yield str(file.relative_to(path)), file.read_text("utf-8")
    elif path.suffix == ".py":
        yield path.name, path.read_text("utf-8")
    else:
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            yield row["id"], row[field]


def without_inputs(source: str) -> str:
    """`source` with no comment of ours and no function that gives inputs, line by line."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name in _GIVEN:
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(_COMMENT.sub("#", line) for line in lines) + "\n"


def empty_port(source: str) -> str:
    """A port that defines every name and computes nothing: inputs are found before it is run."""
    names = [
        n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef | ast.FunctionDef)
    ]
    return "".join(f"def {name}(*args, **kwargs):\n    return None\n" for name in names)


def run(checker: Checker, folder: Path, name: str, source: str) -> list[Outcome]:
    """Ask for the inputs of every definition of one text."""
    stem = "p" + re.sub(r"\W", "_", name)
    original, port = folder / f"{stem}.py", folder / f"{stem}_jax.py"
    stripped = without_inputs(source)
    original.write_text(stripped, "utf-8")
    port.write_text(empty_port(stripped), "utf-8")
    verdict = checker.check(original, port)
    if verdict.error:
        return [Outcome(name, False, True, "", "", verdict.error, verdict.seconds)]
    outcomes: list[Outcome] = []
    for d in verdict.definitions:
        given = d.inputs
        used = given.init + given.call if given else []
        outcomes.append(
            Outcome(
                f"{name}:{d.name}",
                given is not None and d.category is not Category.SOURCE_ERROR,
                d.category is not Category.NOTHING,
                given.origin if given else "",
                ", ".join(f"{u.name}={u.text}" for u in used),
                d.message,
                d.seconds,
            )
        )
    return outcomes


def report(path: Path, outcomes: list[Outcome], *, every: bool) -> bool:
    """Print the share for one PATH and what is missing from it; whether the goal was reached."""
    asked = [o for o in outcomes if o.by_itself]
    found = sum(o.found for o in asked)
    share = found / len(asked) if asked else 1.0
    apart = len(outcomes) - len(asked)
    print(f"{path}: {found} of {len(asked)} ({share:.1%}); {apart} not checkable by themselves")
    for outcome in asked:
        if not outcome.found:
            print(f"  missing {outcome.id} ({outcome.seconds:.1f} s): {outcome.reason[:400]}")
        elif every:
            print(f"  {outcome.id} ({outcome.origin}, {outcome.seconds:.1f} s): {outcome.used}")
    for outcome in outcomes:
        if every and not outcome.by_itself:
            print(f"  apart {outcome.id}: {outcome.reason}")
    return share >= GOAL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", type=Path, nargs="+", help="files, folders, JSON-lines files")
    parser.add_argument("--field", default="source_small", help="of a JSON-lines row: the source")
    parser.add_argument("--only", default="", help="regular expression on ids")
    parser.add_argument("--every", action="store_true", help="also print what was found")
    parser.add_argument("--workers", type=int, default=1, help="texts at a time")
    arguments = parser.parse_args()
    options = CheckOptions(draws=("normal",), train=False, gradients=False)
    reached, start = True, time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Checker(options, workers=arguments.workers, store=False) as checker,
        ThreadPoolExecutor(arguments.workers) as pool,
    ):
        for path in arguments.paths:
            chosen = [t for t in texts(path, arguments.field) if re.search(arguments.only, t[0])]
            answers = pool.map(lambda t: run(checker, Path(scratch), *t), chosen)
            outcomes = [outcome for answer in answers for outcome in answer]
            reached = report(path, outcomes, every=arguments.every) and reached
    print(f"in {time.perf_counter() - start:.0f} s")
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
