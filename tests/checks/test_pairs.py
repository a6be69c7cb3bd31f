"""Wrong ports are caught, for the right reason and in the right place; right ones pass.

All originals are one file, and so are all wrong and all right ports: two checks in all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from torchport_checks import Checker, Verdict

from .conftest import write_pair
from .pairs import PAIRS, Pair

ids = [pair.name for pair in PAIRS]


@pytest.fixture(scope="module")
def right(checker: Checker, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    folder = tmp_path_factory.mktemp("right")
    return checker.check(*_joined(folder, [pair.right for pair in PAIRS]))


@pytest.fixture(scope="module")
def wrong(checker: Checker, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    folder = tmp_path_factory.mktemp("wrong")
    return checker.check(*_joined(folder, [pair.wrong for pair in PAIRS]))


def _joined(folder: Path, ports: list[str]) -> tuple[Path, Path]:
    originals = [pair.original for pair in PAIRS]
    return write_pair(folder, "\n\n\n".join(originals) + "\n", "\n\n\n".join(ports) + "\n")


@pytest.mark.parametrize("pair", PAIRS, ids=ids)
def test_right(pair: Pair, right: Verdict) -> None:
    verdict = right.of(pair.name)
    assert verdict.status == "verified", verdict.message
    assert (verdict.stages.spec, verdict.stages.numeric) == ("passed", "passed")


@pytest.mark.parametrize("pair", PAIRS, ids=ids)
def test_wrong(pair: Pair, wrong: Verdict) -> None:
    verdict = wrong.of(pair.name)
    assert (verdict.status, verdict.category) == ("diverged", pair.category), verdict.message
    if pair.where:
        assert verdict.differences[0].where.startswith(pair.where)


def test_the_whole(right: Verdict, wrong: Verdict) -> None:
    assert right.ok
    assert not wrong.ok
    assert (right.status, wrong.status) == ("verified", "diverged")
    assert {lane.framework: lane.device for lane in right.lanes} == {"torch": "cpu", "jax": "cpu"}


def test_gradients_by_torchs_names(right: Verdict) -> None:
    assert set(right.of("Projection").gradients.parameters) == {"weight"}
    assert set(right.of("frozen").gradients.inputs) == {"x", "y"}
    penalised = right.of("penalised").gradients
    assert (set(penalised.inputs), set(penalised.parameters)) == (
        {"x"},
        {"model.head.weight", "model.head.bias"},
    )


def test_mutation_is_told(right: Verdict) -> None:
    assert any("changes its argument x in place" in note for note in right.of("filled").notes)


@pytest.mark.parametrize(("name", "function"), [("hits", "topk"), ("peak", "max")])
def test_what_equal_elements_leave_open_is_told(right: Verdict, name: str, function: str) -> None:
    (note,) = right.of(name).notes
    assert note.startswith("eval, ties: ")
    assert function in note
