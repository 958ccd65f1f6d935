"""Sorting, searching, counting, and distinct elements."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.ops.tensors import TensorLike, as_float, as_number, convert_to_tensor, recorded


def sort(x: TensorLike, axis: int | None = -1) -> torch.Tensor:
    """In ascending order along an axis; all elements if it is `None`."""
    x = convert_to_tensor(x)
    return torch.sort(torch.flatten(x) if axis is None else x, dim=-1 if axis is None else axis)[0]


def argsort(x: TensorLike, axis: int | None = -1) -> torch.Tensor:
    """The indices that put `x` in ascending order; equal elements keep theirs."""
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = torch.flatten(x), -1
    return torch.sort(x, dim=axis, stable=True)[1]


def argpartition(x: TensorLike, kth: int, axis: int = -1) -> torch.Tensor:
    """Indices that put the `kth` element in its sorted place, smaller ones before, larger after."""
    return argsort(x, axis)


def top_k(x: TensorLike, k: int, sorted: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """The `k` largest elements of the last axis, and their indices."""
    values, indices = torch.topk(convert_to_tensor(x), k, sorted=sorted)
    return values, indices


@recorded
def in_top_k(targets: TensorLike, predictions: TensorLike, k: int) -> torch.Tensor:
    """Whether the score of the target class is among the `k` largest; ties count.

    Shapes:
        targets: `(batch,)`
        predictions: `(batch, classes)`
        output: `(batch,)`
    """
    targets = convert_to_tensor(targets).to(torch.int64)
    predictions = convert_to_tensor(predictions)
    score = torch.gather(predictions, -1, targets[..., None])
    return torch.sum(predictions > score, dim=-1) < k


def searchsorted(
    sorted_sequence: TensorLike, values: TensorLike, side: str = "left"
) -> torch.Tensor:
    """Where values would go into a sorted vector; before equal elements, or after (`"right"`)."""
    return torch.searchsorted(
        convert_to_tensor(sorted_sequence), convert_to_tensor(values), side=side
    )


def digitize(x: TensorLike, bins: TensorLike) -> torch.Tensor:
    """The number of the bin of each element: how many of the ascending edges are not above it."""
    return torch.bucketize(convert_to_tensor(x), convert_to_tensor(bins), right=True)


@recorded
def bincount(
    x: TensorLike, weights: TensorLike | None = None, minlength: int = 0, sparse: bool = False
) -> torch.Tensor:
    """How often each number from 0 occurs, or the sum of its weights.

    Shapes:
        x: `(length,)` or `(batch, length)`, non-negative integers
        output: `(bins,)` or `(batch, bins)`
    """
    if sparse:
        raise ValueError("bincount: sparse results are not available here.")
    x = convert_to_tensor(x).to(torch.int64)
    if weights is not None:
        weights = convert_to_tensor(weights)
    if x.ndim == 1:
        return torch.bincount(x, weights, minlength)
    num_bins = max(int(x.max()) + 1, minlength)
    ones = torch.ones_like(x) if weights is None else weights
    return torch.zeros(len(x), num_bins, dtype=ones.dtype).to(x.device).scatter_add(1, x, ones)


@recorded
def histogram(
    x: TensorLike, bins: int = 10, range: tuple[float, float] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """How many elements fall into each of `bins` equal bins, and the edges of the bins.

    Args:
        x: Any tensor.
        bins: How many.
        range: The first and the last edge; the smallest and the largest element if not given.
    """
    x = as_float(x)
    low, high = (float(x.min()), float(x.max())) if range is None else range
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = torch.linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)
    inside = x[(x >= low) & (x <= high)]
    # The last bin holds its upper edge too.
    places = (torch.bucketize(inside, edges, right=True) - 1).clamp(max=bins - 1)
    return torch.bincount(places, minlength=bins), edges


@recorded
def unique(
    x: TensorLike,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements (or slices along `axis`), in ascending order.

    Args:
        x: Any tensor.
        sorted: They are in order anyway.
        return_index: Whether to return where each occurs first.
        return_inverse: Whether to return the number of its distinct element for each element.
        return_counts: Whether to return how often each occurs.
        axis: Along which slices are compared; single elements if not given.
        size: How many to return: the first ones, or, where there are fewer, others added.
        fill_value: What to add; the smallest element if not given.

    Returns:
        The elements, or a tuple of them and what else was asked for, in that order.
    """
    x = convert_to_tensor(x)
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True, dim=axis)
    numbers = inverse.flatten()
    order = torch.arange(len(numbers), device=x.device)
    index = torch.full_like(counts, len(numbers)).scatter_reduce(0, numbers, order, "amin")
    if size is not None:
        dim = 0 if axis is None else axis
        values = _resize(values, size, dim, fill_value)
        index, counts = _resize(index, size, 0, index[:1]), _resize(counts, size, 0, 0)
    wanted = [
        part
        for part, asked in (
            (index, return_index),
            (inverse, return_inverse),
            (counts, return_counts),
        )
        if asked
    ]
    return (values, *wanted) if wanted else values


def _resize(x: torch.Tensor, size: int, dim: int, fill_value: Any) -> torch.Tensor:
    if x.shape[dim] >= size:
        return x.narrow(dim, 0, size)
    first = x.narrow(dim, 0, 1)
    filler = first if fill_value is None else torch.zeros_like(first) + fill_value
    return torch.cat([x, filler.repeat_interleave(size - x.shape[dim], dim)], dim)


@recorded
def nonzero(x: TensorLike) -> tuple[torch.Tensor, ...]:
    """The indices of the elements that are not 0: one vector per axis."""
    return torch.nonzero(as_number(convert_to_tensor(x)), as_tuple=True)
