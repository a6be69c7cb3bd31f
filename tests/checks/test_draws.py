"""Each draw catches a wrong port that no other draw catches; right ports pass them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torchport_checks import Category, Checker, CheckOptions, Verdict
from torchport_checks.draws import FULL, HALVES, SHAPES, redraw
from torchport_checks.sizes import Answer, resizings
from torchport_checks.worker.inputs import Call
from torchport_checks.worker.protocol import Array

from .conftest import write_pair
from .pairs import DRAWN


@pytest.fixture(scope="module")
def full() -> Iterator[Checker]:
    with Checker(CheckOptions(draws=FULL, timeout=60), store=False) as checker:
        yield checker


def checked(checker: Checker, folder: Path, ports: str, draws: tuple[str, ...]) -> Verdict:
    """All pairs of `DRAWN` as one file, with the ports of one side."""
    originals = [pair.original for pair in DRAWN.values()]
    texts = [getattr(pair, ports) for pair in DRAWN.values()]
    checker.options = checker.options.model_copy(update={"draws": draws})
    return checker.check(
        *write_pair(folder, "\n\n\n".join(originals) + "\n", "\n\n\n".join(texts) + "\n")
    )


@pytest.fixture(scope="module")
def right(full: Checker, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    return checked(full, tmp_path_factory.mktemp("right"), "right", FULL)


@pytest.mark.parametrize("draw", DRAWN)
def test_right(draw: str, right: Verdict) -> None:
    verdict = right.of(DRAWN[draw].name)
    assert verdict.status == "verified", verdict.message
    assert verdict.inputs is not None
    assert any(label.endswith(f", {draw}") for label in verdict.inputs.draws)


@pytest.mark.parametrize("draw", DRAWN)
def test_wrong(draw: str, full: Checker, tmp_path: Path) -> None:
    pair = DRAWN[draw]
    paths = write_pair(tmp_path, pair.original + "\n", pair.wrong + "\n")
    full.options = full.options.model_copy(update={"draws": FULL})
    verdict = full.check(*paths).of(pair.name)
    assert (verdict.status, verdict.category) == ("diverged", pair.category), verdict.message
    assert f", {draw})" in verdict.message
    own = HALVES if draw in HALVES else (draw,)
    others = tuple(other for other in FULL if other not in own)
    full.options = full.options.model_copy(update={"draws": others})
    without = full.check(*paths).of(pair.name)
    assert without.status == "verified", without.message


def tensor(values: object, dtype: str = "float32") -> Array:
    return Array(dtype, np.asarray(values, dtype=dtype))


FLOATS = tensor(np.linspace(-1, 2, 12).reshape(3, 4))
IDS = tensor([0, 5, 2, 9], "int64")
ATTENDED = tensor([[True, False], [True, False], [False, True]], "bool")

# draw, a tensor, its bounds, what holds of the values drawn
VALUES: list[tuple[str, Array, tuple[float, float] | None, Callable[[Any], Any]]] = [
    ("small", FLOATS, None, lambda v: 0 < abs(v).max() < 1e-2),
    ("large", FLOATS, None, lambda v: abs(v).max() > 500),
    ("offset", FLOATS, None, lambda v: abs(v - 1000).max() < 10),
    ("zeros", FLOATS, None, lambda v: not v.any()),
    ("zeros", IDS, None, lambda v: (v == 0).sum() > 1),
    ("nan", FLOATS, None, lambda v: np.isnan(v).sum() == 1),
    ("inf", FLOATS, None, lambda v: sorted(v[np.isinf(v)]) == [-np.inf, np.inf]),
    ("extremes", tensor(np.arange(64), "int8"), None, lambda v: {-128, 127} < set(v.tolist())),
    ("negative", IDS, None, lambda v: v.min() < 0 and v.all()),
    ("duplicates", IDS, None, lambda v: set(v.tolist()) <= {0, 9}),
    ("duplicates", IDS, (0, 9), lambda v: set(v.tolist()) <= {0, 9}),
    ("out_of_range", IDS, None, lambda v: v.max() == 10),
    ("out_of_range", IDS, (0, 19), lambda v: v.max() == 20),
    ("masked", ATTENDED, None, lambda v: v.tolist() == [[0, 0], [1, 1], [0, 1]]),
    ("masked", tensor([[0, 1], [1, 1]], "int64"), None, lambda v: v.tolist() == [[0, 0], [1, 1]]),
    ("masked", tensor([[0, -np.inf]]), None, lambda v: v.tolist() == [[-np.inf, -np.inf]]),
    ("float16", FLOATS, None, lambda v: v.dtype == "float16"),
]


@pytest.mark.parametrize(("draw", "array", "bounds", "holds"), VALUES)
def test_values(
    draw: str,
    array: Array,
    bounds: tuple[float, float] | None,
    holds: Callable[[Any], Any],
) -> None:
    call = Call([array], bounds={} if bounds is None else {"[0][0]": bounds})
    drawn = redraw(draw, call, 0).args[0]
    assert drawn.shape == array.shape
    assert holds(drawn.value)
    assert np.array_equal(drawn.value, redraw(draw, call, 0).args[0].value, equal_nan=True)


UNCHANGED = [
    ("an unknown range is kept", "large", FLOATS, (-1.0, 2.0)),
    ("zero is out of bounds", "zeros", IDS, (1, 9)),
    ("indices stay in bounds", "negative", IDS, (0, 9)),
    ("64 bits are beyond JAX", "extremes", IDS, None),
    ("floats are no masks", "masked", FLOATS, None),
    ("probabilities", "small", tensor([[0.25, 0.75], [0.5, 0.5]]), None),
    ("booleans have no ends", "extremes", ATTENDED, None),
    ("nothing to repeat", "duplicates", tensor([1, 1, 2], "int64"), None),
]


@pytest.mark.parametrize(
    ("draw", "array", "bounds"), [u[1:] for u in UNCHANGED], ids=[u[0] for u in UNCHANGED]
)
def test_a_draw_that_changes_nothing_gives_the_call_itself(
    draw: str, array: Array, bounds: tuple[float, float] | None
) -> None:
    call = Call([array], bounds={} if bounds is None else {"[0][0]": bounds})
    assert redraw(draw, call, 0) is call


def test_only_the_first_tensor_gets_nan() -> None:
    first, second = redraw("nan", Call([FLOATS, FLOATS]), 0).args
    assert np.isnan(first.value).any()
    assert second is FLOATS


def shapes(calls: Sequence[Call]) -> list[list[tuple[int, ...]]]:
    return [[array.shape for array in call.args] for call in calls]


def asking(accepted: Callable[..., object]) -> Callable[[Sequence[Call]], list[Answer]]:
    """Torch's part: whether it runs with tensors of these shapes."""

    def ask(calls: Sequence[Call]) -> list[Answer]:
        return ["runs" if accepted(*sizes) else "raises" for sizes in shapes(calls)]

    return ask


