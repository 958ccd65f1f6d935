"""Products of vectors, matrices and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import config
from kerasish.describe import describe, suggest
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded, same_type


def matmul(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The matrix product over the last two axes; the others broadcast."""
    x1, x2 = same_type(x1, x2)
    return torch.matmul(x1, x2)


@recorded
def dot(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The sum of products over the last axis of `x1` and the last but one of `x2`."""
    x1, x2 = same_type(x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    return tensordot(x1, x2, axes=(-1, 0 if x2.ndim == 1 else -2))


def inner(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The sum of products over the last axes."""
    return torch.inner(*same_type(x1, x2))


def outer(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """All products of an element of `x1` with one of `x2`, both made flat."""
    return torch.flatten(convert_to_tensor(x1))[:, None] * torch.flatten(convert_to_tensor(x2))


def vdot(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The sum of products of all elements; those of `x1` are conjugated."""
    x1, x2 = same_type(x1, x2)
    return torch.vdot(torch.flatten(x1), torch.flatten(x2))


@recorded
def tensordot(x1: TensorLike, x2: TensorLike, axes: Any = 2) -> torch.Tensor:
    """The sum of products over some axes of both.

    Args:
        x1: One tensor.
        x2: The other.
        axes: How many of the last of `x1` and first of `x2`; or which, for each.
    """
    x1, x2 = same_type(x1, x2)
    if not isinstance(axes, int):
        axes = [[axis] if isinstance(axis, int) else list(axis) for axis in axes]
    return torch.tensordot(x1, x2, dims=axes)


@recorded
def einsum(subscripts: str, *operands: TensorLike, **kwargs: Any) -> torch.Tensor:
    """The sum of products that the subscripts name: `"bij,bjk->bik"`.

    Args:
        subscripts: The axes of each operand, and of the result.
        *operands: Tensors.
        **kwargs: `optimize`, which torch decides by itself.
    """
    tensors = [convert_to_tensor(operand) for operand in operands]
    common = tensors[0].dtype
    for tensor in tensors:
        common = torch.promote_types(common, tensor.dtype)
    return torch.einsum(subscripts, *[tensor.to(common) for tensor in tensors])


def kron(x1: TensorLike, x2: TensorLike) -> torch.Tensor:
    """The Kronecker product: a copy of `x2`, scaled, for each element of `x1`."""
    return torch.kron(convert_to_tensor(x1), convert_to_tensor(x2))


@recorded
def cross(
    x1: TensorLike,
    x2: TensorLike,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> torch.Tensor:
    """The vector product in three dimensions; of vectors in two, its third component.

    Args:
        x1: Vectors on `axisa`.
        x2: Vectors on `axisb`.
        axisa: The axis of size 2 or 3 of `x1`.
        axisb: The axis of size 2 or 3 of `x2`.
        axisc: Where the result has its components.
        axis: One number for all three.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = same_type(x1, x2)
    x1, x2 = torch.movedim(x1, axisa, -1), torch.movedim(x2, axisb, -1)
    flat = x1.shape[-1] == 2 and x2.shape[-1] == 2
    x1, x2 = (F.pad(x, (0, 1)) if x.shape[-1] == 2 else x for x in (x1, x2))
    product = torch.linalg.cross(*torch.broadcast_tensors(x1, x2), dim=-1)
    return product[..., 2] if flat else torch.movedim(product, -1, axisc)


@recorded
def cdist(x: TensorLike, y: TensorLike) -> torch.Tensor:
    """The Euclidean distance of each row of `x` from each of `y`.

    Shapes:
        x: `(..., m, features)`
        y: `(..., n, features)`
        output: `(..., m, n)`
    """
    return torch.cdist(as_float(x), as_float(y))


@recorded
def corrcoef(x: TensorLike) -> torch.Tensor:
    """The correlation of each row with each."""
    rows = torch.atleast_2d(as_float(x))
    rows = rows - rows.mean(dim=1, keepdim=True)
    covariance = rows @ rows.mH
    norms = torch.linalg.vector_norm(rows, dim=1)
    return torch.squeeze(covariance / (norms[:, None] * norms))


@recorded
def correlate(x1: TensorLike, x2: TensorLike, mode: str = "valid") -> torch.Tensor:
    """The sums of products of two vectors, one moving along the other.

    Args:
        x1: One vector.
        x2: The vector that moves.
        mode: `"valid"` where they overlap fully, `"full"` where at all, `"same"` for the middle of
            `"full"`, as long as the longer one.
    """
    if mode not in ("valid", "full", "same"):
        raise ValueError(
            f"correlate: unknown mode {describe(mode)}{suggest(mode, ['valid', 'same', 'full'])}."
        )
    x1, x2 = same_type(as_float(x1), as_float(x2))
    if len(x2) > len(x1):
        return correlate(x2, x1, mode).flip(0)
    width = len(x2) - 1
    before, after = {"valid": (0, 0), "full": (width, width), "same": (len(x2) // 2, width // 2)}[
        mode
    ]
    return F.conv1d(F.pad(x1, (before, after))[None, None], x2[None, None])[0, 0]


@recorded
def vander(
    x: TensorLike,
    N: int | None = None,  # noqa: N803
    increasing: bool = False,
) -> torch.Tensor:
    """The powers of each element as rows, the highest first unless `increasing`."""
    x = convert_to_tensor(x)
    return torch.vander(x, N=N, increasing=increasing)


@recorded
def normalize(
    x: TensorLike,
    axis: int | Sequence[int] | None = -1,
    order: Any = 2,
    epsilon: float | None = None,
) -> torch.Tensor:
    """Divided by the norm along an axis (but by `epsilon`, by default 1e-7, if that is larger)."""
    x = as_float(x)
    least = config.epsilon() if epsilon is None else epsilon
    dim = axis if axis is None or isinstance(axis, int) else tuple(axis)
    norm = torch.linalg.vector_norm(x, ord=order, dim=dim, keepdim=True)
    return x / torch.clamp(norm, min=least)
