"""What convolutions and pools share: axis orders, sizes per axis, and Keras's "same" padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kerasish import config
from kerasish.describe import describe, suggest

Sizes = int | Sequence[int]


def channels_first(x: torch.Tensor, data_format: str | None) -> torch.Tensor:
    """The axes as `(batch, channels, *spatial)`: a view."""
    is_last = config.as_image_format(data_format) == "channels_last"
    return torch.movedim(x, -1, 1) if is_last else x


def as_format(x: torch.Tensor, data_format: str | None) -> torch.Tensor:
    """The way back from `channels_first`."""
    is_last = config.as_image_format(data_format) == "channels_last"
    return torch.movedim(x, 1, -1) if is_last else x


def per_axis(owner: str, name: str, value: Sizes, num_axes: int) -> tuple[int, ...]:
    """One size for each spatial axis; a single number counts for all.

    Raises:
        ValueError: If there are more or fewer sizes than axes.
    """
    sizes = (value,) * num_axes if isinstance(value, int) else tuple(int(v) for v in value)
    if len(sizes) != num_axes:
        raise ValueError(
            f"{owner}: `{name}` must be an integer or have one for each of the {num_axes} spatial "
            f"axes, got {describe(value)}."
        )
    return sizes


def count_spatial(owner: str, x: torch.Tensor) -> int:
    """How many spatial axes there are.

    Raises:
        ValueError: If not one to three.
    """
    if x.ndim not in (3, 4, 5):
        raise ValueError(
            f"{owner} expects (batch, channels) and one to three spatial axes, got {describe(x)}."
        )
    return x.ndim - 2


def check_padding(owner: str, padding: str) -> str:
    """The padding's name in lower case.

    Raises:
        ValueError: If it is neither `"valid"` nor `"same"`.
    """
    if not isinstance(padding, str) or padding.lower() not in ("valid", "same"):
        raise ValueError(
            f"{owner}: unknown padding {describe(padding)}{suggest(padding, ['valid', 'same'])}."
        )
    return padding.lower()


def same_padding(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    """What to add before and after each axis, so that the result has `ceil(size / stride)`.

    An odd number has its extra element at the end, as in TensorFlow.
    """
    pairs = []
    for size, width, stride, rate in zip(sizes, kernel, strides, dilation, strict=True):
        extent = (width - 1) * rate + 1
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        pairs.append((total // 2, total - total // 2))
    return pairs


def flat_padding(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Pairs for each axis in the order that `F.pad` wants: the last axis first."""
    return [amount for pair in reversed(pairs) for amount in pair]
