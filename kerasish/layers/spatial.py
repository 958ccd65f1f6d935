"""What layers over time, images and volumes share: their rank, and where the channels are."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from kerasish.config import as_image_format
from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.structure import tensors_in

_AXES = {1: "steps", 2: "height, width", 3: "depth, height, width"}
_HINTS = {
    1: "Add a Reshape layer before it, or pass sequences.",
    2: "Add a Reshape layer before it, or pass images.",
    3: "Add a Reshape layer before it, or pass volumes.",
}


def spatial_format(rank: int, data_format: str | None) -> str:
    """The axis order of a layer: what is given, or else the default for its rank.

    For images and volumes that is the setting for images. For sequences it is `"channels_last"`,
    whatever the setting is: recurrent layers and embeddings give (batch, steps, features).
    """
    if data_format is None and rank == 1:
        return "channels_last"
    return as_image_format(data_format)


def laid_out(module: Any, data_format: str) -> Any:
    """The module with its weights in the memory format of its inputs, so that no step copies them.

    Shapes and numbers are those of any other; torch's own advice is the same `to(memory_format=)`.
    """
    if data_format == "channels_first" or module.weight.dim() < 4:
        return module
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return module.to(memory_format=formats[module.weight.dim()])


class SpatialLayer(Layer):
    """A layer over `rank` spatial axes. A subclass defines `transform`, channels first.

    With `data_format="channels_last"` the input is viewed channels first and the result viewed
    back. Nothing is copied: such a view of an image is what torch calls its channels-last memory
    format.

    Args:
        data_format: `"channels_first"`, (batch, channels, ...), or `"channels_last"`, (batch, ...,
            channels).
        **kwargs: Those of `Layer`.
    """

    rank: ClassVar[int]

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = spatial_format(self.rank, data_format)
        self.input_spec = self.spec()

    @property
    def channel_axis(self) -> int:
        """Which axis of the input holds the channels."""
        return 1 if self.data_format == "channels_first" else self.rank + 1

    def spec(self, channels: int | None = None) -> InputSpec:
        """What the layer expects: a batch axis, channels and `rank` spatial axes."""
        names = f"{_AXES[self.rank]}"
        names = (
            f"(batch, channels, {names})"
            if self.channel_axis == 1
            else f"(batch, {names}, channels)"
        )
        axes = {} if channels is None else {self.channel_axis: channels}
        return InputSpec(ndim=self.rank + 2, axes=axes, meaning=names, hint=_HINTS[self.rank])

    def transform(self, x: Tensor) -> Tensor:
        """What the layer computes, on a tensor with its channels on axis 1."""
        raise NotImplementedError(f"{type(self).__name__} must define transform(self, x).")

    def forward(self, x: Tensor) -> Tensor:
        """Compute, in the layer's axis order."""
        if self.data_format == "channels_first":
            return self.transform(x)
        return self.transform(x.movedim(-1, 1)).movedim(1, -1)

    def _explain(self, error: Exception, args: tuple) -> None:
        for x in tensors_in(args):
            if not (x.is_floating_point() or x.is_complex()):
                raise TypeError(
                    f'{type(self).__name__} "{self.name}" computes with floating-point numbers, '
                    f"got {describe(x)}. Put Rescaling(1 / 255) before it, or call x.float()."
                ) from error
        super()._explain(error, args)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, in any process: the axis order is named."""
        return {**super().get_config(), "data_format": self.data_format}


class ChannelLayer(Layer):
    """A layer that needs to know the channel axis, for inputs of any rank.

    Args:
        data_format: Where the channels of images and volumes are; `None` takes the setting for
            images. Vectors and sequences have them last, unless it is given.
        **kwargs: Those of `Layer`.
    """

    channel_axis: int

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = None if data_format is None else as_image_format(data_format)
        self._image_format = as_image_format(data_format)

    def build(self, input_shape: Any) -> None:
        """Settle the channel axis."""
        self.settle_channels(len(input_shape))

    def settle_channels(self, ndim: int) -> None:
        """Find the channel axis of inputs with so many axes."""
        rank = ndim - 2
        if self.data_format is None:
            self.data_format = self._image_format if rank > 1 else "channels_last"
        first = rank > 0 and self.data_format == "channels_first"
        self.channel_axis = 1 if first else ndim - 1

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; once built, the axis order is named."""
        return {**super().get_config(), "data_format": self.data_format}
