"""EarlyStopping: ends training when a number stops improving."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

from kerasish.callbacks.console import say
from kerasish.callbacks.monitor import MonitorCallback
from kerasish.callbacks.weights import Snapshot, restore, snapshot


class EarlyStopping(MonitorCallback):
    """Stops training when the monitored number has not improved for `patience` epochs.

    Args:
        monitor: Name in the logs of an epoch.
        min_delta: Least change that counts as an improvement.
        patience: Epochs without improvement to bear.
        verbose: 1 says when training is stopped and which epoch's weights come back.
        mode: `"min"`, `"max"`, or `"auto"` to infer from the metric which is better.
        baseline: Value that the number must beat for the waiting to start anew.
        restore_best_weights: Whether the model ends with the weights of its best epoch, whatever
            ended training: the waiting, the last epoch, Ctrl-C or an error.
        start_from_epoch: Epochs (counted from 0) before this one are not looked at.

    Attributes:
        best: The best value, `None` before the first.
        best_epoch: Its epoch, from 0.
        stopped_epoch: The epoch after which training was stopped, from 0; 0 if it was not.

    Raises:
        ValueError: When training begins, if nothing is logged under that name or its better
            direction is not known.

    Example:
        >>> stopping = EarlyStopping(monitor="loss", patience=3, restore_best_weights=True)
    """

    state_names = ("best", "wait", "best_epoch", "stopped_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.wait = 0
        self.best_epoch = 0
        self.stopped_epoch = 0
        self.best_weights: Snapshot | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self.wait = self.best_epoch = self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self._last_epoch = -1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._last_epoch = epoch
        value = self.monitored(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        improved = self.is_improvement(value, self.best)
        if improved:
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self.is_improvement(value, self.baseline):
                self.wait = 0
        # The first epoch that counts is the best so far even if its value is NaN.
        if self.restore_best_weights and (improved or self.best_weights is None):
            self.best_weights = snapshot(self.model, into=self.best_weights)
            self.best_epoch = epoch
        if not improved and self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            say(
                f"EarlyStopping: stopped after epoch {self.stopped_epoch + 1}, "
                f"no better {self.monitor} than {_value(self.best)} of epoch {self.best_epoch + 1}."
            )
        if self.best_weights is None:
            return
        restore(self.model, self.best_weights)
        if self.verbose:
            say(f"EarlyStopping: weights of the best epoch, {self.best_epoch + 1}, restored.")
        # A second copy of the model is not kept beyond training.
        self.best_weights = None


def _value(best: float | None) -> str:
    return "none" if best is None else f"{best:.5g}"
