"""The judge, category by category: what counts as equal, and what each difference is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from torchport_checks.compare import compare
from torchport_checks.verdicts import Category
from torchport_checks.worker.protocol import Array, Opaque, Record


def tensor(values: Any, dtype: str = "float32") -> Array:
    storage = "float32" if dtype == "bfloat16" else dtype
    return Array(dtype, np.array(values, dtype=storage))


def ulps(value: float, count: int) -> float:
    return float(np.float32(value) + np.float32(count) * np.spacing(np.float32(value)))


NAN, INF = float("nan"), float("inf")
F = tensor
I64 = lambda v: tensor(v, "int64")  # noqa: E731
I32 = lambda v: tensor(v, "int32")  # noqa: E731
U32 = lambda v: tensor(v, "uint32")  # noqa: E731
D = lambda v: tensor(v, "float64")  # noqa: E731
C = lambda v: tensor(v, "complex64")  # noqa: E731
Z = lambda v: tensor(v, "complex128")  # noqa: E731

# what, torch, port, float64 reference, the category expected (None: equal)
CASES: list[tuple[str, Any, Any, Any, Category | None]] = [
    ("identical", F([1, 2]), F([1, 2]), None, None),
    ("within 16 ulp", F([1.0]), F([ulps(1, 16)]), tensor([1.0], "float64"), None),
    ("64 eps of the reference", F([1.0]), F([ulps(1, 60)]), tensor([1.0], "float64"), None),
    ("beyond what rounding allows", F([1.0]), F([ulps(1, 70)]), tensor([1.0], "float64"),
     Category.PRECISION),
    ("as far off as torch itself", F([1.0001]), F([0.9995]), tensor([1.0], "float64"), None),
    ("small beside a large neighbour", F([1e6, 1e-3]), F([1e6, 1e-3 + 1e-4]),
     tensor([1e6, 1e-3], "float64"), None),
    ("a small scale is no excuse", F([1e-8]), F([2e-8]), tensor([1e-8], "float64"),
     Category.MISMATCH),
    ("a wrong value", F([1, 2, 3]), F([1, 2, 4]), tensor([1, 2, 3], "float64"),
     Category.MISMATCH),
    ("half precision, one of its own ulp", tensor([1.0], "bfloat16"),
     tensor([1.0078125], "bfloat16"), tensor([1.0], "float64"), None),
    ("no reference, rounding", F([1.0]), F([1.000005]), None, None),
    ("no reference, wrong", F([1.0]), F([1.001]), None, Category.MISMATCH),
    ("subnormals flushed to zero", F([1e-39]), F([0.0]), tensor([1e-39], "float64"), None),
    ("integers are exact", I64([1, 2]), I64([1, 3]), None, Category.MISMATCH),
    ("booleans are exact", tensor([True], "bool"), tensor([False], "bool"), None,
     Category.MISMATCH),
    ("int64 become int32", I64([1, 2]), I32([1, 2]), None, None),
    ("positions become uint32", I64([1, 2]), U32([1, 2]), None, None),
    ("below zero they do not", I64([-1]), U32([2**32 - 1]), None, Category.MISMATCH),
    ("int64 overflown", I64([2**40]), I32([0]), None, Category.MISMATCH),
    ("float64 become float32", tensor([0.1], "float64"), F([0.1]), tensor([0.1], "float64"), None),
    ("float64 become a wrong float32", tensor([0.1], "float64"), F([0.11]), None,
     Category.MISMATCH),
    ("half against single", tensor([1.0], "float16"), F([1.0]), None, Category.DTYPE),
    ("bfloat16 against float16", tensor([1.0], "bfloat16"), tensor([1.0], "float16"), None,
     Category.DTYPE),
    ("integer against float", I64([1]), F([1.0]), None, Category.DTYPE),
    ("bool against integer", tensor([True], "bool"), I32([1]), None, Category.DTYPE),
    ("int8 widened", tensor([1], "int8"), I32([1]), None, Category.DTYPE),
    ("shape", F([[1, 2]]), F([1, 2]), None, Category.SHAPE),
    ("broadcastable is not equal", F([1]), F(1), None, Category.SHAPE),
    ("empty", F(np.empty((0, 3))), F(np.empty((0, 3))), None, None),
    ("nan in both", F([NAN, 1]), F([NAN, 1]), None, None),
    ("nan in one", F([1.0, 1]), F([NAN, 1]), None, Category.NAN),
    ("nan where torch has infinity", F([INF]), F([NAN]), None, Category.NAN),
    ("the sign of infinity", F([INF]), F([-INF]), None, Category.NAN),
    ("values beside an infinity are compared", F([INF, 1]), F([INF, 2]),
     tensor([INF, 1], "float64"), Category.MISMATCH),
    ("torch overflows, float64 does not", F([INF, 1]), F([3e38, 1]), tensor([3e38, 1], "float64"),
     None),
    ("the port overflows, float64 does not", F([1e38]), F([INF]), tensor([1e38], "float64"),
     Category.NAN),
    ("at the edge of float32", F([3.4028e38]), F([INF]), tensor([3.40283e38], "float64"), None),
    ("the largest number on purpose", F([3.4028e38]), F([INF]), tensor([1e308], "float64"),
     Category.NAN),
    ("both overflow, one is NaN in float64, too", F([INF]), F([NAN]), tensor([NAN], "float64"), None),
    ("complex", tensor([1 + 1j], "complex64"), tensor([1 + 1j], "complex64"), None, None),
    ("a conjugate", tensor([1 + 1j], "complex64"), tensor([1 - 1j], "complex64"),
     tensor([1 + 1j], "complex128"), Category.MISMATCH),
    ("tuple and list", (F([1]), F([2])), [F([1]), F([2])], None, None),
    ("too few results", (F([1]), F([2])), (F([1]),), None, Category.STRUCTURE),
    ("a tensor for a tuple", (F([1]),), F([1]), None, Category.STRUCTURE),
    ("dicts, in any order", {"a": F([1]), "b": F([2])}, {"b": F([2]), "a": F([1])}, None, None),
    ("dict keys", {"a": F([1])}, {"b": F([1])}, None, Category.STRUCTURE),
    ("a wrong value, deep inside", {"a": [F([1]), (F([2]),)]}, {"a": [F([1]), (F([3]),)]},
     {"a": [tensor([1], "float64"), (tensor([2], "float64"),)]}, Category.MISMATCH),
    ("named tuples", Record("Out", {"loss": F(1)}), Record("Out", {"loss": F(1)}), None, None),
    ("a named tuple become a tuple", Record("Out", {"loss": F(1)}), (F(1),), None, None),
    ("a named tuple and a longer tuple", Record("Out", {"loss": F(1)}), (F(1), F(2)), None,
     Category.STRUCTURE),
    ("fields", Record("Out", {"loss": F(1)}), Record("Out", {"logits": F(1)}), None,
     Category.STRUCTURE),
    ("None", None, None, None, None),
    ("None and a tensor", None, F([1]), None, Category.STRUCTURE),
    ("a Python number and a scalar array", 2.5, F(2.5), None, None),
    ("a Python int and an integer array", 3, I32(3), None, None),
    ("a Python int and a float array", 3, F(3), None, Category.DTYPE),
    ("Python numbers", 3, 4, None, Category.MISMATCH),
    ("strings", "relu", "gelu", None, Category.STRUCTURE),
    ("what cannot travel", Opaque("Distribution"), Opaque("Distribution"), None, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("torch", "port", "reference", "expected"), [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)  # fmt: skip
def test_category(torch: Any, port: Any, reference: Any, expected: Category | None) -> None:
    found = compare(torch, port, reference).differences
    assert [difference.category for difference in found] == ([expected] if expected else [])


NOTES = [
    (
        "float64 become float32",
        tensor([1], "float64"),
        F([1]),
        "Warning: output: torch gives float64",
    ),
    ("int64 become int32", I64([1]), I32([1]), "which is enough up to 2**31"),
    ("positions become uint32", I64([1]), U32([1]), "nothing is below 0"),
    ("no reference", F([1.0]), F([1.00001]), "no float64 reference"),
    ("tuple become list", (F([1]),), [F([1])], "torch returns a tuple, the port a list"),
]


@pytest.mark.parametrize(
    ("torch", "port", "text"), [n[1:] for n in NOTES], ids=[n[0] for n in NOTES]
)
def test_note(torch: Any, port: Any, text: str) -> None:
    assert any(text in note for note in compare(torch, port).notes)


GIVEN_NAN = [
    ("a NaN that torch drops", F([1.0]), F([NAN]), Category.NAN),
    ("a NaN that the port drops", F([NAN]), F([1.0]), None),
    ("the sign of infinity", F([INF]), F([-INF]), Category.NAN),
    ("inf - inf on the way to infinity", F([INF]), F([NAN]), None),
    ("values beside NaN", F([NAN, 1]), F([NAN, 2]), Category.MISMATCH),
]


@pytest.mark.parametrize(
    ("torch", "port", "expected"), [g[1:] for g in GIVEN_NAN], ids=[g[0] for g in GIVEN_NAN]
)
def test_of_an_input_with_nan(torch: Array, port: Array, expected: Category | None) -> None:
    found = compare(torch, port, torch, guarded=True).differences
    assert [difference.category for difference in found] == ([expected] if expected else [])


ROUNDED = [
    ("what rounding leaves of nothing", F([0.0]), F([3e-7]), D([1e-17]), [D([1e-7])], True),
    ("more than rounding leaves", F([0.0]), F([1e-6]), D([1e-17]), [D([1e-7])], False),
    ("no run of four is off here", F([0, 0]), F([3e-7, 3e-7]), D([0, 0]), [D([2e-7, 0])], True),
    ("a NaN in one place explains no other", F([1, 0]), F([1, 1]), D([1, 0]), [D([NAN, 0])], False),
    ("complex", C([0j]), C([3e-7j]), Z([0j]), [Z([1e-7j])], True),
    ("an integer that rounding decides", I64([2]), I64([3]), I64([2]), [I64([3])], True),
    ("one that it does not", I64([2, 2]), I64([3, 3]), I64([2, 2]), [I64([2, 3])], False),
]


@pytest.mark.parametrize(
    ("torch", "port", "reference", "rounded", "explained"),
    [r[1:] for r in ROUNDED],
    ids=[r[0] for r in ROUNDED],
)
def test_what_random_rounding_explains(
    torch: Array, port: Array, reference: Array, rounded: list[Array], explained: bool
) -> None:
    found = compare(torch, port, reference, rounded=lambda: rounded).differences
    expected = Category.ILL_CONDITIONED if explained else Category.MISMATCH
    assert [difference.category for difference in found] == [expected]


HALF = tensor([1.0009765625], "float16")
HALVED = [
    ("single for half", HALF, F([1.001]), None),
    ("half for single, at a cost", F([1.0004]), tensor([1.0], "float16"), Category.DTYPE),
    ("half for single, exact", F([1.0]), tensor([1.0], "bfloat16"), None),
    ("half for the other half", HALF, tensor([1.0], "bfloat16"), Category.DTYPE),
    ("a wrong value", HALF, F([2.0]), Category.MISMATCH),
]


@pytest.mark.parametrize(
    ("torch", "port", "expected"), [h[1:] for h in HALVED], ids=[h[0] for h in HALVED]
)
def test_of_inputs_cast_to_half(torch: Array, port: Array, expected: Category | None) -> None:
    reference = tensor(torch.value, "float64")
    found = compare(torch, port, reference, halved=True).differences
    assert [difference.category for difference in found] == ([expected] if expected else [])


def test_a_difference_says_where_and_what_would_have_passed() -> None:
    torch = {"logits": F([[1, 2], [3, 4]])}
    port = {"logits": F([[1, 2], [3.5, 4.25]])}
    reference = {"logits": tensor([[1, 2], [3, 4]], "float64")}
    (difference,) = compare(torch, port, reference).differences
    assert difference.where == "output['logits']"
    assert difference.index == (1, 0)
    assert (difference.torch, difference.port, difference.reference) == (3, 3.5, 3)
    assert difference.tolerance is not None
    scale = 3 + np.sqrt(np.mean(np.square([1, 2, 3, 4])))
    assert difference.tolerance * scale * 1.0001 >= 0.5


SENSITIVE = [
    # a small difference that jitter moves as far is rounding, however exact torch happens to be
    ("rounding", 1.0, 1 + 5e-5, [1 + 2e-6, 1 - 2e-6], None),
    ("small, and more than rounding", 1.0, 1 + 5e-5, [1 + 1e-6, 1 - 1e-6], Category.PRECISION),
    # torch32 itself off the reference, jitter moves it as far: the problem is ill-conditioned
    ("ill-conditioned", 1.001, 1.1, [1.01, 0.995], Category.ILL_CONDITIONED),
    ("jitter explains too little", 1.001, 1.1, [1.0001, 0.9999], Category.MISMATCH),
    ("torch is right to the last digit", 1.0, 1.1, [1.01, 0.995], Category.MISMATCH),
]


@pytest.mark.parametrize(
    ("torch", "port", "jittered", "expected"), [c[1:] for c in SENSITIVE],
    ids=[c[0] for c in SENSITIVE],
)  # fmt: skip
def test_sensitivity(
    torch: float, port: float, jittered: list[float], expected: Category | None
) -> None:
    found = compare(
        F([torch]),
        F([port]),
        tensor([1.0], "float64"),
        sensitivity=lambda: [tensor([value], "float64") for value in jittered],
    )
    assert [difference.category for difference in found.differences] == (
        [expected] if expected else []
    )
    assert any("rounding is magnified" in note for note in found.notes) == (expected is None)


KINKS = [
    ("as far as beside the point", 0.0, [1.0, 0.0], Category.ILL_CONDITIONED),
    ("farther", 4.0, [1.0, 0.0], Category.MISMATCH),
    ("no kink", 0.0, [1.0, 1.0], Category.MISMATCH),
]


@pytest.mark.parametrize(
    ("port", "beside", "expected"), [k[1:] for k in KINKS], ids=[k[0] for k in KINKS]
)
def test_kinks(port: float, beside: list[float], expected: Category) -> None:
    found = compare(
        F([1.0]),
        F([port]),
        tensor([1.0], "float64"),
        kinks=lambda: iter([tensor([value], "float64") for value in beside]),
    )
    assert [difference.category for difference in found.differences] == [expected]
