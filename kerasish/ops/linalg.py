"""Linear algebra: norms, decompositions, solutions of equations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from kerasish.ops.tensors import TensorLike, as_float, recorded


@recorded
def norm(
    x: TensorLike, ord: Any = None, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> torch.Tensor:
    """The norm of vectors (one axis), matrices (two axes), or of all elements.

    Args:
        x: Any tensor.
        ord: Which norm: a number, `"fro"` or `"nuc"`; Euclidean if not given.
        axis: The axis of the vectors, or the two of the matrices.
        keepdims: Whether the reduced axes stay, with size 1.
    """
    dim = axis if axis is None or isinstance(axis, int) else tuple(axis)
    return torch.linalg.norm(as_float(x), ord=ord, dim=dim, keepdim=keepdims)


def cholesky(x: TensorLike, upper: bool = False) -> torch.Tensor:
    """The triangular factor of a positive definite matrix: `L @ L.T`, or `U.T @ U`."""
    return torch.linalg.cholesky(as_float(x), upper=upper)


def cholesky_inverse(x: TensorLike, upper: bool = False) -> torch.Tensor:
    """The inverse of a matrix, given its Cholesky factor."""
    return torch.cholesky_inverse(as_float(x), upper=upper)


def det(x: TensorLike) -> torch.Tensor:
    """The determinant."""
    return torch.linalg.det(as_float(x))


def slogdet(x: TensorLike) -> tuple[torch.Tensor, torch.Tensor]:
    """The sign of the determinant, and the logarithm of its absolute value."""
    sign, logarithm = torch.linalg.slogdet(as_float(x))
    return sign, logarithm


def logdet(x: TensorLike) -> torch.Tensor:
    """The logarithm of the determinant; NaN where that is negative."""
    return torch.logdet(as_float(x))


def eig(x: TensorLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues and eigenvectors (as columns) of square matrices: complex numbers."""
    values, vectors = torch.linalg.eig(as_float(x))
    return values, vectors


def eigh(x: TensorLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues, ascending, and eigenvectors (as columns) of symmetric matrices."""
    values, vectors = torch.linalg.eigh(as_float(x))
    return values, vectors


def inv(x: TensorLike) -> torch.Tensor:
    """The inverse of square matrices."""
    return torch.linalg.inv(as_float(x))


def pinv(x: TensorLike, rcond: float | None = None) -> torch.Tensor:
    """The pseudo-inverse; singular values up to `rcond` times the largest count as 0."""
    return torch.linalg.pinv(as_float(x), rtol=rcond)


@recorded
def lstsq(a: TensorLike, b: TensorLike, rcond: float | None = None) -> torch.Tensor:
    """The `x` of least norm that makes `|a @ x - b|` smallest; `rcond` as in `pinv`."""
    a, b = as_float(a), as_float(b)
    solution = torch.linalg.pinv(a, rtol=rcond) @ (b[:, None] if b.ndim == 1 else b)
    return solution[:, 0] if b.ndim == 1 else solution


@recorded
def lu_factor(x: TensorLike) -> tuple[torch.Tensor, torch.Tensor]:
    """`L` (without its diagonal of ones) and `U` in one matrix, and the row exchanges, from 0."""
    factors, pivots = torch.linalg.lu_factor(as_float(x))
    return factors, pivots - 1


def matrix_rank(x: TensorLike, tol: float | None = None) -> torch.Tensor:
    """The number of singular values over `tol`."""
    return torch.linalg.matrix_rank(as_float(x), atol=tol, rtol=None if tol is None else 0.0)


def qr(x: TensorLike, mode: str = "reduced") -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal columns `Q` and upper triangular `R` with `Q @ R = x`.

    Args:
        x: Matrices on the last two axes.
        mode: `"reduced"`, or `"complete"` to add columns until `Q` is square.
    """
    q, r = torch.linalg.qr(as_float(x), mode=mode)
    return q, r


@recorded
def solve(a: TensorLike, b: TensorLike) -> torch.Tensor:
    """The `x` with `a @ x = b`."""
    return torch.linalg.solve(as_float(a), as_float(b))


@recorded
def solve_triangular(a: TensorLike, b: TensorLike, lower: bool = False) -> torch.Tensor:
    """The `x` with `a @ x = b`, for triangular `a`."""
    a, b = as_float(a), as_float(b)
    if b.ndim == a.ndim - 1:
        return torch.linalg.solve_triangular(a, b[..., None], upper=not lower)[..., 0]
    return torch.linalg.solve_triangular(a, b, upper=not lower)


def svd(x: TensorLike, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """`U`, the singular values (descending) and `V.T`, with `U @ diag(s) @ V.T = x`.

    Args:
        x: Matrices on the last two axes.
        full_matrices: Whether `U` and `V` are made square.
        compute_uv: Whether to return all three; else the singular values alone.
    """
    if not compute_uv:
        return torch.linalg.svdvals(as_float(x))
    u, s, vh = torch.linalg.svd(as_float(x), full_matrices=full_matrices)
    return u, s, vh


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """The value of a function and its derivative in a direction, by forward differentiation.

    Args:
        fun: Takes the primals; returns tensors, or a pair of them and anything else with `has_aux`.
        primals: Where.
        tangents: In which direction, one for each primal.
        has_aux: Whether the second thing that `fun` returns is passed through.
    """
    return torch.func.jvp(fun, tuple(primals), tuple(tangents), has_aux=has_aux)
