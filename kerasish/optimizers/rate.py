"""The numbers that an optimizer shows, with the methods that Keras scripts call on them."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch


class _Shown:
    """A number that also answers to `value`, `numpy()` and `assign()`, as a Keras variable does.

    Args:
        value: The number.
        optimizer: Whose number it is.
    """

    _kind: ClassVar[type]  # Python's own
    _array: ClassVar[type]  # NumPy's
    _attribute: ClassVar[str]  # the optimizer's
    _optimizer: Any

    def __new__(cls, value: float, optimizer: Any) -> Self:
        """A number that remembers its optimizer."""
        number = super().__new__(cls, value)  # type: ignore[call-arg]
        number._optimizer = optimizer
        return number

    @property
    def value(self) -> torch.Tensor:
        """The number as torch's."""
        return torch.tensor(self._kind(self))

    def numpy(self) -> Any:
        """The number as NumPy's."""
        return self._array(self)

    def assign(self, value: Any) -> None:
        """Set the optimizer's number; this one stays what it was."""
        setattr(self._optimizer, self._attribute, value)

    def __reduce__(self) -> tuple:
        return self._kind, (self._kind(self),)


class Rate(_Shown, float):
    """An optimizer's learning rate."""

    _kind, _array, _attribute = float, np.float32, "learning_rate"


class Count(_Shown, int):
    """How many updates an optimizer has made."""

    _kind, _array, _attribute = int, np.int64, "iterations"
