"""What is stored of pairs: whether they have a verdict as they are now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torchport_checks.store import Summary, VerdictStore, file_hash, pair_content, project_root


@dataclass(slots=True)
class _Store:
    """A store, and what it has of each pair, the newest last."""

    store: VerdictStore
    root: Path
    pairs: dict[tuple[str, str], list[Summary]]

    def of(self, source: Path, port: Path) -> list[Summary]:
        return self.pairs.get((self._below(source), self._below(port)), [])

    def _below(self, path: Path) -> str:
        below = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if below else str(path)


@dataclass(slots=True)
class Recorded:
    """The stored verdicts of the projects that sources lie in."""

    _stores: dict[Path, _Store] = field(default_factory=dict[Path, _Store])
    _roots: dict[Path, Path] = field(default_factory=dict[Path, Path])
    _relied_on: dict[Path, list[str]] = field(default_factory=dict[Path, "list[str]"])

    def exist(self, source: Path) -> bool:
        """Whether the project of a source has a store at all."""
        return self._of(source).store.path.is_file()

    def find(self, source: Path, port: Path, texts: tuple[bytes, bytes]) -> Summary | None:
        """The newest verdict on a pair with these texts and what they import as it is now."""
        kept = self._of(source)
        content = pair_content(texts)
        for summary in reversed(kept.of(source, port)):
            if summary.content == content and _is_current(kept.root, summary):
                self._relied_on.setdefault(kept.root, []).append(summary.key)
                return summary
        return None

    def was_checked(self, source: Path, port: Path) -> bool:
        """Whether there is a verdict on a pair, perhaps with other texts."""
        return bool(self._of(source).of(source, port))

    def depending_on(self, paths: frozenset[str], sources: Iterable[str]) -> Iterator[Path]:
        """The ports whose last verdict depends on one of these files, in the projects of sources."""
        folders = {os.path.dirname(source): source for source in sources}  # noqa: PTH120
        stores = [self._of(Path(source)) for source in folders.values()]
        for kept in {id(kept): kept for kept in stores}.values():
            for (_, port), summaries in kept.pairs.items():
                if any(str(kept.root / path) in paths for path in summaries[-1].dependencies):
                    yield kept.root / port

    def close(self) -> None:
        """Note which verdicts were relied on, so that they are kept."""
        for root, keys in self._relied_on.items():
            self._stores[root].store.used(keys)

    def _of(self, source: Path) -> _Store:
        folder = source.parent
        root = self._roots.get(folder)
        if root is None:
            root = self._roots[folder] = project_root(source)
        kept = self._stores.get(root)
        if kept is None:
            store = VerdictStore(root)
            pairs: dict[tuple[str, str], list[Summary]] = {}
            for summary in store.summaries():
                pairs.setdefault((summary.source, summary.port), []).append(summary)
            kept = self._stores[root] = _Store(store, root, pairs)
        return kept


def _is_current(root: Path, summary: Summary) -> bool:
    return all(file_hash(root / path) == known for path, known in summary.dependencies.items())
