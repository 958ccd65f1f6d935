"""Keras's two functions for images and predictions of any network trained on ImageNet."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.applications.images import imagenet_classes, normalize
from kerasish.config import as_image_format, floatx
from kerasish.describe import describe
from kerasish.graph.symbolic import is_symbolic
from kerasish.layers import Rescaling
from kerasish.models.bundle import decode

_WHO = "imagenet_utils"
_BLUE_GREEN_RED = (103.939, 116.779, 123.68)


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Make images ready in one of the three ways that networks were trained with.

    The networks of `kerasish.applications` have functions of their own, such as
    `applications.ResNet50.preprocess_input`: torchvision's weights never want "caffe".

    Args:
        x: Images or one image, from 0 to 255: an array, a tensor or a model's input. It is left as
            it is.
        data_format: Where the channels are.
        mode: `"tf"`, from -1 to 1; `"torch"`, ImageNet's mean and deviation; `"caffe"`, blue
            before red and the mean subtracted.

    Returns:
        The same kind of array, as floats.

    Raises:
        ValueError: If the mode is unknown, or the channels are not three.

    Example:
        >>> preprocess_input(np.full((3, 1, 1), 255.0), mode="tf").ravel()
        array([1., 1., 1.])
    """
    data_format = as_image_format(data_format)
    if mode == "tf":
        return normalize(x, [0.5] * 3, [0.5] * 3, data_format, _WHO)
    if mode == "torch":
        return normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], data_format, _WHO)
    if mode != "caffe":
        raise ValueError(f"{_WHO}: `mode` is 'caffe', 'tf' or 'torch', got {describe(mode)}.")
    axis = -1 if data_format == "channels_last" else -3
    mean = np.reshape(_BLUE_GREEN_RED, (-1, 1, 1) if axis == -3 else (1, 1, -1))
    if is_symbolic(x):
        return Rescaling(1.0, (-mean).tolist())(torch.flip(x, [axis]))
    ready = normalize(x, [0.0] * 3, [1 / 255] * 3, data_format, _WHO)
    flipped = torch.flip(ready, [axis]) if isinstance(ready, Tensor) else np.flip(ready, axis)
    if isinstance(flipped, Tensor):
        return flipped - flipped.new_tensor(mean)
    return (flipped - mean).astype(flipped.dtype if flipped.dtype.kind == "f" else floatx())


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[int, str, float]]]:
    """The likeliest of ImageNet's classes for each row of predictions.

    Args:
        preds: `(batch, 1000)`.
        top: How many classes to name.

    Returns:
        For each row a list of (index, name, score), best first.

    Raises:
        ValueError: If there are not 1000 predictions in a row.
    """
    return decode(preds, imagenet_classes(), top, f"{_WHO}.decode_predictions")
