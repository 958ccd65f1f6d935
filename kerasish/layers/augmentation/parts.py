"""Finding the images, boxes, masks and labels in what an augmentation layer is called on.

Plain data is told apart by its place: images alone; `(images, labels, ...)`; or a dict with Keras's
keys `images`, `labels`, `bounding_boxes`, `segmentation_masks`. Torchvision's tv_tensors say
themselves what they are, wherever they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

IMAGES, LABELS, BOXES, MASKS, OTHER = "images", "labels", "boxes", "masks", "other"

_KEYS = {
    "images": IMAGES,
    "image": IMAGES,
    "labels": LABELS,
    "label": LABELS,
    "bounding_boxes": BOXES,
    "boxes": BOXES,
    "segmentation_masks": MASKS,
    "masks": MASKS,
    "mask": MASKS,
}

Change = Callable[[str, Any], Any]


def tv_kind(value: Any) -> str | None:
    """What a tv_tensor is; `None` for everything else."""
    if type(value) is Tensor or "torchvision.tv_tensors" not in sys.modules:
        return None
    from torchvision import tv_tensors

    kinds = {
        tv_tensors.Image: IMAGES,
        tv_tensors.Video: IMAGES,
        tv_tensors.Mask: MASKS,
        tv_tensors.BoundingBoxes: BOXES,
    }
    return kinds.get(type(value))


def map_parts(change: Change, data: Any, kind: str = IMAGES) -> Any:
    """The same structure with `change(kind, value)` in place of each tensor or list of boxes."""
    if isinstance(data, dict):
        return {key: map_parts(change, value, _kind_of(key, kind)) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        if kind == BOXES and data and all(isinstance(item, Tensor) for item in data):
            return change(BOXES, data)
        kinds = [IMAGES, LABELS] if kind == IMAGES else [kind] * len(data)
        kinds += [OTHER] * (len(data) - len(kinds))
        items = [map_parts(change, item, k) for item, k in zip(data, kinds, strict=False)]
        return type(data)(items) if type(data) in (tuple, list) else type(data)(*items)
    if not isinstance(data, Tensor):
        return data
    return change(tv_kind(data) or kind, data)


def _kind_of(key: Any, kind: str) -> str:
    if kind == BOXES:  # Keras: {"boxes": ..., "labels": ...}, whose labels are the boxes' classes
        return BOXES if key == "boxes" else OTHER
    return _KEYS.get(key, OTHER)


def parts_of(data: Any) -> Iterator[tuple[str, Any]]:
    """Each kind and value that `map_parts` would change."""
    found: list[tuple[str, Any]] = []
    map_parts(lambda kind, value: found.append((kind, value)), data)
    return iter(found)


def images_in(data: Any) -> Tensor | None:
    """The first images in a structure."""
    return next((value for kind, value in parts_of(data) if kind == IMAGES), None)


def like(value: Tensor, result: Tensor) -> Tensor:
    """The result as the kind of tensor that the value was."""
    if tv_kind(value) is None:
        return result
    from torchvision import tv_tensors

    if not isinstance(value, tv_tensors.BoundingBoxes):
        return tv_tensors.wrap(result, like=value)  # type: ignore[call-arg]
    return result


def plain(value: Tensor) -> Tensor:
    """The tensor without torchvision's type."""
    return value if tv_kind(value) is None else value.as_subclass(Tensor)


def change_rows(
    images: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor | slice], Tensor]
) -> Tensor:
    """The images, those chosen changed by `change(images, rows)`, where rows are their numbers."""
    if type(images) is not Tensor or images.device.type != "cpu" or torch.compiler.is_compiling():
        # Changing all of them is cheaper than asking a GPU which to change.
        return torch.where(chosen[:, None, None, None], change(images, slice(None)), images)
    rows = chosen.nonzero()[:, 0]
    if len(rows) == len(images):
        return change(images, slice(None))
    return images.index_copy(0, rows, change(images[rows], rows)) if len(rows) else images


def to_float(x: Tensor) -> Tensor:
    """In float32, or as it is where it is more exact."""
    return x if x.dtype in (torch.float32, torch.float64) else x.to(torch.float32)


def to_type_of(result: Tensor, original: Tensor) -> Tensor:
    """In the original's type; integers rounded and kept within their range."""
    if result.dtype == original.dtype:
        return result
    if original.is_floating_point():
        return result.to(original.dtype)
    limits = torch.iinfo(original.dtype)
    return result.round().clamp_(limits.min, limits.max).to(original.dtype)
