"""A definition that is prepared on both sides, to be run there again and again."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torchport_checks.draws import Case
from torchport_checks.lanes import Lane, RemoteError
from torchport_checks.options import CheckOptions
from torchport_checks.sizes import Answer
from torchport_checks.spec import Spec, SpecError
from torchport_checks.verdicts import Category, Inputs, InputUsed, Status
from torchport_checks.worker.inputs import Call
from torchport_checks.worker.protocol import Array

Form = Literal["either", "compiled", "eager"]
"""How the port runs."""

Hurried = Literal["hurried"]
"""JAX's only: as `compiled`, but cases that are not like the first are compiled without optimising,
which may round otherwise."""

Outcome = dict[str, Any]
"""What a lane says of one case: `error`, or `output`, `buffers`, `input_gradients` and
`weight_gradients`; those of torch and MLX also `mutated` (arguments that were changed in place, by
path) and `reason` (why there are no gradients); torch's also `reference` (the same in float64),
`random` and `modules`."""


class Unchecked(Exception):
    """A definition cannot be run, or its port cannot be made; the attributes are the verdict's."""

    def __init__(self, status: Status, category: Category, message: str, output: str = "") -> None:
        super().__init__(message)
        self.status: Status = status
        self.category = category
        self.output = output


@functools.cache
def weights_module(target: str) -> str:
    """The path of a target's weights transfer, which its lane loads by itself."""
    found = importlib.util.find_spec("torchport_translators")
    assert found is not None and found.submodule_search_locations
    name = {"jax": "nnx.py", "mlx": "mlx.py"}[target]
    return str(Path(found.submodule_search_locations[0]) / "weights" / name)


@dataclass(frozen=True)
class Definition:
    """A function or module class that source and port both define."""

    name: str
    kind: Literal["function", "module"]
    line: int
    port_line: int | None
    spec: Spec | SpecError | None = None
    weights: Mapping[str, Any] | None = None


