"""Which bug records matter for a piece of code, an error, or both.

The score of a record is three times the overlap of its torch names with those of the code, each name
weighed by how rare it is, plus BM25 over words (Robertson and Zaragoza, "The Probabilistic Relevance
Framework", 2009) and the overlap of code features. Records are then taken greedily, those of names that
no record taken so far is about first. No service, no model, and the same answer every time.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from torchport_translators.bugs.records import Record, corpus
from torchport_translators.catalogue.load import catalogue
from torchport_translators.source import kinds as k
from torchport_translators.source.infer import Inference
from torchport_translators.source.syntax import Source
from torchport_translators.source.uses import named_uses, other_uses

CARDS = 6
"""How many records a prompt gets unless told otherwise."""

_K1, _B = 1.2, 0.75  # BM25's usual constants
_NAMES, _FEATURES = 3.0, 2.0
_SEEN = 0.7
"""What a record is worth whose names all are those of records taken before it."""

_WORD = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?(?:e-?\d+)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "def",
        "for",
        "from",
        "if",
        "in",
        "is",
        "it",
        "its",
        "not",
        "of",
        "on",
        "or",
        "return",
        "self",
        "so",
        "than",
        "that",
        "the",
        "them",
        "then",
        "there",
        "to",
        "torch",
        "nn",
        "import",
        "x",
        "y",
    ]
)
_CUES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "in-place": r"\.\w+_\(|[-+*/@|&]=[^=]",
        "indexed-assignment": r"\w\[[^\]=]*\]\s*[-+*/|&]?=[^=]",
        "control-flow": r"^\s*(?:if|while)\b",
        "loop": r"^\s*for\b",
        "layout": r"permute|transpose|conv|Conv|pool|Pool|interpolate|channels",
        "loss": r"loss|Loss|entropy|nll",
        "optimizer": r"optim|backward|\.step\(",
        "dtype": r"dtype|\.(?:half|float|double|int|long|bool|to|type)\(|\bfloat16|\bint\d",
        "random": r"rand|dropout|Dropout|seed|bernoulli|multinomial|normal_",
        "mask": r"mask|where|tril|triu",
        "norm": r"[nN]orm|\beps\b|momentum",
        "recurrent": r"LSTM|GRU|RNN|hidden",
        "module": r"nn\.Module|nnx\.Module",
        "gradient": r"grad|detach|requires_grad",
        "division": r"//|%|div|fmod|remainder",
        "nan": r"nan|inf\b|isfinite",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Card:
    """A record in a few lines: the mistake, what is right, and why."""

    id: str
    title: str
    apis: tuple[str, ...]
    wrong: str
    right: str
    why: str

    @property
    def text(self) -> str:
        """As a prompt has it."""
        head = f"{self.title} ({', '.join(self.apis)})"
        return f"{head}\nwrong: {self.wrong}\nright: {self.right}\nwhy: {self.why}"


def card(record: Record) -> Card:
    """The lines in which the wrong port and the fixed one differ."""
    wrong, right = record.wrong.splitlines(), record.fixed.splitlines()
    matcher = difflib.SequenceMatcher(None, wrong, right, autojunk=False)
    lost: list[str] = []
    made: list[str] = []
    for tag, first, last, start, stop in matcher.get_opcodes():
        if tag != "equal":
            lost += wrong[first:last]
            made += right[start:stop]
    return Card(
        record.id,
        record.title,
        record.apis,
        " | ".join(line.strip() for line in lost) or "(a line is missing)",
        " | ".join(line.strip() for line in made) or "(without that line)",
        " ".join(record.why.split()),
    )


def cards(
    source: str,
    target: str,
    *,
    limit: int = CARDS,
    error: str = "",
    exclude: Collection[str] = (),
    records: Sequence[Record] = (),
) -> list[Card]:
    """The cards of the records that matter most for a source, the best first.

    Args:
        source: PyTorch code, or any text.
        target: what it is ported to: `jax` or `mlx`.
        limit: how many at most; 0 gives none.
        error: what a check said of the port, if there was one.
        exclude: ids of records to leave out.
        records: the project's own, besides those that torchport ships.
    """
    index = _own_index(target, tuple(records)) if records else _index(target)
    found = index.ranked(Query.of(source, target, error), exclude)
    return [card(record) for record in _covering(found, limit)]


def about(apis: Iterable[str], target: str) -> list[Record]:
    """The records about any of these full torch names, or their other spellings."""
    wanted = same_names(apis)
    return [r for r in corpus(target) if any(_plain(api) in wanted for api in r.apis)]


@dataclass(frozen=True, slots=True)
class Query:
    """What a record is looked for by: torch names, words, and features of the code."""

    apis: frozenset[str]
    words: frozenset[str]
    features: frozenset[str]

    @classmethod
    def of(cls, source: str, target: str, error: str = "") -> Query:
        return cls(
            frozenset(apis_of(source, target)),
            frozenset(_words(f"{source}\n{error}")),
            features(source),
        )


def apis_of(source: str, target: str) -> set[str]:
    """The full names of torch's API that a source uses, operators included.

    What nothing is known of is taken for a tensor: a record too many does no harm.
    """
    try:
        inference = Inference(Source(source), catalogue(target))
        found = {api for _, _, api in (*named_uses(inference), *other_uses(inference))}
        return found | _of_unknown(inference)
    except RecursionError:
        return set()  # nested too deeply to be read


def _of_unknown(inference: Inference) -> set[str]:
    source = inference.source
    found: set[str] = set()
    for node in (*source.nodes("attribute"), *source.nodes("subscript")):
        owner = node.get("object") or node.get("value")
        if owner is None or owner.kind != k.UNKNOWN:
            continue
        name = node.get("attribute")
        api = f"torch.Tensor.{source[name] if name is not None else '__getitem__'}"
        if name is None or inference.catalogue.find(api):
            found.add(api)
    return found


def features(text: str) -> frozenset[str]:
    """What kinds of code there are in a text."""
    return frozenset(
        name
        for name, pattern in _CUES.items()
        if any(pattern.search(line) for line in text.splitlines())
    )


def _words(text: str) -> list[str]:
    """Lower-case words; names come apart at underscores and capitals."""
    found = (part for word in _WORD.findall(text) for part in _CAMEL.split(word))
    return [word for word in map(str.lower, found) if word not in _COMMON]


@dataclass(slots=True)
class _Index:
    """What is counted once for all queries."""

    records: Sequence[Record]
    weights: dict[str, float] = field(default_factory=dict[str, float])
    by_api: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    by_word: dict[str, list[tuple[int, float]]] = field(
        default_factory=dict[str, list[tuple[int, float]]]
    )
    features: list[frozenset[str]] = field(default_factory=list[frozenset[str]])

    def __post_init__(self) -> None:
        count = len(self.records)
        texts = [_words(_text(record)) for record in self.records]
        average = sum(map(len, texts)) / max(count, 1) or 1.0
        for at, (record, words) in enumerate(zip(self.records, texts, strict=True)):
            for api in record.apis:
                self.by_api.setdefault(_plain(api), []).append(at)
            length = 1 - _B + _B * len(words) / average
            for word, times in Counter(words).items():
                weight = times * (_K1 + 1) / (times + _K1 * length)
                self.by_word.setdefault(word, []).append((at, weight))
            self.features.append(features(f"{record.torch}\n{record.wrong}"))
        for word, postings in self.by_word.items():
            idf = math.log(1 + (count - len(postings) + 0.5) / (len(postings) + 0.5))
            self.by_word[word] = [(at, weight * idf) for at, weight in postings]
        for api, places in self.by_api.items():
            self.weights[api] = math.log(1 + count / len(places))

    def ranked(self, query: Query, exclude: Collection[str] = ()) -> list[tuple[float, Record]]:
        """The records that have anything in common with a query, the best first."""
        scores: dict[int, float] = {}
        for api in {_plain(api) for api in query.apis}:
            for at in self.by_api.get(api, ()):
                scores[at] = scores.get(at, 0.0) + _NAMES * self.weights[api]
        for word in query.words:
            for at, weight in self.by_word.get(word, ()):
                scores[at] = scores.get(at, 0.0) + weight
        for at in scores:
            own = self.features[at]
            shared = len(own & query.features) / len(own | query.features or {""})
            scores[at] += _FEATURES * shared
        order = sorted(scores, key=lambda at: (-scores[at], self.records[at].id))
        return [
            (scores[at], self.records[at]) for at in order if self.records[at].id not in exclude
        ]


def _text(record: Record) -> str:
    return "\n".join(
        (record.title, record.symptom, record.category, record.why, record.torch, record.wrong)
    )


def same_names(apis: Iterable[str]) -> set[str]:
    """Full torch names, the spellings of one function as one."""
    return set(map(_plain, apis))


_SPELT = ("torch.nn.functional.", "torch.Tensor.", "torch.special.", "torch.")


def _plain(api: str) -> str:
    """One name for what torch has as a function, a method, and in place."""
    for prefix in _SPELT:
        name = api.removeprefix(prefix)
        if name != api and "." not in name:
            return name if name.startswith("__") else name.removesuffix("_")
    return api


def _covering(found: Iterable[tuple[float, Record]], limit: int) -> list[Record]:
    """The best records, of names that no better one is about first."""
    left = list(found)
    taken: list[Record] = []
    covered: set[str] = set()
    while left and len(taken) < limit:
        at = max(range(len(left)), key=lambda i: _worth(*left[i], covered))
        _, record = left.pop(at)
        taken.append(record)
        covered.update(map(_plain, record.apis))
    return taken


def _worth(score: float, record: Record, covered: Collection[str]) -> float:
    return score * (_SEEN if all(_plain(api) in covered for api in record.apis) else 1.0)


@lru_cache(maxsize=4)
def _index(target: str) -> _Index:
    return _Index(corpus(target))


@lru_cache(maxsize=4)
def _own_index(target: str, records: tuple[Record, ...]) -> _Index:
    return _Index([*corpus(target), *(r for r in records if r.target == target)])
