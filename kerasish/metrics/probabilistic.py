"""Cross-entropies, divergences and hinges as metrics."""

from __future__ import annotations

from typing import Any

from kerasish import losses
from kerasish.metrics.reduction import LossMean


class BinaryCrossentropy(LossMean):
    """Mean binary cross-entropy.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: How far targets are drawn towards 0.5, in `[0, 1]`.
    """

    options = ("from_logits", "label_smoothing")

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(losses.BinaryCrossentropy(from_logits, label_smoothing), name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing


class CategoricalCrossentropy(LossMean):
    """Mean cross-entropy for one-hot or soft targets.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: The share of each target spread over all classes, in `[0, 1]`.
        axis: The class axis.
    """

    options = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        loss = losses.CategoricalCrossentropy(from_logits, label_smoothing, axis)
        super().__init__(loss, name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class SparseCategoricalCrossentropy(LossMean):
    """Mean cross-entropy for class indices; ignored targets do not count.

    Shapes:
        y_true: `(batch, ...)` or `(batch, ..., 1)`
        y_pred: `(batch, ..., classes)`
        result: `()`

    Args:
        name: The key in logs.
        dtype: The type of the state.
        from_logits: Whether `y_pred` holds logits.
        ignore_class: The target that does not count, neither in the sum nor in the divisor.
        axis: The class axis.
    """

    options = ("from_logits", "ignore_class", "axis")

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        loss = losses.SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis)
        super().__init__(loss, name, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis


class KLDivergence(LossMean):
    """Mean of `sum(y_true * log(y_true / y_pred))` over the classes."""

    def __init__(self, name: str | None = "kl_divergence", dtype: Any = None) -> None:
        super().__init__(losses.KLDivergence(), name, dtype)


class Poisson(LossMean):
    """Mean of `y_pred - y_true * log(y_pred)`."""

    def __init__(self, name: str | None = "poisson", dtype: Any = None) -> None:
        super().__init__(losses.Poisson(), name, dtype)


class Hinge(LossMean):
    """Mean of `max(1 - y_true * y_pred, 0)`; targets are -1 and 1, or 0 and 1."""

    # A batch is read as 0/1 or as -1/1 by what is in it, so batches are looked at one by one.
    concatenable = False

    def __init__(self, name: str | None = "hinge", dtype: Any = None) -> None:
        super().__init__(losses.Hinge(), name, dtype)


class SquaredHinge(LossMean):
    """Mean of `max(1 - y_true * y_pred, 0)**2`; targets are -1 and 1, or 0 and 1."""

    concatenable = False

    def __init__(self, name: str | None = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(losses.SquaredHinge(), name, dtype)


class CategoricalHinge(LossMean):
    """Mean of `max(1 + best wrong score - right score, 0)`, for one-hot targets."""

    def __init__(self, name: str | None = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(losses.CategoricalHinge(), name, dtype)
