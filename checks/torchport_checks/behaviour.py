"""What only shows over many runs: training from the same start, random results, initial values.

Streams of random numbers are never compared: each framework draws its own. What is random is compared
by its moments over at least 20,000 numbers, with bounds so wide (6 standard errors) that chance alone
does not reach them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np

from torchport_checks.compare import Comparison, compare
from torchport_checks.draws import Case
from torchport_checks.lanes import Lane, RemoteError
from torchport_checks.subject import Subject
from torchport_checks.verdicts import Category, Difference
from torchport_checks.worker.protocol import Array

STEPS = 5
LEAST = 20_000
"""How many numbers at least the moments of something random are taken over."""

_RATE = 0.05
_EQUAL = 1e-4
"""Relative to the numbers' size: what no difference of distributions is made of."""
_JITTERS = 2
_ERRORS = 6
"""Standard errors that two means may be apart."""

Moments = dict[str, Any]


def train(subject: Subject, port: Lane, case: Case) -> Comparison | None:
    """Train both sides for five steps, and compare objectives, parameters and buffers.

    Gradient descent with momentum on the inner product of all outputs with a fixed cotangent, so that
    no loss has to be known. Float64 steps of the original from the same start are the reference, and
    steps with moved inputs and weights show how far rounding alone leads.

    Returns:
        None where the original cannot be trained; only a note where the port cannot.

    Raises:
        LaneFailure: a lane does not answer.
    """
    common = {"call": case.wire(), "count": STEPS, "rate": _RATE}
    timeout = subject.options.timeout

    def torch(precise: bool, times: int = 0) -> list[dict[str, Any]]:
        return subject.torch.request(
            "steps", timeout=timeout, **common, precise=precise, times=times
        )

    (theirs,) = torch(False)
    ours = port.request("steps", timeout=timeout, **common)
    if theirs["error"] is not None or theirs["objectives"] is None:
        return None
    if ours["error"] is not None or ours["objectives"] is None:
        why = RemoteError(ours["error"]) if ours["error"] else "it gives no gradients"
        return Comparison(notes=[f"Warning: the port could not be trained: {why}"])
    (reference,) = torch(True)
    moved: list[dict[str, Any]] = []

    def sensitivity() -> list[dict[str, Any]]:
        if not moved:
            moved.extend(m for m in torch(True, _JITTERS) if m["error"] is None)
        return moved

    found = _trained(theirs, ours, reference, case, sensitivity)
    if found.differences and port.framework == "jax":  # it was compiled without optimising
        ours = port.request("steps", timeout=timeout, **common, optimised=True)
        found = _trained(theirs, ours, reference, case, sensitivity)
    return found


def _trained(
    theirs: dict[str, Any],
    ours: dict[str, Any],
    reference: dict[str, Any],
    case: Case,
    sensitivity: Callable[[], list[dict[str, Any]]],
) -> Comparison:
    """What training leaves on both sides, compared."""
    found = Comparison()
    for part in ("parameters", "buffers"):
        for name in sorted(theirs[part].keys() & ours[part].keys()):
            found.add(
                compare(
                    theirs[part][name],
                    ours[part][name],
                    None if reference["error"] else reference[part].get(name),
                    where=f"{name} after {STEPS} training steps",
                    case=case.label,
                    sensitivity=lambda part=part, name=name: [m[part][name] for m in sensitivity()],
                )
            )
    found.add(
        compare(
            _single(theirs["objectives"]),
            _single(ours["objectives"]),
            None if reference["error"] else reference["objectives"],
            where=f"the objective over {STEPS} training steps",
            case=case.label,
            sensitivity=lambda: [m["objectives"] for m in sensitivity()],
        )
    )
    return found


def _single(objectives: Array) -> Array:
    """Objectives are sums of float32 numbers, and judged as such."""
    return Array("float32", objectives.value)


