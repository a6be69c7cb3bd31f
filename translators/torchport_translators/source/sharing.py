"""Which places of a function share memory, in torch, and what a function changes in place.

A *place* is known by its text (`y`, `self.mean`; an element by its list's or dict's). Statements that
give one place memory of another are *links*; whether a link still holds at a statement, and whether
a place may be read after it, is decided from the shape of the code: never "no" where it may be "yes".
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from torchport_translators.source import kinds as k
from torchport_translators.source.infer import PROPERTIES, Inference
from torchport_translators.source.scopes import Function
from torchport_translators.source.syntax import Node, Source

# Methods whose result looks at the receiver's memory in a way that can be undone.
REARRANGING = frozenset(("t", "transpose", "swapaxes", "swapdims", "permute"))
RESHAPING = frozenset(("view", "squeeze", "unsqueeze", "unflatten", "view_as"))
CHOOSING = frozenset(("select", "narrow"))
# Methods whose result may share the receiver's memory.
_MAY_SHARE = (
    REARRANGING
    | RESHAPING
    | CHOOSING
    | frozenset(
        [
            "reshape",
            "reshape_as",
            "flatten",
            "ravel",
            "contiguous",
            "expand",
            "expand_as",
            "diagonal",
            "detach",
            "unfold",
            "movedim",
            "moveaxis",
            "chunk",
            "split",
            "unbind",
            "tensor_split",
            "hsplit",
            "vsplit",
            "dsplit",
            "split_with_sizes",
            "to",
            "type",
            "type_as",
            "float",
            "double",
            "half",
            "bfloat16",
            "int",
            "long",
            "bool",
            "cpu",
            "cuda",
            "numpy",
            "view_as_real",
            "view_as_complex",
            "adjoint",
            "as_strided",
            "requires_grad_",
            "broadcast_to",
            "positive",
        ]
    )
)
# Functions of torch whose result may share the first argument's memory.
_FUNCTIONS = frozenset(
    [
        "transpose",
        "t",
        "permute",
        "squeeze",
        "unsqueeze",
        "reshape",
        "flatten",
        "ravel",
        "chunk",
        "split",
        "unbind",
        "tensor_split",
        "narrow",
        "select",
        "diagonal",
        "swapaxes",
        "movedim",
        "moveaxis",
        "broadcast_to",
        "as_tensor",
        "asarray",
        "from_numpy",
        "swapdims",
        "view_as_real",
        "view_as_complex",
        "broadcast_tensors",
        "meshgrid",
        "atleast_1d",
        "atleast_2d",
        "unflatten",
        "hsplit",
        "vsplit",
    ]
)
_PASSING_MODULES = frozenset(
    f"torch.nn.{name}"
    for name in (
        [
            "Identity",
            "Flatten",
            "Unflatten",
            "Dropout",
            "Dropout1d",
            "Dropout2d",
            "Dropout3d",
            "AlphaDropout",
        ]
    )
)
# What may change memory in place.
_CHANGING = ("call", "assignment", "augmented_assignment")
_VIEW_PROPERTIES = frozenset(("T", "mT", "H", "mH", "real", "imag", "data"))
# Attributes and methods that say something about a tensor without reading its values.
_ABOUT = frozenset(
    [
        "shape",
        "dtype",
        "device",
        "ndim",
        "size",
        "dim",
        "numel",
        "requires_grad",
        "is_cuda",
        "layout",
    ]
)
_PASSING_BUILTINS = frozenset(
    ["list", "tuple", "reversed", "enumerate", "zip", "dict", "iter", "next", "sorted"]
)
_GROWING = frozenset(["append", "extend", "insert", "add", "update", "setdefault", "appendleft"])
_KEPT = frozenset(["items", "values", "get", "pop", "copy", "popitem"])

# Where functions of torch.nn.functional take `inplace`.
INPLACE_POSITION = {
    "relu": 1,
    "relu6": 1,
    "selu": 1,
    "silu": 1,
    "mish": 1,
    "hardswish": 1,
    "hardsigmoid": 1,
    "elu": 2,
    "celu": 2,
    "leaky_relu": 2,
    "threshold": 3,
    "hardtanh": 3,
    "dropout": 3,
    "alpha_dropout": 3,
    "dropout1d": 3,
    "dropout2d": 3,
    "dropout3d": 3,
    "feature_alpha_dropout": 3,
    "rrelu": 4,
}
_INPLACE_MODULES = {
    "ReLU": 0,
    "ReLU6": 0,
    "SELU": 0,
    "SiLU": 0,
    "Mish": 0,
    "Hardswish": 0,
    "Hardsigmoid": 0,
    "ELU": 1,
    "CELU": 1,
    "LeakyReLU": 1,
    "Dropout": 1,
    "Dropout1d": 1,
    "Dropout2d": 1,
    "Dropout3d": 1,
    "AlphaDropout": 1,
    "Threshold": 2,
    "Hardtanh": 2,
    "RReLU": 2,
}


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """From statement `at` on, `name` may share memory with `base`.

    `view` is the expression that `name` was given, where `name` is exactly that view of `base`;
    `names` are those that stand in it.
    """

    name: str
    base: str
    at: Node
    view: Node | None
    names: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Bind:
    """A place that gives `key` a new value; `keeps` where that may share the old one's memory."""

    at: Node
    keeps: bool


