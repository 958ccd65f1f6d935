"""A picture of what augmentation does: originals beside their variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.layers.augmentation.draws import sample_context
from kerasish.layers.augmentation.parts import plain


def preview(
    layer: Any,
    images: Any,
    path: str | Path | None = None,
    *,
    variants: int = 6,
    rows: int = 4,
    first_epoch: int = 0,
    size: float = 1.5,
) -> Any:
    """Draw images, a row each: the original, and what training would show in some epochs.

    Args:
        layer: An augmentation layer or pipeline; its mode and its draws are left as they are.
        images: A batch or a list of images of one size, in the layer's axis order: uint8, or
            floats in its value range.
        path: Where to save the picture as PNG. `None` only makes the figure, which a notebook
            shows.
        variants: How many variants to draw of each image.
        rows: The most images to draw.
        first_epoch: The epoch of the first variant.
        size: The width of one image in inches.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If the images are not a batch.
    """
    if isinstance(images, (list, tuple)) and len({np.shape(image) for image in images}) == 1:
        images = torch.stack([torch.as_tensor(image) for image in images[:rows]])
    x = torch.as_tensor(images)[:rows]
    if x.dim() != 4:
        raise ValueError(
            f"preview expects a batch of images of 4 axes, got shape {tuple(x.shape)}."
        )
    columns = [x]
    for epoch in range(first_epoch, first_epoch + variants):
        with sample_context(torch.arange(len(x)), epoch), torch.no_grad():
            columns.append(torch.as_tensor(layer(x, training=True)))
    figure = _draw(columns, _is_last(layer), size)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", dpi=100)
    return figure


def _is_last(layer: Any) -> bool:
    formats = [m.data_format for m in layer.modules() if hasattr(m, "data_format")]
    return bool(formats) and formats[0] == "channels_last"


def _draw(columns: list[Tensor], is_last: bool, size: float) -> Any:
    from kerasish.figures import Picture

    count = len(columns[0])
    figure = Picture(size * len(columns), size * count + 0.3)
    axes = figure.subplots(count, len(columns), squeeze=False)
    top = _top(columns[0])
    for column, batch in enumerate(columns):
        for row in range(count):
            pixels = _pixels(batch[row], is_last, top)
            gray = {"cmap": "gray", "vmin": 0, "vmax": 1} if pixels.ndim == 2 else {}
            axes[row, column].imshow(pixels, **gray)
            axes[row, column].set_axis_off()
        title = "original" if column == 0 else f"epoch {column - 1}"
        axes[0, column].set_title(title, fontsize=8)
    return figure


def _top(images: Tensor) -> float:
    """The greatest value that pixels may have, by their type and values."""
    return 255.0 if not images.is_floating_point() or float(images.max()) > 1.5 else 1.0


def _pixels(image: Tensor, is_last: bool, top: float) -> np.ndarray:
    x = plain(image).detach().cpu().to(torch.float32) / top
    x = x if is_last else x.movedim(0, -1)
    x = x.clamp(0, 1).numpy()
    return x[..., 0] if x.shape[-1] == 1 else x[..., :3]
