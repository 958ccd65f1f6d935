"""Images: from a file to an array and back, by PIL."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kerasish import config
from kerasish.data.image_files import open_image
from kerasish.describe import describe, suggest

if TYPE_CHECKING:
    from PIL.Image import Image

COLOR_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
# PIL's filters under Keras's names; "area" is the box filter, "lanczos3" what PIL calls Lanczos.
INTERPOLATIONS = {
    "area": "BOX",
    "bicubic": "BICUBIC",
    "bilinear": "BILINEAR",
    "box": "BOX",
    "hamming": "HAMMING",
    "lanczos": "LANCZOS",
    "lanczos3": "LANCZOS",
    "nearest": "NEAREST",
}


def load_img(
    path: str | os.PathLike | io.BytesIO,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image:
    """Load an image as a PIL image.

    Args:
        path: A file, or its bytes in an `io.BytesIO`.
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
        target_size: `(height, width)` to resize to; the image's own size by default.
        interpolation: How to resize: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos"`, `"box"`
            or `"hamming"`.
        keep_aspect_ratio: Whether to cut the longer side, at the centre, instead of squeezing it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an image, or an option is unknown.
    """
    mode, resample = as_color_mode(color_mode), as_resample(interpolation)
    image = to_mode(open_image(path), mode)
    if target_size is None:
        return image
    height, width = target_size
    box = centre_box(image.size, (width, height)) if keep_aspect_ratio else None
    if image.size == (width, height) and box is None:
        return image
    return image.resize((width, height), resample, box=box)


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """A PIL image (or an image array in PIL's axis order) as a 3-D array.

    Shapes:
        output: `(channels, height, width)`, or `(height, width, channels)` where `data_format`
            is `"channels_last"`

    Args:
        img: The image.
        data_format: The axis order of the result; that of `config.image_data_format` by default.
        dtype: The number type of the result; `config.floatx` by default. Values keep their range,
            usually 0 to 255.

    Raises:
        ValueError: If the image does not have two or three axes.
    """
    data_format = config.as_image_format(data_format)
    array = np.asarray(img, dtype=dtype or config.floatx())
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise ValueError(f"img_to_array: an image has 2 or 3 axes, got {describe(array)}.")
    return array.transpose(2, 0, 1) if data_format == "channels_first" else array


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None
) -> Image:
    """A 3-D array or tensor as a PIL image: the way back from `img_to_array`.

    Args:
        x: The pixels, with 1 (gray), 3 (RGB) or 4 (RGBA) channels.
        data_format: The axis order of `x`; that of `config.image_data_format` by default.
        scale: Whether to stretch the values so that they run from 0 to 255. Otherwise they must
            already lie there.
        dtype: The number type to compute in.

    Raises:
        ValueError: If `x` is not a single image.
    """
    from PIL import Image

    data_format = config.as_image_format(data_format)
    pixels = x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x
    array = np.asarray(pixels, dtype=dtype or config.floatx())
    if array.ndim != 3:
        raise ValueError(f"array_to_img: one image has three axes, got {describe(array)}.")
    if data_format == "channels_first":
        array = array.transpose(1, 2, 0)
    if array.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"array_to_img: an image has 1, 3 or 4 channels, got {array.shape[2]} from "
            f"{describe(x)} in the order {data_format}."
        )
    if scale:
        array = array - array.min()
        array = array / array.max() * 255 if array.max() else array
    if array.shape[2] > 1:
        return Image.fromarray(np.ascontiguousarray(array.astype(np.uint8)))
    # Beyond a byte, gray values need PIL's 32-bit mode.
    kind = np.int32 if array.size and array.max() > 255 else np.uint8
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0].astype(kind)))


def save_img(
    path: str | os.PathLike | io.BytesIO,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array or tensor as an image file.

    Args:
        path: The file, or an `io.BytesIO`.
        x: The pixels, as `array_to_img` takes them.
        data_format: The axis order of `x`; that of `config.image_data_format` by default.
        file_format: Such as `"png"`; told by the file's ending by default.
        scale: Whether to stretch the values so that they run from 0 to 255.
        **kwargs: What PIL's `save` takes, such as `quality=95`.
    """
    image = array_to_img(x, data_format=data_format, scale=scale)
    ending = file_format or (Path(path).suffix[1:] if isinstance(path, (str, os.PathLike)) else "")
    if image.mode == "RGBA" and ending.lower() in ("jpg", "jpeg"):
        warnings.warn("JPEG files hold no transparency; saving the colours alone.", stacklevel=2)
        image = image.convert("RGB")
    image.save(path, format="jpeg" if ending.lower() == "jpg" else file_format, **kwargs)


def to_mode(image: Image, mode: str) -> Image:
    """The image in PIL's mode `L`, `RGB` or `RGBA`; 16-bit and 32-bit gray stay as they are."""
    if image.mode == mode or (mode == "L" and image.mode in ("I", "I;16")):
        return image
    return image.convert(mode)


def centre_box(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest box at the centre that has the wanted shape: (left, top, right, bottom).

    Args:
        size: `(width, height)` of the image.
        wanted: `(width, height)` whose shape the box has.

    Example:
        >>> centre_box((200, 100), (50, 50))
        (50, 0, 150, 100)
    """
    width, height = size
    box_width = min(width, int(height * wanted[0] / wanted[1]))
    box_height = min(height, int(width * wanted[1] / wanted[0]))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def as_color_mode(color_mode: str) -> str:
    """PIL's mode for Keras's `color_mode`."""
    if color_mode not in COLOR_MODES:
        raise ValueError(
            f"Unknown color_mode {describe(color_mode)}{suggest(color_mode, COLOR_MODES)}."
        )
    return COLOR_MODES[color_mode]


def as_resample(interpolation: str) -> Any:
    """PIL's filter for the name of an interpolation."""
    from PIL import Image

    if interpolation not in INTERPOLATIONS:
        known = suggest(interpolation, INTERPOLATIONS)
        raise ValueError(f"Unknown interpolation {describe(interpolation)}{known}.")
    return Image.Resampling[INTERPOLATIONS[interpolation]]
