"""Binary cross-entropies: losses of yes/no questions, answered by probabilities or logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish import config
from kerasish.losses.base import ElementwiseLoss
from kerasish.losses.shapes import aligned, logits_behind


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`-mean(y_true * log(p) + (1 - y_true) * log(1 - p))` over an axis.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`, probabilities (or logits) of independent yes/no questions
        output: `(batch, ...)`

    Raises:
        ValueError: If the shapes differ.
    """
    name = "binary_crossentropy"
    y_true, y_pred, from_logits = _scores(y_true, y_pred, from_logits, name)
    return _binary(_smooth_binary(y_true, label_smoothing), y_pred, from_logits).mean(axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Binary cross-entropy times `(1 - probability of the true answer)**gamma`.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`
        output: `(batch, ...)`
    """
    name = "binary_focal_crossentropy"
    y_true, y_pred, from_logits = _scores(y_true, y_pred, from_logits, name)
    y_true = _smooth_binary(y_true, label_smoothing)
    probability = y_pred.sigmoid() if from_logits else y_pred
    right = y_true * probability + (1 - y_true) * (1 - probability)
    values = (1 - right).pow(gamma) * _binary(y_true, y_pred, from_logits)
    if apply_class_balancing:
        values = values * (y_true * alpha + (1 - y_true) * (1 - alpha))
    return values.mean(axis)


def _scores(y_true: Any, y_pred: Any, from_logits: bool, name: str) -> tuple[Tensor, Tensor, bool]:
    """Aligned targets and probabilities, or rather the logits behind these where known."""
    logits = None if from_logits else logits_behind(y_pred, "sigmoid")
    y_true, y_pred = aligned(y_true, y_pred if logits is None else logits, name)
    return y_true, y_pred, from_logits or logits is not None


def _smooth_binary(y_true: Tensor, label_smoothing: float) -> Tensor:
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing


def _binary(y_true: Tensor, y_pred: Tensor, from_logits: bool) -> Tensor:
    if from_logits:
        return F.binary_cross_entropy_with_logits(y_pred, y_true, reduction="none")
    p = y_pred.clamp(config.epsilon(), 1.0 - config.epsilon())
    # Written out: autocast forbids F.binary_cross_entropy, and logarithms are as exact here.
    return -(y_true * p.log() + (1.0 - y_true) * torch.log1p(-p))


class BinaryCrossentropy(ElementwiseLoss):
    """`-mean(y_true * log(p) + (1 - y_true) * log(1 - p))`, for independent yes/no questions.

    Shapes:
        y_true, y_pred: `(batch, ..., d)`; one of them may lack a last axis of size 1
        output: `()`

    Args:
        from_logits: Whether `y_pred` holds logits; otherwise probabilities. The result of a
            `sigmoid` activation is taken back to its logits in any case, which is exact for
            confident predictions.
        label_smoothing: How far targets are drawn from 0 and 1 towards 0.5, in `[0, 1]`.
        axis: The axis averaged into one value per sample.
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.

    Raises:
        ValueError: If the shapes differ.
    """

    options = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Cross-entropy averaged over the axis."""
        y_true, y_pred, from_logits = _scores(y_true, y_pred, self.from_logits, self.name)
        if y_pred.ndim == 1:
            y_true, y_pred = y_true.unsqueeze(-1), y_pred.unsqueeze(-1)
        y_true = _smooth_binary(y_true, self.label_smoothing)
        return _binary(y_true, y_pred, from_logits).mean(self.axis)

    def fused(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """`F.binary_cross_entropy_with_logits`."""
        logits = y_pred if self.from_logits else logits_behind(y_pred, "sigmoid")
        if logits is None or self.label_smoothing or not self.fits(y_true, logits):
            return None
        return F.binary_cross_entropy_with_logits(logits, y_true)


class BinaryFocalCrossentropy(ElementwiseLoss):
    """Binary cross-entropy times `(1 - p_true)**gamma`: easy elements count less.

    `p_true` is the probability given to the true answer.

    Args:
        apply_class_balancing: Whether to weigh positives by `alpha` and negatives by `1 - alpha`.
        alpha: The weight of positives.
        gamma: How strongly easy elements are turned down; 0 gives `BinaryCrossentropy`.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: How far targets are drawn towards 0.5, in `[0, 1]`.
        axis: The axis averaged into one value per sample.
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.
    """

    options = (
        "apply_class_balancing",
        "alpha",
        "gamma",
        "from_logits",
        "label_smoothing",
        "axis",
    )

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Focal cross-entropy averaged over the axis."""
        y_true, y_pred, from_logits = _scores(y_true, y_pred, self.from_logits, self.name)
        if y_pred.ndim == 1:
            y_true, y_pred = y_true.unsqueeze(-1), y_pred.unsqueeze(-1)
        options = {option: getattr(self, option) for option in self.options}
        return binary_focal_crossentropy(y_true, y_pred, **options | {"from_logits": from_logits})
