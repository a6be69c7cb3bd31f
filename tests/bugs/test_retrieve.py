"""Which records are found for a piece of code."""

from __future__ import annotations

import pytest

from torchport_translators.bugs import Record, cards, corpus
from torchport_translators.bugs.retrieve import apis_of, features


@pytest.mark.parametrize("record", corpus(), ids=lambda record: record.id)
def test_a_record_is_found_by_its_own_original(record: Record) -> None:
    """And is not there where it is left out: a model that is measured must not see the answer."""
    found = [card.id for card in cards(record.torch, record.target)]
    assert record.id in found
    without = [card.id for card in cards(record.torch, record.target, exclude={record.id})]
    assert record.id not in without


@pytest.mark.parametrize(
    ("source", "apis"),
    [
        ("import torch\ndef f(x: torch.Tensor):\n    return x.var(1)", {"torch.Tensor.var"}),
        ("import torch.nn.functional as F\ny = F.gelu(z)", {"torch.nn.functional.gelu"}),
        ("import torch\nx = torch.ones(3)\nx[0] = 1", {"torch.ones", "torch.Tensor.__setitem__"}),
        ("import torch\nx = torch.ones(3)\nx += 1", {"torch.ones", "torch.Tensor.__iadd__"}),
        ("import torch\nx = torch.ones(3)\nx > 1", {"torch.ones", "torch.Tensor.__gt__"}),
        ("print(1)", set()),
        ("def f(:", set()),
    ],
)
def test_names_of_a_source(source: str, apis: set[str]) -> None:
    assert apis <= apis_of(source, "jax")


def test_features() -> None:
    assert features("for i in x:\n    y[i] = 0\n    z.add_(1)") == {
        "loop",
        "indexed-assignment",
        "in-place",
    }


def test_a_card_says_the_lines_that_differ() -> None:
    (card,) = cards("import torch\ntorch.var(torch.ones(3))", "mlx", limit=1)
    assert card.id == "mlx/var-correction"
    assert card.wrong == "return mx.var(x, axis=1)"
    assert card.right == "return mx.var(x, axis=1, ddof=1)"
    assert card.text.splitlines()[0] == f"{card.title} (torch.var, torch.Tensor.var)"


def test_the_number_of_cards() -> None:
    source = "import torch\ntorch.var(torch.ones(3))"
    assert cards(source, "jax", limit=0) == []
    assert len(cards(source, "jax", limit=1)) == 1
    assert cards("", "jax") == []
    assert cards(source, "jax") == cards(source, "jax")
