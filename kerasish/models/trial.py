"""A few rows that fit a model's inputs, to try on it what is made of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_SEED = 1
_ANY = 64  # what an axis of unknown size has here


def sample_inputs(model: Any, device: torch.device) -> list[Tensor]:
    """Four rows for each input: noise, or zeros and ones where it takes integers."""
    made = []
    generator = torch.Generator().manual_seed(_SEED)
    for tensor in model.inputs:
        shape = [4, *(_ANY if size is None else size for size in tensor.shape[1:])]
        if tensor.dtype.is_floating_point:
            made.append(torch.randn(shape, generator=generator, dtype=tensor.dtype))
        else:
            made.append(torch.randint(2, shape, generator=generator).to(tensor.dtype))
    return [sample.to(device) for sample in made]


def alike(a: Tensor, b: Tensor) -> bool:
    """Whether two outputs are the same up to rounding, that of the narrower type."""
    if a.shape != b.shape:
        return False
    near = 3e-2 if min(a.dtype.itemsize, b.dtype.itemsize) < 4 else 1e-3
    return torch.allclose(a.double(), b.double(), rtol=near, atol=near / 10, equal_nan=True)
