"""Candidates for a constructor, for a module's `forward` and for a function, likeliest first."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ..inputs import Call
from ..loading import StageError, signature
from ..protocol import Array, leaves, tree_map
from . import documented, examples, names
from .candidate import Candidate, Drawn
from .layers import shapes_taken
from .repair import SHAPES
from .search import candidate_that_runs, explore
from .watch import Failure, explain

_TRIES = 400
_SECONDS = 10.0
# A module that was just made is tried shortly: the next constructor's arguments may do better.
_FORWARD_SECONDS, _FORWARD_STARTS, _FORWARD_ATTEMPTS = 2.0, 16, 16
_MADE = 1000  # operations that a constructor's success counts for
# What `forward` ran with when `constructor_calls` tried a class.
_RAN: weakref.WeakKeyDictionary[type, Candidate] = weakref.WeakKeyDictionary()
_CLASSIFIES = r"cross_entropy|nll_loss|CrossEntropy|NLLLoss|argmax|\.max\(|topk|=="


# ---------------------------------------------------------------------------------- constructors


def constructor_calls(cls: Any, module: Any) -> Iterator[Call]:
    """Constructor arguments to try: those first with which `forward` was seen to run.

    `module` is the loaded file.
    """
    parameters = names.required(cls)
    if not parameters:
        yield Call([])
        return
    deadline = time.monotonic() + _SECONDS
    made: list[tuple[int, Candidate]] = []

    def attempt(candidate: Candidate) -> Failure | None:
        failure = _made_and_run(cls, candidate, deadline)
        if failure is not None and failure.done >= _MADE:
            made.append((failure.done, candidate))
        return failure

    for found in explore(_constructors(cls, module, parameters), attempt, deadline):
        if isinstance(found, Candidate):
            yield found.call()[0]
    # None runs as far as is known; the one with which torch came furthest says most about why.
    for _, candidate in sorted(made, key=lambda entry: -entry[0]):
        yield candidate.call()[0]
    yield next(_constructors(cls, module, parameters)).call()[0]


def _made_and_run(cls: Any, candidate: Candidate, deadline: float) -> Failure | None:
    """Construct, then look for inputs of `forward`; what kept either from succeeding."""
    if candidate.tensors:
        return Failure(TypeError("a constructor is given no tensor"))
    call = candidate.call()[0]
    try:
        module = cls(*call.args, **call.kwargs)
    except BaseException as error:  # sys.exit included
        return explain(lambda: cls(*call.args, **call.kwargs), []) or Failure(error)
    if any(parameter.numel() == 0 for parameter in module.parameters()):
        return Failure(ValueError("a parameter is empty"))
    module.eval()

    def run(call: Call) -> Any:
        with torch.no_grad():
            return module(*_as_torch(call.args), **_as_torch(call.kwargs))

    options = calls(module.forward, module, _sizes(cls, call), candidate.seed)
    options = itertools.islice(options, _FORWARD_STARTS)
    until = min(deadline, time.monotonic() + _FORWARD_SECONDS)
    try:
        found, failure = candidate_that_runs(options, run, until, _FORWARD_ATTEMPTS)
    except StageError:
        return None  # not a matter of the constructor
    if found is not None:
        _RAN[cls] = found
        return None
    if failure is None:
        return None
    return dataclasses.replace(failure, done=_MADE + failure.done, sources=frozenset())


def _as_torch(value: Any) -> Any:
    def each(leaf: Any) -> Any:
        return torch.from_numpy(leaf.value.copy()) if isinstance(leaf, Array) else leaf

    return tree_map(each, value)


def _sizes(cls: Any, call: Call) -> dict[str, int]:
    """The whole numbers that a module is constructed with, by name."""
    found = signature(cls)
    values = {n: p.default for n, p in found.parameters.items()} if found else {}
    values |= call.named(list(values))
    return {name: value for name, value in values.items() if type(value) is int}


def _constructors(
    cls: Any, module: Any, parameters: list[inspect.Parameter]
) -> Iterator[Candidate]:
    """Calls in the file, its constants of the same names, then values by name and annotation."""
    for example in examples.calls_in(module):
        if example.name == cls.__name__ and not example.instance:
            yield from _from_example(signature(cls), example, 0)
    choices: list[tuple[Any, ...]] = []
    for parameter in parameters:
        configs = tuple(_configs(parameter, module))
        choices.append(configs or names.of_constructor(parameter).values or ())
    constants = [examples.constant(module, p.name) for p in parameters]
    if any(constant is not None for constant in constants):
        values = [
            choice[0] if constant is None else constant
            for choice, constant in zip(choices, constants, strict=True)
        ]
        yield Candidate(parameters, tuple(values))
    yield Candidate(parameters, tuple(choice[0] for choice in choices))
    for size in (8, 4, 1):  # sizes that must agree with one another
        yield Candidate(parameters, tuple(size if size in c else c[0] for c in choices))
    for values in itertools.islice(itertools.product(*choices), _TRIES):
        yield Candidate(parameters, values)


def _configs(parameter: inspect.Parameter, module: Any) -> Iterator[Any]:
    """Default instances of the dataclass that annotates a parameter, or of those that suit its name."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = getattr(module, annotation.strip("'\""), None)
    candidates = [annotation]
    if re.search(r"config|cfg|args|hparams", parameter.name):
        candidates += [
            v for v in vars(module).values()
            if isinstance(v, type) and v.__module__ == module.__name__
        ]  # fmt: skip
    for candidate in dict.fromkeys(c for c in candidates if isinstance(c, type)):
        if dataclasses.is_dataclass(candidate):
            try:
                yield candidate()
            except TypeError:
                continue


