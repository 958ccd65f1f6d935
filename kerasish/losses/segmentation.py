"""Overlap losses: how far two soft sets are from covering each other."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kerasish import config
from kerasish.losses.base import Loss
from kerasish.losses.shapes import aligned


def dice(y_true: Any, y_pred: Any, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """`1 - 2 * |overlap| / (|y_true| + |y_pred|)`, sizes summed over `axis`, or over everything.

    Shapes:
        y_true, y_pred: `(batch, ...)`
        output: the axes not summed over; `()` by default
    """
    y_true, y_pred = aligned(y_true, y_pred, "dice")
    sizes = _total(y_true, axis) + _total(y_pred, axis)
    return 1.0 - 2.0 * _total(y_true * y_pred, axis) / (sizes + config.epsilon())


def tversky(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: int | tuple[int, ...] | None = None,
) -> Tensor:
    """`1 - overlap / (overlap + alpha * missed + beta * false)`, summed over `axis`.

    `alpha` weighs what is in `y_true` alone, `beta` what is in `y_pred` alone, as in Keras.

    Shapes:
        y_true, y_pred: `(batch, ...)`
        output: the axes not summed over; `()` by default
    """
    y_true, y_pred = aligned(y_true, y_pred, "tversky")
    overlap = _total(y_true * y_pred, axis)
    missed = _total(y_true * (1.0 - y_pred), axis)
    false = _total((1.0 - y_true) * y_pred, axis)
    return 1.0 - overlap / (overlap + alpha * missed + beta * false + config.epsilon())


def _total(values: Tensor, axis: int | tuple[int, ...] | None) -> Tensor:
    return values.sum() if axis is None else values.sum(axis)


class Dice(Loss):
    """`1 - 2 * |overlap| / (|y_true| + |y_pred|)`.

    Shapes:
        y_true, y_pred: `(batch, ...)`, in `[0, 1]`
        output: `()`

    Args:
        reduction: As for every loss.
        name: As for every loss.
        axis: The axes of one set; `None` takes the whole batch as one set.
        dtype: As for every loss.
    """

    options = ("axis",)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice",
        axis: int | tuple[int, ...] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Dice loss of each set."""
        return dice(y_true, y_pred, self.axis)


class Tversky(Loss):
    """`1 - overlap / (overlap + alpha * missed + beta * false)`; `Dice` when both are 0.5.

    Args:
        alpha: The weight of what is in `y_true` alone.
        beta: The weight of what is in `y_pred` alone.
        reduction: As for every loss.
        name: As for every loss.
        axis: The axes of one set; `None` takes the whole batch as one set.
        dtype: As for every loss.
    """

    options = ("alpha", "beta", "axis")

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: int | tuple[int, ...] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha = alpha
        self.beta = beta
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Tversky loss of each set."""
        return tversky(y_true, y_pred, self.alpha, self.beta, self.axis)
