"""Images resized, cropped, padded, warped."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import config
from kerasish.describe import describe, suggest
from kerasish.ops.image_color import check_images
from kerasish.ops.image_filters import gaussian_blur
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded
from kerasish.random import Seed, normal

_RESIZE_MODES = {
    "nearest": "nearest-exact",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "area": "area",
}
_ORDERS = {"nearest": 0, "bilinear": 1}


def _one_of(owner: str, argument: str, value: Any, known: Any) -> Any:
    if value not in known:
        raise ValueError(f"{owner}: unknown {argument} {describe(value)}{suggest(value, known)}.")
    return value


def _as_batch(x: torch.Tensor, data_format: str | None) -> torch.Tensor:
    """One image or a batch as `(batch, channels, height, width)`: a view."""
    x = x if x.ndim == 4 else x[None]
    return x.movedim(-1, 1) if config.as_image_format(data_format) == "channels_last" else x


def _like_input(y: torch.Tensor, ndim: int, data_format: str | None) -> torch.Tensor:
    """The way back from `_as_batch`."""
    y = y.movedim(1, -1) if config.as_image_format(data_format) == "channels_last" else y
    return y if ndim == 4 else y[0]


def _to_type(y: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """As that type; numbers are rounded, and kept in its range, where it is an integer type."""
    if dtype.is_floating_point:
        return y.to(dtype)
    info = torch.iinfo(dtype)
    return y.round().clamp(info.min, info.max).to(dtype)


@recorded
def resize(
    images: TensorLike,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> torch.Tensor:
    """Images of another size.

    Args:
        images: One image or a batch.
        size: `(height, width)`.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"` or `"area"`.
        antialias: Whether to average over what is left out when making images smaller (bilinear
            and bicubic only).
        crop_to_aspect_ratio: Whether to cut the middle out first, so that nothing is distorted.
        pad_to_aspect_ratio: Whether to add borders first, so that nothing is distorted.
        fill_mode: What the borders are: `"constant"`.
        fill_value: The value of the borders.
        data_format: `"channels_first"` or `"channels_last"`; the configured one if not given.

    Raises:
        ValueError: If an argument is unknown, or both cropping and padding are asked for.
    """
    images = check_images("resize", images)
    mode = _RESIZE_MODES[_one_of("resize", "interpolation", interpolation, _RESIZE_MODES)]
    _one_of("resize", "fill_mode", fill_mode, ["constant"])
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: crop or pad to the aspect ratio, not both.")
    height, width = (int(s) for s in size)
    x = as_float(_as_batch(images, data_format))
    if crop_to_aspect_ratio:
        x = _crop_to_ratio(x, height, width)
    elif pad_to_aspect_ratio:
        x = _pad_to_ratio(x, height, width, fill_value)
    smooth = mode in ("bilinear", "bicubic")
    y = F.interpolate(
        x,
        (height, width),
        mode=mode,
        align_corners=False if smooth else None,
        antialias=antialias and smooth,
    )
    return _like_input(_to_type(y, images.dtype), images.ndim, data_format)


def _crop_to_ratio(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    old_height, old_width = x.shape[-2:]
    new_height = max(min(old_height, old_width * height // width), 1)
    new_width = max(min(old_width, old_height * width // height), 1)
    top, left = (old_height - new_height) // 2, (old_width - new_width) // 2
    return x[..., top : top + new_height, left : left + new_width]


def _pad_to_ratio(x: torch.Tensor, height: int, width: int, value: float) -> torch.Tensor:
    old_height, old_width = x.shape[-2:]
    vertical = max(old_height, old_width * height // width) - old_height
    horizontal = max(old_width, old_height * width // height) - old_width
    # The same on both sides: an odd number loses its one.
    return F.pad(x, (horizontal // 2,) * 2 + (vertical // 2,) * 2, value=value)


@recorded
def pad_images(
    images: TensorLike,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> torch.Tensor:
    """Borders of 0, given two of: before, after, and the size to reach, for each direction.

    Raises:
        ValueError: If not just two are given, or one comes out negative.
    """
    images = check_images("pad_images", images)
    x = _as_batch(images, data_format)
    top, bottom = _missing(
        "pad_images", top_padding, bottom_padding, target_height, x.shape[-2], "height", 1
    )
    left, right = _missing(
        "pad_images", left_padding, right_padding, target_width, x.shape[-1], "width", 1
    )
    return _like_input(F.pad(x, (left, right, top, bottom)), images.ndim, data_format)


@recorded
def crop_images(
    images: TensorLike,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> torch.Tensor:
    """Borders cut off, given two of: before, after, and the size to keep, for each direction.

    Raises:
        ValueError: If not just two are given, or one comes out negative.
    """
    images = check_images("crop_images", images)
    x = _as_batch(images, data_format)
    top, bottom = _missing(
        "crop_images", top_cropping, bottom_cropping, target_height, x.shape[-2], "height", -1
    )
    left, right = _missing(
        "crop_images", left_cropping, right_cropping, target_width, x.shape[-1], "width", -1
    )
    x = x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
    return _like_input(x, images.ndim, data_format)


def _missing(
    owner: str,
    before: int | None,
    after: int | None,
    target: int | None,
    size: int,
    direction: str,
    sign: int,
) -> tuple[int, int]:
    """Both borders of one direction; `sign` says whether they are added or taken away."""
    if sum(value is None for value in (before, after, target)) != 1:
        raise ValueError(
            f"{owner}: give just two of the two borders and the target {direction}, got "
            f"{before}, {after} and {target}."
        )
    if target is not None:
        total = sign * (target - size)
        before = total - after if before is None and after is not None else before
        after = total - before if after is None and before is not None else after
    assert before is not None
    assert after is not None
    if before < 0 or after < 0 or size + sign * (before + after) < 0:
        raise ValueError(
            f"{owner}: borders of {before} and {after} do not fit a {direction} of {size}."
        )
    return before, after


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
    _one_of("map_coordinates", "fill_mode", fill_mode, _OUTSIDE)
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
    return _to_type(total, x.dtype) if total.is_floating_point() else total.to(x.dtype)


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
    order = _ORDERS[_one_of("affine_transform", "interpolation", interpolation, _ORDERS)]
    x = _as_batch(images, data_format)
    rows = as_float(transform).to(x.device).reshape(-1, 8, 1, 1)
    ys, xs = _pixels(x, rows.dtype)
    a0, a1, a2, b0, b1, b2, c0, c1 = rows.unbind(1)
    k = c0 * xs + c1 * ys + 1
    y = _warp(
        x, (b0 * xs + b1 * ys + b2) / k, (a0 * xs + a1 * ys + a2) / k, order, fill_mode, fill_value
    )
    return _like_input(y, images.ndim, data_format)


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
    order = _ORDERS[_one_of("elastic_transform", "interpolation", interpolation, _ORDERS)]
    x = _as_batch(images, data_format)
    width = int(6 * sigma) | 1
    noise = sigma * normal((len(x), 2, *x.shape[-2:]), seed=seed).to(x.device)
    offsets = alpha * gaussian_blur(
        noise, (width, width), (sigma, sigma), data_format="channels_first"
    )
    ys, xs = _pixels(x, offsets.dtype)
    y = _warp(x, ys + offsets[:, 0], xs + offsets[:, 1], order, fill_mode, fill_value)
    return _like_input(y, images.ndim, data_format)


_KERNELS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "linear": lambda x: torch.clamp(1 - x, min=0),
    "cubic": lambda x: torch.where(
        x < 1,
        (1.5 * x - 2.5) * x * x + 1,
        torch.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0.0),
    ),
    "lanczos3": lambda x: torch.where(x < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0),
    "lanczos5": lambda x: torch.where(x < 5, torch.sinc(x) * torch.sinc(x / 5), 0.0),
}
_METHODS = {
    **{name: name for name in _KERNELS},
    **dict.fromkeys(("bilinear", "trilinear", "triangle"), "linear"),
    **dict.fromkeys(("bicubic", "tricubic"), "cubic"),
}


@recorded
def scale_and_translate(
    images: TensorLike,
    output_shape: Sequence[int],
    scale: TensorLike,
    translation: TensorLike,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> torch.Tensor:
    """Images whose element at place p is the input's at `(p - translation) / scale`.

    Args:
        images: Any array.
        output_shape: The shape of the result.
        scale: A factor for each spatial axis.
        translation: An offset for each spatial axis, in elements of the result.
        spatial_dims: Which axes these are.
        method: `"linear"`, `"cubic"`, `"lanczos3"` or `"lanczos5"`.
        antialias: Whether to average over what is left out when making images smaller.
    """
    images = convert_to_tensor(images)
    method = _METHODS[_one_of("scale_and_translate", "method", method, _METHODS)]
    x = as_float(images)
    factors, offsets = as_float(scale), as_float(translation)
    for number, axis in enumerate(spatial_dims):
        weights = _resampling(
            x.shape[axis], output_shape[axis], factors[number], offsets[number], method, antialias
        )
        x = torch.movedim(torch.movedim(x, axis, -1) @ weights.to(x), -1, axis)
    if images.is_floating_point():
        return x
    return x.round().clamp(images.min(), images.max()).to(images.dtype)


def _resampling(
    old: int, new: int, scale: torch.Tensor, offset: torch.Tensor, method: str, antialias: bool
) -> torch.Tensor:
    """What each old element adds to each new one: `(old, new)`."""
    places = (torch.arange(new, device=scale.device) + 0.5 - offset) / scale - 0.5
    spread = torch.clamp(1 / scale, min=1) if antialias else 1.0
    distance = torch.abs(places - torch.arange(old, device=scale.device)[:, None]) / spread
    weights = _KERNELS[method](distance)
    total = weights.sum(0, keepdim=True)
    weights = torch.where(total.abs() > 1e-4, weights / torch.where(total != 0, total, 1.0), 0.0)
    return torch.where((places >= -0.5) & (places <= old - 0.5), weights, 0.0)
