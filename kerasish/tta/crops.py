"""Views that show parts of an image, or its mirror image."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, Self

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.config import as_image_format
from kerasish.data.arrays import leaves, map_leaves
from kerasish.describe import describe, suggest
from kerasish.layers.augmentation.parts import to_float, to_type_of
from kerasish.tta.views import Views

_MODES = {
    "horizontal": ([], [-1]),
    "vertical": ([], [-2]),
    "horizontal_and_vertical": ([], [-1], [-2], [-2, -1]),
}
_SCALES = (224, 256, 384, 480, 640)


class ImageViews(Views):
    """Views of images: inputs of 4 axes; other inputs are shown as they are.

    Args:
        data_format: `"channels_first"` or `"channels_last"`; `None` takes that of the model's
            layers, or the current setting.
        **kwargs: Those of `Views`.

    Raises:
        ValueError: If an argument is unknown.
    """

    def __init__(self, *, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = None if data_format is None else as_image_format(data_format)

    def for_model(self, model: Any) -> Self:
        """With the model's image format."""
        bound = copy.copy(self)
        bound.data_format = self.data_format or format_of(model)
        return bound

    def views(self, x: Any, rows: Tensor) -> Iterator[Any]:
        """The views, in the images' own format."""
        last = self.data_format == "channels_last"
        images = [t for t in leaves(x) if t.dim() == 4]
        if not images:
            raise ValueError(
                f"{type(self).__name__}: expected images of 4 axes, got {describe(x)}."
            )
        pictures = [self.pictures(t.movedim(-1, 1) if last else t) for t in images]
        for shown in zip(*pictures, strict=True):
            parts = iter([t.movedim(1, -1) if last else t for t in shown])
            yield map_leaves(lambda t, parts=parts: next(parts) if t.dim() == 4 else t, x)

    def pictures(self, images: Tensor) -> Iterator[Tensor]:
        """The views of one batch of images.

        Shapes:
            images: `(batch, channels, height, width)`
            output: the same, perhaps of another height and width
        """
        raise NotImplementedError(f"{type(self).__name__} must define pictures(self, images).")


