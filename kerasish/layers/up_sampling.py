"""Up-sampling: more steps, pixels or voxels, by whole factors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.layers.checks import one_of, sizes
from kerasish.layers.spatial import SpatialLayer

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


class UpSampling(SpatialLayer):
    """Up-sampling of any rank.

    Args:
        size: The factor, one number or one for each axis.
        data_format: `"channels_first"` or `"channels_last"`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a factor is not a positive integer.
    """

    interpolation: str = "nearest"

    def __init__(self, size: Any = 2, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.size = sizes(self, "size", size, self.rank)

    @property
    def is_transparent(self) -> bool:  # type: ignore[override]
        """Whether it makes the same calls whatever the input's size."""
        return not self.interpolation.startswith("lanczos")

    def transform(self, x: Tensor) -> Tensor:
        """Repeat or interpolate, channels first."""
        if self.interpolation == "nearest":
            return _repeated(x, self.size)
        if self.interpolation.startswith("lanczos"):
            lobes = int(self.interpolation[-1])
            for axis, factor in enumerate(self.size, start=2):
                x = _lanczos(x, axis, factor, lobes)
            return x
        # With `antialias` torch's cubic is Keras's: a = -0.5, and no pixel repeated at the border.
        cubic = self.interpolation == "bicubic"
        return F.interpolate(
            x, scale_factor=self.size, mode=self.interpolation, align_corners=False, antialias=cubic
        )


def _repeated(x: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Each element as often as its axis's factor says."""
    if x.is_floating_point():
        # "nearest-exact": torch's older "nearest" can round to the neighbour at large factors.
        return F.interpolate(x, scale_factor=factors, mode="nearest-exact")
    for axis, factor in enumerate(factors, start=2):
        x = x.repeat_interleave(factor, dim=axis)
    return x


def _lanczos(x: Tensor, axis: int, factor: int, lobes: int) -> Tensor:
    """Interpolate along one axis: every output is a weighted mean of its neighbours."""
    size = x.shape[axis]
    to = (torch.arange(size * factor, device=x.device, dtype=torch.float64) + 0.5) / factor - 0.5
    at = torch.arange(size, device=x.device, dtype=torch.float64)
    distance = to[:, None] - at  # (outputs, inputs)
    weights = torch.sinc(distance) * torch.sinc(distance / lobes)
    weights = weights.masked_fill(distance.abs() >= lobes, 0.0)
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(x.dtype)
    return (x.movedim(axis, -1) @ weights.T).movedim(-1, axis)


class UpSampling1D(UpSampling):
    """Each step of a sequence several times.

    Shapes:
        input: `(batch, steps, channels)`
        output: `(batch, steps * size, channels)`

    Args:
        size: How many times. Positive.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `size` is not a positive integer.
    """

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(size, **kwargs)


class UpSampling2D(UpSampling):
    """A larger image: pixels repeated, or interpolated.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: `(batch, channels, height * size[0], width * size[1])`, or channels last

    Args:
        size: The factor, one number or (height, width).
        data_format: `"channels_first"` or `"channels_last"`.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a factor is not a positive integer, or the interpolation is unknown.

    Example:
        >>> import torch
        >>> UpSampling2D()(torch.tensor([[[[1.0, 2.0]]]]))
        tensor([[[[1., 1., 2., 2.],
                  [1., 1., 2., 2.]]]])
    """

    rank = 2

    def __init__(
        self,
        size: Any = 2,
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(size, data_format, **kwargs)
        self.interpolation = one_of(self, "interpolation", interpolation, INTERPOLATIONS)


class UpSampling3D(UpSampling):
    """Each voxel of a volume several times along each axis.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: the same with each spatial size times its factor

    The arguments are those of `UpSampling`.
    """

    rank = 3