@dataclass(slots=True)
class Memory:
    """What the places of one function share. A place is known by its text: `y`, `self.mean`.

    Links, binds and reads are in the order of the source, so that those of a stretch are found
    without looking at all.

    Attributes:
        touching: by the name of either end.
    """

    function: Function
    links: list[Link] = field(default_factory=list[Link])
    touching: dict[str, list[Link]] = field(default_factory=dict[str, list[Link]])
    binds: dict[str, list[Bind]] = field(default_factory=dict[str, list[Bind]])
    reads: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    deferred: set[str] = field(default_factory=set[str])
    declared: set[str] = field(default_factory=set[str])
    returned: list[Node] = field(default_factory=list[Node])

    def add_link(self, link: Link) -> None:
        insort(self.links, link, key=_place)
        for key in (link.name, link.base):
            insort(self.touching.setdefault(key, []), link, key=_place)

    def add_bind(self, key: str, bind: Bind) -> None:
        insort(self.binds.setdefault(key, []), bind, key=_place)

    def add_read(self, key: str, at: int) -> None:
        insort(self.reads.setdefault(key, []), at)

    def is_own(self, name: str) -> bool:
        """Whether a name is a variable or parameter of the function itself."""
        if name in self.declared:
            return False
        return name in self.binds or any(p.name == name for p in self.function.parameters)

    def is_parameter(self, key: str, at: Node) -> bool:
        """Whether a name still holds (memory of) what the caller passed."""
        parameters = self.function.parameters
        if not any(parameter.name == key for parameter in parameters):
            return False
        if self.function.cls is not None and parameters and parameters[0].name == key:
            return False
        return not self.rebound(key, None, at.start, at)

    def live(self, key: str, at: Node) -> bool:
        """Whether what a place holds may be read after `at`."""
        root = key.partition(".")[0]
        if "." in key or key in self.deferred or not self.is_own(root):
            return True
        binds, reads = self.binds.get(key, []), self.reads.get(key, [])
        own = _between(binds, _statement_start(at), at.start + 1)
        if any(_is_assigning(bind.at, at) for bind in own):
            return False
        later = islice(binds, bisect_left(binds, at.end, key=_place), None)
        rebinding = next((bind for bind in later if _dominates(bind.at, at, later=True)), None)
        end = self.function.node.end if rebinding is None else rebinding.at.end
        if _is_read(reads, at.end, end):
            return True
        for loop in _loops(at, self.function):
            inside = _between(binds, loop.start, loop.end)
            if any(not bind.keeps and _opens(bind.at, loop, reads) for bind in inside):
                return False
            if _is_read(reads, loop.start, at.start):
                return True
        return False

    def partners(self, key: str, at: Node) -> list[str]:
        """Other places that may share memory with `key` when `at` runs."""
        found: dict[str, None] = {}
        seen: set[Link] = set()
        stack: list[tuple[str, int]] = [(key, at.start)]
        # What a loop does later, it has done in an earlier round.
        end = max([at.start, *(loop.end for loop in _loops(at, self.function))])
        while stack:
            current, position = stack.pop()
            start = self._own_since(current, position, at)
            for link in _between(self.touching.get(current, []), start, end):
                if link in seen:
                    continue
                if _is_assigning(link.at, at):
                    continue
                if link.at.start >= at.start and not self._loop_of(link.at, at):
                    continue
                if self.rebound(current, link.at, position, at):
                    continue
                seen.add(link)
                other = link.base if current == link.name else link.name
                stack.append((other, link.at.start))
                if other != key and not self.rebound(other, link.at, at.start, at):
                    found[other] = None
        return list(found)

    def exact(self, name: str, at: Node) -> Link | None:
        """The link that says of what `name` certainly is a view when `at` runs."""
        # Links before the statement that last bound the name are of another value.
        before = _between(self.binds.get(name, []), 0, at.start)
        others = (b.at for b in reversed(before) if b.at is not at and not _is_assigning(b.at, at))
        bound = next(others, None)
        start = 0 if bound is None else _statement_start(bound)
        links = [
            link
            for link in _between(self.touching.get(name, []), start, at.start)
            if link.name == name and self._certain(link, at)
        ]
        return links[0] if len(links) == 1 else None

    def _certain(self, link: Link, at: Node) -> bool:
        if link.view is None or link.at.start >= at.start or not _dominates(link.at, at):
            return False
        outside = [loop for loop in _loops(at, self.function) if not _holds(loop, link.at)]
        start, end = link.at.end, at.start
        for loop in outside:
            end = max(end, loop.end)
        keys = {link.name, link.base, *link.names}
        for key in keys:
            for bind in _between(self.binds.get(key, []), start, end):
                other = bind.at is not at and bind.at is not link.at
                if other and not _is_assigning(bind.at, at):
                    return False
        return True

    def rebound(self, key: str, link: Node | None, position: int, at: Node) -> bool:
        """Whether `key` certainly got a value of its own between a link and a position."""
        if link is None or link.start <= position:
            start, end = (0 if link is None else _begins(link)), position
        else:  # the link is made at the end of a loop's last round
            loop = self._loop_of(link, at)
            if loop is None:
                return False
            start, end = loop.start + 1, at.start
        return any(
            not bind.keeps and bind.at is not link and _dominates(bind.at, at)
            for bind in reversed(_between(self.binds.get(key, []), start, end))
        )

    def _own_since(self, key: str, position: int, at: Node) -> int:
        """Where the last statement starts that certainly gave `key` a value of its own."""
        for bind in reversed(_between(self.binds.get(key, []), 0, position)):
            if not bind.keeps and _dominates(bind.at, at):
                return _statement_start(bind.at)
        return 0

    def _loop_of(self, one: Node, other: Node) -> Node | None:
        return next((loop for loop in _loops(other, self.function) if _holds(loop, one)), None)


