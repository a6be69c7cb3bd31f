"""Training steps: which statements compute a loss, what is differentiated, and what is updated.

torch records a forward pass, `backward()` adds gradients to the parameters, and `optimizer.step()`
changes them. The targets differentiate a function of a module. This reads a file's functions for the
events of training (`zero_grad`, `backward`, clipping, `step`), and finds for each `backward()` the
statements that become that function, the module, and the optimizers that use the gradients.
What is not understood is refused with a reason; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torchport_translators.source import flow
from torchport_translators.source import kinds as k
from torchport_translators.source.scopes import Class, Function
from torchport_translators.source.syntax import Malformed, Node

if TYPE_CHECKING:
    from torchport_translators.source.infer import Inference

_EVENTS = frozenset(
    (
        "backward",
        "step",
        "zero_grad",
        "unscale_",
        "update",
        "clip_grad_norm_",
        "clip_grad_value_",
    )
)
CLIPPING = {
    "torch.nn.utils.clip_grad_norm_": "clip_grad_norm",
    "torch.nn.utils.clip_grad_value_": "clip_grad_value",
    "torch.nn.utils.clip_grad.clip_grad_norm_": "clip_grad_norm",
    "torch.nn.utils.clip_grad.clip_grad_value_": "clip_grad_value",
}
"""Functions that clip gradients in place, and what they are called in a port."""

SCALERS = frozenset(
    (
        "torch.amp.GradScaler",
        "torch.cuda.amp.GradScaler",
        "torch.cpu.amp.GradScaler",
        "torch.GradScaler",
    )
)
"""What scales the loss of mixed precision."""

_NO_OPTIMIZERS = ("torch.optim.lr_scheduler.", "torch.optim.swa_utils.")
_FORBIDDEN = (
    "return_statement",
    "yield",
    "await",
    "global_statement",
    "nonlocal_statement",
    "delete_statement",
    "import_statement",
    "import_from_statement",
    "class_definition",
    "try_statement",
    "raise_statement",
)
# Methods of a module that do not run it.
_QUIET = frozenset(("train", "eval", "zero_grad", "state_dict", "to", "cuda", "cpu"))
# What comes out of these has no gradient behind it.
_CUTS = frozenset(("detach", "item", "tolist", "numpy", "detach_", "data"))
_VALUES = frozenset(("item", "tolist", "numpy"))


def is_optimizer(path: str) -> bool:
    """Whether a torch name is the class of an optimizer."""
    name = path.rpartition(".")[2]
    return (
        path.startswith("torch.optim.")
        and not path.startswith(_NO_OPTIMIZERS)
        and name[:1].isupper()
        and name != "Optimizer"
    )


class Refused(Exception):
    """A shape of training that is not understood."""


@dataclass(eq=False)
class Event:
    """A statement of training.

    Attributes:
        kind: "zero", "backward", "clip", "step" or "drop" (what only mixed precision needs).
        statement: the statement, and `call` the call in it.
        subject: the optimizer (of a step) or the optimizer or module (of a zeroing), as written.
        loss: what a backward pass starts from.
    """

    kind: str
    statement: Node
    call: Node
    subject: str = ""
    loss: Node | None = None


@dataclass(eq=False)
class Pass:
    """A forward and backward pass.

    Attributes:
        event: the `backward()`.
        modules: what is differentiated, as written.
        others: modules that the loss needs besides.
        inside: the statements that become the function's, `before` and `after` those that stay, on
            either side of it.
        copied: statements of `inside` that stay where they are, too.
        kept: events of training among them, such as a zeroing, that come first.
        comments: what stands above the `backward()` and such events.
        carried: names that the statements read before they bind them.
        needed: names that the statements bind and what follows reads.
        gradients: the names of the gradients, one for each optimizer.
        branch: the `if` statement that holds the `backward()`, where the forward pass stands before it.
        otherwise: whether what the forward pass gives is read where that branch is not taken, too.
        adds: whether gradients are added to those that are there.
    """

    event: Event
    modules: tuple[str, ...]
    others: tuple[str, ...]
    inside: list[Node]
    copied: list[Node]
    before: list[Node]
    after: list[Node]
    kept: list[Node]
    comments: list[Node]
    carried: tuple[str, ...]
    needed: tuple[str, ...]
    gradients: list[tuple[tuple[str, ...], str]]
    branch: Node | None = None
    otherwise: bool = False
    adds: bool = False

    @property
    def first(self) -> Node:
        """The first statement of the stretch that the pass takes."""
        moved = [s for s in (*self.inside, *self.before, *self.after) if s not in self.copied]
        return min((*moved, self.branch or self.event.statement), key=lambda s: s.start)


@dataclass(eq=False)
class Update:
    """A step of an optimizer: the modules it updates, as written, and the name of their gradients."""

    optimizer: str
    modules: tuple[str, ...]
    gradients: str


@dataclass(eq=False)
class Training:
    """What is known of the training steps of a file.

    Attributes:
        passes: by the statement of the `backward()`.
        updates: by the statement of the `step()`.
        zeroed: gradients that are set to zero: modules and name, by the statement before which (a
            loop) or in whose place (a `zero_grad()`) that is done.
        clipped: the gradients that a clipping call clips, by its statement.
        dropped: statements that have no counterpart in the target.
        refused: statements that stay as they are, and why.
        moved: statements that a pass moves.
    """

    passes: dict[Node, Pass] = field(default_factory=dict[Node, Pass])
    updates: dict[Node, Update] = field(default_factory=dict[Node, Update])
    zeroed: dict[Node, list[tuple[tuple[str, ...], str]]] = field(
        default_factory=dict[Node, "list[tuple[tuple[str, ...], str]]"]
    )
    clipped: dict[Node, str] = field(default_factory=dict[Node, str])
    dropped: set[Node] = field(default_factory=set[Node])
    refused: dict[Node, str] = field(default_factory=dict[Node, str])


def training(inference: Inference, *, closures: bool) -> Training:
    """The training steps of a file.

    Args:
        closures: whether a differentiated function may reach its module from outside (MLX), or only
            through its arguments (JAX).
    """
    return _Reader(inference, closures).read()


class _Reader:
    def __init__(self, inference: Inference, closures: bool) -> None:
        self.inference = inference
        self.source = inference.source
        self.closures = closures
        self.found = Training()
        self.events: dict[Function, list[Event]] = {}
        self._names: dict[tuple[Function, tuple[str, ...]], str] = {}

    def read(self) -> Training:
        self._collect()
        unused: list[Event] = []
        for function, events in self.events.items():
            if not any(event.kind == "backward" for event in events):
                unused += [e for e in events if e.kind in ("zero", "step", "clip")]
                continue
            if all(event.kind == "backward" for event in events):
                continue  # a derivative of something else than parameters
            try:
                self._function(function, events)
            except (Refused, Malformed) as refused:
                for event in events:
                    self.found.refused[event.statement] = str(refused)
        for event in unused:
            if event.kind == "zero" and self.found.passes:
                self.found.dropped.add(event.statement)
            elif event.kind != "zero" or not self.found.passes:
                self.found.refused[event.statement] = (
                    "no backward() stands in the same function: gradients are values in the target, "
                    "which the function would have to be given"
                )
        return self.found

    # Events

    def _collect(self) -> None:
        for call in self.source.nodes("call"):
            callee, arguments = call.get("function"), call.get("arguments")
            if callee is None or arguments is None:
                continue  # it does not parse
            if callee.type not in ("attribute", "identifier"):
                continue
            if callee.type == "attribute" and callee.get("attribute") is None:
                continue
            label = callee["attribute"] if callee.type == "attribute" else callee
            name = self.source[label]
            if name not in _EVENTS and not isinstance(callee.kind, k.Api):
                continue
            event = self._event(call, callee, name)
            if event is not None:
                function = self.inference.function_at(event.statement)
                self.events.setdefault(function, []).append(event)

    def _event(self, call: Node, callee: Node, name: str) -> Event | None:
        statement = self._statement_of(call)
        if statement is None:
            return None
        path = callee.kind.path if isinstance(callee.kind, k.Api) else ""
        arguments = call["arguments"].named()
        if path in CLIPPING:
            return Event("clip", statement, call)
        if path == "torch.autograd.backward" and len(arguments) == 1:
            return Event("backward", statement, call, loss=arguments[0])
        if callee.type != "attribute" or path:
            return None
        owner = callee["object"]
        text = self.source[owner]
        match name:
            case "backward":
                if isinstance(owner.kind, k.Instance) and owner.kind.cls is not None:
                    return None
                loss = owner
                if owner.type == "call" and owner["function"].type == "attribute":
                    scaled = owner["function"]
                    given = owner["arguments"].named()
                    if self.source[scaled["attribute"]] == "scale" and len(given) == 1:
                        loss = given[0]
                return Event("backward", statement, call, loss=loss)
            case "zero_grad" if not isinstance(owner.kind, k.Api):
                return Event("zero", statement, call, text)
            case "step":
                if self._is_scaler(owner) and arguments:
                    return Event("step", statement, call, self.source[arguments[0]])
                if self._is_optimizer(owner):
                    return Event("step", statement, call, text)
            case "unscale_" if len(arguments) == 1:
                return Event("drop", statement, call)
            case "update" if not arguments and self._is_scaler(owner):
                return Event("drop", statement, call)
            case _:
                pass
        return None

    def _statement_of(self, call: Node) -> Node | None:
        """The statement that a call is, or whose assigned value it is."""
        parent = call.parent
        if parent is not None and parent.type == "assignment" and call.field == "right":
            parent = parent.parent
        return parent if parent is not None and parent.type == "expression_statement" else None

    def _is_scaler(self, owner: Node) -> bool:
        if isinstance(owner.kind, k.Instance) and owner.kind.api in SCALERS:
            return True
        return owner.kind == k.UNKNOWN and "scaler" in self.source[owner].lower()

    def _is_optimizer(self, owner: Node) -> bool:
        match owner.kind:
            case k.Instance(api=str() as api):
                return is_optimizer(api)
            case k.Instance(cls=Class()):
                return False
            case _:
                return "opt" in self.source[owner].rpartition(".")[2].lower()

    # Whose parameters an optimizer updates

    def _owners(self, function: Function, optimizer: str) -> tuple[str, ...] | None:
        """The modules of an optimizer, as a function writes them; None if that is not known."""
        return self._owners_in(function, optimizer, 0)

    def _owners_in(self, function: Function, optimizer: str, depth: int) -> tuple[str, ...] | None:
        if depth > 8:
            return None
        made = self._assigned(function, optimizer)
        if made:
            found = {self._made(function, value, depth) for value in made}
            return found.pop() if len(found) == 1 else None
        if "." in optimizer:
            return self._owners_of_attribute(function, optimizer, depth)
        names = [parameter.name for parameter in function.parameters]
        if optimizer in names:
            return self._owners_of_argument(function, optimizer, depth)
        if function.outer is not None:
            return self._owners_in(function.outer, optimizer, depth + 1)
        if function is not self.inference.module:
            return self._owners_in(self.inference.module, optimizer, depth + 1)
        return None

    def _assigned(self, function: Function, name: str) -> list[Node]:
        """The values that a function assigns to a name or attribute."""
        found: list[Node] = []
        body = function.node.get("body") or self.source.root
        for statement in self.source.nodes("assignment", body):
            if self.inference.function_at(statement) is not function:
                continue
            left, right = statement["left"], statement.get("right")
            if right is None:
                continue
            if self.source[left] == name:
                found.append(right)
            elif left.type in ("pattern_list", "tuple_pattern"):
                targets, values = left.named(), right.named()
                texts = [self.source[target] for target in targets]
                if name in texts:
                    same = right.type in ("expression_list", "tuple") and len(values) == len(texts)
                    found.append(values[texts.index(name)] if same else right)
        return found

    def _made(self, function: Function, value: Node, depth: int) -> tuple[str, ...] | None:
        if value.type == "identifier":
            return self._owners_in(function, self.source[value], depth + 1)
        if value.type != "call":
            return None
        match value["function"].kind:
            case k.Api(path) | k.Factory(path) if is_optimizer(path):
                return self.optimized(value)
            case k.FunctionRef(function=called):
                return self._returned(function, called, value, depth)
            case _:
                return None

    def _returned(
        self, function: Function, called: Function, call: Node, depth: int
    ) -> tuple[str, ...] | None:
        """The modules of an optimizer that a function of the file returns."""
        body = called.node.get("body")
        results = [
            statement.named()[0]
            for statement in (self.source.nodes("return_statement", body) if body else ())
            if self.inference.function_at(statement) is called and len(statement.named()) == 1
        ]
        if len(results) != 1:
            return None
        owners = self._made(called, results[0], depth + 1)
        given = self._given(called, call)
        if owners is None or any(owner not in given for owner in owners):
            return None
        return tuple(self.source[given[owner]] for owner in owners)

    def _owners_of_attribute(
        self, function: Function, optimizer: str, depth: int
    ) -> tuple[str, ...] | None:
        cls = function.cls
        receiver, _, attribute = optimizer.partition(".")
        if cls is None or not function.parameters or function.parameters[0].name != receiver:
            return None
        found: set[tuple[str, ...] | None] = set()
        for owner in cls.lineage():
            for method in owner.methods.values():
                if not method.parameters:
                    continue
                own = method.parameters[0].name
                values = self._assigned(method, f"{own}.{attribute}")
                for value in values:
                    if value.type == "none":
                        continue
                    modules = self._made(method, value, depth + 1)
                    found.add(self._held(method, own, receiver, modules))
        return found.pop() if len(found) == 1 else None

    def _held(
        self, method: Function, own: str, receiver: str, modules: tuple[str, ...] | None
    ) -> tuple[str, ...] | None:
        """Modules of a method, by the attributes that hold them: `model` is `self.model`."""
        if modules is None:
            return None
        found: list[str] = []
        body = method.node.get("body")
        for module in modules:
            if module.split(".")[0] == own:
                found.append(receiver + module[len(own) :])
                continue
            held = [
                self.source[statement["left"]]
                for statement in (self.source.nodes("assignment", body) if body else ())
                if statement["left"].type == "attribute"
                and self.source[statement["left"]["object"]] == own
                and (right := statement.get("right")) is not None
                and _moved(self.source[right]) == module
            ]
            if len(held) != 1:
                return None
            found.append(receiver + held[0][len(own) :])
        return tuple(found)

    def _owners_of_argument(
        self, function: Function, optimizer: str, depth: int
    ) -> tuple[str, ...] | None:
        found: set[tuple[str, ...] | None] = set()
        for call in self._calls_of(function):
            given = self._given(function, call)
            if optimizer not in given:
                return None
            caller = self.inference.function_at(call)
            owners = self._owners_in(caller, self.source[given[optimizer]], depth + 1)
            if owners is None:
                return None
            names = {self.source[node]: name for name, node in given.items()}
            if any(owner not in names for owner in owners):
                return None
            found.add(tuple(names[owner] for owner in owners))
        return found.pop() if len(found) == 1 else None

    def _calls_of(self, function: Function) -> Iterator[Node]:
        for call in self.source.nodes("call"):
            match call["function"].kind:
                case k.FunctionRef(function=called) if called is function:
                    yield call
                case k.ClassRef(cls) if function.is_constructor:
                    if cls.method("__init__") is function:
                        yield call
                case _:
                    continue

    def _given(self, function: Function, call: Node) -> dict[str, Node]:
        """The arguments of a call by the names of the function's parameters."""
        parameters = function.parameters
        if function.cls is not None and parameters:
            parameters = parameters[1:]
        given: dict[str, Node] = {}
        places = iter(parameters)
        arguments = call["arguments"]
        for child in arguments.named() if arguments.type == "argument_list" else ():
            if child.type == "keyword_argument":
                given[self.source[child["name"]]] = child["value"]
            else:
                parameter = next(places, None)
                if parameter is not None:
                    given[parameter.name] = child
        return given

    def optimized(self, call: Node) -> tuple[str, ...] | None:
        """The modules whose parameters a call of an optimizer's class is given, as written."""
        arguments = call["arguments"].named()
        first = next(
            (
                child["value"]
                for child in arguments
                if child.type == "keyword_argument" and self.source[child["name"]] == "params"
            ),
            arguments[0] if arguments and arguments[0].type != "keyword_argument" else None,
        )
        if first is None:
            return None
        return modules_of(self.inference, first)

    # One function

    def _function(self, function: Function, events: list[Event]) -> None:
        events.sort(key=lambda event: event.statement.start)
        steps = [event for event in events if event.kind == "step"]
        if not steps:
            raise Refused("no optimizer's step() stands in the same function as backward()")
        node = function.node
        if any(node.start <= error.start < node.end for error in self.source.errors):
            raise Refused("the code around it does not parse")
        self._no_reads(function)
        optimizers = list(dict.fromkeys(event.subject for event in steps))
        owners: dict[str, tuple[str, ...]] = {}
        passes = [event for event in events if event.kind == "backward"]
        for optimizer in optimizers:
            found = self._owners(function, optimizer)
            if found is None and len(optimizers) == 1:
                found = self._called(function, passes)
            if found is None:
                raise Refused(f"the module that {optimizer} updates is not known")
            owners[optimizer] = found
        for event in steps:
            if event.call["arguments"].named() and not self._is_scaler(
                event.call["function"]["object"]
            ):
                raise Refused("the step is given a closure")
        for optimizer in optimizers:
            self._names[function, owners[optimizer]] = ""
        names = self._gradient_names(owners)
        adding, fresh = self._adding(function, events, owners, names)
        used: dict[Event, list[str]] = {event: [] for event in passes}
        for event in passes:
            for optimizer in optimizers:
                if self._reaches(event, optimizer, events, owners):
                    used[event].append(optimizer)
            if not used[event]:
                raise Refused("no optimizer uses the gradients of this backward()")
        made: list[Pass] = []
        for event in passes:
            gradients = [(owners[name], names[name]) for name in used[event]]
            made.append(self._pass(function, event, events, gradients, owners))
            made[-1].adds = event in adding
        for item in made:
            self.found.passes[item.event.statement] = item
        for event in steps:
            optimizer = event.subject
            self.found.updates[event.statement] = Update(
                optimizer, owners[optimizer], names[optimizer]
            )
        for event in events:
            if event.kind == "clip":
                self.found.clipped[event.statement] = self._clipped(event, owners, names)
            elif event.kind == "drop":
                self.found.dropped.add(event.statement)
            elif event.kind == "zero":
                zeroed = [
                    (owners[name], names[name])
                    for name in self._zeroes(event, owners)
                    if name in fresh
                ]
                if zeroed:
                    self.found.zeroed.setdefault(event.statement, []).extend(zeroed)
                else:
                    self.found.dropped.add(event.statement)

    def _no_reads(self, function: Function) -> None:
        """A function that reads or changes the gradients of single parameters is not understood."""
        body = function.node.get("body") or self.source.root
        for node in self.source.nodes("attribute", body):
            if self.source[node["attribute"]] != "grad" or isinstance(node.kind, k.Api):
                continue
            if self.inference.function_at(node) is function:
                line = self.source.position(node.start)[0]
                raise Refused(f"line {line} reads or changes .grad of a parameter")

    def _gradient_names(self, owners: dict[str, tuple[str, ...]]) -> dict[str, str]:
        if len(owners) == 1:
            (only,) = owners
            return {only: self._free("grads")}
        names: dict[str, str] = {}
        for optimizer, modules in owners.items():
            label = "_".join(module.rpartition(".")[2] for module in modules)
            names[optimizer] = self._free(f"{label}_grads")
        return names

    def _free(self, hint: str) -> str:
        name, number = hint, 2
        while name in self.inference.bound:
            name, number = f"{hint}_{number}", number + 1
        return name

    def _zeroes(self, event: Event, owners: dict[str, tuple[str, ...]]) -> list[str]:
        """The optimizers whose gradients an event sets to zero."""
        if event.subject in owners:
            return [event.subject]
        return [name for name, modules in owners.items() if modules == (event.subject,)]

    def _reaches(
        self,
        start: Event,
        optimizer: str,
        events: list[Event],
        owners: dict[str, tuple[str, ...]],
    ) -> bool:
        """Whether an optimizer steps with the gradients of a backward pass before they are zeroed."""
        at = events.index(start)
        following = events[at + 1 :]
        loop = _outermost_loop(start.statement)
        if loop is not None:
            following = following + [
                e for e in events[:at] if loop.start <= e.statement.start < loop.end
            ]
        for event in following:
            if event.kind == "step" and event.subject == optimizer:
                return True
            if event.kind == "zero" and optimizer in self._zeroes(event, owners):
                return False
        return False

    def _adding(
        self,
        function: Function,
        events: list[Event],
        owners: dict[str, tuple[str, ...]],
        names: dict[str, str],
    ) -> tuple[set[Event], set[str]]:
        """The passes whose gradients are added, and the optimizers whose gradients outlive a step."""
        adding: set[Event] = set()
        fresh: set[str] = set()
        for optimizer in owners:
            passes = [
                e
                for e in events
                if e.kind == "backward" and self._reaches(e, optimizer, events, owners)
            ]
            steps = [e for e in events if e.kind == "step" and e.subject == optimizer]
            zeros = [e for e in events if e.kind == "zero" and optimizer in self._zeroes(e, owners)]
            if not passes:
                raise Refused(f"no backward() stands before the step of {optimizer}")
            block = passes[0].statement.parent
            together = all(e.statement.parent is block for e in (*passes, *steps))
            alternating = together and self._alternate(passes, steps, zeros, block)
            if alternating:
                for index, event in enumerate(passes):
                    previous = passes[index - 1] if index else None
                    if previous is not None and not any(
                        previous.statement.start < s.statement.start < event.statement.start
                        for s in steps
                    ):
                        adding.add(event)
                continue
            if not zeros and function is not self.inference.module and self._is_inner(function):
                raise Refused(
                    f"{optimizer} steps here, but nothing here zeroes its gradients, "
                    "so they add up from call to call"
                )
            elsewhere = any(
                event.kind == "zero"
                for other, found in self.events.items()
                if other is not function
                for event in found
            )
            if not zeros and elsewhere:
                raise Refused(f"the gradients of {optimizer} may be zeroed in another function")
            fresh.add(optimizer)
            adding.update(passes)
            loop = _outermost_loop(passes[0].statement) or passes[0].statement
            zeroed_before = any(
                z.statement.start < loop.start
                and z.statement.parent is not None
                and z.statement.parent in (loop.parent, *loop.ancestors())
                for z in zeros
            )
            if not zeroed_before:
                first = [z for z in zeros if z.statement.start < passes[0].statement.start]
                if any(z.statement.parent in _blocks_of(passes[0].statement) for z in first):
                    continue
                self.found.zeroed.setdefault(loop, []).append((owners[optimizer], names[optimizer]))
        return adding, fresh

    def _alternate(
        self, passes: list[Event], steps: list[Event], zeros: list[Event], block: Node | None
    ) -> bool:
        """Whether, in one block, gradients are zeroed between a step and the next backward pass."""
        order = sorted((*passes, *steps, *zeros), key=lambda e: e.statement.start)
        loop = _innermost_loop(passes[0].statement)
        around = _blocks_of(passes[0].statement)
        # A zeroing may stand in a block further out, of the same iteration.
        inside = [
            e
            for e in order
            if e.statement.parent is block
            or (
                e.kind == "zero"
                and e.statement.parent in around
                and _innermost_loop(e.statement) is loop
            )
        ]
        if any(e.kind != "zero" for e in order if e not in inside):
            return False
        loops = _outermost_loop(passes[0].statement) is not None
        kinds = [e.kind for e in inside]
        if "step" not in kinds:
            return False
        # What is left from the step before: in a loop, from the end of the last iteration.
        clean = not loops or _last(kinds, ("zero", "step")) == "zero"
        if not zeros:
            return False
        for kind in kinds:
            if kind == "zero":
                clean = True
            elif kind == "step":
                clean = False
            elif not clean and kind == "backward":
                return False
        return True

    def _is_inner(self, function: Function) -> bool:
        """Whether a function's state would have to outlive it: it holds no loop over batches."""
        return not any(
            _outermost_loop(event.statement) is not None
            for event in self.events[function]
            if event.kind == "backward"
        )

    def _clipped(
        self, event: Event, owners: dict[str, tuple[str, ...]], names: dict[str, str]
    ) -> str:
        given = event.call["arguments"].named()
        modules = modules_of(self.inference, given[0]) if given else None
        for optimizer, owned in owners.items():
            if modules == owned:
                return names[optimizer]
        if modules is None and len(owners) == 1 and given:
            grads = self.source[given[0]]
            (optimizer,) = owners
            if grads.startswith(f"{optimizer}.param_groups"):
                return names[optimizer]
        raise Refused("the gradients that are clipped are not those of one optimizer")

    def _called(self, function: Function, passes: list[Event]) -> tuple[str, ...] | None:
        """The one module that a function calls, if there is one."""
        found: set[str] = set()
        for call in self.source.nodes("call", function.node.get("body") or self.source.root):
            callee = call["function"]
            if self.is_module(function, callee):
                found.add(self.source[callee])
        return (found.pop(),) if len(found) == 1 else None

    def is_module(self, function: Function, node: Node) -> bool:
        """Whether an expression is a module that has parameters, as far as is known."""
        match node.kind:
            case k.Instance(cls=Class() as cls):
                return cls.is_module
            case k.Instance(api=str() as api):
                return api.startswith("torch.nn.") and not api.endswith("Loss")
            case k.Unknown() if node.type in ("identifier", "attribute"):
                text = self.source[node]
                used = re.compile(rf"(?<![\w.]){re.escape(text)}\.(train|eval)\(")
                body = function.node.get("body") or self.source.root
                return bool(used.search(self.source[body]))
            case _:
                return False

    # One pass

    def _pass(
        self,
        function: Function,
        event: Event,
        events: list[Event],
        gradients: list[tuple[tuple[str, ...], str]],
        owners: dict[str, tuple[str, ...]],
    ) -> Pass:
        source = self.source
        statement, loss = event.statement, event.loss
        block = statement.parent
        assert loss is not None and block is not None
        self._plain_backward(event)
        modules = tuple(dict.fromkeys(m for owned, _ in gradients for m in owned))
        marks = {e.statement for e in events}
        branch = self._branch(block, statement, marks)
        if branch is not None:
            assert branch.parent is not None
            statement, block = branch, branch.parent
        siblings = block.named()
        prior = siblings[: siblings.index(statement)]
        made = [n for n, s in enumerate(prior) if flow.bound(source, s) & set(modules)]
        prior = prior[made[-1] + 1 :] if made else prior  # where the modules are there
        prior = [s for s in prior if s not in marks and not self._holds(s, marks)]
        needed = flow.reads(source, loss)
        slice_: list[Node] = []
        for child in reversed(prior):
            if child.type in ("function_definition", "class_definition", "decorated_definition"):
                continue
            written = flow.writes(source, child)
            if not written & needed:
                continue
            slice_.insert(0, child)
            if child.type == "expression_statement" and not flow.changed(source, child):
                needed -= flow.bound(source, child)
            needed |= flow.reads(source, child)
        inside = self._tainted(slice_, modules)
        tainted = {name for s in inside for name in flow.writes(source, s)}
        if not self._depends(loss, modules, tainted):
            raise Refused(self._independent(loss, slice_, modules))
        others = [e for e in events if e is not event and e.kind in ("backward", "step")]
        barrier = max(
            (
                e.statement.end
                for e in others
                if e.statement in siblings and e.statement.end <= statement.start
            ),
            default=0,
        )
        self._not_stale(inside, statement, events, owners)
        before, after, kept = list[Node](), list[Node](), list[Node]()
        inside = self._grown(inside, slice_, loss, barrier)
        copied = [s for s in inside if s.start < barrier]
        zone_start = min((s.start for s in inside if s not in copied), default=statement.start)
        for child in siblings:
            if not zone_start <= child.start < statement.start or child in inside:
                continue
            if child in marks:
                kept.append(child)
                continue
            written = {n for s in inside if s.start < child.start for n in flow.writes(source, s)}
            if child in slice_:
                if flow.reads(source, child) & written or flow.writes(source, child) & (
                    written
                    | {n for s in inside if s.start < child.start for n in flow.reads(source, s)}
                ):
                    inside.append(child)
                else:
                    before.append(child)
            else:
                self._may_wait(child, modules)
                if branch is not None and flow.writes(source, child) & flow.reads(source, branch):
                    raise Refused(
                        f"line {source.position(child.start)[0]} stands between the forward pass and "
                        "the branch of backward(), which reads it"
                    )
                after.append(child)
        inside.sort(key=lambda s: s.start)
        for child in inside:
            self._movable(function, child)
        if not all(
            source.starts_line(s) for s in (*inside, *before, *after, statement, event.statement)
        ):
            raise Refused("several statements stand on one line")
        names = {n for s in inside for n in flow.writes(source, s)}
        plain = source[loss] if loss.type == "identifier" else ""
        carried = [
            name
            for name in sorted(names)
            if flow.first_use(source, [*inside, loss], name) and name not in modules
        ]
        live = [
            name
            for name in self._in_order(inside, names)
            if name != plain
            and name not in modules
            and (
                any(name in flow.reads(source, s) for s in after)
                or flow.read_after(source, event.statement, name)
            )
        ]
        if branch is not None and flow.reads(source, branch["condition"]) & names:
            raise Refused("whether backward() is called depends on the forward pass")
        called = self._modules_in(function, [*inside, loss], modules)
        if not self.closures:
            for child in (*inside, loss):
                self._reached_by_functions(child, (*modules, *called))
        return Pass(
            event,
            modules,
            called,
            inside,
            copied,
            before,
            after,
            kept,
            self._comments_above((*kept, event.statement), zone_start),
            tuple(carried),
            tuple(live),
            gradients,
            branch,
            branch is not None
            and any(
                flow.read_after(source, branch, name)
                or any(name in flow.reads(source, s) for s in after)
                for name in (*live, plain)
                if name
            ),
        )

    def _branch(self, block: Node, statement: Node, marks: set[Node]) -> Node | None:
        """The `if` statement around a `backward()` before which the forward pass stands."""
        outer = block.parent
        if outer is None or outer.type != "if_statement" or block.field != "consequence":
            return None
        own = block.named()
        before = [s for s in own[: own.index(statement)] if s not in marks]
        alternatives = [c for c in outer.children if c.field == "alternative"]
        if before or any(c.type != "else_clause" for c in alternatives):
            return None
        return outer

    def _comments_above(self, statements: Iterable[Node], start: int) -> list[Node]:
        """The comments that stand directly above statements, in a block from an offset on."""
        found: list[Node] = []
        for child in statements:
            siblings = list(child.parent.children) if child.parent is not None else []
            at = siblings.index(child)
            above: list[Node] = []
            while at and siblings[at - 1].type == "comment" and siblings[at - 1].start > start:
                at -= 1
                if self.source.starts_line(siblings[at]):
                    above.insert(0, siblings[at])
            found += above
        return found

    def _in_order(self, statements: list[Node], names: set[str]) -> list[str]:
        """Names in the order in which statements mention them."""
        found: dict[str, None] = {}
        for child in statements:
            for name in flow.variables(self.source, child):
                if self.source[name] in names:
                    found.setdefault(self.source[name])
        return list(found)

    def _plain_backward(self, event: Event) -> None:
        for argument in event.call["arguments"].named():
            if argument.type == "keyword_argument":
                name, value = self.source[argument["name"]], argument["value"]
                if name == "retain_graph" or (name == "create_graph" and value.type == "false"):
                    continue
                if name in ("gradient", "inputs") and value.type == "none":
                    continue
                raise Refused(f"backward() is given {name}")
            if argument is not event.loss:
                raise Refused("backward() is given a gradient to start from")

    def _holds(self, statement: Node, marks: Iterable[Node]) -> bool:
        return any(statement.start < mark.start < statement.end for mark in marks)

    def _tainted(self, statements: list[Node], modules: tuple[str, ...]) -> list[Node]:
        """Those statements whose results depend on the modules' parameters."""
        names: set[str] = set()
        found: list[Node] = []
        for child in statements:
            if self._depends(child, modules, names):
                found.append(child)
                names |= flow.writes(self.source, child)
            elif child.type == "expression_statement" and not flow.changed(self.source, child):
                names -= flow.bound(self.source, child)
        return found

    def _depends(self, node: Node, modules: tuple[str, ...], names: set[str]) -> bool:
        """Whether a gradient can flow through a node to the modules or to the names."""
        if node.type == "with_statement" and self._is_no_grad(node):
            return False
        for name in flow.variables(self.source, node):
            if self.source[name] in names and not flow.is_target(name) and not self._is_cut(name):
                return True
        for module in modules:
            for place in self._places(node, module):
                parent = place.parent
                quiet = (
                    parent is not None
                    and parent.type == "attribute"
                    and self.source[parent["attribute"]] in _QUIET
                )
                if not quiet and not self._is_cut(place):
                    return True
        if self.closures:
            return any(
                self._function_reaches(call, module, set())
                for call in self.source.nodes("call", node)
                for module in modules
            )
        return False

    def _places(self, node: Node, text: str) -> Iterator[Node]:
        """Where an expression stands in a node."""
        kind = "attribute" if "." in text else "identifier"
        for place in self.source.nodes(kind, node):
            if self.source[place] == text and not (kind == "identifier" and flow.is_label(place)):
                yield place

    def _is_cut(self, node: Node) -> bool:
        """Whether an expression's value is used without its gradient only."""
        at = node
        while at.parent is not None and at.parent.type in ("call", "attribute", "subscript"):
            parent = at.parent
            if parent.type == "call" and at.field != "function":
                return False
            if parent.type == "attribute" and self.source[parent["attribute"]] in _CUTS:
                return True
            at = parent
        return any(
            outer.type == "with_statement" and self._is_no_grad(outer) for outer in node.ancestors()
        )

    def _is_no_grad(self, node: Node) -> bool:
        clauses = [child for child in node.children if child.type == "with_clause"]
        return any(
            isinstance(inner.kind, k.Api)
            and inner.kind.path.endswith(("no_grad", "inference_mode"))
            for clause in clauses
            for inner in self.source.nodes_of(("attribute", "identifier"), clause)
        )

    def _independent(self, loss: Node, statements: list[Node], modules: tuple[str, ...]) -> str:
        for node in (*statements, loss):
            for call in self.source.nodes("call", node):
                for module in modules:
                    if self._function_reaches(call, module, set()):
                        return (
                            f"{self.source[call['function']]} reaches {module} by itself: "
                            f"{module} must be an argument to be differentiated by"
                        )
        return f"{self.source[loss]} does not depend on {', '.join(modules)} here"

    def _function_reaches(self, call: Node, module: str, seen: set[Function]) -> bool:
        """Whether what a call calls uses a module that it is not given."""
        match call["function"].kind:
            case k.FunctionRef(function=called):
                pass
            case k.Instance(cls=Class() as cls) if cls.method("forward") is not None:
                called = cls.method("forward")
                assert called is not None
            case _:
                return False
        if called in seen:
            return False
        seen.add(called)
        body = called.node.get("body")
        if body is None:
            return False
        head, _, rest = module.partition(".")
        own = called.parameters[0].name if called.cls is not None and called.parameters else None
        if rest:
            if own is None:
                return False
            text = f"{own}.{rest}"
        elif any(p.name == head for p in called.parameters) or head in flow.bound(
            self.source, body
        ):
            return False
        else:
            text = module
        if any(True for _ in self._places(body, text)):
            return True
        return any(
            self._function_reaches(inner, module, seen) for inner in self.source.nodes("call", body)
        )

    def _reached_by_functions(self, node: Node, modules: tuple[str, ...]) -> None:
        for call in self.source.nodes("call", node):
            for module in modules:
                if module != "self" and self._function_reaches(call, module, set()):
                    raise Refused(
                        f"{self.source[call['function']]} reaches {module} by itself: "
                        f"{module} must be an argument to be differentiated by"
                    )

    def _not_stale(
        self,
        inside: list[Node],
        statement: Node,
        events: list[Event],
        owners: dict[str, tuple[str, ...]],
    ) -> None:
        for event in events:
            if event.kind != "step" or event.statement.start > statement.start:
                continue
            for child in inside:
                if child.start > event.statement.start:
                    continue
                for module in owners[event.subject]:
                    if any(True for _ in self._places(child, module)):
                        raise Refused(
                            f"{event.subject} steps between the forward pass and backward()"
                        )

    def _grown(
        self, inside: list[Node], slice_: list[Node], loss: Node, barrier: int
    ) -> list[Node]:
        """With the statements that only start what the others carry on: `total = 0`, `outs = []`."""
        inside = list(inside)
        while True:
            names = {n for s in inside for n in flow.writes(self.source, s)}
            carried = {n for n in names if flow.first_use(self.source, [*inside, loss], n)} | {
                n
                for s in inside
                for n in flow.changed(self.source, s)
                if n not in {b for o in inside for b in flow.bound(self.source, o)}
            }
            more = [
                s
                for s in slice_
                if s not in inside
                and s.start > barrier
                and s.type == "expression_statement"
                and s.children[0].type == "assignment"
                and (bound := flow.bound(self.source, s))
                and bound <= carried
                and self._is_start(s.children[0].get("right"))
            ]
            if not more:
                return inside
            inside = sorted([*inside, *more], key=lambda s: s.start)

    def _is_start(self, value: Node | None) -> bool:
        """Whether a value is a constant or an empty container."""
        if value is None:
            return False
        if value.type in ("integer", "float", "none"):
            return True
        return value.type in ("list", "dictionary", "tuple") and not value.named()

    def _may_wait(self, child: Node, modules: tuple[str, ...]) -> None:
        """Whether a statement can run after the statements around it, which it does not feed."""
        for module in modules:
            for place in self._places(child, module):
                parent = place.parent
                if parent is None or parent.type != "attribute":
                    continue
                if self.source[parent["attribute"]] in ("train", "eval"):
                    raise Refused(f"the mode of {module} changes between forward and backward()")
        if child.type in ("return_statement", "break_statement", "continue_statement"):
            raise Refused("the block ends before backward()")
        jumps = self.source.nodes_of(
            ("return_statement", "continue_statement", "break_statement"), child
        )
        for jump in jumps:
            loop = _outermost_loop(jump)
            if jump.type == "return_statement" or loop is None or loop.start < child.start:
                raise Refused(
                    "between the forward pass and backward() the code may leave the block"
                )

    def _movable(self, function: Function, child: Node) -> None:
        source = self.source
        line = source.position(child.start)[0]
        forbidden = source.nodes_of(_FORBIDDEN, child)
        if forbidden:
            raise Refused(f"line {line} cannot stand in a function of its own")
        for jump in source.nodes_of(("continue_statement", "break_statement"), child):
            if not any(
                outer.type in flow.LOOPS and outer.start >= child.start
                for outer in jump.ancestors()
            ):
                raise Refused(f"line {line} leaves the loop between forward and backward()")
        for assignment in source.nodes_of(("assignment", "augmented_assignment"), child):
            left = assignment["left"]
            for target in (
                left.named() if left.type in ("pattern_list", "tuple_pattern") else [left]
            ):
                if target.type == "attribute":
                    raise Refused(
                        f"line {line} keeps a value of the forward pass in {source[target]}; "
                        "keep it in a variable"
                    )
        if self.closures:
            return
        for call in source.nodes("call", child):
            callee = call["function"]
            if callee.type == "attribute" and source[callee["attribute"]] in _VALUES:
                raise Refused(
                    f"line {line} asks for a value (.{source[callee['attribute']]}()) inside the "
                    "function that is differentiated, where JAX knows none"
                )

    def _modules_in(
        self, function: Function, nodes: list[Node], modules: tuple[str, ...]
    ) -> tuple[str, ...]:
        """The other modules that nodes call."""
        found: dict[str, None] = {}
        for node in nodes:
            for call in self.source.nodes("call", node):
                callee = call["function"]
                if callee.type == "attribute" and isinstance(callee.kind, k.FunctionRef):
                    callee = callee["object"]
                if callee.type not in ("identifier", "attribute"):
                    continue
                text = self.source[callee]
                inner = any(text == m or text.startswith(f"{m}.") for m in modules)
                if not inner and self.is_module(function, callee):
                    found.setdefault(text)
        return tuple(found)


