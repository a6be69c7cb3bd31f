"""Putting a model's definitions into a port, and marking the lines that it wrote."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from torchport_translators.emit.merge import MergeProblem, merge_written
from torchport_translators.llm.reply import Fault, ReplyProblem
from torchport_translators.llm.screen import Screened, definitions, methods

_MARK = re.compile(r"^[ \t]*# torchport: (\d+) lines? by \S+\s*$")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_UNPORTED = re.compile(r"[ \t]*# torchport: not ported:")


def lines_of(text: str) -> list[str]:
    """The lines of a text with their ends, as Python counts them: a form feed does not end one."""
    return _LINE.findall(text)


def filled(port: str, screened: Screened, source: str, source_name: str, target: str) -> str:
    """The port with a model's definitions in it; without imports of torch that nothing uses any more.

    Of a class, the methods that the model left out stay as they are in the port.

    Raises:
        ReplyProblem: the definitions do not fit the port.
    """
    text = _completed(port, screened)
    try:
        merged = merge_written(port, source, source_name, screened.names, text, target)
    except MergeProblem as problem:
        raise ReplyProblem(Fault.SYNTAX, str(problem)) from problem
    if merged.missing:
        names = ", ".join(merged.missing)
        raise ReplyProblem(
            Fault.INCOMPLETE,
            f"The reply uses {names}, which neither it nor the port defines or imports.",
        )
    return _without_unused_torch(merged.text)


def _completed(port: str, screened: Screened) -> str:
    """The model's text, its classes filled up with what the port has of them."""
    there = definitions(ast.parse(port))
    lines = lines_of(screened.code)
    given = definitions(screened.tree)
    for name in sorted(screened.names, key=lambda name: -given[name].lineno):
        old, new = there[name], given[name]
        if isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
            lines[_start(new) - 1 : new.end_lineno] = [_class(port, old, lines, new)]
    return "".join(lines)


def _class(port: str, old: ast.ClassDef, lines: list[str], new: ast.ClassDef) -> str:
    """A class as the port has it, with the methods that the model wrote in the place of its own."""
    text = lines_of(port)
    indent = " " * old.body[0].col_offset
    shift = new.body[0].col_offset
    given = {
        name: _indented(lines[_start(node) - 1 : node.end_lineno], shift, indent)
        for name, node in methods(new).items()
    }
    edits = [(node, given.pop(name)) for name, node in methods(old).items() if name in given]
    block = text[_start(old) - 1 : old.end_lineno]
    if not block[-1].endswith("\n"):
        block[-1] += "\n"
    for node, code in sorted(edits, key=lambda edit: -edit[0].lineno):
        block[_start(node) - _start(old) : (node.end_lineno or 0) - _start(old) + 1] = [code]
    return "".join([*block, *(f"\n{code}" for code in given.values())])


def _start(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """The line of its first decorator, or its own."""
    return min([node.lineno, *(item.lineno for item in node.decorator_list)])


def _indented(lines: list[str], shift: int, indent: str) -> str:
    """Lines of code moved from a depth of `shift` to that of `indent`."""
    moved = [indent + line[shift:] if line[:shift].isspace() else line for line in lines]
    text = "".join(moved if len(indent) != shift else lines)
    return text if text.endswith("\n") else text + "\n"


def _without_unused_torch(text: str) -> str:
    tree = ast.parse(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for annotation in _annotations(tree):
        for node in ast.walk(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used |= set(re.findall(r"\w+", node.value))
    lines = lines_of(text)
    for node in reversed(tree.body):
        names = _torch_names(node)
        if names and not names & used:
            assert node.end_lineno is not None
            alone = sum(n.lineno <= node.end_lineno <= (n.end_lineno or 0) for n in tree.body) == 1
            if alone:
                del lines[node.lineno - 1 : node.end_lineno]
    return "".join(lines)


def _annotations(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if isinstance(annotation, ast.expr):
            yield annotation


def _torch_names(node: ast.stmt) -> set[str]:
    """What a statement binds if it imports from torch alone."""
    if isinstance(node, ast.Import):
        if all(item.name.partition(".")[0] == "torch" for item in node.names):
            return {item.asname or "torch" for item in node.names}
    elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
        return {item.asname or item.name for item in node.names}
    return set()


def is_open(text: str) -> bool:
    """Whether code holds the mark of a call that no rule covers."""
    return any(_UNPORTED.match(line) for line in lines_of(text))


# Marking


def marked(port: str, by_rules: str, model: str) -> str:
    """A port in which a comment stands above each run of statements that a model wrote.

    `# torchport: 2 lines by NAME` speaks of the lines below it. Imports are not marked.

    Args:
        port: the port with the model's definitions.
        by_rules: the port as the rules wrote it.
        model: the model's name.
    """
    changed = _changed_lines(by_rules, port)
    lines = lines_of(port)
    name = re.sub(r"[^\w./:@-]+", "-", model) or "a-model"
    for first, last in reversed(list(_runs(ast.parse(port).body, changed))):
        indent = re.match(r"[ \t]*", lines[first - 1])
        assert indent is not None
        count = last - first + 1
        newline = "\r\n" if lines[first - 1].endswith("\r\n") else "\n"
        word = "line" if count == 1 else "lines"
        lines.insert(first - 1, f"{indent[0]}# torchport: {count} {word} by {name}{newline}")
    return "".join(lines)


def model_lines(port: str) -> tuple[tuple[int, int], ...]:
    """The first and last line of each run that a mark of a port says a model wrote, from 1."""
    found: list[tuple[int, int]] = []
    for number, line in enumerate(lines_of(port), 1):
        if match := _MARK.match(line):
            found.append((number + 1, number + int(match[1])))
    return tuple(found)


def _changed_lines(old: str, new: str) -> set[int]:
    """The lines of a text that another has not, from 1; blank ones left out."""
    before, after = ([line.rstrip() for line in lines_of(text)] for text in (old, new))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return {
        number + 1
        for tag, _, _, start, end in matcher.get_opcodes()
        if tag != "equal"
        for number in range(start, end)
        if after[number].strip()
    }


def _runs(body: Sequence[ast.stmt], changed: set[int]) -> Iterator[tuple[int, int]]:
    """The runs of statements in a block of which each has changed, the runs inside it included."""
    run: tuple[int, int] | None = None
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        first, last = _lines_of(node)
        inner = list(_blocks(node))
        whole = not inner or _code_lines(node) <= changed
        if whole and changed & set(range(first, last + 1)):
            run = (run[0] if run else first, last)
            continue
        if run:
            yield run
            run = None
        if inner:
            if changed & set(range(first, _header_end(inner))):
                yield first, _header_end(inner) - 1
            for block in inner:
                yield from _runs(block, changed)
    if run:
        yield run


def _lines_of(node: ast.stmt) -> tuple[int, int]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    first = _start(node) if isinstance(node, kinds) else node.lineno
    return first, node.end_lineno or first


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The blocks of a compound statement."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block:
            yield block
    handlers: Iterable[ast.ExceptHandler | ast.match_case] = [
        *getattr(node, "handlers", ()),
        *getattr(node, "cases", ()),
    ]
    for part in handlers:
        yield part.body


def _header_end(blocks: list[list[ast.stmt]]) -> int:
    """The line at which the first block of a compound statement starts."""
    return min(_lines_of(block[0])[0] for block in blocks)


def _code_lines(node: ast.stmt) -> set[int]:
    """The lines at which the statements in a statement start, its own included."""
    return {item.lineno for item in ast.walk(node) if isinstance(item, ast.stmt)}
