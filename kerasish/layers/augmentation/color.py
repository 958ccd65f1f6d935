"""Random changes of brightness, contrast, colours and sharpness."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.layers.augmentation import pixels
from kerasish.layers.augmentation.arguments import bounds, is_number, value_range_of
from kerasish.layers.augmentation.base import AugmentationLayer, Parameters
from kerasish.layers.augmentation.draws import Draws
from kerasish.layers.augmentation.parts import change_rows
from kerasish.layers.augmentation.pixels import per_image
from kerasish.layers.checks import fraction


class ColorLayer(AugmentationLayer):
    """A layer that changes pixels in place, given the least and the greatest value they may have.

    Args:
        value_range: Those two values: `(0, 255)` or `(0, 1)`. Results are kept within them.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If they are not two different numbers.
    """

    _reads_range = True

    def __init__(self, value_range: Any = (0, 255), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range_of(self, value_range)

    def to_unit(self, images: Tensor) -> Tensor:
        """From the value range to [0, 1]."""
        low, high = self.value_range
        return images if (low, high) == (0, 1) else (images - low) / (high - low)

    def from_unit(self, images: Tensor) -> Tensor:
        """The way back."""
        low, high = self.value_range
        return images if (low, high) == (0, 1) else images * (high - low) + low


class RandomBrightness(ColorLayer):
    """Adds a number to all pixels of an image.

    Args:
        factor: The range of additions, as parts of the value range: 0.2 stands for (-0.2, 0.2);
            -1 makes black, 1 white.
        value_range: The least and the greatest pixel value.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [-1, 1].
    """

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(value_range, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, -1, 1)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """What to add, in pixel values."""
        low, high = self.value_range
        return {"shift": draws.uniform(*self.factor) * (high - low)}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Add."""
        return (images + per_image(parameters["shift"])).clamp(*self.value_range)


class RandomContrast(ColorLayer):
    """Moves the pixels of each channel away from their mean or towards it: `(x - m) * f + m`.

    Args:
        factor: How far f may be from 1: of two numbers (a, b), f is from [1 - a, 1 + b]; one number
            stands for both.
        value_range: The least and the greatest pixel value.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [0, 1].
    """

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(value_range, seed=seed, **kwargs)
        pair = (factor, factor) if is_number(factor) else factor
        self.factor = bounds(self, "factor", pair, 0, 1)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """The factors."""
        return {"factor": draws.uniform(1 - self.factor[0], 1 + self.factor[1])}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Scale about the mean."""
        mean = images.mean((-2, -1), keepdim=True)
        return torch.lerp(mean, images, per_image(parameters["factor"]).to(images.dtype)).clamp(
            *self.value_range
        )


class RandomSaturation(ColorLayer):
    """Makes colours paler or stronger: multiplies the saturation by f / (1 - f).

    Args:
        factor: The range of f: 0 makes gray, 0.5 changes nothing, 1 the strongest colours. One
            number stands for a range from 0.
        value_range: The least and the greatest pixel value.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [0, 1].
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """The factors."""
        factor = draws.uniform(*self.factor)
        return {"factor": factor / (1 - factor + 1e-7)}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Scale the distance to the strongest channel."""
        pixels.check_rgb(type(self).__name__, images)
        return self.from_unit(
            pixels.scale_saturation(self.to_unit(images), parameters["factor"]).clamp(0, 1)
        )


class RandomHue(ColorLayer):
    """Turns the colours of each image around the colour circle, either way.

    Args:
        factor: The range of turns: 1 is half a turn, to the complementary colours. One number
            stands for a range from 0.
        value_range: The least and the greatest pixel value.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [0, 1].
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Parts of a full turn."""
        return {"turn": draws.sign() * draws.uniform(*self.factor) * 0.5}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Turn the hue."""
        pixels.check_rgb(type(self).__name__, images)
        turned = pixels.shift_hue(self.to_unit(images), parameters["turn"])
        return self.from_unit(turned.clamp(0, 1))


class RandomGrayscale(AugmentationLayer):
    """Takes the colours out of some images; the number of channels stays.

    Args:
        factor: The probability.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not in [0, 1].
    """

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, seed=seed, **kwargs)
        self.factor = fraction(self, "factor", factor)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Whose colours to take."""
        return {"chosen": draws.chance(self.factor)}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """The brightness in all channels."""
        return change_rows(
            images, parameters["chosen"], lambda x, rows: pixels.grayscale(x).expand_as(x)
        )


class RandomColorDegeneration(ColorLayer):
    """Mixes each image with its gray version.

    Args:
        factor: The range of the gray's share: 0 keeps the colours, 1 takes them out. One number
            stands for a range from 0.
        value_range: The least and the greatest pixel value.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [0, 1].
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """The gray's shares."""
        return {"share": draws.uniform(*self.factor)}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Mix."""
        gray = pixels.grayscale(images)
        return pixels.blend(images, gray, parameters["share"]).clamp(*self.value_range)


class RandomSharpness(ColorLayer):
    """Sharpens or softens each image: `smooth + 2 f (image - smooth)`; the border stays.

    Args:
        factor: The range of f: 0 is soft, 0.5 changes nothing, 1 is sharper. One number stands for
            a range from 0.
        value_range: The least and the greatest pixel value.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [0, 1].
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """The smooth version's shares, negative for sharper."""
        return {"share": 1 - 2 * draws.uniform(*self.factor)}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Mix with the smooth version, or away from it."""
        smooth = pixels.smooth(images)
        return pixels.blend(images, smooth, parameters["share"]).clamp(*self.value_range)
