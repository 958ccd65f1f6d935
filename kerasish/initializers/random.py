"""Initializers that draw weights at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from kerasish.describe import describe
from kerasish.initializers.base import Initializer, Shape, as_float_type, one_of
from kerasish.random import Seed, SeedGenerator, make_generator

# The standard deviation of a standard normal distribution cut off at -2 and 2.
_TRUNCATED_STDDEV = 0.87962566103423978


class _Random(Initializer):
    """An initializer that fills a tensor from a generator."""

    def __init__(self, seed: Seed = None) -> None:
        if seed is not None and (
            not isinstance(seed, (int, SeedGenerator)) or isinstance(seed, bool)
        ):
            raise ValueError(
                f"{type(self).__name__}: `seed` must be an integer, a SeedGenerator or None, "
                f"got {describe(seed)}."
            )
        self.seed = seed

    def __call__(self, shape: Shape, dtype: Any = None) -> torch.Tensor:
        """Make the values, in Keras's layout."""
        shape, dtype = tuple(shape), as_float_type(dtype)
        if self.seed is None:
            return self._fill(torch.empty(shape, dtype=dtype), None)
        # Seeded values are drawn on the CPU, so that every device starts from the same weights.
        values = torch.empty(shape, dtype=dtype, device="cpu")
        values = self._fill(values, make_generator(self.seed, "cpu"))
        return values.to(torch.get_default_device())

    def _fill(self, values: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        raise NotImplementedError


class RandomNormal(_Random):
    """Normal distribution of that mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Seed = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def _fill(self, values: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        return values.normal_(self.mean, self.stddev, generator=generator)


class TruncatedNormal(RandomNormal):
    """Normal distribution cut off at two standard deviations: its own is 0.88 times `stddev`."""

    def _fill(self, values: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        return _fill_truncated(values, self.mean, self.stddev, generator)


class RandomUniform(_Random):
    """Uniform distribution on `[minval, maxval)`."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Seed = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def _fill(self, values: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        return values.uniform_(self.minval, self.maxval, generator=generator)


class VarianceScaling(_Random):
    """Random values of variance `scale / n`, where `n` counts the connections of a unit.

    Args:
        scale: Positive.
        mode: `n` is the number of inputs (`"fan_in"`), of outputs (`"fan_out"`) or their mean
            (`"fan_avg"`).
        distribution: `"truncated_normal"` (or `"normal"`), `"untruncated_normal"` or `"uniform"`.
        seed: As in `Initializer`.
        input_axes: The axes that are inputs, where the layout is neither Dense's nor Conv's.
        output_axes: The axes that are outputs; given together with `input_axes`.

    Raises:
        ValueError: If an argument is unknown or out of range.

    Example:
        >>> kernel = VarianceScaling(2.0, seed=0)((400, 100))
        >>> round(float(kernel.var() * 400), 1)
        2.0
    """

    _MODES = ("fan_in", "fan_out", "fan_avg")
    _DISTRIBUTIONS = ("normal", "truncated_normal", "untruncated_normal", "uniform")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed)
        owner = type(self).__name__
        if not scale > 0:
            raise ValueError(f"{owner}: `scale` must be positive, got {describe(scale)}.")
        if (input_axes is None) != (output_axes is None):
            raise ValueError(f"{owner}: give both `input_axes` and `output_axes`, or neither.")
        self.scale = scale
        self.mode = one_of(owner, "mode", mode, self._MODES)
        self.distribution = one_of(owner, "distribution", distribution, self._DISTRIBUTIONS)
        self.input_axes = input_axes
        self.output_axes = output_axes

    def _fill(self, values: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        fan_in, fan_out = compute_fans(values.shape, self.input_axes, self.output_axes)
        num_connections = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
        }[self.mode]
        variance = self.scale / max(1.0, num_connections)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return values.uniform_(-limit, limit, generator=generator)
        if self.distribution == "untruncated_normal":
            return values.normal_(0.0, math.sqrt(variance), generator=generator)
        return _fill_truncated(values, 0.0, math.sqrt(variance) / _TRUNCATED_STDDEV, generator)


class _Scaled(VarianceScaling):
    """A `VarianceScaling` with the first three arguments fixed."""

    _fixed: tuple[float, str, str]

    def __init__(
        self,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self._fixed, seed, input_axes, output_axes)


class GlorotNormal(_Scaled):
    """Truncated normal of variance `2 / (fan_in + fan_out)` (Glorot and Bengio 2010, "Xavier")."""

    _fixed = (1.0, "fan_avg", "truncated_normal")


class GlorotUniform(_Scaled):
    """Uniform of variance `2 / (fan_in + fan_out)` (Glorot and Bengio 2010, "Xavier")."""

    _fixed = (1.0, "fan_avg", "uniform")


class HeNormal(_Scaled):
    """Truncated normal of variance `2 / fan_in` (He et al. 2015): for layers before a ReLU."""

    _fixed = (2.0, "fan_in", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform of variance `2 / fan_in` (He et al. 2015): for layers before a ReLU."""

    _fixed = (2.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal of variance `1 / fan_in` (LeCun et al. 1998): for layers before a SELU."""

    _fixed = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform of variance `1 / fan_in` (LeCun et al. 1998)."""

    _fixed = (1.0, "fan_in", "uniform")


class Orthogonal(_Random):
    """A random matrix with orthonormal columns (or rows, where there are fewer rows), times `gain`.

    A kernel of more axes is the matrix `(all but the last, last)` in that shape.
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def _fill(self, values: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        if values.ndim < 2:
            raise ValueError(
                f"Orthogonal needs a shape of at least 2 axes, got {tuple(values.shape)}."
            )
        # QR has no kernel for the half types.
        matrix = torch.empty(
            values.flatten(0, -2).shape,
            dtype=torch.promote_types(values.dtype, torch.float32),
            device=values.device,
        )
        torch.nn.init.orthogonal_(matrix, self.gain, generator=generator)
        return matrix.reshape(values.shape).to(values.dtype)


def compute_fans(
    shape: Shape,
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """How many inputs and outputs a unit of a kernel has.

    Args:
        shape: In Keras's layout: `(in, out)`, or `(*spatial, in, out)`.
        input_axes: The axes that are inputs, where the layout is another.
        output_axes: The axes that are outputs, where the layout is another.

    Example:
        >>> compute_fans((3, 3, 16, 32))
        (144, 288)
    """
    if input_axes is not None and output_axes is not None:
        return (
            math.prod(shape[axis] for axis in input_axes),
            math.prod(shape[axis] for axis in output_axes),
        )
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    receptive_field = math.prod(shape[:-2])
    return receptive_field * shape[-2], receptive_field * shape[-1]


def _fill_truncated(
    values: torch.Tensor, mean: float, stddev: float, generator: torch.Generator | None
) -> torch.Tensor:
    low, high = mean - 2 * stddev, mean + 2 * stddev
    return torch.nn.init.trunc_normal_(values, mean, stddev, low, high, generator=generator)
