"""The imports of a source become those of its port.

Names that the port no longer uses are taken out: torch's, and others that only the ported code
used. What the port needs goes where torch's imports stood, in the order that the source keeps.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torchport_translators.emit.edits import Edit, Edits
from torchport_translators.emit.imports import Import, names_in, section_of, statements
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node, Source

_SECTIONS = (-1, 0, 1, 2)  # as `section_of` numbers them
_BLANK = re.compile(r"(?:[ \t\f]*(?:\r\n|\n|\r))+")
_STATEMENTS = frozenset(("import_statement", "import_from_statement", "future_import_statement"))
_SCOPES = frozenset(("function_definition", "module"))
_DEFINITIONS = frozenset(("function_definition", "class_definition", "decorated_definition"))


@dataclass(frozen=True, slots=True)
class Binding:
    """A name that an import statement of the source binds; `node` is its part of the statement."""

    what: Import
    node: Node
    statement: Node
    scope: Node

    @property
    def name(self) -> str:
        return self.what.binds

    @property
    def torch(self) -> bool:
        return self.what.module.partition(".")[0] == "torch"


def import_statements(source: Source) -> list[Node]:
    """Every import statement of a source, wherever it stands."""
    return source.nodes_of(_STATEMENTS, source.root)


def bindings_of(source: Source, statement: Node) -> Iterator[Binding]:
    """The names that a statement imports; nothing for `from x import *`."""
    module = statement.get("module_name")
    scope = next(node for node in statement.ancestors() if node.type in _SCOPES or not node.parent)
    for child in statement.children:
        if child.field != "name":
            continue
        aliased = child.type == "aliased_import"
        name = source[child["name"] if aliased else child]
        alias = source[child["alias"]] if aliased else name
        what = Import(name, None, alias) if module is None else Import(source[module], name, alias)
        yield Binding(what, child, statement, scope)


def present(source: Source) -> set[Import]:
    """What a source imports at its top level."""
    return {
        binding.what
        for statement in import_statements(source)
        if statement.parent is source.root
        for binding in bindings_of(source, statement)
    }


@dataclass(slots=True)
class Uses:
    """Where the port of a stretch of a source uses the names that the source imports.

    Attributes:
        edits: what is new in the stretch.
        bindings: by the name they bind.
        own: names that what is new has from the port: from its imports, or of its helpers.
        ported: offsets of torch names that were ported, perhaps to the same text.
    """

    source: Source
    edits: list[Edit]
    start: int
    end: int
    bindings: dict[str, list[Binding]]
    own: frozenset[str] = frozenset()
    ported: frozenset[int] = frozenset()
    _scopes: dict[str, set[Node]] = field(init=False)
    _torch: set[str] = field(init=False)
    _replaced: list[Edit] = field(init=False)
    _kept: dict[tuple[str, Node], set[str]] = field(init=False)
    _dropped: set[tuple[str, Node]] = field(init=False)

    def __post_init__(self) -> None:
        self._scopes = {
            name: {binding.scope for binding in bound} for name, bound in self.bindings.items()
        }
        self._torch = {
            name for name, bound in self.bindings.items() if any(binding.torch for binding in bound)
        }
        self._replaced = [edit for edit in self.edits if edit.end > edit.start]
        self._kept = {}
        self._dropped = set()
        if not self.bindings:
            return
        for edit in self.edits:
            for dotted in names_in(edit.text):
                name = dotted.partition(".")[0]
                if name in self.bindings and not (name in self.own and name in self._torch):
                    self._note(name, edit.start, dotted)
        pattern = "|".join(map(re.escape, sorted(self.bindings)))
        for match in re.compile(rf"(?<![\w.])({pattern})(?!\w)(?:\.\w+)*").finditer(
            self.source.text, self.start, self.end
        ):
            self._see(match[1], match.start(), match[0])

    def of(self, binding: Binding) -> set[str]:
        """The dotted names by which the port uses what an import binds."""
        return self._kept.get((binding.name, binding.scope), set())

    def orphaned(self, binding: Binding) -> bool:
        """Whether only what the port replaced used it."""
        key = (binding.name, binding.scope)
        return key in self._dropped and key not in self._kept

    def _see(self, name: str, offset: int, dotted: str) -> None:
        scope = self._scope(name, offset)
        key = (name, scope)
        torch = name in self._torch
        if key in self._kept and not torch:
            return
        at = bisect_right(self._replaced, offset, key=_edit_start) - 1
        same = name in self.own and offset in self.ported
        if same or (at >= 0 and offset < self._replaced[at].end):
            self._dropped.add(key)
        elif self._is_use(self.source.node_at(offset), torch):
            self._kept.setdefault(key, set()).add(dotted)

    def _note(self, name: str, offset: int, dotted: str) -> None:
        self._kept.setdefault((name, self._scope(name, offset)), set()).add(dotted)

    def _scope(self, name: str, offset: int) -> Node:
        """Whose import a name at an offset means: the nearest function's that imports it."""
        bound = self._scopes[name]
        if len(bound) == 1:
            return next(iter(bound))
        node: Node | None = self.source.node_at(offset)
        while node is not None:
            if node in bound:
                return node
            node = node.parent
        return self.source.root

    def _is_use(self, node: Node, torch: bool) -> bool:
        if node.type == "string_content":
            # A quoted annotation means its names; one in `__all__` is exported.
            around = {inner.type for inner in node.ancestors()}
            return "type" in around or ("assignment" in around and self.source[node].isidentifier())
        parent = node.parent
        if node.type != "identifier" or parent is None or node.field in ("attribute", "alias"):
            return False
        if parent.type in ("dotted_name", "aliased_import", *_STATEMENTS):
            return False
        if node.field == "name" and parent.type in ("keyword_argument", "default_parameter"):
            return False
        if (node.field == "left" and parent.type == "assignment") or parent.type == "parameters":
            return False
        return (
            not torch or node.kind is None or isinstance(node.kind, k.Api | k.Unknown | k.External)
        )


