"""Well-known training recipes as pipelines."""

from __future__ import annotations

from typing import Any

from kerasish.layers.augmentation.cropping import RandomCrop, RandomShortSide
from kerasish.layers.augmentation.geometry import RandomFlip
from kerasish.layers.augmentation.jitter import PCAColorJitter
from kerasish.layers.augmentation.pipeline import Pipeline


def resnet_recipe(
    crop: int = 224,
    short_side: tuple[int, int] = (256, 480),
    *,
    value_range: Any = (0, 255),
    sigma: float = 0.1,
    seed: int | None = None,
    data_format: str | None = None,
) -> Pipeline:
    """ResNet's training recipe (He et al. 2015): short side, window, mirror, principal colours.

    Args:
        crop: The window's height and width.
        short_side: The range of the short side's lengths.
        value_range: The least and the greatest pixel value.
        sigma: The deviation of the colour jitter; see `PCAColorJitter`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.

    Example:
        >>> import torch
        >>> recipe = resnet_recipe(crop=24, short_side=(32, 48), value_range=(0, 1))
        >>> recipe(torch.rand(2, 3, 40, 50)).shape
        torch.Size([2, 3, 24, 24])
    """
    return Pipeline(
        [
            RandomShortSide(short_side, crop, data_format=data_format),
            RandomFlip("horizontal", data_format=data_format),
            PCAColorJitter(sigma, value_range, data_format=data_format),
        ],
        seed=seed,
    )


def cifar_recipe(
    size: int = 32,
    padding: int = 4,
    *,
    seed: int | None = None,
    data_format: str | None = None,
) -> Pipeline:
    """The usual recipe for small images: pad, cut out a window of the old size, mirror.

    Args:
        size: The images' height and width.
        padding: How many pixels of 0 are put around them.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
    """
    return Pipeline(
        [
            RandomCrop(size, size, padding=padding, data_format=data_format),
            RandomFlip("horizontal", data_format=data_format),
        ],
        seed=seed,
    )
