"""Kinds of expressions, by abstract interpretation of the file: nothing is imported or run.

Statements are walked in order with an environment of names; branches are walked apart and joined,
loops twice. A function is read when it is first called, else at the end; what calls inside the file
pass, and what a body does with its parameters, then speaks for parameters without an annotation,
and the file is read again (at most `_ROUNDS` times) while that adds something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from torchport_translators.catalogue.bind import DTYPES
from torchport_translators.source import custom_gradients, transforms
from torchport_translators.source import kinds as k
from torchport_translators.source.annotations import annotated
from torchport_translators.source.kinds import Confidence, Kind
from torchport_translators.source.results import (
    arithmetic,
    canonical,
    external_result,
    global_name,
    integer_literal,
    is_empty,
    literal,
    says_none,
    string_literal,
    unported_result,
)
from torchport_translators.source.scopes import Class, Function, Parameter, Scope
from torchport_translators.source.syntax import Malformed, Node, Source

if TYPE_CHECKING:
    from torchport_translators.catalogue.load import Catalogue
    from torchport_translators.source.sharing import Sharing
    from torchport_translators.source.training import Training

_ROUNDS = 3

_LITERALS: dict[str, Kind] = {
    "integer": k.INT,
    "float": k.FLOAT,
    "true": k.BOOL,
    "false": k.BOOL,
    "none": k.NONE,
    "string": k.STR,
    "concatenated_string": k.STR,
    "ellipsis": k.Scalar("ellipsis"),
    "slice": k.Scalar("slice"),
}
_CONTAINERS = {"list": "list", "tuple": "tuple", "expression_list": "tuple", "set": "set"}

PROPERTIES: dict[str, Kind] = {
    "shape": k.SIZE,
    "dtype": k.Scalar("dtype"),
    "device": k.Scalar("device"),
    "layout": k.UNKNOWN,
    "ndim": k.INT,
    "itemsize": k.INT,
    "nbytes": k.INT,
    "requires_grad": k.BOOL,
    **dict.fromkeys(
        (
            "is_cpu",
            "is_cuda",
            "is_leaf",
            "is_meta",
            "is_mkldnn",
            "is_mps",
            "is_nested",
            "is_quantized",
            "is_sparse",
            "is_sparse_csr",
            "is_xpu",
            "retains_grad",
        ),
        k.BOOL,
    ),
    "grad_fn": k.UNKNOWN,
    "output_nr": k.INT,
    "names": k.UNKNOWN,
    **dict.fromkeys(("T", "mT", "H", "mH", "real", "imag", "data", "grad"), k.TENSOR),
}
"""Attributes of a tensor that are not methods."""

# Methods that only a tensor has: calling one is evidence that the receiver is a tensor. Names that
# numpy arrays, lists or strings share (`view`, `sum`, `split`, `float`) are not among them.
_TENSOR_ONLY = frozenset(
    [
        "unsqueeze",
        "permute",
        "contiguous",
        "detach",
        "masked_fill",
        "masked_fill_",
        "expand",
        "expand_as",
        "repeat_interleave",
        "softmax",
        "log_softmax",
        "sigmoid",
        "relu",
        "tanh",
        "matmul",
        "bmm",
        "transpose_",
        "add_",
        "mul_",
        "sub_",
        "div_",
        "clamp",
        "clamp_",
        "backward",
        "unbind",
        "chunk",
        "type_as",
        "index_select",
        "masked_select",
        "scatter",
        "scatter_",
        "gather",
        "topk",
        "requires_grad_",
        "cuda",
        "numel",
        "unflatten",
        "movedim",
        "logsumexp",
        "zero_",
        "fill_",
        "copy_",
        "normal_",
        "uniform_",
        "new_zeros",
        "new_ones",
        "new_full",
        "narrow",
        "addmm",
        "baddbmm",
        "lerp",
        "rsqrt",
        "sqrt",
        "exp",
        "log",
        "log1p",
        "abs",
        "pow",
        "cumsum_",
        "unfold",
        "amax",
        "amin",
        "fill_diagonal_",
        "tril",
        "triu",
        "index_add",
        "index_add_",
        "scatter_add",
        "scatter_add_",
        "squeeze_",
        "unsqueeze_",
        "view_as",
        "reshape_as",
        "argmax_",
        "norm",
        "eq",
        "ne",
        "lt",
        "gt",
        "le",
        "ge",
        "logical_not",
        "logical_and",
        "logical_or",
        "isnan",
        "bitwise_and",
        "softplus",
        "retain_grad",
        "is_contiguous",
        "half",
        "bfloat16",
        "double",
        "new_tensor",
        "new_empty",
        "stride",
        "data_ptr",
        "is_floating_point",
    ]
)
_AMBIGUOUS = frozenset(
    [
        "view",
        "size",
        "dim",
        "flatten",
        "t",
        "cpu",
        "numpy",
        "item",
        "long",
        "float",
        "int",
        "bool",
        "clone",
    ]
)

# Parameters of torch functions that take tensors.
# What gives a tensor of bools, whatever it is given.
_BOOLEAN = frozenset(
    [
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "equal_to",
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "not_equal",
        "isnan",
        "isinf",
        "isfinite",
        "isposinf",
        "isneginf",
        "isclose",
        "isin",
        "isreal",
        "signbit",
        "logical_and",
        "logical_or",
        "logical_not",
        "logical_xor",
        "bool",
    ]
)
_TENSOR_PARAMETERS = frozenset(
    [
        "input",
        "other",
        "target",
        "weight",
        "tensor",
        "mask",
        "self",
        "query",
        "key",
        "value",
        "mat1",
        "mat2",
        "vec",
        "vec1",
        "vec2",
        "index",
        "src",
        "x1",
        "x2",
        "anchor",
        "positive",
        "negative",
        "attn_mask",
        "boundaries",
        "A",
        "B",
    ]
)

# Names that by convention give batches.
_LOADER = re.compile(r"loader|_dl$|^dl$", re.IGNORECASE)
# Names that by convention are modules, and methods that only a module has.
_MODEL = re.compile(r"(?:^|_)(?:model|net|network)$", re.IGNORECASE)
_MODULE_ONLY = frozenset(("parameters", "named_parameters", "named_buffers", "named_modules"))

_SELF_RETURNING = frozenset(
    [
        "to",
        "cuda",
        "cpu",
        "eval",
        "train",
        "float",
        "half",
        "double",
        "bfloat16",
        "requires_grad_",
        "apply",
        "type",
    ]
)


def _conventional(source: Source) -> Scope | None:
    """The usual names of torch, for a snippet that imports nothing."""
    if source.nodes("import_statement") or source.nodes("import_from_statement"):
        return None
    return Scope(
        {
            "torch": k.Api("torch"),
            "nn": k.Api("torch.nn"),
            "F": k.Api("torch.nn.functional"),
            "Tensor": k.Api("torch.Tensor"),
        }
    )


@lru_cache(maxsize=4096)
def _api(path: str, name: str) -> k.Api:
    return k.Api(canonical(f"{path}.{name}"))


def _lineage(read: Function | Class) -> Iterable[Function | Class]:
    return read.lineage() if isinstance(read, Class) else (read,)


def _held(kind: Kind) -> Kind:
    """The kind of a variable that holds a torch name."""
    if not isinstance(kind, k.Api):
        return kind
    if kind.path.rpartition(".")[2] in DTYPES:
        return k.Scalar("dtype")
    return k.Factory(kind.path)


class Links(Protocol):
    """What a file sees of the others of its project."""

    def find(self, module: str) -> Path | None:
        """The place of a module that the file imports by this name; None if it is not the project's."""
        ...

    def below(self, package: Path, name: str) -> Path | None:
        """The place of a module in a package."""
        ...

    def read(self, place: Path) -> Inference | None:
        """What is known of a module; None for a package without code, or one that is being read."""
        ...

    def port(self, place: Path) -> str | None:
        """The name of a module's port (`model_jax`); None if it has none."""
        ...

    def home(self, package: Path, name: str) -> str | None:
        """The port, named from its package (`model_jax`), of the module in it that defines a name."""
        ...


