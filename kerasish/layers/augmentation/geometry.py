"""Flips, turns, zooms, shifts, shears and changes of perspective: one matrix for each image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kerasish.devices import tensor_on
from kerasish.layers.augmentation import boxes as box_formats
from kerasish.layers.augmentation.arguments import bounds
from kerasish.layers.augmentation.base import AugmentationLayer, Parameters
from kerasish.layers.augmentation.draws import Draws
from kerasish.layers.augmentation.parts import change_rows
from kerasish.layers.augmentation.warp import (
    FILL_MODES,
    INTERPOLATIONS,
    centred,
    inverse,
    perspective,
    stack_rows,
    warp,
)
from kerasish.layers.checks import fraction, one_of


class GeometricLayer(AugmentationLayer):
    """A layer that sees each image through a matrix of its own.

    A subclass defines `matrices`. Masks are moved likewise, to the nearest pixel, and boxes become
    the upright boxes around their moved corners, cut off at the image's border.

    Args:
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: What lies outside an image a b c d: `"reflect"` (d c b a | a b c d | d c b a),
            `"wrap"` (a b c d | a b c d | a b c d), `"nearest"` (a a a a | a b c d | d d d d) or
            `"constant"` (`fill_value`).
        fill_value: A pixel value.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If an argument is none of the choices.
    """

    # Whether parallel lines stay so: the last rows of all matrices are (0, 0, 1).
    is_affine: bool = False

    def __init__(
        self,
        *,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.interpolation = one_of(self, "interpolation", interpolation, INTERPOLATIONS)
        self.fill_mode = one_of(self, "fill_mode", fill_mode, FILL_MODES)
        self.fill_value = fill_value

    def matrices(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """From places in the result to places in the input: (batch, 3, 3); see `warp`."""
        raise NotImplementedError(f"{type(self).__name__} must define matrices(self, draws, size).")

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """One matrix for each image."""
        return {"matrices": self.matrices(draws, size)}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Move the pixels."""
        return warp(
            images,
            parameters["matrices"],
            self.interpolation,
            self.fill_mode,
            self.fill_value,
            affine=self.is_affine,
        )

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """Move the mask's pixels; what comes in from outside is 0 in mode "constant"."""
        # In float64, where class numbers up to 2**53 survive.
        moved = warp(
            masks.to(torch.float64),
            parameters["matrices"],
            "nearest",
            self.fill_mode,
            affine=self.is_affine,
        )
        return moved.to(masks.dtype)

    def transform_boxes(
        self, boxes: Tensor, parameters: Parameters, size: tuple[int, int]
    ) -> Tensor:
        """Move the corners."""
        return box_formats.move(boxes, inverse(parameters["matrices"]))


def joinable(first: Any, second: Any) -> bool:
    """Whether two layers in a row can see images through one matrix, the product of theirs."""
    if not isinstance(first, GeometricLayer) or not isinstance(second, GeometricLayer):
        return False
    same = ("interpolation", "fill_mode", "fill_value", "data_format", "bounding_box_format")
    return all(getattr(first, name) == getattr(second, name) for name in same)


class JoinedGeometry(GeometricLayer):
    """Geometric layers as one: pixels are interpolated once, whatever their number.

    Args:
        layers: Layers of which each is `joinable` with the next.
    """

    def __init__(self, layers: Sequence[GeometricLayer]) -> None:
        first = layers[0]
        super().__init__(
            interpolation=first.interpolation,
            fill_mode=first.fill_mode,
            fill_value=first.fill_value,
            data_format=first.data_format,
            bounding_box_format=first.bounding_box_format,
            seed=0,
            name="joined_geometry",
        )
        # In a dict, not as its children, which they already are of the pipeline they are in.
        self._members = {"layers": tuple(layers)}
        self.is_affine = all(layer.is_affine for layer in layers)

    def _draw_parameters(self, batch: int, size: tuple[int, int], device: Any) -> Parameters:
        product = None
        for layer in self._members["layers"]:
            # A later layer's result is looked up in the earlier one's: its matrix acts first.
            own = layer.matrices(layer._next_draws(batch, device), size)
            product = own if product is None else product @ own
        assert product is not None
        return {"matrices": product}


