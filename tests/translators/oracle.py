"""Torch's own test oracle, applied to a catalogue: rules by API, samples, comparison.

A *case* is one OpInfo and one API that a target's catalogue ports. Each sample of the case is run in
torch (float32, and float64 as the reference) and in the rule, eagerly, under `jax.jit` and through a
vector-Jacobian product. What the signature of every overload rejects is counted as rejected, what
differs as a failure.
"""

from __future__ import annotations

import importlib
import itertools
import os
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.utils._pytree as pytree
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import (
    BinaryUfuncInfo,
    OpInfo,
    ReductionOpInfo,
    SampleInput,
    UnaryUfuncInfo,
)

from torchport_translators.catalogue.bind import Bound, Refusal, accepts, bind
from torchport_translators.catalogue.load import Rule
from torchport_translators.source import kinds as k

from .frameworks import JAX, Framework

torch.set_num_threads(1)

# ----------------------------------------------------------------- from a call to a rule's function


class Rejected(TypeError):
    """No overload takes these arguments: the translator reports a finding."""


def function_of(rule: Rule, on: Framework) -> Callable[..., object]:
    """The function or class itself, to be called."""
    return getattr(
        importlib.import_module(f"torchport_translators.{on.name}.{rule.module.name}"), rule.name
    )


def resolve(
    api: str, args: Sequence[object], kwargs: Mapping[str, object], on: Framework = JAX
) -> tuple[Rule, Callable[[], object]]:
    """The rule that the engine chooses for a target's arguments in torch's signature, and its call.

    Raises:
        Rejected: no overload takes them.
    """
    reasons: list[str] = []
    for rule in on.catalogue.find(api):
        bound = bind(rule, args, kwargs)
        if isinstance(bound, Refusal):
            reasons.append(bound.reason)
        elif not accepts(
            rule,
            {name: _kind(value, on) for name, value in bound.arguments.items()},
            {name: [_kind(item, on) for item in items] for name, items in bound.varargs.items()},
        ):
            reasons.append(f"{rule.name} is for arguments of other kinds")
        else:
            return rule, _call(rule, bound, on)
    raise Rejected("; ".join(dict.fromkeys(reasons)))


def _call(rule: Rule, bound: Bound[object], on: Framework) -> Callable[[], object]:
    # A list of axes is written as a tuple; one of positions stays what it is.
    arguments = {
        name: value if name == "index" else _as_written(value)
        for name, value in bound.arguments.items()
    }
    positional: list[object] = []
    for values in bound.varargs.values():
        spread = values[0] if len(values) == 1 and isinstance(values[0], list | tuple) else values
        before = [p.name for p in rule.params if p.form == "positional"]
        positional = [arguments.pop(name) for name in before] + list(spread)
    function = function_of(rule, on)

    def call() -> object:
        random = on.random() if rule.random else {}
        return function(*positional, **arguments, **bound.keywords, **random)

    return call


def _as_written(value: object) -> object:
    """The engine writes a list of ints as a tuple: jax takes only tuples for axes and shapes."""
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return tuple(value)
    return value


def _kind(value: object, on: Framework) -> k.Kind:
    if isinstance(value, on.array):
        return k.TENSOR
    match value:
        case None:
            return k.NONE
        case bool() | int() | float() | complex() | str():
            return k.Scalar(type(value).__name__)
        case tuple() | list():
            return k.Sequence(type(value).__name__, tuple(_kind(item, on) for item in value))
        case torch.device():
            return k.Scalar("device")
        case _:
            named = type(value).__name__ == "Dtype"  # mlx's, which are no types
            is_dtype = named or isinstance(value, np.dtype | type) or hasattr(value, "dtype")
            return k.Scalar("dtype") if is_dtype else k.UNKNOWN


# ------------------------------------------------------------------------- torch to a target


def to_port(value: object, on: Framework = JAX) -> object:
    """A torch argument or result as the port has it."""
    if isinstance(value, torch.Tensor):
        return on.of_tensor(value)
    if isinstance(value, torch.dtype):
        return on.dtype(value)
    if isinstance(value, tuple):
        return tuple(to_port(item, on) for item in value)
    if isinstance(value, list):
        return [to_port(item, on) for item in value]
    if isinstance(value, dict):
        return {key: to_port(item, on) for key, item in value.items()}
    return value


