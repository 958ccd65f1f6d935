"""Packed images: uint8 pixels of a whole folder in one file, read through a memory map.

The file is in the safetensors format: `pixels` holds all images one after the other, each as
(height, width, channels); small tensors say where each begins, how large it is, and what it shows.
"""

from __future__ import annotations

import functools
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerasish.data.image_source import ImageSource
from kerasish.describe import describe
from kerasish.layers.augmentation.picture_batches import Picture
from kerasish.saving.files import ArchiveError, existing_file, unreadable

FORMAT = "kerasish.packed_images"
VERSION = "1"

# The small tensors: their types in the file, in the order in which they follow the pixels.
INDEX_TYPES = {
    "offsets": torch.int64,
    "labels": torch.int64,
    "checksums": torch.int64,
    "heights": torch.int32,
    "widths": torch.int32,
    "paths": torch.uint8,
}


@dataclass(frozen=True)
class PackedIndex:
    """What a packed file says about its images.

    Args:
        offsets: Where each image begins in the pixels, and the end of the last: `(images + 1,)`.
        heights: `(images,)`.
        widths: `(images,)`.
        labels: A class number for each; -1 where there are no labels.
        checksums: The CRC-32 of each image's pixels.
        paths: The bytes of the paths they come from, as `encode_paths` makes them.
        channels: 1, 3 or 4.
        class_names: The names of the class numbers, or `None`.
        about: What else was written down when packing.
    """

    offsets: Tensor
    heights: Tensor
    widths: Tensor
    labels: Tensor
    checksums: Tensor
    paths: Tensor
    channels: int
    class_names: list[str] | None
    about: dict[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        """The small tensors as they are stored."""
        return {name: getattr(self, name).to(kind) for name, kind in INDEX_TYPES.items()}

    def metadata(self) -> dict[str, str]:
        """What is stored in the file's header."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "channels": str(self.channels),
            "class_names": json.dumps(self.class_names),
            "about": json.dumps(self.about),
            "index_crc32": f"{checksum_of_index(self.tensors()):08x}",
        }


def encode_paths(paths: Sequence[str]) -> Tensor:
    """Paths as bytes in one tensor."""
    text = bytearray("\0".join(paths).encode("utf-8", "surrogateescape"))
    return torch.frombuffer(text, dtype=torch.uint8)


def decode_paths(text: Tensor) -> list[str]:
    """The way back."""
    return text.numpy().tobytes().decode("utf-8", "surrogateescape").split("\0")


def checksum_of_index(tensors: Mapping[str, Tensor]) -> int:
    """One CRC-32 over all small tensors."""
    value = 0
    for name in INDEX_TYPES:
        value = zlib.crc32(tensors[name].numpy().data, value)
    return value


class MappedImage(NamedTuple):
    """An image in the map.

    Args:
        map: The pixels of all images.
        begin: Where this one begins.
        size: Height and width.
        channels: 1, 3 or 4.
    """

    map: Tensor
    begin: int
    size: tuple[int, int]
    channels: int

    def pixels(self) -> Tensor:
        """A view of the map: uint8 (height, width, channels)."""
        height, width = self.size
        stride = (width * self.channels, self.channels, 1)
        return self.map.as_strided((height, width, self.channels), stride, self.begin)


class PackedImages(ImageSource):
    """Images of a packed file as a data set; made by `open_packed`.

    `dataset[i]` is a pair of image and label. Without `augment` the image is a view of the file's
    memory map, which is read when somebody looks: treat it as constant.

    Shapes:
        image: `(channels, height, width)` uint8, or channels last where `data_format` says so

    Attributes:
        class_names: The names of the class numbers, or `None`.
        about: The settings of packing.
        labels: `(images,)` int64, or `None`.
        heights: `(images,)`.
        widths: `(images,)`.
    """

    def __init__(
        self,
        pixels: Tensor,
        index: PackedIndex,
        path: Path,
        rows: Sequence[int] | np.ndarray | None = None,
        **options: Any,
    ) -> None:
        self._pixels, self._index, self.path, self._options = pixels, index, path, options
        self.class_names, self.about = index.class_names, index.about
        count = len(index.heights)
        self._rows = np.arange(count) if rows is None else np.asarray(rows, dtype=np.int64)
        # Arrays, since a million Python numbers for each worker process would be a burden.
        self._begins = index.offsets.numpy()[self._rows]
        self.heights, self.widths = index.heights[self._rows], index.widths[self._rows]
        self._sides = torch.stack([self.heights, self.widths], -1).numpy()
        labels = None if self.class_names is None else index.labels[self._rows]
        super().__init__(labels, **options)

    @functools.cached_property
    def paths(self) -> list[str]:
        """The files that the images were packed from, relative to their folder."""
        paths = decode_paths(self._index.paths)
        return [paths[row] for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def number(self, index: int) -> int:
        """An image's place in the file, which stands for it when something is drawn for it."""
        return int(self._rows[index])

    def select(self, rows: Any, **options: Any) -> PackedImages:
        """Some of the images, in this order, on the same memory map.

        Args:
            rows: Their numbers in this data set, such as the `indices` of a torch `Subset`; or True
                or False for each image.
            **options: Those of `open_packed` that are to differ, such as `training=False`.

        Example:
            >>> train, rest = split_dataset(photos, 0.9, shuffle=True)  # doctest: +SKIP
            >>> validation = photos.select(rest.indices, training=False)  # doctest: +SKIP
        """
        chosen = self._rows[np.asarray(rows)] if len(rows) else self._rows[:0]
        options = {**self._options, **options}
        return PackedImages(self._pixels, self._index, self.path, chosen, **options)

    def pictures(self, indices: Sequence[int]) -> Sequence[Picture]:
        """Images where they lie in the map."""
        return [self.picture(index) for index in indices]

    def picture(self, index: int) -> MappedImage:
        """An image where it lies in the map."""
        height, width = self._sides[index].tolist()
        begin, channels = int(self._begins[index]), self._index.channels
        return MappedImage(self._pixels, begin, (height, width), channels)

    def verify(self) -> None:
        """Read every pixel and compare checksums.

        Raises:
            ArchiveError: If an image is damaged; the message names it.
        """
        for number, expected in enumerate(self._index.checksums[self._rows].tolist()):
            if zlib.crc32(self.picture(number).pixels().numpy().data) != expected:
                raise ArchiveError(
                    f"Cannot trust {self.path}: the pixels of {self.paths[number]} (image "
                    f"{number}) have changed since they were packed. Pack the folder again."
                )

    def __repr__(self) -> str:
        classes = "" if self.class_names is None else f", {len(self.class_names)} classes"
        return f"PackedImages({str(self.path)!r}: {len(self)} images{classes})"

    def __reduce__(self) -> tuple:
        # A worker process opens the file anew and shares its pages with everybody.
        return _open_again, (self.path, self._rows, self._options, self.epoch)


def open_packed(
    path: str | os.PathLike,
    augment: Any = None,
    *,
    training: bool = True,
    data_format: str | None = None,
    threads: int | None = None,
) -> PackedImages:
    """Open a file that `pack` made, as a data set for `fit`, a `DataLoader` or a loop.

    Nothing is read but the index; pixels come from the memory map when a batch asks for them, and
    with `augment`, only those of the window that each image is seen through.

    Args:
        path: The file.
        augment: Layers that make images of one size: a `Pipeline` or a list that begins with
            `RandomShortSide`, `RandomResizedCrop`, `RandomCrop`, `Resizing` or `CenterCrop`. What
            a layer draws for an image depends on the layer's seed, the epoch and the image's number
            alone.
        training: Whether layers do what they do in training. `False` for validation: windows in
            the middle, nothing at random.
        data_format: The axis order of the images; that of `config.image_data_format` by default.
        threads: How many threads make a batch; one for each core by default.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If it is truncated, damaged, or another kind of file.

    Example:
        >>> train = open_packed("photos.kpk", augment=resnet_recipe())  # doctest: +SKIP
        >>> model.fit(train, batch_size=64, epochs=10)  # doctest: +SKIP
    """
    file = existing_file(path)
    pixels, index = read_packed(file)
    return PackedImages(
        pixels,
        index,
        file,
        augment=augment,
        training=training,
        data_format=data_format,
        threads=threads,
    )


def _open_again(
    path: Path, rows: np.ndarray, options: dict[str, Any], epoch: int | None
) -> PackedImages:
    dataset = PackedImages(*read_packed(path), path, rows, **options)
    dataset.set_epoch(epoch)
    return dataset


def read_packed(path: Path) -> tuple[Tensor, PackedIndex]:
    """The pixels, as a memory map, and the index of a packed file.

    Raises:
        ArchiveError: If it is truncated, damaged, or another kind of file.
    """
    from safetensors import safe_open

    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ArchiveError(
                    f"Cannot read {path}: it is a safetensors file, but not of packed images."
                )
            _check_version(path, metadata)
            tensors = {name: file.get_tensor(name) for name in ("pixels", *INDEX_TYPES)}
        return tensors.pop("pixels"), _checked(path, tensors, metadata)
    except ArchiveError:
        raise
    # The parser reports damage in several exception types, and so do the numbers inside.
    except Exception as error:
        raise unreadable(path, "safetensors", error) from error


def _check_version(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("version") != VERSION:
        raise ArchiveError(
            f"Cannot read {path}: it is version {describe(metadata.get('version'))} of packed "
            f"images, this kerasish knows {VERSION}. Update kerasish, or pack the folder again."
        )


def _checked(path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> PackedIndex:
    if f"{checksum_of_index(tensors):08x}" != metadata["index_crc32"]:
        raise ArchiveError(f"Cannot read {path}: its index is damaged. Pack the folder again.")
    return PackedIndex(
        **tensors,
        channels=int(metadata["channels"]),
        class_names=json.loads(metadata["class_names"]),
        about=json.loads(metadata["about"]),
    )


def write_header(
    pixel_bytes: int, index_tensors: Mapping[str, Tensor], metadata: Mapping[str, str], size: int
) -> bytes:
    """The head of the file, `size` bytes long: a number, JSON, and spaces up to the pixels.

    Raises:
        ValueError: If it does not fit.
    """
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    begin = 0
    parts: Sequence[tuple[str, str, int, int]] = [
        ("pixels", "U8", pixel_bytes, pixel_bytes),
        *(
            (name, {1: "U8", 4: "I32", 8: "I64"}[t.element_size()], t.numel(), t.nbytes)
            for name, t in index_tensors.items()
        ),
    ]
    for name, kind, count, nbytes in parts:
        span = [begin, begin + nbytes]
        entries[name] = {"dtype": kind, "shape": [count], "data_offsets": span}
        begin += nbytes
    text = json.dumps(entries).encode()
    if len(text) > size - 8:
        raise ValueError(f"The header has {len(text)} bytes, more than the {size - 8} kept for it.")
    return (size - 8).to_bytes(8, "little") + text.ljust(size - 8)
