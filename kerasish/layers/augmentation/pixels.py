"""What colour layers do to the pixels of a batch, given one number for each image."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish.describe import describe
from kerasish.devices import tensor_on

# How bright red, green and blue look (ITU-R BT.601).
LUMA = (0.2989, 0.587, 0.114)


def per_image(values: Tensor) -> Tensor:
    """(batch,) as (batch, 1, 1, 1), to meet images."""
    return values[:, None, None, None]


def check_rgb(owner: str, images: Tensor) -> None:
    """Refuse images that do not have three channels.

    Raises:
        ValueError: If they do not.
    """
    if images.shape[1] != 3:
        raise ValueError(
            f"{owner} needs images with 3 channels, got {describe(images)} in the order (batch, "
            "channels, height, width). See data_format= if the channels are on another axis."
        )


def grayscale(images: Tensor) -> Tensor:
    """The brightness, as one channel: (batch, 1, height, width). One channel stays as it is."""
    if images.shape[1] == 1:
        return images
    check_rgb("grayscale", images)
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]


def blend(images: Tensor, others: Tensor, share: Tensor) -> Tensor:
    """`images + share * (others - images)`: 0 gives the images, 1 the others."""
    return torch.lerp(images, others.expand_as(images), per_image(share).to(images.dtype))


def shift_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of pixels in [0, 1] by parts of a full turn, one for each image."""
    value, least = images.amax(1), images.amin(1)
    chroma = value - least
    red, green, blue = images.unbind(1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = hue + 6 * turn[:, None, None].to(hue.dtype)
    # Smith 1978 in closed form: how far each channel is below the value.
    offset = tensor_on(hue.device, [5.0, 3.0, 1.0], hue.dtype)
    k = (hue[:, None] + offset[:, None, None]) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def scale_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the saturation of pixels in [0, 1], which is kept at most 1."""
    value, least = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    # Saturation is chroma / value, so value / chroma is what would bring it to 1.
    most = value / (value - least).clamp(min=1e-12)
    return value - (value - images) * torch.minimum(per_image(factor).to(images.dtype), most)


def smooth(images: Tensor) -> Tensor:
    """Each pixel averaged with its neighbours, itself counting five times; the border is kept."""
    if min(images.shape[-2:]) < 3:
        return images
    # Sums of slices: several times faster on a processor than a convolution or pooling.
    three = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    nine = three[..., :-2] + three[..., 1:-1] + three[..., 2:]
    result = images.clone()
    result[..., 1:-1, 1:-1] = (nine + 4 * images[..., 1:-1, 1:-1]) / 13
    return result


def blur(images: Tensor, kernel_size: tuple[int, int], sigma: Tensor) -> Tensor:
    """Gaussian blur with a sigma for each image, by height and by width: sigma is (batch, 2)."""
    sigma = sigma.clamp(min=1e-3)  # at 0 the curve would be 0 / 0
    batch, channels, height, width = images.shape
    x = images.reshape(1, batch * channels, height, width)
    for axis, size in enumerate(kernel_size):
        place = torch.arange(size, device=x.device, dtype=x.dtype) - (size - 1) / 2
        kernel = torch.exp(-0.5 * (place / sigma[:, axis, None].to(x.dtype)) ** 2)
        kernel = (kernel / kernel.sum(-1, keepdim=True)).repeat_interleave(channels, 0)
        half = size // 2
        vertical = axis == 0
        x = F.pad(x, (0, 0, half, half) if vertical else (half, half, 0, 0), mode="reflect")
        kernel = kernel[:, None, :, None] if vertical else kernel[:, None, None, :]
        x = F.conv2d(x, kernel, groups=batch * channels)
    return x.reshape(images.shape)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretch each channel of pixels in [0, 1] to all of it; a channel of one value stays."""
    low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    same = high <= low
    return torch.where(same, images, (images - low) / torch.where(same, 1.0, high - low))


def equalize(images: Tensor, bins: int = 256) -> Tensor:
    """Spread the values of each channel of pixels in [0, 1] evenly, by their histogram."""
    # A little more than the exact value, which division and multiplication may have lowered.
    index = (images * (bins - 1) + 1e-3).to(torch.int64).clamp(0, bins - 1).flatten(2)
    counts = torch.zeros(*index.shape[:2], bins, device=images.device, dtype=torch.int64)
    counts = counts.scatter_add(2, index, torch.ones_like(index))
    below = counts.cumsum(2)
    first = counts.gather(2, (counts > 0).to(torch.int8).argmax(2, keepdim=True))
    rest = below[..., -1:] - first
    table = ((below - first) * 255 / rest.clamp(min=1)).round().clamp(0, 255) / 255
    spread = table.to(images.dtype).gather(2, index).reshape(images.shape)
    return torch.where((rest == 0)[..., None], images, spread)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the pixels in [0, 1] that are at least as bright as each image's threshold."""
    return torch.where(images >= per_image(threshold), 1 - images, images)


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper bits of uint8 pixels, so many for each image."""
    mask = (0xFF00 >> bits) & 0xFF
    return pixels & per_image(mask).to(torch.uint8)
