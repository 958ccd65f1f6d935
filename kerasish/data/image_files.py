"""Image files read fast: JPEG by torchcodec or torchvision, everything else by PIL."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
# Channels of a decoded image for Keras's `color_mode`, and PIL's name of the mode.
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
_PIL_MODES = {1: "L", 3: "RGB", 4: "RGBA"}

# Frame headers of JPEG, which hold the size: C0 to CF without the three that mean something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class ImageFile:
    """A file's bytes, with the size of the image in them, to be decoded when it is wanted.

    Args:
        path: The file.
        channels: 1, 3 or 4.

    Attributes:
        size: Height and width.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an image.
    """

    def __init__(self, path: str, channels: int) -> None:
        self.path, self.channels = path, channels
        self._data = np.fromfile(path, dtype=np.uint8)
        # The decoder neither turns four colours into RGB as PIL does, nor adds transparency.
        frame = jpeg_frame(self._data) if channels < 4 else None
        self._is_plain = frame is not None and frame[2] in (1, 3)
        self.size: tuple[int, int] = size_in(path) if frame is None else frame[:2]

    def pixels(self) -> Tensor:
        """The image: uint8 (height, width, channels).

        Raises:
            ValueError: If it is damaged.
        """
        decode = jpeg_decoder() if self._is_plain else None
        if decode is not None:
            try:
                return decode(torch.from_numpy(self._data), self.channels).permute(1, 2, 0)
            except RuntimeError:  # PIL reads some of these, and else says what is wrong
                pass
        array = np.array(open_image(self.path).convert(_PIL_MODES[self.channels]))
        return torch.from_numpy(array.reshape(*array.shape[:2], self.channels))


def resize_pixels(pixels: Tensor, size: Sequence[int], mode: str = "bilinear") -> Tensor:
    """An image of another size; shrinking averages over pixels.

    Shapes:
        pixels: uint8 `(height, width, channels)`
        output: the same with the new height and width

    Args:
        pixels: The image.
        size: Height and width.
        mode: `"bilinear"` or `"bicubic"`.
    """
    if tuple(pixels.shape[:2]) == tuple(size):
        return pixels
    # The axis of the batch comes first, since kernels tell the order by its stride too.
    x = pixels.contiguous()[None].permute(0, 3, 1, 2)
    y = torch.nn.functional.interpolate(x, list(size), mode=mode, antialias=True)
    return y[0].permute(1, 2, 0)


@functools.cache
def jpeg_decoder() -> Callable[[Tensor, int], Tensor] | None:
    """The fastest decoder there is: of a file's bytes, given the number of channels.

    It makes a tensor (channels, height, width), and lets go of Python's lock meanwhile. `None`
    where only PIL is left.
    """
    try:
        from torchcodec.decoders import decode_jpeg  # type: ignore[import-not-found]

        def decode(data: Tensor, channels: int) -> Tensor:
            image = decode_jpeg(data, mode="RGB" if channels == 3 else "GRAY")
            assert isinstance(image, Tensor)
            return image

        return decode
    # Besides a missing package, one that was built for another torch.
    except (ImportError, OSError, RuntimeError):
        pass
    with contextlib.suppress(ImportError, AttributeError):
        import torchvision.io  # noqa: F401

        # Its function in Python warns at each call that it will go one day.
        operator = torch.ops.image.decode_jpeg.default
        return lambda data, channels: operator(data, channels)
    return None


def jpeg_frame(data: np.ndarray) -> tuple[int, int, int] | None:
    """Height, width and number of colours of a whole JPEG file; `None` for anything else.

    Args:
        data: The file's bytes.
    """
    view = data.data
    at, end = 2, len(view) - 10
    if end < 0 or view[:2] != b"\xff\xd8" or not _is_whole(data):
        return None
    while at < end and view[at] == 0xFF:
        marker = view[at + 1]
        if marker in _FRAMES:
            height, width = (view[i] << 8 | view[i + 1] for i in (at + 5, at + 7))
            return (height, width, view[at + 9]) if height and width else None
        # A marker may be preceded by any number of filling bytes.
        at += 1 if marker == 0xFF else 2 + (view[at + 2] << 8 | view[at + 3])
    return None


def _is_whole(data: np.ndarray) -> bool:
    # The decoder fills in grey for what is missing and says nothing. Some cameras and tools add
    # bytes after the end marker; a file in which it is not near the end goes to PIL, which checks.
    return b"\xff\xd9" in data[-4096:].tobytes()


def size_in(path: str) -> tuple[int, int]:
    """Height and width of an image, from the head of its file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an image.
    """
    with _reading(path) as image:
        return image.height, image.width


def open_image(path: str | os.PathLike | io.BytesIO) -> Image:
    """A decoded PIL image in the file's own mode; of an animation, the first frame.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be decoded; the message says which file and why.
    """
    with _reading(path) as image:
        image.load()
        return image.copy() if getattr(image, "is_animated", False) else image


@contextmanager
def _reading(path: str | os.PathLike | io.BytesIO) -> Iterator[Image]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    # Damage makes PIL raise OSError, SyntaxError, struct.error, DecompressionBombError…
    except Exception as error:
        raise ValueError(f"Cannot read the image {path}: {error}.") from error
