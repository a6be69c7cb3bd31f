"""Products, norms, decompositions, equations and distances."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from torchport_translators.catalogue import ports
from torchport_translators.jax.elementwise import abs
from torchport_translators.jax.reductions import norm

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
    return jnp.dot(input, tensor)


@ports("torch.vdot", "torch.Tensor.vdot")
def vdot(input, other):
    return jnp.vdot(input, other)


@ports("torch.linalg.vecdot")
def vecdot(x, y, *, dim=-1):
    return jnp.vecdot(x, y, axis=dim)


@ports("torch.inner", "torch.Tensor.inner")
def inner(input, other):
    return jnp.inner(input, other)


@ports("torch.outer", "torch.ger", "torch.Tensor.outer", "torch.Tensor.ger")
def outer(input, vec2):
    return jnp.outer(input, vec2)


@ports("torch.kron", "torch.Tensor.kron")
def kron(input, other):
    return jnp.kron(input, other)


@ports("torch.cross", "torch.Tensor.cross")
def cross(input, other, dim=None):
    """The cross product; without `dim`, along the first axis of size 3."""
    return jnp.cross(input, other, axis=input.shape.index(3) if dim is None else dim)


@ports("torch.linalg.cross")
def linalg_cross(input, other, *, dim=-1):
    return jnp.cross(input, other, axis=dim)


@ports("torch.tensordot")
def tensordot(a, b, dims=2):
    return jnp.tensordot(a, b, axes=dims)


@ports("torch.einsum")
def einsum(equation, *operands):
    return jnp.einsum(equation, *operands)


@ports("torch.chain_matmul")
def chain_matmul(*matrices):
    return jnp.linalg.multi_dot(matrices)


@ports("torch.linalg.multi_dot")
def multi_dot(tensors):
    return jnp.linalg.multi_dot(tensors)


@ports("torch.matrix_power", "torch.linalg.matrix_power", "torch.Tensor.matrix_power")
def matrix_power(input, n):
    return jnp.linalg.matrix_power(input, n)


@ports("torch.trace", "torch.Tensor.trace")
def trace(input):
    return jnp.trace(input)


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
    return _add_scaled(input, mat1 @ mat2, beta, alpha)


@ports("torch.addmv", "torch.Tensor.addmv")
def addmv(input, mat, vec, *, beta=1, alpha=1):
    return _add_scaled(input, mat @ vec, beta, alpha)


@ports("torch.addr", "torch.Tensor.addr")
def addr(input, vec1, vec2, *, beta=1, alpha=1):
    return _add_scaled(input, jnp.outer(vec1, vec2), beta, alpha)


@ports("torch.baddbmm", "torch.Tensor.baddbmm")
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    return _add_scaled(input, batch1 @ batch2, beta, alpha)


@ports("torch.addbmm", "torch.Tensor.addbmm")
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    return _add_scaled(input, jnp.einsum("bij,bjk->ik", batch1, batch2), beta, alpha)


# -------------------------------------------------------------------------------- norms, distances


@ports("torch.linalg.vector_norm")
def vector_norm(x, ord=2, dim=None, keepdim=False):
    """The norm of all elements, or along axes; its gradient at zero is zero.

    That of jnp.linalg.norm is nan there.
    """
    if ord == 2 and (dim is None or isinstance(dim, int)):
        return optax.safe_norm(x, 0.0, axis=dim, keepdims=keepdim)
    if ord == 2:
        return norm(x, 2, dim, keepdim)
    if ord == 1:
        return jnp.sum(abs(x), axis=dim, keepdims=keepdim)
    if ord == 0:
        return jnp.sum(x != 0, axis=dim, keepdims=keepdim, dtype=x.real.dtype)
    if ord == jnp.inf:
        return jnp.max(abs(x), axis=dim, keepdims=keepdim)
    if ord == -jnp.inf:
        return jnp.min(abs(x), axis=dim, keepdims=keepdim)
    powers = jnp.where(x == 0, 0.0 if ord > 0 else jnp.inf, jnp.abs(jnp.where(x == 0, 1, x)) ** ord)
    total = jnp.sum(powers, axis=dim, keepdims=keepdim)
    regular = (total > 0) & (total < jnp.inf)
    limit = total if ord > 0 else 1 / total
    return jnp.where(regular, jnp.where(regular, total, 1) ** (1 / ord), limit)


@ports("torch.linalg.matrix_norm")
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False):
    """The norm of the matrices in two axes; the gradient of "fro" at zero is zero."""
    if ord == "fro":
        return optax.safe_norm(A, 0.0, axis=dim, keepdims=keepdim)
    if ord == "nuc" or ord == 2 or ord == -2:
        return jnp.linalg.norm(A, ord=ord, axis=dim, keepdims=keepdim)
    rows, columns = dim
    sums = jnp.sum(abs(A), axis=rows if ord in (1, -1) else columns, keepdims=True)
    if ord > 0:
        return jnp.max(sums, axis=dim, keepdims=keepdim)
    return jnp.min(sums, axis=dim, keepdims=keepdim)


@ports("torch.linalg.norm")
def linalg_norm(A, ord=None, dim=None, keepdim=False):
    """The norm of vectors or, of two axes and with `ord`, of matrices; its gradient at zero is zero."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim)
    if ord == "fro":
        return optax.safe_norm(A, 0.0, axis=dim, keepdims=keepdim)
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
    return jnp.linalg.det(A)


