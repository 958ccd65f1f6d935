"""Areas under curves, and points on them: metrics that look at many thresholds at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish import config
from kerasish.describe import describe, suggest
from kerasish.devices import tensor_on
from kerasish.losses.shapes import as_tensor
from kerasish.metrics.base import Metric
from kerasish.metrics.confusion import ratio
from kerasish.metrics.counting import count_at
from kerasish.variables import Variable

COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "majoring", "minoring")


def spaced(num_thresholds: int) -> list[float]:
    """Thresholds from 0 to 1, or 0.5 alone."""
    if num_thresholds == 1:
        return [0.5]
    return [i / (num_thresholds - 1) for i in range(num_thresholds)]


class _Curve(Metric):
    """A metric that accumulates all four counts at many thresholds."""

    direction = "up"
    thresholds: Any
    true_positives: Variable
    false_positives: Variable
    true_negatives: Variable
    false_negatives: Variable

    def _make_counts(self, shape: tuple[int, ...]) -> None:
        for count in COUNTS:
            setattr(self, count, self.add_variable(shape, name=count))

    def _count(self, y_true: Any, y_pred: Any, sample_weight: Any, **options: Any) -> None:
        counts = count_at(
            y_true,
            y_pred,
            self.thresholds,
            sample_weight,
            name=self.name,
            dtype=self._dtype,
            device=self._device,
            **options,
        )
        for name, count in counts._asdict().items():
            getattr(self, name).add_(count)


class AUC(_Curve):
    """Area under a curve of detection rates, approximated at many thresholds.

    Shapes:
        y_true, y_pred: `(batch, ...)`; `(batch, labels)` when `multi_label`
        result: `()`

    Args:
        num_thresholds: How many thresholds, evenly spaced; more are more exact. At least 2.
        curve: `"ROC"` (recall over false positive rate), `"PR"` (precision over recall) or
            `"PRGAIN"` (precision gain over recall gain).
        summation_method: `"interpolation"` (trapezoids; for `"PR"` the exact interpolation),
            `"minoring"` or `"majoring"` (the lower or the higher end of each step).
        name: The key in logs.
        dtype: The type of the state.
        thresholds: Thresholds in `(0, 1)` to use instead.
        multi_label: Whether each column has a curve of its own; the areas are averaged.
        num_labels: Number of columns, where known beforehand.
        label_weights: The weight of each column.
        from_logits: Whether `y_pred` holds logits.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> metric = AUC(num_thresholds=3)
        >>> metric.update_state([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
        >>> float(metric.result())
        0.75
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(dtype, name)
        self.init_thresholds = None if thresholds is None else [float(t) for t in thresholds]
        self.thresholds = self._with_ends(num_thresholds)
        self.num_thresholds = len(self.thresholds)
        self.curve = _choice(curve, CURVES, str.upper, "curve")
        self.summation_method = _choice(summation_method, SUMMATIONS, str.lower, "summation_method")
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else np.asarray(label_weights).tolist()
        self.from_logits = from_logits
        if num_labels and not multi_label:
            raise ValueError("AUC: num_labels is for multi_label=True only.")
        self._built = not multi_label or bool(num_labels)
        if self._built:
            columns = (num_labels,) if num_labels else ()
            self._make_counts((self.num_thresholds, *columns))

    def _with_ends(self, num_thresholds: int) -> list[float]:
        if self.init_thresholds is None and num_thresholds <= 1:
            raise ValueError(f"AUC: num_thresholds must be at least 2, got {num_thresholds}.")
        inner = self.init_thresholds
        inner = spaced(num_thresholds)[1:-1] if inner is None else sorted(inner)
        # Just outside [0, 1], so that predictions of exactly 0 and 1 fall on the right side.
        return [-config.epsilon(), *inner, 1.0 + config.epsilon()]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; arguments as for every metric."""
        y_pred = as_tensor(y_pred, self._device)
        if self.from_logits:
            y_pred = y_pred.sigmoid()
        if self.multi_label and y_pred.ndim != 2:
            raise ValueError(
                f"AUC: multi_label=True needs y_pred of shape (batch, labels), "
                f"got {describe(y_pred)}."
            )
        if not self._built:
            self._make_counts((self.num_thresholds, y_pred.shape[1]))
            self._built = True
        weights = None if self.multi_label else self._label_weights(y_pred.device)
        self._count(
            y_true, y_pred, sample_weight, per_label=self.multi_label, label_weights=weights
        )

    def _label_weights(self, device: torch.device) -> Tensor | None:
        if self.label_weights is None:
            return None
        return tensor_on(device, self.label_weights, self._dtype)

    def result(self) -> Tensor:
        """The area: shape `()`."""
        if not self._built:
            return torch.zeros((), dtype=self._dtype, device=self._device)
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._interpolated_pr()
        else:
            x, y = self._points()
            before, after = y[:-1], y[1:]
            heights = {
                "interpolation": (before + after) / 2.0,
                "minoring": torch.minimum(before, after),
                "majoring": torch.maximum(before, after),
            }[self.summation_method]
            areas = (x[:-1] - x[1:]) * heights
        by_label = areas.sum(0)
        weights = self._label_weights(by_label.device) if self.multi_label else None
        if weights is None:
            return by_label.mean()
        return (by_label * weights).sum() / weights.sum()

    def _points(self) -> tuple[Tensor, Tensor]:
        """Abscissa and ordinate of the curve at each threshold."""
        tp, fp, tn, fn = (getattr(self, count).value for count in COUNTS)
        recall, precision = ratio(tp, fn), ratio(tp, fp)
        if self.curve == "ROC":
            return ratio(fp, tn), recall
        if self.curve == "PR":
            return recall, precision
        odds = _quotient(tp + fn, tn + fp)
        recall_gain = torch.where(tp == 0, 0.0, 1.0 - odds * _quotient(fn, tp))
        precision_gain = torch.where(tp == 0, 1.0, 1.0 - odds * _quotient(fp, tp))
        return recall_gain.clamp(min=0.0), precision_gain

    def _interpolated_pr(self) -> Tensor:
        """Areas between neighbouring thresholds under the precision-recall curve.

        Between two thresholds true positives are taken to grow linearly with all positives, and the
        hyperbola that precision then follows is integrated exactly (Davis and Goadrich, 2006).
        """
        tp, fp, fn = self.true_positives.value, self.false_positives.value, self.false_negatives
        positives = tp + fp
        tp_step, step = tp[:-1] - tp[1:], (positives[:-1] - positives[1:]).clamp(min=0.0)
        slope = _quotient(tp_step, step)
        intercept = tp[1:] - slope * positives[1:]
        both = (positives[:-1] > 0) & (positives[1:] > 0)
        growth = torch.where(both, _quotient(positives[:-1], positives[1:]), 1.0)
        area = slope * (tp_step + intercept * growth.log())
        return _quotient(area, (tp[1:] + fn[1:]).clamp(min=0.0))

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        settings = super().get_config() | {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self.from_logits,
        }
        if self.init_thresholds is not None:
            settings["thresholds"] = self.init_thresholds
        return settings


def _quotient(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b == 0, 0.0, a / torch.where(b == 0, 1.0, b))


def _choice(value: Any, names: tuple[str, ...], fold: Any, argument: str) -> str:
    folded = fold(value) if isinstance(value, str) else value
    if folded not in names:
        raise ValueError(f"AUC: unknown {argument} {describe(value)}{suggest(value, names)}")
    return folded


class _BestPoint(_Curve):
    """The best value of one rate, over the thresholds where another is high enough."""

    constraint: str
    rates: tuple[str, str]

    def __init__(
        self,
        value: float,
        num_thresholds: int,
        class_id: int | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        super().__init__(dtype, name)
        kind = type(self).__name__
        if not 0 <= value <= 1:
            raise ValueError(f"{kind}: {self.constraint} must be in [0, 1], got {value}.")
        if num_thresholds <= 0:
            raise ValueError(f"{kind}: num_thresholds must be positive, got {num_thresholds}.")
        setattr(self, self.constraint, value)
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        self.thresholds = spaced(num_thresholds)
        self._make_counts((num_thresholds,))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; arguments as for every metric."""
        self._count(y_true, y_pred, sample_weight, class_id=self.class_id)

    def result(self) -> Tensor:
        """The best value: shape `()`; 0 where no threshold will do."""
        tp, fp, tn, fn = (getattr(self, count).value for count in COUNTS)
        pairs = {
            "sensitivity": (tp, fn),
            "specificity": (tn, fp),
            "precision": (tp, fp),
            "recall": (tp, fn),
        }
        constrained, wanted = (ratio(*pairs[rate]) for rate in self.rates)
        good_enough = constrained >= getattr(self, self.constraint)
        return torch.where(good_enough, wanted, 0.0).amax()

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        return super().get_config() | {
            self.constraint: getattr(self, self.constraint),
            "num_thresholds": self.num_thresholds,
            "class_id": self.class_id,
        }


class SensitivityAtSpecificity(_BestPoint):
    """Best sensitivity (recall) at the thresholds where specificity is at least `specificity`.

    Shapes:
        y_true, y_pred: `(batch, ...)`
        result: `()`

    Args:
        specificity: What must be reached, in `[0, 1]`.
        num_thresholds: How many evenly spaced thresholds are tried.
        class_id: Only this column counts.
        name: The key in logs.
        dtype: The type of the state.

    Raises:
        ValueError: If an argument is out of range.
    """

    constraint = "specificity"
    rates = ("specificity", "sensitivity")

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_BestPoint):
    """Best specificity at the thresholds where sensitivity (recall) is at least `sensitivity`."""

    constraint = "sensitivity"
    rates = ("sensitivity", "specificity")

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_BestPoint):
    """Best precision at the thresholds where recall is at least `recall`."""

    constraint = "recall"
    rates = ("recall", "precision")

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_BestPoint):
    """Best recall at the thresholds where precision is at least `precision`."""

    constraint = "precision"
    rates = ("precision", "recall")

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)
