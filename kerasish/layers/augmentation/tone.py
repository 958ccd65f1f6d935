"""Changes of tone and loss of detail: histograms, posterisation, inversion, blur, erasing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.devices import tensor_on
from kerasish.layers.augmentation import pixels
from kerasish.layers.augmentation.arguments import bounds, is_number
from kerasish.layers.augmentation.base import Parameters
from kerasish.layers.augmentation.color import ColorLayer
from kerasish.layers.augmentation.draws import Draws, sample_keys
from kerasish.layers.augmentation.parts import change_rows
from kerasish.layers.augmentation.pixels import per_image
from kerasish.layers.augmentation.windows import crop
from kerasish.layers.checks import positive_int


class RandomPosterization(ColorLayer):
    """Keeps only the upper bits of each pixel's eight.

    Args:
        factor: How many bits, from 1 to 8; two numbers are a range, both ends included.
        value_range: The least and the greatest pixel value.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [1, 8].
    """

    computes = False

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        pair = (factor, factor) if is_number(factor) else factor
        low, high = bounds(self, "factor", pair, 1, 8)
        self.factor = int(low), int(high)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Numbers of bits."""
        return {"bits": draws.integers(*self.factor)}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Clear the lower bits."""
        if images.dtype == torch.uint8:
            return pixels.posterize(images, parameters["bits"])
        # A little more than the exact value, which division and multiplication may have lowered.
        whole = (self.to_unit(images.to(torch.float32)) * 255 + 1e-3).clamp(0, 255)
        kept = pixels.posterize(whole.to(torch.uint8), parameters["bits"])
        return self.from_unit(kept.to(torch.float32) / 255)


class RandomInvert(ColorLayer):
    """Turns some images into their negatives.

    Args:
        factor: The probability. Two numbers are a range from which each image's probability is
            drawn; one number p stands for (0, p), as in Keras; (p, p) fixes it.
        value_range: The least and the greatest pixel value.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [0, 1].
    """

    def __init__(
        self,
        factor: Any = 1.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Which to invert."""
        return {"chosen": draws.chance(draws.uniform(*self.factor))}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """The greatest value plus the least, minus the pixel."""
        return change_rows(images, parameters["chosen"], lambda x, rows: sum(self.value_range) - x)


class Solarization(ColorLayer):
    """Inverts bright pixels: adds a number to all, then inverts those not below a threshold.

    Args:
        addition_factor: The range of additions as parts of the value range; one number stands for a
            range from 0.
        threshold_factor: The range of thresholds, likewise. 0 inverts everything.
        value_range: The least and the greatest pixel value.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a factor is not within [0, 1].
    """

    def __init__(
        self,
        addition_factor: Any = 0.0,
        threshold_factor: Any = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, seed=seed, **kwargs)
        self.addition_factor = bounds(self, "addition_factor", addition_factor, 0, 1, low=0.0)
        self.threshold_factor = bounds(self, "threshold_factor", threshold_factor, 0, 1, low=0.0)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Additions and thresholds, on the scale 0 to 1."""
        return {
            "addition": draws.uniform(*self.addition_factor),
            "threshold": draws.uniform(*self.threshold_factor),
        }

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Add, then invert what is bright."""
        x = (self.to_unit(images) + per_image(parameters["addition"])).clamp(0, 1)
        return self.from_unit(pixels.solarize(x, parameters["threshold"]))


class AutoContrast(ColorLayer):
    """Stretches each channel of each image to the whole value range, in training.

    Args:
        value_range: The least and the greatest pixel value.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If the value range is not two different numbers.
    """

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Stretch."""
        return self.from_unit(pixels.auto_contrast(self.to_unit(images)))


class Equalization(ColorLayer):
    """Spreads the values of each channel of each image evenly over the value range, in training.

    Args:
        value_range: The least and the greatest pixel value.
        bins: How many values the histogram tells apart.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `bins` is not a positive integer.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        bins: int = 256,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, **kwargs)
        self.bins = positive_int(self, "bins", bins)

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Look each value up in its channel's cumulative histogram."""
        return self.from_unit(pixels.equalize(self.to_unit(images), self.bins))


