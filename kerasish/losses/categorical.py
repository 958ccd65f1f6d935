"""Categorical cross-entropies: losses of one class among several, by probabilities or logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish import config
from kerasish.describe import describe
from kerasish.losses.base import Loss
from kerasish.losses.shapes import aligned, as_prediction, as_tensor, logits_behind, mismatch


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`-sum(y_true * log(p))` over the classes, for one-hot (or soft) targets.

    Probabilities are divided by their sum first.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`, with the classes on `axis`
        output: `(batch, ...)`

    Raises:
        ValueError: If the shapes differ.
    """
    logits = None if from_logits else logits_behind(y_pred, "softmax")
    y_true, y_pred = aligned(
        y_true, y_pred if logits is None else logits, "categorical_crossentropy"
    )
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[axis]
    if from_logits or logits is not None:
        return -(y_true * y_pred.log_softmax(axis)).sum(axis)
    return -(y_true * _normalised(y_pred, axis).log()).sum(axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`-sum(alpha * (1 - p)**gamma * y_true * log(p))` over the classes.

    `alpha` is a number, or one for each class.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`
        output: `(batch, ...)`

    Raises:
        ValueError: If `alpha` has neither one number nor as many as there are classes.
    """
    y_true, y_pred = aligned(y_true, y_pred, "categorical_focal_crossentropy")
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[axis]
    p = _normalised(y_pred.softmax(axis) if from_logits else y_pred, axis)
    factor = alpha if isinstance(alpha, (int, float)) else _per_class(alpha, p, axis)
    return -(factor * (1.0 - p).pow(gamma) * y_true * p.log()).sum(axis)


def _per_class(alpha: Any, p: Tensor, axis: int) -> Tensor:
    """Numbers by class, in a shape that multiplies along the class axis."""
    factors = as_tensor(alpha, p.device).to(p)
    if factors.ndim == 0:
        return factors
    if factors.shape != (p.shape[axis],):
        raise ValueError(
            "categorical_focal_crossentropy: alpha must be one number, or one for each of the "
            f"{p.shape[axis]} classes, got {describe(alpha)}."
        )
    return factors.reshape([-1 if i == axis % p.ndim else 1 for i in range(p.ndim)])


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """`-log(p[y_true])`: cross-entropy for targets that are class indices.

    Shapes:
        y_true: `(batch, ...)`, or `(batch, ..., 1)`; whole numbers in `[0, classes)`
        y_pred: `(batch, ..., classes)`, with the classes on `axis`
        output: `(batch, ...)`, 0 where the target is `ignore_class`

    Raises:
        ValueError: If the shapes differ otherwise than by the class axis.

    Example:
        >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]])
        tensor([0.6931])
    """
    logits = None if from_logits else logits_behind(y_pred, "softmax")
    y_pred = as_prediction(y_pred if logits is None else logits)
    y_true = as_tensor(y_true, y_pred.device)
    y_true = squeezed_indices(y_true, y_pred, axis, "sparse_categorical_crossentropy")
    unbatched = y_pred.ndim == 1
    if unbatched:
        y_pred, y_true = y_pred.unsqueeze(0), y_true.unsqueeze(0)
    scores = y_pred if axis == 1 else y_pred.movedim(axis, 1)  # (batch, classes, ...)
    ignored = -100 if ignore_class is None else ignore_class
    if from_logits or logits is not None:
        values = F.cross_entropy(scores, y_true, ignore_index=ignored, reduction="none")
    else:
        # torch's kernel for images refuses the gradient of channels-last ones.
        log_p = _normalised(scores, 1).log().contiguous()
        values = F.nll_loss(log_p, y_true, ignore_index=ignored, reduction="none")
    return values.squeeze(0) if unbatched else values


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Tensor:
    """`(1 - p[y_true]**q) / q`: between cross-entropy (q near 0) and absolute error (q near 1).

    Shapes:
        y_true: `(batch, ...)`, class indices
        y_pred: `(batch, ..., classes)`, probabilities
        output: `(batch, ...)`
    """
    y_pred = as_prediction(y_pred)
    y_true = as_tensor(y_true, y_pred.device)
    y_true = squeezed_indices(y_true, y_pred, -1, "categorical_generalized_cross_entropy")
    p = y_pred.gather(-1, y_true.unsqueeze(-1)).squeeze(-1)
    return (1.0 - p.pow(q)) / q


def squeezed_indices(y_true: Tensor, y_pred: Tensor, axis: int, name: str) -> Tensor:
    """Class indices as int64 without a class axis of size 1, checked against the scores' shape."""
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = y_true.squeeze(axis)
    axis = axis % y_pred.ndim
    if y_true.shape != y_pred.shape[:axis] + y_pred.shape[axis + 1 :]:
        hint = (
            " (one-hot targets? use the loss without 'sparse')"
            if (y_true.shape == y_pred.shape)
            else ""
        )
        rule = f"must differ only by the class axis{hint}"
        raise ValueError(mismatch(name, y_true, y_pred, rule))
    return y_true.long()


def _normalised(y_pred: Tensor, axis: int) -> Tensor:
    p = y_pred / y_pred.sum(axis, keepdim=True)
    return p.clamp(config.epsilon(), 1.0 - config.epsilon())


class CategoricalCrossentropy(Loss):
    """`-sum(y_true * log(p))` over the classes, for one-hot or soft targets.

    Shapes:
        y_true, y_pred: `(batch, ..., classes)`, with the classes on `axis`
        output: `()`

    Args:
        from_logits: Whether `y_pred` holds logits; otherwise probabilities, divided by their sum.
            The result of a `softmax` activation is taken back to its logits in any case.
        label_smoothing: The share of each target spread evenly over all classes, in `[0, 1]`.
        axis: The class axis.
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
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Cross-entropy of each sample."""
        return categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )

    def fused(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """`F.cross_entropy` with class probabilities as targets."""
        logits = y_pred if self.from_logits else logits_behind(y_pred, "softmax")
        if (
            logits is None
            or self._torch_reduction is None
            or self.axis not in (-1, 1)
            or logits.ndim != 2
            or y_true.dtype is not logits.dtype
            or y_true.shape != logits.shape
            or not logits.numel()
        ):
            return None
        smoothing = self.label_smoothing
        return F.cross_entropy(
            logits, y_true, reduction=self._torch_reduction, label_smoothing=smoothing
        )


class CategoricalFocalCrossentropy(Loss):
    """`-sum(alpha * (1 - p)**gamma * y_true * log(p))` over the classes: easy samples count less.

    Args:
        alpha: A factor on everything, or a list of one factor for each class.
        gamma: How strongly easy samples are turned down.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: The share of each target spread evenly over all classes, in `[0, 1]`.
        axis: The class axis.
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.
    """

    options = ("alpha", "gamma", "from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Focal cross-entropy of each sample."""
        options = {option: getattr(self, option) for option in self.options}
        return categorical_focal_crossentropy(y_true, y_pred, **options)


class SparseCategoricalCrossentropy(Loss):
    """`-log(p[y_true])`: cross-entropy for targets that are class indices.

    Shapes:
        y_true: `(batch, ...)`, or `(batch, ..., 1)`; whole numbers in `[0, classes)`
        y_pred: `(batch, ..., classes)`, with the classes on `axis`
        output: `()`

    Args:
        from_logits: Whether `y_pred` holds logits; otherwise probabilities, divided by their sum.
            The result of a `softmax` activation is taken back to its logits in any case.
        ignore_class: Samples (or pixels) with this target count neither in the sum nor in the
            divisor.
        reduction: As for every loss.
        axis: The class axis.
        name: As for every loss.
        dtype: As for every loss.

    Raises:
        ValueError: If the shapes differ otherwise than by the class axis.

    Example:
        >>> loss = SparseCategoricalCrossentropy(from_logits=True)
        >>> loss(torch.tensor([1]), torch.zeros(1, 2))
        tensor(0.6931)
    """

    target_dtype = "int64"
    options = ("from_logits", "ignore_class", "axis")

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis
        self._fusable = (
            ignore_class is None and axis in (-1, 1) and self._torch_reduction is not None
        )

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Cross-entropy of each sample."""
        return sparse_categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.ignore_class, self.axis
        )

    def fused(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """`F.cross_entropy`."""
        if not self._fusable or y_true.dtype is not torch.int64:
            return None
        logits = y_pred if self.from_logits else logits_behind(y_pred, "softmax")
        if logits is None or y_true.ndim != 1 or logits.ndim != 2 or not y_true.numel():
            return None
        try:
            return F.cross_entropy(logits, y_true, reduction=self._torch_reduction or "mean")
        except ValueError:  # batch sizes differ; `call` says so with the loss's name
            return None

    def valid(self, y_true: Any, values: Tensor) -> Tensor | None:
        """Where the target is not `ignore_class`."""
        if self.ignore_class is None:
            return None
        return (y_true != self.ignore_class).reshape(values.shape)


class CategoricalGeneralizedCrossEntropy(Loss):
    """`(1 - p[y_true]**q) / q`: robust to wrong labels, the more so the nearer `q` is to 1.

    Shapes:
        y_true: `(batch, ...)`, class indices
        y_pred: `(batch, ..., classes)`, probabilities
        output: `()`

    Args:
        q: Between 0 (cross-entropy) and 1 (absolute error), both excluded.
        reduction: As for every loss.
        name: As for every loss.
        dtype: As for every loss.

    Raises:
        ValueError: If `q` is outside (0, 1).
    """

    target_dtype = "int64"
    options = ("q",)

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(
                f"CategoricalGeneralizedCrossEntropy: `q` must be between 0 and 1, got {q!r}."
            )
        super().__init__(name, reduction, dtype)
        self.q = q

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Generalized cross-entropy of each sample."""
        return categorical_generalized_cross_entropy(y_true, y_pred, self.q)
