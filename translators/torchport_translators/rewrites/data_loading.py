"""Data loading stays torch's: batches become arrays of the target where they are put together.

Before:
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Squares(Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, index):
            return torch.tensor([float(index)]), index**2

    def total(model, device):
        loader = DataLoader(Squares(), batch_size=10, num_workers=4, pin_memory=True)
        return sum(model(x.to(device)).sum() for x, _ in loader)

    def evaluate(model, loader, device):
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            print((model(x) == y).sum())
After (jax):
    import jax.numpy as jnp
    from torch.utils.data import DataLoader, Dataset

    class Squares(Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, index):
            return jnp.array([float(index)]), index**2

    def total(model, device):
        loader = DataLoader(Squares(), batch_size=10, collate_fn=default_collate)
        return sum(jnp.sum(model(x)) for x, _ in loader)

    def evaluate(model, loader, device):
        for x, y in loader:
            x, y = jnp.asarray(x), jnp.asarray(y)
            print(jnp.sum(model(x) == y))
After (mlx):
    import mlx.core as mx
    from torch.utils.data import DataLoader, Dataset

    class Squares(Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, index):
            return mx.array([float(index)]), index**2

    def total(model, device):
        loader = DataLoader(Squares(), batch_size=10, collate_fn=default_collate)
        return sum(mx.sum(model(x)) for x, _ in loader)

    def evaluate(model, loader, device):
        for x, y in loader:
            x, y = mx.array(x), mx.array(y)
            print(mx.sum(model(x) == y))
Why:
    Reading, shuffling and batching run on the host, and torch's tools for it are good ones. A batch is
    made of arrays of the target, so that nothing after the loader has to know of torch. Worker
    processes are left out: they are forked, which a process that runs JAX must not be.
When not:
    The source has a `collate_fn` of its own, which is ported as it is. A loader that a function is
    given may be torch's: what the source moves to a device is made an array there.
"""

from __future__ import annotations

from torchport_translators.catalogue.code import Binding, Code
from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import expression
from torchport_translators.source import kinds as k
from torchport_translators.source.syntax import Node

LOADER = "torch.utils.data.DataLoader"
# Of how batches are loaded, not which: they are put together in the process that trains.
_WORKERS = frozenset(
    (
        "num_workers",
        "pin_memory",
        "pin_memory_device",
        "persistent_workers",
        "prefetch_factor",
        "multiprocessing_context",
        "worker_init_fn",
        "timeout",
        "in_order",
    )
)
_COLLATE = "torch.utils.data.default_collate"
# The place of DataLoader's positional argument before which all can stay.
_NUM_WORKERS = 5


@expression("call")
def loader(rw: Rewriter, node: Node) -> Code | None:
    """`DataLoader(...)`: with a function that makes arrays of a batch, and without workers."""
    if rw.called_api(node) != LOADER:
        return None
    positional, keywords = rw.arguments(node)
    callee = rw.kept(node["function"], LOADER)
    unpacked = [child for child in positional if child.type == "dictionary_splat"]
    positional = [child for child in positional if child not in unpacked]
    if len(positional) > _NUM_WORKERS:
        return rw.unported(
            node,
            f"{LOADER}: give what follows num_workers by name",
            "unsupported-argument",
            LOADER,
        )
    parts = [rw.expr(child).within(Binding.TEST) for child in positional]
    parts += [
        f"{name}={rw.expr(value).within(Binding.TEST)}"
        for name, value in keywords.items()
        if name not in _WORKERS
    ]
    if "collate_fn" not in keywords:
        collate = rw.inliner.reference(_COLLATE).code()
        parts.append(f"collate_fn={collate.text}")
    parts += [rw.expr(child).text for child in unpacked]
    return Code(f"{callee.text}({', '.join(parts)})")


@expression("call")
def moved(rw: Rewriter, node: Node) -> Code | None:
    """`x.to(device)` of what a loader gave that is not made in this file: it may be torch's."""
    callee = node["function"]
    if callee.type != "attribute" or callee["object"].type != "identifier":
        return None
    owner = callee["object"]
    if not isinstance(owner.kind, k.Tensor) or not owner.kind.loaded:
        return None
    positional, keywords = rw.arguments(node)
    name = rw.source[callee["attribute"]]
    device = name in ("cuda", "cpu") and not positional
    if name == "to" and len(positional) == 1:
        device = positional[0].kind in (k.Scalar("device"), k.STR, k.INT) or (
            positional[0].kind == k.UNKNOWN and "device" in rw.source[positional[0]]
        )
    if not device or keywords.keys() - {"non_blocking"}:
        return None
    rw.count(True)
    make = "jnp.asarray" if rw.idioms.variables else "mx.array"
    return Code(f"{rw.imports.add_root(make)}({rw.source[owner]})")
