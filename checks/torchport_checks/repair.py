"""Asking a language model for what the rules left open, and asking again with what the check says.

A reply is parsed, looked through, put into the port, and run against the original. It ends when all is
verified, when asking again would not help (the same code again, the same failure again, a refusal), or when
rounds or budget are spent. The best port so far is what comes back, with the verdict that it has.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torchport_checks.checker import Checker
from torchport_checks.grade import grade
from torchport_checks.verdicts import Category, DefinitionVerdict, Verdict
from torchport_translators.findings import Target, Translation
from torchport_translators.llm.budget import BudgetSpent
from torchport_translators.llm.client import Client, ModelProblem, Progress
from torchport_translators.llm.fill import filled, is_open, lines_of, marked
from torchport_translators.llm.keys import KeyProblem
from torchport_translators.llm.prompt import (
    Feedback,
    Prompter,
    PromptProblem,
    Task,
    holes_of,
    open_definitions,
)
from torchport_translators.llm.reply import SCHEMA, Fault, ReplyProblem, read_reply
from torchport_translators.llm.screen import definitions, screen

_MAX_FEEDBACK = 1500
_NUMBER = re.compile(r"[-+]?\d[\d.e+-]*")

Tell = Callable[[int, Progress], None]
"""Called with the number of a round and how far its reply has come."""


@dataclass(frozen=True, slots=True)
class Round:
    """One request, and what became of its reply.

    Attributes:
        asked: the definitions that it asked for.
        cards: the ids of the known bugs that its prompt showed.
        rejected: why the reply was not run; empty if it was.
        grades: of each definition after it, from 0 to 4; None where the check cannot judge it.
        failures: what the check says of those that are not verified.
        cached: the reply was known.
        text: the port with it; empty where it was not run.
    """

    asked: tuple[str, ...]
    cards: tuple[str, ...]
    rejected: str = ""
    grades: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    cached: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a model made of a port.

    Attributes:
        text: the best port that was found, its model-written lines marked; the given one where
            none is better.
        names: the definitions that were asked for.
        changed: those of them that the model wrote.
        verified: those of them that the check has verified.
        rounds: what was asked, in order.
        stopped: why it ended, for the reader.
    """

    text: str
    names: tuple[str, ...]
    changed: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    rounds: tuple[Round, ...] = ()
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A port as the rules wrote it, and what is known of it.

    Attributes:
        source: the original's file.
        port: the port's file; `text` need not be in it.
        original: the original's text.
        text: the port's.
        target: the framework that it is written in.
        translation: of the rules.
        verdict: of the check; None where nothing was run.
        encode: how its file holds a text.
    """

    source: Path
    port: Path
    original: str
    text: str
    target: Target
    translation: Translation
    verdict: Verdict | None
    encode: Callable[[str], bytes] = str.encode


def to_ask(draft: Draft) -> tuple[str, ...]:
    """The definitions that a model is asked for: with open places, and those that fail the check."""
    there = definitions(ast.parse(draft.text))
    names = dict.fromkeys(open_definitions(draft.translation))
    for verdict in draft.verdict.definitions if draft.verdict else ():
        if verdict.status in ("diverged", "error") and grade(verdict) is not None:
            names[verdict.name] = None
    return tuple(name for name in names if name in there)


async def repair(
    draft: Draft,
    checker: Checker,
    client: Client,
    prompter: Prompter,
    tell: Tell = lambda _round, _progress: None,
) -> Repair:
    """Ask a model for what a port lacks, until it is verified or asking again would not help.

    Nothing is written. Whatever the endpoint does is told in `stopped`.

    Raises:
        OSError: a file cannot be read.
        asyncio.CancelledError: the task was cancelled.
    """
    try:
        names = to_ask(draft)
    except (SyntaxError, ValueError, RecursionError) as error:
        return Repair(draft.text, (), stopped=f"The port does not parse ({error}).")
    if not names:
        return Repair(draft.text, (), stopped="Nothing is open.")
    if draft.verdict and draft.verdict.category is Category.FRAMEWORK:
        # What comes back could not be checked, and would be paid for all the same.
        return Repair(draft.text, names, stopped=f"No port can be checked. {draft.verdict.error}")
    return await _Loop(draft, checker, client, prompter, tell, names).run()


@dataclass
class _Loop:
    draft: Draft
    checker: Checker
    client: Client
    prompter: Prompter
    tell: Tell
    names: tuple[str, ...]
    current: str = field(init=False)
    best: str = field(init=False)
    best_score: float = field(init=False)
    verified: tuple[str, ...] = ()
    asked: tuple[str, ...] = field(init=False)
    feedback: tuple[Feedback, ...] = ()
    rejected: str = ""
    rounds: list[Round] = field(default_factory=list[Round])
    trees: set[str] = field(default_factory=set[str])
    failures: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        draft = self.draft
        self.current = self.best = draft.text
        self.asked = self.names
        known = {v.name: v for v in draft.verdict.definitions} if draft.verdict else {}
        self.best_score = self._score(draft.text, known)
        self.feedback = tuple(
            feedback_of(known[name])
            for name in self.names
            # Of what is open, the holes say more than the error that they cause.
            if name in known and not known[name].ok and not holes_of(draft.translation, name)
        )

    async def run(self) -> Repair:
        """Ask until something says stop."""
        stopped = ""
        limit = self.client.settings.rounds
        while not stopped:
            if len(self.rounds) == limit:
                stopped = f"All rounds are spent ({limit})."
                break
            try:
                stopped = await self._round()
            except (ModelProblem, KeyProblem, BudgetSpent, PromptProblem) as problem:
                stopped = str(problem)
        changed = self._changed()
        text = (
            marked(self.best, self.draft.text, self.client.settings.model) if changed else self.best
        )
        return Repair(text, self.names, changed, self.verified, tuple(self.rounds), stopped)

    async def _round(self) -> str:
        """One request; returns why it is the last, or an empty text.

        Raises:
            ModelProblem, KeyProblem, BudgetSpent, PromptProblem: there is no reply.
        """
        draft, number = self.draft, len(self.rounds) + 1
        task = Task(
            draft.original,
            draft.source.name,
            self.current,
            draft.target,
            self.asked,
            tuple(
                hole
                for name in self.asked
                if self._is_open(self.current, name)
                for hole in holes_of(draft.translation, name)
            ),
            self.feedback,
            self.rejected,
        )
        prompt = await asyncio.to_thread(self.prompter.prompt, task)
        reply = await self.client.ask(
            prompt.messages, SCHEMA, lambda progress: self.tell(number, progress)
        )
        try:
            answer = read_reply(reply.content, finish=reply.finish, refusal=reply.refusal)
            screened = screen(answer.code, self.current, self.asked, task.target)
            candidate = filled(
                self.current, screened, draft.original, draft.source.name, task.target
            )
        except ReplyProblem as problem:
            self.rounds.append(
                Round(self.asked, prompt.cards, rejected=str(problem), cached=reply.cached)
            )
            self.rejected = str(problem)
            if problem.fault is Fault.REFUSAL:
                return str(problem)
            return self._again(str(problem))
        self.rejected = ""
        tree = ast.dump(ast.parse(candidate))
        if tree in self.trees:
            self.rounds.append(
                Round(
                    self.asked,
                    prompt.cards,
                    "The reply is the same code again.",
                    cached=reply.cached,
                )
            )
            return "The model wrote the same code again."
        self.trees.add(tree)
        known = await self._check(candidate)
        failing = {n: v for n, v in known.items() if not v.ok and grade(v) is not None}
        self.rounds.append(
            Round(
                self.asked,
                prompt.cards,
                grades={name: grade(known[name]) for name in self.names if name in known},
                failures={name: verdict.message for name, verdict in failing.items()},
                cached=reply.cached,
                text=candidate,
            )
        )
        score = self._score(candidate, known)
        if score > self.best_score:
            self.best, self.best_score = candidate, score
            self.verified = tuple(n for n in self.names if n in known and known[n].ok)
        self.current = candidate
        left = [n for n in self.names if n in failing or self._is_open(candidate, n)]
        if not left:
            judged = all(known[n].ok for n in self.names if n in known)
            return "All is verified." if judged else "The rest cannot be judged by running it."
        self.asked = tuple(left)
        self.feedback = tuple(feedback_of(failing[n]) for n in left if n in failing)
        return self._again("\n".join(_failure(failing[n]) for n in left if n in failing))

    def _again(self, failure: str) -> str:
        """Why it must stop if this failure was there before."""
        if failure and failure in self.failures:
            return "The same failure came again."
        self.failures.add(failure)
        return ""

    async def _check(self, text: str) -> dict[str, DefinitionVerdict]:
        """The verdicts on the definitions of a port with this text."""
        draft = self.draft
        verdict = await asyncio.to_thread(
            self.checker.check,
            draft.source,
            draft.port,
            definitions=self.names,
            texts=(draft.source.read_bytes(), draft.encode(text)),
        )
        known = {item.name: item for item in verdict.definitions}
        if verdict.error:
            failed = {
                name: DefinitionVerdict(
                    name=name,
                    kind="function",
                    source_line=0,
                    status="error",
                    category=verdict.category or Category.LOAD,
                    message=verdict.error,
                )
                for name in self.names
            }
            return failed | known
        return known

    def _score(self, text: str, known: dict[str, DefinitionVerdict]) -> float:
        """How good a port is: the sum of its grades; a filled place that cannot be judged counts little."""
        total = 0.0
        for name in self.names:
            value = grade(known[name]) if name in known else None
            total += (0.0 if self._is_open(text, name) else 0.5) if value is None else value
        return total

    def _is_open(self, text: str, name: str) -> bool:
        """Whether the rules' mark of an open place is left in a definition."""
        node = definitions(ast.parse(text)).get(name)
        if node is None:
            return False
        return is_open("".join(lines_of(text)[node.lineno - 1 : node.end_lineno]))

    def _changed(self) -> tuple[str, ...]:
        """The definitions that the best port has from the model."""
        before, after = (definitions(ast.parse(t)) for t in (self.draft.text, self.best))
        return tuple(
            name
            for name in self.names
            if name in after and ast.dump(after[name]) != ast.dump(before[name])
        )


def feedback_of(verdict: DefinitionVerdict) -> Feedback:
    """What the check says of a definition, for a model: how it fails, where, on which input."""
    parts = [verdict.message]
    if verdict.located is not None:
        parts.append(verdict.located.message)
    if verdict.smallest is not None:
        parts.append(verdict.smallest.text)
    elif verdict.inputs is not None and verdict.inputs.call:
        given = ", ".join(f"{item.name}={item.text}" for item in verdict.inputs.call)
        parts.append(f"It was called with {given}.")
    return Feedback(verdict.name, "\n".join(parts)[:_MAX_FEEDBACK])


def _failure(verdict: DefinitionVerdict) -> str:
    """A failure without its numbers, to see whether it is the same again."""
    where = verdict.located.port_text if verdict.located else ""
    return f"{verdict.name} {verdict.category} {_NUMBER.sub('#', verdict.message)} {where}"
