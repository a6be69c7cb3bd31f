"""The check comment: what it may say, where it may stand, and how a wrong one is answered."""

from __future__ import annotations

from typing import Any

import pytest

from torchport_checks.spec import Spec, SpecError, parse_spec, read_specs
from torchport_checks.worker.protocol import Record


def plain(value: Any) -> Any:
    """Records as tuples, so that they can be compared."""
    match value:
        case Record():
            return (value.name, plain(value.fields))
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(plain(item) for item in value)
        case _:
            return value


def tensor(dtype: str, *shape: int, bounds: list[float] | None = None) -> Any:
    return ("tensor", {"dtype": dtype, "shape": list(shape), "bounds": bounds})


READ = [
    ("check(x=f32[8, 16])", {"x": tensor("float32", 8, 16)}),
    ("check(x=f32)", {"x": tensor("float32")}),
    ("check(ids=i64[4] in [0, 100])", {"ids": tensor("int64", 4, bounds=[0, 100])}),
    ("check(x=bfloat16[2])", {"x": tensor("bfloat16", 2)}),
    ("check(flag=True, n=-3, s='a', z=None)", {"flag": True, "n": -3, "s": "a", "z": None}),
    ("check(xs=[f32[2], (i32[1],)])", {"xs": [tensor("float32", 2), (tensor("int32", 1),)]}),
    ("check(d={'a': bool[2]})", {"d": {"a": tensor("bool", 2)}}),
    ("check(n=SIZE)", {"n": ("name", {"id": "SIZE"})}),
    ("check(c=Config(2, depth=3))",
     {"c": ("call", {"id": "Config", "args": [2], "kwargs": {"depth": 3}})}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READ, ids=[text for text, _ in READ])
def test_read(text: str, expected: dict[str, Any]) -> None:
    assert plain(parse_spec(text).kwargs) == expected


def test_positional_arguments_and_the_constructors() -> None:
    spec = parse_spec("check(f32[2], init=(16, 32))")
    assert plain(spec.args) == [tensor("float32", 2)]
    assert spec.init == (16, 32)
    assert spec.kwargs == {}


REFUSED = [
    ("check(x=f31[8])", "f31 is not a dtype"),
    ("check(x=f32[n])", "n is not a size"),
    ("check(x=f32[-1])", "-1 is not a size"),
    ("check(x=f32[8] in [3, 1])", "two numbers in order"),
    ("check(x=3 in [0, 1])", "Only a tensor"),
    ("check(x=a.b)", "a.b has no meaning"),
    ("check(**x)", "cannot hold **"),
    ("check(x=", "not a Python call"),
    ("check", "not of the form check(...)"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text for text, _ in REFUSED])
def test_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match="Write it like # torchport: check") as error:
        parse_spec(text, 7)
    assert message in str(error.value)
    assert error.value.line == 7


PLACES = [
    ("above", "# torchport: check(x=f32[2])\ndef f(x): ...\n"),
    ("above a decorator", "# torchport: check(x=f32[2])\n@torch.no_grad()\ndef f(x): ...\n"),
    ("inside", "def f(x):\n    # torchport: check(x=f32[2])\n    return x\n"),
    ("over two lines", "# torchport: check(\n#     x=f32[2])\ndef f(x): ...\n"),
]


@pytest.mark.parametrize("source", [source for _, source in PLACES], ids=[n for n, _ in PLACES])
def test_place(source: str) -> None:
    found = read_specs(source)["f"]
    assert isinstance(found, Spec)
    assert plain(found.kwargs) == {"x": tensor("float32", 2)}


def test_a_comment_elsewhere_belongs_to_nothing() -> None:
    assert read_specs("# torchport: check(x=f32[2])\n\ndef f(x): ...\n") == {}
    assert read_specs("'# torchport: check(x=f32[2])'\ndef f(x): ...\n") == {}