class RandomFlip(AugmentationLayer):
    """Mirrors each image, or not, with even odds.

    Args:
        mode: `"horizontal"` (left and right), `"vertical"` (top and bottom) or
            `"horizontal_and_vertical"`, which draws twice: all four results are as likely.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        rate: The odds of each mirroring.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If an argument is none of the choices.

    Example:
        >>> flip = RandomFlip("horizontal", rate=1.0)
        >>> flip(torch.tensor([[[1, 2, 3]]], dtype=torch.uint8))
        tensor([[[3, 2, 1]]], dtype=torch.uint8)
    """

    computes = False

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        *,
        rate: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        modes = ("horizontal", "vertical", "horizontal_and_vertical")
        self.mode = one_of(self, "mode", mode, modes)
        self.rate = fraction(self, "rate", rate)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Whether to mirror."""
        kinds = [kind for kind in ("horizontal", "vertical") if kind in self.mode]
        return {kind: draws.chance(self.rate) for kind in kinds}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Mirror the images drawn."""
        for kind, chosen in parameters.items():
            axis = -1 if kind == "horizontal" else -2
            images = change_rows(images, chosen, lambda x, rows, axis=axis: x.flip(axis))
        return images

    def changer(self, parameters: Parameters) -> Callable[[Tensor, int], Tensor]:
        """A function that mirrors one image, or not."""
        across, down = (
            parameters[kind].tolist() if kind in parameters else None
            for kind in ("horizontal", "vertical")
        )

        def change(image: Tensor, row: int) -> Tensor:
            image = image.flip(-1) if across and across[row] else image
            return image.flip(-2) if down and down[row] else image

        return change

    def transform_masks(self, masks: Tensor, parameters: Parameters) -> Tensor:
        """Mirror the masks likewise."""
        return self.transform_images(masks, parameters)

    def transform_boxes(
        self, boxes: Tensor, parameters: Parameters, size: tuple[int, int]
    ) -> Tensor:
        """Mirror the boxes."""
        left, top, right, bottom = boxes.unbind(-1)
        if "horizontal" in parameters:
            chosen = parameters["horizontal"][:, None]
            left, right = (
                torch.where(chosen, size[1] - right, left),
                torch.where(chosen, size[1] - left, right),
            )
        if "vertical" in parameters:
            chosen = parameters["vertical"][:, None]
            top, bottom = (
                torch.where(chosen, size[0] - bottom, top),
                torch.where(chosen, size[0] - top, bottom),
            )
        return torch.stack([left, top, right, bottom], -1)


