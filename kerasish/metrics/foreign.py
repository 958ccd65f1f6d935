"""Metrics of torchmetrics, or anything with `update`, `compute` and `reset`, as kerasish's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.losses.base import snake_case
from kerasish.losses.foreign import TorchLoss, is_torch_loss
from kerasish.losses.shapes import as_tensor, same_rank
from kerasish.metrics.base import Metric
from kerasish.metrics.reduction import LossMean, MeanMetricWrapper


def speaks_torchmetrics(identifier: Any) -> bool:
    """Whether an object follows torchmetrics' protocol, told by its methods."""
    return not isinstance(identifier, (type, Metric)) and all(
        callable(getattr(identifier, verb, None)) for verb in ("update", "compute", "reset")
    )


class TorchMetric(Metric):
    """A metric that speaks torchmetrics' protocol: `update(preds, target)`, `compute()`, `reset()`.

    It follows the device of its data. Several processes are added up when asked, not whenever one
    of them looks at the value.

    Args:
        metric: The foreign metric.
        name: The key in logs. Defaults to the metric's class name in snake case.
    """

    def __init__(self, metric: Any, name: str | None = None) -> None:
        super().__init__(name=name or snake_case(type(metric).__name__))
        self.metric = metric
        if hasattr(metric, "sync_on_compute"):
            metric.sync_on_compute = metric._to_sync = False
        better = getattr(metric, "higher_is_better", None)
        self.direction = None if better is None else ("up" if better else "down")
        # Its classification metrics refuse class indices that travel as floats.
        module = type(metric).__module__
        self._wants_indices = module.startswith("torchmetrics.classification")
        self._wants_one_class = self._wants_indices and type(metric).__name__.startswith(
            "Multiclass"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch. Weights have no place in the protocol: they are left out, with a warning."""
        if sample_weight is not None:
            warnings.warn(
                f"{self.name}: torchmetrics' metrics take no sample_weight, so it has no effect. "
                "List it under metrics, not weighted_metrics, or use a kerasish metric.",
                stacklevel=3,
            )
        y_pred = as_tensor(y_pred, self._device)
        y_true = as_tensor(y_true, y_pred.device)
        y_true, y_pred = _same_rank(y_true, y_pred)
        if self._wants_one_class and y_true.ndim == 2 and y_true.shape == y_pred.shape:
            y_true = y_true.argmax(-1)  # one-hot: compared element by element it would count 0
        if self._wants_indices and y_true.is_floating_point():
            y_true = y_true.long()
        self.metric.update(y_pred.detach(), y_true)

    def result(self) -> Any:
        """What the metric computes: a tensor or a dict of tensors."""
        with warnings.catch_warnings():
            # Asking before the first batch is no mistake here.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            return self.metric.compute()

    def reset_state(self) -> None:
        """Forget all batches."""
        self.metric.reset()

    def to(self, device: Any) -> TorchMetric:
        """Move the metric to a device."""
        super().to(device)
        if isinstance(self.metric, nn.Module):
            self.metric.to(device)
        return self

    def merge_processes(self, group: Any = None) -> None:
        """Add up the state of all processes, where `torch.distributed` is in use."""
        if hasattr(self.metric, "sync"):
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                self._meet(group)
            self.metric.sync(process_group=group)
            self.metric._computed = None  # a result that was asked for before, of this process

    def get_config(self) -> dict[str, Any]:
        """The metric itself and the name."""
        return {"metric": self.metric, "name": self.name}


def _same_rank(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    if y_true.ndim == y_pred.ndim and y_true.shape[-1:] == (1,) != y_pred.shape[-1:]:
        return y_true.squeeze(-1), y_pred
    if y_true.ndim != y_pred.ndim and y_pred.shape[-1:] != (1,) and y_true.shape[-1:] != (1,):
        return y_true, y_pred
    return same_rank(y_true, y_pred)


class _PredictionsFirst:
    """A function of torchmetrics called as Keras calls metrics: targets first."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        return self.fn(y_pred, torch.as_tensor(y_true))


def wrap(function: Any) -> Metric:
    """Make a metric of a callable; torch's and torchmetrics' own get predictions first.

    As in Keras, logs have its name in snake case: `meanIoU` is logged as `mean_io_u`.
    """
    if is_torch_loss(function):
        return LossMean(TorchLoss(function))
    if (getattr(function, "__module__", None) or "").startswith("torchmetrics.functional"):
        function = _PredictionsFirst(function)
    return MeanMetricWrapper(function, snake_case(getattr(function, "__name__", "")) or None)
