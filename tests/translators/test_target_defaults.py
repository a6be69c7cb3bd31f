"""The table of the target's defaults is what the installed framework says."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path

import pytest

HERE = Path(__file__).parent
generator = run_path(str(HERE / "target_defaults.py"))


@pytest.mark.parametrize("target", ["jax", "mlx"])
def test_the_table_is_up_to_date(target: str) -> None:
    stored = json.loads((generator["FOLDER"] / target / "defaults.json").read_text("utf-8"))
    assert stored == json.loads(generator["table"](target)), (
        "run: python tests/translators/target_defaults.py"
    )
