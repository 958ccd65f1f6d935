"""Picking and placing elements: take, gather, slice, scatter, where, diagonals, one-hot."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import config
from kerasish.describe import describe, suggest
from kerasish.ops.tensors import TensorLike, convert_to_tensor, is_tensor, operands, recorded


def get_item(x: TensorLike, key: Any) -> torch.Tensor:
    """`x[key]`."""
    return convert_to_tensor(x)[key]


@recorded
def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> torch.Tensor:
    """The elements (or slices along `axis`) at those indices; negative ones count from the end.

    Shapes:
        x: `(*before, size, *after)`
        indices: `(*shape,)`
        output: `(*before, *shape, *after)`
    """
    x = convert_to_tensor(x)
    indices = convert_to_tensor(indices).to(torch.int64)
    if axis is None:
        x, axis = torch.flatten(x), 0
    return x[(builtins.slice(None),) * (axis % x.ndim) + (indices,)]


@recorded
def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = None) -> torch.Tensor:
    """One element of each line along `axis` for each index; all but that axis broadcast."""
    x = convert_to_tensor(x)
    indices = convert_to_tensor(indices).to(torch.int64)
    size = x.numel() if axis is None else x.shape[axis]
    return torch.take_along_dim(x, torch.where(indices < 0, indices + size, indices), dim=axis)


def where(condition: TensorLike, x1: TensorLike | None = None, x2: TensorLike | None = None) -> Any:
    """`x1` where the condition holds, else `x2`; with the condition alone, its true indices.

    Raises:
        ValueError: If only one of `x1` and `x2` is given.
    """
    condition = convert_to_tensor(condition)
    if (x1 is None) != (x2 is None):
        raise ValueError("where: give both `x1` and `x2`, or neither.")
    if x1 is None:
        return torch.nonzero(condition, as_tuple=True)
    holds = condition if condition.dtype == torch.bool else condition != 0
    return torch.where(holds, *operands(x1, x2))


def select(
    condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0
) -> torch.Tensor:
    """The element of the first choice whose condition holds, else `default`."""
    result = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, choice, result)
    return convert_to_tensor(result)


@recorded
def slice(
    inputs: TensorLike, start_indices: Sequence[int] | TensorLike, shape: Sequence[int]
) -> torch.Tensor:
    """The block of that shape that begins at those indices."""
    x = convert_to_tensor(inputs)
    for axis, (start, length) in enumerate(zip(_integers(start_indices), shape, strict=True)):
        x = torch.narrow(x, axis, start, int(length))
    return x


@recorded
def slice_update(
    inputs: TensorLike, start_indices: Sequence[int] | TensorLike, updates: TensorLike
) -> torch.Tensor:
    """A copy, with the block that begins at those indices replaced by `updates`."""
    x = convert_to_tensor(inputs).clone()
    updates = convert_to_tensor(updates).to(x.dtype)
    block = tuple(
        builtins.slice(start, start + length)
        for start, length in zip(_integers(start_indices), updates.shape, strict=True)
    )
    x[block] = updates
    return x


def _integers(indices: Any) -> list[int]:
    return [int(index) for index in (indices.tolist() if is_tensor(indices) else indices)]


@recorded
def scatter(indices: TensorLike, values: TensorLike, shape: Sequence[int]) -> torch.Tensor:
    """Zeros of that shape with values added at those indices; those for one place add up.

    Shapes:
        indices: `(count, axes)`
        values: `(count, *shape[axes:])`
    """
    values = convert_to_tensor(values)
    x = torch.zeros(tuple(shape), dtype=values.dtype, device=values.device)
    return scatter_update(x, indices, values, reduction="add")


@recorded
def scatter_update(
    inputs: TensorLike, indices: TensorLike, updates: TensorLike, reduction: str | None = None
) -> torch.Tensor:
    """A copy with the elements (or slices) at those indices replaced by, or combined with, others.

    Args:
        inputs: Any tensor.
        indices: One row per place: its index on each of the first axes.
        updates: One element or slice per place.
        reduction: `None` replaces; `"add"`, `"max"`, `"min"`, `"mul"` combine, also where one place
            occurs several times.

    Raises:
        ValueError: If the reduction is unknown.
    """
    x = convert_to_tensor(inputs)
    indices = convert_to_tensor(indices).to(torch.int64)
    updates = convert_to_tensor(updates).to(x.dtype)
    axes = indices.shape[-1]
    places = indices.reshape(-1, axes)
    updates = updates.reshape(len(places), *x.shape[axes:])
    if reduction in (None, "add"):
        return x.index_put(tuple(places.unbind(1)), updates, accumulate=reduction == "add")
    kinds = {"max": "amax", "min": "amin", "mul": "prod"}
    if reduction not in kinds:
        raise ValueError(
            f"scatter_update: unknown reduction {describe(reduction)}"
            f"{suggest(reduction, ['add', *kinds])}."
        )
    flat = x.reshape(-1, *x.shape[axes:])
    strides = torch.tensor(x[(...,) + (0,) * (x.ndim - axes)].contiguous().stride()).to(places)
    row = (places * strides).sum(1)
    return flat.index_reduce(0, row, updates, kinds[reduction]).reshape(x.shape)


@recorded
def unravel_index(indices: TensorLike, shape: Sequence[int]) -> tuple[torch.Tensor, ...]:
    """The index on each axis of the elements that have those indices in a flat tensor."""
    indices = convert_to_tensor(indices)
    size = int(torch.Size(shape).numel())
    flat = torch.where(indices < 0, indices + size, indices)
    return tuple(part.to(indices.dtype) for part in torch.unravel_index(flat, tuple(shape)))


@recorded
def diag(x: TensorLike, k: int = 0) -> torch.Tensor:
    """The `k`-th diagonal of a matrix; or a matrix that has the vector there."""
    return torch.diag(convert_to_tensor(x), k)


@recorded
def diagflat(x: TensorLike, k: int = 0) -> torch.Tensor:
    """A matrix that has all elements on its `k`-th diagonal."""
    return torch.diagflat(convert_to_tensor(x), k)


def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> torch.Tensor:
    """The diagonals of the matrices on two axes, on a new last axis."""
    return torch.diagonal(convert_to_tensor(x), offset, axis1, axis2)


def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> torch.Tensor:
    """The sum of the diagonal of the matrices on two axes."""
    return torch.sum(torch.diagonal(convert_to_tensor(x), offset, axis1, axis2), dim=-1)


def tril(x: TensorLike, k: int = 0) -> torch.Tensor:
    """The matrices on the last two axes with 0 above their `k`-th diagonal."""
    return torch.tril(convert_to_tensor(x), k)


def triu(x: TensorLike, k: int = 0) -> torch.Tensor:
    """The matrices on the last two axes with 0 below their `k`-th diagonal."""
    return torch.triu(convert_to_tensor(x), k)


@recorded
def one_hot(
    x: TensorLike, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> torch.Tensor:
    """1 at the index of the class and 0 elsewhere; all 0 for an index out of range.

    Args:
        x: Class indices.
        num_classes: The size of the new axis.
        axis: Where the new axis goes.
        dtype: `config.floatx()` if not given.
        sparse: Not available.
    """
    if sparse:
        raise ValueError("one_hot: sparse results are not available here.")
    x = convert_to_tensor(x).to(torch.int64)
    classes = torch.arange(num_classes, device=x.device)
    hot = (x[..., None] == classes).to(config.as_dtype(dtype or config.floatx()))
    return torch.movedim(hot, -1, axis)


@recorded
def multi_hot(
    inputs: TensorLike,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
    **kwargs: Any,
) -> torch.Tensor:
    """1 at the index of each class that a row names and 0 elsewhere.

    Shapes:
        inputs: `(batch, labels)` or `(labels,)`
        output: `(batch, num_classes)` or `(num_classes,)`

    Raises:
        ValueError: If `num_classes` is missing.
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if num_classes is None:
        raise ValueError("multi_hot: give `num_classes`.")
    hot = one_hot(inputs, num_classes, axis, dtype, sparse)
    return torch.amax(hot, dim=1 if hot.ndim > 2 else 0)


