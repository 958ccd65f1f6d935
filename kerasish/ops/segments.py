"""Sums, products and extremes of the rows that share an id."""

from __future__ import annotations

import torch

from kerasish.ops.tensors import TensorLike, convert_to_tensor, recorded


def _segment(
    data: TensorLike, segment_ids: TensorLike, num_segments: int | None, reduce: str, empty: float
) -> torch.Tensor:
    data = convert_to_tensor(data)
    ids = convert_to_tensor(segment_ids).to(torch.int64)
    count = int(ids.max() + 1 if num_segments is None else num_segments)
    if not data.is_floating_point() and abs(empty) == torch.inf:
        info = torch.iinfo(data.dtype)
        empty = info.max if empty > 0 else info.min
    result = torch.full((count, *data.shape[1:]), empty, dtype=data.dtype, device=data.device)
    index = ids.reshape([-1] + [1] * (data.ndim - 1)).expand(data.shape)
    return result.scatter_reduce(0, index, data, reduce)


@recorded
def segment_sum(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    sorted: bool = False,
) -> torch.Tensor:
    """The sum of the rows that have the same id.

    Args:
        data: Rows on axis 0.
        segment_ids: The id of each row, from 0.
        num_segments: How many rows the result has; one more than the largest id if not given.
        sorted: Whether the ids are in order; not needed here.
    """
    return _segment(data, segment_ids, num_segments, "sum", 0)


@recorded
def segment_prod(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    sorted: bool = False,
) -> torch.Tensor:
    """The product of the rows that have the same id; arguments as in `segment_sum`."""
    return _segment(data, segment_ids, num_segments, "prod", 1)


@recorded
def segment_max(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    sorted: bool = False,
) -> torch.Tensor:
    """The largest of the rows that have the same id; minus infinity for ids without rows."""
    return _segment(data, segment_ids, num_segments, "amax", -torch.inf)


@recorded
def segment_min(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    sorted: bool = False,
) -> torch.Tensor:
    """The smallest of the rows that have the same id; infinity for ids without rows."""
    return _segment(data, segment_ids, num_segments, "amin", torch.inf)
