"""What the checks look at: the plan of a fit, its data, and the outputs for a few rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from kerasish.data.arrays import leaves
from kerasish.data.feed import Feed
from kerasish.training.objective import Objective, OutputObjective
from kerasish.training.plan import StepPlan
from kerasish.training.preflight.advice import Report

# Large data are looked at in evenly spaced rows of about this many numbers in all.
_NUMBERS = 1 << 20
# Fewer rows say nothing about what data usually look like.
FEW_ROWS = 16


@dataclass
class Subject:
    """A fit that is about to begin.

    Attributes:
        plan: Model, recipe and objective.
        feed: The training data, targets prepared.
        x: All rows where they are in memory, else those of the first batch.
        y: Their targets.
        weight: Their weights.
        is_whole: Whether these are all rows.
        predictions: The outputs for the first rows, with their history.
        report: Where advice goes.
    """

    plan: StepPlan
    feed: Feed
    x: Any
    y: Any
    weight: Any
    is_whole: bool
    predictions: list[Tensor]
    report: Report = field(default_factory=Report)

    @classmethod
    def of(cls, plan: StepPlan, feed: Feed, y_pred: Any) -> Subject:
        """Gather it from a plan and its data."""
        (x, y, weight), is_whole = feed.known_rows()
        return cls(plan, feed, x, y, weight, is_whole, list(leaves(y_pred)))

    @property
    def objective(self) -> Objective:
        """The resolved losses and metrics."""
        assert self.plan.objective is not None
        return self.plan.objective

    def outputs(self) -> list[tuple[OutputObjective, Tensor, Tensor]]:
        """Each output that has a loss and targets: its objective, prediction and targets."""
        targets = self.objective.flat(self.y)
        found = zip(self.objective.outputs, self.predictions, targets, strict=True)
        return [
            (output, prediction, y)
            for output, prediction, y in found
            if output.loss is not None and isinstance(y, Tensor)
        ]


def some_rows(tensor: Tensor) -> Tensor:
    """A tensor, or evenly spaced rows of it where it is large; a view."""
    if tensor.numel() <= _NUMBERS:
        return tensor
    return tensor[:: math.ceil(tensor.numel() / _NUMBERS)]


def span(tensor: Tensor) -> tuple[float, float]:
    """The smallest and the largest number among (some of) the rows; NaN where there is one."""
    low, high = some_rows(tensor).detach().aminmax()
    return float(low), float(high)


def is_constant(tensor: Tensor) -> bool:
    """Whether many rows are all the same."""
    if len(tensor) < FEW_ROWS:
        return False
    first = tensor[:1]
    return bool((tensor[:FEW_ROWS] == first).all()) and bool((some_rows(tensor) == first).all())


def class_numbers(y: Tensor, kind: str) -> Tensor | None:
    """Targets as class numbers, one for each row or place, where they are classes."""
    if kind == "categorical" or (kind == "sparse" and y.is_floating_point()):
        return some_rows(y).argmax(-1).flatten() if y.dim() > 1 else None
    if kind == "binary" and y.dim() > 1 and y[0].numel() > 1:
        return None  # several questions at once
    if kind not in ("sparse", "binary", "log_probabilities"):
        return None
    flat = some_rows(y).flatten()
    if not flat.is_floating_point():
        return flat.long()
    return flat.round().long() if kind == "binary" else None


def shorten(items: Any, limit: int = 8) -> str:
    """A list for a message, cut off where it is long."""
    items = list(items)
    return ", ".join(str(i) for i in items[:limit]) + (", …" if len(items) > limit else "")