@recorded
def extract_sequences(x: TensorLike, sequence_length: int, sequence_stride: int) -> torch.Tensor:
    """Windows over the last axis.

    Shapes:
        x: `(..., time)`
        output: `(..., windows, sequence_length)`
    """
    return convert_to_tensor(x).unfold(-1, sequence_length, sequence_stride)


@recorded
def unfold(
    x: TensorLike,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> torch.Tensor:
    """The blocks that a convolution would see, as columns.

    Shapes:
        x: `(batch, channels, height, width)`
        output: `(batch, channels * kernel height * kernel width, blocks)`
    """
    return F.unfold(convert_to_tensor(x), kernel_size, dilation, padding, stride)  # type: ignore[arg-type]


@recorded
def fold(
    x: TensorLike,
    output_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> torch.Tensor:
    """The way back from `unfold`: blocks put in their places, those that overlap added up."""
    return F.fold(convert_to_tensor(x), output_size, kernel_size, dilation, padding, stride)  # type: ignore[arg-type]


@recorded
def depth_to_space(
    x: TensorLike, block_size: int, data_format: str | None = "channels_last"
) -> torch.Tensor:
    """Channels moved into blocks of pixels: `block_size²` channels become a larger image.

    Shapes:
        x: `(batch, height, width, channels)`, or channels first
        output: `(batch, height * block, width * block, channels / block²)`, or channels first
    """
    x = convert_to_tensor(x)
    if config.as_image_format(data_format) == "channels_last":
        b, h, w, c = x.shape
        parts = x.reshape(b, h, w, block_size, block_size, c // block_size**2)
        return parts.permute(0, 1, 3, 2, 4, 5).reshape(b, h * block_size, w * block_size, -1)
    b, c, h, w = x.shape
    parts = x.reshape(b, c // block_size**2, block_size, block_size, h, w)
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(b, -1, h * block_size, w * block_size)


@recorded
def space_to_depth(
    x: TensorLike, block_size: int, data_format: str | None = "channels_last"
) -> torch.Tensor:
    """Blocks of pixels moved into channels: the way back from `depth_to_space`."""
    x = convert_to_tensor(x)
    if config.as_image_format(data_format) == "channels_last":
        b, h, w, c = x.shape
        h, w = h // block_size, w // block_size
        parts = x.reshape(b, h, block_size, w, block_size, c)
        return parts.permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, -1)
    b, c, h, w = x.shape
    h, w = h // block_size, w // block_size
    parts = x.reshape(b, c, h, block_size, w, block_size)
    return parts.permute(0, 1, 3, 5, 2, 4).reshape(b, -1, h, w)
