"""The prompt: what is to be written, what the rules have written, and what is known of such code.

A prompt stands by itself: a second round is a new prompt with the port as it is then and what the check
said of it, so that it does not grow from round to round. What does not fit the budget is left out, the
least useful first: the rest of the file, signatures, known bugs; never what is to be written.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torchport_translators.findings import Finding, Severity, Target, Translation
from torchport_translators.installed import ask
from torchport_translators.llm.fill import is_open, lines_of
from torchport_translators.llm.screen import Definition, definitions, methods
from torchport_translators.llm.settings import ModelSettings
from torchport_translators.llm.signatures import (
    Signature,
    called_names,
    likely_names,
    signatures,
)
from torchport_translators.llm.tokens import count_tokens

CARD_TOKENS = 1500
"""What known bugs may take of a prompt."""

_TITLES = {
    "jax": "JAX (jax.numpy, flax.nnx, optax)",
    "mlx": "MLX (mlx.core, mlx.nn, mlx.optimizers)",
}
_CONTRACT = """\
You port PyTorch code to {target}. Rules have ported most of the file; you write only the definitions \
that you are asked for. Your code is run against the original, with the same weights on the same inputs \
of many kinds, forward and gradients, compiled and eagerly: it must give equal shapes, dtypes and values.

- Write Python: the imports that your code needs, helpers if it needs any, and the definitions asked for.
- Keep names, parameters and their order, defaults, bases, structure and comments, and all that the \
rules have ported well. Only `*, rngs` may be added, where random numbers are drawn.
- Of a class, write only the methods that you change; the others stay as they are.
- Do not import torch, and do not leave calls of it. Use the target, numpy and the standard library's \
math and typing; no files, processes, network, eval, or access to private names.
- Use functions only as their signatures below say. Do not invent any.
- What cannot be ported, leave out, and say why.
"""
_STRUCTURED = """\
- Answer with JSON: {"code": the Python text, "notes": what could not be ported, or an empty string}.
"""
_FENCED = """\
- Answer with one fenced block of Python.
"""


class Card(Protocol):
    """A known bug of ports, and its fix."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def apis(self) -> Collection[str]: ...
    @property
    def wrong(self) -> str: ...
    @property
    def right(self) -> str:
        """Lines of code, " | " between them."""
        ...

    @property
    def why(self) -> str: ...


class Retrieve(Protocol):
    """Finds the known bugs that concern a text, the likeliest first."""

    def __call__(
        self,
        source: str,
        target: Target,
        *,
        limit: int = 6,
        error: str = "",
        exclude: Collection[str] = (),
    ) -> Sequence[Card]: ...


def retrieve_cards(
    source: str,
    target: Target,
    *,
    limit: int = 6,
    error: str = "",
    exclude: Collection[str] = (),
) -> Sequence[Card]:
    """The cards of the records that torchport ships, which are read when they are first asked for."""
    from torchport_translators.bugs import cards

    return cards(source, target, limit=limit, error=error, exclude=exclude)


class PromptProblem(Exception):
    """There is nothing to ask, or it does not fit; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What is wrong with a definition as the port has it.

    Attributes:
        name: the definition's.
        text: what the check says: how it differs, where that begins, on which input.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Task:
    """What a model is asked for.

    Attributes:
        source: the original's text.
        source_name: its file name.
        port: the port's text as it is.
        target: the framework to write.
        names: the top-level definitions to write.
        holes: what no rule covers in them.
        feedback: what the last check says of them.
        rejected: why the last reply could not be used; empty if it could.
    """

    source: str
    source_name: str
    port: str
    target: Target
    names: tuple[str, ...]
    holes: tuple[Finding, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt.

    Attributes:
        system: the contract.
        user: the task.
        tokens: how many it takes, perhaps estimated.
        cards: the ids of the bugs that it shows.
        left_out: what did not fit, for the reader.
    """

    system: str
    user: str
    tokens: int
    cards: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def messages(self) -> list[dict[str, str]]:
        """As the protocol has it."""
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.user},
        ]

    @property
    def text(self) -> str:
        """To be read, or pasted into a chat."""
        return f"{self.system}\n{self.user}"


