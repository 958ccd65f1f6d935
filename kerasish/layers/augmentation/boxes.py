"""Bounding boxes in their several notations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.describe import describe, suggest
from kerasish.devices import tensor_on
from kerasish.layers.augmentation.parts import plain, tv_kind

Size = tuple[int, int]

_PLAIN = ("xyxy", "yxyx", "xywh", "center_xywh")
FORMATS = (*_PLAIN, *(f"rel_{name}" for name in _PLAIN))

# Torchvision's words for the same.
_TORCHVISION = {"XYXY": "xyxy", "XYWH": "xywh", "CXCYWH": "center_xywh"}


def check_format(layer: Any, name: str | None) -> str | None:
    """The name of a notation.

    Raises:
        ValueError: If there is no such notation.
    """
    if name is not None and name not in FORMATS:
        raise ValueError(
            f"{type(layer).__name__}: unknown `bounding_box_format` {describe(name)}"
            f"{suggest(name, FORMATS)}."
        )
    return name


def _format_of(layer: Any, boxes: Tensor) -> str:
    if tv_kind(boxes) is not None:
        written = boxes.format.value  # type: ignore[attr-defined]
        if written not in _TORCHVISION:
            raise ValueError(
                f'{type(layer).__name__} "{layer.name}" cannot move boxes of format {written}; '
                f"convert them to one of {', '.join(_TORCHVISION)}."
            )
        return _TORCHVISION[written]
    if layer.bounding_box_format is None:
        raise ValueError(
            f'{type(layer).__name__} "{layer.name}" got boxes: say how they are written with '
            'bounding_box_format="xyxy", or pass torchvision.tv_tensors.BoundingBoxes.'
        )
    return layer.bounding_box_format


def _scale(size: Size, like: Tensor) -> Tensor:
    height, width = size
    return tensor_on(like.device, [width, height, width, height], like.dtype)


def to_corners(layer: Any, boxes: Tensor, size: Size) -> Tensor:
    """Boxes as left, top, right, bottom in pixels."""
    name = _format_of(layer, boxes)
    x = plain(boxes)
    x = x if x.is_floating_point() else x.to(torch.float32)
    short = name.removeprefix("rel_")
    if short == "yxyx":
        x = x[..., [1, 0, 3, 2]]
    elif short != "xyxy":
        place, extent = x[..., :2], x[..., 2:]
        place = place - extent / 2 if short == "center_xywh" else place
        x = torch.cat([place, place + extent], -1)
    return x * _scale(size, x) if name != short else x


def from_corners(layer: Any, corners: Tensor, boxes: Tensor, size: Size) -> Tensor:
    """The way back from `to_corners`, for images of a new size."""
    name = _format_of(layer, boxes)
    short = name.removeprefix("rel_")
    y = corners / _scale(size, corners) if name != short else corners
    if short == "yxyx":
        y = y[..., [1, 0, 3, 2]]
    elif short != "xyxy":
        place, extent = y[..., :2], y[..., 2:] - y[..., :2]
        place = place + extent / 2 if short == "center_xywh" else place
        y = torch.cat([place, extent], -1)
    if not boxes.is_floating_point():
        y = y.round()
    y = y.to(boxes.dtype)
    if tv_kind(boxes) is None:
        return y
    from torchvision import tv_tensors

    return tv_tensors.BoundingBoxes(
        y,  # type: ignore[call-overload]
        format=boxes.format,  # type: ignore[attr-defined]
        canvas_size=(size[0], size[1]),
    )


def clip(corners: Tensor, size: Size) -> Tensor:
    """Boxes cut off at the image's border; one that is wholly outside keeps no area."""
    limit = _scale(size, corners)
    return torch.minimum(corners.clamp(min=0), limit)


def move(corners: Tensor, forward: Tensor) -> Tensor:
    """The upright boxes around boxes whose corners are mapped by matrices.

    Shapes:
        corners: `(batch, boxes, 4)`
        forward: `(batch, 3, 3)`, from places in the input to places in the output, where the
            centre of the first pixel is at 0
        output: `(batch, boxes, 4)`
    """
    left, top, right, bottom = (corners - 0.5).unbind(-1)
    x = torch.stack([left, right, right, left], -1)
    y = torch.stack([top, top, bottom, bottom], -1)
    points = torch.stack([x, y, torch.ones_like(x)], -1)  # (batch, boxes, 4, 3)
    moved = points @ forward.to(points.dtype)[:, None].transpose(-1, -2)
    moved = moved[..., :2] / moved[..., 2:]
    return torch.cat([moved.amin(-2), moved.amax(-2)], -1) + 0.5
