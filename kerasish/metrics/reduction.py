"""Sums and means over samples, the ground that most metrics stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kerasish.losses.base import Loss, snake_case
from kerasish.losses.shapes import as_tensor, weights_like
from kerasish.metrics.base import Metric


class Sum(Metric):
    """Sum of all values seen, times their weights.

    Args:
        name: The key in logs.
        dtype: The type of the state.

    Example:
        >>> metric = Sum()
        >>> metric.update_state([1.0, 2.0], sample_weight=[1.0, 10.0])
        >>> float(metric.result())
        21.0
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values of any shape; weights are per row or per element."""
        values = as_tensor(values, self._device)
        if sample_weight is not None:
            values = values.to(self._dtype)
            values = values * weights_like(sample_weight, values, self.name)
        self.total.add_(values.sum(dtype=self._dtype))

    def result(self) -> Tensor:
        """The sum: shape `()`."""
        return self.total.value.clone()


class Mean(Metric):
    """Weighted mean of all values seen; each row counts once, whatever its shape.

    Args:
        name: The key in logs.
        dtype: The type of the state.

    Example:
        >>> metric = Mean()
        >>> metric.update_state([1.0, 3.0])
        >>> metric.update_state([5.0])
        >>> float(metric.result())
        3.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")
        self.count = self.add_variable(name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values of shape `(batch, ...)`; weights are per row or per element."""
        self._add(as_tensor(values, self._device), sample_weight)

    def _add(self, values: Tensor, sample_weight: Any = None) -> None:
        if sample_weight is not None:
            self._add_weighted(values, sample_weight)
        elif values.ndim < 2:
            self.total.add_(values.sum(dtype=self._dtype))
            self.count.add_(values.numel())
        elif values.numel():
            rows = values.shape[0]
            total = values.sum(dtype=self._dtype)
            self.total.add_(total, alpha=rows / values.numel())
            self.count.add_(rows)

    def _add_weighted(self, values: Tensor, sample_weight: Any) -> None:
        values = values.to(self._dtype)
        weight = weights_like(sample_weight, values, self.name)
        shape = torch.broadcast_shapes(values.shape, weight.shape)
        rows = shape[0] if shape else 1
        elements = shape.numel()
        if not elements:
            return
        self.total.add_((values * weight).sum(), alpha=rows / elements)
        self.count.add_(weight.sum(), alpha=rows / weight.numel() if weight.ndim else rows)

    def result(self) -> Tensor:
        """The mean: shape `()`; 0 before any value."""
        empty = self.count == 0
        return torch.where(empty, 0.0, self.total / torch.where(empty, 1.0, self.count))


class SampleMean(Mean):
    """Mean of a value that is computed for each sample from its target and its prediction."""

    def update_state(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Add a batch.

        Args:
            y_true: Targets.
            y_pred: Predictions.
            sample_weight: A factor for each row, or each element, of the per-sample values.
        """
        y_pred = as_tensor(y_pred, self._device)
        self._add(self.values(as_tensor(y_true, y_pred.device), y_pred), sample_weight)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The value of each sample: shape `(batch, ...)`."""
        raise NotImplementedError


class LossMean(Mean):
    """Mean of a loss, computed for each sample as the loss itself computes it."""

    direction = "down"

    def __init__(self, loss: Loss, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name or loss.name, dtype)
        self.loss = loss

    def update_state(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Add a batch; arguments as for every metric."""
        values, valid = self.loss.per_sample(y_true, y_pred)
        if valid is not None:
            valid = valid.to(self._dtype)
            if sample_weight is not None:
                valid = valid * weights_like(sample_weight, valid, self.name)
            sample_weight = valid
        self._add_sized(values, sample_weight, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments; subclasses make their loss of their own."""
        return super().get_config() | ({"loss": self.loss} if type(self) is LossMean else {})

    def _add_sized(self, values: Tensor, sample_weight: Any, y_pred: Any) -> None:
        # One number for the whole batch counts as many times as the batch has rows.
        if values.ndim == 0 and sample_weight is None:
            while isinstance(y_pred, (list, tuple, dict)):
                y_pred = next(iter(y_pred.values() if isinstance(y_pred, dict) else y_pred))
            values = values.expand(len(y_pred) if getattr(y_pred, "ndim", 0) else 1)
        self._add(values, sample_weight)


class MeanMetricWrapper(LossMean):
    """Mean of a function of yours: `fn(y_true, y_pred, **kwargs)`.

    Args:
        fn: Gives one value per sample, or one for the batch, which counts for each of its rows.
        name: Defaults to the function's name.
        dtype: The type of the state.
        kwargs: Passed to the function at each update.

    Example:
        >>> worst = lambda y_true, y_pred: (y_true - y_pred).abs().max()
        >>> metric = MeanMetricWrapper(worst, "worst")
        >>> float(metric(torch.zeros(2), torch.tensor([1.0, 2.0])))
        2.0
    """

    concatenable = False
    direction = None

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        self.fn = fn
        self.kwargs = kwargs
        known = getattr(fn, "__name__", None) or snake_case(type(fn).__name__)
        Mean.__init__(self, name or known, dtype)
        module = getattr(fn, "__module__", None) or ""
        # Functions of kerasish give one value per sample, so batches may be joined.
        self.concatenable = module.startswith("kerasish.")
        self.direction = "down" if module.startswith("kerasish.losses") else None

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; arguments as for every metric."""
        values = as_tensor(self.fn(y_true, y_pred, **self.kwargs))
        self._add_sized(values, sample_weight, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The function and its arguments, beside what every metric has."""
        return super().get_config() | {"fn": self.fn} | self.kwargs