@dataclass(frozen=True, slots=True)
class Prompter:
    """Writes prompts for one project.

    Attributes:
        settings: how many cards, and how long.
        python: the interpreter that has the target; None for this one.
        retrieve: finds the known bugs.
        exclude: ids of bugs that must not be shown: those that a test or an evaluation is made of.
        structured: whether the answer is to be JSON; a person gets a fenced block.
    """

    settings: ModelSettings
    python: str | None = None
    retrieve: Retrieve = retrieve_cards
    exclude: tuple[str, ...] = ()
    structured: bool = True

    def prompt(self, task: Task) -> Prompt:
        """The prompt for a task.

        Raises:
            PromptProblem: source or port does not parse, or the task does not fit.
        """
        try:
            source, port = _File(task.source, task.names), _File(task.port, task.names)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise PromptProblem(
                f"{task.source_name} or its port does not parse ({error}): correct that first."
            ) from error
        contract = _CONTRACT.format(target=_TITLES[task.target])
        contract += _STRUCTURED if self.structured else _FENCED
        body = _Body(contract, self.settings.prompt_tokens)
        body.put(1, "The original", _fence(source.asked))
        body.put(2, "The port so far", _fence(port.asked))
        body.put(3, "What to write", _wanted(task))
        if task.feedback or task.rejected:
            body.put(4, "What is wrong so far", _wrong(task))
        if body.tokens > body.limit:
            raise PromptProblem(
                f"{', '.join(task.names)} in {task.source_name}: the prompt takes {body.tokens:,} tokens, "
                f"and may take {body.limit:,}. Raise prompt_tokens in [tool.torchport.llm], or split "
                "the definitions."
            )
        cards = self._cards(task, source, body)
        installed = ask(task.target, self.python)
        versions = f" ({installed.versions})" if installed else ""
        lines = [s.text for s in self._signatures(task, port, cards)]
        body.offer(6, f"Signatures, as installed{versions}", lines, "signatures")
        body.offer(
            1, "", [_fence(source.around)] if source.around else [], "the rest of the original"
        )
        body.offer(2, "", [_fence(port.around)] if port.around else [], "the rest of the port")
        return body.prompt(tuple(card.id for card in cards))

    def _cards(self, task: Task, source: _File, body: _Body) -> list[Card]:
        if not self.settings.cards:
            return []
        error = "\n".join([*(item.text for item in task.feedback), task.rejected]).strip()
        found = self.retrieve(
            source.asked,
            task.target,
            limit=self.settings.cards,
            error=error,
            exclude=self.exclude,
        )
        shown = body.offer(
            5,
            "Known bugs of such ports",
            [_card(card) for card in found],
            "known bugs",
            limit=CARD_TOKENS,
        )
        return list(found)[:shown]

    def _signatures(self, task: Task, port: _File, cards: Iterable[Card]) -> tuple[Signature, ...]:
        """What the port uses in these definitions, what cards advise, and where holes may lead."""
        used = called_names(port.whole(task.names), task.target)
        advised = [
            name
            for card in cards
            for line in card.right.split(" | ")
            for name in called_names(line, task.target)
        ]
        apis = dict.fromkeys(hole.api for hole in task.holes if hole.api)
        likely = [name for api in apis for name in likely_names(api, task.target)]
        there = signatures([*likely, *advised], task.target, self.python)
        return (*there, *signatures(_without(used, there), task.target, self.python, absent=True))


def _without(names: Iterable[str], there: Iterable[Signature]) -> list[str]:
    known = {item.name for item in there}
    return [name for name in names if name not in known]


def holes_of(translation: Translation, name: str) -> tuple[Finding, ...]:
    """What no rule covers in one top-level definition of a translation."""
    spans = [(d.line, d.end_line) for d in translation.definitions if d.name == name]
    return tuple(
        finding
        for finding in translation.findings
        if finding.severity is Severity.ERROR
        and any(first <= finding.line <= last for first, last in spans)
    )


def open_definitions(translation: Translation) -> tuple[str, ...]:
    """The top-level definitions of a translation in which something was left open."""
    return tuple(d.name for d in translation.definitions if holes_of(translation, d.name))


def prompt_for(
    source: str,
    source_name: str,
    translation: Translation,
    target: Target | str,
    names: Sequence[str] = (),
    *,
    settings: ModelSettings | None = None,
    python: str | None = None,
    feedback: Sequence[Feedback] = (),
    retrieve: Retrieve = retrieve_cards,
) -> Prompt:
    """The prompt for what the rules left open in a text, to be pasted into a chat by a person.

    Args:
        names: the definitions to ask for; by default all with open places.

    Raises:
        PromptProblem: nothing is open, or the text does not parse, or it does not fit.
    """
    names = tuple(names) or open_definitions(translation)
    if not names:
        raise PromptProblem(
            f"The rules have ported all definitions of {source_name}: there is nothing to ask."
        )
    task = Task(
        source,
        source_name,
        translation.text,
        Target(target),
        names,
        tuple(hole for name in names for hole in holes_of(translation, name)),
        tuple(feedback),
    )
    return Prompter(settings or ModelSettings(), python, retrieve, structured=False).prompt(task)


