"""Class labels as one-hot rows, vectors of unit length, and the parts of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kerasish import config
from kerasish.describe import describe


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """One-hot rows of class numbers: row `i` has a 1 in column `x[i]`.

    Shapes:
        x: `(...)` or `(..., 1)` with more than one axis, whose last axis is then dropped
        output: `(..., num_classes)`

    Args:
        x: Class numbers from 0: an array, a list or a tensor.
        num_classes: Columns; the largest class number plus one by default.

    Returns:
        A float array, or a float tensor on the same device if `x` is a tensor.

    Raises:
        ValueError: If a class number is negative, not whole, or not below `num_classes`.

    Example:
        >>> to_categorical([0, 2], num_classes=3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if isinstance(x, torch.Tensor):
        rows = to_categorical(x.detach().cpu().numpy(), num_classes)
        return torch.from_numpy(rows).to(x.device)
    labels = np.asarray(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    whole = labels.astype(np.int64)
    if labels.size == 0 and num_classes is None:
        raise ValueError("to_categorical: without any labels, `num_classes` must be given.")
    count = int(whole.max()) + 1 if num_classes is None else int(num_classes)
    if labels.size and (whole.min() < 0 or whole.max() >= count or (whole != labels).any()):
        raise ValueError(
            f"to_categorical: labels must be whole numbers in [0, {count}), got "
            f"{describe(labels)} with values from {labels.min()} to {labels.max()}."
        )
    return np.eye(count, dtype=config.floatx())[whole]


def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """Vectors along an axis divided by their length: `x / norm(x)`; zero vectors stay zero.

    Args:
        x: An array or a tensor.
        axis: The axis that the vectors lie along.
        order: Which norm: 2 for the Euclidean length, 1 for the sum of absolute values.

    Example:
        >>> normalize([[3.0, 4.0]]).tolist()
        [[0.6, 0.8]]
    """
    if isinstance(x, torch.Tensor):
        return torch.nn.functional.normalize(x, p=order, dim=axis, eps=config.epsilon())
    array = np.atleast_1d(np.asarray(x))
    length = np.linalg.norm(array, order, axis=axis, keepdims=True)
    return array / np.where(length == 0, 1, length)


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """The parts of a batch as one value: `x`, `(x, y)` or `(x, y, sample_weight)`.

    Example:
        >>> pack_x_y_sample_weight(1, 2)
        (1, 2)
    """
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, (list, tuple)) else x


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """A batch as `(x, y, sample_weight)`, with `None` for what it lacks.

    Raises:
        ValueError: If it is a tuple of more than three.

    Example:
        >>> unpack_x_y_sample_weight((1, 2))
        (1, 2, None)
    """
    parts = tuple(data) if isinstance(data, (list, tuple)) else (data,)
    if len(parts) > 3:
        raise ValueError(
            f"A batch must be x, (x, y) or (x, y, sample_weight), got {describe(data)}."
        )
    x, y, sample_weight = (*parts, None, None, None)[:3]
    return x, y, sample_weight
