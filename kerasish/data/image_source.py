"""Data sets of images: uint8 until the batch, seen through a pipeline, made by a few threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from kerasish.config import as_image_format
from kerasish.data.batch_source import BatchSource
from kerasish.describe import describe


class Picture(Protocol):
    """An image whose pixels are fetched only when somebody asks."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def pixels(self) -> Tensor:
        """uint8 (height, width, channels)."""
        ...


class ImageSource(BatchSource):
    """Images and labels, read when a batch of them is asked for: define `__len__` and `picture`.

    Args:
        labels: One row for each image, or `None`.
        augment: Layers that every batch passes through, or `None`.
        training: Whether they do what they do in training.
        data_format: The axis order of the images.
        threads: How many threads make a batch; one for each core by default.
    """

    def __init__(
        self,
        labels: Tensor | None,
        *,
        augment: Any = None,
        training: bool = True,
        data_format: str | None = None,
        threads: int | None = None,
    ) -> None:
        if threads is not None and (type(threads) is not int or threads < 1):
            raise ValueError(f"`threads` must be a positive integer, got {describe(threads)}.")
        self.labels, self.training = labels, bool(training)
        self.data_format = as_image_format(data_format)
        self.threads = threads or os.cpu_count() or 1
        self.augment = augment

    def picture(self, index: int) -> Picture:
        """An image, not read yet."""
        raise NotImplementedError

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Any:
        """The images of these numbers, augmented, and their labels."""
        images = self._images([self.picture(index) for index in indices], indices, epoch)
        return images if self.labels is None else (images, self.labels[list(indices)])

    def _images(self, pictures: list[Picture], indices: Sequence[int], epoch: int | None) -> Tensor:
        if len({picture.size for picture in pictures}) > 1:
            raise ValueError(
                f"The images of a batch have different sizes, such as {pictures[0].size} and "
                f"{next(p.size for p in pictures if p.size != pictures[0].size)}. Give `augment` "
                "layers that make them alike, such as [Resizing(224, 224)]."
            )
        images = [self._ordered(picture.pixels()) for picture in pictures]
        return images[0][None] if len(images) == 1 else torch.stack(images)

    def _ordered(self, pixels: Tensor) -> Tensor:
        return pixels.permute(2, 0, 1) if self.data_format == "channels_first" else pixels
