"""Colour jitter: brightness, contrast, saturation and hue together; and along principal colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.augmentation.arguments import is_number
from kerasish.layers.augmentation.base import Parameters
from kerasish.layers.augmentation.color import (
    ColorLayer,
    RandomBrightness,
    RandomContrast,
    RandomHue,
    RandomSaturation,
)
from kerasish.layers.augmentation.draws import Draws

# The published principal components of ImageNet's pixels on the scale 0 to 1; each column of the
# matrix is a direction.
IMAGENET_EIGENVALUES = (0.2175, 0.0188, 0.0045)
IMAGENET_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


class RandomColorJitter(ColorLayer):
    """Changes brightness, contrast, saturation and hue, in this order.

    Args:
        value_range: The least and the greatest pixel value.
        brightness_factor: As `factor` in `RandomBrightness`; `None` leaves it alone.
        contrast_factor: As in `RandomContrast`.
        saturation_factor: As in `RandomSaturation`, where 0.5 changes nothing.
        hue_factor: As in `RandomHue`.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If a factor is out of range.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        brightness_factor: Any = None,
        contrast_factor: Any = None,
        saturation_factor: Any = None,
        hue_factor: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        factors = {
            "brightness": (RandomBrightness, brightness_factor),
            "contrast": (RandomContrast, contrast_factor),
            "saturation": (RandomSaturation, saturation_factor),
            "hue": (RandomHue, hue_factor),
        }
        # In a plain dict: they are words for what to do, not layers that are called.
        self._steps = {
            name: kind(factor, value_range=value_range)
            for name, (kind, factor) in factors.items()
            if factor is not None
        }

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """What each step draws."""
        return {
            f"{name}.{key}": value
            for name, step in self._steps.items()
            for key, value in step.draw(draws, size).items()
        }

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """One step after the other."""
        for name, step in self._steps.items():
            mine = {
                key.removeprefix(f"{name}."): value
                for key, value in parameters.items()
                if key.startswith(f"{name}.")
            }
            images = step.transform_images(images, mine)
        return images


