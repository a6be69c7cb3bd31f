"""Walking a source and writing its port: calls through the catalogue, patterns through rewrites.

`Rewriter` is what a rewrite (a file of `rewrites/`) is given. It renders expressions (`expr`,
`hole`), edits statements (`replace`, `before`), knows where it stands (`function`, `cls`), threads
random state (`rngs`) and collects findings.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from torchport_translators.catalogue.code import OPERATORS, Binding, Code
from torchport_translators.catalogue.expressions import Hole
from torchport_translators.catalogue.inline import Inliner, Result, Unsupported
from torchport_translators.catalogue.load import Catalogue, Rule, RuleModule
from torchport_translators.emit.edits import Edits
from torchport_translators.emit.helpers import Helpers
from torchport_translators.emit.import_block import present
from torchport_translators.emit.imports import Imports, names_in
from torchport_translators.findings import Coverage, Finding
from torchport_translators.idioms import IDIOMS
from torchport_translators.installed import Installed
from torchport_translators.source import kinds as k
from torchport_translators.source.infer import PROPERTIES, Inference
from torchport_translators.source.kinds import Confidence
from torchport_translators.source.results import literal
from torchport_translators.source.scopes import Class, Function
from torchport_translators.source.sharing import INPLACE_POSITION
from torchport_translators.source.syntax import Malformed, Node, Source

ExpressionRewrite = Callable[["Rewriter", Node], "Code | None"]
StatementRewrite = Callable[["Rewriter", Node], bool]

_BINDINGS: dict[str, Binding] = {
    "lambda": Binding.TEST,
    "conditional_expression": Binding.TEST,
    "named_expression": Binding.TUPLE,
    "expression_list": Binding.TUPLE,
    "pattern_list": Binding.TUPLE,
    "yield": Binding.TUPLE,
    "not_operator": Binding.NOT,
    "comparison_operator": Binding.COMPARE,
    "unary_operator": Binding.FACTOR,
    "await": Binding.AWAIT,
    "generator_expression": Binding.ATOM,
}

# Parents whose children must keep binding as tightly as they did; in any other place a child stands
# between brackets, commas or at the end of a statement.
_OPERATOR_LIKE = frozenset(
    [
        "binary_operator",
        "unary_operator",
        "comparison_operator",
        "boolean_operator",
        "not_operator",
        "attribute",
        "subscript",
        "call",
        "await",
        "conditional_expression",
        "list_splat",
        "as_pattern",
    ]
)
_BRACKETED_FIELDS = frozenset(("subscript", "arguments"))
_SKIPPED_FIELDS = frozenset(("attribute", "name", "operator", "operators", "alias"))
_SKIPPED = frozenset(
    [
        "comment",
        "string_start",
        "string_end",
        "string_content",
        "type_conversion",
        "format_specifier",
        "escape_sequence",
        "lambda_parameters",
        "integer",
        "float",
        "true",
        "false",
        "none",
        "ellipsis",
        "pass_statement",
        "import_statement",
        "import_from_statement",
        "future_import_statement",
        "break_statement",
        "continue_statement",
        "global_statement",
        "nonlocal_statement",
        "ERROR",
        "keyword_separator",
        "positional_separator",
    ]
)
_LISTS = frozenset(("argument_list", "for_in_clause", "if_clause", "interpolation", "pair"))
# Inside these an expression is evaluated more or less than once, or later.
_DEFERRED = frozenset(
    [
        "lambda",
        "list_comprehension",
        "set_comprehension",
        "dictionary_comprehension",
        "generator_expression",
        "conditional_expression",
        "boolean_operator",
    ]
)

# What stays torch's: data is read, shuffled and batched on the host.
_KEPT = ("torch.utils.data.",)

_DTYPES = {
    "builtins.bool": "torch.bool",
    "builtins.int": "torch.int64",
    "builtins.float": "torch.float32",
}
_DOTTED = re.compile(r"[^\W\d][\w.]*")
_BUILTINS = frozenset(dir(builtins))


@dataclass(slots=True)
class Tally:
    """Uses of torch's API counted so far."""

    total: int = 0
    ported: int = 0

    def coverage(self) -> Coverage:
        return Coverage(self.total, self.ported)


