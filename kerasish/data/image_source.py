"""Data sets of images: uint8 until the batch, seen through a pipeline, made by a few threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kerasish.config import as_image_format
from kerasish.data.batch_source import BatchSource
from kerasish.data.threads import Threads, default_threads
from kerasish.describe import describe
from kerasish.layers.augmentation.picture_batches import Picture, PictureBatches


class ImageSource(BatchSource):
    """Images and labels, read when a batch of them is asked for: define `__len__` and `pictures`.

    Args:
        labels: One row for each image, or `None`.
        augment: Layers that every batch passes through, or `None`.
        training: Whether they do what they do in training.
        data_format: The axis order of the images.
        dtype: The number type of the images; `None` leaves it to the layers, uint8 without them.
        threads: How many threads make a batch; one for each core by default.
    """

    def __init__(
        self,
        labels: Tensor | None,
        *,
        augment: Any = None,
        training: bool = True,
        data_format: str | None = None,
        dtype: torch.dtype | None = None,
        threads: int | None = None,
    ) -> None:
        if threads is not None and (type(threads) is not int or threads < 1):
            raise ValueError(f"`threads` must be a positive integer, got {describe(threads)}.")
        self.labels, self.data_format = labels, as_image_format(data_format)
        self.augment, self.training, self.dtype = augment, bool(training), dtype
        self.threads = Threads(threads or default_threads())
        self._made: PictureBatches | None = None
        if augment is not None:
            self._made = PictureBatches(
                augment, self.training, self.data_format, dtype, self.threads.map
            )
        self.runs_ahead = self._made is None or self._made.is_own
        self.is_fixed = self._made is None or self._made.is_fixed

    @property
    def holds_pixels(self) -> bool:
        """Whether images come with values from 0 to 255, whatever their type: `fit` asks."""
        return self._made is None or self._made.holds_pixels

    def pictures(self, indices: Sequence[int]) -> Sequence[Picture | None]:
        """Images, not read yet; `None` for those that are to be left out."""
        raise NotImplementedError

    def number(self, index: int) -> int:
        """What stands for an image when something is drawn for it."""
        return index

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Any:
        """The images of these numbers, augmented, and their labels."""
        found = zip(indices, self.pictures(indices), strict=True)
        kept = [(index, picture) for index, picture in found if picture is not None]
        if not kept:
            return None
        rows = [index for index, _ in kept]
        pictures = [picture for _, picture in kept]
        if self._made is None:
            return self._as_they_are(pictures, rows)
        labels = None if self.labels is None else self.labels[rows]
        return self._made(pictures, labels, [self.number(row) for row in rows], epoch)

    def _as_they_are(self, pictures: list[Picture], rows: list[int]) -> Any:
        other = next((p.size for p in pictures if p.size != pictures[0].size), None)
        if other is not None:
            raise ValueError(
                f"The images of a batch have different sizes, such as {pictures[0].size} and "
                f"{other}. Give `augment` layers that make them alike: [Resizing(224, 224)]."
            )
        read = self.threads.map(lambda i: pictures[i].pixels(), len(pictures))
        kept = [(row, pixels) for row, pixels in zip(rows, read, strict=True) if pixels is not None]
        if not kept:
            return None
        # One image is a view of where it lies.
        images = kept[0][1][None] if len(kept) == 1 else torch.stack([p for _, p in kept])
        images = images if self.dtype is None else images.to(self.dtype)
        if self.data_format == "channels_first":
            # A view: in memory the batch stays channels-last, which convolutions like.
            images = images.permute(0, 3, 1, 2)
        return images if self.labels is None else (images, self.labels[[row for row, _ in kept]])
