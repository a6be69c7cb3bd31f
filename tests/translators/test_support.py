"""The support matrix says what the catalogue has, and what torch's samples last showed of it."""

from __future__ import annotations

import json
from pathlib import Path

from .support import FOLDER, OUTCOMES, pages, write


def test_the_pages_are_what_was_found(tmp_path: Path) -> None:
    write(json.loads(OUTCOMES.read_text("utf-8")), tmp_path)
    for name in ("README", *(page.name for page in pages())):
        stored = (FOLDER / f"{name}.md").read_text("utf-8")
        assert stored == (tmp_path / f"{name}.md").read_text("utf-8"), "run: make support"
