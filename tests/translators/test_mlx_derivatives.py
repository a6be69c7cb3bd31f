"""The gradients that MLX does not have and its rules bring: of gradients, and of complex matrices.

Those of real matrices, once, are held by torch's own samples (`test_opinfo_mlx.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import torch

from torchport_translators.mlx import linalg

Function = Callable[[Any], Any]

# A rule, and torch's own: a smooth function of the matrix, the same for each sign of a vector.
REAL: dict[str, tuple[Function, Function]] = {
    "inv": (linalg.inv, torch.linalg.inv),
    "pinv": (linalg.pinv, torch.linalg.pinv),
    "solve": (lambda a: linalg.solve(a, a @ a + 1), lambda a: torch.linalg.solve(a, a @ a + 1)),
    "solve_triangular": (
        lambda a: linalg.solve_triangular(a, a @ a, upper=True),
        lambda a: torch.linalg.solve_triangular(a, a @ a, upper=True),
    ),
    "det": (lambda a: linalg.det(a) / 100, lambda a: torch.linalg.det(a) / 100),
    "slogdet": (lambda a: linalg.slogdet(a)[1], lambda a: torch.linalg.slogdet(a)[1]),
    "cholesky": (linalg.linalg_cholesky, torch.linalg.cholesky),
    "qr": (lambda a: linalg.linalg_qr(a)[1], lambda a: torch.linalg.qr(a)[1]),
    "svd": (lambda a: mx.square(linalg.linalg_svd(a)[0]), lambda a: torch.linalg.svd(a)[0] ** 2),
    "svdvals": (linalg.svdvals, torch.linalg.svdvals),
    "eigvalsh": (
        lambda a: linalg.eigvalsh(a + a.T),
        lambda a: torch.linalg.eigvalsh(a + a.T),
    ),
    "lu": (lambda a: linalg.lu(a)[2], lambda a: torch.linalg.lu(a)[2]),
}
COMPLEX: dict[str, tuple[Function, Function]] = {
    "pinv": (linalg.pinv, torch.linalg.pinv),
    "svd": (
        lambda a: _product(*linalg.linalg_svd(a, False)),
        lambda a: _product(*torch.linalg.svd(a, False)),
    ),
    "svdvals": (
        lambda a: linalg.svdvals(a)[:, None] * a[:3],
        lambda a: torch.linalg.svdvals(a)[:, None] * a[:3],
    ),
    "eigh": (
        lambda a: _square(*linalg.eigh(mx.conj(a).T @ a)),
        lambda a: _square(*torch.linalg.eigh(a.mH @ a)),
    ),
}


def _product(U: Any, S: Any, Vh: Any) -> Any:
    return U @ (S[:, None] ** 2 * Vh)


def _square(L: Any, V: Any) -> Any:
    return V * L**2 @ V.conj().T


@pytest.mark.parametrize("name", REAL)
def test_gradient_of_a_gradient(name: str) -> None:
    rule, original = REAL[name]
    draws = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(np.float32)
    matrix = draws[0] @ draws[0].T + 2 * np.diag(np.arange(1, 5)).astype(np.float32)
    direction = draws[1]

    def slope(a: mx.array) -> mx.array:
        gradient = mx.grad(lambda a: mx.sum(rule(a) ** 3))(a)
        return mx.sum(gradient * mx.array(direction))

    mine = mx.grad(slope)(mx.array(matrix))

    a = torch.tensor(matrix, dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad((original(a) ** 3).sum(), a, create_graph=True)
    [theirs] = torch.autograd.grad((gradient * torch.tensor(direction)).sum(), a)
    assert np.abs(np.array(mine) - theirs.numpy()).max() < 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("shape", [(3, 3), (4, 3)])
@pytest.mark.parametrize("name", COMPLEX)
def test_gradient_of_a_complex_matrix(name: str, shape: tuple[int, int]) -> None:
    rule, original = COMPLEX[name]
    parts = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    matrix = parts[0] + 1j * parts[1]

    a = torch.tensor(matrix, dtype=torch.complex128, requires_grad=True)
    value = original(a)
    cotangent = value.detach().flip(0) + 1j
    [theirs] = torch.autograd.grad(value, a, cotangent)

    seed = mx.array(cotangent.numpy().astype(np.complex64))
    _, [mine] = mx.vjp(lambda a: [rule(a)], [mx.array(matrix)], [seed])
    assert np.abs(np.array(mine) - theirs.numpy()).max() < 1e-4 * theirs.abs().max()
