"""Each draw catches a wrong port that no other draw catches; right ports pass them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from torchport_checks import Category, Checker, CheckOptions, Verdict
from torchport_checks.draws import FULL, HALVES, redraw
from torchport_checks.sizes import Answer, resizings
from torchport_checks.worker.inputs import Call
from torchport_checks.worker.protocol import Array

from .conftest import write_pair
from .pairs import DRAWN

Checked = Callable[..., Verdict]


@pytest.fixture(scope="module")
def full() -> Iterator[Checker]:
    with Checker(CheckOptions(draws=FULL, timeout=60), store=False) as checker:
        yield checker


def checked(checker: Checker, folder: Path, ports: str, draws: tuple[str, ...]) -> Verdict:
    """All pairs of `DRAWN` as one file, with the ports of one side."""
    originals = [pair.original for pair in DRAWN.values()]
    texts = [getattr(pair, ports) for pair in DRAWN.values()]
    checker.options = checker.options.model_copy(update={"draws": draws})
    return checker.check(
        *write_pair(folder, "\n\n\n".join(originals) + "\n", "\n\n\n".join(texts) + "\n")
    )


@pytest.fixture(scope="module")
def right(full: Checker, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    return checked(full, tmp_path_factory.mktemp("right"), "right", FULL)


@pytest.mark.parametrize("draw", DRAWN)
def test_right(draw: str, right: Verdict) -> None:
    verdict = right.of(DRAWN[draw].name)
    assert verdict.status == "verified", verdict.message
    assert verdict.inputs is not None
    assert any(label.endswith(f", {draw}") for label in verdict.inputs.draws)


@pytest.mark.parametrize("draw", DRAWN)
def test_wrong(draw: str, full: Checker, tmp_path: Path) -> None:
    pair = DRAWN[draw]
    paths = write_pair(tmp_path, pair.original + "\n", pair.wrong + "\n")
    full.options = full.options.model_copy(update={"draws": FULL})
    verdict = full.check(*paths).of(pair.name)
    assert (verdict.status, verdict.category) == ("diverged", pair.category), verdict.message
    assert f", {draw})" in verdict.message
    own = HALVES if draw in HALVES else (draw,)
    others = tuple(other for other in FULL if other not in own)
    full.options = full.options.model_copy(update={"draws": others})
    without = full.check(*paths).of(pair.name)
    assert without.status == "verified", without.message
