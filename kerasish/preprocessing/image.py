"""Single images: files, arrays, sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish import ops
from kerasish.config import as_image_format
from kerasish.utils import array_to_img, img_to_array, load_img, save_img


def smart_resize(
    x: Any,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    data_format: str | None = None,
    *,
    backend_module: Any = None,
) -> np.ndarray | Tensor:
    """Resize images without distorting them: the middle of the right proportions is cut out first.

    Shapes:
        x: `(height, width, channels)` or a batch of them, or channels first
        output: the same with the new height and width

    Args:
        x: An array or a tensor.
        size: `(height, width)`.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"` or `"area"`.
        data_format: Where the channels are; the setting for images if not given.
        backend_module: Accepted for Keras's sake.

    Returns:
        An array where an array was given, else a tensor.
    """
    images = x if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    images = images if images.is_floating_point() else images.float()
    y = ops.image.resize(
        images,
        tuple(size),
        interpolation=interpolation,
        crop_to_aspect_ratio=True,
        data_format=as_image_format(data_format),
    )
    return y if isinstance(x, Tensor) else y.numpy()


__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]
