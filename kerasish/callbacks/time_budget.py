"""TimeBudget: ends training when its time is spent."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from kerasish.callbacks.base import Callback
from kerasish.callbacks.console import say
from kerasish.callbacks.progress_line import duration
from kerasish.describe import describe

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


class TimeBudget(Callback):
    """Ends training when the time is spent: after the batch, or before an epoch that would not fit.

    Args:
        budget: Seconds, a `timedelta`, or text such as `"1h30m"` or `"45s"`.
        whole_epochs: Whether to end only between epochs, once another as long as the longest so far
            would not fit.
        verbose: 1 says that training was ended.

    Raises:
        ValueError: If the budget is not a positive time.

    Example:
        >>> TimeBudget("1h30m").seconds
        5400.0
    """

    def __init__(
        self,
        budget: float | str | datetime.timedelta,
        *,
        whole_epochs: bool = False,
        verbose: int = 1,
    ) -> None:
        self.seconds = _seconds(budget)
        self.whole_epochs = whole_epochs
        self.verbose = verbose
        if whole_epochs:
            self.on_epoch_end = self._look_ahead
        else:
            self.on_train_batch_end = self._look_at_the_clock

    def state_dict(self) -> dict[str, Any]:
        return {"is_spent": self.is_spent}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Who calls fit again gives it a new budget.
        if state["is_spent"]:
            self.model.stop_training = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._began = perf_counter()
        self._longest = 0.0
        self.is_spent = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_began = perf_counter()

    def _look_at_the_clock(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if perf_counter() - self._began >= self.seconds and not self.model.stop_training:
            self._stop()

    def _look_ahead(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = perf_counter()
        self._longest = max(self._longest, now - self._epoch_began)
        if now - self._began + self._longest > self.seconds:
            self._stop()

    def _stop(self) -> None:
        self.model.stop_training = self.is_spent = True
        if self.verbose:
            spent = duration(perf_counter() - self._began)
            say(f"TimeBudget: training ends after {spent} of {duration(self.seconds)}.")


def _seconds(budget: Any) -> float:
    if isinstance(budget, datetime.timedelta):
        budget = budget.total_seconds()
    if isinstance(budget, str):
        text = budget.replace(" ", "").lower()
        if re.fullmatch(r"(\d+(\.\d+)?[dhms])+", text):
            parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
            budget = sum(float(count) * _UNITS[unit] for count, unit in parts)
    if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not budget > 0:
        raise ValueError(
            'TimeBudget: `budget` must be seconds, a timedelta or text such as "1h30m", '
            f"got {describe(budget)}."
        )
    return float(budget)
