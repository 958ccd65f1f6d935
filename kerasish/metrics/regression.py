"""Metrics that compare numbers with numbers."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from kerasish import losses
from kerasish.describe import describe
from kerasish.losses.shapes import aligned, as_prediction, as_tensor, mismatch, weights_like
from kerasish.metrics.base import Metric
from kerasish.metrics.reduction import LossMean, SampleMean

AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


class MeanSquaredError(LossMean):
    """`mean((y_true - y_pred)**2)`.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`; one of them may lack a last axis of size 1
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
    """

    def __init__(self, name: str | None = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.MeanSquaredError(), name, dtype)


class MeanAbsoluteError(LossMean):
    """`mean(|y_true - y_pred|)`; arguments and shapes as in `MeanSquaredError`."""

    def __init__(self, name: str | None = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(losses.MeanAbsoluteError(), name, dtype)


class MeanAbsolutePercentageError(LossMean):
    """`100 * mean(|y_true - y_pred| / |y_true|)`, in percent."""

    def __init__(
        self, name: str | None = "mean_absolute_percentage_error", dtype: Any = None
    ) -> None:
        super().__init__(losses.MeanAbsolutePercentageError(), name, dtype)


class MeanSquaredLogarithmicError(LossMean):
    """`mean((log(1 + y_true) - log(1 + y_pred))**2)`."""

    def __init__(
        self, name: str | None = "mean_squared_logarithmic_error", dtype: Any = None
    ) -> None:
        super().__init__(losses.MeanSquaredLogarithmicError(), name, dtype)


class RootMeanSquaredError(LossMean):
    """`sqrt(mean((y_true - y_pred)**2))`: the root of the mean over all batches."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.MeanSquaredError(), name, dtype)

    def result(self) -> Tensor:
        """The root: shape `()`."""
        return super().result().sqrt()


class LogCoshError(LossMean):
    """`mean(log(cosh(y_pred - y_true)))`."""

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(losses.LogCosh(), name, dtype)


class CosineSimilarity(SampleMean):
    """`mean(cos(angle(y_true, y_pred)))`: 1 for the same direction (the loss has the other sign).

    Args:
        name: The key in logs.
        dtype: The type of the state.
        axis: The axis that holds the vectors.
    """

    direction = "up"
    options = ("axis",)

    def __init__(
        self, name: str | None = "cosine_similarity", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(name, dtype)
        self.axis = axis

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The cosine of each pair."""
        return -losses.cosine_similarity(y_true, y_pred, self.axis)


class R2Score(Metric):
    """Share of the targets' variance that the predictions explain: `1 - residual / variance`.

    Shapes:
        y_true, y_pred: `(batch, d)`
        sample_weight: `(batch,)`
        result: `()`, or `(d,)` without aggregation

    Args:
        class_aggregation: `"uniform_average"`, `"variance_weighted_average"`, or `None` for one
            score per column.
        num_regressors: Number of independent predictors, for the adjusted score; 0 does not adjust.
        name: The key in logs.
        dtype: The type of the state.

    Raises:
        ValueError: If an argument is out of range, or the data is not 2-D.
    """

    direction = "up"
    options = ("class_aggregation", "num_regressors")

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        if class_aggregation not in AGGREGATIONS:
            raise ValueError(
                f"R2Score: class_aggregation must be one of {AGGREGATIONS}, "
                f"got {describe(class_aggregation)}."
            )
        if num_regressors < 0:
            raise ValueError(f"R2Score: num_regressors must not be negative, got {num_regressors}.")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable(name="num_samples")
        self._built = False

    def _build(self, columns: int) -> None:
        self.squared_sum = self.add_variable((columns,), name="squared_sum")
        self.sum = self.add_variable((columns,), name="sum")
        self.total_mse = self.add_variable((columns,), name="residual")
        self.count = self.add_variable((columns,), name="count")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; arguments as for every metric."""
        y_pred = as_prediction(as_tensor(y_pred, self._device)).to(self._dtype)
        y_true, y_pred = aligned(y_true, y_pred, self.name)
        if y_pred.ndim != 2:
            raise ValueError(mismatch(self.name, y_true, y_pred, "must be (batch, d)"))
        if not self._built:
            self._build(y_pred.shape[1])
        weight = 1.0 if sample_weight is None else sample_weight
        weight = weights_like(weight, y_true, self.name).expand_as(y_true)
        self.sum.add_((y_true * weight).sum(0))
        self.squared_sum.add_((y_true.square() * weight).sum(0))
        self.total_mse.add_(((y_true - y_pred).square() * weight).sum(0))
        self.count.add_(weight.sum(0))
        self.num_samples.add_(y_true.numel())

    def result(self) -> Tensor:
        """The score: 1 is perfect, 0 is as good as the mean, below that is worse."""
        if not self._built:
            return torch.zeros_like(self.num_samples.value)
        variance = self.squared_sum - self.sum.square() / self.count
        scores = 1.0 - self.total_mse / variance
        scores = torch.where(scores.isinf(), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            scores = (variance * scores).sum() / variance.sum()
        return self._adjusted(scores) if self.num_regressors else scores

    def _adjusted(self, scores: Tensor) -> Tensor:
        spare = float(self.num_samples) - self.num_regressors - 1
        if spare <= 0:
            warnings.warn(
                f"R2Score: with {self.num_regressors} regressors the adjusted score needs more "
                f"than {self.num_regressors + 1} samples; this is the standard score.",
                stacklevel=3,
            )
            return scores
        return 1.0 - (1.0 - scores) * (self.num_samples - 1.0) / spare
