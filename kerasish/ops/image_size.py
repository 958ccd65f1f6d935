"""Images resized, resampled, cropped, padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish.ops.image_layout import as_batch, check_images, like_input, one_of, to_type
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded

_RESIZE_MODES = {
    "nearest": "nearest-exact",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "area": "area",
}


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
    mode = _RESIZE_MODES[one_of("resize", "interpolation", interpolation, _RESIZE_MODES)]
    one_of("resize", "fill_mode", fill_mode, ["constant"])
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: crop or pad to the aspect ratio, not both.")
    height, width = (int(s) for s in size)
    x = as_float(as_batch(images, data_format))
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
    return like_input(to_type(y, images.dtype), images.ndim, data_format)


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
    x = as_batch(images, data_format)
    top, bottom = _missing(
        "pad_images", top_padding, bottom_padding, target_height, x.shape[-2], "height", 1
    )
    left, right = _missing(
        "pad_images", left_padding, right_padding, target_width, x.shape[-1], "width", 1
    )
    return like_input(F.pad(x, (left, right, top, bottom)), images.ndim, data_format)


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
    x = as_batch(images, data_format)
    top, bottom = _missing(
        "crop_images", top_cropping, bottom_cropping, target_height, x.shape[-2], "height", -1
    )
    left, right = _missing(
        "crop_images", left_cropping, right_cropping, target_width, x.shape[-1], "width", -1
    )
    x = x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
    return like_input(x, images.ndim, data_format)


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
    method = _METHODS[one_of("scale_and_translate", "method", method, _METHODS)]
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
