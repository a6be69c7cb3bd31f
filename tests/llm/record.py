"""`python -m tests.llm.record`: put the hashes of the prompts, as they are now, into `recorded/`.

The replies are given in the order in which they stand in each file, whatever is asked. Look at what
changed in the prompts first: a reply must still be one that a model could give.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.llm.scenarios import read_scenario, run_scenario, write_keys
from tests.llm.server import RECORDED, Say, Server, key_of

from torchport_checks import Checker, CheckOptions
from torchport_translators.llm import cache


def main() -> None:
    """Ask for each scenario, and write down under which hashes."""
    with Checker(CheckOptions(locate=True), store=False) as checker:
        for path in sorted(RECORDED.glob("*.md")):
            scenario = read_scenario(path)
            with (
                tempfile.TemporaryDirectory() as folder,
                Server([Say(reply) for reply in scenario.replies]) as server,
            ):
                cache.user_cache_path = lambda _name, place=folder: Path(place) / "cache"  # type: ignore[assignment]
                made = run_scenario(scenario, server, checker, Path(folder))
            keys = [key_of(body) for body in server.asked]
            print(path.name, made.stopped, [dict(r.grades) or r.rejected for r in made.rounds])
            write_keys(path, [*keys, *scenario.keys[len(keys) :]])


if __name__ == "__main__":
    main()
