"""Running an evaluation: each original of a dataset, ported by rules and then by a model, with each context.

Every score comes from running the port, by the check that judges all ports. What a judge model says stands
beside it.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

from torchport_checks.checker import Checker
from torchport_checks.evaluation.dataset import Item
from torchport_checks.evaluation.judge import Judge, Winner
from torchport_checks.evaluation.similarity import code_bleu, tree_edits
from torchport_checks.grade import EQUAL, grade
from torchport_checks.repair import Draft, repair
from torchport_checks.verdicts import Verdict
from torchport_translators.bugs import card, corpus
from torchport_translators.findings import Target
from torchport_translators.llm.client import Client
from torchport_translators.llm.prompt import Card, Prompter, Retrieve, retrieve_cards
from torchport_translators.translate import translate

Context = Literal["none", "random", "retrieved"]
Stage = Literal["none", "spec", "numeric", "behavioural"]

CONTEXTS: tuple[Context, ...] = ("none", "random", "retrieved")
STAGES: tuple[Stage, ...] = ("none", "spec", "numeric", "behavioural")

Pool = Callable[[Target], Sequence[Card]]


def known_bugs(target: Target) -> Sequence[Card]:
    """All known bugs of a target."""
    return [card(record) for record in corpus(target)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one original with one context.

    Attributes:
        item: its name.
        asked: the definitions that the model was asked for; empty where the rules ported all.
        rounds: how often it was asked.
        passed_after: the round after which all that was asked for was verified, from 1; 0 where the
            rules alone had done it; None where it never was.
        verified: whether the whole port was verified in the end.
        grade: the mean over definitions, from 0 to 4 (the twin of CodeTrans); None where nothing in
            it can be judged.
        stage: the last stage of the check that every judged definition passed.
        edits: nodes of the syntax tree that changed between the first port that ran and the last
            (the twin of FixCost, with `rounds`); None where none ran.
        similarity: CodeBLEU with the reference; None without one.
        judged: the judge's score, from 0 to 4; None without a judge.
        cards: the ids of the known bugs that prompts showed.
        tokens: of prompts and replies.
        stopped: why the loop ended.
        text: the port.
    """

    item: str
    asked: tuple[str, ...]
    rounds: int
    passed_after: int | None
    verified: bool
    grade: float | None
    stage: Stage
    edits: int | None
    similarity: float | None
    judged: int | None
    cards: tuple[str, ...]
    tokens: int
    stopped: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Versus:
    """How often one context did better than another: by running the ports, and by the judge."""

    first: Context
    second: Context
    wins: int
    ties: int
    losses: int
    judged_wins: int = 0
    judged_ties: int = 0
    judged_losses: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """One context over a dataset. Rates and means are over the originals that could be judged.

    Attributes:
        items: how many those are.
        passed: the part that is verified after so many rounds; [0] by the rules alone, [1] is pass@1.
        stages: the part that passed each stage.
        grade: mean.
        edits: mean, over those that a model wrote.
        rounds: mean, likewise.
        similarity: mean, over those with a reference.
        judged: mean.
        tokens: the sum.
    """

    items: int
    passed: tuple[float, ...]
    stages: dict[Stage, float]
    grade: float | None
    edits: float | None
    rounds: float | None
    similarity: float | None
    judged: float | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Outcomes by context, what they come to, and how contexts compare."""

    outcomes: dict[Context, list[Outcome]]
    summaries: dict[Context, Summary]
    versus: list[Versus]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates one model on one dataset.

    Attributes:
        target: the framework to port to.
        checker: judges the ports.
        client: asks the model.
        judge: gives an opinion; None for none.
        seed: of the random context.
        retrieve: finds the known bugs for the retrieved context.
        pool: all known bugs, for the random one.
        tell: called with each context and original as it begins.
    """

    target: Target
    checker: Checker
    client: Client
    judge: Judge | None = None
    seed: int = 0
    retrieve: Retrieve = retrieve_cards
    pool: Pool = known_bugs
    tell: Callable[[Context, str], None] = lambda _context, _item: None

    async def run(self, items: Sequence[Item], contexts: Sequence[Context]) -> Evaluation:
        """Port every item with every context.

        Raises:
            ModelProblem, KeyProblem, BudgetSpent: the judge cannot be asked. What keeps the model from
                being asked is in the outcomes.
        """
        outcomes: dict[Context, list[Outcome]] = {}
        for context in contexts:
            outcomes[context] = []
            for item in items:
                self.tell(context, item.name)
                outcomes[context].append(await self._outcome(item, context))
        rounds = self.client.settings.rounds
        summaries: dict[Context, Summary] = {
            context: summary(found, rounds) for context, found in outcomes.items()
        }
        versus = [
            await self._versus(items, first, outcomes[first], second, outcomes[second])
            for first, second in combinations(contexts, 2)
        ]
        return Evaluation(outcomes, summaries, versus)

    async def _outcome(self, item: Item, context: Context) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="torchport-") as folder:
            source = item.path or Path(folder) / "original.py"
            port = source.with_name(f"{source.stem}_{self.target}_evaluated.py")
            if item.path is None:
                source.write_text(item.source, encoding="utf-8")
            return await self._ported(item, context, source, port)

    async def _ported(self, item: Item, context: Context, source: Path, port: Path) -> Outcome:
        translation = translate(item.source, self.target, name=source.name)
        before = self._check(source, port, translation.text)
        draft = Draft(source, port, item.source, translation.text, self.target, translation, before)
        spent = self.client.budget.spent.tokens
        made = await repair(draft, self.checker, self.client, self._prompter(item, context))
        verdict = self._check(source, port, made.text) if made.changed else before
        ran = [one.text for one in made.rounds if one.text]
        passed = next(
            (number for number, one in enumerate(made.rounds, 1) if _all_equal(one.grades)), None
        )
        if not made.names:
            passed = 0 if verdict.ok else None
        judged = await self.judge.score(item.source, made.text) if self.judge else None
        return Outcome(
            item.name,
            made.names,
            len(made.rounds),
            passed if verdict.ok else None,
            verdict.ok,
            mean_grade(verdict),
            stage_of(verdict),
            tree_edits(ran[0], ran[-1]) if ran else None,
            code_bleu(made.text, item.reference) if item.reference else None,
            judged,
            tuple(dict.fromkeys(known for one in made.rounds for known in one.cards)),
            self.client.budget.spent.tokens - spent,
            made.stopped,
            made.text,
        )

    def _check(self, source: Path, port: Path, text: str) -> Verdict:
        texts = source.read_bytes(), text.encode("utf-8", "surrogatepass")
        return self.checker.check(source, port, texts=texts)

    def _prompter(self, item: Item, context: Context) -> Prompter:
        settings = self.client.settings
        retrieve = self.retrieve
        if context == "none":
            settings = replace(settings, cards=0)
        elif context == "random":
            retrieve = self._at_random
        python = self.checker.options.python(self.target.value)
        return Prompter(settings, python, retrieve, item.exclude)

    def _at_random(
        self,
        source: str,
        target: Target,
        *,
        limit: int = 6,
        error: str = "",
        exclude: Collection[str] = (),
    ) -> Sequence[Card]:
        """Known bugs drawn by lot, the same ones for the same text."""
        cards = [known for known in self.pool(target) if known.id not in exclude]
        draw = random.Random(f"{self.seed} {source}")
        return draw.sample(cards, min(limit, len(cards)))

    async def _versus(
        self,
        items: Sequence[Item],
        first: Context,
        ones: Sequence[Outcome],
        second: Context,
        others: Sequence[Outcome],
    ) -> Versus:
        results: list[Winner] = [
            compared(one, other) for one, other in zip(ones, others, strict=True)
        ]
        opinions: list[Winner] = []
        if self.judge is not None:
            for item, one, other in zip(items, ones, others, strict=True):
                opinion: Winner = "tie"
                if one.text != other.text:
                    opinion = await self.judge.better(item.source, one.text, other.text)
                opinions.append(opinion)
        return Versus(first, second, *_counts(results), *_counts(opinions))