def _plain(value: object) -> object:
    """The same arguments in plain tuples and lists, so that both frameworks' leaves line up."""
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _double(value: object) -> object:
    """A torch argument for the float64 reference."""
    wider = {torch.float32: torch.float64, torch.complex64: torch.complex128}
    if isinstance(value, torch.Tensor):
        if value.dtype not in wider:
            return value
        return value.detach().to(wider[value.dtype]).requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype):
        return wider.get(value, value)
    return value


def _leaves(value: object) -> list[object]:
    """Results and arguments, flat; a named tuple of torch is a tuple."""
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [value]


# ---------------------------------------------------------------------------------- comparison


def difference(port: object, torch32: object, reference: object, on: Framework = JAX) -> str | None:
    """How a result of a rule differs from torch's, or None where it does not.

    The error of the port against float64 may be what torch's own float32 shows there, with room for
    another order of operations: max(8 et, 64 eps |r|, 4 max et, 2 eps max|r|).
    """
    if not isinstance(torch32, torch.Tensor):
        if isinstance(port, on.array | np.ndarray) and port.ndim == 0:
            port = port.item()
        if isinstance(torch32, torch.dtype):
            torch32 = on.dtype(torch32)
        same = port == torch32 or (port != port and torch32 != torch32)
        if isinstance(torch32, float) and isinstance(port, float) and not same:
            return difference(
                np.float32(port), torch.tensor(torch32), torch.tensor(reference).double(), on
            )
        return None if same else f"{port!r} where torch has {torch32!r}"
    if not isinstance(port, on.array | np.ndarray | np.generic):
        return f"a {type(port).__name__} where torch has a tensor"
    held, mine = on.held(torch32.dtype), on.name_of(port.dtype)
    if mine not in (held, *on.stands_for.get(held, ())):
        return f"dtype {mine} where torch has {held}"
    if tuple(port.shape) != tuple(torch32.shape):
        return f"shape {tuple(port.shape)} where torch has {tuple(torch32.shape)}"
    mine, theirs, exact = (
        _wide(to_numpy(port, on)),
        _wide(_numpy(torch32)),
        _wide(_numpy(reference)),
    )
    if exact.shape != theirs.shape:
        exact = theirs
    if mine.dtype == np.int64:
        # What int32 cannot hold is jax's default and not the rule's.
        fits = (theirs >= -(2**31)) & (theirs < 2**31)
        wrong = fits & (mine != theirs)
    else:
        wrong = ~_close(mine, theirs, exact, torch32.dtype)
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{wrong.sum()} of {wrong.size} differ, at {at}: {mine[at]} where torch has {theirs[at]} (float64: {exact[at]})"


def _close(
    mine: np.ndarray, theirs: np.ndarray, exact: np.ndarray, dtype: torch.dtype
) -> np.ndarray:
    if np.iscomplexobj(mine) or np.iscomplexobj(theirs):
        parts = [
            _close(get(mine), get(theirs), get(exact), torch.float32) for get in (np.real, np.imag)
        ]
        return parts[0] & parts[1]
    # A port that leaves float64 to its user computes in float32.
    form = torch.finfo(torch.float32 if dtype is torch.float64 else dtype)
    eps = form.eps
    with np.errstate(all="ignore"):
        finite = np.isfinite(theirs) & np.isfinite(exact)
        r = np.where(finite, exact, 0)
        et = np.where(finite, np.abs(theirs - r), 0)
        ec = np.abs(mine - r)
        allowed = np.maximum(8 * et, 64 * eps * np.abs(r))
        floor = max(4 * et.max(initial=0), 2 * eps * np.abs(r).max(initial=0))
        tiny = 16 * form.tiny  # XLA flushes denormals to zero
        close = ec <= np.maximum(allowed, floor) + tiny
        same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
        # Where float32 overflows and float64 does not, either is torch's answer.
        return (
            same | (finite & close) | (~finite & (np.abs(mine - exact) <= 64 * eps * np.abs(exact)))
        )


