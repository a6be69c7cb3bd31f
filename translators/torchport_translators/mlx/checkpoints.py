"""Saving and loading: flat dicts of arrays by their path, in safetensors files.

`state_dict` and `load_state_dict` port no call by themselves: `rewrites/checkpoint.py` calls them for modules
and optimizers.
"""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from torchport_translators.catalogue import ports


def state_dict(node):
    """The arrays of a module by their path: {"fc.weight": ...}."""
    return dict(tree_flatten(node.parameters()))


def load_state_dict(node, saved):
    """Put arrays where `state_dict` had them from."""
    node.load_weights(list(saved.items()))


def optimizer_state_dict(optimizer):
    """The arrays of an optimizer by their path."""
    return dict(tree_flatten(optimizer.state))


def load_optimizer_state_dict(optimizer, saved):
    """Put arrays where `optimizer_state_dict` had them from."""
    optimizer.state = tree_unflatten(list(saved.items()))


@ports("torch.save")
def save(obj, f, *, _use_new_zipfile_serialization=True) -> None:
    """Writes arrays, numbers and strings, in dicts."""
    return _save(obj, f)


def _save(obj, path):
    """Write arrays, numbers and strings, in dicts, to a safetensors file.

    Arrays of inner dicts are named by all keys, with a slash between; the rest is in the file's metadata.
    """
    arrays, values = {}, {}

    def sort(item, name):
        if isinstance(item, dict):
            for key, value in item.items():
                sort(value, f"{name}/{key}" if name else str(key))
        elif isinstance(item, mx.array):
            arrays[name] = item
        else:
            values[name] = item

    sort(obj, "")
    with Path(path).open("wb") as file:
        mx.save_safetensors(file, arrays, metadata={"values": json.dumps(values)})


@ports("torch.load")
def load(f, map_location=None, *, weights_only=True, mmap=False) -> dict:
    """Reads what a port has saved; `torchport weights` converts what torch has."""
    return _load(f)


def _load(path):
    """What `save` has written."""
    with Path(path).open("rb") as file:
        arrays, metadata = mx.load(file, format="safetensors", return_metadata=True)
    saved = {}
    for name, item in (arrays | json.loads(metadata.get("values", "{}"))).items():
        *keys, last = name.split("/")
        inner = saved
        for key in keys:
            inner = inner.setdefault(key, {})
        inner[last] = item
    return saved
