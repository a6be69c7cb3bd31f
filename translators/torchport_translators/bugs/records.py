"""A bug record: its file, read and written."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from packaging.requirements import InvalidRequirement, Requirement

from torchport_translators.bugs.patterns import Match, Pattern, PatternError
from torchport_translators.files import write_port
from torchport_translators.findings import Target

SHIPPED = Path(__file__).parent / "records"

CATEGORIES = {
    "activation": "an activation has another formula, slope or approximation",
    "aliasing": "two names share memory in torch, and do not in the port, or the other way round",
    "api-structure": "modules or functions are put together in another way: missing parts, order",
    "attention": "scale, mask, causal offset or layout of attention",
    "axes": "an operation goes along another axis, or keeps it",
    "broadcasting": "shapes are stretched along other axes",
    "complex": "conjugation, real and imaginary parts",
    "control-flow": "a branch or a loop is taken otherwise",
    "convolution": "padding, dilation, groups, flipping of kernels",
    "defaults": "an argument that is not given means something else in the target",
    "distributions": "a random distribution is parametrised otherwise",
    "division": "rounding of quotients, signs of remainders, integers",
    "dropout": "rate, scaling or mode of dropout",
    "dtype": "the result has another dtype, or is computed in another one",
    "embedding": "padding index, renormalisation, bags",
    "fft": "norm, sides or shifts of a Fourier transform",
    "gradient-corners": "another gradient at ties, zeros, bounds",
    "gradient-flow": "a gradient is cut off, or flows where it should not",
    "in-place": "a change in place is lost, or reaches too far",
    "indexing": "negative steps, boolean and mixed indices",
    "initialisation": "parameters start from another distribution",
    "interpolation": "corners, scale factors, rounding of coordinates",
    "jit-tracing": "values that a compiled function keeps from its first run, or cannot look at",
    "layout": "channels first or last, transposed weights",
    "linear-algebra": "conventions of decompositions and solvers",
    "losses": "reduction, weights, logits against probabilities",
    "masks": "what True means, fully masked rows, filling",
    "nan-inf": "what becomes of NaN and infinity",
    "normalisation": "epsilon, statistics, axes of a norm",
    "numerics": "a formula that cancels, overflows or underflows",
    "optimizers": "update rules and their defaults",
    "out-of-range": "indices outside the array: an error in torch, something else in the target",
    "overflow": "integers that wrap, saturate or do not fit",
    "padding": "modes and order of padding",
    "pooling": "padding, ceil mode, what counts",
    "promotion": "dtypes of mixed operands",
    "random-state": "keys used twice, streams that are not drawn from",
    "recurrent": "gates, biases, directions, states of recurrent layers",
    "reductions": "corrections, empty and boolean reductions",
    "scatter": "what becomes of several writes to one place",
    "schedules": "learning rates over steps",
    "shapes": "results of another shape",
    "sorting": "order, stability, ties, which index",
    "train-state": "running statistics, and what differs between training and evaluation",
}
"""What kinds of mistake there are; each record is of one."""

_BLOCK = re.compile(r"^```python (torch|wrong|fixed)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FORM = re.compile(
    r"\+\+\+\n(?P<head>.*?)^\+\+\+\n+# (?P<title>[^\n]+)\n(?P<rest>.*)", re.DOTALL | re.M
)
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TEXTS = ("target", "category", "symptom", "seen")
_FIELDS = {*_TEXTS, "apis", "versions", "check", "fix"}


class RecordError(ValueError):
    """A file is not a record; the message says where and what is wrong."""


@dataclass(frozen=True, slots=True)
class Fix:
    """A mistake as a pattern, and what stands in its place (`patterns.py`)."""

    find: Pattern
    replace: str

    def apply(self, text: str) -> str | None:
        """The text with the mistake mended wherever it is; None where it is not in it."""
        return self.find.replaced(text, self.replace)

    def places(self, text: str, lines: range | None = None) -> list[Match]:
        """Where the mistake is in a text, and what mends it; `lines` are those (from 1) to look at."""
        return self.find.matches(text, self.replace, lines)


@dataclass(frozen=True, slots=True)
class Record:
    """One mistake in porting: an original with a wrong port, and the port that is right.

    Attributes:
        id: the target and the file's name without its ending: `jax/var-correction`.
        title: what is wrong, in a sentence.
        category: one of `CATEGORIES`.
        apis: the full torch names whose port goes wrong.
        symptom: how it shows, for someone who does not know it.
        seen: where it was reported or documented, or "measured".
        versions: requirements (`jax>=0.4`) of the target with which the wrong port is wrong; empty for
            every version.
        why: the reason, as Markdown.
        full: whether only a full check notices it, not a quick one.
        torch, wrong, fixed: definitions of one name; the usual imports stand above them.
    """

    id: str
    target: Target
    title: str
    category: str
    apis: tuple[str, ...]
    symptom: str
    seen: str
    versions: tuple[str, ...]
    why: str
    full: bool
    torch: str
    wrong: str
    fixed: str
    fixes: tuple[Fix, ...] = ()
    path: Path | None = None

    def holds(self, versions: Mapping[str, str]) -> bool:
        """Whether the wrong port is wrong with these versions of packages; of others it is said to be."""
        requirements = map(Requirement, self.versions)
        return all(
            r.specifier.contains(versions[r.name], True) for r in requirements if r.name in versions
        )

    @property
    def definition(self) -> str:
        """The name of what is ported: the last definition of the original."""
        return _definitions(self.torch)[-1]

    def texts(self) -> dict[str, str]:
        """The files' texts with their imports: `torch`, `wrong` and `fixed`."""
        own = IMPORTS[self.target]
        return {
            "torch": IMPORTS["torch"] + self.torch,
            "wrong": own + self.wrong,
            "fixed": own + self.fixed,
        }


