"""Lanes for all records: starting a framework takes seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from torchport_checks import Checker, CheckOptions
from torchport_checks.bugs import Verified, verify
from torchport_translators.bugs import Record

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def verified() -> Iterator[Callable[[Record], Verified]]:
    """`verified(record)`, by a quick or a full check."""
    quick = CheckOptions(timeout=60)
    full = quick.thorough().model_copy(update={"shrink_seconds": 0.0, "locate": False})
    with Checker(quick, store=False) as first, Checker(full, store=False) as second:
        yield lambda record: verify(record, second if record.full else first)