def to_numpy(value: object, on: Framework = JAX) -> np.ndarray:
    return on.numpy(value) if isinstance(value, on.array) else np.asarray(value)


def _numpy(value: object) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        plain = value.detach().resolve_conj().resolve_neg()
        return (plain.float() if value.dtype is torch.bfloat16 else plain).numpy(force=True)
    return np.asarray(value)


def _wide(array: np.ndarray) -> np.ndarray:
    kind = {"b": np.int64, "i": np.int64, "u": np.int64, "c": np.complex128}
    return array.astype(kind.get(array.dtype.kind, np.float64))


# -------------------------------------------------------------------------------------- cases

# OpInfos whose op takes its arguments in another order than the API.
REORDERED: dict[str, Callable[..., tuple[object, ...]]] = {
    "where": lambda x, condition, other: (condition, x, other),
    "einsum": lambda tensors, equation: (equation, *tensors),
    "polygamma": lambda x, n: (n, x),
    "special.polygamma": lambda x, n: (n, x),
    "nn.functional.embedding": lambda weight, ids, *rest: (ids, weight, *rest),
    "nn.functional.embedding_bag": lambda weight, ids, *rest: (ids, weight, *rest),
    "normal/number_mean": lambda std, mean: (mean, std),
}
# OpInfos whose op calls the API that it is named for on what it makes of its arguments.
COMPOSED: dict[str, Callable[..., object]] = {
    "linalg.pinv/singular": lambda pinv, a, b: pinv(a @ b.mT),
    "linalg.lstsq/grad_oriented": lambda lstsq, a, b, driver: lstsq(a, b, driver=driver)[:2],
    "svd_lowrank": lambda svd, a, b, **options: svd(a @ b.mT, **options),
    "pca_lowrank": lambda pca, a, b, **options: pca(a @ b.mT, **options),
}
# OpInfos named for another API than that which they call.
RENAMED = {"_segment_reduce": "segment_reduce"}
# APIs whose values are not promised.
UNINITIALISED = {
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
}

EVERYTHING = os.environ.get("TORCHPORT_OPINFO") == "all"
# How many of torch's samples the default run takes of each dtype; complex ones only of an op that
# has no others.
SAMPLES = {torch.float32: 3, torch.int64: 2, torch.bool: 1, torch.complex64: 3}


@dataclass(frozen=True, repr=False)
class Case:
    """One OpInfo and one API of it that a target's catalogue ports."""

    op: OpInfo
    api: str
    on: Framework = JAX

    def __repr__(self) -> str:
        return self.id

    @property
    def id(self) -> str:
        variant = self.op.variant_test_name
        return self.api.removeprefix("torch.") + (f"/{variant}" if variant else "")


@dataclass
class Outcome:
    """What a case came to: the raw material of the support matrix.

    Attributes:
        equal: how many samples agree.
        rejected: the samples that no overload takes, by reason.
        failures: what differs, by `"<dtype> value"`, `"<dtype> jit"` or `"<dtype> gradient"`.
        complete: whether every sample that torch has was run.
    """

    equal: int = 0
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    failures: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    complete: bool = True

    def fail(self, what: str, why: str) -> None:
        self.failures.setdefault(what, []).append(why)

    def reject(self, why: str) -> None:
        self.rejected[why] = self.rejected.get(why, 0) + 1


def cases(on: Framework = JAX) -> list[Case]:
    """One case for each OpInfo and each set of rules that its names (aliases, method) lead to."""
    found: list[Case] = []
    for op in op_db:
        names = [RENAMED.get(op.name, op.name), *(alias.name for alias in op.aliases)]
        apis = [f"torch.{name}" for name in names] + [f"torch.Tensor.{name}" for name in names]
        if op.inplace_variant and not op.method_variant and "." not in op.name:
            apis = [f"torch.Tensor.{op.name.rstrip('_')}_"]
        seen: set[tuple[Rule, ...]] = set()
        for api in apis:
            rules = on.catalogue.find(api)
            if rules and rules not in seen:
                seen.add(rules)
                found.append(Case(op, api, on))
    return found