IMPORTS = {
    "torch": "import math\n\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n\n",
    "jax": "import math\n\nimport jax\nimport jax.numpy as jnp\nimport optax\nfrom flax import nnx\n"
    "from jax import lax\n\n\n",
    "mlx": "import math\n\nimport mlx.core as mx\nimport mlx.nn as nn\n"
    "import mlx.optimizers as optim\nfrom mlx.utils import tree_map\n\n\n",
}
"""What every record may use without importing it."""


def _definitions(code: str) -> list[str]:
    nodes = ast.parse(code).body
    return [n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)]


def parse_record(text: str, name: str, path: Path | None = None) -> Record:
    """Read the text of a record.

    Args:
        name: the file's name without its ending.

    Raises:
        RecordError: it is not of the form that docs/bug-records.md gives.
    """
    place = str(path or name)

    def need(condition: object, message: str) -> None:
        if not condition:
            raise RecordError(f"{place}: {message}")

    found = _FORM.fullmatch(text.replace("\r\n", "\n"))
    if found is None:
        raise RecordError(
            f"{place}: a record begins with TOML between two lines of +++, and a heading (# ...)."
        )
    need(_NAME.fullmatch(name), f"{name!r} is no name for a record: use-words-like-this.")
    try:
        head = tomllib.loads(found["head"])
    except tomllib.TOMLDecodeError as error:
        raise RecordError(f"{place}: {error} (of the lines between +++).") from error
    unknown = set(head) - _FIELDS
    need(
        not unknown, f"unknown: {', '.join(sorted(unknown))}. Known: {', '.join(sorted(_FIELDS))}."
    )
    for key in _TEXTS:
        need(isinstance(head.get(key), str) and head[key], f'{key} = "..." is missing.')
    need(head["target"] in tuple(Target), f"target is one of {', '.join(Target)}.")
    category = head["category"]
    need(category in CATEGORIES, f"no category {category!r}; there are {', '.join(CATEGORIES)}.")
    need(head.get("check", "quick") in ("quick", "full"), 'check is "quick" or "full".')
    blocks: dict[str, str] = dict(_BLOCK.findall(found["rest"]))
    for kind in ("torch", "wrong", "fixed"):
        need(kind in blocks, f"the block ```python {kind} is missing.")
        try:
            need(_definitions(blocks[kind]), f"the block {kind} defines no function or class.")
        except SyntaxError as error:
            raise RecordError(f"{place}: the block {kind} does not parse: {error}.") from error
    last = {kind: _definitions(code)[-1] for kind, code in blocks.items()}
    need(len(set(last.values())) == 1, f"the blocks define different names last: {last}.")
    why = found["rest"][: _BLOCK.search(found["rest"]).start()].strip()  # type: ignore[union-attr]
    need(why, "a paragraph below the heading says why.")
    versions = _strings(head, "versions", place, ())
    for version in versions:
        try:
            Requirement(version)
        except InvalidRequirement as error:
            raise RecordError(
                f"{place}: {version!r} is no requirement such as jax>=0.4."
            ) from error
    return Record(
        id=f"{head['target']}/{name}",
        target=Target(head["target"]),
        title=found["title"].strip(),
        category=category,
        apis=_strings(head, "apis", place),
        symptom=head["symptom"],
        seen=head["seen"],
        versions=versions,
        why=why,
        full=head.get("check") == "full",
        torch=blocks["torch"],
        wrong=blocks["wrong"],
        fixed=blocks["fixed"],
        fixes=tuple(_fixes(head.get("fix", []), place)),
        path=path,
    )


