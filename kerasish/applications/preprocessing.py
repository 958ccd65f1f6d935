"""ImagePreprocessing: how raw images become what a network was trained on."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kerasish.config import as_dtype, as_image_format, floatx
from kerasish.describe import describe, suggest
from kerasish.utils import load_img

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_AT_A_TIME = 128  # images that are resized together
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


@dataclasses.dataclass(frozen=True)
class ImagePreprocessing:
    """Size, crop, channel order, mean and deviation that a network expects of its images.

    A model that has it as `model.preprocessing` takes raw images: paths, PIL images, and arrays or
    tensors of uint8, of any size and with the channels first or last. Arrays of floats are taken to
    be ready, as `preprocess_input` makes them.

    The shorter side is shrunk, or grown, to `size / crop_fraction` pixels, averaging over pixels,
    and the middle is cut out. An image that has the size already is neither shrunk nor cut.

    Args:
        size: `(height, width)` that the network sees; `None` takes images of any size as they are.
        mean: Of each channel, after division by 255; `None` leaves values from 0 to 255.
        std: Divides the difference from the mean.
        interpolation: `"bilinear"`, `"bicubic"` or `"nearest"`.
        crop_fraction: The share of the shorter side that is kept, in (0, 1].
        channel_order: `"rgb"`, or `"bgr"` for networks that came from Caffe.
        channels: 3, 1 for grey images, or 4.
        data_format: Where the network's images have their channels; by default as configured.

    Raises:
        ValueError: If a setting is impossible.

    Example:
        >>> images = ImagePreprocessing((32, 32), mean=[0.5] * 3, std=[0.5] * 3)
        >>> images(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)).unique()
        tensor([1.])
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str = "bilinear"
    crop_fraction: float = 1.0
    channel_order: str = "rgb"
    channels: int = 3
    data_format: str | None = None

    def __post_init__(self) -> None:
        who = "ImagePreprocessing"
        if self.interpolation not in _INTERPOLATIONS:
            known = suggest(self.interpolation, _INTERPOLATIONS)
            raise ValueError(f"{who}: unknown interpolation '{self.interpolation}'{known}.")
        if self.channel_order not in ("rgb", "bgr"):
            raise ValueError(f"{who}: unknown channel order {describe(self.channel_order)}.")
        if self.channels not in _MODES:
            raise ValueError(f"{who}: an image has 1, 3 or 4 channels, got {self.channels}.")
        if not 0 < self.crop_fraction <= 1:
            raise ValueError(f"{who}: `crop_fraction` is in (0, 1], got {self.crop_fraction}.")
        if (self.mean is None) != (self.std is None):
            raise ValueError(f"{who}: `mean` and `std` go together.")
        for name in ("size", "mean", "std"):
            value = getattr(self, name)
            if value is not None:
                value = tuple(value)
                if len(value) != (2 if name == "size" else self.channels):
                    raise ValueError(f"{who}: `{name}` has a wrong length: {value}.")
                object.__setattr__(self, name, value)
        object.__setattr__(self, "data_format", as_image_format(self.data_format))
        object.__setattr__(self, "_constants", {})

    @property
    def is_last(self) -> bool:
        """Whether channels come last."""
        return self.data_format == "channels_last"

    def __call__(self, x: Tensor) -> Tensor:
        """Floats in the network's range from pixels from 0 to 255: `(x / 255 - mean) / std`.

        Shapes:
            x: `(batch, channels, height, width)`, or channels last
            output: as `x`
        """
        if self.channel_order == "bgr":
            x = x.flip(-1 if self.is_last else -3)
        if self.mean is None or self.std is None:
            return x if x.is_floating_point() else x.to(as_dtype(floatx()))
        scale, offset = self._affine(x.device)
        return x * scale + offset

    def _affine(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Factors and terms of the channels; kept by device, since copying them there waits."""
        constants: dict = self._constants  # type: ignore[attr-defined]
        if device in constants:
            return constants[device]
        assert self.mean is not None
        assert self.std is not None
        scale = [1 / (255 * b) for b in self.std]
        offset = [-a / b for a, b in zip(self.mean, self.std, strict=True)]
        sides = (-1,) if self.is_last else (-1, 1, 1)
        with torch.inference_mode(False):
            made = tuple(
                torch.tensor(values, dtype=as_dtype(floatx()), device=device).view(sides)
                for values in (scale, offset)
            )
        if not torch.compiler.is_compiling():
            constants[device] = made
        return made  # type: ignore[return-value]

    def arrange(self, x: Tensor) -> Tensor:
        """A batch of pixels in the network's size and axis order; `x` itself if it is so already.

        Shapes:
            x: `(batch, channels, height, width)` or `(batch, height, width, channels)`
        """
        if x.dim() != 4:
            return x
        here, there = (-1, 1) if self.is_last else (1, -1)
        counts = (self.channels, 1) if self.channels == 3 else (self.channels,)
        if x.shape[here] not in counts and x.shape[there] in counts:
            x = x.permute(0, 2, 3, 1) if self.is_last else x.permute(0, 3, 1, 2)
        if x.shape[here] == 1 and self.channels == 3:
            x = x.expand(*x.shape[:3], 3) if self.is_last else x.expand(-1, 3, -1, -1)
        sides = tuple(x.shape[1:3] if self.is_last else x.shape[2:])
        if self.size is None or sides == self.size:
            return x
        # In parts: as floats, all rows of a data set would take four times their memory.
        return torch.cat([self._resized(part) for part in x.split(_AT_A_TIME)])

    def _resized(self, x: Tensor) -> Tensor:
        planes = x.permute(0, 3, 1, 2) if self.is_last else x
        sides, (top, left) = self._plan(*planes.shape[2:])
        # On a processor torch resizes bytes as bytes, rounding as PIL does.
        stays = planes.device.type == "cpu" and self.interpolation != "nearest"
        values = torch.nn.functional.interpolate(
            planes if stays else planes.float(),
            sides,
            mode=self.interpolation,
            antialias=self.interpolation != "nearest",
        )
        height, width = self.size or sides
        values = values[:, :, top : top + height, left : left + width]
        if values.dtype != x.dtype:
            values = values.round().clamp(0, 255).to(x.dtype)
        return values.permute(0, 2, 3, 1) if self.is_last else values

    def _plan(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The size to resize to, and where the middle that is cut out begins."""
        assert self.size is not None
        wanted = [round(side / self.crop_fraction) for side in self.size]
        if wanted[0] * width >= wanted[1] * height:  # the height is what decides
            sides = wanted[0], max(wanted[1], int(wanted[0] * width / height))
        else:
            sides = max(wanted[0], int(wanted[1] * height / width)), wanted[1]
        starts = [round((a - b) / 2) for a, b in zip(sides, self.size, strict=True)]
        return sides, (starts[0], starts[1])

    # Images as they come

    def open(self, x: Any, *, lazily: bool = False) -> Any:
        """A batch of pixels from paths, PIL images or arrays of uint8; anything else as it is.

        Args:
            x: One image, or a list of images that may differ in kind and size.
            lazily: Whether to give a `Dataset` that reads them when they are needed.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If a file is no image, or sizes differ and the network takes any size.
        """
        if _is_image(x):
            x = [x]
        if not isinstance(x, (list, tuple)) or not x or not all(map(_is_image, x)):
            return x
        images = OpenedImages(list(x), self)
        return images if lazily else torch.stack(images.__getitems__(range(len(images))))

    def read(self, image: Any) -> Tensor:
        """One image, opened and in the network's size.

        Shapes:
            output: `(channels, height, width)`, or channels last; uint8

        Args:
            image: A path, a PIL image, or an array of uint8.
        """
        from PIL import Image

        if isinstance(image, (str, os.PathLike)):
            image = load_img(image, "rgba" if self.channels == 4 else "rgb")
        elif isinstance(image, (np.ndarray, Tensor)):
            image = Image.fromarray(_pixels(np.asarray(image)))
        image = image.convert(_MODES[self.channels])
        if self.size is not None and (image.height, image.width) != self.size:
            (height, width), (top, left) = self._plan(image.height, image.width)
            image = image.resize((width, height), Image.Resampling[self.interpolation.upper()])
            image = image.crop((left, top, left + self.size[1], top + self.size[0]))
        pixels = torch.from_numpy(np.array(image))
        pixels = pixels[:, :, None] if pixels.dim() == 2 else pixels
        return pixels if self.is_last else pixels.permute(2, 0, 1)

    def get_config(self) -> dict[str, Any]:
        """Its settings."""
        return dataclasses.asdict(self)


class OpenedImages(Dataset):
    """Images of several kinds as tensors of one size, read by a few threads as they are needed."""

    def __init__(self, images: list[Any], preprocessing: ImagePreprocessing) -> None:
        self.images, self.preprocessing = images, preprocessing

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.preprocessing.read(self.images[index])

    def __getitems__(self, indices: Any) -> list[Tensor]:
        """The images of these numbers."""
        # PIL lets go of Python's lock while it decodes, so threads use all cores.
        with ThreadPoolExecutor(min(len(indices), os.cpu_count() or 1)) as threads:
            pixels = list(threads.map(self.__getitem__, indices))
        sizes = {tuple(image.shape) for image in pixels}
        if len(sizes) > 1:
            raise ValueError(
                f"The images differ in size ({', '.join(map(str, sorted(sizes)[:3]))}), and the "
                "network takes any: give it an input_shape, or pass images of one size at a time."
            )
        return pixels


def _is_image(x: Any) -> bool:
    """Whether something stands for one raw image."""
    if isinstance(x, (np.ndarray, Tensor)):
        return str(x.dtype).removeprefix("torch.") == "uint8" and x.ndim in (2, 3)
    return isinstance(x, (str, os.PathLike)) or hasattr(x, "getbands")


def _pixels(array: np.ndarray) -> np.ndarray:
    """An array of one image in PIL's order, height and width first."""
    if array.ndim == 3 and array.shape[2] not in _MODES and array.shape[0] in _MODES:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 3 and array.shape[2] not in _MODES:
        raise ValueError(f"An image has 1, 3 or 4 channels, got {describe(array)}.")
    return np.ascontiguousarray(array)