def _from_example(
    found: inspect.Signature | None, example: examples.Example, seed: int
) -> Iterator[Candidate]:
    """The candidate that repeats a call of the file, if it fits the signature."""
    if found is None:
        return
    try:
        bound = found.bind(*example.args, **example.kwargs)
    except TypeError:
        return
    parameters: list[inspect.Parameter] = []
    values: list[Any] = []
    gap = False
    for name, parameter in found.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if name in bound.arguments:
                return
        elif name in bound.arguments:
            # After an argument that the call leaves out, the rest can only go by name.
            kind = parameter.KEYWORD_ONLY if gap else parameter.kind
            parameters.append(parameter.replace(kind=kind))
            values.append(bound.arguments[name])
        else:
            gap = True
    yield Candidate(parameters, tuple(values), seed)


# --------------------------------------------------------------------- functions and `forward`


def calls(
    function: Any, module: nn.Module | None, sizes: dict[str, int], seed: int
) -> Iterator[Candidate]:
    """Calls of `function` (a module's bound `forward`, or a plain function) to try, best first.

    `sizes` are the whole numbers that `module` was constructed with, by name.

    Raises:
        StageError: nothing can be known of an argument, or a function takes none.
    """
    parameters = names.required(function)
    if not parameters and module is None:
        # It may be a whole program; a spec can still ask for it.
        raise StageError("INPUTS", "It needs no arguments, so it was not run by itself.")
    definition = function if module is None else type(module)
    if definition in _RAN:
        yield dataclasses.replace(_RAN[definition], seed=seed)
    name = getattr(definition, "__name__", "")
    file = examples.module_of(inspect.unwrap(definition))
    for example in examples.calls_in(file):
        if example.name == name and example.instance == (module is not None):
            yield from _from_example(signature(function), example, seed)
    known = documented.shapes(function, parameters, module, documented.Sizes(module, sizes))
    layers = list(shapes_taken(module, sizes)) if module is not None else []
    tensors = {*known, *("kv" if any(p.name == "q" for p in parameters) else "")}
    suggestions = [names.of_argument(parameter, tensors) for parameter in parameters]
    for values in _combinations(suggestions, layers, known):
        yield Candidate(parameters, values, seed)


def calls_with(
    function: Any, given: list[tuple[str, Any]], output: Any, seed: int
) -> Iterator[Candidate]:
    """Calls of a function that takes a module as well, which is not among `function`'s parameters.

    `given` are the module's own inputs by name, and `output` is what it makes of them: the function
    is tried with these inputs, and with labels or targets that suit the output.
    """
    parameters = names.required(function)
    inputs = dict(given)
    spare = [value for name, value in given if name not in {p.name for p in parameters}]
    targets = _targets(function, output)
    options: list[Sequence[Any]] = []
    for parameter in parameters:
        suggestion = names.of_argument(parameter)
        if parameter.name in inputs:
            options.append([inputs[parameter.name]])
        elif suggestion.values is not None:
            options.append(suggestion.values)
        elif spare:
            options.append([spare.pop(0)])
        else:
            options.append(targets)
    for values in itertools.islice(itertools.product(*options), _TRIES):
        yield Candidate(parameters, values, seed)


