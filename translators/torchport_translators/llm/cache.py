"""Replies that were given once, by the hash of what was asked. They lie in the user's cache, which
only the user can read: they hold code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

KEPT = 1000
"""Replies; the oldest give way."""


def request_key(request: Mapping[str, Any]) -> str:
    """The hash of a request: of everything in it, whatever the order of its keys."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class ReplyCache:
    """Replies on disk. What cannot be read or written is done without."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or user_cache_path("torchport") / "replies"

    def get(self, key: str) -> dict[str, Any] | None:
        """The reply kept under a key; None if there is none, or it is damaged."""
        try:
            data = json.loads(self._place(key).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None  # pyright: ignore[reportUnknownVariableType]

    def put(self, key: str, reply: Mapping[str, Any]) -> None:
        """Keep a reply, as a whole or not at all."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(reply, file)
                Path(name).replace(self._place(key))
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
            self._prune()
        except OSError:
            return

    def _place(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _prune(self) -> None:
        kept = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-KEPT]:
            path.unlink(missing_ok=True)
