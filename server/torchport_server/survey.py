"""What the server asks of the translator, in a process of its own.

Reading a file of thousands of lines takes a second of Python; in a thread it would hold up every
other answer. All of this is pure, and what it takes and gives can be pickled.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from torchport_checks.spec import Spec, SpecError, read_specs
from torchport_checks.verdicts import DefinitionVerdict
from torchport_translators.batch import Plan, translate_beside
from torchport_translators.bugs import about
from torchport_translators.catalogue.load import catalogue
from torchport_translators.emit.header import digest, read_header
from torchport_translators.emit.merge import Merged, merge
from torchport_translators.explain import UnknownName, explain
from torchport_translators.findings import Finding, Span
from torchport_translators.llm.settings import ModelSettings
from torchport_translators.source.infer import Inference
from torchport_translators.source.syntax import Node, Source, top_level
from torchport_translators.source.uses import named_uses
from torchport_translators.translate import translate

_PITFALLS = 5
_TORCH = re.compile(r"\btorch\b")
_IMPORTS = ("import_statement", "import_from_statement")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of what a check calls: where its name ends."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Outline:
    """A top-level function or class: its lines (from 1), where its name stands, and its hash, with
    that of its check comment.

    `parameters` are those of the function, or of the class's `forward` or `__call__`.
    """

    name: str
    line: int
    end_line: int
    column: int
    digest: str
    names: frozenset[str]
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """A use of torch's API: where its name stands (lines from 1, columns from 0)."""

    line: int
    column: int
    end_line: int
    end_column: int
    api: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to know of a text without running it.

    Attributes:
        rest: hash of what is outside the top-level definitions.
        torch: whether it is code that can be ported (and no port itself).
        explained: Markdown for each API in `uses`.
        pitfalls: the known mistakes in porting those that have any.
    """

    outlines: tuple[Outline, ...] = ()
    rest: str = ""
    torch: bool = False
    findings: tuple[Finding, ...] = ()
    uses: tuple[Use, ...] = ()
    explained: dict[str, str] = field(default_factory=dict[str, str])
    pitfalls: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def at(self, line: int) -> Outline | None:
        """The definition that a line (from 1) is in."""
        return next((o for o in self.outlines if o.line <= line <= o.end_line), None)

    def of(self, name: str) -> Outline | None:
        return next((o for o in self.outlines if o.name == name), None)


def survey(text: str, target: str) -> Survey:
    """Read a text: a source, a port, or anything else; of what nests too deeply nothing is known."""
    try:
        return _survey(text, target)
    except RecursionError:
        return Survey()


def _survey(text: str, target: str) -> Survey:
    source = Source(text)
    specs = read_specs(text)
    outlines = tuple(
        _outline(source, name, node, specs.get(name)) for name, node in top_level(source)
    )
    rest = _rest(source)
    if read_header(text) is not None or not _TORCH.search(text):
        return Survey(outlines, rest)
    translation = translate(text, target)
    uses = tuple(_uses(source, Inference(source, catalogue(target))))
    explained = {use.api: explained_in_markdown(use.api, target) for use in uses}
    pitfalls = {api: _pitfalls(api, target) for api in explained if about([api], target)}
    return Survey(outlines, rest, True, translation.findings, uses, explained, pitfalls)


def _outline(source: Source, name: str, outer: Node, spec: Spec | SpecError | None) -> Outline:
    node = outer.get("definition") or outer
    line, _ = source.position(outer.start)
    end, _ = source.position(max(outer.end - 1, outer.start))
    called = node
    if node.type == "class_definition":
        methods = source.nodes("function_definition", node)
        wanted = [m for m in methods if _name(source, m) in ("forward", "__call__")]
        called = wanted[0] if wanted else None
    names = {source[n] for n in source.nodes("identifier", outer)} - {name}
    return Outline(
        name,
        line,
        end,
        source.position(node["name"].start)[1],
        digest(source[outer] + _pinned(spec)),
        frozenset(names),
        tuple(_parameters(source, called)) if called is not None else (),
    )


def _pinned(spec: Spec | SpecError | None) -> str:
    """What a check comment asks for, wherever it stands."""
    return str(spec or "") if not isinstance(spec, Spec) else repr(replace(spec, line=0))


def _name(source: Source, node: Node) -> str:
    name = node.get("name")
    return source[name] if name is not None else ""


def _parameters(source: Source, function: Node) -> list[Parameter]:
    found: list[Parameter] = []
    parameters = function.get("parameters")
    for child in parameters.named() if parameters is not None else ():
        name = child if child.type == "identifier" else child.get("name")
        if name is None and child.type == "typed_parameter":
            name = child.children[0]
        if name is not None and name.type == "identifier":
            found.append(Parameter(source[name], *source.position(name.end)))
    return found


def _rest(source: Source) -> str:
    parts: list[str] = []
    at = 0
    for _, node in top_level(source):
        parts.append(source.text[at : node.start])
        at = node.end
    parts.append(source.text[at:])
    lines = [line.strip() for line in "".join(parts).splitlines()]
    code = "\n".join(line for line in lines if line and not line.startswith("#"))
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()


def _uses(source: Source, inference: Inference) -> list[Use]:
    return [
        Use(*source.position(start), *source.position(end), api)
        for start, end, api in named_uses(inference)
    ]


@lru_cache(maxsize=4096)
def explained_in_markdown(api: str, target: str) -> str:
    """What an API becomes in the target, for a hover."""
    try:
        found = [item for item in explain(api, target) if item.kind != "mistake"]
    except UnknownName:
        return f"`{api}`: torchport has no rule for it; a call stays as it is, and is marked."
    parts: list[str] = []
    pitfalls = _pitfalls(api, target)
    for item in found[:2]:
        head = f"**{item.title}** → {'JAX' if target == 'jax' else 'MLX'}"
        code = f"```python\n{_shortened(item.code)}\n```" if item.code else ""
        parts.append("\n\n".join(p for p in (head, code, item.text) if p))
    if pitfalls:
        parts.append("\n".join(("**Known mistakes**", "", *(f"- {title}" for title in pitfalls))))
    return "\n\n---\n\n".join(parts)


def _pitfalls(api: str, target: str) -> tuple[str, ...]:
    found = about([api], target)[:_PITFALLS]
    return tuple(f"{record.title} ({record.id})" for record in found)


def _shortened(code: str) -> str:
    """A rule without its docstring, which stands below it, and without its decorators."""
    try:
        (node,) = ast.parse(code).body
    except (SyntaxError, ValueError):
        return code
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        return code
    first = node.body[0]
    lines = code.splitlines()
    has_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    if has_doc and first.end_lineno is not None and len(node.body) > 1:
        del lines[first.lineno - 1 : first.end_lineno]
    lines = lines[node.lineno - 1 :]
    return "\n".join(lines if len(lines) <= 24 else [*lines[:24], "    ..."])


def prompt_text(
    source: str,
    name: str,
    target: str,
    names: Sequence[str],
    settings: ModelSettings,
    verdicts: Sequence[DefinitionVerdict],
) -> tuple[str, str]:
    """A prompt for what the rules left open, or diverges, to be pasted into a chat; or why there is
    none."""
    from torchport_checks.repair import feedback_of
    from torchport_translators.llm.prompt import PromptProblem, prompt_for

    try:
        prompt = prompt_for(
            source,
            name,
            translate(source, target, name=name),
            target,
            names,
            settings=settings,
            feedback=[feedback_of(verdict) for verdict in verdicts],
        )
    except PromptProblem as problem:
        return "", str(problem)
    return f"{prompt.system}\n\n{prompt.user}", ""


def drifted(source: str, port: str) -> tuple[str, ...]:
    """The definitions of a source that have changed since the port was made."""
    header = read_header(port)
    if header is None:
        return ()
    now = {name: digest(Source(source)[node]) for name, node in top_level(Source(source))}
    return tuple(name for name, was in header.definitions.items() if now.get(name, was) != was)


def merged(port: str, source: str, path: Path, names: Sequence[str], plan: Plan) -> Merged:
    """`merge`, for the process pool: with what the files around the source define."""
    translation = translate_beside(source, path, plan)
    return merge(port, source, path.name, names, plan.target, translation=translation)


def ported_in_place(text: str, start: int, end: int, target: str) -> list[tuple[int, int, str]]:
    """The edits that port a selection where it stands: its imports go to those of the file."""
    translation = translate(text, target, Span(start, end))
    span = translation.span or Span(start, end)
    port = Source(translation.text)
    imports = [n for n in port.root.children if n.type in _IMPORTS]
    kept = translation.text[imports[-1].end :].lstrip("\r\n") if imports else translation.text
    source = Source(text)
    present = {source[n].strip() for n in source.root.children if n.type in _IMPORTS}
    missing = [port[n] for n in imports if port[n].strip() not in present]
    inside = source.text[span.start : span.end]
    replaced = textwrap.indent(kept, inside[: len(inside) - len(inside.lstrip(" \t"))])
    edits = [(span.start, span.end, replaced.rstrip("\r\n"))]
    if missing:
        tops = [n for n in source.root.children if n.type in _IMPORTS and n.end <= span.start]
        at = source.next_line(tops[-1].end) if tops else 0
        newline = "\r\n" if "\r\n" in text else "\n"
        edits.insert(0, (at, at, "".join(f"{line}{newline}" for line in missing)))
    return edits


def changed_lines(old: str, new: str) -> list[int]:
    """The lines (from 1) of `new` that are not as they were in `old`."""
    matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    found: list[int] = []
    for tag, _, _, first, last in matcher.get_opcodes():
        if tag != "equal":
            found.extend(range(first + 1, max(last, first + 1) + 1))
    return found
