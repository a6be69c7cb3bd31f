"""The shapes that the layers of a module take."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from torch import nn

from .candidate import Drawn

_SIDE = r"image|img|resolution|height|width|^size$|side"


def shapes_taken(module: nn.Module, sizes: dict[str, int]) -> Iterator[Drawn]:
    """What the first layers of a module would take, in the order in which it holds them.

    Ids have the bounds of the table that they are looked up in. `sizes` are what the module was
    constructed with, by name: an image's side may be among them.
    """
    sides = [size for name, size in sizes.items() if re.search(_SIDE, name) and size > 1]
    taken = 0
    for part in module.modules():
        found = list(_taken_by(part, sides))
        yield from found
        taken += bool(found)
        if taken == 4:
            break
    for parameter in itertools.islice(module.parameters(), 4):
        if parameter.ndim:
            for size in dict.fromkeys((parameter.shape[-1], parameter.shape[0])):
                yield from (Drawn("float32", shape) for shape in ((4, size), (2, 5, size)))
            lead = parameter.shape[0] if parameter.ndim != 4 else parameter.shape[1]
            yield Drawn("float32", (2, lead, 8, 6))
            yield Drawn("float32", tuple(parameter.shape))


def _taken_by(part: nn.Module, sides: list[int]) -> Iterator[Drawn]:
    shapes: list[tuple[int, ...]] = []
    name = type(part).__name__
    match part:
        case nn.Embedding() | nn.EmbeddingBag():
            bounds = (0, part.num_embeddings - 1)
            yield Drawn("int64", (2, 5), bounds)
            yield Drawn("int64", (5,), bounds)
            return
        case nn.Linear():
            size = part.in_features
            shapes = [(4, size), (2, 5, size), (2, 3, 5, size)]
            # What a flattened image has: 3 x 8 x 8 and the like.
            shapes += [(2, c, s, s) for c in (1, 3) for s in (8, 28, 32) if c * s * s == size]
        case nn.LayerNorm():
            tail = tuple(part.normalized_shape)
            shapes = [(2, 5, *tail), (4, *tail)]
        case nn.RNNBase():
            shapes = [(2, 5, part.input_size)]
        case nn.RNNCellBase():
            shapes = [(4, part.input_size)]
        case nn.MultiheadAttention() | nn.TransformerEncoderLayer() | nn.TransformerDecoderLayer():
            attention = getattr(part, "self_attn", part)
            shapes = [(2, 5, attention.embed_dim)]
        case nn.GroupNorm():
            c = part.num_channels
            shapes = [(2, c, 8, 6), (2, c, 5), (4, c)]
        case _ if hasattr(part, "in_channels") and re.match(r"(Conv|ConvTranspose)\d", name):
            rank, c = int(name[name.index("d") - 1]), part.in_channels
            sizes = [*sides, *([16, 32, 64, 28, 8, 96, 224] if rank < 3 else [8, 16])]
            shapes = [(2, c, *([size] * rank)) for size in sizes]
        case _ if hasattr(part, "num_features") and re.search(r"Norm\dd", name):
            rank, c = int(name[-2]), part.num_features
            shapes = [(2, c, *(8, 6, 4)[:rank])] + ([(4, c)] if rank == 1 else [])
        case _ if re.search(r"(Pool|Pad|Upsample|PixelShuffle)", name):
            found = re.search(r"(\d)d", name)
            rank = int(found[1]) if found else 2
            shapes = [(2, 4, *(16, 12, 8)[:rank])]
    for shape in shapes:
        yield Drawn("float32", shape)
