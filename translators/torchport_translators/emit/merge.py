"""`merge`: port some definitions of a source into a port that is there, and may have been edited.

A definition takes the place of the one of its name: with its decorators and the comments directly
above it, which speak of it. Where the port has none, it goes where the source has it. What it needs
and the port lacks comes along: imports, helpers, constants of the source. All else in the port
stays byte for byte, also what nothing needs any more.
"""

from __future__ import annotations

import builtins
import difflib
import re
import symtable
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from torchport_translators.emit.edits import Edits, newline_of
from torchport_translators.emit.header import (
    definition_digests,
    digest,
    edited_by_hand,
    head_lines,
    read_header,
    renewed,
    with_header,
    without_header,
)
from torchport_translators.emit.import_block import (
    after_docstring,
    bindings_of,
    blank_lines,
    import_statements,
    insert_imports,
    is_docstring,
    leading,
    line_end,
    next_line,
)
from torchport_translators.emit.imports import Import, names_in
from torchport_translators.findings import Target, Translation
from torchport_translators.source.syntax import Malformed, Node, Source, top_level
from torchport_translators.translate import translate

_NEWLINE = re.compile(r"\r\n?")
_ENDING = re.compile(r"\r\n|\r|\n")
_LITERAL = re.compile(r"\b(?:Literal|Annotated)\b")  # in these a string is a string
_STRAY = re.compile(r"\r(?!\n)")
_DEFINITION = re.compile(r"(?:async[ \t]+)?def\b|class\b|@")
_BUILTINS = frozenset((*dir(builtins), "__file__", "__path__"))
_BINDING = frozenset(("type_alias_statement", "assignment", "augmented_assignment"))


class MergeProblem(Exception):
    """Definitions cannot be put into a port; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A port with some of its source's definitions ported anew.

    Attributes:
        text: the port.
        translation: the source's whole translation.
        replaced: the definitions that took the place of others in the port.
        added: the names that the port lacked: of definitions, helpers, constants and imports.
        kept: names that the definitions use and that the port defines in its own way. They stay as
            they are: it may mean what the translation means, or not.
        missing: names that the definitions use and nothing in the port defines, as other
            definitions of the source that have not been ported yet.
        displaced: those of the replaced that the port's header does not know: helpers, or what its
            author wrote under the name. Other code of the port may mean them.
    """

    text: str
    translation: Translation
    replaced: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    displaced: tuple[str, ...] = ()


def merge(
    port: str,
    source: str,
    source_name: str,
    names: Sequence[str],
    target: Target | str = Target.JAX,
    *,
    translation: Translation | None = None,
) -> Merged:
    """Put the ports of a source's top-level functions and classes into its port.

    The hashes that the port's header has of them become those of the source now. The port counts as
    edited by hand if it did before, unless it now is what a translation of the whole source gives.
    An empty port gets a header; one without a header, which is the user's own file, gets none.

    Args:
        port: the port's text, perhaps edited; perhaps empty.
        source: the source's text.
        source_name: the source's file name, for the header and messages.
        names: of the definitions to port.
        target: the framework that the port is written in.
        translation: of the whole source, perhaps with another text; by default what the rules give.

    Raises:
        MergeProblem: the source has no such definition, it or the port does not parse, or the port
            is one to another framework.
        ValueError: `target` is not a target.
    """
    wanted = tuple(dict.fromkeys(names))
    translation = translation or translate(source, target, name=source_name)
    try:
        return _Merge(port, source, source_name, wanted, Target(target), translation).result()
    except (Malformed, RecursionError) as error:
        raise MergeProblem(f"{source_name} or its port cannot be read: {error}.") from error


def merge_written(
    port: str,
    source: str,
    source_name: str,
    names: Sequence[str],
    text: str,
    target: Target | str = Target.JAX,
) -> Merged:
    """Put definitions that somebody else wrote into the port of a source, as `merge` puts its own.

    They are the source's, in a text of their own with the imports and helpers that they need. The
    port counts as edited by hand afterwards: the rules alone would not write it so.

    Raises:
        MergeProblem: as `merge` does.
        ValueError: `target` is not a target.
    """
    wanted = tuple(dict.fromkeys(names))
    try:
        written = Translation(text)
        return _Merge(
            port, source, source_name, wanted, Target(target), written, by_rules=False
        ).result()
    except (Malformed, RecursionError) as error:
        raise MergeProblem(f"{source_name} or its port cannot be read: {error}.") from error


# Reading


