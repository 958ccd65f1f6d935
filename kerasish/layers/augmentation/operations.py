"""The operations that learned and random policies choose from, with a strength for each image.

Their names and strengths are those of AutoAugment (Cubuk et al. 2019) and its successors, as in
Pillow: turns about the middle, shears and shifts by parts of the image, enhancements by factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kerasish.layers.augmentation import pixels
from kerasish.layers.augmentation.warp import centred, stack_rows

Size = tuple[int, int]


@dataclass(frozen=True)
class Operation:
    """What may be done to an image, either to places or to pixels.

    Attributes:
        matrices: From values, one for each image, and the size: matrices for `warp`.
        change: From pixels in [0, 1] and values to pixels.
        signed: Whether a value may also be its negative.
    """

    matrices: Callable[[Tensor, Size], Tensor] | None = None
    change: Callable[[Tensor, Tensor], Tensor] | None = None
    signed: bool = False


def _shear_x(value: Tensor, size: Size) -> Tensor:
    return stack_rows((1.0, value, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), like=value)


def _shear_y(value: Tensor, size: Size) -> Tensor:
    return stack_rows((1.0, 0.0, 0.0), (value, 1.0, 0.0), (0.0, 0.0, 1.0), like=value)


def _translate_x(value: Tensor, size: Size) -> Tensor:
    return stack_rows((1.0, 0.0, -value * size[1]), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), like=value)


def _translate_y(value: Tensor, size: Size) -> Tensor:
    return stack_rows((1.0, 0.0, 0.0), (0.0, 1.0, -value * size[0]), (0.0, 0.0, 1.0), like=value)


def _rotate(value: Tensor, size: Size) -> Tensor:
    angle = value * (math.pi / 180)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    rows = ((cosine, -sine, 0.0), (sine, cosine, 0.0), (0.0, 0.0, 1.0))
    return centred(stack_rows(*rows, like=value), size)


def _brightness(images: Tensor, value: Tensor) -> Tensor:
    return (images * pixels.per_image(1 + value)).clamp(0, 1)


def _color(images: Tensor, value: Tensor) -> Tensor:
    return pixels.blend(images, pixels.grayscale(images), -value).clamp(0, 1)


def _contrast(images: Tensor, value: Tensor) -> Tensor:
    mean = pixels.grayscale(images).mean((-2, -1), keepdim=True)
    return pixels.blend(images, mean, -value).clamp(0, 1)


def _sharpness(images: Tensor, value: Tensor) -> Tensor:
    return pixels.blend(images, pixels.smooth(images), -value).clamp(0, 1)


def _posterize(images: Tensor, value: Tensor) -> Tensor:
    whole = (images * 255 + 1e-3).clamp(0, 255).to(torch.uint8)
    bits = value.round().to(torch.int64).clamp(1, 8)
    return pixels.posterize(whole, bits).to(images.dtype) / 255


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(),
    "shear_x": Operation(matrices=_shear_x, signed=True),
    "shear_y": Operation(matrices=_shear_y, signed=True),
    "translate_x": Operation(matrices=_translate_x, signed=True),
    "translate_y": Operation(matrices=_translate_y, signed=True),
    "rotate": Operation(matrices=_rotate, signed=True),
    "brightness": Operation(change=_brightness, signed=True),
    "color": Operation(change=_color, signed=True),
    "contrast": Operation(change=_contrast, signed=True),
    "sharpness": Operation(change=_sharpness, signed=True),
    "posterize": Operation(change=_posterize),
    "solarize": Operation(change=pixels.solarize),
    "auto_contrast": Operation(change=lambda images, value: pixels.auto_contrast(images)),
    "equalize": Operation(change=lambda images, value: pixels.equalize(images)),
    "invert": Operation(change=lambda images, value: 1 - images),
}

# The values at strength 0 and at strength 1: degrees, parts of the image, changes of the factor 1,
# bits, thresholds.
Space = dict[str, tuple[float, float]]

_NO_VALUE: Space = dict.fromkeys(("auto_contrast", "equalize"), (0.0, 0.0))
STANDARD_SPACE: Space = {
    "identity": (0.0, 0.0),
    **dict.fromkeys(("shear_x", "shear_y"), (0.0, 0.3)),
    **dict.fromkeys(("translate_x", "translate_y"), (0.0, 150 / 331)),
    "rotate": (0.0, 30.0),
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), (0.0, 0.9)),
    "posterize": (8.0, 4.0),
    "solarize": (1.0, 0.0),
    **_NO_VALUE,
}
# TrivialAugment's, whose shifts are by up to 32 pixels of ImageNet's 224.
WIDE_SPACE: Space = {
    **STANDARD_SPACE,
    **dict.fromkeys(("shear_x", "shear_y"), (0.0, 0.99)),
    **dict.fromkeys(("translate_x", "translate_y"), (0.0, 32 / 224)),
    "rotate": (0.0, 135.0),
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), (0.0, 0.99)),
    "posterize": (8.0, 2.0),
}
COLOR_ENHANCEMENTS = ("brightness", "color", "contrast", "sharpness")