def op_id(op: OpInfo) -> str:
    return op.name + (f"/{op.variant_test_name}" if op.variant_test_name else "")


def samples(op: OpInfo, dtype: torch.dtype) -> list[SampleInput]:
    """Torch's samples of an op, those that a short run should take standing first."""
    torch.manual_seed(0)
    found = list(op.sample_inputs("cpu", dtype, requires_grad=_differentiable(op, dtype)))
    spread = max(SAMPLES[dtype] - 1, 1)
    first = {round(i * (len(found) - 1) / spread): None for i in range(spread + 1) if found}
    return [found[i] for i in first] + [x for i, x in enumerate(found) if i not in first]


def _differentiable(op: OpInfo, dtype: torch.dtype) -> bool:
    return op.supports_autograd and dtype.is_floating_point


def _edges(op: OpInfo, dtype: torch.dtype) -> Iterator[SampleInput]:
    """Signed zeros, halves and ties with gradients; infinities and nan without."""
    rows: list[list[float]] = []
    if dtype is torch.float32:
        finite = [-3.0, -2.5, -1.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
        rows = [finite, [*finite[::2], float("inf"), -float("inf"), float("nan")]]
    elif dtype is torch.int64:
        rows = [[-7, -3, -1, 0, 1, 2, 3, 8]]
    if rows and isinstance(op, ReductionOpInfo):
        rows.insert(0, [2, 2])  # all equal: no deviation, a tie everywhere
    for row in rows:
        if isinstance(op, UnaryUfuncInfo):
            inputs = [torch.tensor(row, dtype=dtype)]
        elif isinstance(op, BinaryUfuncInfo):
            pairs = torch.tensor(list(itertools.product(row, row)), dtype=dtype)
            inputs = [column.clone() for column in pairs.T]
        elif isinstance(op, ReductionOpInfo):
            inputs = [torch.tensor([row, row[::-1]], dtype=dtype)]
        else:
            return
        for tensor in inputs:
            finite = bool(torch.isfinite(tensor).all())
            tensor.requires_grad_(finite and _differentiable(op, dtype))
        yield SampleInput(inputs[0], args=tuple(inputs[1:]))


def run_case(case: Case) -> Outcome:
    """Run the samples of a case."""
    outcome = Outcome()
    supported = [dtype for dtype in SAMPLES if case.op.supports_dtype(dtype, "cpu")]
    real = [dtype for dtype in supported if not dtype.is_complex]
    dtypes = supported if EVERYTHING or not real else real
    outcome.complete = dtypes == supported
    for dtype in dtypes:
        taken = 0
        for sample in samples(case.op, dtype):
            if taken == SAMPLES[dtype] and not EVERYTHING:
                outcome.complete = False
                break
            rejected = sum(outcome.rejected.values())
            _run_sample(case, dtype, sample, outcome, jitted=EVERYTHING or taken == 0)
            taken += sum(outcome.rejected.values()) == rejected
        for sample in _edges(case.op, dtype):
            _run_sample(case, dtype, sample, outcome, jitted=False)
    return outcome


class Arguments:
    """The arguments of one sample, in torch's order, and their leaves."""

    def __init__(self, case: Case, sample: SampleInput) -> None:
        self.op, self.sample, self.on = case.op, sample, case.on
        raw = (sample.input, *sample.args)
        is_method = case.api.startswith("torch.Tensor.")
        order = None if is_method else REORDERED.get(op_id(case.op), REORDERED.get(case.op.name))
        self.torch = _plain((order(*raw) if order else raw, sample.kwargs))
        self._torch_leaves, self.structure = pytree.tree_flatten(self.torch)
        self.leaves = [to_port(leaf, case.on) for leaf in self._torch_leaves]

    def torch_leaves(self) -> list[object]:
        return self._torch_leaves

    def run_torch(self) -> object:
        torch.manual_seed(0)
        return self.op(self.sample.input, *self.sample.args, **self.sample.kwargs)

    def resolve(
        self, api: str, changed: dict[int, object] | None = None
    ) -> tuple[Rule, Callable[[], object]]:
        """The rule that takes these arguments, with some leaves changed for others."""
        leaves = list(self.leaves)
        for index, value in (changed or {}).items():
            leaves[index] = value
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        composed = COMPOSED.get(op_id(self.op))
        if composed is None:
            return resolve(api, args, kwargs, self.on)

        def function(*args: object, **kwargs: object) -> object:
            return resolve(api, args, kwargs, self.on)[1]()

        return self.on.catalogue.find(api)[0], lambda: composed(function, *args, **kwargs)

    def __str__(self) -> str:
        args, kwargs = typing.cast(tuple[tuple[object, ...], dict[str, object]], self.torch)
        words = [_show(arg) for arg in args] + [f"{k}={_show(v)}" for k, v in kwargs.items()]
        return f"({', '.join(words)})"


def _show(value: object) -> str:
    if isinstance(value, torch.Tensor):
        if value.numel() <= 4:
            return f"tensor({value.tolist()})"
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_show, value))}]"
    return repr(value)