@ports(
    "torch.slogdet",
    "torch.linalg.slogdet",
    "torch.Tensor.slogdet",
    fields=("sign", "logabsdet"),
)
def slogdet(A) -> tuple[jax.Array, jax.Array]:
    return jnp.linalg.slogdet(A)


@ports("torch.logdet", "torch.Tensor.logdet")
def logdet(input):
    """The logarithm of the determinant, which is nan where that is negative."""
    sign, logabsdet = jnp.linalg.slogdet(input)
    return jnp.log(sign) + logabsdet


@ports("torch.linalg.matrix_rank")
def matrix_rank(A, *, atol=None, rtol=None, hermitian=False):
    """How many singular values lie above the tolerances, or above the usual one if there is none."""
    if atol is None:
        return jnp.linalg.matrix_rank(A, rtol=rtol)
    values = jnp.linalg.svdvals(A)
    largest = jnp.max(values, axis=-1, keepdims=True, initial=0)
    if rtol is None:
        rtol = jnp.where(jnp.asarray(atol) > 0, 0, max(A.shape[-2:]) * jnp.finfo(A.dtype).eps)
    floor = jnp.maximum(jnp.asarray(atol)[..., None], jnp.asarray(rtol)[..., None] * largest)
    return jnp.sum(values > floor, axis=-1)


@ports("torch.linalg.matrix_rank")
def matrix_rank_above(A, tol, hermitian=False):
    """How many singular values lie above `tol`."""
    return jnp.sum(jnp.linalg.svdvals(A) > jnp.asarray(tol)[..., None], axis=-1)


@ports("torch.linalg.cond")
def cond(A, p=None):
    return jnp.linalg.cond(A, p=p)


@ports("torch.cov", "torch.Tensor.cov")
def cov(input, *, correction=1, fweights=None, aweights=None):
    return jnp.cov(input, ddof=correction, fweights=fweights, aweights=aweights)


@ports("torch.corrcoef", "torch.Tensor.corrcoef")
def corrcoef(input):
    return jnp.corrcoef(input)


# ------------------------------------------------------------------------------ inverses, equations


@ports("torch.inverse", "torch.linalg.inv", "torch.Tensor.inverse")
def inv(A):
    return jnp.linalg.inv(A)


