"""Layers that prepare raw data: rescaling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.config import image_data_format
from kerasish.layers.base import Layer


class Rescaling(Layer):
    """`x * scale + offset`, in floating point; integers such as uint8 pixels are welcome.

    Shapes:
        input: any
        output: the same

    Args:
        scale: A number, or one for each channel of an image.
        offset: A number, or one for each channel of an image.
        **kwargs: Those of `Layer`.

    Example:
        >>> Rescaling(1 / 255)(torch.tensor([[0, 51, 255]], dtype=torch.uint8))
        tensor([[0.0000, 0.2000, 1.0000]])
    """

    is_transparent = True
    _scale: Tensor | None
    _offset: Tensor | None

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True
        self.register_buffer("_scale", self._per_channel(scale), persistent=False)
        self.register_buffer("_offset", self._per_channel(offset), persistent=False)

    def _per_channel(self, value: Any) -> Tensor | None:
        if isinstance(value, (int, float)):
            return None
        values = torch.as_tensor(value, dtype=self.compute_dtype)
        first = image_data_format() == "channels_first" and values.dim() == 1
        return values.reshape(-1, 1, 1) if first else values

    def own_weights(self) -> list:
        """None: scale and offset are arguments."""
        return []

    def forward(self, x: Tensor) -> Tensor:
        """Scale, then shift."""
        x = x.to(self.compute_dtype) * (self.scale if self._scale is None else self._scale)
        if self._offset is not None:
            return x + self._offset
        return x + self.offset if self.offset else x
