"""Tied weights: an output layer that shares the embedding's weight is the embedding, transposed.

Before:
    from torch import nn

    class LanguageModel(nn.Module):
        def __init__(self, vocab: int, width: int):
            super().__init__()
            self.tokens = nn.Embedding(vocab, width)
            self.head = nn.Linear(width, vocab, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, ids):
            return self.head(self.tokens(ids))
After (jax):
    from flax import nnx

    class LanguageModel(nnx.Module):
        def __init__(self, vocab: int, width: int, *, rngs: nnx.Rngs):
            self.tokens = Embedding(vocab, width, rngs=rngs)

        def __call__(self, ids):
            return self.tokens.attend(self.tokens(ids))
After (mlx):
    import mlx.nn as nn

    class LanguageModel(nn.Module):
        def __init__(self, vocab: int, width: int):
            super().__init__()
            self.tokens = Embedding(vocab, width)

        def __call__(self, ids):
            return self.tokens.as_linear(self.tokens(ids))
Why:
    flax keeps a Linear's kernel as (in, out) and an embedding as (rows, width): they cannot be one
    variable. `nnx.Embed.attend` is the product with the embedding's transpose, `as_linear` MLX's.
When not:
    The layer has a bias, or the two are not an Embedding and a Linear: that is a finding.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression, statement
from torchport_translators.source import kinds as k
from torchport_translators.source.scopes import Class
from torchport_translators.source.syntax import Node


@statement("expression_statement")
def tie(rw: Rewriter, node: Node) -> bool:
    cls = rw.cls
    if cls is None:
        return False
    assignment = node.children[0]
    if _tie(rw, node) is not None:
        rw.remove(node)
        return True
    ties = ties_of(rw, cls)
    if assignment.type == "assignment" and rw.source[assignment["left"]] in ties:
        # The output layer itself is not built: the embedding does its work.
        rw.count(True)
        rw.remove(node)
        return True
    return False


@expression("call")
def tied_call(rw: Rewriter, node: Node) -> Code | None:
    cls = rw.cls
    if cls is None or node["function"].type != "attribute":
        return None
    embedding = ties_of(rw, cls).get(rw.source[node["function"]])
    if embedding is None:
        return None
    return Code(f"{embedding}.{rw.idioms.attend}{rw.splice(node['arguments']).text}")


def ties_of(rw: Rewriter, cls: Class) -> dict[str, str]:
    """Output layers of a class that are tied, to the embedding each shares its weight with."""
    found = rw.ties.get(cls)
    if found is None:
        found = rw.ties[cls] = {}
        for inner in rw.source.nodes("expression_statement", cls.node):
            pair = _tie(rw, inner)
            if pair is not None:
                found[pair[0]] = pair[1]
    return found


def _tie(rw: Rewriter, node: Node) -> tuple[str, str] | None:
    assignment = node.children[0] if node.children else None
    if assignment is None or assignment.type != "assignment" or assignment.get("right") is None:
        return None
    sides = [assignment["left"], assignment["right"]]
    if not all(
        side.type == "attribute" and rw.source[side["attribute"]] == "weight" for side in sides
    ):
        return None
    owners = [side["object"] for side in sides]
    apis = [owner.kind.api if isinstance(owner.kind, k.Instance) else None for owner in owners]
    if set(apis) != {"torch.nn.Embedding", "torch.nn.Linear"}:
        return None
    head = owners[apis.index("torch.nn.Linear")]
    if not _without_bias(rw, head):
        return None
    return rw.source[head], rw.source[owners[apis.index("torch.nn.Embedding")]]


def _without_bias(rw: Rewriter, head: Node) -> bool:
    """Whether the layer is built here, once, with `bias=False`."""
    cls = rw.inference.class_at(head)
    if cls is None or head.type != "attribute":
        return False
    built: list[Node] = [
        inner["right"]
        for inner in rw.source.nodes("assignment", cls.node)
        if inner.get("right") is not None and rw.source[inner["left"]] == rw.source[head]
    ]
    if len(built) != 1 or rw.called_api(built[0]) != "torch.nn.Linear":
        return False
    positional, keywords = rw.arguments(built[0])
    bias = positional[2] if len(positional) > 2 else keywords.get("bias")
    return bias is not None and rw.source[bias] == "False"
