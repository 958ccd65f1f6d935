"""Layers that change the size of images: resizing and cropping."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kerasish.config import as_image_format
from kerasish.layers.checks import one_of, positive_int
from kerasish.layers.data_layer import DataLayer
from kerasish.layers.input_spec import InputSpec
from kerasish.ops.image_size import resize


class _ImageSize(DataLayer):
    """What layers share that change the size of images.

    Args:
        height: The height of the output.
        width: The width of the output.
        data_format: `"channels_first"` or `"channels_last"`; `None` means the current one.
        **kwargs: Those of `Layer`.
    """

    def __init__(self, height: int, width: int, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = positive_int(self, "height", height)
        self.width = positive_int(self, "width", width)
        self.data_format = as_image_format(data_format)
        self.input_spec = InputSpec(
            min_ndim=3,
            max_ndim=4,
            meaning="an image or a batch of images",
            hint="Images have a channel axis, of size 1 where they are grey.",
        )

    def own_weights(self) -> list:
        """None."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; the image format stays what it was."""
        return {**super().get_config(), "data_format": self.data_format}


class Resizing(_ImageSize):
    """Images of another size.

    Shapes:
        input: `(batch, channels, height, width)` or `(channels, height, width)`; for
            `"channels_last"`, the channels are the last axis
        output: the same with the new height and width, and of the input's type

    Args:
        height: The height of the output.
        width: The width of the output.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"` or `"area"`.
        crop_to_aspect_ratio: Whether to cut out the largest middle part of the new proportions
            first, so that nothing is distorted.
        pad_to_aspect_ratio: Whether to add borders to reach the new proportions first.
        fill_mode: What the borders are: `"constant"`.
        fill_value: The value of the borders.
        antialias: Whether to average over what is left out when making images smaller (bilinear
            and bicubic only).
        data_format: `"channels_first"` or `"channels_last"`; `None` means the current one.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> Resizing(4, 6)(torch.ones(2, 3, 8, 8)).shape
        torch.Size([2, 3, 4, 6])
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(height, width, data_format, **kwargs)
        ways = ("bilinear", "nearest", "bicubic", "area")
        self.interpolation = one_of(self, "interpolation", interpolation, ways)
        self.fill_mode = one_of(self, "fill_mode", fill_mode, ("constant",))
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError("Resizing: crop or pad to the aspect ratio, not both.")
        self.crop_to_aspect_ratio = bool(crop_to_aspect_ratio)
        self.pad_to_aspect_ratio = bool(pad_to_aspect_ratio)
        self.fill_value, self.antialias = float(fill_value), bool(antialias)

    def forward(self, x: Tensor) -> Tensor:
        """Resize."""
        return resize(
            x,
            (self.height, self.width),
            self.interpolation,
            self.antialias,
            self.crop_to_aspect_ratio,
            self.pad_to_aspect_ratio,
            self.fill_mode,
            self.fill_value,
            self.data_format,
        )


class CenterCrop(_ImageSize):
    """The middle of images; of smaller ones, the largest middle part of these proportions, resized.

    Shapes:
        input: `(batch, channels, height, width)` or `(channels, height, width)`; for
            `"channels_last"`, the channels are the last axis
        output: the same with the new height and width, in floating point

    Args:
        height: The height of the output.
        width: The width of the output.
        data_format: `"channels_first"` or `"channels_last"`; `None` means the current one.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a size is not positive.

    Example:
        >>> CenterCrop(2, 2)(torch.arange(16).reshape(1, 4, 4))
        tensor([[[ 5.,  6.],
                 [ 9., 10.]]])
    """

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(height, width, data_format, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Crop, or resize what is too small."""
        x = x.to(self.compute_dtype)
        first = 1 if self.data_format == "channels_first" else 0
        rows, columns = x.dim() - 3 + first, x.dim() - 2 + first
        top, left = x.shape[rows] - self.height, x.shape[columns] - self.width
        if top < 0 or left < 0:
            size = (self.height, self.width)
            return resize(x, size, crop_to_aspect_ratio=True, data_format=self.data_format)
        return x.narrow(rows, top // 2, self.height).narrow(columns, left // 2, self.width)
