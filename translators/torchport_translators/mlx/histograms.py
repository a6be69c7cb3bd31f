"""Histograms. MLX has none: numpy finds the edges of the bins, whose number may depend on values."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports


@ports("torch.histogram", "torch.Tensor.histogram", fields=("hist", "bin_edges"), jit=False)
def histogram(input, bins, *, range=None, weight=None, density=False) -> tuple[mx.array, mx.array]:
    """Counts, weights or a density in bins, and the edges of the bins."""
    counts, edges = np.histogram(
        np.array(input),
        np.array(bins) if isinstance(bins, mx.array) else bins,
        range=range,
        weights=None if weight is None else np.array(weight),
        density=density,
    )
    return mx.array(counts, dtype=input.dtype), mx.array(edges, dtype=input.dtype)


@ports("torch.histogramdd", fields=("hist", "bin_edges"), jit=False)
def histogramdd(
    input, bins, *, range=None, weight=None, density=False
) -> tuple[mx.array, tuple[mx.array, ...]]:
    """Counts in boxes; an axis of the result for each of the last axis of `input`.

    torch takes the limits as one flat list of the lowest and the highest of each axis.
    """
    counts, edges = np.histogramdd(
        np.array(input).reshape(-1, input.shape[-1]),
        bins if isinstance(bins, int) else [np.array(edge) for edge in bins],
        None if range is None else list(zip(range[::2], range[1::2], strict=True)),
        weights=None if weight is None else np.array(weight).ravel(),
        density=density,
    )
    return mx.array(counts, dtype=input.dtype), tuple(
        mx.array(edge, dtype=input.dtype) for edge in edges
    )
