"""Products, norms, decompositions, equations and distances."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from torchport_translators.catalogue import ports
from torchport_translators.mlx.conversion import adjoint
from torchport_translators.mlx.derivatives import (
    cholesky_factor,
    determinant,
    inverse,
    log_determinant,
    nuclear_norm,
    orthogonal_factors,
    pseudo_inverse,
    singular_factors,
    singular_values,
    singular_values_along,
    solve_system,
    solve_triangle,
    symmetric_factors,
    triangular_factors,
)
from torchport_translators.mlx.reductions import euclidean_norm

# --------------------------------------------------------------------------------------- products


@ports(
    "torch.matmul",
    "torch.mm",
    "torch.bmm",
    "torch.mv",
    "torch.linalg.matmul",
    "torch.Tensor.matmul",
    "torch.Tensor.mm",
    "torch.Tensor.bmm",
    "torch.Tensor.mv",
)
def matmul(input, other):
    return input @ other


@ports("torch.dot", "torch.Tensor.dot")
def dot(input, tensor):
    return mx.sum(input * tensor)


@ports("torch.vdot", "torch.Tensor.vdot")
def vdot(input, other):
    return mx.sum(mx.conj(input) * other)


@ports("torch.linalg.vecdot")
def vecdot(x, y, *, dim=-1):
    return mx.vecdot(x, y, axis=dim)


@ports("torch.inner", "torch.Tensor.inner")
def inner(input, other):
    return mx.inner(input, other)


@ports("torch.outer", "torch.ger", "torch.Tensor.outer", "torch.Tensor.ger")
def outer(input, vec2):
    return mx.outer(input, vec2)


@ports("torch.kron", "torch.Tensor.kron")
def kron(input, other):
    return mx.kron(input, other)


@ports("torch.cross", "torch.Tensor.cross")
def cross(input, other, dim=None):
    """The cross product; without `dim`, along the first axis of size 3."""
    return mx.linalg.cross(input, other, axis=input.shape.index(3) if dim is None else dim)


@ports("torch.linalg.cross")
def linalg_cross(input, other, *, dim=-1):
    return mx.linalg.cross(input, other, axis=dim)


@ports("torch.tensordot")
def tensordot(a, b, dims=2):
    return mx.tensordot(a, b, axes=dims)


@ports("torch.einsum")
def einsum(equation, *operands):
    return mx.einsum(equation, *operands)


@ports("torch.linalg.multi_dot")
def multi_dot(tensors):
    """The product of several matrices, from left to right."""
    product = tensors[0]
    for tensor in tensors[1:]:
        product = product @ tensor
    return product


@ports("torch.chain_matmul")
def chain_matmul(*matrices):
    return multi_dot(matrices)


@ports("torch.matrix_power", "torch.linalg.matrix_power", "torch.Tensor.matrix_power")
def matrix_power(input, n):
    """A product of squares, of the inverse where n is negative."""
    if n < 0:
        return matrix_power(inverse(input), -n)
    power = mx.broadcast_to(mx.eye(input.shape[-1], dtype=input.dtype), input.shape)
    while n > 0:
        if n % 2 == 1:
            power = power @ input
        input = input @ input
        n //= 2
    return power


@ports("torch.trace", "torch.Tensor.trace")
def trace(input):
    return mx.trace(input)


def _add_scaled(input, product, beta, alpha):
    """beta * input + alpha * product, where a beta of 0 leaves out even a nan of the input."""
    if alpha != 1:
        product = alpha * product
    if beta == 0:
        return product
    if beta == 1:
        return input + product
    return beta * input + product


@ports("torch.addmm", "torch.Tensor.addmm")
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    if beta == 0:
        return _add_scaled(input, mat1 @ mat2, 0, alpha)
    return mx.addmm(input, mat1, mat2, alpha=alpha, beta=beta)


@ports("torch.addmv", "torch.Tensor.addmv")
def addmv(input, mat, vec, *, beta=1, alpha=1):
    return _add_scaled(input, mat @ vec, beta, alpha)


@ports("torch.addr", "torch.Tensor.addr")
def addr(input, vec1, vec2, *, beta=1, alpha=1):
    return _add_scaled(input, mx.outer(vec1, vec2), beta, alpha)


@ports("torch.baddbmm", "torch.Tensor.baddbmm")
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    if beta == 0:
        return _add_scaled(input, batch1 @ batch2, 0, alpha)
    return mx.addmm(input, batch1, batch2, alpha=alpha, beta=beta)


@ports("torch.addbmm", "torch.Tensor.addbmm")
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    return _add_scaled(input, mx.einsum("bij,bjk->ik", batch1, batch2), beta, alpha)


# -------------------------------------------------------------------------------- norms, distances


@ports("torch.linalg.vector_norm")
def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    """The norm of all elements, or along axes; its gradient at zero is zero.

    That of mx.linalg.norm is nan there.
    """
    if dtype is not None:
        x = x.astype(dtype)
    if ord == 2:
        return euclidean_norm(x, dim, keepdim)
    if ord == 1:
        return mx.sum(mx.abs(x), axis=dim, keepdims=keepdim)
    if ord == 0:
        return mx.sum((x != 0).astype(mx.abs(x).dtype), axis=dim, keepdims=keepdim)
    if ord == float("inf"):
        return mx.max(mx.abs(x), axis=dim, keepdims=keepdim)
    if ord == float("-inf"):
        return mx.min(mx.abs(x), axis=dim, keepdims=keepdim)
    powers = mx.where(x == 0, 0.0 if ord > 0 else mx.inf, mx.abs(mx.where(x == 0, 1, x)) ** ord)
    total = mx.sum(powers, axis=dim, keepdims=keepdim)
    regular = (total > 0) & (total < mx.inf)
    limit = total if ord > 0 else 1 / total
    return mx.where(regular, mx.where(regular, total, 1) ** (1 / ord), limit)


@ports("torch.linalg.matrix_norm")
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """The norm of the matrices in two axes; the gradient of "fro" at zero is zero."""
    if dtype is not None:
        A = A.astype(dtype)
    if ord == "fro":
        return euclidean_norm(A, dim, keepdim)
    if ord == "nuc":
        return nuclear_norm(A, dim, keepdim)
    if ord == 2 or ord == -2:
        values = singular_values_along(A, dim)
        result = mx.max(values, axis=-1) if ord == 2 else mx.min(values, axis=-1)
        return mx.expand_dims(result, axis=sorted(d % A.ndim for d in dim)) if keepdim else result
    rows, columns = dim
    sums = mx.sum(mx.abs(A), axis=rows if ord in (1, -1) else columns, keepdims=True)
    if ord > 0:
        return mx.max(sums, axis=dim, keepdims=keepdim)
    return mx.min(sums, axis=dim, keepdims=keepdim)


@ports("torch.linalg.norm")
def linalg_norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """The norm of vectors or, of two axes and with `ord`, of matrices; its gradient at zero is zero."""
    if dtype is not None:
        A = A.astype(dtype)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim)
    if ord == "fro":
        return euclidean_norm(A, dim, keepdim)
    if isinstance(dim, int):
        return vector_norm(A, ord, dim, keepdim)
    axes = tuple(range(A.ndim)) if dim is None else dim
    if len(axes) == 1:
        return vector_norm(A, ord, axes[0], keepdim)
    return matrix_norm(A, ord, axes, keepdim)


@ports("torch.cdist")
def cdist(x1, x2, p=2.0, compute_mode=None):
    """The distance of each row of x1 to each row of x2."""
    return vector_norm(x1[..., :, None, :] - x2[..., None, :, :], p, -1)


# -------------------------------------------------------------------------- what a matrix is worth


@ports("torch.det", "torch.linalg.det", "torch.Tensor.det")
def det(A):
    return determinant(A)


@ports(
    "torch.slogdet",
    "torch.linalg.slogdet",
    "torch.Tensor.slogdet",
    fields=("sign", "logabsdet"),
)
def slogdet(A) -> tuple[mx.array, mx.array]:
    return log_determinant(A)


@ports("torch.logdet", "torch.Tensor.logdet")
def logdet(input):
    """The logarithm of the determinant, which is nan where that is negative."""
    sign, logabsdet = log_determinant(input)
    return mx.log(sign) + logabsdet


@ports("torch.linalg.matrix_rank")
def matrix_rank(A, *, atol=None, rtol=None, hermitian=False):
    """How many singular values lie above the tolerances, or above the usual one if there is none."""
    values = mx.abs(symmetric_factors(A)[0]) if hermitian else singular_values(A)
    if values.shape[-1] == 0:
        return mx.zeros(values.shape[:-1], dtype=mx.int32)
    if rtol is None:
        rtol = max(A.shape[-2:]) * mx.finfo(A.dtype).eps
        if atol is not None:
            rtol = mx.where(mx.array(atol) > 0, 0, rtol)
    floor = mx.array(rtol)[..., None] * mx.max(values, axis=-1, keepdims=True)
    if atol is not None:
        floor = mx.maximum(mx.array(atol)[..., None], floor)
    return mx.sum(values > floor, axis=-1)


@ports("torch.linalg.matrix_rank")
def matrix_rank_above(A, tol, hermitian=False):
    """How many singular values lie above `tol`."""
    return mx.sum(singular_values(A) > mx.array(tol)[..., None], axis=-1)


@ports("torch.linalg.cond")
def cond(A, p=None):
    """The norm of a matrix times that of its inverse."""
    if p is None or p == 2 or p == -2:
        values = singular_values(A)
        ratio = values[..., 0] / values[..., -1]
        return 1 / ratio if p == -2 else ratio
    return matrix_norm(A, p) * matrix_norm(inverse(A), p)


@ports("torch.cov", "torch.Tensor.cov")
def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariance of the rows, each column counted and weighed as told."""
    input = mx.atleast_2d(input)
    weights = mx.ones(input.shape[-1]) if aweights is None else aweights
    if fweights is not None:
        weights = weights * fweights
    total = mx.sum(weights)
    squares = total if aweights is None else mx.sum(weights * aweights)
    deviation = input - mx.sum(input * weights, axis=1, keepdims=True) / total
    scale = mx.maximum(total - correction * squares / total, 0)
    return mx.squeeze((deviation * weights) @ mx.conj(deviation).T / scale)


