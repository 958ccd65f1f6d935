"""Sums, means, extremes and their kin over some axes or all; running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from kerasish.ops.tensors import (
    Axis,
    TensorLike,
    as_dims,
    as_float,
    as_number,
    convert_to_tensor,
    recorded,
)


def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The sum."""
    x = convert_to_tensor(x)
    return torch.sum(x, dim=as_dims(axis, x.ndim), keepdim=keepdims)


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The mean, a float also for integers."""
    x = as_float(x)
    return torch.mean(x, dim=as_dims(axis, x.ndim), keepdim=keepdims)


def var(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The variance: the mean squared distance from the mean."""
    x = as_float(x)
    return torch.var(x, dim=as_dims(axis, x.ndim), correction=0, keepdim=keepdims)


def std(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The standard deviation: the root of the variance."""
    x = as_float(x)
    return torch.std(x, dim=as_dims(axis, x.ndim), correction=0, keepdim=keepdims)


def amax(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The largest element."""
    x = convert_to_tensor(x)
    return torch.amax(x, dim=as_dims(axis, x.ndim), keepdim=keepdims)


def amin(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The smallest element."""
    x = convert_to_tensor(x)
    return torch.amin(x, dim=as_dims(axis, x.ndim), keepdim=keepdims)


@recorded
def max(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, initial: float | None = None
) -> torch.Tensor:
    """The largest element; `initial` counts as one too."""
    largest = _extreme(amax, x, axis, keepdims, initial)
    return largest if initial is None else torch.clamp(largest, min=initial)


@recorded
def min(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, initial: float | None = None
) -> torch.Tensor:
    """The smallest element; `initial` counts as one too."""
    smallest = _extreme(amin, x, axis, keepdims, initial)
    return smallest if initial is None else torch.clamp(smallest, max=initial)


def _extreme(
    reduce: Callable, x: TensorLike, axis: Axis, keepdims: bool, initial: float | None
) -> torch.Tensor:
    x = convert_to_tensor(x)
    if x.numel() or initial is None:
        return reduce(x, axis, keepdims)
    # No elements: `initial` is the answer, in the shape that a sum has.
    return torch.full_like(sum(x, axis, keepdims), initial, dtype=x.dtype)


def ptp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The largest element minus the smallest."""
    return amax(x, axis, keepdims) - amin(x, axis, keepdims)


@recorded
def prod(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> torch.Tensor:
    """The product."""
    x = convert_to_tensor(x, dtype)
    for dim in sorted(as_dims(axis, x.ndim), reverse=True):
        x = torch.prod(x, dim=dim, keepdim=keepdims)
    return x


def all(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """Whether all elements are true."""
    x = convert_to_tensor(x)
    return torch.all(x != 0, dim=as_dims(axis, x.ndim), keepdim=keepdims)


def any(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """Whether any element is true."""
    x = convert_to_tensor(x)
    return torch.any(x != 0, dim=as_dims(axis, x.ndim), keepdim=keepdims)


def count_nonzero(x: TensorLike, axis: Axis = None) -> torch.Tensor:
    """How many elements are not 0."""
    x = convert_to_tensor(x)
    return torch.count_nonzero(x, dim=as_dims(axis, x.ndim))


def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """`log(sum(exp(x)))`, computed stably."""
    x = as_float(x)
    return torch.logsumexp(x, dim=as_dims(axis, x.ndim), keepdim=keepdims)


def _position(function: Callable, x: TensorLike, axis: int | None, keepdims: bool) -> torch.Tensor:
    x = as_number(convert_to_tensor(x))
    return function(x, dim=axis, keepdim=keepdims)


def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> torch.Tensor:
    """The index of the first largest element; without an axis, as if `x` were flat."""
    return _position(torch.argmax, x, axis, keepdims)


def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> torch.Tensor:
    """The index of the first smallest element; without an axis, as if `x` were flat."""
    return _position(torch.argmin, x, axis, keepdims)


@recorded
def average(x: TensorLike, axis: Axis = None, weights: TensorLike | None = None) -> torch.Tensor:
    """The mean, each element counting by its weight.

    Args:
        x: Any tensor.
        axis: Axes to average over; all if not given.
        weights: Of the shape of `x`, or a vector as long as the one axis.
    """
    x = as_float(x)
    if weights is None:
        return mean(x, axis)
    factors = as_float(weights).to(x.dtype)
    if factors.ndim == 1 and x.ndim > 1 and isinstance(axis, int):
        factors = factors.reshape([-1 if d == axis % x.ndim else 1 for d in range(x.ndim)])
    return sum(x * factors, axis) / sum(torch.broadcast_to(factors, x.shape), axis)


@recorded
def quantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> torch.Tensor:
    """The values below which the parts `q` of the elements lie.

    Args:
        x: Any tensor.
        q: One number in [0, 1], or a vector of them: then the result has a first axis for it.
        axis: Axes to reduce; all if not given.
        method: What to do between two elements: `"linear"`, `"lower"`, `"higher"`, `"midpoint"`
            or `"nearest"`.
        keepdims: Whether the reduced axes stay, with size 1.
    """
    return _quantile(torch.quantile, x, q, axis, method, keepdims)


@recorded
def nanquantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> torch.Tensor:
    """As `quantile`, over the elements that are not NaN."""
    return _quantile(torch.nanquantile, x, q, axis, method, keepdims)


def _quantile(
    function: Callable, x: TensorLike, q: TensorLike, axis: Axis, method: str, keepdims: bool
) -> torch.Tensor:
    x = as_float(x)
    q = as_float(q).to(x)
    dims = as_dims(axis, x.ndim)
    kept = [dim for dim in range(x.ndim) if dim not in dims]
    rows = torch.permute(x, (*kept, *dims)).reshape([x.shape[dim] for dim in kept] + [-1])
    values = function(rows, q, dim=-1, interpolation=method)
    if keepdims:
        sizes = [1 if dim in dims else x.shape[dim] for dim in range(x.ndim)]
        values = values.reshape([*q.shape, *sizes])
    return values


def percentile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> torch.Tensor:
    """As `quantile`, with `q` in [0, 100]."""
    return quantile(x, as_float(q) / 100, axis, method, keepdims)


def nanpercentile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> torch.Tensor:
    """As `percentile`, over the elements that are not NaN."""
    return nanquantile(x, as_float(q) / 100, axis, method, keepdims)


def median(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The middle element, or the mean of the two in the middle."""
    return quantile(x, 0.5, axis, "midpoint", keepdims)


def nanmedian(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """As `median`, over the elements that are not NaN."""
    return nanquantile(x, 0.5, axis, "midpoint", keepdims)


def nansum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The sum of the elements that are not NaN."""
    return sum(_without_nan(x, 0), axis, keepdims)


def nanprod(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The product of the elements that are not NaN."""
    return prod(_without_nan(x, 1), axis, keepdims)


def nanmean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The mean of the elements that are not NaN."""
    x = as_float(x)
    return torch.nanmean(x, dim=as_dims(axis, x.ndim), keepdim=keepdims)


def nanvar(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The variance of the elements that are not NaN."""
    x = as_float(x)
    return nanmean((x - nanmean(x, axis, keepdims=True)) ** 2, axis, keepdims)


def nanstd(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The standard deviation of the elements that are not NaN."""
    return torch.sqrt(nanvar(x, axis, keepdims))


def nanmax(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The largest of the elements that are not NaN; NaN where all are."""
    return _nan_extreme(amax, x, -torch.inf, axis, keepdims)


def nanmin(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> torch.Tensor:
    """The smallest of the elements that are not NaN; NaN where all are."""
    return _nan_extreme(amin, x, torch.inf, axis, keepdims)


def _nan_extreme(
    reduce: Callable, x: TensorLike, worst: float, axis: Axis, keepdims: bool
) -> torch.Tensor:
    x = convert_to_tensor(x)
    if not x.is_floating_point():
        return reduce(x, axis, keepdims)
    only_nan = all(torch.isnan(x), axis, keepdims)
    return torch.where(only_nan, torch.nan, reduce(_without_nan(x, worst), axis, keepdims))


def nanargmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> torch.Tensor:
    """The index of the largest element that is not NaN; -1 where all are."""
    return _nan_position(argmax, x, -torch.inf, axis, keepdims)


def nanargmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> torch.Tensor:
    """The index of the smallest element that is not NaN; -1 where all are."""
    return _nan_position(argmin, x, torch.inf, axis, keepdims)


def _nan_position(
    find: Callable, x: TensorLike, worst: float, axis: int | None, keepdims: bool
) -> torch.Tensor:
    x = convert_to_tensor(x)
    if not x.is_floating_point():
        return find(x, axis, keepdims)
    only_nan = all(torch.isnan(x), axis, keepdims)
    return torch.where(only_nan, -1, find(_without_nan(x, worst), axis, keepdims))


def _without_nan(x: TensorLike, value: float) -> torch.Tensor:
    x = convert_to_tensor(x)
    return torch.where(torch.isnan(x), value, x) if x.is_floating_point() else x


def cumsum(x: TensorLike, axis: int | None = None, dtype: Any = None) -> torch.Tensor:
    """The sum of each element and those before it; without an axis, as if `x` were flat."""
    x = convert_to_tensor(x, dtype)
    return torch.cumsum(torch.flatten(x) if axis is None else x, dim=axis or 0)


def cumprod(x: TensorLike, axis: int | None = None, dtype: Any = None) -> torch.Tensor:
    """The product of each element and those before it; without an axis, as if `x` were flat."""
    x = convert_to_tensor(x, dtype)
    return torch.cumprod(torch.flatten(x) if axis is None else x, dim=axis or 0)


def nancumsum(x: TensorLike, axis: int | None = None, dtype: Any = None) -> torch.Tensor:
    """As `cumsum`, NaN counting as 0."""
    return cumsum(_without_nan(x, 0), axis, dtype)


def nancumprod(x: TensorLike, axis: int | None = None, dtype: Any = None) -> torch.Tensor:
    """As `cumprod`, NaN counting as 1."""
    return cumprod(_without_nan(x, 1), axis, dtype)


@recorded
def diff(a: TensorLike, n: int = 1, axis: int = -1) -> torch.Tensor:
    """The difference of neighbours, taken `n` times."""
    return torch.diff(convert_to_tensor(a), n=n, dim=axis)


@recorded
def trapezoid(
    y: TensorLike, x: TensorLike | None = None, dx: float = 1.0, axis: int = -1
) -> torch.Tensor:
    """The area under the points `y`, joined by straight lines.

    Args:
        y: Heights.
        x: Places; evenly spaced by `dx` if not given.
        dx: The distance of neighbours, without `x`.
        axis: Along which the points follow each other.
    """
    y = as_float(y)
    if x is None:
        return torch.trapezoid(y, dx=dx, dim=axis)
    places = as_float(x)
    if places.ndim == 1 and y.ndim > 1:
        places = places.reshape([-1 if dim == axis % y.ndim else 1 for dim in range(y.ndim)])
        places = torch.broadcast_to(places, y.shape)
    return torch.trapezoid(y, places, dim=axis)


@recorded
def moments(
    x: TensorLike, axes: Axis, keepdims: bool = False, synchronized: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance over some axes.

    Raises:
        NotImplementedError: If `synchronized` is asked for; `nn.SyncBatchNorm` does that in torch.
    """
    if synchronized:
        raise NotImplementedError(
            "moments: `synchronized=True` is not available; use torch.nn.SyncBatchNorm."
        )
    x = convert_to_tensor(x)
    # float16 overflows on squares.
    wide = x.float() if x.dtype == torch.float16 else x
    variance, average = torch.var_mean(
        wide, dim=as_dims(axes, x.ndim), correction=0, keepdim=keepdims
    )
    return average.to(x.dtype), variance.to(x.dtype)