@ports("torch.linalg.pinv")
def pinv(A, *, rtol=None, hermitian=False):
    """The pseudo-inverse; torch drops singular values at a tenth of jax's tolerance."""
    if rtol is None:
        rtol = max(A.shape[-2:]) * jnp.finfo(A.dtype).eps
    return jnp.linalg.pinv(A, rtol=rtol, hermitian=hermitian)


@ports("torch.linalg.pinv")
def pinv_of_rcond(input, rcond, hermitian=False):
    return jnp.linalg.pinv(input, rtol=rcond, hermitian=hermitian)


@ports("torch.pinverse", "torch.Tensor.pinverse")
def pinverse(input, rcond=1e-15):
    return jnp.linalg.pinv(input, rtol=rcond)


@ports("torch.linalg.solve")
def solve(A, B, *, left=True):
    """The X of A @ X = B, or of X @ A = B; B may be a batch of vectors, as it may not in jnp."""
    if not left:
        return solve(A.mT, B.mT).mT
    if B.shape == A.shape[:-1]:
        return jnp.linalg.solve(A, B[..., None])[..., 0]
    return jnp.linalg.solve(A, B)


@ports("torch.linalg.solve_triangular")
def solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    """The X of A @ X = B, or of X @ A = B, from one triangle of A."""
    if not left:
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    return jax.scipy.linalg.solve_triangular(A, B, lower=not upper, unit_diagonal=unitriangular)


@ports("torch.cholesky_solve", "torch.Tensor.cholesky_solve")
def cholesky_solve(B, L, upper=False):
    return jax.scipy.linalg.cho_solve((L, not upper), B)


@ports("torch.cholesky_inverse", "torch.Tensor.cholesky_inverse")
def cholesky_inverse(L, upper=False):
    identity = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return jax.scipy.linalg.cho_solve((L, not upper), identity)


@ports("torch.linalg.lstsq", fields=("solution", "residuals", "rank", "singular_values"))
def lstsq(A, B, rcond=None, *, driver=None) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The X that makes A @ X nearest to B, of batches, too, which jnp.linalg.lstsq does not take.

    Empty is what torch leaves empty: the squared residuals unless A has more rows than columns and
    the driver is given, and not "gelsy"; the rank with "gels"; the singular values but with "gelss"
    and "gelsd".
    """
    rows, columns = A.shape[-2:]
    if rcond is None:
        rcond = max(rows, columns) * jnp.finfo(A.dtype).eps
    is_vector = B.ndim == 1 or B.shape == A.shape[:-1]
    right = B[..., None] if is_vector else B
    solution = jnp.linalg.pinv(A, rtol=rcond) @ right
    residuals, rank = jnp.zeros(0, A.real.dtype), jnp.zeros(0, int)
    singular_values = jnp.zeros(0, A.real.dtype)
    if rows > columns and driver in ("gels", "gelss", "gelsd"):
        residuals = jnp.sum(jnp.abs(A @ solution - right) ** 2, axis=-2)
    if driver != "gels":
        rank = jnp.linalg.matrix_rank(A, rtol=rcond)
    if driver in ("gelss", "gelsd"):
        singular_values = jnp.linalg.svdvals(A)
    return solution[..., 0] if is_vector else solution, residuals, rank, singular_values


@ports("torch.linalg.tensorinv")
def tensorinv(A, ind=2):
    return jnp.linalg.tensorinv(A, ind=ind)


@ports("torch.linalg.tensorsolve")
def tensorsolve(A, B, dims: None = None):
    return jnp.linalg.tensorsolve(A, B)


# ----------------------------------------------------------------------------------- decompositions


@ports("torch.cholesky", "torch.Tensor.cholesky")
def cholesky(input, upper=False):
    return jnp.linalg.cholesky(input, upper=upper)


@ports("torch.linalg.cholesky")
def linalg_cholesky(A, *, upper=False):
    return jnp.linalg.cholesky(A, upper=upper)


@ports("torch.linalg.qr", fields=("Q", "R"))
def linalg_qr(A, mode="reduced") -> tuple[jax.Array, jax.Array]:
    if mode == "r":
        return jnp.zeros(0, A.dtype), jnp.linalg.qr(A, mode="r")
    return jnp.linalg.qr(A, mode=mode)


@ports("torch.qr", "torch.Tensor.qr", fields=("Q", "R"))
def qr(input, some=True) -> tuple[jax.Array, jax.Array]:
    return jnp.linalg.qr(input, mode="reduced" if some else "complete")


@ports("torch.linalg.svd", fields=("U", "S", "Vh"))
def linalg_svd(A, full_matrices=True) -> tuple[jax.Array, jax.Array, jax.Array]:
    return jnp.linalg.svd(A, full_matrices=full_matrices)


@ports("torch.svd", "torch.Tensor.svd", fields=("U", "S", "V"))
def svd(input, some=True) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Here the third is V, not its conjugate transpose."""
    U, S, Vh = jnp.linalg.svd(input, full_matrices=not some)
    return U, S, jnp.conj(Vh.mT)