class PCAColorJitter(ColorLayer):
    """Adds one colour to all pixels of an image, mostly along the directions in which pixels vary.

    With p the eigenvectors and λ the eigenvalues of the covariance of red, green and blue over all
    pixels of the training set, on the scale 0 to 1, the colour is the sum of `a * λ * p` over the
    three directions, with a drawn from the normal distribution of mean 0 and deviation `sigma`
    (Krizhevsky et al. 2012). `adapt` finds p and λ; until then they are ImageNet's.

    Shapes:
        eigenvalues: `(3,)`, the largest first
        eigenvectors: `(3, 3)`, each column a direction

    Args:
        sigma: The deviation; 0 changes nothing.
        value_range: The least and the greatest pixel value.
        eigenvalues: Three numbers, with `eigenvectors`, instead of ImageNet's.
        eigenvectors: Three rows of three numbers; each column a direction of length 1.
        clip: Whether results are kept within the value range.
        seed: Makes the draws repeatable.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If `sigma` is negative, or the eigenvectors are not three directions.

    Example:
        >>> jitter = PCAColorJitter(value_range=(0, 1))
        >>> jitter.adapt(torch.rand(8, 3, 4, 4))
        >>> jitter(torch.full((2, 3, 4, 4), 0.5)).shape
        torch.Size([2, 3, 4, 4])
    """

    eigenvalues: Tensor
    eigenvectors: Tensor

    def __init__(
        self,
        sigma: float = 0.1,
        value_range: Any = (0, 255),
        eigenvalues: Any = None,
        eigenvectors: Any = None,
        clip: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, seed=seed, **kwargs)
        if not is_number(sigma) or sigma < 0:
            raise ValueError(
                f"{type(self).__name__}: `sigma` must be a number >= 0, got {describe(sigma)}."
            )
        if (eigenvalues is None) != (eigenvectors is None):
            raise ValueError(
                f"{type(self).__name__}: give `eigenvalues` and `eigenvectors` together."
            )
        self.sigma, self.clip = float(sigma), clip
        values = torch.tensor(IMAGENET_EIGENVALUES if eigenvalues is None else eigenvalues)
        vectors = torch.tensor(IMAGENET_EIGENVECTORS if eigenvectors is None else eigenvectors)
        if values.shape != (3,) or vectors.shape != (3, 3):
            raise ValueError(
                f"{type(self).__name__}: expected 3 eigenvalues and a 3 × 3 matrix of "
                f"eigenvectors, got {describe(values)} and {describe(vectors)}."
            )
        self.register_buffer("eigenvalues", values.to(torch.float32))
        self.register_buffer("eigenvectors", vectors.to(torch.float32))

    def adapt(self, data: Any) -> None:
        """Find the principal colours of a training set, in one pass, whatever its size.

        Args:
            data: Images as an array or tensor, or an iterable of batches: images alone, or tuples
                that begin with them, as a `DataLoader` gives.

        Raises:
            ValueError: If there are no pixels, or not three channels.
        """
        low, high = self.value_range
        covariance = pixel_covariance(data, self.data_format) / (high - low) ** 2
        values, vectors = principal_colors(covariance)
        self.eigenvalues.copy_(torch.from_numpy(values))
        self.eigenvectors.copy_(torch.from_numpy(vectors))

    def draw(self, draws: Draws, size: tuple[int, int]) -> Parameters:
        """The colours to add, on the scale 0 to 1."""
        weights = draws.normal((3,)) * self.sigma * self.eigenvalues.to(torch.float32)
        return {"color": weights @ self.eigenvectors.to(torch.float32).T}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Add the colours."""
        low, high = self.value_range
        color = parameters["color"].to(images.dtype) * (high - low)
        result = images + color[:, :, None, None]
        return result.clamp(low, high) if self.clip else result


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, (Tensor, np.ndarray)):
        yield from (data[i : i + 256] for i in range(0, len(data), 256))
    elif isinstance(data, Iterable):
        for batch in data:
            yield batch[0] if isinstance(batch, (tuple, list)) else batch
    else:
        raise ValueError(
            "PCAColorJitter.adapt expects images or an iterable of batches of images, "
            f"got {describe(data)}."
        )


def pixel_covariance(data: Any, data_format: str) -> np.ndarray:
    """The covariance of red, green and blue over all pixels, divided by their number, in float64.

    Args:
        data: As `PCAColorJitter.adapt` takes it.
        data_format: `"channels_first"` or `"channels_last"`.

    Raises:
        ValueError: If there are no pixels, or not three channels.
    """
    count, mean, scatter = 0, np.zeros(3), np.zeros((3, 3))
    axis = -3 if data_format == "channels_first" else -1
    for batch in _batches(data):
        x = torch.as_tensor(batch).detach()
        if x.dim() not in (3, 4) or x.shape[axis] != 3:
            raise ValueError(
                f"PCAColorJitter.adapt expects images with 3 channels ({data_format}), got "
                f"{describe(x)}."
            )
        pixels = x.movedim(axis, 0).reshape(3, -1).to("cpu", torch.float64)
        if not pixels.numel():
            continue
        # Chan, Golub and LeVeque 1983: means and scatters of parts joined without cancellation.
        own_mean = pixels.mean(1)
        centred = pixels - own_mean[:, None]
        new = pixels.shape[1]
        delta = own_mean.numpy() - mean
        share = new / (count + new)
        scatter += (centred @ centred.T).numpy() + np.outer(delta, delta) * count * share
        mean = mean + delta * share
        count += new
    if not count:
        raise ValueError("PCAColorJitter.adapt: there are no pixels in the data.")
    return scatter / count


def principal_colors(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, the largest first, and eigenvectors as columns, of a covariance of colours."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    # A direction's sign is free: let its largest part be positive.
    largest = vectors[np.abs(vectors).argmax(0), np.arange(3)]
    return values, vectors * np.sign(largest)
