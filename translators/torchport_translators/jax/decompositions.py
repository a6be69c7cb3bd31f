"""Factors of matrices beyond those of linalg.py: reflectors, packed LU, low rank, and status codes.

`check_errors`, which makes torch raise, is left out: a computation of JAX cannot raise for its values.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from torchport_translators.catalogue import ports
from torchport_translators.jax.linalg import lu_factor, lu_solve, solve

# --------------------------------------------------------------------- with the status of each matrix


def _first_zero_pivot(LU):
    """LAPACK's status: 0, or the place, from 1, of the first zero on the diagonal of U."""
    zero = jnp.diagonal(LU, axis1=-2, axis2=-1) == 0
    if zero.shape[-1] == 0:
        return jnp.zeros(zero.shape[:-1], jnp.int32)
    return jnp.where(jnp.any(zero, axis=-1), jnp.argmax(zero, axis=-1) + 1, 0).astype(jnp.int32)


def _not_positive(A):
    """1 for each matrix that is not positive definite, 0 for the others."""
    failed = jnp.isnan(jnp.linalg.cholesky(A))
    return jnp.any(failed, axis=(-2, -1)).astype(jnp.int32)


@ports("torch.linalg.cholesky_ex", fields=("L", "info"))
def cholesky_ex(A, *, upper=False) -> tuple[jax.Array, jax.Array]:
    """The factor, nan where A is not positive definite, and whether it is not: 0 or 1.

    torch's `info` is the order of the first leading minor that is not positive.
    """
    return jnp.linalg.cholesky(A, upper=upper), _not_positive(A)


@ports("torch.linalg.inv_ex", fields=("inverse", "info"))
def inv_ex(A) -> tuple[jax.Array, jax.Array]:
    return jnp.linalg.inv(A), _first_zero_pivot(jax.scipy.linalg.lu_factor(A)[0])


@ports("torch.linalg.solve_ex", fields=("result", "info"))
def solve_ex(A, B, *, left=True) -> tuple[jax.Array, jax.Array]:
    return solve(A, B, left=left), _first_zero_pivot(jax.scipy.linalg.lu_factor(A)[0])


@ports("torch.linalg.lu_factor_ex", fields=("LU", "pivots", "info"))
def lu_factor_ex(A, *, pivot=True) -> tuple[jax.Array, jax.Array, jax.Array]:
    LU, pivots = lu_factor(A, pivot=pivot)
    return LU, pivots, _first_zero_pivot(LU)


# ---------------------------------------------------------------------------------- packed LU, by rows


@ports("torch.lu", "torch.Tensor.lu")
def packed_lu(A, pivot=True, get_infos=False) -> tuple[jax.Array, ...]:
    """Both factors in one matrix, and the pivots, which torch counts from 1."""
    if get_infos:
        return lu_factor_ex(A, pivot=pivot)
    return lu_factor(A, pivot=pivot)


@ports("torch.lu_solve", "torch.Tensor.lu_solve")
def lu_solve_of_packed(b, LU_data, LU_pivots):
    return lu_solve(LU_data, LU_pivots, b)


@ports("torch.lu_unpack", fields=("P", "L", "U"))
def lu_unpack(
    LU_data, LU_pivots, unpack_data=True, unpack_pivots=True
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The permutation and the two factors of a packed decomposition; empty what is not wanted."""
    rows, columns = LU_data.shape[-2:]
    rank = min(rows, columns)
    P = L = U = jnp.zeros(0, LU_data.dtype)
    if unpack_pivots:
        order = lax.linalg.lu_pivots_to_permutation(LU_pivots - 1, rows)
        P = jax.nn.one_hot(order, rows, dtype=LU_data.dtype).mT
    if unpack_data:
        L = jnp.tril(LU_data[..., :rank], -1) + jnp.eye(rows, rank, dtype=LU_data.dtype)
        U = jnp.triu(LU_data[..., :rank, :])
    return P, L, U


@ports(
    "torch.triangular_solve",
    "torch.Tensor.triangular_solve",
    fields=("solution", "cloned_coefficient"),
)
def triangular_solve(
    b, A, upper=True, transpose=False, unitriangular=False
) -> tuple[jax.Array, jax.Array]:
    return (
        jax.scipy.linalg.solve_triangular(
            A, b, trans=1 if transpose else 0, lower=not upper, unit_diagonal=unitriangular
        ),
        A,
    )


# ------------------------------------------------------------------------------------------ reflectors


def _reflect(A, tau, other, adjoint=False):
    """H_1 H_2 ... H_k @ other, where H_i = I - tau_i v_i v_i^H and A holds the v_i below its diagonal."""
    rows, count = A.shape[-2], tau.shape[-1]
    vectors = jnp.tril(A[..., :count], -1) + jnp.eye(rows, count, dtype=A.dtype)
    columns = jnp.moveaxis(vectors, -1, 0)[..., None]
    scales = jnp.moveaxis(jnp.conj(tau) if adjoint else tau, -1, 0)[..., None, None]

    def step(product, reflector):
        column, scale = reflector
        return product - scale * column @ (jnp.conj(column.mT) @ product), None

    return lax.scan(step, other, (columns, scales), reverse=not adjoint)[0]


@ports("torch.linalg.householder_product", "torch.orgqr", "torch.Tensor.orgqr")
def householder_product(input, tau):
    """The first columns of the product of reflectors; lax.linalg.householder_product has no gradient."""
    identity = jnp.eye(*input.shape[-2:], dtype=input.dtype)
    return _reflect(input, tau, jnp.broadcast_to(identity, input.shape))


@ports("torch.ormqr", "torch.Tensor.ormqr")
def ormqr(input, tau, other, left=True, transpose=False):
    """Q @ other, or other @ Q, where Q is the whole product of reflectors; with `transpose` Q^H."""
    if left:
        return _reflect(input, tau, other, adjoint=transpose)
    return jnp.conj(_reflect(input, tau, jnp.conj(other.mT), adjoint=not transpose).mT)


@ports("torch.geqrf", "torch.Tensor.geqrf", fields=("a", "tau"))
def geqrf(input) -> tuple[jax.Array, jax.Array]:
    """R and the reflectors in one matrix; that of jnp.linalg.qr is transposed, as numpy's."""
    packed, tau = jnp.linalg.qr(input, mode="raw")
    return packed.mT, tau


# --------------------------------------------------------------------------------------------- low rank


@ports("torch.svd_lowrank", fields=("U", "S", "V"))
def svd_lowrank(A, q=6, niter=2, M=None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The q largest singular values and their vectors, exactly; torch finds them by random projections."""
    U, S, Vh = jnp.linalg.svd(A if M is None else A - M, full_matrices=False)
    return U[..., :q], S[..., :q], jnp.conj(Vh.mT)[..., :q]


@ports("torch.pca_lowrank", fields=("U", "S", "V"))
def pca_lowrank(A, q=None, center=True, niter=2) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Principal components by an exact decomposition; torch finds them by random projections."""
    if center:
        A = A - jnp.mean(A, axis=-2, keepdims=True)
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
) -> tuple[jax.Array, jax.Array]:
    """The k largest (or smallest) eigenvalues and their vectors, exactly; torch approximates them.

    What steers the approximation (`X`, `n`, `iK`, `niter`, `tol`, `method`) has nothing to do here,
    but that `X` tells k.
    """
    count = (1 if X is None else X.shape[-1]) if k is None else k
    values, vectors = jnp.linalg.eigh(A)
    if largest is None or largest:
        values, vectors = jnp.flip(values, axis=-1), jnp.flip(vectors, axis=-1)
    return values[..., :count], vectors[..., :count]
