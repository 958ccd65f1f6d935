"""Images made ready for pretrained weights, by functions of the application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from kerasish.config import floatx, image_data_format
from kerasish.describe import describe
from kerasish.graph.symbolic import is_symbolic
from kerasish.layers import Rescaling


def normalize(
    x: Any, mean: Sequence[float], std: Sequence[float], data_format: str | None, name: str
) -> Any:
    """`(x / 255 - mean) / std` for each channel, in the kind of array that it is given.

    Args:
        x: Images or one image, from 0 to 255; a symbolic tensor too.
        mean: Of each channel, after division by 255.
        std: Divides the difference from the mean.
        data_format: Where the channels are.
        name: Who asks, for messages.

    Raises:
        ValueError: If the channels are not three.
    """
    axis = -1 if (data_format or image_data_format()) == "channels_last" else -3
    shape = tuple(np.shape(x))
    if len(shape) < 3 or shape[axis] != len(mean):
        raise ValueError(
            f"{name}.preprocess_input: expected {len(mean)} channels at axis {axis}, "
            f"got {describe(x)}. Pass data_format= if they are elsewhere."
        )
    sides = (-1, 1, 1) if axis == -3 else (1, 1, -1)
    means, stds = (np.reshape(values, sides) for values in (mean, std))
    if isinstance(x, Tensor):
        x = x if x.is_floating_point() else x.float()
        return (x / 255 - x.new_tensor(means)) / x.new_tensor(stds)
    if is_symbolic(x):
        return Rescaling((1 / (255 * stds)).tolist(), (-means / stds).tolist())(x)
    array = np.asarray(x)
    dtype = array.dtype if array.dtype.kind == "f" else floatx()
    return ((array / 255 - means) / stds).astype(dtype)


def imagenet_classes() -> list[str]:
    """The names of ImageNet's 1000 classes, in their order."""
    from torchvision import models

    return models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