def _strings(
    head: Mapping[str, object], key: str, place: str, default: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    value = head.get(key, default)
    if default is not None and value is default:
        return default
    items = cast("list[object]", value) if isinstance(value, list) else []
    strings = [item for item in items if isinstance(item, str)]
    if not items or len(strings) != len(items):
        raise RecordError(f'{place}: {key} is a list of strings, e.g. ["torch.var"].')
    return tuple(strings)


def _fixes(tables: object, place: str) -> Iterable[Fix]:
    if not isinstance(tables, list):
        raise RecordError(f"{place}: fixes are written as [[fix]].")
    for table in cast("list[Any]", tables):
        try:
            new = Pattern(table["replace"])
            yield Fix(Pattern(table["find"], statement=not new.is_expression), new.text)
        except (KeyError, TypeError) as error:
            raise RecordError(f"{place}: a [[fix]] has the strings find and replace.") from error
        except PatternError as error:
            raise RecordError(f"{place}: {error}") from error


def read_records(folder: Path) -> list[Record]:
    """The records of a folder and its sub-folders, by name.

    Raises:
        RecordError: one of them is none, or a name is used twice.
        OSError: a file cannot be read.
    """
    records: dict[str, Record] = {}
    for path in sorted(folder.rglob("*.md")):
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(f"{path}: it is not UTF-8 ({error.reason}).") from error
        record = parse_record(text, path.stem, path)
        if record.id in records:
            raise RecordError(f"{path}: {records[record.id].path} has the same name.")
        records[record.id] = record
    return list(records.values())


@lru_cache(maxsize=1)
def _shipped() -> tuple[Record, ...]:
    return tuple(read_records(SHIPPED))


def corpus(target: str | None = None) -> list[Record]:
    """The records that torchport ships, of one target or of all."""
    return [record for record in _shipped() if target in (None, record.target)]


def record_text(record: Record) -> str:
    """A record as its file has it."""
    import tomlkit

    head = tomlkit.document()
    for key in _TEXTS:
        head[key] = str(getattr(record, key))
    head["apis"] = list(record.apis)
    if record.versions:
        head["versions"] = list(record.versions)
    if record.full:
        head["check"] = "full"
    if record.fixes:
        head["fix"] = [{"find": fix.find.text, "replace": fix.replace} for fix in record.fixes]
    blocks = "\n".join(
        f"```python {kind}\n{getattr(record, kind).strip()}\n```\n"
        for kind in ("torch", "wrong", "fixed")
    )
    return f"+++\n{tomlkit.dumps(head)}+++\n\n# {record.title}\n\n{record.why.strip()}\n\n{blocks}"


def write_record(record: Record, folder: Path) -> Path:
    """Write a record's file into the target's folder of a folder, and return its path.

    Raises:
        RecordError: what was written would not read as the same record.
        FileExistsError: there is a record of this name.
        OSError: the file cannot be written.
    """
    path = folder / f"{record.id}.md"
    text = record_text(record)
    parse_record(text, path.stem, path)
    if path.exists():
        raise FileExistsError(f"{path} is there already; give another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_port(path, text.encode())
    return path
