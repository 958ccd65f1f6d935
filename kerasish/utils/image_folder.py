"""Batches of images read from a folder with one sub-folder per class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from kerasish import config
from kerasish.data.batch_source import BatchSource
from kerasish.data.folder_index import index_folder
from kerasish.describe import describe
from kerasish.utils.folders import folder_batches
from kerasish.utils.images import as_color_mode, as_resample, centre_box, open_image

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
ON_BROKEN = ("error", "skip")


class ImageFiles(BatchSource):
    """Image files, decoded by a few threads when a batch of them is asked for.

    Args:
        paths: The files.
        labels: One row for each file, or `None`.
        read: Makes a uint8 array (height, width, channels) of a path.
        data_format: The axis order of the images.
        dtype: The number type of the images.
        broken: `"error"`, or `"skip"` to leave out a file that cannot be decoded, with a warning.
    """

    holds_pixels = True

    def __init__(
        self,
        paths: list[str],
        labels: torch.Tensor | None,
        read: Callable[[str], np.ndarray],
        data_format: str,
        dtype: torch.dtype,
        broken: str,
    ) -> None:
        self.paths, self.labels, self.read = paths, labels, read
        self.data_format, self.dtype, self.broken = data_format, dtype, broken
        self._warned: set[int] = set()

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: list[int], epoch: int | None = None) -> Any:
        """The images of these numbers, and their labels; `None` if all of them are broken."""
        # PIL lets go of Python's lock while it decodes, so threads use all cores.
        with ThreadPoolExecutor(min(len(indices), os.cpu_count() or 1)) as threads:
            arrays = list(threads.map(self._array, indices))
        kept = [(i, array) for i, array in zip(indices, arrays, strict=True) if array is not None]
        if not kept:
            return None
        images = torch.from_numpy(np.stack([array for _, array in kept])).to(self.dtype)
        if self.data_format == "channels_first":
            # A view: in memory the batch stays channels-last, which convolutions like.
            images = images.permute(0, 3, 1, 2)
        return images if self.labels is None else (images, self.labels[[i for i, _ in kept]])

    def _array(self, index: int) -> np.ndarray | None:
        try:
            return self.read(self.paths[index])
        except ValueError as error:
            if self.broken == "error":
                error.add_note("Mend or remove the file, or pass broken='skip' to leave it out.")
                raise
            if index not in self._warned:
                self._warned.add(index)
                warnings.warn(f"Skipped: {error}", stacklevel=2)
            return None


def image_dataset_from_directory(
    directory: str | os.PathLike,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
    *,
    dtype: str | torch.dtype = "float32",
    broken: str = "error",
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
        image_size: `(height, width)` that all images are resized to.
        shuffle: Whether to shuffle the files, before a split and, for training, each epoch.
        seed: Makes split and orders repeat.
        validation_split: The share of files for validation, in (0, 1).
        subset: `"training"`, `"validation"`, or `"both"` for the two as a tuple.
        interpolation: How to resize. Shrinking averages over pixels (no aliasing).
        follow_links: Whether to enter sub-folders that are symbolic links.
        crop_to_aspect_ratio: Whether to cut the longer side, at the centre, instead of squeezing.
        pad_to_aspect_ratio: Whether to add black borders instead of squeezing.
        data_format: The axis order; that of `config.image_data_format` by default.
        verbose: Whether to print how many files and classes were found.
        dtype: The number type of the images; `"uint8"` is a quarter of the bytes.
        broken: What an unreadable file means: `"error"`, or `"skip"` to leave it out with a
            warning.

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
    fit = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else "squeeze"
    read = image_reader(color_mode, image_size, interpolation, fit)
    data_format, number_type = config.as_image_format(data_format), config.as_dtype(dtype)
    index = index_folder(directory, labels, class_names, ENDINGS, follow_links)
    return folder_batches(
        index,
        lambda paths, rows: ImageFiles(paths, rows, read, data_format, number_type, broken),
        label_mode=label_mode,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        validation_split=validation_split,
        subset=subset,
        verbose=verbose,
    )


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
