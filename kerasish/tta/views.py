"""Views: what a model is shown of each batch at test time, and how its answers are averaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from kerasish.tta.mean import check_averaged


class Views:
    """Several views of each sample, whose predictions are averaged.

    Pass one to `predict` or `evaluate` as `tta`. A subclass of yours defines `views`.

    Args:
        average: What is averaged: `"outputs"`, the numbers that the model gives, `"probabilities"`
            or `"logits"`. The result is of the same kind as the model's outputs.
        spread: Whether `predict` returns `(mean, spread)`; the spread is the standard deviation
            over the views.

    Raises:
        ValueError: If `average` is unknown.
    """

    def __init__(self, *, average: str = "outputs", spread: bool = False) -> None:
        self.average = check_averaged(average, type(self).__name__)
        self.spread = spread

    def views(self, x: Any, rows: Tensor) -> Iterator[Any]:
        """The views of a batch, made one at a time.

        Args:
            x: A batch of inputs, on the model's device.
            rows: The samples' numbers in the data, from 0.
        """
        raise NotImplementedError(f"{type(self).__name__} must define views(self, x, rows).")

    def restored(self, y_pred: Any, number: int) -> Any:
        """The outputs for one view, where each place of a map is the place in the sample again.

        Args:
            y_pred: The model's outputs for the view.
            number: The number of the view, from 0.
        """
        return y_pred

    def for_model(self, model: Any) -> Views:
        """The same views, with what only the model tells filled in."""
        return self

    def room_for(self, preprocessing: Any) -> Any:
        """The preprocessing of a model's raw images that leaves them as large as the views need.

        Args:
            preprocessing: The model's own, such as an `applications.ImagePreprocessing`.
        """
        return preprocessing

    def mode(self, model: Any) -> AbstractContextManager[Any]:
        """The context in which the model runs."""
        return nullcontext()
