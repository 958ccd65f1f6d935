"""Layers that change the size of images: resizing and cropping."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.layers.augmentation.base import AugmentationLayer, Parameters
from kerasish.layers.augmentation.parts import IMAGES, map_parts
from kerasish.layers.checks import one_of, positive_int
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.streams import mapped
from kerasish.ops.image_size import resize

Size = tuple[int, int]


class _ImageSize(AugmentationLayer):
    """What layers share that change the size of images, in training and out of it.

    Args:
        height: The height of the output.
        width: The width of the output.
        data_format: `"channels_first"` or `"channels_last"`; `None` means the current one.
        **kwargs: Those of `AugmentationLayer`.
    """

    def __init__(self, height: int, width: int, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.height = positive_int(self, "height", height)
        self.width = positive_int(self, "width", width)
        self.input_spec = InputSpec(
            min_ndim=3,
            max_ndim=4,
            meaning="an image or a batch of images",
            hint="Images have a channel axis, of size 1 where they are grey.",
        )

    def _augment(self, data: Any, images: Tensor) -> Any:
        batch, size = self._measure(images)
        # The same for all samples; the parameter only says how many there are.
        return self.transform(data, {"one": torch.ones(batch, device=images.device)}, size)

    def followed(self, data: Any) -> Any:
        """Refuse: what is cut out, and how it is scaled, depends on the image's size."""
        raise TypeError(
            f'{type(self).__name__} "{self.name}" cannot be written as torch calls. Bring images '
            "to size before the model, for instance in the data set."
        )

    def output_size(self, size: Size) -> Size:
        """The size asked for."""
        return self.height, self.width

    def _largest(self, size: Size) -> tuple[float, float, float, float]:
        """Upper left corner, height and width of the largest middle part of these proportions."""
        height, width = size
        tall = max(min(height, width * self.height // self.width), 1)
        wide = max(min(width, height * self.width // self.height), 1)
        return (height - tall) // 2, (width - wide) // 2, tall, wide

    def _window(self, size: Size) -> tuple[float, float, float, float]:
        """Upper left corner, height and width of what the output shows of the input."""
        raise NotImplementedError

    def transform_boxes(self, boxes: Tensor, parameters: Parameters, size: Size) -> Tensor:
        """Boxes as the pixels move."""
        top, left, tall, wide = self._window(size)
        start = boxes.new_tensor([left, top, left, top])
        factor = boxes.new_tensor([self.width / wide, self.height / tall])
        return (boxes - start) * factor.repeat(2)

    def map(self, data: Any) -> Any:
        """A dataset, loader or iterable whose images pass through this layer as they are read.

        Args:
            data: A torch `Dataset` of rows, or a `DataLoader` or iterable of batches. Of `(x, y)`
                and `(x, y, sample_weight)` only `x` is changed.

        Returns:
            The like of it, which `fit` takes.
        """
        return mapped(data, self, type(self).__name__)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; the image format stays what it was."""
        return {**super().get_config(), "data_format": self.data_format}


class Resizing(_ImageSize):
    """Images of another size.

    Besides images, it takes `(images, labels)` and dicts with Keras's keys `images`, `labels`,
    `bounding_boxes` and `segmentation_masks`.

    Shapes:
        input: `(batch, channels, height, width)` or `(channels, height, width)`; for
            `"channels_last"`, the channels are the last axis
        output: the same with the new height and width, and of the input's type

    Args:
        height: The height of the output.
        width: The width of the output.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"` or `"area"`.
        crop_to_aspect_ratio: Whether to cut out the largest middle part of the new proportions
            first, so that nothing is distorted.
        pad_to_aspect_ratio: Whether to add borders to reach the new proportions first.
        fill_mode: What the borders are: `"constant"`.
        fill_value: The value of the borders.
        antialias: Whether to average over what is left out when making images smaller (bilinear
            and bicubic only).
        data_format: `"channels_first"` or `"channels_last"`; `None` means the current one.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> Resizing(4, 6)(torch.ones(2, 3, 8, 8)).shape
        torch.Size([2, 3, 4, 6])
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(height, width, data_format, **kwargs)
        ways = ("bilinear", "nearest", "bicubic", "area")
        self.interpolation = one_of(self, "interpolation", interpolation, ways)
        self.fill_mode = one_of(self, "fill_mode", fill_mode, ("constant",))
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError("Resizing: crop or pad to the aspect ratio, not both.")
        self.crop_to_aspect_ratio = bool(crop_to_aspect_ratio)
        self.pad_to_aspect_ratio = bool(pad_to_aspect_ratio)
        self.fill_value, self.antialias = float(fill_value), bool(antialias)

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Resize."""
        return self._resized(images, self.interpolation)

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """Resize to the nearest pixel, so that classes stay classes."""
        return self._resized(masks, "nearest")

    def _resized(self, x: Tensor, interpolation: str) -> Tensor:
        return resize(
            x,
            (self.height, self.width),
            interpolation,
            self.antialias,
            self.crop_to_aspect_ratio,
            self.pad_to_aspect_ratio,
            self.fill_mode,
            self.fill_value,
            "channels_first",
        )

    def _window(self, size: Size) -> tuple[float, float, float, float]:
        height, width = size
        if self.crop_to_aspect_ratio:
            return self._largest(size)
        if not self.pad_to_aspect_ratio:
            return 0, 0, height, width
        above = (max(height, width * self.height // self.width) - height) // 2
        beside = (max(width, height * self.width // self.height) - width) // 2
        return -above, -beside, height + 2 * above, width + 2 * beside


class CenterCrop(_ImageSize):
    """The middle of images; of smaller ones, the largest middle part of these proportions, resized.

    Besides images, it takes `(images, labels)` and dicts with Keras's keys `images`, `labels`,
    `bounding_boxes` and `segmentation_masks`.

    Shapes:
        input: `(batch, channels, height, width)` or `(channels, height, width)`; for
            `"channels_last"`, the channels are the last axis
        output: the same with the new height and width, in floating point

    Args:
        height: The height of the output.
        width: The width of the output.
        data_format: `"channels_first"` or `"channels_last"`; `None` means the current one.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a size is not positive.

    Example:
        >>> CenterCrop(2, 2)(torch.arange(16).reshape(1, 4, 4))
        tensor([[[ 5.,  6.],
                 [ 9., 10.]]])
    """

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(height, width, data_format, **kwargs)

    def forward(self, data: Any) -> Any:
        """Crop, or resize what is too small."""

        def to_float(kind: str, value: Any) -> Any:
            return value.to(self.compute_dtype) if kind == IMAGES else value

        return super().forward(map_parts(to_float, data))

    def _window(self, size: Size) -> tuple[float, float, float, float]:
        top, left = size[0] - self.height, size[1] - self.width
        if top < 0 or left < 0:
            return self._largest(size)
        return top // 2, left // 2, self.height, self.width

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Crop, or resize what is too small."""
        return self._cropped(images, "bilinear")

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """The same, to the nearest pixel."""
        return self._cropped(masks, "nearest")

    def _cropped(self, x: Tensor, interpolation: str) -> Tensor:
        top, left, tall, wide = (int(n) for n in self._window((x.shape[-2], x.shape[-1])))
        x = x[..., top : top + tall, left : left + wide]
        if (tall, wide) == (self.height, self.width):
            return x
        return resize(x, (self.height, self.width), interpolation, data_format="channels_first")