class Sharing:
    """Shared memory in one source, function by function."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference
        self.source: Source = inference.source
        self._memories: dict[Node, Memory] = {}
        self._changed: dict[Function, frozenset[str]] = {}
        self._returned: dict[Function, frozenset[str]] = {}
        self._kept: dict[Node, dict[str, list[Node]]] = {}

    def memory(self, function: Function) -> Memory:
        if function.home is not self.inference:
            return sharing(function.home).memory(function)
        memory = self._memories.get(function.node)
        if memory is None:
            memory = self._memories[function.node] = Memory(function)
            self._read(memory)
        return memory

    # What a function shares

    def _read(self, memory: Memory) -> None:
        root = memory.function.node
        body = root.get("body") if root.type != "module" else root
        stack = [body] if body is not None else []
        while stack:
            node = stack.pop()
            if (
                node.type in ("function_definition", "class_definition", "lambda")
                and node is not root
            ):
                memory.deferred.update(
                    self.source[inner] for inner in node.walk() if inner.type == "identifier"
                )
                if node.type == "function_definition":
                    self._bind(memory, self.source[node["name"]], node, False)
                continue
            self._event(memory, node)
            stack.extend(node.children)

    def _event(self, memory: Memory, node: Node) -> None:
        match node.type:
            case "assignment":
                right = node.get("right")
                if right is not None:
                    self._pair(memory, node["left"], right, node)
            case "named_expression":
                self._pair(memory, node["name"], node["value"], node)
            case "augmented_assignment":
                left, right = node["left"], node["right"]
                key = self.key(left)
                if key is not None and not k.is_tensor(left.kind, k.Confidence.UNSURE):
                    if left.type != "subscript":
                        self._bind(memory, key, node, True)
                    if isinstance(left.kind, k.Sequence):
                        self._link(memory, key, right, node)
            case "for_statement" | "for_in_clause":
                self._each(memory, node)
            case "as_pattern_target":
                for child in node.named():
                    self._target(memory, child, None, node)
            case "delete_statement":
                for child in node.walk():
                    if child.type == "identifier":
                        self._bind(memory, self.source[child], node, False)
            case "global_statement" | "nonlocal_statement":
                memory.declared.update(self.source[child] for child in node.named())
            case "return_statement" | "yield":
                memory.returned.extend(node.named())
            case "call":
                function = node["function"]
                held = function["object"] if function.type == "attribute" else None
                if held is None or not isinstance(held.kind, k.Sequence | k.Mapping | k.Unknown):
                    return
                key = self.key(held)
                if key is not None and self.source[function["attribute"]] in _GROWING:
                    self._link(memory, key, node["arguments"], node)
            case "identifier" if not is_label(node) and not self._is_about(node):
                memory.add_read(self.source[node], node.start)
            case _:
                pass

    def _each(self, memory: Memory, node: Node) -> None:
        """A loop's variables look at what is looped over."""
        right = node["right"]
        left = node["left"]
        arguments = right.get("arguments") if right.type == "call" else None
        name = self.source[right["function"]] if right.type == "call" else ""
        targets = left.named()
        if left.type in ("pattern_list", "tuple_pattern") and arguments is not None:
            values = arguments.named()
            if name == "zip" and len(values) == len(targets):
                for target, value in zip(targets, values, strict=True):
                    self._target(memory, target, value, node)
                return
            if name == "enumerate" and values and len(targets) == 2:
                self._target(memory, targets[0], None, node)
                self._target(memory, targets[1], values[0], node)
                return
        self._target(memory, left, right, node)

    def _pair(self, memory: Memory, left: Node, right: Node, at: Node) -> None:
        patterns = ("pattern_list", "tuple_pattern", "list_pattern")
        values = right.named() if right.type in ("expression_list", "tuple", "list") else []
        targets = left.named() if left.type in patterns else []
        starred = any(child.type.startswith("list_splat") for child in (*values, *targets))
        if values and len(values) == len(targets) and not starred:
            keys = {self.key(target) for target in targets}
            swapped = any(keys & self.roots(value) for value in values)
            for target, value in zip(targets, values, strict=True):
                self._target(memory, target, value, at, exact=not swapped)
            return
        if left.type == "subscript":
            key = self.key(left)
            if key is not None and not k.is_tensor(left["value"].kind):
                self._link(memory, key, right, at)
            return
        if self.is_data(left):
            key = self.key(left["object"])
            if key is not None:
                self._bind(memory, key, at, True)
                self._link(memory, key, right, at)
            return
        self._target(memory, left, right, at, exact=left.type not in patterns)

    def _target(
        self, memory: Memory, target: Node, value: Node | None, at: Node, *, exact: bool = False
    ) -> None:
        match target.type:
            case "identifier" | "attribute":
                key = self.key(target)
                if key is None:
                    return
                roots: set[str] = set() if value is None else self.roots(value)
                self._bind(memory, key, at, key in roots)
                if value is not None:
                    self._link(memory, key, value, at, exact=exact)
            case "subscript":
                if value is not None:
                    self._pair(memory, target, value, at)
            case _:
                for child in target.named():
                    self._target(memory, child, value, at)

    def _bind(self, memory: Memory, key: str, at: Node, keeps: bool) -> None:
        memory.add_bind(key, Bind(at, keeps))

    def _link(
        self, memory: Memory, key: str, value: Node, at: Node, *, exact: bool = False
    ) -> None:
        origin = self.origin(value) if exact else None
        base = self.key(origin) if origin is not None else None
        names = frozenset(
            self.source[inner]
            for inner in value.walk()
            if inner.type == "identifier" and inner.field != "attribute"
        )
        for root in sorted(self.roots(value)):
            if root != key:
                view = _innermost_target(value) if root == base else None
                memory.add_link(Link(key, root, at, view, names))

    def _is_about(self, node: Node) -> bool:
        parent = node.parent
        return (
            parent is not None
            and parent.type == "attribute"
            and node.field == "object"
            and self.source[parent["attribute"]] in _ABOUT
        )

    # What an expression shares

    def key(self, node: Node) -> str | None:
        """The place that holds an expression's value: `y`, `self.mean`; of an element, its holder's."""
        match node.type:
            case "identifier":
                return self.source[node]
            case "attribute":
                inner = self.key(node["object"])
                if inner is None or self.source[node["attribute"]] in PROPERTIES:
                    return inner
                return f"{inner}.{self.source[node['attribute']]}"
            case "subscript":
                return self.key(node["value"])
            case "parenthesized_expression":
                return self.key(node.named()[0])
            case _:
                return None

    def roots(self, node: Node) -> set[str]:
        """The places whose memory an expression's value may share."""
        match node.type:
            case "identifier" | "attribute" if not _may_hold_tensor(node.kind):
                return set()
            case "identifier":
                return {self.source[node]}
            case "attribute":
                name = self.source[node["attribute"]]
                if k.is_tensor(node["object"].kind, k.Confidence.UNSURE):
                    return self.roots(node["object"]) if name in _VIEW_PROPERTIES else set()
                if isinstance(node["object"].kind, k.Sequence):
                    return self.roots(node["object"])
                key = self.key(node)
                return set() if key is None else {key}
            case "subscript":
                if k.is_tensor(node["value"].kind) and not _is_basic(node, certain=False):
                    return set()
                return self.roots(node["value"]) if _may_hold_tensor(node.kind) else set()
            case "call":
                return self._call_roots(node)
            case "assignment":
                key = self.key(node["left"]) if node["left"].type != "subscript" else None
                right = node.get("right")
                found = {key} if key else set[str]()
                return found | self.roots(right) if right is not None else found
            case "named_expression":
                return {self.source[node["name"]]} | self.roots(node["value"])
            case "conditional_expression":
                parts = node.named()
                return self.roots(parts[0]) | (self.roots(parts[2]) if len(parts) == 3 else set())
            case (
                "tuple" | "list" | "set" | "expression_list" | "argument_list" | "dictionary"
                | "boolean_operator" | "parenthesized_expression" | "list_splat" | "await"
                | "dictionary_splat"
            ):  # fmt: skip
                return self._all(node)
            case "pair" | "keyword_argument":
                return self.roots(node["value"])
            case "list_comprehension" | "generator_expression" | "dictionary_comprehension":
                return self._comprehension_roots(node)
            case _:
                return set()

    def _all(self, node: Node) -> set[str]:
        found: set[str] = set()
        for child in node.named():
            found |= self.roots(child)
        return found

    def _comprehension_roots(self, node: Node) -> set[str]:
        body = node["body"]
        found = self.roots(body)
        for clause in node.children:
            if clause.type != "for_in_clause":
                continue
            names = {self.source[n] for n in clause["left"].walk() if n.type == "identifier"}
            if found & names:
                found = found - names | self.roots(clause["right"])
        return found

    def _call_roots(self, node: Node) -> set[str]:
        function, arguments = node["function"], node["arguments"]
        values = arguments.named() if arguments.type == "argument_list" else [arguments]
        changed = overwritten(self.source, node)
        if changed is not None:
            return self.roots(changed)
        first = self.roots(values[0]) if values else set[str]()
        match function.kind:
            case k.Method(k.Tensor(), name):
                return self.roots(function["object"]) if name in _MAY_SHARE else set()
            case k.Method(k.Sequence() | k.Mapping(), name):
                return self.roots(function["object"]) if name in _KEPT else set()
            case k.Api(path):
                name = path.rpartition(".")[2]
                if path.startswith("torch.nn.functional."):
                    return first if "dropout" in name or self.functional_flag(node) else set()
                plain = path.count(".") == 1
                if plain and name in ("broadcast_tensors", "meshgrid"):
                    return self.roots(arguments)
                return first if plain and name in _FUNCTIONS else set()
            case k.External(path):
                name = path.rpartition(".")[2]
                if name == "zip" or name == "dict":
                    return self.roots(arguments)
                return first if name in _PASSING_BUILTINS or name == "asarray" else set()
            case k.Instance(api=str() as api) if api in _PASSING_MODULES or self.module_flag(node):
                return first
            case k.FunctionRef() | k.Instance(cls=object()):
                called = called_function(node)
                if called is None:
                    return set()
                return self._mapped(node, called, self.returned(called))
            case _:
                return set()

    def _mapped(self, call: Node, called: Function, keys: frozenset[str]) -> set[str]:
        """Parameters of a called function as the caller's places; outer names are the same."""
        memory = self.memory(called)
        found = {key for key in keys if not memory.is_own(key.partition(".")[0])}
        for name, value in passed(self.source, call, called):
            if name in keys:
                found |= self.roots(value)
        return found | self._of_receiver(call, called, keys)

    def _of_receiver(self, call: Node, called: Function, keys: frozenset[str]) -> set[str]:
        """Attributes of a method's own object as the caller's places."""
        if called.cls is None or not called.parameters or call["function"].type != "attribute":
            return set()
        own = called.parameters[0].name
        receiver = self.key(call["function"]["object"])
        if receiver is None:
            return set()
        return {f"{receiver}{key[len(own) :]}" for key in keys if key.startswith(f"{own}.")}

    def changed_by(self, call: Node) -> set[str]:
        """The attributes of its object that a method called here changes in place."""
        called = called_function(call)
        return set() if called is None else self._of_receiver(call, called, self.changed(called))

    def returned(self, function: Function) -> frozenset[str]:
        """Parameters and attributes of the object whose memory a function's result may share."""
        if function.home is not self.inference:
            return sharing(function.home).returned(function)
        known = self._returned.get(function)
        if known is not None:
            return known
        self._returned[function] = frozenset()
        memory = self.memory(function)
        own = function.parameters[0].name if function.cls and function.parameters else None
        parameters = {parameter.name for parameter in function.parameters} - {own}
        found: set[str] = set()
        values = list(memory.returned)
        if function.node.type == "lambda" and (body := function.node.get("body")) is not None:
            values.append(body)
        for value in values:
            for root in self.roots(value):
                for key in (root, *memory.partners(root, value)):
                    outer = key in parameters or (own is not None and key.startswith(f"{own}."))
                    outer = outer or not memory.is_own(key.partition(".")[0])
                    if outer and not memory.rebound(key, None, value.start, value):
                        found.add(key)
        self._returned[function] = frozenset(found)
        return self._returned[function]

    def origin(self, node: Node) -> Node | None:
        """The place of which an expression is certainly a view that can be written back."""
        match node.type:
            case "identifier":
                return node if k.is_tensor(node.kind) else None
            case "parenthesized_expression":
                return self.origin(node.named()[0])
            case "assignment":
                left = node["left"]
                return left if left.type == "identifier" else None
            case "attribute":
                name = self.source[node["attribute"]]
                if k.is_tensor(node["object"].kind):
                    return self.origin(node["object"]) if name in ("T", "mT") else None
                return node if k.is_tensor(node.kind) and self.key(node) is not None else None
            case "subscript" if k.is_tensor(node["value"].kind):
                return self.origin(node["value"]) if _is_basic(node, certain=True) else None
            case "subscript":
                indices = [child for child in node.children if child.field == "subscript"]
                plain = len(indices) == 1 and indices[0].type in ("integer", "string", "identifier")
                held = isinstance(node["value"].kind, k.Sequence | k.Mapping)
                return (
                    node if held and plain and k.is_tensor(node.kind) and self.key(node) else None
                )
            case "call":
                changed = overwritten(self.source, node)
                if changed is not None:
                    return self.origin(changed)
                name = method(node)
                if name is None:
                    return None
                arguments = node["arguments"].named()
                if is_invertible(self.source, name, arguments):
                    return self.origin(node["function"]["object"])
                return None
            case _:
                return None

    # What a statement changes

    def functional_flag(self, call: Node) -> bool:
        """Whether a call of torch.nn.functional says `inplace=True`."""
        api = call["function"].kind
        if not isinstance(api, k.Api) or not api.path.startswith("torch.nn.functional."):
            return False
        position = INPLACE_POSITION.get(api.path.rpartition(".")[2])
        return self._flag(call, position)

    def module_flag(self, call: Node) -> bool:
        """Whether a call runs a module that was built with `inplace=True`."""
        return any(self._builds_in_place(built) for built in self._built(call["function"]))

    def _builds_in_place(self, built: Node) -> bool:
        api = built["function"].kind if built.type == "call" else None
        if not isinstance(api, k.Api) or not api.path.startswith("torch.nn."):
            return False
        name = api.path.rpartition(".")[2]
        if name == "Sequential":
            layers = built["arguments"].named()
            return bool(layers) and self._builds_in_place(layers[0])
        return self._flag(built, _INPLACE_MODULES.get(name))

    def _flag(self, call: Node, position: int | None) -> bool:
        arguments = call["arguments"]
        if arguments.type != "argument_list":
            return False
        plain = [child for child in arguments.named() if child.type != "keyword_argument"]
        for child in arguments.named():
            if child.type == "keyword_argument" and self.source[child["name"]] == "inplace":
                return child["value"].type != "false"
        return position is not None and len(plain) > position and plain[position].type != "false"

    def _built(self, callee: Node) -> Iterator[Node]:
        """The calls that build the module that an expression names."""
        if not isinstance(callee.kind, k.Instance) or callee.kind.api is None:
            return
        if callee.type == "call":
            yield callee
            return
        within: list[Node] = []
        if callee.type == "attribute":
            cls = self.inference.class_at(callee)
            within = [c.node for c in cls.lineage()] if cls is not None else []
        elif callee.type == "identifier":
            within = [self.inference.function_at(callee).node, self.source.root]
        text = self.source[callee]
        for scope in within:
            yield from self._calls_kept(scope).get(text, ())

    def _calls_kept(self, scope: Node) -> dict[str, list[Node]]:
        """The calls whose results are assigned in a scope, by the text of what keeps them."""
        kept = self._kept.get(scope)
        if kept is None:
            kept = self._kept[scope] = {}
            for inner in self.source.nodes("assignment", scope):
                right = inner.get("right")
                if right is not None and right.type == "call":
                    kept.setdefault(self.source[inner["left"]], []).append(right)
        return kept

    def changes(self, node: Node) -> list[Node]:
        """What a node changes in place: the expressions whose memory it writes to."""
        match node.type:
            case "call":
                return self._call_changes(node)
            case "augmented_assignment" if self.source[node["operator"]] != "@=":
                left = node["left"]
                if k.is_tensor(left.kind):
                    return [left]
                return [left["value"]] if _is_element(left) else []
            case "assignment":
                left = node["left"]
                if node.get("right") is None:
                    return []
                targets = left.named() if "pattern" in left.type else [left]
                changed = [t["value"] for t in targets if _is_element(t)]
                return changed + [t["object"] for t in targets if self.is_data(t)]
            case _:
                return []

    def is_data(self, node: Node) -> bool:
        """Whether an expression is `x.data`."""
        return (
            node.type == "attribute"
            and self.source[node["attribute"]] == "data"
            and k.is_tensor(node["object"].kind)
        )

    def _call_changes(self, node: Node) -> list[Node]:
        function, arguments = node["function"], node["arguments"]
        values = arguments.named() if arguments.type == "argument_list" else []
        positional = [child for child in values if child.type != "keyword_argument"]
        found: list[Node] = [
            child["value"]
            for child in values
            if child.type == "keyword_argument"
            and self.source[child["name"]] == "out"
            and isinstance(function.kind, k.Api | k.Method)
        ]
        changed = overwritten(self.source, node)
        if changed is not None:
            return [changed, *found]
        match function.kind:
            case k.Api() if positional and self.functional_flag(node):
                return [positional[0]]
            case k.Instance(api=str()) if positional and self.module_flag(node):
                return [positional[0]]
            case k.FunctionRef() | k.ClassRef() | k.Instance(cls=object()):
                called = called_function(node)
                if called is None:
                    return []
                keys = self.changed(called)
                return [value for name, value in passed(self.source, node, called) if name in keys]
            case _:
                return found

    def changed(self, function: Function) -> frozenset[str]:
        """The parameters, and attributes of its object, that a function changes in place."""
        if function.home is not self.inference:
            return sharing(function.home).changed(function)
        known = self._changed.get(function)
        if known is not None:
            return known
        self._changed[function] = frozenset()
        own = function.parameters[0].name if function.cls and function.parameters else None
        found: set[str] = set()
        for node in self.source.nodes_of(_CHANGING, function.node):
            if self.inference.function_at(node) is not function:
                continue
            for place in self.changes(node):
                roots = self.roots(place)
                memory = self.memory(function)
                for root in roots:
                    for key in (root, *memory.partners(root, node)):
                        if memory.is_parameter(key, node) or _is_of(own, key):
                            found.add(key)
            if node.type == "call":
                found.update(key for key in self.changed_by(node) if _is_of(own, key))
        self._changed[function] = frozenset(found)
        return self._changed[function]


