"""Every rule for JAX, on the samples that torch tests itself with: `opinfo.py` says how."""

from __future__ import annotations

import pytest

from .frameworks import JAX
from .opinfo import check, unknown_names
from .oracle import Case, cases

CASES = cases(JAX)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_rule_agrees_with_torch(case: Case) -> None:
    check(case)


def test_known_failures_name_cases() -> None:
    assert not unknown_names(JAX)
