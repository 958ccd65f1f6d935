"""The learning rate that an optimizer shows: a float with the methods Keras scripts call on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from kerasish.optimizers.base import Optimizer


class Rate(float):
    """A float that also answers to `numpy()` and `assign()`, as a Keras variable does.

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

    def numpy(self) -> np.float32:
        """The number as NumPy's."""
        return np.float32(self)

    def assign(self, value: Any) -> None:
        """Set the optimizer's learning rate; this number stays what it was."""
        self._optimizer.learning_rate = value

    def __reduce__(self) -> tuple:
        return float, (float(self),)
