"""The labelled set is well formed, and the checker is right about a sample of its tuning half."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest


def _benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "verdicts.py"
    spec = importlib.util.spec_from_file_location("bench_verdicts", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


verdicts = _benchmark()
RECORDS = verdicts.load()
SAMPLE = [
    r
    for r in RECORDS
    if r.split == "tuning" and r.target == "jax" and not r.family.startswith("added_")
][:20]
MISSED: dict[str, str] = {}
SAMPLED = [
    pytest.param(
        record,
        id=record.name,
        marks=[pytest.mark.xfail(reason=MISSED[record.name], strict=True)]
        if record.name in MISSED
        else [],
    )
    for record in SAMPLE
]


def test_every_third_family_is_for_tuning() -> None:
    drawn = [r for r in RECORDS if not r.family.startswith("added_")]  # after the split
    families = sorted({r.family for r in drawn if r.split != "rounding"})
    tuning = {r.family for r in drawn if r.split == "tuning"}
    assert tuning == set(families[::3])
    assert not tuning & {r.family for r in RECORDS if r.split == "held_out"}


def test_enough_is_held_out() -> None:
    held_out = [r for r in RECORDS if r.split == "held_out"]
    assert len(held_out) >= 150
    assert {r.target for r in held_out} == {"jax", "mlx"}
    assert sum(r.split == "rounding" for r in RECORDS) >= 100


@pytest.mark.parametrize("record", RECORDS, ids=[r.name for r in RECORDS])
def test_every_text_defines_its_name(record: object) -> None:
    for code in filter(None, (record.original, record.wrong, record.right)):
        names = {getattr(node, "name", "") for node in ast.parse(code).body}
        assert record.name in names


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("jax, wrong-value", "jax wrong-value"), "not of the form"),
        (("jax, ", "tensorflow, "), "unknown target"),
        (("```python right", "```python"), "has the blocks"),
    ],
)
def test_a_record_that_cannot_be_read(
    change: tuple[str, str], problem: str, tmp_path: Path
) -> None:
    text = (verdicts.LABELLED / "tuning" / "activation.md").read_text("utf-8")
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning" / "activation.md").write_text(text.replace(*change), "utf-8")
    with pytest.raises(ValueError, match=problem):
        verdicts.load(tmp_path)


def test_a_run_that_ended_goes_on(tmp_path: Path) -> None:
    """What is known is not run again, unless the record is another now; a line cut off is no outcome."""
    record = SAMPLE[0]
    known = [
        verdicts._outcome(record, side, "verified", None, "kept") for side in ("wrong", "right")
    ]
    file = tmp_path / "outcomes.jsonl"
    lines = [json.dumps(asdict(outcome)) for outcome in known]
    file.write_text(f"{lines[0]}\n{lines[1]}\n{lines[0][:40]}", "utf-8")
    assert verdicts.earlier(file) == known
    assert verdicts.resumed([record], known) == (known, [])
    changed = replace(record, right=record.right + "  # another")
    assert verdicts.resumed([changed], known) == (known[:1], [(changed, "right")])


def test_a_file_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.jsonl"
    file.write_text('{"name": "x"}\n', "utf-8")
    with pytest.raises(ValueError, match="not a file of outcomes"):
        verdicts.earlier(file)


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, str], object]:
    return {(o.name, o.side): o for o in verdicts.judge(SAMPLE)}


@pytest.mark.parametrize("record", SAMPLED)
def test_the_wrong_port_is_found_and_the_right_one_verified(
    record: object, outcomes: dict[tuple[str, str], object]
) -> None:
    name = record.name
    wrong, right = outcomes[name, "wrong"], outcomes[name, "right"]
    assert wrong.detected, wrong
    assert right.status == "verified", right