@dataclass(frozen=True, slots=True)
class _Part:
    """A top-level statement, with the comments directly above it and beside it.

    Attributes:
        start: where its first line, or that of its comments, starts.
        end: where its last line ends; that of the last statement that shares it.
        text: what it says, in "\\n" line endings.
        code: without the comments.
        name: of the function or class that it defines.
        apart: a blank line stands above it.
        alone: no other statement shares its lines.
        movable: it can be copied for the names that it binds: it does nothing else.
        changes: the name of which it changes a part, as in `TABLE["a"] = 1`.
    """

    start: int
    end: int
    text: str
    code: str
    name: str | None
    apart: bool
    alone: bool
    movable: bool
    changes: str | None

    @property
    def binds(self) -> frozenset[str]:
        return _names(self.code)[0]

    @property
    def uses(self) -> frozenset[str]:
        return _names(self.code)[1]


@dataclass(slots=True)
class _File:
    """A text by its top-level statements.

    Attributes:
        imports: what its top-level imports bind, by name.
        future: the names that it imports from `__future__`.
        star: it imports `*` from somewhere.
        top: where the line of the last import at its top ends; None where there is no import.
    """

    text: str
    source: Source = field(init=False)
    parts: list[_Part] = field(init=False)
    imports: dict[str, list[Import]] = field(default_factory=dict[str, list[Import]])
    future: set[str] = field(default_factory=set[str])
    star: bool = False
    top: int | None = None
    _by_name: dict[str | None, list[_Part]] = field(default_factory=dict["str | None", list[_Part]])
    _comments: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.source = Source(self.text)
        top = set(import_statements(self.source)).intersection(self.source.root.children)
        for statement in top:
            self.star |= any(child.type == "wildcard_import" for child in statement.children)
            for binding in bindings_of(self.source, statement):
                if statement.type == "future_import_statement":
                    self.future.add(binding.what.module)
                else:
                    self.imports.setdefault(binding.name, []).append(binding.what)
        heads = head_lines(self.text)
        self._comments = {
            comment.start
            for comment in self.source.nodes("comment")
            if not any(start <= comment.start < end for start, end in heads)
        }
        self.parts = list(self._read(top))
        for part in self.parts:
            for name in {*part.binds, part.changes}:
                self._by_name.setdefault(name, []).append(part)

    def _read(self, imports: set[Node]) -> Iterator[_Part]:
        source, text = self.source, self.text
        defined = {node: name for name, node in top_level(source)}
        leading_imports = set(leading(source, []))
        statements = [child for child in source.root.children if child.type != "comment"]
        ends = self._ends(statements)
        for at, (node, end) in enumerate(zip(statements, ends, strict=True)):
            if node in leading_imports:
                self.top = end
            if node in imports or node.type == "ERROR" or (not at and is_docstring(node)):
                continue
            first = source.starts_line(node)
            alone = first and end not in (*ends[max(at - 1, 0) : at], *ends[at + 1 : at + 2])
            start = self._above(node) if first else node.start
            yield _Part(
                start,
                end,
                _plain(text[start : end if alone else node.end]),
                _plain(source[node]).rstrip("\n"),
                defined.get(node),
                _blank_above(text, start) > 0,
                alone,
                _is_movable(source, node),
                _changed(source, node),
            )

    def _ends(self, statements: list[Node]) -> list[int]:
        """Where the last line of each ends, counting statements that begin on that line."""
        ends: list[int] = []
        for node in reversed(statements):
            # The tree takes the carriage return of "\r\n" for the last letter of a comment.
            code = self.source[node].rstrip("\r\n")
            end = line_end(self.text, node.start + len(code))
            if ends and end > statements[len(statements) - len(ends)].start:
                end = ends[-1]
            ends.append(end)
        return ends[::-1]

    def _above(self, node: Node) -> int:
        """Where the comments directly above a statement start; where its line does if none are."""
        start = self.source.line_start(node.start)
        while start and (line := self.source.line_start(start - 1)) in self._comments:
            start = line
        return max(start, int(self.text.startswith("\ufeff")))

    def definitions(self, name: str) -> list[_Part]:
        """What defines a name as a function or class; else the one assignment that does."""
        about = self.about(name)
        found = [part for part in about if part.name == name]
        if found:
            return found
        assigned = [part for part in about if name in part.binds]
        if len(assigned) == 1 and assigned[0].binds == frozenset((name,)) and assigned[0].alone:
            return [part for part in assigned if part.movable]
        return []

    def about(self, name: str) -> list[_Part]:
        """The statements that bind a name or change what it is, imports left out."""
        return self._by_name.get(name, [])

    def binds(self, name: str) -> bool:
        """Whether anything at the top level binds a name."""
        return name in self.imports or any(name in part.binds for part in self.about(name))


