"""Images made ready for pretrained weights, by functions of the application."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from kerasish.config import floatx, image_data_format
from kerasish.describe import describe


def normalize(x: Any, weights: Any, data_format: str | None, name: str) -> Any:
    """`(x / 255 - mean) / std` for each channel, with the numbers of the weights.

    Args:
        x: Images or one image, from 0 to 255.
        weights: A member of one of torchvision's enums.
        data_format: Where the channels are.
        name: Who asks, for messages.

    Raises:
        ValueError: If the channels are not three.
    """
    transforms = weights.transforms()
    axis = -1 if (data_format or image_data_format()) == "channels_last" else -3
    shape = tuple(np.shape(x))
    if len(shape) < 3 or shape[axis] != len(transforms.mean):
        raise ValueError(
            f"{name}.preprocess_input: expected {len(transforms.mean)} channels at axis {axis}, "
            f"got {describe(x)}. Pass data_format= if they are elsewhere."
        )
    sides = (-1, 1, 1) if axis == -3 else (-1,)
    mean, std = (np.reshape(values, sides) for values in (transforms.mean, transforms.std))
    if isinstance(x, Tensor):
        x = x if x.is_floating_point() else x.float()
        return (x / 255 - x.new_tensor(mean)) / x.new_tensor(std)
    array = np.asarray(x)
    dtype = array.dtype if array.dtype.kind == "f" else floatx()
    return ((array / 255 - mean) / std).astype(dtype)
