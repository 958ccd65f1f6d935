"""What both CIFAR sets share: pickled rows of 3×32×32 pixels, made into images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasish.config import image_data_format
from kerasish.datasets.files import Arrays, ArrayUnpickler


def read_batches(folder: Path, names: Sequence[str], label_key: bytes) -> Arrays:
    """The images and labels of files together, in the axis order of the setting for images."""
    pixels, labels = [], []
    for name in names:
        with (folder / name).open("rb") as stream:
            # The published files were pickled by Python 2.
            batch = ArrayUnpickler(stream, encoding="bytes").load()
        pixels.append(batch[b"data"].reshape(-1, 3, 32, 32))
        labels += batch[label_key]
    images = np.concatenate(pixels)
    if image_data_format() == "channels_last":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return images, np.array(labels)[:, None]
