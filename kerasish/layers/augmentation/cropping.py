"""Random windows of images: plain crops, resized crops, and the short-side recipe of ResNet."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.augmentation.arguments import is_number
from kerasish.layers.augmentation.base import AugmentationLayer, Parameters
from kerasish.layers.augmentation.draws import Draws
from kerasish.layers.augmentation.warp import INTERPOLATIONS
from kerasish.layers.augmentation.windows import crop, resize, window
from kerasish.layers.checks import one_of, positive_int, sizes

Size = tuple[int, int]


class _WindowLayer(AugmentationLayer):
    """A layer that shows a window of each image, at one size."""

    computes = False
    height: int
    width: int
    interpolation: str = "bilinear"

    def output_size(self, size: Size) -> Size:
        """The window's size."""
        return self.height, self.width

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Cut out and resize."""
        return resize(
            images,
            parameters["vertical"],
            parameters["horizontal"],
            (self.height, self.width),
            self.interpolation,
        )

    def followed(self, data: Any) -> Any:
        """Refuse: outside training as well, the window depends on the image's size."""
        raise TypeError(
            f'{type(self).__name__} "{self.name}" cannot be written as torch calls. Cut images to '
            "size before the model, for instance in the data set."
        )

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """The same window, to the nearest pixel."""
        # Torch resizes uint8 and floats; float64 holds the class numbers of other types.
        moved = resize(
            masks.to(torch.float64),
            parameters["vertical"],
            parameters["horizontal"],
            (self.height, self.width),
            "nearest",
        )
        return moved.to(masks.dtype)

    def transform_boxes(self, boxes: Tensor, parameters: Parameters, size: Size) -> Tensor:
        """Boxes as the window shows them."""
        vertical, horizontal = parameters["vertical"], parameters["horizontal"]
        start = torch.stack([horizontal[:, 0], vertical[:, 0]] * 2, -1)
        step = torch.stack([horizontal[:, 1], vertical[:, 1]] * 2, -1)
        return (boxes - start[:, None]) / step[:, None]

    def _middle(self, batch: int, size: Size, device: torch.device) -> Parameters:
        """The largest window of the right aspect ratio in the middle of the image."""
        height, width = size
        tall = max(min(height, int(width * self.height / self.width)), 1)
        wide = max(min(width, int(height * self.width / self.height)), 1)
        corner = ((height - tall) // 2, (width - wide) // 2)
        return self._exactly(corner, (tall, wide), torch.ones(batch, device=device))

    def _exactly(self, corner: tuple[Any, Any], extent: tuple[Any, Any], one: Tensor) -> Parameters:
        """Windows with these upper left corners and sizes: numbers, or one for each image."""
        result = {}
        for name, start, length, count in zip(
            ("vertical", "horizontal"), corner, extent, (self.height, self.width), strict=True
        ):
            start, length = one * start, one * length
            result[name] = window(start, length / count, start, start + length)
        return result


class RandomCrop(_WindowLayer):
    """Cuts a window of a fixed size out of each image, at a place of its own.

    Outside training, and where an image is no larger than the window, the result is the largest
    window of that aspect ratio in the middle, resized.

    Shapes:
        input: `(batch, channels, height, width)`, or with the channels last, or one image
        output: the same with the window's height and width

    Args:
        height: The window's height.
        width: The window's width.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        name: The layer's name.
        padding: How many pixels to put around the image before cutting, in training.
        fill_value: The value of those pixels.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a size is not positive.

    Example:
        >>> RandomCrop(4, 6)(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 3, 4, 6])
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        *,
        padding: int = 0,
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, name=name, **kwargs)
        self.height = positive_int(self, "height", height)
        self.width = positive_int(self, "width", width)
        (self.padding,) = sizes(self, "padding", padding, 1, minimum=0)
        self.fill_value = fill_value

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """The upper left corners, counted from that of the padding."""
        spare = [
            s + 2 * self.padding - c for s, c in zip(size, self.output_size(size), strict=True)
        ]
        if min(spare) < 0 or max(spare) == 0:
            return self._middle(len(draws.keys), size, draws.keys.device)
        top, left = (draws.integers(0, room) for room in spare)
        return {"top": top, "left": left}

    def fixed(self, batch: int, size: Size, device: torch.device) -> Parameters | None:
        """The middle."""
        return None if size == self.output_size(size) else self._middle(batch, size, device)

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Cut out."""
        return self._cut(images, parameters, self.fill_value)

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """The same window; 0 in the padding."""
        if "top" not in parameters:
            return super().transform_masks(masks, parameters)
        return self._cut(masks, parameters, 0)

    def _cut(self, images: Tensor, parameters: Parameters, fill: float) -> Tensor:
        if "top" not in parameters:
            return super().transform_images(images, parameters)
        if self.padding:
            images = F.pad(images, [self.padding] * 4, value=fill)
        return crop(images, parameters["top"], parameters["left"], (self.height, self.width))

    def transform_boxes(self, boxes: Tensor, parameters: Parameters, size: Size) -> Tensor:
        """Boxes as the window shows them."""
        if "top" not in parameters:
            return super().transform_boxes(boxes, parameters, size)
        corner = torch.stack([parameters["left"], parameters["top"]] * 2, -1) - self.padding
        return boxes - corner[:, None]


class RandomResizedCrop(_WindowLayer):
    """Cuts a window of random area and aspect ratio out of each image, and resizes it.

    The usual training crop of ImageNet networks (Szegedy et al. 2015). Ten windows are tried; where
    none fits, the largest in the middle is taken. Outside training, the result is the largest
    window of the output's aspect ratio in the middle, resized.

    Shapes:
        input: `(batch, channels, height, width)`, or with the channels last, or one image
        output: the same with the new height and width

    Args:
        height: The height of the result.
        width: The width of the result.
        scale: The range of the window's area, as parts of the image's.
        ratio: The range of the window's width divided by its height; its logarithm is uniform.
        interpolation: `"bilinear"`, with anti-aliasing, or `"nearest"`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a size is not positive, or a range not one of positive numbers.
    """

    def __init__(
        self,
        height: int,
        width: int,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.height = positive_int(self, "height", height)
        self.width = positive_int(self, "width", width)
        self.scale = _positive_range(self, "scale", scale)
        self.ratio = _positive_range(self, "ratio", ratio)
        self.interpolation = one_of(self, "interpolation", interpolation, INTERPOLATIONS)

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """The first of ten windows that fits into the image."""
        height, width = size
        area = draws.uniform(*self.scale, (10,)) * (height * width)
        low, high = (math.log(end) for end in self.ratio)
        ratio = torch.exp(draws.uniform(low, high, (10,)))
        wide, tall = torch.sqrt(area * ratio).round(), torch.sqrt(area / ratio).round()
        fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
        first = fits.to(torch.int8).argmax(-1, keepdim=True)
        tall, wide = tall.gather(-1, first)[:, 0], wide.gather(-1, first)[:, 0]
        top = (draws.uniform() * (height - tall + 1)).floor()
        left = (draws.uniform() * (width - wide + 1)).floor()
        largest = self._largest(size)
        at = [(s - n) // 2 for s, n in zip(size, largest, strict=True)]
        fits = fits.any(-1)
        corner = torch.where(fits, top, at[0]), torch.where(fits, left, at[1])
        extent = torch.where(fits, tall, largest[0]), torch.where(fits, wide, largest[1])
        return self._exactly(corner, extent, torch.ones_like(top))

    def _largest(self, size: Size) -> Size:
        """The largest window whose aspect ratio is allowed."""
        height, width = size
        if width / height < self.ratio[0]:
            return round(width / self.ratio[0]), width
        return height, min(width, round(height * self.ratio[1]))

    def fixed(self, batch: int, size: Size, device: torch.device) -> Parameters | None:
        """The middle."""
        return None if size == self.output_size(size) else self._middle(batch, size, device)


class RandomShortSide(_WindowLayer):
    """Resizes each image so that its short side has a random length, then cuts out a window.

    The defaults are ResNet's training recipe: short side from 256 to 480, window of 224 × 224.
    Outside training, the short side gets the least length, and the window is that in the middle.

    Shapes:
        input: `(batch, channels, height, width)`, or with the channels last, or one image
        output: the same with the window's height and width

    Args:
        short_side: The range of lengths in pixels, both ends included, or one length.
        crop: The window's height and width, or one number for both.
        interpolation: `"bilinear"`, with anti-aliasing, or `"nearest"`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If the window does not fit into the smallest image.
    """

    def __init__(
        self,
        short_side: int | tuple[int, int] = (256, 480),
        crop: int | tuple[int, int] = 224,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        least, greatest = sizes(self, "short_side", short_side, 2)
        self.short_side = (least, greatest)
        self.height, self.width = sizes(self, "crop", crop, 2)
        self.interpolation = one_of(self, "interpolation", interpolation, INTERPOLATIONS)
        if max(self.height, self.width) > least or least > greatest:
            raise ValueError(
                f"{type(self).__name__}: `short_side` must be a range of lengths of at least the "
                f"window's {max(self.height, self.width)}, got {describe(short_side)}."
            )

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """The short sides, and the windows' places."""
        short = draws.integers(*self.short_side).to(torch.float32)
        return self._windows(short, draws.uniform(), draws.uniform(), size)

    def fixed(self, batch: int, size: Size, device: torch.device) -> Parameters:
        """The middle at the least length."""
        short = torch.full((batch,), float(self.short_side[0]), device=device)
        # In the middle, half a pixel counts as none.
        middle = torch.full_like(short, 0.5 - 1e-4)
        return self._windows(short, middle, middle, size)

    def _windows(self, short: Tensor, down: Tensor, right: Tensor, size: Size) -> Parameters:
        result = {}
        for name, place, length, count in zip(
            ("vertical", "horizontal"), (down, right), size, (self.height, self.width), strict=True
        ):
            resized = torch.floor(short * length / min(size) + 1e-4)
            step, none = length / resized, torch.zeros_like(short)
            start = (place * (resized - count + 1)).floor() * step
            result[name] = window(start, step, none, none + length)
        return result


def _positive_range(layer: Any, argument: str, value: Any) -> tuple[float, float]:
    good = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
    if not good or not 0 < value[0] <= value[1]:
        raise ValueError(
            f"{type(layer).__name__}: `{argument}` must be a pair of positive numbers, the smaller "
            f"first, got {describe(value)}."
        )
    return float(value[0]), float(value[1])