# what, shapes that are given, whether torch accepts others, what they become
SIZES: list[tuple[str, list[tuple[int, ...]], Callable[..., object], dict[str, Any]]] = [
    ("elementwise, of equal sizes", [(6, 6), (6, 6)], lambda x, y: x == y,
     {"single": [(1, 1), (1, 1)], "empty": [(0, 6), (0, 6)], "equal": [(4, 4), (4, 4)],
      "distinct": [(3, 5), (3, 5)]}),
    ("a layer of 8 features", [(4, 8)], lambda x: x[-1] == 8,
     {"single": [(1, 8)], "empty": [(0, 8)], "equal": [(8, 8)], "distinct": [(3, 8)]}),
    ("a product", [(4, 8), (5, 8)], lambda x, w: x[1] == w[1],
     {"single": [(1, 1), (1, 1)], "empty": [(0, 8), (5, 8)], "equal": [(4, 4), (4, 4)],
      "distinct": [(3, 7), (11, 7)]}),
    ("a bias, broadcast from the right", [(4, 8), (8,)], lambda x, b: x[-1] == b[0],
     {"single": [(1, 1), (1,)], "empty": [(0, 8), (8,)], "equal": [(4, 4), (4,)],
      "distinct": [(3, 5), (5,)]}),
    ("even sizes", [(2, 12)], lambda x: x[1] % 4 == 0 and x[1],
     {"single": [(1, 12)], "empty": [(0, 12)], "equal": [(4, 4)], "distinct": [(3, 24)]}),
    ("nothing else", [(4, 8)], lambda x: x == (4, 8), {}),
    ("no axes", [()], lambda x: True, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "accepted", "expected"), [s[1:] for s in SIZES], ids=[s[0] for s in SIZES]
)
def test_sizes(
    given: list[tuple[int, ...]], accepted: Callable[..., object], expected: dict[str, Any]
) -> None:
    call = Call([tensor(np.random.default_rng(0).standard_normal(shape)) for shape in given])
    found = resizings(call, asking(accepted), 0, SHAPES)
    assert dict(zip(found, shapes(list(found.values())), strict=True)) == expected


