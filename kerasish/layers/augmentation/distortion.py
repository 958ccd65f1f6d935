"""Bent images: lens distortion and elastic deformation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.layers.augmentation.arguments import bounds, value_range_of
from kerasish.layers.augmentation.base import AugmentationLayer, Parameters
from kerasish.layers.augmentation.draws import Draws
from kerasish.layers.augmentation.pixels import per_image
from kerasish.layers.augmentation.warp import FILL_MODES, INTERPOLATIONS, sample
from kerasish.layers.checks import one_of

Size = tuple[int, int]


class _FieldLayer(AugmentationLayer):
    """A layer that takes each pixel from a place of its own.

    A subclass defines `places`. Masks are bent likewise, to the nearest pixel.
    """

    def __init__(
        self, *, interpolation: str, fill_mode: str, fill_value: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.interpolation = one_of(self, "interpolation", interpolation, INTERPOLATIONS)
        self.fill_mode = one_of(self, "fill_mode", fill_mode, FILL_MODES)
        self.fill_value = fill_value

    def places(self, parameters: Parameters, size: Size) -> tuple[Tensor, Tensor]:
        """Where each pixel of the result comes from, x and y: each (batch, height, width)."""
        raise NotImplementedError

    def _grid(self, size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
        x = torch.arange(size[1], device=device, dtype=torch.float32)[None, None]
        y = torch.arange(size[0], device=device, dtype=torch.float32)[None, :, None]
        return x, y

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Bend the images."""
        height, width = images.shape[-2:]
        x, y = self.places(parameters, (height, width))
        return sample(images, x, y, self.interpolation, self.fill_mode, self.fill_value)

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """Bend the masks likewise."""
        height, width = masks.shape[-2:]
        x, y = self.places(parameters, (height, width))
        bent = sample(masks.to(torch.float64), x.double(), y.double(), "nearest", self.fill_mode)
        return bent.to(masks.dtype)


class RandomLensDistortion(_FieldLayer):
    """Bends straight lines as a lens does: a pixel at radius r shows radius `r * (1 + k * r²)`.

    The radius is counted from the middle, 1 at the corners. Positive k is barrel distortion (the
    corners shrink), negative pincushion distortion.

    Args:
        factor: The range of k: 0.3 stands for (-0.3, 0.3).
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: What lies outside: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`.
        fill_value: What lies outside in mode `"constant"`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within (-1/3, 1], below which the image would fold, or a mode
            is unknown.
    """

    def __init__(
        self,
        factor: Any = 0.3,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            interpolation=interpolation,
            fill_mode=fill_mode,
            fill_value=fill_value,
            seed=seed,
            data_format=data_format,
            **kwargs,
        )
        self.factor = bounds(self, "factor", factor, -1 / 3, 1, open_below=True)

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """The k of each image."""
        return {"k": draws.uniform(*self.factor)}

    def places(self, parameters: Parameters, size: Size) -> tuple[Tensor, Tensor]:
        """Further from the middle, or nearer."""
        middle_x, middle_y, radius = _middle(size)
        k = parameters["k"][:, None, None]
        x, y = self._grid(size, k.device)
        x, y = x - middle_x, y - middle_y
        stretch = 1 + k * ((x * x + y * y) / radius**2)
        return middle_x + x * stretch, middle_y + y * stretch

    def transform_boxes(self, boxes: Tensor, parameters: Parameters, size: Size) -> Tensor:
        """The upright boxes around the bent ones."""
        middle_x, middle_y, radius = _middle(size)
        left, top, right, bottom = (boxes - 0.5).unbind(-1)
        across, down = (left + right) / 2, (top + bottom) / 2
        # A bent side reaches furthest at a corner, in the middle, or where it is nearest to the
        # middle of the image.
        near_x = torch.minimum(torch.maximum(left, left.new_tensor(middle_x)), right)
        near_y = torch.minimum(torch.maximum(top, top.new_tensor(middle_y)), bottom)
        x = [left, left, right, right, across, across, left, right, near_x, near_x, left, right]
        y = [top, bottom, top, bottom, top, bottom, down, down, top, bottom, near_y, near_y]
        x, y = torch.stack(x, -1) - middle_x, torch.stack(y, -1) - middle_y
        stretch = _unbend(torch.sqrt(x * x + y * y) / radius, parameters["k"][:, None, None])
        x, y = x * stretch + middle_x, y * stretch + middle_y
        return torch.stack([x.amin(-1), y.amin(-1), x.amax(-1), y.amax(-1)], -1) + 0.5


def _middle(size: Size) -> tuple[float, float, float]:
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    return x, y, max((x * x + y * y) ** 0.5, 1e-6)


def _unbend(radius: Tensor, k: Tensor) -> Tensor:
    """The s for which `s * (1 + k * (s * radius)²)` is 1, by Newton's method."""
    bend = k * radius * radius
    s = torch.ones_like(bend)
    for _ in range(12):
        s = s - (s + bend * s**3 - 1) / (1 + 3 * bend * s * s).clamp(min=0.05)
    return s


class RandomElasticTransform(_FieldLayer):
    """Shifts each pixel a little, neighbours alike, as if printed on rubber.

    The shifts are a smooth random field: normal numbers about a tenth of the short side apart, with
    cubic interpolation between them. Boxes stay where they are.

    Args:
        factor: The probability. Two numbers are a range from which each image's probability is
            drawn; one number p stands for (0, p), as in Keras; (p, p) fixes it.
        scale: The range of strengths; one number stands for a range from 0. At 1, shifts have a
            deviation of 2 % of the short side.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: What lies outside: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`.
        fill_value: What lies outside in mode `"constant"`.
        value_range: The least and the greatest pixel value.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` or `scale` is not within [0, 1], or a mode unknown.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            interpolation=interpolation,
            fill_mode=fill_mode,
            fill_value=fill_value,
            seed=seed,
            data_format=data_format,
            **kwargs,
        )
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)
        self.scale = bounds(self, "scale", scale, 0, 1, low=0.0)
        self.value_range = value_range_of(self, value_range)

    def draw(self, draws: Draws, size: Size) -> Parameters:
        """Shifts at the knots of a coarse grid: (batch, 2, rows, columns), in pixels."""
        chosen = draws.chance(draws.uniform(*self.factor))
        strength = draws.uniform(*self.scale) * (0.02 * min(size))
        knots = [max(2, round(10 * side / min(size))) for side in size]
        shifts = draws.normal((2, *knots)) * per_image(strength)
        return {"shifts": torch.where(per_image(chosen), shifts, 0.0)}

    def places(self, parameters: Parameters, size: Size) -> tuple[Tensor, Tensor]:
        """Each place, shifted."""
        shifts = parameters["shifts"]
        field = F.interpolate(shifts, size, mode="bicubic", align_corners=True)
        x, y = self._grid(size, shifts.device)
        return x + field[:, 0], y + field[:, 1]
