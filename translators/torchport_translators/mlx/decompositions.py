"""Factors of matrices beyond those of linalg.py: packed LU, reflectors, low rank, and status codes.

`check_errors`, which makes torch raise, is left out: a computation of MLX cannot raise for its values.
"""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.catalogue import ports
from torchport_translators.mlx.conversion import adjoint
from torchport_translators.mlx.derivatives import (
    inverse,
    singular_factors,
    symmetric_factors,
)
from torchport_translators.mlx.linalg import (
    lu_factor,
    lu_solve,
    permutation_of_pivots,
    solve,
    solve_triangular,
)

# --------------------------------------------------------------------- with the status of each matrix


def _first_zero_pivot(LU):
    """LAPACK's status: 0, or the place, from 1, of the first zero on the diagonal of U."""
    zero = mx.diagonal(LU, axis1=-2, axis2=-1) == 0
    if zero.size == 0:
        return mx.zeros(zero.shape[:-1], dtype=mx.int32)
    first = mx.argmax(zero, axis=-1).astype(mx.int32) + 1
    return mx.where(mx.any(zero, axis=-1), first, 0)


@ports("torch.linalg.inv_ex", fields=("inverse", "info"))
def inv_ex(A) -> tuple[mx.array, mx.array]:
    return inverse(A), _first_zero_pivot(lu_factor(A)[0])


@ports("torch.linalg.solve_ex", fields=("result", "info"))
def solve_ex(A, B, *, left=True) -> tuple[mx.array, mx.array]:
    return solve(A, B, left=left), _first_zero_pivot(lu_factor(A)[0])


@ports("torch.linalg.lu_factor_ex", fields=("LU", "pivots", "info"))
def lu_factor_ex(A, *, pivot=True) -> tuple[mx.array, mx.array, mx.array]:
    LU, pivots = lu_factor(A, pivot=pivot)
    return LU, pivots, _first_zero_pivot(LU)


# ---------------------------------------------------------------------------------- packed LU, by rows


@ports("torch.lu", "torch.Tensor.lu")
def packed_lu(A, pivot=True, get_infos=False) -> tuple[mx.array, ...]:
    """Both factors in one matrix, and the pivots, which torch counts from 1."""
    if get_infos:
        return lu_factor_ex(A, pivot=pivot)
    return lu_factor(A, pivot=pivot)


@ports("torch.lu_solve", "torch.Tensor.lu_solve", jit=False)
def lu_solve_of_packed(b, LU_data, LU_pivots):
    return lu_solve(LU_data, LU_pivots, b)


@ports("torch.lu_unpack", fields=("P", "L", "U"), jit=False)
def lu_unpack(
    LU_data, LU_pivots, unpack_data=True, unpack_pivots=True
) -> tuple[mx.array, mx.array, mx.array]:
    """The permutation and the two factors of a packed decomposition; empty what is not wanted."""
    rows, columns = LU_data.shape[-2:]
    rank = min(rows, columns)
    P = L = U = mx.zeros(0, dtype=LU_data.dtype)
    if unpack_pivots:
        P = permutation_of_pivots(LU_pivots, rows, LU_data.dtype).mT
    if unpack_data:
        L = mx.tril(LU_data[..., :rank], k=-1) + mx.eye(rows, rank, dtype=LU_data.dtype)
        U = mx.triu(LU_data[..., :rank, :])
    return P, L, U


@ports(
    "torch.triangular_solve",
    "torch.Tensor.triangular_solve",
    fields=("solution", "cloned_coefficient"),
)
def triangular_solve(
    b, A, upper=True, transpose=False, unitriangular=False
) -> tuple[mx.array, mx.array]:
    if transpose:
        return solve_triangular(A.mT, b, upper=not upper, unitriangular=unitriangular), A
    return solve_triangular(A, b, upper=upper, unitriangular=unitriangular), A


# ------------------------------------------------------------------------------------------ reflectors


def _reflect(A, tau, other, adjoint_of=False):
    """H_1 H_2 ... H_k @ other, where H_i = I - tau_i v_i v_i^H and A holds the v_i below its diagonal."""
    rows, count = A.shape[-2], tau.shape[-1]
    vectors = mx.tril(A[..., :count], k=-1) + mx.eye(rows, count, dtype=A.dtype)
    for i in range(count) if adjoint_of else reversed(range(count)):
        column, scale = vectors[..., i : i + 1], tau[..., i, None, None]
        scale = mx.conj(scale) if adjoint_of else scale
        other = other - scale * column @ (adjoint(column) @ other)
    return other


@ports("torch.linalg.householder_product", "torch.orgqr", "torch.Tensor.orgqr")
def householder_product(input, tau):
    """The first columns of the product of reflectors."""
    identity = mx.eye(*input.shape[-2:], dtype=input.dtype)
    return _reflect(input, tau, mx.broadcast_to(identity, input.shape))


@ports("torch.ormqr", "torch.Tensor.ormqr")
def ormqr(input, tau, other, left=True, transpose=False):
    """Q @ other, or other @ Q, where Q is the whole product of reflectors; with `transpose` Q^H."""
    if left:
        return _reflect(input, tau, other, transpose)
    return adjoint(_reflect(input, tau, adjoint(other), not transpose))


# --------------------------------------------------------------------------------------------- low rank


@ports("torch.svd_lowrank", fields=("U", "S", "V"))
def svd_lowrank(A, q=6, niter=2, M=None) -> tuple[mx.array, mx.array, mx.array]:
    """The q largest singular values and their vectors, exactly; torch finds them by random projections."""
    U, S, Vh = singular_factors(A if M is None else A - M)
    return U[..., :q], S[..., :q], adjoint(Vh)[..., :q]


@ports("torch.pca_lowrank", fields=("U", "S", "V"))
def pca_lowrank(A, q=None, center=True, niter=2) -> tuple[mx.array, mx.array, mx.array]:
    """Principal components by an exact decomposition; torch finds them by random projections."""
    if center:
        A = A - mx.mean(A, axis=-2, keepdims=True)
    return svd_lowrank(A, min(6, *A.shape[-2:]) if q is None else q)


@ports("torch.lobpcg")
def lobpcg(
    A,
    k=None,
    B: None = None,
    X=None,
    n=None,
    iK=None,
    niter=None,
    tol=None,
    largest=None,
    method=None,
) -> tuple[mx.array, mx.array]:
    """The k largest (or smallest) eigenvalues and their vectors, exactly; torch approximates them.

    What steers the approximation (`X`, `n`, `iK`, `niter`, `tol`, `method`) has nothing to do here,
    but that `X` tells k.
    """
    count = (1 if X is None else X.shape[-1]) if k is None else k
    values, vectors = symmetric_factors(A)
    if largest is None or largest:
        values, vectors = mx.flip(values, axis=-1), mx.flip(vectors, axis=-1)
    return values[..., :count], vectors[..., :count]