@ports("torch.linalg.svdvals")
def svdvals(A):
    return jnp.linalg.svdvals(A)


@ports("torch.linalg.eigh", fields=("eigenvalues", "eigenvectors"))
def eigh(A, UPLO="L") -> tuple[jax.Array, jax.Array]:
    if UPLO == "L":
        return jnp.linalg.eigh(A, symmetrize_input=False)
    return jnp.linalg.eigh(A, UPLO=UPLO, symmetrize_input=False)


@ports("torch.linalg.eigvalsh")
def eigvalsh(A, UPLO="L"):
    if UPLO == "L":
        return jnp.linalg.eigvalsh(A, symmetrize_input=False)
    return jnp.linalg.eigvalsh(A, UPLO=UPLO, symmetrize_input=False)


@ports("torch.linalg.eig", fields=("eigenvalues", "eigenvectors"))
def eig(A) -> tuple[jax.Array, jax.Array]:
    return jnp.linalg.eig(A)


@ports("torch.linalg.eigvals")
def eigvals(A):
    return jnp.linalg.eigvals(A)


@ports("torch.linalg.lu", fields=("P", "L", "U"))
def lu(A, *, pivot=True) -> tuple[jax.Array, jax.Array, jax.Array]:
    if not pivot:
        raise NotImplementedError("JAX has no LU decomposition without pivoting")
    return jnp.vectorize(jax.scipy.linalg.lu, signature="(m,n)->(m,m),(m,k),(k,n)")(A)


@ports("torch.linalg.lu_factor", fields=("LU", "pivots"))
def lu_factor(A, *, pivot=True) -> tuple[jax.Array, jax.Array]:
    """torch counts pivots from 1."""
    if not pivot:
        raise NotImplementedError("JAX has no LU decomposition without pivoting")
    LU, pivots = jax.scipy.linalg.lu_factor(A)
    return LU, pivots + 1


@ports("torch.linalg.lu_solve")
def lu_solve(LU, pivots, B, *, left=True, adjoint=False):
    """The X of A @ X = B, or of X @ A = B, from the decomposition of A; torch counts pivots from 1."""
    if not left:
        return jnp.conj(lu_solve(LU, pivots, jnp.conj(B.mT), adjoint=not adjoint).mT)
    return jax.scipy.linalg.lu_solve((LU, pivots - 1), B, trans=2 if adjoint else 0)


@ports("torch.matrix_exp", "torch.linalg.matrix_exp", "torch.Tensor.matrix_exp")
def matrix_exp(A):
    return jax.scipy.linalg.expm(A)


@ports("torch.vander")
def vander(x, N=None, increasing=False):
    return jnp.vander(x, N=N, increasing=increasing)


@ports("torch.linalg.vander")
def linalg_vander(x, *, N=None):
    """Rows of rising powers, of each vector of a batch."""
    return x[..., None] ** jnp.arange(x.shape[-1] if N is None else N)
