"""Images turned, sheared, bent: their pixels taken from other places, between the elements."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch

from kerasish.describe import describe
from kerasish.ops.image_filters import gaussian_blur
from kerasish.ops.image_layout import as_batch, check_images, like_input, one_of, to_type
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded
from kerasish.random import Seed, normal

_ORDERS = {"nearest": 0, "bilinear": 1}


# Where to look for an index that lies outside; "constant" looks anywhere and replaces it later.
_OUTSIDE: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "constant": lambda index, size: index.clamp(0, size - 1),
    "nearest": lambda index, size: index.clamp(0, size - 1),
    "wrap": lambda index, size: index % size,
    "mirror": lambda index, size: _fold(index, max(2 * size - 2, 1), 0),
    "reflect": lambda index, size: _fold(index, 2 * size, 1),
}


def _fold(index: torch.Tensor, period: int, offset: int) -> torch.Tensor:
    index = index % period
    return torch.minimum(index, period - offset - index)


@recorded
def map_coordinates(
    inputs: TensorLike,
    coordinates: TensorLike,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> torch.Tensor:
    """The values of an array at places between its elements.

    Args:
        inputs: An array.
        coordinates: The places: for each axis of the array, its coordinates.
        order: 0 for the nearest element, 1 for linear interpolation.
        fill_mode: What lies outside: `"constant"`, `"nearest"` (the border), `"wrap"`, `"mirror"`
            (without the border's element twice) or `"reflect"` (with it).
        fill_value: What lies outside, in mode `"constant"`.

    Returns:
        A value for each place, of the array's type.
    """
    x = convert_to_tensor(inputs)
    places = [convert_to_tensor(c) for c in coordinates]
    if len(places) != x.ndim:
        raise ValueError(
            f"map_coordinates: an array of {x.ndim} axes needs as many coordinates, "
            f"got {len(places)}."
        )
    return _sample(x, places, order, fill_mode, fill_value)


def _sample(
    x: torch.Tensor,
    places: Sequence[torch.Tensor],
    order: int,
    fill_mode: str,
    fill_value: float,
) -> torch.Tensor:
    """Values at places on the first axes; further axes of `x` are whole slices."""
    one_of("map_coordinates", "fill_mode", fill_mode, _OUTSIDE)
    if order not in (0, 1):
        raise ValueError(f"map_coordinates: `order` must be 0 or 1, got {describe(order)}.")
    slices = (None,) * (x.ndim - len(places))
    total: Any = 0
    for corner in itertools.product(*[_neighbours(place, order) for place in places]):
        inside = [(i >= 0) & (i < size) for (i, _), size in zip(corner, x.shape, strict=False)]
        index = [
            _OUTSIDE[fill_mode](i, size) for (i, _), size in zip(corner, x.shape, strict=False)
        ]
        values = x[tuple(index)]
        if fill_mode == "constant":
            is_inside = functools.reduce(operator.and_, inside)
            values = torch.where(is_inside[(..., *slices)], values, fill_value)
        weight = functools.reduce(operator.mul, [w for _, w in corner])
        total = total + values * (weight if isinstance(weight, int) else weight[(..., *slices)])
    return to_type(total, x.dtype) if total.is_floating_point() else total.to(x.dtype)


def _neighbours(place: torch.Tensor, order: int) -> list[tuple[torch.Tensor, Any]]:
    """The elements around a place, each with its weight."""
    if not place.is_floating_point():
        return [(place.to(torch.int64), 1)]
    if order == 0:
        return [(place.round().to(torch.int64), 1)]
    lower = torch.floor(place)
    index, share = lower.to(torch.int64), place - lower
    return [(index, 1 - share), (index + 1, share)]


@recorded
def affine_transform(
    images: TensorLike,
    transform: TensorLike,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> torch.Tensor:
    """Images turned, sheared, stretched, moved.

    The pixel at (x, y) is the input's at `((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)`.

    Args:
        images: One image or a batch.
        transform: `[a0, a1, a2, b0, b1, b2, c0, c1]`, or one such row for each image;
            `k = c0 x + c1 y + 1`.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: As in `map_coordinates`.
        fill_value: As in `map_coordinates`.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
    """
    images = check_images("affine_transform", images)
    order = _ORDERS[one_of("affine_transform", "interpolation", interpolation, _ORDERS)]
    x = as_batch(images, data_format)
    rows = as_float(transform).to(x.device).reshape(-1, 8, 1, 1)
    ys, xs = _pixels(x, rows.dtype)
    a0, a1, a2, b0, b1, b2, c0, c1 = rows.unbind(1)
    k = c0 * xs + c1 * ys + 1
    y = _warp(
        x, (b0 * xs + b1 * ys + b2) / k, (a0 * xs + a1 * ys + a2) / k, order, fill_mode, fill_value
    )
    return like_input(y, images.ndim, data_format)


def _pixels(x: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    ys, xs = (torch.arange(size, dtype=dtype, device=x.device) for size in x.shape[-2:])
    return ys[:, None], xs[None, :]


def _warp(
    x: torch.Tensor,
    ys: torch.Tensor,
    xs: torch.Tensor,
    order: int,
    fill_mode: str,
    fill_value: float,
) -> torch.Tensor:
    """Pixels `(batch, channels, height, width)` taken from those places of their images."""
    batch, _, height, width = x.shape
    number = torch.arange(batch, device=x.device)[:, None, None].expand(batch, height, width)
    places = [number, ys.expand(batch, height, width), xs.expand(batch, height, width)]
    return _sample(x.movedim(1, -1), places, order, fill_mode, fill_value).movedim(-1, 1)


@recorded
def perspective_transform(
    images: TensorLike,
    start_points: TensorLike,
    end_points: TensorLike,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> torch.Tensor:
    """Images seen from another angle: four points of the input come to lie on four others.

    Args:
        images: One image or a batch.
        start_points: Four points (x, y) of the input, or four for each image.
        end_points: Where they come to lie.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_value: What lies outside.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
    """
    points = [as_float(p) for p in (start_points, end_points)]
    for name, value in zip(("start_points", "end_points"), points, strict=True):
        if value.shape[-2:] != (4, 2) or value.ndim > 3:
            raise ValueError(
                f"perspective_transform: `{name}` must be (4, 2) or (batch, 4, 2), "
                f"got {describe(value)}."
            )
    start, end = (p.reshape(-1, 4, 2) for p in points)
    return affine_transform(
        images,
        _homography(end, start),
        interpolation,
        fill_value=fill_value,
        data_format=data_format,
    )


def _homography(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The eight numbers of the projective map that takes four points to four others."""
    source, target = source.float(), target.float()
    ones, zeros = torch.ones_like(source[..., :1]), torch.zeros_like(source[..., :1])
    point = torch.cat([source, ones], -1)  # (B, 4, 3)
    nothing = zeros.expand(*zeros.shape[:-1], 3)
    # u * (c0 x + c1 y + 1) = a0 x + a1 y + a2, and likewise for v: linear in the eight numbers.
    for_u = torch.cat([point, nothing, -target[..., :1] * source], -1)
    for_v = torch.cat([nothing, point, -target[..., 1:] * source], -1)
    equations = torch.cat([for_u, for_v], -2)
    values = torch.cat([target[..., 0], target[..., 1]], -1)
    return torch.linalg.solve(equations, values)


@recorded
def elastic_transform(
    images: TensorLike,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Seed = None,
    data_format: str | None = None,
) -> torch.Tensor:
    """Pixels moved by smooth random offsets.

    Args:
        images: One image or a batch.
        alpha: How far.
        sigma: How smoothly: the width, in pixels, of the blur that the offsets are put through.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: As in `map_coordinates`.
        fill_value: As in `map_coordinates`.
        seed: An integer, a `SeedGenerator` or None.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.
    """
    images = check_images("elastic_transform", images)
    order = _ORDERS[one_of("elastic_transform", "interpolation", interpolation, _ORDERS)]
    x = as_batch(images, data_format)
    width = int(6 * sigma) | 1
    noise = sigma * normal((len(x), 2, *x.shape[-2:]), seed=seed).to(x.device)
    offsets = alpha * gaussian_blur(
        noise, (width, width), (sigma, sigma), data_format="channels_first"
    )
    ys, xs = _pixels(x, offsets.dtype)
    y = _warp(x, ys + offsets[:, 0], xs + offsets[:, 1], order, fill_mode, fill_value)
    return like_input(y, images.ndim, data_format)