@dataclass(slots=True)
class Statement:
    """The statement being written: lines to put before it, and what could not be ported in it."""

    node: Node
    source: Source
    before: list[str] = field(default_factory=list[str])
    after: list[str] = field(default_factory=list[str])
    marks: list[str] = field(default_factory=list[str])

    @property
    def hoistable(self) -> bool:
        """Whether a line can stand before it: nothing else begins its line."""
        return self.source.starts_line(self.node)


@dataclass(frozen=True, slots=True)
class Stopping:
    """A `no_grad` block or function: what is returned, and these names, are constants."""

    names: frozenset[str]
    returns: bool


class Rewriter:
    """Writes the port of one source.

    Attributes:
        source: the text and its tree.
        inference: the kinds.
        edits: what changes in the text.
        imports: what the port needs of the target.
        helpers: the rules that it ships.
        findings: what its reader must know, in the order found (a dict, that holds each once).
        quoted: imported names that only annotations in quotes use.
        drawing: functions whose port draws from random state, or hands it on.
        dedented: how many characters further to the left the block being written stands.
        stopping: inside `no_grad`, where what is computed is a constant for the gradient.
        ties: output layers whose weight is an embedding's, by class.
        idioms: what the target writes where no rule is called.
        left: names that the source's text uses where it was left as it is.
        ported: where torch names stand that were ported, perhaps to the same text.
        decided: ports of expressions that a rewrite of what is around them has decided on.
    """

    def __init__(
        self,
        source: Source,
        inference: Inference,
        catalogue: Catalogue,
        expressions: dict[str, list[ExpressionRewrite]],
        statements: dict[str, list[StatementRewrite]],
        reserved: frozenset[str] = frozenset(),
        installed: Installed | None = None,
    ) -> None:
        self.source = source
        self.inference = inference
        self.catalogue = catalogue
        self.edits = Edits()
        self.idioms = IDIOMS[catalogue.target]
        self.imports = Imports(inference.bound | reserved, present(source))
        self.helpers = Helpers(catalogue, self.imports, inference.bound)
        self.inliner = Inliner(catalogue, self, installed)
        self.findings: dict[Finding, None] = {}
        self.tally = Tally()
        self.left: set[str] = set()
        self.ported: set[int] = set()
        self.module_rngs_at: Node | None = None
        self.function: Function = inference.module
        self.current: Statement = Statement(source.root, source)
        self._expressions = expressions
        self._statements = statements
        self.quoted: set[str] = set()
        self.drawing: set[Function] = set()
        self.stopping: Stopping | None = None
        self.ties: dict[Class, dict[str, str]] = {}
        self.dedented = 0
        self.decided: dict[Node, Callable[[], Code]] = {}
        self._deferred = 0
        self._newline = "\r\n" if "\r\n" in source.text else "\n"
        self._taken: dict[Function, set[str]] = {}

    # Where we are

    @property
    def cls(self) -> Class | None:
        """The class whose method is being written."""
        function: Function | None = self.function
        while function is not None:
            if function.cls is not None:
                return function.cls
            function = function.outer
        return None

    def api(self, node: Node) -> str | None:
        """The torch name that an expression is ("torch.nn.Linear"), if it is one."""
        return node.kind.path if isinstance(node.kind, k.Api) else None

    def called_api(self, node: Node) -> str | None:
        """The torch API that a call calls: a function, a class, or a method of a tensor."""
        if node.type != "call":
            return None
        match node["function"].kind:
            case k.Api(path):
                return path
            case k.Method(k.Tensor(), name):
                return f"torch.Tensor.{name}"
            case _:
                return None

    def arguments(self, call: Node) -> tuple[list[Node], dict[str, Node]]:
        """A call's positional and keyword arguments."""
        arguments = call["arguments"]
        if arguments.type != "argument_list":
            return [arguments], {}
        positional: list[Node] = []
        keywords: dict[str, Node] = {}
        for child in arguments.named():
            if child.type == "keyword_argument":
                keywords[self.source[child["name"]]] = child["value"]
            else:
                positional.append(child)
        return positional, keywords

    # Statements

    def module(self) -> None:
        """Write the whole source."""
        self.block(self.source.root)

    def block(self, node: Node) -> None:
        for child in node.children:
            self.statement(child)

    def statement(self, node: Node) -> None:
        """Write a statement and what is inside it."""
        if node.type in _SKIPPED:
            return
        outer, function, mark = self.current, self.function, self.edits.mark()
        self.current = Statement(node, self.source)
        try:
            for rewrite in self._statements.get(node.type, ()):
                if rewrite(self, node):
                    break
            else:
                self.parts(node)
            self._finish(self.current)
        except Malformed:
            # The parser has told; the statement stays as the author left it.
            self.edits.forget_since(mark)
            self.function = function
            self._deferred = 0
        self.current = outer

    def parts(self, node: Node) -> None:
        """Write the expressions and blocks of a statement where they stand."""
        for child in node.children:
            if child.type in _SKIPPED or child.field in _SKIPPED_FIELDS:
                continue
            if child.type == "block":
                self.block(child)
            elif child.type.endswith("_clause") and child.type != "with_clause":
                # An elif's condition is evaluated only if those before it fail.
                self._deferred += 1
                self.parts(child)
                self._deferred -= 1
            elif child.type.endswith(("_statement", "_definition")):
                self.statement(child)
            else:
                self.write(child)

    def write(self, node: Node) -> None:
        """Put the port of an expression in its place."""
        code = self.expr(node)
        if node.type == "assignment" and self._assigns_itself(node, code):
            self.remove(self.current.node)
        elif code.text != self.source[node]:
            least = Binding.TUPLE if code.binding is Binding.TUPLE else Binding.TEST
            self.edits.replace(node.start, node.end, code.within(least))

    def _assigns_itself(self, node: Node, code: Code) -> bool:
        """`x = x.contiguous()` has become `x = x`."""
        left, _, right = code.text.partition(" = ")
        if left != right or left != self.source[node["left"]] or code.text == self.source[node]:
            return False
        block = self.current.node.parent
        return block is not None and len(block.named()) > 1

    def replace(self, node: Node, text: str) -> None:
        """Put `text` in the place of a statement; its comments are kept above it."""
        for comment in self._comments(node):
            if comment not in text:
                self.before(comment)
        self.edits.replace(node.start, node.end, text)

    def remove(self, node: Node, *, comment: bool = False) -> None:
        """Take a statement out, with its line; a comment beside it stays, unless `comment`."""
        start = self.source.line_start(node.start)
        end = node.end
        text = self.source.text
        stop = self.source.line_end(end)
        rest = text[end:stop].strip()
        if comment and rest.startswith("#"):
            rest = ""
        if rest or text[start : node.start].strip():
            self.edits.replace(node.start, node.end + (len(rest) and 0), "" if rest else "pass")
            return
        self.edits.replace(start, _next_line(text, stop), "")

    def indent(self, node: Node) -> str:
        """The indentation that a statement has in the port, where blocks around it may fall away."""
        indent = self.source.indent(node)
        return indent[: len(indent) - self.dedented]

    def before(self, line: str) -> None:
        """Put a line before the current statement."""
        self.current.before.append(line)

    def after(self, line: str) -> None:
        """Put a line after the current statement."""
        self.current.after.append(line)

    @contextmanager
    def deferred(self) -> Generator[None]:
        """Inside it nothing is put before the statement, which is evaluated later."""
        self._deferred += 1
        yield
        self._deferred -= 1

    def may_hoist(self) -> bool:
        """Whether a line before the statement runs exactly when the expression would."""
        return not self._deferred and self.current.hoistable

    def _finish(self, statement: Statement) -> None:
        if statement.after:
            indent = self.indent(statement.node)
            end = self.source.line_end(statement.node.end)
            self.edits.insert(end, "".join(f"\n{indent}{line}" for line in statement.after))
        marks = list(dict.fromkeys(statement.marks))
        lines = [f"# torchport: {mark}" for mark in marks] + statement.before
        if not lines:
            return
        anchor = statement.node
        while not self.source.starts_line(anchor) and anchor.parent is not None:
            siblings = anchor.parent.children
            line = self.source.line_start(anchor.start)
            first = next(
                (s for s in siblings if s.start >= line and self.source.starts_line(s)), None
            )
            anchor = first or anchor.parent
        indent = self.indent(anchor)
        newline = self._newline
        text = "".join(f"{line}{newline}{indent}" for line in lines)
        self.edits.insert(anchor.start, text)

    def _comments(self, node: Node) -> Iterable[str]:
        for inner in self.source.nodes("comment", node):
            yield self.source[inner]

    # Expressions

    def expr(self, node: Node) -> Code:
        """The port of an expression."""
        kind = node.type
        if node in self.decided:
            return self.decided[node]()
        if kind in _SKIPPED:
            return Code(self.source[node])
        if kind == "identifier" and isinstance(node.kind, k.Api):
            return self._name(node, node.kind.path)
        for rewrite in self._expressions.get(kind, ()):
            code = rewrite(self, node)
            if code is not None:
                return code
        match kind:
            case "call":
                code = self._call(node)
            case "attribute":
                code = self._attribute(node)
            case "subscript":
                code = self._subscript(node)
            case "identifier":
                return Code(self.source[node])
            case "string" if _is_annotation(node):
                return self._quoted(node)
            case _:
                code = None
        return code if code is not None else self.splice(node)

    def splice(self, node: Node, replaced: dict[Node, Code] | None = None) -> Code:
        """The expression as written, with the ports of its parts in their places."""
        deferred = node.type in _DEFERRED
        self._deferred += deferred
        parts: list[str] = []
        at = node.start
        text = self.source.text
        wants_value = self._wants_value(node)
        for child in node.children:
            if child.type in _SKIPPED or child.field in _SKIPPED_FIELDS:
                continue
            code = replaced.get(child) if replaced else None
            if code is None:
                code = self.expr(child)
                if wants_value and self._holds_value(child, code):
                    code = Code(f"{code.text}[...]")
            if code.text == text[child.start : child.end]:
                continue
            least = Binding.TEST
            if node.type in _OPERATOR_LIKE and child.field not in _BRACKETED_FIELDS:
                least = self._least(node, child)
            elif (
                self.binding(child) is Binding.TUPLE
                or child.type in _LISTS
                or (node.type == "assignment" and child.field == "right")
            ):
                least = Binding.TUPLE
            parts += (text[at : child.start], code.within(least))
            at = child.end
        self._deferred -= deferred
        if not parts:
            return Code(text[node.start : node.end], self.binding(node))
        parts.append(text[at : node.end])
        return Code("".join(parts), self.binding(node))

    def _wants_value(self, parent: Node) -> bool:
        """Whether what stands in a place may be handled by code that knows no variables."""
        match parent.type:
            case "tuple" | "list":
                return parent.parent is not None and parent.parent.type != "for_statement"
            case "argument_list":
                call = parent.parent
            case "keyword_argument":
                call = parent.parent.parent if parent.parent is not None else None
            case _:
                return False
        callee = call.get("function") if call is not None else None
        kind = callee.kind if callee is not None else None
        if isinstance(kind, k.External):
            return not kind.path.startswith("builtins.")
        return isinstance(kind, k.FunctionRef | k.Instance | k.Transformed | k.Unknown)

    def _least(self, parent: Node, child: Node) -> Binding:
        """How tightly what takes the child's place must bind."""
        match parent.type:
            case "conditional_expression":
                return Binding.OR
            case "boolean_operator":
                return Binding.NOT if self.source[parent["operator"]] == "and" else Binding.AND
            case "not_operator":
                return Binding.NOT
            case "comparison_operator" | "list_splat":
                return Binding.BIT_OR
            case _:
                return max(self.binding(child), Binding.TEST)

    def binding(self, node: Node) -> Binding:
        """How tightly an expression binds as it is written."""
        match node.type:
            case "binary_operator":
                return OPERATORS.get(self.source[node["operator"]], Binding.SUM)
            case "boolean_operator":
                return Binding.AND if self.source[node["operator"]] == "and" else Binding.OR
            case _:
                return _BINDINGS.get(node.type, Binding.ATOM)

    def hole(self, node: Node) -> Hole:
        """An argument of a call, for the inliner."""
        starred = node.type == "list_splat"
        inner = node.children[0] if starred else _unwrapped(node)
        kind = inner.kind or k.UNKNOWN
        items: list[ast.expr] | None = None
        if inner.type in ("tuple", "list"):
            elements = inner.named()
            if not any(child.type == "list_splat" for child in elements):
                items = [self.hole(child) for child in elements]
        code = self.expr(inner)
        hole = Hole(
            code,
            kind,
            items=items,
            nullable=self.nullable(inner),
            starred=starred,
            variable=self._holds_value(inner, code),
            generator=inner.type == "generator_expression",
            node=node,
        )
        constant = self.literal(inner)
        if constant is not None:
            hole.const = constant[0]
        return hole

    def _argument(self, node: Node) -> Hole:
        """An argument of torch: a type of Python's is a dtype there, which not every target knows."""
        hole = self.hole(node)
        path = node.kind.path if isinstance(node.kind, k.External) else ""
        if path in _DTYPES and not self.idioms.python_dtypes:
            hole.code = Code(self.imports.add_root(self.catalogue.names[_DTYPES[path]]))
        return hole

    def value(self, node: Node) -> Code:
        """The port of an expression where an array is wanted: a variable gives its value."""
        code = self.expr(node)
        return Code(f"{code.text}[...]") if self._holds_value(node, code) else code

    def _holds_value(self, node: Node, code: Code) -> bool:
        """Whether an expression is a variable in the port, too, and not its value."""
        # A kernel seen in torch's layout (`kernel.T`) is a value already.
        raw = code.atomic and not code.text.endswith(".T")
        # What may be None has no value to ask for.
        held = self.idioms.variables and self.is_variable(node)
        return raw and held and not self.nullable(node)

    def is_variable(self, node: Node) -> bool:
        """Whether an expression names a parameter or buffer of a module, not its value."""
        if not isinstance(node.kind, k.Tensor) or not node.kind.variable:
            return False
        if node.type == "attribute":
            return self.source[node["attribute"]] not in PROPERTIES
        return node.type == "identifier"

    def literal(self, node: Node) -> tuple[object] | None:
        """The value of a literal (in a tuple, as it may be None)."""
        match node.type:
            case "integer" | "float" | "true" | "false" | "none" | "string" | "ellipsis":
                pass
            case "unary_operator" if node["argument"].type in ("integer", "float"):
                pass
            case "call" if self.source[node["function"]] == "float":
                return _float_literal(self.source[node])
            case _:
                return None
        return literal(self.source[node])

    def nullable(self, node: Node) -> bool:
        if node.type == "identifier":
            return self.source[node] in self.inference.nullable
        if node.type == "attribute":
            return self.source[node["attribute"]] in self.inference.nullable
        return node.type in ("conditional_expression", "boolean_operator")

    # torch names, calls, attributes

    def _name(self, node: Node, path: str) -> Code:
        """A torch name that is not called here."""
        text = self.catalogue.names.get(path)
        if text is not None:
            self.count(True)
            self.ported.add(node.start)
            return Code(self.imports.add_root(text))
        if self.catalogue.find(path):
            try:
                as_class = _is_tested(node) or _is_annotation(node)
                code = self.inliner.reference(path, as_class=as_class).code()
            except Unsupported as refused:
                if not _is_annotation(node):
                    return self.unported(node, refused.why, "unsupported-argument", path)
                code = Code(self.imports.add_root(self.idioms.module))
            self.count(True)
            self.ported.add(node.start)
            return code
        if path.startswith(_KEPT):
            return self.kept(node, path)
        return self.unported(node, self.catalogue.no_rule(path), "no-rule", path)

    def _quoted(self, node: Node) -> Code:
        """An annotation in quotes: its torch names are ported inside them."""

        def ported(match: re.Match[str]) -> str:
            path = self.inference.torch_name(match[0])
            known = self.catalogue.names.get(path) if path else None
            if known is None:
                return match[0]
            self.count(True)
            text = self.imports.add_root(known)
            self.quoted.add(text.partition(".")[0])
            return text

        return Code(_DOTTED.sub(ported, self.source[node]))

    def _call(self, node: Node) -> Code | None:
        result = self.inline(node)
        if isinstance(result, Code):
            return result
        if result is None:
            return self._own_call(node)
        code = self._same_layout(node, result) or result.code()
        self._keep_comments(node, code)
        return code

    def _same_layout(self, node: Node, result: Result) -> Code | None:
        """A call over several lines whose arguments stay as they are keeps its lines."""
        call = result.expression
        if not isinstance(call, ast.Call) or "\n" not in self.source[node["arguments"]]:
            return None
        if isinstance(node["function"].kind, k.Method):
            return None
        positional, keywords = self.arguments(node)
        random = bool(call.keywords) and call.keywords[-1].arg == "rngs"
        own = call.keywords[:-1] if random else call.keywords
        if (
            [_node_of(arg) for arg in call.args] != positional
            or [keyword.arg for keyword in own] != list(keywords)
            or [_node_of(keyword.value) for keyword in own] != list(keywords.values())
        ):
            return None
        function = self.inliner.renderer.render(call.func)
        if random:
            return self.with_rngs(node, function)
        return Code(function.within(Binding.ATOM) + self.splice(node["arguments"]).text)

    def inline(
        self,
        node: Node,
        without: frozenset[str] = frozenset(),
        also: Mapping[str, ast.expr] | None = None,
    ) -> Result | Code | None:
        """Port a call of torch; the text as it was if it cannot be; None if it is not torch's.

        Keyword arguments `without` are left to the caller; `also` are added to the call's.
        """
        api = self.called_api(node)
        if api is None:
            return None
        callee = node["function"]
        positional, keywords = self.arguments(node)
        if any(child.type == "dictionary_splat" for child in positional):
            return self.unported(
                node, f"{api}: arguments are unpacked with **", "unsupported-argument", api
            )
        holes: list[ast.expr] = []
        if isinstance(callee.kind, k.Method):
            receiver = callee["object"]
            if not k.is_tensor(receiver.kind):
                if not self.catalogue.find(api):
                    return None
                return self.unported(
                    node,
                    f"{self.source[receiver]}.{callee.kind.name}(...) is not ported: "
                    f"{self.source[receiver]} may or may not be a tensor",
                    "unsure",
                    api,
                )
            holes.append(self.hole(receiver))
        flag = INPLACE_POSITION.get(api.removeprefix("torch.nn.functional."))
        for position, child in enumerate(positional):
            # What `inplace` asks for is done by the rewrite of in-place calls.
            if position != flag:
                holes.append(self._argument(child))
        named: dict[str, ast.expr] = {
            n: self._argument(child) for n, child in keywords.items() if n not in without
        }
        named |= also or {}
        api = self.catalogue.home(api)
        if not self.catalogue.find(api):
            if api.startswith(_KEPT):
                self.kept(callee, api)
                return None
            return self.unported(node, self.catalogue.no_rule(api), "no-rule", api)
        try:
            result = self.inliner.call(api, holes, named)
        except Unsupported as refused:
            return self.unported(node, refused.why, "unsupported-argument", api)
        self.count(True)
        self.ported.add(callee.start)
        if not result.rule.jit:
            self.find("not-under-jit", f"{api} needs values, which are not known under jit", node)
        return result

    def _keep_comments(self, node: Node, code: Code) -> None:
        """Comments inside a call that are not in its port go above the statement."""
        if "#" not in self.source[node]:
            return
        for comment in self._comments(node):
            if comment not in code.text and comment not in self.current.before:
                self.before(comment)

    def _own_call(self, node: Node) -> Code | None:
        """A call of a function or class of this file: `rngs` is passed on."""
        callee = node["function"].kind
        function: Function | None = None
        match callee:
            case k.ClassRef(cls):
                function = cls.method("__init__")
            case k.FunctionRef(function=called) if called.is_constructor or called.cls is None:
                function = called
            case k.Factory(path):
                rules = self.catalogue.find(path)
                return self.with_rngs(node) if rules and rules[-1].random else None
            case _:
                return None
        if function is None or not function.random or function.node.type == "lambda":
            return None
        if function.seeded and not function.is_constructor:
            return None  # it makes its own
        return self.with_rngs(node)

    def with_rngs(self, node: Node, function: Code | None = None) -> Code:
        """A call with `rngs` added to its arguments, of `function` if that is given."""
        spliced = self.splice(node["arguments"])
        inner = spliced.text[1:-1].rstrip()
        rngs = self.rngs()
        if inner.strip() and not inner.endswith(","):
            inner += ","
        separator = " " if inner.strip() else ""
        if "\n" in inner:
            tail = spliced.text[1 + len(inner.rstrip(",")) : -1].lstrip(",")
            inner_indent = inner.rpartition("\n")[2]
            pad = inner_indent[: len(inner_indent) - len(inner_indent.lstrip())]
            arguments = f"({inner}\n{pad}rngs={rngs},{tail})" if tail else f"({inner} rngs={rngs})"
        else:
            arguments = f"({inner}{separator}rngs={rngs})"
        callee = function or self.expr(node["function"])
        return Code(callee.within(Binding.ATOM) + arguments)

    def _attribute(self, node: Node) -> Code | None:
        if isinstance(node.kind, k.Api):
            return self._name(node, node.kind.path)
        owner = node["object"]
        name = self.source[node["attribute"]]
        match owner.kind:
            case k.Tensor() as kind:
                api = f"torch.Tensor.{name}"
                if (
                    name in PROPERTIES
                    and self.catalogue.find(api)
                    and kind.sure > Confidence.UNSURE
                ):
                    self.count(True)
                    try:
                        return self.inliner.call(api, [self.hole(owner)], {}).code()
                    except Unsupported as refused:
                        return self.unported(node, refused.why, "unsupported-argument", api)
                if (
                    name in PROPERTIES
                    and api in self.catalogue.absent
                    and kind.sure > Confidence.UNSURE
                ):
                    return self.unported(node, self.catalogue.no_rule(api), "no-rule", api)
            case k.Instance("torch.nn.DataParallel") if name == "module":
                return self.expr(owner)
            case k.Sequence(fields=fields) if name in fields:
                return self._pick(owner, fields.index(name))
            case k.ModuleRef(place):
                return self._of_module(node, place, name)
            case _:
                pass
        return None

    def _of_module(self, node: Node, package: Path, name: str) -> Code | None:
        """`net.model`, and `net.Net` of a package that passes it on: in the port of what defines it."""
        links = self.inference.links
        assert links is not None
        if isinstance(node.kind, k.ModuleRef):
            ported = links.port(node.kind.place)
            found = ported
        else:
            ported = links.home(package, name) if links.port(package) is None else None
            found = f"{ported}.{name}"
        return Code(f"{self.expr(node['object']).text}.{found}") if ported is not None else None

    def _subscript(self, node: Node) -> Code | None:
        value = node["value"]
        indices = [child for child in node.children if child.field == "subscript"]
        if len(indices) == 1 and isinstance(value.kind, k.Sequence) and value.type == "call":
            number = self.literal(indices[0])
            if number is not None and isinstance(number[0], int):
                return self._pick(value, number[0])
        return None

    def _pick(self, node: Node, index: int) -> Code:
        """One item of a tuple: of the rule's own expression where a torch call makes it."""
        ported = node.type == "call" and self.catalogue.find(self.called_api(node) or "")
        result = self.inline(node) if ported else None
        if isinstance(result, Result):
            items = result.kind.items if isinstance(result.kind, k.Sequence) else None
            if items is None or -len(items) <= index < len(items):
                code = result.pick(index).code()
                self._keep_comments(node, code)
                return code
        code = result if isinstance(result, Code) else self.expr(node)
        return Code(f"{code.within(Binding.ATOM)}[{index}]")

    # Random state

    def rngs(self) -> str:
        """The expression that holds random state here."""
        self.drawing.add(self.function)
        function: Function | None = self.function
        while function is not None and function is not self.inference.module:
            if function.cls is not None and not function.is_constructor:
                return f"{function.parameters[0].name}.rngs" if function.parameters else "rngs"
            if function.random or function.is_constructor or function.seeded:
                return "rngs"
            function = function.outer
        if self.module_rngs_at is None:
            self.module_rngs_at = self._top_statement()
        return "rngs"

    def _top_statement(self) -> Node:
        node = self.current.node
        while node.parent is not None and node.parent.type != "module":
            node = node.parent
        return node

    # Surroundings of the inliner

    def bind(self, hint: str, code: Code) -> Code:
        name = self.fresh(hint)
        self.before(f"{name} = {code.within(Binding.TEST)}")
        return Code(name)

    def helper(self, rule: Rule) -> str:
        return self.helpers.rule(rule)

    def constant(self, module: RuleModule, name: str) -> str:
        return self.helpers.constant(module, name)

    def imported(self, module: str, name: str | None, alias: str) -> str:
        return self.imports.add(module, name, alias)

    def fresh(self, hint: str) -> str:
        """A name that the source does not use."""
        hint = {"input": "value", "self": "value"}.get(hint, hint)
        taken = self._taken.get(self.function)
        if taken is None:
            taken = self._taken[self.function] = {
                self.source[inner]
                for inner in self.source.nodes("identifier", self.function.node)
                if inner.field != "attribute"
            }
        name, number = hint, 2
        while name in taken or name in _BUILTINS:
            name, number = f"{hint}_{number}", number + 1
        taken.add(name)
        return name

    # Findings

    def count(self, ported: bool) -> None:
        self.tally.total += 1
        self.tally.ported += ported

    def find(self, code: str, message: str, node: Node, api: str | None = None) -> None:
        line, column = self.source.position(node.start)
        end_line, end_column = self.source.position(node.end)
        finding = Finding(code, message, line, column, end_line, end_column, api)
        self.findings[finding] = None

    def kept(self, node: Node, api: str) -> Code:
        """A name of torch that the port uses as it is."""
        self.count(True)
        self.find("kept", f"{api} stays torch's: data is loaded on the host", node, api)
        text = self.source[node]
        self.left.update(name.partition(".")[0] for name in names_in(text))
        return Code(text, self.binding(node))

    def unported(self, node: Node, message: str, code: str, api: str | None = None) -> Code:
        """Leave an expression as it was, mark its statement, and say so."""
        self.count(False)
        self.find(code, message, node, api)
        # Why it is so is the finding's to tell; the comment in the code is short.
        short = f"{api} has no rule"
        told = short if code == "no-rule" and message.startswith(f"{short}: ") else message
        self.current.marks.append(f"not ported: {told}")
        text = self.source[node]
        self.left.update(name.partition(".")[0] for name in names_in(text))
        return Code(text, self.binding(node))


