"""Bug records are run: the wrong port is caught, the fixed port and the fixes pass.

Every third is, by name; `TORCHPORT_BUGS=all` runs all of them (a quarter of an hour), and
`TORCHPORT_BUGS=name` those whose id contains the name.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from torchport_checks.bugs import Verified
from torchport_translators.bugs import Record, corpus, parse_record, record_text

CHOSEN = os.environ.get("TORCHPORT_BUGS", "")
RECORDS = {"": corpus()[::3], "all": corpus()}.get(CHOSEN, [r for r in corpus() if CHOSEN in r.id])


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_the_wrong_port_is_caught_and_the_fixed_one_passes(
    record: Record, verified: Callable[[Record], Verified]
) -> None:
    assert not verified(record).problem


def test_a_record_is_written_as_it_is_read() -> None:
    for record in corpus():
        name = record.id.partition("/")[2]
        assert parse_record(record_text(record), name, record.path) == record
