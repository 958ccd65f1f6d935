"""Random windows of images: plain crops, resized crops, and the short-side recipe of ResNet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.augmentation.arguments import is_number
from kerasish.layers.augmentation.base import AugmentationLayer, Parameters
from kerasish.layers.augmentation.draws import Draws, is_at_hand
from kerasish.layers.augmentation.warp import INTERPOLATIONS
from kerasish.layers.augmentation.windows import crop, resize, resize_one, window
from kerasish.layers.checks import one_of, positive_int, sizes

Size = tuple[int, int]
# Heights and widths of images of different sizes: floating point, (batch,) each.
Sizes = tuple[Tensor, Tensor]


class WindowLayer(AugmentationLayer):
    """A layer that shows a window of each image, at one size."""

    computes = False
    height: int
    width: int
    interpolation: str = "bilinear"

    # Whether `draw` takes images of different sizes, given as tensors.
    draws_sizes: bool = True

    def changer(self, parameters: Parameters) -> Callable[[Tensor, int], Tensor]:
        """A function that cuts one image's window out, and resizes nothing but that."""
        size, way = (self.height, self.width), self.interpolation
        if "top" in parameters:
            top, left = parameters["top"].tolist(), parameters["left"].tolist()
            return lambda x, i: x[:, top[i] : top[i] + self.height, left[i] : left[i] + self.width]
        vertical = parameters["vertical"].tolist()
        horizontal = parameters["horizontal"].tolist()
        return lambda x, i: resize_one(x, vertical[i], horizontal[i], size, way)

    def output_size(self, size: Size) -> Size:
        """The window's size."""
        return self.height, self.width

    def draw(self, draws: Draws, size: Size | Sizes) -> Parameters:
        """The windows, of images of one size or, as tensors, of different sizes."""
        raise NotImplementedError

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


class RandomCrop(WindowLayer):
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
        self.draws_sizes = not self.padding

    def draw(self, draws: Draws, size: Size | Sizes) -> Parameters:
        """The upper left corners, counted from that of the padding."""
        height, width = size
        if isinstance(height, Tensor) or isinstance(width, Tensor):
            return self._draw_windows(draws, _as_tensors(size, draws))
        spare = [height + 2 * self.padding - self.height, width + 2 * self.padding - self.width]
        if min(spare) < 0 or max(spare) == 0:
            return self._middle(len(draws.keys), (height, width), draws.keys.device)
        top, left = (draws.integers(0, room) for room in spare)
        return {"top": top, "left": left}

    def changer(self, parameters: Parameters) -> Callable[[Tensor, int], Tensor]:
        """A function that cuts one image's window out."""
        if "top" not in parameters or not self.padding:
            return super().changer(parameters)
        return super(WindowLayer, self).changer(parameters)

    def _draw_windows(self, draws: Draws, size: Sizes) -> Parameters:
        """The same for images of different sizes."""
        height, width = size
        room = height - self.height, width - self.width
        factor = torch.minimum(height / self.height, width / self.width).clamp(max=1)
        fits = factor == 1
        # Of what is too small, the largest part of these proportions, in the middle.
        extent = (factor * self.height).floor(), (factor * self.width).floor()
        corner = [
            torch.where(fits, (draws.uniform() * (free + 1)).floor(), ((side - part) / 2).floor())
            for free, side, part in zip(room, size, extent, strict=True)
        ]
        return self._exactly((corner[0], corner[1]), extent, torch.ones_like(factor))

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


