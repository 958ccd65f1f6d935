"""Pooling: the largest or the mean value of each window, or of a whole sequence or image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish.layers.checks import one_of, sizes
from kerasish.layers.spatial import SpatialLayer
from kerasish.layers.windows import same_padding

Sizes = int | tuple[int, ...] | list[int]


class Pooling(SpatialLayer):
    """Pooling over windows, of any rank.

    Args:
        pool_size: The window, one number or one for each axis.
        strides: The step between windows; `None` means `pool_size`.
        padding: `"valid"` uses whole windows only; `"same"` gives `ceil(size / stride)` windows,
            whose parts outside the input count for nothing.
        data_format: `"channels_first"` or `"channels_last"`.
        name: The layer's name.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a size or the padding is not what it can be.
    """

    modules_by_rank: ClassVar[dict[int, Any]]
    functions_by_rank: ClassVar[dict[int, Any]]
    options: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        pool_size: Sizes,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, name=name, **kwargs)
        self.pool_size = sizes(self, "pool_size", pool_size, self.rank)
        self.strides = sizes(
            self, "strides", self.pool_size if strides is None else strides, self.rank
        )
        self.padding = one_of(self, "padding", padding, ("valid", "same"))
        # torch pads both ends alike and, in ceil_mode, lets the last window hang over the end: that
        # is Keras's uneven padding.
        fixed = _fixed_padding(self.pool_size, self.strides) if self.padding == "same" else 0
        self.pool = self.modules_by_rank[self.rank](
            self.pool_size,
            self.strides,
            fixed or 0,
            ceil_mode=self.padding == "same",
            **self.options,
        )
        self._has_fixed_padding = fixed is not None

    @property
    def is_transparent(self) -> bool:  # type: ignore[override]
        """Whether it is one call of a torch module, whatever the input's size."""
        return self._has_fixed_padding

    def transform(self, x: Tensor) -> Tensor:
        """Pool, channels first."""
        return self.pool(x) if self._has_fixed_padding else self._pool_by_size(x)

    def _pool_by_size(self, x: Tensor) -> Tensor:
        """Same-padded pooling where the padding depends on the size, or is uneven at stride 1."""
        windows = zip(x.shape[2:], self.pool_size, self.strides, strict=True)
        sides = [same_padding(*window) for window in windows]
        # With stride 1 no window hangs over the end; so one element more is padded at both ends,
        # and the first window is left out.
        skips = [
            after > before and stride == 1
            for (before, after), stride in zip(sides, self.strides, strict=True)
        ]
        padding = [before + skip for (before, _), skip in zip(sides, skips, strict=True)]
        pool = self.functions_by_rank[self.rank]
        y = pool(x, self.pool_size, self.strides, padding, ceil_mode=True, **self.options)
        return y[(slice(None), slice(None), *(slice(int(skip), None) for skip in skips))]


def _fixed_padding(pool_size: Sequence[int], strides: Sequence[int]) -> tuple[int, ...] | None:
    """What torch's modules take as `padding` for any input, or `None` where it depends on the size.

    Windows of one or two elements that do not overlap hang over the end at most.
    """
    pairs = list(zip(pool_size, strides, strict=True))
    if all(size % 2 if stride == 1 else size <= 2 for size, stride in pairs):
        return tuple(size // 2 if stride == 1 else 0 for size, stride in pairs)
    return None


class MaxPooling(Pooling):
    """The largest value of each window; see `Pooling` for the arguments."""

    modules_by_rank: ClassVar = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
    functions_by_rank: ClassVar = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling(Pooling):
    """The mean of each window; see `Pooling` for the arguments."""

    modules_by_rank: ClassVar = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
    functions_by_rank: ClassVar = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
    options: ClassVar = {"count_include_pad": False}


class MaxPooling1D(MaxPooling):
    """The largest value of each window of a sequence.

    Shapes:
        input: `(batch, steps, channels)`, or `(batch, channels, steps)` with
            `data_format="channels_first"`. The setting for images does not matter here.
        output: the same with fewer steps

    The arguments are those of `Pooling`.

    Example:
        >>> MaxPooling1D().compute_output_shape((None, 10, 8))
        (None, 5, 8)
    """

    rank = 1


class MaxPooling2D(MaxPooling):
    """The largest value of each window of an image.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: the same with fewer rows and columns

    The arguments are those of `Pooling`.

    Example:
        >>> MaxPooling2D(3, strides=2).compute_output_shape((None, 96, 55, 55))
        (None, 96, 27, 27)
    """

    rank = 2


class MaxPooling3D(MaxPooling):
    """The largest value of each window of a volume.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: the same, smaller

    The arguments are those of `Pooling`.
    """

    rank = 3


class AveragePooling1D(AveragePooling):
    """The mean of each window of a sequence.

    Shapes:
        input: `(batch, steps, channels)`, or `(batch, channels, steps)` with
            `data_format="channels_first"`. The setting for images does not matter here.
        output: the same with fewer steps

    The arguments are those of `Pooling`.
    """

    rank = 1


class AveragePooling2D(AveragePooling):
    """The mean of each window of an image.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: the same with fewer rows and columns

    The arguments are those of `Pooling`.
    """

    rank = 2


class AveragePooling3D(AveragePooling):
    """The mean of each window of a volume.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: the same, smaller

    The arguments are those of `Pooling`.
    """

    rank = 3


# Keras's other names.
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