def run_in_torch(
    case: Case, sample: SampleInput
) -> tuple[Arguments, object, Arguments, object] | None:
    """A sample's arguments and result, and both in float64; None where torch does not take it."""
    try:
        given = Arguments(case, sample)
        expected = given.run_torch()
    except Exception:
        return None
    wide = Arguments(case, sample.transform(_double))
    torch.set_default_dtype(torch.float64)
    try:
        return given, expected, wide, wide.run_torch()
    except Exception:
        return given, expected, given, expected
    finally:
        torch.set_default_dtype(torch.float32)


def _run_sample(
    case: Case, dtype: torch.dtype, sample: SampleInput, outcome: Outcome, *, jitted: bool
) -> None:
    ran = run_in_torch(case, sample)
    if ran is None:
        return
    given, expected, wide, reference = ran
    try:
        rule, call = given.resolve(case.api)
    except Rejected as error:
        outcome.reject(str(error))
        return
    random = is_random(case.api) or case.op.name in UNINITIALISED
    name = str(dtype).removeprefix("torch.")

    def agrees(what: str, action: Callable[[], str | None]) -> bool:
        try:
            why = action()
        except Exception as error:
            if any(words in str(error) for words in case.on.no_axes):
                outcome.reject("an axis of a tensor that has none, which torch takes")
                return False
            first = str(error).strip().split("\n")[0][:200]
            why = f"{type(error).__name__}: {first}"
        if why:
            outcome.fail(f"{name} {what}", f"{rule.name}{given}: {why}")
        return not why

    def compare(got: object) -> str | None:
        if random:
            mine, theirs = _shapes(got, case.on), _shapes(to_port(expected, case.on), case.on)
            return None if mine == theirs else f"{mine} where torch has {theirs}"
        process = sample.output_process_fn_grad
        return compare_results(got, expected, reference, process, on=case.on)

    if not agrees("value", lambda: compare(call())):
        return
    # The gradient is taken under `jax.jit`, so the forward needs a jit of its own only without one.
    differentiated = (
        any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in given.torch_leaves())
        and not random
        and _is_identity(sample.output_process_fn_grad)
    )
    fine = True
    if differentiated:
        fine = agrees(
            "gradient",
            lambda: _compare_gradients(case, rule, given, wide, expected, reference),
        )
    elif jitted and rule.jit:
        fine = agrees("jit", lambda: compare(_run_jitted(case, given)))
    outcome.equal += fine


def is_random(api: str) -> bool:
    """Whether an API draws: its rule for JAX takes `rngs`, where others have random state of their own."""
    return any(rule.random for rule in JAX.catalogue.find(api))


def _shapes(value: object, on: Framework) -> object:
    held = {stand: name for name, stands in on.stands_for.items() for stand in stands}
    names = [
        on.name_of(leaf.dtype) if isinstance(leaf, on.array) else type(leaf)
        for leaf in _leaves(value)
    ]
    return [
        (held.get(name, name), tuple(leaf.shape)) if isinstance(name, str) else name
        for name, leaf in zip(names, _leaves(value), strict=True)
    ]