def _is_tested(node: Node) -> bool:
    """Whether a name is a class that `isinstance` is asked about."""
    parent = node.parent
    if parent is not None and parent.type == "tuple":
        parent = parent.parent
    call = parent.parent if parent is not None and parent.type == "argument_list" else None
    return call is not None and call.type == "call" and _called_name(call) == "builtins.isinstance"


def _is_annotation(node: Node) -> bool:
    """Whether a name stands in an annotation."""
    return any(ancestor.type == "type" for ancestor in node.ancestors())


def _called_name(call: Node) -> str | None:
    kind = call["function"].kind
    return kind.path if isinstance(kind, k.External) else None


def _unwrapped(node: Node) -> Node:
    """What stands in parentheses, which commas make needless; but for what needs them anyway."""
    inner = node
    while inner.type == "parenthesized_expression" and len(inner.children) == 1:
        inner = inner.children[0]
    kept = inner.type in ("generator_expression", "named_expression", "yield", "string")
    return node if kept else inner


def _node_of(expression: ast.expr) -> Node | None:
    """The argument of the source that an expression is, whole."""
    if isinstance(expression, ast.Starred):
        expression = expression.value
    return expression.node if isinstance(expression, Hole) else None


def _float_literal(text: str) -> tuple[object] | None:
    try:
        return (float(ast.literal_eval(text[len("float(") : -1])),)
    except (ValueError, SyntaxError, TypeError):
        return None


def _next_line(text: str, end: int) -> int:
    if text.startswith("\r\n", end):
        return end + 2
    return min(end + 1, len(text))
