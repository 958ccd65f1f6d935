"""F-scores: one number for precision and recall together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish import config
from kerasish.describe import describe
from kerasish.losses.shapes import as_tensor, mismatch, weights_like
from kerasish.metrics.base import Metric

AVERAGES = (None, "micro", "macro", "weighted")
COUNTS = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")


class FBetaScore(Metric):
    """`(1 + beta**2) * precision * recall / (beta**2 * precision + recall)`.

    Shapes:
        y_true, y_pred: `(batch, classes)`, one-hot (or multi-label) targets and scores
        sample_weight: `(batch,)`
        result: `()`, or `(classes,)` without averaging

    Args:
        average: `None` for one score per class, `"micro"` to count all classes together, `"macro"`
            for the mean over classes, `"weighted"` for the mean weighted by how often each occurs.
        beta: How many times as much recall counts as precision. Positive.
        threshold: What a score must exceed to be a yes; `None` takes the largest of each row.
        name: The key in logs.
        dtype: The type of the state.

    Raises:
        ValueError: If an argument is out of range, or the data is not 2-D.
    """

    direction = "up"
    options = ("average", "beta", "threshold")

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        kind = type(self).__name__
        if average not in AVERAGES:
            raise ValueError(f"{kind}: average must be one of {AVERAGES}, got {describe(average)}.")
        if not isinstance(beta, (int, float)) or beta <= 0:
            raise ValueError(f"{kind}: beta must be a positive number, got {describe(beta)}.")
        if threshold is not None and not 0 < threshold <= 1:
            raise ValueError(f"{kind}: threshold must be in (0, 1], got {describe(threshold)}.")
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._built = False

    def _build(self, classes: int) -> None:
        shape = () if self.average == "micro" else (classes,)
        for count in COUNTS:
            setattr(self, count, self.add_variable(shape, name=count))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; arguments as for every metric."""
        y_pred = as_tensor(y_pred, self._device).to(self._dtype)
        y_true = as_tensor(y_true, y_pred.device).to(y_pred)
        if y_pred.ndim != 2 or y_true.shape != y_pred.shape:
            rule = "must both be (batch, classes)"
            raise ValueError(mismatch(self.name, y_true, y_pred, rule))
        if not self._built:
            self._build(y_pred.shape[1])
        if self.threshold is None:
            largest = y_pred.amax(-1, keepdim=True)
            said = ((y_pred >= largest) & (y_pred.abs() > 1e-9)).to(y_pred)
        else:
            said = (y_pred > self.threshold).to(y_pred)
        parts = (said * y_true, said * (1 - y_true), (1 - said) * y_true, y_true)
        weight = 1.0 if sample_weight is None else weights_like(sample_weight, y_true, self.name)
        for count, part in zip(COUNTS, parts, strict=True):
            weighted = part * weight
            added = weighted.sum() if self.average == "micro" else weighted.sum(0)
            getattr(self, count).add_(added)

    def result(self) -> Tensor:
        """The score, in `[0, 1]`."""
        if not self._built:
            return torch.zeros((), dtype=self._dtype, device=self._device)
        tp, fp, fn, occurrences = (getattr(self, count).value for count in COUNTS)
        epsilon, square = config.epsilon(), self.beta**2
        precision, recall = tp / (tp + fp + epsilon), tp / (tp + fn + epsilon)
        score = (1 + square) * precision * recall / (square * precision + recall + epsilon)
        if self.average == "weighted":
            return (score * occurrences / (occurrences.sum() + epsilon)).sum()
        return score if self.average is None else score.mean()


class F1Score(FBetaScore):
    """`2 * precision * recall / (precision + recall)`; otherwise as `FBetaScore`."""

    options = ("average", "threshold")

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)
