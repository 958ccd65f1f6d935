"""Tensors made of arrays and numbers, on a device for which nobody waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.describe import describe


def as_torch_takes(values: Any) -> Any:
    """Values for `torch.as_tensor`: an array whose memory torch does not take as it is, copied.

    torch refuses steps backwards in memory (`x[::-1]`), and warns of memory that is read-only.

    Raises:
        TypeError: If the array holds texts.
    """
    if not isinstance(values, np.ndarray) or torch.compiler.is_compiling():
        return values
    if values.dtype.kind in "UST":
        raise TypeError(
            f"Expected numbers, got {describe(values)}. Turn text into numbers first, for example "
            "with StringLookup or TextVectorization."
        )
    is_taken = values.flags.writeable and all(stride >= 0 for stride in values.strides)
    return values if is_taken else values.copy()


def tensor_on(device: torch.device | str, values: Any, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of numbers, an array or nested lists, on a device.

    To copy ordinary memory to a GPU, torch waits until the GPU has done all that it was asked for
    before. It does not wait for copies of pinned memory, nor to fill a tensor with one number.

    Args:
        device: Where the tensor is wanted.
        values: What `torch.as_tensor` takes.
        dtype: The type; by default that of `torch.as_tensor`.

    Example:
        >>> tensor_on("cpu", [1, 2], torch.float32)
        tensor([1., 2.])
    """
    device = torch.device(device)
    is_plain = isinstance(values, Tensor) or torch.compiler.is_compiling()
    values = as_torch_takes(values)
    if device.type != "cuda" or is_plain:
        return torch.as_tensor(values, dtype=dtype, device=device)
    if isinstance(values, (bool, int, float)):
        return torch.full((), values, dtype=dtype, device=device)
    here = torch.as_tensor(values, dtype=dtype, device="cpu")  # whatever the default device is
    return here.pin_memory().to(device, non_blocking=True)
