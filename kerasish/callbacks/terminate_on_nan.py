"""TerminateOnNaN: ends training when the loss is no longer a number."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import math
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from kerasish.callbacks.base import Callback
from kerasish.callbacks.console import say

INTERVAL = 0.1


class TerminateOnNaN(Callback):
    """Ends training when the loss is NaN or infinite.

    Looking at the loss waits for the device, so it happens ten times a second and at the end of
    each epoch. Nothing is missed: the loss in the logs is a mean since the epoch began, in which a
    NaN stays.

    Args:
        raise_error: Whether to raise instead of ending training quietly.

    Raises:
        RuntimeError: With `raise_error`, when the loss is NaN or infinite.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error
        self._due = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._due = 0.0
        self._ended = False

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if perf_counter() >= self._due:
            self._look(logs, f"by batch {batch + 1}")
            self._due = perf_counter() + INTERVAL

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._ended:
            self._look(logs, f"by the end of epoch {epoch + 1}")

    def _look(self, logs: Mapping[str, Any] | None, when: str) -> None:
        loss = None if logs is None else logs.get("loss")
        if loss is None or math.isfinite(loss):
            return
        text = f"TerminateOnNaN: the loss is {float(loss)} {when}"
        if self.raise_error:
            raise RuntimeError(
                f"{text}. Try a smaller learning rate, and look for NaN in the data."
            )
        say(f"{text}; training ends.")
        self._ended = True
        self.model.stop_training = True