class RandomGaussianBlur(ColorLayer):
    """Blurs some images with a bell curve.

    Args:
        factor: The probability. Two numbers are a range from which each image's probability is
            drawn; one number p stands for (0, p), as in Keras; (p, p) fixes it.
        kernel_size: How many pixels the curve spans, odd; two numbers are height and width.
        sigma: The curve's standard deviation in pixels; two numbers are a range from which each
            image's is drawn, which may begin at 0.
        value_range: The least and the greatest pixel value.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` is not within [0, 1], a size even, or `sigma` not positive.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        kernel_size: Any = 3,
        sigma: Any = 1.0,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)
        pair = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        good = isinstance(pair, (tuple, list)) and len(pair) == 2
        if not good or any(not isinstance(n, int) or n < 1 or n % 2 == 0 for n in pair):
            raise ValueError(
                f"{type(self).__name__}: `kernel_size` must be an odd positive integer or two of "
                f"them, got {describe(kernel_size)}."
            )
        self.kernel_size = (pair[0], pair[1])
        pair = (sigma, sigma) if is_number(sigma) else sigma
        # Keras's own range begins at 0, where nothing is blurred.
        self.sigma = bounds(self, "sigma", pair, 0, 1e6, open_below=is_number(sigma))

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """Which to blur, and how much."""
        return {
            "chosen": draws.chance(draws.uniform(*self.factor)),
            "sigma": draws.uniform(*self.sigma),
        }

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Blur by height, then by width."""
        sigma = parameters["sigma"][:, None].expand(-1, 2)
        return change_rows(
            images,
            parameters["chosen"],
            lambda x, rows: pixels.blur(x, self.kernel_size, sigma[rows]),
        )


# Each image's noise is cut out of one field at a random place, so many pixels from its corner.
_SPARE = 64


_noise_fields: dict[tuple, Tensor] = {}


def _noise_field(channels: int, height: int, width: int, device: torch.device) -> Tensor:
    key = (channels, height, width, device)
    if key not in _noise_fields:
        draws = Draws(sample_keys(torch.arange(1, device=device)))
        field = draws.normal((channels, height + _SPARE, width + _SPARE))
        if type(field) is not Tensor:  # while shapes are worked out, without data
            return field
        if len(_noise_fields) >= 4:
            _noise_fields.clear()
        _noise_fields[key] = field
    return _noise_fields[key]


class RandomErasing(ColorLayer):
    """Covers a rectangle of some images.

    Args:
        factor: The probability. Two numbers are a range from which each image's probability is
            drawn; one number p stands for (0, p), as in Keras; (p, p) fixes it.
        scale: The range of the rectangle's area, as parts of the image's: each side is the root of
            a draw from it, as part of the image's side.
        fill_value: What covers it: a pixel value, or one for each channel. `None` is normal noise.
        value_range: The least and the greatest pixel value.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `factor` or `scale` is not within [0, 1], or `fill_value` not a pixel value.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1, low=0.0)
        self.scale = bounds(self, "scale", scale, 0, 1, low=0.0)
        several = isinstance(fill_value, (tuple, list)) and all(map(is_number, fill_value))
        if fill_value is not None and not is_number(fill_value) and not several:
            raise ValueError(
                f"{type(self).__name__}: `fill_value` must be None, a pixel value, or one for each "
                f"channel, got {describe(fill_value)}."
            )
        self.fill_value = fill_value

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """The rectangles, empty where nothing is erased."""
        chosen = draws.chance(draws.uniform(*self.factor))
        parameters: Parameters = {"place": draws.integers(0, _SPARE - 1, (2,))}
        for name, length in zip(("rows", "columns"), size, strict=True):
            side = torch.sqrt(draws.uniform(*self.scale)) * length
            start = draws.uniform() * (length - side)
            place = torch.arange(length, device=start.device)
            inside = (place >= start[:, None]) & (place < (start + side)[:, None])
            parameters[name] = inside & chosen[:, None]
        return parameters

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Cover the rectangles."""
        covered = parameters["rows"][:, None, :, None] & parameters["columns"][:, None, None, :]
        return torch.where(covered, self._fill(images, parameters), images)

    def _fill(self, images: Tensor, parameters: Parameters) -> Tensor:
        low, high = self.value_range
        if self.fill_value is None:
            top, left = parameters["place"].unbind(-1)
            height, width = images.shape[-2:]
            field = _noise_field(images.shape[1], height, width, images.device)
            noise = crop(field.expand(len(images), -1, -1, -1), top, left, (height, width))
            return (noise * high).clamp(low, high).to(images.dtype)
        fill = tensor_on(images.device, self.fill_value, images.dtype)
        return (fill if fill.dim() == 0 else fill[:, None, None]).clamp(low, high)