def _plain(text: str) -> str:
    return _NEWLINE.sub("\n", text)


def _is_movable(source: Source, node: Node) -> bool:
    """Whether a statement can be copied for the names that it gives: no program in it runs."""
    if node.type in ("if_statement", "try_statement"):
        return "__name__" not in source[node]
    inner = node.children[0] if node.type == "expression_statement" and node.children else node
    return inner.type in _BINDING or inner.type.endswith("_definition")


def _changed(source: Source, node: Node) -> str | None:
    """The name at the root of what an assignment changes a part of."""
    inner = node.children[0] if node.type == "expression_statement" and node.children else node
    place = inner.get("left") if inner.type in _BINDING else None
    if place is None or place.type not in ("subscript", "attribute"):
        return None
    while place.children:
        place = place.children[0]
    return source[place]


@lru_cache(maxsize=4096)  # a port and the translation it is compared with are alike
def _names(code: str) -> tuple[frozenset[str], frozenset[str]]:
    """The global names that a statement binds, and those that it uses, in quoted annotations too."""
    try:
        table = symtable.symtable(code, "<port>", "exec")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return frozenset(), frozenset()
    bound = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }
    used: set[str] = set()
    tables = [table]
    while tables:
        scope = tables.pop()
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (scope is table or symbol.is_global()):
                used.add(symbol.get_name())
            if symbol.is_declared_global() and symbol.is_assigned():
                bound.add(symbol.get_name())
        tables += scope.get_children()
    if "'" in code or '"' in code:
        source = Source(code)
        for annotation in source.nodes("type"):
            around = [annotation, *annotation.ancestors()]
            outermost = [node for node in around if node.type == "type"][-1]
            if _LITERAL.search(source[outermost]):
                continue
            for content in source.nodes("string_content", annotation):
                used |= {name.partition(".")[0] for name in names_in(source[content])}
    return frozenset(bound), frozenset(used)


def _refusal(text: str) -> tuple[int, str] | None:
    """The line at which Python refuses a text, and why; None if it takes it."""
    try:
        symtable.symtable(text.removeprefix("\ufeff"), "<port>", "exec")
    except SyntaxError as error:
        null = text.find("\0")
        line = text.count("\n", 0, null) + 1 if null >= 0 else error.lineno or 1
        return line, error.msg
    except UnicodeEncodeError as error:
        return text.count("\n", 0, error.start) + 1, "a character that no text can hold"
    except (ValueError, MemoryError, RecursionError):
        return 1, "it is nested too deeply"
    return None


# Merging


