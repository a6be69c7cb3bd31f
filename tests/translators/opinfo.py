"""Whether a rule agrees with torch on the samples that torch tests itself with (OpInfo).

`test_opinfo_jax.py` and `test_opinfo_mlx.py` hold each rule to it: values, dtypes, gradients, jit.
`pytest tests/translators/test_opinfo_jax.py -k softmax` runs one operation. The default run takes a few
samples of each; `TORCHPORT_OPINFO=all` takes all of them.
"""

from __future__ import annotations

import pytest

from . import known_failures, known_failures_mlx
from .frameworks import Framework
from .oracle import Case, cases, run_case

KNOWN_FAILURES = {
    "jax": known_failures.KNOWN_FAILURES,
    "mlx": known_failures_mlx.KNOWN_FAILURES,
}


def check(case: Case) -> None:
    """Fail where the rule differs otherwise than `known_failures` say, or as they say no more."""
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


def unknown_names(on: Framework) -> set[str]:
    """Entries of the known failures that name no case."""
    ids = {case.id for case in cases(on)}
    return {key for key in KNOWN_FAILURES[on.name] if key.split(" ")[0] not in ids}
