"""ReduceLROnPlateau: lowers the learning rate when a number stops improving."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

from kerasish.callbacks.console import say
from kerasish.callbacks.monitor import MonitorCallback
from kerasish.callbacks.rates import optimizers_of, rates_of, refuse_schedules
from kerasish.describe import describe


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when the number has not improved for `patience` epochs.

    Adds `learning_rate`, the rate that the epoch was trained with, to the logs.

    Args:
        monitor: Name in the logs of an epoch.
        factor: What the rate is multiplied by, from 0 to below 1.
        patience: Epochs without improvement to bear.
        verbose: 1 says when the rate is lowered.
        mode: `"min"`, `"max"`, or `"auto"` to infer from the metric which is better.
        min_delta: Least change that counts as an improvement.
        cooldown: Epochs after a change in which none is counted.
        min_lr: The rate is not lowered below this.

    Raises:
        ValueError: If `factor` is out of range. When training begins: if the rate follows a
            schedule already, nothing is logged as `monitor`, or its better direction is unknown.
    """

    log_names = ("learning_rate",)
    state_names = ("best", "wait", "cooldown_counter")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if not 0 <= factor < 1:
            raise ValueError(
                f"ReduceLROnPlateau: `factor` must be from 0 to below 1, got {describe(factor)}."
            )
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        refuse_schedules(self.model, "ReduceLROnPlateau")
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        logs.update(rates_of(self.model))
        value = self.monitored(logs)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(value, self.best):
            self.best = value
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience and self._lower(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _lower(self, epoch: int) -> bool:
        """Lower every rate that may still be lowered; whether there was one."""
        lowered = False
        for name, optimizer in optimizers_of(self.model).items():
            rate = float(optimizer.learning_rate)
            if rate <= self.min_lr:
                continue
            lower = max(rate * self.factor, self.min_lr)
            optimizer.learning_rate = lower
            lowered = True
            if self.verbose:
                say(
                    f"ReduceLROnPlateau: {name} {rate:.3g} -> {lower:.3g} after epoch {epoch + 1}, "
                    f"no better {self.monitor} than {self.best:.5g}."
                    if self.best is not None
                    else f"ReduceLROnPlateau: {name} {rate:.3g} -> {lower:.3g}."
                )
        return lowered