def _counts(results: Sequence[Winner]) -> tuple[int, int, int]:
    return results.count("first"), results.count("tie"), results.count("second")


def _all_equal(grades: dict[str, int | None]) -> bool:
    """Whether all that can be judged is equal, and something can."""
    judged = [value for value in grades.values() if value is not None]
    return bool(judged) and all(value == EQUAL for value in judged)


def mean_grade(verdict: Verdict) -> float | None:
    """The mean grade over a port's definitions; None where none can be judged."""
    if verdict.error:
        return 0.0
    grades = [g for g in map(grade, verdict.definitions) if g is not None]
    return statistics.fmean(grades) if grades else None


def stage_of(verdict: Verdict) -> Stage:
    """The last stage that every judged definition of a port passed."""
    if verdict.error:
        return "none"
    stages = [d.stages for d in verdict.definitions if grade(d) is not None]
    reached: Stage = "none"
    for name in STAGES[1:]:
        found = [getattr(stage, name) for stage in stages]
        if "failed" in found or "passed" not in found:
            break
        reached = name
    return reached


def compared(one: Outcome, other: Outcome) -> Winner:
    """Which outcome is better: verified, then the higher grade, fewer rounds, fewer edits."""
    a, b = (
        (o.verified, o.grade or 0.0, -o.rounds if o.verified else 0, -(o.edits or 0))
        for o in (one, other)
    )
    if a == b:
        return "tie"
    return "first" if a > b else "second"


def summary(outcomes: Sequence[Outcome], rounds: int) -> Summary:
    """What outcomes come to."""
    judged = [outcome for outcome in outcomes if outcome.grade is not None]
    number = len(judged) or 1
    passed = [o.passed_after for o in judged if o.passed_after is not None]
    reached = [STAGES.index(o.stage) for o in judged]
    return Summary(
        len(judged),
        tuple(sum(p <= k for p in passed) / number for k in range(rounds + 1)),
        {name: sum(r >= k for r in reached) / number for k, name in enumerate(STAGES) if k},
        _mean([o.grade for o in judged]),
        _mean([o.edits for o in judged if o.rounds]),
        _mean([o.rounds for o in judged if o.rounds]),
        _mean([o.similarity for o in judged]),
        _mean([o.judged for o in judged]),
        sum(o.tokens for o in outcomes),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
