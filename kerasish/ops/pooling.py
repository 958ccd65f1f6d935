"""Pooling over one to three spatial axes."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish.ops.spatial import (
    Sizes,
    as_format,
    channels_first,
    check_padding,
    count_spatial,
    flat_padding,
    per_axis,
    same_padding,
)
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
_ADAPTIVE_AVERAGE = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}


@recorded
def max_pool(
    inputs: TensorLike,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> torch.Tensor:
    """The largest element of each window.

    Args:
        inputs: `(batch, channels, *spatial)`, or channels last.
        pool_size: Sizes of the window.
        strides: Its steps; its sizes if not given.
        padding: `"valid"` for none, `"same"` for outputs of size `ceil(size / stride)`.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
    """
    x = channels_first(convert_to_tensor(inputs), data_format)
    num_axes = count_spatial("max_pool", x)
    sizes = per_axis("max_pool", "pool_size", pool_size, num_axes)
    steps = sizes if strides is None else per_axis("max_pool", "strides", strides, num_axes)
    if check_padding("max_pool", padding) == "same":
        pairs = same_padding(x.shape[2:], sizes, steps, (1,) * num_axes)
        least = torch.finfo(x.dtype).min if x.is_floating_point() else torch.iinfo(x.dtype).min
        x = F.pad(x, flat_padding(pairs), value=least)
    return as_format(_MAX[num_axes](x, sizes, steps), data_format)  # type: ignore[arg-type]


@recorded
def average_pool(
    inputs: TensorLike,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> torch.Tensor:
    """The mean of each window, padding left out; arguments as in `max_pool`."""
    x = channels_first(as_float(inputs), data_format)
    num_axes = count_spatial("average_pool", x)
    sizes = per_axis("average_pool", "pool_size", pool_size, num_axes)
    steps = sizes if strides is None else per_axis("average_pool", "strides", strides, num_axes)
    pool = _AVERAGE[num_axes]
    if check_padding("average_pool", padding) == "valid":
        return as_format(pool(x, sizes, steps), data_format)  # type: ignore[arg-type]
    amounts = flat_padding(same_padding(x.shape[2:], sizes, steps, (1,) * num_axes))
    # The share of real elements in each window: the mean of ones that are padded alike.
    real = F.pad(torch.ones_like(x[:1, :1]), amounts)
    means = pool(F.pad(x, amounts), sizes, steps)  # type: ignore[arg-type]
    return as_format(means / pool(real, sizes, steps), data_format)  # type: ignore[arg-type]


@recorded
def adaptive_max_pool(
    inputs: TensorLike, output_size: Sizes, data_format: str | None = None
) -> torch.Tensor:
    """The largest element of each window, windows chosen so that the output has that size."""
    x = channels_first(convert_to_tensor(inputs), data_format)
    num_axes = count_spatial("adaptive_max_pool", x)
    sizes = per_axis("adaptive_max_pool", "output_size", output_size, num_axes)
    return as_format(_ADAPTIVE_MAX[num_axes](x, sizes), data_format)


@recorded
def adaptive_average_pool(
    inputs: TensorLike, output_size: Sizes, data_format: str | None = None
) -> torch.Tensor:
    """The mean of each window, windows chosen so that the output has that size."""
    x = channels_first(as_float(inputs), data_format)
    num_axes = count_spatial("adaptive_average_pool", x)
    sizes = per_axis("adaptive_average_pool", "output_size", output_size, num_axes)
    return as_format(_ADAPTIVE_AVERAGE[num_axes](x, sizes), data_format)  # type: ignore[arg-type]
