"""Contrast-limited adaptive histogram equalisation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.augmentation.arguments import is_number
from kerasish.layers.augmentation.base import Parameters
from kerasish.layers.augmentation.color import ColorLayer
from kerasish.layers.checks import sizes


class ContrastLimitedAdaptiveHistogramEqualization(ColorLayer):
    """Equalises the histogram of each part of an image, in training and outside.

    The image is cut into tiles. Each tile's histogram, cut off at a limit, gives a table from old
    to new values; a pixel's new value is interpolated between the tables of the tiles around it.

    Args:
        value_range: The least and the greatest pixel value.
        clip_limit: How many times its even share of the pixels a value may count; what is above
            is spread over all values. 0 sets no limit.
        tile_grid_size: The number of tiles down and across.
        data_format: `"channels_first"` or `"channels_last"`; `None` takes the current setting.
        **kwargs: Those of `AugmentationLayer`.

    Raises:
        ValueError: If the limit is negative, or a number of tiles not positive.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        clip_limit: float = 4.0,
        tile_grid_size: tuple[int, int] = (8, 8),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, data_format=data_format, **kwargs)
        if not is_number(clip_limit) or clip_limit < 0:
            raise ValueError(
                f"{type(self).__name__}: `clip_limit` must be a number >= 0, "
                f"got {describe(clip_limit)}."
            )
        self.clip_limit = clip_limit
        self.tile_grid_size = sizes(self, "tile_grid_size", tile_grid_size, 2)

    def fixed(self, batch: int, size: tuple[int, int], device: torch.device) -> Parameters:
        """The same outside training."""
        return {}

    def transform_images(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Interpolate between the tiles' tables."""
        rows, columns = self.tile_grid_size
        height, width = images.shape[-2:]
        # A little more than the exact value, which the change of scale may have lowered.
        pixels = (self.to_unit(images) * 255 + 1e-3).to(torch.int64).clamp(0, 255)
        tall, wide = -(-height // rows), -(-width // columns)
        padded = _mirrored(_mirrored(pixels, -2, tall * rows), -1, wide * columns)
        tables = self._tables(padded.unflatten(-1, (columns, wide)).unflatten(-3, (rows, tall)))
        # The tables are a volume: tile down, tile across, old value.
        y = torch.arange(height, device=images.device) / tall
        x = torch.arange(width, device=images.device) / wide
        place = pixels.flatten(0, 1).to(torch.float32)
        grid = torch.stack(
            [
                (2 * place + 1) / 256 - 1,
                (2 * x / columns - 1).expand_as(place),
                (2 * y / rows - 1)[:, None].expand_as(place),
            ],
            -1,
        )
        volume = tables.flatten(0, 1)[:, None]
        looked_up = F.grid_sample(volume, grid[:, None], padding_mode="border", align_corners=False)
        result = looked_up.reshape(images.shape) / 255
        return self.from_unit(result.clamp(0, 1).to(images.dtype))

    def _tables(self, tiles: Tensor) -> Tensor:
        """New values by old ones: (batch, channels, rows, columns, 256)."""
        values = tiles.movedim(-2, -3).flatten(-2)  # (batch, channels, rows, columns, pixels)
        count = values.shape[-1]
        counts = torch.zeros(*values.shape[:-1], 256, device=values.device)
        counts = counts.scatter_add(-1, values, torch.ones_like(values, dtype=torch.float32))
        if self.clip_limit:
            # A whole number of pixels and at least one, as in OpenCV.
            clipped = counts.clamp(max=max(int(self.clip_limit * count / 256), 1))
            counts = clipped + (counts - clipped).sum(-1, keepdim=True) / 256
        below = counts.cumsum(-1)
        least = below[..., :1]
        rest = count - least
        return ((below - least) * 255 / torch.where(rest == 0, 1.0, rest)).clamp(0, 255)


def _mirrored(x: Tensor, axis: int, size: int) -> Tensor:
    """Lengthened by its mirror image."""
    own = x.shape[axis]
    index = torch.arange(size, device=x.device) % (2 * own)
    return x.index_select(axis, torch.minimum(index, 2 * own - 1 - index))