class Subject:
    """A definition with an instance of it in the torch lane, and inputs with which that runs.

    Attributes:
        call: the inputs, the given ones or those that were found.
        inputs: the same for people.
        sized: whether a check comment or `get_inputs()` says of which sizes the inputs are.
        trains: whether train mode is worth a run.
        drops: whether it has dropout layers.
        large: whether one run takes so long that several would teach less than they cost.
        init: the constructor's arguments as they travel; None for a function without modules.
        parameters: the names of the call's arguments, the positional ones first.
        differentiable: whether there are parameters to train.
        error: what the original raises with inputs that were given to it, as data; or None.
        notes: what is to be told of the port as it was constructed.
        usual: the largest number of each gradient with ordinary inputs, by name, once that is known.
    """

    def __init__(self, definition: Definition, torch: Lane, options: CheckOptions) -> None:
        """Construct the original and find its inputs.

        Raises:
            Unchecked: there are no inputs with which it runs.
            LaneFailure: the torch lane does not answer.
        """
        self.definition, self.torch, self.options = definition, torch, options
        if isinstance(definition.spec, SpecError):
            message = f"Line {definition.spec.line}: {definition.spec}"
            raise Unchecked("error", Category.INPUTS, message)
        try:
            prepared = self.prepare_source(torch)
        except RemoteError as error:
            if error.category is not None:
                status: Status = "error" if definition.spec else "not_run"
                category = Category(error.category)
                raise Unchecked(status, category, error.message, error.output) from error
            message = f"The original fails{at_line(error.line)}: {error}"
            raise Unchecked("error", Category.SOURCE_ERROR, message, error.output) from error
        call = prepared["call"]
        self.call = Call(call["args"], call["kwargs"], call["bounds"])
        self.trains: bool = prepared["train"]
        self.drops: bool = prepared["drops"]
        self.large: bool = prepared["large"]
        self.init: Any = prepared["init"]
        self.parameters: list[str] = prepared["parameters"]
        self.differentiable = bool(prepared["weight_names"])
        self.error: dict[str, Any] | None = prepared["error"]
        self.inputs = _inputs_used(prepared, options)
        self.sized: bool = prepared["origin"] in ("a check comment", "get_inputs()")
        self._prepared = prepared
        self.notes: list[str] = prepared["restored"]
        self.usual: dict[str, float] = {}
        self._opened: set[int] = set()

    def prepare_source(self, lane: Lane) -> dict[str, Any]:
        """Construct the original in a torch lane, and find its inputs there."""
        spec = self.definition.spec
        assert not isinstance(spec, SpecError)
        return lane.request(
            "prepare",
            timeout=self.options.timeout,
            name=self.definition.name,
            spec=spec.wire() if spec else None,
            seed=self.options.seed,
            weights=dict(self.definition.weights) if self.definition.weights else None,
        )

    def accepts(self, calls: Sequence[Call]) -> list[Answer]:
        """Whether the original runs with each call, fails, or refuses it.

        Raises:
            LaneFailure: the torch lane does not answer.
        """
        if not calls:
            return []
        return self.torch.request(
            "accepts",
            timeout=self.options.timeout,
            calls=[{"args": call.args, "kwargs": call.kwargs} for call in calls],
        )

    def run(
        self,
        port: Lane,
        form: Form | Hurried,
        cases: Sequence[Case],
        *,
        gradients: bool | None = None,
    ) -> tuple[list[Outcome], list[Outcome]]:
        """Run both sides at the same time; the outcomes of the original, and those of the port.

        Raises:
            Unchecked: the port cannot be constructed, or does not take the weights.
            LaneFailure: a lane does not answer.
        """
        theirs = self.submit_source(cases, gradients=gradients)
        try:
            ours = self.run_port(port, form, cases, gradients=gradients)
        finally:
            # The lane may not be busy when the next request is sent; and where both sides fail, it
            # is the original's failure that counts.
            expected = _answer(theirs)
        return expected, ours

    def submit_source(
        self,
        cases: Sequence[Case],
        *,
        lane: Lane | None = None,
        form: Form = "eager",
        gradients: bool | None = None,
    ) -> Future[Any]:
        """The original's outcomes, as a future; there is no reference of a compiled one."""
        return (lane or self.torch).submit(
            "run",
            timeout=self.options.timeout,
            form=form,
            gradients=self.options.gradients if gradients is None else gradients,
            **_wire(cases),
        )

    def run_port(
        self,
        port: Lane,
        form: Form | Hurried,
        cases: Sequence[Case],
        *,
        gradients: bool | None = None,
    ) -> list[Outcome]:
        """The port's outcomes; it is constructed in the lane at its first run there.

        Raises:
            Unchecked: the port cannot be constructed, or does not take the weights.
            LaneFailure: the lane does not answer.
        """
        self.open(port)
        return _answer(
            port.submit(
                "run",
                timeout=self.options.timeout,
                variant=form,
                gradients=self.options.gradients if gradients is None else gradients,
                **_wire(cases),
            )
        )

    def reopen(self, port: Lane) -> None:
        """Construct the port anew with the next run: its file was loaded again."""
        self._opened.discard(id(port))

    def open(self, port: Lane) -> None:
        """Construct the port in a lane, unless it is there.

        Raises:
            Unchecked: the port cannot be constructed, or does not take the weights.
            LaneFailure: the lane does not answer.
        """
        if id(port) in self._opened:
            return
        prepared = self._prepared
        made = _answer(
            port.submit(
                "prepare",
                timeout=self.options.timeout,
                name=self.definition.name,
                init=prepared["init"],
                weights=prepared["weights"],
                weight_names=prepared["weight_names"],
                constants=prepared["constants"],
                weights_module=weights_module(port.framework),
                parameters=prepared["parameters"],
                seed=self.options.seed,
            )
        )
        if made["failed"]:
            error = RemoteError(made["error"])
            category = Category(made["failed"])
            what = {
                Category.CONSTRUCTION: (
                    "The port cannot be constructed with the original's arguments"
                ),
                Category.WEIGHTS: "The original's weights do not fit the port",
            }[category]
            message = f"{what}{at_line(error.line)}: {error}"
            raise Unchecked("diverged", category, message, error.traceback)
        self._opened.add(id(port))
        self.notes += [note for note in made.get("notes", ()) if note not in self.notes]


def _wire(cases: Sequence[Case]) -> dict[str, Any]:
    """The cases as they travel: each call once, and for each case its mode and its call's number."""
    wires = [case.wire() for case in cases]
    keys = [
        tuple(id(v) if k in ("args", "kwargs") else v for k, v in wire.items()) for wire in wires
    ]
    calls = dict(zip(keys, wires, strict=True))
    numbers = {key: number for number, key in enumerate(calls)}
    return {
        "calls": list(calls.values()),
        "cases": [(case.train, numbers[key]) for case, key in zip(cases, keys, strict=True)],
    }


def _answer(future: Future[Any]) -> Any:
    try:
        return future.result()
    except RemoteError as error:  # a fault of the lane's own code: the code's errors are data
        raise Unchecked("error", Category.CRASH, f"{error}", error.traceback) from error


def _inputs_used(prepared: dict[str, Any], options: CheckOptions) -> Inputs:
    def used(name: str, text: str, array: Any = None) -> InputUsed:
        if isinstance(array, Array):
            return InputUsed(name=name, text=text, shape=array.shape, dtype=array.dtype)
        return InputUsed(name=name, text=text)

    return Inputs(
        origin=prepared["origin"],
        init=[used(name, text) for name, text in prepared["shown_init"]],
        call=[used(*shown) for shown in prepared["shown"]],
        seed=options.seed,
    )


def at_line(line: int | None) -> str:
    """` at line 3`, for a message."""
    return f" at line {line}" if line else ""
