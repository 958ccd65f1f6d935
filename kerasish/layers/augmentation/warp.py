"""Pixels taken from other places: one matrix or one field of places for each image.

Matrices map a place in the result to the place in the input that it shows, (x, y, 1) with x to the
right and y downwards, where the centre of the first pixel is at 0.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.devices import tensor_on

FILL_MODES = ("reflect", "wrap", "constant", "nearest")
INTERPOLATIONS = ("nearest", "bilinear")

_PADDING = {
    "reflect": "reflection",
    "nearest": "border",
    "constant": "zeros",
    "wrap": "border",
}


def stack_rows(*rows: tuple[Any, Any, Any], like: Tensor) -> Tensor:
    """Matrices (batch, 3, 3) or (batch, 2, 3) from rows of numbers and (batch,) tensors."""
    columns = [
        item if isinstance(item, Tensor) else torch.full_like(like, item)
        for row in rows
        for item in row
    ]
    return torch.stack(columns, -1).reshape(-1, len(rows), 3)


def warp(
    images: Tensor,
    matrices: Tensor,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    *,
    affine: bool = False,
) -> Tensor:
    """Each image seen through its matrix; `affine` promises that the last rows are (0, 0, 1).

    Shapes:
        images: `(batch, channels, height, width)`
        matrices: `(batch, 3, 3)`
        output: that of the images
    """
    height, width = images.shape[-2:]
    if affine and fill_mode != "wrap":
        theta = (_to_edges(height, width, matrices) @ matrices)[:, :2]
        theta = (theta @ inverse(_to_edges(height, width, matrices)[None])).to(images.dtype)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return _look_up(images, grid, interpolation, fill_mode, fill_value)
    m = matrices.to(images.dtype)[..., None, None]  # (batch, 3, 3, 1, 1)
    x = torch.arange(width, device=images.device, dtype=images.dtype)[None, None]
    y = torch.arange(height, device=images.device, dtype=images.dtype)[None, :, None]
    places = [m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in range(3)]
    return sample(
        images, places[0] / places[2], places[1] / places[2], interpolation, fill_mode, fill_value
    )


def sample(
    images: Tensor,
    x: Tensor,
    y: Tensor,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> Tensor:
    """The images' values at places (x, y), each (batch, height, width), in pixels."""
    height, width = images.shape[-2:]
    if fill_mode == "wrap":
        # One more row and column, equal to the first, to interpolate across the seam.
        if interpolation == "nearest":
            x, y = x.round(), y.round()
        x, y = x % width, y % height
        images = F.pad(images, (0, 1, 0, 1), mode="circular")
        height, width = height + 1, width + 1
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return _look_up(images, grid.to(images.dtype), interpolation, fill_mode, fill_value)


def _to_edges(height: int, width: int, like: Tensor) -> Tensor:
    """From pixels to grid_sample's count, from -1 to 1 from edge to edge of the image."""
    rows = [[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]]
    return tensor_on(like.device, rows, like.dtype)


def _look_up(
    images: Tensor, grid: Tensor, interpolation: str, fill_mode: str, fill_value: float
) -> Tensor:
    shift = fill_value if fill_mode == "constant" else 0.0
    # Past the border, the zeros that come in stand for the fill value.
    result = F.grid_sample(
        images - shift if shift else images,
        grid,
        mode=interpolation,
        padding_mode=_PADDING[fill_mode],
        align_corners=False,
    )
    return result + shift if shift else result


def inverse(matrices: Tensor) -> Tensor:
    """Matrices of the ways back, up to a factor, which homogeneous coordinates do not feel."""
    # By the adjugate: exact for well-behaved maps, and without a wait for the GPU.
    a, b, c = matrices.unbind(-2)
    columns = [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)]
    result = torch.stack(columns, -1)
    determinant = (a * columns[0]).sum(-1)
    return result / determinant[:, None, None]


def from_unit_square(corners: Tensor) -> Tensor:
    """Matrices that map the unit square to a quadrilateral (Heckbert 1989).

    Args:
        corners: (batch, 4, 2): where top left, top right, bottom right and bottom left go.
    """
    x, y = corners.unbind(-1)
    x0, x1, x2, x3 = x.unbind(-1)
    y0, y1, y2, y3 = y.unbind(-1)
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    scale = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / scale, (dx1 * sy - sx * dy1) / scale
    return stack_rows(
        (x1 - x0 + g * x1, x3 - x0 + h * x3, x0),
        (y1 - y0 + g * y1, y3 - y0 + h * y3, y0),
        (g, h, 1.0),
        like=x0,
    )


def perspective(start: Tensor, end: Tensor) -> Tensor:
    """Matrices for `warp` that move four corners from `start` to `end`, each (batch, 4, 2)."""
    return from_unit_square(start) @ inverse(from_unit_square(end))


def centred(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """The same maps about the image's centre instead of its first pixel."""
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    device = matrices.device
    to = tensor_on(device, [[1, 0, x], [0, 1, y], [0, 0, 1]], torch.float32)
    back = tensor_on(device, [[1, 0, -x], [0, 1, -y], [0, 0, 1]], torch.float32)
    return to @ matrices @ back
