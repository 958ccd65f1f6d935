"""Windows of images: cut out, and resized with anti-aliasing, each image's its own.

A window is described, for each of height and width, by four numbers: where the first output pixel
begins, how many input pixels an output pixel spans, and the first and last-plus-one input pixel
that may be read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def window(start: Tensor, step: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The four numbers as one tensor: (batch, 4)."""
    return torch.stack([n.to(torch.float32) for n in (start, step, low, high)], -1)


def crop(images: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut out windows of one size, whose upper left corners are given for each image."""
    if _loops(images):
        # Plain copies of memory; only here do the corners' values wait in main memory anyway.
        corners = zip(images, top.tolist(), left.tolist(), strict=True)
        return torch.stack([x[:, t : t + size[0], q : q + size[1]] for x, t, q in corners])
    rows = top[:, None] + torch.arange(size[0], device=images.device)
    columns = left[:, None] + torch.arange(size[1], device=images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return images[batch, channels, rows[:, None, :, None], columns[:, None, None, :]]


def _loops(images: Tensor) -> bool:
    # Not tensors without data, which claim to be on the CPU but have no corners to read.
    real = type(images) is Tensor and images.device.type == "cpu"
    return real and not torch.compiler.is_compiling()


def resize(
    images: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    size: tuple[int, int],
    interpolation: str = "bilinear",
) -> Tensor:
    """Windows of the images, resized.

    Shapes:
        images: `(batch, channels, height, width)`
        vertical: `(batch, 4)`, see the top of the file
        horizontal: `(batch, 4)`
        output: `(batch, channels, *size)`
    """
    if images.dtype not in (torch.uint8, torch.float64):
        images = images.to(torch.float32)
    if _loops(images):
        rows = zip(images, vertical.tolist(), horizontal.tolist(), strict=True)
        return torch.stack([resize_one(x, v, h, size, interpolation) for x, v, h in rows])
    if interpolation == "nearest":
        return _nearest(images, vertical, horizontal, size)
    by_row = _weights(vertical, size[0], images.shape[-2])[:, None]
    by_column = _weights(horizontal, size[1], images.shape[-1])[:, None]
    x = images if images.is_floating_point() else images.to(torch.float32)
    return by_row.to(x.dtype) @ x @ by_column.to(x.dtype).transpose(-1, -2)


def resize_one(
    image: Tensor,
    vertical: Sequence[float],
    horizontal: Sequence[float],
    size: tuple[int, int],
    interpolation: str,
) -> Tensor:
    """The window of one image: what may be read of it resized, then cut to size.

    Shapes:
        image: `(channels, height, width)`
        vertical: 4 numbers, see the top of the file
        horizontal: 4 numbers
        output: `(channels, *size)`
    """
    (top, bottom), (left, right) = (map(round, v[2:]) for v in (vertical, horizontal))
    part = image[None, :, top:bottom, left:right]
    full = [round((v[3] - v[2]) / v[1]) for v in (vertical, horizontal)]
    at = [round((v[0] - v[2]) / v[1]) for v in (vertical, horizontal)]
    if tuple(part.shape[-2:]) != tuple(full):
        if interpolation == "nearest":
            part = F.interpolate(part, full, mode="nearest-exact")
        else:
            if image.dtype == torch.uint8:
                # The copy costs less than it saves: there is a faster kernel for whole tensors.
                part = _whole(part[0])
            part = F.interpolate(part, full, mode="bilinear", antialias=True)
    return part[0, :, at[0] : at[0] + size[0], at[1] : at[1] + size[1]]


def _whole(image: Tensor) -> Tensor:
    """A batch of one image without gaps in memory, its numbers in the order in which they are."""
    if image.stride(0) != 1 or image.shape[0] == 1:
        return image.contiguous()[None]
    # As decoders give it, with the channels last. The batch axis comes first, for kernels tell the
    # order by its stride too.
    return image.permute(1, 2, 0).contiguous()[None].permute(0, 3, 1, 2)


def _weights(numbers: Tensor, count: int, size: int) -> Tensor:
    """What each input pixel adds to each output pixel: (batch, count, size)."""
    start, step, low, high = numbers[:, :, None, None].unbind(1)
    output = torch.arange(count, device=numbers.device)[:, None] + 0.5
    pixel = torch.arange(size, device=numbers.device) + 0.5
    # A triangle as wide as an output pixel, so that shrinking averages instead of skipping.
    weight = (1 - (pixel - (start + output * step)).abs() / step.clamp(min=1)).clamp(min=0)
    weight = torch.where((pixel > low) & (pixel < high), weight, 0.0)
    return weight / weight.sum(-1, keepdim=True)


def _nearest(images: Tensor, vertical: Tensor, horizontal: Tensor, size: tuple[int, int]) -> Tensor:
    places = []
    for numbers, count, limit in zip((vertical, horizontal), size, images.shape[-2:], strict=True):
        output = torch.arange(count, device=images.device) + 0.5
        place = numbers[:, :1] + output * numbers[:, 1:2]
        places.append(place.floor().to(torch.int64).clamp(0, limit - 1))
    batch = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return images[batch, channels, places[0][:, None, :, None], places[1][:, None, None, :]]
