"""Random rounding: the original in float64, where each operation rounds as one in float32 may.

One float32 run is one sample of what rounding does: where it happens to be exact (1 - tanh(9)**2 is 0,
two terms cancel), it says nothing of how far off another order of operations may honestly be. Further
samples are made as in stochastic arithmetic (Vignes, "A stochastic arithmetic for reliable scientific
computation", 1993; Parker, "Monte Carlo arithmetic", 1997), forward and backward:

- what an operation gives is rounded to one of the two neighbouring float32 numbers, at random; a
  number that float32 holds stays, so that ties, zeros and round numbers remain what they are;
- what no format rounds correctly (exp, tanh, ...) is off by one more unit in the last place, always;
- a sum over n terms is taken of terms moved by sqrt(n) * 2^-24: adding one by one errs as much. Where
  n is above 2^14 the sum itself is moved as far, too: the errors of one that grows steadily do not
  cancel, and some libraries add that many terms one by one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_UNIT = 2.0**-24
_LONG = 2.0**14
# IEEE 754 rounds these correctly, and others of one argument only choose or negate.
_CORRECT = {
    "add", "sub", "rsub", "mul", "div", "sqrt", "reciprocal", "square", "neg", "abs", "sign",
    "relu", "clamp", "clamp_min", "clamp_max", "maximum", "minimum", "fmax", "fmin", "where",
    "floor", "ceil", "round", "trunc", "hardtanh", "threshold", "threshold_backward", "leaky_relu",
    "masked_fill", "copysign", "nan_to_num", "_to_copy", "real", "imag", "conj_physical", "fill",
    "copy", "remainder", "fmod", "heaviside", "lerp", "addcmul", "addcdiv", "hardtanh_backward",
    "leaky_relu_backward", "frac", "ldexp", "positive", "clone", "zero",
}  # fmt: skip
_SUMS = re.compile(
    r"sum|mean|mm|mv|dot|convolution|prod|var|std|norm|softmax|logsumexp|index_add|scatter_add"
    r"|scatter_reduce|embedding_dense_backward|avg_pool|upsample|attention|loss|lstm|gru|rnn|fft"
    r"|linalg|cdist|inverse|solve|cholesky|svd|trace|grid_sampler|renorm|addr|cov"
)


class RandomRounding(TorchDispatchMode):
    """Rounds all that is float64 or complex128; what else there is passes as it is."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng = np.random.default_rng([seed, 0x0DD])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        sums = _SUMS.search(name) is not None
        if not sums and torch.Tag.pointwise not in func.tags:
            return func(*args, **kwargs)
        result, moved = None, None
        if not func._schema.is_mutable:
            result = func(*args, **kwargs)
        if sums or name.endswith("_backward"):
            # Of tensors of its own, and before an operation writes into its arguments.
            terms = _terms([*args, *kwargs.values()], result)
            move = self._moves(terms)
            moved = func(*tree_map(move, args), **tree_map(move, kwargs))
            if terms > _LONG:
                drift = math.sqrt(terms) * _UNIT * float(self._rng.choice([-1.0, 1.0]))
                moved = tree_map(lambda x: x * (1 + drift) if _is_double(x) else x, moved)
        if func._schema.is_mutable:
            result = func(*args, **kwargs)
        approximate = not sums and name not in _CORRECT
        if moved is not None:  # a cancelled sum is no less off for being a round number
            given = [leaf for leaf in tree_leaves([args, kwargs]) if _is_double(leaf)]
            approximate = not all(_has_few_digits(leaf) for leaf in given)
        found = _listed(result)
        others = found if moved is None else _listed(moved)
        rounded = [
            self._rounded(exact, other, approximate)
            for exact, other in zip(found, others, strict=True)
        ]
        if func._schema.is_mutable:
            for exact, other in zip(found, rounded, strict=True):
                if exact is not other:
                    exact.copy_(other)
            return result
        return type(result)(rounded) if isinstance(result, tuple | list) else rounded[0]

    def _moves(self, terms: float) -> Callable[[Any], Any]:
        """What moves a tensor as far as rounding moves a sum of so many terms."""
        size = math.sqrt(terms) * _UNIT

        def move(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            leaf = leaf.resolve_conj().resolve_neg()  # inside an operation those bits are not seen
            return leaf * (1 + size * self._signs(leaf)) if _is_double(leaf) else leaf.clone()

        return move

    def _signs(self, tensor: torch.Tensor) -> torch.Tensor:
        signs = self._rng.integers(0, 2, tuple(tensor.shape)) * 2.0 - 1
        return torch.from_numpy(np.asarray(signs)).to(tensor.device)

    def _rounded(self, exact: Any, moved: Any, approximate: bool) -> Any:
        """`moved` rounded at random; where float32 holds what is `exact`, that."""
        if not _is_double(exact):
            return exact
        if exact.is_complex():
            parts = self._rounded(
                torch.view_as_real(exact.resolve_conj()),
                torch.view_as_real(moved.resolve_conj()),
                approximate,
            )
            return torch.view_as_complex(parts)
        nearest = moved.float()
        towards = torch.where(moved > nearest, math.inf, -math.inf).float()
        other = torch.nextafter(nearest, towards).double()
        signs = self._signs(exact)
        drawn = torch.where((signs > 0) & (moved != nearest), other, nearest.double())
        if approximate:
            return (drawn * (1 + 2 * _UNIT * self._signs(exact))).float().double()
        return torch.where(exact == exact.float(), exact, drawn)


def _has_few_digits(tensor: torch.Tensor) -> bool:
    """Whether products and sums of a few of its numbers are exact: each has at most 12 digits."""
    parts = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    digits = torch.frexp(parts).mantissa * 2.0**12
    return bool((digits == digits.round()).all())


def _terms(given: Sequence[Any], result: Any) -> float:
    """Of about how many terms an element of the result is the sum, by the tensors' sizes."""
    tensors = sorted((t for t in given if _is_double(t)), key=torch.Tensor.numel, reverse=True)
    if not tensors or not tensors[0].numel():
        return 1.0
    largest = tensors[0]
    sizes = [t.numel() for t in _listed(result) if _is_double(t)] or [largest.numel()]
    out = max(sizes)
    if not out:
        return 1.0
    if len(sizes) > 1 and min(sizes):  # normalisations give their statistics as well
        return max(largest.numel() / min(sizes), 1.0)
    if len(tensors) > 1:  # (m, k) by (k, n) to (m, n): the root of mk * kn / mn is k
        terms = math.sqrt(largest.numel() * tensors[1].numel() / out)
    else:  # cumulative sums and normalisations keep the size
        terms = float(max(largest.shape, default=1)) if out == largest.numel() else 1.0
    return max(terms, largest.numel() / out, 1.0)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]


def _is_double(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128)
