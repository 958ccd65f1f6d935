"""Losses that compare numbers with numbers."""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish import config
from kerasish.losses.base import ElementwiseLoss, Loss
from kerasish.losses.shapes import aligned


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """`mean((y_true - y_pred)**2)` over the last axis.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        output: `(batch, ...)`

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> mean_squared_error([[0.0, 1.0]], [[1.0, 3.0]])
        tensor([2.5000])
    """
    y_true, y_pred = aligned(y_true, y_pred, "mean_squared_error")
    return _squared(y_true, y_pred).mean(-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """`mean(|y_true - y_pred|)` over the last axis; shapes as in `mean_squared_error`."""
    y_true, y_pred = aligned(y_true, y_pred, "mean_absolute_error")
    return F.l1_loss(y_pred, y_true, reduction="none").mean(-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """`100 * mean(|y_true - y_pred| / max(|y_true|, epsilon))` over the last axis, in percent."""
    y_true, y_pred = aligned(y_true, y_pred, "mean_absolute_percentage_error")
    return _percentage(y_true, y_pred).mean(-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """`mean((log(1 + y_true) - log(1 + y_pred))**2)` over the last axis; negatives count as 0."""
    y_true, y_pred = aligned(y_true, y_pred, "mean_squared_logarithmic_error")
    return _squared_logarithmic(y_true, y_pred).mean(-1)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """Quadratic for errors up to `delta`, linear beyond, averaged over the last axis.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        output: `(batch, ...)`
    """
    y_true, y_pred = aligned(y_true, y_pred, "huber")
    return F.huber_loss(y_pred, y_true, reduction="none", delta=delta).mean(-1)


def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """`mean(log(cosh(y_pred - y_true)))` over the last axis: quadratic near 0, linear far away."""
    y_true, y_pred = aligned(y_true, y_pred, "log_cosh")
    return _log_cosh(y_true, y_pred).mean(-1)


def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """`mean(y_pred - y_true * log(y_pred))` over the last axis, for rates and counts."""
    y_true, y_pred = aligned(y_true, y_pred, "poisson")
    return _poisson(y_true, y_pred).mean(-1)


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """`sum(y_true * log(y_true / y_pred))` over the last axis, probabilities kept off 0.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        output: `(batch, ...)`
    """
    y_true, y_pred = aligned(y_true, y_pred, "kl_divergence")
    y_true, y_pred = (y.clamp(config.epsilon(), 1.0) for y in (y_true, y_pred))
    return (y_true * (y_true / y_pred).log()).sum(-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Minus the cosine of the angle between the two vectors: -1 when they point the same way.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        output: `(batch, ...)`
    """
    y_true, y_pred = aligned(y_true, y_pred, "cosine_similarity")
    return -F.cosine_similarity(y_true, y_pred, dim=axis)


def _squared(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return F.mse_loss(y_pred, y_true, reduction="none")


def _percentage(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return 100.0 * ((y_true - y_pred) / y_true.abs().clamp(min=config.epsilon())).abs()


def _squared_logarithmic(y_true: Tensor, y_pred: Tensor) -> Tensor:
    floor = config.epsilon()
    return _squared(y_true.clamp(min=floor).log1p(), y_pred.clamp(min=floor).log1p())


def _log_cosh(y_true: Tensor, y_pred: Tensor) -> Tensor:
    # log(cosh(e)) = e + log(1 + exp(-2e)) - log 2, which does not overflow for large errors.
    error = y_pred - y_true
    return error + F.softplus(-2.0 * error) - math.log(2.0)


def _poisson(y_true: Tensor, y_pred: Tensor) -> Tensor:
    return F.poisson_nll_loss(
        y_pred, y_true, log_input=False, eps=config.epsilon(), reduction="none"
    )


class MeanSquaredError(ElementwiseLoss):
    """`mean((y_true - y_pred)**2)`.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`; one of them may lack a last axis of size 1
        output: `()`

    Args:
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.

    Raises:
        ValueError: If the shapes differ.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Squared errors."""
        return _squared(y_true, y_pred)

    def fused(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """`F.mse_loss`."""
        return F.mse_loss(y_pred, y_true) if self.fits(y_true, y_pred) else None


class MeanAbsoluteError(ElementwiseLoss):
    """`mean(|y_true - y_pred|)`; arguments and shapes as in `MeanSquaredError`."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Absolute errors."""
        return F.l1_loss(y_pred, y_true, reduction="none")

    def fused(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """`F.l1_loss`."""
        return F.l1_loss(y_pred, y_true) if self.fits(y_true, y_pred) else None


class MeanAbsolutePercentageError(ElementwiseLoss):
    """`100 * mean(|y_true - y_pred| / max(|y_true|, epsilon))`, in percent."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Relative errors in percent."""
        return _percentage(y_true, y_pred)


class MeanSquaredLogarithmicError(ElementwiseLoss):
    """`mean((log(1 + y_true) - log(1 + y_pred))**2)`; negative numbers count as 0."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Squared differences of logarithms."""
        return _squared_logarithmic(y_true, y_pred)


class Huber(ElementwiseLoss):
    """`e**2 / 2` for errors up to `delta`, `delta * (|e| - delta / 2)` beyond.

    Args:
        delta: Where the loss turns from quadratic to linear. Positive.
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.
    """

    options = ("delta",)

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.delta = delta

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Huber's function of the errors."""
        return F.huber_loss(y_pred, y_true, reduction="none", delta=self.delta)

    def fused(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """`F.huber_loss`."""
        if not self.fits(y_true, y_pred):
            return None
        return F.huber_loss(y_pred, y_true, delta=self.delta)


class LogCosh(ElementwiseLoss):
    """`mean(log(cosh(e)))` of the error `e`: like `e**2 / 2` near 0, `|e| - log 2` far away."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "log_cosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """`log(cosh(error))`."""
        return _log_cosh(y_true, y_pred)


class Poisson(ElementwiseLoss):
    """`mean(y_pred - y_true * log(y_pred))`: `y_pred` is a positive rate, `y_true` a count."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "poisson",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elements(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Negative log-likelihoods, up to a term without `y_pred`."""
        return _poisson(y_true, y_pred)


class KLDivergence(Loss):
    """`sum(y_true * log(y_true / y_pred))` over the classes, both kept in `[epsilon, 1]`.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`, probabilities
        output: `()`
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Divergence of each row."""
        return kl_divergence(y_true, y_pred)


class CosineSimilarity(Loss):
    """`-cos(angle(y_true, y_pred))`: -1 for the same direction, 0 for orthogonal or zero vectors.

    Args:
        axis: The axis that holds the vectors.
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.
    """

    options = ("axis",)

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Minus the cosine of each pair."""
        return cosine_similarity(y_true, y_pred, self.axis)