@ports("torch.corrcoef", "torch.Tensor.corrcoef")
def corrcoef(input):
    """The covariance over the standard deviations, held to [-1, 1]."""
    covariance = cov(input)
    if covariance.ndim == 0:
        return covariance / covariance
    deviation = mx.sqrt(mx.real(mx.diag(covariance)))
    correlation = covariance / deviation[:, None] / deviation
    if mx.issubdtype(correlation.dtype, mx.complexfloating):
        return correlation
    return mx.clip(correlation, -1, 1)


# ------------------------------------------------------------------------------ inverses, equations


@ports("torch.inverse", "torch.linalg.inv", "torch.Tensor.inverse")
def inv(A):
    return inverse(A)


@ports("torch.linalg.pinv")
def pinv(A, *, rtol=None, hermitian=False):
    """The pseudo-inverse; mx.linalg.pinv has no tolerance and no gradient."""
    if A.size == 0:
        return mx.zeros(A.mT.shape, dtype=A.dtype)
    if rtol is None:
        rtol = max(A.shape[-2:]) * mx.finfo(A.dtype).eps
    rtol = mx.array(rtol)[..., None]
    if not hermitian:
        return pseudo_inverse(A, rtol)
    L, V = symmetric_factors(A)
    kept = mx.abs(L) > rtol * mx.max(mx.abs(L), axis=-1, keepdims=True)
    return (V * mx.where(kept, 1 / mx.where(kept, L, 1), 0)[..., None, :]) @ adjoint(V)


