"""Boxes in the same number for each image."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.checks import positive_int


class MaxNumBoundingBoxes(Layer):
    """Cuts off or fills up the boxes of each image to a fixed number, and their labels.

    Shapes:
        input: a dict with `bounding_boxes`, itself a dict of `boxes`, `(batch, boxes, 4)`, and
            `labels`, `(batch, boxes)`; what else it holds stays
        output: the same with `max_number` boxes

    Args:
        max_number: How many boxes.
        fill_value: What fills up boxes and labels.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `max_number` is not a positive integer.
    """

    def __init__(self, max_number: int, fill_value: int = -1, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.max_number = positive_int(self, "max_number", max_number)
        self.fill_value = int(fill_value)

    def forward(self, data: Any) -> Any:
        """Cut off or fill up."""
        found = data.get("bounding_boxes") if isinstance(data, dict) else None
        if not isinstance(found, dict):
            raise ValueError(
                f'{type(self).__name__} "{self.name}" expects a dict with the key '
                f"'bounding_boxes', got {describe(data)}."
            )
        changed = {key: self._resize(value, key) for key, value in found.items()}
        return {**data, "bounding_boxes": changed}

    def _resize(self, value: Any, key: str) -> Any:
        if not isinstance(value, Tensor) or key not in ("boxes", "labels"):
            return value
        axis = -2 if key == "boxes" else -1
        value = value.narrow(axis, 0, min(value.shape[axis], self.max_number))
        missing = self.max_number - value.shape[axis]
        padding = (0, 0, 0, missing) if key == "boxes" else (0, missing)
        return F.pad(value, padding, value=self.fill_value)
