"""The picture of a difference: what a report draws, by example."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from torchport_checks.compare import compare
from torchport_checks.picture import CELLS, picture
from torchport_checks.verdicts import Picture
from torchport_checks.worker.protocol import Array

INF, NAN = float("inf"), float("nan")
ULP = 2.0**-23  # of float32 at 1


def close(values: list[float], ulps: list[float]) -> tuple[Any, Any]:
    """`values`, and the same moved by so many ulp of float32 each."""
    first = np.array(values, np.float64)
    return first, first + np.array(ulps) * ULP


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        pytest.param(
            close([1, 1, 1, 1, 1], [0, 1, 3, 3, 8]),
            {"equal": 1, "first_bin": 0, "counts": (1, 2, 0, 1)},
            id="bins are powers of two of an ulp",
        ),
        pytest.param(
            close([2, 4], [2, 16]),
            {"first_bin": 0, "counts": (1, 0, 1)},
            id="an ulp is that of torch's value",
        ),
        pytest.param(
            (np.array([0.0, 1.0]), np.array([1.0, 1e30])),
            {"first_bin": 63, "counts": (2,)},
            id="what lies beyond goes to the last bin",
        ),
        pytest.param(
            (np.array([5, 2**40]), np.array([6, 2**40 + 4])),
            {"first_bin": 0, "counts": (1, 0, 1)},
            id="an ulp of integers is 1",
        ),
        pytest.param(
            (np.array([True, False]), np.array([True, True])),
            {"equal": 1, "first_bin": 0, "counts": (1,)},
            id="booleans",
        ),
        pytest.param(
            (np.array([NAN, INF, INF, 1]), np.array([NAN, INF, -INF, NAN])),
            {"equal": 2, "nonfinite": 2, "counts": (), "heat": ((None, None, INF, INF),)},
            id="not finite",
        ),
        pytest.param(
            (np.array([[10.0, 1.0], [0.0, 0.0]]), np.array([[10.0, 1.0], [0.0, 5.025]])),
            {"axes": (0, 1), "heat": ((None, None), (None, 0.0))},
            id="small values are measured by the root mean square",
        ),
        pytest.param(
            (np.zeros(2), np.array([0.0, 2.0])),
            {"heat": ((None, 0.15),)},
            id="zeros are measured by the port's values",
        ),
        pytest.param(
            (np.float64(1.0), np.float64(1.1)), {"axes": (), "heat": ((-1.0,),)}, id="no axis"
        ),
        pytest.param(
            (np.ones((2, 1, 3, 1)), np.ones((2, 1, 3, 1))),
            {"shape": (2, 1, 3, 1), "axes": (0, 2), "equal": 6, "heat": ()},
            id="nothing differs",
        ),
        pytest.param((np.ones((0, 3)), np.ones((0, 3))), {"equal": 0, "heat": ()}, id="empty"),
    ],
)
def test_a_picture(pair: tuple[Any, Any], expected: dict[str, Any]) -> None:
    found = picture(*pair).model_dump()
    assert {key: found[key] for key in expected} == expected


def test_the_map_shows_the_two_largest_axes_and_the_largest_error_in_each_cell() -> None:
    torch = np.ones((3, 64, 2, 128))
    port = torch.copy()
    port[1, 63, 0, 5] = 1.1
    port[2, 63, 1, 4] = 1.001
    found = picture(torch, port)
    assert found.axes == (1, 3)
    assert (len(found.heat), len(found.heat[0])) == (CELLS, CELLS)
    cells = {(r, c): v for r, row in enumerate(found.heat) for c, v in enumerate(row) if v}
    assert cells == {(31, 1): -1.0}


def test_a_large_array_is_sampled_and_says_so() -> None:
    torch = np.ones((1000, 1000))
    found = picture(torch, torch + 1e-3)
    assert found.every == 16
    assert found.equal == 0
    assert sum(found.counts) == 62_500
    assert {value for row in found.heat for value in row} == {-3.0}


def test_one_wrong_element_of_many_is_never_left_out() -> None:
    torch = np.ones((1000, 1000))
    port = torch.copy()
    port[321, 654] = 2
    found = picture(torch, port)
    assert (found.every, found.equal, found.counts) == (1, 999_999, (1,))
    assert found.heat[321 * CELLS // 1000][654 * CELLS // 1000] == 0.0


@pytest.mark.parametrize(
    ("torch", "port"),
    [([1.0, 2.0], [1.0, 2.5]), ([1.0, 2.0], [1.0, NAN]), ([1, 2], [1, 3])],
)
def test_every_difference_of_values_has_one(torch: list[float], port: list[float]) -> None:
    dtype = "float32" if isinstance(torch[0], float) else "int32"
    arrays = [Array(dtype, np.array(values, dtype)) for values in (torch, port)]
    (difference,) = compare(*arrays).differences
    found = difference.picture
    assert found is not None
    assert found.equal == 1
    # It goes through JSON, infinities included.
    assert Picture.model_validate_json(found.model_dump_json()) == found
