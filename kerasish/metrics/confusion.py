"""Counts of right and wrong yes/no answers, and the ratios of two of them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from kerasish.metrics.base import Metric
from kerasish.metrics.counting import NOTHING, as_thresholds, count_at
from kerasish.variables import Variable


def ratio(part: Tensor, rest: Tensor) -> Tensor:
    """`part / (part + rest)`, 0 where both are 0."""
    whole = part + rest
    return torch.where(whole == 0, 0.0, part / torch.where(whole == 0, 1.0, whole))


class _Counted(Metric):
    """A metric that accumulates some of the four counts at its thresholds."""

    counted: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        thresholds: Any,
        top_k: int | None,
        class_id: int | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        super().__init__(dtype, name)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        default = 0.5 if top_k is None else NOTHING
        self.thresholds = as_thresholds(thresholds, default, type(self).__name__)
        for count in self.counted:
            setattr(self, count, self.add_variable((len(self.thresholds),), name=count))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            y_true: Targets, 0 or 1.
            y_pred: Predictions in `[0, 1]`.
            sample_weight: A factor for each row, or each element.
        """
        counts = count_at(
            y_true,
            y_pred,
            self.thresholds,
            sample_weight,
            name=self.name,
            dtype=self._dtype,
            device=self._device,
            top_k=self.top_k,
            class_id=self.class_id,
        )
        for count in self.counted:
            self._count(count).add_(getattr(counts, count))

    def _count(self, name: str) -> Variable:
        return getattr(self, name)

    def _unwrapped(self, values: Tensor) -> Tensor:
        return values[0].clone() if len(self.thresholds) == 1 else values.clone()


class _Count(_Counted):
    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(thresholds, None, None, name, dtype)

    def result(self) -> Tensor:
        """The count: shape `()`, or one per threshold."""
        return self._unwrapped(self._count(self.counted[0]).value)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        return super().get_config() | {"thresholds": self.init_thresholds}


class TruePositives(_Count):
    """How often the answer was yes, and right.

    Shapes:
        y_true, y_pred: `(batch, ...)`
        result: `()`, or `(thresholds,)` when several are given

    Args:
        thresholds: What a prediction must exceed to be a yes; one number in `[0, 1]` or several.
            Defaults to 0.5.
        name: The key in logs.
        dtype: The type of the state.
    """

    counted = ("true_positives",)


class FalsePositives(_Count):
    """How often the answer was yes, and wrong; arguments as in `TruePositives`."""

    counted = ("false_positives",)


class TrueNegatives(_Count):
    """How often the answer was no, and right; arguments as in `TruePositives`."""

    counted = ("true_negatives",)


class FalseNegatives(_Count):
    """How often the answer was no, and wrong; arguments as in `TruePositives`."""

    counted = ("false_negatives",)


class _Ratio(_Counted):
    direction = "up"

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name, dtype)

    def result(self) -> Tensor:
        """The ratio: shape `()`, or one per threshold; 0 where nothing was counted."""
        part, rest = (self._count(count) for count in self.counted)
        return self._unwrapped(ratio(part, rest))

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        return super().get_config() | {
            "thresholds": self.init_thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
        }


class Precision(_Ratio):
    """`true positives / (true positives + false positives)`: how many of the yeses were right.

    Shapes:
        y_true, y_pred: `(batch, ...)`
        result: `()`, or `(thresholds,)` when several are given

    Args:
        thresholds: What a prediction must exceed to be a yes; one number in `[0, 1]` or several.
            Defaults to 0.5, or to none when `top_k` is given.
        top_k: Only the `top_k` largest predictions of a row can be a yes.
        class_id: Only this column counts.
        name: The key in logs.
        dtype: The type of the state.

    Raises:
        ValueError: If a threshold is outside [0, 1], or the shapes of the data differ.

    Example:
        >>> metric = Precision()
        >>> metric.update_state([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])
        >>> round(float(metric.result()), 4)
        0.6667
    """

    counted = ("true_positives", "false_positives")


class Recall(_Ratio):
    """`true positives / (true positives + false negatives)`: how many of the ones were found.

    Arguments and shapes as in `Precision`.
    """

    counted = ("true_positives", "false_negatives")