@dataclass(slots=True)
class _File:
    """A text of which some definitions are asked for.

    Attributes:
        asked: these, below the file's imports.
        around: constants, and the signatures of what they use of the file; empty if nothing.
    """

    text: str
    names: tuple[str, ...]
    asked: str = field(init=False)
    around: str = field(init=False)
    _lines: list[str] = field(init=False)
    _tree: ast.Module = field(init=False)

    def __post_init__(self) -> None:
        """
        Raises:
            SyntaxError: the text does not parse.
        """
        self._lines = [line.rstrip("\r\n") for line in lines_of(self.text)]
        self._tree = ast.parse(self.text)
        there = definitions(self._tree)
        imports = [
            self._code(n) for n in self._tree.body if isinstance(n, (ast.Import, ast.ImportFrom))
        ]
        wanted = [self.definition(there[name]) for name in self.names if name in there]
        self.asked = "\n\n\n".join(["\n".join(imports), *wanted]).strip("\n")
        self.around = "\n\n".join(self._used(there))

    def whole(self, names: Iterable[str]) -> str:
        """Some definitions below the file's imports, as Python that parses."""
        return _File(self.text, tuple(names)).asked

    def definition(self, node: Definition) -> str:
        """A definition with its decorators and the comments directly above it."""
        first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
        while first > 1 and self._lines[first - 2].startswith("#"):
            first -= 1
        return "\n".join(self._lines[first - 1 : node.end_lineno])

    def _code(self, node: ast.stmt) -> str:
        return "\n".join(self._lines[node.lineno - 1 : node.end_lineno])

    def _used(self, there: dict[str, Definition]) -> Iterator[str]:
        """Constants whole, definitions as stubs: those that the wanted ones name."""
        used = {
            node.id
            for name in self.names
            if name in there
            for node in ast.walk(there[name])
            if isinstance(node, ast.Name)
        }
        for node in self._tree.body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(t, ast.Name) and t.id in used for t in targets):
                    yield self._code(node)
        for name, node in there.items():
            if name in used and name not in self.names:
                yield _stub(node)


def _stub(node: Definition) -> str:
    """A definition's signature and docstring; of a class, those of its methods, too."""
    node = copy.deepcopy(node)
    functions = [node] if not isinstance(node, ast.ClassDef) else list(methods(node).values())
    for function in functions:
        function.body = [*_docstring(function), ast.Expr(ast.Constant(...))]
    if isinstance(node, ast.ClassDef):
        node.body = [*_docstring(node), *functions] or [ast.Expr(ast.Constant(...))]
    return ast.unparse(node)


def _docstring(node: Definition) -> list[ast.stmt]:
    text = ast.get_docstring(node)
    return [ast.Expr(ast.Constant(text.partition("\n")[0]))] if text else []


@dataclass(slots=True)
class _Body:
    """A prompt as it grows, within a limit of tokens."""

    system: str
    limit: int
    tokens: int = field(init=False)
    sections: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    left_out: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.tokens = count_tokens(self.system)

    def put(self, place: int, title: str, text: str) -> None:
        """Add a section, whatever it takes."""
        self.sections[place] = [f"## {title}", text]
        self.tokens += count_tokens(f"## {title}\n{text}\n")

    def offer(
        self, place: int, title: str, texts: Sequence[str], what: str, *, limit: int | None = None
    ) -> int:
        """Add texts to a section while they fit; returns how many did."""
        left = self.limit - self.tokens
        left = min(left, limit) if limit is not None else left
        section = self.sections.get(place, [f"## {title}"])
        taken = count_tokens(section[0]) if place not in self.sections else 0
        shown = 0
        for text in texts:
            cost = count_tokens(text + "\n")
            if taken + cost > left:
                self.left_out.append(f"{len(texts) - shown} of {what}")
                break
            taken, shown = taken + cost, shown + 1
        if shown:
            self.sections[place] = [*section, *texts[:shown]]
            self.tokens += taken
        return shown

    def prompt(self, cards: tuple[str, ...]) -> Prompt:
        """The prompt, its sections in order."""
        parts = ["\n".join(self.sections[place]) for place in sorted(self.sections)]
        return Prompt(
            self.system, "\n\n".join(parts) + "\n", self.tokens, cards, tuple(self.left_out)
        )


def _fence(code: str) -> str:
    return f"```python\n{code}\n```"


def _wanted(task: Task) -> str:
    lines = [f"Write {', '.join(task.names)}."]
    text = lines_of(task.source)
    for number, hole in enumerate(task.holes, 1):
        code = text[hole.line - 1].strip() if hole.line <= len(text) else ""
        lines.append(f"{number}. `{code}`: {hole.message}")
    if task.holes and is_open(task.port):
        lines.append("In the port these places stand below the comment `# torchport: not ported`.")
    return "\n".join(lines)


def _wrong(task: Task) -> str:
    parts = [f"Your last reply could not be used. {task.rejected}"] if task.rejected else []
    parts += [f"{item.name}: {item.text}" for item in task.feedback]
    return "\n".join(parts)


def _card(card: Card) -> str:
    apis = f" ({', '.join(card.apis)})" if card.apis else ""
    return (
        f"- {card.title}{apis}\n  wrong: {_one(card.wrong)}\n  right: {_one(card.right)}\n"
        f"  why: {_one(card.why)}"
    )


def _one(text: str) -> str:
    """A text of one line as it is, one of several lines below its head."""
    lines = text.strip("\n").splitlines()
    return lines[0] if len(lines) == 1 else "\n" + "\n".join(f"    {line}" for line in lines)
