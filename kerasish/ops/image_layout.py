"""What the image operations share: checks, and one axis order to work in."""

from __future__ import annotations

from typing import Any

import torch

from kerasish import config
from kerasish.describe import describe, suggest
from kerasish.ops.tensors import TensorLike, convert_to_tensor


def check_images(owner: str, images: TensorLike) -> torch.Tensor:
    """One image or a batch, as a tensor.

    Raises:
        ValueError: If it has neither three nor four axes.
    """
    images = convert_to_tensor(images)
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{owner} expects an image (3 axes) or a batch of images (4), got {describe(images)}."
        )
    return images


def channel_axis(data_format: str | None) -> int:
    """Where the channels of an image or a batch are, counted from the end."""
    return -3 if config.as_image_format(data_format) == "channels_first" else -1


def one_of(owner: str, argument: str, value: Any, known: Any) -> Any:
    """The value, if it is one of the known ones; else a ValueError that suggests the nearest."""
    if value not in known:
        raise ValueError(f"{owner}: unknown {argument} {describe(value)}{suggest(value, known)}.")
    return value


def as_batch(x: torch.Tensor, data_format: str | None) -> torch.Tensor:
    """One image or a batch as `(batch, channels, height, width)`: a view."""
    x = x if x.ndim == 4 else x[None]
    return x.movedim(-1, 1) if config.as_image_format(data_format) == "channels_last" else x


def like_input(y: torch.Tensor, ndim: int, data_format: str | None) -> torch.Tensor:
    """The way back from `as_batch`."""
    y = y.movedim(1, -1) if config.as_image_format(data_format) == "channels_last" else y
    return y if ndim == 4 else y[0]


def to_type(y: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """As that type; numbers are rounded, and kept in its range, where it is an integer type."""
    if dtype.is_floating_point:
        return y.to(dtype)
    info = torch.iinfo(dtype)
    return y.round().clamp(info.min, info.max).to(dtype)
