"""Every rule, on the samples that torch tests itself with (OpInfo): values, dtypes, gradients, jit.

`pytest tests/translators/test_opinfo.py -k "mlx and softmax"` runs one operation. The default run takes a few
samples of each; `TORCHPORT_OPINFO=all` takes all of them.
"""

from __future__ import annotations

import pytest

from . import known_failures, known_failures_mlx
from .frameworks import FRAMEWORKS
from .oracle import Case, cases, run_case

KNOWN_FAILURES = {
    "jax": known_failures.KNOWN_FAILURES,
    "mlx": known_failures_mlx.KNOWN_FAILURES,
}
CASES = [case for framework in FRAMEWORKS.values() for case in cases(framework)]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.on.name}-{case.id}" for case in CASES])
def test_rule_agrees_with_torch(case: Case) -> None:
    outcome = run_case(case)
    if not (outcome.equal or outcome.rejected or outcome.failures):
        pytest.skip("torch has no sample of it on the CPU")

    prefix = f"{case.id} "
    failures = KNOWN_FAILURES[case.on.name]
    known = {key.removeprefix(prefix) for key in failures if key.startswith(prefix)}
    new = {what: whys for what, whys in outcome.failures.items() if what not in known}
    assert not new, "\n".join(f"{what}: {why}" for what, whys in new.items() for why in whys)
    if outcome.complete:
        assert not known - outcome.failures.keys(), "listed in known_failures.py, but passes"
    assert outcome.equal or known, f"no sample was taken: {outcome.rejected}"


@pytest.mark.parametrize("target", FRAMEWORKS)
def test_known_failures_name_cases(target: str) -> None:
    ids = {case.id for case in CASES if case.on.name == target}

    assert not {key for key in KNOWN_FAILURES[target] if key.split(" ")[0] not in ids}