class Flips(ImageViews):
    """Each image and its mirror images.

    Outputs of 4 axes are taken for maps of the image, and mirrored back before they are averaged.

    Args:
        mode: `"horizontal"` (left to right), `"vertical"`, or `"horizontal_and_vertical"`, which
            makes four views.
        **kwargs: Those of `ImageViews`.

    Raises:
        ValueError: If the mode is unknown.
    """

    def __init__(self, mode: str = "horizontal", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(mode, str) or mode not in _MODES:
            raise ValueError(f"Flips: unknown mode {describe(mode)}{suggest(mode, _MODES)}.")
        self.flip_mode = mode

    def pictures(self, images: Tensor) -> Iterator[Tensor]:
        """The images, then their mirror images."""
        for axes in _MODES[self.flip_mode]:
            yield images.flip(axes) if axes else images

    def restored(self, y_pred: Any, number: int) -> Any:
        """Outputs that are maps, mirrored back."""
        axes = _MODES[self.flip_mode][number]
        if self.data_format == "channels_last":
            axes = [axis - 1 for axis in axes]
        return map_leaves(lambda t: t.flip(axes) if axes and t.dim() == 4 else t, y_pred)


class TenCrop(ImageViews):
    """The four corners and the centre of each image, and their mirror images.

    Args:
        size: Height and width of the crops, or one number; `None` takes the model's input size.
        **kwargs: Those of `ImageViews`.

    Raises:
        ValueError: If the size is impossible, or unknown when a model is to be shown crops; if the
            model gives maps, since those of different crops show different places.

    Reference: Krizhevsky et al. (2012), "ImageNet Classification with Deep Convolutional Neural
    Networks".
    """

    def __init__(self, size: int | Sequence[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = None if size is None else _pair(size, type(self).__name__)

    def for_model(self, model: Any) -> Self:
        """With the model's input size."""
        bound = super().for_model(model)
        if bound.size is None:
            bound.size = _input_size(model, bound.data_format, type(self).__name__)
        return bound

    def room_for(self, preprocessing: Any) -> Any:
        """Raw images are not cut to the model's size: 256 pixels for crops of 224 of ImageNet."""
        if preprocessing.size is None:
            return preprocessing
        share = preprocessing.crop_fraction
        size = tuple(round(side / share) for side in preprocessing.size)
        return dataclasses.replace(preprocessing, size=size, crop_fraction=1.0)

    def pictures(self, images: Tensor) -> Iterator[Tensor]:
        """The crops, then their mirror images."""
        assert self.size is not None
        height, width = images.shape[-2:]
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(
                f"{type(self).__name__}: images of {height}×{width} have no crops of "
                f"{self.size[0]}×{self.size[1]}; resize them, or use MultiScaleTenCrop."
            )
        if (height, width) == self.size:
            warnings.warn(
                f"{type(self).__name__}: the images are no larger than the crops, {height}×{width}:"
                ' all five are the same. Pass larger images, or use tta="flips".',
                stacklevel=2,
            )
        return ten_crops(images, self.size)

    def restored(self, y_pred: Any, number: int) -> Any:
        """The outputs as they are, unless they are maps."""
        last = self.data_format == "channels_last"
        for t in leaves(y_pred):
            if t.dim() == 4 and max(t.shape[1:3] if last else t.shape[2:]) > 1:
                raise ValueError(
                    f"{type(self).__name__}: the model gives maps of {tuple(t.shape)}, and those "
                    'of different crops have no mean; tta="flips" mirrors maps back.'
                )
        return y_pred


class MultiScaleTenCrop(TenCrop):
    """Ten crops at each of several scales, as in ResNet's tests: 5 × 10 views.

    Args:
        size: Height and width of the crops, or one number; `None` takes the model's input size.
        scales: Lengths that the short side of the image is resized to. `None` takes ResNet's, in
            proportion: 224, 256, 384, 480 and 640 for crops of 224.
        **kwargs: Those of `ImageViews`.

    Raises:
        ValueError: If `scales` are no lengths, or one is shorter than the crops.

    Reference: He et al. (2015), "Deep Residual Learning for Image Recognition".
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scales: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(size, **kwargs)
        if scales is not None and not _are_lengths(scales):
            raise ValueError(
                f"MultiScaleTenCrop: `scales` must be a list of lengths, got {describe(scales)}."
            )
        self.scales = None if scales is None else tuple(map(int, scales))

    def for_model(self, model: Any) -> Self:
        """With the model's input size, and scales for it."""
        bound = super().for_model(model)
        assert bound.size is not None
        longest = max(bound.size)
        if bound.scales is None:
            bound.scales = tuple(round(longest * scale / _SCALES[0]) for scale in _SCALES)
        if not bound.scales or min(bound.scales) < longest:
            raise ValueError(
                f"MultiScaleTenCrop: `scales` must be lengths of at least {longest}, the size of "
                f"the crops, got {describe(list(bound.scales))}."
            )
        return bound

    def room_for(self, preprocessing: Any) -> Any:
        """Raw images keep their size, since they are resized here."""
        return dataclasses.replace(preprocessing, size=None)

    def pictures(self, images: Tensor) -> Iterator[Tensor]:
        """Ten crops of the images at each scale; one scale is in memory at a time."""
        assert self.size is not None
        assert self.scales is not None
        for scale in self.scales:
            yield from ten_crops(with_short_side(images, scale), self.size)


def ten_crops(images: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """Upper left, upper right, lower left, lower right, centre; then the mirror image of each.

    Shapes:
        images: `(batch, channels, height, width)`
        output: `(batch, channels, *size)`
    """
    down, right = (s - c for s, c in zip(images.shape[-2:], size, strict=True))
    corners = [(0, 0), (0, right), (down, 0), (down, right), (round(down / 2), round(right / 2))]
    for mirrored in (False, True):
        for top, left in corners:
            crop = images[..., top : top + size[0], left : left + size[1]]
            yield crop.flip(-1) if mirrored else crop


def with_short_side(images: Tensor, length: int) -> Tensor:
    """Images resized, with anti-aliasing, so that the short side has a length.

    Shapes:
        images: `(batch, channels, height, width)`
    """
    sides = images.shape[-2:]
    if min(sides) == length:
        return images
    size = [length * side // min(sides) for side in sides]
    resized = F.interpolate(to_float(images), size, mode="bilinear", antialias=True)
    return to_type_of(resized, images)


def format_of(model: Any) -> str:
    """Where a model's images have their channels: as its first layer says, or by the setting."""
    formats = (getattr(module, "data_format", None) for module in model.modules())
    return as_image_format(next(filter(None, formats), None))


def _pair(size: Any, owner: str) -> tuple[int, int]:
    pair: Any = (size, size) if isinstance(size, Integral) else size
    if not _are_lengths(pair) or len(pair) != 2:
        raise ValueError(
            f"{owner}: `size` must be a positive number or a pair of them, got {describe(size)}."
        )
    return int(pair[0]), int(pair[1])


def _are_lengths(values: Any) -> bool:
    return isinstance(values, Sequence) and all(
        isinstance(v, Integral) and not isinstance(v, bool) and int(v) > 0 for v in values
    )


def _input_size(model: Any, data_format: str | None, owner: str) -> tuple[int, int]:
    """Height and width of the images that a model takes."""
    members = getattr(model, "members", [model])  # those of an Ensemble see the same images
    graphs = [m for m in members if m.__dict__.get("_output_structure") is not None]
    shapes = [tensor.shape for graph in graphs for tensor in graph.inputs]
    last = data_format == "channels_last"
    sizes = {tuple(s[1:3] if last else s[2:]) for s in shapes if len(s) == 4}
    if len(sizes) != 1 or None in next(iter(sizes)):
        raise ValueError(
            f'{owner}: the model "{model.name}" does not say which size its images have; pass it, '
            f"such as {owner}(224)."
        )
    return sizes.pop()
