"""Layers that disturb their input in training, and leave it alone otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kerasish import random
from kerasish.config import as_image_format
from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.checks import fraction
from kerasish.layers.input_spec import InputSpec
from kerasish.regularizers import L1L2


class _Noise(Layer):
    """What these layers share: a seed, and masks that pass through.

    Args:
        seed: Makes the sequence of draws repeatable: the same from the first call of each new
            layer. `None` draws from torch's global generator.
        **kwargs: Those of `Layer`.
    """

    def __init__(self, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seeds = random.SeedGenerator(seed) if isinstance(seed, int) else seed
        self.supports_masking = True

    def normal_like(self, x: Tensor, mean: float, stddev: float) -> Tensor:
        """Normal noise in the shape of `x`."""
        generator = random.make_generator(self.seeds, x.device)
        return torch.empty_like(x).normal_(mean, stddev, generator=generator)


def _noise_shape(layer: Layer, value: Any) -> tuple[int | None, ...] | None:
    if value is None:
        return None
    good = isinstance(value, (tuple, list)) and all(
        size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0)
        for size in value
    )
    if not good:
        raise ValueError(
            f"{type(layer).__name__}: `noise_shape` must hold positive integers and None, "
            f"got {describe(value)}."
        )
    return tuple(value)


class Dropout(_Noise):
    """Sets a random part of the input to zero in training, and scales the rest by `1/(1-rate)`.

    Args:
        rate: The probability of a value being dropped, from 0 to 1.
        noise_shape: The shape of the random mask, which broadcasts to the input; `None` entries
            are the input's sizes. `(None, 1, None)` drops the same features at all time steps.
        seed: Makes the draws repeatable. `None` draws from torch's global generator.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `rate` is not in [0, 1] or `noise_shape` not a shape.

    Example:
        >>> Dropout(0.5)(torch.ones(1, 3), training=False)
        tensor([[1., 1., 1.]])
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate = fraction(self, "rate", rate)
        self.noise_shape = _noise_shape(self, noise_shape)
        self.dropout = nn.Dropout(self.rate)
        self._plain = self.seeds is None and self.noise_shape is None

    @property
    def is_transparent(self) -> bool:  # type: ignore[override]
        """Whether it is one call of torch's module."""
        return self._plain

    def forward(self, x: Tensor) -> Tensor:
        """Drop values in training."""
        if self._plain:
            return self.dropout(x)
        if not self.training or self.rate == 0:
            return x
        return random.dropout(x, self.rate, self.noise_shape, self.seeds)


class _SpatialDropout(_Noise):
    """Drops whole feature maps; subclasses set the number of spatial axes and the torch module."""

    rank = 1
    module: type[nn.Module] = nn.Dropout1d

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, name=name, dtype=dtype, **kwargs)
        self.rate = fraction(self, "rate", rate)
        self.data_format = as_image_format(data_format)
        self.dropout = self.module(self.rate)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; the axis order is named."""
        config = super().get_config()
        return {**config, "data_format": self.data_format} if "data_format" in config else config

    @property
    def is_transparent(self) -> bool:  # type: ignore[override]
        """Whether it is one call of torch's module."""
        return self.seeds is None

    def forward(self, x: Tensor) -> Tensor:
        """Drop feature maps in training."""
        axis = 1 if self.data_format == "channels_first" else -1
        if self.seeds is None:
            return self.dropout(x) if axis == 1 else self.dropout(x.movedim(-1, 1)).movedim(1, -1)
        if not self.training or self.rate == 0:
            return x
        shape: list[int | None] = [None] + [1] * (self.rank + 1)
        shape[axis] = None
        return random.dropout(x, self.rate, shape, self.seeds)