def sharing(inference: Inference) -> Sharing:
    """What is known of shared memory in a source; read once."""
    if inference.sharing is None:
        inference.sharing = Sharing(inference)
    return inference.sharing


def _is_of(own: str | None, key: str) -> bool:
    return own is not None and key.startswith(f"{own}.")


def called_function(call: Node) -> Function | None:
    """The function of this file that a call runs."""
    match call["function"].kind:
        case k.FunctionRef(function=function):
            return function
        case k.ClassRef(cls):
            return cls.method("__init__")
        case k.Instance(cls=cls) if cls is not None:
            return cls.method("forward") or cls.method("__call__")
        case _:
            return None


def passed(source: Source, call: Node, called: Function) -> Iterator[tuple[str, Node]]:
    """A call's arguments with the names of the parameters that take them."""
    arguments = call["arguments"]
    values = arguments.named() if arguments.type == "argument_list" else [arguments]
    parameters = list(called.parameters)
    kind = call["function"].kind
    bound = isinstance(kind, k.Instance | k.ClassRef)
    bound = bound or (isinstance(kind, k.FunctionRef) and kind.receiver is not None)
    if bound and called.cls is not None:
        parameters = parameters[1:]
    names = [p.name for p in parameters if p.form == "positional"]
    rest = next((p.name for p in parameters if p.form == "vararg"), None)
    position = 0
    for value in values:
        if value.type == "keyword_argument":
            yield source[value["name"]], value["value"]
            continue
        if value.type == "list_splat":
            for name in names[position:]:
                yield name, value.children[0]
            continue
        if position < len(names):
            yield names[position], value
        elif rest is not None:
            yield rest, value
        position += 1