def _edit_start(edit: Edit) -> int:
    return edit.start


# Taking out


def drop_unused(source: Source, edits: Edits, uses: Uses, found: list[Node]) -> set[Node]:
    """Take names that the port does not use out of the import statements of a stretch.

    Returns the statements of which nothing is left.
    """
    removed: set[Node] = set()
    for statement in found:
        if any(child.type == "wildcard_import" for child in statement.children):
            if _star_is_unused(source, uses, statement):
                removed.add(statement)
            continue
        names = list(bindings_of(source, statement))
        gone = [binding for binding in names if _unused(binding, uses)]
        if names and len(gone) == len(names):
            removed.add(statement)
        elif gone:
            _take_out(source, edits, statement, [binding.node for binding in gone])
    for statement in removed:
        _remove(source, edits, statement, removed)
    return removed


def _unused(binding: Binding, uses: Uses) -> bool:
    if not binding.torch:
        return uses.orphaned(binding)
    used = uses.of(binding)
    if not used:
        return True
    path = binding.what.alias
    if binding.what.name is not None or "." not in path:
        return False
    # `import torch.nn` stays for `torch.nn.X`; for other uses only if nothing else binds torch.
    others = [
        b for b in uses.bindings[binding.name] if b is not binding and b.scope is binding.scope
    ]
    return bool(others) and not any(use == path or use.startswith(f"{path}.") for use in used)


def _star_is_unused(source: Source, uses: Uses, statement: Node) -> bool:
    """Whether no name of torch that `from torch... import *` may have bound is left."""
    module = statement.get("module_name")
    if module is None or source[module].partition(".")[0] != "torch":
        return False
    covered = [(edit.start, edit.end) for edit in uses.edits if edit.end > edit.start]
    for node in source.nodes("identifier"):
        if isinstance(node.kind, k.Api):
            name = source[node]
            if name in uses.bindings or node.field == "attribute":
                continue
            if not any(start <= node.start < end for start, end in covered):
                return False
            if any(name in names_in(edit.text) for edit in uses.edits):
                return False
    return True


def _take_out(source: Source, edits: Edits, statement: Node, gone: list[Node]) -> None:
    """Take some of a statement's names out; a name alone on its line takes the line with it."""
    text = source.text
    names = [child for child in statement.children if child.field == "name"]
    for node in gone:
        start = source.line_start(node.start)
        end = line_end(text, node.end)
        rest = text[node.end : end].partition("#")[0].strip()
        if not text[start : node.start].strip() and rest in ("", ",") and start > statement.start:
            edits.replace(start, next_line(text, end), "")
        elif node is names[-1] or all(later in gone for later in names[names.index(node) :]):
            before = names[names.index(node) - 1] if node is not names[0] else None
            edits.replace(before.end if before else node.start, node.end, "")
        else:
            edits.replace(node.start, names[names.index(node) + 1].start, "")


