"""LearningRateScheduler: sets the learning rate of each epoch by a function."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from kerasish.callbacks.base import Callback
from kerasish.callbacks.console import say
from kerasish.callbacks.rates import optimizers_of, rates_of, refuse_schedules
from kerasish.describe import describe


class LearningRateScheduler(Callback):
    """Asks a function for each epoch's learning rate, and adds `learning_rate` to the logs.

    Args:
        schedule: Function of `(epoch, learning_rate)` or of `(epoch)`, epochs from 0, that returns
            the rate of that epoch.
        verbose: 1 says the rate of each epoch.

    Raises:
        TypeError: When the function returns something else than a number.
        ValueError: When training begins, if the optimizer's rate follows a schedule already.

    Example:
        >>> halving = LearningRateScheduler(lambda epoch, rate: rate / 2)
    """

    log_names = ("learning_rate",)

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        refuse_schedules(self.model, "LearningRateScheduler")
        self._takes_rate = _takes_two(self.schedule)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, optimizer in optimizers_of(self.model).items():
            now = float(optimizer.learning_rate)
            rate = self.schedule(epoch, now) if self._takes_rate else self.schedule(epoch)
            if isinstance(rate, bool) or not hasattr(rate, "__float__"):
                raise TypeError(
                    "LearningRateScheduler: the schedule must return a number, "
                    f"got {describe(rate)} for epoch {epoch}."
                )
            optimizer.learning_rate = float(rate)
            if self.verbose:
                say(f"LearningRateScheduler: {name} {float(rate):.4g} in epoch {epoch + 1}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs.update(rates_of(self.model))


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(0, 0.0)
    except (TypeError, ValueError):  # ValueError: a builtin that does not tell its arguments
        return False
    return True
