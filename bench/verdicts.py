"""How often the checker is right, over a labelled set: `python bench/verdicts.py`.

Reads the records of `bench/labelled/` (its README says what they are and how they were split), runs
each wrong and each right port against its original, with the checker's own choice of inputs, and
prints detection, false alarms, every miss, every false alarm and every port without a verdict.

A port counts as *accused* if its verdict is `diverged` for another reason than ILL_CONDITIONED. A
wrong port counts as *detected* if it is accused, or raises. Exits with 1 if a goal is missed: at
least 99 % detected, at most 1 % of right and rounding-only ports accused, every wrong gradient found.

A run takes a quarter of an hour or more. `--json FILE` keeps each outcome as it comes, a JSON object a
line; a run with a file that is there goes on with the ports that it lacks, or whose record is another
now. Remove the file to measure anew: what changed in the checker is not seen.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from torchport_checks import Category, Checker, CheckOptions, DefinitionVerdict

LABELLED = Path(__file__).parent / "labelled"
SPLITS = ("held_out", "rounding", "tuning")
TARGETS = ("jax", "mlx")
KINDS = (
    "wrong-value", "wrong-gradient", "wrong-dtype", "wrong-shape", "wrong-structure",
    "missing-error", "nan", "train-state", "rounding",
)  # fmt: skip
IMPORTS = {
    "torch": "import math\n\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n\n",
    "jax": "import functools\nimport math\n\nimport jax\nimport jax.numpy as jnp\n"
    "from flax import nnx\nfrom jax import lax\n\n\n",
    "mlx": "import math\n\nimport mlx.core as mx\nimport mlx.nn as nn\n\n\n",
}
FILE_SIZE = 20
"""Records that share one pair of files, so that few are loaded."""

_RAISED = (Category.PORT_ERROR, Category.CONSTRUCTION, Category.WEIGHTS, Category.LOAD)
_HEADING = re.compile(
    r"## (?P<name>\w+)\n+(?P<target>\w+), (?P<kind>[\w-]+): (?P<why>.+?)\n"
    r"witness: `(?P<witness>.+?)`\n(?P<blocks>.+)",
    re.DOTALL,
)
_BLOCK = re.compile(r"```python (torch|wrong|right)\n(.*?)\n```", re.DOTALL)


@dataclass(frozen=True)
class Record:
    """One original with a port that is wrong and one that is right; rounding-only ones have no wrong."""

    name: str
    family: str
    split: str
    target: str
    kind: str
    why: str
    witness: str
    original: str
    wrong: str
    right: str

    def port(self, side: str) -> str:
        """The `wrong` or the `right` port."""
        return self.wrong if side == "wrong" else self.right

    def digest(self, side: str) -> str:
        """What the code of one side is recognised by."""
        return hashlib.sha256(f"{self.original}\0{self.port(side)}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """The verdict on one port of one record."""

    name: str
    family: str
    split: str
    target: str
    kind: str
    side: str
    status: str
    category: str
    message: str
    seconds: float
    digest: str

    @property
    def accused(self) -> bool:
        return self.status == "diverged" and self.category != Category.ILL_CONDITIONED

    @property
    def detected(self) -> bool:
        return self.accused or (self.status == "error" and self.category in _RAISED)

    @property
    def label(self) -> str:
        """What the port is: `wrong`, `right` or `rounding`."""
        return "rounding" if self.kind == "rounding" else self.side


def load(folder: Path = LABELLED) -> list[Record]:
    """All records, by split, family and place in the file.

    Raises:
        ValueError: a record is not of the form that the set's README gives, or a name is used twice.
    """
    records: list[Record] = []
    for path in sorted(folder.glob("*/*.md")):
        for text in re.split(r"^(?=## )", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            records.append(_record(text, path))
    names = [record.name for record in records]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{folder}: used by more than one record: {', '.join(twice)}")
    return records


def _record(text: str, path: Path) -> Record:
    place = f"{path}: {text.partition(chr(10))[0]}"
    heading = _HEADING.match(text)
    if heading is None:
        raise ValueError(f"{place}: not of the form `target, kind: why`, then `witness: ...`.")
    fields = heading.groupdict()
    blocks = dict(_BLOCK.findall(fields.pop("blocks")))
    needed = {"torch", "right"} | ({"wrong"} if fields["kind"] != "rounding" else set[str]())
    if set(blocks) != needed:
        raise ValueError(f"{place}: has the blocks {sorted(blocks)}, not {sorted(needed)}.")
    if fields["target"] not in TARGETS or fields["kind"] not in KINDS:
        raise ValueError(f"{place}: unknown target or kind: {fields['target']}, {fields['kind']}.")
    fields["why"] = " ".join(fields["why"].split())
    return Record(
        **fields,
        family=path.stem,
        split=path.parent.name,
        original=blocks["torch"],
        wrong=blocks.get("wrong", ""),
        right=blocks["right"],
    )


def files(records: Iterable[Record], side: str) -> Iterator[list[Record]]:
    """Records of one target in groups that can share a pair of files: no name is defined twice."""
    groups: list[tuple[list[Record], set[str]]] = []
    for record in records:
        names = _defined(record.original) | _defined(record.port(side))
        for group, taken in groups:
            if len(group) < FILE_SIZE and not names & taken and group[0].target == record.target:
                group.append(record)
                taken |= names
                break
        else:
            groups.append(([record], names))
    for group, _ in groups:
        yield group


def _defined(code: str) -> set[str]:
    """What a text binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def run(
    checker: Checker,
    records: Sequence[Record],
    side: str,
    folder: Path,
    tell: Callable[[Outcome], None],
) -> None:
    """Check one side of records that share a pair of files; `tell` gets each outcome as it comes."""
    target = records[0].target
    source, port = folder / "model.py", folder / f"model_{target}.py"
    source.write_text(IMPORTS["torch"] + "\n\n\n".join(r.original for r in records) + "\n", "utf-8")
    port.write_text(IMPORTS[target] + "\n\n\n".join(r.port(side) for r in records) + "\n", "utf-8")
    left = {record.name: record for record in records}

    def progress(name: str, found: DefinitionVerdict | None) -> None:
        if found is not None:
            tell(_found(left.pop(name), side, found))

    verdict = checker.check(source, port, definitions=list(left), progress=progress)
    at_once = {found.name: found for found in verdict.definitions if found.name in left}
    for name, found in at_once.items():
        tell(_found(left.pop(name), side, found))
    for record in left.values():
        if len(records) > 1:  # one of them spoilt it for all: each by itself
            run(checker, [record], side, folder, tell)
        else:
            tell(_outcome(record, side, "error", verdict.category, verdict.error))