def _remove(source: Source, edits: Edits, statement: Node, removed: set[Node]) -> None:
    """Take a statement out with its line; a block of which nothing is left gets a `pass`."""
    parent = statement.parent
    if parent is not None and parent.type == "block":
        rest = [child for child in parent.children if child.type != "comment"]
        if all(child in removed for child in rest):
            owner = parent.parent
            if owner is not None and _only_imports(source, owner):
                start, end = _lines_of(source, owner)
                edits.replace(start, end, "")
                _close_gap(source, edits, start, end)
            elif statement is rest[0]:
                edits.replace(statement.start, statement.end, "pass")
            else:
                edits.replace(*_lines_of(source, statement), "")
            return
    start, end = _lines_of(source, statement)
    edits.replace(start, end, "")
    if (
        parent is not source.root
        and start == source.line_start(start)
        and end == source.line_start(end)
    ):
        _close_gap(source, edits, start, end)


def _only_imports(source: Source, node: Node) -> bool:
    """Whether a compound statement does nothing but import what is gone.

    That is `if TYPE_CHECKING:`, and `try:` whose handlers only give the name another value.
    """
    if node.type == "if_statement":
        condition = source[node["condition"]]
        return condition.endswith("TYPE_CHECKING") and node.get("alternative") is None
    if node.type != "try_statement":
        return False
    for clause in node.named():
        if clause.type == "block":
            continue
        body = next((child for child in clause.children if child.type == "block"), None)
        if clause.type != "except_clause" or body is None:
            return False
        for child in body.named():
            inner = child.children[0] if child.children else child
            plain = child.type == "pass_statement" or (
                inner.type == "assignment" and "torch" in source[inner["left"]]
            )
            if not plain:
                return False
    return True


def _lines_of(source: Source, node: Node) -> tuple[int, int]:
    """A statement with its line and the comment beside it; without them if others share the line."""
    text = source.text
    start = source.line_start(node.start)
    end = line_end(text, node.end)
    before, after = text[start : node.start].strip(), text[node.end : end].strip()
    if before:
        # `import math; import torch`: the semicolon before it goes.
        return node.start - len(text[start : node.start]) + len(
            text[start : node.start].rstrip(" \t;")
        ), (end if after.startswith("#") else node.end)
    if after.startswith(";") and after.strip("; \t") and not after.lstrip("; \t").startswith("#"):
        rest = text[node.end : end]
        return node.start, node.end + len(rest) - len(rest.lstrip("; \t"))
    return start, next_line(text, end)


def line_end(text: str, at: int) -> int:
    """Where the line that holds `at` ends, before its line ending."""
    match = re.compile(r"[\r\n]").search(text, at)
    return match.start() if match else len(text)


def next_line(text: str, end: int) -> int:
    """Where the line after the one that ends at `end` starts."""
    return end + 2 if text.startswith("\r\n", end) else min(end + 1, len(text))


# Putting in


def leading(source: Source, edits: list[Edit]) -> list[Node]:
    """The imports at the top of a file: before its first definition or rewritten statement.

    Other statements that the port leaves alone, as `os.environ[...] = ...`, may stand among them.
    """
    found: list[Node] = []
    starts = [edit.start for edit in edits]
    for child in source.root.children:
        if child.type in _STATEMENTS:
            found.append(child)
        elif child.type in _DEFINITIONS:
            break
        elif child.type != "comment" and not is_docstring(child):
            after = bisect_right(starts, child.start - 1)
            if after < len(starts) and starts[after] <= child.end:
                break
    return found


def is_docstring(node: Node) -> bool:
    return (
        node.type == "expression_statement"
        and len(node.children) == 1
        and node.children[0].type == "string"
    )


_Key = tuple[int, bool, str]

