"""A judge: a model that scores ports as T2J's rubric has it, and compares two of them.

What it says stands beside what running the ports says, and decides nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from torchport_translators.llm.client import Client

Winner = Literal["first", "second", "tie"]

_RUBRIC = """\
You judge a port of PyTorch code to {target}. Score it from 0 to 4:
0: it is no port, or does not parse. 1: little of it is right. 2: about half is right; it needs much work.
3: it is right but for details. 4: it does what the original does, for all inputs, and reads well.
Answer with JSON: {{"reason": one sentence, "score": a number from 0 to 4}}."""
_PAIR = """\
You compare two ports of the same PyTorch code to {target}: which is closer to a right one, in what it \
computes first, then in how it reads?
Answer with JSON: {{"reason": one sentence, "winner": "A", "B" or "tie"}}."""
_SCORE_SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}
_PAIR_SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "winner": {"type": "string", "enum": ["A", "B", "tie"]},
    },
    "required": ["reason", "winner"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks a model for its opinion of ports to one target."""

    client: Client
    target: str

    async def score(self, source: str, port: str) -> int | None:
        """T2J's CodeTrans score, from 0 to 4; None where the judge gives none.

        Raises:
            ModelProblem, KeyProblem, BudgetSpent: it cannot be asked.
        """
        data = await self._ask(_RUBRIC, _shown(source, Port=port), _SCORE_SCHEMA)
        score = data.get("score")
        return score if isinstance(score, int) and 0 <= score <= 4 else None

    async def better(self, source: str, first: str, second: str) -> Winner:
        """Which of two ports is better, asked in both orders: a tie where it contradicts itself.

        Raises:
            ModelProblem, KeyProblem, BudgetSpent: it cannot be asked.
        """
        one = await self._ask(_PAIR, _shown(source, A=first, B=second), _PAIR_SCHEMA)
        other = await self._ask(_PAIR, _shown(source, A=second, B=first), _PAIR_SCHEMA)
        pair = one.get("winner"), other.get("winner")
        if pair == ("A", "B"):
            return "first"
        return "second" if pair == ("B", "A") else "tie"

    async def _ask(self, task: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
        messages = [
            {"role": "system", "content": task.format(target=self.target.upper())},
            {"role": "user", "content": text},
        ]
        reply = await self.client.ask(messages, schema)
        start, end = reply.content.find("{"), reply.content.rfind("}")
        try:
            data = json.loads(reply.content[start : end + 1])
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _shown(source: str, **ports: str) -> str:
    parts = [f"## Original\n```python\n{source}\n```"]
    parts += [f"## {name}\n```python\n{port}\n```" for name, port in ports.items()]
    return "\n\n".join(parts)