def method(call: Node) -> str | None:
    """The method of a value that a call calls."""
    function = call.get("function")
    if function is None or function.type != "attribute":
        return None
    return function.kind.name if isinstance(function.kind, k.Method) else None


def overwritten(source: Source, call: Node) -> Node | None:
    """What an in-place call puts its result in: x of `x.add_(1)`, `torch.relu_(x)`, `F.elu_(x)`.

    A function of torch, named `_` at the end, takes it first, or by the name `input`.
    """
    function, arguments = call["function"], call["arguments"]
    match function.kind:
        case k.Method(k.Tensor(), name) if is_in_place(name):
            return function["object"]
        case k.Api(path) if _is_in_place_function(path) and arguments.type == "argument_list":
            for child in arguments.named():
                if child.type != "keyword_argument":
                    return child
                if source[child["name"]] in ("input", "tensor"):
                    return child["value"]
            return None
        case _:
            return None


def _is_in_place_function(path: str) -> bool:
    plain = path.count(".") == 1 or path.startswith(("torch.nn.functional.", "torch.nn.init."))
    return plain and is_in_place(path.rpartition(".")[2])


def is_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__") and name not in _NOT_VALUES


_NOT_VALUES = frozenset(
    [
        "requires_grad_",
        "share_memory_",
        "clip_grad_norm_",
        "clip_grad_value_",
        "retain_grad_",
        "register_hook_",
    ]
)


