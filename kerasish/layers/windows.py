"""How windows slide: the padding that Keras calls "same", and what torch needs for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """How much to pad before and after, so that there are `ceil(size / stride)` windows.

    An odd total leaves the extra element at the end (TensorFlow's rule, which Keras follows).

    Example:
        >>> same_padding(224, kernel=7, stride=2)
        (2, 3)
    """
    reach = (kernel - 1) * dilation + 1
    outputs = (size + stride - 1) // stride
    total = max((outputs - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def fixed_same_padding(
    kernels: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...] | None:
    """The padding for each axis where it is the same at both ends whatever the input's size.

    Returns:
        What torch's modules take as `padding`, or `None` where it depends on the size or is uneven.
    """
    totals = [(kernel - 1) * dilation for kernel, dilation in zip(kernels, dilations, strict=True)]
    sure = all(total == 0 or stride == 1 for total, stride in zip(totals, strides, strict=True))
    return (
        tuple(total // 2 for total in totals) if sure and not any(t % 2 for t in totals) else None
    )


def pad_spatial(x: Tensor, paddings: Sequence[tuple[int, int]]) -> Tensor:
    """Pad the last axes of a tensor with zeros, `(before, after)` for each."""
    if not any(before or after for before, after in paddings):
        return x
    return F.pad(x, [amount for pair in reversed(paddings) for amount in pair])