def test_resized_values_keep_their_meaning() -> None:
    shares, labels = tensor([[0.25, 0.75], [0.5, 0.5]]), tensor([0, 2], "int64")
    found = resizings(Call([shares, labels]), asking(lambda p, y: p[0] == y[0]), 0, ("distinct",))
    drawn, ids = found["distinct"].args
    assert drawn.shape[0] == ids.shape[0] != 2
    assert np.allclose(drawn.value.sum(-1), 1)
    assert set(ids.value.tolist()) <= {0, 1, 2}


def test_a_size_that_the_original_refuses_must_be_refused(full: Checker, tmp_path: Path) -> None:
    source = """
        def paired(x):
            assert x.shape[1] % 2 == 0
            return x[:, ::2] * 2
    """
    port = "def paired(x):\n    return x[:, ::2] * 2\n"
    full.options = full.options.model_copy(update={"draws": FULL})
    verdict = full.check(*write_pair(tmp_path, source, port)).of("paired")
    assert verdict.category is Category.MISSING_ERROR, verdict.message


def test_far_from_zero_gradients_must_be_finite(full: Checker, tmp_path: Path) -> None:
    source = "def rectified(x):\n    return F.softplus(x)\n"
    port = "def rectified(x):\n    return jnp.where(x > 20, x, jnp.log1p(jnp.exp(x)))\n"
    full.options = full.options.model_copy(update={"draws": ("normal", "large")})
    verdict = full.check(*write_pair(tmp_path, source, port)).of("rectified")
    assert (verdict.category, verdict.differences[0].where) == (Category.NAN, "gradient of x")


NOTED = [
    (  # no port can follow: its arrays have no strides
        "strides",
        "def windows(x):\n    return torch.as_strided(x, (2, 3), (3, 1))",
        "def windows(x):\n    return x.reshape(-1)[:6].reshape(2, 3)",
        "depends on the strides",
    ),
    (
        "guard",
        "def windows(x):\n    return torch.linalg.norm(x, dim=-1)",
        "def windows(x):\n    size = (x * x).sum(-1)\n"
        "    return jnp.where(size > 0, jnp.sqrt(jnp.where(size > 0, size, 1)), 0)",
        "torch gives NaN, the port a number",
    ),
    (
        "range",
        "# torchport: check(x=i64[4] in [0, 5])\ndef windows(x):\n    return torch.arange(6)[x]",
        "def windows(x):\n    return jnp.arange(6)[x]",
        "out_of_range: the original raises (IndexError",
    ),
    (
        "written twice",
        "# torchport: check(x=f32[100], ids=i64[4] in [1, 99], y=f32[4])\n"
        "def windows(x, ids, y):\n    return x.scatter(0, ids, y)",
        "def windows(x, ids, y):\n    return x.at[ids[::-1]].set(y[::-1])",
        "eval, duplicates: not compared, torch leaves undefined what scatter gives",
    ),
    (
        "cast beyond the ends",
        "def windows(x):\n    return (x * 10).to(torch.int8)",
        "def windows(x):\n    return jnp.trunc(x * 10).astype(jnp.int8)",
        "eval, large: not compared, torch leaves undefined what to gives",
    ),
    (
        "32 bits",
        "# torchport: check(x=i32[5])\ndef windows(x):\n    return x.sum()",
        "def windows(x):\n    return x.sum()",
        "output (eval, extremes): 1 of 1 values differ",
    ),
    (
        "sums in half",
        "# torchport: check(x=f32[5000])\ndef windows(x):\n    return x.square().sum()",
        "def windows(x):\n"
        "    return jax.lax.scan(lambda total, v: (total + v * v, None), 0 * x[0], x)[0]",
        "output (eval, float16): 1 of 1 values differ",
    ),
    (
        "half",
        "def windows(x):\n    return x + x.new_ones(x.shape)",
        "def windows(x):\n    return x + jnp.ones(x.shape)",
        "(eval, float16): torch gives float16, the port float32",
    ),
    (
        "no elements",
        "def windows(x):\n    return x.flatten(1)",
        "def windows(x):\n    return x.reshape(x.shape[0], -1)",
        "The port raises at line 7 (eval, empty)",
    ),
]


@pytest.mark.parametrize(
    ("source", "port", "note"), [n[1:] for n in NOTED], ids=[n[0] for n in NOTED]
)
def test_what_is_not_the_ports_doing_is_a_note(
    source: str, port: str, note: str, full: Checker, tmp_path: Path
) -> None:
    full.options = full.options.model_copy(update={"draws": FULL})
    verdict = full.check(*write_pair(tmp_path, source + "\n", port + "\n")).of("windows")
    assert verdict.status == "verified", verdict.message
    assert any(note in given for given in verdict.notes), verdict.notes
