"""Data: torch's loader stays, and what it loads becomes arrays where a batch is put together."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from torchport_translators.catalogue import ports


@ports("torch.utils.data.TensorDataset")
class TensorDataset:
    """Each item is a tuple of one element of every array."""

    def __init__(self, *tensors):
        self.tensors = [np.asarray(tensor) for tensor in tensors]

    def __getitem__(self, index):
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self):
        return len(self.tensors[0])


@ports("torch.utils.data.default_collate")
def default_collate(batch):
    """Items as one batch of arrays, in the items' structure."""
    first = batch[0]
    if isinstance(first, dict):
        return {key: default_collate([item[key] for item in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        return [default_collate(items) for items in zip(*batch, strict=True)]
    if isinstance(first, str):
        return list(batch)
    return jnp.asarray(np.stack([np.asarray(item) for item in batch]))