class RandomResizedCrop(WindowLayer):
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

    def draw(self, draws: Draws, size: Size | Sizes) -> Parameters:
        """The first of ten windows that fits into the image."""
        units = draws.uniform(shape=(22,))
        sides = [side.reshape(-1, 1) for side in _as_tensors(size, draws)]
        if is_at_hand(units):
            # A call of NumPy costs a fifth of one of torch, which counts for a single image.
            windows = self._windows(np, units.numpy(), *(side.numpy() for side in sides))
            vertical, horizontal = (torch.from_numpy(window) for window in windows)
        else:
            vertical, horizontal = self._windows(torch, units, *sides)
        return {"vertical": vertical, "horizontal": horizontal}

    def _windows(self, xp: Any, units: Any, height: Any, width: Any) -> list[Any]:
        """The windows' numbers, with the functions of `xp`: NumPy, or torch."""
        area = (self.scale[0] + units[:, :10] * (self.scale[1] - self.scale[0])) * (height * width)
        low, high = (math.log(end) for end in self.ratio)
        ratio = xp.exp(low + units[:, 10:20] * (high - low))
        wide, tall = xp.round(xp.sqrt(area * ratio)), xp.round(xp.sqrt(area / ratio))
        fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
        first = xp.argmax(fits * 1, -1)
        rows = xp.arange(len(units), device=first.device)
        fits, result = fits[rows, first], []
        parts = zip((tall, wide), self._largest(xp, height, width), strict=True)
        for number, (part, most) in enumerate(parts):
            side, count = (height, width)[number][:, 0], (self.height, self.width)[number]
            extent = xp.where(fits, part[rows, first], most[:, 0])
            anywhere = xp.floor(units[:, 20 + number] * (side - extent + 1))
            start = xp.where(fits, anywhere, xp.floor((side - extent) / 2))
            result.append(xp.stack([start, extent / count, start, start + extent], -1))
        return result

    def _largest(self, xp: Any, height: Any, width: Any) -> tuple[Any, Any]:
        """The largest window whose aspect ratio is allowed."""
        low, high = self.ratio
        is_tall = width < height * low
        tall = xp.where(is_tall, xp.round(width / low), height)
        wide = xp.where(is_tall, width, xp.minimum(width, xp.round(height * high)))
        return tall, wide

    def fixed(self, batch: int, size: Size, device: torch.device) -> Parameters | None:
        """The middle."""
        return None if size == self.output_size(size) else self._middle(batch, size, device)


class RandomShortSide(WindowLayer):
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

    def draw(self, draws: Draws, size: Size | Sizes) -> Parameters:
        """The short sides, and the windows' places: whole pixels of the image, cut, then resized.

        Resizing first and cutting then would show the same up to parts of a pixel, and cost
        several times as much.
        """
        height, width = _as_tensors(size, draws)
        short = draws.integers(*self.short_side).to(torch.float32)
        scale = torch.minimum(height, width) / short
        corner, extent = [], []
        for side, count in zip((height, width), (self.height, self.width), strict=True):
            part = torch.minimum((count * scale).round().clamp(min=1), side)
            corner.append((draws.uniform() * (side - part + 1)).floor())
            extent.append(part)
        return self._exactly((corner[0], corner[1]), (extent[0], extent[1]), torch.ones_like(short))

    def fixed(self, batch: int, size: Size, device: torch.device) -> Parameters:
        """The middle at the least length, exactly as it is after resizing the whole image."""
        short = float(self.short_side[0])
        result = {}
        for name, length, count in zip(
            ("vertical", "horizontal"), size, (self.height, self.width), strict=True
        ):
            resized = math.floor(short * length / min(size) + 1e-4)
            step = length / resized
            # In the middle, half a pixel counts as none.
            start = math.floor((0.5 - 1e-4) * (resized - count + 1)) * step
            one = torch.ones(batch, device=device)
            result[name] = window(one * start, one * step, one * 0, one * length)
        return result


def _as_tensors(size: Size | Sizes, draws: Draws) -> Sizes:
    """Height and width as tensors on the device of the draws, without waiting for it."""
    device = draws.keys.device
    height, width = (
        side if isinstance(side, Tensor) else torch.full((), float(side), device=device)
        for side in size
    )
    return height, width


def _positive_range(layer: Any, argument: str, value: Any) -> tuple[float, float]:
    good = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
    if not good or not 0 < value[0] <= value[1]:
        raise ValueError(
            f"{type(layer).__name__}: `{argument}` must be a pair of positive numbers, the smaller "
            f"first, got {describe(value)}."
        )
    return float(value[0]), float(value[1])