def modules_of(inference: Inference, node: Node) -> tuple[str, ...] | None:
    """The modules whose parameters an expression gives, as written; None if that is not known."""
    source = inference.source
    match node.type:
        case "call":
            callee = node["function"]
            arguments = node["arguments"]
            if callee.type == "attribute" and source[callee["attribute"]] == "parameters":
                return (source[callee["object"]],) if not arguments.named() else None
            name = source[callee].rpartition(".")[2]
            if arguments.type != "argument_list":
                return modules_of(inference, arguments) if name in ("list", "tuple") else None
            given = arguments.named()
            if name in ("list", "tuple", "iter") and len(given) == 1:
                return modules_of(inference, given[0])
            if name == "filter" and len(given) == 2 and "requires_grad" in source[given[0]]:
                return modules_of(inference, given[1])
            if name == "chain":
                return _all_modules(inference, given)
            return None
        case "list" | "tuple" if all(child.type == "list_splat" for child in node.named()):
            return _all_modules(inference, [child.children[0] for child in node.named()])
        case "binary_operator" if source[node["operator"]] == "+":
            return _all_modules(inference, [node["left"], node["right"]])
        case "list_comprehension" | "generator_expression":
            clauses = [child for child in node.named() if child.field != "body"]
            if len(clauses) not in (1, 2) or clauses[0].type != "for_in_clause":
                return None
            same = source[node["body"]] == source[clauses[0]["left"]]
            filtered = len(clauses) == 1 or source[clauses[1]].endswith("requires_grad")
            return modules_of(inference, clauses[0]["right"]) if same and filtered else None
        case "parenthesized_expression" if len(node.named()) == 1:
            return modules_of(inference, node.named()[0])
        case "identifier":
            function = inference.function_at(node)
            body = function.node.get("body") or source.root
            values = [
                right
                for statement in source.nodes("assignment", body)
                if source[statement["left"]] == source[node]
                and inference.function_at(statement) is function
                and (right := statement.get("right")) is not None
            ]
            if len(values) != 1 or values[0].start > node.start:
                return None
            return modules_of(inference, values[0])
        case _:
            return None