_ORDERS: tuple[Callable[[_Key], tuple[int | str, ...]], ...] = (
    lambda key: key,  # isort: by section, `import` before `from`
    lambda key: (key[0], key[2]),  # isort with force_sort_within_sections
    lambda key: (key[1], key[2]),  # one block, `import` before `from`
    lambda key: (key[2],),
)


def _key(statement: str) -> _Key:
    words = statement.replace(",", " ").split()
    module = words[1] if len(words) > 1 else ""
    return section_of(module), words[0] == "from", module.lower()


def insert_imports(
    source: Source,
    edits: Edits,
    top: list[Node],
    removed: set[Node],
    needed: set[Import],
    *,
    helpers: bool,
) -> None:
    """Write the imports that a port needs, beside those that the source keeps at its top.

    Args:
        top: the import statements at the source's top.
        removed: those of which nothing is left.
        helpers: whether helpers follow, so that the blank lines below the last block stay.
    """
    needed = needed - {
        binding.what
        for statement in top
        if statement not in removed
        for binding in bindings_of(source, statement)
    }
    needed = _merge(source, edits, [node for node in top if node not in removed], needed)
    groups = _groups(source, top)
    if not groups:
        _first_block(source, edits, needed)
        return
    placed: set[int] = set()
    for section in _SECTIONS:
        lines = statements(item for item in needed if item.section == section)
        if not lines:
            continue
        group = _home(source, groups, section, removed)
        if group is not None:
            _into(source, edits, groups[group], removed, lines, section)
            placed.add(group)
        else:
            _new_group(source, edits, groups, removed, lines, section)
    for at, group in enumerate(groups):
        gone = at not in placed and all(node in removed for node in group)
        if gone and not (helpers and at == len(groups) - 1):
            start, end = source.line_start(group[0].start), after_line(source, group[-1])
            _close_gap(source, edits, start, end)


def _groups(source: Source, top: list[Node]) -> list[list[Node]]:
    """Import statements on lines that follow one another."""
    groups: list[list[Node]] = []
    for node in top:
        if groups and not re.search(
            r"\S|(?:\r\n|\n|\r)[ \t\f]*(?:\r\n|\n|\r)", _between(source, groups[-1][-1], node)
        ):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _between(source: Source, first: Node, second: Node) -> str:
    """What stands between two statements, comments left out."""
    return re.sub(r"#[^\r\n]*", "", source.text[first.end : second.start]).replace(";", "")


def _home(source: Source, groups: list[list[Node]], section: int, removed: set[Node]) -> int | None:
    """The block that new imports of a section belong to."""
    if section == 1:
        for at, group in enumerate(groups):
            if any(node in removed and _key(source[node])[0] == 1 for node in group):
                return at
    for at, group in enumerate(groups):
        if any(node not in removed and _key(source[node])[0] == section for node in group):
            return at
    return None


def _into(
    source: Source,
    edits: Edits,
    group: list[Node],
    removed: set[Node],
    lines: list[str],
    section: int,
) -> None:
    keys = [_key(source[node]) for node in group]
    order = next((o for o in _ORDERS if [*map(o, keys)] == sorted(map(o, keys))), None)
    kept = [node for node in group if node not in removed]
    gone = [node for node in group if node in removed and _key(source[node])[0] == section]
    if order is None or not kept:
        same = [node for node in kept if _key(source[node])[0] == section]
        at = source.line_start(gone[0].start) if gone else after_line(source, (same or kept)[-1])
        _insert(source, edits, at, lines)
        return
    for line in lines:
        after = [node for node in kept if order(_key(line)) < order(_key(source[node]))]
        at = source.line_start(after[0].start) if after else after_line(source, kept[-1])
        _insert(source, edits, at, [line])


def _new_group(
    source: Source,
    edits: Edits,
    groups: list[list[Node]],
    removed: set[Node],
    lines: list[str],
    section: int,
) -> None:
    """A block of its own: after the blocks of earlier sections, before those of later ones."""
    earlier = [
        node
        for group in groups
        for node in group
        if node not in removed and _key(source[node])[0] < section
    ]
    if earlier:
        _insert(source, edits, after_line(source, earlier[-1]), ["", *lines])
    else:
        _insert(source, edits, source.line_start(groups[0][0].start), [*lines, ""])


