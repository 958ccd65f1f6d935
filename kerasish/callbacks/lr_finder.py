"""LearningRateFinder: tries rising learning rates for a few steps and suggests one."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from typing import Any

from kerasish.callbacks.base import Callback
from kerasish.callbacks.console import say
from kerasish.callbacks.rates import optimizers_of, refuse_schedules
from kerasish.callbacks.weights import Snapshot, restore, snapshot
from kerasish.describe import describe


class LearningRateFinder(Callback):
    """Raises the learning rate step by step, watches the loss, and puts everything back afterwards.

    Call `fit` with it once, then `suggestion()` and `plot()`; weights, optimizer state and learning
    rate are then as they were (the range test of Smith 2015, "Cyclical Learning Rates for Training
    Neural Networks"). Loss and rate are read at every step, so it is not for ordinary training.

    Args:
        min_lr: The first rate.
        max_lr: The last rate.
        num_steps: Steps from one to the other, equally spaced in the logarithm.
        smoothing: Share of the old value in the running mean of the loss, from 0 to below 1.
        stop_factor: Training ends once the smoothed loss is this many times its smallest value.
        verbose: 1 says the suggestion.

    Attributes:
        learning_rates: The rates tried.
        losses: The loss of the batch at each.

    Raises:
        ValueError: If the rates are not positive and rising, or another number is out of range.

    Example:
        >>> finder = LearningRateFinder(1e-5, 1.0)  # model.fit(x, y, callbacks=[finder])
        >>> len(finder.losses)
        0
    """

    def __init__(
        self,
        min_lr: float = 1e-6,
        max_lr: float = 1.0,
        num_steps: int = 100,
        *,
        smoothing: float = 0.9,
        stop_factor: float = 4.0,
        verbose: int = 1,
    ) -> None:
        if not 0 < min_lr < max_lr:
            raise ValueError(
                "LearningRateFinder: the rates must be positive and rising, "
                f"got {describe(min_lr)} and {describe(max_lr)}."
            )
        if num_steps < 10 or not 0 <= smoothing < 1 or stop_factor <= 1:
            raise ValueError(
                "LearningRateFinder: expected num_steps >= 10, 0 <= smoothing < 1 and "
                f"stop_factor > 1, got {num_steps}, {smoothing} and {stop_factor}."
            )
        self.min_lr = min_lr
        self.max_lr = max_lr
        self.num_steps = num_steps
        self.smoothing = smoothing
        self.stop_factor = stop_factor
        self.verbose = verbose
        self.learning_rates: list[float] = []
        self.losses: list[float] = []
        self._kept: Snapshot = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        refuse_schedules(self.model, "LearningRateFinder")
        self.learning_rates, self.losses = [], []
        self._given = {name: o.learning_rate for name, o in optimizers_of(self.model).items()}
        self._kept = snapshot(self.model)
        self._optimizer_state = _state_of(self.model.optimizer)
        self._done = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._mean = 0.0

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._done:
            return
        share = len(self.losses) / (self.num_steps - 1)
        rate = self.min_lr * (self.max_lr / self.min_lr) ** share
        for optimizer in optimizers_of(self.model).values():
            optimizer.learning_rate = rate
        self.learning_rates.append(rate)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._done or logs is None:
            return
        if not self._kept:
            # A lazy model has weights since its first step, which was a tiny one.
            self._kept = snapshot(self.model)
        # The logs hold the mean since the epoch began; what it moved by is this batch's own loss.
        mean = float(logs["loss"])
        self.losses.append(mean * (batch + 1) - self._mean * batch)
        self._mean = mean
        smooth = self.smoothed()
        if len(self.losses) >= self.num_steps or _diverged(smooth, self.stop_factor):
            self._done = True
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        del self.learning_rates[len(self.losses) :]
        if self._kept:
            restore(self.model, self._kept)
        self._kept = {}
        _restore_state(self.model.optimizer, self._optimizer_state)
        for name, optimizer in optimizers_of(self.model).items():
            optimizer.learning_rate = self._given[name]
        if not self._done:
            warnings.warn(
                f"LearningRateFinder: training ended after {len(self.losses)} of {self.num_steps} "
                "steps, before all rates were tried; give fit more epochs, or num_steps less.",
                stacklevel=2,
            )
        if self.verbose and len(self.losses) >= 10:
            say(f"LearningRateFinder: suggests {self.suggestion():.2g}; weights are as before.")

    def smoothed(self) -> list[float]:
        """The losses as a running mean without the pull of its start."""
        result, mean = [], 0.0
        for count, loss in enumerate(self.losses, 1):
            mean = self.smoothing * mean + (1 - self.smoothing) * loss
            result.append(mean / (1 - self.smoothing**count))
        return result

    def suggestion(self) -> float:
        """The rate at which the smoothed loss falls fastest.

        Raises:
            RuntimeError: If fewer than ten rates were tried.
        """
        smooth = [loss for loss in self.smoothed() if math.isfinite(loss)]
        if len(smooth) < 10:
            raise RuntimeError(
                f"LearningRateFinder: {len(smooth)} finite losses are too few for a suggestion; "
                "call fit with it first, or begin with a smaller min_lr."
            )
        end = max(6, smooth.index(min(smooth)) + 1)
        # Over five steps, so that one lucky batch does not decide.
        falls = [smooth[i + 2] - smooth[i - 2] for i in range(2, min(end, len(smooth) - 2))]
        return self.learning_rates[2 + falls.index(min(falls))]

    def plot(self) -> Any:
        """Draw the loss over the rate, with the suggestion.

        Returns:
            The matplotlib figure.
        """
        from kerasish.figures import Picture

        best = self.suggestion()
        figure = Picture(6, 3.6)
        axis = figure.subplots()
        axis.plot(self.learning_rates, self.losses, alpha=0.3, label="batch")
        axis.plot(self.learning_rates, self.smoothed(), label="smoothed")
        axis.axvline(best, linestyle="--", color="gray", label=f"suggestion {best:.2g}")
        axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axis.grid(alpha=0.3)
        axis.legend()
        return figure


def _diverged(smooth: list[float], factor: float) -> bool:
    if not math.isfinite(smooth[-1]):
        return True
    lowest = min(smooth)
    # Also right for losses below zero, where "times the smallest" would mean less.
    return len(smooth) > 10 and smooth[-1] > lowest + (factor - 1) * max(abs(lowest), 1e-12)


def _state_of(optimizer: Any) -> Any:
    bound = getattr(optimizer, "torch", optimizer) is not None
    return (
        copy.deepcopy(optimizer.state_dict())
        if bound and hasattr(optimizer, "state_dict")
        else None
    )


def _restore_state(optimizer: Any, state: Any) -> None:
    if state is not None:
        optimizer.load_state_dict(state)
