"""Layers that scale, shift and clip each channel, joined: one pass over the pixels, in place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kerasish.config import epsilon
from kerasish.layers.augmentation.base import Parameters
from kerasish.layers.augmentation.color import RandomBrightness
from kerasish.layers.augmentation.jitter import PCAColorJitter
from kerasish.layers.preprocessing import Normalization, Rescaling

# What does not change with the batch, and what does.
_FIXED = (Rescaling, Normalization)
_DRAWN = (PCAColorJitter, RandomBrightness)


@dataclass(frozen=True)
class Pointwise:
    """`clip(x * scale + shift)` of each value.

    Shapes:
        scale: `(channels, 1, 1)`, or `(batch, channels, 1, 1)` where images differ
        shift: likewise

    Args:
        scale: The factors; `None` for 1.
        shift: What is added; `None` for 0.
        limits: The least and the greatest result; `None` for any.
    """

    scale: Tensor | None = None
    shift: Tensor | None = None
    limits: tuple[float, float] | None = None

    def then(self, after: Pointwise) -> Pointwise | None:
        """Both in one, or `None` where clipping lies between."""
        if self.limits is not None:
            return None
        scale, shift = self.scale, self.shift
        if after.scale is not None:
            scale = after.scale if scale is None else scale * after.scale
            shift = None if shift is None else shift * after.scale
        if after.shift is not None:
            shift = after.shift if shift is None else shift + after.shift
        return Pointwise(scale, shift, after.limits)

    def apply_(self, image: Tensor, row: int) -> None:
        """Change one image of the batch, (channels, height, width), in place."""
        if self.scale is not None:
            image.mul_(self.scale if self.scale.dim() == 3 else self.scale[row])
        if self.shift is not None:
            image.add_(self.shift if self.shift.dim() == 3 else self.shift[row])
        if self.limits is not None:
            image.clamp_(*self.limits)


def is_pointwise(layer: Any) -> bool:
    """Whether the layer is one of those that `pointwise` knows, in full precision."""
    if type(layer) in _DRAWN:
        return True
    return type(layer) in _FIXED and layer.compute_dtype == torch.float32


def pointwise(layer: Any, parameters: Parameters | None, shape: tuple[int, ...]) -> Pointwise:
    """What the layer does to each value.

    Args:
        layer: One for which `is_pointwise` holds.
        parameters: What an augmentation layer drew.
        shape: Of a batch as the layer is to see it.

    Raises:
        ValueError: If a normalisation has statistics of other axes than that of the channels.
    """
    if isinstance(layer, Rescaling):
        return Pointwise(_per_channel(layer.scale), _per_channel(layer.offset))
    if isinstance(layer, Normalization):
        return _normalization(layer, shape)
    assert parameters is not None
    if isinstance(layer, RandomBrightness):
        return Pointwise(shift=parameters["shift"][:, None, None, None], limits=layer.value_range)
    low, high = layer.value_range
    color = parameters["color"] * (high - low)
    return Pointwise(
        shift=color[:, :, None, None], limits=layer.value_range if layer.clip else None
    )


def _per_channel(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1)


def _normalization(layer: Normalization, shape: tuple[int, ...]) -> Pointwise:
    if not layer.built:
        layer.build((None, *shape[1:]))
    if len(layer.mean.shape) > 1 or layer.mean.numel() not in (1, shape[1], shape[-1]):
        raise ValueError(
            f'Normalization "{layer.name}" has statistics of shape {tuple(layer.mean.shape)}; '
            "images in a data set are normalised by channel. Put it into the model."
        )
    mean = layer.mean.detach().to("cpu", torch.float32)
    deviation = layer.variance.detach().to("cpu", torch.float32).sqrt().clamp(min=epsilon())
    if layer.invert:
        return Pointwise(_per_channel(deviation), _per_channel(mean))
    return Pointwise(_per_channel(1 / deviation), _per_channel(-mean / deviation))


def joined(steps: Iterable[Pointwise]) -> list[Pointwise]:
    """As few steps as do the same."""
    result: list[Pointwise] = []
    for step in steps:
        both = result[-1].then(step) if result else None
        if both is None:
            result.append(step)
        else:
            result[-1] = both
    return result
