"""How closely predictions and targets move together within each row."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kerasish import config
from kerasish.losses.shapes import aligned
from kerasish.metrics.reduction import SampleMean


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """`cov(y_true, y_pred) / (std(y_true) * std(y_pred))` along an axis, in `[-1, 1]`.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        output: `(batch, ...)`
    """
    y_true, y_pred = aligned(y_true, y_pred, "pearson_correlation")
    y_true, y_pred = (y - y.mean(axis, keepdim=True) for y in (y_true, y_pred))
    spread = y_true.square().mean(axis).sqrt() * y_pred.square().mean(axis).sqrt()
    return (y_true * y_pred).mean(axis) / spread


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """`2 * cov / (var(y_true) + var(y_pred) + (difference of means)**2)` along an axis.

    Unlike Pearson's, it is 1 only where the numbers themselves agree.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        output: `(batch, ...)`
    """
    y_true, y_pred = aligned(y_true, y_pred, "concordance_correlation")
    true_mean, pred_mean = (y.mean(axis, keepdim=True) for y in (y_true, y_pred))
    true_rest, pred_rest = y_true - true_mean, y_pred - pred_mean
    variances = true_rest.square().mean(axis) + pred_rest.square().mean(axis)
    spread = variances + (true_mean - pred_mean).square().mean(axis)
    return 2 * (true_rest * pred_rest).mean(axis) / (spread + config.epsilon())


class PearsonCorrelation(SampleMean):
    """Mean over the rows of `cov(y_true, y_pred) / (std(y_true) * std(y_pred))`.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
        axis: The axis along which numbers are compared.
    """

    direction = "up"
    options = ("axis",)

    def __init__(
        self, name: str | None = "pearson_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(name, dtype)
        self.axis = axis

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The correlation of each row."""
        return pearson_correlation(y_true, y_pred, self.axis)


class ConcordanceCorrelation(SampleMean):
    """Mean over the rows of Lin's concordance; arguments as in `PearsonCorrelation`."""

    direction = "up"
    options = ("axis",)

    def __init__(
        self, name: str | None = "concordance_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(name, dtype)
        self.axis = axis

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The concordance of each row."""
        return concordance_correlation(y_true, y_pred, self.axis)