def _targets(function: Any, output: Any) -> list[Drawn]:
    """What an output may be compared with: class indices, and a tensor of its own shape."""
    first = next((v for _, v in leaves(output) if isinstance(v, torch.Tensor)), None)
    if first is None or not first.ndim:
        return [Drawn("float32", (2,))]
    shape = tuple(first.shape)
    same = [Drawn("float32", shape), Drawn("float32", shape[:1])]
    labels = [Drawn("int64", shape[:-1], (0, shape[-1] - 1))]
    if len(shape) > 1:
        labels.append(Drawn("int64", shape[:1] + shape[2:], (0, shape[1] - 1)))
    try:
        text = inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        text = ""
    return labels + same if re.search(_CLASSIFIES, text) else same + labels


def _combinations(
    suggestions: list[names.Suggestion], layers: list[Drawn], known: dict[str, tuple[int, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Values for all parameters, the likeliest combinations first.

    `known` are shapes that are written down, `layers` what the module's layers take.
    """
    ids = next((drawn.bounds for drawn in layers if drawn.dtype == "int64"), (0, 2))
    tensors = [s for s in suggestions if s.values is None]

    def fill(
        shapes: dict[str, tuple[int, ...]], dtypes: dict[str, str]
    ) -> Iterator[tuple[Any, ...]]:
        options: list[Sequence[Any]] = []
        for suggestion in suggestions:
            if suggestion.values is not None:
                options.append(suggestion.values)
                continue
            dtype = dtypes.get(suggestion.name, suggestion.dtype)
            bounds = (suggestion.bounds or ids) if dtype == "int64" else None
            options.append([Drawn(dtype, shapes[suggestion.name], bounds)])
        yield from itertools.islice(itertools.product(*options), 8)

    if all(s.name in known for s in tensors):
        yield from fill(known, {})
    if not tensors:
        return
    first = tensors[0]
    preferred = {"int64"} if first.dtype == "int64" else {"float32", first.dtype}
    starts = [(drawn.dtype, drawn.shape) for drawn in layers]
    ranks = {3} if re.search(names.SEQUENCES, first.name.lower()) else {1, 2, 3, 4, 5}
    starts.sort(key=lambda start: (start[0] not in preferred, len(start[1]) not in ranks))
    blank = sorted((2, 3, 4, 1, 0), key=lambda rank: rank not in ranks)
    starts += [(first.dtype, SHAPES[rank]) for rank in blank]
    if first.name in known:
        starts.insert(0, (first.dtype, known[first.name]))
    for dtype, shape in starts:
        for others in _companions(shape, tensors[1:]):
            dtypes = {first.name: dtype}
            if dtype == "int64":  # a decoder's second ids, but a float where the name says so
                dtypes |= {s.name: s.dtype for s in tensors[1:]}
            yield from fill({first.name: shape} | others | _known_of(known, tensors[1:]), dtypes)


def _known_of(
    known: dict[str, tuple[int, ...]], tensors: list[names.Suggestion]
) -> dict[str, tuple[int, ...]]:
    return {s.name: known[s.name] for s in tensors if s.name in known}


def _companions(
    shape: tuple[int, ...], others: list[names.Suggestion]
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Shapes for the tensors after the first: equal ones, then those that often go with it."""

    def options(suggestion: names.Suggestion) -> list[tuple[int, ...]]:
        found = [shape, shape[-1:], shape[:-1], ()]
        if suggestion.dtype == "int64":
            found = [shape[:-1], (shape[:1] + shape[2:]), shape, shape[:1]]
        elif suggestion.dtype == "bool":
            found = [shape, shape[:-1], (shape[-2:-1] * 2), shape[:1]]
        elif len(shape) >= 2:
            matrices = [(*shape[:-2], shape[-1], 5), (5, shape[-1]), (shape[-1], 5)]
            others = [shape[:1], (*shape[:-2], 1, shape[-1]), (shape[1],)]
            found = [shape, *matrices, *found[1:], *others]
        return list(dict.fromkeys(found))

    seen: set[tuple[Any, ...]] = set()
    lists = [options(suggestion) for suggestion in others]
    for picks in itertools.chain(
        zip(*lists, strict=False) if lists else [()],
        itertools.islice(itertools.product(*lists), 60),
    ):
        if picks not in seen:
            seen.add(picks)
            yield {s.name: pick for s, pick in zip(others, picks, strict=True)}