def _run_jitted(case: Case, given: Arguments) -> object:
    """The rule under `jax.jit`, with every array traced and everything else static."""
    array = case.on.array
    arrays = {i: leaf for i, leaf in enumerate(given.leaves) if isinstance(leaf, array)}
    static: list[object] = []

    def run(arrays: dict[int, object]) -> list[object]:
        results = _leaves(given.resolve(case.api, dict(arrays))[1]())
        static[:] = [None if isinstance(leaf, array) else leaf for leaf in results]
        return [leaf for leaf in results if isinstance(leaf, array)]

    traced = iter(case.on.jit(run, arrays))
    results = [next(traced) if leaf is None else leaf for leaf in static]
    return results[0] if len(results) == 1 else results


def _is_identity(process: Callable[[object], object]) -> bool:
    marker = (torch.zeros(1), torch.zeros(1))
    try:
        return process(marker) is marker
    except Exception:
        return False


def compare_results(
    port: object,
    torch32: object,
    reference: object,
    process: Callable[[object], object] = lambda value: value,
    *,
    on: Framework = JAX,
) -> str | None:
    """How a result (a tensor, a value, or tuples of them) differs from torch's, or None.

    `process` is what OpInfo does to a result before it compares (signs of eigenvectors, ...).
    """
    if not _is_identity(process):
        port = to_port(process(pytree.tree_map(lambda x: _tensor(x, on), port)), on)
        torch32, reference = process(torch32), process(reference)
    mine, theirs, exact = _leaves(port), _leaves(torch32), _leaves(reference)
    if len(mine) != len(theirs):
        return f"{len(mine)} results where torch has {len(theirs)}"
    for index, values in enumerate(zip(mine, theirs, exact, strict=True)):
        if why := difference(*values, on):
            return why if len(mine) == 1 else f"result {index}: {why}"
    return None


def _tensor(value: object, on: Framework) -> object:
    return torch.from_numpy(to_numpy(value, on)) if isinstance(value, on.array) else value


def _compare_gradients(
    case: Case,
    rule: Rule,
    given: Arguments,
    wide: Arguments,
    expected: object,
    reference: object,
) -> str | None:
    """Vector-Jacobian products with one cotangent for torch, the float64 reference and the rule."""
    wanted = [
        index
        for index, leaf in enumerate(given.torch_leaves())
        if isinstance(leaf, torch.Tensor) and leaf.requires_grad and leaf.is_floating_point()
    ]
    results = [
        index
        for index, leaf in enumerate(_leaves(expected))
        if isinstance(leaf, torch.Tensor) and leaf.requires_grad and leaf.is_floating_point()
    ]
    if not wanted or not results:
        return None
    random = np.random.default_rng(0)
    cotangents = {
        index: random.standard_normal(tuple(_leaves(expected)[index].shape)).astype(np.float32)
        for index in results
    }

    def torch_vjp(arguments: Arguments, value: object) -> list[torch.Tensor]:
        leaves, inputs = _leaves(value), arguments.torch_leaves()
        return list(
            torch.autograd.grad(
                [leaves[i] for i in results],
                [inputs[i] for i in wanted],
                [torch.from_numpy(cotangents[i]).to(leaves[i].dtype) for i in results],
                allow_unused=True,
                materialize_grads=True,
            )
        )

    theirs = torch_vjp(given, expected)
    exact = torch_vjp(wide, reference) if reference is not expected else theirs

    def run(values: Sequence[object]) -> list[object]:
        changed = dict(zip(wanted, values, strict=True))
        outputs = _leaves(given.resolve(case.api, changed)[1]())
        return [outputs[i] for i in results]

    mine = case.on.vjp(
        run,
        [given.leaves[i] for i in wanted],
        [case.on.of_numpy(cotangents[i]) for i in results],
        jit=rule.jit,
    )
    return compare_results(mine, theirs, exact, on=case.on)
