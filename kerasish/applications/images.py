"""Images made ready for pretrained weights, and their predictions put into words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
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


def decode(
    predictions: Any, categories: list[str], top: int, name: str
) -> list[list[tuple[int, str, float]]]:
    """The likeliest classes of each row as (index, name, score), best first.

    Args:
        predictions: `(batch, classes)`.
        categories: The name of each class.
        top: How many classes to name.
        name: Who asks, for messages.

    Raises:
        ValueError: If the predictions have another number of classes.
    """
    scores = torch.as_tensor(predictions).detach().cpu()
    if scores.dim() != 2 or scores.shape[1] != len(categories):
        raise ValueError(
            f"{name}.decode_predictions: expected shape (batch, {len(categories)}), got "
            f"{describe(predictions)}."
        )
    values, places = scores.topk(min(top, len(categories)))
    return [
        [(place, categories[place], score) for place, score in zip(row, best, strict=True)]
        for row, best in zip(places.tolist(), values.tolist(), strict=True)
    ]