@ports("torch.linalg.pinv")
def pinv_of_rcond(input, rcond, hermitian=False):
    return pinv(input, rtol=rcond, hermitian=hermitian)


@ports("torch.pinverse", "torch.Tensor.pinverse")
def pinverse(input, rcond=1e-15):
    return pinv(input, rtol=rcond)


@ports("torch.linalg.solve")
def solve(A, B, *, left=True):
    """The X of A @ X = B, or of X @ A = B; B may be a batch of vectors, as it may not in MLX."""
    if not left:
        return solve(A.mT, B.mT).mT
    if B.ndim == 1 or B.shape == A.shape[:-1]:
        return solve_system(A, B[..., None])[..., 0]
    return solve_system(A, B)


@ports("torch.linalg.solve_triangular")
def solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    """The X of A @ X = B, or of X @ A = B, from one triangle of A."""
    if not left:
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    if unitriangular:
        A = mx.where(mx.eye(A.shape[-1], dtype=mx.bool_), 1, A)
    return solve_triangle(A, B, upper)


@ports("torch.cholesky_solve", "torch.Tensor.cholesky_solve")
def cholesky_solve(B, L, upper=False):
    """The X of A @ X = B, where L is the Cholesky factor of A."""
    if upper:
        L = L.mT
    return solve_triangle(L.mT, solve_triangle(L, B, False), True)