def is_invertible(source: Source, name: str, arguments: list[Node]) -> bool:
    """Whether a view method can be undone, given what it has changed into."""
    if any(child.type in ("keyword_argument", "list_splat") for child in arguments):
        return False
    literals = all(integer(source, child) is not None for child in arguments)
    if name == "view":
        return bool(arguments) and not any(_says_dtype(child) for child in arguments)
    if name in RESHAPING:
        return True
    if name == "permute":
        return literals and bool(arguments)
    if name in ("select", "narrow"):
        return (
            bool(arguments) and (integer(source, arguments[0]) or 0) >= 0 and _ints(arguments[1:])
        )
    return name in REARRANGING and (name == "t" or len(arguments) == 2)


def integer(source: Source, node: Node) -> int | None:
    """The value of an integer literal."""
    try:
        return int(source[node])
    except ValueError:
        return None


def _ints(nodes: list[Node]) -> bool:
    return bool(nodes) and all(node.kind == k.INT for node in nodes)


def _says_dtype(node: Node) -> bool:
    return isinstance(node.kind, k.Api) or node.kind in (k.Scalar("dtype"), k.UNKNOWN)


def _is_element(node: Node) -> bool:
    return node.type == "subscript" and k.is_tensor(node["value"].kind)


def _is_basic(node: Node, *, certain: bool) -> bool:
    """Whether a subscript of a tensor is a view of it (and no copy), or may be one."""
    for child in node.children:
        if child.field != "subscript":
            continue
        indices = child.named() if child.type in ("tuple", "expression_list") else [child]
        for index in indices:
            match index.kind:
                case k.Tensor() | k.Sequence():
                    return False
                case k.Scalar("int" | "slice" | "none" | "ellipsis"):
                    continue
                case _ if index.type in ("slice", "none", "ellipsis"):
                    continue
                case _ if certain:
                    return False
                case _:
                    continue
    return True


