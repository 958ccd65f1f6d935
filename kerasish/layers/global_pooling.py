"""Pooling to one value for each channel, or to a given number of positions."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from kerasish.layers.checks import sizes
from kerasish.layers.spatial import SpatialLayer


class GlobalPooling(SpatialLayer):
    """Pooling over all spatial axes, of any rank.

    Args:
        data_format: `"channels_first"` or `"channels_last"`.
        keepdims: Whether the spatial axes stay, with size 1.
        **kwargs: Those of `Layer`.
    """

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.keepdims = keepdims
        first = 2 if self.data_format == "channels_first" else 1
        self.spatial_axes = tuple(range(first, first + self.rank))


class GlobalMaxPooling(GlobalPooling):
    """The largest value of each channel; see `GlobalPooling` for the arguments."""

    is_transparent = True

    def forward(self, x: Tensor) -> Tensor:
        """Take the largest value over the spatial axes."""
        return x.amax(self.spatial_axes, self.keepdims)


class GlobalAveragePooling(GlobalPooling):
    """The mean of each channel; see `GlobalPooling` for the arguments."""

    is_transparent = True

    def forward(self, x: Tensor) -> Tensor:
        """Take the mean over the spatial axes."""
        return x.mean(self.spatial_axes, self.keepdims)


class GlobalMaxPooling1D(GlobalMaxPooling):
    """The largest value of each channel of a sequence.

    Shapes:
        input: `(batch, steps, channels)`, or `(batch, channels, steps)` with
            `data_format="channels_first"`. The setting for images does not matter here.
        output: `(batch, channels)`

    The arguments are those of `GlobalPooling`.
    """

    rank = 1


class GlobalMaxPooling2D(GlobalMaxPooling):
    """The largest value of each channel of an image.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: `(batch, channels)`

    The arguments are those of `GlobalPooling`.
    """

    rank = 2


class GlobalMaxPooling3D(GlobalMaxPooling):
    """The largest value of each channel of a volume.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: `(batch, channels)`

    The arguments are those of `GlobalPooling`.
    """

    rank = 3


class GlobalAveragePooling1D(GlobalAveragePooling):
    """The mean of each channel of a sequence, over the steps that its mask keeps.

    Shapes:
        input: `(batch, steps, channels)`, or `(batch, channels, steps)` with
            `data_format="channels_first"`. The setting for images does not matter here.
        mask: `(batch, steps)`, true where a step counts
        output: `(batch, channels)`; zeros for a sequence that is masked altogether

    The arguments are those of `GlobalPooling`.

    Example:
        >>> import torch
        >>> x, mask = torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])
        >>> GlobalAveragePooling1D()(x, mask=mask)
        tensor([[2.]])
    """

    rank = 1
    supports_masking = True
    is_transparent = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """No mask: the steps are gone."""
        return None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Take the mean over the steps that count."""
        if mask is None:
            return super().forward(x)
        (steps,) = self.spatial_axes
        keep = mask.bool().unsqueeze(self.channel_axis)
        total = x.masked_fill(~keep, 0).sum(steps, self.keepdims)
        return total / keep.sum(steps, self.keepdims).clamp(min=1)


class GlobalAveragePooling2D(GlobalAveragePooling):
    """The mean of each channel of an image.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: `(batch, channels)`

    The arguments are those of `GlobalPooling`.

    Example:
        >>> GlobalAveragePooling2D().compute_output_shape((None, 8, 5, 5))
        (None, 8)
    """

    rank = 2


class GlobalAveragePooling3D(GlobalAveragePooling):
    """The mean of each channel of a volume.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: `(batch, channels)`

    The arguments are those of `GlobalPooling`.
    """

    rank = 3


class AdaptivePooling(SpatialLayer):
    """Pooling to a given number of positions, whatever the input's size.

    Args:
        output_size: The number of positions, one number or one for each axis.
        data_format: `"channels_first"` or `"channels_last"`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a size is not a positive integer.
    """

    is_transparent = True
    modules_by_rank: ClassVar[dict[int, Any]]

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.output_size = sizes(self, "output_size", output_size, self.rank)
        self.pool = self.modules_by_rank[self.rank](self.output_size)

    def transform(self, x: Tensor) -> Tensor:
        """Pool, channels first."""
        return self.pool(x)


class AdaptiveMaxPooling(AdaptivePooling):
    """The largest value of each part; see `AdaptivePooling` for the arguments."""

    modules_by_rank: ClassVar = {
        1: nn.AdaptiveMaxPool1d,
        2: nn.AdaptiveMaxPool2d,
        3: nn.AdaptiveMaxPool3d,
    }


class AdaptiveAveragePooling(AdaptivePooling):
    """The mean of each part; see `AdaptivePooling` for the arguments."""

    modules_by_rank: ClassVar = {
        1: nn.AdaptiveAvgPool1d,
        2: nn.AdaptiveAvgPool2d,
        3: nn.AdaptiveAvgPool3d,
    }


class AdaptiveMaxPooling1D(AdaptiveMaxPooling):
    """The largest value of each of `output_size` parts of a sequence.

    Shapes:
        input: `(batch, steps, channels)`, or channels first where given
        output: `(batch, output_size, channels)`

    The arguments are those of `AdaptivePooling`.
    """

    rank = 1


class AdaptiveMaxPooling2D(AdaptiveMaxPooling):
    """The largest value of each of `output_size` parts of an image.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: `(batch, channels, *output_size)`, or channels last

    The arguments are those of `AdaptivePooling`.
    """

    rank = 2


class AdaptiveMaxPooling3D(AdaptiveMaxPooling):
    """The largest value of each of `output_size` parts of a volume.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: `(batch, channels, *output_size)`, or channels last

    The arguments are those of `AdaptivePooling`.
    """

    rank = 3


class AdaptiveAveragePooling1D(AdaptiveAveragePooling):
    """The mean of each of `output_size` parts of a sequence.

    Shapes:
        input: `(batch, steps, channels)`, or channels first where given
        output: `(batch, output_size, channels)`

    The arguments are those of `AdaptivePooling`.
    """

    rank = 1


class AdaptiveAveragePooling2D(AdaptiveAveragePooling):
    """The mean of each of `output_size` parts of an image.

    Shapes:
        input: `(batch, channels, height, width)`, or channels last
        output: `(batch, channels, *output_size)`, or channels last

    The arguments are those of `AdaptivePooling`.

    Example:
        >>> AdaptiveAveragePooling2D(6).compute_output_shape((None, 256, 13, 11))
        (None, 256, 6, 6)
    """

    rank = 2


class AdaptiveAveragePooling3D(AdaptiveAveragePooling):
    """The mean of each of `output_size` parts of a volume.

    Shapes:
        input: `(batch, channels, depth, height, width)`, or channels last
        output: `(batch, channels, *output_size)`, or channels last

    The arguments are those of `AdaptivePooling`.
    """

    rank = 3


# Keras's other names.
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
