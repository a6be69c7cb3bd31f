"""Inverses, equations and decompositions with gradients: MLX 0.32 has none for its own.

MLX computes them on the CPU only. Of matrices without elements its inverse, equations and LU end the
process. The gradients are those of torch (`torch/csrc/autograd/FunctionsManual.cpp`).
"""

from __future__ import annotations

import mlx.core as mx

from torchport_translators.mlx.conversion import adjoint

# ---------------------------------------------------------------------------- inverses, equations


def inverse(A):
    """mx.linalg.inv with its gradient, which MLX does not have."""
    if A.size == 0:  # MLX would end the process
        return A

    @mx.custom_function
    def run(A):
        return mx.linalg.inv(A, stream=mx.cpu)

    @run.vjp
    def gradient(A, cotangent, Y):
        return -Y.mT @ cotangent @ Y.mT

    return run(A)


def solve_system(A, B):
    """mx.linalg.solve with its gradient, which MLX does not have; B is a matrix."""
    batch = mx.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    if A.size == 0 or B.size == 0:  # MLX would end the process
        return mx.zeros((*batch, *B.shape[-2:]), B.dtype)

    @mx.custom_function
    def run(A, B):
        return mx.linalg.solve(A, B, stream=mx.cpu)

    @run.vjp
    def gradient(primals, cotangent, X):
        backwards = solve_system(primals[0].mT, cotangent)
        return -backwards @ X.mT, backwards

    A = mx.broadcast_to(A, (*batch, *A.shape[-2:]))
    return run(A, mx.broadcast_to(B, (*batch, *B.shape[-2:])))


def solve_triangle(A, B, upper):
    """mx.linalg.solve_triangular with its gradient, which MLX does not have."""
    batch = mx.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    if A.size == 0 or B.size == 0:  # MLX would end the process
        return mx.zeros((*batch, *B.shape[-2:]), B.dtype)

    @mx.custom_function
    def run(A, B):
        return mx.linalg.solve_triangular(A, B, upper=upper, stream=mx.cpu)

    @run.vjp
    def gradient(primals, cotangent, X):
        backwards = solve_triangle(primals[0].mT, cotangent, upper=not upper)
        both = -backwards @ X.mT
        return mx.triu(both) if upper else mx.tril(both), backwards

    A = mx.broadcast_to(mx.triu(A) if upper else mx.tril(A), (*batch, *A.shape[-2:]))
    return run(A, mx.broadcast_to(B, (*batch, *B.shape[-2:])))


def pseudo_inverse(A, tolerance):
    """The pseudo-inverse without the singular values up to a share of the largest, with gradient."""

    @mx.custom_function
    def run(A):
        size = min(A.shape[-2:])
        U, S, Vt = mx.linalg.svd(A, stream=mx.cpu)
        kept = S > tolerance * mx.max(S, axis=-1, keepdims=True)
        inverted = mx.where(kept, 1 / mx.where(kept, S, 1), 0)
        return (adjoint(Vt[..., :size, :]) * inverted[..., None, :]) @ adjoint(U[..., :size])

    @run.vjp
    def gradient(A, cotangent, Y):
        G = adjoint(cotangent)
        if A.shape[-2] <= A.shape[-1]:
            K = G @ Y
            outer = K @ adjoint(Y)
            return -adjoint(Y @ K) + outer - A @ Y @ outer + adjoint(Y) @ Y @ (G - K @ A)
        K = Y @ G
        outer = adjoint(Y) @ K
        return -adjoint(K @ Y) + (G - A @ K) @ Y @ adjoint(Y) + outer - outer @ Y @ A

    return run(A)


def determinant(A):
    """mx.linalg.det with its gradient, which MLX has for matrices of up to 3 rows only."""

    @mx.custom_function
    def run(A):
        return mx.linalg.det(A, stream=mx.cpu)

    @run.vjp
    def gradient(A, cotangent, _):
        # The cofactors: with the singular values they exist where there is no inverse.
        U, S, Vt = singular_factors(A)
        before = mx.cumprod(S, axis=-1, inclusive=False)
        others = before * mx.cumprod(S, axis=-1, reverse=True, inclusive=False)
        sign = mx.stop_gradient(mx.linalg.det(U @ Vt, stream=mx.cpu))
        return (cotangent * sign)[..., None, None] * (U * others[..., None, :]) @ Vt

    return run(A)


def log_determinant(A):
    """mx.linalg.slogdet with its gradient, which MLX has for matrices of up to 3 rows only."""

    @mx.custom_function
    def run(A):
        return tuple(mx.linalg.slogdet(A, stream=mx.cpu))

    @run.vjp
    def gradient(A, cotangents, _):
        return cotangents[1][..., None, None] * inverse(A).mT

    return run(A)


# --------------------------------------------------------------------------------- decompositions


def cholesky_factor(A, upper=False):
    """mx.linalg.cholesky with its gradient, which MLX does not have."""

    @mx.custom_function
    def run(A):
        return mx.linalg.cholesky(A, stream=mx.cpu)

    @run.vjp
    def gradient(A, cotangent, L):
        inner = mx.tril(L.mT @ cotangent)
        inner = inner + mx.tril(inner, k=-1).mT
        backwards = inverse(L)
        return backwards.mT @ inner @ backwards / 2

    return run(A).mT if upper else run(A)


def orthogonal_factors(A):
    """mx.linalg.qr with its gradient, which MLX does not have."""
    columns = A.shape[-2]
    if A.shape[-1] > columns:
        # The columns beyond the square are made of those in it: R's are Q.T @ A's.
        Q, R = orthogonal_factors(A[..., :columns])
        return Q, mx.concatenate([R, Q.mT @ A[..., columns:]], axis=-1)

    @mx.custom_function
    def run(A):
        return tuple(mx.linalg.qr(A, stream=mx.cpu))

    @run.vjp
    def gradient(A, cotangents, factors):
        (gQ, gR), (Q, R) = cotangents, factors
        inner = mx.triu(gR @ R.mT - Q.mT @ gQ)
        inner = inner + mx.triu(inner, k=1).mT
        return solve_triangle(R, (gQ + Q @ inner).mT, upper=True).mT

    return run(A)


