"""`torchport explain`: what is known of a torch API, or what a finding's code means."""

from __future__ import annotations

import ast
import difflib
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchport_translators.bugs import Record, about, card
from torchport_translators.catalogue.load import Catalogue, Rule, catalogue
from torchport_translators.families import family_of
from torchport_translators.findings import CODES

_REWRITES = Path(__file__).parent / "rewrites"
_ALIASES = {
    "F": "torch.nn.functional",
    "functional": "torch.nn.functional",
    "nn": "torch.nn",
    "optim": "torch.optim",
    "Tensor": "torch.Tensor",
    "tensor": "torch.Tensor",
}
_NEAR = 5


class UnknownName(Exception):
    """Nothing is known under this name; the message says so, and which names are near."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say of one rule, name, rewrite or code.

    Attributes:
        kind: "rule", "name", "rewrite", "code", "no rule", or "mistake" (a bug record).
        title: the APIs, the code, or the mistake.
        place: the file of the catalogue or the record, the severity of a code, or the family of APIs
            without a rule.
        signature: of a rule, as a call takes its arguments.
        text: for the reader.
        code: the rule's text in the target, what a name becomes, or a rewrite's example.
    """

    kind: str
    title: str
    place: str
    signature: str
    text: str
    code: str


def explain(name: str, target: str = "jax") -> list[Explanation]:
    """What is known of `name`: a torch API in full or as people write it, or a finding's code.

    Raises:
        UnknownName: nothing is.
    """
    if name in CODES:
        severity, text = CODES[name]
        return [Explanation("code", name, severity.value, "", text, "")]
    known = catalogue(target)
    apis = _resolve(name, known)
    found: list[Explanation] = []
    rules = {rule: None for api in apis for rule in known.find(api)}
    found += [_rule(rule, target) for rule in rules]
    for api in apis:
        if api in known.names:
            found.append(
                Explanation("name", api, f"{target}/names.py", "", "Stands for:", known.names[api])
            )
        found += _rewrites(api, target)
    unique = list(dict.fromkeys(found)) or _families(name, apis)
    if not unique:
        raise UnknownName(_unknown(name, known))
    return unique + [_mistake(record) for record in about(apis, target)]


def _mistake(record: Record) -> Explanation:
    shown = card(record)
    code = f"# wrong\n{shown.wrong}\n\n# right\n{shown.right}"
    return Explanation(
        "mistake", record.title, f"bugs/records/{record.id}.md", "", record.why, code
    )


def _families(name: str, apis: Sequence[str]) -> list[Explanation]:
    """Why there is no rule, where that is known."""
    guesses = [f"torch.{name}", f"torch.Tensor.{name}"] if "." not in name else []
    for api in (*apis, *guesses):
        family = family_of(api)
        if family is not None:
            return [Explanation("no rule", api, family.name, "", family.text, "")]
    return []


def _resolve(name: str, known: Catalogue) -> list[str]:
    """The APIs that a reader may mean by `name`."""
    head, _, last = name.rpartition(".")
    if name.startswith("torch."):
        choices = [name]
    elif head in _ALIASES:
        choices = [f"{_ALIASES[head]}.{last}"]
    elif head:
        choices = [f"torch.{name}", f"torch.Tensor.{last}"]
    else:
        everything = (*known.apis(), *known.names, *_rewritten())
        choices = sorted({api for api in everything if api.rpartition(".")[2] == name})
    plain = [known.home(api) for api in choices]
    in_place = [f"torch.Tensor.{name[:-1]}"] if name.endswith("_") and not head else []
    return [*choices, *plain, *in_place]


def _rule(rule: Rule, target: str) -> Explanation:
    code = ast.get_source_segment(rule.module.text, rule.node) or ""
    dropped = (
        "Supported are the arguments above; with another the call stays as it is, and is told."
    )
    shape = "" if rule.jit else "The result's shape depends on values: it does not work under jit."
    text = "\n".join(part for part in (rule.doc, shape, dropped) if part)
    return Explanation(
        "rule",
        ", ".join(rule.apis),
        f"{target}/{rule.module.name}.py",
        f"{rule.name}{_signature(rule)}",
        text,
        code,
    )


def _signature(rule: Rule) -> str:
    parts: list[str] = []
    starred = False
    for param in rule.params:
        if param.form == "keyword" and not starred:
            parts.append("*")
            starred = True
        starred = starred or param.form == "vararg"
        if param.name == "rngs" and param.form == "keyword":
            continue  # the port's own, not torch's
        stars = {"vararg": "*", "kwarg": "**"}.get(param.form, "")
        annotation = f": {param.annotation}" if param.annotation else ""
        equals = " = " if annotation else "="
        default = f"{equals}{ast.unparse(param.default)}" if param.default is not None else ""
        parts.append(f"{stars}{param.name}{annotation}{default}")
    if parts and parts[-1] == "*":
        parts.pop()
    return f"({', '.join(parts)})"


def _rewritten() -> set[str]:
    """The torch names that rewrites speak of."""
    return {
        api for text in _rewrite_texts().values() for api in re.findall(r'"(torch\.[\w.]+)"', text)
    }


def _rewrite_texts() -> dict[str, str]:
    return {path.stem: path.read_text("utf-8") for path in sorted(_REWRITES.glob("*.py"))}


def _rewrites(api: str, target: str) -> list[Explanation]:
    found: list[Explanation] = []
    for stem, text in _rewrite_texts().items():
        if f'"{api}"' not in text:
            continue
        doc = ast.get_docstring(ast.parse(text)) or ""
        title, example, rest = _sections(doc, target)
        if example:
            found.append(
                Explanation("rewrite", api, f"rewrites/{stem}.py", "", f"{title}\n{rest}", example)
            )
    return found


def _sections(doc: str, target: str) -> tuple[str, str, str]:
    """A rewrite's first paragraph, its example for `target`, and the reasons that follow."""
    title, _, body = doc.partition("\nBefore:\n")
    heads = re.split(r"^((?:After \(\w+\)|Why|When not)):\n", body, flags=re.MULTILINE)
    sections = dict(zip(heads[1::2], heads[2::2], strict=True))
    after = sections.get(f"After ({target})")
    if after is None:
        return "", "", ""
    example = f"# torch\n{_dedent(heads[0])}\n\n# {target}\n{_dedent(after)}"
    reasons = [
        f"{head}: {' '.join(sections[head].split())}"
        for head in ("Why", "When not")
        if head in sections
    ]
    return title.strip(), example, "\n".join(reasons)


def _dedent(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


def _unknown(name: str, known: Catalogue) -> str:
    names = [*known.apis(), *known.names, *CODES]
    near = _nearest(name, names)
    message = f"No rule, name or finding is called {name}."
    if not near:
        return f"{message} Give a torch API (torch.nn.Linear, F.relu, view) or a finding's code."
    return f"{message} Near it: {', '.join(near)}."


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    last = {n.rpartition(".")[2].lower(): n for n in reversed(names)}
    whole = difflib.get_close_matches(name, names, _NEAR, 0.75)
    short = difflib.get_close_matches(name.rpartition(".")[2].lower(), list(last), _NEAR, 0.7)
    return list(dict.fromkeys([*whole, *(last[s] for s in short)]))[:_NEAR]