@dataclass(slots=True)
class _Merge:
    """One merge: what is put where."""

    port: str
    source: str
    source_name: str
    wanted: tuple[str, ...]
    target: Target
    translation: Translation
    by_rules: bool = True
    digests: dict[str, str] = field(init=False)
    fresh: _File = field(init=False)
    old: _File = field(init=False)
    lacking: dict[_Part, None] = field(default_factory=dict[_Part, None])
    imports: set[Import] = field(default_factory=set[Import])
    kept: set[str] = field(default_factory=set[str])
    used: set[str] = field(default_factory=set[str])
    replaced: set[str] = field(default_factory=set[str])

    def result(self) -> Merged:
        """The port with the definitions in it.

        Raises:
            MergeProblem: as `merge` does.
        """
        if not self.wanted:
            return Merged(self.port, self.translation)
        original = Source(self.source)
        self.digests = definition_digests(original)
        self._check_source(original)
        self._check_port()
        empty = not self.port.strip("\ufeff \t\f\r\n")
        self.old = _File("" if empty else self.port)
        self._find_needs()
        text = self._with_definitions(self._with_imports(self.old.text))
        problem = _refusal(text)
        if problem is not None:
            raise MergeProblem(
                f"{_listed(self.wanted)} cannot be put into the port: line {problem[0]} of it would "
                f"not parse ({problem[1]})."
            )
        if empty:
            mark = "\ufeff" if self.port.startswith("\ufeff") else ""
            text = mark + text.replace("\n", newline_of(self.source))
            text = with_header(text, self.source_name, self.target, original, self.wanted)
        else:
            text = self._with_hashes(text)
        header = read_header(self.port)
        known = header.definitions if header is not None else self.replaced
        return Merged(
            text,
            self.translation,
            self._in_order(self.replaced),
            self._added(),
            self._in_order(self.kept),
            self._missing(),
            self._in_order(self.replaced.difference(known)),
        )

    # What there is

    def _check_source(self, original: Source) -> None:
        """
        Raises:
            MergeProblem: the source has not, or has not whole, what is to be ported.
        """
        for name in self.wanted:
            if name not in self.digests:
                near = difflib.get_close_matches(name, self.digests, 3)
                hint = f" Near it: {', '.join(near)}." if near else ""
                raise MergeProblem(
                    f"{self.source_name} has no top-level function or class {name}.{hint}"
                )
        if any(finding.code == "too-deep" for finding in self.translation.findings):
            raise MergeProblem(
                f"{self.source_name} is nested too deeply to be read. Split its expressions."
            )
        for name, node in top_level(original):
            problem = _refusal(original[node]) if name in self.wanted else None
            if problem is not None:
                line = original.position(node.start)[0] + problem[0] - 1
                raise MergeProblem(
                    f"{self.source_name} does not parse at line {line}: {problem[1]}. Correct it, "
                    f"then port {name}."
                )
        self.fresh = _File(self.translation.text)
        for name in self.wanted:
            if not any(part.name == name for part in self.fresh.parts):
                raise MergeProblem(
                    f"{name} is not in the translation of {self.source_name}, which does not parse "
                    "around it."
                )

    def _check_port(self) -> None:
        """
        Raises:
            MergeProblem: the port cannot take definitions of this target.
        """
        stray = _STRAY.search(self.port)
        problem = _refusal(self.port)
        if problem is None and stray is not None:
            # Python ends a line there, the tree does not.
            problem = self.port.count("\n", 0, stray.start()) + 1, "a lone carriage return"
        if problem is not None:
            raise MergeProblem(
                f"The port does not parse at line {problem[0]}: {problem[1]}. Correct it, then port "
                f"{_listed(self.wanted)}."
            )
        header = read_header(self.port)
        if header is not None and header.target != self.target:
            raise MergeProblem(f"The port is one to {header.target}, not to {self.target}.")

    # What is needed

    def _find_needs(self) -> None:
        """Follow the names that the definitions use to what they need and the port lacks."""
        queue = [part for part in self.fresh.parts if part.name in self.wanted]
        for part in queue:
            for name in sorted(part.uses - self.used):
                self.used.add(name)
                if name not in self.wanted:
                    queue += self._provide(name)
        if any(Source(part.code).nodes("type") for part in queue):
            # Their annotations may name what is defined below, which only strings can.
            for name in self.fresh.future - self.old.future:
                self.imports.add(Import("__future__", name, name))

    def _provide(self, name: str) -> list[_Part]:
        """Note what binds a name in the translation, if the port lacks it; the parts it needs."""
        for what in self.fresh.imports.get(name, ()):
            if self._lacks(what):
                self.imports.add(what)
        parts = self.fresh.about(name)
        if not any(name in part.binds for part in parts):
            return []  # `os.environ["A"] = "1"` is no part of what `os` is
        if any(part.name in self.digests or not part.movable for part in parts):
            return []
        if not self.old.binds(name):
            self.lacking |= dict.fromkeys(parts)
            return parts
        if [part.code for part in parts] == [part.code for part in self.old.about(name)]:
            return parts
        self.kept.add(name)
        return []

    def _lacks(self, what: Import) -> bool:
        """Whether the port has to get an import; another meaning of its name is noted."""
        there = self.old.imports.get(what.binds, [])
        if what in there:
            return False
        if not self.old.binds(what.binds):
            return True
        if not any(_path(other) == _path(what) for other in there):
            self.kept.add(what.binds)
            return False
        return what.name is None and what.alias == what.module and "." in what.module

    # Putting it in

    def _with_imports(self, text: str) -> str:
        if not self.imports:
            return text
        source = Source(text)
        edits = Edits()
        insert_imports(source, edits, leading(source, []), set(), self.imports, helpers=False)
        return edits.apply(text)

    def _with_definitions(self, text: str) -> str:
        """A text with the definitions in their places, and before them what else is lacking."""
        new = _File(text)
        edits = Edits()
        for name in self.wanted:
            if self._replace(new, edits, name):
                self.replaced.add(name)
        at = _top(new)
        places: dict[str, int] = {}
        inserted: dict[int, list[_Part]] = {}
        for part in self.fresh.parts:
            lacks = part in self.lacking
            if lacks or (part.name in self.wanted and part.name not in self.replaced):
                # Not above what it uses, which the port may have further down.
                at = max(at, *(places.get(name, 0) for name in part.uses), 0)
                inserted.setdefault(at, []).append(part)
            elif part.name is not None or part.movable:
                there = [p for name in part.binds for p in new.about(name) if p.movable]
                if not there:
                    continue
                at = max(p.end for p in there)
            for name in part.binds:
                places[name] = at
        for at, parts in inserted.items():
            _insert(new, edits, at, parts)
        return edits.apply(text)

    def _replace(self, new: _File, edits: Edits, name: str) -> bool:
        """Put a definition in the place of that of its name; False where there is none.

        Of several definitions of one name, as overloads are, the last are replaced by the last.
        """
        parts = [part for part in self.fresh.parts if part.name == name]
        there = new.definitions(name)[-len(parts) :]
        if not there:
            return False
        extra = len(parts) - len(there) + 1
        texts = ["\n\n\n".join(part.text for part in parts[:extra])]
        texts += [part.text for part in parts[extra:]]
        for part, text in zip(there, texts, strict=True):
            if text == part.text:
                continue
            if part.name is None:
                # In the place of an assignment, which stands closer to what is around it.
                above = _blank_above(new.text, part.start)
                text = "\n" * max(0, 2 - above) + text + _below(new.text, part.end, 2)
            edits.replace(part.start, part.end, text)
        return True

    # Telling

    def _with_hashes(self, text: str) -> str:
        header = read_header(text)
        if header is None:
            return text
        known = {**header.definitions, **{name: self.digests[name] for name in self.wanted}}
        ordered = {name: known[name] for name in self.digests if name in known}
        body, whole = without_header(text), without_header(self.fresh.text)
        written = self.by_rules and (not edited_by_hand(self.port) or digest(body) == digest(whole))
        return renewed(text, {**ordered, **known}, written=written)

    def _added(self) -> tuple[str, ...]:
        names = {what.binds for what in self.imports}
        names |= {name for part in self.lacking for name in part.binds}
        return self._in_order(names | set(self.wanted) - self.replaced)

    def _missing(self) -> tuple[str, ...]:
        there = {*self._added(), *self.wanted}
        missing = {name for name in self.used - there - _BUILTINS if not self.old.binds(name)}
        if self.old.star:
            # The others may come from there.
            missing = {name for name in missing if self.fresh.binds(name)}
        return self._in_order(missing)

    def _in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Names in the order of the translation: its imports first, unknown ones last."""
        bound = [name for part in self.fresh.parts for name in sorted(part.binds)]
        order = {name: at for at, name in enumerate(bound, 1)} | dict.fromkeys(
            self.fresh.imports, 0
        )
        return tuple(sorted(names, key=lambda name: (order.get(name, len(order) + 1), name)))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _path(what: Import) -> str:
    """What the name that an import binds stands for."""
    if what.name is not None:
        return f"{what.module}.{what.name}"
    return what.binds if what.alias == what.module else what.module


def _top(file: _File) -> int:
    """Where the last line of a file's imports ends, or of what else stands above its code."""
    if file.top is not None:
        return file.top
    at = after_docstring(file.source)
    above = file.text[:at]
    return len(above.rstrip("\r\n")) if above.strip("\ufeff \t\f\r\n") else at


