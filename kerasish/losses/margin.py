"""Hinge losses: zero once the right side wins by a margin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.losses.base import ElementwiseLoss, Loss
from kerasish.losses.shapes import aligned


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """`mean(max(1 - y_true * y_pred, 0))` over the last axis; targets are -1 and 1, or 0 and 1.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        output: `(batch, ...)`
    """
    y_true, y_pred = aligned(y_true, y_pred, "hinge")
    return _shortfall(y_true, y_pred).mean(-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """`mean(max(1 - y_true * y_pred, 0)**2)` over the last axis; targets as in `hinge`."""
    y_true, y_pred = aligned(y_true, y_pred, "squared_hinge")
    return _shortfall(y_true, y_pred).square().mean(-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """`max(1 + best wrong score - right score, 0)`, for one-hot targets.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        output: `(batch, ...)`
    """
    y_true, y_pred = aligned(y_true, y_pred, "categorical_hinge")
    right = (y_true * y_pred).sum(-1)
    wrong = ((1.0 - y_true) * y_pred).amax(-1)
    return (wrong - right + 1.0).clamp(min=0.0)


def _shortfall(y_true: Tensor, y_pred: Tensor) -> Tensor:
    # Decided on the device: asking Python whether all targets are 0 or 1 would wait for it.
    is_binary = ((y_true == 0) | (y_true == 1)).all()
    signs = torch.where(is_binary, 2.0 * y_true - 1.0, y_true)
    return (1.0 - signs * y_pred).clamp(min=0.0)


class Hinge(ElementwiseLoss):
    """`mean(max(1 - y_true * y_pred, 0))`; targets are -1 and 1, or 0 and 1.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        output: `()`

    Args:
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """What each element lacks to the margin."""
        return _shortfall(y_true, y_pred)


class SquaredHinge(ElementwiseLoss):
    """`mean(max(1 - y_true * y_pred, 0)**2)`; targets are -1 and 1, or 0 and 1."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The square of what each element lacks to the margin."""
        return _shortfall(y_true, y_pred).square()


class CategoricalHinge(Loss):
    """`max(1 + best wrong score - right score, 0)`, for one-hot targets.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        output: `()`
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Hinge of each sample."""
        return categorical_hinge(y_true, y_pred)
