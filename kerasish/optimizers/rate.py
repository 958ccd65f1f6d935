"""The numbers that an optimizer shows, with the methods that Keras scripts call on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from kerasish.optimizers.base import Optimizer
    from kerasish.optimizers.updating import Updating


class Rate(float):
    """A float that also answers to `value`, `numpy()` and `assign()`, as a Keras variable does.

    Args:
        value: The number.
        optimizer: Whose rate it is.
    """

    def __new__(cls, value: float, optimizer: Optimizer) -> Rate:
        """A float that remembers its optimizer."""
        rate = super().__new__(cls, value)
        rate._optimizer = optimizer
        return rate

    _optimizer: Optimizer

    @property
    def value(self) -> torch.Tensor:
        """The number as torch's."""
        return torch.tensor(float(self))

    def numpy(self) -> np.float32:
        """The number as NumPy's."""
        return np.float32(self)

    def assign(self, value: Any) -> None:
        """Set the optimizer's learning rate; this number stays what it was."""
        self._optimizer.learning_rate = value

    def __reduce__(self) -> tuple:
        return float, (float(self),)


class Count(int):
    """A number of updates that also answers to `value`, `numpy()` and `assign()`.

    Args:
        value: The number.
        optimizer: Whose updates they are.
    """

    def __new__(cls, value: int, optimizer: Updating) -> Count:
        """A whole number that remembers its optimizer."""
        count = super().__new__(cls, value)
        count._optimizer = optimizer
        return count

    _optimizer: Updating

    @property
    def value(self) -> torch.Tensor:
        """The number as torch's."""
        return torch.tensor(int(self))

    def numpy(self) -> np.int64:
        """The number as NumPy's."""
        return np.int64(self)

    def assign(self, value: Any) -> None:
        """Set the optimizer's count; this number stays what it was."""
        self._optimizer.iterations = value

    def __reduce__(self) -> tuple:
        return int, (int(self),)