def sample(subject: Subject, port: Lane, case: Case) -> Comparison | None:
    """Compare the moments of all outputs of something random.

    Returns:
        None where a side cannot be run many times.

    Raises:
        LaneFailure: a lane does not answer.
    """
    common = {"call": case.wire(), "train": case.train, "least": LEAST}
    timeout = subject.options.timeout
    theirs = subject.torch.request("samples", timeout=timeout, **common)
    ours = port.request("samples", timeout=timeout, **common)
    if theirs["error"] is not None or ours["error"] is not None:
        return None
    found = Comparison()
    for path in sorted(theirs["moments"].keys() & ours["moments"].keys()):
        one, other = theirs["moments"][path], ours["moments"][path]
        for told in unlike(one, other):
            found.differences.append(
                Difference(
                    category=Category.MISMATCH,
                    where=f"output{path}",
                    case=f"{case.label}, random",
                    message=f"over {one['count']:,} numbers, {told}.",
                )
            )
            break
    return found


def initial_values(subject: Subject, port: Lane, init: Any) -> list[str]:
    """What is told of parameters that both sides draw from unlike distributions.

    Raises:
        LaneFailure: a lane does not answer.
    """
    common = {"name": subject.definition.name, "init": init, "least": LEAST}
    timeout = subject.options.timeout
    try:
        theirs = subject.torch.request("initial", timeout=timeout, **common)
        ours = port.request("initial", timeout=timeout, **common)
    except RemoteError:
        return []
    if theirs["error"] is not None or ours["error"] is not None:
        return []
    told: list[str] = []
    for path in sorted(theirs["moments"].keys() & ours["moments"].keys()):
        for what in unlike(theirs["moments"][path], ours["moments"][path]):
            name = path.strip("[]'")
            told.append(f"{name}: {what}")
            break
    if not told:
        return []
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return [
        f"Warning: initial values are drawn otherwise, so that training from scratch differs: "
        f"{told[0]}{more}."
    ]


def unlike(one: Moments, other: Moments) -> Iterator[str]:
    """How torch's numbers (`one`) and the port's are distributed otherwise, the plainest first."""
    n, m = cast("int", one["count"]), cast("int", other["count"])
    share = math.sqrt(_share_variance(one["zeros"], n) + _share_variance(other["zeros"], m))
    if abs(one["zeros"] - other["zeros"]) > _ERRORS * share + 1 / min(n, m):
        yield f"torch's are zero in {one['zeros']:.1%}, the port's in {other['zeros']:.1%}"
    variances = cast("float", one["variance"]), cast("float", other["variance"])
    size = abs(one["mean"]) + abs(other["mean"]) + math.sqrt(max(variances))
    if abs(one["mean"] - other["mean"]) > (
        _ERRORS * math.sqrt(variances[0] / n + variances[1] / m) + _EQUAL * size
    ):
        yield f"torch's mean is {one['mean']:.4g}, the port's {other['mean']:.4g}"
    # The variance of a sample variance is (fourth central moment - variance squared) / n.
    spread = math.sqrt(
        max(one["fourth"] - variances[0] ** 2, 0) / n
        + max(other["fourth"] - variances[1] ** 2, 0) / m
    )
    if abs(variances[0] - variances[1]) > _ERRORS * spread + _EQUAL * max(variances):
        deviations = math.sqrt(variances[0]), math.sqrt(variances[1])
        yield f"torch's standard deviation is {deviations[0]:.4g}, the port's {deviations[1]:.4g}"
    means = cast("Array", one["means"]), cast("Array", other["means"])
    if means[0].shape == means[1].shape and means[0].value.size > 1:
        # Means over r runs differ by the variance times (1/r + 1/s), element by element.
        apart = float(np.mean((means[0].value - means[1].value) ** 2))
        expected = variances[0] / one["runs"] + variances[1] / other["runs"]
        chance = 2 + _ERRORS * math.sqrt(2 / means[0].value.size)
        if apart > chance * expected + (_EQUAL * size) ** 2:
            yield "the means of single elements are further apart than chance explains"
    tails = [part["fourth"] / part["variance"] ** 2 for part in (one, other) if part["variance"]]
    # A uniform distribution has 1.8, a normal one 3; neither reaches 2.4 by chance over 1,000 numbers.
    if len(tails) == 2 and min(n, m) > 1000 and max(tails) < 4:
        names = ["uniform" if tail < 2.4 else "normal" for tail in tails]
        if names[0] != names[1]:
            yield f"torch's are {names[0]}, the port's {names[1]}"


def _share_variance(share: float, count: int) -> float:
    return share * (1 - share) / count
