"""Convolutions with Keras's kernels, `(*spatial, in, out)`, by torch's."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import config
from kerasish.describe import describe
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
from kerasish.ops.tensors import TensorLike, convert_to_tensor, recorded

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _torch_kernel(kernel: torch.Tensor) -> torch.Tensor:
    # (*spatial, in, out) -> (out, in, *spatial)
    return torch.permute(kernel, (kernel.ndim - 1, kernel.ndim - 2, *range(kernel.ndim - 2)))


@recorded
def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> torch.Tensor:
    """Convolution over one to three spatial axes.

    Shapes:
        inputs: `(batch, in, *spatial)`, or channels last
        kernel: `(*spatial, in, out)`; a fraction of `in` convolves in groups
        output: `(batch, out, *spatial)`, or channels last

    Args:
        inputs: What to convolve.
        kernel: The weights.
        strides: Steps of the kernel.
        padding: `"valid"` for none, `"same"` for outputs of size `ceil(size / stride)`.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
        dilation_rate: Distance of the kernel's elements.

    Raises:
        ValueError: If shapes and arguments do not fit.
    """
    x = channels_first(convert_to_tensor(inputs), data_format)
    kernel = convert_to_tensor(kernel)
    num_axes = count_spatial("conv", x)
    strides = per_axis("conv", "strides", strides, num_axes)
    dilation = per_axis("conv", "dilation_rate", dilation_rate, num_axes)
    channels, per_group = x.shape[1], kernel.shape[-2]
    if channels % per_group:
        raise ValueError(
            f"conv: the {channels} channels of the input are no multiple of the kernel's "
            f"{per_group}; data_format is '{config.as_image_format(data_format)}'."
        )
    if check_padding("conv", padding) == "same":
        pairs = same_padding(x.shape[2:], kernel.shape[:-2], strides, dilation)
        x = F.pad(x, flat_padding(pairs))
    y = _CONVOLUTIONS[num_axes](
        x,
        _torch_kernel(kernel),
        stride=strides,  # type: ignore[arg-type]
        dilation=dilation,  # type: ignore[arg-type]
        groups=channels // per_group,
    )
    return as_format(y, data_format)


@recorded
def depthwise_conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> torch.Tensor:
    """Convolution of each channel by itself; arguments as in `conv`.

    Shapes:
        inputs: `(batch, in, *spatial)`, or channels last
        kernel: `(*spatial, in, multiplier)`
        output: `(batch, in * multiplier, *spatial)`, or channels last
    """
    kernel = convert_to_tensor(kernel)
    channels = convert_to_tensor(inputs).shape[
        1 if config.as_image_format(data_format) == "channels_first" else -1
    ]
    if channels != kernel.shape[-2]:
        raise ValueError(
            f"depthwise_conv: the input has {channels} channels, the kernel is {describe(kernel)}; "
            f"data_format is '{config.as_image_format(data_format)}'."
        )
    kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return conv(inputs, kernel, strides, padding, data_format, dilation_rate)


@recorded
def separable_conv(
    inputs: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> torch.Tensor:
    """Convolution of each channel by itself, then a mix of the channels; arguments as in `conv`.

    Shapes:
        inputs: `(batch, in, *spatial)`, or channels last
        depthwise_kernel: `(*spatial, in, multiplier)`
        pointwise_kernel: `(1, ..., in * multiplier, out)`
        output: `(batch, out, *spatial)`, or channels last
    """
    x = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(x, pointwise_kernel, data_format=data_format)


@recorded
def conv_transpose(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Sizes = 1,
    padding: str = "valid",
    output_padding: Sizes | None = None,
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> torch.Tensor:
    """Transposed convolution: what the gradient of a convolution does, for making things larger.

    Shapes:
        inputs: `(batch, in, *spatial)`, or channels last
        kernel: `(*spatial, out, in)`
        output: `(batch, out, *spatial)`; the size is `size * stride` with `"same"` padding,
            `(size - 1) * stride + max(kernel, stride)` with `"valid"`

    Args:
        inputs: What to convolve.
        kernel: The weights.
        strides: Distance of the input's elements in the output.
        padding: `"valid"` or `"same"`.
        output_padding: Makes the sizes `(size - 1) * stride + extent + output_padding`, with the
            kernel's extent for `"valid"`, and 1 or 0 (odd or even extent) for `"same"`.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
        dilation_rate: Distance of the kernel's elements.
    """
    x = channels_first(convert_to_tensor(inputs), data_format)
    kernel = convert_to_tensor(kernel)
    num_axes = count_spatial("conv_transpose", x)
    strides = per_axis("conv_transpose", "strides", strides, num_axes)
    dilation = per_axis("conv_transpose", "dilation_rate", dilation_rate, num_axes)
    padding = check_padding("conv_transpose", padding)
    extra: tuple[int | None, ...] = (None,) * num_axes
    if output_padding is not None:
        extra = per_axis("conv_transpose", "output_padding", output_padding, num_axes)
    if x.shape[1] != kernel.shape[-1]:
        raise ValueError(
            f"conv_transpose: the input has {x.shape[1]} channels, the kernel (*spatial, out, in) "
            f"is {describe(kernel)}; data_format is '{config.as_image_format(data_format)}'."
        )
    y = _TRANSPOSED[num_axes](
        x,
        _torch_kernel(kernel),
        stride=strides,  # type: ignore[arg-type]
        dilation=dilation,  # type: ignore[arg-type]
    )
    # torch cuts both ends alike; Keras's window may be off by one, so the whole result is cut here.
    crops = [
        _crop((width - 1) * rate + 1, stride, padding, more)
        for width, stride, rate, more in zip(
            kernel.shape[:-2], strides, dilation, extra, strict=True
        )
    ]
    y = F.pad(y, flat_padding([(-before, -after) for before, after in crops]))
    return as_format(y, data_format)


def _crop(extent: int, stride: int, padding: str, extra: int | None) -> tuple[int, int]:
    """How much of the full result to cut off at both ends; negative numbers add zeros."""
    if padding == "valid":
        return 0, -(max(stride - extent, 0) if extra is None else extra)
    total = extent - stride if extra is None else extent - extent % 2 - extra
    before = max(total // 2, 0)
    return before, total - before