class RandomRotation(GeometricLayer):
    """Turns each image about its centre.

    Args:
        factor: The range of angles as parts of a full turn, positive counter-clockwise: 0.2 stands
            for (-0.2, 0.2), which is -72 to 72 degrees.
        fill_mode: What lies outside: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Makes the draws repeatable.
        fill_value: What lies outside in mode `"constant"`.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [-1, 1], or a mode unknown.
    """

    is_affine = True

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            fill_mode=fill_mode,
            interpolation=interpolation,
            seed=seed,
            fill_value=fill_value,
            data_format=data_format,
            **kwargs,
        )
        self.factor = bounds(self, "factor", factor, -1, 1)

    def matrices(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """Rotations."""
        angle = draws.uniform(*self.factor) * (2 * math.pi)
        cosine, sine = torch.cos(angle), torch.sin(angle)
        turned = stack_rows((cosine, -sine, 0.0), (sine, cosine, 0.0), (0.0, 0.0, 1.0), like=angle)
        return centred(turned, size)


class RandomZoom(GeometricLayer):
    """Shows more or less of each image, about its centre, by stretching it.

    Args:
        height_factor: The range of changes: 0.2 stands for (-0.2, 0.2). Positive shows more: at
            0.2, the height of 1.2 images; at -0.2, the middle 0.8 of one.
        width_factor: The same for the width. `None` takes the height's draw, which keeps the
            aspect ratio.
        fill_mode: What lies outside: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Makes the draws repeatable.
        fill_value: What lies outside in mode `"constant"`.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a factor is not within (-1, 1], or a mode unknown.
    """

    is_affine = True

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            fill_mode=fill_mode,
            interpolation=interpolation,
            seed=seed,
            fill_value=fill_value,
            data_format=data_format,
            **kwargs,
        )
        self.height_factor = bounds(self, "height_factor", height_factor, -1, 1, open_below=True)
        self.width_factor = None
        if width_factor is not None:
            self.width_factor = bounds(self, "width_factor", width_factor, -1, 1, open_below=True)

    def matrices(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """Stretches."""
        vertical = 1 + draws.uniform(*self.height_factor)
        horizontal = vertical
        if self.width_factor is not None:
            horizontal = 1 + draws.uniform(*self.width_factor)
        rows = ((horizontal, 0.0, 0.0), (0.0, vertical, 0.0), (0.0, 0.0, 1.0))
        return centred(stack_rows(*rows, like=vertical), size)


class RandomTranslation(GeometricLayer):
    """Shifts each image.

    Args:
        height_factor: The range of shifts as parts of the height, positive downwards: 0.2 stands
            for (-0.2, 0.2).
        width_factor: The same for the width, positive to the right.
        fill_mode: What lies outside: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: Makes the draws repeatable.
        fill_value: What lies outside in mode `"constant"`.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a factor is not within [-1, 1], or a mode unknown.
    """

    is_affine = True

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            fill_mode=fill_mode,
            interpolation=interpolation,
            seed=seed,
            fill_value=fill_value,
            data_format=data_format,
            **kwargs,
        )
        self.height_factor = bounds(self, "height_factor", height_factor, -1, 1)
        self.width_factor = bounds(self, "width_factor", width_factor, -1, 1)

    def matrices(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """Shifts."""
        down = draws.uniform(*self.height_factor) * size[0]
        right = draws.uniform(*self.width_factor) * size[1]
        return stack_rows((1.0, 0.0, -right), (0.0, 1.0, -down), (0.0, 0.0, 1.0), like=down)


class RandomShear(GeometricLayer):
    """Slants each image: rows shift in proportion to their height, columns to their place.

    Args:
        x_factor: The range of horizontal slants, in pixels to the side for each pixel downwards.
            0.3 stands for (-0.3, 0.3); of two numbers, the draw gets a random sign.
        y_factor: The same for columns.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: What lies outside: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`.
        fill_value: What lies outside in mode `"constant"`.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a factor is not within [0, 1], or a mode unknown.
    """

    is_affine = True

    def __init__(
        self,
        x_factor: Any = 0.0,
        y_factor: Any = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            fill_mode=fill_mode,
            interpolation=interpolation,
            seed=seed,
            fill_value=fill_value,
            data_format=data_format,
            **kwargs,
        )
        self.x_factor = bounds(self, "x_factor", x_factor, 0, 1)
        self.y_factor = bounds(self, "y_factor", y_factor, 0, 1)

    def matrices(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """Shears, which keep the first pixel where it is, as Keras's do."""
        sign = draws.sign()
        x, y = sign * draws.uniform(*self.x_factor), sign * draws.uniform(*self.y_factor)
        return stack_rows((1.0, x, 0.0), (y, 1.0, 0.0), (0.0, 0.0, 1.0), like=x)


class RandomPerspective(GeometricLayer):
    """Moves the corners of each image, as if seen from the side.

    Args:
        factor: The probability of a change. Two numbers are a range from which each image's
            probability is drawn; one number p stands for (0, p), as in Keras; (p, p) fixes it.
        scale: How far corners move: each coordinate by up to half of `scale` times itself.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_value: What lies outside.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` or `scale` is not within [0, 1], or a mode unknown.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            fill_mode="constant",
            interpolation=interpolation,
            seed=seed,
            fill_value=fill_value,
            data_format=data_format,
            **kwargs,
        )
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)
        self.scale = fraction(self, "scale", scale)

    def matrices(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """Projective maps, or the identity."""
        chosen = draws.chance(draws.uniform(*self.factor))
        shift = draws.uniform(-0.5, 0.5, (4, 2)) * self.scale
        right, bottom = size[1] - 1, size[0] - 1
        corners = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]]
        start = tensor_on(shift.device, [corners], torch.float32)
        matrices = perspective(start, start + start * shift)
        same = torch.eye(3, device=shift.device)
        return torch.where(chosen[:, None, None], matrices, same)
