"""Images blurred, their edges, their patches, and how alike two of them are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import config
from kerasish.describe import describe
from kerasish.ops.convolution import conv
from kerasish.ops.image_layout import as_batch, check_images, like_input
from kerasish.ops.spatial import per_axis
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded

Sizes = int | Sequence[int]


def _gaussian(size: int, sigma: float, like: torch.Tensor) -> torch.Tensor:
    places = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    return weights / weights.sum()


def _blur(x: torch.Tensor, vertical: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
    # Two passes in one direction each give the same as one with the outer product.
    channels = x.shape[1]
    x = F.conv2d(x, vertical.reshape(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(x, horizontal.reshape(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)


@recorded
def gaussian_blur(
    images: TensorLike,
    kernel_size: Sizes = (3, 3),
    sigma: float | Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> torch.Tensor:
    """Each pixel the mean of those around it, weighed by a bell curve; 0 counts as outside.

    Args:
        images: One image or a batch.
        kernel_size: How many pixels count, in width and height.
        sigma: The width of the bell, in pixels, in both directions.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
    """
    images = check_images("gaussian_blur", images)
    width, height = per_axis("gaussian_blur", "kernel_size", kernel_size, 2)
    widths = (sigma, sigma) if isinstance(sigma, (int, float)) else sigma
    x = as_batch(images, data_format)
    padded = F.pad(x, (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2))
    y = _blur(padded, _gaussian(height, float(widths[1]), x), _gaussian(width, float(widths[0]), x))
    return like_input(y, images.ndim, data_format)


@recorded
def sobel_edges(images: TensorLike, data_format: str | None = None) -> torch.Tensor:
    """How steeply each channel rises downwards and to the right, on a new last axis of size 2.

    Args:
        images: A batch of images.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
    """
    x = as_batch(check_images("sobel_edges", images), data_format)
    rightwards = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(x)
    kernels = torch.stack([rightwards.T, rightwards])[:, None].repeat(x.shape[1], 1, 1, 1)
    y = F.conv2d(x, kernels, padding=1, groups=x.shape[1])
    y = y.unflatten(1, (x.shape[1], 2)).movedim(2, -1)
    return y.movedim(1, -2) if config.as_image_format(data_format) == "channels_last" else y


@recorded
def extract_patches(
    images: TensorLike,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> torch.Tensor:
    """Blocks of pixels, each laid out on the axis of the channels.

    Args:
        images: One image or a batch.
        size: Height and width of a block (and depth, in front, for volumes).
        strides: Steps from block to block; their size if not given.
        dilation_rate: Distance of the pixels of a block.
        padding: `"valid"`, or `"same"` to fill up with 0.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.

    Shapes:
        images: `(batch, height, width, channels)`, or channels first
        output: `(batch, rows, columns, block height * block width * channels)`, or channels first
    """
    num_axes = 3 if not isinstance(size, int) and len(size) == 3 else 2
    return _patches(images, size, strides, dilation_rate, padding, data_format, num_axes)


@recorded
def extract_patches_3d(
    volumes: TensorLike,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> torch.Tensor:
    """As `extract_patches`, for volumes with three spatial axes."""
    return _patches(volumes, size, strides, dilation_rate, padding, data_format, 3)


def _patches(
    images: TensorLike,
    size: Sizes,
    strides: Sizes | None,
    dilation_rate: Sizes,
    padding: str,
    data_format: str | None,
    num_axes: int,
) -> torch.Tensor:
    x = as_float(images)
    sizes = per_axis("extract_patches", "size", size, num_axes)
    batch = x if x.ndim == num_axes + 2 else x[None]
    channels = batch.shape[1 if config.as_image_format(data_format) == "channels_first" else -1]
    count = int(torch.Size(sizes).numel()) * channels
    kernel = torch.eye(count, dtype=x.dtype, device=x.device).reshape(*sizes, channels, count)
    y = conv(
        batch, kernel, sizes if strides is None else strides, padding, data_format, dilation_rate
    )
    return y if x.ndim == num_axes + 2 else y[0]


@recorded
def ssim(
    image1: TensorLike,
    image2: TensorLike,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> torch.Tensor:
    """The structural similarity of images (Wang et al. 2004): 1 for equal ones.

    Args:
        image1: One image or a batch.
        image2: Others of the same shape.
        max_val: The largest value that a pixel can have.
        filter_size: How many pixels around each are compared.
        filter_sigma: The width, in pixels, of the bell curve that weighs them.
        k1: Keeps the comparison of brightness finite.
        k2: Keeps the comparison of contrast finite.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.

    Returns:
        One number for each pair of images.
    """
    first = as_float(check_images("ssim", image1))
    second = convert_to_tensor(image2).to(first.dtype)
    if first.shape != second.shape:
        raise ValueError(
            f"ssim: images of one shape are expected, got {describe(first)} and {describe(second)}."
        )
    x, y = as_batch(first, data_format), as_batch(second, data_format)
    bell = _gaussian(filter_size, filter_sigma, x)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return _blur(values, bell, bell)

    mean_x, mean_y = mean(x), mean(y)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    covariance = mean(x * y) - mean_x * mean_y
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    brightness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    values = (brightness * (2 * covariance + c2) / (variances + c2)).mean((1, 2, 3))
    return values if first.ndim == 4 else values[0]
