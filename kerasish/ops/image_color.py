"""Colours of images: grey, and hue, saturation and value."""

from __future__ import annotations

import torch

from kerasish import config
from kerasish.describe import describe
from kerasish.ops.image_layout import channel_axis, check_images
from kerasish.ops.tensors import TensorLike, convert_to_tensor, recorded


def _channels(owner: str, images: TensorLike, data_format: str | None) -> list[torch.Tensor]:
    images = check_images(owner, images)
    axis = channel_axis(data_format)
    if images.shape[axis] != 3:
        raise ValueError(
            f"{owner} expects 3 channels on axis {axis} (data_format "
            f"'{config.as_image_format(data_format)}'), got {describe(images)}."
        )
    return list(torch.unbind(images, axis))


@recorded
def rgb_to_grayscale(images: TensorLike, data_format: str | None = None) -> torch.Tensor:
    """The brightness: `0.2989 * red + 0.587 * green + 0.114 * blue`, as one channel.

    Args:
        images: One image or a batch; grey ones stay as they are.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
    """
    images = check_images("rgb_to_grayscale", images)
    axis = channel_axis(data_format)
    if images.shape[axis] == 1:
        return images.clone()
    red, green, blue = _channels("rgb_to_grayscale", images, data_format)
    gray = 0.2989 * red + 0.587 * green + 0.114 * blue
    return gray.to(images.dtype).unsqueeze(axis)


def _check_float(owner: str, images: torch.Tensor) -> None:
    if not images.is_floating_point():
        raise ValueError(f"{owner} expects floats in [0, 1], got {describe(images)}.")


@recorded
def rgb_to_hsv(images: TensorLike, data_format: str | None = None) -> torch.Tensor:
    """Hue, saturation and value, each in [0, 1], of red, green and blue in [0, 1]."""
    _check_float("rgb_to_hsv", convert_to_tensor(images))
    red, green, blue = _channels("rgb_to_hsv", images, data_format)
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    safe_spread = torch.where(spread > 0, spread, 1.0)
    saturation = torch.where(value > 0, spread / torch.where(value > 0, value, 1.0), 0.0)
    # The colour circle has six parts; the largest channel says in which third the hue lies.
    sixths = torch.where(
        value == red,
        (green - blue) / safe_spread,
        torch.where(
            value == green, (blue - red) / safe_spread + 2, (red - green) / safe_spread + 4
        ),
    )
    hue = torch.where(spread > 0, sixths / 6, 0.0)
    return torch.stack([hue + (hue < 0), saturation, value], dim=channel_axis(data_format))


@recorded
def hsv_to_rgb(images: TensorLike, data_format: str | None = None) -> torch.Tensor:
    """Red, green and blue of hue, saturation and value: the way back from `rgb_to_hsv`."""
    _check_float("hsv_to_rgb", convert_to_tensor(images))
    hue, saturation, value = _channels("hsv_to_rgb", images, data_format)
    sixths = torch.remainder(hue, 1.0) * 6
    strengths = (
        torch.abs(sixths - 3) - 1,
        2 - torch.abs(sixths - 2),
        2 - torch.abs(sixths - 4),
    )
    channels = [
        value * (1 - saturation * (1 - torch.clamp(strength, 0, 1))) for strength in strengths
    ]
    return torch.stack(channels, dim=channel_axis(data_format))
