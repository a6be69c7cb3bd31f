"""Recorded replies: an original that the rules do not port whole, what a weak model answers, and what it
answers once it has seen the verdict. One Markdown file each, in `recorded/`.

They are written for this project, and show that the parts fit: a good answer of a recorded model says
nothing of the model that a user asks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.llm.server import MODEL, RECORDED, Server

from torchport_checks.checker import Checker
from torchport_checks.repair import Draft, Repair, repair
from torchport_translators.findings import Target
from torchport_translators.llm.budget import Budget
from torchport_translators.llm.client import Client
from torchport_translators.llm.prompt import Prompter
from torchport_translators.llm.settings import ModelSettings
from torchport_translators.translate import translate

_FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_REPLY = re.compile(r"^## Reply \d+: (\w{16})$", re.MULTILINE)


@dataclass(frozen=True)
class KnownBug:
    """A card, as the corpus has them."""

    id: str
    title: str
    apis: tuple[str, ...]
    wrong: str
    right: str
    why: str


CARDS = (
    KnownBug(
        "normal-log-prob",
        "The log density of a normal distribution is called logpdf",
        ("torch.distributions.Normal",),
        "jax.scipy.stats.norm.log_prob(x, mean, std)",
        "jax.scipy.stats.norm.logpdf(x, mean, std)",
        "JAX has scipy's names, and functions where torch has objects.",
    ),
    KnownBug(
        "categorical-axis",
        "A categorical distribution lies along the last axis",
        ("torch.distributions.Categorical",),
        "jax.nn.log_softmax(logits, axis=0)",
        "jax.nn.log_softmax(logits, axis=-1)",
        "torch takes all but the last axis as a batch of distributions.",
    ),
    KnownBug(
        "std-correction",
        "torch's std divides by N - 1",
        ("torch.std", "torch.Tensor.std"),
        "jnp.std(x, axis=-1)",
        "jnp.std(x, axis=-1, ddof=1)",
        "jnp.std divides by N. Its gradient at equal values is nan, torch's is 0.",
    ),
    KnownBug(
        "straight-through",
        "Fake quantization passes the gradient through",
        ("torch.fake_quantize_per_tensor_affine",),
        "jnp.clip(jnp.round(x / scale), low, high) * scale",
        "x + jax.lax.stop_gradient(rounded - x)",
        "The gradient of rounding is zero; torch's is one where nothing was clipped.",
    ),
)


def retrieve(
    source: str,
    target: Target,
    *,
    limit: int = 6,
    error: str = "",
    exclude: Collection[str] = (),
) -> Sequence[KnownBug]:
    """The cards whose API's last name is in the source."""
    found = [
        card
        for card in CARDS
        if any(re.search(rf"\.{api.rpartition('.')[2]}\b", source) for api in card.apis)
        and card.id not in exclude
    ]
    return found[:limit]


@dataclass(frozen=True)
class Scenario:
    """One file of `recorded/`.

    Attributes:
        card: of `CARDS`, what repairs the first reply.
        record: what repairs it among the records that torchport ships; empty where none does.
    """

    name: str
    card: str
    record: str
    original: str
    keys: tuple[str, ...]
    replies: tuple[str, ...]

    @property
    def recorded(self) -> dict[str, str]:
        """The replies by the hashes of what was asked."""
        return dict(zip(self.keys, self.replies, strict=True))


def read_scenario(path: Path) -> Scenario:
    """A scenario, as its file has it."""
    text = path.read_text("utf-8")
    original, *replies = _FENCE.findall(text)
    said = dict(re.findall(r"^- (card|record): (\S+)$", text, re.MULTILINE))
    record = said.get("record", "")
    return Scenario(
        path.stem, said["card"], record, original, tuple(_REPLY.findall(text)), tuple(replies)
    )


def write_keys(path: Path, keys: Sequence[str]) -> None:
    """Put the hashes of what was asked into a scenario's file."""
    fresh = iter(keys)
    text = _REPLY.sub(lambda m: m[0].replace(m[1], next(fresh)), path.read_text("utf-8"))
    path.write_text(text, encoding="utf-8")


SCENARIOS = [read_scenario(path) for path in sorted(RECORDED.glob("*.md"))]


def run_scenario(
    scenario: Scenario, server: Server, checker: Checker, folder: Path, cards: int = 6
) -> Repair:
    """Port a scenario's original by rules, then ask the server's model for the rest."""
    source, port = folder / "model.py", folder / "model_jax.py"
    source.write_text(scenario.original, encoding="utf-8")
    translation = translate(scenario.original, Target.JAX, name=source.name)
    port.write_text(translation.text, encoding="utf-8")
    settings = replace(ModelSettings(model=MODEL, base_url=server.url), cards=cards)
    verdict = checker.check(source, port)
    draft = Draft(
        source, port, scenario.original, translation.text, Target.JAX, translation, verdict
    )

    async def run() -> Repair:
        async with Client(settings, Budget(settings)) as client:
            return await repair(draft, checker, client, Prompter(settings, retrieve=retrieve))

    return asyncio.run(run())
