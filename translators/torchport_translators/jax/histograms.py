"""Histograms; torch counts in the dtype of its input, jax in integers."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from torchport_translators.catalogue import ports


@ports("torch.histogram", "torch.Tensor.histogram", fields=("hist", "bin_edges"))
def histogram(
    input, bins, *, range=None, weight=None, density=False
) -> tuple[jax.Array, jax.Array]:
    """Counts, weights or a density in bins, and the edges of the bins."""
    counts, edges = jnp.histogram(input, bins, range=range, weights=weight, density=density)
    return counts.astype(input.dtype), edges


@ports("torch.histogramdd", fields=("hist", "bin_edges"))
def histogramdd(
    input, bins, *, range=None, weight=None, density=False
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Counts in boxes; an axis of the result for each of the last axis of `input`.

    torch takes the limits as one flat list of the lowest and the highest of each axis.
    """
    points = input.reshape(-1, input.shape[-1])
    limits = None if range is None else list(zip(range[::2], range[1::2], strict=True))
    weights = None if weight is None else weight.ravel()
    counts, edges = jnp.histogramdd(points, bins, limits, weights, density)
    return counts.astype(input.dtype), tuple(edges)
