"""KernelBench, ported without a language model and checked: `python bench/kernelbench.py PATH`.

PATH is a checkout of ScalingIntelligence/KernelBench, or a JSON-lines file whose rows hold `id`
("kb/L1/19_ReLU") and `source_small` (a problem with sizes that fit a CPU). From a checkout, sizes
are shrunk by `bench/shrink.py`, and a problem whose shrunk form torch refuses is run as published.

Each problem is translated, and its `Model` is run in eval mode against the original: outputs, then
gradients with respect to inputs and parameters, by the checker's float64-reference policy. Prints
a table by level and names every failure; exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from shrink import shrink

from torchport_checks import Checker, CheckOptions
from torchport_translators.translate import translate

GOALS = {1: 95, 2: 95, 3: 42}
GRADIENT_GOAL = 0.9


@dataclass(frozen=True)
class Outcome:
    """One problem: whether it was ported whole, and what the check said."""

    id: str
    level: int
    ported: bool
    equal: bool
    gradients: bool
    seconds: float
    message: str


def problems(path: Path) -> Iterable[tuple[str, str]]:
    """(id, source) of every problem of levels 1 to 3."""
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            yield row["id"], row["source_small"]
        return
    found = sorted(
        path.glob("KernelBench/level[123]/*.py"),
        key=lambda p: (p.parent.name, int(p.name.partition("_")[0])),
    )
    if not found:
        raise SystemExit(f"{path} holds no KernelBench/level1..3/*.py")
    for problem in found:
        name = f"kb/L{problem.parent.name[-1]}/{problem.stem}"
        yield name, shrink(problem.read_text("utf-8"))


def run(checker: Checker, folder: Path, target: str, name: str, source: str) -> Outcome:
    """Port one problem and check it."""
    level = int(re.search(r"/L(\d)/", name)[1])  # type: ignore[index]
    stem = re.sub(r"\W", "_", name.rpartition("/")[2])
    original, port = folder / f"p{stem}.py", folder / f"p{stem}_{target}.py"
    start = time.perf_counter()
    translation = translate(source, target, name=original.name)
    original.write_text(source, "utf-8")
    port.write_text(translation.text, "utf-8")
    left = [f.message for f in translation.findings if f.severity == "error"]
    verdict = checker.check(original, port, definitions=["Model"])
    seconds = time.perf_counter() - start
    if verdict.error or not verdict.definitions:
        return Outcome(name, level, not left, False, False, seconds, verdict.error or "not checked")
    model = verdict.of("Model")
    only_gradients = model.differences and all("gradient" in d.where for d in model.differences)
    forward = model.stages.numeric == "passed" or bool(only_gradients)
    message = "; ".join([*left, "" if model.ok else f"{model.category}: {model.message}"])
    return Outcome(name, level, not left, forward, model.ok, seconds, message.strip("; "))


def report(outcomes: list[Outcome], total_seconds: float) -> bool:
    """Print the table and the failures; whether every goal was reached."""
    reached = True
    print(f"{'level':>5} {'problems':>8} {'ported':>6} {'equal':>6} {'gradients':>9} {'goal':>5}")
    for level in sorted({o.level for o in outcomes}):
        rows = [o for o in outcomes if o.level == level]
        equal = sum(o.equal for o in rows)
        gradients = sum(o.gradients for o in rows)
        ported = sum(o.ported for o in rows)
        goal = GOALS.get(level, 0)
        print(f"{level:>5} {len(rows):>8} {ported:>6} {equal:>6} {gradients:>9} {goal:>5}")
        reached = reached and equal >= goal and gradients >= GRADIENT_GOAL * equal
    print(
        f"{'all':>5} {len(outcomes):>8} {sum(o.ported for o in outcomes):>6} "
        f"{sum(o.equal for o in outcomes):>6} {sum(o.gradients for o in outcomes):>9}"
        f"   in {total_seconds:.0f} s"
    )
    for outcome in outcomes:
        if not outcome.gradients or not outcome.ported:
            what = "forward equal, gradients not" if outcome.equal else "not equal"
            print(f"{outcome.id}: {what}: {outcome.message.splitlines()[0][:300]}")
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, help="a checkout, or a JSON-lines file")
    parser.add_argument("--to", choices=["jax", "mlx"], default="jax", help="framework to port to")
    parser.add_argument("--only", default="", help="regular expression on problem ids")
    parser.add_argument("--workers", type=int, default=1, help="problems at a time")
    parser.add_argument("--keep", type=Path, help="folder to keep sources and ports in")
    parser.add_argument("--json", type=Path, help="file to write the outcomes to")
    arguments = parser.parse_args()
    chosen = [(n, s) for n, s in problems(arguments.path) if re.search(arguments.only, n)]
    options = CheckOptions(draws=("normal",), train=False, memory_mb=9000, timeout=300)
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Checker(options, workers=arguments.workers, store=False) as checker,
        ThreadPoolExecutor(arguments.workers) as pool,
    ):
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        outcomes: list[Outcome] = []
        for outcome in pool.map(lambda p: run(checker, folder, arguments.to, *p), chosen):
            outcomes.append(outcome)
            mark = "." if outcome.gradients else f"\n{outcome.id}: {outcome.message[:200]}\n"
            print(mark, end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=1), "utf-8")
    sys.exit(0 if report(outcomes, time.perf_counter() - start) else 1)


if __name__ == "__main__":
    main()