def _found(record: Record, side: str, found: DefinitionVerdict) -> Outcome:
    message = found.message or "; ".join(found.notes)
    return _outcome(record, side, found.status, found.category, message, found)


def _outcome(
    record: Record,
    side: str,
    status: str,
    category: Category | None,
    message: str,
    found: DefinitionVerdict | None = None,
) -> Outcome:
    return Outcome(
        record.name, record.family, record.split, record.target, record.kind, side, status,
        str(category or ""), message, found.seconds if found else 0.0, record.digest(side),
    )  # fmt: skip


def judge(
    records: Sequence[Record],
    known: Sequence[Outcome] = (),
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """The outcomes of all wrong and right ports. MLX's are left out where no lane runs them.

    Args:
        known: outcomes of an earlier run; what they are of is not run again.
        tell: gets each new outcome as it comes.
    """
    outcomes, wanted = resumed(records, known)

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(outcome)

    options = CheckOptions().thorough().model_copy(update={"shrink_seconds": 0.0, "locate": False})
    with tempfile.TemporaryDirectory() as name, Checker(options, store=False) as checker:
        for side in ("wrong", "right"):
            sided = [record for record, of in wanted if of == side]
            for group in files(sided, side):
                run(checker, group, side, Path(name), keep)
    return outcomes


def resumed(
    records: Sequence[Record], known: Sequence[Outcome]
) -> tuple[list[Outcome], list[tuple[Record, str]]]:
    """Those of the known outcomes that are of these records, and the records' sides that are left."""
    left = {
        (record.name, side, record.digest(side)): (record, side)
        for side in ("wrong", "right")
        for record in records
        if record.port(side) and has_lane(record.target)
    }
    kept = {
        key: outcome
        for outcome in known
        if (key := (outcome.name, outcome.side, outcome.digest)) in left
    }
    return list(kept.values()), [sided for key, sided in left.items() if key not in kept]


def earlier(path: Path | None) -> list[Outcome]:
    """The outcomes that a file holds; a last line that was cut off is left out.

    Raises:
        ValueError: the file holds something else.
    """
    if path is None or not path.exists():
        return []
    lines = [line for line in path.read_text("utf-8").splitlines(True) if line.endswith("\n")]
    try:
        return [Outcome(**json.loads(line)) for line in lines]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a file of outcomes ({error}); give another name.") from error


def has_lane(target: str) -> bool:
    """Whether the checker runs ports to `target`."""
    return f"{target}_python" in CheckOptions.model_fields


def report(records: Sequence[Record], outcomes: Sequence[Outcome]) -> bool:
    """Print figures and failures; whether every goal was reached by the splits that were run."""
    for target in TARGETS:
        if not has_lane(target) and (left := sum(r.target == target for r in records)):
            print(f"not run: no {target.upper()} lane, {left} records\n")
    wrong = [o for o in outcomes if o.label == "wrong"]
    innocent = [o for o in outcomes if o.label != "wrong"]
    gradients = [o for o in wrong if o.kind == "wrong-gradient"]
    rows: list[tuple[str, list[Outcome], Callable[[Outcome], bool]]] = []
    for split in SPLITS:
        of_split = [o for o in wrong if o.split == split]
        rows.append((f"detected of wrong, {split}", of_split, lambda o: o.detected))
        for field, values in (("target", TARGETS), ("kind", KINDS)):
            for value in values:
                some = [o for o in of_split if getattr(o, field) == value]
                rows.append((f"    {value}", some, lambda o: o.detected))
    for label in ("right", "rounding"):
        for split in SPLITS:
            of_label = [o for o in innocent if o.label == label and o.split == split]
            rows.append((f"accused of {label}, {split}", of_label, lambda o: o.accused))
    rows.append(("wrong gradients found", gradients, lambda o: o.detected))
    no_inputs = [o for o in outcomes if o.category == Category.INPUTS]
    rows.append(("no inputs found", list(outcomes), lambda o: o in no_inputs))
    for title, chosen, hit in rows:
        if chosen:
            count = sum(map(hit, chosen))
            print(f"{title:<32} {count:>4} of {len(chosen):>4}  {count / len(chosen):7.1%}")
    for title, chosen in (
        ("missed", [o for o in wrong if not o.detected]),
        ("falsely accused", [o for o in innocent if o.accused]),
        ("innocent and neither verified nor accused",
         [o for o in innocent if not o.accused and o.status != "verified"]),
    ):  # fmt: skip
        print(f"\n{title}: {len(chosen)}")
        for o in chosen:
            first = o.message.partition("\n")[0][:300]
            print(f"  {o.split}/{o.family}: {o.name} ({o.target}, {o.kind}): ", end="")
            print(f"{o.status} {o.category}: {first}")
    detected, accused = [o.detected for o in wrong], [o.accused for o in innocent]
    return (
        sum(detected) >= 0.99 * len(detected)
        and sum(accused) <= 0.01 * len(accused)
        and all(o.detected for o in gradients)
    )


def _appended(path: Path) -> TextIO:
    """The file, open for more; what was cut off at its end is removed first."""
    if path.exists():
        whole, newline, _ = path.read_bytes().rpartition(b"\n")
        path.write_bytes(whole + newline)
    return path.open("a", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--split", choices=["held-out", "tuning", "all"], default="held-out",
        help="held-out brings the rounding-only records, too (default)",
    )  # fmt: skip
    parser.add_argument("--target", choices=TARGETS, help="only ports to this framework")
    parser.add_argument("--only", default="", help="regular expression on names")
    parser.add_argument(
        "--json", type=Path,
        help="file that gets each outcome as it comes; a run goes on with what the file lacks",
    )  # fmt: skip
    arguments = parser.parse_args()
    try:
        known = earlier(arguments.json)
    except ValueError as error:
        parser.error(str(error))
    splits = {"held-out": ("held_out", "rounding"), "tuning": ("tuning",), "all": SPLITS}
    records = [
        record
        for record in load()
        if record.split in splits[arguments.split]
        and arguments.target in (None, record.target)
        and re.search(arguments.only, record.name)
    ]
    start = time.perf_counter()
    total = sum(1 + (record.kind != "rounding") for record in records if has_lane(record.target))
    told = 0

    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(_appended(arguments.json)) if arguments.json else None

        def tell(outcome: Outcome) -> None:
            nonlocal told
            told += 1
            if kept is not None:
                print(json.dumps(asdict(outcome)), file=kept, flush=True)
            fine = outcome.detected if outcome.label == "wrong" else outcome.status == "verified"
            first = "" if fine else f"  {outcome.message.partition(chr(10))[0][:200]}"
            print(
                f"{told} of at most {total}: {outcome.name} ({outcome.target}, {outcome.label}): "
                f"{outcome.status} {outcome.category}{first}",
                file=sys.stderr,
                flush=True,
            )

        outcomes = judge(records, known, tell)
    reached = report(records, outcomes)
    print(f"\n{len(outcomes)} ports in {time.perf_counter() - start:.0f} s")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
