"""StochasticWeightAveraging: ends with the mean of the weights of the last epochs."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish.callbacks.base import Callback
from kerasish.callbacks.rates import optimizers_of, refuse_schedules
from kerasish.describe import describe


class StochasticWeightAveraging(Callback):
    """Averages the weights after each epoch from `start_epoch` on, and ends training with the mean.

    Means found late in training, with a constant and rather high learning rate, often generalise
    better than the last weights (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima").

    Batch normalisation's stored statistics do not fit averaged weights. With `batch_norm_data` they
    are measured anew; without it, the mean of the statistics is used.

    Args:
        start_epoch: First epoch whose weights count, from 0; or a fraction of all epochs.
        learning_rate: The constant rate from then on. `None` leaves the rate alone.
        batch_norm_data: Inputs to measure batch normalisation's statistics on: a tensor or array.
        batch_size: Rows of it at a time.

    Attributes:
        num_averaged: How many epochs' weights are in the mean.

    Raises:
        ValueError: If `start_epoch` is negative or a fraction above 1.
    """

    state_names = ("num_averaged", "_means")

    def __init__(
        self,
        start_epoch: float = 0.75,
        learning_rate: float | None = None,
        *,
        batch_norm_data: Any = None,
        batch_size: int = 256,
    ) -> None:
        if start_epoch < 0 or (isinstance(start_epoch, float) and start_epoch > 1):
            raise ValueError(
                "StochasticWeightAveraging: `start_epoch` must be an epoch from 0 or a fraction "
                f"from 0.0 to 1.0, got {describe(start_epoch)}."
            )
        self.start_epoch = start_epoch
        self.learning_rate = learning_rate
        self.batch_norm_data = batch_norm_data
        self.batch_size = batch_size
        self.num_averaged = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.num_averaged = 0
        self._means: dict[str, Tensor] = {}
        self._start = self.start_epoch
        if isinstance(self.start_epoch, float):
            self._start = int(self.start_epoch * self.params.get("epochs", 1))
        if self.learning_rate is not None:
            refuse_schedules(self.model, "StochasticWeightAveraging")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.learning_rate is not None and epoch >= self._start:
            for optimizer in optimizers_of(self.model).values():
                optimizer.learning_rate = self.learning_rate

    @torch.no_grad()
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch < self._start:
            return
        self.num_averaged += 1
        for name, value in self.model.state_dict().items():
            if not isinstance(value, Tensor):
                continue
            if name not in self._means or not value.is_floating_point():
                self._means[name] = value.detach().clone()
            else:
                mean = self._means[name].to(value.device)  # a run's copy is read on the CPU
                self._means[name] = mean.lerp_(value, 1 / self.num_averaged)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self.num_averaged:
            return
        self.model.load_state_dict(self._means, strict=False)
        self._means = {}
        if self.batch_norm_data is not None:
            self._measure_batch_norm()

    def _measure_batch_norm(self) -> None:
        first = next(self.model.parameters())
        data = torch.as_tensor(self.batch_norm_data)
        batches = (batch.to(first.device) for batch in data.split(self.batch_size))
        torch.optim.swa_utils.update_bn(batches, self.model)
