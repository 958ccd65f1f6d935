"""Figures of matplotlib, which is loaded only when something is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kerasish.config import image_data_format

# Above this, a whole number or a float is taken for a pixel from 0 to 255.
_TOP = 1.5
# Images whose brightest pixel is below this are on a scale of their own, such as 0 to 16.
_DARK = 32


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches.

    Raises:
        ImportError: If matplotlib is missing.
    """
    from kerasish.figures import Picture

    return Picture(width, height)


def save_figure(figure: Any, path: str | Path | None) -> Any:
    """Write a figure where it is wanted, as PNG or what the name ends in; returns it."""
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100)
    return figure


def without_preprocessing(images: Any, preprocessing: Any) -> Any:
    """Images as they were before a model's preprocessing normalised them, in bytes.

    Args:
        images: What the network got, of 4 axes; bytes and other inputs are given back as they are.
        preprocessing: The model's `preprocessing`, or `None`.
    """
    mean, std = getattr(preprocessing, "mean", None), getattr(preprocessing, "std", None)
    if mean is None or std is None or images.ndim != 4 or images.dtype.kind != "f":
        return images
    sides = (-1,) if preprocessing.is_last else (-1, 1, 1)
    pixels = (images * np.reshape(std, sides) + np.reshape(mean, sides)) * 255
    if preprocessing.channel_order == "bgr":
        pixels = np.flip(pixels, -1 if preprocessing.is_last else 1)
    return pixels.round().clip(0, 255).astype(np.uint8)


def show_image(axis: Any, image: np.ndarray, data_format: str | None = None) -> None:
    """Draw one image of 3 axes: bytes, floats from 0 to 1 or to 255, or normalised floats.

    Args:
        axis: Where to draw.
        image: The image.
        data_format: Where its channels are; `None` takes the current setting.
    """
    is_last = (data_format or image_data_format()) == "channels_last"
    pixels = (image if is_last else np.moveaxis(image, 0, -1)).astype(np.float32)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0:
        pixels = (pixels - low) / max(high - low, 1e-12)  # normalised: only contrast is known
    elif high > _TOP:
        pixels = pixels / (255 if high > _DARK else high)
    pixels = pixels.clip(0, 1)
    gray = pixels.shape[-1] not in (3, 4)
    if gray:
        axis.imshow(pixels[..., 0], cmap="gray", vmin=0, vmax=1)
    else:
        axis.imshow(pixels[..., :3])
    axis.set_axis_off()


def grid(count: int, columns: int, size: float, title: float = 0.4) -> tuple[Any, list[Any]]:
    """A figure of so many square places in rows, and the axes of the places."""
    columns = max(1, min(count, columns))
    rows = -(-count // columns)
    figure = new_figure(columns * size, rows * (size + title))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]