@ports("torch.cholesky_inverse", "torch.Tensor.cholesky_inverse")
def cholesky_inverse(L, upper=False):
    """The inverse of A, where L is the Cholesky factor of A."""
    return cholesky_solve(mx.eye(L.shape[-1], dtype=L.dtype), L, upper)


@ports(
    "torch.linalg.lstsq",
    fields=("solution", "residuals", "rank", "singular_values"),
)
def lstsq(A, B, rcond=None, *, driver=None) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """The X that brings A @ X nearest to B.

    As torch, residuals, rank or singular values are empty where the driver does not find them; the
    default is that of the CPU, "gelsy".
    """
    if rcond is None:
        rcond = max(A.shape[-2:]) * mx.finfo(A.dtype).eps
    columns = B[..., None] if B.ndim == A.ndim - 1 else B
    inverted = pseudo_inverse(A, rcond)
    solution = inverted @ columns
    solution = solution + inverted @ (columns - A @ solution)  # takes back what rounding lost
    values = singular_values(A)
    rank = mx.sum(values > rcond * mx.max(values, axis=-1, keepdims=True), axis=-1)
    residuals = mx.zeros(0)
    full = A.shape[-2] > A.shape[-1] and mx.all(rank == A.shape[-1]).item()
    if full and driver not in (None, "gelsy"):
        residuals = mx.sum(mx.square(mx.abs(A @ solution - columns)), axis=-2)
    if driver not in ("gelsd", "gelss"):
        values = mx.zeros(0)
    if driver == "gels":
        rank = mx.zeros(0, dtype=mx.int32)
    return (
        solution.reshape(*A.shape[:-2], A.shape[-1], *B.shape[A.ndim - 1 :]),
        residuals,
        rank,
        values,
    )


@ports("torch.linalg.tensorinv")
def tensorinv(A, ind=2):
    """The inverse of the map that A is from its axes after the first `ind` to those."""
    size = int(np.prod(A.shape[:ind]))
    return inverse(A.reshape(size, size)).reshape(*A.shape[ind:], *A.shape[:ind])


@ports("torch.linalg.tensorsolve")
def tensorsolve(A, B, dims: None = None):
    """The X with tensordot(A, X, X.ndim) = B."""
    return solve(A.reshape(B.size, B.size), mx.flatten(B)).reshape(A.shape[B.ndim :])


# ----------------------------------------------------------------------------------- decompositions


@ports("torch.cholesky", "torch.Tensor.cholesky")
def cholesky(input, upper=False):
    return cholesky_factor(input, upper)


@ports("torch.linalg.cholesky")
def linalg_cholesky(A, *, upper=False):
    return cholesky_factor(A, upper)


@ports("torch.linalg.qr", fields=("Q", "R"))
def linalg_qr(A, mode="reduced") -> tuple[mx.array, mx.array]:
    """Of a tall matrix MLX has the reduced factors only."""
    if mode == "complete" and A.shape[-2] > A.shape[-1]:
        raise NotImplementedError("MLX has no complete QR decomposition of a tall matrix")
    if mode == "r":
        return mx.zeros(0, dtype=A.dtype), orthogonal_factors(A)[1]
    return orthogonal_factors(A)


@ports("torch.qr", "torch.Tensor.qr", fields=("Q", "R"))
def qr(input, some=True) -> tuple[mx.array, mx.array]:
    return linalg_qr(input, "reduced" if some else "complete")


@ports("torch.linalg.svd", fields=("U", "S", "Vh"))
def linalg_svd(A, full_matrices=True) -> tuple[mx.array, mx.array, mx.array]:
    """MLX gives the full matrices, without a gradient, which torch has of the reduced ones only."""
    if full_matrices and A.shape[-2] != A.shape[-1]:
        return tuple(mx.linalg.svd(A, stream=mx.cpu))
    return singular_factors(A)


@ports("torch.svd", "torch.Tensor.svd", fields=("U", "S", "V"))
def svd(input, some=True) -> tuple[mx.array, mx.array, mx.array]:
    """Here the third is V, not its conjugate transpose."""
    U, S, Vh = linalg_svd(input, not some)
    return U, S, mx.conj(Vh.mT)


@ports("torch.linalg.svdvals")
def svdvals(A):
    return singular_values(A)


@ports("torch.linalg.eigh", fields=("eigenvalues", "eigenvectors"))
def eigh(A, UPLO="L") -> tuple[mx.array, mx.array]:
    return symmetric_factors(A, UPLO)


