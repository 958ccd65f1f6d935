"""SwapEMAWeights: evaluates the moving average of the weights instead of the weights."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from kerasish.callbacks.base import Callback


class SwapEMAWeights(Callback):
    """Puts the optimizer's moving averages into the model while it is validated, tested or asked.

    The optimizer must have `use_ema=True`.

    Args:
        swap_on_epoch: Whether the averages are also in the model between the end of an epoch and
            the beginning of the next, so that callbacks after this one, such as `ModelCheckpoint`,
            save them, and at the end of training.

    Raises:
        ValueError: When it begins, if the optimizer keeps no averages.
    """

    state_names = ("_swapped",)

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._swapped = False
        if not any(getattr(inner, "use_ema", False) for inner in self._optimizers()):
            raise ValueError(
                "SwapEMAWeights: the optimizer keeps no averages; give it use_ema=True."
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._put_averages(False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.swap_on_epoch:
            self._put_averages(True)

    def before_train_end(self) -> None:
        """Give the averages back to the optimizer, which copies them into the weights."""
        if self._swapped and self.swap_on_epoch:
            # The averages stay, also where fit ends by copying the averages into the weights.
            with torch.no_grad():
                for weight, average in self._pairs():
                    average.copy_(weight)
            self._swapped = False
        self._put_averages(False)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.before_train_end()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._put_averages(True)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._put_averages(False)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._put_averages(True)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._put_averages(False)

    @torch.no_grad()
    def _put_averages(self, wanted: bool) -> None:
        """Exchange weights and averages in place, unless they are where they should be."""
        if wanted == self._swapped:
            return
        self._swapped = wanted
        for weight, average in self._pairs():
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    def _optimizers(self) -> list[Any]:
        outer = self.model.optimizer
        outer = getattr(outer, "inner_optimizer", outer)
        return list(getattr(outer, "optimizers", [outer]))

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        for optimizer in self._optimizers():
            yield from getattr(optimizer, "_averages", {}).items()