class Inference:
    """Reads a source: sets `node.kind` on its expressions, and collects its functions and classes.

    Attributes:
        functions: every function and method, in source order.
        classes: every class, by name.
        bound: every name that the file binds anywhere, so that new names can avoid them.
        nullable: names and attributes that are None somewhere in the file.
        module: the file itself, as the function that runs on import.
        sharing: what is known of shared memory, once that has been asked for.
        training: what is known of training steps, once that has been asked for.
        called_from_outside: whether another file of the project calls a function of this one.
        links: the other files of the project; None where the file stands alone.

    Args:
        passed: kinds of arguments that other files call its functions with, by qualified name and
            parameter.
    """

    def __init__(
        self,
        source: Source,
        catalogue: Catalogue,
        links: Links | None = None,
        passed: Mapping[str, Mapping[str, Kind]] | None = None,
    ) -> None:
        self.source = source
        self.links = links
        self._passed = passed or {}
        self.catalogue = catalogue
        self.functions: dict[Node, Function] = {}
        self.classes: dict[str, Class] = {}
        self._class_of: dict[Node, Class] = {}
        self.bound: set[str] = set()
        self.nullable: set[str] = set()
        self.sharing: Sharing | None = None
        self.training: Training | None = None
        self.called_from_outside = False
        self.module = Function(
            source.root, "<module>", self, scope=Scope({}, _conventional(source))
        )
        self._reading: set[Node] = set()
        self._done: set[Node] = set()
        self._function = self.module
        self._returns: list[list[Kind]] = []
        self._clock = 0
        self._facts = 0
        self._names_changed = 0
        for _ in range(_ROUNDS):
            before = self._facts
            self._done.clear()
            self._read_module()
            if self._facts == before:
                break
        self.spread_randomness()

    def function_at(self, node: Node) -> Function:
        """The function whose body holds the node; the module if none does."""
        for ancestor in node.ancestors():
            if ancestor in self.functions:
                return self.functions[ancestor]
        return self.module

    def class_at(self, node: Node) -> Class | None:
        """The class that the node is written in."""
        for ancestor in node.ancestors():
            if ancestor in self._class_of:
                return self._class_of[ancestor]
        return None

    def torch_name(self, dotted: str) -> str | None:
        """The torch name that a dotted name at the top of the file stands for, if it is one."""
        head, *rest = dotted.split(".")
        kind = self.module.scope.lookup(head) if self.module.scope is not None else k.UNKNOWN
        for name in rest:
            kind = self.member(kind, name)
        return kind.path if isinstance(kind, k.Api) else None

    def class_of(self, node: Node) -> Class:
        """The class that a `class_definition` node defines."""
        return self._class_of[node]

    # Rounds

    def _read_module(self) -> None:
        self._function = self.module
        scope = self.module.scope
        assert scope is not None
        names = dict(scope.names)
        self._block(self.source.root, scope)
        if scope.names != names:
            self._names_changed = self._tick()
        for function in list(self.functions.values()):
            self._read(function)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _learn(
        self, about: Function | Class, facts: dict[str, Kind], name: str, kind: Kind
    ) -> None:
        """Put a fact about a function or class in its place; what has read it is out of date."""
        if facts.get(name) != kind:
            facts[name] = kind
            about.changed_at = self._changed()

    def _changed(self) -> int:
        self._facts += 1
        return self._tick()

    def _is_current(self, function: Function) -> bool:
        """Whether reading a function once more would find what was found before."""
        at = function.read_at
        outer = function.outer
        return (
            at > self._names_changed
            and (outer is None or at > outer.read_at)
            and all(at > about.changed_at for read in function.reads for about in _lineage(read))
            and function.entry == self._entry(function)
        )

    def spread_randomness(self, drawing: Container[Function] | None = None) -> None:
        """Find who needs random state: what draws it, and what calls or builds what does.

        `drawing`, if given, are the functions whose ports turned out to draw; the others that call
        a random API do so with arguments that leave nothing to chance (`dropout(x, training=False)`).
        """
        for cls in self._class_of.values():
            cls.keeps_rngs = False
        for function in self.functions.values():
            function.random = function.draws and (drawing is None or function in drawing)
        for function in list(self.functions.values()):
            self._give_rngs(function)
        changed = True
        while changed:
            changed = False
            for function in self.functions.values():
                if function.random or function.seeded:
                    continue
                if any(
                    callee.random
                    and not callee.seeded
                    and (callee.cls is None or callee.is_constructor)
                    for callee in function.calls
                ):
                    function.random = changed = True
                    self._give_rngs(function)

    def _give_rngs(self, function: Function) -> None:
        """Methods find random state on the object, so its constructor is given it."""
        cls = function.cls
        if cls is None or not function.random or function.is_constructor:
            return
        own = (c for c in cls.lineage() if c.home is self)
        owner = next((c for c in own if "__init__" in c.methods), cls)
        owner.keeps_rngs = True
        if "__init__" in owner.methods:
            owner.methods["__init__"].random = True

    # Functions

    def _define(self, node: Node, scope: Scope, cls: Class | None) -> Function:
        function = self.functions.get(node)
        if function is None:
            name = self.source[node["name"]] if node.get("name") else "<lambda>"
            outer = None if cls or self._function is self.module else self._function
            function = Function(node, name, self, cls, outer, self._decorators(node))
            function.passed.update(self._passed.get(function.qualname, {}))
            parameters = node.get("parameters")
            if parameters is not None:
                function.parameters = list(self._parameters(parameters))
            self.functions[node] = function
            self.bound.update(parameter.name for parameter in function.parameters)
        if function.scope is None or function.scope.parent is not scope:
            function.scope = Scope({}, scope)
            function.read_at = 0
        return function

    def _parameters(self, node: Node) -> Iterable[Parameter]:
        form = "positional"
        for child in node.named():
            match child.type:
                case "identifier":
                    yield Parameter(self.source[child], form, child)
                case "default_parameter":
                    yield Parameter(self.source[child["name"]], form, child, default=child["value"])
                case "typed_parameter":
                    inner = child.children[0]
                    actual = form
                    if inner.type == "list_splat_pattern":
                        actual, form = "vararg", "keyword"
                    elif inner.type == "dictionary_splat_pattern":
                        actual = "kwarg"
                    if inner.type != "identifier" and inner.children:
                        inner = inner.children[0]
                    yield Parameter(self.source[inner], actual, child, child.get("type"))
                case "typed_default_parameter":
                    yield Parameter(
                        self.source[child["name"]], form, child, child.get("type"), child["value"]
                    )
                case "list_splat_pattern":
                    yield Parameter(self.source[child.children[0]], "vararg", child)
                    form = "keyword"
                case "keyword_separator":
                    form = "keyword"
                case "dictionary_splat_pattern":
                    yield Parameter(self.source[child.children[0]], "kwarg", child)
                case _:
                    continue

    def _read(self, function: Function) -> Kind:
        """What a function returns; reads its body if that has to be done in this round."""
        self._function.reads.add(function)
        if function.home is not self:
            return function.returns or k.UNKNOWN
        if function.node in self._done or function.node in self._reading:
            return function.returns or k.UNKNOWN
        scope = function.scope
        if scope is None:
            return k.UNKNOWN
        if self._is_current(function):
            self._done.add(function.node)
            return function.returns or k.UNKNOWN
        self._reading.add(function.node)
        function.read_at = self._tick()
        function.reads = {function.cls} if function.cls is not None else set()
        caller, self._function = self._function, function
        function.entry = self._entry(function)
        scope.names = dict(function.entry)
        body = function.node.get("body")
        returned: list[Kind] = []
        if body is not None and function.node.type == "lambda":
            returned.append(self.infer(body, scope))
        elif body is not None:
            self._returns.append(returned)
            self._block(body, scope)
            self._returns.pop()
        annotation = function.node.get("return_type")
        stated = annotated(self, annotation, scope) if annotation else k.UNKNOWN
        result = returned[0] if returned else k.NONE
        for other in returned[1:]:
            result = k.join(result, other)
        if stated != k.UNKNOWN and not (
            isinstance(stated, k.Sequence) and isinstance(result, k.Sequence)
        ):
            result = stated
        if function.returns != result:
            function.returns = result
            function.changed_at = self._changed()
        self._function = caller
        self._reading.discard(function.node)
        self._done.add(function.node)
        return result

    def _entry(self, function: Function) -> dict[str, Kind]:
        """The kinds of a function's parameters, as far as they are known."""
        kinds = {p.name: self._parameter_kind(function, p) for p in function.parameters}
        if function.cls is not None and function.parameters and not function.is_static:
            kinds[function.parameters[0].name] = k.Instance(cls=function.cls)
        elif function.parameters and custom_gradients.is_custom(function.cls):
            assert function.cls is not None
            if custom_gradients.takes_context(function.cls, function):
                context = k.Instance(custom_gradients.CONTEXT, function.cls)
                kinds[function.parameters[0].name] = context
        return kinds

    def _decorators(self, node: Node) -> tuple[str, ...]:
        parent = node.parent
        if parent is None or parent.type != "decorated_definition":
            return ()
        written = (self.source[child] for child in parent.children if child.type == "decorator")
        return tuple(text.lstrip("@").strip() for text in written)

    def _parameter_kind(self, function: Function, parameter: Parameter) -> Kind:
        # Annotations and defaults are evaluated where the function is defined.
        scope = function.scope and function.scope.parent
        assert scope is not None
        found: Kind = k.UNKNOWN
        if parameter.annotation is not None:
            found = annotated(self, parameter.annotation, scope)
        elif parameter.default is not None:
            found = self.infer(parameter.default, scope)
        if parameter.default is not None and self.infer(parameter.default, scope) == k.NONE:
            self.nullable.add(parameter.name)
        if parameter.annotation is not None and says_none(self.source[parameter.annotation]):
            self.nullable.add(parameter.name)
        if found in (k.UNKNOWN, k.NONE) or isinstance(found, k.External):
            found = self._guess(function, parameter)
        found = _held(found)
        if parameter.form == "vararg":
            return k.Sequence("tuple", element=found)
        if parameter.form == "kwarg":
            return k.Mapping(found)
        return found

    def _guess(self, function: Function, parameter: Parameter) -> Kind:
        passed = function.passed.get(parameter.name, k.UNKNOWN)
        evidence = function.evidence.get(parameter.name, k.UNKNOWN)
        if passed not in (k.UNKNOWN, k.NONE):
            return passed
        if parameter.name in ("device", "dtype"):
            return k.Scalar(parameter.name)
        if evidence != k.UNKNOWN:
            return evidence
        if _LOADER.search(parameter.name) is not None:
            return k.GIVEN_LOADER
        if _MODEL.search(parameter.name) is not None:
            return k.Instance("torch.nn.Module")
        cls = function.cls
        if cls is not None and cls.is_module and function.name == "forward":
            return k.LIKELY_TENSOR
        if cls is not None and custom_gradients.is_custom(cls):
            arguments = custom_gradients.arguments(cls)
            if function.name == "backward":
                return k.LIKELY_TENSOR
            if parameter in arguments and function.name == "forward":
                index = arguments.index(parameter)
                return k.LIKELY_TENSOR if custom_gradients.has_gradient(cls, index) else k.UNKNOWN
        return k.UNKNOWN

    # Statements

    def _block(self, node: Node, scope: Scope) -> None:
        for child in node.children:
            self._statement(child, scope)

    def _statement(self, node: Node, scope: Scope) -> None:
        try:
            self._read_statement(node, scope)
        except Malformed:
            return  # it stands in code that does not parse, and says nothing

    def _read_statement(self, node: Node, scope: Scope) -> None:
        handler = self._STATEMENTS.get(node.type)
        if handler is not None:
            handler(self, node, scope)
        else:
            for child in node.children:
                if child.type == "block":
                    self._block(child, scope)
                elif child.type in self._STATEMENTS or child.type.endswith(
                    ("_statement", "_clause")
                ):
                    self._statement(child, scope)
                elif child.type != "comment":
                    self.infer(child, scope)

    def _branches(self, scope: Scope, walks: list[Callable[[Scope], None]]) -> None:
        """Walk alternatives from the same start, and leave what holds after any of them."""
        before = scope.names
        ends: list[dict[str, Kind]] = []
        for walk in walks:
            scope.names = dict(before)
            walk(scope)
            ends.append(scope.names)
        merged = ends[0]
        for end in ends[1:]:
            for name in {*merged, *end}:
                left, right = merged.get(name), end.get(name)
                if left is None or right is None:
                    merged[name] = left or right or k.UNKNOWN
                elif left != right:
                    merged[name] = k.join(left, right)
        before.clear()
        before.update(merged)
        scope.names = before

    def _if(self, node: Node, scope: Scope) -> None:
        walks: list[Callable[[Scope], None]] = []
        complete = False
        for clause in (node, *[c for c in node.children if c.field == "alternative"]):
            condition = clause.get("condition")
            body = clause.get("consequence" if condition is not None else "body")
            if body is None:
                continue
            complete = complete or condition is None

            def walk(inner: Scope, condition: Node | None = condition, body: Node = body) -> None:
                if condition is not None:
                    self.infer(condition, inner)
                    self._narrow(condition, inner)
                self._block(body, inner)

            walks.append(walk)
        if not complete:
            walks.append(lambda inner: None)
        self._branches(scope, walks)

    def _narrow(self, condition: Node, scope: Scope) -> None:
        """`isinstance(x, C)` says what x is inside the branch."""
        if condition.type == "boolean_operator" and self.source[condition["operator"]] == "and":
            self._narrow(condition["left"], scope)
            self._narrow(condition["right"], scope)
        if condition.type != "call" or self.source[condition["function"]] != "isinstance":
            return
        arguments = condition["arguments"].named()
        if len(arguments) != 2 or arguments[0].type != "identifier":
            return
        classes = arguments[1].named() if arguments[1].type == "tuple" else [arguments[1]]
        found: list[Kind] = [annotated(self, cls, scope) for cls in classes]
        instances = [kind for kind in found if isinstance(kind, k.Instance)]
        if len(instances) == 1 == len(found):
            scope.names[self.source[arguments[0]]] = instances[0]
        elif instances and len(instances) == len(found):
            among = tuple(kind.api for kind in instances if kind.api is not None)
            scope.names[self.source[arguments[0]]] = k.Instance("torch.nn.Module", among=among)
        elif len(found) == 1 and isinstance(found[0], k.Tensor):
            scope.names[self.source[arguments[0]]] = k.TENSOR

    def _for(self, node: Node, scope: Scope) -> None:
        iterated = self.infer(node["right"], scope)

        def body(inner: Scope) -> None:
            for _ in range(2):
                self._assign(node["left"], k.element(iterated), inner)
                self._block(node["body"], inner)

        self._branches(scope, [body, lambda inner: None])
        alternative = node.get("alternative")
        if alternative is not None:
            self._statement(alternative, scope)

    def _while(self, node: Node, scope: Scope) -> None:
        def body(inner: Scope) -> None:
            for _ in range(2):
                self.infer(node["condition"], inner)
                self._block(node["body"], inner)

        self._branches(scope, [body, lambda inner: None])

    def _try(self, node: Node, scope: Scope) -> None:
        for child in node.children:
            self._statement(child, scope) if child.type != "block" else self._block(child, scope)

    def _function_definition(self, node: Node, scope: Scope, cls: Class | None = None) -> None:
        function = self._define(node, scope, cls)
        for parameter in function.parameters:
            if parameter.annotation is not None:
                self.infer(parameter.annotation, scope)
        if (annotation := node.get("return_type")) is not None:
            self.infer(annotation, scope)
        if cls is None:
            self.bound.add(function.name)
            scope.names[function.name] = k.FunctionRef(function)
        else:
            cls.methods[function.name] = function

    def _decorated(self, node: Node, scope: Scope) -> None:
        for child in node.children:
            if child.type == "decorator" and child.children:
                self.infer(child.children[0], scope)
        definition = node.get("definition")
        if definition is not None:
            self._statement(definition, scope)

    def _class_definition(self, node: Node, scope: Scope) -> None:
        name = self.source[node["name"]]
        cls = self._class_of.get(node)
        if cls is None:
            cls = self._class_of[node] = Class(node, name, self)
        self.classes[name] = cls
        self.bound.add(name)
        scope.names[name] = k.ClassRef(cls)
        cls.bases = []
        superclasses = node.get("superclasses")
        for child in superclasses.named() if superclasses else ():
            if child.type == "keyword_argument":
                self.infer(child["value"], scope)
            else:
                cls.bases.append(self.infer(child, scope))
        cls.is_module = any(
            (isinstance(base, k.Api) and base.path.startswith("torch.nn."))
            or (isinstance(base, k.ClassRef) and base.cls.is_module)
            for base in cls.bases
        )
        inner = Scope({}, scope)
        for statement in node["body"].children:
            definition = statement
            if statement.type == "decorated_definition":
                for child in statement.children:
                    if child.type == "decorator" and child.children:
                        self.infer(child.children[0], scope)
                definition = statement.get("definition") or statement
            if definition.type == "function_definition":
                self._function_definition(definition, scope, cls)
            else:
                self._statement(statement, inner)
        for attribute, kind in inner.names.items():
            if attribute not in cls.attributes:
                self._learn(cls, cls.attributes, attribute, kind)
        constructor = cls.methods.get("__init__")
        if constructor is not None:
            self._read(constructor)

    def _import(self, node: Node, scope: Scope) -> None:
        for child in node.named():
            if child.field != "name":
                continue
            if child.type == "aliased_import":
                path, name = self.source[child["name"]], self.source[child["alias"]]
            else:
                path = self.source[child]
                name = path = path.split(".")[0]
            self._bind(name, self._imported(path), scope)

    def _import_from(self, node: Node, scope: Scope) -> None:
        module_node = node.get("module_name")
        if module_node is None:
            return
        module = self.source[module_node]
        for child in node.children:
            if child.type == "wildcard_import":
                self._import_star(module, scope)
            elif child.field == "name" and child.type == "aliased_import":
                kind = self._imported(module, self.source[child["name"]])
                self._bind(self.source[child["alias"]], kind, scope)
            elif child.field == "name":
                name = self.source[child]
                self._bind(name, self._imported(module, name), scope)

    def _imported(self, module: str, name: str | None = None) -> Kind:
        """What a module is, or a name in it."""
        place = self.links.find(module) if self.links is not None else None
        if place is not None:
            return k.ModuleRef(place) if name is None else self._of_module(place, name)
        if name is None:
            return global_name(module)
        return global_name(f"{module}{name}" if module.endswith(".") else f"{module}.{name}")

    def _of_module(self, place: Path, name: str) -> Kind:
        """A name of a module of the project."""
        assert self.links is not None
        read = self.links.read(place)
        names = read.module.scope.names if read is not None and read.module.scope else {}
        if name in names:
            return names[name]
        inner = self.links.below(place, name)
        return k.ModuleRef(inner) if inner is not None else k.External(f"{place.stem}.{name}")

    def _import_star(self, module: str, scope: Scope) -> None:
        place = self.links.find(module) if self.links is not None else None
        read = self.links.read(place) if self.links is not None and place is not None else None
        if read is not None and read.module.scope is not None:
            for name, kind in read.module.scope.names.items():
                if not name.startswith("_"):
                    self._bind(name, kind, scope)
            return
        prefix = canonical(module) + "."
        for api in (*self.catalogue.apis(), *self.catalogue.names):
            name = api.removeprefix(prefix)
            if api.startswith(prefix) and "." not in name:
                scope.names.setdefault(name, k.Api(api))

    def _bind(self, name: str, kind: Kind, scope: Scope) -> None:
        if not isinstance(kind, k.Api):
            self.bound.add(name)
        scope.names[name] = kind

    def _return(self, node: Node, scope: Scope) -> None:
        kind: Kind = k.NONE
        for child in node.named():
            kind = self.infer(child, scope)
        if self._returns:
            self._returns[-1].append(kind)

    def _with(self, node: Node, scope: Scope) -> None:
        for clause in node.children:
            if clause.type == "with_clause":
                for item in clause.named():
                    self.infer(item["value"], scope)
            elif clause.type == "block":
                self._block(clause, scope)

    def _expression_statement(self, node: Node, scope: Scope) -> None:
        for child in node.children:
            if child.type in ("assignment", "augmented_assignment"):
                self._statement(child, scope)
            elif child.type != "comment":
                self.infer(child, scope)

    def _delete(self, node: Node, scope: Scope) -> None:
        for child in node.named():
            self.infer(child, scope)

    # Assignment

    def _assign(self, target: Node, kind: Kind, scope: Scope) -> None:
        kind = _held(kind)
        target.kind = kind
        if kind == k.NONE:
            self.nullable.add(self.source[target].rpartition(".")[2])
        match target.type:
            case "identifier":
                name = self.source[target]
                self.bound.add(name)
                scope.names[name] = kind
            case "pattern_list" | "tuple_pattern" | "list_pattern" | "tuple" | "list":
                targets = target.named()
                items = kind.items if isinstance(kind, k.Sequence) else None
                for index, child in enumerate(targets):
                    if items is not None and len(items) == len(targets):
                        self._assign(child, items[index], scope)
                    else:
                        self._assign(child, k.element(kind), scope)
            case "list_splat_pattern":
                self._assign(target.children[0], k.Sequence("list", element=k.element(kind)), scope)
            case "attribute":
                owner = self.infer(target["object"], scope)
                if isinstance(owner, k.Instance) and owner.cls is not None:
                    name = self.source[target["attribute"]]
                    known = owner.cls.attributes.get(name)
                    joined = kind if known is None else k.join(known, kind)
                    if (
                        isinstance(known, k.Tensor)
                        and known.variable
                        and isinstance(joined, k.Tensor)
                    ):
                        # A tensor assigned to a buffer's name becomes the buffer's value.
                        target.kind = joined = replace(joined, variable=True)
                    self._learn(owner.cls, owner.cls.attributes, name, joined)
            case "subscript":
                for child in target.named():
                    self.infer(child, scope)
                target.kind = self.infer(target, scope)
                self._widen(target["value"], kind, scope)
            case _:
                for child in target.named():
                    self._assign(child, k.UNKNOWN, scope)

    def _widen(self, container: Node, item: Kind, scope: Scope) -> None:
        """A list or dict that takes `item` holds what it held, joined with it."""
        held = container.kind
        match held:
            case k.Sequence(name="list"):
                was = k.element(held)
                wider: Kind = k.Sequence(
                    "list", element=item if is_empty(held) else k.join(was, item)
                )
            case k.Mapping():
                wider = k.Mapping(item if held.element == k.UNKNOWN else k.join(held.element, item))
            case k.Instance(
                api="torch.nn.ModuleList" | "torch.nn.ModuleDict" | "torch.nn.Sequential"
            ):
                wider = k.Instance(
                    held.api,
                    element=item if held.element == k.UNKNOWN else k.join(held.element, item),
                )
            case _:
                return
        if container.type == "identifier":
            scope.names[self.source[container]] = wider
        elif container.type == "attribute":
            owner = container["object"].kind
            if isinstance(owner, k.Instance) and owner.cls is not None:
                name = self.source[container["attribute"]]
                self._learn(owner.cls, owner.cls.attributes, name, wider)

    def _assignment(self, node: Node, scope: Scope) -> None:
        right = node.get("right")
        annotation = node.get("type")
        kind: Kind = k.UNKNOWN
        if right is not None:
            kind = self.infer(right, scope)
        if annotation is not None:
            self.infer(annotation, scope)
            stated = annotated(self, annotation, scope)
            if stated != k.UNKNOWN and (
                kind == k.UNKNOWN or (isinstance(kind, k.Sequence) and is_empty(kind))
            ):
                kind = stated
        node.kind = kind
        self._assign(node["left"], kind, scope)

    def _augmented(self, node: Node, scope: Scope) -> None:
        left = self.infer(node["left"], scope)
        right = self.infer(node["right"], scope)
        kind = arithmetic(self.source[node["operator"]].rstrip("="), left, right)
        node.kind = kind
        if node["left"].type == "identifier":
            scope.names[self.source[node["left"]]] = kind
            node["left"].kind = left

    # Expressions

    def infer(self, node: Node, scope: Scope) -> Kind:
        """The kind of an expression; sets it on the node and on those below."""
        if node.type == "identifier":
            kind = scope.lookup(self.source[node])
        elif (handler := self._EXPRESSIONS.get(node.type)) is not None:
            kind = handler(self, node, scope)
        elif (known := _LITERALS.get(node.type)) is not None:
            for child in node.children:
                self._inner(child, scope)
            kind = known
        else:
            for child in node.children:
                self.infer(child, scope)
            kind = k.UNKNOWN
        node.kind = kind
        return kind

    def _inner(self, node: Node, scope: Scope) -> None:
        if node.type in ("string_start", "string_end", "string_content", "comment"):
            return
        self.infer(node, scope)

    def _first(self, node: Node, scope: Scope) -> Kind:
        kinds = [self.infer(child, scope) for child in node.named()]
        return kinds[0] if kinds else k.UNKNOWN

    def _attribute(self, node: Node, scope: Scope) -> Kind:
        value = node["object"]
        owner = self.infer(value, scope)
        name = self.source[node["attribute"]]
        if owner == k.UNKNOWN:
            certain = name in _TENSOR_ONLY
            if value.type != "identifier":
                if certain:
                    value.kind = owner = k.LIKELY_TENSOR
                if name == "backward":
                    self._is_loss(value, scope)
            elif certain or name in _AMBIGUOUS:
                value.kind = owner = k.Tensor(Confidence.LIKELY if certain else Confidence.UNSURE)
                self._testify(value, owner)
                if certain:
                    self._set(value, owner, scope)
            elif name in _MODULE_ONLY:
                value.kind = owner = k.Instance("torch.nn.Module")
                self._testify(value, owner)
                self._set(value, owner, scope)
        elif name in _MODULE_ONLY and isinstance(owner, k.Method):
            # `model.features.parameters()`, where nothing is known of the model but that it is one.
            value.kind = owner = k.Instance("torch.nn.Module")
        return self.member(owner, name)

    def _is_loss(self, value: Node, scope: Scope) -> None:
        """What is differentiated is a tensor, and so is what it is a sum or a part of."""
        match value.type:
            case "parenthesized_expression":
                self._is_loss(value.named()[0], scope)
            case "binary_operator":
                self._is_loss(value["left"], scope)
                if self.source[value["operator"]] == "+":
                    self._is_loss(value["right"], scope)
            case "call" if self.source[value["function"]].endswith(".scale"):
                for argument in value["arguments"].named():
                    self._is_loss(argument, scope)
            case "identifier" if value.kind == k.UNKNOWN:
                self._uses_as_tensor(value)
                self._set(value, k.LIKELY_TENSOR, scope)
            case _:
                return

    def _set(self, node: Node, kind: Kind, scope: Scope) -> None:
        name = self.source[node]
        if name in scope.names:
            scope.names[name] = kind

    def member(self, owner: Kind, name: str) -> Kind:
        match owner:
            case k.Api(path):
                return _api(path, name)
            case k.External(path):
                return k.External(f"{path}.{name}")
            case k.ModuleRef(place):
                return self._of_module(place, name)
            case k.Tensor():
                return PROPERTIES.get(name) or k.Method(owner, name)
            case k.Sequence(fields=fields, items=tuple() as items) if name in fields:
                return items[fields.index(name)]
            case k.Instance(custom_gradients.CONTEXT) if name == "saved_tensors":
                return k.Sequence("tuple", element=k.LIKELY_TENSOR)
            case k.Instance(custom_gradients.CONTEXT) if name == "needs_input_grad":
                return k.Sequence("tuple", element=k.BOOL)
            case k.Instance(cls=Class() as cls):
                self._function.reads.add(cls)
                attribute = cls.attribute(name)
                if attribute is not None:
                    return attribute
                method = cls.method(name)
                if method is not None:
                    return self._bound_method(method, owner)
                if name == "training" and cls.is_module:
                    cls.reads_training = True
                    return k.BOOL
                return k.Method(owner, name)
            case k.Instance(api=str() as api):
                if name in ("weight", "bias") or name.startswith(("running_", "weight_", "bias_")):
                    return k.Tensor(variable=True)
                if name == "training":
                    return k.BOOL
                return k.Method(owner, name) if api.startswith("torch.") else k.UNKNOWN
            case k.ClassRef(cls):
                self._function.reads.add(cls)
                method = cls.method(name)
                if method is not None:
                    return k.FunctionRef(method)
                if name == "apply" and custom_gradients.is_custom(cls):
                    forward = cls.method("forward")
                    if forward is not None:
                        return k.Transformed(custom_gradients.APPLY, k.FunctionRef(forward))
                return cls.attribute(name) or k.UNKNOWN
            case k.Super(cls):
                for base in list(cls.lineage())[1:]:
                    if name in base.methods:
                        return k.FunctionRef(base.methods[name], k.Instance(cls=cls))
                return k.Method(k.Instance(cls.torch_base() or "torch.nn.Module"), name)
            case k.Sequence() | k.Mapping() | k.Scalar():
                return k.Method(owner, name)
            case _:
                return k.UNKNOWN

    def _bound_method(self, method: Function, receiver: Kind) -> Kind:
        if method.is_property:
            return self._read(method)
        return k.FunctionRef(method, None if method.is_static else receiver)

    def _testify(self, node: Node, kind: Kind) -> None:
        """Record that a parameter of the current function is used as `kind`."""
        if node.type != "identifier":
            return
        name = self.source[node]
        function: Function | None = self._function
        while function is not None:
            if any(parameter.name == name for parameter in function.parameters):
                known = function.evidence.get(name, k.UNKNOWN)
                certain = isinstance(known, k.Tensor) and known.sure >= Confidence.LIKELY
                if not certain and not isinstance(known, k.Instance):
                    self._learn(function, function.evidence, name, kind)
                return
            function = function.outer

    def _call(self, node: Node, scope: Scope) -> Kind:
        callee = self.infer(node["function"], scope)
        arguments = node["arguments"]
        positional: list[Node] = []
        keywords: dict[str, Node] = {}
        nodes = arguments.children if arguments.type == "argument_list" else (arguments,)
        for child in nodes:
            if child.type == "keyword_argument":
                value = keywords[self.source[child["name"]]] = child["value"]
                self.infer(value, scope)
            elif child.type != "comment":
                positional.append(child)
                self.infer(child, scope)
        for child in (*positional, *keywords.values()):
            # A function handed on is called by who takes it: `self.apply(init_weights)`.
            if isinstance(child.kind, k.FunctionRef):
                self._calls(child.kind.function)
        match callee:
            case k.Api(path):
                return self._call_api(path, None, positional, keywords)
            case k.Factory(path):
                return self._call_api(path, None, positional, keywords)
            case k.Method(receiver, name):
                return self._call_method(node, receiver, name, positional, keywords, scope)
            case k.FunctionRef(function, receiver):
                skip = receiver is not None and not function.is_static
                return self._call_function(function, positional, keywords, skip)
            case k.ClassRef(cls):
                constructor = cls.method("__init__")
                if constructor is not None:
                    self._call_function(constructor, positional, keywords, True)
                return k.Instance(cls=cls)
            case k.Instance(cls=Class() as cls):
                forward = cls.method("forward") or cls.method("__call__")
                if forward is None:
                    base = cls.torch_base()
                    return self._call_instance(base, positional) if base else k.UNKNOWN
                return self._call_function(forward, positional, keywords, True)
            case k.Instance(api=str() as api):
                return self._call_instance(api, positional)
            case k.External(path):
                kinds = [argument.kind or k.UNKNOWN for argument in positional]
                return external_result(path, kinds, self._function.cls)
            case k.Transformed():
                return self._call_transformed(callee, positional, keywords)
            case _:
                return k.UNKNOWN

    def _call_transformed(
        self, transformed: k.Transformed, positional: list[Node], keywords: dict[str, Node]
    ) -> Kind:
        match transformed:
            case k.Transformed(custom_gradients.APPLY, k.FunctionRef(forward)):
                assert forward.cls is not None
                skip = custom_gradients.takes_context(forward.cls, forward)
                return self._call_function(forward, positional, keywords, skip)
            case _:
                pass
        # What a vjp_fn takes is no argument of the function.
        told = transformed.path not in ("vjp_fn", "jvp_fn")
        returned = self._call_handed(
            transformed.function, positional if told else [], keywords if told else {}
        )
        kinds = [node.kind or k.UNKNOWN for node in positional]
        return transforms.called(transformed, kinds, returned)

    def _call_handed(
        self, function: Kind, positional: list[Node], keywords: dict[str, Node]
    ) -> Kind:
        """What a function gives that a transform calls with these arguments."""
        match function:
            case k.FunctionRef(function=called, receiver=receiver):
                skip = receiver is not None and not called.is_static
                return self._call_function(called, positional, keywords, skip)
            case k.Instance(cls=Class() as cls):
                forward = cls.method("forward") or cls.method("__call__")
                if forward is not None:
                    return self._call_function(forward, positional, keywords, True)
                return self._call_instance(cls.torch_base() or "", positional)
            case k.Instance(api=str() as api):
                return self._call_instance(api, positional)
            case k.Api(path) | k.Factory(path):
                return self._call_api(path, None, positional, keywords)
            case k.Transformed():
                return self._call_transformed(function, positional, keywords)
            case _:
                return k.UNKNOWN

    def _transform(
        self, path: str, positional: list[Node], keywords: dict[str, Node]
    ) -> Kind | None:
        """What a function transform gives; None for any other API."""
        if path in transforms.OF_FUNCTIONS:
            named = {name: self._literal(node) for name, node in keywords.items() if name != "func"}
            rest = [self._literal(node) for node in positional[1:]]
            batched = path.endswith(("vmap", "functionalize"))
            argnums, has_aux = (0, False) if batched else transforms.options(rest, named)
            first = positional[0] if positional else keywords.get("func")
            function = first.kind if first is not None else None
            return k.Transformed(path, function or k.UNKNOWN, argnums, has_aux)
        at_inputs = path in transforms.AT_INPUTS
        if not positional or not (at_inputs or path in transforms.AT_ARGUMENTS):
            return None
        function = positional[0].kind or k.UNKNOWN
        given = positional[1:]
        if at_inputs:
            inputs = keywords.get("inputs") or keywords.get("primals") or next(iter(given), None)
            given = [inputs] if inputs is not None else []
        kinds = [node.kind or k.UNKNOWN for node in given]
        if at_inputs and given and given[0].type in ("tuple", "list"):
            given = given[0].named()
        own = {n: v for n, v in keywords.items() if path.endswith("checkpoint")}
        returned = self._call_handed(function, given, own)
        aux = keywords.get("has_aux")
        has_aux = aux is not None and self.source[aux] == "True"
        return transforms.applied(path, function, kinds, returned, has_aux=has_aux)

    def _literal(self, node: Node) -> object:
        found = literal(self.source[node])
        return found[0] if found is not None else None

    def _call_api(
        self, path: str, receiver: Kind | None, positional: list[Node], keywords: dict[str, Node]
    ) -> Kind:
        path = self.catalogue.home(path)
        transformed = self._transform(path, positional, keywords) if receiver is None else None
        if transformed is not None:
            return transformed
        rules = self.catalogue.find(path)
        if any(rule.random for rule in rules):
            self._function.draws = True
        if path == "torch.manual_seed":
            self._function.seeded = True
        if path in ("torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict"):
            held = k.UNKNOWN
            for index, node in enumerate(positional):
                kind = node.kind or k.UNKNOWN
                if path != "torch.nn.Sequential" or node.type == "list_splat":
                    kind = k.element(kind)
                held = kind if index == 0 else k.join(held, kind)
            items = None
            if path == "torch.nn.Sequential" and all(n.type != "list_splat" for n in positional):
                items = tuple(n.kind or k.UNKNOWN for n in positional)
            return k.Instance(path, element=held, items=items)
        if path in ("torch.nn.Parameter", "torch.nn.Buffer"):
            return k.Tensor(variable=True)
        if path == k.LOADER.api:
            return k.LOADER
        if path.startswith("torch.optim.") and path.rpartition(".")[2][:1].isupper():
            return k.Instance(path)
        if path.startswith("torch.nn.utils.") and path.endswith(("weight_norm", "spectral_norm")):
            return k.Instance("torch.nn.Module")
        if not rules:
            return unported_result(path)
        if path.rpartition(".")[2] in _BOOLEAN and rules[0].returns(path) == k.TENSOR:
            return k.Tensor(integer=True, boolean=True)
        for rule in rules:
            offset = 0 if receiver is None else 1
            for param, node in zip(rule.params[offset:], positional, strict=False):
                if param.name in _TENSOR_PARAMETERS and param.annotation in (
                    None,
                    "jax.Array",
                    "mx.array",
                ):
                    self._uses_as_tensor(node)
        results = [rule.returns(path) for rule in rules]
        if all(result == results[0] for result in results):
            return results[0]
        from torchport_translators.catalogue.bind import select

        offset_kinds = [] if receiver is None else [receiver]
        chosen = select(
            rules,
            [*offset_kinds, *((node.kind or k.UNKNOWN) for node in positional)],
            {name: node.kind or k.UNKNOWN for name, node in keywords.items()},
        )
        return (chosen or rules[0]).returns(path)

    def _uses_as_tensor(self, node: Node) -> None:
        if node.type == "identifier" and node.kind == k.UNKNOWN:
            self._testify(node, k.LIKELY_TENSOR)
            node.kind = k.LIKELY_TENSOR

    def _call_instance(self, api: str, positional: list[Node]) -> Kind:
        for node in positional[:1]:
            self._uses_as_tensor(node)
        if not api.startswith("torch.nn."):
            return k.UNKNOWN
        rules = self.catalogue.find(api)
        return rules[0].calls_return() if rules else k.TENSOR

    def _call_method(
        self,
        node: Node,
        receiver: Kind,
        name: str,
        positional: list[Node],
        keywords: dict[str, Node],
        scope: Scope,
    ) -> Kind:
        match receiver:
            case k.Tensor():
                result = self._call_api(f"torch.Tensor.{name}", receiver, positional, keywords)
                if isinstance(result, k.Tensor):
                    sure = min(receiver.sure, result.sure)
                    return k.Tensor(sure, integer=result.integer, boolean=result.boolean)
                return result
            case k.Instance() if name in _SELF_RETURNING:
                return receiver
            case k.Instance(cls=Class() as cls) if name == "forward":
                return self._call_instance(cls.torch_base() or "", positional)
            case k.Instance(api=str() as api) if name == "forward":
                return self._call_instance(api, positional)
            case k.Instance(api=str() as api) if name == "__init__":
                if any(rule.random for rule in self.catalogue.find(api)):
                    self._function.draws = True
                return k.NONE
            case k.Instance() if name == "register_buffer" and len(positional) > 1:
                saved = keywords.get("persistent") or (positional[2] if positional[2:] else None)
                # A buffer that is not saved is a plain array in a port.
                variable = saved is None or self.source[saved] != "False"
                self._register(receiver, positional, variable)
                return k.NONE
            case k.Instance() if name in ("modules", "children"):
                return k.Sequence("list", element=k.Instance("torch.nn.Module"))
            case k.Instance() if name in ("named_modules", "named_children"):
                pair = k.Sequence("tuple", (k.STR, k.Instance("torch.nn.Module")))
                return k.Sequence("list", element=pair)
            case k.Instance() if name in ("parameters", "buffers"):
                return k.Sequence("list", element=k.Tensor(variable=True))
            case k.Instance() if name in ("named_parameters", "named_buffers"):
                pair = k.Sequence("tuple", (k.STR, k.Tensor(variable=True)))
                return k.Sequence("list", element=pair)
            case k.Instance() if name == "append" and positional:
                self._widen(node["function"]["object"], positional[0].kind or k.UNKNOWN, scope)
                return k.NONE
            case k.Instance() | k.Mapping() if name == "values":
                return k.Sequence("list", element=k.element(receiver))
            case k.Instance() | k.Mapping() if name == "items":
                return k.Sequence("list", element=k.Sequence("tuple", (k.STR, k.element(receiver))))
            case k.Sequence(name="batch") if name in ("to", "cuda", "cpu"):
                return receiver
            case k.Sequence(name="batch") if name in ("items", "values"):
                pair = k.Sequence("tuple", (k.STR, receiver.element))
                return k.Sequence("list", element=pair if name == "items" else receiver.element)
            case k.Sequence(name="list") if name in ("append", "insert") and positional:
                self._widen(node["function"]["object"], positional[-1].kind or k.UNKNOWN, scope)
                return k.NONE
            case k.Sequence() if name == "extend" and positional:
                self._widen(
                    node["function"]["object"], k.element(positional[0].kind or k.UNKNOWN), scope
                )
                return k.NONE
            case k.Sequence() if name == "pop":
                return k.element(receiver)
            case k.Sequence(name="size") if name == "numel":
                return k.INT
            case k.Mapping() if name in ("get", "pop"):
                return k.element(receiver)
            case k.Scalar("str"):
                return k.STR
            case _:
                return k.UNKNOWN

    def _register(self, receiver: k.Instance, positional: list[Node], variable: bool) -> None:
        name = string_literal(self.source[positional[0]])
        value = positional[1].kind
        if receiver.cls is not None and name is not None:
            if isinstance(value, k.Tensor):
                value = k.Tensor(value.sure, variable=variable, integer=value.integer)
            self._learn(receiver.cls, receiver.cls.attributes, name, value or k.UNKNOWN)

    def _call_function(
        self, function: Function, positional: list[Node], keywords: dict[str, Node], skip: bool
    ) -> Kind:
        self._calls(function)
        if function.home is not self:
            function.home.called_from_outside = True
        parameters = function.parameters[1:] if skip else function.parameters
        by_name = {parameter.name: parameter for parameter in parameters}
        pairs: list[tuple[Parameter, Node]] = []
        for parameter, node in zip(parameters, positional, strict=False):
            if parameter.form != "positional" or node.type == "list_splat":
                break
            pairs.append((parameter, node))
        pairs += [(by_name[name], node) for name, node in keywords.items() if name in by_name]
        for parameter, node in pairs:
            kind = node.kind or k.UNKNOWN
            kind = _held(kind)
            if kind != k.UNKNOWN:
                known = function.passed.get(parameter.name)
                joined = kind if known is None else k.join(known, kind)
                self._learn(function, function.passed, parameter.name, joined)
            elif isinstance(function.evidence.get(parameter.name), k.Tensor):
                self._uses_as_tensor(node)
        return self._read(function)

    def _calls(self, function: Function) -> None:
        if function not in self._function.calls:
            self._function.calls.append(function)

    def _subscript(self, node: Node, scope: Scope) -> Kind:
        value = self.infer(node["value"], scope)
        indices = [child for child in node.children if child.field == "subscript"]
        for index in indices:
            self.infer(index, scope)
        match value:
            case k.Tensor():
                return k.Tensor(value.sure, integer=value.integer)
            case k.Sequence(items=tuple() as items) | k.Instance(items=tuple() as items) if (
                len(indices) == 1
            ):
                number = integer_literal(self.source[indices[0]])
                if number is not None and -len(items) <= number < len(items):
                    return items[number]
                if indices[0].type != "slice":
                    return k.element(value)
                if isinstance(value, k.Instance):
                    return k.Instance(value.api, element=value.element)
                return k.Sequence(value.name, element=k.element(value))
            case k.Sequence() if indices and indices[0].type == "slice":
                return k.Sequence(value.name, element=value.element)
            case k.Instance(api=str()) if indices and indices[0].type == "slice":
                return value
            case k.Sequence() | k.Mapping() | k.Instance():
                return _held(k.element(value))
            case _:
                return k.UNKNOWN

    def _binary(self, node: Node, scope: Scope) -> Kind:
        left = self.infer(node["left"], scope)
        right = self.infer(node["right"], scope)
        operator = self.source[node["operator"]]
        if operator == "@":
            for side in (node["left"], node["right"]):
                self._uses_as_tensor(side)
            return k.TENSOR if k.is_tensor(left) or k.is_tensor(right) else k.LIKELY_TENSOR
        return arithmetic(operator, left, right)

    def _comparison(self, node: Node, scope: Scope) -> Kind:
        operands = [child for child in node.children if child.field != "operators"]
        kinds = [self.infer(child, scope) for child in operands]
        operators = [self.source[child] for child in node.children if child.field == "operators"]
        if any(operator in ("is", "is not", "in", "not in") for operator in operators):
            return k.BOOL
        tensors = [kind for kind in kinds if isinstance(kind, k.Tensor)]
        if tensors:
            return k.Tensor(min(kind.sure for kind in tensors), integer=True, boolean=True)
        return k.BOOL if k.UNKNOWN not in kinds else k.UNKNOWN

    def _boolean(self, node: Node, scope: Scope) -> Kind:
        left = self.infer(node["left"], scope)
        inner = scope
        binds = any(child.type == "named_expression" for child in node["right"].walk())
        if self.source[node["operator"]] == "and" and not binds:
            # What the left side asks holds where the right side is read.
            inner = Scope({}, scope)
            self._narrow(node["left"], inner)
        return k.join(left, self.infer(node["right"], inner))

    def _not(self, node: Node, scope: Scope) -> Kind:
        self.infer(node["argument"], scope)
        return k.BOOL

    def _unary(self, node: Node, scope: Scope) -> Kind:
        kind = self.infer(node["argument"], scope)
        return k.INT if kind == k.BOOL else kind

    def _conditional(self, node: Node, scope: Scope) -> Kind:
        parts = [self.infer(child, scope) for child in node.named()]
        return k.join(parts[0], parts[2]) if len(parts) == 3 else k.UNKNOWN

    def _container(self, node: Node, scope: Scope) -> Kind:
        items: list[Kind] = []
        whole = True
        for child in node.named():
            kind = self.infer(child, scope)
            if child.type == "list_splat":
                inner = child.children[0].kind
                if isinstance(inner, k.Sequence) and inner.items is not None:
                    items.extend(inner.items)
                else:
                    whole = False
                    items.append(k.element(inner or k.UNKNOWN))
            else:
                items.append(kind)
        name = _CONTAINERS[node.type]
        if whole:
            return k.Sequence(name, tuple(items))
        result = items[0]
        for item in items[1:]:
            result = k.join(result, item)
        return k.Sequence(name, element=result)

    def _dictionary(self, node: Node, scope: Scope) -> Kind:
        values: list[Kind] = []
        for child in node.named():
            if child.type == "pair":
                self.infer(child["key"], scope)
                values.append(self.infer(child["value"], scope))
            else:
                self.infer(child, scope)
        result = values[0] if values else k.UNKNOWN
        for value in values[1:]:
            result = k.join(result, value)
        return k.Mapping(result)

    def _comprehension(self, node: Node, scope: Scope) -> Kind:
        inner = Scope({}, scope)
        body: Node | None = None
        for child in node.named():
            if child.field == "body":
                body = child
            elif child.type == "for_in_clause":
                rights = [c for c in child.children if c.field == "right"]
                iterated = self.infer(rights[0], inner) if rights else k.UNKNOWN
                self._assign(child["left"], k.element(iterated), inner)
            else:
                for condition in child.named():
                    self.infer(condition, inner)
        if body is None:
            return k.UNKNOWN
        if body.type == "pair":
            self.infer(body["key"], inner)
            return k.Mapping(self.infer(body["value"], inner))
        element = self.infer(body, inner)
        return k.Sequence("set" if node.type == "set_comprehension" else "list", element=element)

    def _lambda(self, node: Node, scope: Scope) -> Kind:
        return k.FunctionRef(self._define(node, scope, None))

    def _walrus(self, node: Node, scope: Scope) -> Kind:
        kind = self.infer(node["value"], scope)
        self._assign(node["name"], kind, scope)
        return kind

    def _as_pattern(self, node: Node, scope: Scope) -> Kind:
        kind = self.infer(node.children[0], scope)
        alias = node.get("alias")
        if alias is not None:
            for child in alias.named():
                self._assign(child, k.UNKNOWN, scope)
        return kind

    def _keyword(self, node: Node, scope: Scope) -> Kind:
        return self.infer(node["value"], scope)

    def _type(self, node: Node, scope: Scope) -> Kind:
        for child in node.children:
            self.infer(child, scope)
        return k.UNKNOWN

    def _ignored(self, node: Node, scope: Scope) -> None:
        """Comments and `from __future__` say nothing of kinds."""

    _STATEMENTS: ClassVar[dict[str, Callable[[Inference, Node, Scope], None]]] = {
        "expression_statement": _expression_statement,
        "assignment": _assignment,
        "augmented_assignment": _augmented,
        "if_statement": _if,
        "for_statement": _for,
        "while_statement": _while,
        "try_statement": _try,
        "with_statement": _with,
        "return_statement": _return,
        "delete_statement": _delete,
        "function_definition": _function_definition,
        "decorated_definition": _decorated,
        "class_definition": _class_definition,
        "import_statement": _import,
        "import_from_statement": _import_from,
        "future_import_statement": _ignored,
        "comment": _ignored,
    }

    _EXPRESSIONS: ClassVar[dict[str, Callable[[Inference, Node, Scope], Kind]]] = {
        "attribute": _attribute,
        "call": _call,
        "subscript": _subscript,
        "binary_operator": _binary,
        "comparison_operator": _comparison,
        "boolean_operator": _boolean,
        "not_operator": _not,
        "unary_operator": _unary,
        "conditional_expression": _conditional,
        "list": _container,
        "tuple": _container,
        "set": _container,
        "expression_list": _container,
        "dictionary": _dictionary,
        "list_comprehension": _comprehension,
        "set_comprehension": _comprehension,
        "dictionary_comprehension": _comprehension,
        "generator_expression": _comprehension,
        "lambda": _lambda,
        "named_expression": _walrus,
        "as_pattern": _as_pattern,
        "keyword_argument": _keyword,
        "parenthesized_expression": _first,
        "await": _first,
        "list_splat": _first,
        "type": _type,
    }
