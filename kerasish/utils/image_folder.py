"""Batches of images read from a folder with one sub-folder per class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from kerasish import config
from kerasish.data.folder_index import index_folder
from kerasish.data.image_files import (
    CHANNELS,
    IMAGE_ENDINGS,
    ImageFile,
    open_image,
    resize_pixels,
)
from kerasish.data.image_source import ImageSource
from kerasish.describe import describe
from kerasish.layers.augmentation.picture_batches import Picture, gives_size
from kerasish.utils.folders import folder_batches
from kerasish.utils.images import as_color_mode, as_resample, centre_box

Result = TypeVar("Result")

ON_BROKEN = ("error", "skip")


class ImageFiles(ImageSource):
    """Image files, decoded by a few threads when a batch of them is asked for.

    Args:
        paths: The files.
        labels: One row for each file, or `None`.
        read: Makes a picture of a path.
        broken: `"error"`, or `"skip"` to leave out a file that cannot be decoded, with a warning.
        **options: Those of `ImageSource`.
    """

    def __init__(
        self,
        paths: list[str],
        labels: torch.Tensor | None,
        read: Callable[[str], Picture],
        broken: str,
        **options: Any,
    ) -> None:
        super().__init__(labels, **options)
        self.paths, self.read, self.broken = paths, read, broken
        self._warned: set[str] = set()

    def __len__(self) -> int:
        return len(self.paths)

    def pictures(self, indices: Sequence[int]) -> list[Picture | None]:
        """The files of these numbers; `None` for broken ones that are to be skipped."""
        paths = [self.paths[index] for index in indices]
        return self.threads.map(lambda row: self._picture(paths[row]), len(paths))

    def _picture(self, path: str) -> Picture | None:
        picture = self.unless_broken(path, lambda: self.read(path))
        return None if picture is None else _Careful(self, path, picture)

    def unless_broken(self, path: str, function: Callable[[], Result]) -> Result | None:
        """What the function returns; `None`, with a warning, for a broken file to be skipped."""
        try:
            return function()
        except ValueError as error:
            if self.broken == "error":
                error.add_note("Mend or remove the file, or pass broken='skip' to leave it out.")
                raise
            if path not in self._warned:
                self._warned.add(path)
                warnings.warn(f"Skipped: {error}", stacklevel=2)
            return None


class _Careful(NamedTuple):
    """A picture of a file, which may turn out to be broken."""

    files: ImageFiles
    path: str
    picture: Picture

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.size

    def pixels(self) -> torch.Tensor | None:
        return self.files.unless_broken(self.path, self.picture.pixels)


def image_dataset_from_directory(
    directory: str | os.PathLike,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: tuple[int, int] | None = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str | None = None,
    verbose: bool = True,
    *,
    augment: Any = None,
    training: bool = True,
    dtype: str | torch.dtype = "float32",
    broken: str = "error",
    threads: int | None = None,
) -> Any:
    """Batches of images from a folder with one sub-folder per class; read as they are needed.

    The result is a `DataLoader` with `class_names`, `class_counts` and `file_paths`, ready for
    `fit`. Files other than bmp, gif, jpeg, png and webp are left aside.

    Shapes:
        images: `(batch, channels, height, width)`, or channels last where `data_format` says so;
            values from 0 to 255
        labels: `(batch,)` int64 for `label_mode="int"`, `(batch, classes)` float32 for
            `"categorical"`, `(batch, 1)` float32 for `"binary"`

    Args:
        directory: The folder.
        labels: `"inferred"` from the sub-folders, `None` for images alone, or one integer for each
            file in the sorted order of their paths.
        label_mode: `"int"`, `"categorical"`, `"binary"`, or `None` for images alone.
        class_names: The sub-folders in the order of their numbers; sorted by default.
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
        batch_size: Images in a batch; `None` gives them one by one.
        image_size: `(height, width)` that all images are resized to; `None` for their own sizes.
            Of no use where `augment` gives them a size.
        shuffle: Whether to shuffle the files, before a split and, for training, each epoch.
        seed: Makes split and orders repeat.
        validation_split: The share of files for validation, in (0, 1).
        subset: `"training"`, `"validation"`, or `"both"` for the two as a tuple.
        interpolation: How to resize. Shrinking averages over pixels (no aliasing).
        follow_links: Whether to enter sub-folders that are symbolic links.
        crop_to_aspect_ratio: Whether to cut the longer side, at the centre, instead of squeezing.
        pad_to_aspect_ratio: Whether to add black borders instead of squeezing.
        data_format: The axis order; that of `config.image_data_format` by default.
        format: Keras's choice between data set libraries; without effect.
        verbose: Whether to print how many files and classes were found.
        augment: Layers that images pass through: a `Pipeline`, a layer or a list. One that begins
            with `RandomShortSide`, `RandomResizedCrop`, `RandomCrop`, `Resizing` or `CenterCrop`
            gets images in their own sizes, and only what it shows of them is resized: much faster
            than the same layers in the model. What is drawn for an image depends on the layer's
            seed, the epoch and the image's number alone.
        training: Whether `augment` does what it does in training; for the validation part it never
            does.
        dtype: The number type of the images; `"uint8"` is a quarter of the bytes.
        broken: What an unreadable file means: `"error"`, or `"skip"` to leave it out with a
            warning.
        threads: How many threads decode; one for each core by default.

    Returns:
        `Batches`, or a tuple of two for `subset="both"`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If options contradict each other or the folder; and, while reading, if a file
            is no image.
    """
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("Choose one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio`.")
    if broken not in ON_BROKEN:
        raise ValueError(f"`broken` must be one of {ON_BROKEN}, got {describe(broken)}.")
    if format is not None:
        warnings.warn(
            f"image_dataset_from_directory: format={format!r} has no effect; the result is a "
            "DataLoader of torch tensors. Leave it out.",
            stacklevel=2,
        )
    fit = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else "squeeze"
    if gives_size(augment):
        _check_unused(image_size, interpolation, fit)
        image_size = None
    read = picture_reader(color_mode, image_size, interpolation, fit)
    options = {
        "augment": augment,
        "data_format": config.as_image_format(data_format),
        "dtype": config.as_dtype(dtype),
        "threads": threads,
    }
    index = index_folder(directory, labels, class_names, IMAGE_ENDINGS, follow_links)

    def make_source(paths: list[str], rows: torch.Tensor | None, validates: bool) -> ImageFiles:
        return ImageFiles(paths, rows, read, broken, training=training and not validates, **options)

    return folder_batches(
        index,
        make_source,
        label_mode=label_mode,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        validation_split=validation_split,
        subset=subset,
        verbose=verbose,
    )


def _check_unused(image_size: Any, interpolation: str, fit: str) -> None:
    if (image_size, interpolation, fit) not in (((256, 256), "bilinear", "squeeze"),) and (
        image_size is not None
    ):
        raise ValueError(
            "`image_size`, `interpolation` and the aspect ratio have no effect where `augment` "
            "begins with a layer that gives images their size. Leave them out, or that layer."
        )


@dataclass(frozen=True)
class _TorchResizedFile:
    """An image file resized by torch: as by PIL up to rounding, in a fraction of the time."""

    path: str
    size: tuple[int, int]
    channels: int
    interpolation: str
    crops: bool

    def pixels(self) -> torch.Tensor:
        pixels = ImageFile(self.path, self.channels).pixels()
        if self.crops:
            height, width = self.size
            there = pixels.shape[1], pixels.shape[0]
            left, top, right, bottom = centre_box(there, (width, height))
            pixels = pixels[top:bottom, left:right]
        return resize_pixels(pixels, self.size, self.interpolation)


@dataclass(frozen=True)
class _ResizedFile:
    """An image file that is resized by PIL."""

    path: str
    size: tuple[int, int]
    read: Callable[[str], np.ndarray]

    def pixels(self) -> torch.Tensor:
        return torch.from_numpy(np.array(self.read(self.path)))


def picture_reader(
    color_mode: str, image_size: tuple[int, int] | None, interpolation: str, fit: str
) -> Callable[[str], Picture]:
    """A function that makes a picture of a path.

    Args:
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
        image_size: `(height, width)` of the picture; `None` for the file's own.
        interpolation: The name of the resize filter.
        fit: What happens to images of another shape: `"squeeze"`, `"crop"` or `"pad"`.
    """
    as_color_mode(color_mode)
    as_resample(interpolation)
    if image_size is None:
        return partial(ImageFile, channels=CHANNELS[color_mode])
    height, width = image_size
    # PIL alone pads, has more filters, and weighs colours with their transparency.
    if interpolation in ("bilinear", "bicubic") and fit != "pad" and color_mode != "rgba":
        return partial(
            _TorchResizedFile,
            size=(height, width),
            channels=CHANNELS[color_mode],
            interpolation=interpolation,
            crops=fit == "crop",
        )
    read = image_reader(color_mode, image_size, interpolation, fit)
    return partial(_ResizedFile, size=(height, width), read=read)


def image_reader(
    color_mode: str, image_size: tuple[int, int], interpolation: str, fit: str
) -> Callable[[str], np.ndarray]:
    """A function that reads a file as a uint8 array (height, width, channels) of one size.

    Args:
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
        image_size: `(height, width)` of the result.
        interpolation: The name of the resize filter.
        fit: What happens to images of another shape: `"squeeze"`, `"crop"` or `"pad"`.
    """
    from PIL import ImageOps

    mode, resample = as_color_mode(color_mode), as_resample(interpolation)
    height, width = image_size

    def read(path: str) -> np.ndarray:
        image = open_image(path).convert(mode)
        if image.size != (width, height):
            if fit == "pad":
                image = ImageOps.pad(image, (width, height), resample)
            else:
                box = centre_box(image.size, (width, height)) if fit == "crop" else None
                image = image.resize((width, height), resample, box=box)
        array = np.asarray(image)
        return array[:, :, None] if array.ndim == 2 else array

    return read