def _insert(file: _File, edits: Edits, at: int, parts: Sequence[_Part]) -> None:
    """Put statements below the line that ends at `at`, or at the top of a file."""
    text = file.text
    block = parts[0].text
    for before, part in pairwise(parts):
        apart = 2 if before.name or part.name else int(part.apart)
        block += "\n" * (apart + 1) + part.text
    wanted = 2 if parts[-1].name else 0
    if not text[:at].strip("\ufeff \t\f\r\n"):
        blank = blank_lines(text, at)
        below = "\n" * max(0, wanted - blank) if text[at:].strip() else ""
        edits.insert(at, f"{block}\n{below}")
        return
    around = [part for part in file.parts if part.end == at]
    apart = 2 if parts[0].name or any(part.name for part in around) else int(parts[0].apart)
    apart = apart if around else max(apart, 1)
    edits.insert(at, "\n" * (apart + 1) + block + _below(text, at, wanted))


def _below(text: str, at: int, wanted: int) -> str:
    """The line endings that are wanting for blank lines below a line that ends at `at`."""
    if not text[at:].strip():
        return ""
    if _DEFINITION.match(text[at:].lstrip()):
        wanted = 2
    return "\n" * max(0, wanted - blank_lines(text, next_line(text, at)))


def _blank_above(text: str, at: int) -> int:
    """How many blank lines end at `at`; enough of them at the top."""
    above = text[:at].rstrip()
    return len(_ENDING.findall(text, len(above), at)) - 1 if above else 2
