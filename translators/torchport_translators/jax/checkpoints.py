"""Saving and loading: flat dicts of arrays by their path, in files of flax's msgpack.

`state_dict` and `load_state_dict` port no call by themselves: `rewrites/checkpoint.py` calls them for modules
and optimizers.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, serialization

from torchport_translators.catalogue import ports


def _saved_state(node):
    """Everything that a checkpoint keeps: all but random state."""
    return nnx.state(node, nnx.Not(nnx.RngState))


def state_dict(node):
    """The arrays of a module or an optimizer by their path: {"fc.kernel": ...}."""
    named = {}
    for path, variable in nnx.to_flat_state(_saved_state(node)):
        named[".".join(map(str, path))] = variable[...]
    return named


def load_state_dict(node, saved):
    """Put arrays where `state_dict` had them from.

    Raises:
        KeyError: one is missing, or has no place.
    """
    state = _saved_state(node)
    flat = {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}
    if flat.keys() != saved.keys():
        raise KeyError(f"these do not fit: {sorted(flat.keys() ^ saved.keys())}")
    for name, variable in flat.items():
        variable.set_value(jnp.asarray(saved[name]))
    nnx.update(node, state)


@ports("torch.save")
def save(obj, f, *, _use_new_zipfile_serialization=True) -> None:
    """Writes arrays, numbers and strings, in dicts and lists."""
    return _save(obj, f)


def _save(obj, path):
    """Write arrays, numbers and strings, in dicts and lists, to a file (flax's msgpack)."""
    Path(path).write_bytes(serialization.msgpack_serialize(obj))


@ports("torch.load")
def load(f, map_location=None, *, weights_only=True, mmap=False) -> dict:
    """Reads what a port has saved; `torchport weights` converts what torch has."""
    return _load(f)


def _load(path):
    """What `save` has written."""

    def as_read(leaf):
        return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf

    return jax.tree.map(as_read, serialization.msgpack_restore(Path(path).read_bytes()))