class SpatialDropout1D(_SpatialDropout):
    """Drops whole features, the same ones at all time steps.

    Shapes:
        input: `(batch, time, features)`
        output: the same

    Args:
        rate: The probability of a feature being dropped, from 0 to 1.
        seed: Makes the draws repeatable.
        name: The layer's name.
        dtype: Its type policy.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `rate` is not in [0, 1].
    """

    def __init__(
        self,
        rate: float,
        seed: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, "channels_last", seed, name, dtype, **kwargs)


class SpatialDropout2D(_SpatialDropout):
    """Drops whole channels of images.

    Shapes:
        input: `(batch, channels, height, width)`, or `(batch, height, width, channels)`
        output: the same

    Args:
        rate: The probability of a channel being dropped, from 0 to 1.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        name: The layer's name.
        dtype: Its type policy.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `rate` is not in [0, 1] or the format unknown.
    """

    rank = 2
    module = nn.Dropout2d


class SpatialDropout3D(_SpatialDropout):
    """Drops whole channels of volumes.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or with the channels last
        output: the same

    Args:
        rate: The probability of a channel being dropped, from 0 to 1.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        seed: Makes the draws repeatable.
        name: The layer's name.
        dtype: Its type policy.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `rate` is not in [0, 1] or the format unknown.
    """

    rank = 3
    module = nn.Dropout3d


class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance, for networks of SELU units.

    Args:
        rate: The probability of a value being replaced, from 0 to 1.
        noise_shape: As in `Dropout`.
        seed: Makes the draws repeatable.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `rate` is not in [0, 1] or `noise_shape` not a shape.
    """

    # The value that SELU tends to at minus infinity: -alpha * scale.
    _floor = -1.6732632423543772 * 1.0507009873554805

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate = fraction(self, "rate", rate)
        self.noise_shape = _noise_shape(self, noise_shape)
        self.dropout = nn.AlphaDropout(self.rate)

    def forward(self, x: Tensor) -> Tensor:
        """Replace values in training."""
        if self.seeds is None and self.noise_shape is None:
            return self.dropout(x)
        if not self.training or self.rate == 0:
            return x
        sizes = self.noise_shape or x.shape
        shape = [x.shape[i] if size is None else size for i, size in enumerate(sizes)]
        generator = random.make_generator(self.seeds, x.device)
        keep = x.new_empty(shape).bernoulli_(1 - self.rate, generator=generator)
        slope = ((1 - self.rate) * (1 + self.rate * self._floor**2)) ** -0.5
        return slope * (x * keep + self._floor * (1 - keep)) - slope * self._floor * self.rate


class GaussianDropout(_Noise):
    """Multiplies by normal noise of mean 1 and variance `rate / (1 - rate)` in training.

    Args:
        rate: As a dropout rate, from 0 to below 1.
        seed: Makes the draws repeatable.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `rate` is not in [0, 1).
    """

    def __init__(self, rate: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate = fraction(self, "rate", rate)
        if self.rate == 1:
            raise ValueError("GaussianDropout: `rate` must be below 1, got 1.")

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by noise in training."""
        if not self.training or self.rate == 0:
            return x
        return x * self.normal_like(x, 1.0, math.sqrt(self.rate / (1.0 - self.rate)))


class GaussianNoise(_Noise):
    """Adds normal noise of mean 0 in training.

    Args:
        stddev: The noise's standard deviation, from 0 to 1.
        seed: Makes the draws repeatable.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `stddev` is not in [0, 1].
    """

    def __init__(self, stddev: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.stddev = fraction(self, "stddev", stddev)

    def forward(self, x: Tensor) -> Tensor:
        """Add noise in training."""
        if not self.training or self.stddev == 0:
            return x
        return x + self.normal_like(x, 0.0, self.stddev)


class ActivityRegularization(Layer):
    """Gives back its input, and adds a penalty on it to the loss, divided by the batch size.

    Args:
        l1: The factor of the sum of absolute values.
        l2: The factor of the sum of squares.
        **kwargs: Those of `Layer`.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2
        self.supports_masking = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the input."""
        return x
