"""Initializers that fill weights with known values."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.devices import as_torch_takes
from kerasish.initializers.base import Initializer, Shape, as_float_type


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape: Shape, dtype: Any = None) -> torch.Tensor:
        """Make the values, in Keras's layout."""
        return torch.zeros(tuple(shape), dtype=as_float_type(dtype))


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: Shape, dtype: Any = None) -> torch.Tensor:
        """Make the values, in Keras's layout."""
        return torch.ones(tuple(shape), dtype=as_float_type(dtype))


class Constant(Initializer):
    """One value everywhere, or an array that broadcasts to the shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: Any = None) -> torch.Tensor:
        """Make the values, in Keras's layout."""
        value = torch.as_tensor(as_torch_takes(self.value), dtype=as_float_type(dtype))
        return value.to(torch.get_default_device()).expand(tuple(shape)).clone()


class Identity(Initializer):
    """`gain` on the main diagonal of a matrix, 0 elsewhere."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Shape, dtype: Any = None) -> torch.Tensor:
        """Make the values, in Keras's layout."""
        if len(shape) != 2:
            raise ValueError(f"Identity fills matrices only, got shape {tuple(shape)}.")
        return self.gain * torch.eye(*shape, dtype=as_float_type(dtype))