def singular_factors(A):
    """mx.linalg.svd, reduced, with its gradient, which MLX does not have: U, S and V transposed.

    The gradient of U and V is not defined where two singular values are equal.
    """
    size = min(A.shape[-2:])

    @mx.custom_function
    def run(A):
        U, S, Vt = mx.linalg.svd(A, stream=mx.cpu)
        return U[..., :size], S, Vt[..., :size, :]

    @run.vjp
    def gradient(A, cotangents, factors):
        (gU, gS, gVt), (U, S, Vt) = cotangents, factors
        V, gV, squares = adjoint(Vt), adjoint(gVt), mx.square(S)
        gaps = squares[..., None, :] - squares[..., None] + mx.eye(size)
        turn_U, turn_V = adjoint(U) @ gU, adjoint(V) @ gV
        turn_U, turn_V = (turn_U - adjoint(turn_U)) / gaps, (turn_V - adjoint(turn_V)) / gaps
        inner = turn_U * S[..., None, :] + S[..., None] * turn_V
        if mx.issubdtype(A.dtype, mx.complexfloating):
            # The phase of a pair of singular vectors, which is free.
            gS = gS + mx.diagonal(turn_U, axis1=-2, axis2=-1) / (2 * S)
        outer = U @ (inner + gS[..., None] * mx.eye(size))
        if A.shape[-2] > size:
            outer = outer + (gU - U @ (adjoint(U) @ gU)) / S[..., None, :]
        outer = outer @ Vt
        if A.shape[-1] > size:
            outer = outer + (U / S[..., None, :]) @ (gVt - (gVt @ V) @ Vt)
        return outer

    return run(A)


def singular_values(A):
    """The singular values with their gradient, which MLX does not have."""

    @mx.custom_function
    def run(A):
        return mx.linalg.svd(A, compute_uv=False, stream=mx.cpu)

    @run.vjp
    def gradient(A, cotangent, _):
        U, _, Vt = singular_factors(A)
        return (U * cotangent[..., None, :]) @ Vt

    return run(A)


def singular_values_along(A, dim):
    """The singular values of the matrices in two axes; they are the last axis of the result."""
    rows, columns = (axis % A.ndim for axis in dim)
    rest = [axis for axis in range(A.ndim) if axis not in (rows, columns)]
    return singular_values(mx.transpose(A, (*rest, rows, columns)))


def nuclear_norm(A, dim, keepdim=False):
    """The sum of the singular values of the matrices in two axes."""
    total = mx.sum(singular_values_along(A, dim), axis=-1)
    return mx.expand_dims(total, axis=sorted(axis % A.ndim for axis in dim)) if keepdim else total


def symmetric_factors(A, UPLO="L"):
    """mx.linalg.eigh with its gradient, which MLX does not have: eigenvalues and eigenvectors.

    The gradient of the eigenvectors is not defined where two eigenvalues are equal.
    """

    @mx.custom_function
    def run(A):
        return tuple(mx.linalg.eigh(A, UPLO=UPLO, stream=mx.cpu))

    @run.vjp
    def gradient(A, cotangents, factors):
        (gL, gV), (L, V) = cotangents, factors
        gaps = L[..., None, :] - L[..., None] + mx.eye(L.shape[-1])
        inner = adjoint(V) @ gV / gaps * (1 - mx.eye(L.shape[-1]))
        return V @ (inner + gL[..., None] * mx.eye(L.shape[-1])) @ adjoint(V)

    return run(A)


def triangular_factors(A):
    """mx.linalg.lu with its gradient, which MLX does not have: P, L and U with A = P @ L @ U."""
    rows, columns = A.shape[-2:]
    size = min(rows, columns)
    if A.size == 0:  # MLX would end the process
        P = mx.broadcast_to(mx.eye(rows, dtype=A.dtype), (*A.shape[:-2], rows, rows))
        L = mx.broadcast_to(mx.eye(rows, size, dtype=A.dtype), (*A.shape[:-2], rows, size))
        return P, L, mx.zeros((*A.shape[:-2], size, columns), dtype=A.dtype)

    @mx.custom_function
    def run(A):
        order, L, U = mx.linalg.lu(A, stream=mx.cpu)
        return (order[..., None] == mx.arange(rows)).astype(A.dtype), L, U

    @run.vjp
    def gradient(A, cotangents, factors):
        (_, gL, gU), (P, L, U) = cotangents, factors
        square_L, square_U = L[..., :size, :], U[..., :size]
        lower, upper = L.mT @ gL, gU @ U.mT
        if rows < columns:
            lower = square_L.mT @ gL - gU[..., size:] @ U[..., size:].mT
            upper = gU[..., :size] @ square_U.mT
        if rows > columns:
            lower = square_L.mT @ gL[..., :size, :]
            upper = upper - L[..., size:, :].mT @ gL[..., size:, :]
        inner = mx.tril(lower, k=-1) + mx.triu(upper)
        inverse_L, inverse_U = inverse(square_L), inverse(square_U)
        result = inverse_L.mT @ inner @ inverse_U.mT
        if rows < columns:
            result = mx.concatenate([result, inverse_L.mT @ gU[..., size:]], axis=-1)
        if rows > columns:
            result = mx.concatenate([result, gL[..., size:, :] @ inverse_U.mT], axis=-2)
        return P @ result

    return run(A)
