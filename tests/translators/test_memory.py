"""What a translation leaves behind in a process that goes on: nothing but the catalogue."""

import gc

import pytest

from torchport_translators.source.syntax import Node
from torchport_translators.translate import translate

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = x.view(-1)
        y[0] = 1
        return self.act(x)
"""


def _nodes() -> int:
    gc.collect()
    return sum(isinstance(found, Node) for found in gc.get_objects())


def test_no_syntax_tree_outlives_its_translation():
    before = _nodes()
    translation = translate(SOURCE)
    assert ".at[0].set(1)" in translation.text
    assert _nodes() == before


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool):
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        translate(SOURCE)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