def _may_hold_tensor(kind: k.Kind | None) -> bool:
    match kind:
        case k.Tensor() | k.Unknown() | k.Instance() | k.Mapping() | None:
            return True
        case k.Sequence(name=name):
            return name != "size"
        case k.Scalar("ndarray"):
            return True
        case _:
            return False


def is_label(node: Node) -> bool:
    """Whether an identifier is written to, or only a name of something, and not read."""
    parent = node.parent
    if parent is None:
        return False
    if node.field in ("attribute", "name") and parent.type in (
        "attribute",
        "keyword_argument",
        "named_expression",
        "function_definition",
    ):
        return True
    if node.field == "left" and parent.type in ("assignment", "for_statement", "for_in_clause"):
        return True
    return parent.type in ("pattern_list", "tuple_pattern", "delete_statement", "global_statement")


def _block_of(node: Node) -> Node | None:
    return next((a for a in node.ancestors() if a.type in ("block", "module")), None)


def _holds(outer: Node, inner: Node) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _innermost_target(value: Node) -> Node:
    """In `a = b = value`, what `a` is another name of: b."""
    return value["left"] if value.type == "assignment" else value


def _begins(link: Node) -> int:
    """Where a stretch of code after a link begins: the link's own targets are not after it."""
    return link.start + 1 if link.get("body") else link.end