def _first_block(source: Source, edits: Edits, needed: set[Import]) -> None:
    """The imports of a source that has none: below its docstring, a block for each section."""
    blocks = [statements(i for i in needed if i.section == section) for section in _SECTIONS]
    lines = [line for block in blocks if block for line in ("", *block)][1:]
    if not lines:
        return
    at = after_docstring(source)
    above = source.text[:at].lstrip("\ufeff")
    before = [""] if above.strip() and not _blank_before(source.text, at) else []
    _insert(source, edits, at, [*before, *lines, *_blankafter_line(source, at)])


def _blank_before(text: str, at: int) -> bool:
    return bool(re.search(r"(?:\n|\r)[ \t\f]*(?:\r\n|\n|\r)$", text[:at]))


def _blankafter_line(source: Source, at: int) -> list[str]:
    """Blank lines between new imports and what follows: two before a definition, else one."""
    following = next((c for c in source.root.children if c.start >= at), None)
    if following is None:
        return []
    wanted = 2 if following.type in _DEFINITIONS else 1
    blank = blank_lines(source.text, at)
    return [""] * max(0, wanted - blank)


def blank_lines(text: str, at: int) -> int:
    """How many blank lines start at `at`."""
    match = _BLANK.match(text, at)
    return _lines(match[0]) if match else 0


def after_docstring(source: Source) -> int:
    """Where the first statement may stand: below a licence, a shebang and the docstring."""
    end = 1 if source.text.startswith("\ufeff") else 0
    for child in source.root.children:
        if child.type == "comment" and not source.text[end : child.start].strip():
            # A comment right above a definition is the definition's.
            after = after_line(source, child)
            if re.match(r"[ \t\f]*(?:\r\n|\n|\r|$)", source.text[after:]) or child.start <= end:
                end = after
            continue
        if is_docstring(child):
            return after_line(source, child)
        break
    return end


def after_line(source: Source, node: Node) -> int:
    """Where the line after the one on which a node ends starts."""
    return next_line(source.text, line_end(source.text, node.end))


def _insert(source: Source, edits: Edits, at: int, lines: list[str]) -> None:
    """Whole lines at the start of a line, or after the last line of the text."""
    text = "".join(f"{line}\n" for line in lines)
    if at == len(source.text) and source.text and source.text[-1] not in "\r\n":
        text = f"\n{text[:-1]}"
    edits.insert(at, text)


def _merge(source: Source, edits: Edits, kept: list[Node], needed: set[Import]) -> set[Import]:
    """Put new names into `from` statements that the source has for their modules; the rest."""
    rest = set(needed)
    for node in kept:
        module = node.get("module_name")
        names = [child for child in node.children if child.field == "name"]
        if module is None or not names or node.type != "import_from_statement":
            continue
        new = sorted(i.item() for i in rest if i.name is not None and i.module == source[module])
        if not new or any(child.type == "wildcard_import" for child in node.children):
            continue
        rest = {i for i in rest if i.name is None or i.module != source[module]}
        own = [source[name] for name in names]
        ordered = own == sorted(own, key=str.lower)
        for item in new:
            later = [n for n in names if ordered and source[n].lower() > item.lower()]
            if "\n" not in source[node] and "\r" not in source[node]:
                if later:
                    edits.insert(later[0].start, f"{item}, ")
                else:
                    edits.insert(names[-1].end, f", {item}")
            elif later:
                edits.insert(later[0].start, f"{item},\n{source.indent(later[0])}")
            else:
                edits.insert(names[-1].end, f",\n{source.indent(names[-1])}{item}")
    return rest


def _close_gap(source: Source, edits: Edits, start: int, end: int) -> None:
    """Lines that are gone take the blank lines on one side along: the fewer ones.

    At the start of the text or of a block they take those below.
    """
    text = source.text
    before = text[:start].rstrip()
    above = _BLANK.match(text, len(before)) if before else None
    below = _BLANK.match(text, end)
    blank = _lines(above[0]) - 1 if above else 0
    if below is not None and (not before or before[-1] == ":" or _lines(below[0]) <= blank):
        edits.replace(end, below.end(), "")
    elif above is not None and blank and below is not None:
        edits.replace(above.start() + len(above[0].splitlines(keepends=True)[0]), start, "")


def _lines(blank: str) -> int:
    return len(blank.splitlines())