def _all_modules(inference: Inference, nodes: list[Node]) -> tuple[str, ...] | None:
    found: list[str] = []
    for node in nodes:
        modules = modules_of(inference, node)
        if modules is None:
            return None
        found += modules
    return tuple(found) if found else None


def _moved(text: str) -> str:
    """`model.to(device)` is `model`."""
    return re.sub(r"\.(?:to\([^()]*\)|cuda\(\)|cpu\(\)|train\(\)|eval\(\))$", "", text)


def _outermost_loop(node: Node) -> Node | None:
    """The outermost loop around a statement in its function."""
    found: Node | None = None
    for outer in node.ancestors():
        if outer.type in ("function_definition", "class_definition", "lambda"):
            break
        if outer.type in flow.LOOPS:
            found = outer
    return found


def _innermost_loop(node: Node) -> Node | None:
    """The innermost loop around a statement in its function."""
    for outer in node.ancestors():
        if outer.type in ("function_definition", "class_definition", "lambda"):
            return None
        if outer.type in flow.LOOPS:
            return outer
    return None


def _blocks_of(node: Node) -> list[Node]:
    return [outer for outer in node.ancestors() if outer.type in ("block", "module")]


def _last(kinds: list[str], among: tuple[str, ...]) -> str | None:
    return next((kind for kind in reversed(kinds) if kind in among), None)