@ports("torch.linalg.eigvalsh")
def eigvalsh(A, UPLO="L"):
    return symmetric_factors(A, UPLO)[0]


@ports("torch.linalg.eig", fields=("eigenvalues", "eigenvectors"))
def eig(A) -> tuple[mx.array, mx.array]:
    return mx.linalg.eig(A, stream=mx.cpu)


@ports("torch.linalg.eigvals")
def eigvals(A):
    return mx.linalg.eigvals(A, stream=mx.cpu)


@ports("torch.linalg.lu", fields=("P", "L", "U"))
def lu(A, *, pivot=True) -> tuple[mx.array, mx.array, mx.array]:
    if not pivot:
        raise NotImplementedError("MLX has no LU decomposition without pivoting")
    return triangular_factors(A)


@ports("torch.linalg.lu_factor", fields=("LU", "pivots"))
def lu_factor(A, *, pivot=True) -> tuple[mx.array, mx.array]:
    """Both triangles in one matrix; torch counts pivots from 1."""
    if not pivot:
        raise NotImplementedError("MLX has no LU decomposition without pivoting")
    size = min(A.shape[-2:])
    if A.size == 0:  # MLX would end the process
        return A, mx.zeros((*A.shape[:-2], size), dtype=mx.int32)
    _, L, U = triangular_factors(A)
    pivots = mx.linalg.lu_factor(mx.stop_gradient(A), stream=mx.cpu)[1].astype(mx.int32) + 1
    below, above = A.shape[-2] - size, A.shape[-1] - size
    batch = [(0, 0)] * (A.ndim - 2)
    L = mx.pad(mx.tril(L, k=-1), [*batch, (0, 0), (0, above)])
    return L + mx.pad(U, [*batch, (0, below), (0, 0)]), pivots


def permutation_of_pivots(pivots, size, dtype):
    """The matrix that exchanges rows as the pivots say, one after another; torch counts from 1."""
    swaps = np.array(pivots).reshape(int(np.prod(pivots.shape[:-1])), pivots.shape[-1]) - 1
    order = np.tile(np.arange(size), (len(swaps), 1))
    batch = np.arange(len(swaps))
    for row, other in enumerate(swaps.T):
        order[batch, row], order[batch, other] = order[batch, other], order[batch, row]
    matrices = np.eye(size)[order]
    return mx.array(matrices, dtype=dtype).reshape(*pivots.shape[:-1], size, size)


@ports("torch.linalg.lu_solve", jit=False)
def lu_solve(LU, pivots, B, *, left=True, adjoint=False):
    """The X of A @ X = B, or of X @ A = B, from the decomposition of A; torch counts pivots from 1."""
    if LU.size == 0 or B.size == 0:
        return mx.zeros(B.shape, dtype=B.dtype)
    if not left:
        return lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT
    P = permutation_of_pivots(pivots, LU.shape[-1], LU.dtype)
    L = mx.where(mx.eye(LU.shape[-1], dtype=mx.bool_), 1, mx.tril(LU))
    if adjoint:
        return P.mT @ solve_triangle(L.mT, solve_triangle(LU.mT, B, False), True)
    return solve_triangle(LU, solve_triangle(L, P @ B, False), True)


@ports("torch.matrix_exp", "torch.linalg.matrix_exp", "torch.Tensor.matrix_exp", jit=False)
def matrix_exp(A):
    """The exponential: a Taylor polynomial of A / 2**n, squared n times (Higham, 2005)."""
    if A.size == 0:
        return A
    size = mx.max(mx.sum(mx.abs(mx.stop_gradient(A)), axis=-1)).item()
    squarings = int(max(np.ceil(np.log2(max(size, 1))), 0)) + 1
    A = A / 2**squarings
    identity = mx.broadcast_to(mx.eye(A.shape[-1], dtype=A.dtype), A.shape)
    result = identity
    for n in range(12, 0, -1):
        result = identity + A @ result / n
    for _ in range(squarings):
        result = result @ result
    return result


@ports("torch.vander")
def vander(x, N=None, increasing=False):
    """Rows of falling powers, or of rising ones."""
    powers = mx.arange(len(x) if N is None else N)
    return x[:, None] ** (powers if increasing else mx.flip(powers))


@ports("torch.linalg.vander")
def linalg_vander(x, *, N=None):
    """Rows of rising powers, of each vector of a batch."""
    return x[..., None] ** mx.arange(x.shape[-1] if N is None else N)