def _is_assigning(statement: Node, at: Node) -> bool:
    """Whether `statement` gives its target a value only after `at`, inside it, has run."""
    return statement.type in ("assignment", "named_expression") and _holds(statement, at)


def _dominates(bind: Node, at: Node, *, later: bool = False) -> bool:
    """Whether `bind` has certainly run when `at` runs (or, `later`, certainly runs after it)."""
    if bind.type in ("for_statement", "for_in_clause"):
        return not later and _holds(bind, at)
    block = _block_of(bind)
    return block is not None and _holds(block, at) and (later or bind.start < at.start)


_LOOPS = frozenset(
    (
        "for_statement",
        "while_statement",
        "list_comprehension",
        "set_comprehension",
        "dictionary_comprehension",
        "generator_expression",
    )
)


def _loops(node: Node, function: Function) -> Iterator[Node]:
    """The loops of a function around a node, innermost first."""
    for ancestor in node.ancestors():
        if ancestor is function.node:
            return
        if ancestor.type in _LOOPS:
            yield ancestor


def _opens(bind: Node, loop: Node, reads: list[int]) -> bool:
    """Whether every round of a loop gives the name a new value before reading it."""
    if bind is loop:
        return True
    return _block_of(bind) is loop.get("body") and not _is_read(reads, loop.start, bind.end)


def _is_read(reads: list[int], start: int, end: int) -> bool:
    """Whether any of the reads, which are in order, is in a stretch of code."""
    at = bisect_left(reads, start)
    return at < len(reads) and reads[at] < end


def _place(found: Link | Bind) -> int:
    return found.at.start


_Found = TypeVar("_Found", Link, Bind)


def _between(found: list[_Found], start: int, end: int) -> list[_Found]:
    """Those that start in a stretch of code."""
    return found[bisect_left(found, start, key=_place) : bisect_left(found, end, key=_place)]


def _statement_start(node: Node) -> int:
    """Where the statement that a node stands in starts."""
    while node.parent is not None and node.parent.type not in ("block", "module"):
        node = node.parent
    return node.start
