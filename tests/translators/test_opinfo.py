"""Every rule, on the samples that torch tests itself with (OpInfo): values, dtypes, gradients, jit.

`pytest tests/translators/test_opinfo.py -k softmax` runs one operation. The default run takes a few
samples of each; `TORCHPORT_OPINFO=all` takes all of them.
"""

from __future__ import annotations

import pytest

from .known_failures import KNOWN_FAILURES
from .oracle import Case, cases, run_case

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_rule_agrees_with_torch(case: Case) -> None:
    outcome = run_case(case)
    if not (outcome.equal or outcome.rejected or outcome.failures):
        pytest.skip("torch has no sample of it on the CPU")

    prefix = f"{case.id} "
    known = {key.removeprefix(prefix) for key in KNOWN_FAILURES if key.startswith(prefix)}
    new = {what: whys for what, whys in outcome.failures.items() if what not in known}
    assert not new, "\n".join(f"{what}: {why}" for what, whys in new.items() for why in whys)
    if outcome.complete:
        assert not known - outcome.failures.keys(), "listed in known_failures.py, but passes"
    assert outcome.equal or known, f"no sample was taken: {outcome.rejected}"


def test_known_failures_name_cases() -> None:
    ids = {case.id for case in CASES}

    assert not {key for key in KNOWN_FAILURES if key.split(" ")[0] not in ids}
