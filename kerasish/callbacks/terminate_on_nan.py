"""TerminateOnNaN: ends training when the loss is no longer a number."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kerasish.callbacks.base import Callback
from kerasish.callbacks.console import say


class TerminateOnNaN(Callback):
    """Looks at the loss after every batch and ends training when it is NaN or infinite.

    Looking waits for the device at every step, so training on a GPU is slower with it.

    Args:
        raise_error: Whether to raise instead of ending training quietly.

    Raises:
        RuntimeError: With `raise_error`, when the loss is NaN or infinite.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = None if logs is None else logs.get("loss")
        if loss is None or math.isfinite(loss):
            return
        text = f"TerminateOnNaN: the loss is {float(loss)} after batch {batch + 1}"
        if self.raise_error:
            raise RuntimeError(
                f"{text}. Try a smaller learning rate, and look for NaN in the data."
            )
        say(f"{text}; training ends.")
        self.model.stop_training = True
